"""The difference of two JSON values as a patch, and applying one: RFC 6902, with the pointers of RFC 6901.

`diff` writes `add`, `remove` and `replace`; `apply` understands `move`, `copy` and `test` as well. Applying is all or nothing: a
patch that does not fit changes nothing, and neither function touches what it is given unless told to.

Two values are equal as JSON says it: `1` is `1.0`, and neither is `true`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn, TypeAlias

from assent.errors import InputError, Json
from assent.spec.values.canonical import DEPTH_MAX

Operation: TypeAlias = dict[str, Json]
Pointer: TypeAlias = "tuple[str, ...]"

OPERATIONS_MAX: Final = 100_000
"""Operations that one patch may have."""

COPIED_MAX: Final = 1_000_000
"""Values that the `copy` operations of one patch may add together: each may double what the one before it made."""

_OPERATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "add": ("path", "value"),
    "remove": ("path",),
    "replace": ("path", "value"),
    "move": ("from", "path"),
    "copy": ("from", "path"),
    "test": ("path", "value"),
}
"""Each operation with the members that it needs; other members are ignored, as the RFC asks (§4)."""

_DIGITS: Final = frozenset("0123456789")


def diff(before: Json, after: Json) -> list[Operation]:
    """The patch that makes `after` of `before`; empty when they are equal. `JSON_INVALID` beyond `DEPTH_MAX` levels.

    Arrays are compared place by place between what both begin and end with, so the patch is short where something was added,
    removed or changed in one spot. It is not always the shortest there is.
    """
    _require_shallow(before, DEPTH_MAX)
    _require_shallow(after, DEPTH_MAX)
    patch: list[Operation] = []
    _compare(before, after, "", patch)
    return patch


def apply(document: Json, patch: Sequence[Mapping[str, Json]], *, in_place: bool = False) -> Json:
    """The document after every operation, in order.

    `in_place` changes the document itself, so that what stays in it stays the same object; one that the patch does not fit is
    then left as far as it came.

    `InputError` PATCH_INVALID when the patch is none (every fault is in `details`), PATCH_CONFLICT when it does not fit the
    document: a place is missing, or a `test` finds something else. `path` names the operation, `details` the place.
    """
    _require_patch(patch)
    _require_shallow(document, DEPTH_MAX)
    # One list around the whole makes the root a place like any other.
    holder: list[Json] = [document if in_place else copied(document)]
    left = COPIED_MAX
    for number, operation in enumerate(patch):
        if operation["op"] == "copy":
            left -= _size(holder, operation, number, left)
            if left < 0:
                raise InputError(
                    "PATCH_INVALID", f"the patch copies more than {COPIED_MAX} values", path=f"[{number}]"
                )
        _perform(holder, operation, number)
    return holder[0]


def pointer(parts: Sequence[str | int]) -> str:
    """The JSON pointer (RFC 6901) of a place, given its names and indexes from the root on; the root's is empty."""
    return "".join(f"/{_escaped(str(part))}" for part in parts)


def is_equal(one: object, other: object) -> bool:
    """Whether two JSON values are the same: numbers by value, objects without regard to order."""
    if type(one) is bool or type(other) is bool:
        return one is other
    if type(one) is dict and type(other) is dict:
        return one.keys() == other.keys() and all(is_equal(item, other[key]) for key, item in one.items())
    if type(one) is list and type(other) is list:
        return len(one) == len(other) and all(map(is_equal, one, other))
    return one == other


def copied(value: Json) -> Json:
    """A copy that shares nothing mutable with the original."""
    if type(value) is dict:
        return {key: copied(item) for key, item in value.items()}
    if type(value) is list:
        return [copied(item) for item in value]
    return value


def _require_shallow(value: object, depth: int) -> None:
    """Everything here walks by calling itself, so how deep that goes is settled first."""
    if isinstance(value, dict | list):
        if depth == 0:
            raise InputError("JSON_INVALID", f"more than {DEPTH_MAX} levels of nesting")
        for item in value.values() if isinstance(value, dict) else value:
            _require_shallow(item, depth - 1)


def _compare(before: Json, after: Json, path: str, patch: list[Operation]) -> None:
    if type(before) is dict and type(after) is dict:
        _compare_objects(before, after, path, patch)
    elif type(before) is list and type(after) is list:
        _compare_arrays(before, after, path, patch)
    elif not is_equal(before, after):
        patch.append({"op": "replace", "path": path, "value": copied(after)})


def _compare_objects(
    before: dict[str, Json], after: dict[str, Json], path: str, patch: list[Operation]
) -> None:
    for key, item in before.items():
        place = f"{path}/{_escaped(key)}"
        if key not in after:
            patch.append({"op": "remove", "path": place})
        else:
            _compare(item, after[key], place, patch)
    patch += [
        {"op": "add", "path": f"{path}/{_escaped(key)}", "value": copied(item)}
        for key, item in after.items()
        if key not in before
    ]


def _compare_arrays(before: list[Json], after: list[Json], path: str, patch: list[Operation]) -> None:
    start, shorter = 0, min(len(before), len(after))
    while start < shorter and is_equal(before[start], after[start]):
        start += 1
    end = 0
    while end < shorter - start and is_equal(before[-1 - end], after[-1 - end]):
        end += 1
    common = shorter - end
    for index in range(start, common):
        _compare(before[index], after[index], f"{path}/{index}", patch)
    # From the last one down, so that the places of the others stay what they are.
    patch += [
        {"op": "remove", "path": f"{path}/{index}"} for index in range(len(before) - end - 1, common - 1, -1)
    ]
    patch += [
        {"op": "add", "path": f"{path}/{index}", "value": copied(after[index])}
        for index in range(common, len(after) - end)
    ]


