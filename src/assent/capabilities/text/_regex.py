"""Regular expressions of strangers, by RE2: one match takes time linear in the text, whatever the pattern.

RE2 has no look-around and no back-references: those are what makes other engines take exponential time. *Many* matches of one
pattern may still take quadratic time together (`a[^b]*b|a` looks to the end of the text again for each `a`), so between two
matches the call's cancel token is looked at: a call that ran out of time ends within one match.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from assent.invocation import CancelToken, NoEffectError

PATTERN_CHARACTERS_MAX: Final = 4_000
"""Characters of one pattern."""

PROGRAM_MAX: Final = 20_000
"""Instructions that a pattern may compile to: each byte of text costs at most that many steps."""

MEMORY_BYTES_MAX: Final = 16 << 20
"""What RE2 may use for one compiled pattern and its matching."""

Span = tuple[int, int]
_ABSENT: Final = (-1, -1)


@dataclass(frozen=True, slots=True)
class Flags:
    """How a pattern is read. `within_lines`: a match never contains a line break."""

    literal: bool = False
    ignore_case: bool = False
    multi_line: bool = False
    dot_all: bool = False
    within_lines: bool = False


class Regex:
    """One compiled pattern. Safe to use from several threads."""

    # `Any`: RE2's binding has no annotations.
    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled

    @cached_property
    def names(self) -> dict[str, int]:
        """The named groups and their numbers."""
        return dict(self._compiled.groupindex)

    @property
    def groups(self) -> int:
        """How many groups there are; group 0, the whole match, not counted."""
        return int(self._compiled.groups)

    def found_in(self, data: bytes, start: int = 0) -> Span | None:
        """Where the first match from `start` on stands, in bytes."""
        found = self._compiled.search(data, start)
        return None if found is None else (found.start(), found.end())

    def matches(self, text: str, cancel: CancelToken) -> Iterator[tuple[Span | None, ...]]:
        """The matches that do not overlap: for each, where the whole and every group stand, in characters.

        CALL_CANCELLED when the call is cancelled, also by its timeout.
        """
        for found in self._compiled.finditer(text):
            if cancel.is_cancelled:
                raise NoEffectError("CALL_CANCELLED", "the call was cancelled while it looked for matches")
            spans = [found.span(number) for number in range(self.groups + 1)]
            yield tuple(None if span == _ABSENT else span for span in spans)


def compile_pattern(
    pattern: str | bytes,
    flags: Flags,
    *,
    path: str = "pattern",
    characters_max: int = PATTERN_CHARACTERS_MAX,
    memory_bytes: int = MEMORY_BYTES_MAX,
) -> Regex:
    """The compiled pattern; one of bytes looks for UTF-8 in bytes. `NoEffectError` PATTERN_INVALID tells what is wrong."""
    import re2

    if len(pattern) > characters_max:
        raise _invalid(path, f"has {len(pattern)} characters; at most {characters_max} are allowed")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = memory_bytes
    options.literal = flags.literal
    options.case_sensitive = not flags.ignore_case
    options.never_nl = flags.within_lines
    prefix = "" if flags.literal else _prefix(flags)
    try:
        whole = prefix + pattern if isinstance(pattern, str) else prefix.encode() + pattern
        compiled = re2.compile(whole, options)
    except re2.error as error:
        raise _invalid(path, *_explained(error)) from None
    finally:
        re2.purge()  # Its cache would keep the patterns of strangers, 16 MiB each.
    if compiled.programsize > PROGRAM_MAX:
        raise _invalid(
            path,
            f"compiles to {compiled.programsize} instructions; at most {PROGRAM_MAX} are allowed",
            "use smaller counts in `{…}`",
        )
    return Regex(compiled)


def _prefix(flags: Flags) -> str:
    on = ("m" if flags.multi_line else "") + ("s" if flags.dot_all else "")
    return f"(?{on})" if on else ""


_SAYS: Final = re.compile(r"(.*?): (.*)", re.DOTALL)
_LINEAR: Final = "it would need more than linear time: "


def _explained(error: Exception) -> tuple[str, str | None]:
    """What RE2 says, as the end of a sentence, and what to do about it."""
    said = error.args[0] if error.args else ""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    found = _SAYS.fullmatch(text)
    problem, at = (found[1], found[2]) if found else (text, "")
    shown = f"`{at[:40]}`" if at else "it"
    if problem == "invalid perl operator" and at.startswith(("(?=", "(?!", "(?<=", "(?<!", "(?<")):
        return (
            f"uses look-around ({shown}), which does not exist here",
            _LINEAR + "match more and take the part that you want from a group",
        )
    if problem == "invalid escape sequence" and at[1:2].isdigit():
        return (
            f"uses a back-reference ({shown}), which does not exist here",
            _LINEAR + "compare two groups yourself",
        )
    if problem == "invalid escape sequence" and at == "\\Z":
        return "uses `\\Z`, which is written `\\z` here", "write `\\z` for the end of the text"
    hints = {
        "invalid perl operator": "look-around, back-references, atomic groups, conditions and comments do not exist here",
        "bad repetition operator": "possessive and doubled repetitions do not exist here",
        "invalid repetition size": "a count in `{…}` is at most 1000, nested ones together as well",
        "invalid escape sequence": "write `\\\\` for a backslash; escapes are those of RE2",
        "pattern too large - compile failed": "use smaller counts in `{…}`",
    }
    return f"is not valid: {problem}" + (f" at {shown}" if at else ""), hints.get(problem)


def _invalid(path: str, what: str, hint: str | None = None) -> NoEffectError:
    return NoEffectError(
        "PATTERN_INVALID",
        f"the pattern {what}",
        path=path,
        hint=hint
        or "patterns are regular expressions as RE2 reads them; `literal: true` takes the text as it is",
    )
