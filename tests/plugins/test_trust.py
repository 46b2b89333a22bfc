"""Nothing of a plugin runs before it is trusted, and nothing but what was trusted runs after."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assent.capabilities import builtin_capabilities
from assent.errors import AssentError
from assent.plugins import PluginState
from tests.support.hostile import EFFECT, FILES, HONEST, Workshop
from tests.support.plugins import install, interpreter_kept, refused, write
from tests.support.seeds import examples


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    with interpreter_kept():
        yield


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def told(error: AssentError) -> str:
    """Everything that an error tells."""
    return f"{error.message}\n{error.details}"


def test_a_trusted_plugin_is_loaded(shop: Workshop) -> None:
    shop.trust()
    loaded = shop.load()
    assert [spec.reference for spec, _ in loaded.capabilities] == ["plugged.count@1.0.0"]
    assert [one.state for one in shop.loader.list()] == [PluginState.TRUSTED]
    shop.host.unload(loaded)
    shop.host.unload(loaded)
    assert not [name for name in sys.modules if name.startswith("plugged")]


def test_an_untrusted_plugin_is_never_imported(shop: Workshop) -> None:
    """Finding, reading, listing and refusing it are done without running a line of it."""
    shop.write("__init__.py", f"{EFFECT}{HONEST}")
    assert refused(shop.load).code == "PLUGIN_UNTRUSTED"
    status = shop.loader.list()[0]
    assert (status.name, status.state) == ("plugged", PluginState.REFUSED)
    assert not (shop.package / "effect").exists()
    assert "plugged" not in sys.modules


def test_what_is_trusted_no_longer_is_after_untrust(shop: Workshop) -> None:
    shop.trust()
    assert shop.loader.untrust("plugged") is True
    assert shop.loader.untrust("plugged") is False
    assert refused(shop.load).code == "PLUGIN_UNTRUSTED"
    assert shop.loader.list()[0].state is PluginState.UNTRUSTED


def test_two_runtimes_of_a_process_share_what_both_trust(shop: Workshop) -> None:
    shop.trust()
    one, other = shop.load(), shop.load()
    assert one is other
    shop.host.unload(one)
    assert "plugged" in sys.modules
    shop.host.unload(other)
    assert "plugged" not in sys.modules


def test_two_states_of_a_plugin_cannot_share_a_process(shop: Workshop) -> None:
    shop.trust()
    shop.load()
    shop.write("_count.py", "def count(text: str) -> int:\n    return 0\n")
    shop.trust()
    assert refused(shop.load).code == "PLUGIN_IN_USE"


def test_a_plugin_that_is_gone_is_told(shop: Workshop) -> None:
    shop.trust()
    for file in shop.package.iterdir():
        file.unlink()
    shop.package.rmdir()
    assert "is not there" in refused(shop.load).message
    shop.loader._paths = []
    missing = [one for one in shop.loader.list() if one.state is PluginState.MISSING]
    assert [(one.name, one.origin) for one in missing] == [("plugged", "path plugged")]
    assert refused(shop.load).code == "PLUGIN_UNKNOWN"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(40))
@given(file=st.sampled_from(sorted(FILES)), data=st.data())
def test_any_changed_byte_of_any_file_is_refused(tmp_path: Path, file: str, data: st.DataObject) -> None:
    """Whether or not the manifest can tell, and data too."""
    shop = Workshop(tmp_path)
    shop.trust()
    before = bytearray((tmp_path / file).read_bytes())
    place = data.draw(st.integers(0, len(before) - 1))
    before[place] ^= data.draw(st.integers(1, 255))
    (tmp_path / file).write_bytes(bytes(before))
    error = refused(shop.load)
    assert error.code in ("PLUGIN_CHANGED", "PLUGIN_SOURCE_INVALID")
    assert "plugged" not in sys.modules
    if error.code == "PLUGIN_CHANGED":
        assert f"file {file}" in told(error)


def test_a_change_is_shown_in_the_files_and_in_the_manifest(shop: Workshop) -> None:
    shop.trust()
    shop.write("__init__.py", HONEST.replace('risk="LOW"', 'risk="MEDIUM"'))
    shop.write("more.py", "")
    (shop.package / "words.txt").unlink()
    error = refused(shop.load)
    assert error.code == "PLUGIN_CHANGED"
    differences = error.details["differences"]
    assert isinstance(differences, list)
    lines = {str(one["path"]): one["change"] for one in differences if isinstance(one, dict)}
    assert lines["file plugged/__init__.py"] == "changed"
    assert lines["file plugged/more.py"] == "added"
    assert lines["file plugged/words.txt"] == "removed"
    risk = next(one for one in differences if isinstance(one, dict) and str(one["path"]).endswith(".risk"))
    assert (risk["before"], risk["after"]) == ("LOW", "MEDIUM")
    assert shop.loader.list()[0].state is PluginState.CHANGED


@pytest.mark.parametrize("name", ["planted.py", "planted.pyc", "planted.txt", "inner/__init__.py"])
def test_a_file_that_was_added_is_refused(shop: Workshop, name: str) -> None:
    shop.trust()
    shop.write(name, b"")
    error = refused(shop.load)
    assert error.code == "PLUGIN_CHANGED"
    assert f"+ file plugged/{name}" in error.message


def test_a_file_that_became_a_link_is_refused(shop: Workshop, tmp_path: Path) -> None:
    """Also when it leads to the very same bytes: what it leads to is not what was pinned."""
    shop.trust()
    (shop.package / "_count.py").rename(tmp_path / "elsewhere.py")
    (shop.package / "_count.py").symlink_to(tmp_path / "elsewhere.py")
    assert refused(shop.load).code == "PLUGIN_INVALID"


def test_a_swap_between_check_and_import_changes_nothing(shop: Workshop) -> None:
    """What was checked is in memory, and only that is imported."""
    shop.trust()
    checked = shop.loader.check("plugged")
    shop.write("__init__.py", EFFECT)
    shop.write("_count.py", "raise SystemExit\n")
    loaded = shop.host.load(checked)
    assert [spec.id for spec, _ in loaded.capabilities] == ["plugged.count"]
    assert not (shop.package / "effect").exists()


def test_a_planted_bytecode_cache_is_not_used(shop: Workshop) -> None:
    """A cache that claims to belong to the source, without checking, is what Python itself would take."""
    import py_compile

    evil = write(shop.folder, {"evil.py": "def count(text):\n    return -1\n"}) / "evil.py"
    shop.trust()
    cache = Path(importlib.util.cache_from_source(str(shop.package / "_count.py")))
    cache.parent.mkdir(exist_ok=True)
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(evil), cfile=str(cache), invalidation_mode=mode, doraise=True)
    shop.load()
    assert sys.modules["plugged._count"].count("a b") == 2


def test_a_plugin_from_another_place_is_another_plugin(shop: Workshop, tmp_path: Path) -> None:
    shop.trust()
    (tmp_path / "other").mkdir()
    shop.package.rename(tmp_path / "other" / "plugged")
    shop.loader._paths = ["other/plugged"]
    error = refused(shop.load)
    assert error.code == "PLUGIN_CHANGED"
    assert "~ origin: path plugged → path other/plugged" in error.message


def test_another_version_of_a_dependency_asks_again(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = install(tmp_path / "site", "leftpad", {"leftpad_x.py": ""}, version="1.0")
    monkeypatch.syspath_prepend(str(site))
    shop.write("_count.py", "import leftpad_x\n\n\ndef count(text: str) -> int:\n    return 0\n")
    shop.trust()
    assert shop.loader.lock().plugins["plugged"].dependencies == {"leftpad": "1.0"}
    for file in (site / "leftpad-1.0.dist-info").iterdir():
        file.unlink()
    (site / "leftpad-1.0.dist-info").rmdir()
    install(site, "leftpad", {"leftpad_x.py": ""}, version="2.0")
    error = refused(shop.load)
    assert error.code == "PLUGIN_CHANGED"
    assert "~ dependency leftpad: 1.0 → 2.0" in error.message


@pytest.mark.parametrize(
    ("code", "finding"),
    [
        (
            "import urllib.request\n\n\ndef count(text):\n    urllib.request.urlopen('http://x.test')\n",
            "NETWORK",
        ),
        (
            "import importlib\n\n\ndef count(text):\n    getattr(importlib.import_module('so' + 'cket'), 'soc' + 'ket')()\n",
            "",
        ),
        ("import subprocess\n\n\ndef count(text):\n    subprocess.run(['ls'])\n", "PROCESS"),
        ("import os\n\n\ndef count(text):\n    return os.environ['HOME']\n", "ENVIRONMENT"),
        ("def count(text):\n    return open('/etc/passwd').read()\n", "FILES"),
        ("import json\n\n\ndef fake(*a):\n    return None\n\n\njson.dumps = fake\ncount = len\n", "PATCHES"),
    ],
)
def test_a_plugin_that_does_more_than_it_declares_can_not_be_trusted(
    shop: Workshop, code: str, finding: str
) -> None:
    shop.write("_count.py", code)
    error = refused(shop.trust)
    assert error.code == "PLUGIN_OVERREACHES"
    assert finding in told(error)
    assert shop.loader.lock().plugins == {}


def test_what_is_declared_is_granted_by_trust(shop: Workshop) -> None:
    shop.write(
        "_count.py",
        "import urllib.request\n\n\ndef count(text):\n    urllib.request.urlopen('http://x.test')\n    return 0\n",
    )
    shop.write("assent-plugin.toml", 'name = "plugged"\n[permissions]\nnetwork = ["x.test"]\n')
    shop.trust()
    assert shop.load().plugin.manifest.declaration.permissions.network == ("x.test",)


def test_another_host_asks_again_and_is_shown(shop: Workshop) -> None:
    """Code that takes its address from elsewhere reaches more by a declaration alone."""
    shop.write(
        "_count.py",
        "async def count(context, url):\n    return (await context.http.request('GET', url)).status\n",
    )
    declared = 'name = "plugged"\n[permissions]\nnetwork = [{}]\n'
    shop.write("assent-plugin.toml", declared.format('"a.test"'))
    shop.trust()
    shop.write("assent-plugin.toml", declared.format('"POST a.test", "evil.test"'))
    error = refused(shop.load)
    assert error.code == "PLUGIN_CHANGED"
    changed = [(one["change"], one["path"]) for one in error.details["differences"]]  # type: ignore[union-attr,index,call-overload]  # JSON
    where = "declaration.permissions.network"
    assert {
        ("added", f"{where}[POST a.test]"),
        ("added", f"{where}[evil.test]"),
        ("removed", f"{where}[a.test]"),
    } <= {*changed}


def test_a_declared_entry_that_is_another_module_is_refused(shop: Workshop) -> None:
    shop.write("assent-plugin.toml", 'entry = "plugged.other"\n')
    assert "declares the entry `plugged.other`" in refused(shop.trust).message


def test_compiled_code_needs_a_word_of_its_own(shop: Workshop) -> None:
    spec = importlib.util.find_spec("_bisect")
    if spec is None or not (spec.origin or "").endswith(".so"):
        pytest.skip("this Python has `_bisect` built in")
    library = Path(str(spec.origin))
    shop.write(library.name, library.read_bytes())
    shop.write(
        "_count.py", "from plugged import _bisect\n\n\ndef count(text):\n    return _bisect.bisect([], 1)\n"
    )
    assert refused(shop.trust).code == "PLUGIN_NATIVE"
    shop.trust(native=True)
    assert [spec.id for spec, _ in shop.load().capabilities] == ["plugged.count"]


@pytest.mark.parametrize(
    ("code", "reached"),
    [
        ("def count(text):\n    exec(text)\n", "exec"),
        ("def count(text):\n    return eval('__import__(\"socket\").socket()')\n", "eval"),
        (
            "import ctypes\n\n\ndef count(text):\n    return ctypes.CDLL(None).socket(2, 1, 0)\n",
            "ctypes.CDLL",
        ),
        ("import pickle\n\n\ndef count(text):\n    return pickle.loads(text)\n", "pickle.loads"),
        (
            "import pkgutil\n\n\ndef count(text):\n    return pkgutil.resolve_name('socket:socket')()\n",
            "resolve_name",
        ),
        ("import logging.config\n\n\ndef count(text):\n    logging.config.dictConfig(text)\n", "dictConfig"),
        (
            "import types\n\n\ndef count(text):\n    return types.FunctionType(text, {})()\n",
            "types.FunctionType",
        ),
    ],
)
def test_code_that_no_reading_sees_into_needs_the_same_word(shop: Workshop, code: str, reached: str) -> None:
    """It could call the network where no warning can name it, so it is denied until somebody says so."""
    shop.write("_count.py", code)
    error = refused(shop.trust)
    assert error.code == "PLUGIN_NATIVE"
    assert reached in told(error)
    assert "plugged/_count.py:" in error.message
    assert shop.loader.lock().plugins == {}
    shop.trust(native=True)
    assert shop.loader.check("plugged").native


def test_a_lookup_of_a_host_is_a_call_to_the_network(shop: Workshop) -> None:
    shop.write(
        "_count.py",
        "import asyncio\n\n\nasync def count(text):\n    await asyncio.get_running_loop().getaddrinfo(text, 1)\n",
    )
    assert "NETWORK" in told(refused(shop.trust))


@pytest.mark.parametrize("taken", sorted({one.spec.id for one in builtin_capabilities()} | {"assent.undo"}))
def test_an_id_of_assent_itself_is_refused_before_anything_runs(shop: Workshop, taken: str) -> None:
    shop.write("__init__.py", EFFECT + HONEST.replace("plugged.count", taken))
    error = refused(shop.trust)
    assert error.code == "PLUGIN_OVERREACHES"
    assert "PLUGIN_ID_SHADOWS" in told(error)
    assert f"`{taken}`" in told(error)
    assert not (shop.package / "effect").exists()


FACTORY = """

