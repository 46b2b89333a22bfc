"""Suppressions that reach further than one finding: all of a detector, or all of a resource, in their project.

What stands in `mute` follows from decisions, and `finding.muted_ms` from both: until when nobody is told of it, in ms.
"""

from __future__ import annotations

from typing import Any, Final

from assent.findings._sqlite import Connection
from assent.findings.triage import Scope, Suppression, Triage, moment
from assent.spec.values.typed import decoder

FOR_GOOD: Final = (1 << 53) - 1
"""Until when something is suppressed that is not to be told of any more, in ms."""
_TRIAGE: Final = decoder(Triage).decode
_RESOURCE: Final = (
    "(SELECT json_extract(CAST(body AS TEXT), '$.resource') FROM seen WHERE seen.n = finding.newest)"
)
# The texts are ours; what is looked for is bound.
_REACHES: Final = (
    "mute.project = finding.project AND ((kind = 'detector' AND value = (SELECT id FROM detector WHERE n = finding.detector))"  # noqa: S608
    f" OR (kind = 'resource' AND value = {_RESOURCE}))"
)
_UPDATE: Final = (
    "UPDATE finding SET muted_ms = max("  # noqa: S608
    "coalesce((SELECT muted_ms FROM triage WHERE triage.id = finding.id), 0),"
    f" coalesce((SELECT max(until_ms) FROM mute WHERE {_REACHES}), 0)) WHERE "
)
_OF: Final = {
    "detector": "project = ? AND detector IN (SELECT n FROM detector WHERE id = ?)",
    "resource": f"project = ? AND {_RESOURCE} = ?",
}


class Mutes:
    """The suppressions of a book, within transactions of its file's."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def are_there(self, project: int) -> bool:
        """Whether any suppression of the project reaches further than its own finding."""
        return self._db.execute("SELECT 1 FROM mute WHERE project = ? LIMIT 1", (project,)).get is not None

    def decided(self, key: bytes, project: int, triage: Triage) -> None:
        """What was decided about a finding is another thing now."""
        db = self._db
        before: Any = db.execute("DELETE FROM mute WHERE id = ? RETURNING kind, value", (key,)).fetchone()
        after = self._reach(key, triage.suppression)
        if after is not None:
            db.execute("INSERT INTO mute VALUES (?, ?, ?, ?, ?)", (key, project, *after, until_of(triage)))
        db.execute(f"{_UPDATE} id = ?", (key,))
        for kind, value in {one for one in (before, after) if one is not None}:
            db.execute(_UPDATE + _OF[kind], (project, value))

    def changed(self, project: int, numbers: str, values: tuple[int, ...] = ()) -> None:
        """A suppression may reach other findings now, or others may be reached: `numbers` is a query that gives theirs."""
        if self.are_there(project):
            self._db.execute(f"{_UPDATE} n IN ({numbers})", values)

    def reaching(self, key: bytes) -> tuple[str, Suppression | None]:
        """The suppression that reaches a finding from another one, and for longest, with that one's id."""
        of = f"SELECT mute.id, triage.body FROM mute JOIN finding ON {_REACHES} JOIN triage ON triage.id = mute.id"  # noqa: S608
        by, body = self._db.execute(f"{of} WHERE finding.id = ? ORDER BY until_ms DESC LIMIT 1", (key,)).get
        digits = by.hex()
        ident = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        return ident, _TRIAGE(body).suppression

    def _reach(self, key: bytes, said: Suppression | None) -> tuple[str, str] | None:
        if said is None or said.scope is Scope.FINDING:
            return None
        what = (
            "(SELECT id FROM detector WHERE n = finding.detector)"
            if said.scope is Scope.DETECTOR
            else _RESOURCE
        )
        value: Any = self._db.execute(f"SELECT {what} FROM finding WHERE id = ?", (key,)).get  # noqa: S608
        return None if value is None else (said.scope.value, value)


def until_of(triage: Triage) -> int:
    """Until when nobody is told of a finding, by what was decided about it itself; 0: they are."""
    if triage.suppression is None:
        return 0
    until = triage.suppression.until
    return FOR_GOOD if until is None else int(moment(until).timestamp() * 1000)
