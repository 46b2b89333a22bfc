"""A runtime loads what is trusted, whole or not at all, and opens without what it can't load."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assent import AssentError, Runtime, capability
from assent.invocation import Health, HealthStatus
from assent.plugins import PluginLoader, PluginState
from assent.runtime.service import process, requests
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring._plugins import Plugins
from tests.support.hostile import FILES, HONEST, Workshop
from tests.support.plugins import interpreter_kept, refused, write

ALLOW = {
    "version": 1,
    "name": "all",
    "default": {"effect": "ALLOW", "reason": "a test"},
    "rules": [],
}


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with interpreter_kept():
        yield


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "assent.toml").write_text('[plugins]\npaths = ["plugged"]\n')
    return Workshop(folder)


def require(shop: Workshop) -> None:
    (shop.folder / "assent.toml").write_text('[plugins]\npaths = ["plugged"]\nrequired = ["plugged"]\n')


async def test_a_trusted_plugin_is_there_to_be_called(shop: Workshop) -> None:
    shop.trust()
    async with Runtime.open(shop.folder) as rt:
        result = await rt.call("plugged.count", {"text": "one two three"})
        assert result.status == "succeeded"
        assert result.steps[0].output == 3
        assert rt.registry.origin("plugged.count@1.0.0") == "plugin plugged"
        assert [(one.name, one.state) for one in rt.plugins.list()] == [("plugged", PluginState.LOADED)]
        assert [*rt.plugins.loaded] == ["plugged"]
    assert "plugged" not in sys.modules


def test_the_commands_that_look_know_a_plugins_capabilities(shop: Workshop) -> None:
    shop.trust()
    settings = Settings.resolve(workspace=shop.folder, environ={"HOME": str(shop.folder)}, cwd=shop.folder)
    assert process.perform(requests.Capability(reference="plugged.count"), settings).version == "1.0.0"
    assert "plugged" not in sys.modules


async def test_without_trust_nothing_is_loaded_and_nothing_looked_for(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PluginLoader, "sources", lambda self: pytest.fail("nothing is to be found"))
    runtime = Runtime.open(shop.folder)
    assert runtime.registry.get("plugged.count") is None
    await runtime.close()


async def test_a_plugin_that_changed_is_left_out_and_told(shop: Workshop) -> None:
    shop.trust()
    shop.write("_count.py", "def count(text: str) -> int:\n    return 0\n")
    async with Runtime.open(shop.folder) as rt:
        assert rt.registry.get("plugged.count") is None
        assert rt.plugins.faults["plugged"].code == "PLUGIN_CHANGED"
        assert [(one.name, one.state) for one in rt.plugins.list()] == [("plugged", PluginState.CHANGED)]
        assert refused(lambda: rt.plugins.unload("plugged")).code == "PLUGIN_CHANGED"


async def test_one_that_fails_at_import_is_told_too(shop: Workshop) -> None:
    shop.write("__init__.py", f"{HONEST}\nraise ValueError('no luck')\n")
    shop.trust()
    async with Runtime.open(shop.folder) as rt:
        status = rt.plugins.list()[0]
        assert (status.state, status.error and status.error.code) == (PluginState.REFUSED, "PLUGIN_FAILED")


def test_a_required_plugin_that_cannot_be_loaded_keeps_the_runtime_shut(shop: Workshop) -> None:
    require(shop)
    error = refused(lambda: Runtime.open(shop.folder))
    assert error.code == "PLUGIN_UNTRUSTED"
    assert "`[plugins] required`" in str(error.hint), (
        "why nothing opens, though the call is of something else"
    )
    shop.trust()
    runtime = Runtime.open(shop.folder)
    runtime.plugins.close()
    shop.write("more.py", "")
    assert refused(lambda: Runtime.open(shop.folder)).code == "PLUGIN_CHANGED"


async def test_a_broken_lock_trusts_nothing_and_is_told(shop: Workshop) -> None:
    (shop.folder / "assent-plugins.lock").write_text("{")
    async with Runtime.open(shop.folder) as rt:
        assert rt.plugins.faults["assent-plugins.lock"].code == "PLUGIN_LOCK_INVALID"
    require(shop)
    assert refused(lambda: Runtime.open(shop.folder)).code == "PLUGIN_LOCK_INVALID"


async def test_one_that_changed_under_its_version_does_not_stop_the_runs_of_others(shop: Workshop) -> None:
    """The record refuses it, and only it."""
    shop.trust()
    async with Runtime.open(shop.folder) as rt:
        assert (await rt.call("plugged.count", {"text": "a"})).status == "succeeded"
    shop.write("__init__.py", HONEST.replace("Count the words", "Count all words"))
    shop.trust()
    async with Runtime.open(shop.folder) as rt:
        assert rt.plugins.faults["plugged"].code == "VERSION_CHANGED"
        assert rt.registry.get("plugged.count") is None
        assert (await rt.call("sys.noop")).status == "succeeded"
    require(shop)
    with pytest.raises(AssentError, match="is not what was recorded"):
        async with Runtime.open(shop.folder):
            pass


async def test_the_lock_is_out_of_reach_of_every_capability(shop: Workshop) -> None:
    shop.trust()
    before = (shop.folder / "assent-plugins.lock").read_bytes()
    async with Runtime.open(shop.folder) as rt:
        result = await rt.call("io.fs.write_file", {"path": "assent-plugins.lock", "content": "{}"})
        assert result.error is not None
        assert result.error["code"] == "PATH_PROTECTED"
    assert (shop.folder / "assent-plugins.lock").read_bytes() == before


def second(shop: Workshop, ident: str) -> None:
    """Another plugin, `other`, that has two capabilities, one of them of this id."""
    text = HONEST.replace("plugged._count", "other._count")
    more = text.replace("count_words", "count_more").replace("plugged.count", "other.first")
    body = f"{more}\n{text[text.index('@capability') :].replace('plugged.count', ident)}"
    count = FILES["plugged/_count.py"]
    write(shop.folder, {"other/__init__.py": body, "other/_count.py": count})
    (shop.folder / "assent.toml").write_text('[plugins]\npaths = ["plugged", "other"]\n')
    loader = PluginLoader(
        shop.folder, shop.folder / "assent-plugins.lock", paths=["plugged", "other"], assent="0.1.0"
    )
    loader.trust(loader.read("other"), native=False, trusted_by="user:alice")


async def test_an_id_of_another_plugin_is_refused_with_everything_else(shop: Workshop) -> None:
    """Nothing of it stays, and who is trusted first by name keeps the id, whatever the version."""
    shop.trust()
    second(shop, "plugged.count")
    async with Runtime.open(shop.folder) as rt:
        assert [*rt.plugins.loaded] == ["other"]
        error = rt.plugins.faults["plugged"]
        assert error.code == "PLUGIN_SHADOWS"
        assert "belongs to plugin other" in error.message
        assert "plugged" not in sys.modules


async def test_a_built_in_id_is_refused(shop: Workshop) -> None:
    """Reading tells already; a program's own capabilities are only known here."""
    shop.write("__init__.py", HONEST.replace("plugged.count", "sys.noop"))
    error = refused(shop.trust)
    assert error.code == "PLUGIN_OVERREACHES"
    assert "sys.noop" in error.message
    shop.write("__init__.py", HONEST)
    shop.trust()
    runtime = Runtime.open(shop.folder)
    runtime.plugins.unload("plugged")
    runtime.register(capability("plugged.count", operation="READ", risk="LOW", version="9.0.0")(nothing))
    error = refused(lambda: runtime.plugins.load("plugged"))
    assert error.code == "PLUGIN_SHADOWS"
    assert runtime.registry.origin("plugged.count@9.0.0") == "python"
    assert runtime.registry.origin("plugged.count@1.0.0") is None
    await runtime.close()


