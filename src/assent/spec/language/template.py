"""Values with `${{ … }}` in them, compiled once when a workflow is loaded and filled in when a step runs.

What is filled in is a value, never text to be read again: a file's content that happens to hold `${{ … }}`
stays as it is. A string that is one whole reference becomes the referenced value with its type; in longer
strings the pieces are joined as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import msgspec

from assent._lazy import compiled_when_asked
from assent.errors import InputError, Json
from assent.spec.documents import document as documents
from assent.spec.language import syntax
from assent.spec.language.expression import SOURCE_LENGTH_MAX, Budget, Expression, ExpressionError
from assent.spec.language.work import weight_of
from assent.spec.values.canonical import canonical_json
from assent.spec.values.frozen import LEAVES, thaw

OPEN: Final = "${{"
ESCAPE: Final = "$${{"

Context: TypeAlias = Mapping[str, object]
"""What names stand for: `inputs`, `steps` (name → `{"output": …}`), in iterations `item` and `index`, in `finally` `run`."""

Name: TypeAlias = tuple[str, ...]
"""A path that a reference reads, as `("steps", "build", "output")`."""


class Scope(msgspec.Struct):
    """What names mean in one document: the run's own inputs and steps, or, in an inlined workflow, another's.

    `prefix` stands before step names in the run; `inputs` is what the outer step hands in (None for the
    outermost document); `outputs` are those of workflows inlined into this one, by the name of the step that
    did it. Both are completed while documents are read, before anything is evaluated.
    """

    prefix: str = ""
    inputs: Template | None = None
    outputs: dict[str, Template] = msgspec.field(default_factory=dict)

    def enter(self, names: frozenset[Name], context: Context, budget: Budget) -> Context:
        """The context as this document sees it, with only what `names` ask for; `ExpressionError` EXPRESSION_TOO_COSTLY."""
        if not self.prefix and not self.outputs:
            return context
        with budget.deeper():
            return self._entered(names, context, budget)

    def _entered(self, names: frozenset[Name], context: Context, budget: Budget) -> Context:
        local: dict[str, object] = {key: context[key] for key in ("item", "index", "run") if key in context}
        if self.inputs is None:
            local["inputs"] = context.get("inputs", {})
        else:
            # A name that is not asked for is not rendered: its failure is not this reference's.
            asked = {name[1] if len(name) > 1 else None for name in names if name[0] == "inputs"}
            local["inputs"] = self.inputs.render(context, budget, only=None if None in asked else asked)
        steps = context.get("steps", {})
        assert isinstance(steps, Mapping), "a context's steps are a mapping"
        mine: dict[str, object] = {}
        for name in names:
            if name[0] != "steps" or len(name) < 2:
                continue
            if name[1] in self.outputs:
                mine[name[1]] = {"output": self.outputs[name[1]].render(context, budget)}
            elif self.prefix + name[1] in steps:
                mine[name[1]] = steps[self.prefix + name[1]]
        local["steps"] = mine
        return local

    def resolve(self, names: frozenset[Name]) -> frozenset[Name]:
        """The names in the run's own context that these local names come down to."""
        found: set[Name] = set()
        for name in names:
            match name:
                case ("inputs", *rest) if self.inputs is not None:
                    found |= self.inputs.names_of(rest[0] if rest else None)
                case ("steps", step, *rest) if step in self.outputs:
                    found |= self.outputs[step].names_of(rest[1] if len(rest) > 1 else None)
                case ("steps", step, *rest):
                    found.add(("steps", self.prefix + step, *rest))
                case _:
                    found.add(name)
        return frozenset(found)


TOP: Final = Scope()


_PLAIN: Final = compiled_when_asked(
    r"\s*[A-Za-z_]\w*(\.[A-Za-z_]\w*|\[(0|[1-9][0-9]{0,8})\])*\s*\Z", re.ASCII
)
_PART: Final = compiled_when_asked(r"[A-Za-z_]\w*|[0-9]+", re.ASCII)


_HANDED_ON: Final = 8
"""Steps to copy, check and write out one value that is handed on."""


