"""JMESPath on data of strangers, by expressions of strangers: every node that is visited and everything that is made is counted.

An expression can double what it is given (`[@, @] | [@, @] | …`), and lists that share their parts look small while they are
not. So each result is measured as it would be written, and the measuring itself is paid for.
"""

from __future__ import annotations

from typing import Any, Final

from jmespath import exceptions, functions
from jmespath.parser import Parser
from jmespath.visitor import Options, TreeInterpreter

from assent.capabilities.data._sizes import measured
from assent.errors import Json
from assent.invocation import CancelToken, NoEffectError

STEPS_MAX: Final = 5_000_000
"""Nodes visited, and values looked at, in one query."""

DEPTH_MAX: Final = 60
"""Levels of one expression."""

_MAKES: Final = frozenset(
    {"multi_select_list", "multi_select_dict", "function_expression", "flatten", "literal", "projection"}
)


class _Bounded(TreeInterpreter):
    """Visits as its base does, and counts."""

    def __init__(self, cancel: CancelToken) -> None:
        super().__init__(Options(custom_functions=functions.Functions()))
        self._cancel = cancel
        self._left = STEPS_MAX

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:  # `Any`: as the base class has it
        self._spend(1)
        found = super().visit(node, *args, **kwargs)
        if node["type"] in _MAKES:
            if isinstance(found, dict | list):
                self._spend(measured(found, code="QUERY_FAILED")[0])
            elif isinstance(found, str):
                self._spend(len(found) // 16)
        return found

    def _spend(self, steps: int) -> None:
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
