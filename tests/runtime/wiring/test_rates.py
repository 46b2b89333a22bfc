"""Rate limits in a whole runtime: refused before the effect, tried again when a retry says so, counted across processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from assent.errors import InputError
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId
from tests.support.bodies import FakeClock, Place, code, fail, policy, put, states, workflow

LIMIT = """
[limits.rate.puts]
calls = 2
window = "1m"
capability = "box.*"
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = Place(tmp_path, policy=policy(), clock=FakeClock(), grace_s=5.0)
    found.workspace.mkdir()
    (found.workspace / "assent.toml").write_text(LIMIT)
    return found


async def test_a_call_too_many_has_no_effect_and_says_when_to_come_back(place: Place) -> None:
    """Its attempt is recorded with effect `none`, so nothing is asked or taken back for it; other principals are apart."""
    assert place.clock is not None
    async with place.open() as rt:
        for key in ("a", "b"):
            assert (await rt.call("box.put", {"key": key})).status == "succeeded"
        refused = await rt.call("box.put", {"key": "c"})
        assert code(refused) == "RATE_LIMITED"
        assert refused.error is not None
        assert "try again in" in str(refused.error["hint"])
        assert place.box.count("execute", "c") == 0
        assert "step.unsettled" not in rt.kinds(str(refused.run_id))
        other = await rt.call("box.put", {"key": "d"}, principal="agent:other")
        assert other.status == "succeeded"
        assert (await rt.call("sys.noop")).status == "succeeded", "the limit is about `box.*` alone"
        place.clock.ms += 60_000
        assert (await rt.call("box.put", {"key": "c"})).status == "succeeded"
        errors = rt.metrics.snapshot()["errors"]
        assert isinstance(errors, dict)
        assert errors["RATE_LIMITED"] == 1


async def test_taking_back_is_never_limited(place: Place) -> None:
    """A workflow that is refused half-way is rolled back, however many calls that takes."""
    async with place.open() as rt:
        result = await rt.run(workflow(put("a"), put("b"), put("c")))
        assert states(result) == {"a": "compensated", "b": "compensated", "c": "failed"}
        assert place.box.values == {}


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("turn", ["rollback", "undo"])
async def test_what_takes_back_by_another_call_counts_and_is_never_refused(
    place: Place, turn: str, *, is_restarted: bool
) -> None:
    """Also beyond the limit; whoever calls the same later waits for it, in this process and in the next."""
    put_back = {"capability": "box.put", "inputs": {"key": "back"}}
    made = [
        {"name": name, "capability": "io.fs.make_dir", "inputs": {"path": name}, "compensation": put_back}
        for name in ("a", "b", "c")
    ]
    async with place.open() as rt:
        ended = await rt.run(workflow(*made, *([fail()] if turn == "rollback" else [])))
        if turn == "undo":
            ended = await rt.undo(ended.run_id)
        assert ended.status == ("rolled_back" if turn == "rollback" else "undone")
        assert place.box.count("execute", "back") == 3
        if not is_restarted:
            assert code(await rt.call("box.put", {"key": "z"})) == "RATE_LIMITED"
    async with place.open() as rt:
        assert code(await rt.call("box.put", {"key": "z"})) == "RATE_LIMITED"
        assert place.clock is not None
        place.clock.ms += 60_000
        assert (await rt.call("box.put", {"key": "z"})).status == "succeeded"


async def test_a_retry_that_lists_it_waits_until_there_is_room(place: Place) -> None:
    """Its next attempt is not planned before the moment that the limit names."""
    async with place.open() as rt:
        for key in ("a", "b"):
            await rt.call("box.put", {"key": key})
        retry = {"max_attempts": 2, "on": ["RATE_LIMITED"], "backoff": {"initial": "1ms", "jitter": 0}}
        planned: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def listen(run: RunId, n: int | None, at_ms: int, event: object) -> None:
            if isinstance(event, ev.AttemptFailed):
                planned.set_result(event.retry_at_ms)

        with rt.telling(listen):
            running = asyncio.ensure_future(rt.run(workflow(put("c", retry=retry))))
            at_ms = await planned
        assert place.clock is not None
        assert 30_000 < at_ms - place.clock.now_ms() <= 60_000
    await asyncio.wait({running})
    running.exception()


