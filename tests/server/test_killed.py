"""A daemon is killed with two hundred requests under way, and started again: who was answered was answered once and for all,
and who was not asks again under the same key and is carried out at most once.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path

import httpx2

from tests.server.test_daemon import started

REQUESTS = 200
ANSWERED = 10
"""After so many answers it is killed: early, because a slow client may find all of them waiting for it."""


async def ask(http: httpx2.AsyncClient, number: int) -> httpx2.Response | None:
    """Make a file under a key; None where no answer came."""
    body = {"capability": "io.fs.write_file", "parameters": {"path": f"{number}.txt", "content": "once\n"}}
    try:
        return await http.post("/v1/calls", json=body, headers={"Idempotency-Key": f"file-{number}"})
    except httpx2.TransportError:
        return None


async def ask_all(
    place: str, numbers: list[int], kill: signal.Signals | None, pid: int
) -> dict[int, httpx2.Response]:
    """Ask all of it at once; the answers that came."""
    answers: dict[int, httpx2.Response] = {}
    transport = httpx2.AsyncHTTPTransport(uds=place, limits=httpx2.Limits(max_connections=REQUESTS))
    async with httpx2.AsyncClient(transport=transport, base_url="http://assent", timeout=120) as http:

        async def one(number: int) -> None:
            answer = await ask(http, number)
            if answer is not None:
                answers[number] = answer
            if kill is not None and len(answers) == ANSWERED:
                os.kill(pid, kill)

        await asyncio.gather(*(one(number) for number in numbers))
    return answers


def test_two_hundred_requests_under_way_are_each_carried_out_once(root: Path, env: dict[str, str]) -> None:
    everything = [*range(REQUESTS)]
    with started(root, env) as found:
        first = asyncio.run(ask_all(found.doors["socket"], everything, signal.SIGKILL, found.process.pid))
        assert ANSWERED <= len(first) < REQUESTS
    with started(root, env) as found:
        rest = [number for number in everything if number not in first]
        second = asyncio.run(ask_all(found.doors["socket"], rest, None, 0))
        assert len(second) == len(rest)
        again = asyncio.run(ask_all(found.doors["socket"], everything, None, 0))
        with found.http() as http:
            runs = http.get("/v1/runs").json()
        assert found.end()[0] == 0
    told = {**first, **second}
    assert Counter(answer.status_code for answer in told.values()) == {200: REQUESTS}
    assert {number: again[number].json()["run_id"] for number in everything} == {
        number: told[number].json()["run_id"] for number in everything
    }
    assert Counter(run["status"] for run in runs) == {"succeeded": REQUESTS}
    # A second effect would tell that the file was there already.
    assert all(answer.json()["outputs"]["created"] for answer in again.values())
    assert {(root / f"{number}.txt").read_text() for number in everything} == {"once\n"}
