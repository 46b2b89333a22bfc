"""A runtime performs plugins in workers: none before the first call, crashes like any other, and in process by name only."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assent import Runtime
from assent.errors import Json, WorldError
from assent.plugins.worker._slot import Slot
from assent.sandbox import Sandbox
from tests.support.hostile import HONEST, Workshop
from tests.support.patience import PATIENCE_S
from tests.support.plugins import interpreter_kept, refused
from tests.support.watching import Watcher

KEEPER = '''\
"""Keeps a mark, and holds still when it is asked to."""

from assent import LocalContext, capability
from assent.invocation import Preview, Reconciliation
from assent.spec.states import Verdict


@capability("plugged.mark", operation="WRITE", risk="MEDIUM", reversible=True)
def mark(context: LocalContext, name: str, hold: bool = False) -> str:
    """Leave a mark."""
    context.world.files.write(name, [b"mark"], key=context.key)
    context.progress(1, 2, f"left {name}")
    if hold:
        context.cancel.wait(600)
    return "marked"


@mark.compensate
def take_away(context: LocalContext, name: str) -> None:
    """Take the mark away."""
    if context.world.files.stat(name) is not None:
        context.world.files.remove_file(name)


@mark.reconcile
def happened(context: LocalContext, name: str) -> Reconciliation:
    """Whether the mark is there."""
    there = context.world.files.stat(name) is not None
    return Reconciliation(Verdict.YES, "found") if there else Reconciliation(Verdict.NO)


@mark.preview
def show(context: LocalContext, name: str) -> Preview:
    """A mark more."""
    context.world.files.write(name, [b"mark"], key=context.key)
    return Preview("text", f"+ {name}")


@mark.before
def polite(call) -> None:
    """Refuse rude names."""
    if call.inputs["name"] == "rude":
        raise ValueError("not that name")
'''
ALLOW: dict[str, Json] = {"version": 1, "default": "ALLOW", "rules": []}


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with interpreter_kept():
        yield


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "assent.toml").write_text('[plugins]\npaths = ["plugged"]\n[sandbox]\nunconfined = true\n')
    return Workshop(folder)


def slots(rt: Runtime) -> list[Slot]:
    """The places of the runtime's workers."""
    host: Any = rt.plugins._host  # `Any`: what is private
    return list(host._workers._slots)


async def test_a_known_plugin_has_no_worker_before_its_first_call(shop: Workshop) -> None:
    shop.trust()
    async with Runtime.open(shop.folder) as rt:
        assert slots(rt)[0].starts == 1
    async with Runtime.open(shop.folder) as rt:
        assert slots(rt)[0].starts == 0
        assert (await rt.call("plugged.count", {"text": "one two"})).steps[0].output == 2
        assert slots(rt)[0].starts == 1
        assert "plugged" not in sys.modules


async def test_what_is_known_of_a_plugin_is_not_believed(shop: Workshop) -> None:
    shop.trust()
    async with Runtime.open(shop.folder):
        pass
    (known,) = (shop.folder / ".assent" / "plugins").iterdir()
    good = known.read_bytes()
    known.write_bytes(good.replace(b"LOW", b"LAX"))
    assert Runtime.open(shop.folder).plugins.faults["plugged"].code
    known.write_bytes(good.replace(b"count_words", b"other_words"))
    known.write_bytes(b"\xff")
    async with Runtime.open(shop.folder) as rt:
        assert (await rt.call("plugged.count", {"text": "one"})).status == "succeeded"


async def test_a_call_whose_worker_dies_after_its_effect_is_found_to_have_happened(shop: Workshop) -> None:
    """What it said of its work until then has been told to whoever watches."""
    shop.write("__init__.py", KEEPER)
    shop.trust()
    watcher = Watcher()
    async with Runtime.open(shop.folder, policy=ALLOW) as rt:
        with rt.telling(watcher):
            running = asyncio.ensure_future(rt.call("plugged.mark", {"name": "m", "hold": True}))
            await watcher.until(lambda told: told.lines == [("call", "left m")])
        assert (shop.folder / "m").exists()
        worker = slots(rt)[0].worker
        assert worker is not None
        worker._child.kill()
        result = await running
        assert (result.status, result.steps[0].output) == ("succeeded", "found")
        assert (await rt.undo(result.run_id)).status == "undone"
        assert not (shop.folder / "m").exists()
        refusal = await rt.call("plugged.mark", {"name": "rude"})
        assert refusal.error is not None
        assert refusal.error["code"] == "HOOK_FAILED"


async def test_what_goes_on_after_unloading_still_has_its_worker(shop: Workshop) -> None:
    shop.write("__init__.py", KEEPER)
    shop.trust()
    async with Runtime.open(shop.folder, policy=ALLOW) as rt:
        running = asyncio.ensure_future(rt.call("plugged.mark", {"name": "m", "hold": True}))
        async with asyncio.timeout(PATIENCE_S):
            while not (shop.folder / "m").exists():  # noqa: ASYNC110  # another process makes it
                await asyncio.sleep(0.01)
        (slot,) = slots(rt)
        rt.plugins.unload("plugged")
        assert slot.worker is not None
        slot.worker._child.kill()
        assert (await running).steps[0].output == "found"


async def test_in_process_is_by_name_only(shop: Workshop) -> None:
    shop.trust(in_process=True)
    async with Runtime.open(shop.folder) as rt:
        assert "plugged" in sys.modules
        assert [one.in_process for one in rt.plugins.list()] == [True]
        assert (await rt.call("plugged.count", {"text": "one"})).steps[0].output == 1
    assert "plugged" not in sys.modules


async def test_where_nothing_holds_a_plugin_is_refused(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(_: Sandbox) -> None:
        raise WorldError("SANDBOX_UNAVAILABLE", "programs can't be confined on this machine")

    monkeypatch.setattr(Sandbox, "require", unavailable)
    shop.trust()
    async with Runtime.open(shop.folder) as rt:
        assert rt.plugins.faults["plugged"].code == "SANDBOX_UNAVAILABLE"
    shop.trust(in_process=True)
    async with Runtime.open(shop.folder) as rt:
        assert (await rt.call("plugged.count", {"text": "one"})).status == "succeeded"


async def test_a_health_without_a_worker_has_failed(shop: Workshop) -> None:
    shop.write("__init__.py", f"{HONEST}\n\ndef health():\n    return None\n")
    shop.trust()
    async with Runtime.open(shop.folder) as rt:
        assert (await rt.plugins.health("plugged")).status.value == "ok"
        slots(rt)[0]._is_closed = True
        worker = slots(rt)[0].worker
        assert worker is not None
        worker._child.kill()
        async with asyncio.timeout(PATIENCE_S):
            while worker.is_alive:  # noqa: ASYNC110  # on another loop
                await asyncio.sleep(0.01)
        assert "closed" in (await rt.plugins.health("plugged")).detail


def test_a_runtime_that_is_closed_can_load_again(shop: Workshop) -> None:
    shop.trust()
    runtime = Runtime.open(shop.folder)
    runtime.plugins.close()
    assert runtime.plugins.load("plugged").plugin.name == "plugged"
    assert refused(lambda: runtime.plugins.load("plugged")).code == "PLUGIN_IN_USE"
    runtime.plugins.close()
    runtime.plugins.close()
