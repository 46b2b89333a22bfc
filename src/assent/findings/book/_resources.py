"""Resources in a book: what tools discovered, kept as findings are, once each, with what every dataset said of it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from assent.findings._sqlite import Connection
from assent.findings.project import Resource
from assent.spec.values.typed import decoder

_DECODE: Final = decoder(Resource).decode


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A resource, when it was seen first and last, in ms, and the entry of the dataset that spoke of it last."""

    resource: Resource
    first_ms: int
    last_ms: int
    dataset: int


class Resources:
    """The resources of a book, within transactions of its file's."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def add(self, project: int, seq: int, at_ms: int, resource: Resource) -> None:
        """What a dataset discovered; what it says of the same thing a second time is not kept."""
        db, key = self._db, bytes.fromhex(resource.resource_id.replace("-", ""))
        db.execute(
            "INSERT INTO resource (project, id, kind, first_ms, last_ms, newest) VALUES (?, ?, ?, ?, ?, 0)"
            " ON CONFLICT DO NOTHING",
            (project, key, resource.type, at_ms, at_ms),
        )
        number = db.execute("SELECT n FROM resource WHERE id = ?", (key,)).get
        db.execute(
            "INSERT INTO place (resource, dataset, at_ms, body) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (number, seq, at_ms, msgspec.json.encode(resource)),
        )
        if db.changes():
            db.execute(
                "UPDATE resource SET newest = ?, first_ms = min(first_ms, ?), last_ms = max(last_ms, ?) WHERE n = ?",
                (db.last_insert_rowid(), at_ms, at_ms, number),
            )

    def take_back(self, seq: int) -> None:
        """Without what a dataset discovered, whose own row is gone: what others discovered as well stays."""
        db = self._db
        touched = [
            n
            for (n,) in db.execute(
                "DELETE FROM place WHERE dataset = ? RETURNING resource", (seq,)
            ).fetchall()
        ]
        for number in touched:
            times = "SELECT max(n), min(at_ms), max(at_ms) FROM place WHERE resource = ?"
            row: Any = db.execute(times, (number,)).get  # `Any`: the columns' types are the schema's
            if row[0] is None:
                db.execute("DELETE FROM resource WHERE n = ?", (number,))
            else:
                db.execute(
                    "UPDATE resource SET newest = ?, first_ms = ?, last_ms = ? WHERE n = ?",
                    (*row, number),
                )

    def remove_project(self, project: int) -> None:
        """Remove all of a project."""
        self._db.execute(
            "DELETE FROM place WHERE resource IN (SELECT n FROM resource WHERE project = ?)", (project,)
        )
        self._db.execute("DELETE FROM resource WHERE project = ?", (project,))

    def remove_old(self, project: int, before_ms: int, datasets: list[int], keep: tuple[str, ...]) -> None:
        """Remove what was not seen since a moment, but by runs of `keep`, and of these datasets what others said later."""
        db = self._db
        rows: Any = db.execute(  # `Any`: as above
            "SELECT resource.n, run FROM resource JOIN place ON place.n = newest LEFT JOIN dataset ON seq = dataset"
            " WHERE last_ms < ? AND resource.project = ?",
            (before_ms, project),
        ).fetchall()
        for number, run in rows:
            if run not in keep:
                db.execute("DELETE FROM place WHERE resource = ?", (number,))
                db.execute("DELETE FROM resource WHERE n = ?", (number,))
        for seq in datasets:
            db.execute(
                "DELETE FROM place WHERE dataset = ? AND n NOT IN (SELECT newest FROM resource)", (seq,)
            )

    def page(self, project: int, kind: str | None, after: int, limit: int) -> list[tuple[int, Found]]:
        """Some of them with their numbers, in the order in which they came."""
        rows: Any = self._db.execute(  # `Any`: as above
            "SELECT resource.n, body, first_ms, last_ms, dataset FROM resource JOIN place ON place.n = newest"
            " WHERE project = ? AND resource.n > ? AND (? IS NULL OR kind = ?) ORDER BY resource.n LIMIT ?",
            (project, after, kind, kind, limit),
        )
        return [
            (n, Found(resource=_DECODE(body), first_ms=first, last_ms=last, dataset=seq))
            for n, body, first, last, seq in rows
        ]
