"""Laying one piece of data over another: JSON Merge Patch (RFC 7386), or deeply with a rule for lists."""

from __future__ import annotations

from typing import Literal

from assent.errors import Json
from assent.spec.json_patch import copied, is_equal

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
        seen = {one for one in base if isinstance(one, str)}
        for one in overlay:
            known = (
                one in seen if isinstance(one, str) else any(is_equal(one, other) for other in merged_list)
            )
            if not known:
                merged_list.append(one)
                if isinstance(one, str):
                    seen.add(one)
        return merged_list
    return copied(overlay)
