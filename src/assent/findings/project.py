"""What findings belong to, schema 1.0.0: a project, its runs, and the resources that its tools discovered.

Each is a document like a finding, judged where it is read, and published as `docs/schemas/project-1.json`, `run-1.json` and
`resource-1.json`. That a project's name is its own is for whoever keeps projects: no document can say that.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from assent.errors import Json
from assent.findings.finding import (
    Count,
    Document,
    Location,
    Moment,
    Name,
    Part,
    Provenance,
    Sha256,
    Text,
    Uuid,
    document_schema,
    judge_moment,
)
from assent.findings.identity import derived_uuid, network_parts, normal_host, place_of
from assent.findings.migrations import Schema

FACTS_BYTES_MAX: Final = 64 << 10
"""How large the facts of one resource may be, as JSON."""
FACTS_DEPTH_MAX: Final = 16

_Version: TypeAlias = Annotated[Literal["1.0.0"], Meta(description="the version of this schema: `1.0.0`")]
ResourceType: TypeAlias = Literal["url", "port", "host", "package"]


class Project(Document, frozen=True, kw_only=True):
    """What is looked at together, by a name that no other project has."""

    project_schema_version: _Version
    project_id: Annotated[Uuid, Meta(description="the project's id")]
    name: Annotated[
        str,
        Meta(
            pattern=r"^[^\x00-\x1f\x7f]+$",
            max_length=128,
            title="1 to 128 characters",
            description="its name",
        ),
    ]
    description: Annotated[Text, Meta(description="what it is about, for people")] | UnsetType = UNSET
    created_at: Annotated[Moment, Meta(description="when it was made")]

    def __post_init__(self) -> None:
        judge_moment("created_at", self.created_at)
        if self.name.endswith("\n"):
            raise ValueError("`name` must not end with a line's end")


class Counts(Part, frozen=True, kw_only=True):
    """How a run went, in numbers."""

    records: Annotated[Count, Meta(description="records that the tool wrote")]
    findings: Annotated[Count, Meta(description="those that were findings")]
    resources: Annotated[Count, Meta(description="those that were resources")]
    skipped: Annotated[Count, Meta(description="those that were neither")]


class Run(Document, frozen=True, kw_only=True):
    """One time that a tool looked, or that what it wrote was read."""

    run_schema_version: _Version
    run_id: Annotated[Name, Meta(description="the run's id")]
    project_id: Annotated[Uuid, Meta(description="the project that it belongs to")]
    tool: Annotated[Name, Meta(description="the tool's name")]
    tool_version: Annotated[Name, Meta(description="its version, where it is known")] | UnsetType = UNSET
    kind: Annotated[
        Literal["scan", "import"],
        Meta(description="whether Assent ran the tool, or was given what it had written"),
    ]
    started_at: Annotated[Moment, Meta(description="when it began")]
    finished_at: Annotated[Moment, Meta(description="when it ended")] | UnsetType = UNSET
    dataset: Annotated[Sha256, Meta(description="the digest of all that the tool wrote")] | UnsetType = UNSET
    counts: Annotated[Counts, Meta(title="counts", description="what came of it")] | UnsetType = UNSET

    def __post_init__(self) -> None:
        judge_moment("started_at", self.started_at)
        if self.finished_at:
            judge_moment("finished_at", self.finished_at)
            if datetime.fromisoformat(self.finished_at) < datetime.fromisoformat(self.started_at):
                raise ValueError("`finished_at` must not be before `started_at`")


class Resource(Document, frozen=True, kw_only=True):
    """Something that a tool discovered: it is there, and no finding by itself."""

    resource_schema_version: _Version
    resource_id: Annotated[Uuid, Meta(description="its id: the same for the same resource of a project")]
    project_id: Annotated[Uuid, Meta(description="the project that it belongs to")]
    type: Annotated[ResourceType, Meta(description="what it is")]
    resource: Annotated[Name, Meta(description="the resource, as text")]
    location: Annotated[Location, Meta(title="a location", description="where it is")]
    facts: Annotated[
        dict[str, Any],  # `Any`: JSON, which is judged below
        Meta(title="a JSON object, 64 KiB at most", description="what the tool said of it"),
    ] = msgspec.field(default_factory=dict)
    created_at: Annotated[Moment, Meta(description="when it was discovered")]
    run_id: Annotated[Name, Meta(description="the run that brought it")] | UnsetType = UNSET
    provenance: (
        Annotated[Provenance, Meta(title="a provenance", description="back to the bytes that the tool wrote")]
        | UnsetType
    ) = UNSET

    def __post_init__(self) -> None:
        judge_moment("created_at", self.created_at)
        if not _is_json(self.facts, FACTS_DEPTH_MAX):
            raise ValueError(f"`facts` must be JSON, and at most {FACTS_DEPTH_MAX} deep")
        if len(msgspec.json.encode(self.facts)) > FACTS_BYTES_MAX:
            raise ValueError(f"`facts` must have at most {FACTS_BYTES_MAX} bytes as JSON")


def _is_json(value: object, depth: int) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return depth > 0 and all(_is_json(one, depth - 1) for one in value)
    if isinstance(value, dict):
        return depth > 0 and all(_is_json(one, depth - 1) for one in value.values())
    return value is None or isinstance(value, bool | int | str)


_PROJECT: Final = Schema(
    Project, what="project", version="1.0.0", invalid="PROJECT_INVALID", too_new="PROJECT_TOO_NEW"
)
_RUN: Final = Schema(Run, what="run", version="1.0.0", invalid="PROJECT_INVALID", too_new="PROJECT_TOO_NEW")
_RESOURCE: Final = Schema(
    Resource, what="resource", version="1.0.0", invalid="PROJECT_INVALID", too_new="PROJECT_TOO_NEW"
)


def read_project(document: Any) -> Project:  # `Any`: outside JSON, as bytes, text or decoded
    """A project from outside. `InputError` `PROJECT_INVALID` with every fault, `PROJECT_TOO_NEW` of a later schema."""
    return _PROJECT.read(document)


def read_run(document: Any) -> Run:  # `Any`: as above
    """A run from outside. It is refused like a project."""
    return _RUN.read(document)


def read_resource(document: Any) -> Resource:  # `Any`: as above
    """A resource from outside. It is refused like a project."""
    return _RESOURCE.read(document)


def project_schema() -> dict[str, Json]:
    """The JSON Schema (2020-12) of a project's document."""
    return document_schema(_PROJECT)


def run_schema() -> dict[str, Json]:
    """The JSON Schema (2020-12) of a run's document."""
    return document_schema(_RUN)


def resource_schema() -> dict[str, Json]:
    """The JSON Schema (2020-12) of a resource's document."""
    return document_schema(_RESOURCE)


def resource_id(project_id: str, kind: ResourceType, resource: str, at: Location) -> str:
    """A resource's own name: the same for the same thing in the same project, whichever tool saw it (a UUID of version 8).

    Of a URL all but its query counts, of a port host, number and protocol, of a host its normal form, of a package its name and
    version.
    """
    parts = ["resource", project_id, kind, *_normal(kind, resource, at)]
    return derived_uuid(msgspec.json.encode(parts).decode())


def _normal(kind: ResourceType, resource: str, at: Location) -> list[str]:
    match kind:
        case "url":
            place = place_of(at.url or resource)
            return [f"{place.origin}{place.path}"]
        case "port":
            return network_parts(at)
        case "host":
            return [normal_host(at.host or resource)]
        case "package":
            return [at.package or resource, at.version or ""]