async def nothing() -> None:
    """Nothing."""


def test_a_capability_that_the_registry_refuses_takes_its_neighbours_along(shop: Workshop) -> None:
    """Its compensation names nothing that exists, which shows only when all are together."""
    second(shop, "other.second")
    place = shop.folder / "other" / "__init__.py"
    text = place.read_text().replace(
        '"other.second", operation="READ", risk="LOW"',
        '"other.second", operation="WRITE", risk="HIGH", compensated_by="other.absent"',
    )
    place.write_text(text)
    loader = PluginLoader(shop.folder, shop.folder / "assent-plugins.lock", paths=["other"], assent="0.1.0")
    loader.trust(loader.read("other"), native=False, trusted_by="user:alice")
    runtime = Runtime.open(shop.folder)
    assert runtime.plugins.faults["other"].code == "COMPENSATION_INVALID"
    assert runtime.registry.get("other.first") is None
    assert runtime.registry.get("other.second") is None
    runtime.plugins.close()


async def test_unloading_takes_the_capabilities_out(shop: Workshop) -> None:
    shop.trust()
    async with Runtime.open(shop.folder) as rt:
        assert refused(lambda: rt.plugins.load("plugged")).code == "PLUGIN_IN_USE"
        rt.plugins.unload("plugged")
        assert rt.registry.get("plugged.count") is None
        assert refused(lambda: rt.plugins.unload("plugged")).code == "PLUGIN_UNKNOWN"
        rt.plugins.load("plugged")
        assert (await rt.call("plugged.count", {"text": "a"})).steps[0].output == 1


