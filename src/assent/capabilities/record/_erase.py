"""`assent.erase`: what any number of ended runs, and of plans that were never run, hold is erased for good, after one question.

It is called as every capability is, so that it is a run of its own: gated, asked about, recorded. `assent audit erase` calls it
with the runs and plans that are named, and whatever chooses them by their age calls it with those that it chose
(`Runtime.erase`, request `Erase`): no other way erases. The question names each with what is lost, and all of that is the base of
the approval: a run that went on meanwhile, was undone or was erased makes it stale, and so does a plan that was run.

Each is erased in a transaction of its own, with `payload.erased` in the ledger's stream and `run.erased` in the run's, both
naming the run that erased it. A crash in between leaves some to be erased, and the call goes on with them. What fails in between
leaves the call in doubt, and its error says how far it came: `assent resume` goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Final

import msgspec
from pydantic import Field

from assent.errors import AssentError, WorldError
from assent.invocation import LocalContext, Prepared, Preview, Reconciliation
from assent.spec.capability import SpecModel
from assent.spec.states import Verdict
from assent.spec.targets import name_of
from assent.spec.values.canonical import fingerprint
from assent.spec.values.typed import convert
from assent.spec.words.sizes import count_text, size_text

RUNS_MAX: Final = 100_000
"""Runs of one call, and plans: each is a line of the question."""

RunName = Annotated[str, Field(pattern="^run_[0-9A-Za-z_]+$", max_length=80)]
PlanName = Annotated[str, Field(pattern="^plan_[0-9a-z]+$", max_length=80)]


class Erase(SpecModel):
    """Which runs, all of which have ended, and which plans, none of which was run; at least one of either."""

    runs: Annotated[list[RunName], Field(max_length=RUNS_MAX)] = Field(
        default_factory=list, description="Runs that have ended."
    )
    plans: Annotated[list[PlanName], Field(max_length=RUNS_MAX)] = Field(
        default_factory=list, description="Plans that were never run."
    )
    compact: bool = Field(default=False, description="Give the room back to the disk, too.")


class Erased(SpecModel):
    """What was erased of how many runs and plans."""

    runs: int
    plans: int
    payloads: int
    bytes: int
    freed: int
    """Bytes by which the ledger's file shrank; it was not asked for, or there was no room to write it anew: none."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What stands to be erased of a run or a plan. `events` is how many it had: another one makes it another run."""

    ident: str
    what: str
    """Its workflow, or the capability that it called."""
    status: str
    events: int
    payloads: int
    bytes: int
    """Of payloads, pre-images and a saved plan together."""
    undoable: bool
    """It could be undone, which it can't be any more."""


class Records(msgspec.Struct, frozen=True):
    """What the roof offers: the record of runs and plans, to be looked at and erased."""

    held: Callable[[Sequence[str], Sequence[str]], list[Held]]
    """What each of these runs, and then of these plans, holds. `INVALID_INPUT` where none is named, `RUN_UNKNOWN`,
    `PLAN_UNKNOWN`; `RUN_UNFINISHED` while one of them is under way, `PLAN_USED` for a plan that is a run's.
    """
    erase_run: Callable[[str, str], Awaitable[None]]
    """Erase one for good, on behalf of the run that is named second. Calling it twice is harmless. `RUN_UNFINISHED`."""
    erase_plan: Callable[[str, str], Awaitable[None]]
    """The same of a plan. `PLAN_USED`."""
    forget: Callable[[], Awaitable[None]]
    """After all of them: see to it that what was erased stands nowhere else either. `ERASE_UNFINISHED`."""
    compact: Callable[[], Awaitable[int]]
    """Give back the room of what was erased; how many bytes."""


def preview(context: LocalContext, parameters: Erase) -> Preview:
    """Every run and plan, what is lost with it, and what can't be undone any more."""
    held = _held(context, parameters)
    base = fingerprint({one.ident: [one.status, one.events, one.payloads, one.bytes] for one in held})
    return Preview("text", _text(parameters, held), base, changes=any(one.bytes for one in held))


def prepare(context: LocalContext, parameters: Erase) -> Prepared:
    """Count what will be gone: after a crash nobody could any more."""
    return Prepared({**_counted(_held(context, parameters))})


async def execute(context: LocalContext, parameters: Erase) -> Erased:
    """Erase one after the other, runs first."""
    records, runs, plans = context.app.get(Records), _once(parameters.runs), _once(parameters.plans)
    done = 0
    try:
        for run in runs:
            await records.erase_run(run, context.run)
            done += 1
        for plan in plans:
            await records.erase_plan(plan, context.run)
            done += 1
        await records.forget()
    except AssentError as error:
        raise _stopped(error, done, [*runs, *plans], context.run) from error
    freed = await _freed(records) if parameters.compact else 0
    counted = convert(context.prepared, dict[str, int])
    return Erased(
        runs=len(runs), plans=len(plans), payloads=counted["payloads"], bytes=counted["bytes"], freed=freed
    )


def _stopped(error: AssentError, done: int, named: Sequence[str], act: str) -> AssentError:
    """The same failure, which says how far it came and how to go on."""
    at = f", and `{named[done]}` perhaps in part" if done < len(named) else ""
    return type(error)(
        error.code,
        f"{done} of {len(named)} erased{at}: {error.message}",
        path=error.path,
        hint=f"{error.hint or 'mend that'}; then go on: `assent resume {act}`",
        details={**error.details, "erased": done, "of": len(named)},
    )


async def _freed(records: Records) -> int:
    try:
        return await records.compact()
    except WorldError:
        return 0  # All that was asked for is erased; the room is used again before the file grows.


async def reconcile(context: LocalContext, parameters: Erase) -> Reconciliation:
    """Nothing happened where all is still there. Else some of it did; erasing that again is harmless, so the call can go on."""
    is_whole = _counted(_held(context, parameters)) == context.prepared
    return Reconciliation(Verdict.NO if is_whole else Verdict.UNKNOWN)


def _held(context: LocalContext, parameters: Erase) -> list[Held]:
    return context.app.get(Records).held(_once(parameters.runs), _once(parameters.plans))


def _once(names: Sequence[str]) -> list[str]:
    return [*dict.fromkeys(names)]


def _counted(held: Sequence[Held]) -> dict[str, int]:
    return {"payloads": sum(one.payloads for one in held), "bytes": sum(one.bytes for one in held)}


def _text(parameters: Erase, held: Sequence[Held]) -> str:
    lost, size = sum(one.undoable for one in held), sum(one.bytes for one in held)
    lines = [
        f"erases {name_of(parameters.model_dump())}, {size_text(size)}, for good",
        f"can't be undone any more: {count_text(lost, 'run')}" if lost else "none of them could be undone",
        "their entries stay in the ledger, and it still verifies",
    ]
    for one in held:
        holds = f"{count_text(one.payloads, 'payload')}, {size_text(one.bytes)}"
        line = f"  {one.ident}  {one.what}  {one.status}  {holds}"
        lines.append(f"{line}  no undo any more" if one.undoable else line)
    return "\n".join(lines)
