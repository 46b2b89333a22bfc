"""The ledger's file: its tables, the numbered migrations that made them, and the refusal of files that are not ours.

Only `events`, `payloads` and `checkpoints` are the record. `tree` is where it stands and can be recomputed; `runs`, `steps`,
`approvals` and the tables of capabilities are projections: folds over the events that can be dropped and rebuilt.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Final

import apsw
import msgspec

from assent.errors import InputError, WorldError
from assent.journal._files import create_private_file, fsync_dir, is_there, open_plain, state_unusable
from assent.journal.store._connection import connect_reader, maker, translated

APPLICATION_ID: Final = int.from_bytes(b"ASNT", "big")
"""Bytes 68 to 72 of the file: what tells our file from any other SQLite file."""

LEDGER_FILE: Final = "ledger.db"

_SCHEMA: Final = "SELECT type, name, tbl_name, sql FROM sqlite_schema"


class Migration(msgspec.Struct, frozen=True):
    """One step of the schema. Never edited once released: its checksum is in every file it made."""

    number: int
    name: str
    sql: str
    is_optional_to_read: bool = False
    """What it added a reader can do without: projection tables, which stand in `SINCE` and are taken as empty, and what vouches
    for commits."""

    @property
    def checksum(self) -> str:
        """64 hex digits: SHA-256 of the statements."""
        return sha256(self.sql.encode()).hexdigest()


_FIRST: Final = """
CREATE TABLE migrations(number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL) STRICT;

-- A leaf's hash stands beside it: a changed leaf is then named exactly, where signed roots alone would name a range.
CREATE TABLE events(seq INTEGER PRIMARY KEY, run TEXT, n INTEGER, hash BLOB NOT NULL, leaf BLOB NOT NULL) STRICT;
CREATE UNIQUE INDEX events_of_run ON events(run, n) WHERE run IS NOT NULL;

