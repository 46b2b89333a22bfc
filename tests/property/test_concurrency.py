"""However runs of one key come, end and are left by their owners, by a crash before any append too: never more than its limit
are at work, nobody is overtaken, and all end.

The order is the ledger's. A run came before another if its id is smaller: two that are asked for at once may be put on record in
either order, as one that begins at once is with its first step. What the policy answered about the key holds for each, and comes
to the same when the run is replayed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from assent.engine import RunRecord, fold
from assent.engine.record.projection import key_state
from assent.errors import AssentError, WorldError
from assent.invocation import LocalContext
from assent.journal import Batch, Head, leaves_at_once, rows_at_once
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId
from tests.support.bodies import Place, policy, put, rule, workflow

WHO = ("user:ann", "user:ann", "user:bob", "user:eve")
RULES = (
    rule("no", "DENY", when={"concurrency": "k", "principal": "user:eve"}),
    rule("others", when={"concurrency": "k", "cancels_others": True, "principal": "user:bob"}),
)
BUSY = ("queue", "queue", "cancel_waiting", "cancel_running")


def overtaken(leaves: Iterable[ev.Leaf], limit: int) -> list[tuple[RunId, list[RunId]]]:
    """Each run that began while others had to go before it: of its principal and priority those that came before it, and those
    of a higher priority that were on record when the key was given back.
    """
    records: dict[RunId, RunRecord] = {}
    states: dict[RunId, str] = {}
    on_record: dict[RunId, int] = {}
    found: list[tuple[RunId, list[RunId]]] = []
    free_since = -1
    for place, leaf in enumerate(leaves):
        record = fold(records.get(leaf.run), leaf) if leaf.run is not None else None
        if record is None or record.created.concurrency_key is None:
            continue
        run, before, now = record.run, states.get(record.run), key_state(record)
        records[run], states[run] = record, now
        on_record.setdefault(run, place)
        held = [one for one, state in states.items() if state == "held"]
        if before == "held" != now and len(held) == limit - 1:
            free_since = place
        if now == "held" and before in (None, "waiting"):
            asked = record.created
            first = [
                other.run
                for other in records.values()
                if states[other.run] == "waiting"
                and (
                    (other.run < run and _share(other.created) == _share(asked))
                    or (other.created.priority > asked.priority and on_record[other.run] < free_since)
                )
            ]
            # The others may have got the key with it, and begin next.
            if first and len(held) + len(first) > limit:
                found.append((run, first))
    return found


def _share(created: ev.RunCreated) -> tuple[str, int]:
    return created.principal, created.priority


class Lives:
    """What happens to a state directory while its owners come and go, by chance."""

    def __init__(self, place: Place, seed: int) -> None:
        self.place = place
        self.chance = random.Random(seed)
        self.limit = self.chance.choice([1, 2])
        self.at_work = self.most = self.begun = 0
        self.appends_left = 0

    async def enters(self, context: LocalContext) -> None:
        """An effect of a run with the key, or what takes one back."""
        del context
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        try:
            await asyncio.sleep(self.chance.choice([0, 0, 0.002]))
        finally:
            self.at_work -= 1

    def document(self) -> dict[str, Any]:
        name = f"n{self.begun}"
        self.begun += 1
        self.place.box.before[name] = self.place.box.on_compensate[name] = self.enters
        steps = [put(name)]
        if self.chance.random() < 0.3:
            steps.append({"name": "ask", "approval": "?"})
        if self.chance.random() < 0.2:
            steps.append({"name": "fails", "capability": "io.fs.read_file", "inputs": {"path": "none"}})
        said = {"key": "k", "limit": self.limit, "on_busy": self.chance.choice(BUSY)}
        return workflow(*steps, concurrency=said)

    async def live(self) -> None:
        """One owner, which ends in the middle of it all; by then nothing may have come on record for a while."""
        self.appends_left = self.chance.choice([3, 8, 21, 99])
        async with self.place.open() as rt:
            journal = rt._core.ready.journal
            append = journal.append

            async def append_for_now(batch: Batch) -> Head:
                self.appends_left -= 1
                if self.appends_left < 0:
                    raise WorldError("STORAGE_FAILED", "the process has died")
                return await append(batch)

            journal.append = append_for_now  # type: ignore[method-assign]
            under_way: list[asyncio.Future[object]] = [asyncio.ensure_future(rt.resume())]
            for _ in range(5):
                principal, priority = self.chance.choice(WHO), self.chance.choice([5, 5, 9])
                begun = rt.run(self.document(), principal=principal, priority=priority)
                under_way.append(asyncio.ensure_future(begun))
                await asyncio.sleep(self.chance.choice([0, 0.003]))
                for run in await rt.unfinished():
                    if self.chance.random() < 0.2:
                        act = rt.cancel(run) if self.chance.random() < 0.5 else rt.approve(run)
                        under_way.append(asyncio.ensure_future(act))
            await asyncio.sleep(self.chance.choice([0, 0.01]))
        await asyncio.gather(*under_way, return_exceptions=True)

    async def settle(self) -> None:
        async with self.place.open() as rt:
            while left := await rt.unfinished():
                await rt.resume()
                for run in left:
                    with suppress(AssentError):
                        await rt.approve(run)
            assert overtaken(leaves_at_once(rt._core.ready.journal), self.limit) == []
            rows = rows_at_once(rt._core.ready.journal, "waits", {"kind": "turn"})
            assert {row["status"] for row in rows} == {"over"}
            for run in [RunId(str(row["run_id"])) for row in rows]:
                report = await rt.replay(run)
                assert not [one for one in report.differences if one.where == "decision"]
                created = rt.recorded(run)[0]
                assert isinstance(created, ev.RunCreated)
                is_denied = created.principal == "user:eve"
                assert ((await rt.show(run)).error or {}).get("code") == "POLICY_DENIED" or not is_denied
                assert [one.decision for one in created.key_answers][:1] == ["DENY" if is_denied else "ALLOW"]


@pytest.mark.parametrize("seed", range(4))
async def test_never_more_than_the_limit_are_at_work(tmp_path: Path, seed: int) -> None:
    lives = Lives(Place(tmp_path, policy=policy(*RULES)), seed)
    for _ in range(3):
        await lives.live()
    await asyncio.wait_for(lives.settle(), 60)
    assert 1 <= lives.most <= lives.limit
