r"""A report for print and for whoever wants one file with pages: a summary and a table, by `fpdf2` (the extra `pdf`).

Only its plain text is used: neither its HTML nor its Markdown, which would take what scanners wrote for markup, and nothing is
loaded. The fonts are those that every reader of PDF has, which know Latin-1; any other character is written out as `\u4e2d`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from assent.errors import InputError
from assent.findings.enrich import risk_of
from assent.findings.finding import Severity
from assent.findings.merging import WORST_FIRST
from assent.findings.metrics import Metrics
from assent.findings.reports._info import Findings, Info, counted, worst_first
from assent.findings.reports._words import line, place_of, references, status_of
from assent.findings.triage import Reported, is_suppressed, moment
from assent.spec.words.sizes import count_text

try:
    from fpdf import FPDF
    from fpdf.enums import WrapMode, XPos, YPos
except ImportError as error:
    raise InputError(
        "REPORT_EXTRA_MISSING",
        "a report as PDF needs a package that is not installed",
        hint="pip install 'assent[pdf]'",
    ) from error

FINDINGS_MAX: Final = 2_000
"""How many findings are listed, the worst of them: the file is made in memory, and nobody reads 200 pages."""
TITLE_CHARACTERS_MAX: Final = 300
_FONT: Final = "Helvetica"
_WIDTH_MM: Final = 190
_TOGETHER_MM: Final = 24
"""So much room must be left on a page for what is known of one finding to begin there."""
_INK: Final = (27, 31, 36)
_SOFT: Final = (89, 99, 110)
_COLOURS: Final = {
    Severity.CRITICAL: (142, 21, 25),
    Severity.HIGH: (179, 38, 30),
    Severity.MEDIUM: (138, 83, 0),
    Severity.UNKNOWN: (91, 58, 142),
    Severity.LOW: (10, 85, 179),
    Severity.INFO: (89, 99, 110),
}


def write_pdf(findings: Findings, info: Info) -> Iterator[bytes]:
    """The whole file. The same findings make the same bytes: its dates are the report's own."""
    metrics = counted(findings, info)
    now = moment(info.generated_at)
    pages = _Pages(info)
    pages.summary(info, metrics)
    for one in islice(worst_first(findings), FINDINGS_MAX):
        pages.finding(one, status_of(one, is_suppressed=is_suppressed(one.triage, now)))
    if not metrics.total:
        pages.write("No findings found.", size=10)
    if metrics.total > FINDINGS_MAX:
        pages.write(f"{metrics.total - FINDINGS_MAX} more are not listed.", size=10)
    yield bytes(pages.pdf.output())


class _Pages:
    """Lines of text from top to bottom, and on to the next page."""

    def __init__(self, info: Info) -> None:
        self.pdf = FPDF(format="A4")
        self.pdf.set_creation_date(moment(info.generated_at))
        self.pdf.set_title(latin(info.title))
        self.pdf.set_producer("Assent")
        self.pdf.set_lang("en")
        self.pdf.set_margin(10)
        self.pdf.set_auto_page_break(auto=True, margin=12)
        self.pdf.add_page()

    def write(self, text: str, *, size: float, colour: tuple[int, int, int] = _INK, style: str = "") -> None:
        """A paragraph; words that are longer than a line are broken."""
        self.pdf.set_font(_FONT, style="B" if style == "B" else "", size=size)
        self.pdf.set_text_color(*colour)
        self.pdf.multi_cell(
            _WIDTH_MM,
            size * 0.45,
            latin(text),
            align="L",
            new_x=XPos.LMARGIN,
            new_y=YPos.NEXT,
            wrapmode=WrapMode.CHAR if " " not in text else WrapMode.WORD,
        )

    def summary(self, info: Info, metrics: Metrics) -> None:
        """How findings stand."""
        self.write(info.title, size=18, style="B")
        self.write(
            f"Project {info.project}, {info.generated_at}, Assent {info.tool_version}", size=9, colour=_SOFT
        )
        self.pdf.ln(3)
        self.write(
            f"{count_text(metrics.total, 'finding')}: {metrics.active} active, {metrics.resolved} resolved, "
            f"{metrics.false_positive} false positive, {metrics.risk_accepted} with accepted risk, "
            f"{metrics.suppressed} suppressed",
            size=10,
        )
        self.pdf.ln(2)
        for severity in WORST_FIRST:
            count = metrics.by_severity[severity.value]
            self.write(f"{severity.value}: {count} active", size=10, colour=_COLOURS[severity])
        self.pdf.ln(4)

    def finding(self, one: Reported, status: str) -> None:
        """One row: severity, risk and status, what, where, and what it is known as."""
        finding = one.finding
        where = place_of(finding.locations[0]) if finding.locations else finding.resource
        owner = f", {one.triage.owner}" if one.triage.owner else ""
        colour = _COLOURS[finding.severity]
        if self.pdf.will_page_break(_TOGETHER_MM):
            self.pdf.add_page()
        self.pdf.set_draw_color(209, 217, 224)
        self.pdf.line(10, self.pdf.get_y(), 10 + _WIDTH_MM, self.pdf.get_y())
        self.pdf.ln(1)
        self.write(
            f"{finding.severity.value}, risk {risk_of(finding)}, {status}{owner}",
            size=8,
            colour=colour,
            style="B",
        )
        self.write(line(finding.title, TITLE_CHARACTERS_MAX), size=10)
        self.write(line(where, TITLE_CHARACTERS_MAX), size=8, colour=_SOFT)
        known = references(finding)
        if known:
            self.write(", ".join(known[:10]), size=8, colour=_SOFT)
        self.pdf.ln(1)


def latin(text: str) -> str:
    """A text in characters that the fonts have."""
    return line(text, 2_000).encode("latin-1", "backslashreplace").decode("latin-1")
