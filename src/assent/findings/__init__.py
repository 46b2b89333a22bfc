"""What scanners say, as one model: a finding, its identity and what it belongs to. `store`, `book` and `assets` keep files."""

from assent.findings.finding import (
    Cvss,
    Evidence,
    Finding,
    Fingerprint,
    Location,
    Provenance,
    Severity,
    finding_schema,
    read_finding,
)
from assent.findings.identity import Kind, fingerprint_of
from assent.findings.project import (
    Counts,
    Project,
    Resource,
    Run,
    project_schema,
    read_project,
    read_resource,
    read_run,
    resource_id,
    resource_schema,
    run_schema,
)

__all__ = [
    "Counts",
    "Cvss",
    "Evidence",
    "Finding",
    "Fingerprint",
    "Kind",
    "Location",
    "Project",
    "Provenance",
    "Resource",
    "Run",
    "Severity",
    "finding_schema",
    "fingerprint_of",
    "project_schema",
    "read_finding",
    "read_project",
    "read_resource",
    "read_run",
    "resource_id",
    "resource_schema",
    "run_schema",
]
