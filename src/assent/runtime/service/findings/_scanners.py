"""What is told of scanners: each manifest, and the program that answers as it says."""

from __future__ import annotations

import asyncio
from pathlib import Path

from assent.capabilities.findings import known_tools
from assent.capabilities.scan import Look, all_of
from assent.capabilities.scan.area import scanners_of
from assent.errors import AssentError, InputError
from assent.runtime.service import answers
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring._application import ground_of
from assent.spec.values.typed import convert


async def told(settings: Settings, *, is_asked: bool, tested: str | None) -> answers.Scanners:
    """All of them, by what they do and by name. Those that are asked run confined, without a network."""
    scanners = scanners_of(ground_of(settings, "scan"))
    tools = await asyncio.to_thread(known_tools, settings.parsers)
    if not is_asked:
        looks = [
            (name, file, one) if isinstance(one, InputError) else Look.of(one, file, tools)
            for name, file, one in await asyncio.to_thread(scanners.tools)
        ]
    else:
        looks = await all_of(
            scanners, tools, settings.sandbox.detect, settings.sandbox.default_limits(), tested
        )
    return answers.Scanners(scanners=[_told(one) for one in looks])


def _told(one: Look | tuple[str, Path, InputError]) -> answers.Scanner:
    if not isinstance(one, Look):
        name, file, error = one
        return answers.Scanner(
            tool=name,
            status="invalid",
            title=None,
            about=None,
            kind=None,
            target=None,
            source=str(file),
            tried=[],
            path=None,
            version=None,
            sha256=None,
            pinned=False,
            options=[],
            self_test=None,
            error=_fault(error),
        )
    tool, found = one.tool, one.found
    return answers.Scanner(
        tool=tool.tool,
        status=_status(one),
        title=tool.title,
        about=tool.about,
        kind=tool.kind,
        target=tool.target,
        source=one.source,
        tried=[*tool.tried],
        path=None if found is None else found.path,
        version=None if found is None else found.version,
        sha256=None if found is None else found.sha256,
        pinned=found is not None and found.is_pinned,
        options=[
            answers.ScannerOption(
                name=name, type=said.type, form=said.form, required=said.required, about=said.about
            )
            for name, said in tool.options.items()
        ],
        self_test=one.self_test,
        error=None if one.fault is None else _fault(one.fault),
    )


def _status(one: Look) -> str:
    if one.found is not None:
        return "ready"
    if one.fault is None:
        return "unknown"
    if one.parser is None:
        return "invalid"
    return "missing" if one.fault.code == "SCANNER_MISSING" else "refused"


def _fault(error: AssentError) -> answers.Fault:
    return convert(error.to_dict(), answers.Fault)
