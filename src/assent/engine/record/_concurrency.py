"""What is told of a run's concurrency key: by the journal alone, so that whoever only reads tells the same."""

from __future__ import annotations

from typing import Final

from assent.engine.record._record import RunRecord
from assent.engine.record._values import load_json
from assent.engine.record.projection import KEY_KIND, key_state
from assent.errors import Json
from assent.journal import each_row
from assent.journal.ports import JournalReader
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId

TOLD_MAX: Final = 20
"""Of so many runs it is told that they have a key, or wait for it."""


async def tell_concurrency(record: RunRecord, reader: JournalReader) -> dict[str, Json] | None:
    """The key of a run, whether it is `waiting` for it, has it (`held`) or is done with it (`over`), and who else is.

    `key` is None once it was erased. `in_force`: so many may have it as things stand, by the smallest limit. `replaced_by`: the
    run that cancelled this one for it. None of a run without a key.
    """
    created = record.created
    if created.concurrency_key is None:
        return None
    told: dict[str, Json] = {
        "key": await load_json(reader, created.concurrency),
        "limit": created.concurrency_limit,
        "in_force": created.concurrency_limit,
        "on_busy": created.on_busy.value,
        "state": key_state(record),
        "held_by": [],
        "waiting": [],
        "replaced_by": record.replaced_by,
    }
    if not record.state.is_finished:
        told["in_force"] = await limit_in_force(created.concurrency_key, created.concurrency_limit, reader)
        for name, status in (("held_by", "held"), ("waiting", "waiting")):
            wanted = {"name": created.concurrency_key, "status": status}
            rows = await reader.rows("waits", wanted, limit=TOLD_MAX + 1)
            runs = [str(row["run_id"]) for row in rows]
            told[name] = [*[run for run in runs if run != record.run][:TOLD_MAX]]
    return told


async def limit_in_force(key: str, limit: int, reader: JournalReader) -> int:
    """How many runs may have a key, where one more wants it at most so often: the smallest limit of those that have it counts."""
    async for row in each_row(reader, "waits", {"name": key, "status": "held"}):
        limit = min(limit, (await _created(RunId(str(row["run_id"])), reader)).concurrency_limit)
    return limit


async def foresee_key(text: str, limit: int, reader: JournalReader | None) -> dict[str, Json]:
    """Which runs have the key of this text (`held_by`), and how many may (`in_force`), for whoever wants it at most so often.

    By its text: whoever only reads does not know what stands for it in the ledger.
    """
    runs: list[Json] = []
    if reader is not None:
        async for row in each_row(reader, "waits", {"kind": KEY_KIND, "status": "held"}):
            run = RunId(str(row["run_id"]))
            if await key_text(run, reader) == text:
                runs.append(run)
                limit = min(limit, (await _created(run, reader)).concurrency_limit)
    return {"held_by": runs[:TOLD_MAX], "in_force": limit}


async def key_text(run: RunId, reader: JournalReader) -> str | None:
    """The key of a run, as its workflow made it; None where it has none, or it was erased."""
    text = await load_json(reader, (await _created(run, reader)).concurrency)
    return None if text is None else str(text)


async def _created(run: RunId, reader: JournalReader) -> ev.RunCreated:
    created = (await reader.events(run, limit=1))[0].event
    assert isinstance(created, ev.RunCreated)  # INVARIANT: a run begins so
    return created
