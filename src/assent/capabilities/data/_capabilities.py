"""The data capabilities, described. They read text or files and give text or data; nothing is ever written by them.

What they give is written to a file by `io.fs.write_file`, so that the change is one of its own: gated, journaled and undoable.
"""

from __future__ import annotations

from typing import Final

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
from assent.invocation import LocalContext, Preview, capability

_TIMEOUT_S: Final = 60

# Each says for itself what all of them say: what a capability is must be readable where it stands, before it is imported.


def no_change(context: LocalContext, parameters: object) -> Preview:
    """The preview of a capability that only computes."""
    del context, parameters
    return Preview("none", changes=False)


# -- JSON ---------------------------------------------------------------------------------------------------------------


@capability(
    "data.json.parse",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    timeout=_TIMEOUT_S,
    revision="data.json.parse/1",
)
def json_parse(context: LocalContext, parameters: Place) -> Parsed:
    """Read JSON text, or a file, into data"""
    return _work.parse(context, parameters, JSON)


json_parse.preview(no_change)


@capability(
    "data.json.render",
    operation="READ",
    risk="LOW",
    justification="reads only",
    timeout=_TIMEOUT_S,
    revision="data.json.render/1",
)
def json_render(context: LocalContext, parameters: RenderJson) -> Rendered:
    """Write data as JSON"""
    del context
    return _work.render_json(parameters)


json_render.preview(no_change)


@capability(
    "data.json.query",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    timeout=_TIMEOUT_S,
    revision="data.json.query/1",
)
def json_query(context: LocalContext, parameters: QueryData) -> Queried:
    """Take what a JMESPath expression names from JSON"""
    return _work.query(context, parameters, JSON)


json_query.preview(no_change)


@capability(
    "data.json.merge",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    timeout=_TIMEOUT_S,
    revision="data.json.merge/1",
)
def json_merge(context: LocalContext, parameters: Merge) -> Changed:
    """Lay JSON data over other, by RFC 7386 or deeply"""
    return _work.merge(context, parameters, JSON)


json_merge.preview(no_change)


@capability(
    "data.json.patch",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    timeout=_TIMEOUT_S,
    revision="data.json.patch/1",
)
def json_patch(context: LocalContext, parameters: PatchData) -> Changed:
    """Change JSON data by the operations of RFC 6902, all of them or none"""
    return _work.patch(context, parameters, JSON)


json_patch.preview(no_change)


@capability(
    "data.json.validate",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    timeout=_TIMEOUT_S,
    revision="data.json.validate/1",
)
def json_validate(context: LocalContext, parameters: Validate) -> Validated:
    """Check JSON data against a JSON Schema, and tell every fault with its place"""
    return _work.validate(context, parameters, JSON)


json_validate.preview(no_change)


# -- YAML ---------------------------------------------------------------------------------------------------------------


@capability(
    "data.yaml.parse",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    timeout=_TIMEOUT_S,
    revision="data.yaml.parse/1",
)
def yaml_parse(context: LocalContext, parameters: Place) -> Parsed:
    """Read YAML text, or a file, into data"""
    return _work.parse(context, parameters, YAML)


yaml_parse.preview(no_change)


@capability(
    "data.yaml.render",
    operation="READ",
    risk="LOW",
    justification="reads only",
    timeout=_TIMEOUT_S,
    revision="data.yaml.render/1",
)
def yaml_render(context: LocalContext, parameters: RenderYaml) -> Rendered:
    """Write data as YAML"""
    del context
    return _work.render_yaml(parameters)


yaml_render.preview(no_change)


@capability(
    "data.yaml.query",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    timeout=_TIMEOUT_S,
    revision="data.yaml.query/1",
)
def yaml_query(context: LocalContext, parameters: QueryData) -> Queried:
    """Take what a JMESPath expression names from YAML"""
    return _work.query(context, parameters, YAML)


yaml_query.preview(no_change)


@capability(
    "data.yaml.merge",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    timeout=_TIMEOUT_S,
    revision="data.yaml.merge/1",
)
def yaml_merge(context: LocalContext, parameters: Merge) -> Changed:
    """Lay YAML data over other, by RFC 7386 or deeply"""
    return _work.merge(context, parameters, YAML)


yaml_merge.preview(no_change)


