"""How much work an expression is on the data at hand, counted before it begins.

CEL ends always and says nothing of when: three nested `all` over 3 000 numbers take hours, `[s].map(x, x + x).map(…)…` doubles
a text with every word, and the binding, which can't be interrupted and holds the interpreter, copies a list whole each time it
is read and all of a `map`'s result for each element of it. So the tree is walked once with sizes in place of values, and each
size is the largest that the data allow: what branches, short circuits and errors save is not looked at. The count depends on
the expression and the data alone: it is the same in a plan, a run, a recovery and a replay, on every machine.

One step stands for some 50 ns: copying one value. The weights were measured against release 0.10 of the binding.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache, reduce
from itertools import zip_longest
from typing import Final

import msgspec

from assent._lazy import compiled_when_asked
from assent.spec.language import syntax
from assent.spec.language._cel import binding
from assent.spec.language.syntax import Call, Collection, Constant, Index, Name, Node, Operation, Select

WORK_MAX: Final = 10_000_000
"""Steps of one expression, and of all `if`s of one decision together: about half a second."""

_TURN: Final = 4
"""Steps of one turn of a macro; an operator, call or name is one, whatever it works on."""
_CHARACTERS: Final = 256
"""Characters that are copied or compared in a step."""
_SCALAR_CHARACTERS: Final = 320
"""The longest text that `string(…)` makes of a number or a time."""
_MATCHED: Final = 32
"""Parts of a pattern times characters of a text in a step, where the engine's table of what may have matched stays small."""
_TABLED_PARTS: Final = 12
"""Parts of a pattern that keep it small whatever the text: it has at most a line for each set of parts."""
_WIDE: Final = 1000
"""Steps to compile a class of Unicode's characters: `\\w`, `.`, `[^a]`, a letter under `(?i)`."""
_NARROW: Final = 5
"""Steps to compile any other part of a pattern."""
_PATTERN_MAX: Final = (500_000, 1_500_000)
"""Parts, and steps to compile them, of the largest pattern that the binding takes."""
_CONTAINERS: Final = {list, dict}


class Size(msgspec.Struct, frozen=True):
    """The most that a value can be."""

    weight: int = 1
    """Steps to copy it, with all that is in it."""
    members: int = 0
    """Elements of a list, entries of an object."""
    text: int = 0
    """Characters, or bytes."""
    member: Size | None = None
    """What each element, value and key is at most; None: there are none."""
    fields: Mapping[str, Size] = {}
    """What is under a key at most, in the objects that it may be."""

    def under(self, key: str | None) -> Size:
        """What is under a key at most; None: under some key or position."""
        return self.fields.get(key or "") or self.member or _SCALAR


_SCALAR: Final = Size()


def size_of(value: object) -> Size:
    """The size of a value that is at hand, as `Bindings` converts it."""
    return _size_of_any([value])


def _size_of_any(values: list[object]) -> Size:
    """What each of these is at most: all at once, because most lists hold many values of one kind."""
    longest = max((len(one) for one in values if isinstance(one, str | bytes)), default=0)
    if _CONTAINERS.isdisjoint(map(type, values)):
        return _text(longest) if longest else _SCALAR
    lists = [one for one in values if isinstance(one, list)]
    objects = [one for one in values if isinstance(one, dict)]
    columns: dict[str, list[object]] = {}
    for one in objects:
        for key, value in one.items():
            columns.setdefault(key, []).append(value)
    fields = {key: _size_of_any(column) for key, column in columns.items()}
    items = [item for one in lists for item in one]
    inner = [*fields.values()]
    inner += [_size_of_any(items)] if items else []
    inner += [_text(max(map(len, fields)))] if fields else []
    return Size(
        max(map(weight_of, (*lists, *objects))),
        max(map(len, (*lists, *objects))),
        longest,
        reduce(_larger, inner) if inner else None,
        fields,
    )


def weight_of(value: object) -> int:
    """`size_of(value).weight` alone."""
    return extent_of(value)[0]


def extent_of(value: object) -> tuple[int, int]:
    """The weight of a value, and the most members that anything in it has: `size_of` for little."""
    total, most = 0, 0
    pending: list[list[object]] = [[value]]
    while pending:
        values = pending.pop()
        total += len(values)
        for one in values:
            match one:
                case str() | bytes():
                    total += len(one) // _CHARACTERS
                case list():
                    pending.append(one)
                    most = max(most, len(one))
                case dict():
                    pending += ([*one], [*one.values()])
                    most = max(most, len(one))
                case _:
                    pass
    return total, most


