"""The contract of `assent.testing`, and what is the plugin's own."""

import asyncio
from pathlib import Path

import pytest
from notes_plugin import add, list_all
from notes_plugin.contract import CASES

from assent import Runtime
from assent.testing import CapabilityContract


class TestList(CapabilityContract):
    capability = list_all
    cases = CASES["notes.list"]


class TestAdd(CapabilityContract):
    capability = add
    cases = CASES["notes.add"]


def test_what_was_added_is_listed_until_it_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSENT_LEDGER_KEY", str(tmp_path / "key"))

    async def story() -> None:
        async with Runtime.open(tmp_path) as rt:
            rt.register(add)
            rt.register(list_all)
            done = await rt.call("notes.add", {"title": "first", "text": "hello"})
            assert done.status == "succeeded"
            assert (await rt.call("notes.list")).steps[0].output == ["first"]
            assert (await rt.undo(done.run_id)).status == "undone"
            assert (await rt.call("notes.list")).steps[0].output == []

    asyncio.run(story())
