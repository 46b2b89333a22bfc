"""No capability, archive or program reads a key or a secret, or changes what governs it, wherever in a workspace that lies."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from assent import Runtime
from assent.sandbox import Sandbox
from tests.support.web import authority

MARK: Final = "s3cr3t-5f2a91c07be4"
"""In everything that nobody may read."""

CONFIG: Final = """\
policy = "policy.yaml"
[ledger]
key = "keys/ledger"
[net]
ca_bundle = "ca.pem"
[secrets.mail]
from = "file:vault/mail"
[secrets.vault]
token_file = "vault/token"
ca_file = "vault-ca.pem"
[exec.rules.shell]
programs = ["sh"]
"""
POLICY: Final = """\
version: 1
rules:
  - {id: open, when: {principal: "user:*"}, decision: ALLOW, without_approval: true, reason: nobody is there to be asked}
default: DENY
"""
HIDDEN: Final = (
    "keys/ledger", ".config/assent/keys/other", ".config/assent/secrets/mine", "xdg/assent/keys/other",
    "xdg/assent/secrets/mine", "vault/mail", "vault/mail.previous", "vault/token", ".assent/note",
    "hard/ledger", "hard/mine", "hard/token",
)  # fmt: skip
"""What can't be read; the last ones are hard links."""
READABLE: Final = (
    "assent.toml", "policy.yaml", "assent-plugins.lock", ".config/assent/config.toml", ".config/assent/allow.yaml",
    "xdg/assent/config.toml", "xdg/assent/deep/new.toml", "ca.pem", "vault-ca.pem",
)  # fmt: skip
"""What can be read and not changed; some of it does not exist."""

FAILED: Final = ("failed", "rolled_back")

READS: Final[dict[str, Callable[[str], dict[str, Any]]]] = {
    "io.fs.read_file": lambda path: {"path": path},
    "io.fs.hash_file": lambda path: {"path": path},
    "io.fs.search": lambda path: {"path": path, "pattern": "."},
    "io.fs.copy": lambda path: {"source": path, "destination": "taken"},
    "io.fs.move": lambda path: {"source": path, "destination": "taken"},
    "sys.archive.pack": lambda path: {"sources": [path], "destination": "taken.tar"},
    "sys.archive.unpack": lambda path: {"source": path, "destination": "taken"},
    "data.csv.parse": lambda path: {"path": path},
    "net.http.post": lambda path: {"url": "https://example.org/", "body": path, "body_type": "file"},
    "sys.git.status": lambda path: {"repository": path},
}
WRITES: Final[dict[str, Callable[[str], dict[str, Any]]]] = {
    "io.fs.write_file": lambda path: {"path": path, "content": "mine", "create_dirs": True},
    "io.fs.write_bytes": lambda path: {
        "path": path, "content_base64": "", "create_dirs": True, "overwrite": True
    },
    "io.fs.make_dir": lambda path: {"path": path, "parents": True},
    "io.fs.delete": lambda path: {"path": path, "recursive": True},
    "io.fs.delete folder": lambda path: {"path": str(Path(path).parent), "recursive": True},
    "io.fs.move": lambda path: {"source": path, "destination": "taken", "overwrite": True},
    "io.fs.move folder": lambda path: {"source": path.split("/")[0], "destination": "taken"},
    "io.fs.move onto": lambda path: {"source": "mine.txt", "destination": path, "overwrite": True},
    "io.fs.copy": lambda path: {"source": "mine.txt", "destination": path, "overwrite": True},
    "io.fs.patch": lambda path: {
        "diff": f"--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+mine\n"
    },
    "sys.archive.pack": lambda path: {"sources": ["mine.txt"], "destination": path, "overwrite": True},
    "sys.archive.unpack": lambda path: {"source": "mine.tar", "destination": path},
    "net.http.download": lambda path: {"url": "https://example.org/", "path": path, "overwrite": True},
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace that is somebody's home, with everything in it."""
    home = tmp_path / "home"
    for path in (*HIDDEN, *READABLE):
        (home / path).parent.mkdir(parents=True, exist_ok=True)
    (home / ".assent").chmod(0o700)
    for path in (*HIDDEN[1:9],):
        (home / path).write_text(f"{MARK}\n")
        (home / path).chmod(0o600)
    for path in (".config/assent/config.toml", "xdg/assent/config.toml"):
        (home / path).write_text("")
    (home / "assent-plugins.lock").write_text("")
    for path in ("ca.pem", "vault-ca.pem"):
        (home / path).write_bytes(authority(tmp_path, "example.org").ca_file.read_bytes())
    (home / "assent.toml").write_text(CONFIG)
    (home / "policy.yaml").write_text(POLICY)
    (home / "policy.yaml").chmod(0o600)
    (home / "mine.txt").write_text("mine")
    with tarfile.open(home / "mine.tar", "w") as archive:
        member = tarfile.TarInfo("config.toml")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"mine"))
    os.link(home / ".config/assent/secrets/mine", home / "hard/mine")
    os.link(home / "vault/token", home / "hard/token")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    return home


