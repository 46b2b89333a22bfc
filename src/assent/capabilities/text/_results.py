"""What the text capabilities answer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from assent.spec.capability import SpecModel

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