class Reference:
    """One expression in the scope where it was written. Raises EXPRESSION_INVALID when it is none.

    A plain path (`steps.build.output.files[0]`) is followed here; anything more is CEL, whose library is
    loaded only then. `local_names` are the paths as written, `names` what they come down to in the run.
    """

    __slots__ = ("_expression", "_names", "_path", "local_names", "scope", "source")

    def __init__(self, source: str, scope: Scope = TOP) -> None:
        self.source = source.strip()
        self.scope = scope
        self._expression: Expression | None = None
        self._names: frozenset[Name] | None = None
        self._path: tuple[str | int, ...] = ()
        if len(source) <= SOURCE_LENGTH_MAX and _PLAIN.match(source):
            parts = _PART.findall(source)
            if not syntax.RESERVED.intersection(parts):
                self._path = tuple(int(part) if part[0].isdigit() else part for part in parts)
        if self._path:
            named: list[str] = []
            for part in self._path:
                if isinstance(part, int):
                    break
                named.append(part)
            self.local_names: frozenset[Name] = frozenset({tuple(named)})
        else:
            self._expression = Expression(self.source)
            self.local_names = self._expression.names

    @property
    def names(self) -> frozenset[Name]:
        """The paths it reads in the run's own context."""
        if self._names is None:  # Kept, because one output of a workflow may stand in many of the next.
            self._names = self.scope.resolve(self.local_names)
        return self._names

    @property
    def path(self) -> documents.Path:
        """The path in the run's own context that this is nothing but; empty where it is more, or of an inlined workflow."""
        match self._path:
            case ("steps", str() as step, *rest) if step not in self.scope.outputs:
                return ("steps", self.scope.prefix + step, *rest)
            case _:
                return ()

    def evaluate(self, context: Context, budget: Budget) -> Json:
        """The value as plain JSON data of its own.

        `ExpressionError`: REFERENCE_MISSING, EXPRESSION_FAILED or EXPRESSION_TOO_COSTLY, by itself or with what has taken of the
        budget before it: each value handed on counts, because workflows can hand on one value many times over.
        """
        local = self.scope.enter(self.local_names, context, budget)
        if self._expression is not None:
            return self._expression.evaluate(local, budget)
        value: object = local
        for position, part in enumerate(self._path):
            match part, value:
                case str(), Mapping() if part in value:
                    value = value[part]
                case int(), list() | tuple() if part < len(value):
                    value = value[part]
                case _:
                    raise _missing(self.source, self._path[: position + 1])
        plain: Json = thaw(value)
        budget.spend(_HANDED_ON * weight_of(plain), self.source)
        return plain


def _missing(source: str, path: documents.Path) -> InputError:
    return ExpressionError(
        "REFERENCE_MISSING",
        f"`{source}` reads `{documents.dotted(path)}`, which is not there",
        hint="a skipped step's output is null; ask first whether it is there with `has(…)`",
        details={"expression": source},
    )


class Condition(msgspec.Struct, frozen=True):
    """What must hold for a step to run: every reference, in order (a step inside a group is under the group's as well)."""

    parts: tuple[Reference, ...]

    @property
    def names(self) -> frozenset[Name]:
        """The paths it reads in the run's own context."""
        return frozenset[Name]().union(*(part.names for part in self.parts))

    def holds(self, context: Context) -> bool:
        """Whether the step runs. `ExpressionError` when a part fails or is neither true nor false: that fails the step."""
        budget = Budget()
        for part in self.parts:
            value = part.evaluate(context, budget)
            if not isinstance(value, bool):
                raise ExpressionError(
                    "EXPRESSION_FAILED",
                    f"`{part.source}` is neither true nor false",
                    hint="compare it with something, e.g. `… != null`",
                    details={"expression": part.source},
                )
            if not value:
                return False
        return True


class _Text(msgspec.Struct, frozen=True):
    """Pieces of text and references, joined."""

    parts: tuple[str | Reference, ...]


_Tree: TypeAlias = (
    "bool | int | float | str | Reference | _Text | tuple[_Tree, ...] | Mapping[str, _Tree] | None"
)


