"""`[knowledge]` of assent.toml: what of the workspace can be searched, and who may see what of it.

[knowledge.repositories.docs]
folder = "docs"

[knowledge.labels.staff]
paths = ["docs/people/*"]
roles = ["hr"]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from assent.capabilities.notify.area import web_address
from assent.errors import AssentError, InputError, Json
from assent.journal import Migration, Projection, Row, open_plain
from assent.spec.documents.settings import (
    Duration,
    Matching,
    Named,
    Setting,
    Table,
    Texts,
    Whole,
    flag,
    label,
    path,
    tables,
)
from assent.spec.secret_text import SCHEME, is_secret_name
from assent.spec.values.json_fields import number, text
from assent.spec.words.legible import safe_line
from assent.spec.words.sizes import count_text

if TYPE_CHECKING:
    from pathlib import Path

    from assent.capabilities.area import Check, Ground, Words
    from assent.invocation import GlobalContext
    from assent.journal.store._projections import Stored
    from assent.knowledge.routing import Table as RoutingTable
    from assent.spec.events.kinds import Leaf
    from assent.spec.values.json_fields import Object

WHOLE: Final = "workspace"
"""The repository that the whole workspace is, where none is named."""
STORE: Final = "knowledge"
"""The folder of the state directory in which the stores are."""
ROOTS: Final = frozenset({"knowledge.index", "knowledge.forget"})
"""What makes roots: each outcome says one, and chunks are proved by it."""
ACTS: Final = ROOTS | {"knowledge.erase_tenant"}
"""What the record says of a store, and so what nobody else makes a version of."""


ROUTES_BYTES_MAX: Final = 1 << 20

OPEN: Final = "encryption is off: whoever has the state directory can read what is indexed"


def _folder(value: object) -> Json:
    if not isinstance(value, str) or not value or value.startswith("/") or ".." in value.split("/"):
        raise ValueError('must be a folder of the workspace: `"docs"`')
    return PurePosixPath(value).as_posix()


def _fits_paths(pattern: str) -> bool:
    """Whether a path below the workspace can fit it: `./people/*` would hide nothing, and nobody would be told."""
    return not {"", ".", ".."}.intersection(pattern.removesuffix("/").split("/"))


def routes_of(file: Path) -> RoutingTable:
    """The routing table of a file. `InputError` KNOWLEDGE_ROUTES_INVALID, also where it can't be read."""
    from assent.knowledge.routing import Table as RoutingTable

    try:
        with open_plain(file) as opened:
            text = opened.read(ROUTES_BYTES_MAX)
    except OSError as error:
        raise InputError(
            "KNOWLEDGE_ROUTES_INVALID",
            f"the routing table can't be read: {(error.strerror or str(error)).lower()}",
            path=str(file),
            hint="`routes` under `[knowledge]` of assent.toml names it",
        ) from None
    return RoutingTable(text)


def _check_routes(file: Path) -> None:
    try:
        routes_of(file)
    except InputError as error:
        raise ValueError(f"names `{file}`, where {error.message}") from None


def _patterns(value: object) -> list[Json]:
    from assent.capabilities.fs._globs import rules_of

    found = _PATTERNS(value)
    try:
        rules_of([*map(str, found)], source="ignore")
    except AssentError as error:
        raise ValueError(f"can't be used: {error.message}") from None
    return found


_PATTERNS: Final = Texts(
    'must be a list of patterns as in a .gitignore: `["fixtures/", "*.min.js"]`', may_be_empty=True
)


