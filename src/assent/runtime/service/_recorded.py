"""What is answered from the record alone, beside a living owner or without one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from assent.runtime._ledger import has_ledger, seal_ledger
from assent.runtime.service import answers, requests
from assent.runtime.service._reading import Reader, verify_export, verify_proof
from assent.runtime.settings.effective import Settings
from assent.spec.ids import RunId
from assent.system import SystemClock

if TYPE_CHECKING:
    from assent.spec.events.kinds import Leaf

# Nothing here but `_events` waits for anything but a disk, so that a command can carry it out without an event loop.


async def _runs(settings: Settings, request: requests.Runs) -> answers.Runs:
    with Reader.open(settings) as reader:
        # One more than is told says whether there are any.
        most = None if request.limit is None else request.limit + 1
        found = reader.runs(status=request.status, limit=most, before=request.before)
    told = found if request.limit is None else found[-request.limit :]
    before = told[0]["run_id"] if len(told) < len(found) else None
    return msgspec.convert({"runs": told, "before": before}, answers.Runs)


async def _unfinished(settings: Settings, request: requests.Unfinished) -> answers.Unfinished:
    del request
    with Reader.open(settings) as reader:
        return answers.Unfinished(count=reader.unfinished(), of=reader.count())


async def _show(settings: Settings, request: requests.Show) -> answers.ShownRun:
    with Reader.open(settings) as reader:
        return msgspec.convert(reader.show(request.run), answers.ShownRun)


async def _approvals(settings: Settings, request: requests.Approvals) -> answers.Approvals:
    with Reader.open(settings) as reader:
        found = reader.approvals(request.run)
    return msgspec.convert({"approvals": found}, answers.Approvals)


async def _deliveries(settings: Settings, request: requests.Deliveries) -> answers.Deliveries:
    with Reader.open(settings) as reader:
        found = reader.deliveries(status=request.status, limit=request.limit)
    return msgspec.convert({"deliveries": found}, answers.Deliveries)


async def _verify(settings: Settings, request: requests.VerifyLedger) -> answers.Verified:
    with Reader.open(settings) as reader:
        return msgspec.convert(reader.verify(request.checkpoint, request.key), answers.Verified)


async def _prove(settings: Settings, request: requests.Prove) -> answers.Proof:
    with Reader.open(settings) as reader:
        return answers.Proof(seq=request.seq, proof=reader.prove(request.seq))


async def _export(settings: Settings, request: requests.Export) -> answers.Exported:
    if has_ledger(settings.state):
        seal_ledger(settings.state, settings.key_path)
    with Reader.open(settings) as reader:
        written = reader.export(Path(request.base, request.folder))
    return msgspec.convert({"path": request.folder, **written}, answers.Exported)


async def _public_key(settings: Settings, request: requests.PublicKey) -> answers.PublicKey:
    del request
    with Reader.open(settings) as reader:
        return answers.PublicKey(key=reader.vkey())


async def _verify_proof(settings: Settings, request: requests.VerifyProof) -> answers.Proven:
    del settings  # who checks a proof needs no state of ours
    return msgspec.convert(verify_proof(request.proof, request.key), answers.Proven)


async def _verify_export(settings: Settings, request: requests.VerifyExport) -> answers.Verified:
    del settings
    return msgspec.convert(verify_export(Path(request.folder), request.key), answers.Verified)


async def _audit_log(settings: Settings, request: requests.AuditLog) -> AsyncIterator[answers.LogLine]:
    from assent.journal import EventFilter

    wanted = EventFilter(
        run=None if request.run is None else RunId(request.run),
        principal=request.principal,
        capability=request.capability,
        decision=request.decision,
        since_ms=request.since_ms,
        kinds=request.kinds,
    )
    with Reader.open(settings) as reader:
        for line in reader.audit_log(wanted):
            yield msgspec.convert(line, answers.LogLine)


async def _attachment(settings: Settings, request: requests.Attachment) -> AsyncIterator[answers.Chunk]:
    with Reader.open(settings) as reader:
        for data in reader.attachment(request.run, request.digest):
            yield answers.Chunk(data=data)


async def _events(settings: Settings, request: requests.Events) -> AsyncIterator[answers.RunEvent]:
    """Beside whoever drives the run, now or later: woken by what changes in the state directory."""
    from assent.journal.watch import StateWatch

    with (
        StateWatch(settings.state, runtime_dir=settings.runtime_dir()) as watch,
        Reader.open(settings) as reader,
    ):
        run = reader.find(request.run)

        async def look() -> bool:
            watch.meet_owner()
            return reader.is_settled(run)

        async def wait(_since: int, within_s: float | None) -> None:
            await watch.changed(within_s)

        async for event in follow(reader.events, run, request, look, wait):
            yield event


async def follow(
    read: Callable[[RunId, int], Awaitable[list[Leaf]]],
    run: RunId,
    request: requests.Events,
    is_settled: Callable[[], Awaitable[bool]],
    wait: Callable[[int, float | None], Awaitable[None]],
) -> AsyncIterator[answers.RunEvent]:
    """The events of a run, those to come too. `wait` comes back when there may be one from a number on, or after so long."""
    since, clock = request.since, SystemClock()
    ends_ms = None if request.within_ms is None else clock.monotonic_ms() + request.within_ms
    while True:
        # INVARIANT: asked before the events are read, so that the last of a run that has settled are read.
        settled = await is_settled()
        leaves = await read(run, since)
        for leaf in leaves:
            yield answers.RunEvent(run=run, n=since, at_ms=leaf.at_ms, event=msgspec.to_builtins(leaf.event))
            since += 1
        left_ms = None if ends_ms is None else ends_ms - clock.monotonic_ms()
        if not leaves:
            if settled or (left_ms is not None and left_ms <= 0):
                return
            await wait(since, None if left_ms is None else left_ms / 1000)
