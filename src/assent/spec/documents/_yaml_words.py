"""What the parser of YAML complains of, in words of the document: what stands where, and what to write instead."""

from __future__ import annotations

from typing import Final

_QUOTES: Final = "put the text in quotes"

# By what the parser says: the message, and what helps.
_SAID: Final[dict[str, tuple[str, str]]] = {
    "did not find expected '-' indicator": (
        "this line belongs neither to the list above it nor to what holds the list",
        "indent it like the other entries and begin it with `- `, or indent it like the key that holds the list",
    ),
    "did not find expected key": (
        "this line is not a `key: value` of the mapping above it",
        "indent it like the keys beside it; a quote or bracket above may be left open",
    ),
    "mapping values are not allowed in this context": (
        "a `:` stands where no key can be",
        f"{_QUOTES}, or write the key on a line of its own",
    ),
    "could not find expected ':'": ("a key has no `:`", "write `key: value`, with a blank behind the `:`"),
    "did not find expected ',' or ']'": ("a list in `[ ]` lacks a comma, or its end", "write `[one, two]`"),
    "did not find expected ',' or '}'": (
        "a mapping in `{ }` lacks a comma, or its end",
        "write `{ one: 1, two: 2 }`",
    ),
    "found unexpected end of stream": ("the text in quotes has no end", "close the quotes"),
    "found unexpected document indicator": ("the text in quotes has no end", "close the quotes"),
    "found character that cannot start any token": ("this character can't begin a value", _QUOTES),
    "did not find expected node content": (
        "a value is missing here",
        "write it, or take the comma or the key away",
    ),
    "found unknown escape character": (
        "this escape is not known",
        "use single quotes, which take a backslash as it is, or write `\\\\`",
    ),
    "did not find expected hexdecimal number": (
        "this escape is not whole",
        "write two, four or eight hex digits",
    ),
    "found invalid Unicode character escape code": (
        "this escape is not a character",
        "write the character itself",
    ),
    "did not find expected <document start>": (
        "something stands behind the end of the document",
        f"{_QUOTES}, or indent it like the lines above it",
    ),
    "block sequence entries are not allowed in this context": (
        "a `-` stands where no list can begin",
        "write the list on lines of its own, below its key",
    ),
    "block mapping entries are not allowed in this context": ("a `?` stands where no key can be", _QUOTES),
    "mapping keys are not allowed in this context": ("a `?` stands where no key can be", _QUOTES),
    "did not find expected alphabetic or numeric character": (
        "a `*` or `&` begins a name, and none follows",
        _QUOTES,
    ),
    "control characters are not allowed": (
        "a control character stands here",
        "in double quotes, write it as `\\x1b`",
    ),
    "found undefined tag handle": ("a `!` begins a tag, and tags are not allowed", _QUOTES),
    "did not find expected comment or line break": (
        "more stands behind a `|` or `>` than may",
        "begin the text on the next line",
    ),
    "found unexpected ':'": ("a `:` stands within a value in brackets", _QUOTES),
    "did not find expected whitespace or line break": (
        "a `!` begins a tag, and tags are not allowed",
        _QUOTES,
    ),
    "found unknown directive name": ("a line can't begin with `%`", _QUOTES),
    "found an indentation indicator equal to 0": (
        "the number behind `|` or `>` must be 1 to 9",
        "leave it out",
    ),
}


def in_words_of_the_document(problem: str, context: str | None) -> tuple[str, str | None]:
    """A message and a hint; what no words are known for is told as the parser says it."""
    known = _SAID.get(problem)
    if known is None and context is not None and ("a tag" in context or "a directive" in context):
        known = _SAID["found undefined tag handle" if "a tag" in context else "found unknown directive name"]
    if known is not None:
        return known
    return f"this is not YAML: {f'{context}, ' if context else ''}{problem}", None
