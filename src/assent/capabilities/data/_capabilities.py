"""The data capabilities, described. They read text or files and give text or data; nothing is ever written by them.

What they give is written to a file by `io.fs.write_file`, so that the change is one of its own: gated, journaled and undoable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from assent.capabilities.data import _work
from assent.capabilities.data._formats import JSON, TOML, YAML
from assent.capabilities.data._parameters import (
    CsvPlace,
    Merge,
    PatchData,
    Place,
    QueryCsv,
    QueryData,
    RenderCsv,
    RenderJson,
    RenderToml,
    RenderYaml,
    Validate,
    ValidateCsv,
)
from assent.capabilities.data._results import Changed, Parsed, Queried, Rendered, Rows, Validated
from assent.invocation import Capability, LocalContext, Preview, capability

P = ParamSpec("P")
R = TypeVar("R")


def _computes(name: str) -> Callable[[Callable[P, R]], Capability[P, R]]:
    """What all of them have in common: they may read a file, and change nothing."""
    return capability(
        name,
        operation="READ",
        risk="LOW",
        justification="reads only",
        labels=("reads_private",),
        timeout=60,
        revision=f"{name}/1",
    )


def no_change(context: LocalContext, parameters: object) -> Preview:
    """The preview of a capability that only computes."""
    del context, parameters
    return Preview("none", changes=False)


# -- JSON ---------------------------------------------------------------------------------------------------------------


@_computes("data.json.parse")
def json_parse(context: LocalContext, parameters: Place) -> Parsed:
    """Read JSON text, or a file, into data"""
    return _work.parse(context, parameters, JSON)


json_parse.preview(no_change)


@_computes("data.json.render")
def json_render(context: LocalContext, parameters: RenderJson) -> Rendered:
    """Write data as JSON"""
    del context
    return _work.render_json(parameters)


json_render.preview(no_change)


@_computes("data.json.query")
def json_query(context: LocalContext, parameters: QueryData) -> Queried:
    """Take what a JMESPath expression names from JSON"""
    return _work.query(context, parameters, JSON)


json_query.preview(no_change)


@_computes("data.json.merge")
def json_merge(context: LocalContext, parameters: Merge) -> Changed:
    """Lay JSON data over other, by RFC 7386 or deeply"""
    return _work.merge(context, parameters, JSON)


json_merge.preview(no_change)


@_computes("data.json.patch")
def json_patch(context: LocalContext, parameters: PatchData) -> Changed:
    """Change JSON data by the operations of RFC 6902, all of them or none"""
    return _work.patch(context, parameters, JSON)


json_patch.preview(no_change)


@_computes("data.json.validate")
def json_validate(context: LocalContext, parameters: Validate) -> Validated:
    """Check JSON data against a JSON Schema, and tell every fault with its place"""
    return _work.validate(context, parameters, JSON)


json_validate.preview(no_change)


# -- YAML ---------------------------------------------------------------------------------------------------------------


@_computes("data.yaml.parse")
def yaml_parse(context: LocalContext, parameters: Place) -> Parsed:
    """Read YAML text, or a file, into data"""
    return _work.parse(context, parameters, YAML)


yaml_parse.preview(no_change)


@_computes("data.yaml.render")
def yaml_render(context: LocalContext, parameters: RenderYaml) -> Rendered:
    """Write data as YAML"""
    del context
    return _work.render_yaml(parameters)


yaml_render.preview(no_change)


@_computes("data.yaml.query")
def yaml_query(context: LocalContext, parameters: QueryData) -> Queried:
    """Take what a JMESPath expression names from YAML"""
    return _work.query(context, parameters, YAML)


yaml_query.preview(no_change)


@_computes("data.yaml.merge")
def yaml_merge(context: LocalContext, parameters: Merge) -> Changed:
    """Lay YAML data over other, by RFC 7386 or deeply"""
    return _work.merge(context, parameters, YAML)


yaml_merge.preview(no_change)


@_computes("data.yaml.patch")
def yaml_patch(context: LocalContext, parameters: PatchData) -> Changed:
    """Change YAML data by the operations of RFC 6902, all of them or none"""
    return _work.patch(context, parameters, YAML)


yaml_patch.preview(no_change)


@_computes("data.yaml.validate")
def yaml_validate(context: LocalContext, parameters: Validate) -> Validated:
    """Check YAML data against a JSON Schema, and tell every fault with its place"""
    return _work.validate(context, parameters, YAML)


yaml_validate.preview(no_change)


# -- TOML ---------------------------------------------------------------------------------------------------------------


@_computes("data.toml.parse")
def toml_parse(context: LocalContext, parameters: Place) -> Parsed:
    """Read TOML text, or a file, into data"""
    return _work.parse(context, parameters, TOML)


toml_parse.preview(no_change)


@_computes("data.toml.render")
def toml_render(context: LocalContext, parameters: RenderToml) -> Rendered:
    """Write data as TOML"""
    del context
    return _work.render(parameters.value, TOML)


toml_render.preview(no_change)


@_computes("data.toml.query")
def toml_query(context: LocalContext, parameters: QueryData) -> Queried:
    """Take what a JMESPath expression names from TOML"""
    return _work.query(context, parameters, TOML)


toml_query.preview(no_change)


@_computes("data.toml.merge")
def toml_merge(context: LocalContext, parameters: Merge) -> Changed:
    """Lay TOML data over other, by RFC 7386 or deeply"""
    return _work.merge(context, parameters, TOML)


toml_merge.preview(no_change)


@_computes("data.toml.patch")
def toml_patch(context: LocalContext, parameters: PatchData) -> Changed:
    """Change TOML data by the operations of RFC 6902, all of them or none"""
    return _work.patch(context, parameters, TOML)


toml_patch.preview(no_change)


@_computes("data.toml.validate")
def toml_validate(context: LocalContext, parameters: Validate) -> Validated:
    """Check TOML data against a JSON Schema, and tell every fault with its place"""
    return _work.validate(context, parameters, TOML)


toml_validate.preview(no_change)


# -- CSV -------------------------------------------------------------------------------------------------------------------


@_computes("data.csv.parse")
def csv_parse(context: LocalContext, parameters: CsvPlace) -> Rows:
    """Read CSV text, or a file, into rows"""
    return _work.parse_csv(context, parameters)


csv_parse.preview(no_change)


@_computes("data.csv.render")
def csv_render(context: LocalContext, parameters: RenderCsv) -> Rendered:
    """Write rows as CSV, guarded against formulas"""
    del context
    return _work.render_csv(parameters)


csv_render.preview(no_change)


@_computes("data.csv.query")
def csv_query(context: LocalContext, parameters: QueryCsv) -> Queried:
    """Take what a JMESPath expression names from the rows of CSV"""
    return _work.query_csv(context, parameters)


csv_query.preview(no_change)


@_computes("data.csv.validate")
def csv_validate(context: LocalContext, parameters: ValidateCsv) -> Validated:
    """Check the rows of CSV against a JSON Schema of their list"""
    return _work.validate_csv(context, parameters)


csv_validate.preview(no_change)
