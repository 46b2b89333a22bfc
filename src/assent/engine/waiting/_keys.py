"""Concurrency keys: which runs have one, and the line of those that want it. Nothing here waits or does I/O.

Theory of operation. A run has its key from before its first step until it has settled, and again while it is undone. It asks for
it before anything of it begins, and before it asks for a place among the runs at work (`_starts.py`): who waits for a key keeps
no place, and nobody who has a key waits for another one, so nobody waits in a circle. Where runs of one key say different
limits, the smallest of those that have it counts. Nobody is overtaken: while somebody waits, a free key goes to the next in line.

The journal says who has a key (rows `@turn` of `waits`). A key is learned from there when it is first asked for, with the runs
of earlier owners; from then on this knows of every change, because only this process drives runs. It is forgotten when nobody has
it or waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Self

import msgspec

from assent.engine.waiting._lines import Lines, Rank
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId
from assent.spec.states import OnBusy

CANCELLING: Final = (OnBusy.CANCEL_WAITING, OnBusy.CANCEL_RUNNING)


class Claim(msgspec.Struct, frozen=True):
    """A run's wish for a key. `key` stands for `text`, what the workflow made of its inputs; None where nobody needs that."""

    key: str
    limit: int
    on_busy: OnBusy
    text: str | None = None

    @classmethod
    def of(cls, created: ev.RunCreated) -> Self | None:
        """The wish that is on record; None for a run without one, or whose wish was denied."""
        if created.concurrency_key is None or created.key_denial is not None:
            return None
        return cls(created.concurrency_key, created.concurrency_limit, created.on_busy)


class _Key(msgspec.Struct):
    holders: dict[RunId, int]
    line: Lines[RunId] = msgspec.field(default_factory=Lines)


class Keys:
    """All keys that runs of this process have or want."""

    def __init__(self) -> None:
        self._known: dict[str, _Key] = {}
        self._held: dict[RunId, str] = {}
        self._wanted: dict[RunId, tuple[Claim, Rank]] = {}

    def knows(self, key: str) -> bool:
        """Whether the key was learned."""
        return key in self._known

    def learn(self, key: str, holders: Mapping[RunId, int]) -> None:
        """Which runs have the key by the journal, each with its limit; once, before any of them is driven here."""
        self._known[key] = _Key(dict(holders))
        self._held.update(dict.fromkeys(holders, key))

    def take(self, run: RunId, claim: Claim) -> bool:
        """Have the key, if it may be had now. A key has to be known."""
        if self._held.get(run) == claim.key:
            return True
        if not self.is_free(claim):
            return False
        self._give(run, claim)
        return True

    def is_free(self, claim: Claim) -> bool:
        """Whether a run may have a known key now: nobody waits for it, and there is room for one more."""
        known = self._known[claim.key]
        return not known.line and has_room(known.holders, claim.limit)

    def wait(self, run: RunId, claim: Claim, rank: Rank) -> bool:
        """Stand in line for a key that could not be taken; whether it has it by that.

        It may stand before all others who wait, and need less room than the one who was the first of them.
        """
        if run not in self._wanted:
            self._wanted[run] = claim, rank
            known = self._known[claim.key]
            known.line.add(rank, run)
            if known.line.first == run:
                self._give_next(known)
        return self.has(run)

    def leave(self, run: RunId) -> Sequence[RunId]:
        """Neither have a key nor wait for one, if it did; the runs that have got it by that."""
        claim, rank = self._wanted.pop(run, (None, None))
        key = self._held.pop(run, None)
        if claim is not None and rank is not None:
            key = claim.key
            self._known[key].line.remove(rank, run)
        if key is None:
            return ()
        known = self._known[key]
        known.holders.pop(run, None)
        given = []
        while known.line and (following := self._give_next(known)) is not None:
            given.append(following)
        if not known.holders and not known.line:
            del self._known[key]
        return given

    def has(self, run: RunId) -> bool:
        """Whether the run has its key."""
        return run in self._held

    def is_wanted_by(self, run: RunId) -> bool:
        """Whether the run waits for its key."""
        return run in self._wanted

    def holders(self, key: str) -> Sequence[RunId]:
        """The runs that have a known key, who had it first before the others."""
        return tuple(self._known[key].holders)

    def before(self, run: RunId) -> Sequence[RunId]:
        """The runs that have the key that a run waits for."""
        return self.holders(self._wanted[run][0].key)

    def behind(self, run: RunId) -> Sequence[RunId]:
        """The runs that wait for the key that a run has, if it has one."""
        key = self._held.get(run)
        return () if key is None else tuple(self._known[key].line)

    def _give_next(self, known: _Key) -> RunId | None:
        """Give the key to the first in line; the run, where there is room for it."""
        following = known.line.first
        wanted = self._wanted[following][0]
        if not has_room(known.holders, wanted.limit):
            return None
        known.line.next()
        del self._wanted[following]
        self._give(following, wanted)
        return following

    def _give(self, run: RunId, claim: Claim) -> None:
        self._known[claim.key].holders[run] = claim.limit
        self._held[run] = claim.key


def has_room(holders: Mapping[RunId, int], limit: int) -> bool:
    """Whether one more run may have a key that these have, each with its limit."""
    return len(holders) < min([limit, *holders.values()])