class Bound(msgspec.Struct, frozen=True):
    """The most that expressions can take by how much data there is, without another look at it: never less than `work_of`."""

    nodes: tuple[int, ...] = ()
    """Nodes by how many macros enclose them."""
    growth: int = 1
    """How many values of the data may come together in one."""
    constants: int = 0
    """What the literals weigh."""

    def steps(self, weight: int, members: int) -> int:
        """On data of this extent."""
        turns, total = 1, 0
        for count in self.nodes:
            total += count * turns
            turns *= 2 + self.growth * members
        return 4 * self.growth * (1 + weight + self.constants) * total

    def __or__(self, other: Bound) -> Bound:
        """Of these and others together."""
        nodes = tuple(map(sum, zip_longest(self.nodes, other.nodes, fillvalue=0)))
        return Bound(nodes, max(self.growth, other.growth), max(self.constants, other.constants))


def bound_of(tree: Node) -> Bound | None:
    """The bound of one expression; None where only `work_of` can tell, since it makes lists or texts."""
    nodes = [2] + [0] * 4
    growth, constants, deepest = 1, 0, 0
    for node, _, depth in syntax.walk(tree):
        deepest = max(deepest, depth)
        nodes[min(depth, 4)] += 1
        match node:
            case Call(function="map" | "filter" | "string" | "bytes"):
                return None
            case Call(function="matches", arguments=(*_, Constant(text=text))):
                pattern = _pattern_of(text)
                nodes[min(depth, 4)] += pattern.steps + pattern.matched(_CHARACTERS)
            case Operation(operator="+"):
                growth += 1
            case Collection(items=items):
                growth += len(items)
            case Constant(text=text):
                constants += 1 + len(text) // _CHARACTERS
            case _:
                pass
    return Bound(tuple(nodes[: deepest + 1]), growth, constants) if deepest < len(nodes) else None


def work_of(tree: Node, sizes: Mapping[str, Size]) -> int:
    """Steps that the expression takes at most where its variables have these sizes."""
    counting = _Counting(sizes)
    result = counting.size(tree)
    return (
        counting.steps + 4 * result.weight
    )  # The result is made into Python's values, and these into JSON's.


class _Counting:
    """A walk over a tree: `size` says what a node's value is at most, and adds the steps to get it to `steps`."""

    def __init__(self, known: Mapping[str, Size]) -> None:
        self.steps = 0
        self._known = known

    def size(self, node: Node) -> Size:
        # Down along the first operands without recursion: `1+1+…` and `a.b.c…` nest as deep as they are long.
        spine: list[Node] = []
        inner: Node | None = node
        while inner is not None:
            spine.append(inner)
            inner = _first(inner)
        found = _SCALAR
        for outer in reversed(spine):
            found = self._of(outer, found)
            if self.steps > WORK_MAX:
                break  # It is too much, whatever comes; and the numbers shall not grow with every doubling.
        return found

    def _of(self, node: Node, first: Size) -> Size:
        self.steps += 1
        match node:
            case Constant(text=text):
                return self._read(_text(len(text)))
            case Name(name=name):
                # Only the value at the end of a path is copied, and whoever takes a name whole counts it.
                return self._known.get(name, _SCALAR)
            case Select(field=field):
                return self._read(first.under(field))
            case Index(key=key):
                self.size(key)
                known = key.value if isinstance(key, Constant) else None
                return self._read(first.under(known if isinstance(known, str) else None))
            case Operation():
                return self._operation(node, first)
            case Collection():
                return self._collection(node, first)
            case Call():
                return self._call(node, first)

    def _read(self, size: Size) -> Size:
        self.steps += size.weight
        return size

    def _operation(self, node: Operation, first: Size) -> Size:
        rest = [self.size(operand) for operand in node.operands[1:]]
        if node.operator == "?:":
            return _larger(*rest)
        if node.operator == "+":
            return self._read(_joined(first, rest[0]))
        # To compare costs no more than to copy.
        self.steps += first.weight + sum(one.weight for one in rest)
        return _SCALAR

    def _collection(self, node: Collection, first: Size) -> Size:
        items = [first, *(self.size(item) for item in node.items[1:])] if node.items else []
        weight = 1 + sum(one.weight for one in items)
        member = reduce(_larger, items) if items else None
        return self._read(Size(weight, len(items), 0, member))

    def _call(self, node: Call, first: Size) -> Size:
        if (variable := syntax.bound_variable(node)) is not None:
            return self._macro(node, variable, first)
        others = node.arguments if node.receiver is not None else node.arguments[1:]
        given = [first, *(self.size(argument) for argument in others)]
        self.steps += sum(one.weight for one in given)
        match node.function:
            case "matches":
                pattern = node.arguments[-1]
                assert isinstance(pattern, Constant)  # INVARIANT: `Expression` refuses any other
                read = _pattern_of(pattern.text)
                self.steps += read.steps + read.matched(first.text)
                return _SCALAR
            case "string" | "bytes":
                return self._read(
                    _text(max(4 * first.text, _SCALAR_CHARACTERS))
                )  # UTF-8 has up to four bytes
            case "dyn":
                return first
            case _:
                return _SCALAR

    def _macro(self, node: Call, variable: str, over: Size) -> Size:
        element = over.member or _SCALAR
        known, before = self._known, self.steps
        self._known, self.steps = {**known, variable: element}, 0
        bodies = [self.size(argument) for argument in node.arguments[1:]]
        turn = _TURN + element.weight + self.steps + sum(one.weight for one in bodies)
        self._known, self.steps = known, before + over.weight + over.members * turn
        if node.function == "map" and bodies:
            element = bodies[-1]
        elif node.function != "filter":
            return _SCALAR
        made = Size(1 + over.members * element.weight, over.members, 0, element)
        # What there is of the result is copied for each element that is added to it.
        self.steps += over.members * made.weight // 2
        return self._read(made)


