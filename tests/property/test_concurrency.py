"""However runs of one key come, end and are left by their owners: never more than its limit are at work, and all end.

What the policy answered about the key holds for each, and comes to the same when the run is replayed.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from assent.errors import AssentError
from assent.invocation import LocalContext
from assent.journal import rows_at_once
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId
from tests.support.bodies import Place, policy, put, rule, workflow

WHO = ("user:ann", "user:ann", "user:bob", "user:eve")
RULES = (
    rule("no", "DENY", when={"concurrency": "k", "principal": "user:eve"}),
    rule("others", when={"concurrency": "k", "cancels_others": True, "principal": "user:bob"}),
)
BUSY = ("queue", "queue", "cancel_waiting", "cancel_running")


class Lives:
    """What happens to a state directory while its owners come and go, by chance."""

    def __init__(self, place: Place, seed: int) -> None:
        self.place = place
        self.chance = random.Random(seed)
        self.limit = self.chance.choice([1, 2])
        self.at_work = self.most = self.begun = 0

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
        """One owner, which ends in the middle of it all."""
        async with self.place.open() as rt:
            under_way: list[asyncio.Future[object]] = [asyncio.ensure_future(rt.resume())]
            for _ in range(5):
                under_way.append(
                    asyncio.ensure_future(rt.run(self.document(), principal=self.chance.choice(WHO)))
                )
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
