"""What the data capabilities answer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from assent.spec.capability import SpecModel

Count = Annotated[int, Field(ge=0)]


class Parsed(SpecModel):
    """The data that a text holds."""

    value: JsonValue


class Rendered(SpecModel):
    """The text that holds the data."""

    text: str


class Queried(SpecModel):
    """What a query found; null when that is nothing."""

    result: JsonValue


class Changed(SpecModel):
    """The data afterwards, and as text of the same format."""

    value: JsonValue
    text: str


class Fault(SpecModel):
    """One way in which data is not as the schema asks; `place` is `FILE:LINE:COLUMN` where there is a text."""

    path: list[str | int]
    place: str | None
    expected: str
    actual: str
    message: str


class Validated(SpecModel):
    """Whether data is as the schema asks; the faults are complete up to a hundred, and one where there may be 250 000."""

    valid: bool
    faults: list[Fault]


class Rows(SpecModel):
    """Records as objects by column, or as lists when there is no header; `columns` are the names in their order."""

    columns: list[str]
    rows: list[dict[str, JsonValue] | list[JsonValue]]