SECTION: Final[Table] = {
    "tenant": Setting(
        Matching(
            "must be a name of 1 to 128 bytes", lambda one: 0 < len(one.encode()) <= 128 and one.isprintable()
        ),
        "whose knowledge it is: each tenant has a store and keys of its own",
        "workspace",
        "`workspace`",
    ),
    "unconfined": Setting(
        flag,
        "clean and cut files where no walls stand, with every right of the user",
        default=False,
        is_always_shown=True,
    ),
    "encryption": Setting(
        Matching("must be `on` or `off`", {"on", "off"}.__contains__),
        "`off`: the store can be read by whoever has the state directory",
        "on",
        "`on`",
    ),
    "key": Setting(
        Matching("must be `file` or `keychain`", {"file", "keychain"}.__contains__),
        "where the master key is: in a file beside the one that signs the ledger, or in the system's keychain (extra `keyring`)",
        "file",
        "`file`",
    ),
    "passphrase_file": Setting(
        path,
        "for keys in files: a file of mode 0600 with the passphrase that seals them",
        unless="they are plain",
    ),
    "ignore": Setting(
        _patterns,
        "what no index run reads, in any repository: patterns as in a `.gitignore` at the top of the workspace",
        [],
        "nothing more",
    ),
    "routes": Setting(
        path,
        "a file with a routing table: how far repositories are, and which is searched in the stead of another",
        unless="each goes by its `budget` alone",
        check_file=_check_routes,
    ),
    "endpoints": Named(
        "name of an endpoint",
        {
            "url": Setting(
                web_address,
                "where vectors are asked for as of OpenAI, without any credential: `http://127.0.0.1:11434/v1/embeddings`",
                is_required=True,
            ),
            "model": Setting(label, "what the model is called there", is_required=True),
            "size": Setting(Whole(1, 4_096), "components of its vectors", is_required=True),
            "secret": Setting(
                # The text is not quoted: somebody may have put the value itself here.
                Matching(
                    "must name the secret that is sent: `secret://NAME`",
                    lambda one: one.startswith(SCHEME) and is_secret_name(one[len(SCHEME) :]),
                ),
                "what is sent as `Authorization: Bearer`: `secret://NAME`",
                unless="nothing",
            ),
            "timeout": Setting(
                Duration(100, 60_000),
                "one request; a search waits 3 s at most, and then none for 30 s",
                30_000,
            ),
        },
        unless="nothing is sent anywhere",
    ),
    "archives": {
        "read": Setting(
            flag,
            "read the files in archives, as `ARCHIVE!/MEMBER`; past one of the limits, nothing of the archive is read",
            default=True,
        ),
        "bytes": Setting(
            Whole(1, 1 << 30),
            "bytes that the files in one archive may have; as many are held in memory",
            64 << 20,
            "64 MiB",
        ),
        "entries": Setting(Whole(1, 99_999), "files and folders in one archive", 10_000),
        "depth": Setting(Whole(1, 150), "names in the path of a file in an archive", 32),
        "time": Setting(Duration(1, 600_000), "time that one archive may take", 10_000),
    },
    "repositories": Named(
        "name of a repository",
        {
            "folder": Setting(_folder, "a folder of the workspace, with all below it", is_required=True),
            "budget": Setting(
                Duration(1, 60_000),
                "how long a search waits for it: one that is not read by then is left out by name",
                unless="it is waited for",
            ),
        },
        unless="the whole workspace, as `workspace`",
    ),
    "labels": Named(
        "name of a label",
        {
            "paths": Setting(
                Texts(
                    'must be a list of patterns: `["people/*"]`',
                    _fits_paths,
                    "no file has it; name files and folders as below the workspace, like `people/*`",
                ),
                "which files have it: patterns in which `*` stands for any characters, `/` too; a folder's hold for all below it",
                is_required=True,
            ),
            "roles": Setting(
                Texts('must be a list of roles: `["hr"]`', may_be_empty=True),
                "who may see them: principals with any of these roles, and nobody else; of several labels each is asked",
                is_required=True,
            ),
        },
    ),
}


NOTHING: Final = "nothing is there to be indexed"
_LOOK: Final = "\n`assent doctor` tells whether its folder is there; what you may not see is not counted"


def _indexed(found: Object) -> str:
    if not number(found, "generation"):
        return f"{text(found, 'repository')}: {NOTHING}{_LOOK}"
    files, chunks = number(found, "files") or 0, number(found, "chunks") or 0
    changed, resumed = number(found, "changed") or 0, number(found, "resumed") or 0
    removed = f", {gone} removed" if (gone := number(found, "removed")) else ""
    left_out = found.get("left_out")
    reasons = left_out.items() if isinstance(left_out, dict) else ()
    left = "".join(f"\n{count} left out: {reason}" for reason, count in reasons)
    removed_of = found.get("cleaned")
    for one in removed_of if isinstance(removed_of, list) else ():
        if isinstance(one, dict):
            left += f"\n{number(one, 'count')} taken out of texts: {text(one, 'rule')}"
    before = f" and {resumed} before it was cut off" if resumed else ""
    return (
        f"{text(found, 'repository')}: {count_text(files, 'file')} in {count_text(chunks, 'chunk')},"
        f" {changed} indexed now{before}{removed}{_with_vectors(found)}"
        f"{left}"
        f"{'' if files else _LOOK}"
        f"\nroot {text(found, 'root')}, generation {number(found, 'generation')}"
        f"{_with_key(text(found, 'key'), is_plain=found.get('encryption') == 'off')}"
    )


def _with_vectors(found: Object) -> str:
    if not text(found, "model"):
        return ""
    why = text(found, "unmade")
    return f", {number(found, 'vectors')} with a vector" + (f"; {why}" if why else "")


def _with_key(place: str | None, *, is_plain: bool) -> str:
    if is_plain:
        return f"\n{OPEN}"
    if not place:
        return ""
    return (
        f"\nthe key is {place}\n  whoever copies the state directory without it can read nothing that was indexed"
        "\n  whoever loses it has to index again: keep a copy of it elsewhere"
    )


def _rotated(found: Object) -> str:
    if not found.get("is_done"):
        return "not all keys are replaced yet, and everything can be read: say it again, and it goes on where it was"
    return (
        f"all keys of `{text(found, 'tenant')}` are replaced"
        "\n  a copy of the master key that was made before opens nothing any more: make another"
    )


