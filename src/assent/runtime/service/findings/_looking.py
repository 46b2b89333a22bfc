"""What is answered about findings, from the store that is folded from the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import Any, Final, get_args

import msgspec

from assent.errors import InputError
from assent.findings.book import PAGE_MAX, Brought, Difference, Found, Kept, Looking, Wanted
from assent.findings.enrich import risk_of
from assent.findings.finding import Severity
from assent.findings.metrics import metrics_of
from assent.findings.project import ResourceType
from assent.findings.triage import Status
from assent.journal import state_unusable
from assent.runtime.runs._findings import FindingsStore
from assent.runtime.service import answers, requests
from assent.runtime.service._reading import Record
from assent.runtime.service.findings._words import require, words
from assent.spec.values.typed import convert, decode
from assent.spec.words.durations import instant

_MEMORY_BYTES_MAX: Final = 1 << 20
"""A report that is longer lies in the state directory while it is told, under no name."""
_PIECE_BYTES: Final = 64 << 10


async def _recipe(record: Record, request: requests.Recipe) -> answers.Recipe:
    """A workflow of scans that comes with Assent."""
    from assent.capabilities.scan import recipes

    del record
    known = recipes()
    if request.name not in known:
        raise InputError(
            "RECIPE_UNKNOWN",
            f"there is no recipe `{request.name[:64]}`",
            hint=f"recipes: {', '.join(known)}",
        )
    return answers.Recipe(name=request.name, text=known[request.name])


async def _projects(record: Record, request: requests.Projects) -> answers.Projects:
    """The projects that have findings."""
    del request
    with FindingsStore(record.settings).looking() as book:
        found = book.projects()
    return answers.Projects(
        projects=[
            answers.Project(
                project_id=one.id,
                name=one.name,
                findings=one.findings,
                datasets=one.datasets,
                since=instant(one.since_ms),
            )
            for one in found
        ]
    )


async def _datasets(record: Record, request: requests.Datasets) -> answers.Datasets:
    """What imports and scans brought."""
    run = _run(record, request.run)
    with FindingsStore(record.settings).looking() as book:
        project = None if request.project is None else book.project(request.project)[0]
        found = book.datasets(run=run, project=project)
    return answers.Datasets(datasets=[_dataset(one) for one in found])


async def _discovered(record: Record, request: requests.Discovered) -> answers.Discovered:
    """A page of what tools discovered."""
    if request.type is not None:
        require(request.type, get_args(ResourceType), "type")
    with FindingsStore(record.settings).looking() as book:
        number, ident, name = book.project(request.project)
        found, following = book.discovered(
            number, kind=request.type, after=request.after, limit=request.limit
        )
    return answers.Discovered(
        project_id=ident, project=name, resources=[_resource(one) for one in found], next=following
    )


def _resource(one: Found) -> answers.DiscoveredResource:
    said = one.resource
    return answers.DiscoveredResource(
        resource_id=said.resource_id,
        type=said.type,
        resource=said.resource,
        location=msgspec.to_builtins(said.location),
        facts=said.facts,
        tool=said.provenance.tool if said.provenance else None,
        first_seen=instant(one.first_ms),
        last_seen=instant(one.last_ms),
        entry=one.dataset,
    )


async def _findings(record: Record, request: requests.Findings) -> answers.Findings:
    """A page of a project's findings."""
    asked = _wanted(record, request)
    with FindingsStore(record.settings).looking() as book:
        number, ident, name = book.project(request.project)
        page = book.page(number, asked, after=request.after, limit=request.limit)
        unheard = [] if page.findings else book.unheard(number, asked)
    return answers.Findings(
        project_id=ident,
        project=name,
        findings=[_line(one) for one in page.findings],
        next=page.next,
        unheard=unheard,
    )


async def _finding(record: Record, request: requests.Finding) -> answers.ShownFinding:
    """One finding with all that is known of it."""
    with FindingsStore(record.settings).looking() as book:
        one = book.one(request.finding)
        brought = book.brought(one.dataset)
    reported = one.reported
    return answers.ShownFinding(
        finding=_document(one),
        triage=decode(msgspec.json.encode(reported.triage)),
        suppressed=one.is_suppressed,
        suppressed_by=one.muted_by,
        risk=risk_of(reported.finding),
        first_seen=reported.first_seen,
        last_seen=reported.last_seen,
        dataset=None if brought is None else _dataset(brought),
    )


