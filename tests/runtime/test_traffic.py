"""A version that fails too often loses its share by itself, after a restart as well, and the ledger says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assent import Runtime, system
from assent.errors import InputError
from assent.journal import SqliteReader
from assent.registry import VersionHealth
from assent.spec import events as ev
from tests.support.orders import ID, ONE, TWO, Shop, one_to_two

ALLOW: dict[str, Any] = {
    "version": 1,
    "rules": [{"id": "all", "when": {"capability": ID}, "decision": "ALLOW"}],
    "default": "DENY",
}


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def opening(tmp_path: Path, shop: Shop) -> Callable[[], Runtime]:
    """Opens the same workspace, as one process after another would."""
    limits = "[limits]\nversion_calls_min = 4\nversion_failed_percent = 50\nversion_degraded_percent = 10\n"
    (tmp_path / "assent.toml").write_text(limits, encoding="utf-8")

    def make() -> Runtime:
        runtime = Runtime.open(tmp_path, policy=ALLOW)
        runtime.register(ONE, shop.handler("1.0.0"))
        runtime.register(TWO, shop.handler("2.0.0"), transformers=[one_to_two()])
        return runtime

    return make


async def call_until(rt: Runtime, version: str, times: int) -> None:
    """Calls by the bare id until a version served that many."""
    served = 0
    for _ in range(400):
        if served == times:
            return
        served += (await rt.call(ID, {"item": "tea"})).step("call").version == version
    raise AssertionError("the version was hardly asked")


def now_ms() -> int:
    return system.SystemClock().now_ms()


def weights(rt: Runtime) -> dict[str, int]:
    return dict(rt.versions.activation_history(ID)[0].weights)


async def test_errors_take_a_version_its_share(opening: Callable[[], Runtime], shop: Shop) -> None:
    """The reason and the new shares stand in the ledger, and nobody is named as having asked."""
    shop.failing.add("2.0.0")
    async with opening() as rt:
        await rt.versions.activate(ID, {"1.0.0": 1, "2.0.0": 1})
        await call_until(rt, "2.0.0", 4)
        assert weights(rt) == {"1.0.0": 2, "2.0.0": 0}
        [change, _] = rt.versions.activation_history(ID)
        assert (change.code, change.by) == ("ERROR_RATE", None)
        with SqliteReader.open(rt.settings.state) as journal:
            [switched] = [
                leaf.event for leaf in journal.leaves() if isinstance(leaf.event, ev.CapabilitySwitched)
            ]
        assert (switched.version, switched.calls, switched.errors) == ("2.0.0", 4, 4)
        assert switched.window_ms == 600_000
        assert (await rt.call(ID, {"item": "tea"})).step("call").version == "1.0.0"


async def test_errors_of_an_earlier_process_count(opening: Callable[[], Runtime], shop: Shop) -> None:
    """What was recorded is not forgotten by whoever comes next."""
    shop.failing.add("2.0.0")
    async with opening() as rt:
        await rt.versions.activate(ID, {"1.0.0": 1, "2.0.0": 1})
        await call_until(rt, "2.0.0", 3)
        assert weights(rt) == {"1.0.0": 1, "2.0.0": 1}
        before = rt.versions.traffic.rates(ID, rt.versions.now_ms())
    async with opening() as rt:
        assert rt.versions.traffic.rates(ID, rt.versions.now_ms()) == before
        await call_until(rt, "2.0.0", 1)
        assert weights(rt)["2.0.0"] == 0


async def test_a_degraded_version_keeps_its_share(opening: Callable[[], Runtime], shop: Shop) -> None:
    """It is told apart, and serves on."""
    async with opening() as rt:
        await rt.versions.activate(ID, {"1.0.0": 1, "2.0.0": 1})
        await call_until(rt, "2.0.0", 4)
        shop.failing.add("2.0.0")
        await call_until(rt, "2.0.0", 1)
        found = rt.versions.traffic.health(ID, rt.versions.now_ms())
        assert found == {"1.0.0": VersionHealth.HEALTHY, "2.0.0": VersionHealth.DEGRADED}
        assert weights(rt)["2.0.0"] == 1
        told = {status.entry.version: status.to_json()["health"] for status in rt.versions.history(ID)}
        assert told == {"1.0.0": "healthy", "2.0.0": "degraded"}
    reading = opening()
    reading.versions.consult(reading.settings)
    assert [status.health for status in reading.versions.history(ID, now_ms=now_ms())] == [
        VersionHealth.DEGRADED,
        VersionHealth.HEALTHY,
    ]


async def test_what_nobody_could_help_is_no_error_of_a_version(opening: Callable[[], Runtime]) -> None:
    """Refused inputs never began; and calls before the shares were set say nothing about these."""
    async with opening() as rt:
        for _ in range(5):
            await rt.call(f"{ID}@2.0.0", {"items": "no list"})
        await rt.versions.activate(ID, {"1.0.0": 1, "2.0.0": 1})
        for _ in range(5):
            await rt.call(f"{ID}@2.0.0", {"items": "no list"})
        assert rt.versions.traffic.rates(ID, rt.versions.now_ms()) == {}
        await rt.versions.activate(ID, {})
        assert rt.versions.traffic.health(ID, rt.versions.now_ms()) == {}


async def test_versions_that_can_not_serve_each_others_callers_share_nothing(
    tmp_path: Path, shop: Shop
) -> None:
    """A caller would get an error for each call that the other one got."""
    rt = Runtime.open(tmp_path, policy=ALLOW)
    rt.register(ONE, shop.handler("1.0.0"))
    rt.register(TWO, shop.handler("2.0.0"))
    async with rt:
        with pytest.raises(InputError) as caught:
            await rt.versions.activate(ID, {"1.0.0": 80, "2.0.0": 20})
        assert caught.value.code == "TRANSFORM_MISSING"
        await rt.versions.activate(ID, {"2.0.0": 20})
