"""Findings as reports: SARIF, CSV, JSON, HTML, Markdown and PDF, in pieces. Nothing here opens a file."""

from assent.findings.reports._info import Format, Info
from assent.findings.reports._write import write_report

__all__ = ["Format", "Info", "write_report"]
