"""One way to every report; and the plainest of them, which needs no more than this page.

JSON is everything, for programs: `{"export_info": …, "findings": […], "metrics": …}`, with each finding's document as it is
stored. The metrics stand behind the findings, so that these are gone through once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, assert_never

import msgspec

from assent.findings.enrich import risk_of
from assent.findings.metrics import MetricsFold
from assent.findings.reports._csv import write_csv
from assent.findings.reports._html import write_html
from assent.findings.reports._info import Findings, Format, Info, in_chunks
from assent.findings.reports._markdown import write_markdown
from assent.findings.reports._sarif import write_sarif
from assent.findings.triage import is_suppressed, moment

JSON_VERSION: Final = "1.0.0"
"""The version of the JSON. What a reader of the first number knows stays what it is; more may come."""

_ENCODER: Final = msgspec.json.Encoder()


def write_report(form: Format, findings: Findings, info: Info) -> Iterator[bytes]:
    """A report in pieces of about 64 KiB. Whatever the number of findings, few of them are in memory at once.

    `findings` is called for each time that they are gone through: once for CSV and JSON, once more than there are tools for
    SARIF, and at most seven times for what people read. `InputError` `REPORT_EXTRA_MISSING`: the library that writes PDF is
    not installed; it is told before the first piece.
    """
    match form:
        case Format.SARIF:
            pieces = write_sarif(findings, info)
        case Format.CSV:
            pieces = write_csv(findings, info)
        case Format.JSON:
            pieces = _write_json(findings, info)
        case Format.HTML:
            pieces = write_html(findings, info)
        case Format.MARKDOWN:
            pieces = write_markdown(findings, info)
        case Format.PDF:
            from assent.findings.reports._pdf import write_pdf

            pieces = write_pdf(findings, info)
        case _:
            assert_never(form)
    return in_chunks(pieces)


def _write_json(findings: Findings, info: Info) -> Iterator[bytes]:
    """The document, a finding a line."""
    now = moment(info.generated_at)
    fold = MetricsFold(now)
    about = {"report_schema_version": JSON_VERSION, **msgspec.structs.asdict(info)}
    yield b'{"export_info":' + _ENCODER.encode(about) + b',\n"findings":['
    before = b"\n"
    for one in findings():
        fold.add(one)
        whole = {
            "finding": one.finding,
            "triage": {"status": one.triage.status, **msgspec.to_builtins(one.triage)},
            "suppressed": is_suppressed(one.triage, now),
            "risk": risk_of(one.finding),
            "first_seen": one.first_seen,
            "last_seen": one.last_seen,
        }
        yield before + _ENCODER.encode(whole)
        before = b",\n"
    yield b'\n],\n"metrics":' + _ENCODER.encode(fold.metrics()) + b"}\n"