-- What finds a payload is its tag, not its commitment (see `payload_tag`): an index of random keys would dirty a page per row.
CREATE TABLE payloads(
  tag INTEGER NOT NULL, commitment BLOB NOT NULL, seq INTEGER NOT NULL, salt BLOB NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE INDEX payload_tags ON payloads(tag);

CREATE TABLE blob_refs(commitment BLOB NOT NULL, digest TEXT NOT NULL, PRIMARY KEY(commitment, digest)) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoints(size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;
CREATE TABLE tree(
  id INTEGER PRIMARY KEY CHECK (id = 0), size INTEGER NOT NULL, frontier BLOB NOT NULL, root BLOB NOT NULL
) STRICT;

CREATE TABLE runs(
  run_id TEXT NOT NULL, workflow TEXT, mode TEXT, status TEXT, principal TEXT, code TEXT, started_at_ms INTEGER,
  updated_at_ms INTEGER, events INTEGER, plan_id TEXT, PRIMARY KEY(run_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE steps(
  run_id TEXT NOT NULL, step TEXT NOT NULL, position INTEGER, capability TEXT, version TEXT, status TEXT, risk_level TEXT,
  decision TEXT, rule TEXT, attempts INTEGER, effect TEXT, code TEXT, PRIMARY KEY(run_id, step)
) STRICT, WITHOUT ROWID;
CREATE TABLE approvals(
  run_id TEXT NOT NULL, step TEXT NOT NULL, digest TEXT NOT NULL, status TEXT, capability TEXT, risk_level TEXT, rule TEXT,
  requester TEXT, requested_at_ms INTEGER, expires_at_ms INTEGER, decided_at_ms INTEGER, PRIMARY KEY(run_id, step, digest)
) STRICT, WITHOUT ROWID;
"""

_CAPABILITIES: Final = """
-- Changes of capabilities are counted through the whole ledger, from 0: `registered`, `changed` (registered last), `retired` and
-- `change` are such numbers, so that what held before any of them can be told.
CREATE TABLE capabilities(
  capability TEXT NOT NULL, version TEXT NOT NULL, fingerprint TEXT, registered INTEGER, registered_at_ms INTEGER,
  changed INTEGER, retired INTEGER, retired_at_ms INTEGER, PRIMARY KEY(capability, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE capability_labels(
  capability TEXT NOT NULL, label TEXT NOT NULL, change INTEGER NOT NULL, version TEXT, at_ms INTEGER, principal TEXT,
  PRIMARY KEY(capability, label, change)
) STRICT, WITHOUT ROWID;
CREATE TABLE capability_weights(
  capability TEXT NOT NULL, change INTEGER NOT NULL, weights TEXT, at_ms INTEGER, principal TEXT, code TEXT,
  PRIMARY KEY(capability, change)
) STRICT, WITHOUT ROWID;
"""

_SPECS: Final = """
-- Which payload is the spec of a version that others wrote.
CREATE TABLE capability_specs(
  capability TEXT NOT NULL, version TEXT NOT NULL, spec TEXT, PRIMARY KEY(capability, version)
) STRICT, WITHOUT ROWID;
"""

_COMMITS: Final = """
-- What vouches for the entries of each transaction, before a checkpoint covers them: see `_commits.py`; and for where the
-- newest entry of each run stands: see `_heads.py`.
CREATE TABLE commits(size INTEGER PRIMARY KEY, root BLOB NOT NULL, mac BLOB NOT NULL, heads BLOB NOT NULL) STRICT;
CREATE TABLE heads(size INTEGER PRIMARY KEY, before BLOB NOT NULL, streams BLOB NOT NULL) STRICT;

-- Events of no run are a stream like a run's. Those of format 1 do not say their number, which is their place among their like.
UPDATE events SET n = numbered.n
FROM (SELECT seq, row_number() OVER (ORDER BY seq) - 1 AS n FROM events WHERE run IS NULL) AS numbered
WHERE events.seq = numbered.seq;
CREATE UNIQUE INDEX events_of_ledger ON events(n) WHERE run IS NULL;
"""

COMMITS_SINCE: Final = 4
"""The format from which on each commit is vouched for, and what is written are leaves of version 2."""

_AREAS: Final = """
-- What commands look for without knowing a run: those that have not ended, those of a plan, what waits for a person.
CREATE INDEX runs_by_status ON runs(status);
CREATE INDEX runs_of_plan ON runs(plan_id) WHERE plan_id IS NOT NULL;
CREATE INDEX approvals_by_status ON approvals(status);

-- Which request of another process a run began with: the same request, delivered again, is the same run.
CREATE TABLE run_requests(run_id TEXT NOT NULL, request TEXT, PRIMARY KEY(run_id)) STRICT, WITHOUT ROWID;
CREATE INDEX runs_of_request ON run_requests(request);

-- Areas bring tables of their own (see `_projections.py`): which of their migrations made those that are here.
CREATE TABLE areas(
  area TEXT NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL, checksum TEXT NOT NULL, PRIMARY KEY(area, number)
) STRICT, WITHOUT ROWID;
"""

AREAS_SINCE: Final = 5
"""The format from which on areas may have tables of their own."""

_WAITS: Final = """
-- What runs wait for without a person: a step for a time or a signal (`name`), `@run` for the end of the time that it may take,
-- `@turn` for others with its concurrency key (`name`). `status` is `waiting`, `held` (it is its turn), `over`.
CREATE TABLE waits(
  run_id TEXT NOT NULL, step TEXT NOT NULL, kind TEXT, name TEXT, status TEXT, since_ms INTEGER, due_ms INTEGER,
  PRIMARY KEY(run_id, step)
) STRICT, WITHOUT ROWID;
CREATE INDEX waits_by_status ON waits(status);
CREATE INDEX waits_by_name ON waits(name) WHERE name IS NOT NULL;
"""

MIGRATIONS: Final = (
    Migration(1, "first", _FIRST),
    Migration(2, "capabilities", _CAPABILITIES, is_optional_to_read=True),
    Migration(3, "capability specs", _SPECS, is_optional_to_read=True),
    Migration(COMMITS_SINCE, "commits", _COMMITS, is_optional_to_read=True),
    Migration(AREAS_SINCE, "areas", _AREAS, is_optional_to_read=True),
    Migration(6, "waits", _WAITS, is_optional_to_read=True),
)

SINCE: Final[Mapping[str, int]] = MappingProxyType(
    {
        "capabilities": 2,
        "capability_labels": 2,
        "capability_weights": 2,
        "capability_specs": 3,
        "run_requests": 5,
        "waits": 6,
    }
)
"""The format that brought a projection table, where it was not the first: an older file that is only read has no such rows."""

PROJECTIONS: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "runs": (
            "run_id",
            "workflow",
            "mode",
            "status",
            "principal",
            "code",
            "started_at_ms",
            "updated_at_ms",
            "events",
            "plan_id",
        ),
        "steps": (
            "run_id",
            "step",
            "position",
            "capability",
            "version",
            "status",
            "risk_level",
            "decision",
            "rule",
            "attempts",
            "effect",
            "code",
        ),
        "approvals": (
            "run_id",
            "step",
            "digest",
            "status",
            "capability",
            "risk_level",
            "rule",
            "requester",
            "requested_at_ms",
            "expires_at_ms",
            "decided_at_ms",
        ),
        "capabilities": (
            "capability",
            "version",
            "fingerprint",
            "registered",
            "registered_at_ms",
            "changed",
            "retired",
            "retired_at_ms",
        ),
        "capability_labels": ("capability", "label", "change", "version", "at_ms", "principal"),
        "capability_weights": ("capability", "change", "weights", "at_ms", "principal", "code"),
        "capability_specs": ("capability", "version", "spec"),
        "run_requests": ("run_id", "request"),
        "waits": ("run_id", "step", "kind", "name", "status", "since_ms", "due_ms"),
    }
)
"""Columns of each projection table, in the order of `Row.values`."""

PROJECTION_KEYS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "runs": 1,
        "steps": 2,
        "approvals": 3,
        "capabilities": 2,
        "capability_labels": 3,
        "capability_weights": 2,
        "capability_specs": 2,
        "run_requests": 1,
        "waits": 2,
    }
)
"""How many of a table's first columns are its key."""


def newest_format() -> int:
    """The number of the last migration: the format that this version writes."""
    return MIGRATIONS[-1].number


def can_be_read(version: int) -> bool:
    """Whether a file of this format can be read as it is, before an owner brings it up to date."""
    return all(migration.is_optional_to_read for migration in MIGRATIONS[version:])


def prepare_ledger(path: Path, adopt: Callable[[apsw.Connection], None] | None = None) -> None:
    """See to it that `path` is a ledger of this version: create it, migrate an older one, refuse everything else untouched.

    `adopt` vouches for the entries of a ledger that is older than commits are; it is called in the transaction that migrates, and
    what it raises leaves the file as it was. A crash at any moment leaves either no file or a whole one. Raises what
    `check_ledger` raises, and `InputError` `LEDGER_TAIL_UNSEALED` for an older ledger whose last entries nothing vouches for.
    """
    if not is_there(path):
        if is_there(path.with_name(path.name + "-wal")):
            # SQLite would play this log into the new file.
            raise WorldError(
                "RECORD_CORRUPT",
                f"the ledger `{path}` is gone, but the log that belongs to it is there",
                hint="restore the file from a backup, or move the log away to begin anew",
            )
        try:
            with translated():
                _create(path)
        except OSError as error:
            raise state_unusable(path.parent, error) from error
    version = check_ledger(path)
    if version < newest_format():
        with maker(path) as connection:
            # Tables of areas are held against what makes them once the journal's own are those of this version.
            require_own_schema(connection, others=applied_areas(connection))
            _migrate(connection, version, adopt)


_NO_FILE: Final = frozenset({errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.ENOTDIR})
"""How opening what is no plain file fails: any other failure is the disk's or the machine's."""


def check_ledger(path: Path) -> int:
    """The number of the last migration that made this file. Reads only: a file that is refused keeps every byte.

    Raises `InputError` `STATE_FOREIGN` for a file that no Assent made, `STATE_NEWER` for one that a later Assent made, and
    `WorldError` `RECORD_CORRUPT` when its migrations are not the ones we know, `STATE_UNUSABLE` when it may not be read.
    """
    # The header is looked at before SQLite may: even opening a file can start the recovery of its journal.
    try:
        with open_plain(path) as file:
            header = file.read(100)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise state_unusable(path.parent, error) from error
        header = b""
    if len(header) < 100 or header[:16] != b"SQLite format 3\x00" or _number(header, 68) != APPLICATION_ID:
        raise InputError(
            "STATE_FOREIGN",
            f"`{path}` is not a ledger of Assent",
            hint="move the file away, or choose another `--state`",
        )
    _refuse_newer(path, _number(header, 60))
    connection = connect_reader(path)
    try:
        with translated():
            version = int(connection.pragma("user_version"))
            _refuse_newer(path, version)
            applied = connection.execute(
                "SELECT number, name, checksum FROM migrations ORDER BY number"
            ).fetchall()
    finally:
        connection.close()
    if applied != [(known.number, known.name, known.checksum) for known in MIGRATIONS[:version]]:
        raise WorldError(
            "RECORD_CORRUPT", f"the migrations of `{path}` are not those of its version, {version}"
        )
    return version


def applied_areas(connection: apsw.Connection) -> dict[str, list[tuple[int, str, str]]]:
    """The migrations of areas that made tables of this file, by area."""
    if int(connection.pragma("user_version")) < AREAS_SINCE:
        return {}
    found: dict[str, list[tuple[int, str, str]]] = {}
    for area, *migration in connection.execute(
        "SELECT area, number, name, checksum FROM areas ORDER BY area, number"
    ):
        number, name, checksum = migration
        if not isinstance(number, int):
            raise WorldError("RECORD_CORRUPT", "the ledger's file does not say which areas have tables in it")
        found.setdefault(str(area), []).append((number, str(name), str(checksum)))
    return found


def has_own_schema(
    connection: apsw.Connection, areas: Iterable[Migration] = (), others: Iterable[str] = ()
) -> bool:
    """Whether the file's tables and indexes are those that our migrations of its version and those of `areas` make, and no more.

    `others`: areas whose tables may be there besides, in whatever form; nobody reads them, and an owner drops them.
    """
    version = int(connection.pragma("user_version"))
    own = _made_by((*MIGRATIONS[:version], *areas))
    found = {tuple(row) for row in connection.execute(_SCHEMA)}
    prefixes = tuple(f"{area}_" for area in others)
    is_mixed = any(str(table).startswith(prefixes) for _, _, table, _ in own)
    more = found - own
    return (
        own <= found
        and not (more and is_mixed)
        and all(kind in {"table", "index"} and str(table).startswith(prefixes) for kind, _, table, _ in more)
    )


@cache
def _made_by(migrations: tuple[Migration, ...]) -> frozenset[tuple[object, ...]]:
    """Type, name, table and text of all that these make, taken from a database that they just made."""
    connection = apsw.Connection(":memory:")
    try:
        for migration in migrations:
            connection.execute(migration.sql)
        return frozenset(connection.execute(_SCHEMA).fetchall())
    finally:
        connection.close()


def require_own_schema(
    connection: apsw.Connection, areas: Iterable[Migration] = (), others: Iterable[str] = ()
) -> None:
    """Refuse, with `RECORD_CORRUPT`, a file in which a statement of ours might do something else: see `has_own_schema`."""
    with translated():
        is_own = has_own_schema(connection, areas, others)
    if not is_own:
        raise WorldError(
            "RECORD_CORRUPT",
            "the tables of the ledger's file are not those that its migrations made",
            hint="restore the file from a backup: what somebody put into it might act when it is written",
        )


def _refuse_newer(path: Path, version: int) -> None:
    if version > newest_format():
        raise InputError(
            "STATE_NEWER",
            f"`{path}` was written by a newer Assent (format {version}, this one knows {newest_format()})",
            hint="install the newer version; this file was not touched",
        )


def _number(header: bytes, at: int) -> int:
    return int.from_bytes(header[at : at + 4], "big")


def _create(path: Path) -> None:
    # Under another name first: a half-made ledger would be refused as foreign for ever.
    draft = path.with_name(path.name + ".new")
    for suffix in ("", "-journal", "-wal", "-shm"):
        draft.with_name(draft.name + suffix).unlink(missing_ok=True)
    os.close(create_private_file(draft))
    with maker(draft) as connection:
        connection.pragma("application_id", APPLICATION_ID)
        _migrate(connection, 0, None)
        # Here and not by the first writer: a crash while the mode changes would leave a journal that no reader may roll back.
        connection.pragma("journal_mode", "wal")
    draft.rename(path)
    fsync_dir(path.parent)


def _migrate(
    connection: apsw.Connection, version: int, adopt: Callable[[apsw.Connection], None] | None
) -> None:
    # All of them in one transaction: a file is of an older version, or of this one.
    connection.execute("BEGIN IMMEDIATE")
    try:
        if 0 < version < COMMITS_SINCE:
            _refuse_unsealed(connection)
        for migration in MIGRATIONS[version:]:
            connection.execute(migration.sql)
            connection.execute(
                "INSERT INTO migrations(number, name, checksum) VALUES (?, ?, ?)",
                (migration.number, migration.name, migration.checksum),
            )
            connection.pragma("user_version", migration.number)
        if adopt is not None and version < COMMITS_SINCE <= newest_format():
            adopt(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _refuse_unsealed(connection: apsw.Connection) -> None:
    newest = connection.execute("SELECT max(seq) FROM events").get
    signed = connection.execute("SELECT max(size) FROM checkpoints").get or 0
    size = 0 if newest is None else newest + 1
    if size > signed:
        raise InputError(
            "LEDGER_TAIL_UNSEALED",
            f"the ledger is of an older format, and no checkpoint covers its last {size - signed} entries:"
            " nobody can tell who wrote them",
            hint="run `assent resume` once with the Assent that wrote it, which signs them; this file was not touched",
            details={"size": size, "signed": signed},
        )
