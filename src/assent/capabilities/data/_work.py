"""What the data capabilities do, for whichever format: load, work, answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from assent.capabilities.data import _shapes as shapes
from assent.capabilities.data._csv import csv_places, merge_rows, read_csv, rewrite_csv, write_csv
from assent.capabilities.data._formats import Format, Loaded, nowhere, write_toml
from assent.capabilities.data._sizes import measured
from assent.capabilities.data._yaml import write_yaml
from assent.errors import InputError, Json
from assent.invocation import LocalContext, NoEffectError

OUTPUT_CHARACTERS_MAX: Final = 32 << 20


def _text(context: LocalContext, source: shapes.Source | shapes.Place) -> tuple[str, str]:
    """The text of a source and its name in errors."""
    if source.text is not None:
        return source.text, "text"
    assert source.path is not None, "a source has a text or a path"
    from assent.capabilities.fs._read import read_text

    return read_text(context, source.path, bytes_max=shapes.TEXT_CHARACTERS_MAX), source.path


def _small(text: str) -> str:
    if len(text) > OUTPUT_CHARACTERS_MAX:
        raise NoEffectError(
            "OUTPUT_TOO_LARGE", f"the text would have more than {OUTPUT_CHARACTERS_MAX} characters"
        )
    return text


def render_json(parameters: shapes.RenderJson) -> shapes.Rendered:
    """JSON, as it is asked for; indented, it ends with a line break."""
    nodes, widths = measured(parameters.value)
    if (
        parameters.indent is not None
        and nodes * (1 + parameters.indent * len(widths)) > OUTPUT_CHARACTERS_MAX
    ):
        raise NoEffectError(
            "OUTPUT_TOO_LARGE", f"the text could have more than {OUTPUT_CHARACTERS_MAX} characters"
        )
    text = json.dumps(
        parameters.value,
        indent=parameters.indent,
        sort_keys=parameters.sort_keys,
        ensure_ascii=parameters.ascii_only,
        allow_nan=False,
    )
    return shapes.Rendered(text=_small(text if parameters.indent is None else f"{text}\n"))


def render_yaml(parameters: shapes.RenderYaml) -> shapes.Rendered:
    """YAML in block style."""
    measured(parameters.value)
    return shapes.Rendered(text=_small(write_yaml(parameters.value, sort_keys=parameters.sort_keys)))


def render_toml(parameters: shapes.RenderToml) -> shapes.Rendered:
    """TOML."""
    measured(parameters.value)
    return shapes.Rendered(text=_small(write_toml(parameters.value)))


class Work:
    """What is done with data of one format."""

    def __init__(self, form: Format) -> None:
        self._form = form

    def _load(self, context: LocalContext, source: shapes.Source) -> Loaded:
        if "value" in source.model_fields_set:
            measured(source.value)
            return Loaded(source.value, nowhere)
        return self._form.read(*_text(context, source))

    def parse(self, context: LocalContext, source: shapes.Place) -> shapes.Parsed:
        """The data of a text."""
        return shapes.Parsed(value=self._form.read(*_text(context, source)).value)

    def query(self, context: LocalContext, parameters: shapes.QueryData) -> shapes.Queried:
        """What a query finds in data."""
        from assent.capabilities.data._query import query as found

        return shapes.Queried(
            result=found(self._load(context, parameters).value, parameters.query, context.cancel)
        )

    def merge(self, context: LocalContext, parameters: shapes.Merge) -> shapes.Changed:
        """Data with other data laid over it."""
        from assent.capabilities.data._merge import deep_merge, merge_patch

        loaded = self._load(context, parameters)
        value, write = loaded.value, self._writer(loaded)
        for overlay in parameters.overlays:
            other = self._load(context, overlay).value
            if parameters.strategy == "merge_patch":
                value = merge_patch(value, other)
            else:
                value = deep_merge(value, other, parameters.lists)
            measured(value)
            if context.cancel.is_cancelled:
                raise NoEffectError("CALL_CANCELLED", "the call was cancelled while it merged data")
        return shapes.Changed(value=value, text=_small(write(value)))

    def patch(self, context: LocalContext, parameters: shapes.PatchData) -> shapes.Changed:
        """Data after a JSON Patch, all of it or nothing."""
        loaded = self._load(context, parameters)
        write = self._writer(loaded)
        value = _patched(loaded.value, parameters.patch, in_place=loaded.layout is not None)
        measured(value)
        return shapes.Changed(value=value, text=_small(write(value)))

    def _writer(self, loaded: Loaded) -> Callable[[Json], str]:
        return self._form.write if loaded.layout is None else loaded.layout()

    def validate(self, context: LocalContext, parameters: shapes.Validate) -> shapes.Validated:
        """Whether data is as a schema asks."""
        return _checked(self._load(context, parameters), parameters.json_schema)


def _patched(value: Json, patch: list[dict[str, Json]], *, in_place: bool = False) -> Json:
    from assent.spec.values.json_patch import apply

    try:
        return apply(value, patch, in_place=in_place)
    except InputError as error:
        raise NoEffectError.from_dict(error.to_dict()) from None
    except RecursionError:
        raise NoEffectError("DATA_TOO_LARGE", "the patch nests the data too deeply") from None


def parse_csv(context: LocalContext, parameters: shapes.CsvPlace) -> shapes.Rows:
    """The records of a text."""
    return _rows(*_text(context, parameters), parameters)


def _rows(text: str, source: str, parameters: shapes.CsvPlace) -> shapes.Rows:
    rows = read_csv(text, source, parameters)
    measured(rows.rows)
    return rows


def render_csv(parameters: shapes.RenderCsv) -> shapes.Rendered:
    """The text of rows."""
    measured(parameters.rows)
    return shapes.Rendered(text=_small(write_csv(parameters).text))


def _source(parameters: shapes.CsvText, *, header: bool) -> shapes.CsvPlace:
    """How a text is read whose fields shall stay as they are written."""
    # The text itself is read apart: here it only says that there is one.
    return shapes.CsvPlace(text="", delimiter=parameters.delimiter, quote=parameters.quote, header=header)


def merge_csv(context: LocalContext, parameters: shapes.MergeCsv) -> shapes.ChangedRows:
    """Rows with other rows laid over them."""
    text, source = _text(context, parameters)
    was = now = _rows(text, source, _source(parameters, header=True))
    for overlay in parameters.overlays:
        over, name = _text(context, overlay)
        now = merge_rows(now, _rows(over, name, _source(overlay, header=True)), parameters.on, name)
        if context.cancel.is_cancelled:
            raise NoEffectError("CALL_CANCELLED", "the call was cancelled while it merged rows")
    return _rewritten(text, was, now, parameters, header=True)


def patch_csv(context: LocalContext, parameters: shapes.PatchCsv) -> shapes.ChangedRows:
    """Rows after a JSON Patch of their list, all of it or nothing."""
    text, source = _text(context, parameters)
    was = _rows(text, source, _source(parameters, header=parameters.header))
    # `Any`: whatever the patch leaves, which is looked at next.
    patched: Any = _patched(was.model_dump(mode="json")["rows"], parameters.patch)
    kind = dict if parameters.header else list
    if not isinstance(patched, list) or not all(isinstance(row, kind) for row in patched):
        wanted = "objects, one for each record" if parameters.header else "lists of fields"
        raise NoEffectError("DATA_INVALID", f"the patch leaves no list of {wanted}", path="patch")
    columns = was.columns
    if parameters.header:
        columns = [*dict.fromkeys([*columns, *(name for row in patched for name in row)])]
        patched = [{name: row.get(name, "") for name in columns} for row in patched]
    elif patched:
        columns = [str(number + 1) for number in range(len(patched[0]))]
    return _rewritten(
        text, was, shapes.Rows(columns=columns, rows=patched), parameters, header=parameters.header
    )


def _rewritten(
    text: str,
    was: shapes.Rows,
    now: shapes.Rows,
    parameters: shapes.MergeCsv | shapes.PatchCsv,
    *,
    header: bool,
) -> shapes.ChangedRows:
    measured(now.rows)
    written = _small(rewrite_csv(text, was, now, parameters, header=header))
    return shapes.ChangedRows(columns=now.columns, rows=now.rows, text=written)


def query_csv(context: LocalContext, parameters: shapes.QueryCsv) -> shapes.Queried:
    """What a query finds in the list of rows."""
    from assent.capabilities.data._query import query as found

    rows: Json = parse_csv(context, parameters).model_dump(mode="json")["rows"]
    return shapes.Queried(result=found(rows, parameters.query, context.cancel))


def validate_csv(context: LocalContext, parameters: shapes.ValidateCsv) -> shapes.Validated:
    """Whether the list of rows is as a schema asks."""
    text, source = _text(context, parameters)
    rows = _rows(text, source, parameters)
    data: Json = rows.model_dump(mode="json")["rows"]
    return _checked(Loaded(data, csv_places(text, source, parameters, rows.columns)), parameters.json_schema)


def _checked(loaded: Loaded, schema: dict[str, Json]) -> shapes.Validated:
    """Whether the data is as the schema asks. `NoEffectError`: SCHEMA_INVALID, DATA_TOO_LARGE."""
    from assent.spec.documents.faults import Telling, plain_fault
    from assent.spec.language.schema_work import NOT_TOLD, TOO_COSTLY, are_faults_large, visits_of
    from assent.spec.schemas._foreign import compile_schema, faults_in

    measured(loaded.value)
    measured(schema, code="SCHEMA_INVALID")
    visits = visits_of(schema, loaded.value)
    if visits is None:
        raise NoEffectError(
            "SCHEMA_INVALID",
            f"the data {TOO_COSTLY}",
            path="json_schema",
            hint="let each part refer to another once, shorten patterns, or validate a smaller part of the data",
        )
    try:
        validator = compile_schema(schema, "`json_schema`")
    except InputError as error:
        raise NoEffectError.from_dict(error.to_dict()) from None
    large = are_faults_large(schema, loaded.value, visits)
    found = faults_in(validator, loaded.value, visits, are_large=large)
    told = [plain_fault(NOT_TOLD)] if found is None else Telling(schema, shows_values=True).of_schema(found)
    paths = [_place(fault["path"]) for fault in told]
    places = loaded.places(paths)
    return shapes.Validated(
        valid=not told,
        faults=[
            shapes.Fault(
                path=list(path),
                place=places.get(path),
                expected=str(fault["expected"]),
                actual=str(fault["actual"]),
                message=str(fault["message"]),
            )
            for fault, path in zip(told, paths, strict=True)
        ],
    )


def _place(path: Json) -> tuple[str | int, ...]:
    assert isinstance(path, list), "a fault's path is a list"
    return tuple(part if isinstance(part, int) else str(part) for part in path)
