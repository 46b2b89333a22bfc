"""Finding a run by what a person types, where it stands, and why an undo of it did not begin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from assent.errors import AssentError, InputError, RefusedError, WorldError
from assent.journal import PAGE, Begins, JournalReader, OneOf
from assent.journal.ports import Cell
from assent.spec.ids import NEWEST_RUN, RunId
from assent.spec.states import RunState

if TYPE_CHECKING:
    from assent.spec.events import kinds as ev

UNFINISHED: Final = OneOf(tuple(state.value for state in RunState if not state.is_finished))
"""What the status of a run is that has not ended, for selecting rows of `runs`."""


def state_of(row: Mapping[str, Cell]) -> RunState:
    """Where a run stands, by its row; `WorldError` `RECORD_CORRUPT` when the row says something that no run can be."""
    try:
        return RunState(str(row["status"]))
    except ValueError:
        raise changed_row(row) from None


def changed_row(row: Mapping[str, Cell]) -> WorldError:
    """The error of a row of `runs` that Assent can't have written."""
    return WorldError(
        "RECORD_CORRUPT",
        f"the row of `{row['run_id']}` is not one that was recorded",
        hint="run `assent audit verify`; nothing more is done with this record",
        details={"run_id": row["run_id"]},
    )


_TAIL: Final = 64
"""Entries at the ledger's end among which a run mostly begins."""

_FOUND_MAX: Final = 100
"""How many runs whose ids begin alike are looked at."""


async def get_run(reader: JournalReader, run: str) -> dict[str, Cell] | None:
    """The row of one run; None when there is no such run."""
    rows = await reader.rows("runs", {"run_id": run}, limit=1)
    return rows[0] if rows else None


async def find_run(reader: JournalReader, beginning: str) -> RunId:
    """The only run whose id begins so, with or without `run_`, or the newest for `@`; `RUN_UNKNOWN`, `RUN_AMBIGUOUS`."""
    if not beginning:  # a variable that was never set, and no wish for whatever run there is
        raise unknown_run(beginning)
    if beginning == NEWEST_RUN:
        return await _newest_run(reader)
    if await get_run(reader, beginning) is not None:
        return RunId(beginning)
    beginnings = [beginning, f"run_{beginning}"] if beginning.isascii() else []
    found = [
        str(row["run_id"])
        for text in beginnings
        for row in await reader.rows("runs", {"run_id": Begins(text)}, limit=_FOUND_MAX + 1)
    ]
    if len(found) == 1:
        return RunId(found[0])
    if not found:
        raise unknown_run(beginning)
    many = f"{len(found)}" if len(found) <= _FOUND_MAX else f"more than {_FOUND_MAX}"
    raise InputError(
        "RUN_AMBIGUOUS",
        f"`{beginning}` begins {many} runs",
        hint=f"write more of it, e.g. `{found[-1]}`",
        details={"runs": [*found[:_FOUND_MAX]]},
    )


async def _newest_run(reader: JournalReader) -> RunId:
    """The run that began last, by its place in the ledger: a clock can be set, and two ids of one millisecond are by chance."""
    end, page = (await reader.head()).size, _TAIL
    while end:
        start = max(0, end - page)
        for leaf in reversed(await reader.leaves(start=start, limit=end - start)):
            if leaf.run is not None and leaf.n == 0:
                return leaf.run
        end, page = start, PAGE
    raise unknown_run(NEWEST_RUN)


def unknown_run(run: str) -> InputError:
    """The refusal of an id that no run has."""
    return InputError("RUN_UNKNOWN", f"there is no run `{run}`", hint="list what there is with `assent runs`")


async def undo_refusal(reader: JournalReader, run: RunId) -> AssentError | None:
    """Why the last undo of a run did not begin; None when it did, or waits for a person."""
    from assent.engine import load_json
    from assent.spec.events import kinds as ev

    refused: ev.UndoRefused | None = None
    for leaf in await reader.events(run):
        if isinstance(leaf.event, ev.UndoRequested):
            refused = None
        elif isinstance(leaf.event, ev.UndoRefused):
            refused = leaf.event
    if refused is None:
        return None
    found = await load_json(reader, refused.error)
    if isinstance(found, dict):
        return RefusedError.from_dict({**found, "code": refused.code})
    about = f"step `{refused.step}`" if refused.step is not None else f"run `{run}`"
    if refused.code == "UNDO_IMPOSSIBLE":
        hint = "`--partial` leaves out what can't be taken back"
        return RefusedError(refused.code, f"nothing takes {about} back", path=refused.step, hint=hint)
    why = refused.code.lower().replace("_", " ")
    return RefusedError(refused.code, f"{about} can't be undone: {why}", path=refused.step)
