"""The ledger read entry by entry, for an auditor: who did what with which inputs, and who approved it; also as it grows."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from operator import attrgetter
from typing import Final, NamedTuple

from msgspec.structs import replace

from assent import engine
from assent import journal as ledgers
from assent.errors import AssentError, Json
from assent.journal import at_once, leaves_at_once
from assent.runtime._find_run import find_run
from assent.runtime._ledger import LedgerReader, each_of_no_run
from assent.runtime.service._told_steps import answered, reason_of, who_decided
from assent.spec.events import kinds as ev
from assent.spec.targets import inputs_line
from assent.spec.words.durations import instant

_SAID: Final = (ev.ApprovalGranted, ev.ApprovalRejected, ev.ApprovalVoided, ev.ApprovalRefused)
APPROVALS: Final = frozenset(kind for kind, event in ev.EVENT_TYPES.items() if issubclass(event, _SAID))
"""The kinds of events that say what became of a question."""

_APPROVAL: Final = b'"kind":"approval.'


NEAR: Final = 2_000
NEAR_EACH: Final = 20
"""Entries at the end of the ledger among which the newest lines are looked for first: so many, and so many for each line."""


class View(NamedTuple):
    """Which lines are told, and how."""

    told: Callable[[LedgerReader, ledgers.LogLine], dict[str, Json]]
    keeps: Callable[[ledgers.LogLine], bool]


class Log:
    """The entries that pass a filter, oldest first; each call of `more` gives those that came since the one before.

    `RUN_UNKNOWN`, `RUN_AMBIGUOUS`: a run is named as for `show`.
    """

    def __init__(self, journal: LedgerReader, wanted: ledgers.EventFilter) -> None:
        if wanted.run is not None:
            wanted = replace(wanted, run=at_once(find_run(journal, wanted.run)))
        self._journal = journal
        self._wanted = wanted
        self._log = ledgers.AuditLog(wanted)
        self._size = 0

    def more(self, view: View, limit: int | None = None) -> Iterator[dict[str, Json]]:
        """The next lines that the view keeps, as it tells them; at first the newest `limit` of them."""
        start, self._size = self._size, at_once(self._journal.head()).size
        for line in self._lines(view, start) if start or limit is None else self._newest(view, limit):
            yield view.told(self._journal, line)

    def _newest(self, view: View, limit: int) -> Iterable[ledgers.LogLine]:
        """The newest lines: from the end of the ledger where enough of them stand there, else from all of it."""
        limit = min(limit, sys.maxsize)  # A caller may say any number.
        is_filtered = self._wanted != ledgers.EventFilter()
        start = max(0, self._size - (NEAR + NEAR_EACH * limit if is_filtered else limit))
        if start and self._reads_all:
            found = deque(self._lines(view, start), maxlen=limit)
            if len(found) == limit:
                return found
            self._log = ledgers.AuditLog(self._wanted)
        return deque(self._lines(view, 0), maxlen=limit)

    def _lines(self, view: View, start: int) -> Iterator[ledgers.LogLine]:
        """The lines of the entries from `start` on that the view keeps."""
        if start:
            # What they leave unsaid their runs said before, and no other ones.
            for run in self._log.unheard(leaves_at_once(self._journal, start=start)):
                before = (leaf for leaf in self._journal.run_leaves(run) if leaf.seq < start)
                deque(self._log.lines(before), maxlen=0)
        leaves = (leaf for leaf in self._leaves(start) if leaf.seq < self._size)
        return (line for line in self._log.lines(leaves) if view.keeps(line))

    @property
    def _reads_all(self) -> bool:
        """No index leads to what is wanted."""
        return self._wanted.run is None and not (self._wanted.kinds and self._wanted.kinds <= APPROVALS)

    def _leaves(self, start: int) -> Iterable[ev.Leaf]:
        journal, run = self._journal, self._wanted.run
        if start:
            return leaves_at_once(journal, start=start)
        if run is not None:
            # Its own entries, and those of no run, which tell of its deliveries and of who was refused.
            return merge(journal.run_leaves(run), each_of_no_run(journal), key=attrgetter("seq"))
        if not self._reads_all:
            return journal.leaves_with((_APPROVAL, _APPROVAL))
        return leaves_at_once(journal)


def entries() -> View:
    """Every entry, as `answers.LogLine` has it."""
    return View(_told_entry, lambda _line: True)


def decisions(decision: str | None) -> View:
    """What became of questions, as `answers.ApprovalLine` has it; of the wanted kind alone."""

    def keeps(line: ledgers.LogLine) -> bool:
        event = line.leaf.event
        return isinstance(event, _SAID) and decision in (None, answered(event))

    return View(_told_decision, keeps)


def _told_entry(journal: LedgerReader, line: ledgers.LogLine) -> dict[str, Json]:
    return {**line.to_json(), "inputs_line": _inputs_line(journal, line)}


def _told_decision(journal: LedgerReader, line: ledgers.LogLine) -> dict[str, Json]:
    leaf, event, asked = line.leaf, line.leaf.event, line.asked
    assert isinstance(event, _SAID)  # INVARIANT: no other kinds were asked for
    who = who_decided(event)
    return {
        "seq": leaf.seq,
        "at": instant(leaf.at_ms),
        "at_ms": leaf.at_ms,
        "run_id": event.source if isinstance(event, ev.ApprovalRefused) else leaf.run,
        "step": event.step,
        "decision": answered(event),
        "principal": who.pop("by"),
        **who,
        "code": getattr(event, "code", None),
        "reason": reason_of(journal, event),
        "count": event.count if isinstance(event, ev.ApprovalRefused) else 1,
        "digest": getattr(event, "digest", None),
        "capability": line.capability,
        "version": None if asked is None else asked.version,
        "risk_level": None if asked is None else asked.risk,
        "rule": None if asked is None else asked.rule,
        "policy": line.policy,
        "requester": None if asked is None else asked.requester,
        "inputs_line": _inputs_line(journal, line),
    }


def _inputs_line(journal: LedgerReader, line: ledgers.LogLine) -> str | None:
    """The inputs on one line; None where there are none, they were erased, or are not as they were recorded."""
    try:
        inputs = at_once(engine.load_json(journal, line.inputs or line.context))
    except AssentError:
        return None  # `show` and `verify` tell what is wrong; the entry itself is listed all the same
    if line.inputs is None:
        inputs = inputs.get("inputs") if isinstance(inputs, dict) else None
    return None if inputs is None else inputs_line(inputs)
