"""Runs with one concurrency key, asked for of a daemon: one after the other in the order in which they came, also of the next."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.server.test_api import post
from tests.support.serving import Serving, daemon, told_of

RUNS = 200
NOOP = {"name": "noop", "capability": "sys.noop"}
ASK = {"name": "ask", "approval": "?"}


def keyed(*steps: dict[str, Any], **said: Any) -> dict[str, Any]:
    return {"workflow": {"name": "w", "steps": [*steps], "concurrency": {"key": "k", **said}}}


async def begun(served: Serving, *steps: dict[str, Any]) -> str:
    answer = await post(served, "/v1/runs", keyed(*steps), prefer="respond-async")
    assert answer.status_code == 202, answer.text
    return str(answer.json()["run_id"])


async def ended(served: Serving) -> None:
    open_now = "/v1/runs?status=pending&status=running&status=waiting&limit=1"
    while (await served.http.get(open_now)).json():  # noqa: ASYNC110 - the daemon ends it
        await asyncio.sleep(0.02)


async def test_runs_of_one_key_end_in_the_order_in_which_they_came(root: Path, env: dict[str, str]) -> None:
    """Half of them were left in line by a daemon that ended."""
    async with daemon(root, env) as served:
        holder = await begun(served, ASK)
        runs = [await begun(served, NOOP) for _ in range(RUNS // 2)]
        waiting = (await post(served, "/v1/runs", keyed(NOOP))).json()
        runs.append(waiting["run_id"])
        assert (waiting["status"], waiting["concurrency"]["held_by"]) == ("pending", [holder])
        refused = await post(served, "/v1/runs", keyed(NOOP, on_busy="refuse"))
        assert (refused.status_code, told_of(refused)["error"]["code"]) == (409, "CONCURRENCY_TAKEN")
        assert told_of(refused)["error"]["details"] == {"runs": [holder]}
    async with daemon(root, env) as served:
        runs += [await begun(served, NOOP) for _ in range(RUNS // 2 - 1)]
        done = await post(served, f"/v1/runs/{holder}/approve", {"unseen": True})
        assert done.status_code == 200, done.text
        await ended(served)
        spans = []
        for run in [holder, *runs]:
            shown = (await served.http.get(f"/v1/runs/{run}")).json()
            assert shown["status"] == "succeeded"
            spans.append([event["seq"] for event in shown["events"][1:]])
    for before, after in pairwise(spans):
        assert before[-1] < after[0]
