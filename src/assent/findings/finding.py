"""The finding, schema 1.0.0: what some detector said about some resource, whichever tool it came from.

A document is JSON with exactly these properties, published as `docs/schemas/finding-1.json`. Everything is checked where a
document is read or made from outside data; code of ours that makes a `Finding` keeps to the types, and `read_finding` of what
`Finding.to_json` gives is the same finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from assent.errors import Json
from assent.findings.migrations import Schema, Step
from assent.spec.schemas.written import DIALECT

SCHEMA_VERSION: Final = "1.0.0"
TEXT_CHARACTERS_MAX: Final = 1 << 20
"""How long one text may be, a whole HTTP answer say. A parser cuts what is longer, and says so."""
NAME_CHARACTERS_MAX: Final = 4096
LISTED_MAX: Final = 10_000
"""How many locations, links and the like one finding may have."""

_HEX: Final = "[0-9a-f]"
_UUID_PATTERN: Final = f"^{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}$"
_MOMENT_PATTERN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3})?Z$"

# Where a length is fixed it also keeps out a line's end behind the last character, which `$` lets through.
Uuid: TypeAlias = Annotated[
    str,
    Meta(pattern=_UUID_PATTERN, max_length=36, title="a UUID", extra_json_schema={"format": "uuid"}),
]
Moment: TypeAlias = Annotated[
    str,
    Meta(
        pattern=_MOMENT_PATTERN, title="RFC 3339, in UTC with `Z`", extra_json_schema={"format": "date-time"}
    ),
]
Sha256: TypeAlias = Annotated[
    str, Meta(pattern=f"^{_HEX}{{64}}$", max_length=64, title="SHA-256, lower-case hex")
]
Count: TypeAlias = Annotated[int, Meta(ge=0, title="a whole number, from 0")]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS_MAX, title="text")]
Text: TypeAlias = Annotated[str, Meta(max_length=TEXT_CHARACTERS_MAX, title="text")]
Cwe: TypeAlias = Annotated[str, Meta(pattern="^CWE-[1-9][0-9]{0,6}$", title="like `CWE-79`")]
Owasp: TypeAlias = Annotated[
    str, Meta(pattern="^A(?:0[1-9]|10):20[0-9]{2}$", max_length=8, title="like `A05:2021`")
]
Cve: TypeAlias = Annotated[str, Meta(pattern="^CVE-[0-9]{4}-[0-9]{4,19}$", title="like `CVE-2021-44228`")]
Technique: TypeAlias = Annotated[
    str, Meta(pattern=r"^T[0-9]{4}(?:\.[0-9]{3})?$", title="like `T1059` or `T1059.001`")
]
Link: TypeAlias = Annotated[
    str,
    Meta(pattern=r"^https?://[^\s/?#@]+(?:[/?#]\S*)?$", max_length=NAME_CHARACTERS_MAX, title="a URL"),
]


class Severity(StrEnum):
    """How bad it is, in words that those of all tools become. `unknown`: the tool did not say, or said what nobody knows."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What every part keeps to: no other property, and nothing written that was not said."""


class Document(Part, frozen=True, kw_only=True):
    """A part that stands alone."""

    def to_json(self) -> bytes:
        """The document: one line of JSON, its properties in the schema's order."""
        return _ENCODER.encode(self)


_ENCODER: Final = msgspec.json.Encoder()


def judge_moment(name: str, moment: str) -> None:
    """`ValueError`: a moment of the right form is none that there is."""
    try:
        datetime.fromisoformat(moment)
    except ValueError:
        raise ValueError(f"`{name}` must be a date and time that there is") from None


class Evidence(Part, frozen=True, kw_only=True):
    """What was seen that shows it."""

    request: Annotated[Text, Meta(description="what was sent")] | UnsetType = UNSET
    response: Annotated[Text, Meta(description="what came back")] | UnsetType = UNSET
    matched: Annotated[Text, Meta(description="the part that the detector went by")] | UnsetType = UNSET
    extracted: Annotated[
        tuple[Text, ...],
        Meta(max_length=LISTED_MAX, title="a list of texts", description="what was taken out of it"),
    ] = ()