def _require_patch(patch: object) -> None:
    if not isinstance(patch, list | tuple):
        raise InputError(
            "PATCH_INVALID",
            "a patch is a list of operations",
            hint='`[{"op": "add", "path": "/a", "value": 1}]`',
        )
    if len(patch) > OPERATIONS_MAX:
        raise InputError(
            "PATCH_INVALID", f"{len(patch)} operations are more than the {OPERATIONS_MAX} allowed"
        )
    faults: list[dict[str, Json]] = [
        {"path": f"[{number}]", "message": fault}
        for number, operation in enumerate(patch)
        for fault in _operation_faults(operation)
    ]
    if faults:
        first = faults[0]
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InputError(
            "PATCH_INVALID",
            f"{first['message']}{more}",
            path=str(first["path"]),
            details={"faults": [*faults]},
        )


def _operation_faults(operation: object) -> list[str]:
    if not isinstance(operation, Mapping):
        return ["an operation is an object"]
    name = operation.get("op")
    needed = _OPERATIONS.get(name) if isinstance(name, str) else None
    if needed is None:
        known = ", ".join(f"`{known}`" for known in _OPERATIONS)
        return [f"`op` must be one of {known}"]
    faults = [f"`{name}` needs `{member}`" for member in needed if member not in operation]
    for member in ("path", "from"):
        if member in needed and member in operation:
            fault = _pointer_fault(operation[member])
            faults += [] if fault is None else [fault]
    if "value" in needed and "value" in operation:
        _require_shallow(operation["value"], DEPTH_MAX)
    if name == "move" and not faults and _is_inside(str(operation["path"]), str(operation["from"])):
        faults.append("a value can't be moved into itself")
    return faults


def _is_inside(path: str, other: str) -> bool:
    return path != other and path.startswith(f"{other}/")


def _pointer_fault(text: object) -> str | None:
    if not isinstance(text, str):
        return "a pointer is text"
    if text and not text.startswith("/"):
        return f"the pointer `{text}` does not begin with `/`"
    if "~" in text.replace("~0", "").replace("~1", ""):
        return f"the pointer `{text}` has a `~` that is neither `~0` nor `~1`"
    return None


def _perform(holder: list[Json], operation: Mapping[str, Json], number: int) -> None:
    path = str(operation["path"])
    match operation["op"]:
        case "add":
            _add(holder, path, copied(operation["value"]), number)
        case "remove":
            _take(holder, path, number)
        case "replace":
            parent, place = _existing(holder, path, number)
            parent[place] = copied(operation["value"])
        case "move":
            _add(holder, path, _take(holder, str(operation["from"]), number), number)
        case "copy":
            parent, place = _existing(holder, str(operation["from"]), number)
            _add(holder, path, copied(parent[place]), number)
        case _:
            parent, place = _existing(holder, path, number)
            if not is_equal(parent[place], operation["value"]):
                _refuse(number, path, f"`{path}` is not what the patch expects")


def _size(holder: list[Json], operation: Mapping[str, Json], number: int, most: int) -> int:
    """How many values a `copy` would add; counted no further than one beyond `most`."""
    parent, place = _existing(holder, str(operation["from"]), number)
    waiting: list[Json] = [parent[place]]
    count = 0
    while waiting and count <= most:
        one = waiting.pop()
        count += 1
        if isinstance(one, dict | list):
            waiting += one.values() if isinstance(one, dict) else one
    return count


def _add(holder: list[Json], path: str, value: Json, number: int) -> None:
    parent, name = _parent(holder, path, number)
    if isinstance(parent, dict):
        parent[name] = value
    elif parent is holder:
        holder[0] = value
    else:
        parent.insert(len(parent) if name == "-" else _index(name, len(parent), path, number), value)


def _take(holder: list[Json], path: str, number: int) -> Json:
    parent, place = _existing(holder, path, number)
    found: Json = parent[place]
    if parent is not holder:
        del parent[place]
    else:
        holder[0] = (
            None  # Nothing is left of a document whose root was removed, and JSON's word for that is null.
        )
    return found


# `Any`: an object with a name, or an array with an index; the pair can't be said in one type that both may be used by.
def _existing(holder: list[Json], path: str, number: int) -> tuple[Any, Any]:
    """The container and the place in it of something that is there."""
    parent, name = _parent(holder, path, number)
    if isinstance(parent, dict):
        if name not in parent:
            _refuse(number, path, f"there is nothing at `{path}`")
        return parent, name
    if parent is holder:
        return holder, 0
    return parent, _index(name, len(parent) - 1, path, number)


def _parent(holder: list[Json], path: str, number: int) -> tuple[dict[str, Json] | list[Json], str]:
    parts = _parts(path)
    if not parts:
        return holder, ""
    found: Json = holder[0]
    for part in parts[:-1]:
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, list):
            found = found[_index(part, len(found) - 1, path, number)]
        else:
            _refuse(number, path, f"there is nothing at `{path}`")
    if not isinstance(found, dict | list):
        _refuse(number, path, f"there is nothing at `{path}`")
    return found, parts[-1]


def _index(text: str, last: int, path: str, number: int) -> int:
    # RFC 6901 §4: decimal digits without leading zeros; Python's `int` would read far more.
    if not text or not _DIGITS.issuperset(text) or (text[0] == "0" and text != "0") or len(text) > 9:
        _refuse(number, path, f"`{text}` in `{path}` is not an index of an array")
    index = int(text)
    if index > last:
        _refuse(number, path, f"the array at `{path}` ends before {index}")
    return index


def _refuse(number: int, path: str, message: str) -> NoReturn:
    raise InputError("PATCH_CONFLICT", message, path=f"[{number}]", details={"place": path})


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def _parts(text: str) -> Pointer:
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])
