"""CSV (RFC 4180): records of equally many fields; what is not that is refused with its line.

A text that begins like a formula (`=`, `+`, `-`, `@`, a tab or a carriage return) is executed by spreadsheets, so writing puts
`'` before it unless it is a plain number. Reading takes nothing away: whoever wants text back as it was switches the guard off.
"""

from __future__ import annotations

import csv
import io
import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from assent.capabilities.data._formats import Placing
from assent.capabilities.data._json_places import Path
from assent.capabilities.data._shapes import (
    CsvPlace,
    MergeCsv,
    PatchCsv,
    RenderCsv,
    Rendered,
    Rows,
)
from assent.errors import Json
from assent.invocation import NoEffectError
from assent.spec.values.canonical import INTEGER_MAX
from assent.spec.words.articles import with_article

RECORDS_MAX: Final = 200_000
COLUMNS_MAX: Final = 1_000

_FORMULA: Final = re.compile(r"[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,300}(?:\.[0-9]{1,300})?(?:[eE][+-]?[0-9]{1,3})?\Z")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,16}\Z")
_LINE_BREAK: Final = re.compile(r"\r\n|\r|\n")
_TRUE_FALSE: Final = {"true": True, "false": False}


def read_csv(text: str, source: str, parameters: CsvPlace) -> Rows:
    """The records. `NoEffectError` DATA_INVALID, DATA_TOO_LARGE."""
    records = _records(text, source, parameters)
    columns: list[str] = []
    if parameters.header:
        first = next(records, None)
        if first is None:
            raise _invalid("there is no header", f"{source}:1:1")
        columns = first[1]
        twice = next((name for name in columns if columns.count(name) > 1), None)
        if twice is not None:
            raise _invalid(f"the column `{twice[:60]}` stands twice in the header", f"{source}:{first[0]}:1")
    rows: list[Any] = []
    width = len(columns)
    kinds: list[str] | None = _kinds(parameters, columns, source) if parameters.header else None
    for line, record in records:
        if not parameters.header and not rows:
            width = len(record)
            columns = [str(number) for number in range(1, width + 1)]
            kinds = _kinds(parameters, columns, source)
        if len(record) != width:
            raise _invalid(
                f"a record has {len(record)} fields, and {width} are expected", f"{source}:{line}:1"
            )
        if len(rows) >= RECORDS_MAX:
            raise NoEffectError(
                "DATA_TOO_LARGE", f"there are more than {RECORDS_MAX} records", path=f"{source}:{line}:1"
            )
        assert kinds is not None, "the kinds are known with the first record"
        try:
            values = [_typed(field, kind) for field, kind in zip(record, kinds, strict=True)]
        except ValueError:
            raise _mistyped(text, source, parameters, (line, record), (columns, kinds)) from None
        rows.append(dict(zip(columns, values, strict=True)) if parameters.header else values)
    return Rows(columns=columns, rows=rows)


