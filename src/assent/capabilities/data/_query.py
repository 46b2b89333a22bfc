"""JMESPath on data of strangers, by expressions of strangers: every node that is visited and everything that is made is counted.

An expression can double what it is given (`[@, @] | [@, @] | …`), and lists that share their parts look small while they are
not. So each result is measured as it would be written, and the measuring itself is paid for. What a function or a comparison
looks at is paid for before it begins: `[avg(@), avg(@), …]` visits little, and one `sort` can't be stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from jmespath import exceptions, functions
from jmespath.parser import Parser
from jmespath.visitor import Options, TreeInterpreter

from assent.capabilities.data._sizes import measured
from assent.errors import Json
from assent.invocation import CancelToken, NoEffectError
from assent.spec.language.work import weight_of

STEPS_MAX: Final = 60_000_000
"""Steps of one query, each of some 50 ns as in `spec.language.work`: about three seconds."""

DEPTH_MAX: Final = 60
"""Levels of one expression."""

_VISIT: Final = 16
"""Steps to visit one node."""
_LOOK: Final = 4
"""Steps to look at one value: to measure what was made, to compare, to check what a function is given."""
_MAKES: Final = frozenset(
    {
        "filter_projection",
        "flatten",
        "function_expression",
        "literal",
        "multi_select_dict",
        "multi_select_list",
        "projection",
        "slice",
        "value_projection",
    }
)
_SEARCHED: Final = 16
"""Characters in which a text is looked for in a step."""


class _Bounded(TreeInterpreter):
    """Visits as its base does, and counts."""

    def __init__(self, cancel: CancelToken) -> None:
        super().__init__(Options(custom_functions=_Paid(self.spend)))
        vars(self)["COMPARATOR_FUNC"] = {  # the base looks them up on the visitor
            name: partial(self._compare, compare) for name, compare in TreeInterpreter.COMPARATOR_FUNC.items()
        }
        self._cancel = cancel
        self._left = STEPS_MAX
        self._visits: dict[str, Callable[..., Any]] = {}

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:  # `Any`: as the base class has it
        self.spend(_VISIT)
        kind = node["type"]
        visit = self._visits.get(kind)
        if visit is None:
            visit = self._visits[kind] = getattr(self, f"visit_{kind}")
        found = visit(node, *args, **kwargs)
        if kind in _MAKES:
            if isinstance(found, dict | list):
                self.spend(_LOOK * measured(found, code="QUERY_FAILED")[0])
            elif isinstance(found, str):
                self.spend(len(found))
        return found

    def _compare(self, compare: Callable[[Any, Any], Any], one: Any, other: Any) -> Any:
        self.spend(_LOOK * (weight_of(one) + weight_of(other)))
        return compare(one, other)

    def spend(self, steps: int) -> None:
        """Take steps from what is left. `NoEffectError` QUERY_FAILED, CALL_CANCELLED."""
        self._left -= steps
        if self._left < 0:
            raise NoEffectError(
                "QUERY_FAILED",
                f"the query takes more than {STEPS_MAX} steps",
                path="query",
                hint="ask for less at once",
            )
        if self._cancel.is_cancelled:
            raise NoEffectError("CALL_CANCELLED", "the call was cancelled while it queried data")


class _Paid(functions.Functions):
    """The functions, none of which begins before its work is paid for."""

    def __init__(self, spend: Callable[[int], None]) -> None:
        self._spend = spend

    def call_function(self, function_name: str, resolved_args: Iterable[Any]) -> Any:  # `Any`: as its base
        given = [*resolved_args]
        steps = _LOOK * sum(map(weight_of, given))
        match function_name, given:
            case "sort" | "sort_by", [list(items), *_]:
                steps += _LOOK * len(items) * len(items).bit_length()
            case "contains", [str(text), _]:
                steps += len(text) // _SEARCHED
            case "join", [str(between), list(parts)]:
                steps += len(between) * len(parts)  # What is made may be larger than memory.
            case _:
                pass
        self._spend(steps)
        return super().call_function(function_name, given)


def query(value: Json, expression: str, cancel: CancelToken) -> Json:
    """What the expression finds. `NoEffectError`: QUERY_INVALID with its column, QUERY_FAILED, CALL_CANCELLED."""
    found = search(value, expression, cancel)
    measured(found, code="QUERY_FAILED")
    return found


def search(value: Json, expression: str, cancel: CancelToken) -> Json:
    """The same, not measured at its end: what stands in the value as it is may be larger than what a call answers."""
    parsed = parse(expression)
    try:
        found: Json = _Bounded(cancel).visit(parsed, value)
    except exceptions.JMESPathError as error:
        raise NoEffectError("QUERY_FAILED", _said(error), path="query") from None
    except (ArithmeticError, AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError):
        raise NoEffectError(
            "QUERY_FAILED", "the query does not fit the data", path="query", hint="a value is of another kind"
        ) from None
    return found


def parse(expression: str) -> Any:  # `Any`: the library's own tree
    """The expression as a tree. `NoEffectError` QUERY_INVALID with its column."""
    try:
        parsed = Parser().parse(expression).parsed
    except exceptions.ParseError as error:
        raise _invalid(_said(error), getattr(error, "lex_position", 0)) from None
    except exceptions.JMESPathError as error:
        raise _invalid(_said(error), getattr(error, "lex_position", None) or 0) from None
    except (ValueError, RecursionError, TypeError, AttributeError, KeyError, IndexError):
        raise _invalid("this is not a JMESPath expression", 0) from None
    _require_shallow(parsed)
    return parsed


def _require_shallow(parsed: Any) -> None:
    waiting = [(parsed, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > DEPTH_MAX:
            raise _invalid(f"the expression is nested deeper than {DEPTH_MAX} levels", 0)
        waiting += [(child, depth + 1) for child in node["children"] if isinstance(child, dict)]


def _said(error: Exception) -> str:
    text = " ".join(str(error).split("\n", 1)[0].split())[:200].rstrip(":.")
    return f"{text[:1].lower()}{text[1:]}" or "this is not a JMESPath expression"


def _invalid(message: str, offset: int) -> NoEffectError:
    return NoEffectError(
        "QUERY_INVALID", message, path=f"query:1:{offset + 1}", hint="for example `people[?age > `30`].name`"
    )
