"""The store of findings follows the ledger: acts that it has, in their order, become what stands in the store.

Theory of operation. The ledger's projection (`area.PROJECTION`) names each entry that says something of findings: an act
that succeeded, one that was taken back, a run whose payloads were erased. `follow` folds those behind the store's mark, each
act with its mark in one transaction, so that a process that is killed leaves whole acts, and the next one goes on. The store
equals what all acts of the ledger as it is now come to: most are folded as they come; one that can't be unfolded (a removal
that is taken back, an erased run) has all be folded anew without it. Nothing else writes the store, so it can be thrown away
at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from assent.capabilities.findings._acts import Decided, Gone, Outdated
from assent.capabilities.findings.area import ACTS, DATASETS, REMOVALS, TRIAGE
from assent.capabilities.findings.ingest import lines_in, said_in
from assent.errors import Json, WorldError
from assent.findings.book import BookFile, Dataset, Looking, Mark, Removal, Writing
from assent.findings.finding import Finding
from assent.findings.project import Resource
from assent.findings.triage import read_change
from assent.journal import PAGE, at_once, rows_at_once
from assent.spec.ids import Commitment
from assent.spec.values.typed import convert, decode
from assent.spec.words.durations import parse_instant_ms

if TYPE_CHECKING:
    from assent.journal import JournalReader

Blob: TypeAlias = "Callable[[str], Iterator[bytes]]"

BOOK: Final = "findings.db"


class Act(msgspec.Struct, frozen=True):
    """A row of the projection, in the order of its columns."""

    seq: int
    what: str
    run: str
    step: str
    capability: str
    at_ms: int
    output: Commitment | None


def follow(journal: JournalReader, blob: Blob, file: BookFile) -> int:
    """Bring a store to where the ledger is, and tell by its entry; -1 where that has no act. `RECORD_CORRUPT`, `FINDING_TOO_NEW`.

    Calling it twice does nothing the second time. `blob` gives the bytes beside the ledger by their digest, checked. One
    process folds at a time; who is up to date waits for nobody.
    """
    fold = _Fold(journal, blob, file)
    since = fold.since()
    if since is not None and not fold.has_more(since):
        return since
    with file.folding():
        since = fold.since()  # Others may have folded while this one waited.
        return fold.anew() if since is None else fold.go(since)


def is_followed(journal: JournalReader, blob: Blob, file: BookFile) -> bool:
    """Whether a store is where the ledger is."""
    fold = _Fold(journal, blob, file)
    since = fold.since()
    return since is not None and not fold.has_more(since)


def _entry(journal: JournalReader, seq: int) -> str | None:
    """What an entry is known by, in this ledger and in no other."""
    found = at_once(journal.leaves(start=seq, limit=1))
    return f"{found[0].stream}/{found[0].n}/{found[0].at_ms}" if found else None


def seq_of(journal: JournalReader, run: str, step: str) -> int | None:
    """The entry by which an act succeeded; None where none says so."""
    where = {"run": run, "step": step, "what": "done"}
    found = at_once(journal.rows("findings_acts", where, limit=1))
    return int(found[0]["seq"] or 0) if found else None


def standing(journal: JournalReader, book: Looking) -> Iterator[str]:
    """The runs of acts that the store needs: all that were not taken back, but imports of which it holds nothing any more."""
    undone: set[tuple[str, str]] = set()
    done: list[Act] = []
    for row in rows_at_once(journal, "findings_acts"):
        act = convert(row, Act)
        if act.what == "undone":
            undone.add((act.run, act.step))
        elif act.what == "done" and act.capability in ACTS:
            done.append(act)
    for act in done:
        if (act.run, act.step) not in undone and (act.capability not in DATASETS or book.holds(act.seq)):
            yield act.run


class _Fold:
    def __init__(self, journal: JournalReader, blob: Blob, file: BookFile) -> None:
        self._journal = journal
        self._blob = blob
        self._file = file
        self._writing = Writing(file)
        self._left_out: frozenset[tuple[str, str]] = frozenset()

    def since(self) -> int | None:
        """The last entry that is folded; -1 for none, and None where the mark is of another ledger, or of one rolled back."""
        with self._file.looking():
            mark = self._writing.mark()
        if mark is None:
            return -1
        return mark.seq if mark.entry == _entry(self._journal, mark.seq) else None

    def has_more(self, since: int) -> bool:
        """Whether there are acts behind an entry."""
        return next(self._acts(since), None) is not None

    def go(self, since: int) -> int:
        """Fold what is behind an entry; the last one then."""
        for act in self._acts(since):
            if self._has_to_begin_anew(act):
                return self.anew()
            self._fold(act)
            since = act.seq
        return since

    def anew(self) -> int:
        """All from the beginning, less the removals taken back by now. One transaction: nobody sees less than there is."""
        with self._file.whole():
            acts = [*self._acts(-1)]
            self._left_out = frozenset(
                (one.run, one.step) for one in acts if one.what == "undone" and one.capability in REMOVALS
            )
            self._writing.clear()
            for act in acts:
                self._put(act)
            if acts:
                self._set_mark(acts[-1])
        return acts[-1].seq if acts else -1

    def _acts(self, since: int) -> Iterator[Act]:
        while True:
            rows = at_once(self._journal.rows("findings_acts", {}, after=(since,), limit=PAGE))
            for row in rows:
                since = int(row["seq"] or 0)
                yield convert(row, Act)
            if len(rows) < PAGE:
                return

    def _has_to_begin_anew(self, act: Act) -> bool:
        if act.what == "erased":
            rows = rows_at_once(self._journal, "findings_acts", {"run": act.run})
            return any(one["what"] == "done" for one in rows)
        return act.what == "undone" and act.capability in REMOVALS

    def _fold(self, act: Act) -> None:
        with self._file.whole():
            self._put(act)
            self._set_mark(act)

    def _set_mark(self, act: Act) -> None:
        self._writing.set_mark(Mark(act.seq, str(_entry(self._journal, act.seq))))

    def _put(self, act: Act) -> None:
        if act.what == "done":
            said = self._said(act.output)
            if said is not None and (act.run, act.step) not in self._left_out:
                self._do(act, said)
        elif act.what == "undone":
            seq = seq_of(self._journal, act.run, act.step)
            if seq is None:
                return  # It never succeeded.
            if act.capability in DATASETS:
                self._writing.take_back(seq)
            elif act.capability == TRIAGE:
                self._writing.take_decision_back(seq)

    def _do(self, act: Act, said: dict[str, Any]) -> None:
        if act.capability in DATASETS:
            self._add(act, said)
        elif act.capability == TRIAGE:
            decided = Decided.model_validate(said)
            changes = [read_change(one) for one in decided.changes]
            self._writing.decide(
                act.seq, decided.project, decided.findings, changes, at=decided.at, by=decided.by
            )
        elif act.capability == "findings.delete_project":
            self._writing.remove_project(Gone.model_validate(said).project)
        elif act.capability == "findings.gc":
            old = Outdated.model_validate(said)
            self._writing.remove_old(
                Removal(
                    project=old.project,
                    datasets_before_ms=parse_instant_ms(old.datasets_before),
                    findings_before_ms=parse_instant_ms(old.findings_before),
                    keep=tuple(old.kept_runs),
                )
            )

    def _add(self, act: Act, said: dict[str, Any]) -> None:
        kept = {name: value for name, value in said.items() if name not in ("project", "project_name")}
        dataset = Dataset(
            seq=act.seq,
            run=act.run,
            step=act.step,
            at_ms=act.at_ms,
            project=said["project"],
            name=said["project_name"],
            said=kept,
        )
        self._writing.add(dataset, self._records(said["normalised"]["blob"]))

    def _records(self, blob: str) -> Iterator[Finding | Resource]:
        for line in lines_in(self._blob(blob)):
            try:
                one = said_in(line)
            except ValueError as error:
                raise WorldError(
                    "RECORD_CORRUPT", f"the dataset `{blob}` has a line that is none: {error}"
                ) from None
            if one is not None:
                yield one

    def _said(self, output: Commitment | None) -> dict[str, Any] | None:
        """What an act said; None where it was erased."""
        body = None if output is None else at_once(self._journal.payload(output))
        found: Json = None if body is None else decode(body)
        return found if isinstance(found, dict) else None
