"""`io.fs.*` on files, folders and links of a real workspace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from assent.errors import Json
from tests.conformance.case import Case, Escape, Stage

FILES: Final[Mapping[str, str | bytes | None]] = {
    "a.txt": "one\n",
    "docs/b.bin": bytes(range(256)),
    "docs/deep/c.txt": "",
    "empty": None,
}

# The paths that lead out, or to the runtime's own files, and how each is refused.
_OUT: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("../outside/canary.txt", ("PATH_ESCAPES",)),
    ("docs/../../outside/canary.txt", ("PATH_ESCAPES",)),
    ("/etc/hostname", ("PATH_ESCAPES",)),
    ("way_out/canary.txt", ("PATH_ESCAPES",)),
    (".assent/ledger.db", ("PATH_PROTECTED",)),
)
_OURS: Final = (("assent.toml", ("PATH_PROTECTED",)), ("policy.yaml", ("PATH_PROTECTED",)))


def way_out(stage: Stage) -> None:
    """A link in the workspace that leads outside."""
    (stage.workspace / "way_out").symlink_to("../outside")


def escapes(inputs: Mapping[str, Json], *names: str, writes: Iterable[str] = ()) -> list[Escape]:
    """Each way out in place of each of these inputs; those that are written are tried on control files as well."""
    return [
        Escape({**inputs, name: path}, codes, arrange=way_out)
        for name in names
        for path, codes in (*_OUT, *(_OURS if name in writes else ()))
    ]


_WRITE: Final[Mapping[str, Json]] = {"path": "a.txt", "content": "two\n"}
_WRITE_BYTES: Final[Mapping[str, Json]] = {
    "path": "x/y/new.bin",
    "content_base64": "AAEC",
    "create_dirs": True,
}
_TWO: Final[Mapping[str, Json]] = {"source": "docs", "destination": "papers"}

DIFF: Final = """\
diff --git a/a.txt b/letters/a.txt
rename from a.txt
rename to letters/a.txt
--- a/a.txt
+++ b/letters/a.txt
@@ -1 +1,2 @@
-one
+two
+three
diff --git a/docs/deep/c.txt b/docs/deep/c.txt
deleted file mode 100644
"""
_INTO: Final = (
    "--- /dev/null\n+++ b/{0}\n@@ -0,0 +1 @@\n+x\n",
    "diff --git a/a.txt b/x\nrename from a.txt\nrename to {0}\n",
    "diff --git a/x b/y\nrename from {0}\nrename to y\n",
)


def links(stage: Stage) -> None:
    """A link and modes that a copy, a move and an undo have to keep."""
    (stage.workspace / "docs/link").symlink_to("b.bin")
    (stage.workspace / "docs/deep").chmod(0o750)
    (stage.workspace / "a.txt").chmod(0o640)


CASES: Final = (
    Case("io.fs.read_file", {"path": "a.txt"}, FILES, escapes=escapes({}, "path")),
    Case("io.fs.hash_file", {"path": "docs/b.bin"}, FILES, escapes=escapes({}, "path")),
    Case("io.fs.list_dir", {"path": "docs", "recursive": True}, FILES, escapes=escapes({}, "path")),
    Case("io.fs.exists", {"path": "docs"}, FILES, escapes=escapes({}, "path")),
    Case(
        "io.fs.write_file",
        _WRITE,
        FILES,
        arrange=links,
        escapes=escapes(_WRITE, "path", writes=["path"]),
    ),
    Case(
        "io.fs.write_bytes",
        _WRITE_BYTES,
        FILES,
        escapes=escapes({**_WRITE_BYTES, "overwrite": True}, "path", writes=["path"]),
    ),
    Case(
        "io.fs.make_dir",
        {"path": "x/y/z", "parents": True},
        FILES,
        escapes=escapes({"parents": True}, "path"),
    ),
    Case(
        "io.fs.delete",
        {"path": "docs", "recursive": True},
        FILES,
        arrange=links,
        escapes=escapes({"recursive": True}, "path", writes=["path"]),
    ),
    Case(
        "io.fs.move",
        _TWO,
        FILES,
        arrange=links,
        escapes=[
            *escapes({**_TWO, "overwrite": True}, "source", writes=["source"]),
            *escapes({"source": "a.txt", "overwrite": True}, "destination", writes=["destination"]),
        ],
    ),
    Case(
        "io.fs.copy",
        _TWO,
        FILES,
        arrange=links,
        escapes=[
            *escapes(_TWO, "source"),
            *escapes({"source": "a.txt", "overwrite": True}, "destination", writes=["destination"]),
        ],
    ),
    Case("io.fs.find", {"globs": ["*.txt"]}, FILES, escapes=escapes({"include_hidden": True}, "path")),
    Case(
        "io.fs.search",
        {"pattern": "on[e]", "context": 1},
        FILES,
        bad=[{"pattern": ""}, {"pattern": "a", "limit": 0}, {"pattern": "a", "context": -1}],
        escapes=escapes({"pattern": ".", "include_hidden": True}, "path"),
    ),
    Case(
        "io.fs.patch",
        {"diff": DIFF},
        FILES,
        arrange=links,
        bad=[{"diff": ""}, {"diff": DIFF, "strip": -1}],
        escapes=[
            Escape({"diff": made.format(path)}, codes, arrange=way_out)
            for path, codes in (*_OUT, *_OURS)
            for made in _INTO
            if not path.startswith("/")
        ],
    ),
)
