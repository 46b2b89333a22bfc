"""Laying one piece of data over another: JSON Merge Patch (RFC 7386), or deeply with a rule for lists."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Literal

from assent.errors import Json
from assent.spec.values.json_patch import copied

Lists = Literal["replace", "append", "unique", "by_index"]


def merge_patch(target: Json, patch: Json) -> Json:
    """RFC 7386 §2: null removes a member, everything but objects replaces."""
    if not isinstance(patch, dict):
        return copied(patch)
    merged: dict[str, Json] = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def deep_merge(base: Json, overlay: Json, lists: Lists) -> Json:
    """Objects member by member, lists by the rule, everything else replaced; null is a value like another."""
    if isinstance(base, dict) and isinstance(overlay, dict):
        merged = dict(base)
        for key, value in overlay.items():
            merged[key] = deep_merge(base[key], value, lists) if key in base else copied(value)
        return merged
    if isinstance(base, list) and isinstance(overlay, list) and lists != "replace":
        if lists == "append":
            return [*base, *overlay]
        if lists == "by_index":
            both = [deep_merge(one, other, lists) for one, other in zip(base, overlay, strict=False)]
            return [*both, *base[len(both) :], *overlay[len(both) :]]
        merged_list = list(base)
        seen = set(map(_identity, base))
        for one in overlay:
            known = _identity(one)
            if known not in seen:
                merged_list.append(one)
                seen.add(known)
        return merged_list
    return copied(overlay)


def _identity(value: Json) -> Hashable:
    """The same for two values that are equal as JSON is, and for no others: looking each up takes no look at all the rest."""
    if isinstance(value, dict):
        return dict, frozenset((key, _identity(item)) for key, item in value.items())
    if isinstance(value, list):
        return list, tuple(map(_identity, value))
    # Python takes true for 1, which JSON does not; 1 and 1.0 are one number for both.
    return isinstance(value, bool), value
