"""CEL expressions: compiled once, evaluated often, and whatever goes wrong ends in one kind of error.

Deterministic and bounded: only the functions of `FUNCTIONS` can be called (none of them knows the time, chance or the machine),
patterns of `matches` are literals run by a linear-time engine, macros nest `MACRO_DEPTH_MAX` deep at most, and what an expression
takes on the data that it meets is counted before it begins (`work.py`).
The language is CEL (github.com/google/cel-spec) as the Rust binding `common-expression-language` implements it, without
structures, optional values and dynamic patterns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from assent._lazy import compiled_when_asked
from assent.errors import InputError, Json
from assent.spec.language import syntax, work
from assent.spec.language._cel import binding
from assent.spec.language.syntax import Path
from assent.spec.language.work import WORK_MAX
from assent.spec.words.suggestions import did_you_mean

SOURCE_LENGTH_MAX: Final = 4096
"""Characters of one expression."""

MACRO_DEPTH_MAX: Final = 3
"""`all`, `exists`, `map` … inside one another: each level multiplies the work by the length of a list."""

LITTLE: Final = 10_000
"""Steps that count as nothing, half a millisecond: to count them exactly would often cost as much as to take them."""

HANDED_ON_MAX: Final = 64
"""Inputs and outputs of workflows that one reference comes through."""

TOO_COSTLY: Final = "EXPRESSION_TOO_COSTLY"
"""The code of an expression that was not begun because it would take too long."""

FUNCTIONS: Final = frozenset(
    "size contains startsWith endsWith matches string int uint double bytes type dyn timestamp duration getFullYear getMonth "
    "getDate getDayOfMonth getDayOfWeek getDayOfYear getHours getMinutes getSeconds getMilliseconds has".split()
)
"""Everything that may be called besides the macros. All of them are pure."""

_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1

Projection: TypeAlias = "dict[str, Projection | None]"
"""What of a context to convert: a key per field, None for a field that is taken whole."""


class ExpressionError(InputError):
    """An expression failed on the data it met.

    `EXPRESSION_FAILED`; `REFERENCE_MISSING` for a name that is not there; `EXPRESSION_TOO_COSTLY` before it began, when it would
    take too long.
    """


class Expression:
    """One compiled expression.

    `names` are the paths it reads (`("inputs", "amount")`), each as long as the source tells; `tree` is its shape. Building one
    raises `InputError` EXPRESSION_INVALID with the offset in `details.offset`. Instances may be shared between threads.
    """

    __slots__ = ("_program", "_projection", "bound", "names", "source", "tree")

    def __init__(self, source: str) -> None:
        self.source = source
        self.tree = _parse(source)
        _require_safe(self.tree, source)
        self.names: frozenset[Path] = syntax.paths(self.tree)
        self.bound: Final = work.bound_of(self.tree)
        self._projection = projection(self.names)
        self._program = _compile(source)

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"

    @property
    def roots(self) -> frozenset[str]:
        """The first parts of `names`."""
        return frozenset(path[0] for path in self.names)

    def evaluate(self, context: Mapping[str, object], budget: Budget | None = None) -> Json:
        """The value on this context, as plain JSON data; the context is not changed. Raises `ExpressionError` only."""
        return to_json(self.run_on(context, budget), self.source)

    def run_on(self, context: Mapping[str, object], budget: Budget | None = None) -> object:
        """The raw value on this context, as CEL gives it. Raises `ExpressionError` only.

        `budget` is what several expressions may take together; None: this one is alone.
        """
        return self.run(Bindings(context, self._projection, budget or Budget()))

    def run(self, bindings: Bindings) -> object:
        """The raw value on bindings that were converted once for several expressions. Raises `ExpressionError` only."""
        try:
            if bindings.budget is not None:
                bindings.budget.spend(self.work(bindings), self.source)
            return self._program.execute(bindings.native)
        except ExpressionError:
            raise
        except BaseException as error:
            if _is_failure(error):
                raise _failure(error, self.source, self.names) from None
            raise

    def work(self, bindings: Bindings) -> int:
        """The most steps that it takes on these; `ExpressionError` for a value that CEL can't hold."""
        if bindings.most_steps(self.bound) <= LITTLE:
            return 0
        steps = work.work_of(self.tree, bindings.sizes)
        return steps if steps > LITTLE else 0