def _first(node: Node) -> Node | None:
    """What is evaluated first of a node's parts: along it a tree nests as deep as the source is long."""
    match node:
        case Select(operand=operand) | Index(operand=operand):
            return operand
        case Operation(operands=items) | Collection(items=items):
            return items[0] if items else None
        case Call(receiver=receiver, arguments=arguments):
            return receiver if receiver is not None else arguments[0] if arguments else None
        case _:
            return None


def _text(characters: int) -> Size:
    return Size(1 + characters // _CHARACTERS, 0, characters)


def _joined(one: Size, other: Size) -> Size:
    """What `one + other` is at most."""
    if one is _SCALAR and other is _SCALAR:
        return _SCALAR
    larger = _larger(one, other)
    return Size(one.weight + other.weight, one.members + other.members, one.text + other.text, larger.member)


def _larger(one: Size, other: Size) -> Size:
    """What is at least both, in every respect."""
    if one is other:
        return one
    fields = {key: _larger(size, other.fields.get(key, size)) for key, size in one.fields.items()}
    return Size(
        max(one.weight, other.weight),
        max(one.members, other.members),
        max(one.text, other.text),
        _larger(one.member, other.member) if one.member and other.member else one.member or other.member,
        {**other.fields, **fields},
    )


_PART: Final = compiled_when_asked(
    r"(?P<wide>\\[pP]\{[^}]*\}|\\.|\.|\[\^(?:\]?)(?:\\.|[^\]\\])*\])|(?P<set>\[\]?(?:\\.|\[:[^\]]*:\]|[^\]\\])*\])"
    r"|(?P<open>\((?:\?(?P<flags>[a-zA-Z-]*))?)|(?P<close>\))|\{(?P<least>\d+)(?P<more>,(?P<most>\d*))?\}|.",
    re.DOTALL,
)


_STEADY: Final = compiled_when_asked(
    r"\^(?:[^\\\[\](){}*+?|.]|\\.|\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{\d+\})*(?:[*+?]|\{\d+,\d*\})?\$?", re.DOTALL
)
"""A pattern in which each character of a text has one place, so that there is never more than one thing that may have matched."""


class Pattern(msgspec.Struct, frozen=True):
    """What it takes to use a pattern: its parts with all repetitions written out, and the steps to compile them."""

    parts: int
    steps: int
    is_steady: bool = False

    def matched(self, characters: int) -> int:
        """Steps to look for it in a text.

        With many parts, what may have matched can be another set of them at each character: then a table is of no use, and each
        part is looked at each time.
        """
        if self.is_steady or self.parts <= _TABLED_PARTS:
            return characters * self.parts // _MATCHED
        return characters * self.parts


_LARGEST: Final = Pattern(*_PATTERN_MAX)


def matched(pattern: str, characters: int) -> int:
    """Steps to look for a pattern in texts of so many characters together."""
    return _pattern(pattern).matched(characters)


@lru_cache(maxsize=512)
def _pattern_of(literal: str) -> Pattern:
    """The pattern that is written as this literal of an expression."""
    try:
        pattern = binding().compile(literal).execute({})
    except Exception:  # noqa: BLE001  # whatever the binding raises here, it does not run this
        return _LARGEST
    return _pattern(pattern)


@lru_cache(maxsize=512)
def _pattern(pattern: str) -> Pattern:
    totals, last = [(0, 0)], (0, 0)
    letter = _NARROW
    for found in _PART.finditer(pattern):
        flags = found["flags"] or ""
        if "x" in flags:
            return _LARGEST  # Blanks and comments may stand between a part and its repetition.
        letter = _WIDE if "i" in flags else letter
        if found["open"]:
            totals.append((0, 0))
            continue
        times = 1
        if found["least"]:
            most = int(found["most"] or found["least"]) + (found["more"] == ",")
            times = max(most - 1, 0)  # one of them is counted
        elif found["close"] and len(totals) > 1:
            last = totals.pop()
        elif found["wide"] or (found["set"] and "\\" in found[0]):
            last = 1, _WIDE
        else:
            last = 1, letter
        totals[-1] = totals[-1][0] + times * last[0], totals[-1][1] + times * last[1]
    parts, steps = totals[0]
    is_steady = _STEADY.fullmatch(pattern) is not None
    return Pattern(min(parts, _LARGEST.parts), min(steps, _LARGEST.steps), is_steady)