def _records(text: str, source: str, parameters: CsvPlace) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line that it begins in; lines without a field are no records."""
    _require_dialect(parameters)
    reader = csv.reader(
        io.StringIO(text.removeprefix("\ufeff"), newline=""),
        delimiter=parameters.delimiter,
        quotechar=parameters.quote,
        strict=True,
    )
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise _invalid(f"this is not CSV: {error}", f"{source}:{line}:1") from None
        if record is None:
            return
        if len(record) > COLUMNS_MAX:
            raise NoEffectError(
                "DATA_TOO_LARGE", f"a record has more than {COLUMNS_MAX} fields", path=f"{source}:{line}:1"
            )
        if record:
            yield line, record


def _require_dialect(parameters: CsvPlace | RenderCsv) -> None:
    for name, char in (("delimiter", parameters.delimiter), ("quote", parameters.quote)):
        if char in "\r\n\0 " or (name == "quote" and char == parameters.delimiter):
            raise _invalid(f"`{name}` is a character of its own, and no line break or blank", name)


def _kinds(parameters: CsvPlace, columns: list[str], source: str) -> list[str]:
    unknown = [name for name in parameters.types if name not in columns]
    if unknown:
        raise _invalid(f"there is no column `{unknown[0][:60]}` to give a type to", f"{source}:1:1")
    return [parameters.types.get(name, "") for name in columns]


def _typed(field: str, kind: str) -> Json:
    """The field as what its column holds; `ValueError` for what is none."""
    if kind in ("", "text"):
        return field
    if field == "":
        return None
    if kind == "boolean" and field.lower() in _TRUE_FALSE:
        return _TRUE_FALSE[field.lower()]
    if kind == "integer" and _INTEGER.match(field) and abs(int(field)) <= INTEGER_MAX:
        return int(field)
    if kind == "number" and _NUMBER.match(field) and abs(float(field)) < float("inf"):
        return float(field)
    raise ValueError(kind)


def _mistyped(
    text: str,
    source: str,
    parameters: CsvPlace,
    read: tuple[int, list[str]],
    named: tuple[list[str], list[str]],
) -> NoEffectError:
    """Which field of a record is not what its column holds, and where it begins."""
    line, record = read
    for index, (field, column, kind) in enumerate(zip(record, *named, strict=True)):
        try:
            _typed(field, kind)
        except ValueError:
            place = _Places(text, source, parameters).field(line, index)
            return _invalid(
                f"`{field[:60]}` in the column `{column[:60]}` is not {with_article(kind)}", place
            )
    raise AssertionError("one of the fields was refused")


class _Places:
    """Where the fields of a text begin. Asked only once something is wrong, so it may be slow."""

    def __init__(self, text: str, source: str, parameters: CsvPlace) -> None:
        self._text = text.removeprefix("\ufeff")
        self._source = source
        self._parameters = parameters
        self._starts = [0, *(found.end() for found in _LINE_BREAK.finditer(self._text))]

    def field(self, line: int, index: int) -> str:
        """The place of a field, counted from 0, in the record that begins in a line."""
        at = self._starts[line - 1]
        for _ in range(index):
            at = self._end(at) + 1
        line = bisect_right(self._starts, at)
        return f"{self._source}:{line}:{at - self._starts[line - 1] + 1}"

    def _end(self, at: int) -> int:
        """Where the field that begins at an offset has its delimiter. The record was read, so there is one."""
        quote = self._parameters.quote
        if self._text[at] == quote:
            at = self._text.index(quote, at + 1)
            while self._text[at + 1] == quote:
                at = self._text.index(quote, at + 2)
        return self._text.index(self._parameters.delimiter, at)


def csv_places(text: str, source: str, parameters: CsvPlace, columns: Sequence[str]) -> Placing:
    """The places of rows and fields in a text that `read_csv` has read."""
    index = {name: number for number, name in enumerate(columns)} if parameters.header else {}

    def placed(paths: Sequence[Path]) -> dict[Path, str]:
        wanted = {path[0] for path in paths if path}
        records = _records(text, source, parameters)
        if parameters.header:
            next(records)
        lines: dict[str | int, int] = {
            number: line for number, (line, _) in enumerate(records) if number in wanted
        }
        where = _Places(text, source, parameters)
        found = dict.fromkeys(paths, f"{source}:1:1")
        for path in paths:
            row, name = (*path, 0, 0)[:2]
            if path and row in lines:
                # A column that is missing is one of the whole record.
                found[path] = where.field(lines[row], name if isinstance(name, int) else index.get(name, 0))
        return found

    return placed


def merge_rows(base: Rows, overlay: Rows, keys: Sequence[str], where: str) -> Rows:
    """Rows laid over others: those with the same keys change in the columns that the overlay has, others come behind.

    `NoEffectError` DATA_INVALID where a key is no column, or names two rows: nobody could say which one is meant.
    """
    for rows in (base, overlay):
        missing = next((name for name in keys if name not in rows.columns), None)
        if missing is not None:
            raise _invalid(f"there is no column `{missing[:60]}` to tell rows apart by", where)
    merged = [{**_named(row)} for row in base.rows]
    places: dict[tuple[Json, ...], int] = {}
    for number, row in enumerate(merged):
        if places.setdefault(_key(row, keys), number) != number:
            raise _invalid(f"two rows have {_told(row, keys)}", where)
    for one in overlay.rows:
        row = _named(one)
        number = places.setdefault(_key(row, keys), len(merged))
        if number == len(merged):
            merged.append({})
        merged[number].update(row)
    columns = [*base.columns, *(name for name in overlay.columns if name not in base.columns)]
    return Rows(columns=columns, rows=[{name: row.get(name, "") for name in columns} for row in merged])


def _named(row: dict[str, Any] | list[Any]) -> dict[str, Any]:
    assert isinstance(row, dict)  # INVARIANT: they were read with a header
    return row


def _key(row: dict[str, Any], keys: Sequence[str]) -> tuple[Json, ...]:
    return tuple(row[name] for name in keys)


def _told(row: dict[str, Any], keys: Sequence[str]) -> str:
    return ", ".join(f"`{name[:60]}` = `{str(row[name])[:60]}`" for name in keys)


def rewrite_csv(text: str, was: Rows, now: Rows, parameters: MergeCsv | PatchCsv, *, header: bool) -> str:
    """The rows in the way that the text was written: its separators, line breaks and byte order mark.

    A field that the text had is written as it was, also one that looks like a formula: only what is new is guarded.
    """
    first = _LINE_BREAK.search(text)
    kept = {field for row in was.rows for field in (row.values() if isinstance(row, dict) else row)}
    rendered = RenderCsv(
        rows=now.rows,
        columns=now.columns,
        delimiter=parameters.delimiter,
        quote=parameters.quote,
        header=header,
        line_break="\r\n" if first is not None and first[0] == "\r\n" else "\n",
        guard_formulas=parameters.guard_formulas,
    )
    written = write_csv(rendered, kept=kept.union(was.columns)).text
    return f"\ufeff{written}" if text.startswith("\ufeff") else written


def write_csv(parameters: RenderCsv, *, kept: Collection[Any] = ()) -> Rendered:
    """The text. `NoEffectError` DATA_INVALID when the rows are not all of one shape. `kept` are fields that need no guard."""
    _require_dialect(parameters)
    columns = parameters.columns
    if columns is None:
        first = parameters.rows[0] if parameters.rows else []
        columns = [*first] if isinstance(first, dict) else [str(number + 1) for number in range(len(first))]
    lines: list[list[str]] = []

    def guards(field: object) -> bool:
        return parameters.guard_formulas and not (isinstance(field, str) and field in kept)

    if parameters.header:
        lines.append([_field(name, "columns", guard=guards(name)) for name in columns])
    for number, row in enumerate(parameters.rows):
        path = f"rows[{number}]"
        if isinstance(row, dict):
            extra = next((key for key in row if key not in columns), None)
            if extra is not None:
                raise _invalid(f"a row has `{extra[:60]}`, which is not a column", path)
            fields = [row.get(name) for name in columns]
        else:
            fields = list(row)
            if len(fields) != len(columns):
                raise _invalid(f"a row has {len(fields)} fields, and {len(columns)} are expected", path)
        lines.append([_field(field, path, guard=guards(field)) for field in fields])
    return Rendered(text="".join(_record(fields, parameters) for fields in lines))


def _record(fields: list[str], parameters: RenderCsv) -> str:
    # The standard library's writer leaves a lone carriage return unquoted, which its own reader then refuses.
    special, quote = (parameters.delimiter, parameters.quote, "\r", "\n"), parameters.quote
    written = [
        f"{quote}{field.replace(quote, quote * 2)}{quote}"
        if any(char in field for char in special)
        else field
        for field in fields
    ]
    # A line without anything on it is no record, so one empty field is quoted.
    text = parameters.delimiter.join(written) if written != [""] else quote * 2
    return f"{text}{parameters.line_break}"


def _field(value: Any, path: str, *, guard: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if not isinstance(value, str):
        raise _invalid("a field is text, a number, true, false or null", path)
    if guard and _FORMULA.match(value) and not _NUMBER.match(value):
        return f"'{value}"
    return value


def _invalid(message: str, path: str) -> NoEffectError:
    return NoEffectError("DATA_INVALID", message, path=path)
