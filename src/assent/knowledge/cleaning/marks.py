"""Where a text speaks to a model, or holds something that a person does not see. Such a place is told; the text stays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from assent.knowledge.cleaning.rules import automaton

MarkKind = Literal[
    "after-spaces", "chat-template", "hidden-characters", "hidden-comment", "hidden-style", "override"
]

MARKS_MAX: Final = 100
"""Marks of one file; of more, the last one goes to the end."""
SPACES_MIN: Final = 100
"""Spaces in a line that push what follows out of sight."""
HIDDEN_BYTES_MAX: Final = 4096
"""Bytes that are looked at of what is not shown."""

_OVERRIDE: Final = (
    r"(?i)\b(?:ignore|disregard|forget|override|bypass|(?:do not|don't|stop) (?:follow|obey)(?:ing)?)\b[^.]{0,40}?"
    r"\b(?:previous|prior|above|earlier|preceding|foregoing|your|system|original|initial|all (?:the |other |of )?)\b[^.]{0,30}?"
    r"\b(?:instructions?|prompts?|guidelines|directions|directives|safeguards|system message)\b"
)
_TEMPLATE: Final = (
    r"<\|(?:im_start|im_end|system|user|assistant|endoftext|start_header_id|eot_id)\|>|\[/?INST\]|<</?SYS>>"
)
_STYLE: Final = (
    r"(?i)(?:display\s{0,4}:\s{0,4}none|visibility\s{0,4}:\s{0,4}hidden|font-size\s{0,4}:\s{0,4}0|opacity\s{0,4}:\s{0,4}0(?:[^.0-9]|\.0)"
    r"|color\s{0,4}:\s{0,4}(?:white|#fff|transparent)|(?:text-indent|left|top)\s{0,4}:\s{0,4}-[0-9]{3})[^<>]{0,200}>"
    r"|<[a-z]{1,10}\s(?:[^<>]{0,200}\s)?hidden(?:[\s=][^<>]{0,200})?>"
)
_SEEN: Final[dict[MarkKind, str]] = {
    "override": _OVERRIDE,
    "chat-template": _TEMPLATE,
    "hidden-style": _STYLE,
}
_ANY: Final = "|".join(f"(?:{pattern})" for pattern in _SEEN.values())
MAYBE: Final = rf"{_ANY}|<!--| {{{SPACES_MIN}}}"
"""Some of this is in every text that has a mark, but for hidden characters."""
_TO_A_MODEL: Final = (
    r"(?i)\b(?:ai|llms?|gpt|claude|copilot|gemini|chatbot|language models?|assistants?|agents?|system prompt"
    r"|instructions?|the model)\b"
)
_ORDER: Final = (
    r"(?i)\b(?:must|should|please|do not|don't|never|always|ignore|disregard|reveal|send|run|execute|print|output|say"
    r"|respond|reply|answer|download|delete|install|include|follow|tell|upload|forward|approve|recommend)\b"
)


class Mark(msgspec.Struct, frozen=True, order=True):
    """A place that was written for models, by the numbers of its first and last line from 1."""

    line: int
    end_line: int
    kind: MarkKind


def marks_of(data: bytes, hidden_in: list[int]) -> tuple[Mark, ...]:
    """The marks of a text, in order. `hidden_in`: lines in which many hidden characters stood together."""
    found = set[Mark]()
    at, line = 0, 1
    for begin, end, kind in sorted(_places(data)):
        line += data.count(b"\n", at, begin)
        at = begin
        found.add(Mark(line, line + data.count(b"\n", begin, end), kind))
        if len(found) > MARKS_MAX:
            break
    found.update(Mark(line, line, "hidden-characters") for line in hidden_in)
    first = sorted(found)[:MARKS_MAX]
    if len(found) > MARKS_MAX:
        first[-1] = msgspec.structs.replace(first[-1], end_line=data.count(b"\n") + 1)
    return tuple(first)


def _places(data: bytes) -> Iterator[tuple[int, int, MarkKind]]:
    for seen in automaton(_ANY).finditer(data):
        begin, end = seen.span()
        kind = next(kind for kind, pattern in _SEEN.items() if automaton(pattern).match(data, begin))
        if kind == "hidden-style":
            hidden = data[end : end + HIDDEN_BYTES_MAX].partition(b"</")[0]
            if not _is_an_order(hidden):
                continue
            end += len(hidden)
        yield begin, end, kind
    yield from _in_comments(data)
    at = data.find(b" " * SPACES_MIN)
    while at >= 0:
        end = data.find(b"\n", at)
        rest = data[at : end if end >= 0 else len(data)].split()
        if len(rest) > 1:
            yield at, at, "after-spaces"
        at = data.find(b" " * SPACES_MIN, end) if end >= 0 else -1


def _in_comments(data: bytes) -> Iterator[tuple[int, int, MarkKind]]:
    at = data.find(b"<!--")
    while at >= 0:
        end = data.find(b"-->", at)
        end = len(data) if end < 0 else end
        if _is_an_order(data[at:end]):
            yield at, end, "hidden-comment"
        at = data.find(b"<!--", end)


def _is_an_order(text: bytes) -> bool:
    """Whether it asks something of a model."""
    return automaton(_TO_A_MODEL).search(text) is not None and automaton(_ORDER).search(text) is not None
