"""What a tool wrote becomes a dataset: the raw bytes and the normalised records, both kept and bound by the outcome of the call.

A dataset is named by the root of a Merkle tree (RFC 9162) over its lines, so that one finding can be shown to be in it without
the others (`assent findings prove`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Final

import msgspec
from pydantic import Field

from assent.capabilities.findings._desk import Desk, project_of
from assent.capabilities.handed import Kept
from assent.errors import InputError
from assent.findings.enrich import enriched
from assent.findings.finding import Severity
from assent.findings.parsing import HEAD_BYTES, About, Detected, Parsed, Parser, Report, detect, resource_of
from assent.invocation import Attachment, LocalContext, NoEffectError
from assent.journal import Frontier, leaf_hash
from assent.spec.capability import SpecModel
from assent.spec.words.durations import instant
from assent.spec.words.sizes import count_text

TOLD_MAX: Final = 100
"""Reasons, fields and the like that an outcome names, at most."""
_LINES_AT_ONCE: Final = 500
_LOOK_RECORDS: Final = 1_000
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
    tool: str | None = None,
    tool_version: str | None = None,
    name: str,
) -> Ingested:
    """Keep what a tool wrote and make a dataset of it. Blocks: it is for a thread.

    `tool`: the tool's name or that of a manifest; without it the output says which (`TOOL_UNKNOWN`). `name`: what the output is
    called where it is told of.
    """
    return normalise(
        context, project=project, raw=context.attach(chunks), tool=tool, tool_version=tool_version, name=name
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
    ident, project_name = project_of(project)
    at = instant(context.started_ms or desk.now_ms())
    tools = desk.tools()
    found = recognised(tools, lambda: context.blobs.read(raw.blob), tool)
    parser = tools[found.name]
    report = Report(parser.manifest.tool)
    about = About(ident, at, context.run, raw.blob, tool_version or found.version)
    lines = _Lines(context, report, about, desk.now_ms)
    with_runs = parser.prepared(Pieces(context.blobs.read(raw.blob)).read)
    normalised = context.attach(
        lines.of(with_runs.read(Pieces(context.blobs.read(raw.blob)).read, about, report))
    )
    return Ingested(
        project=ident,
        project_name=project_name,
        tool=report.tool,
        form=found.name,
        version=report.version,
        name=name,
        at=at,
        records=report.records,
        findings=report.findings,
        resources=report.resources,
        skipped=[Skipped(reason=reason, count=count) for reason, count in most(report.skipped).items()],
        by_severity={one.value: report.by_severity[one.value] for one in Severity},
        drift=Drift(new_fields=most(report.new_fields), missing_fields=most(report.missing_fields)),
        fault=None
        if report.fault is None
        else Fault(message=report.fault.why[:500], begin=report.fault.begin, end=report.fault.end),
        dataset=lines.tree.root().hex(),
        raw=Kept(blob=raw.blob, bytes=raw.bytes),
        normalised=Kept(blob=normalised.blob, bytes=normalised.bytes),
    )


def recognised(
    tools: Mapping[str, Parser], chunks: Callable[[], Iterator[bytes]], tool: str | None
) -> Detected:
    """The manifest that reads an output: the one that is named, or of a tool's several the one that fits. `TOOL_UNKNOWN`."""
    chosen = {name: parser for name, parser in tools.items() if tool in (None, parser.manifest.tool)}
    if not chosen and tool is not None and tool in tools:
        chosen = {tool: tools[tool]}
    if not chosen:
        from assent.spec.words.suggestions import suggest

        near = suggest(str(tool), [*tools])
        raise InputError(
            "TOOL_UNKNOWN",
            f"no tool `{str(tool)[:64]}` is known",
            hint=f"did you mean `{near}`?" if near else "docs/findings-parsers.md lists the tools",
        )
    try:
        return detect(Pieces(chunks()).read(HEAD_BYTES), chosen)
    except InputError as error:
        if tool is None:
            error.hint = f"say which `tool` wrote it; {error.hint}"
        if tool is None or len(chosen) > 1:
            raise
        # Who names the tool knows more than the beginning of a file that may be cut, or empty.
        return Detected(next(iter(chosen)), None)


class Pieces:
    """Chunks, read as a file is."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    def read(self, size: int) -> bytes:
        """So many bytes; fewer only at the end."""
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
            report.skipped[f"it makes no valid resource: {error.message}"] += 1
            return None
        return msgspec.json.encode({"resource": found}) + b"\n"

    def _look(self) -> None:
        if self._context.cancel.is_cancelled:
            raise NoEffectError("CALL_CANCELLED", "the call was cancelled while it read the output of a tool")

    def _tell(self) -> None:
        self._told_ms, report = self._now_ms(), self._report
        counted = ", ".join(
            f"{report.by_severity[one.value]} {one.value}"
            for one in reversed(Severity)
            if report.by_severity[one.value]
        )
        told = f"{count_text(report.records, 'record')}: {counted or 'no findings'}"
        if report.resources:
            told += f", {count_text(report.resources, 'resource')}"
        self._context.progress(report.records, None, told)


def lines_in(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a dataset, each with its end."""
    left = b""
    for chunk in chunks:
        *whole, left = (left + chunk).split(b"\n")
        for one in whole:
            yield one + b"\n"


def most(counted: Counter[str]) -> dict[str, int]:
    """The most frequent names with their numbers, and all others as one."""
    told = dict(counted.most_common(TOLD_MAX))
    rest = counted.total() - sum(told.values())
    return {**told, "(others)": rest} if rest else told
