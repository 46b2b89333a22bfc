"""Where a field stands in a record, as a manifest writes it, compiled to what looks there.

info.name             a member of a member
vulns.0.id            of a list by its place; without one the first that has it
files.*.path          of every member: a list
a.b | c | 'text'      the first that says something; a text of one's own
a.b ~ 'regex'         what the first group of a regular expression finds in a text
^.path                of what the record stands in; `^^` of what that stands in
@1                    what the first `*` or `a|b` of the records' path stood for
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import Any, Final, TypeAlias

from assent.errors import InputError

Parents: TypeAlias = Sequence[Any]
"""What a record stands in, from the outermost on. `Any`: JSON."""
Names: TypeAlias = tuple[str | int, ...]
Getter: TypeAlias = Callable[[Any, Parents, Names], Any]

_PROGRAM_MAX: Final = 5_000
"""Instructions that a pattern may compile to: each byte of a text costs at most that many steps."""
_SEARCHED_MAX: Final = 4096
"""So many characters of a text are searched for a part."""
_ONE: Final = re.compile(
    r"\s*(?:'(?P<text>[^']*)'|@(?P<name>[1-9])(?=\s*(?:\||$))|(?P<up>\^+)(?P<above>(?:\.[^'|^~]+)?)|(?P<path>[^'|^~]+))"
    r"\s*(?:~\s*'(?P<part>[^']*)'\s*)?(?:\||$)"
)


def getter_of(source: str, nothing: Collection[str] = ()) -> Getter:
    """What looks there; None where nothing is, or one of the texts of `nothing`. `InputError` `TOOL_MANIFEST_INVALID`."""
    getters: list[Getter] = []
    at = 0
    while at < len(source) or not getters:
        found = _ONE.match(source, at)
        if found is None or found.end() == at:
            raise InputError(
                "TOOL_MANIFEST_INVALID",
                f"`{source}` must say where a field stands",
                hint="like `info.name | title`, `^.path`, `@1` or `'a text'`",
            )
        getters.append(_part_of(_but(_single(found), nothing), found["part"], source))
        at = found.end()
    return getters[0] if len(getters) == 1 else _first_of(tuple(getters))


def _but(get: Getter, nothing: Collection[str]) -> Getter:
    if not nothing:
        return get

    def get_some(value: Any, parents: Parents, names: Names) -> Any:
        found = get(value, parents, names)
        return None if isinstance(found, str) and found in nothing else found

    return get_some


def _part_of(get: Getter, said: str | None, source: str) -> Getter:
    if said is None:
        return get
    try:
        part = pattern_of(said)
    except ValueError as error:
        raise InputError(
            "TOOL_MANIFEST_INVALID", f"`{source}` must have a regular expression behind `~`: {error}"
        ) from None
    if part.groups != 1:
        raise InputError(
            "TOOL_MANIFEST_INVALID", f"`{source}` must have a regular expression with one group behind `~`"
        )

    def get_part(value: Any, parents: Parents, names: Names) -> Any:
        found = get(value, parents, names)
        there = part.search(found[:_SEARCHED_MAX]) if isinstance(found, str) else None
        return None if there is None else there[1]

    return get_part


@cache
def pattern_of(said: str) -> Any:  # `Any`: RE2's binding has no annotations
    """A manifest's regular expression, by RE2: one search takes time linear in the text, whatever the expression.

    `ValueError` tells what RE2 can't do, or why it is none.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        found = re2.compile(said, options)
    except re2.error as error:
        (why,) = error.args
        raise ValueError(why.decode("utf-8", "replace") if isinstance(why, bytes) else why) from None
    if found.programsize > _PROGRAM_MAX:
        raise ValueError(
            f"it compiles to {found.programsize} instructions; at most {_PROGRAM_MAX} are allowed"
        )
    return found


def own_names(source: str) -> set[str]:
    """The names at the top of a record that are looked at."""
    return {found["path"].strip().partition(".")[0] for found in _ONE.finditer(source) if found["path"]}


def _single(found: re.Match[str]) -> Getter:
    if found["text"] is not None:
        text = found["text"]
        return lambda _value, _parents, _names: text
    if found["name"] is not None:
        place = int(found["name"]) - 1
        return lambda _value, _parents, names: names[place] if place < len(names) else None
    words = [word for word in (found["path"] or found["above"] or "").strip().split(".") if word]
    if found["up"]:
        return _above(len(found["up"]), words)
    if not words or words == ["#"]:
        return lambda value, _parents, _names: value
    if "*" in words or any(word.isdecimal() for word in words):
        return lambda value, _parents, _names: reach(value, words)
    if len(words) == 1:
        (only,) = words
        return lambda value, _parents, _names: value.get(only)
    return _deep(tuple(words))


def _above(levels: int, words: list[str]) -> Getter:
    def get(_value: Any, parents: Parents, _names: Names) -> Any:
        return reach(parents[-levels], words) if levels <= len(parents) else None

    return get


def _deep(words: tuple[str, ...]) -> Getter:
    if len(words) == 2:
        first, second = words

        def get_two(value: Any, _parents: Parents, _names: Names) -> Any:
            inner = value.get(first)
            return inner.get(second) if type(inner) is dict else reach(inner, words[1:])

        return get_two

    def get(value: Any, _parents: Parents, _names: Names) -> Any:
        for word in words:
            if type(value) is not dict:
                return reach(value, words[words.index(word) :])
            value = value.get(word)
            if value is None:
                return None
        return value

    return get


def _first_of(getters: tuple[Getter, ...]) -> Getter:
    def get(value: Any, parents: Parents, names: Names) -> Any:
        for getter in getters:
            found = getter(value, parents, names)
            if found or (found is not None and found not in ("", [])):
                return found
        return None

    return get


def reach(value: Any, words: Sequence[str]) -> Any:
    """What stands there in any JSON."""
    for place, word in enumerate(words):
        if isinstance(value, dict):
            if word == "*":
                return _every(value.values(), words[place + 1 :])
            value = value.get(word)
        elif isinstance(value, list):
            if word == "*":
                return _every(value, words[place + 1 :])
            if word.isdecimal():
                value = value[int(word)] if int(word) < len(value) else None
            else:
                every = _every(value, words[place:])
                return every[0] if every else None
        else:
            return None
        if value is None:
            return None
    return value


def _every(values: Any, words: Sequence[str]) -> list[Any]:
    found = (reach(one, words) for one in values)
    return [one for one in found if one is not None]
