"""Findings as reports: SARIF, CSV, JSON, HTML, Markdown and PDF, in pieces. Nothing here opens a file."""

from assent.findings.reports._info import Findings, Format, Info
from assent.findings.reports._write import write_report

__all__ = ["Findings", "Format", "Info", "write_report"]
