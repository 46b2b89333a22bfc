"""What a policy lets pass within a time: which limits a question is held against, what it takes of each, and whether one is past.

Nothing is counted here. What calls have used of a limit is handed in with the question (`PolicyContext.counts`) and recorded with
it, so that the answer can be explained and replayed without a clock. A limit of which no count is handed in is not asked: a
rollback is never held up by one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import msgspec

from assent.policy._context import PolicyContext
from assent.policy._index import Index
from assent.spec.decision import Decision, PolicyDecision
from assent.spec.policy import Limit, Measure
from assent.spec.values.frozen import thaw
from assent.spec.words.durations import instant, write_duration
from assent.spec.words.globs import glob_matches
from assent.spec.words.sizes import count_text, size_text

REACHED: Final = "LIMIT_REACHED"
"""The code of a denial because a limit is past."""

SENDS: Final = "sends_external"
"""The label of capabilities whose calls send something out."""

_NEVER: Final = 1 << 63


class Limits:
    """The limits of a policy, ready to be asked."""

    def __init__(self, limits: Sequence[Limit]) -> None:
        self._limits = tuple(limits)
        self._index = Index([(limit.when, limit.unless) for limit in limits])

    def on(self, context: PolicyContext) -> tuple[Limit, ...]:
        """Those that a question is held against, in file order."""
        bits = self._index.candidates(context)
        return tuple(
            limit
            for i, limit in enumerate(self._limits)
            if bits >> i & 1 and (limit.of is not Measure.BYTES_OUT or SENDS in context.labels)
        )

    def past(self, context: PolicyContext) -> tuple[Limit, int] | None:
        """Of those that a call would go past the one that opens last, with what the call takes of it."""
        found: tuple[Limit, int] | None = None
        latest = -1
        for limit in self.on(context):
            count = context.counts.get(limit.id)
            if count is None or count.of not in (None, limit.of):
                continue
            if not is_past(limit, count.used, amount := amount_of(limit, context)):
                continue
            opens = _NEVER if count.opens_at_ms is None else count.opens_at_ms
            if opens > latest:
                found, latest = (limit, amount), opens
        return found

    def is_open(self, context: PolicyContext) -> bool:
        """Whether it depends on inputs that are not known whether a limit is past."""
        return any(limit.of is Measure.BYTES_OUT and limit.id in context.counts for limit in self.on(context))

    def deny(self, decision: Decision, context: PolicyContext) -> Decision:
        """What the rules let go, denied where a limit is past; else as it is."""
        found = self.past(context) if decision.effect is not PolicyDecision.DENY else None
        if found is None:
            return decision
        limit, amount = found
        count = context.counts[limit.id]
        opens = count.opens_at_ms
        reason = limit.reason or f"limit `{limit.id}` lets {pass_text(limit)}"
        if amount + count.own > limit.most:
            whole = amount_text(limit.of, amount + count.own)
            told = (
                f"this call and what comes with it take {whole}" if count.own else f"this call takes {whole}"
            )
            told += ", which is more than it ever lets pass"
        else:
            told = f"{used_text(limit.of, count.used, limit.most)} used"
            if count.kept:
                told += f", {amount_text(limit.of, count.kept)} of it kept for what takes back what runs under way did"
            # A case of `policy test` says what was used, and not when.
            told += f", and it opens again at {instant(opens)}" if opens is not None else ""
        return msgspec.structs.replace(
            decision,
            effect=PolicyDecision.DENY,
            rule=limit.id,
            reason=f"{reason}; {told}",
            approvers=None,
            code=REACHED,
            opens_at_ms=opens,
        )


def amount_of(limit: Limit, context: PolicyContext) -> int:
    """What a call takes of a limit: of `bytes_out` the size of its inputs as JSON, which is known before it is made."""
    if limit.of is Measure.CALLS:
        return 1
    if limit.of is Measure.BYTES_OUT:
        text = json.dumps(thaw(context.inputs), ensure_ascii=False, separators=(",", ":"))
        return len(text.encode("utf-8", "surrogatepass"))  # the gate never raises
    return max((units for one, units in limit.prices if glob_matches(one, context.capability)), default=1)


def is_past(limit: Limit, used: int, amount: int) -> bool:
    """Whether a call that takes so much does not fit; of bytes it may turn out to send more, so that some must be left."""
    return used + amount > limit.most or (limit.of is Measure.BYTES_OUT and used >= limit.most)


def amount_text(of: Measure, amount: int) -> str:
    """`3 calls`, `1.5 KiB`, `20 units`."""
    if of is Measure.BYTES_OUT:
        return size_text(amount)
    return count_text(amount, "call" if of is Measure.CALLS else "unit")


def used_text(of: Measure, used: int, most: int) -> str:
    """`3 of 20 calls`, `1.5 KiB of 2 MiB`."""
    return f"{size_text(used) if of is Measure.BYTES_OUT else used} of {amount_text(of, most)}"


def pass_text(limit: Limit) -> str:
    """`20 calls pass within 1h for each principal`."""
    whom = "" if limit.per == "all" else f" for each {limit.per.value}"
    return f"{amount_text(limit.of, limit.most)} pass within {write_duration(limit.window_ms)}{whom}"
