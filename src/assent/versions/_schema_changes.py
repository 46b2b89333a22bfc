"""What a difference of schemas is made of, and how two alternatives for one kind of value differ in their keywords."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final

from assent.errors import Json
from assent.spec.unkept_fields import KEPT
from assent.spec.values.canonical import canonical_json
from assent.spec.workflow.inputs import violations
from assent.versions._schema_shape import NOTES, Alternative

LISTED_MAX: Final = 64
"""Integers of a range that are held against a list of values one by one."""


class ChangeKind(StrEnum):
    """What sort of change it is. People script against these words."""

    FIELD_ADDED = "field_added"
    FIELD_REMOVED = "field_removed"
    MADE_REQUIRED = "made_required"
    MADE_OPTIONAL = "made_optional"
    TYPE_CHANGED = "type_changed"
    MADE_NULLABLE = "made_nullable"
    MADE_NOT_NULLABLE = "made_not_nullable"
    VALUES_NARROWED = "values_narrowed"
    VALUES_WIDENED = "values_widened"
    VALUES_CHANGED = "values_changed"
    LIMIT_TIGHTENED = "limit_tightened"
    LIMIT_LOOSENED = "limit_loosened"
    PATTERN_CHANGED = "pattern_changed"
    FORMAT_CHANGED = "format_changed"
    ALTERNATIVE_ADDED = "alternative_added"
    ALTERNATIVE_REMOVED = "alternative_removed"
    EXTRA_FIELDS = "extra_fields"
    DEFAULT_CHANGED = "default_changed"
    DESCRIPTION_CHANGED = "description_changed"
    SECRECY_CHANGED = "secrecy_changed"
    NOT_COMPARABLE = "not_comparable"
    RISK_RAISED = "risk_raised"
    RISK_LOWERED = "risk_lowered"
    APPROVAL_CHANGED = "approval_changed"
    REVERSIBILITY_LOST = "reversibility_lost"
    REVERSIBILITY_GAINED = "reversibility_gained"
    COMPENSATION_CHANGED = "compensation_changed"
    OPERATION_CHANGED = "operation_changed"
    IDEMPOTENCE_CHANGED = "idempotence_changed"
    TIMEOUT_CHANGED = "timeout_changed"
    LABELS_CHANGED = "labels_changed"
    SECRETS_ADDED = "secrets_added"
    SECRETS_REMOVED = "secrets_removed"
    SANDBOX_CHANGED = "sandbox_changed"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `path` names the place (`parameters.lines[].price`); `reason` says in words what changed."""

    path: str
    kind: ChangeKind
    is_breaking: bool
    reason: str

    def to_json(self) -> dict[str, Json]:
        """The change as people script against it."""
        return {
            "path": self.path,
            "kind": self.kind.value,
            "breaking": self.is_breaking,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Found:
    """A change before its direction is known. `refuses`: the new schema refuses what the old one allowed; `admits`: it
    allows what the old one refused.
    """

    path: str
    kind: ChangeKind
    reason: str
    refuses: bool = False
    admits: bool = False


def scalar_changes(old: Alternative, new: Alternative, path: str) -> Iterator[Found]:
    """Two alternatives for a boolean, a number, a text or null.

    Whether the values that one side lists fit the other's limits is known exactly, so the limits themselves are not asked there.
    """
    old, new = _within_limits(old), _within_limits(new)
    if (old.values is None) != (new.values is None):
        old, new = _counted(old), _counted(new)
    lists_old, lists_new = old.values is not None, new.values is not None
    yield from _listed_once(old, new, path) if lists_old != lists_new else value_changes(old, new, path)
    for change in (*_number_type(old, new, path), *limit_changes(old, new, path)):
        yield replace(
            change, refuses=change.refuses and not lists_old, admits=change.admits and not lists_new
        )
    yield from _text_changes(old, new, path)


def value_changes(old: Alternative, new: Alternative, path: str) -> Iterator[Found]:
    """What differs in the lists of values."""
    if old.values is None or new.values is None:
        if old.values is not None:
            yield Found(path, ChangeKind.VALUES_WIDENED, _NO_LIST, admits=True)
        if new.values is not None:
            yield Found(path, ChangeKind.VALUES_NARROWED, _A_LIST, refuses=True)
        return
    gone = [key.decode() for key in old.values if key not in new.values]
    come = [key.decode() for key in new.values if key not in old.values]
    if gone and come:
        reason = f"{_some(gone)} may no longer be given, and {_some(come)} may"
        yield Found(path, ChangeKind.VALUES_CHANGED, reason, refuses=True, admits=True)
    elif gone:
        reason = f"{_some(gone)} may no longer be given"
        yield Found(path, ChangeKind.VALUES_NARROWED, reason, refuses=True)
    elif come:
        yield Found(path, ChangeKind.VALUES_WIDENED, f"{_some(come)} may be given now", admits=True)


_A_LIST: Final = "it must now be one of a list of values"
_NO_LIST: Final = "it is no longer one of a list of values"


def _listed_once(old: Alternative, new: Alternative, path: str) -> Iterator[Found]:
    """One side lists its values: each of them is held against the other side's limits."""
    one, other = (new, old) if old.values is None else (old, new)
    outside = [key.decode() for key, value in (one.values or {}).items() if _is_outside(value, other)]
    if one is new:
        yield Found(path, ChangeKind.VALUES_NARROWED, _A_LIST, refuses=True, admits=bool(outside))
    else:
        reason = _NO_LIST + (f", and {_some(outside)} may no longer be given" if outside else "")
        yield Found(path, ChangeKind.VALUES_WIDENED, reason, refuses=bool(outside), admits=True)


def _within_limits(alternative: Alternative) -> Alternative:
    """The alternative with those of its values that its own limits allow."""
    if alternative.values is None or not alternative.keywords:
        return alternative
    values = {key: value for key, value in alternative.values.items() if not _is_outside(value, alternative)}
    return replace(alternative, values=values)


def _counted(alternative: Alternative) -> Alternative:
    """The alternative with its values listed, when it is a short range of integers."""
    if alternative.values is not None or not alternative.is_integer:
        return alternative
    low, high = (_bound(alternative, is_lower=is_lower).value for is_lower in (True, False))
    if high - low >= LISTED_MAX:
        return alternative
    listed = {canonical_json(value): value for value in range(int(low), int(high) + 1)}
    return _within_limits(replace(alternative, values=listed))


def _is_outside(value: Any, alternative: Alternative) -> bool:
    # Patterns and formats are compared as they are written: whether a value fits one depends on who reads it.
    schema: dict[str, Any] = {
        key: item for key, item in alternative.keywords.items() if key not in ("pattern", "format")
    }
    if alternative.is_integer:
        schema["type"] = "integer"
    return bool(violations(schema, value))


def _number_type(old: Alternative, new: Alternative, path: str) -> Iterator[Found]:
    if old.is_integer and not new.is_integer:
        yield Found(path, ChangeKind.TYPE_CHANGED, "it was integer and is number", admits=True)
    elif new.is_integer and not old.is_integer:
        yield Found(path, ChangeKind.TYPE_CHANGED, "it was number and is integer", refuses=True)


_LOWER: Final = {"minLength": "length", "minItems": "number of items", "minProperties": "number of fields"}
_UPPER: Final = {"maxLength": "length", "maxItems": "number of items", "maxProperties": "number of fields"}


def limit_changes(old: Alternative, new: Alternative, path: str) -> Iterator[Found]:
    for key, what in _LOWER.items():
        one, other = old.keywords.get(key, 0), new.keywords.get(key, 0)
        yield from _moved(path, f"the least {what}", one, other, grows_tighter=True)
    for key, what in _UPPER.items():
        one, other = old.keywords.get(key, _NO_LIMIT), new.keywords.get(key, _NO_LIMIT)
        yield from _moved(path, f"the greatest {what}", one, other, grows_tighter=False)
    if old.kind == "number":
        for is_lower in (True, False):
            before, after = _bound(old, is_lower=is_lower), _bound(new, is_lower=is_lower)
            what = "the least value" if is_lower else "the greatest value"
            yield from _moved(path, what, before, after, grows_tighter=is_lower)
        yield from _multiples(old.keywords.get("multipleOf"), new.keywords.get("multipleOf"), path)


_NO_LIMIT: Final = float("inf")


@dataclass(frozen=True, slots=True, order=True)
class _Bound:
    """A bound of a number; `excludes` is ordered so that a tighter bound compares as further inside."""

    value: Fraction | float
    excludes: int = 0

    def __str__(self) -> str:
        number = self.value if isinstance(self.value, float) else float(self.value)
        if abs(number) == _NO_LIMIT:
            return "not limited"
        shown = f"{number:g}"
        return f"{shown} (excluded)" if self.excludes else shown


def _bound(alternative: Alternative, *, is_lower: bool) -> _Bound:
    plain, exclusive = ("minimum", "exclusiveMinimum") if is_lower else ("maximum", "exclusiveMaximum")
    # A lower bound gets tighter as it grows, an upper one as it shrinks; so does what excludes its own value.
    inward = 1 if is_lower else -1
    found = [_Bound(-inward * _NO_LIMIT)]
    for key, excludes in ((plain, 0), (exclusive, inward)):
        if key in alternative.keywords:
            found.append(_Bound(Fraction(str(alternative.keywords[key])), excludes))
    bound = max(found) if is_lower else min(found)
    if alternative.is_integer and isinstance(bound.value, Fraction):
        whole = -(-bound.value // 1) if is_lower else bound.value // 1
        moved = inward if bound.excludes and bound.value == whole else 0
        return _Bound(Fraction(whole + moved))
    return bound


def _moved(path: str, what: str, old: Any, new: Any, *, grows_tighter: bool) -> Iterator[Found]:
    if old == new:
        return
    was, now = ("not limited" if limit == _NO_LIMIT else str(limit) for limit in (old, new))
    is_tighter = (new > old) == grows_tighter
    kind = ChangeKind.LIMIT_TIGHTENED if is_tighter else ChangeKind.LIMIT_LOOSENED
    yield Found(path, kind, f"{what} was {was} and is {now}", refuses=is_tighter, admits=not is_tighter)


def _multiples(old: Any, new: Any, path: str) -> Iterator[Found]:
    if old == new:
        return
    refuses = new is not None and (old is None or Fraction(str(old)) % Fraction(str(new)) != 0)
    admits = old is not None and (new is None or Fraction(str(new)) % Fraction(str(old)) != 0)
    kind = ChangeKind.LIMIT_TIGHTENED if refuses else ChangeKind.LIMIT_LOOSENED
    was, now = ("not limited" if step is None else str(step) for step in (old, new))
    yield Found(
        path, kind, f"what it is a multiple of was {was} and is {now}", refuses=refuses, admits=admits
    )


def _text_changes(old: Alternative, new: Alternative, path: str) -> Iterator[Found]:
    for key, kind in (("pattern", ChangeKind.PATTERN_CHANGED), ("format", ChangeKind.FORMAT_CHANGED)):
        one, other = old.keywords.get(key), new.keywords.get(key)
        if one != other:
            was, now = ("none" if text is None else f"`{text}`" for text in (one, other))
            reason = f"its {key} was {was} and is {now}"
            yield Found(path, kind, reason, refuses=other is not None, admits=one is not None)


def requirement_changes(path: str, *, is_before: bool, is_after: bool) -> Iterator[Found]:
    if is_after and not is_before:
        yield Found(path, ChangeKind.MADE_REQUIRED, "the field was optional and is required", refuses=True)
    elif is_before and not is_after:
        yield Found(path, ChangeKind.MADE_OPTIONAL, "the field was required and is optional", admits=True)


def not_comparable(path: str, what: str) -> Found:
    reason = f"{what}, and whether old values still fit can't be told"
    return Found(path, ChangeKind.NOT_COMPARABLE, reason, refuses=True, admits=True)


def _some(values: list[str]) -> str:
    shown = ", ".join(f"`{value[:60]}`" for value in values[:5])
    return shown + (f" and {len(values) - 5} more" if len(values) > 5 else "")


def note_changes(old: Alternative, new: Alternative, path: str) -> Iterator[Found]:
    """What differs in annotations: nothing of it refuses a value, but people and programs read it."""
    for key in NOTES:
        one, other = ([item.notes[key]] if key in item.notes else [] for item in (old, new))
        if canonical_json(one) == canonical_json(other):
            continue
        if key == "default":
            was, now = (
                f"`{canonical_json(side[0]).decode()[:60]}`" if side else "none" for side in (one, other)
            )
            yield Found(path, ChangeKind.DEFAULT_CHANGED, f"its default was {was} and is {now}")
        elif key == "writeOnly":
            reason = "it is a secret now" if other == [True] else "it is no longer a secret"
            yield Found(path, ChangeKind.SECRECY_CHANGED, reason)
        elif key == KEPT:
            reason = "it is told and not kept now" if other == [False] else "it is kept now"
            yield Found(path, ChangeKind.SECRECY_CHANGED, reason)
        else:
            yield Found(path, ChangeKind.DESCRIPTION_CHANGED, f"its {key} changed")
