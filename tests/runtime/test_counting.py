"""What a runtime counts equals what it did, whatever listeners missed; and handlers reach what calls share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assent.invocation import LocalContext
from assent.spec import create_read_capability
from tests.support.bodies import FakeClock, Place, code, no_effect, policy, rule


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, policy=policy(rule("no", "DENY", when={"capability": "box.set"})))


async def test_metrics_are_exact_while_the_channel_drops(place: Place) -> None:
    """A listener that never takes anything loses nearly every event; each call, error, check and decision is counted."""
    place.box.before["bad"] = no_effect
    async with place.open() as rt:
        with rt.lifecycle.subscribe(capacity=1) as events:
            for number in range(5):
                await rt.call("box.put", {"key": f"k{number}"})
            await rt.call("box.put", {"key": "bad"})
            await rt.call("box.set", {"key": "x"})
            await rt.call("box.put", {"nothing": 1})
            assert events.dropped > 0
        found: Any = rt.metrics.snapshot()
    assert found["calls"]["box.put"]["outcomes"] == {"failed": 2, "succeeded": 5}
    assert found["calls"]["box.set"]["outcomes"] == {"denied": 1}
    assert found["errors"] == {"INVALID_INPUT": 1, "POLICY_DENIED": 1, "TRY_AGAIN": 1}
    assert found["decisions"] == {"ALLOW": 6, "DENY": 1}
    assert found["validations"] == {"input.passed": 7, "input.refused": 1, "output.passed": 5}


class Register:
    """A module that a handler uses."""

    def __init__(self) -> None:
        self.seen: list[str] = []


async def test_a_handler_reaches_the_modules_and_the_configuration(place: Place) -> None:
    async def note(context: LocalContext, parameters: dict[str, Any]) -> str:
        context.app.get(Register).seen.append(parameters["key"])
        return context.app.config.text("greeting")

    place.workspace.mkdir()
    (place.workspace / "assent.toml").write_text('[app]\ngreeting = "hello"\n')
    async with place.open() as rt:
        rt.app.register(Register, Register())
        rt.register(create_read_capability("notes.note", parameters={"type": "object"}), note)
        result = await rt.call("notes.note", {"key": "a"})
        assert result.steps[0].output == "hello"
        assert rt.app.get(Register).seen == ["a"]


async def test_a_replay_counts_against_no_limit(place: Place) -> None:
    """A replay has no effect, so it takes nobody's place."""
    place.clock, place.grace_s = FakeClock(), 5.0
    place.workspace.mkdir()
    (place.workspace / "assent.toml").write_text("[limits.rate.all]\ncalls = 2\nwindow = '1h'\n")
    async with place.open() as rt:
        first = await rt.call("box.put", {"key": "a"})
        for _ in range(3):
            report = await rt.replay(str(first.run_id))
            assert report.to_json()["differences"] == []
        assert (await rt.call("box.put", {"key": "b"})).status == "succeeded"
        assert code(await rt.call("box.put", {"key": "c"})) == "RATE_LIMITED"