@dataclass(frozen=True)
class Template:
    """JSON data with references in it. `render` fills them in; nothing of what they yield is scanned again."""

    _tree: _Tree = None

    @cached_property
    def names(self) -> frozenset[Name]:
        """The paths that all references together read in the run's own context."""
        return self.names_of(None)

    def names_of(self, key: str | None) -> frozenset[Name]:
        """The same for the value under one key; None for all."""
        part = self._tree.get(key) if key is not None and isinstance(self._tree, Mapping) else self._tree
        return frozenset[Name]().union(*(reference.names for reference in _references(part)))

    def literals(self) -> dict[str, Json | None]:
        """Of a template that is a mapping: each key with its value, or None where references decide it."""
        tree = self._tree if isinstance(self._tree, Mapping) else {}
        return {
            key: _render(part, {}, Budget()) if next(_references(part), None) is None else None
            for key, part in tree.items()
        }

    def keys_with_references(self) -> frozenset[str]:
        """Of a template that is a mapping: the keys whose values are known only in a run."""
        tree = self._tree if isinstance(self._tree, Mapping) else {}
        return frozenset(key for key, part in tree.items() if next(_references(part), None) is not None)

    def parts(self) -> Iterator[tuple[documents.Path, Template]]:
        """What references decide of it, each with its place, down to a reference or a text with some."""
        return _parts(self._tree, ())

    @property
    def path(self) -> documents.Path:
        """Of a template that is one reference to a step: see `Reference.path`."""
        return self._tree.path if isinstance(self._tree, Reference) else ()

    def with_defaults(self, defaults: Mapping[str, Json]) -> Template:
        """A template that is a mapping, with these literal values for the keys it lacks."""
        own = self._tree if isinstance(self._tree, Mapping) else {}
        return Template({**{key: _literal(value) for key, value in defaults.items()}, **own})

    def render(
        self, context: Context, budget: Budget | None = None, *, only: set[str | None] | None = None
    ) -> Json:
        """New plain JSON data with every reference filled in; `ExpressionError` when one can't be.

        `budget` is what all of them may take together, this template's own when None; `only` limits a mapping to these keys.
        """
        budget = budget or Budget()
        if only is not None and isinstance(self._tree, Mapping):
            return {key: _render(part, context, budget) for key, part in self._tree.items() if key in only}
        return _render(self._tree, context, budget)


def _literal(value: Json) -> _Tree:
    if isinstance(value, Mapping):
        return {key: _literal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_literal(item) for item in value)
    return value


def _render(tree: _Tree, context: Context, budget: Budget) -> Json:
    kind = type(tree)
    # What nearly every part is, without asking the classes below one after the other.
    if kind in LEAVES:
        return tree  # type: ignore[return-value]  # a leaf, as the callers looked
    if kind is dict or kind is MappingProxyType:
        members: Any = tree.items()  # type: ignore[union-attr]  # it is one of the two, which mypy does not follow
        return {
            key: part if type(part) in LEAVES else _render(part, context, budget) for key, part in members
        }
    match tree:
        case Reference():
            return tree.evaluate(context, budget)
        case _Text(parts):
            return "".join(
                part if isinstance(part, str) else _as_text(part.evaluate(context, budget)) for part in parts
            )
        case tuple():
            return [_render(part, context, budget) for part in tree]
        case Mapping():
            return {key: _render(part, context, budget) for key, part in tree.items()}
        case _:
            return tree


def _parts(tree: _Tree, place: documents.Path) -> Iterator[tuple[documents.Path, Template]]:
    match tree:
        case Reference() | _Text():
            yield place, Template(tree)
        case tuple():
            for index, part in enumerate(tree):
                yield from _parts(part, (*place, index))
        case Mapping():
            for key, part in tree.items():
                yield from _parts(part, (*place, key))
        case _:
            return


def _as_text(value: Json) -> str:
    return value if isinstance(value, str) else canonical_json(value).decode()