@capability(
    "data.yaml.patch",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    timeout=_TIMEOUT_S,
    revision="data.yaml.patch/1",
)
def yaml_patch(context: LocalContext, parameters: PatchData) -> Changed:
    """Change YAML data by the operations of RFC 6902, all of them or none"""
    return _work.patch(context, parameters, YAML)


yaml_patch.preview(no_change)


@capability(
    "data.yaml.validate",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    timeout=_TIMEOUT_S,
    revision="data.yaml.validate/1",
)
def yaml_validate(context: LocalContext, parameters: Validate) -> Validated:
    """Check YAML data against a JSON Schema, and tell every fault with its place"""
    return _work.validate(context, parameters, YAML)


yaml_validate.preview(no_change)


# -- TOML ---------------------------------------------------------------------------------------------------------------


@capability(
    "data.toml.parse",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    timeout=_TIMEOUT_S,
    revision="data.toml.parse/1",
)
def toml_parse(context: LocalContext, parameters: Place) -> Parsed:
    """Read TOML text, or a file, into data"""
    return _work.parse(context, parameters, TOML)


toml_parse.preview(no_change)


@capability(
    "data.toml.render",
    operation="READ",
    risk="LOW",
    justification="reads only",
    timeout=_TIMEOUT_S,
    revision="data.toml.render/1",
)
def toml_render(context: LocalContext, parameters: RenderToml) -> Rendered:
    """Write data as TOML"""
    del context
    return _work.render(parameters.value, TOML)


toml_render.preview(no_change)


@capability(
    "data.toml.query",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    timeout=_TIMEOUT_S,
    revision="data.toml.query/1",
)
def toml_query(context: LocalContext, parameters: QueryData) -> Queried:
    """Take what a JMESPath expression names from TOML"""
    return _work.query(context, parameters, TOML)


toml_query.preview(no_change)


@capability(
    "data.toml.merge",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    timeout=_TIMEOUT_S,
    revision="data.toml.merge/1",
)
def toml_merge(context: LocalContext, parameters: Merge) -> Changed:
    """Lay TOML data over other, by RFC 7386 or deeply"""
    return _work.merge(context, parameters, TOML)


toml_merge.preview(no_change)


@capability(
    "data.toml.patch",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    timeout=_TIMEOUT_S,
    revision="data.toml.patch/1",
)
def toml_patch(context: LocalContext, parameters: PatchData) -> Changed:
    """Change TOML data by the operations of RFC 6902, all of them or none"""
    return _work.patch(context, parameters, TOML)


toml_patch.preview(no_change)


@capability(
    "data.toml.validate",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    timeout=_TIMEOUT_S,
    revision="data.toml.validate/1",
)
def toml_validate(context: LocalContext, parameters: Validate) -> Validated:
    """Check TOML data against a JSON Schema, and tell every fault with its place"""
    return _work.validate(context, parameters, TOML)


toml_validate.preview(no_change)


# -- CSV -------------------------------------------------------------------------------------------------------------------


@capability(
    "data.csv.parse",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    timeout=_TIMEOUT_S,
    revision="data.csv.parse/1",
)
def csv_parse(context: LocalContext, parameters: CsvPlace) -> Rows:
    """Read CSV text, or a file, into rows"""
    return _work.parse_csv(context, parameters)


csv_parse.preview(no_change)


@capability(
    "data.csv.render",
    operation="READ",
    risk="LOW",
    justification="reads only",
    timeout=_TIMEOUT_S,
    revision="data.csv.render/1",
)
def csv_render(context: LocalContext, parameters: RenderCsv) -> Rendered:
    """Write rows as CSV, guarded against formulas"""
    del context
    return _work.render_csv(parameters)


csv_render.preview(no_change)


@capability(
    "data.csv.query",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    timeout=_TIMEOUT_S,
    revision="data.csv.query/1",
)
def csv_query(context: LocalContext, parameters: QueryCsv) -> Queried:
    """Take what a JMESPath expression names from the rows of CSV"""
    return _work.query_csv(context, parameters)


csv_query.preview(no_change)


@capability(
    "data.csv.validate",
    operation="READ",
    risk="LOW",
    justification="reads only",
    labels=("reads_private",),
    timeout=_TIMEOUT_S,
    revision="data.csv.validate/1",
)
def csv_validate(context: LocalContext, parameters: ValidateCsv) -> Validated:
    """Check the rows of CSV against a JSON Schema of their list"""
    return _work.validate_csv(context, parameters)


csv_validate.preview(no_change)