class Location(Part, frozen=True, kw_only=True):
    """One place where it is. At least one of the fields says where."""

    url: Annotated[Name, Meta(description="a URL, as the tool wrote it")] | UnsetType = UNSET
    method: Annotated[Name, Meta(description="the HTTP method")] | UnsetType = UNSET
    parameter: (
        Annotated[Name, Meta(description="the part of a request: a parameter, a header")] | UnsetType
    ) = UNSET
    host: Annotated[Name, Meta(description="a host's name or address")] | UnsetType = UNSET
    port: (
        Annotated[int, Meta(ge=0, le=65535, title="0 to 65535"), Meta(description="a port of the host")]
        | UnsetType
    ) = UNSET
    protocol: Annotated[Name, Meta(description="what the port speaks: `tcp`, `udp`")] | UnsetType = UNSET
    path: Annotated[Name, Meta(description="a file, with `/` between folders")] | UnsetType = UNSET
    line: (
        Annotated[Count, Meta(description="the first line, counted from 1; 0 is the whole file")] | UnsetType
    ) = UNSET
    end_line: Annotated[Count, Meta(description="the last line")] | UnsetType = UNSET
    column: Annotated[Count, Meta(description="the first column, counted from 1")] | UnsetType = UNSET
    snippet: Annotated[Text, Meta(description="what stands there")] | UnsetType = UNSET
    package: (
        Annotated[Name, Meta(description="a package, as its registry or a package URL names it")] | UnsetType
    ) = UNSET
    version: Annotated[Name, Meta(description="the package's version")] | UnsetType = UNSET
    name: Annotated[Name, Meta(description="a thing there: a resource, a function, a header")] | UnsetType = (
        UNSET
    )

    def __post_init__(self) -> None:
        if not (self.url or self.host or self.path or self.package or self.name):
            raise ValueError("a location must have a `url`, `host`, `path`, `package` or `name`")


class Cvss(Part, frozen=True, kw_only=True):
    """How bad it is by the Common Vulnerability Scoring System."""

    score: Annotated[float, Meta(ge=0, le=10, title="0 to 10", description="the base score")]
    vector: (
        Annotated[Name, Meta(description="what the score is made of, as FIRST.org writes it")] | UnsetType
    ) = UNSET
    version: (
        Annotated[Literal["2.0", "3.0", "3.1", "4.0"], Meta(description="the system's version")] | UnsetType
    ) = UNSET


class Fingerprint(Part, frozen=True, kw_only=True):
    """Its identity: the same over runs, tools' settings and machines. See [Identity](#identity)."""

    recipe: Annotated[int, Meta(ge=1, title="a whole number, from 1", description="the recipe's version")]
    value: Annotated[Sha256, Meta(description="what the recipe gives")]


class Provenance(Part, frozen=True, kw_only=True):
    """Where it comes from, back to the bytes that the tool wrote."""

    tool: Annotated[Name, Meta(description="the tool's name")]
    tool_version: Annotated[Name, Meta(description="its version, where it is known")] | UnsetType = UNSET
    parser_version: (
        Annotated[Name, Meta(description="the version of what read the tool's output")] | UnsetType
    ) = UNSET
    raw_sha256: Annotated[Sha256, Meta(description="the digest of all that the tool wrote")] | UnsetType = (
        UNSET
    )
    begin: (
        Annotated[Count, Meta(description="the byte at which the record begins in it, from 0")] | UnsetType
    ) = UNSET
    end: Annotated[Count, Meta(description="the byte behind the record's last")] | UnsetType = UNSET
    ledger_entry: (
        Annotated[Name, Meta(description="the ledger's entry that binds the digest")] | UnsetType
    ) = UNSET

    def __post_init__(self) -> None:
        if (self.begin is UNSET) != (self.end is UNSET) or (self.begin or 0) > (self.end or 0):
            raise ValueError("`begin` and `end` must stand together, and `end` not before `begin`")


