"""A runtime starts its application when it opens, and shuts it down before its journal closes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from assent import Runtime
from assent.errors import InputError, WorldError
from assent.journal import Journal, rows_at_once
from assent.runtime.service import answers, process, requests
from assent.runtime.service.service import Service
from tests.support.bodies import Place


class Database:
    """A module."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def configure(place: Place, text: str) -> None:
    place.workspace.mkdir(exist_ok=True)
    (place.workspace / "assent.toml").write_text(text)


async def test_modules_start_with_the_runtime_and_close_before_its_journal(place: Place) -> None:
    """A module's `close` still finds the ledger open; afterwards both are closed."""
    configure(place, '[app]\nurl = "db://x"\n[app.pool]\nsize = 3\n')
    rt = Runtime(place.settings())
    log: list[str] = []
    journals: list[Journal] = []

    def close(module: Database) -> None:
        assert list(rows_at_once(journals[0], "runs")), "the ledger still answers"
        log.append("closed")

    def connect(app: object) -> Database:
        log.append(rt.app.config.text("url"))
        return Database()

    rt.app.register(Database, factory=connect, close=close)
    async with rt:
        assert isinstance(rt.app.get(Database), Database)
        assert rt.app.config.whole("pool.size") == 3
        assert (await rt.app.health()).status == "ok"
        journals.append(rt._core.ready.journal)
        await rt.call("sys.noop")
    assert log == ["db://x", "closed"]
    with pytest.raises(InputError, match="shut down"):
        rt.app.get(Database)


@pytest.mark.parametrize(
    ("module", "name"),
    [("exec", "Programs"), ("git", "GitHome"), ("info", "Machine"), ("net", "Http")],
)
async def test_what_the_hands_need_is_there_when_it_is_asked_for(
    place: Place, module: str, name: str
) -> None:
    """The application offers each by the path of its type, which is therefore where that type lives."""
    kind: type = getattr(import_module(f"assent.capabilities.{module}"), name)
    async with Runtime(place.settings()) as rt:
        assert isinstance(rt.app.get(kind), kind)


def test_a_run_of_a_file_step_imports_no_other_hands(place: Place) -> None:
    """Programs, requests, repositories and the machine cost their start to those who use them; of others, settings are read."""
    asked = """
import asyncio, sys
from assent.runtime import Runtime
async def main():
    async with Runtime.open(sys.argv[1]) as rt:
        await rt.call("io.fs.write_file", {"path": "a.txt", "content": "a"})
asyncio.run(main())
parts = [name.split(".") for name in sys.modules if name.startswith("assent.capabilities.")]
print(*sorted({area for _, _, area, *module in parts if module and module != ["area"]}))
"""
    place.workspace.mkdir(exist_ok=True)
    answer = subprocess.run(
        [sys.executable, "-c", asked, str(place.workspace)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "XDG_CONFIG_HOME": str(place.workspace.parent / "config")},
    )
    assert answer.stdout.split() == ["fs"]


async def test_a_runtime_whose_module_fails_to_start_does_not_open(place: Place) -> None:
    """The state directory is free again, and another runtime can have it."""

    def fail(app: object) -> Database:
        raise OSError("no route to the database")

    rt = Runtime(place.settings())
    rt.app.register(Database, factory=fail)
    with pytest.raises(WorldError, match="no route"):
        await rt.__aenter__()
    async with Runtime(place.settings()) as other:
        assert (await other.call("sys.noop")).status == "succeeded"


async def test_a_failing_shutdown_is_told_and_the_state_is_free_all_the_same(place: Place) -> None:
    def stuck(module: Database) -> None:
        raise OSError("stuck")

    rt = Runtime(place.settings())
    rt.app.register(Database, Database(), close=stuck)
    await rt.__aenter__()
    with pytest.raises(WorldError, match="`Database`"):
        await rt.close()
    async with Runtime(place.settings()) as other:
        assert (await other.call("sys.noop")).status == "succeeded"


async def test_the_configuration_is_read_again_and_a_file_that_is_broken_or_gone_keeps_the_old(
    place: Place,
) -> None:
    configure(place, "[app]\nsize = 1\n")
    async with Runtime(place.settings()) as rt:
        old = rt.app.config
        configure(place, "[app]\nsize = 2\n")
        await rt.reload_configuration()
        assert (old.whole("size"), rt.app.config.whole("size")) == (1, 2)
        configure(place, "[app]\nsize = [\n")
        with pytest.raises(InputError):
            await rt.reload_configuration()
        (place.workspace / "assent.toml").unlink()
        with pytest.raises(InputError, match="not there any more"):
            await rt.reload_configuration()
        assert rt.app.config.whole("size") == 2
        configure(place, "")
        await rt.reload_configuration()
        assert rt.app.config.to_json() == {}


async def test_whoever_asks_the_owner_learns_how_it_is(place: Place) -> None:
    """Its health and its metrics; a policy that can't be read again shows as failed. Without an owner nobody is asked."""
    configure(place, 'policy = "policy.yaml"')
    policy = place.workspace / "policy.yaml"
    policy.write_text("version: 1\ndefault: ALLOW\nrules: []\n")
    settings = place.settings()
    settings.create_state()
    assert await asyncio.to_thread(process.perform, requests.Health(), settings) is None
    async with Runtime(settings) as rt:
        service = Service(settings, rt._core)
        found = await service.perform(requests.Health())
        assert found is not None
        assert found.status == "ok"
        assert found.metrics == rt.metrics.snapshot()
        policy.write_text("version: 2")
        with pytest.raises(InputError):
            rt.reload_policy()
        found = await service.perform(requests.Health())
        assert found is not None
        assert found.status == "failed"
        detail = "it could not be reloaded: every new step is denied"
        assert found.parts == {
            "policy": answers.PartHealth(status="failed", detail=detail),
            "state": answers.PartHealth(status="ok", detail=""),
        }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("app = 3", "must be a table"),
        ("[app]\nwhen = 2026-10-01", "write dates and times as text"),
        ("[app.deep]\nlist = [1, inf]", "`deep.list.1`: it must be a finite number"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_line(place: Place, text: str, says: str) -> None:
    configure(place, text)
    with pytest.raises(InputError, match=says) as raised:
        place.settings()
    assert raised.value.code == "CONFIG_INVALID"
    assert str(raised.value.path).startswith(str(place.workspace / "assent.toml"))
