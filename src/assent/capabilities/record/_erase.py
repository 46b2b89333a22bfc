"""`assent.erase`: the payloads and pre-images of any number of ended runs are erased for good, after one question.

It is called as every capability is, so that it is a run of its own: gated, asked about, recorded. `assent audit erase` calls it
with the runs that are named, and whatever chooses runs by their age calls it with those that it chose (`Runtime.erase(*runs)`,
request `Erase`): no other way erases. The question names each run with what is lost, and all of that is the base of the
approval: a run that went on meanwhile, was undone or was erased makes it stale.

Each run is erased in a transaction of its own, with `payload.erased` in the ledger's stream and `run.erased` in the run's, both
naming the run that erased it. A crash in between leaves some to be erased, and the call goes on with them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Final

import msgspec
from pydantic import Field

from assent.errors import WorldError
from assent.invocation import LocalContext, Prepared, Preview, Reconciliation
from assent.spec.capability import SpecModel
from assent.spec.states import Verdict
from assent.spec.values.canonical import fingerprint
from assent.spec.words.sizes import count_text, size_text

RUNS_MAX: Final = 100_000
"""Runs of one call: each is a line of the question."""

RunName = Annotated[str, Field(pattern="^run_[0-9A-Za-z_]+$", max_length=80)]


class Erase(SpecModel):
    """Which runs; all have ended."""

    runs: Annotated[list[RunName], Field(min_length=1, max_length=RUNS_MAX)]
    compact: bool = Field(default=False, description="Give the room back to the disk, too.")


class Erased(SpecModel):
    """What was erased of how many runs."""

    runs: int
    payloads: int
    bytes: int
    freed: int
    """Bytes by which the ledger's file shrank; it was not asked for, or there was no room to write it anew: none."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What stands to be erased of a run that has ended. `events` is how many it had: another one makes it another run."""

    run: str
    what: str
    """Its workflow, or the capability that it called."""
    status: str
    events: int
    payloads: int
    bytes: int
    """Of payloads and pre-images together."""
    undoable: bool
    """It could be undone, which it can't be any more."""


class Records(msgspec.Struct, frozen=True):
    """What the roof offers: the record of runs, to be looked at and erased."""

    held: Callable[[Sequence[str]], list[Held]]
    """What each holds, in that order. `RUN_UNKNOWN`; `RUN_UNFINISHED` while one of them is under way."""
    erase: Callable[[str, str], Awaitable[None]]
    """Erase one for good, on behalf of the run that is named second. Calling it twice is harmless. `RUN_UNFINISHED`,
    `ERASE_UNFINISHED`.
    """
    compact: Callable[[], Awaitable[int]]
    """Give back the room of what was erased; how many bytes."""


def preview(context: LocalContext, parameters: Erase) -> Preview:
    """Every run, what is lost with it, and what can't be undone any more."""
    held = _held(context, parameters)
    base = fingerprint({one.run: [one.status, one.events, one.payloads, one.bytes] for one in held})
    return Preview("text", _text(held), base, changes=any(one.payloads for one in held))


def prepare(context: LocalContext, parameters: Erase) -> Prepared:
    """Count what will be gone: after a crash nobody could any more."""
    held = _held(context, parameters)
    return Prepared({"payloads": sum(one.payloads for one in held), "bytes": sum(one.bytes for one in held)})


async def execute(context: LocalContext, parameters: Erase) -> Erased:
    """Erase one run after the other."""
    records, runs = context.app.get(Records), dict.fromkeys(parameters.runs)
    for run in runs:
        await records.erase(run, context.run)
    freed = await _freed(records) if parameters.compact else 0
    counted = msgspec.convert(context.prepared, dict[str, int])
    return Erased(runs=len(runs), payloads=counted["payloads"], bytes=counted["bytes"], freed=freed)


async def _freed(records: Records) -> int:
    try:
        return await records.compact()
    except WorldError:
        return 0  # All that was asked for is erased; the room is used again before the file grows.


async def reconcile() -> Reconciliation:
    """What is erased is erased, and erasing it again is harmless: the call goes on with what is left."""
    return Reconciliation(Verdict.NO)


def _held(context: LocalContext, parameters: Erase) -> list[Held]:
    return context.app.get(Records).held([*dict.fromkeys(parameters.runs)])


def _text(held: Sequence[Held]) -> str:
    lost = sum(one.undoable for one in held)
    lines = [
        f"erases {count_text(len(held), 'run')}, {size_text(sum(one.bytes for one in held))}, for good",
        f"can't be undone any more: {count_text(lost, 'run')}" if lost else "none of them could be undone",
        "their entries stay in the ledger, and it still verifies",
    ]
    for one in held:
        size = f"{count_text(one.payloads, 'payload')}, {size_text(one.bytes)}"
        line = f"  {one.run}  {one.what}  {one.status}  {size}"
        lines.append(f"{line}  no undo any more" if one.undoable else line)
    return "\n".join(lines)