NO_MODEL: Final = "there is no model: what is asked is found by words alone"


def model_words(found: Json) -> str:
    """A model in a few lines: its name and digest, and those of its files."""
    if not isinstance(found, dict):
        return NO_MODEL
    files = found.get("files")
    digests = sorted(files.items()) if isinstance(files, dict) else ()
    lines = [
        f"{safe_line(text(found, 'name') or '')}  {text(found, 'digest')}",
        f"  {count_text(number(found, 'size') or 0, 'component')}",
        *(f"  {digest}  {safe_line(path)}" for path, digest in digests),
    ]
    return "\n".join(lines)


def removed_words(files: int) -> str:
    """What is forgotten: so many files, or only what was there before."""
    return count_text(files, "file") if files else "what was replaced before"


WORDS: Final[Words] = {
    frozenset({"tenant", "is_done"}): _rotated,
    frozenset({"repository", "generation", "root", "files", "chunks", "changed"}): _indexed,
    frozenset({"repository", "generation", "root", "forgotten"}): lambda found: (
        f"{text(found, 'repository')}: {removed_words(number(found, 'forgotten') or 0)}"
        f"{'' if number(found, 'forgotten') else ' is'} removed for good"
        f"\nroot {text(found, 'root')}, generation {number(found, 'generation')}"
    ),
    frozenset({"model", "generation"}): lambda found: (
        model_words(found["model"])
        if found["model"]
        else f"{NO_MODEL}\nto have one: assent knowledge model add FOLDER"
    ),
}


def _rows(leaf: Leaf, stored: Stored) -> Iterable[Row]:
    # By their fields: the kinds themselves are imported by nobody who looks at no knowledge.
    event: Any = leaf.event
    key = (leaf.run, event.step)
    if event.kind == "step.started":
        if event.capability in ACTS:
            yield Row("knowledge_steps", key, (*key, event.capability, event.prepared, None))
    elif (begun := stored("knowledge_steps", key)) is not None:
        _, _, capability, prepared, output = begun
        is_undo = event.kind == "compensation.succeeded"
        if not is_undo:
            output = event.output
            yield Row("knowledge_steps", key, (*key, capability, prepared, output))
        yield Row("knowledge_acts", (leaf.seq,), (leaf.seq, capability, prepared, output, int(is_undo)))


PROJECTION: Final = Projection(
    area="knowledge",
    tables={
        "knowledge_steps": ("run", "step", "capability", "prepared", "output"),
        "knowledge_acts": ("seq", "capability", "prepared", "output", "is_undo"),
    },
    keys={"knowledge_steps": 2, "knowledge_acts": 1},
    migrations=(
        Migration(
            1,
            "acts",
            """
CREATE TABLE knowledge_steps(
  run TEXT NOT NULL, step TEXT NOT NULL, capability TEXT, prepared TEXT, output TEXT, PRIMARY KEY(run, step)
) STRICT, WITHOUT ROWID;
CREATE TABLE knowledge_acts(
  seq INTEGER NOT NULL, capability TEXT, prepared TEXT, output TEXT, is_undo INTEGER, PRIMARY KEY(seq)
) STRICT, WITHOUT ROWID;
""",
        ),
    ),
    kinds=frozenset({"step.started", "step.succeeded", "compensation.succeeded"}),
    fold=_rows,
)
"""Which entries say what a store must have: acts that succeeded and acts that were taken back, with the commitments to what each
had prepared and said."""


def offer(_app: GlobalContext, _ground: Ground) -> None:
    """Nothing: the keys of the stores are the roof's (`runtime/wiring/knowledge_keys.py`), and so it offers the library."""


def _is_plain(store: Path) -> bool:
    with store.open("rb") as file:
        return file.read(15) == b"SQLite format 3"


def checks(ground: Ground) -> Iterator[Check]:
    """The folders that are to be indexed, whether anything was, and labels that hide nothing."""
    from assent.capabilities.area import Check
    from assent.capabilities.knowledge._labels import fit_nothing

    for name, one in tables(ground.said, "repositories").items():
        folder = str(one.get("folder", "."))
        if not (ground.workspace / folder).is_dir():
            hint = f'make it, or mend `folder` under `[knowledge.repositories."{name}"]` of assent.toml'
            yield Check(f"knowledge: {name}", "warning", f"there is no folder `{folder}`", hint)
    for name, pattern in fit_nothing(ground.said, ground.workspace, [ground.state]):
        words = (
            f"nothing in the workspace has the label `{name}` by `{pattern}`, so this pattern hides nothing"
        )
        hint = "of its characters `*` alone stands for others, and capitals are not small letters"
        yield Check("knowledge: labels", "warning", words, hint)
    stores = [*(ground.state / STORE).glob("*.db")]
    if stores:
        # As the files are: the setting may say how the next store is made.
        how = "not encrypted" if any(map(_is_plain, stores)) else "encrypted"
        yield Check("knowledge", "ok", f"{count_text(len(stores), 'store')}, {how}")
