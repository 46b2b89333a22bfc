"""Every way past a limit of the policy that somebody could look for: at once, by the clock, by a kill, in another way."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assent.failpoints import VARIABLE
from assent.invocation import Hook, HookedCall, HookKind, LocalContext, NoEffectError
from tests.support.bodies import Bench, FakeClock, Place, code, fail, no_effect, policy, put, rule, workflow
from tests.support.own_places import own_places

HOUR_MS = 3_600_000
RETRIED = {"max_attempts": 5, "backoff": {"initial": "1ms", "jitter": 0}}


def limited(calls: int, *rules: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A policy under which so many calls of a box pass in an hour."""
    limit = {"id": "few", "when": {"capability": "box.*"}, "window": "1h", "calls": calls, **fields}
    return {**policy(*rules), "limits": [limit]}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, policy=limited(3), clock=FakeClock(), grace_s=5.0, concurrency=8)


def done(place: Place) -> int:
    """How many effects there were."""
    return sum(line.startswith("execute ") for line in place.box.log)


async def at_once(rt: Bench) -> None:
    await asyncio.gather(*(rt.call("box.put", {"key": f"k{number}"}) for number in range(12)))


async def foreach(rt: Bench) -> None:
    step = put("each", foreach=f"${{{{ {[*range(12)]} }}}}")
    await rt.run(workflow({**step, "inputs": {"key": "k"}}))


async def steps_at_once(rt: Bench) -> None:
    await rt.run(workflow(*(put(f"k{number}", depends_on=[]) for number in range(12))))


async def session(rt: Bench) -> None:
    """Each of them has a run, and all have one principal."""
    for _ in range(3):
        opened = await rt.session()
        for number in range(4):
            await opened.call("box.put", {"key": f"k{number}"})
        await opened.close()


async def retries(rt: Bench) -> None:
    for _ in range(3):
        await rt.run(workflow(put("again", retry={**RETRIED, "on": ["TRY_AGAIN"]})))


async def versions_and_plans(rt: Bench) -> None:
    """A version that is named is the same capability; what was planned is no place that somebody has."""
    await rt.plan(workflow(put("a"), put("b"), put("c")))
    for number in range(6):
        await rt.call("box.put@1.0.0" if number % 2 else "box.put", {"key": "k"})


async def undone(rt: Bench) -> None:
    """What is taken back was called all the same."""
    for _ in range(6):
        result = await rt.call("box.put", {"key": "k"})
        if result.status == "succeeded":
            await rt.undo(str(result.run_id))


async def rolled_back(rt: Bench) -> None:
    for _ in range(6):
        await rt.run(workflow(put("k"), fail()))


@pytest.mark.parametrize(
    "way", [at_once, foreach, steps_at_once, session, retries, versions_and_plans, undone, rolled_back]
)
async def test_never_more_than_the_limit_has_an_effect(place: Place, way: Any) -> None:
    """Nor less: what was denied keeps nobody out. In the next process the limit is as full as in this one."""
    place.box.before["again"] = no_effect
    async with place.open() as rt:
        await way(rt)
        assert done(place) == 3
    async with place.open() as rt:
        assert code(await rt.call("box.put", {"key": "last"})) == "LIMIT_REACHED"
        assert done(place) == 3


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_what_never_begins_gives_its_place_back(place: Place, *, is_restarted: bool) -> None:
    """Refused by a hook, by what it may lead to, while it is prepared, or by nobody: what waits for a person has none."""
    place.policy = limited(
        1,
        rule("ask", "REQUIRE_APPROVAL", when={"capability": "box.set"}),
        rule("no-way-back", "DENY", when={"capability": "box.put_low"}),
    )

    def refuse(call: HookedCall) -> None:
        raise NoEffectError("NOT_TODAY", "no")

    async with place.open() as rt:
        led = put("led", compensation={"capability": "box.put_low", "inputs": {"key": "k"}})
        assert code(await rt.run(workflow(led))) == "POLICY_DENIED"
        assert (await rt.call("box.set", {"key": "w"})).status == "waiting"
        hooked = await rt.call("box.put", {"key": "k"}, hooks=[Hook(HookKind.BEFORE, refuse, id="no")])
        assert code(hooked) == "HOOK_REFUSED"
        if not is_restarted:
            assert code(await rt.call("box.put", {"key": "k"})) is None
            assert code(await rt.call("box.put", {"key": "k"})) == "LIMIT_REACHED"
    if is_restarted:
        async with place.open() as rt:
            assert code(await rt.call("box.put", {"key": "k"})) is None
            assert code(await rt.call("box.put", {"key": "k"})) == "LIMIT_REACHED"