def seen(home: Path) -> dict[str, bytes]:
    """Every control file as it is."""
    paths = [home / path for path in (*HIDDEN, *READABLE)]
    return {str(path): path.read_bytes() for path in paths if path.is_file()}


def told(result: object) -> str:
    return repr(result)


async def test_there_is_no_way_to_read_what_is_hidden(home: Path) -> None:
    async with Runtime.open(home) as rt:
        (home / ".assent/note").write_text(MARK)
        os.link(home / "keys/ledger", home / "hard/ledger")
        before = seen(home)
        for path in HIDDEN:
            for capability, inputs in READS.items():
                result = await rt.call(capability, inputs(path))
                assert result.status in FAILED, (capability, path)
                assert MARK not in told(result), (capability, path)
                assert "PRIVATE+KEY" not in told(result), (capability, path)
        for folder in (".", "hard", "vault", "keys", ".config", ".config/assent", "xdg"):
            searched = await rt.call(
                "io.fs.search", {"path": folder, "pattern": "s3cr3t|KEY", "include_hidden": True}
            )
            assert MARK not in told(searched.steps[0].output), folder
            packed = await rt.call("sys.archive.pack", {"sources": [folder], "destination": "taken.tar"})
            taken = home / "taken.tar"
            assert not taken.exists() or MARK.encode() not in taken.read_bytes(), (folder, packed)
            taken.unlink(missing_ok=True)
            listed = await rt.call(
                "io.fs.list_dir", {"path": folder, "include_hidden": True, "recursive": True}
            )
            output: Any = listed.steps[0].output
            names = {one["path"] for one in output["entries"]} if output else set()
            assert not names & {path.removeprefix(f"{folder}/") for path in HIDDEN}
            copied = await rt.call("io.fs.copy", {"source": folder, "destination": "taken"})
            assert not [*home.glob("taken/**/ledger"), *home.glob("taken/**/mine")], copied
        assert seen(home) == before


async def test_there_is_no_way_to_change_what_governs(home: Path) -> None:
    """Nor to put something where nothing stands yet, or to move the folder around it."""
    async with Runtime.open(home) as rt:
        (home / ".assent/note").write_text(MARK)
        os.link(home / "keys/ledger", home / "hard/ledger")
        before = seen(home)
        for path in (*HIDDEN, *READABLE, ".config/assent", "xdg/assent", ".config/assent/keys"):
            for way, inputs in WRITES.items():
                if "folder" in way and path.startswith("hard"):
                    continue  # a name of its own may go
                if "/" not in path and "folder" in way:
                    continue
                result = await rt.call(way.split()[0], inputs(path))
                assert result.status in FAILED, (way, path)
                assert seen(home) == before, (way, path)


async def test_programs_see_no_secret_and_change_no_control_file(home: Path) -> None:
    with Sandbox.detect() as sandbox:
        if not sandbox.holds.is_confined:
            pytest.skip("nothing on this machine confines programs")
    async with Runtime.open(home) as rt:
        (home / ".assent/note").write_text(MARK)
        os.link(home / "keys/ledger", home / "hard/ledger")
        before = seen(home)
        ran = await rt.call(
            "sys.exec.run_captured", {"argv": ["sh", "-c", f"cat {' '.join(HIDDEN)}; exit 0"]}
        )
        assert ran.status == "succeeded", ran.error
        assert MARK not in told(ran)
        assert "PRIVATE+KEY" not in told(ran)
        for path in READABLE:
            line = f"mkdir -p $(dirname {path}); echo mine > {path}"
            ran = await rt.call("sys.exec.run_captured", {"argv": ["sh", "-c", line]})
            assert ran.status in FAILED, path
        assert seen(home) == before
