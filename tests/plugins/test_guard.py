"""What an import did to what all code shares is found, and put back."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import pytest

from assent.plugins.loading._importing import InterpreterGuard
from tests.support.plugins import interpreter_kept


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    with interpreter_kept():
        yield


def test_nothing_is_found_where_nothing_changed() -> None:
    guard = InterpreterGuard({"plugged"})
    sys.modules["plugged.made_by_hand"] = ModuleType("plugged.made_by_hand")
    sys.modules["other.moves"] = ModuleType("other.moves")
    sys.meta_path.append(MetaPathFinder())
    assert guard.changes() == []


def test_every_change_is_told_and_put_back() -> None:
    json, calendar = sys.modules["json"], __import__("calendar")
    before = (len, [*sys.path], [*sys.path_hooks], [*sys.meta_path])
    guard = InterpreterGuard({"plugged"})
    sys.modules["json"] = ModuleType("json")
    del sys.modules["calendar"]
    sys.modules["planted_by_nobody_else"] = ModuleType("planted_by_nobody_else")
    sys.modules["assent.policy.more"] = ModuleType("assent.policy.more")
    spec = spec_from_file_location("assent.capabilities.odd", "/tmp/odd.py")
    assert spec is not None
    sys.modules["assent.capabilities.odd"] = module_from_spec(spec)
    builtins.len = lambda _: 0  # as somebody might
    builtins.added = 1  # type: ignore[attr-defined]  # as above
    sys.path.insert(0, "elsewhere")
    sys.path_hooks.append(lambda path: None)  # type: ignore[arg-type, return-value]  # never called
    sys.meta_path.insert(0, MetaPathFinder())
    changes = guard.changes()
    guard.restore()
    assert sorted(changes) == sorted(
        [
            "`sys.modules`: `json` was replaced",
            "`sys.modules`: `calendar` was removed",
            "`sys.modules`: `assent.policy.more` was planted",
            "`sys.modules`: `assent.capabilities.odd` was planted",
            "`sys.modules`: `planted_by_nobody_else` was planted",
            "builtin `added`",
            "builtin `len`",
            "`sys.path`",
            "`sys.path_hooks`",
            "`sys.meta_path`",
        ]
    )
    assert guard.changes() == []
    assert sys.modules["json"] is json
    assert sys.modules["calendar"] is calendar
    assert "planted_by_nobody_else" not in sys.modules
    assert "assent.capabilities.odd" not in sys.modules
    assert not hasattr(builtins, "added")
    assert (len, [*sys.path], [*sys.path_hooks], [*sys.meta_path]) == before
