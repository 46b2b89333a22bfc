"""What the text capabilities take, as users write it, and what they answer."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, JsonValue

from assent.spec.capability import SpecModel

TEXT_CHARACTERS_MAX: Final = 4 << 20
TEMPLATE_CHARACTERS_MAX: Final = 128 << 10

Text = Annotated[str, Field(max_length=TEXT_CHARACTERS_MAX, description="the text itself")]


class Pattern(SpecModel):
    """A regular expression as RE2 reads it, and the text that it is about."""

    text: Text
    pattern: Annotated[
        str,
        Field(
            min_length=1,
            max_length=4_000,
            description="a regular expression without look-around and back-references, or plain text",
        ),
    ]
    literal: Annotated[bool, Field(description="take `pattern` as plain text")] = False
    ignore_case: Annotated[bool, Field(description="capital and small letters are the same")] = False
    multi_line: Annotated[bool, Field(description="`^` and `$` are the ends of each line")] = False
    dot_all: Annotated[bool, Field(description="`.` stands for a line break too")] = False


class Replace(Pattern):
    """What to replace by what."""

    replacement: Annotated[
        str,
        Field(
            max_length=64 << 10,
            description="`$1`, `${1}` and `${name}` are groups, `$0` the whole match, `$$` a dollar sign; "
            "with `literal` it is taken as it is",
        ),
    ]
    count: Annotated[
        int, Field(ge=0, description="how many matches are replaced, from the first on; 0: all")
    ] = 0


class Extract(Pattern):
    """What to find."""

    limit: Annotated[int, Field(ge=1, le=10_000, description="matches that are answered at most")] = 1_000


class Template(SpecModel):
    """A template in a subset of Jinja, and the data that it may use."""

    template: Annotated[str, Field(max_length=TEMPLATE_CHARACTERS_MAX, description="the template's text")]
    values: dict[str, JsonValue] = Field(
        default_factory=dict, description="the names that the template knows"
    )
    escape: Annotated[
        bool, Field(description="write `&`, `<`, `>` and quotes of values as HTML wants them")
    ] = False
    trim: Annotated[bool, Field(description="take blanks before and the line break after `{% … %}` away")] = (
        False
    )


Count = Annotated[int, Field(ge=0)]
Place = Annotated[int, Field(ge=1)]


class Replaced(SpecModel):
    """The text afterwards, and how many matches were replaced."""

    text: str
    count: Count


class Match(SpecModel):
    """One match: its text, where it begins (line and column from 1), and its groups; null for one that took no part."""

    text: str
    line: Place
    column: Place
    groups: list[str | None]
    named: dict[str, str | None]


class Extracted(SpecModel):
    """The matches in order; `truncated` when there were more."""

    matches: list[Match]
    truncated: bool


class Rendered(SpecModel):
    """What a template gave."""

    text: str
