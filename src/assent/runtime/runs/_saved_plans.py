"""Saved plans, kept in the state directory until they are run or expire: run at most once, and only as they were shown.

The file is a convenience, not a record: what counts is the run that names the plan in its first event. When a plan was made is
told by its id, so a file that can't be read, or is gone, expires like any other.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from assent._lazy import compiled_when_asked
from assent.errors import AssentError, InputError, Json
from assent.journal import read_plain, state_unusable
from assent.spec.ids import PlanId
from assent.spec.values.typed import convert
from assent.versions.transform import Migrations

_PLAN_ID: Final = compiled_when_asked(r"plan_([0-7][0-9a-hjkmnp-tv-z]{9})[0-9a-hjkmnp-tv-z]{16}\Z")
_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""Those of an id: Crockford's base 32. The first ten of them are milliseconds since 1970."""


MIGRATIONS: Final = Migrations("the plan", (), key="format")
"""From each format of a plan's file to the next; a format that changes adds its step here."""


class SavedPlan(msgspec.Struct, frozen=True):
    """A plan with everything that running it needs. `steps` are the planned steps, to say what moved."""

    plan_id: PlanId
    document: dict[str, Any]  # `Any`: msgspec has no recursive types
    inputs: dict[str, Any]
    principal: str
    environment: str | None
    digest: str
    steps: list[Any]
    execute_captured: bool = False
    reads: bool = False


