"""Removing by age: which datasets and findings of a book are old, and what stays all the same."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from assent.findings.book._bits import set_bit
from assent.findings.book._called import Called
from assent.findings.book._resources import Resources
from assent.findings.triage import ACTIVE, Triage
from assent.spec.values.typed import decoder

_TRIAGE: Final = decoder(Triage).decode


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What removing by age removed, or would: datasets, and findings."""

    datasets: int
    findings: int


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """What is old: datasets from before a moment, findings not seen since another.

    A finding stays that somebody has begun to work on (it is decided about, and active), and so does what a run of `keep`
    brought. What the last dataset said of a finding stays with it.
    """

    project: str
    datasets_before_ms: int
    findings_before_ms: int
    keep: tuple[str, ...] = ()
    """Runs that have not ended."""

    def count(self, db: Any) -> Removed:  # `Any`: a connection of apsw
        """What it would remove."""
        return Removed(datasets=len(self._datasets(db)), findings=len(self._findings(db)))

    def carry_out(self, db: Any) -> None:  # `Any`: as above
        """Remove it, within a transaction."""
        findings, datasets = self._findings(db), self._datasets(db)
        gone = bytearray()
        for finding in findings:
            set_bit(gone, finding)
        those = (
            "SELECT project, finding.n, finding.rank, body, NULL, NULL FROM finding JOIN seen ON seen.n = newest"
            " WHERE finding.n = ?"
        )
        Called(db).change(db.executemany(those, ((one,) for one in findings)))
        db.executemany("DELETE FROM seen WHERE finding = ?", ((one,) for one in findings))
        db.executemany("DELETE FROM finding WHERE n = ?", ((one,) for one in findings))
        # INVARIANT: a dataset's bits are numbers of findings that are kept.
        left = ~int.from_bytes(gone, "little")
        for seq, data in db.execute("SELECT seq, bits FROM dataset").fetchall() if findings else ():
            bits = int.from_bytes(data, "little") & left
            db.execute("UPDATE dataset SET bits = ? WHERE seq = ?", (bits.to_bytes(len(data), "little"), seq))
        for seq in datasets:
            db.execute(
                "DELETE FROM seen WHERE dataset = ?1 AND n BETWEEN (SELECT first FROM dataset WHERE seq = ?1)"
                " AND (SELECT last FROM dataset WHERE seq = ?1)"
                " AND n <> (SELECT newest FROM finding WHERE finding.n = seen.finding)",
                (seq,),
            )
            db.execute("DELETE FROM dataset WHERE seq = ?", (seq,))
        Resources(db).remove_old(self._number(db), self.findings_before_ms, datasets, self.keep)

    def _datasets(self, db: Any) -> list[int]:
        rows = db.execute(
            "SELECT seq, run FROM dataset WHERE at_ms < ? AND project = ?",
            (self.datasets_before_ms, self._number(db)),
        )
        return [seq for seq, run in rows if run not in self.keep]

    def _findings(self, db: Any) -> list[int]:
        rows = db.execute(
            "SELECT finding.n, triage.body, dataset.run FROM finding LEFT JOIN triage USING (id)"
            " LEFT JOIN seen ON seen.n = newest LEFT JOIN dataset ON dataset.seq = seen.dataset"
            " WHERE last_ms < ? AND finding.project = ?",
            (self.findings_before_ms, self._number(db)),
        )
        return [
            n
            for n, body, run in rows
            if run not in self.keep and (body is None or _TRIAGE(body).status not in ACTIVE)
        ]

    def _number(self, db: Any) -> int:
        number: int | None = db.execute("SELECT n FROM project WHERE id = ?", (self.project,)).get
        return -1 if number is None else number