class Budget:
    """What expressions may still take together, in steps (`work.py`). Not for use by two threads at once."""

    __slots__ = ("_depth", "left")

    def __init__(self) -> None:
        self.left = WORK_MAX
        self._depth = 0

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """While an expression waits for another's value; `ExpressionError` EXPRESSION_TOO_COSTLY when too many do."""
        self._depth += 1
        if self._depth > HANDED_ON_MAX:
            raise ExpressionError(
                TOO_COSTLY,
                f"a value comes through more than {HANDED_ON_MAX} workflows, one after the other",
                hint="let a step of the outer workflow give it to them",
            )
        try:
            yield
        finally:
            self._depth -= 1

    def spend(self, steps: int, source: str) -> None:
        """Take what an expression needs; `ExpressionError` EXPRESSION_TOO_COSTLY when so much is not left."""
        if steps > self.left:
            raise ExpressionError(
                TOO_COSTLY,
                f"`{_short(source)}` would take more than {WORK_MAX} steps on this data",
                hint="nest fewer of `all`, `exists`, `map` and `filter`, or give it shorter lists",
                details={"expression": source},
            )
        self.left -= steps


class AnyOf:
    """Several expressions joined with `||`, to learn in one evaluation that none of them is true and none of them fails.

    InputError EXPRESSION_INVALID when the binding does not take them joined.
    """

    __slots__ = ("_expressions", "_program")

    def __init__(self, expressions: Iterable[Expression]) -> None:
        self._expressions = tuple(expressions)
        # The end of a line ends a comment, which would take the bracket with it.
        self._program = _compile(" || ".join(f"({one.source}\n)" for one in self._expressions))

    def is_false(self, bindings: Bindings) -> bool:
        """Whether every one of them is false. Otherwise nothing is known: one may be true, fail, or be neither true nor false.

        They have taken of the budget then what they would have one by one, and else nothing.
        """
        budget = bindings.budget
        before = budget.left if budget is not None else 0
        is_false = False
        try:
            if budget is not None:
                for one in self._expressions:
                    budget.spend(one.work(bindings), one.source)
            is_false = self._program.execute(bindings.native) is False
        except BaseException as error:
            if not _is_failure(error):
                raise
        if budget is not None and not is_false:
            budget.left = before
        return is_false


def _is_failure(error: BaseException) -> bool:
    # A panic of the Rust side derives from BaseException. It is an error of this evaluation like any other; an interrupt or an
    # exit is not, and goes on.
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


class Bindings:
    """The values that expressions read, converted to CEL on first use and then shared by every expression run on them.

    Only what `projection` names is converted, because conversion is what costs. `budget` is what the expressions are held to;
    None: they have room for certain. Not for use by two threads.
    """

    __slots__ = ("_context", "_extent", "_native", "_projection", "_sizes", "_values", "budget")

    def __init__(
        self, context: Mapping[str, object], projection: Projection, budget: Budget | None = None
    ) -> None:
        self._context = context
        self._projection = projection
        self._values: dict[str, object] | None = None
        self._native: object = None
        self._sizes: Mapping[str, work.Size] | None = None
        self._extent: tuple[int, int] | None = None
        self.budget = budget

    @property
    def values(self) -> dict[str, object]:
        """What is asked for, in types that CEL has; `ExpressionError` when a value is nothing that it can hold."""
        if self._values is None:
            self._values = _project(self._context, self._projection)
        return self._values

    @property
    def native(self) -> object:
        """The binding's own context; the same error."""
        if self._native is None:
            self._native = binding().Context(variables=self.values)
        return self._native

    @property
    def sizes(self) -> Mapping[str, work.Size]:
        """How large each variable is; the same error."""
        if self._sizes is None:
            self._sizes = {name: work.size_of(value) for name, value in self.values.items()}
        return self._sizes

    def most_steps(self, bound: work.Bound | None) -> float:
        """The most that expressions so bound can take, in whatever order; the same error."""
        if bound is None:
            return math.inf
        if self._extent is None:
            # What is bound to variables is no member of anything.
            extents = [work.extent_of(value) for value in self.values.values()]
            self._extent = sum(one[0] for one in extents), max((one[1] for one in extents), default=0)
        return bound.steps(*self._extent)


