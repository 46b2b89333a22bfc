"""A book of findings: what each dataset brought, and what was decided, folded one act after the other.

Theory of operation. Acts come in the ledger's order, each under the number of its entry, and what stands here follows from them
alone: whoever folds the same acts again has the same book. A finding is kept once, and what each dataset said of it beside it
(`seen`), so that a dataset that is taken back leaves what others said. Which findings a dataset has is a set of bits, by their
numbers here: two runs are compared by three operations on long integers. What was decided is kept by the finding's id, which is
its fingerprint's in its project, so that it outlives the finding. Removing by age, and removing a project, can't be undone here:
whoever takes one of those back folds anew without it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Final

import msgspec

from assent.errors import InputError, Json
from assent.findings.book._bits import has_bit, numbers_in, set_bit
from assent.findings.book._called import Called, digest_of, place_of, text_of
from assent.findings.book._file import BookFile
from assent.findings.book._mutes import Mutes, until_of
from assent.findings.book._removal import Removal
from assent.findings.book._resources import Resources
from assent.findings.finding import Finding
from assent.findings.merging import RANK, merged
from assent.findings.project import Resource
from assent.findings.triage import ACTIVE, Change, Triage, changed, moment
from assent.spec.values.typed import decode, decoder

_REMEMBERED_MAX: Final = 10_000
"""How many detectors are remembered by their numbers at a time."""
# What is touched, by what is still said of it: gone where nothing is, and else as its newest dataset has it, no more seen at
# the moment of the one that was taken back; what saw it before that may have been removed by age. Rank and detector are
# in indexes, and so written only where they are others.
_LOOK_AGAIN: Final = """
DELETE FROM finding WHERE n IN (SELECT n FROM touched) AND NOT EXISTS (SELECT 1 FROM seen WHERE finding = finding.n);
UPDATE finding SET
    newest = (SELECT seen.n FROM seen WHERE finding = finding.n ORDER BY dataset DESC LIMIT 1),
    first_ms = CASE WHEN first_ms < :without THEN first_ms
        ELSE (SELECT min(at_ms) FROM seen WHERE finding = finding.n) END,
    last_ms = (SELECT max(at_ms) FROM seen WHERE finding = finding.n)
    WHERE n IN (SELECT n FROM touched);
UPDATE finding SET rank = seen.rank, detector = seen.detector, called = seen.called FROM seen
    WHERE finding.n IN (SELECT n FROM touched) AND seen.n = newest
    AND (finding.rank <> seen.rank OR finding.detector <> seen.detector OR finding.called <> seen.called);
"""
# What is touched and will be called otherwise, or go: as it is, and as it will be.
_CALLED_OTHERWISE: Final = """
SELECT project, finding.n, finding.rank, now.body, older.rank, older.body FROM touched JOIN finding USING (n)
    JOIN seen AS now ON now.n = newest AND now.dataset = :seq
    LEFT JOIN seen AS older ON older.n = (
        SELECT n FROM seen WHERE finding = finding.n AND dataset <> :seq ORDER BY dataset DESC LIMIT 1)
    WHERE older.called IS NOT finding.called OR older.rank <> finding.rank
"""
_DECODE: Final = decoder(Finding).decode
_TRIAGE: Final = decoder(Triage).decode


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """What one import or scan brought: the entry that tells of it, the step that did it, and what it said."""

    seq: int
    run: str
    step: str
    at_ms: int
    project: str
    """A UUID."""
    name: str | None
    """The project's name, where it was given one."""
    said: Mapping[str, Json]


class Mark(msgspec.Struct, frozen=True):
    """How far a book has been folded: the last entry that was looked at, and what it is known by."""

    seq: Annotated[int, msgspec.Meta(ge=0)]
    entry: str


