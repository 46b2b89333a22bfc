"""What a tool wrote becomes a dataset: the raw bytes and the normalised records, both kept and bound by the outcome of the call.

A dataset is named by the root of a Merkle tree (RFC 9162) over its lines, so that one finding can be shown to be in it without
the others (`assent findings prove`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Annotated, Final

import msgspec
from pydantic import Field

from assent.capabilities.findings._desk import Desk, project_of
from assent.capabilities.handed import Kept
from assent.errors import InputError
from assent.findings.enrich import enriched
from assent.findings.finding import Finding, Severity, read_finding
from assent.findings.parsing import (
    HEAD_BYTES,
    NO_RESOURCE,
    UNFORESEEN,
    About,
    Parsed,
    Read,
    Report,
    Tools,
    detect,
    resource_of,
)
from assent.findings.project import Resource, read_resource
from assent.invocation import Attachment, LocalContext, NoEffectError
from assent.journal import Frontier, leaf_hash
from assent.spec.capability import SpecModel
from assent.spec.values.typed import decode, decoder
from assent.spec.words.durations import instant
from assent.spec.words.severities import counts_text
from assent.spec.words.sizes import count_text

TOLD_MAX: Final = 100
"""Reasons, fields and the like that an outcome names, at most."""
_LINES_AT_ONCE: Final = 500
_LOOK_RECORDS: Final = 1_000
_TOO_NEW: Final = ("FINDING_TOO_NEW", "PROJECT_TOO_NEW")
_TOLD_EVERY_MS: Final = 5_000
"""How far it has come is told no more often: each time is a line where nobody sits at a terminal."""

Count = Annotated[int, Field(ge=0)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Skipped(SpecModel):
    """Records of which nothing became, and why."""

    reason: str
    count: Count


class Drift(SpecModel):
    """What the records of this output have that is not known, or lack that all that were tried have; counted."""

    new_fields: dict[str, Count]
    missing_fields: dict[str, Count]


class Fault(SpecModel):
    """What could not be read, and where: bytes from the output's begin."""

    message: str
    begin: Count
    end: Count
    hint: str | None = None
    """What helps: of an output of which nothing could be read, what it seems to be."""


class Ingested(SpecModel):
    """How a tool's output was read, each of its records accounted for, and where both forms of it are kept."""

    project: str
    project_name: str | None
    tool: str
    form: str
    version: str | None
    name: str
    at: str
    records: Count
    findings: Count
    resources: Count
    skipped: list[Skipped]
    by_severity: dict[str, Count]
    drift: Drift
    fault: Fault | None
    dataset: Digest
    raw: Kept
    normalised: Kept


def ingest(  # what a scan hands over, in one line
    context: LocalContext,
    *,
    project: str,
    chunks: Iterable[bytes],
    tool: str,
    tool_version: str,
    name: str,
) -> Ingested:
    """Keep what a scanner wrote and make a dataset of it. Blocks: it is for a thread.

    `tool`: the tool's name or that of a manifest. `name`: what the output is called where it is told of. The scan is over by
    then: output that can't be read is a fault in what is told, and the call does not fail.
    """
    raw = context.attach(chunks)
    try:
        return normalise(context, project=project, raw=raw, tool=tool, tool_version=tool_version, name=name)
    except (InputError, *UNFORESEEN) as error:
        report = Report(tool, tool_version)
        normalised = context.attach(())
        # INVARIANT: the last thing that is told of an output is what was found in it, and nothing that its tool printed.
        context.progress(0, None, "nothing of it was read")
        fault = Fault(message=f"nothing of it was read: {error}"[:500], begin=0, end=raw.bytes)
        return _told(
            context, project, name, report, form=tool, kept=(raw, normalised), tree=Frontier(), fault=fault
        )


def normalise(
    context: LocalContext,
    *,
    project: str,
    raw: Attachment,
    tool: str | None,
    tool_version: str | None,
    name: str,
) -> Ingested:
    """The same of bytes that are kept already."""
    desk = context.app.get(Desk)
    tools = desk.tools()
    found = tools.recognise(head_of(context.blobs.read(raw.blob)), tool)
    parser = tools.require(found.name)
    report = Report(parser.manifest.tool)
    about = About(project_of(project)[0], _now(context), context.run, raw.blob, tool_version or found.version)
    lines = _Lines(context, report, about, desk.now_ms)

    def reading() -> Read:
        return Pieces(context.blobs.read(raw.blob), partial(_require_wanted, context)).read

    normalised = context.attach(lines.of(parser.prepared(reading()).read(reading(), about, report)))
    report.fault = report.fault or parser.failure(reading())
    fault = _fault(report, tools, context.blobs.read(raw.blob), raw.bytes)
    kept = (raw, normalised)
    return _told(context, project, name, report, form=found.name, kept=kept, tree=lines.tree, fault=fault)


def _now(context: LocalContext) -> str:
    return instant(context.started_ms or context.app.get(Desk).now_ms())


def _told(
    context: LocalContext,
    project: str,
    name: str,
    report: Report,
    *,
    form: str,
    kept: tuple[Attachment, Attachment],
    tree: Frontier,
    fault: Fault | None,
) -> Ingested:
    ident, project_name = project_of(project)
    raw, normalised = kept
    return Ingested(
        project=ident,
        project_name=project_name,
        tool=report.tool,
        form=form,
        version=report.version,
        name=name,
        at=_now(context),
        records=report.records,
        findings=report.findings,
        resources=report.resources,
        skipped=[Skipped(reason=reason, count=count) for reason, count in most(report.skipped).items()],
        by_severity={one.value: report.by_severity[one.value] for one in Severity},
        drift=Drift(new_fields=most(report.new_fields), missing_fields=most(report.missing_fields)),
        fault=fault,
        dataset=tree.root().hex(),
        raw=Kept(blob=raw.blob, bytes=raw.bytes),
        normalised=Kept(blob=normalised.blob, bytes=normalised.bytes),
    )