class Finding(Document, frozen=True, kw_only=True):
    """What one detector said about one resource."""

    finding_schema_version: Annotated[
        Literal["1.0.0"], Meta(description="the version of this schema: `1.0.0`")
    ]
    id: Annotated[Uuid, Meta(description="this document's own name")]
    project_id: Annotated[Uuid, Meta(description="the project that it belongs to")]
    detector_id: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z0-9_.-]+$",
            max_length=256,
            title="letters, digits and `_.-`",
            description="the rule or template that found it, behind its tool: `nuclei.git-config`",
        ),
    ]
    title: Annotated[
        str,
        Meta(
            min_length=1, max_length=NAME_CHARACTERS_MAX, title="text", description="what it is, for people"
        ),
    ]
    severity: Annotated[
        Severity, Meta(title="a severity", description="how bad it is, in the words of all tools")
    ]
    resource: Annotated[Name, Meta(description="what it is about: a URL, a host, a file, a package")]
    created_at: Annotated[Moment, Meta(description="when the tool found it")]
    run_id: Annotated[Name, Meta(description="the run that brought it")] | UnsetType = UNSET
    original_severity: (
        Annotated[Name, Meta(description="how bad it is in the tool's own words, unchanged")] | UnsetType
    ) = UNSET
    confidence: (
        Annotated[
            int, Meta(ge=0, le=100, title="0 to 100"), Meta(description="how sure the tool is, in per cent")
        ]
        | UnsetType
    ) = UNSET
    locations: Annotated[
        tuple[Location, ...],
        Meta(max_length=LISTED_MAX, title="a list of locations", description="every place where it is"),
    ] = ()
    evidence: Annotated[Evidence, Meta(title="evidence", description="what was seen")] | UnsetType = UNSET
    cwe: Annotated[
        tuple[Cwe, ...],
        Meta(max_length=LISTED_MAX, title="a list like `[CWE-79]`", description="kinds of weakness"),
    ] = ()
    owasp: Annotated[
        tuple[Owasp, ...],
        Meta(
            max_length=LISTED_MAX, title="a list like `[A05:2021]`", description="places in the OWASP Top 10"
        ),
    ] = ()
    cve_ids: Annotated[
        tuple[Cve, ...],
        Meta(
            max_length=LISTED_MAX, title="a list like `[CVE-2021-44228]`", description="known vulnerabilities"
        ),
    ] = ()
    cvss: Annotated[Cvss, Meta(title="a CVSS", description="the score by CVSS")] | UnsetType = UNSET
    mitre_attack: Annotated[
        tuple[Technique, ...],
        Meta(
            max_length=LISTED_MAX,
            title="a list like `[T1059.001]`",
            description="techniques of MITRE ATT&CK, sub-techniques too",
        ),
    ] = ()
    poc_links: Annotated[
        tuple[Link, ...],
        Meta(max_length=LISTED_MAX, title="a list of URLs", description="where it is shown or explained"),
    ] = ()
    fingerprint: (
        Annotated[Fingerprint, Meta(title="a fingerprint", description="its identity")] | UnsetType
    ) = UNSET
    provenance: (
        Annotated[Provenance, Meta(title="a provenance", description="back to the bytes that the tool wrote")]
        | UnsetType
    ) = UNSET

    def __post_init__(self) -> None:
        judge_moment("created_at", self.created_at)
        for one in (self.detector_id, *self.cwe, *self.cve_ids, *self.mitre_attack, *self.poc_links):
            if one.endswith("\n"):
                raise ValueError(f"{one!r} must not end with a line's end")


STEPS: Final[tuple[Step, ...]] = ()
"""From each version of the schema to the next, both ways. 1.0.0 is the first that has a name; what was before has none, and is
read by `parsing.read_older`, through the same table with its own step in front."""

SCHEMA: Final = Schema(
    Finding, what="finding", version=SCHEMA_VERSION, invalid="FINDING_INVALID", too_new="FINDING_TOO_NEW"
)


def read_finding(
    document: Any, steps: Sequence[Step] = STEPS
) -> Finding:  # `Any`: outside JSON, also bytes or text
    """A finding from outside: JSON, or what was decoded from it. One of an older schema goes through the table of `steps`.

    `InputError` `FINDING_TOO_NEW`: it is of a later schema, whose readers know what it means. `FINDING_INVALID`: it is no
    finding, and every fault is told.
    """
    return SCHEMA.read(document, steps)


def finding_schema() -> dict[str, Json]:
    """The JSON Schema (2020-12) of a finding's document."""
    return document_schema(SCHEMA)


def document_schema(schema: Schema[Any]) -> dict[str, Json]:  # `Any`: a struct of this library
    """The JSON Schema (2020-12) of a kind of document."""
    # An empty list stands for nothing said, like a property that is left out: no default that a reader should know.
    name = schema.kind.__name__
    _, parts = msgspec.json.schema_components([schema.kind], ref_template="#/$defs/{name}")
    for part in parts.values():
        for shape in part.get("properties", {}).values():
            shape.pop("default", None)
    return {
        "$schema": DIALECT,
        "$id": f"urn:assent:{schema.what}:{schema.version.partition('.')[0]}",
        "title": f"Assent {schema.what}, schema {schema.version}",
        "$ref": f"#/$defs/{name}",
        "$defs": {name: parts.pop(name), **parts},
    }
