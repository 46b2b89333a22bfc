"""`text.replace` and `text.extract`: matches of one pattern, replaced or told."""

from __future__ import annotations

import re
from typing import Final

from assent.capabilities.text._regex import Flags, Regex, Span, compile_pattern
from assent.capabilities.text._shapes import Extract, Extracted, Match, Pattern, Replace, Replaced
from assent.invocation import LocalContext, NoEffectError

OUTPUT_CHARACTERS_MAX: Final = 8 << 20
"""Characters that one answer holds."""

Spans = tuple[Span | None, ...]


def _compiled(parameters: Pattern) -> Regex:
    return compile_pattern(
        parameters.pattern,
        Flags(
            literal=parameters.literal,
            ignore_case=parameters.ignore_case,
            multi_line=parameters.multi_line,
            dot_all=parameters.dot_all,
        ),
    )


def replace(context: LocalContext, parameters: Replace) -> Replaced:
    """The text with its matches replaced. Raises `NoEffectError`: PATTERN_INVALID, OUTPUT_TOO_LARGE, CALL_CANCELLED."""
    regex = _compiled(parameters)
    text = parameters.text
    pieces = [parameters.replacement] if parameters.literal else _pieces(parameters.replacement, regex)
    out: list[str] = []
    size = at = count = 0
    for spans in regex.matches(text, context.cancel):
        whole = spans[0]
        assert whole is not None, "a match has a place"
        added = [text[at : whole[0]], *(_filled(piece, text, spans) for piece in pieces)]
        size += sum(map(len, added))
        _require_small(size)
        out += added
        at = whole[1]
        count += 1
        if count == parameters.count:
            break
    _require_small(size + len(text) - at)
    return Replaced(text="".join(out) + text[at:], count=count)


def _filled(piece: str | int, text: str, spans: Spans) -> str:
    if isinstance(piece, str):
        return piece
    span = spans[piece]
    return "" if span is None else text[span[0] : span[1]]


_REFERENCE: Final = re.compile(r"\$(?:(\$)|(\d{1,3})|\{(\w{1,100})\})?")


def _pieces(replacement: str, regex: Regex) -> list[str | int]:
    """The replacement as text and numbers of groups. PATTERN_INVALID for a group that does not exist."""
    pieces: list[str | int] = []
    at = 0
    for found in _REFERENCE.finditer(replacement):
        pieces.append(replacement[at : found.start()])
        at = found.end()
        if found[1]:
            pieces.append("$")
            continue
        name = found[2] or found[3]
        if name is None:
            raise _no_group(
                "a `$` stands for no group", "write `$$` for a dollar sign, `${1}` or `${name}` for a group"
            )
        number = int(name) if name.isdecimal() else regex.names.get(name, -1)
        if not 0 <= number <= regex.groups:
            known = ", ".join(f"`{one}`" for one in regex.names)
            raise _no_group(
                f"the pattern has no group `{name}`",
                f"it has {regex.groups} groups" + (f", of them with names: {known}" if known else ""),
            )
        pieces.append(number)
    pieces.append(replacement[at:])
    return [piece for piece in pieces if piece != ""]


def _no_group(message: str, hint: str) -> NoEffectError:
    return NoEffectError("PATTERN_INVALID", message, path="replacement", hint=hint)


def extract(context: LocalContext, parameters: Extract) -> Extracted:
    """The matches and their groups. Raises as `replace` does."""
    regex, text = _compiled(parameters), parameters.text
    matches: list[Match] = []
    size = counted = 0
    line, start = 1, 0
    for spans in regex.matches(text, context.cancel):
        if len(matches) == parameters.limit:
            return Extracted(matches=matches, truncated=True)
        whole = spans[0]
        assert whole is not None, "a match has a place"
        breaks = text.count("\n", counted, whole[0])
        if breaks:
            line += breaks
            start = text.rfind("\n", counted, whole[0]) + 1
        counted = whole[0]
        found = [None if span is None else text[span[0] : span[1]] for span in spans]
        size += sum(len(one or "") for one in found)
        _require_small(size)
        matches.append(
            Match(
                text=found[0] or "",
                line=line,
                column=whole[0] - start + 1,
                groups=found[1:],
                named={name: found[number] for name, number in regex.names.items()},
            )
        )
    return Extracted(matches=matches, truncated=False)


def _require_small(size: int) -> None:
    if size > OUTPUT_CHARACTERS_MAX:
        raise NoEffectError(
            "OUTPUT_TOO_LARGE",
            f"the answer would have more than {OUTPUT_CHARACTERS_MAX} characters",
            hint="replace or extract less at once",
        )
