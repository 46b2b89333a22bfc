"""What the data capabilities take, as users write it, and what they answer."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, JsonValue, SerializerFunctionWrapHandler, model_serializer, model_validator

from assent.spec.capability import SpecModel
from assent.spec.types import WorkspacePath

TEXT_CHARACTERS_MAX: Final = 16 << 20
"""Characters of one text; a file that is read may have as many bytes. YAML and TOML are read up to 1 MiB."""

Text = Annotated[str, Field(max_length=TEXT_CHARACTERS_MAX)]
Query = Annotated[
    str,
    Field(min_length=1, max_length=4_000, description="a JMESPath expression, e.g. `items[?n > `1`].name`"),
]
JsonSchema = Annotated[
    dict[str, JsonValue],
    Field(description="a JSON Schema (2020-12); `$ref` may only name a part of itself"),
]
Row = dict[str, JsonValue] | list[JsonValue]


class Place(SpecModel):
    """Where text is read from: itself, or a file of the workspace."""

    text: Annotated[Text | None, Field(description="the text itself")] = None
    path: Annotated[WorkspacePath | None, Field(description="a file of the workspace, read as UTF-8")] = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.text is None) == (self.path is None):
            message = "one of `text` and `path` is needed, and not both"
            raise ValueError(message)
        return self


class Source(SpecModel):
    """Data: as it is, as text, or in a file of the workspace."""

    value: Annotated[JsonValue, Field(description="the data itself")] = None
    text: Annotated[Text | None, Field(description="the data as text of the capability's format")] = None
    path: Annotated[WorkspacePath | None, Field(description="a file of the workspace, read as UTF-8")] = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = ("value" in self.model_fields_set, self.text is not None, self.path is not None)
        if sum(given) != 1:
            message = "exactly one of `value`, `text` and `path` is needed"
            raise ValueError(message)
        return self

    @model_serializer(mode="wrap")
    def _as_given(self, write: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        """Without `value` where none was given: null is data, and would be a second source when the inputs are read again."""
        written: dict[str, JsonValue] = write(self)
        if "value" not in self.model_fields_set:
            written.pop("value", None)
        return written


class RenderJson(SpecModel):
    """Data to write as JSON."""

    value: JsonValue
    indent: Annotated[
        int | None, Field(ge=0, le=8, description="blanks per level; everything in one line when null")
    ] = None
    sort_keys: Annotated[bool, Field(description="keys in the order of their characters")] = False
    ascii_only: Annotated[bool, Field(description="write other characters as `\\u…`")] = False


class RenderYaml(SpecModel):
    """Data to write as YAML."""

    value: JsonValue
    sort_keys: Annotated[bool, Field(description="keys in the order of their characters")] = False


class RenderToml(SpecModel):
    """An object to write as TOML, which has no null."""

    value: dict[str, JsonValue]


class QueryData(Source):
    """Data, and what to take from it."""

    query: Query


class Merge(Source):
    """Data, and what to lay over it, in order."""

    overlays: Annotated[
        list[Source], Field(min_length=1, max_length=20, description="each laid over what came before")
    ]
    strategy: Annotated[
        Literal["merge_patch", "deep"],
        Field(
            description="`merge_patch` (RFC 7386): null removes, lists are replaced; `deep`: null is a value"
        ),
    ] = "merge_patch"
    lists: Annotated[
        Literal["replace", "append", "unique", "by_index"],
        Field(description="for `deep`: what becomes of two lists; `unique` appends what is not there yet"),
    ] = "replace"


class PatchData(Source):
    """Data, and how to change it."""

    patch: Annotated[
        list[dict[str, JsonValue]], Field(max_length=10_000, description="operations of RFC 6902")
    ]


class Validate(Source):
    """Data, and what it has to be like."""

    json_schema: JsonSchema


class CsvText(Place):
    """Text with one record per line, and how it is written."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1, description="between two fields")] = ","
    quote: Annotated[
        str, Field(min_length=1, max_length=1, description="around a field; doubled within one")
    ] = '"'


class CsvPlace(CsvText):
    """Text with one record per line, and how it is written."""

    header: Annotated[bool, Field(description="the first record has the names of the columns")] = True
    types: dict[str, Literal["text", "integer", "number", "boolean"]] = Field(
        default_factory=dict,
        description="what the fields of a column are (by name, or by number from 1 without a header); an empty field "
        "is then null; all others are text",
    )


class RenderCsv(SpecModel):
    """Rows to write as CSV: objects, or lists when there is no header."""

    rows: Annotated[list[Row], Field(max_length=200_000)]
    columns: Annotated[
        list[str] | None,
        Field(max_length=1_000, description="names in their order; of the first row when null"),
    ] = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1, description="between two fields")] = ","
    quote: Annotated[
        str, Field(min_length=1, max_length=1, description="around a field; doubled within one")
    ] = '"'
    header: Annotated[bool, Field(description="write the names of the columns first")] = True
    line_break: Literal["\n", "\r\n"] = "\n"
    guard_formulas: Annotated[
        bool,
        Field(description="put `'` before text that a spreadsheet would take for a formula"),
    ] = True


class QueryCsv(CsvPlace):
    """Rows, and what to take from them."""

    query: Query


Guarded = Annotated[
    bool,
    Field(
        description="put `'` before new text that a spreadsheet would take for a formula; what was there stays"
    ),
]


class MergeCsv(CsvText):
    """Rows with a header, and rows to lay over them, in order."""

    on: Annotated[
        list[str],
        Field(min_length=1, max_length=100, description="the columns that say which rows are the same one"),
    ]
    overlays: Annotated[
        list[CsvText], Field(min_length=1, max_length=20, description="each laid over what came before")
    ]
    guard_formulas: Guarded = True


class PatchCsv(CsvText):
    """Rows, and how to change them."""

    header: Annotated[bool, Field(description="the first record has the names of the columns")] = True
    patch: Annotated[
        list[dict[str, JsonValue]],
        Field(max_length=10_000, description="operations of RFC 6902 on the list of rows, e.g. at `/0/name`"),
    ]
    guard_formulas: Guarded = True


class ValidateCsv(CsvPlace):
    """Rows, and what their list has to be like."""

    json_schema: JsonSchema


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


class ChangedRows(Rows):
    """The rows afterwards, and as text in the way that the old one was written."""

    text: str
