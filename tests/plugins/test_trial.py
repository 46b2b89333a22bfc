"""A plugin is tried in a process of its own, and whatever becomes of that process is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assent.errors import Json
from assent.plugins import try_plugin
from assent.plugins.loading import _trial
from assent.testing._plugin import trial
from tests.support.hostile import FILES, Workshop
from tests.support.plugins import install, interpreter_kept, refused


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    with interpreter_kept():
        yield


def request(folder: Path, path: str | None = "plugged") -> dict[str, Json]:
    return {
        "workspace": str(folder),
        "lock": str(folder / "assent-plugins.lock"),
        "name": "plugged",
        "path": path,
        "untrusted": True,
        "native": False,
    }


def test_a_suite_that_does_not_end_is_told(tmp_path: Path) -> None:
    error = refused(lambda: try_plugin(request(tmp_path), limit_s=0.01))
    assert error.code == "PLUGIN_FAILED"
    assert "did not end" in error.message


def test_a_process_that_ends_without_an_answer_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_trial, "_SUITE", "this")
    error = refused(lambda: try_plugin(request(tmp_path)))
    assert error.code == "PLUGIN_FAILED"
    assert "ended with 0 and no answer" in error.message


def test_an_installed_plugin_is_tried_with_its_own_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = (
        "from assent.testing import Case\n\nCASES = {'plugged.count': [Case({'text': 'a b'}, name='two')]}\n"
    )
    files = {**FILES, "plugged/contract.py": cases}
    site = install(tmp_path / "site", "assent-plugged", files, entry_points="plugged = plugged")
    monkeypatch.syspath_prepend(str(site))
    answer = trial(request(tmp_path, None))
    assert answer["ok"] is True
    outcomes = answer["outcomes"]
    assert isinstance(outcomes, list)
    assert {one["case"] for one in outcomes if isinstance(one, dict)} == {"two"}
    assert "plugged" not in sys.modules


def test_cases_that_are_no_mapping_are_not_used(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.write("contract.py", "CASES = 3\n")
    assert trial(request(tmp_path))["ok"] is True


def test_a_capability_that_cannot_be_built_tells_whose_it_is(tmp_path: Path) -> None:
    """What a type of the plugin raises is no fault of ours, and no traceback."""
    shop = Workshop(tmp_path)
    odd = (
        "\n\nclass Odd:\n    @classmethod\n    def __get_pydantic_core_schema__(cls, *given: object) -> object:\n"
        "        raise LookupError('no luck')\n"
    )
    text = (shop.package / "__init__.py").read_text()
    head, tail = text.split("\n\n@capability")
    shop.write("__init__.py", f"{head}{odd}\n\n@capability{tail.replace('text: str', 'text: Odd')}")
    shop.trust()
    error = refused(shop.load)
    assert error.code in ("PLUGIN_FAILED", "DECLARATION_INVALID", "PLUGIN_DIFFERS")
    assert "plugged" not in sys.modules