def _references(tree: _Tree) -> Iterator[Reference]:
    match tree:
        case Reference():
            yield tree
        case _Text(parts):
            yield from (part for part in parts if isinstance(part, Reference))
        case tuple():
            for part in tree:
                yield from _references(part)
        case Mapping():
            for part in tree.values():
                yield from _references(part)
        case _:
            return


Found: TypeAlias = Callable[[Reference, documents.Path], None]
Fault: TypeAlias = Callable[[InputError, documents.Path, str], None]


def compile_template(
    data: Json, path: documents.Path, scope: Scope, *, found: Found, fault: Fault
) -> Template:
    """The template that `data` is. Each reference is reported to `found` and each fault to `fault`, with its place.

    After a fault the template is incomplete; the caller refuses the document.
    """

    def text(value: str, at: documents.Path) -> _Tree:
        parts: list[str | Reference] = []
        try:
            for piece, is_reference in split(value):
                if not is_reference:
                    parts.append(piece)
                    continue
                try:
                    parts.append(Reference(piece, scope))
                except InputError as error:
                    fault(error, at, piece.strip() or OPEN)
        except InputError as error:
            fault(error, at, OPEN)
        for part in parts:
            if isinstance(part, Reference):
                found(part, at)
        if len(parts) == 1:
            return parts[0]
        return _Text(tuple(parts)) if parts else ""

    def key(value: str, at: documents.Path) -> str:
        if OPEN in value and text(value, at).__class__ is not str:
            fault(
                InputError("EXPRESSION_INVALID", f"key `{value}` holds a reference; only values may"), at, ""
            )
        return value.replace(ESCAPE, OPEN)

    def walk(value: Json, at: documents.Path) -> _Tree:
        if isinstance(value, str):
            return text(value, at) if OPEN in value else value
        if isinstance(value, dict):
            return {key(name, (*at, name)): walk(item, (*at, name)) for name, item in value.items()}
        if isinstance(value, list):
            return tuple(walk(item, (*at, index)) for index, item in enumerate(value))
        return value

    return Template(walk(data, path))


def split(text: str) -> Iterator[tuple[str, bool]]:
    """The pieces of a string, in order: (text, False) or (source of a reference, True). Adjacent text is one piece.

    EXPRESSION_INVALID when a `${{` is never closed. A `}}` inside quotes or braces of the expression does not
    close it.
    """
    literal: list[str] = []
    at = 0
    while at < len(text):
        opening = text.find(OPEN, at)
        if opening < 0:
            break
        if text.startswith(ESCAPE, opening - 1) and opening > at:
            literal.append(text[at : opening - 1] + OPEN)
            at = opening + len(OPEN)
            continue
        literal.append(text[at:opening])
        end = _closing(text, opening + len(OPEN))
        if any(literal):
            yield "".join(literal), False
        literal = []
        yield text[opening + len(OPEN) : end], True
        at = end + 2
    literal.append(text[at:])
    if any(literal):
        yield "".join(literal), False


_TOKEN: Final = compiled_when_asked(
    r"""[rR]\"\"\".*?\"\"\" | [rR]'''.*?''' | [rR]"[^"\n]*" | [rR]'[^'\n]*'
      | \"\"\"(?:\\.|.)*?\"\"\" | '''(?:\\.|.)*?''' | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'
      | \}\} | [{}] | //[^\n]*? (?=\}\}|\n|\Z)""",
    re.VERBOSE | re.DOTALL,
)


def _closing(text: str, start: int) -> int:
    depth = 0
    for token in _TOKEN.finditer(text, start):
        match token[0]:
            case "{":
                depth += 1
            case "}":
                depth -= 1
            case "}}" if depth == 0:
                return token.start()
            case "}}":
                depth -= 2
                if depth < 0:  # `{…}}}`: the first brace closes the map, the other two the reference.
                    return token.start() + 1
            case _:
                pass
    raise InputError(
        "EXPRESSION_INVALID",
        f"`{OPEN}` is never closed",
        hint=f"close it with `}}}}`, or write `{ESCAPE}` for the text `{OPEN}`",
    )