@pytest.mark.parametrize("said", ["RATE_LIMITED", "CALL_NOT_BEGUN", "LIMIT_REACHED", "TRY_AGAIN"])
@pytest.mark.parametrize("rates", ["", "[limits.rate.few]\ncalls = 1\nwindow = '1h'\ncapability = 'box.*'\n"])
async def test_a_handler_that_says_it_never_began_counts(place: Place, said: str, rates: str) -> None:
    """In this process and in the next: whoever writes a handler names his errors as he likes. So do the rates of assent.toml."""

    def lie(context: LocalContext) -> None:
        raise NoEffectError(said, "I did nothing")

    place.policy = policy() if rates else limited(1)
    place.settings()
    (place.workspace / "assent.toml").write_text(rates)
    place.box.before["k"] = lie
    expected = "RATE_LIMITED" if rates else "LIMIT_REACHED"
    async with place.open() as rt:
        assert code(await rt.call("box.put", {"key": "k"})) == said
    for _ in range(2):
        async with place.open() as rt:
            assert code(await rt.call("box.put", {"key": "other"})) == expected
    assert done(place) == 1


@pytest.mark.parametrize(("days", "passes"), [(400, True), (-400, True), (0, False)])
async def test_a_clock_that_is_set_shuts_no_limit_for_ever(place: Place, days: int, *, passes: bool) -> None:
    """Within a process no clock that is set opens one; across processes, what was called in the future counts no more."""
    assert place.clock is not None
    place.policy = limited(1)
    place.clock.ms = days * 24 * HOUR_MS
    async with place.open() as rt:
        assert code(await rt.call("box.put", {"key": "a"})) is None
        assert code(await rt.call("box.put", {"key": "a"})) == "LIMIT_REACHED"
    place.clock.ms = 0
    async with place.open() as rt:
        assert (code(await rt.call("box.put", {"key": "a"})) is None) is passes
        assert code(await rt.call("box.put", {"key": "a"})) == "LIMIT_REACHED"


async def test_a_reload_keeps_what_was_counted(place: Place) -> None:
    """Under the limit's id; another measure is another limit."""
    path = place.root / "policy.yaml"
    path.write_text(json.dumps(limited(2)))
    path.chmod(0o600)
    place.policy = path
    async with place.open() as rt:
        for said, limit in (
            (None, limited(2)),
            (None, limited(3, reason="more")),
            ("LIMIT_REACHED", limited(2, window="2h")),
            ("LIMIT_REACHED", limited(1, when={"principal": "*"})),
            (None, limited(3)),
        ):
            path.write_text(json.dumps(limit))
            rt.reload_policy()
            assert code(await rt.call("box.put", {"key": "k"})) == said, limit
        calls = limited(2)
        del calls["limits"][0]["calls"]
        calls["limits"][0]["cost"] = 1
        path.write_text(json.dumps(calls))
        rt.reload_policy()
    async with place.open() as rt:
        assert code(await rt.call("box.put", {"key": "k"})) is None


