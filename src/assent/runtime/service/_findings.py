"""What is answered about findings, from the store that is folded from the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

import msgspec

from assent.errors import InputError, WorldError
from assent.findings.book import PAGE_MAX, Brought, Difference, Found, Kept, Looking, Wanted
from assent.findings.enrich import risk_of
from assent.findings.finding import Severity
from assent.findings.metrics import metrics_of
from assent.findings.project import ResourceType
from assent.findings.triage import Status
from assent.journal import TrustPolicy, at_once, inclusion_proof, leaf_hash, verify_inclusion, verify_proof
from assent.runtime.runs._findings import FindingsStore
from assent.runtime.service import answers, requests
from assent.runtime.service._reading import Record
from assent.spec.values.canonical import SALT_BYTES, commit
from assent.spec.words.durations import instant
from assent.spec.words.suggestions import did_you_mean

if TYPE_CHECKING:
    from enum import StrEnum

    from assent.journal import ProvenEntry
    from assent.runtime._ledger import LedgerReader

E = TypeVar("E", bound="StrEnum")

OPERATIONS: Final = frozenset(
    """_recipe _projects _datasets _discovered _findings _finding _prove_finding _findings_diff _findings_stats
    _findings_export""".split()
)
"""The functions here that carry out a request each, by their names."""

SHOWN_BYTES_MAX: Final = 1 << 20
"""The largest record that a proof shows as text."""


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
    kinds = get_args(ResourceType)
    if request.type is not None and request.type not in kinds:
        message = f"`type` must be of {', '.join(kinds)}, not `{request.type[:40]}`"
        raise InputError("INVALID_INPUT", message, path="type", hint=did_you_mean(request.type, kinds))
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
    wanted = _wanted(record, request)
    with FindingsStore(record.settings).looking() as book:
        number, ident, name = book.project(request.project)
        page = book.page(number, wanted, after=request.after, limit=request.limit)
        unheard = [] if page.findings else book.unheard(number, wanted)
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
        triage=msgspec.json.decode(msgspec.json.encode(reported.triage)),
        suppressed=one.is_suppressed,
        suppressed_by=one.muted_by,
        risk=risk_of(reported.finding),
        first_seen=reported.first_seen,
        last_seen=reported.last_seen,
        dataset=None if brought is None else _dataset(brought),
    )


async def _findings_diff(record: Record, request: requests.FindingsDiff) -> answers.FindingsDiff:
    """How two runs differ."""
    kinds = _words(request.kinds, Difference, "kinds") or frozenset(Difference)
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
    return msgspec.convert(
        {"project_id": ident, "project": name, **msgspec.to_builtins(counted)}, answers.FindingsStats
    )


async def _findings_export(record: Record, request: requests.FindingsExport) -> AsyncIterator[answers.Chunk]:
    """A report of a project's findings, in pieces."""
    from assent import __version__
    from assent.findings.reports import Format, Info, write_report

    wanted, (form,) = _wanted(record, request), _words((request.format,), Format, "format")
    with FindingsStore(record.settings).looking() as book:
        number, ident, name = book.project(request.project)
        info = Info(
            title=f"Findings of {name or ident}",
            project=name or ident,
            generated_at=instant(book.now_ms),
            tool_version=__version__,
        )
        for data in write_report(form, lambda: _reported(book.stream(number, wanted)), info):
            yield answers.Chunk(data=data)


def _reported(found: Iterable[Kept]) -> Iterator[Any]:
    return (one.reported for one in found)


async def _prove_finding(record: Record, request: requests.ProveFinding) -> answers.FindingProof:
    """That a finding is in the ledger."""
    with FindingsStore(record.settings).opened() as (file, journal):
        one = Looking(file, 0).one(request.finding)
        assert journal is not None  # INVARIANT: without a ledger there is no finding
        return _proved(record, journal, one)


def _proved(record: Record, journal: LedgerReader, one: Kept) -> answers.FindingProof:
    from assent.capabilities.findings.ingest import lines_in

    leaf: Any = at_once(journal.leaves(start=one.dataset, limit=1))[0]
    opened = journal.opened(leaf.event.output)
    assert opened is not None  # INVARIANT: what was erased is not folded
    salt, body = opened
    said = msgspec.json.decode(body)
    ident = one.reported.finding.id
    hashes: list[bytes] = []
    found: tuple[int, bytes] | None = None
    for line in lines_in(journal.blob(said["normalised"]["blob"])):
        if found is None and ident.encode() in line and _id_of(line) == ident:
            found = len(hashes), line
        hashes.append(leaf_hash(line))
    if found is None:
        raise WorldError("RECORD_CORRUPT", f"the dataset of entry {one.dataset} lacks the finding `{ident}`")
    with record.reader() as reader:
        proof = reader.prove(one.dataset)
    index, line = found
    return answers.FindingProof(
        finding=ident,
        line=line.decode(),
        index=index,
        size=len(hashes),
        path=[node.hex() for node in inclusion_proof(hashes, index)],
        dataset=said["dataset"],
        outcome=body.decode(),
        salt=salt.hex(),
        entry=one.dataset,
        proof=proof,
        record=_record(journal, said["raw"]["blob"], line),
    )


