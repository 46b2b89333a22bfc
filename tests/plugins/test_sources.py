"""Plugins are found by reading, and none may take a name that is not its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assent.plugins.source._reading import read_candidate
from assent.plugins.source._sources import find_sources, sources_at
from assent.plugins.source._trust import Candidate
from tests.support.plugins import install, interpreter_kept, refused, write

PROJECT = '[project]\nname = "assent-plugged"\nversion = "1.2.0"\n[project.entry-points."assent.plugins"]\n'
BOOM = "raise SystemExit('imported')\n"


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    with interpreter_kept():
        yield


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for installed distributions, on the path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def read_at(folder: Path, path: str) -> Candidate:
    return read_candidate(sources_at(folder, path)[0], assent="0.1.0")


def test_a_file_a_package_and_a_project_are_plugins(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "plugged_a.py": BOOM,
            "plugged_b/__init__.py": BOOM,
            "c/pyproject.toml": PROJECT + 'c = "plugged_c.main"\n',
            "c/src/plugged_c/__init__.py": BOOM,
            "d/pyproject.toml": PROJECT + 'd = "plugged_d"\n',
            "d/plugged_d.py": BOOM,
        },
    )
    found = find_sources(root, ["plugged_a.py", "plugged_b", str(root / "c"), "d"])
    assert found.faults == {}
    described = {name: (one.module, one.base, one.path, one.version) for name, one in found.plugins.items()}
    assert described == {
        "plugged_a": ("plugged_a", root, root / "plugged_a.py", None),
        "plugged_b": ("plugged_b", root, root / "plugged_b", None),
        "c": ("plugged_c.main", root / "c" / "src", root / "c", "1.2.0"),
        "d": ("plugged_d", root / "d", root / "d", "1.2.0"),
    }
    assert found.plugins["plugged_a"].origin == "path plugged_a.py"
    assert not [name for name in sys.modules if name.startswith("plugged")]


@pytest.mark.parametrize(
    ("files", "path", "said"),
    [
        ({}, "absent", "is not there"),
        ({"words.txt": ""}, "words.txt", "is not a plugin"),
        ({"folder/x.py": ""}, "folder", "is not a plugin"),
        ({"a/__init__.py": "", "a/b/__init__.py": ""}, "a/b", "is part of the package `a`"),
        ({"Notes.py": ""}, "Notes.py", "is not a name of a plugin"),
        ({"p/pyproject.toml": "x ="}, "p", "this is not TOML"),
        ({"p/pyproject.toml": "[project]\n"}, "p", "names no plugin"),
        ({"p/pyproject.toml": "project = 1\n"}, "p", "names no plugin"),
        ({"p/pyproject.toml": PROJECT + 'p = "m:f"\n'}, "p", "which is not a module"),
        ({"p/pyproject.toml": PROJECT + 'p = "plugged"\n'}, "p", "no package or module of that name"),
        (
            {"p/pyproject.toml": PROJECT + 'p = "plugged.x"\n', "p/plugged/x.py": ""},
            "p",
            "no package or module of that name",
        ),
        (
            {"p/pyproject.toml": PROJECT + 'P = "plugged"\n', "p/plugged.py": ""},
            "p",
            "is not a name of a plugin",
        ),
    ],
)
def test_what_is_no_plugin_is_told(tmp_path: Path, files: dict[str, str], path: str, said: str) -> None:
    write(tmp_path, files)
    error = refused(lambda: sources_at(tmp_path, path))
    assert error.code == "PLUGIN_INVALID"
    assert said in error.message


@pytest.mark.parametrize(
    ("path", "whose"),
    [("json.py", "Python itself"), ("assent.py", "Assent itself"), ("pydantic.py", "the installed module")],
)
def test_a_plugin_may_not_take_the_name_of_a_module_of_others(tmp_path: Path, path: str, whose: str) -> None:
    """Its importer answers first, so everything that imports that name would be given the plugin."""
    write(tmp_path, {path: ""})
    error = refused(lambda: read_at(tmp_path, path))
    assert error.code == "PLUGIN_SHADOWS"
    assert whose in error.message


def test_a_namespace_package_cannot_be_joined(tmp_path: Path, site: Path) -> None:
    """A name that folders elsewhere share is taken, even when the plugin's own folder is a regular package."""
    write(site, {"shared_space/one.py": ""})
    write(tmp_path, {"shared_space/__init__.py": ""})
    assert refused(lambda: read_at(tmp_path, "shared_space")).code == "PLUGIN_SHADOWS"


