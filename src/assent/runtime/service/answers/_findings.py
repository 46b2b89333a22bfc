"""What is answered about findings, and about the scanners that make them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assent.runtime.service.answers._audit import Bound
from assent.runtime.service.answers._base import Answer, Fault

if TYPE_CHECKING:
    from assent.errors import Json
else:
    Json = Any  # msgspec has no recursive types: what stands here is whatever JSON came out


class Recipe(Answer, frozen=True, kw_only=True):
    """A workflow of scans."""

    name: str
    text: str


class HandedOver(Answer, frozen=True, kw_only=True):
    """What was handed over so far; once it is whole (`blob`), a call names it by all of this."""

    upload: str
    blob: str | None
    bytes: int


class Project(Answer, frozen=True, kw_only=True):
    """A project, and how much there is of it."""

    project_id: str
    name: str | None
    findings: int
    datasets: int
    since: str


class Projects(Answer, frozen=True, kw_only=True):
    """The projects, in the order in which they came."""

    projects: list[Project]


class Dataset(Answer, frozen=True, kw_only=True):
    """What one import or scan brought. `new` and `known` count findings as they were when it came."""

    dataset: str
    project_id: str
    run_id: str
    step: str
    at: str
    tool: str
    version: str | None
    name: str
    records: int
    findings: int
    resources: int
    skipped: list[dict[str, Json]]
    by_severity: dict[str, int]
    new: int
    known: int
    drift: dict[str, Json]
    fault: dict[str, Json] | None
    entry: int
    """The entry of the ledger that binds it."""


class Datasets(Answer, frozen=True, kw_only=True):
    """What imports and scans brought, the oldest first."""

    datasets: list[Dataset]


class DiscoveredResource(Answer, frozen=True, kw_only=True):
    """Something that a tool discovered: it is there, and no finding by itself."""

    resource_id: str
    type: str
    resource: str
    location: dict[str, Json]
    facts: dict[str, Json]
    tool: str | None
    first_seen: str
    last_seen: str
    entry: int


class Discovered(Answer, frozen=True, kw_only=True):
    """Some of what tools discovered in a project, and where the next page begins; None where there is none."""

    project_id: str
    project: str | None
    resources: list[DiscoveredResource]
    next: str | None


class FoundFinding(Answer, frozen=True, kw_only=True):
    """A finding as a line of a list."""

    id: str
    severity: str
    status: str
    title: str
    resource: str
    detector_id: str
    tool: str | None
    owner: str | None
    tags: list[str]
    suppressed: bool
    risk: int
    first_seen: str | None
    last_seen: str | None
    entry: int


class Findings(Answer, frozen=True, kw_only=True):
    """Some findings of a project, and where the next page begins; None where there is none.

    `unheard`: where none fits, what was asked for that no finding of the project has (a rule, a tool, an owner, a tag).
    """

    project_id: str
    project: str | None
    findings: list[FoundFinding]
    next: str | None
    unheard: list[str] = []


class ShownFinding(Answer, frozen=True, kw_only=True):
    """A finding with all that is known of it: its document, what was decided, and the dataset that spoke of it last.

    `suppressed_by`: the other finding whose suppression reaches this one, as one of the same rule or resource.
    """

    finding: dict[str, Json]
    triage: dict[str, Json]
    suppressed: bool
    suppressed_by: str | None
    risk: int
    first_seen: str | None
    last_seen: str | None
    dataset: Dataset | None


class ResourceVersion(Answer, frozen=True, kw_only=True):
    """A version of a resource that is kept by reference. `promoted_from` is the reference that it is a copy of."""

    reference: str
    scope: str
    type: str
    name: str
    version: str
    sha256: str
    bytes: int
    published_at: str
    promoted_from: str | None
    retired_at: str | None
    uses: int
    used_at: str | None


class Resources(Answer, frozen=True, kw_only=True):
    """Versions of resources, in the order in which they were published."""

    resources: list[ResourceVersion]


class RawRecord(Answer, frozen=True, kw_only=True):
    """The bytes of a tool's output that a finding was made of."""

    raw_sha256: str
    begin: int
    end: int
    text: str | None
    """The bytes as text, where they are no more than a few. No proof covers it: only the whole output, by its digest, does."""


class FindingProof(Bound, frozen=True, kw_only=True):
    """What shows that a finding is in the ledger: its line, the path from there to the root of its dataset, and the outcome of an
    import or a scan that names that root. `assent audit verify-proof` checks it offline, all but the text of the `record`.
    """

    finding: str
    line: str
    index: int
    size: int
    path: list[str]
    dataset: str
    record: RawRecord | None


class DiffLine(FoundFinding, frozen=True, kw_only=True):
    """A finding that is in one of two runs, or in both."""

    kind: str


class FindingsDiff(Answer, frozen=True, kw_only=True):
    """How two runs differ. `not_looked_for`: the earlier one's findings of tools that the later one did not use."""

    project_id: str
    project: str | None
    before: str
    later: str
    counts: dict[str, int]
    not_looked_for: int
    findings: list[DiffLine]
    next: str | None


class FindingsDay(Answer, frozen=True, kw_only=True):
    """One day in UTC."""

    day: str
    new: int
    resolved: int
    active: int


class FindingsStats(Answer, frozen=True, kw_only=True):
    """How a project stands. Suppressed findings count among statuses and as suppressed, and in nothing else."""

    project_id: str
    project: str | None
    total: int
    active: int
    suppressed: int
    resolved: int
    false_positive: int
    risk_accepted: int
    by_severity: dict[str, int]
    by_status: dict[str, int]
    by_tag: dict[str, int]
    by_owner: dict[str, int]
    fix_time_days: float | None
    trend: list[FindingsDay]


class ScannerOption(Answer, frozen=True, kw_only=True):
    """Something that whoever scans may set. `form` says in a few words what fits."""

    name: str
    type: str
    form: str
    required: bool
    about: str


class Scanner(Answer, frozen=True, kw_only=True):
    """One scanner: what its manifest says, and what is here of it.

    `status`: `ready`, `missing`, `refused` (another program, another file than the pinned one: `error` says which), `invalid` (a
    manifest that can't be read), or `unknown` where nobody looked. `tried` are versions that the manifest was tried with.
    """

    tool: str
    status: str
    title: str | None
    about: str | None
    kind: str | None
    target: str | None
    source: str
    tried: list[str]
    path: str | None
    version: str | None
    sha256: str | None
    pinned: bool
    options: list[ScannerOption]
    self_test: str | None
    """`passed`, or what is wrong, of one that was tested."""
    error: Fault | None


class Scanners(Answer, frozen=True, kw_only=True):
    """The scanners that there are manifests of."""

    scanners: list[Scanner]