class Writing:
    """The acts, each within a transaction of the file's (`BookFile.whole`)."""

    def __init__(self, file: BookFile) -> None:
        self._file = file
        self._db = file.db
        self._detectors: dict[tuple[str, str], int] = {}
        self._mutes = Mutes(file.db)
        self._resources = Resources(file.db)

    def mark(self) -> Mark | None:
        """How far the book has been folded; None at its beginning."""
        found = self._db.execute("SELECT value FROM mark WHERE name = 'folded'").get
        return None if found is None else decode(found, Mark)

    def set_mark(self, mark: Mark) -> None:
        """It was folded so far."""
        self._db.execute(
            "INSERT OR REPLACE INTO mark VALUES ('folded', ?)", (msgspec.json.encode(mark).decode(),)
        )

    def add(self, dataset: Dataset, records: Iterable[Finding | Resource]) -> tuple[int, int]:
        """Add what a dataset brought: how many findings are new to the project, and how many it knew."""
        db = self._db
        project = self._project(dataset)
        is_decided = db.execute("SELECT 1 FROM triage WHERE project = ? LIMIT 1", (project,)).get is not None
        number = int(db.execute("SELECT value FROM mark WHERE name = 'findings'").get or 0)
        first = int(db.execute("SELECT max(n) FROM seen").get or 0) + 1
        row = first - 1
        bits, again, new, at = bytearray(), bytearray(), 0, dataset.at_ms
        index = Called(db)
        for one in records:
            if isinstance(one, Resource):
                self._resources.add(project, dataset.seq, at, one)
                continue
            key, rank, detector = key_of(one.id), RANK[one.severity], self._detector(one)
            text = text_of(one)
            called = digest_of(text)
            found: Any = db.execute(
                "SELECT n, rank, detector, called, newest FROM finding WHERE id = ?", (key,)
            ).get
            there, *now, newest = found or (0, 0)
            row += 1
            if there and has_bit(bits, there):
                set_bit(again, there)
            elif not there:
                new += 1
                there = number = number + 1
                closed, muted = self._decided(key) if is_decided else (0, 0)
                made = (there, project, key, rank, detector, closed, muted, at, at, row, called)
                db.execute("INSERT INTO finding VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", made)
                index.add(place_of(project, rank, there), text)
            else:
                db.execute(
                    "UPDATE finding SET newest = ?, first_ms = min(first_ms, ?), last_ms = max(last_ms, ?) WHERE n = ?",
                    (row, at, at, there),
                )
                # SQLite writes an index anew for what an update names, also where it is the same: most that is known is.
                if now != [rank, detector, called]:
                    db.execute(
                        "UPDATE finding SET rank = ?, detector = ?, called = ? WHERE n = ?",
                        (rank, detector, called, there),
                    )
                if now[0] != rank or now[-1] != called:
                    before: Any = db.execute("SELECT body FROM seen WHERE n = ?", (newest,)).get
                    index.remove(place_of(project, now[0], there), before)
                    index.add(place_of(project, rank, there), text)
            seen = (row, there, dataset.seq, at, rank, detector, called, one.to_json())
            db.execute("INSERT INTO seen VALUES (?, ?, ?, ?, ?, ?, ?, ?)", seen)
            set_bit(bits, there)
        for each in numbers_in(int.from_bytes(again, "little")):
            self._join(index, project, each, dataset.seq)
        index.write()
        known = int.from_bytes(bits, "little").bit_count() - new
        said = msgspec.json.encode(dataset.said)
        kept = (
            dataset.seq,
            project,
            dataset.run,
            dataset.step,
            at,
            said,
            new,
            known,
            bytes(bits),
            first,
            row,
        )
        db.execute("INSERT INTO dataset VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", kept)
        mine = "SELECT finding FROM seen WHERE n BETWEEN ? AND ? AND dataset = ?"
        self._mutes.changed(project, mine, (first, row, dataset.seq))
        # A number is never given twice: sets of bits go on meaning what they meant.
        db.execute("INSERT OR REPLACE INTO mark VALUES ('findings', ?)", (str(number),))
        return new, known

    def take_back(self, seq: int) -> None:
        """Take a dataset back: what others said of its findings stays, and what nobody else said goes."""
        db = self._db
        dataset = "SELECT project, first, last, at_ms FROM dataset WHERE seq = ?"
        row: Any = db.execute(dataset, (seq,)).fetchone()
        if row is None:  # Removed by age; what it was the last to say may be here yet.
            left = (
                "SELECT project, min(seen.n), max(seen.n), max(at_ms) FROM seen JOIN finding ON finding.n = finding"
                " WHERE dataset = ?"
            )
            row = db.execute(left, (seq,)).fetchone()
        project, first, last, at_ms = row
        if first is not None:
            values = (first, last, seq)
            db.execute("CREATE TEMP TABLE touched (n INTEGER PRIMARY KEY)")
            db.execute(
                "INSERT INTO touched SELECT finding FROM seen WHERE n BETWEEN ? AND ? AND dataset = ?", values
            )
            Called(db).change(db.execute(_CALLED_OTHERWISE, {"seq": seq}))
            db.execute("DELETE FROM seen WHERE n BETWEEN ? AND ? AND dataset = ?", values)
            db.execute(_LOOK_AGAIN, {"without": at_ms})
            self._mutes.changed(project, "SELECT n FROM touched")
            db.execute("DROP TABLE touched")
        db.execute("DELETE FROM dataset WHERE seq = ?", (seq,))
        self._resources.take_back(seq)
        self._remove_if_empty(project)

    def _remove_if_empty(self, project: int | None) -> None:
        """A project that came with what was taken back goes with it."""
        held = ("dataset", "finding", "triage", "resource")
        tests = " ".join(f"AND NOT EXISTS (SELECT 1 FROM {table} WHERE project = ?1)" for table in held)  # noqa: S608 - as below
        self._db.execute(f"DELETE FROM project WHERE n = ?1 {tests}", (project,))  # noqa: S608 - our own names

    def decide(
        self, seq: int, project: str, ids: Iterable[str], changes: Iterable[Change], *, at: str, by: str
    ) -> None:
        """Change what is decided about findings, whether they are here or not."""
        # The import that brought the project may be erased by now: what was decided is not.
        self._db.execute(
            "INSERT INTO project (id, since_ms) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (project, int(moment(at).timestamp() * 1000)),
        )
        number: Any = self._db.execute("SELECT n FROM project WHERE id = ?", (project,)).get
        todo = tuple(changes)
        for one in ids:
            key = key_of(one)
            before = self._db.execute("SELECT body FROM triage WHERE id = ?", (key,)).get
            stood = Triage() if before is None else _TRIAGE(before)
            try:
                after = changed(stood, *todo, at=at, by=by)
            except InputError:
                # Full by what others recorded meanwhile: this one is left as it was, and the ledger is still folded.
                continue
            body = msgspec.json.encode(after)
            self._db.execute("INSERT OR REPLACE INTO change VALUES (?, ?, ?, ?)", (seq, key, before, body))
            self._put(key, number, body, after)

    def take_decision_back(self, seq: int) -> None:
        """Put back what was decided before, where nobody decided otherwise since."""
        changes = "SELECT id, before, after FROM change WHERE seq = ?"
        rows: list[Any] = self._db.execute(changes, (seq,)).fetchall()  # `Any`: as the schema says
        projects: set[int] = set()
        for key, before, after in rows:
            row: Any = self._db.execute("SELECT project, body FROM triage WHERE id = ?", (key,)).get
            if row is not None and row[1] == after:
                self._put(key, row[0], before, Triage() if before is None else _TRIAGE(before))
                projects.add(row[0])
        self._db.execute("DELETE FROM change WHERE seq = ?", (seq,))
        for project in projects:
            self._remove_if_empty(project)

    def stands(self, seq: int, *, without: Collection[int] = ()) -> bool:
        """Whether what an act decided is what is decided now; `without` other acts, as if they had been taken back."""
        other = "SELECT id, after, body FROM change LEFT JOIN triage USING (id) WHERE seq = ? AND body IS NOT after"
        one = "SELECT before FROM change WHERE seq = ? AND id = ? AND after = ?"
        for key, after, body in self._db.execute(other, (seq,)):
            now = body
            for act in sorted(without, reverse=True):
                found = self._db.execute(one, (act, key, now)).fetchone()
                if found is not None:
                    (now,) = found
            if now != after:
                return False
        return True

    def remove_project(self, project: str) -> None:
        """Remove all that is kept of a project."""
        number = self._db.execute("SELECT n FROM project WHERE id = ?", (project,)).get
        if number is None:
            return
        self._resources.remove_project(number)
        gone = (
            "SELECT project, finding.n, finding.rank, body, NULL, NULL FROM finding JOIN seen ON seen.n = newest"
            " WHERE project = ?"
        )
        Called(self._db).change(self._db.execute(gone, (number,)))
        self._db.execute(
            "DELETE FROM change WHERE id IN (SELECT id FROM triage WHERE project = ?)", (number,)
        )
        self._db.execute(
            "DELETE FROM seen WHERE finding IN (SELECT n FROM finding WHERE project = ?)", (number,)
        )
        for table, column in (
            ("finding", "project"),
            ("dataset", "project"),
            ("triage", "project"),
            ("mute", "project"),
            ("project", "n"),
        ):
            self._db.execute(f"DELETE FROM {table} WHERE {column} = ?", (number,))  # noqa: S608 - our own names

    def remove_old(self, removal: Removal) -> None:
        """Remove datasets and findings by their age; what is being worked on stays (see `Removal`)."""
        removal.carry_out(self._db)

    def _project(self, dataset: Dataset) -> int:
        db = self._db
        db.execute(
            "INSERT INTO project (id, name, since_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (dataset.project, dataset.name, dataset.at_ms),
        )
        number, name = db.execute("SELECT n, name FROM project WHERE id = ?", (dataset.project,)).get
        if name is None and dataset.name is not None:
            db.execute("UPDATE project SET name = ? WHERE n = ?", (dataset.name, number))
        return int(number)

    def _detector(self, finding: Finding) -> int:
        name = (finding.detector_id, finding.provenance.tool if finding.provenance else "")
        found = self._detectors.get(name)
        if found is None:
            self._db.execute("INSERT INTO detector (id, tool) VALUES (?, ?) ON CONFLICT DO NOTHING", name)
            found = int(self._db.execute("SELECT n FROM detector WHERE id = ? AND tool = ?", name).get)
            if len(self._detectors) >= _REMEMBERED_MAX:
                self._detectors.clear()
            self._detectors[name] = found
        return found

    def clear(self) -> None:
        """Empty the book, and what is remembered of it; within a transaction."""
        self._file.clear()
        self._detectors.clear()

    def _join(self, index: Called, project: int, finding: int, dataset: int) -> None:
        """Make one row of all that a dataset says of a finding. Behind all of its records, so that each is read once."""
        where = "finding = ? AND dataset = ?"
        rows: Any = self._db.execute(  # `Any`: as the schema says
            f"SELECT n, body FROM seen WHERE {where} ORDER BY n",  # noqa: S608 - our own words
            (finding, dataset),
        )
        n, body = next(rows)
        first = _DECODE(body)
        both = merged(first, (_DECODE(other) for _, other in rows))
        rank = RANK[both.severity]
        self._db.execute(f"DELETE FROM seen WHERE {where} AND n > ?", (finding, dataset, n))  # noqa: S608 - as above
        self._db.execute("UPDATE seen SET rank = ?, body = ? WHERE n = ?", (rank, both.to_json(), n))
        if rank != (before := RANK[first.severity]):
            self._db.execute("UPDATE finding SET rank = ? WHERE n = ?", (rank, finding))
            index.remove(place_of(project, before, finding), body)
            index.add(place_of(project, rank, finding), text_of(both))

    def _decided(self, key: bytes) -> tuple[int, int]:
        body = self._db.execute("SELECT body FROM triage WHERE id = ?", (key,)).get
        triage = Triage() if body is None else _TRIAGE(body)
        return int(triage.status not in ACTIVE), until_of(triage)

    def _put(self, key: bytes, project: int, body: bytes | None, triage: Triage) -> None:
        if body is None:
            self._db.execute("DELETE FROM triage WHERE id = ?", (key,))
        else:
            kept = (key, project, until_of(triage), body)
            self._db.execute("INSERT OR REPLACE INTO triage VALUES (?, ?, ?, ?)", kept)
        closed = int(triage.status not in ACTIVE)
        self._db.execute("UPDATE finding SET closed = ? WHERE id = ? AND closed <> ?", (closed, key, closed))
        self._mutes.decided(key, project, triage)


def key_of(finding_id: str) -> bytes:
    """What a finding is looked for by; of what is no id, nothing that any has."""
    try:
        return bytes.fromhex(finding_id.replace("-", ""))
    except ValueError:
        return b""
