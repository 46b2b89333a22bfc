"""What differs between two JSON Schemas, and whether it breaks those who keep to the older one.

An *input* may come to take more (its callers send what the old schema allows, and all of it must still be accepted); an
*output* may come to give less (its readers are ready for what the old schema allows, and for nothing else). So each change
says whether the newer schema *refuses* a value that the older one allowed, and whether it *admits* one that the older
refused; the direction then says which of the two breaks.

Conservative: what can't be compared counts as both. One thing is read as people mean it. An object that says nothing about
`additionalProperties` accepts any field, but nobody was told of any: a field that it does not declare counts as never sent,
so that an optional field can be added to it. `additionalProperties: true` is an offer, and counts as one. And whoever reads an
object passes over fields that it does not know, also where its type refuses them, as types do by themselves: a field that is
added to an output breaks nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from assent.errors import Json
from assent.spec.values.canonical import canonical_json
from assent.spec.values.frozen import thaw
from assent.versions._schema_changes import (
    Change,
    ChangeKind,
    Found,
    limit_changes,
    not_comparable,
    note_changes,
    requirement_changes,
    scalar_changes,
    value_changes,
)
from assent.versions._schema_shape import KINDS, Alternative, Shape

Direction = Literal["input", "output"]

COMPARISONS_MAX: Final = 20_000
"""Pairs of schemas that one difference looks at; what lies beyond counts as not comparable."""

DEPTH_MAX: Final = 48
"""Levels that are compared; what lies below counts as not comparable, unless it is equal."""


def diff_schemas(
    old: Mapping[str, Json], new: Mapping[str, Json], direction: Direction, *, path: str = "$"
) -> list[Change]:
    """Every change from one schema to another, in the order of the places; empty when they mean the same and say the same."""
    comparison = _Comparison(thaw(old), thaw(new))
    found = [
        Change(item.path, item.kind, item.refuses if direction == "input" else item.admits, item.reason)
        for item in comparison.compare(comparison.old.root, comparison.new.root, path)
    ]
    return list(dict.fromkeys(found))


_ANYTHING: Final[dict[str, Any]] = {}


class _Comparison:
    """One comparison of two documents. References between schemas may go round in circles."""

    def __init__(self, old: Any, new: Any) -> None:
        self.old = Shape(old)
        self.new = Shape(new)
        self._under_way: set[tuple[int, int]] = set()
        self._count = 0

    def compare(self, old: Any, new: Any, path: str) -> list[Found]:
        """What changes from one schema to the other, notes for the reader included."""
        pair = (id(old), id(new))
        # INVARIANT: JSON is finite, so what holds while a pair is assumed equal below itself holds altogether.
        if pair in self._under_way:
            return []
        self._count += 1
        if self._count > COMPARISONS_MAX or len(self._under_way) >= DEPTH_MAX:
            return [] if self._are_equal(old, new) else [not_comparable(path, "too much lies below here")]
        self._under_way.add(pair)
        try:
            return [*self._types(old, new, path)]
        finally:
            self._under_way.discard(pair)

    def _types(self, old: Any, new: Any, path: str) -> Iterator[Found]:
        before, after = self.old.alternatives(old), self.new.alternatives(new)
        gone, come = (
            [kind for kind in before if kind not in after],
            [kind for kind in after if kind not in before],
        )
        if "null" in gone and len(before) > 1:
            gone.remove("null")
            yield Found(path, ChangeKind.MADE_NOT_NULLABLE, "it may no longer be null", refuses=True)
        if "null" in come and before:
            come.remove("null")
            yield Found(path, ChangeKind.MADE_NULLABLE, "it may now be null", admits=True)
        if gone or come:
            was, now = _kinds(before), _kinds(after)
            reason = f"it was {was} and is {now}"
            yield Found(path, ChangeKind.TYPE_CHANGED, reason, refuses=bool(gone), admits=bool(come))
        for kind in KINDS:
            if kind in before and kind in after:
                yield from self._alternatives(before[kind], after[kind], path)

    def _alternatives(
        self, before: list[Alternative], after: list[Alternative], path: str
    ) -> Iterator[Found]:
        """Alternatives of one kind. A value of one that went is still accepted when another one takes it."""
        if len(before) == len(after) == 1:
            yield from self._one(before[0], after[0], path)
            return
        changes = {
            (i, j): [*self._one(one, other, path)]
            for i, one in enumerate(before)
            for j, other in enumerate(after)
        }
        refused = [
            all(any(c.refuses for c in changes[i, j]) for j in range(len(after))) for i in range(len(before))
        ]
        admitted = [
            all(any(c.admits for c in changes[i, j]) for i in range(len(before))) for j in range(len(after))
        ]
        pairs = self._paired(before, after, changes)
        for i, j in pairs:
            for change in changes[i, j]:
                yield replace(
                    change, refuses=change.refuses and refused[i], admits=change.admits and admitted[j]
                )
        for i, one in enumerate(before):
            if i not in {pair[0] for pair in pairs}:
                reason = f"{_called(one, i)} is gone" + (
                    "" if refused[i] else ", and another one takes its values"
                )
                yield Found(path, ChangeKind.ALTERNATIVE_REMOVED, reason, refuses=refused[i])
        for j, other in enumerate(after):
            if j not in {pair[1] for pair in pairs}:
                reason = f"{_called(other, j)} is new" + (
                    "" if admitted[j] else ", and its values were allowed before"
                )
                yield Found(path, ChangeKind.ALTERNATIVE_ADDED, reason, admits=admitted[j])

    def _paired(
        self,
        before: list[Alternative],
        after: list[Alternative],
        changes: dict[tuple[int, int], list[Found]],
    ) -> list[tuple[int, int]]:
        """Which alternative became which: the unchanged, then those of one name, then the nearest in order."""
        pairs: list[tuple[int, int]] = []
        tests = (
            lambda i, j: not changes[i, j],
            lambda i, j: before[i].name != "" and before[i].name == after[j].name,
            lambda i, j: before[i].name == "" and after[j].name == "" and i == j,
        )
        for fits in tests:
            for i in range(len(before)):
                for j in range(len(after)):
                    if all(i != a and j != b for a, b in pairs) and fits(i, j):
                        pairs.append((i, j))
        return sorted(pairs)

    def _one(self, old: Alternative, new: Alternative, path: str) -> Iterator[Found]:
        """One alternative against another of the same kind."""
        if old.kind in ("null", "boolean", "number", "string"):
            yield from scalar_changes(old, new, path)
        else:
            yield from value_changes(old, new, path)
            yield from self._array(old, new, path) if old.kind == "array" else self._object(old, new, path)
        yield from self._opaque(old, new, path)
        yield from note_changes(old, new, path)

    def _array(self, old: Alternative, new: Alternative, path: str) -> Iterator[Found]:
        yield from limit_changes(old, new, path)
        if bool(old.keywords.get("uniqueItems")) != bool(new.keywords.get("uniqueItems")):
            if new.keywords.get("uniqueItems"):
                reason = "its items may no longer repeat"
                yield Found(path, ChangeKind.LIMIT_TIGHTENED, reason, refuses=True)
            else:
                yield Found(path, ChangeKind.LIMIT_LOOSENED, "its items may now repeat", admits=True)
        first, second = old.keywords.get("prefixItems", []), new.keywords.get("prefixItems", [])
        rest = old.keywords.get("items", _ANYTHING), new.keywords.get("items", _ANYTHING)
        for index in range(max(len(first), len(second))):
            one = first[index] if index < len(first) else rest[0]
            other = second[index] if index < len(second) else rest[1]
            yield from self.compare(one, other, f"{path}[{index}]")
        yield from self.compare(*rest, f"{path}[]")

    def _object(self, old: Alternative, new: Alternative, path: str) -> Iterator[Found]:
        yield from limit_changes(old, new, path)
        before, after = old.keywords.get("properties", {}), new.keywords.get("properties", {})
        needed = {*old.keywords.get("required", ())}, {*new.keywords.get("required", ())}
        for name in dict.fromkeys((*before, *after, *sorted(needed[0] | needed[1]))):
            below = _field(path, name)
            if name in before and name in after:
                yield from requirement_changes(below, is_before=name in needed[0], is_after=name in needed[1])
                yield from self.compare(before[name], after[name], below)
            elif name in before:
                yield self._removed(
                    before[name], new, below, is_before=name in needed[0], is_after=name in needed[1]
                )
            elif name in after:
                yield self._added(
                    old, after[name], below, is_before=name in needed[0], is_after=name in needed[1]
                )
            else:
                yield from requirement_changes(below, is_before=name in needed[0], is_after=name in needed[1])
        yield from self._extra(old, new, path)
        names = [side.keywords.get("propertyNames", _ANYTHING) for side in (old, new)]
        for change in self.compare(names[0], names[1], f"{path}.*"):
            yield replace(change, reason=f"the names of its fields: {change.reason}")

    def _removed(self, schema: Any, new: Alternative, path: str, *, is_before: bool, is_after: bool) -> Found:
        """A field that is declared no more. Who sends it is refused by an object that is closed to other fields."""
        refused, admitted = self._undeclared(new, path, sender=schema, is_older=True)
        reason = "the field is gone" + (", and it was always there" if is_before else "")
        if refused:
            reason += "; other fields are refused" if _is_closed(new) else "; what was sent in it is refused"
        return Found(
            path,
            ChangeKind.FIELD_REMOVED,
            reason,
            refuses=refused or (is_after and not is_before),
            admits=admitted or (is_before and not is_after),
        )

    def _added(self, old: Alternative, schema: Any, path: str, *, is_before: bool, is_after: bool) -> Found:
        admitted, refused = self._undeclared(old, path, sender=schema, is_older=False)
        is_new_need = is_after and not is_before
        reason = "a required field was added" if is_new_need else "an optional field was added"
        if refused and not is_new_need:
            reason += " where any field of another type was allowed"
        return Found(
            path,
            ChangeKind.FIELD_ADDED,
            reason,
            refuses=refused or is_new_need,
            admits=admitted or (is_before and not is_after),
        )

    def _undeclared(self, other: Alternative, path: str, *, sender: Any, is_older: bool) -> tuple[bool, bool]:
        """A field that only one side declares: whether `other` refuses what that side sends in it, and whether that side
        refuses what `other` may send there.
        """
        if other.keywords.get("patternProperties"):
            return True, True
        extra = other.keywords.get("additionalProperties")
        if extra is None:
            return False, False
        if extra is False:
            # The older side is sent the field and passes over it; the newer one refuses whoever sends it.
            return is_older, False
        pair = (sender, extra) if is_older else (extra, sender)
        found = self.compare(*pair, path)
        refuses, admits = any(c.refuses for c in found), any(c.admits for c in found)
        return (refuses, admits) if is_older else (admits, refuses)

    def _extra(self, old: Alternative, new: Alternative, path: str) -> Iterator[Found]:
        before, after = old.keywords.get("additionalProperties"), new.keywords.get("additionalProperties")
        patterns = old.keywords.get("patternProperties", {}), new.keywords.get("patternProperties", {})
        if patterns[0].keys() != patterns[1].keys():
            if (patterns[0] and patterns[1]) or not (_is_open(before) and _is_open(after)):
                yield not_comparable(path, "the patterns of its fields' names changed")
            elif patterns[1]:
                yield Found(
                    path,
                    ChangeKind.EXTRA_FIELDS,
                    "fields whose names fit a pattern are checked now",
                    refuses=True,
                )
            else:
                reason = "fields whose names fit a pattern are no longer checked"
                yield Found(path, ChangeKind.EXTRA_FIELDS, reason, admits=True)
        for pattern in patterns[0].keys() & patterns[1].keys():
            yield from self.compare(patterns[0][pattern], patterns[1][pattern], f"{path}./{pattern}/")
        if _is_closed(old) != _is_closed(new):
            if _is_closed(new):
                reason = "fields that it does not name are refused now"
                yield Found(path, ChangeKind.EXTRA_FIELDS, reason, refuses=True)
            else:
                reason = "fields that it does not name are allowed now"
                yield Found(path, ChangeKind.EXTRA_FIELDS, reason)
        elif not _is_closed(old):
            one, other = (_ANYTHING if extra is None else extra for extra in (before, after))
            yield from self.compare(one, other, f"{path}.*")

    def _opaque(self, old: Alternative, new: Alternative, path: str) -> Iterator[Found]:
        left = [*new.opaque]
        for item in old.opaque:
            same = next((other for other in left if self._are_equal(item, other)), None)
            if same is None:
                yield not_comparable(path, f"`{next(iter(item))}` changed")
            else:
                left.remove(same)
        for item in left:
            yield not_comparable(path, f"`{next(iter(item))}` changed")

    def _are_equal(self, old: Any, new: Any) -> bool:
        """Whether both are written alike, and all that they refer to as well."""
        if canonical_json(old) != canonical_json(new):
            return False
        references = {*_references(old)}
        seen: set[str] = set()
        while references:
            reference = references.pop()
            seen.add(reference)
            one, other = self.old.target(reference), self.new.target(reference)
            if one is None or other is None or canonical_json(one) != canonical_json(other):
                return (
                    one is None
                    and other is None
                    and canonical_json(self.old.root) == canonical_json(self.new.root)
                )
            references |= {*_references(one)} - seen
        return True


def _field(path: str, name: str) -> str:
    return f"{path}.{name}"


def _kinds(found: dict[str, list[Alternative]]) -> str:
    names = [
        "integer" if kind == "number" and all(one.is_integer for one in found[kind]) else kind
        for kind in found
    ]
    return "anything" if len(names) == len(KINDS) else " or ".join(names) or "nothing"


def _called(alternative: Alternative, index: int) -> str:
    return f"alternative `{alternative.name}`" if alternative.name else f"alternative {index + 1}"


def _is_closed(alternative: Alternative) -> bool:
    return alternative.keywords.get("additionalProperties") is False


def _is_open(extra: Any) -> bool:
    return extra is None or extra is True or extra == {}


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref" and isinstance(item, str):
                yield item
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