def test_two_plugins_of_one_name_are_both_left_out(tmp_path: Path) -> None:
    write(tmp_path, {"a/plugged.py": "", "b/plugged.py": ""})
    found = find_sources(tmp_path, ["a/plugged.py", "b/plugged.py"])
    error = refused(lambda: found.get("plugged"))
    assert error.code == "PLUGIN_AMBIGUOUS"
    assert "path a/plugged.py and path b/plugged.py" in error.message


def test_one_broken_path_does_not_hide_the_others(tmp_path: Path) -> None:
    write(tmp_path, {"plugged.py": ""})
    found = find_sources(tmp_path, ["absent.py", "plugged.py"])
    assert [*found.faults] == ["absent"]
    assert found.get("plugged").module == "plugged"
    near = refused(lambda: found.get("pluged"))
    assert near.code == "PLUGIN_UNKNOWN"
    assert near.hint == "did you mean `plugged`?"


def test_an_installed_plugin_is_found_without_importing_anything(tmp_path: Path, site: Path) -> None:
    """Also its parent package is not imported, and everything that the distribution installs is its own."""
    files = {"plugged/__init__.py": BOOM, "plugged/main.py": BOOM, "plugged_more.py": BOOM, "words.txt": ""}
    install(site, "assent-plugged", files, entry_points="plugged = plugged.main", version="2.0.0")
    found = find_sources(tmp_path, []).get("plugged")
    assert found.module == "plugged.main"
    assert found.roots == (site / "plugged", site / "plugged_more.py")
    assert found.origin == "distribution assent-plugged"
    assert found.version == "2.0.0"
    assert not [name for name in sys.modules if name.startswith("plugged")]


def test_an_entry_point_may_not_name_a_module_of_another_distribution(tmp_path: Path, site: Path) -> None:
    install(site, "victim", {"plugged_victim/__init__.py": ""})
    install(site, "assent-evil", {"plugged_evil/__init__.py": ""}, entry_points="evil = plugged_victim")
    error = refused(lambda: find_sources(tmp_path, []).get("evil"))
    assert error.code == "PLUGIN_SHADOWS"
    assert "not one of its own modules" in error.message


@pytest.mark.parametrize("module", ["json", "assent.policy", "plugged_absent", "plugged_space"])
def test_an_entry_point_may_not_name_what_is_not_there_or_not_its_own(
    tmp_path: Path, site: Path, module: str
) -> None:
    files = {"plugged/__init__.py": "", "plugged_space/x.py": ""}
    install(site, "assent-evil", files, entry_points=f"evil = {module}")
    assert refused(lambda: find_sources(tmp_path, []).get("evil")).code in (
        "PLUGIN_SHADOWS",
        "PLUGIN_INVALID",
    )


def test_a_distribution_that_brings_a_module_of_others_along_is_refused(tmp_path: Path, site: Path) -> None:
    """Only its entry module is its own name; the other one would answer for Python's."""
    install(site, "assent-evil", {"plugged/__init__.py": "", "secrets.py": ""}, entry_points="evil = plugged")
    error = refused(lambda: read_candidate(find_sources(tmp_path, []).get("evil"), assent="0.1.0"))
    assert error.code == "PLUGIN_SHADOWS"
    assert "`secrets` of Python itself" in error.message


def test_an_editable_installation_is_found_where_it_is_developed(tmp_path: Path, site: Path) -> None:
    source = write(tmp_path / "project" / "src", {"plugged/__init__.py": BOOM})
    install(
        site,
        "assent-plugged",
        {"_plugged.pth": f"{source}\n"},
        entry_points="plugged = plugged",
    )
    sys.path.append(str(source))
    assert find_sources(tmp_path, []).get("plugged").roots == (source / "plugged",)


def test_a_distribution_that_runs_code_at_every_start_is_refused(tmp_path: Path, site: Path) -> None:
    files = {"plugged/__init__.py": "", "start.pth": "import os; os.getcwd()\n"}
    install(site, "assent-evil", files, entry_points="evil = plugged")
    error = refused(lambda: find_sources(tmp_path, []).get("evil"))
    assert error.code == "PLUGIN_INTERFERES"
    assert error.path == str(site / "start.pth")


def test_an_installed_plugin_and_one_at_a_path_may_not_share_a_name(tmp_path: Path, site: Path) -> None:
    """What is installed must not take the place of what the workspace names, nor the other way round."""
    install(site, "assent-plugged", {"plugged_x/__init__.py": ""}, entry_points="plugged = plugged_x")
    write(tmp_path, {"plugged.py": ""})
    assert refused(lambda: find_sources(tmp_path, ["plugged.py"]).get("plugged")).code == "PLUGIN_AMBIGUOUS"