class PlanStore:
    """The plans of one state directory."""

    def __init__(self, state: Path, *, expiry_ms: int) -> None:
        self._folder = state / "plans"
        self._expiry_ms = expiry_ms
        self._under_way: set[str] = set()

    @contextmanager
    def claimed(self, plan_id: str) -> Iterator[None]:
        """Inside, nobody else runs the plan: that it was run is in the journal only once its run has begun. `PLAN_USED`."""
        if plan_id in self._under_way:
            raise InputError(
                "PLAN_USED",
                f"plan `{plan_id}` is being run already",
                hint="`assent runs` shows its run; make a new one with `assent plan FILE`",
            )
        self._under_way.add(plan_id)
        try:
            yield
        finally:
            self._under_way.remove(plan_id)

    def save(self, plan: SavedPlan) -> None:
        """Keep a plan; its file is readable by its owner only. `DISK_FULL`, `STATE_UNUSABLE`: nothing of it stays."""
        data = {name: getattr(plan, name) for name in plan.__struct_fields__}
        data["format"] = MIGRATIONS.current
        temporary = self._folder / f".{plan.plan_id}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(data, file, sort_keys=True)
            temporary.rename(self._folder / f"{plan.plan_id}.json")
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            raise state_unusable(self._folder.parent, error) from error

    def load(self, plan_id: str, now_ms: int) -> SavedPlan:
        """The plan of that id. `PLAN_UNKNOWN` when there is none, `PLAN_EXPIRED`, `PLAN_INVALID`."""
        made_ms = _made_ms(plan_id)
        if made_ms is None:
            raise unknown_plan(plan_id)
        if self._has_expired(made_ms, now_ms):
            raise _expired(plan_id, now_ms - made_ms, self._expiry_ms)
        return self._read(plan_id)

    def look(self, plan_id: str) -> tuple[str, int] | None:
        """The workflow of a plan, empty where its file can't be read, and the bytes of that; None where there is none."""
        try:
            size = (self._folder / f"{plan_id}.json").stat().st_size
        except OSError:
            return None
        try:
            return str(self._read(plan_id).document["workflow"].get("name", "")), size
        except InputError:
            return "", size

    def ids(self) -> list[tuple[str, int]]:
        """Every plan that is saved, with the time when it was made, expired ones too."""
        try:
            names = [file.stem for file in self._folder.iterdir() if file.suffix == ".json"]
        except OSError:
            return []
        return [(name, made_ms) for name in names if (made_ms := _made_ms(name)) is not None]

    def _read(self, plan_id: str) -> SavedPlan:
        try:
            data: Any = json.loads(read_plain(self._folder / f"{plan_id}.json"))
            fields: dict[str, Any] = MIGRATIONS.migrate(data) if isinstance(data, dict) else {}
            plan = convert(fields, SavedPlan)
        except FileNotFoundError:
            raise unknown_plan(plan_id) from None
        except (OSError, ValueError, RecursionError, AssentError):
            raise _unreadable(plan_id) from None
        # Under another id it could be run once more.
        if plan.plan_id != plan_id or not isinstance(plan.document.get("workflow"), dict):
            raise _unreadable(plan_id)
        return plan

    def sweep(self, now_ms: int) -> None:
        """Remove the plans that have expired, with the inputs in them; durable when it returns. What can't be removed stays."""
        with suppress(OSError):
            for file in self._folder.iterdir():
                # A process that was killed while it saved a plan left the file with a dot before its name.
                made_ms = _made_ms(file.name.removeprefix(".").removesuffix(".json"))
                if made_ms is not None and self._has_expired(made_ms, now_ms):
                    with suppress(OSError):
                        file.unlink()
            self._sync()

    def _has_expired(self, made_ms: int, now_ms: int) -> bool:
        # Also one that was made under a clock far in the future: it would be kept until that time comes.
        return abs(now_ms - made_ms) >= self._expiry_ms

    def discard(self, plan_id: str) -> None:
        """Remove a plan with the inputs in it, durably; harmless when there is none. `STATE_UNUSABLE`."""
        try:
            (self._folder / f"{plan_id}.json").unlink(missing_ok=True)
            self._sync()
        except FileNotFoundError:
            return
        except OSError as error:
            raise state_unusable(self._folder.parent, error) from error

    def _sync(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _made_ms(plan_id: str) -> int | None:
    """When a plan was made, in milliseconds since 1970; None for what is no plan's id."""
    found = _PLAN_ID.match(plan_id)
    if found is None:
        return None
    made_ms = 0
    for digit in found[1]:
        made_ms = made_ms << 5 | _DIGITS.index(digit)
    return made_ms


def used(plan_id: str, run: object) -> InputError:
    """The refusal of a plan that was run already."""
    return InputError(
        "PLAN_USED",
        f"plan `{plan_id}` was run already, as `{run}`",
        hint="make a new one with `assent plan FILE`",
    )


def anothers(saved: SavedPlan, principal: str) -> InputError:
    """The refusal of a plan that shows what somebody else would do: the policy may answer `principal` otherwise."""
    return InputError(
        "PLAN_STALE",
        f"plan `{saved.plan_id}` shows what `{saved.principal}` would do, and `{principal}` runs it",
        hint=f"run it as who it was made for, or make one with `assent plan FILE --as {principal}`",
        details={"moved": []},
    )


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
        for key in (
            "capability",
            "version",
            "decision",
            "rule",
            "undo",
            "preview",
            "known",
            "consequences",
            "read",
        )
    }


def _expired(plan_id: str, age_ms: int, expiry_ms: int) -> InputError:
    made = f"is {_days(age_ms)} old" if age_ms >= 0 else f"was made {_days(-age_ms)} ahead of the clock"
    return InputError(
        "PLAN_EXPIRED",
        f"plan `{plan_id}` {made}, and plans are kept for {_days(expiry_ms)}",
        hint="look at a new one: `assent plan FILE`",
    )


def _days(duration_ms: int) -> str:
    """A time in the largest unit of which it has one."""
    units = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000))
    unit, length_ms = next((one for one in units if duration_ms >= one[1]), ("second", 1000))
    amount = f"{duration_ms / length_ms:.3g}"
    return f"{amount} {unit}" if amount == "1" else f"{amount} {unit}s"


def _unreadable(plan_id: str) -> InputError:
    return InputError(
        "PLAN_INVALID", f"plan `{plan_id}` can't be read", hint="make it again with `assent plan FILE`"
    )


def unknown_plan(plan_id: str) -> InputError:
    """The refusal of an id that no plan has."""
    return InputError(
        "PLAN_UNKNOWN", f"there is no plan `{plan_id}`", hint="make one with `assent plan FILE`"
    )
