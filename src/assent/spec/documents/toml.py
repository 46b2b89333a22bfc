"""TOML with the place of everything: what is wrong in a file is shown where it stands.

`tomllib` says where a file is no TOML, but not where a key stands. The places of keys are therefore looked up in the text, and
only once something is wrong; a key that cannot be found there (inside an inline table) gets the place of what holds it.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Final, TypeAlias

from assent._lazy import compiled_when_asked
from assent.errors import InputError

Key: TypeAlias = tuple[str, ...]

KEY_PARTS_MAX: Final = 64
"""`tomllib` takes time and memory with the square of a key's parts: 40 KB of one key would take 1.6 GB."""

_WORD: Final = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_TOO_DEEP: Final = compiled_when_asked(
    rf"(?:^|[\[{{,])[ \t]*({_WORD}(?:[ \t]*\.[ \t]*{_WORD}){{{KEY_PARTS_MAX}}})", re.MULTILINE
)

_BARE: Final = compiled_when_asked(r"[A-Za-z0-9_-]+\Z")


def toml_key(name: str) -> str:
    """A name as a part of a key."""
    return name if _BARE.match(name) else json.dumps(name, ensure_ascii=False)


def parse_toml(data: bytes, source: str, *, code: str) -> tuple[dict[str, object], str]:
    """The tables of a TOML file and its text.

    Raises `InputError` with `code` and `SOURCE:LINE:COLUMN` for bytes that are no UTF-8, for text that is no TOML, and for a key
    of more than `KEY_PARTS_MAX` parts.
    """
    import tomllib  # a command without any such file needs none

    text = _decode(data, source, code)
    deep = _TOO_DEEP.search(text)
    if deep is not None:
        at = deep.start(1)
        place = f"{text.count(chr(10), 0, at) + 1}:{at - text.rfind(chr(10), 0, at)}"
        raise InputError(code, f"a key has more than {KEY_PARTS_MAX} parts", path=f"{source}:{place}")
    try:
        return tomllib.loads(text), text
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = _AT.match(str(error))
        problem = found[1] if found else "the file is nested too deeply"
        end = (str(text.count("\n") + 1), str(len(text) - text.rfind("\n")))
        line, column = (found[2], found[3]) if found and found[2] else end
        # A table's name comes as Python writes it: ('limits', 'rate').
        problem = _TUPLE.sub(lambda key: f"`{'.'.join(_QUOTED.findall(key[0]))}`", problem)
        message = f"this is not TOML: {problem[:1].lower()}{problem[1:]}"
        hint = "text stands in quotes" if problem == "Invalid value" else None
        raise InputError(code, message, path=f"{source}:{line}:{column}", hint=hint) from None


def _decode(data: bytes, source: str, code: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(
            code,
            f"byte {error.start} is not UTF-8",
            path=f"{source}:{line}:1",
            hint="save the file as UTF-8",
        ) from None


_AT: Final = compiled_when_asked(r"(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)\Z", re.DOTALL)
_TUPLE: Final = compiled_when_asked(r"\('[^']*',(?: '[^']*',?)*\)")
_QUOTED: Final = compiled_when_asked(r"'([^']*)'")
_PART: Final = compiled_when_asked(r"""\s*(?:([A-Za-z0-9_-]+)|"((?:[^"\\]|\\.)*)"|'([^']*)')\s*""")


def locate(text: str, key: Key) -> tuple[int, int]:
    """Line and column, from 1, of a key in a TOML text, or of the nearest thing that holds it.

    Of an array of tables, a number is one of them (`("records", "2", "path")`); without it the first with the key is meant.
    """
    places = _places(text)
    return next((places[key[:size]] for size in range(len(key), 0, -1) if key[:size] in places), (1, 1))


@lru_cache(maxsize=4)
def _places(text: str) -> dict[Key, tuple[int, int]]:
    """Where a TOML text first names each key, or something below it. Many of one text are asked for."""
    found: dict[Key, tuple[int, int]] = {}
    arrays: dict[Key, int] = {}
    table: Key = ()
    fence: str | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if fence is not None:
            fence = None if fence in line else fence
            continue
        start = len(line) - len(line.lstrip())
        header = re.match(r"\s*\[\[?", line)
        begin = header.end() if header else start
        parts, end = _dotted(line, begin)
        full = (*(() if header else table), *parts)
        if header and parts:
            table = full
            if header[0].endswith("[["):
                arrays[full] = arrays.get(full, -1) + 1
        elif not parts or line[end : end + 1] != "=":
            continue
        for names in (full, _numbered(full, arrays)):
            for size in range(1, len(names) + 1):
                found.setdefault(names[:size], (number, begin + 1))
        fence = next((mark for mark in ('"""', "'''") if line[end:].count(mark) % 2), None)
    return found


def _numbered(key: Key, arrays: dict[Key, int]) -> Key:
    """A key with the number of each table that it is of."""
    found: Key = ()
    for size, name in enumerate(key, start=1):
        number = arrays.get(key[:size])
        found = (*found, name) if number is None else (*found, name, str(number))
    return found


def _dotted(line: str, at: int) -> tuple[Key, int]:
    parts: list[str] = []
    while found := _PART.match(line, at):
        parts.append(found[1] or found[2] or found[3] or "")
        at = found.end()
        if line[at : at + 1] != ".":
            break
        at += 1
    return tuple(parts), at
