"""Saved plans, kept in the state directory until they are run: at most once, and only as they were shown.

The file is a convenience, not a record: what counts is the run that names the plan in its first event.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from assent.errors import InputError, Json
from assent.spec.ids import PlanId

_PLAN_ID: Final = re.compile(r"plan_[0-9a-z]{26}\Z")


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan with everything that running it needs. `steps` are the planned steps, to say what moved."""

    plan_id: PlanId
    document: dict[str, Json]
    inputs: dict[str, Json]
    principal: str
    environment: str | None
    digest: str
    steps: list[Json]


class PlanStore:
    """The plans of one state directory."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "plans"

    def save(self, plan: SavedPlan) -> None:
        """Keep a plan; its file is readable by its owner only."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = {name: getattr(plan, name) for name in plan.__dataclass_fields__}
        temporary = self._folder / f".{plan.plan_id}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(data, file, sort_keys=True)
        temporary.rename(self._folder / f"{plan.plan_id}.json")

    def load(self, plan_id: str) -> SavedPlan:
        """The plan of that id. `PLAN_UNKNOWN` when there is none."""
        if not _PLAN_ID.match(plan_id):
            raise _unknown(plan_id)
        try:
            data: Any = json.loads((self._folder / f"{plan_id}.json").read_text(encoding="utf-8"))
            return SavedPlan(**data)
        except FileNotFoundError:
            raise _unknown(plan_id) from None
        except (ValueError, TypeError):
            raise InputError(
                "PLAN_INVALID",
                f"plan `{plan_id}` can't be read",
                hint="make it again with `assent plan FILE`",
            ) from None

    def discard(self, plan_id: str) -> None:
        """Remove a plan with the inputs in it, durably; harmless when there is none."""
        (self._folder / f"{plan_id}.json").unlink(missing_ok=True)
        if self._folder.is_dir():
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def stale(saved: SavedPlan, now: list[Json]) -> InputError:
    """The refusal of a plan that would not do today what it showed: which steps moved."""
    before = {_name(step): step for step in saved.steps}
    after = {_name(step): step for step in now}
    moved = [name for name in {**before, **after} if _essence(before.get(name)) != _essence(after.get(name))]
    what = (
        f"step `{moved[0]}` is not as planned" if moved else "the policy or the workspace is not as planned"
    )
    return InputError(
        "PLAN_STALE",
        f"plan `{saved.plan_id}` is out of date: {what}",
        hint="look at a new plan: `assent plan FILE`",
        details={"moved": [*moved]},
    )


def _name(step: Json) -> str:
    return str(step["name"]) if isinstance(step, dict) else ""


def _essence(step: Json | None) -> object:
    if not isinstance(step, dict):
        return None
    return {
        key: step.get(key)
        for key in ("capability", "version", "decision", "rule", "undo", "preview", "known")
    }


def _unknown(plan_id: str) -> InputError:
    return InputError(
        "PLAN_UNKNOWN", f"there is no plan `{plan_id}`", hint="make one with `assent plan FILE`"
    )
