"""What scanners wrote, read into findings: each tool is a manifest, and one engine reads them all. Nothing here opens a file."""

from assent.findings.identity import finding_id
from assent.findings.parsing._detect import HEAD_BYTES, Detected, Tools, detect
from assent.findings.parsing._json import Read
from assent.findings.parsing._manifest import Manifest
from assent.findings.parsing._older import read_older, write_older
from assent.findings.parsing._parser import (
    NO_RESOURCE,
    UNFORESEEN,
    About,
    Discovered,
    Parsed,
    Parser,
    Report,
    built_in_tools,
    read_parser,
    resource_of,
)

__all__ = [
    "HEAD_BYTES",
    "NO_RESOURCE",
    "UNFORESEEN",
    "About",
    "Detected",
    "Discovered",
    "Manifest",
    "Parsed",
    "Parser",
    "Read",
    "Report",
    "Tools",
    "built_in_tools",
    "detect",
    "finding_id",
    "read_older",
    "read_parser",
    "resource_of",
    "write_older",
]
