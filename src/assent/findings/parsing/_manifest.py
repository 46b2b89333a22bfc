"""A tool as data: how its output is recognised, where its records stand, and which of their fields is what.

One TOML file is one tool. `docs/findings-parsers.md` tells users how to write one; `tools/*.toml` beside this package are ours.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from assent.errors import InputError
from assent.findings.finding import Severity
from assent.findings.identity import Kind
from assent.findings.project import ResourceType
from assent.spec.documents.document import dotted
from assent.spec.toml_file import TomlFile

PARSER_VERSION: Final = "1.0.0"
"""Of the engine and our manifests together: it grows when the same output gives something else."""

Path = Annotated[str, Meta(max_length=512, title="a path like `results.*.issues.*`")]
Source = Annotated[
    str, Meta(min_length=1, max_length=1024, title="where a field stands, like `info.name | title`")
]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every table keeps to."""


class Recognised(_Part, frozen=True, kw_only=True):
    """One way to recognise the tool's output: all of it must be there."""

    top: tuple[str, ...] = ()
    """Names at the top of a JSON document, the root of an XML one, columns of a CSV."""
    record: tuple[Path, ...] = ()
    """Fields of the first record."""
    text: str | None = None
    """A regular expression that the first line of a text has."""
    version: str | None = None
    """The version that output of this form is of."""


class Skip(_Part, frozen=True, kw_only=True):
    """Records that say nothing to keep. One of `equals` and `unless` is said."""

    where: Source
    because: str
    equals: tuple[Any, ...] = ()
    unless: tuple[Any, ...] = ()


class Records(_Part, frozen=True, kw_only=True):
    """Where records stand, and what becomes of them."""

    path: Path = ""
    """From the top of the file; empty: values one after another, or the members of an array."""
    each: Path = ""
    """From there on, where records stand within larger ones whose fields they need (`^`)."""
    becomes: Literal["finding", "resource"] = "finding"
    kind: Kind | None = None
    """What its findings are told apart by, where it is not what the tool's are."""
    type: ResourceType = "url"
    """What a resource is."""
    skip: tuple[Skip, ...] = ()
    fields: dict[str, Source]
    locations: Path = ""
    """Where a record lists the places of one finding; `at.*` is read from each of them, and `^` is the record."""
    numbered: bool = False
    """The lines of a snippet begin with their numbers: the one at `at.line` is kept, without its number."""
    facts: dict[str, Source] = {}
    """What is kept of a resource beside where it is."""


class Failed(_Part, frozen=True, kw_only=True):
    """Where the output itself says that the tool did not end its work, whatever its exit code was."""

    path: Path
    """From the top of the file; `*` for each member."""
    where: Source
    equals: Annotated[tuple[Any, ...], Meta(min_length=1)]
    message: Source
    """What the tool says of it."""


class Manifest(_Part, frozen=True, kw_only=True):
    """A tool."""

    tool: Annotated[
        str, Meta(pattern="^[a-z0-9][a-z0-9_-]{0,63}$", title="a name of lower-case letters, digits and `_-`")
    ]
    title: str
    about: str
    """What the tool looks at, in a few words."""
    record: str
    """The tool's own unit, which is counted."""
    kind: Kind
    format: Literal["json", "xml", "csv", "text", "sarif"] = "json"
    tried: tuple[str, ...] = ()
    """Versions whose output was seen; none: the manifest is made from documentation alone."""
    version: Source | None = None
    """Where the top of a document, or the root of an XML one (`@name`), says the tool's version."""
    recognise: tuple[Recognised, ...]
    records: Annotated[tuple[Records, ...], Meta(min_length=1)]
    failed: Failed | None = None
    severities: dict[str, Severity] = {}
    """What the tool's own words mean, in lower case, where they mean something else than in most tools."""
    nothing: tuple[str, ...] = ()
    """Texts that stand where the tool has nothing to say: `requires login`."""
    known: tuple[str, ...] = ()
    """Fields of a record that are read by nobody: all others are told as new."""
    required: tuple[Path, ...] = ()
    """Fields that every record has in the versions that were tried: one that is missing is told."""
    line: str | None = None
    """For a text: a regular expression with a named group for each field."""


def manifest_file(data: bytes, where: str) -> TomlFile:
    """A manifest's file. `InputError` `TOOL_MANIFEST_INVALID`, with the place, for what is no TOML."""
    return TomlFile(data, where, code="TOOL_MANIFEST_INVALID", what=f"the manifest `{where}`")


def fault(message: str, *keys: str | int, hint: str | None = None) -> InputError:
    """What no type says of a manifest; `keys` lead to its place in the file."""
    return InputError(
        "TOOL_MANIFEST_INVALID", message, path=dotted(keys) or None, hint=hint, details={"keys": [*keys]}
    )