async def test_many_principals_are_many_counts_in_bounded_memory(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit that can remember no more lets nobody pass uncounted, and forgets who came long ago."""
    assert place.clock is not None
    monkeypatch.setattr("assent.spec.values.window.REMEMBERED_MAX", 20)
    place.policy = limited(1)
    async with place.open() as rt:
        for number in range(20):
            assert code(await rt.call("box.put", {"key": "k"}, principal=f"agent:n{number}")) is None
        refused = await rt.call("box.put", {"key": "k"}, principal="agent:one-more")
        assert code(refused) == "LIMIT_REACHED"
        place.clock.ms += HOUR_MS
        assert code(await rt.call("box.put", {"key": "k"}, principal="agent:one-more")) is None
        (window,) = rt._core.ready.pipeline.quotas._windows.values()
        assert (len(window.clients), window.remembered) == (1, 1)


async def test_what_costs_nothing_takes_no_memory(place: Place) -> None:
    """However often it is called, also once the limit is full."""
    place.policy = {**policy(), "limits": [{"id": "x", "window": "1h", "cost": 1, "prices": {"box.put": 0}}]}
    async with place.open() as rt:
        assert code(await rt.call("box.set", {"key": "k"})) is None
        assert code(await rt.call("box.set", {"key": "k"})) == "LIMIT_REACHED"
        for _ in range(5):
            assert code(await rt.call("box.put", {"key": "k"})) is None
        (window,) = rt._core.ready.pipeline.quotas._windows.values()
        assert window.remembered == 1


_KILLED = """
import os, sys
from assent.cli import main
from assent.failpoints import FAILPOINTS
# What is imported here is not imported again by each call.
import assent.capabilities.fs._capabilities, assent.engine.drive._engine, assent.runtime._core, assent.runtime.service.process

for number, point in enumerate(["effect.before", "effect.after", "", ""]):
    child = os.fork()
    if not child:
        if point:
            FAILPOINTS.arm(point)
        main(["--json", "call", "io.fs.write_file", f"path={number}.txt", "content=x"])
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_a_kill_lets_nobody_past(tmp_path: Path, clean_env: dict[str, str]) -> None:
    """Whatever was about to begin counts, killed before its effect, in it or after it; the next process denies."""
    limit = {"id": "few", "when": {"capability": "io.fs.*"}, "window": "1h", "calls": 3}
    (tmp_path / "policy.yaml").write_text(json.dumps({**policy(), "limits": [limit]}))
    (tmp_path / "policy.yaml").chmod(0o600)
    (tmp_path / "assent.toml").write_text('policy = "policy.yaml"\n')
    with own_places(tmp_path, {name: one for name, one in clean_env.items() if name != VARIABLE}) as env:
        ran = subprocess.run(
            [sys.executable, "-c", _KILLED], cwd=tmp_path, env=env, capture_output=True, check=True
        )
    first, second = [json.loads(line) for line in ran.stdout.splitlines()]
    assert (first["error"], second["error"]["code"]) == (None, "LIMIT_REACHED")
    assert not (tmp_path / "3.txt").exists()


async def test_reads_of_plans_count_as_calls(place: Place) -> None:
    """Plans are no way to read what a limit would not let be read, and leave no more for the calls after them."""
    place.policy = limited(2, when={"capability": "io.fs.read_file"})
    place.settings()
    (place.workspace / "a.txt").write_text("a")
    read = {"name": "read", "capability": "io.fs.read_file", "inputs": {"path": "a.txt"}}
    copy = put("b", value="${{ steps.read.output.content }}")
    async with place.open() as rt:
        plans = [await rt.plan(workflow(read, copy)) for _ in range(4)]
        assert [plan.steps[0].read is not None for plan in plans] == [True, True, False, False]
        assert [plan.steps[0].rule for plan in plans] == ["default", "default", "few", "few"]
    async with place.open() as rt:
        assert code(await rt.call("io.fs.read_file", {"path": "a.txt"})) == "LIMIT_REACHED"
