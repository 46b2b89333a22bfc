"""What the data capabilities do, for whichever format: load, work, answer."""

from __future__ import annotations

import json
from typing import Final

from assent.capabilities.data import _shapes as shapes
from assent.capabilities.data._csv import csv_places, read_csv, write_csv
from assent.capabilities.data._formats import Format, Loaded, nowhere, write_toml, write_yaml
from assent.capabilities.data._sizes import measured
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

        value = self._load(context, parameters).value
        for overlay in parameters.overlays:
            other = self._load(context, overlay).value
            if parameters.strategy == "merge_patch":
                value = merge_patch(value, other)
            else:
                value = deep_merge(value, other, parameters.lists)
            measured(value)
            if context.cancel.is_cancelled:
                raise NoEffectError("CALL_CANCELLED", "the call was cancelled while it merged data")
        return shapes.Changed(value=value, text=_small(self._form.write(value)))

    def patch(self, context: LocalContext, parameters: shapes.PatchData) -> shapes.Changed:
        """Data after a JSON Patch, all of it or nothing."""
        from assent.spec.values.json_patch import apply

        value = self._load(context, parameters).value
        try:
            value = apply(value, parameters.patch)
        except InputError as error:
            raise NoEffectError.from_dict(error.to_dict()) from None
        except RecursionError:
            raise NoEffectError("DATA_TOO_LARGE", "the patch nests the data too deeply") from None
        measured(value)
        return shapes.Changed(value=value, text=_small(self._form.write(value)))

    def validate(self, context: LocalContext, parameters: shapes.Validate) -> shapes.Validated:
        """Whether data is as a schema asks."""
        from assent.capabilities.data._validate import validate as checked

        return checked(self._load(context, parameters), parameters.json_schema)


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


def query_csv(context: LocalContext, parameters: shapes.QueryCsv) -> shapes.Queried:
    """What a query finds in the list of rows."""
    from assent.capabilities.data._query import query as found

    rows: Json = parse_csv(context, parameters).model_dump(mode="json")["rows"]
    return shapes.Queried(result=found(rows, parameters.query, context.cancel))


def validate_csv(context: LocalContext, parameters: shapes.ValidateCsv) -> shapes.Validated:
    """Whether the list of rows is as a schema asks."""
    from assent.capabilities.data._validate import validate as checked

    text, source = _text(context, parameters)
    rows = _rows(text, source, parameters)
    data: Json = rows.model_dump(mode="json")["rows"]
    return checked(Loaded(data, csv_places(text, source, parameters, rows.columns)), parameters.json_schema)
