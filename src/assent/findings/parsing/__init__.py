"""What scanners wrote, read into findings: each tool is a manifest, and one engine reads them all. Nothing here opens a file."""

from assent.findings.identity import finding_id
from assent.findings.parsing._detect import HEAD_BYTES, Detected, Tools, detect
from assent.findings.parsing._json import Read
from assent.findings.parsing._manifest import PARSER_VERSION, Manifest, read_manifest
from assent.findings.parsing._older import FromOlder, read_older, write_older
from assent.findings.parsing._parser import (
    NO_RESOURCE,
    UNFORESEEN,
    About,
    Discovered,
    Fault,
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
    "PARSER_VERSION",
    "UNFORESEEN",
    "About",
    "Detected",
    "Discovered",
    "Fault",
    "FromOlder",
    "Manifest",
    "Parsed",
    "Parser",
    "Read",
    "Report",
    "Tools",
    "built_in_tools",
    "detect",
    "finding_id",
    "read_manifest",
    "read_older",
    "read_parser",
    "resource_of",
    "write_older",
]