def make(name):
    @capability(name, operation="READ", risk="LOW")
    async def hidden() -> int:
        return 1

    return hidden


extra = make("plugged.extra")
"""


@pytest.mark.parametrize(
    ("added", "difference"),
    [
        (
            "\n\nimport msgspec\n\nmsgspec.structs.force_setattr(count_words.claims, 'risk', 'MEDIUM')\n",
            "LOW → MEDIUM",
        ),
        (FACTORY, "plugged.extra"),
    ],
)
def test_a_registration_that_differs_from_the_manifest_is_refused(
    shop: Workshop, added: str, difference: str
) -> None:
    """What a decorator is told later, or with what only running tells; nothing of the plugin stays."""
    shop.write("__init__.py", HONEST + added)
    shop.trust()
    error = refused(shop.load)
    assert error.code == "PLUGIN_DIFFERS"
    assert difference in told(error) or difference in error.message
    assert "plugged" not in sys.modules


def test_a_capability_that_nobody_imports_is_missed(shop: Workshop) -> None:
    """The manifest promises it, so a caller may rely on it."""
    shop.write("later.py", HONEST.replace("plugged.count", "plugged.later"))
    shop.trust()
    error = refused(shop.load)
    assert error.code == "PLUGIN_DIFFERS"
    assert "plugged.later" in error.message


@pytest.mark.parametrize(
    "effect",
    [
        "import sys, types\nsys.modules['json'] = types.ModuleType('json')\n",
        "import sys, types\nsys.modules['nobodys_module'] = types.ModuleType('nobodys_module')\n",
        "import sys\nsys.path.insert(0, '/tmp')\n",
        "import builtins\nsetattr(builtins, 'added', 1)\n",
    ],
)
def test_an_import_that_changes_what_all_share_is_refused_and_put_back(shop: Workshop, effect: str) -> None:
    before, path = sys.modules["json"], [*sys.path]
    shop.write("__init__.py", f"{effect}{HONEST}")
    try:
        shop.trust(native=True)
        error = refused(shop.load)
    except AssentError as early:
        error = early
    assert error.code in ("PLUGIN_INTERFERES", "PLUGIN_OVERREACHES")
    assert sys.modules["json"] is before
    assert sys.path == path
    assert "nobodys_module" not in sys.modules
    assert "plugged" not in sys.modules


@pytest.mark.parametrize(
    "failure", ["raise ValueError('no luck')", "raise SystemExit(3)", "import absent_module"]
)
def test_a_failing_import_tells_its_place_and_leaves_nothing(shop: Workshop, failure: str) -> None:
    shop.write("__init__.py", f"{HONEST}\n{failure}\n")
    shop.trust()
    error = refused(shop.load)
    assert error.code == "PLUGIN_FAILED"
    assert error.path is not None
    assert error.path.startswith(str(shop.package / "__init__.py"))
    assert not [name for name in sys.modules if name.startswith("plugged")]


def test_a_module_that_stands_in_the_plugins_place_already_is_not_taken(shop: Workshop) -> None:
    """Whoever put it there would be loaded under a trusted name."""
    from types import ModuleType

    shop.trust()
    sys.modules["plugged._count"] = ModuleType("plugged._count")
    error = refused(shop.load)
    assert error.code == "PLUGIN_SHADOWS"
    assert error.details["modules"] == ["plugged._count"]


def test_what_a_plugin_prints_stays_out_of_answers(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.write("__init__.py", f"{HONEST}\nprint('hello')\n")
    shop.trust()
    shop.load()
    assert capsys.readouterr() == ("", "hello\n")


def test_a_health_that_is_no_function_is_refused(shop: Workshop) -> None:
    shop.write("__init__.py", f"{HONEST}\nhealth = 3\n")
    shop.trust()
    assert "`health`" in refused(shop.load).message


def test_an_installed_plugin_is_trusted_and_loaded_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Workshop(tmp_path / "unused")
    site = install(
        tmp_path / "site", "assent-plugged", FILES, entry_points="plugged = plugged", version="3.1"
    )
    monkeypatch.syspath_prepend(str(site))
    shop.loader._paths = []
    shop.trust()
    assert shop.loader.lock().plugins["plugged"].version == "3.1"
    assert sys.modules.get("plugged") is None
    assert [spec.id for spec, _ in shop.load().capabilities] == ["plugged.count"]
    (site / "plugged" / "_count.py").write_text("def count(text):\n    return 0\n")
    assert refused(lambda: shop.loader.check("plugged")).code == "PLUGIN_CHANGED"
