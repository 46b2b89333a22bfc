"""A provider in a file of SQLite: versions in one table, contents in another, once for each digest and cut into pieces.

Publishing is one transaction, contents with it, and only a piece of a content is in memory. For one thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from assent.findings._sqlite import Database, told
from assent.findings.assets._provider import Provider
from assent.findings.assets.ports import AssetVersion
from assent.findings.assets.reference import AssetType, Level, Scope, read_scope

_STEPS: Final = (
    """
    CREATE TABLE content (id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE) STRICT;
    CREATE TABLE piece (
        content INTEGER NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (content, number)
    ) STRICT;
    CREATE TABLE version (
        id INTEGER PRIMARY KEY, level TEXT NOT NULL, scope TEXT NOT NULL, type TEXT NOT NULL, name TEXT NOT NULL,
        version TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL, published TEXT NOT NULL, origin TEXT, retired TEXT,
        uses INTEGER NOT NULL, used TEXT, UNIQUE (level, scope, type, name, version)
    ) STRICT;
    CREATE INDEX version_named ON version (level, scope, type, name);
    """,
)
_WHAT: Final = "the registry of resources"
_COLUMNS: Final = "level, scope, type, name, version, sha256, size, published, origin, retired, uses, used"
_THIS: Final = "level = ? AND scope = ? AND type = ? AND name = ? AND version = ?"
_PAGE: Final = 500

_told: Final = told(_WHAT)


class SqliteProvider(Provider):
    """Resources in a file that only its owner may read."""

    @_told
    def __init__(self, path: Path) -> None:
        self._file = Database(path, _STEPS, _WHAT)
        self._db = self._file.db

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextmanager
    def _whole(self) -> Iterator[None]:
        with told(_WHAT), self._file.whole():
            yield

    def _keep(self, pieces: Iterator[bytes]) -> tuple[str, int]:
        digest, size = sha256(), 0
        new = self._db.execute("SELECT coalesce(max(content), 0) + 1 FROM piece").get
        for number, one in enumerate(pieces):
            self._db.execute("INSERT INTO piece VALUES (?, ?, ?)", (new, number, one))
            digest.update(one)
            size += len(one)
        name = digest.hexdigest()
        old = self._db.execute("SELECT id FROM content WHERE sha256 = ?", (name,)).get
        if old is None:
            self._db.execute("INSERT INTO content (sha256) VALUES (?)", (name,))
            old = self._db.last_insert_rowid()
        self._db.execute("DELETE FROM piece WHERE content = ? AND content <> ?", (old, new))
        self._db.execute("UPDATE piece SET content = ? WHERE content = ?", (old, new))
        return name, size

    def _pieces(self, digest: str) -> Iterator[bytes]:
        number = 0
        while True:
            with told(_WHAT):
                found = self._db.execute(
                    "SELECT body FROM piece JOIN content ON content.id = piece.content WHERE sha256 = ? AND number = ?",
                    (digest, number),
                ).get
            if found is None:
                return
            yield found
            number += 1

    def _add(self, version: AssetVersion) -> None:
        self._db.execute(
            f"INSERT INTO version ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - ours
            (
                *_key(version), version.sha256, version.size_bytes, version.published_at, version.promoted_from,
                version.retired_at, version.uses, version.used_at,
            ),
        )  # fmt: skip

    def _remove(self, version: AssetVersion) -> None:
        self._db.execute(f"DELETE FROM version WHERE {_THIS}", _key(version))  # noqa: S608 - ours
        if self._db.execute("SELECT 1 FROM version WHERE sha256 = ?", (version.sha256,)).get is None:
            content = "SELECT id FROM content WHERE sha256 = ?"
            self._db.execute(f"DELETE FROM piece WHERE content = ({content})", (version.sha256,))  # noqa: S608 - ours
            self._db.execute("DELETE FROM content WHERE sha256 = ?", (version.sha256,))

    def _retire(self, version: AssetVersion, at: str | None) -> None:
        self._db.execute(f"UPDATE version SET retired = ? WHERE {_THIS}", (at, *_key(version)))  # noqa: S608 - ours

    def _count(self, version: AssetVersion, at: str) -> None:
        self._db.execute(
            f"UPDATE version SET uses = uses + 1, used = ? WHERE {_THIS}",  # noqa: S608 - ours
            (at, *_key(version)),
        )

    def versions(
        self, scope: Scope | str | None = None, kind: AssetType | None = None, name: str | None = None
    ) -> Iterator[AssetVersion]:
        """All that fit, page by page."""
        where = None if scope is None else read_scope(scope)
        tests = {
            "level": None if where is None else where.level.value,
            "scope": None if where is None else where.name,
            "type": None if kind is None else kind.value,
            "name": name,
        }
        asked = {column: value for column, value in tests.items() if value is not None}
        fits = "".join(f" AND {column} = ?" for column in asked)
        query = f"SELECT id, {_COLUMNS} FROM version WHERE id > ?{fits} ORDER BY id LIMIT {_PAGE}"  # noqa: S608 - ours
        last = 0
        while True:
            with told(_WHAT):
                rows: list[tuple[Any, ...]] = self._db.execute(query, (last, *asked.values())).fetchall()
            for row in rows:
                yield _version(row)
            if len(rows) < _PAGE:
                return
            last = rows[-1][0]


def _key(one: AssetVersion) -> tuple[str, ...]:
    return one.scope.level.value, one.scope.name, one.type.value, one.name, one.version


def _version(row: tuple[Any, ...]) -> AssetVersion:  # `Any`: columns, which the table holds to their types
    _, level, scope, kind, name, version, digest, size, published, origin, retired, uses, used = row
    return AssetVersion(
        scope=Scope(Level(level), scope),
        type=AssetType(kind),
        name=name,
        version=version,
        sha256=digest,
        size_bytes=size,
        published_at=published,
        promoted_from=origin,
        retired_at=retired,
        uses=uses,
        used_at=used,
    )
