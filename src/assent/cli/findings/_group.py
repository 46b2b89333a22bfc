"""`assent findings`: its commands, each loaded when it is called."""

from __future__ import annotations

from typing import Final

from assent.cli._command import Group, lazy

_COMMANDS: Final = lazy(
    "assent.cli.findings",
    ("import", "_import", "import_", "Import what scanners wrote into a project."),
    ("list", "_look", "list_", "List a project's findings, the worst first."),
    ("show", "_look", "show", "Show a finding with all that is known of it."),
    ("triage", "_triage", "triage", "Decide about findings: status, owner, tags, notes, suppression."),
    ("diff", "_look", "diff", "Compare the findings of two runs."),
    ("stats", "_look", "stats", "Tell how a project stands."),
    ("export", "_export", "export", "Write a report: SARIF, CSV, JSON, HTML, Markdown or PDF."),
    (
        "prove",
        "_export",
        "prove",
        "Show that a finding is in the ledger, and which bytes it was made of.",
    ),
    ("projects", "_look", "projects", "List the projects that have findings."),
    (
        "discovered",
        "_look",
        "discovered",
        "List what tools discovered: addresses, ports, hosts, packages.",
    ),
    ("datasets", "_look", "datasets", "List what imports and scans brought."),
    ("gc", "_triage", "gc", "Remove what was not seen for long; shows it first."),
    ("delete", "_triage", "delete", "Remove a project with all its findings."),
    ("detect", "_import", "detect", "Tell which scanner wrote a file."),
)

findings: Final = Group(
    "findings",
    lazy=_COMMANDS,
    no_args_is_help=True,
    help="What scanners say, as one model: imported, listed, decided about, compared, exported and proved.",
)
