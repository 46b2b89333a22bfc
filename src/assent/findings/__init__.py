"""What scanners say, as one model: a finding and its identity. It knows the law alone, and does no I/O."""

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

__all__ = [
    "Cvss",
    "Evidence",
    "Finding",
    "Fingerprint",
    "Kind",
    "Location",
    "Provenance",
    "Severity",
    "finding_schema",
    "fingerprint_of",
    "read_finding",
]
