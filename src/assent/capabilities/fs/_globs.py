"""Globs as `.gitignore` writes them: translated by pathspec, matched in linear time, the last rule that fits wins.

pathspec would match with Python's own engine, where `*a*a*a*a*b` takes polynomial time; and a `.gitignore` may come from anybody.
So only its translation is used, and RE2 matches. Neighbouring rules of one sign are one expression: most files cost one match.

A rule is asked about one entry at a time, and whoever walks does not go into a folder that is ignored: that is Git's own
meaning, in which nothing below an ignored folder can be taken back in.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from assent.capabilities.fs.world._paths import join, refusal
from assent.invocation import EntryKind, Files, NoEffectError

if TYPE_CHECKING:
    from assent.capabilities.text._regex import Regex

IGNORE_FILE: Final = ".gitignore"
IGNORE_FILE_BYTES_MAX: Final = 256 << 10
RULES_MAX: Final = 5_000
"""Rules of one list."""

# Longer groups would need fewer matches, but more memory each; a single glob may pass it.
_GROUP_CHARACTERS: Final = 4_000
_GROUP_CHARACTERS_MAX: Final = 16_000
_GROUP_MEMORY_BYTES: Final = 4 << 20
_DIRECTORY: Final = "(?P<ps_d>/)"
_ANY_ENTRY: Final = "(?:(?P<ps_d>/)|$)"


class Rules(msgspec.Struct, frozen=True):
    """One list of rules, last one first, as expressions with what they say and the lines that each was made of."""

    groups: tuple[tuple[bool, Regex, tuple[tuple[str, str], ...]], ...]

    def verdict(self, path: str, *, is_directory: bool) -> bool | None:
        """What the last rule that fits the path says: true (it fits), false (`!`); None when no rule is about it."""
        text = _text(path, is_directory=is_directory)
        for says, regex, _ in self.groups:
            if regex.found_in(text) is not None:
                return says
        return None

    def fitting(self, path: str, *, is_directory: bool) -> tuple[str, bool] | None:
        """The same with the line of that rule."""
        text = _text(path, is_directory=is_directory)
        for says, regex, lines in self.groups:
            if regex.found_in(text) is not None:
                line = next(
                    line for line, expression in reversed(lines) if _single(expression).found_in(text)
                )
                return line, says
        return None


def rules_of(lines: Sequence[str], *, source: str, code: str = "PATTERN_INVALID") -> Rules:
    """The rules of these lines; `source` names them in errors. `NoEffectError` with `code` for one that is no rule."""
    from pathspec.patterns.gitignore.base import GitIgnorePatternError
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    if len(lines) > RULES_MAX:
        raise _invalid(code, source, f"has more than {RULES_MAX} rules")
    groups: list[tuple[bool, list[tuple[str, str]]]] = []
    length = 0
    for number, line in enumerate(lines, start=1):
        place = f"{source}:{number}" if code == "IGNORE_FILE_INVALID" else f"{source}[{number - 1}]"
        if len(line) > 1000:
            raise _invalid(code, place, "is longer than 1000 characters")
        try:
            expression, says = GitIgnoreSpecPattern.pattern_to_regex(line)
        except GitIgnorePatternError:
            # Git ignores such a line; of a caller's own pattern that would hide a mistake.
            if code == "IGNORE_FILE_INVALID":
                continue
            raise _invalid(
                code, place, "is not a glob: it ends with a backslash that escapes nothing"
            ) from None
        if expression is not None and says is not None:
            entry = f"(?:{_of_entry(expression)})"
            if not groups or groups[-1][0] is not says or length >= _GROUP_CHARACTERS:
                groups.append((says, []))
                length = 0
            groups[-1][1].append((line, entry))
            length += len(entry) + 1
        elif code != "IGNORE_FILE_INVALID":
            raise _invalid(code, place, "is not a glob: it is empty, a comment, or has a range that is none")
    try:
        compiled = [
            (says, _expression("|".join(one for _, one in made)), tuple(made)) for says, made in groups
        ]
    except NoEffectError as error:
        raise _invalid(code, source, f"has a glob that can't be used: {error.message}") from None
    return Rules(tuple(reversed(compiled)))


def _expression(text: str) -> Regex:
    from assent.capabilities.text._regex import Flags, compile_pattern  # a file step needs none of it

    return compile_pattern(
        text.encode(),
        Flags(dot_all=True),
        characters_max=_GROUP_CHARACTERS_MAX,
        memory_bytes=_GROUP_MEMORY_BYTES,
    )


_single: Final = lru_cache(maxsize=1_000)(_expression)


def _text(path: str, *, is_directory: bool) -> bytes:
    return path.encode("utf-8", "surrogateescape") + (b"/" if is_directory else b"")


def _of_entry(expression: str) -> str:
    """The expression of pathspec, which also fits whatever is below an entry, made to fit the entry alone."""
    if expression == ".":
        return "."
    if expression == _DIRECTORY:
        return "/$"
    if expression.endswith(_ANY_ENTRY):
        return expression.removesuffix(_ANY_ENTRY) + "/?$"
    if expression.endswith(_DIRECTORY):
        return expression.removesuffix(_DIRECTORY) + "/$"
    return expression + ".+"


def _invalid(code: str, path: str, what: str) -> NoEffectError:
    return refusal(code, path, what, "globs are written as in `.gitignore`")


class Ignored:
    """What the `.gitignore` files of a walk leave out. A walk tells each folder that it enters, from the root on."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._rules: dict[str, Rules | None] = {}

    def leaves_out(self, path: str, *, is_directory: bool) -> bool:
        """Whether the entry itself is ignored; whether a folder above it is, is asked when that is met."""
        if path.rpartition("/")[2] == ".git":
            return True
        parts = path.split("/")
        for depth in range(len(parts) - 1, -1, -1):
            rules = self._rules_in("/".join(parts[:depth]) or ".")
            if rules is not None:
                says = rules.verdict("/".join(parts[depth:]), is_directory=is_directory)
                if says is not None:
                    return says
        return False

    def _rules_in(self, folder: str) -> Rules | None:
        if folder not in self._rules:
            self._rules[folder] = self._read(folder)
        return self._rules[folder]

    def _read(self, folder: str) -> Rules | None:
        path = join(folder, IGNORE_FILE)
        entry = self._files.stat(path)
        if entry is None or entry.kind is not EntryKind.FILE:
            return None
        data = b""
        for chunk in self._files.read(path):
            data += chunk
            if len(data) > IGNORE_FILE_BYTES_MAX:
                raise _invalid("IGNORE_FILE_INVALID", path, f"has more than {IGNORE_FILE_BYTES_MAX} bytes")
        lines = data.decode("utf-8", "replace").removeprefix("\ufeff").split("\n")
        return rules_of([line.removesuffix("\r") for line in lines], source=path, code="IGNORE_FILE_INVALID")
