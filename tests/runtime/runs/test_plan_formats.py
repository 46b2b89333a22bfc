"""A saved plan of an earlier format is brought to the current one; what can't be is refused as unreadable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assent import system
from assent.errors import InputError, WorldError
from assent.runtime.runs import _saved_plans as _plans
from assent.runtime.runs._saved_plans import PlanStore, SavedPlan
from assent.versions.transform import Migrations


def saved(folder: Path) -> tuple[PlanStore, SavedPlan, Path]:
    plan = SavedPlan(system.SystemIds().plan_id(), {"workflow": {}}, {"a": 1}, "user:ann", None, "d", [])
    store = PlanStore(folder, expiry_ms=10**9)
    store.save(plan)
    return store, plan, folder / "plans" / f"{plan.plan_id}.json"


def load(store: PlanStore, plan: SavedPlan) -> SavedPlan:
    return store.load(plan.plan_id, system.SystemClock().now_ms())


def test_a_plan_without_a_format_is_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans that were saved before formats had numbers can still be run."""
    store, plan, file = saved(tmp_path)
    assert load(store, plan) == plan
    data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert data.pop("format") == 1
    file.write_text(json.dumps(data), encoding="utf-8")
    assert load(store, plan) == plan
    moved = Migrations("the plan", (lambda old: {**old, "environment": "migrated"},), key="format")
    monkeypatch.setattr(_plans, "MIGRATIONS", moved)
    assert load(store, plan).environment == "migrated"


ODD: dict[str, list[Any]] = {
    "plan_id": [5, "plan_" + "0" * 26, "../x"],
    "document": [5, {}, {"workflow": 5}],
    "inputs": ["x", None, [1]],
    "principal": [5, None],
    "environment": [5],
    "digest": [None, 5],
    "steps": [5, {}],
    "execute_captured": ["yes"],
    "format": [99, -1, "x", 10**400],
}


@pytest.mark.parametrize(
    "change",
    [
        *[{name: value} for name, values in ODD.items() for value in values],
        "[]",
        '{"format": 1}',
        "no json",
        "[" * 100_000 + "]" * 100_000,
        '{"inputs": ' * 100_000,
        "\0",
        " " * 65,
    ],
    ids=lambda change: str(change)[:40],
)
def test_a_plan_that_can_not_be_read_says_so(
    tmp_path: Path, change: str | dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with it, another one is made quickly; and none is run again under another's id."""
    store, plan, file = saved(tmp_path)
    if isinstance(change, str):
        monkeypatch.setattr("assent.journal._files.PLAIN_BYTES_MAX", max(64, len(change.strip())))
        file.write_text(change, encoding="utf-8")
    else:
        file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **change}))
    with pytest.raises(InputError) as caught:
        load(store, plan)
    assert caught.value.code == "PLAN_INVALID"


def test_a_plan_whose_file_can_not_be_opened_can_not_be_read(tmp_path: Path) -> None:
    store, plan, file = saved(tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises(InputError) as caught:
        load(store, plan)
    assert caught.value.code == "PLAN_INVALID"


def test_a_state_that_can_not_be_written_is_told_as_such(tmp_path: Path) -> None:
    """And is no fault of Assent: neither where no plan can be begun, nor where it can't be put in its place."""
    (tmp_path / "plans").write_text("in the way", encoding="utf-8")
    with pytest.raises(WorldError) as caught:
        saved(tmp_path)
    assert caught.value.code == "STATE_UNUSABLE"
    (tmp_path / "plans").unlink()
    store, plan, file = saved(tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises(WorldError) as caught:
        store.save(plan)
    assert caught.value.code == "STATE_UNUSABLE"
    assert [path.name for path in file.parent.iterdir()] == [file.name]