def projection(names: Iterable[Path]) -> Projection:
    """The smallest projection that covers all paths."""
    root: Projection = {}
    for path in names:
        level = root
        for part in path[:-1]:
            below = level.setdefault(part, {})
            if below is None:
                break  # A shorter path already takes the whole of it.
            level = below
        else:
            level[path[-1]] = None
    return root


def to_json(value: object, source: str = "") -> Json:
    """A result as plain JSON data; `ExpressionError` for a timestamp, a duration, bytes, NaN, infinity or an optional."""
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list):
        return [to_json(item, source) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        # The binding keeps a map in an order that differs from one evaluation to the next; ours may not.
        return {key: to_json(value[key], source) for key in sorted(value)}
    raise ExpressionError(
        "EXPRESSION_FAILED",
        f"`{_short(source)}` gives a value that JSON cannot hold",
        hint="convert it, for example with `string(…)`",
    )


def _parse(source: str) -> syntax.Node:
    if len(source) > SOURCE_LENGTH_MAX:
        raise InputError(
            "EXPRESSION_INVALID",
            f"an expression has {len(source)} characters; {SOURCE_LENGTH_MAX} are the limit",
            details={"offset": SOURCE_LENGTH_MAX},
        )
    try:
        return syntax.parse(source)
    except syntax.SyntaxFault as fault:
        raise invalid(source, str(fault), fault.at) from None


def _compile(source: str) -> Any:  # `Any`: the extension module carries no types that we could import lazily
    try:
        return binding().compile(source)
    except Exception as error:  # noqa: BLE001  # whatever the binding raises here, it refuses the source
        raise _refusal(error, source) from None
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise _refusal(error, source) from None
        raise


_PLACE: Final = compiled_when_asked(r"<input>:(\d+):(\d+): (?:Syntax error: )?([^\n]+)")


def _refusal(error: BaseException, source: str) -> InputError:
    found = _PLACE.search(str(error))
    if found is None:
        return invalid(source, "is not accepted", 0)
    lines = source.splitlines(keepends=True)
    offset = sum(map(len, lines[: int(found[1]) - 1])) + int(found[2]) - 1
    return invalid(source, found[3], min(offset, len(source)))


def _require_safe(tree: syntax.Node, source: str) -> None:
    for node, _bound, depth in syntax.walk(tree):
        if depth > MACRO_DEPTH_MAX:
            raise invalid(
                source, f"nests `all`, `exists`, `map` or `filter` deeper than {MACRO_DEPTH_MAX}", 0
            )
        if not isinstance(node, syntax.Call):
            continue
        if node.function in syntax.MACROS and node.receiver is not None:
            if syntax.bound_variable(node) is None:
                raise invalid(source, f"`{node.function}` needs a variable name first", node.at)
        elif node.function not in FUNCTIONS:
            raise invalid(
                source,
                f"there is no function `{node.function}`",
                node.at,
                did_you_mean(node.function, FUNCTIONS | syntax.MACROS),
            )
        elif node.function == "matches":
            _require_literal_pattern(node, source)


def _require_literal_pattern(call: syntax.Call, source: str) -> None:
    # A pattern taken from data would let its author choose what is compared, and how long compiling it takes.
    pattern = call.arguments[-1] if call.arguments else None
    if not isinstance(pattern, syntax.Constant) or pattern.kind != "string" or call.receiver is None:
        raise invalid(
            source, "the pattern of `matches` must be a literal", call.at, 'write `value.matches("pattern")`'
        )
    if pattern.value is None:
        return  # With escapes in it the pattern is checked by its first use.
    try:
        probe = {"pattern": pattern.value}
        binding().compile('"".matches(pattern)').execute(probe)
    except Exception as error:  # noqa: BLE001  # the engine refuses the pattern, by whatever exception
        text = str(error).rpartition("error: ")[2].split(".. ", 1)[0].split(". Check", 1)[0].strip()
        raise invalid(source, f"the pattern of `matches` is refused: {text}", pattern.at) from None


def invalid(source: str, fault: str, offset: int, hint: str | None = None) -> InputError:
    """The error of an expression that cannot be accepted, pointing at a character of it."""
    return InputError(
        "EXPRESSION_INVALID",
        f"expression `{_short(source)}`: {fault} (character {offset + 1})",
        hint=hint,
        details={"offset": offset, "expression": source[:SOURCE_LENGTH_MAX]},
    )


_ABSENT: Final = object()


def _project(context: Mapping[str, object], wanted: Projection) -> dict[str, object]:
    chosen: dict[str, object] = {}
    for key, below in wanted.items():
        value = context.get(key, _ABSENT)
        if value is _ABSENT:
            continue  # What is absent stays absent: the expression, not we, says what that means.
        if type(value) is str:
            chosen[key] = value
        elif below is not None and isinstance(value, Mapping):
            chosen[key] = _project(value, below)
        else:
            chosen[key] = _native(value, key)
    return chosen


def _native(value: object, path: str) -> object:
    """The value in types that the binding converts exactly; most values are of such a type already and are not copied."""
    kind = type(value)
    if kind is str or kind is bool or kind is float or value is None:
        return value
    if isinstance(value, int):
        # The binding would turn a larger integer into a float, silently: two different amounts would compare equal.
        if _INT64_MIN <= value <= _INT64_MAX:
            return value
        raise ExpressionError("EXPRESSION_FAILED", f"`{path}` is an integer beyond 64 bits", path=path)
    if isinstance(value, Mapping):
        return {key: item if type(item) is str else _native(item, path) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [item if type(item) is str else _native(item, path) for item in value]
    if isinstance(value, frozenset) and all(isinstance(item, str) for item in value):
        return sorted(value)  # Roles and labels are sets; their order must not depend on the hash seed.
    if isinstance(value, str | float | datetime | timedelta):
        return value
    raise ExpressionError("EXPRESSION_FAILED", f"`{path}` is not JSON data", path=path)


_UNDEFINED: Final = compiled_when_asked(r"Undefined variable or function: '([^']*)'")


def _failure(error: BaseException, source: str, names: frozenset[Path]) -> ExpressionError:
    text = str(error)
    if isinstance(error, KeyError):
        return _missing(source, text.strip("'\""), names)
    if isinstance(error, IndexError):
        return _missing(source, text.removeprefix("index out of bounds: "), names)
    undefined = _UNDEFINED.search(text)
    if undefined is not None and undefined[1] not in FUNCTIONS:
        return _missing(source, undefined[1], names)
    if undefined is not None:
        fault = f"`{undefined[1]}` cannot be called on this value"
    elif isinstance(error, TypeError):
        fault = "the values do not have the types that the operators need"
    elif isinstance(error, ZeroDivisionError):
        fault = "division by zero"
    elif isinstance(error, OverflowError):
        fault = "a number is too large"
    else:
        fault = "a value cannot be used"
    return ExpressionError(
        "EXPRESSION_FAILED", f"`{_short(source)}` failed: {fault}", details={"expression": source}
    )


def _missing(source: str, name: str, names: frozenset[Path]) -> ExpressionError:
    # Of several paths with this part the first by name: the message may not depend on the order of a set.
    path = next((path[: path.index(name) + 1] for path in sorted(names) if name in path[1:]), None)
    return ExpressionError(
        "REFERENCE_MISSING",
        f"`{_short(source)}` reads `{'.'.join(path) if path else name}`, which is not there",
        hint=f"ask first whether it is there: `has({'.'.join(path)})`" if path else None,
        details={"expression": source, "name": name},
    )


def _short(source: str) -> str:
    flat = " ".join(source.split())
    return flat if len(flat) <= 80 else flat[:79] + "…"