async def test_what_earlier_processes_called_counts(place: Place) -> None:
    """Each command is a process of its own; the journal tells the next one of the calls before it, refused ones apart."""
    async with place.open() as rt:
        await rt.call("box.put", {"key": "a"})
    async with place.open() as rt:
        assert (await rt.call("box.put", {"key": "b"})).status == "succeeded"
        assert code(await rt.call("box.put", {"key": "c"})) == "RATE_LIMITED"
    assert place.clock is not None
    place.clock.ms += 30_000
    async with place.open() as rt:
        assert code(await rt.call("box.put", {"key": "c"})) == "RATE_LIMITED"
    place.clock.ms += 30_000
    async with place.open() as rt:
        assert (await rt.call("box.put", {"key": "c"})).status == "succeeded"


async def test_calls_of_a_clock_that_was_wrong_shut_no_limit(place: Place) -> None:
    """In either direction: what was called 400 days from now counts no more than what was called 400 days ago."""
    assert place.clock is not None
    for days in (400, -400):
        place.clock.ms = days * 86_400_000
        async with place.open() as rt:
            for key in ("a", "b"):
                assert (await rt.call("box.put", {"key": key})).status == "succeeded"
    place.clock.ms = 0
    async with place.open() as rt:
        for key in ("c", "d"):
            assert (await rt.call("box.put", {"key": key})).status == "succeeded"
        assert code(await rt.call("box.put", {"key": "e"})) == "RATE_LIMITED"
    place.clock.ms = -1000  # corrected by a second: what was called just now still counts
    async with place.open() as rt:
        assert code(await rt.call("box.put", {"key": "f"})) == "RATE_LIMITED"


async def test_a_plan_counts_nothing(place: Place) -> None:
    async with place.open() as rt:
        for _ in range(4):
            await rt.plan(workflow(put("a")))
        assert (await rt.call("box.put", {"key": "a"})).status == "succeeded"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[limits.rate.x]\ncalls = 0\nwindow = 1", "`calls` must be a whole number between 1 and 100000"),
        ("[limits.rate.x]\ncalls = 2", "needs `window`"),
        ("[limits.rate.x]\nwindow = 2", "needs `calls`"),
        ("[limits.rate.x]\ncalls = 2\nwindow = 1\nper = ['moon']", "`per` must be a list of"),
        ("[limits.rate.x]\ncalls = 2\nwindow = 1\nper = ['principal', 'principal']", "`per` must be a list"),
        ("[limits.rate]\nx = 3", "`x` must be a table"),
        ("[limits.rate.' ']\ncalls = 2\nwindow = 1", "is not a name of a limit"),
        ("[limits.rate.x]\ncals = 2\nwindow = 1", "has no key `cals`"),
    ],
)
def test_a_limit_that_means_nothing_is_refused_with_its_line(place: Place, text: str, says: str) -> None:
    (place.workspace / "assent.toml").write_text(text)
    with pytest.raises(InputError) as raised:
        place.settings()
    assert raised.value.code == "CONFIG_INVALID"
    faults = raised.value.details.get("faults", [])
    assert isinstance(faults, list)
    assert says in " ".join([raised.value.message, *(str(one) for one in faults)])


def test_the_nearer_file_says_what_a_limit_is(place: Place) -> None:
    user = place.root / ".config" / "assent"
    user.mkdir(parents=True)
    (user / "config.toml").write_text(
        "[limits.rate.puts]\ncalls = 9\nwindow = 9\n[limits.rate.all]\ncalls = 5\nwindow = '2s'\nper = []\n"
    )
    settings = place.settings()
    assert [(rate.name, rate.calls, rate.window_ms, rate.per) for rate in settings.limits.rates] == [
        ("puts", 2, 60_000, ("principal",)),
        ("all", 5, 2000, ()),
    ]
    shown = {one.name: one for one in settings.effective}
    assert shown["limits.rate.puts"].source == f"{place.workspace / 'assent.toml'}:2"
