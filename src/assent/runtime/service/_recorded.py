"""What is answered from the record alone, beside a living owner or without one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from assent._lazy import resolved_when_asked
from assent.errors import InputError, Json
from assent.runtime._ledger import has_ledger, seal_ledger
from assent.runtime.service import answers, requests
from assent.runtime.service._reading import Record, told_entry, verify_export, verify_proof
from assent.runtime.wiring.key_store import Key, KeyStore
from assent.spec.ids import RunId
from assent.spec.values.typed import convert
from assent.spec.words.durations import instant
from assent.system import SystemClock

if TYPE_CHECKING:
    from assent.runtime.service._audit_log import View
    from assent.spec.events.kinds import Leaf


__getattr__, __dir__ = resolved_when_asked(
    __name__,
    {
        "assent.runtime.service.findings._looking": (
            "_recipe _projects _datasets _discovered _findings _finding _findings_diff _findings_stats _findings_export"
        ),
        "assent.runtime.service.findings._proofs": "_prove_finding",
        "assent.runtime.service.findings._resources": "_resources _resource _resource_content",
        "assent.runtime.service._knowledge": "_prove_knowledge _verify_knowledge",
    },
)
"""What is asked of findings, resources and knowledge: imported by who asks for that alone."""

# Only what `waits` waits for more than a disk here, so that a command can carry out everything else without an event loop.


async def _runs(record: Record, request: requests.Runs) -> answers.Runs:
    with record.reader() as reader:
        # One more than is told says whether there are any.
        most = None if request.limit is None else request.limit + 1
        found = reader.runs(status=request.status, limit=most, before=request.before)
        told = found if request.limit is None else found[-request.limit :]
        before = str(told[0]["run_id"]) if len(told) < len(found) else None
        older = None if before is None else reader.count_before(before, request.status)
    return convert({"runs": told, "before": before, "older": older}, answers.Runs)


async def _prunable(record: Record, request: requests.Prunable) -> answers.Prunable:
    with record.reader() as reader:
        return convert(reader.prunable(request.before_ms), answers.Prunable)


async def _keys(record: Record, request: requests.Keys) -> answers.Keys:
    del request
    now_ms = SystemClock().now_ms()
    return answers.Keys(keys=[_key(one, now_ms) for one in KeyStore(record.settings.state).all()])


def _key(one: Key, now_ms: int) -> answers.Key:
    return answers.Key(
        id=one.id,
        name=one.name,
        principal=one.principal,
        scopes=sorted(one.scopes),
        status=one.status(now_ms),
        created_at=instant(one.created_ms),
        created_by=one.created_by,
        expires_at=None if one.expires_ms is None else instant(one.expires_ms),
        revoked_at=None if one.revoked_ms is None else instant(one.revoked_ms),
    )


async def _unfinished(record: Record, request: requests.Unfinished) -> answers.Unfinished:
    del request
    with record.reader() as reader:
        return answers.Unfinished(count=reader.unfinished(), of=reader.count())


async def _show(record: Record, request: requests.Show) -> answers.ShownRun:
    with record.reader() as reader:
        return convert(reader.show(request.run, request.step), answers.ShownRun)


async def _explain_decisions(
    record: Record, request: requests.ExplainDecisions
) -> answers.DecisionsExplained:
    with record.reader() as reader:
        run, found = reader.explained(request.run, request.step)
    return convert({"run_id": run, "decisions": found}, answers.DecisionsExplained)


async def _simulate_policy(record: Record, request: requests.SimulatePolicy) -> answers.Simulated:
    from assent.policy import PolicyEngine

    engine = PolicyEngine.load(request.text, source=request.path)
    with record.reader() as reader:
        found = reader.simulated(engine, request.since_ms)
    return convert({"path": request.path, **found}, answers.Simulated)


async def _suggest_policy(record: Record, request: requests.SuggestPolicy) -> answers.Suggested:
    from assent.runtime.runs._loading import load_policy

    engine = load_policy(record.settings)
    with record.reader() as reader:
        found = reader.suggested(engine, max(1, request.least), request.since_ms)
    return convert(found, answers.Suggested)


async def _approvals(record: Record, request: requests.Approvals) -> answers.Approvals:
    with record.reader() as reader:
        found = reader.approvals(request.run, record.by)
    return convert({"approvals": found}, answers.Approvals)


async def _deliveries(record: Record, request: requests.Deliveries) -> answers.Deliveries:
    with record.reader() as reader:
        found = reader.deliveries(status=request.status, limit=request.limit)
    return convert({"deliveries": found}, answers.Deliveries)


async def _schedules(record: Record, request: requests.Schedules) -> answers.Schedules:
    del request
    with record.reader() as reader:
        return convert({"schedules": reader.schedules()}, answers.Schedules)


async def _schedule(record: Record, request: requests.Schedule) -> answers.ShownSchedule:
    with record.reader() as reader:
        return convert(reader.schedule(request.name), answers.ShownSchedule)


async def _verify(record: Record, request: requests.VerifyLedger) -> answers.Verified:
    with record.reader() as reader:
        return convert(reader.verify(request.checkpoint, request.key), answers.Verified)


async def _prove(record: Record, request: requests.Prove) -> answers.Proof:
    with record.reader() as reader:
        return answers.Proof(seq=request.seq, proof=reader.prove(request.seq))


async def _checkpoint(record: Record, request: requests.Checkpoint) -> answers.Checkpoint:
    del request
    with record.reader() as reader:
        return answers.Checkpoint(note=reader.checkpoint())


async def _tile(record: Record, request: requests.Tile) -> answers.Tile:
    with record.reader() as reader:
        return answers.Tile(data=reader.tile(request.place))


async def _export(record: Record, request: requests.Export) -> answers.Exported:
    if has_ledger(record.settings.state):
        seal_ledger(record.settings.state, record.settings.key_path)
    with record.reader() as reader:
        written = reader.export(Path(request.base, request.folder), payloads=request.payloads)
    return convert({"path": request.folder, **written}, answers.Exported)


async def _public_key(record: Record, request: requests.PublicKey) -> answers.PublicKey:
    del request
    with record.reader() as reader:
        return answers.PublicKey(key=reader.vkey())


async def _verify_proof(record: Record, request: requests.VerifyProof) -> answers.Proven:
    del record  # who checks a proof needs no state of ours
    if not request.proof.lstrip().startswith("{"):
        return convert(verify_proof(request.proof, request.key), answers.Proven)
    from assent.runtime.service._outcomes import kind_of

    match kind_of(request.proof):
        case "finding":
            from assent.runtime.service.findings._proofs import proven

            entry, finding = proven(request.proof, request.key)
            return convert({**told_entry(entry), "finding": finding}, answers.Proven)
        case "knowledge":
            from assent.runtime.service._knowledge import proven as proven_chunk

            entry, chunk = proven_chunk(request.proof, request.key)
            return convert({**told_entry(entry), "chunk": chunk}, answers.Proven)
        case other:
            raise InputError(
                "PROOF_MALFORMED",
                f"a proof of the kind `{other[:40]}` is not known",
                hint="check it with a release of Assent as new as the one that made it",
            )


async def _verify_export(record: Record, request: requests.VerifyExport) -> answers.Verified:
    del record
    return convert(verify_export(Path(request.folder), request.key), answers.Verified)


async def _audit_log(record: Record, request: requests.AuditLog) -> AsyncIterator[answers.LogLine]:
    from assent.runtime.service._audit_log import entries

    async for line in _audited(record, request, request.kinds, request.decision, entries()):
        yield convert(line, answers.LogLine)


async def _audit_approvals(
    record: Record, request: requests.AuditApprovals
) -> AsyncIterator[answers.ApprovalLine]:
    from assent.runtime.service._audit_log import APPROVALS, decisions

    async for line in _audited(record, request, APPROVALS, None, decisions(request.decision)):
        yield convert(line, answers.ApprovalLine)


async def _audited(
    record: Record,
    request: requests.Auditing[Any],
    kinds: frozenset[str],
    decision: str | None,
    view: View,
) -> AsyncIterator[dict[str, Json]]:
    """The lines of what is on record, and then, where that is asked for, of what comes to be: woken by what changes there."""
    from assent.journal import EventFilter

    wanted = EventFilter(
        run=None if request.run is None else RunId(request.run),
        principal=request.principal,
        capability=request.capability,
        decision=decision,
        since_ms=request.since_ms,
        until_ms=request.until_ms,
        kinds=kinds,
    )
    settings = record.settings
    with ExitStack() as stack:
        # INVARIANT: it watches before it reads, so that nothing comes between the two.
        watch = None
        if request.follow:
            from assent.journal.watch import StateWatch  # for who waits

            watch = stack.enter_context(StateWatch(settings.state, runtime_dir=settings.runtime_dir()))
        log = stack.enter_context(record.reader()).log(wanted, follow=request.follow)
        limit = request.limit
        while log is not None:
            for line in log.more(view, limit):
                yield line
            if watch is None:
                return
            limit = None
            await watch.changed()


async def _attachment(record: Record, request: requests.Attachment) -> AsyncIterator[answers.Chunk]:
    with record.reader() as reader:
        for data in reader.attachment(request.run, request.digest):
            yield answers.Chunk(data=data)


async def _listen(record: Record, request: requests.Listen) -> AsyncIterator[answers.ServerNews]:
    """Where nothing is owned no server is connected to."""
    del record, request
    yield answers.ServerNews(server="", method="")


async def _events(record: Record, request: requests.Events) -> AsyncIterator[answers.RunEvent]:
    """Beside whoever drives the run, now or later: woken by what changes in the state directory."""
    from assent.journal.watch import StateWatch

    with (
        StateWatch(record.settings.state, runtime_dir=record.settings.runtime_dir()) as watch,
        record.reader() as reader,
    ):
        run = reader.find(request.run)

        async def look() -> bool:
            watch.meet_owner()
            return reader.is_settled(run)

        async def wait(within_s: float | None) -> None:
            await watch.changed(within_s)

        async def read(since: int) -> list[answers.RunEvent]:
            return told_events(run, since, await reader.events(run, since))

        async for event in follow(read, request, look, wait):
            yield event


def told_events(run: RunId, since: int, leaves: Sequence[Leaf]) -> list[answers.RunEvent]:
    """The leaves of a run from a number on, as they are told."""
    return [
        answers.RunEvent(run=run, n=n, at_ms=leaf.at_ms, event=msgspec.to_builtins(leaf.event))
        for n, leaf in enumerate(leaves, since)
    ]


async def follow(
    read: Callable[[int], Awaitable[list[answers.RunEvent]]],
    request: requests.Events,
    is_settled: Callable[[], Awaitable[bool]],
    wait: Callable[[float | None], Awaitable[None]],
) -> AsyncIterator[answers.RunEvent]:
    """The events of a run, those to come too. `wait` comes back when there may be more than were read, or after so long."""
    since, clock = request.since, SystemClock()
    ends_ms = None if request.within_ms is None else clock.monotonic_ms() + request.within_ms
    while True:
        # INVARIANT: asked before the events are read, so that the last of a run that has settled are read.
        settled = await is_settled()
        found = await read(since)
        for event in found:
            yield event
            since += 1
        left_ms = None if ends_ms is None else ends_ms - clock.monotonic_ms()
        if not found:
            if settled or (left_ms is not None and left_ms <= 0):
                return
            await wait(None if left_ms is None else left_ms / 1000)