def proven(text: str, key: str) -> tuple[ProvenEntry, Any]:  # `Any`: the finding, JSON
    """What a finding's proof shows, checked with the ledger's public key alone: from the finding to the signed root.

    `InputError` `PROOF_MALFORMED`, `PROOF_INVALID`, and what the proof of an entry may raise.
    """
    try:
        said = msgspec.json.decode(text, type=answers.FindingProof)
        line, path = said.line.encode(), [bytes.fromhex(node) for node in said.path]
        root, salt = bytes.fromhex(said.dataset), bytes.fromhex(said.salt)
        outcome = msgspec.json.decode(said.outcome, type=dict[str, Any])
        finding = msgspec.json.decode(line, type=dict[str, dict[str, Any]])["finding"]
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError) as error:
        raise InputError("PROOF_MALFORMED", f"the proof is not that of a finding: {error}") from None
    shown = verify_proof(said.proof, TrustPolicy.of_keys(key))
    leaf = msgspec.json.decode(shown.data)
    faults = (
        (
            not verify_inclusion(
                index=said.index, size=said.size, leaf=leaf_hash(line), proof=path, root=root
            ),
            "the finding is not in the dataset",
        ),
        (outcome.get("dataset") != said.dataset, "the outcome names another dataset"),
        (_lines_of(outcome) != said.size, "the dataset has another size"),
        (
            len(salt) != SALT_BYTES or _bound(leaf) != commit(salt, said.outcome.encode()),
            "the entry binds another outcome",
        ),
        (
            said.record is not None and not _is_from(finding, said.record),
            "the finding was made of other bytes",
        ),
        (
            shown.index != said.entry or finding.get("id") != said.finding,
            "it is about something else than it says",
        ),
    )
    for is_wrong, why in faults:
        if is_wrong:
            raise InputError(
                "PROOF_INVALID", f"{why}", hint="the finding, its dataset or the proof was changed"
            )
    return shown, finding


def _lines_of(outcome: dict[str, Any]) -> object:
    """How many lines a dataset has: the proof of its first ones would fit other sizes, too."""
    counts = outcome.get("findings"), outcome.get("resources")
    return sum(one for one in counts if isinstance(one, int))


def _is_from(finding: dict[str, Any], record: answers.RawRecord) -> bool:
    """Whether a record is where the finding says. Its text is for people: only the whole output, with its digest, shows that."""
    said = finding.get("provenance", {})
    return (said.get("raw_sha256"), said.get("begin"), said.get("end")) == (
        record.raw_sha256,
        record.begin,
        record.end,
    )


def _bound(leaf: Any) -> object:  # `Any`: JSON
    return leaf.get("event", leaf).get("output") if isinstance(leaf, dict) else None


def _id_of(line: bytes) -> str | None:
    found = msgspec.json.decode(line).get("finding")
    return found.get("id") if found else None


def _record(journal: LedgerReader, raw: str, line: bytes) -> answers.RawRecord | None:
    at = msgspec.json.decode(line)["finding"].get("provenance", {})
    begin, end = at.get("begin"), at.get("end")
    if begin is None or end is None:
        return None
    text = None
    if end - begin <= SHOWN_BYTES_MAX:
        text = _cut(journal.blob(raw), begin, end).decode("utf-8", "replace")
    return answers.RawRecord(raw_sha256=raw, begin=begin, end=end, text=text)


def _cut(chunks: Iterable[bytes], begin: int, end: int) -> bytes:
    pieces, at = [], 0
    for chunk in chunks:  # to the end, where the whole is checked
        pieces.append(chunk[max(0, begin - at) : max(0, end - at)])
        at += len(chunk)
    return b"".join(pieces)


def _wanted(record: Record, said: requests.OfFindings) -> Wanted:
    return Wanted(
        severities=_words(said.severities, Severity, "severities"),
        statuses=_words(said.statuses, Status, "statuses"),
        suppressed=said.suppressed,
        detectors=frozenset(said.detectors),
        tools=frozenset(said.tools),
        run=_run(record, said.run),
        owner=said.owner,
        tag=said.label,
        text=said.text,
    )


def _run(record: Record, said: str | None) -> str | None:
    """The whole id of a run. `RUN_UNKNOWN`, `RUN_AMBIGUOUS`."""
    if said is None:
        return None
    with record.reader() as reader:
        return str(reader.find(said))


def _words(said: Iterable[str], kind: type[E], path: str) -> frozenset[E]:
    known = [one.value for one in kind]
    for word in said:
        if word not in known:
            message = f"`{path}` must be of {', '.join(known)}, not `{word[:40]}`"
            raise InputError("INVALID_INPUT", message, path=path, hint=did_you_mean(word, known))
    return frozenset(kind(word) for word in said)


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
    found: dict[str, Any] = msgspec.json.decode(one.reported.finding.to_json())
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
