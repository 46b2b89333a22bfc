"""What tools wrote, read as a person would: whole, with everything that came of it as JSON."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import msgspec

from assent.errors import InputError
from assent.findings.enrich import enriched
from assent.findings.parsing import About, Parsed, Parser, Report, built_in_tools, detect, resource_of

GOLDEN: Final = Path(__file__).parent.parent / "golden" / "findings"
FORMS: Final = {one.stem: one.read_bytes() for one in sorted((GOLDEN / "forms").iterdir())}
"""A small output for each of our manifests, by its name."""
ABOUT: Final = About("0b9d7c52-5d5e-4f6e-8f0a-6f0f3f1f2a11", "2026-11-23T09:30:00Z")


def parsed(parser: Parser, data: bytes, piece: int | None = None) -> tuple[list[Parsed], Report]:
    """All that an output comes to; read in pieces of this size, as a pipe may give it."""
    report = Report(parser.manifest.tool)
    file = BytesIO(data)
    read = file.read if piece is None else lambda _: file.read(piece)
    prepared = parser.prepared(read)
    file.seek(0)
    found = list(prepared.read(read, ABOUT, report))
    assert report.records == report.findings + report.resources + report.skipped.total()
    assert len(found) == report.records
    return found, report


def used(found: list[Parsed], tool: str) -> None:
    """What an import does with records."""
    for one in found:
        if one.finding is not None:
            enriched(one.finding).to_json()
        elif one.resource is not None:
            with suppress(InputError):
                resource_of(one.resource, ABOUT, tool=tool, begin=one.begin, end=one.end)


def told(data: bytes) -> dict[str, Any]:
    """The same for a tool that is recognised, as a document."""
    name, version = detect(data, built_in_tools())
    found, report = parsed(built_in_tools()[name], data)
    return {
        "tool": name,
        "version": version,
        "report": {
            "records": report.records,
            "findings": report.findings,
            "resources": report.resources,
            "skipped": dict(report.skipped),
            "by_severity": dict(report.by_severity),
            "new_fields": dict(report.new_fields),
            "missing_fields": dict(report.missing_fields),
            "fault": report.fault and report.fault._asdict(),
        },
        "records": [_one(one) for one in found],
    }


def _one(one: Parsed) -> dict[str, Any]:
    said: dict[str, Any] = {"bytes": [one.begin, one.end]}
    if one.finding is not None:
        said["finding"] = msgspec.json.decode(one.finding.to_json())
    elif one.resource is not None:
        said["resource"] = msgspec.to_builtins(one.resource._asdict())
    else:
        said["skipped"] = one.skipped
    return said


def goldens() -> list[Path]:
    """Outputs that are kept with what they become."""
    return sorted(GOLDEN.glob("*.jsonl"))


def expected_of(golden: Path) -> Path:
    """What an output becomes."""
    return golden.with_name(f"{golden.name.rpartition('.')[0]}.expected.json")
