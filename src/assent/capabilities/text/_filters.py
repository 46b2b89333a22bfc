"""What a template may do with values, and what that costs.

Every filter takes the budget first. It pays for what it looks at, and for what it makes *before* it makes it, so that nothing
large ever comes to be. Values are JSON; none of them is called or asked for an attribute.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from assent.invocation import CancelToken, NoEffectError
from assent.spec.values.canonical import INTEGER_MAX

STEPS_MAX: Final = 500_000
"""Steps that one template may take: nodes carried out and values looked at."""

MADE_MAX: Final = 16 << 20
"""Characters and entries that one template may make, those that it throws away again included."""

_TRUNCATED: Final = 255


class Failure(Exception):
    """What a value can't do, in a sentence; whoever knows the line makes an error of it."""


class Safe(str):
    """Text that needs no escaping any more."""

    __slots__ = ()


class Budget:
    """What is left of a template's steps and of what it may make."""

    def __init__(self, cancel: CancelToken) -> None:
        self._cancel = cancel
        self._steps = STEPS_MAX
        self._made = MADE_MAX

    def spend(self, steps: int, line: int = 1) -> None:
        """Pay for work. TEMPLATE_FAILED when it is too much, CALL_CANCELLED when nobody waits for it any more."""
        self._steps -= steps
        if self._steps < 0:
            raise NoEffectError(
                "TEMPLATE_FAILED",
                f"the template takes more than {STEPS_MAX} steps",
                path=f"template:{line}",
                hint="hand in less data, or prepare it before",
            )
        if self._cancel.is_cancelled:
            raise NoEffectError("CALL_CANCELLED", "the call was cancelled while it filled a template")

    def spend_text(self, size: int, line: int = 1) -> None:
        """Pay for `size` characters or entries that are about to be made."""
        self._made -= size
        if self._made < 0:
            raise NoEffectError(
                "TEMPLATE_FAILED",
                f"the template makes more than {MADE_MAX} characters and entries",
                path=f"template:{line}",
            )
        self.spend(1 + size // 64, line)

    def number(self, value: Any) -> int | float:
        """The number, when JSON holds it exactly."""
        number: int | float = value
        if isinstance(number, float):
            if not math.isfinite(number):
                raise Failure("a number is not finite")
        elif abs(number) > INTEGER_MAX:
            raise Failure("a whole number is beyond 2^53")
        return number


def is_number(value: Any) -> bool:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(left: Any, right: Any, budget: Budget) -> bool:
    """Whether two values are equal as JSON is."""
    budget.spend(1)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, str) and isinstance(right, str):
        budget.spend(len(left) // 64)
        return left == right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(
            same(one, other, budget) for one, other in zip(left, right, strict=True)
        )
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        budget.spend(len(left) // 16)
        return left.keys() == right.keys() and all(same(one, right[key], budget) for key, one in left.items())
    return bool(left == right)


def text_of(value: Any, budget: Budget) -> str:
    """A value as a template writes it: text as it is, everything else as JSON."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    return _json(budget, value)


def _json(budget: Budget, value: Any) -> str:
    budget.spend_text(_weight(value, budget))
    return json.dumps(value, ensure_ascii=False)


def _weight(value: Any, budget: Budget) -> int:
    """About how many characters a value has as JSON; each part is paid for, so shared parts can't hide their number."""
    budget.spend(1)
    if isinstance(value, str):
        return 2 + len(value)
    if isinstance(value, list):
        return 2 + sum(2 + _weight(one, budget) for one in value)
    if isinstance(value, Mapping):
        return 2 + sum(6 + len(key) + _weight(one, budget) for key, one in value.items())
    return 20


def _texts(how: Callable[[str], str]) -> Callable[..., str]:
    def apply(budget: Budget, value: Any) -> str:
        text = _text(value)
        budget.spend_text(3 * len(text))  # `ŉ` and its like grow when their case changes.
        return how(text)

    return apply


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Failure("this filter needs a text; `string` makes one of any value")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Failure("this filter needs a list")
    return value


def _whole(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise Failure(f"a whole number from 0 to {most} is needed")
    return value


def _length(budget: Budget, value: Any) -> int:
    del budget
    if not isinstance(value, str | list | Mapping):
        raise Failure("only a text, a list or a mapping has a length")
    return len(value)


def _end(budget: Budget, value: Any, place: int) -> Any:
    del budget
    if not isinstance(value, str | list):
        raise Failure("only a text or a list has a first and a last")
    if not value:
        raise Failure("nothing is there to be taken")
    return value[place]


def _attribute(budget: Budget, value: Any, name: Any) -> Any:
    """What stands under a name, or a dotted path of names, in each mapping; an entry is paid for also where it is taken whole."""
    budget.spend(1)
    if name is None:
        return value
    path = _text(name)
    budget.spend(len(path) // 64)
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise Failure(f"an entry has no `{part[:60]}`")
        value = value[part]
    return value


def _join(budget: Budget, value: Any, between: Any = "", attribute: Any = None) -> str:
    pieces = [text_of(_attribute(budget, one, attribute), budget) for one in _list(value)]
    budget.spend_text(sum(map(len, pieces)) + len(_text(between)) * len(pieces))
    return _text(between).join(map(str, pieces))


def _replace(budget: Budget, value: Any, old: Any = None, new: Any = None) -> str:
    text, old, new = _text(value), _text(old), _text(new)
    budget.spend_text(len(text))
    count = text.count(old)
    budget.spend_text(len(text) + count * len(new))
    return str(text).replace(old, new)


def _round(budget: Budget, value: Any, places: Any = 0) -> int | float:
    if not is_number(value):
        raise Failure("only a number can be rounded")
    return budget.number(round(float(value), _whole(places, 15)))


def _int(budget: Budget, value: Any) -> int:
    if (
        isinstance(value, str)
        and len(value) <= 20
        and value.strip().lstrip("+-").isascii()
        and value.strip().lstrip("+-").isdigit()
    ):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Failure("this is not a number")
    return int(budget.number(int(value)))


def _float(budget: Budget, value: Any) -> float:
    if isinstance(value, str) and len(value) <= 40:
        try:
            value = float(value)
        except ValueError:
            raise Failure("this is not a number") from None
    if not is_number(value):
        raise Failure("this is not a number")
    return float(budget.number(float(value)))


def _abs(budget: Budget, value: Any) -> int | float:
    if not is_number(value):
        raise Failure("only a number has an amount")
    return budget.number(abs(value))


def _sorted(budget: Budget, value: Any, attribute: Any = None) -> list[Any]:
    items = _list(value)
    budget.spend_text(len(items))
    keys = [_attribute(budget, one, attribute) for one in items]
    if not all(is_number(key) for key in keys) and not all(isinstance(key, str) for key in keys):
        raise Failure("only numbers, or only texts, can be put in order")
    # Each key is compared with about log n others, over its length when it is text.
    rounds = max(1, len(keys).bit_length())
    budget.spend(rounds * sum(1 + (len(key) // 64 if isinstance(key, str) else 0) for key in keys))
    order = sorted(range(len(items)), key=keys.__getitem__)
    return [items[place] for place in order]


def _unique(budget: Budget, value: Any, attribute: Any = None) -> list[Any]:
    found: list[Any] = []
    keys: list[Any] = []
    seen: set[tuple[type, Any]] = set()
    for one in _list(value):
        key = _attribute(budget, one, attribute)
        if isinstance(key, str | int | float | None):
            mark = (bool if isinstance(key, bool) else str if isinstance(key, str) else float, key)
            if mark in seen:
                continue
            seen.add(mark)
        elif any(same(key, other, budget) for other in keys):
            continue
        else:
            keys.append(key)
        found.append(one)
    return found


def _reverse(budget: Budget, value: Any) -> Any:
    if not isinstance(value, str | list):
        raise Failure("only a text or a list can be turned around")
    budget.spend_text(len(value))
    return value[::-1]


def _as_list(budget: Budget, value: Any) -> list[Any]:
    if not isinstance(value, str | list | Mapping):
        raise Failure("only a text, a list or a mapping is made of parts")
    budget.spend_text(len(value))
    return list(value)


def _sum(budget: Budget, value: Any, attribute: Any = None) -> int | float:
    total: int | float = 0
    for one in _list(value):
        number = _attribute(budget, one, attribute)
        if not is_number(number):
            raise Failure("only numbers can be added up")
        total = budget.number(total + number)
    return total


def _items(budget: Budget, value: Any) -> list[list[Any]]:
    if not isinstance(value, Mapping):
        raise Failure("only a mapping has items")
    budget.spend_text(3 * len(value))
    return [[key, one] for key, one in value.items()]


def _dictsort(budget: Budget, value: Any) -> list[list[Any]]:
    return [[key, value[key]] for key in _sorted(budget, [pair[0] for pair in _items(budget, value)])]


def _map(budget: Budget, value: Any, attribute: Any = None) -> list[Any]:
    items = _list(value)
    budget.spend_text(len(items))
    return [_attribute(budget, one, _text(attribute)) for one in items]


def _escape(budget: Budget, value: Any) -> Safe:
    text = text_of(value, budget)
    if isinstance(value, Safe):
        return value
    budget.spend_text(6 * len(text))
    return Safe(html.escape(text))


def _indent(budget: Budget, value: Any, width: Any = 4) -> str:
    text, blanks = _text(value), " " * _whole(width, 100)
    budget.spend_text(len(text) + text.count("\n") * len(blanks))
    first, *rest = text.split("\n")
    return "\n".join([first, *(f"{blanks}{line}" if line else line for line in rest)])


def _truncate(budget: Budget, value: Any, length: Any = _TRUNCATED) -> str:
    text, most = _text(value), _whole(length, 1 << 20)
    budget.spend_text(min(len(text), most))
    return text if len(text) <= most else f"{text[: max(0, most - 1)]}…"


def _tojson(budget: Budget, value: Any, indent: Any = None) -> str:
    if indent is None:
        return _json(budget, value)
    width = _whole(indent, 8)
    # Indented, each part takes a line, however deep it stands.
    budget.spend_text(_weight(value, budget) * (1 + width))
    budget.spend_text(_weight(value, budget) * (1 + width) * _depth(value) // 4)
    return json.dumps(value, ensure_ascii=False, indent=width)


def _depth(value: Any) -> int:
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    if isinstance(value, Mapping):
        return 1 + max(map(_depth, value.values()), default=0)
    return 0


def _default(budget: Budget, value: Any, *given: Any) -> Any:
    """The value; when there is none is known where names are looked up."""
    del budget, given
    return value


class Filter(NamedTuple):
    """What a filter does, how many arguments it takes at most, and the one that it takes by name."""

    apply: Callable[..., Any]
    arguments: int = 0
    named: str | None = None


FILTERS: Final[Mapping[str, Filter]] = {
    "abs": Filter(_abs),
    "capitalize": Filter(_texts(str.capitalize)),
    "count": Filter(_length),
    "d": Filter(_default, 2),
    "default": Filter(_default, 2),
    "dictsort": Filter(_dictsort),
    "e": Filter(_escape),
    "escape": Filter(_escape),
    "first": Filter(partial(_end, place=0)),
    "float": Filter(_float),
    "indent": Filter(_indent, 1, "width"),
    "int": Filter(_int),
    "items": Filter(_items),
    "join": Filter(_join, 2, "attribute"),
    "last": Filter(partial(_end, place=-1)),
    "length": Filter(_length),
    "list": Filter(_as_list),
    "lower": Filter(_texts(str.lower)),
    "map": Filter(_map, 1, "attribute"),
    "max": Filter(lambda budget, value: _end(budget, _sorted(budget, value), -1)),
    "min": Filter(lambda budget, value: _end(budget, _sorted(budget, value), 0)),
    "replace": Filter(_replace, 2),
    "reverse": Filter(_reverse),
    "round": Filter(_round, 1),
    "safe": Filter(lambda budget, value: Safe(text_of(value, budget))),
    "sort": Filter(_sorted, 1, "attribute"),
    "string": Filter(lambda budget, value: text_of(value, budget)),
    "sum": Filter(_sum, 1, "attribute"),
    "title": Filter(_texts(str.title)),
    "tojson": Filter(_tojson, 1, "indent"),
    "trim": Filter(_texts(str.strip)),
    "truncate": Filter(_truncate, 1, "length"),
    "unique": Filter(_unique, 1, "attribute"),
    "upper": Filter(_texts(str.upper)),
}
