"""Findings as reports: SARIF, CSV, JSON, HTML, Markdown and PDF, in pieces. Nothing here opens a file."""

from assent.findings.reports._info import Findings, Format, Info, Which, chosen
from assent.findings.reports._write import write_report

__all__ = ["Findings", "Format", "Info", "Which", "chosen", "write_report"]
