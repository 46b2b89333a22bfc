"""The capabilities on findings, described."""

from __future__ import annotations

from functools import partial
from typing import Final

from assent.capabilities.describing import changes_files, describe
from assent.capabilities.findings._acts import DeleteProjectEffect, GcEffect, ImportEffect, TriageEffect
from assent.capabilities.findings._report import ReportEffect

# They act on nothing but the record, so that an undo of them can be tried.
_changes: Final = partial(describe, reversible=True, scope="findings", idempotent=True, rehearsable=True)

CAPABILITIES: Final = (
    _changes(
        "findings.import",
        "Import what a scanner wrote: its records become findings and resources of a project",
        ImportEffect(),
        operation="WRITE",
        risk="MEDIUM",
        justification="adds to what people go by, and can be taken back",
        effect="adds a dataset to a project",
        labels=("reads_private", "reads_untrusted"),
        timeout=3600,
    ),
    _changes(
        "findings.triage",
        "Decide about findings: their status, owner, tags, notes, and whether they are told of",
        TriageEffect(),
        operation="WRITE",
        risk="MEDIUM",
        justification="changes what people look at, and can be taken back",
        effect="changes what is decided about findings",
    ),
    changes_files(
        "findings.report",
        "Write a report of a project's findings to a file: SARIF, CSV, JSON, HTML, Markdown or PDF",
        ReportEffect(),
        labels=("reads_private", "reads_untrusted"),
        timeout=600,
    ),
    _changes(
        "findings.gc",
        "Remove findings that were not seen for long, and the datasets of old runs",
        GcEffect(),
        operation="DELETE",
        risk="HIGH",
        justification="removes findings from all lists and reports",
        effect="removes findings and datasets by their age",
    ),
    _changes(
        "findings.delete_project",
        "Remove a project with all its findings and decisions",
        DeleteProjectEffect(),
        operation="DELETE",
        risk="HIGH",
        justification="removes a project from all lists and reports",
        effect="removes a project",
    ),
)
