"""How far an import has come is told now and then, however many records a file has."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from assent.capabilities.findings.ingest import _Lines
from assent.findings.parsing import About, Parsed, Report


def test_a_large_file_tells_a_line_every_five_seconds_and_one_at_its_end() -> None:
    said: list[str] = []
    now_ms = [0]
    context: Any = SimpleNamespace(  # `Any`: what of a call's context is asked for
        cancel=SimpleNamespace(is_cancelled=False), progress=lambda _done, _all, text: said.append(text)
    )
    report = Report("nmap")

    def records() -> Iterator[Parsed]:
        for number in range(20_000):
            report.records += 1
            report.resources += 1
            now_ms[0] = number  # a record takes a millisecond
            yield Parsed(0, 0, skipped="nothing")

    lines = _Lines(context, report, About("p", "2026-11-24T00:00:00Z"), lambda: now_ms[0])
    assert b"".join(lines.of(records())) == b""
    assert said == [
        f"{count} records: no findings, {count} resources" for count in (6_000, 11_000, 16_000, 20_000)
    ]