async def _findings_diff(record: Record, request: requests.FindingsDiff) -> answers.FindingsDiff:
    """How two runs differ."""
    kinds = words(request.kinds, Difference, "kinds") or frozenset(Difference)
    if not 1 <= request.limit <= PAGE_MAX:
        raise InputError("INVALID_INPUT", f"a page has 1 to {PAGE_MAX} findings", path="limit")
    before, later = _run(record, request.before) or "", _run(record, request.later) or ""
    with FindingsStore(record.settings).looking() as book:
        number, ident, name = book.project(request.project or _project_of(book, before, later))
        found = book.compare(number, before, later, kinds=kinds, behind=request.after, limit=request.limit)
    return answers.FindingsDiff(
        project_id=ident,
        project=name,
        before=before,
        later=later,
        counts=found.counts,
        not_looked_for=found.not_looked_for,
        findings=[
            answers.DiffLine(kind=kind.value, **msgspec.structs.asdict(_line(one)))
            for kind, one in found.findings
        ],
        next=found.next,
    )


def _project_of(book: Looking, before: str, later: str) -> str | None:
    """The one project that both runs brought something to; None where that is not one."""
    both = [{one.project for one in book.datasets(run=run)} for run in (before, later)]
    for run, its in zip((before, later), both, strict=True):
        if not its:
            raise InputError(
                "RUN_WITHOUT_FINDINGS",
                f"the run `{run}` brought no findings",
                hint="assent findings datasets",
            )
    common = both[0] & both[1]
    return common.pop() if len(common) == 1 else None


async def _findings_stats(record: Record, request: requests.FindingsStats) -> answers.FindingsStats:
    """How a project stands."""
    with FindingsStore(record.settings).looking() as book:
        number, ident, name = book.project(request.project)
        now = datetime.fromisoformat(instant(book.now_ms))
        counted = metrics_of((one.reported for one in book.stream(number, Wanted())), now)
    return convert(
        {"project_id": ident, "project": name, **msgspec.to_builtins(counted)}, answers.FindingsStats
    )


async def _findings_export(record: Record, request: requests.FindingsExport) -> AsyncIterator[answers.Chunk]:
    """The report is whole before any of it is told: a reader may take its time, and no log of SQLite's can be emptied before
    those have ended who look at the store. While it is made, chunks without bytes let whoever waits for it leave.
    """
    from assent import __version__
    from assent.findings.reports import Format, Info, write_report

    asked, (form,) = _wanted(record, request), words((request.format,), Format, "format")
    state = record.settings.state
    try:
        with SpooledTemporaryFile(_MEMORY_BYTES_MAX, dir=str(state)) as report:
            with FindingsStore(record.settings).looking() as book:
                number, ident, name = book.project(request.project)
                info = Info.of_project(
                    name or ident, generated_at=instant(book.now_ms), tool_version=__version__
                )
                found = partial(book.stream, number, asked)
                for data in write_report(form, lambda: (one.reported for one in found()), info):
                    report.write(data)
                    yield answers.Chunk(data=b"")
            report.seek(0)
            while data := report.read(_PIECE_BYTES):
                yield answers.Chunk(data=data)
    except OSError as error:
        raise state_unusable(state, error) from error


def _wanted(record: Record, said: requests.OfFindings) -> Wanted:
    """Which findings a request means."""
    return Wanted(
        severities=words(said.severities, Severity, "severities"),
        statuses=words(said.statuses, Status, "statuses"),
        suppressed=said.suppressed,
        detectors=frozenset(said.detectors),
        tools=frozenset(said.tools),
        run=_run(record, said.run),
        owner=said.owner,
        tag=said.tag,
        text=said.text,
    )


def _run(record: Record, said: str | None) -> str | None:
    """The whole id of a run. `RUN_UNKNOWN`, `RUN_AMBIGUOUS`."""
    if said is None:
        return None
    with record.reader() as reader:
        return str(reader.find(said))


def _line(one: Kept) -> answers.FoundFinding:
    found, triage = one.reported.finding, one.reported.triage
    return answers.FoundFinding(
        id=found.id,
        severity=found.severity.value,
        status=triage.status.value,
        title=found.title,
        resource=found.resource,
        detector_id=found.detector_id,
        tool=found.provenance.tool if found.provenance else None,
        owner=triage.owner,
        tags=[*triage.tags],
        suppressed=one.is_suppressed,
        risk=risk_of(found),
        first_seen=one.reported.first_seen,
        last_seen=one.reported.last_seen,
        entry=one.dataset,
    )


def _document(one: Kept) -> dict[str, Any]:
    found: dict[str, Any] = decode(one.reported.finding.to_json())
    return found


def _dataset(one: Brought) -> answers.Dataset:
    said: Mapping[str, Any] = one.said
    return answers.Dataset(
        dataset=said["dataset"],
        project_id=one.project,
        run_id=one.run,
        step=one.step,
        at=said["at"],
        tool=said["tool"],
        version=said.get("version"),
        name=said["name"],
        records=said["records"],
        findings=said["findings"],
        resources=said["resources"],
        skipped=said["skipped"],
        by_severity=said["by_severity"],
        new=one.new,
        known=one.known,
        drift=said["drift"],
        fault=said.get("fault"),
        entry=one.seq,
    )