async def test_reloading_takes_in_what_was_trusted_anew(shop: Workshop) -> None:
    shop.trust()
    async with Runtime.open(shop.folder) as rt:
        shop.write("_count.py", "def count(text: str) -> int:\n    return 42\n")
        assert refused(lambda: rt.plugins.reload("plugged")).code == "PLUGIN_CHANGED"
        assert (await rt.call("plugged.count", {"text": "a"})).steps[0].output == 1
        shop.trust()
        rt.plugins.reload("plugged")
        assert (await rt.call("plugged.count", {"text": "a"})).steps[0].output == 42


async def test_a_reload_that_fails_leaves_the_earlier_state(shop: Workshop) -> None:
    shop.trust()
    async with Runtime.open(shop.folder) as rt:
        shop.write("_count.py", "raise ValueError('no luck')\n")
        shop.trust()
        assert refused(lambda: rt.plugins.reload("plugged")).code == "PLUGIN_FAILED"
        assert (await rt.call("plugged.count", {"text": "a b"})).steps[0].output == 2


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        ("", Health()),
        ("def health():\n    return None\n", Health()),
        ("async def health():\n    return True\n", Health()),
        (
            "def health():\n    return 'the disk is nearly full'\n",
            Health(HealthStatus.DEGRADED, "the disk is nearly full"),
        ),
        ("def health():\n    return False\n", Health(HealthStatus.FAILED)),
        ("def health():\n    raise ValueError('no luck')\n", Health(HealthStatus.FAILED, "no luck")),
        (
            (
                "from assent.invocation import Health, HealthStatus\n\n\n"
                "def health():\n    return Health(HealthStatus.DEGRADED, 'x')\n"
            ),
            Health(HealthStatus.DEGRADED, "x"),
        ),
    ],
)
async def test_a_plugin_says_how_it_is(shop: Workshop, health: str, expected: Health) -> None:
    shop.write("__init__.py", f"{HONEST}\n\n{health}")
    shop.trust()
    runtime = Runtime.open(shop.folder)
    assert await runtime.plugins.health("plugged") == expected
    runtime.plugins.close()


async def test_a_health_that_does_not_answer_counts_as_failed(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assent.runtime.wiring._plugins.HEALTH_S", 0.01)
    text = "import asyncio\n\n\nasync def health():\n    await asyncio.Event().wait()\n"
    shop.write("__init__.py", f"{HONEST}\n\n{text}")
    shop.trust()
    runtime = Runtime.open(shop.folder)
    assert (await runtime.plugins.health("plugged")).status is HealthStatus.FAILED
    runtime.plugins.close()


async def test_the_health_of_what_is_not_loaded_is_an_error(shop: Workshop) -> None:
    settings = Settings.resolve(workspace=shop.folder, environ={"HOME": str(shop.folder)}, cwd=shop.folder)
    plugins = Plugins.trusted(settings, Runtime(settings)._core.capabilities)
    with pytest.raises(Exception, match="no plugin `absent` is loaded"):
        await plugins.health("absent")