def _require_wanted(context: LocalContext) -> None:
    if context.cancel.is_cancelled:
        raise NoEffectError("CALL_CANCELLED", "the call was cancelled while it read the output of a tool")


def head_of(chunks: Iterator[bytes]) -> bytes:
    """So much of an output as its tool is known by."""
    return Pieces(chunks).read(HEAD_BYTES)


def _fault(report: Report, tools: Tools, chunks: Iterator[bytes], size: int) -> Fault | None:
    """What is wrong with an output: a place that is broken, or that nothing of it could be read."""
    fault = report.fault and Fault(
        message=report.fault.why[:500],
        begin=report.fault.begin,
        end=report.fault.end,
        hint=report.fault.hint,
    )
    if report.findings or report.resources:
        return fault
    try:
        other = tools.parsers[detect(head_of(chunks), tools.parsers).name].manifest
        hint = f"by its beginning it is of `{other.tool}`"
        is_others = other.tool != report.tool
    except InputError as error:
        hint, is_others = error.message, False
    unread = report.records > 0 and report.unread == report.records
    if fault is None and (unread or is_others):
        what = (
            f"none of {count_text(report.records, 'record')} could be read"
            if unread
            else f"it holds nothing of `{report.tool}`"
        )
        fault = Fault(message=what, begin=0, end=size)
    # What is empty, or only cut short, says nothing of another tool.
    return fault and (fault.model_copy(update={"hint": hint}) if unread or is_others else fault)


class Pieces:
    """Chunks, read as a file is. `look` is called before each read."""

    def __init__(self, chunks: Iterator[bytes], look: Callable[[], None] = lambda: None) -> None:
        self._chunks = chunks
        self._look = look
        self._left = b""

    def read(self, size: int) -> bytes:
        """So many bytes; fewer only at the end."""
        self._look()
        pieces = [self._left]
        have = len(self._left)
        while have < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            pieces.append(chunk)
            have += len(chunk)
        data = b"".join(pieces)
        self._left = data[size:]
        return data[:size]


class _Lines:
    """Records as the lines of a dataset, their tree grown as they come by."""

    def __init__(
        self, context: LocalContext, report: Report, about: About, now_ms: Callable[[], int]
    ) -> None:
        self._context = context
        self._report = report
        self._about = about
        self._now_ms = now_ms
        self._told_ms = now_ms()
        self.tree = Frontier()

    def of(self, records: Iterable[Parsed]) -> Iterator[bytes]:
        """The bytes of the lines, many at once."""
        lines: list[bytes] = []
        for number, one in enumerate(records, 1):
            if number % _LOOK_RECORDS == 0:
                self._look()
                if self._now_ms() - self._told_ms >= _TOLD_EVERY_MS:
                    self._tell()
            line = self._line(one)
            if line is not None:
                self.tree.push(leaf_hash(line))
                lines.append(line)
            if len(lines) == _LINES_AT_ONCE:
                yield b"".join(lines)
                lines.clear()
        self._look()
        self._tell()
        yield b"".join(lines)

    def _line(self, one: Parsed) -> bytes | None:
        """The line that a record becomes; None for one that is skipped."""
        if one.finding is not None:
            return b'{"finding":' + enriched(one.finding).to_json() + b"}\n"
        if one.resource is None:
            return None
        report = self._report
        try:
            found = resource_of(one.resource, self._about, tool=report.tool, begin=one.begin, end=one.end)
        except InputError as error:
            report.resources -= 1
            report.skipped[f"{NO_RESOURCE}: {error.message}"] += 1
            return None
        return msgspec.json.encode({"resource": found}) + b"\n"

    def _look(self) -> None:
        _require_wanted(self._context)

    def _tell(self) -> None:
        self._told_ms, report = self._now_ms(), self._report
        found = counts_text(report.by_severity) or "no findings"
        if report.resources:
            found += f", {count_text(report.resources, 'resource')}"
        self._context.progress(report.records, None, f"{count_text(report.records, 'record')}: {found}")


def lines_in(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a dataset, each with its end."""
    left = b""
    for chunk in chunks:
        *whole, left = (left + chunk).split(b"\n")
        for one in whole:
            yield one + b"\n"


class _Line(msgspec.Struct):
    finding: Finding | None = None
    resource: Resource | None = None


_DECODE: Final = decoder(_Line).decode


def said_in(line: bytes) -> Finding | Resource | None:
    """What a line of a dataset says, also in an older schema. `ValueError` of what is no line.

    `InputError` `FINDING_TOO_NEW`, `PROJECT_TOO_NEW`: a later release wrote it.
    """
    try:
        said = _DECODE(line)
        return said.finding or said.resource
    except ValueError as error:  # What is of another schema is judged by its version first.
        found = decode(line)
        for key, read in (("finding", read_finding), ("resource", read_resource)):
            document = found.get(key) if isinstance(found, dict) else None
            if document is not None:
                try:
                    return read(document)
                except InputError as refused:
                    if refused.code in _TOO_NEW:
                        raise
                    raise ValueError(refused.message) from None
        raise error from None


def most(counted: Counter[str]) -> dict[str, int]:
    """The most frequent names with their numbers, and all others as one."""
    told = dict(counted.most_common(TOLD_MAX))
    rest = counted.total() - sum(told.values())
    return {**told, "(others)": rest} if rest else told
