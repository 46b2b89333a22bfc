"""Writing findings as reports, beside encoding the same findings as JSON and nothing else.

    python -m benchmarks.findings_export [--quick] [--json FILE]

100 000 findings of two tools are made anew at each going through, as a store gives them, and what making them takes is told apart
and taken off. The report is written into a file. Memory is the most that the process had, with all its imports: it must not grow
with the findings, so it is told of the SARIF, which comes first. `--quick` writes 10 000.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time

import msgspec

from assent.findings import Finding
from assent.findings.reports import Format, Info, write_report
from assent.findings.triage import Reported
from benchmarks._measure import peak_memory_kib
from benchmarks._part import Part, run_part
from benchmarks._table import Target, number, show
from benchmarks.findings_store import finding as made

INFO = Info(title="Findings", project="shop", generated_at="2026-11-24T12:00:00Z", tool_version="0")
FORMS = (Format.SARIF, Format.CSV, Format.JSON, Format.HTML, Format.MARKDOWN)
CUT = (Format.HTML, Format.MARKDOWN)
"""These list the worst of the findings alone and end in the middle of a going through, so that no time is theirs alone."""


def measure(folder: Path, *, quick: bool) -> Part:
    """Each form once; what the findings themselves take is measured by going through them alone."""
    count = 10_000 if quick else 100_000
    stored = folder / "findings.jsonl"
    _store(stored, count)
    findings = _reader(stored)
    alone = _seconds(lambda: sum(1 for _ in findings()))
    plain = _seconds(lambda: _encode(findings, folder / "plain.json")) - alone
    plain_bytes = (folder / "plain.json").stat().st_size
    rows, data = [], {}
    memory_mib = 0.0
    for form in FORMS:
        passes: list[int] = []
        target = folder / f"report.{form.value}"
        took = _seconds(
            lambda form=form, passes=passes, target=target: _write(form, _counting(findings, passes), target)
        )
        own = took - alone * len(passes)
        size = target.stat().st_size
        if form is Format.SARIF:
            memory_mib = peak_memory_kib() / 1024
        data[form.value] = {"seconds": took, "own": own, "passes": len(passes), "bytes": size}
        is_cut = form in CUT
        own_columns = ["", ""] if is_cut else [number(own), number(own / plain)]
        rate = "" if is_cut else number(size / own / 1e6)
        rows.append([form.value, number(took), str(len(passes)), *own_columns, number(size / 1e6), rate])
    rows.append(
        [
            "msgspec alone",
            number(plain + alone),
            "1",
            number(plain),
            "1",
            number(plain_bytes / 1e6),
            number(plain_bytes / plain / 1e6),
        ]
    )
    print(
        f"\nfindings_export: {count} findings, read and checked in {alone:.2f} s each time that they are gone through"
    )
    show("reports", ["form", "s", "passes", "s of its own", "x msgspec", "MB", "MB/s"], rows)
    print(f"{', '.join(CUT)} list the worst findings alone")
    targets = [
        Target(f"SARIF of {count} findings: s", data["sarif"]["seconds"], 20, at_least=False),
        Target("SARIF: memory MiB", memory_mib, 100, at_least=False),
        Target("all forms: memory MiB", peak_memory_kib() / 1024, 120, at_least=False),
    ]
    return Part("findings_export", {"reports": data, "alone": alone, "plain": plain}, targets)


def _store(path: Path, count: int) -> None:
    """The findings as a store has them: a line of JSON each. Every third is of another tool, about a file."""
    dice = random.Random(1)
    with path.open("wb") as file:
        for each in range(count):
            finding = made(dice, each, run=f"run_{dice.randrange(50)}")
            if each % 3 == 0:
                at = msgspec.structs.replace(
                    finding.locations[0], path=f"src/module{each % 997}.py", line=each % 400, snippet="f(x)"
                )
                finding = msgspec.structs.replace(
                    finding, detector_id=f"bandit.B{each % 70}", cwe=("CWE-78",), locations=(at,)
                )
            file.write(finding.to_json() + b"\n")


def _reader(path: Path) -> Callable[[], Iterator[Reported]]:
    decoder = msgspec.json.Decoder(Finding)

    def findings() -> Iterator[Reported]:
        with path.open("rb") as file:
            for line in file:
                yield Reported(finding=decoder.decode(line))

    return findings


def _counting(
    findings: Callable[[], Iterator[Reported]], passes: list[int]
) -> Callable[[], Iterator[Reported]]:
    def counted() -> Iterator[Reported]:
        passes.append(1)
        return findings()

    return counted


def _encode(findings: Callable[[], Iterator[Reported]], target: Path) -> None:
    with target.open("wb") as file:
        for one in findings():
            file.write(one.finding.to_json() + b"\n")


def _write(form: Format, findings: Callable[[], Iterator[Reported]], target: Path) -> None:
    with target.open("wb") as file:
        for piece in write_report(form, findings, INFO):
            file.write(piece)


def _seconds(work: Callable[[], object]) -> float:
    """The processor time that it takes: others are on this machine."""
    os.sync()
    began = process_time()
    work()
    return process_time() - began


if __name__ == "__main__":
    run_part(measure, __doc__)
