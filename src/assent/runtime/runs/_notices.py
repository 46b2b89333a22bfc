"""Questions to people that are told to those who are not here: a webhook `approval_required` to each endpoint that is named.

Theory of operation. The question that was appended is what is queued: from its row follow the ids of its webhooks, and whichever
of them the outbox does not know is put there, right after the append or by the next owner. A webhook whose question is not open
any more is withdrawn, likewise. So both follow from the record alone, a kill between the two loses nothing, and nothing is told
twice under two ids.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from assent.engine import load_json
from assent.errors import AssentError, Json
from assent.invocation import NoEffectError
from assent.journal import each_row
from assent.spec.documents.settings import listed
from assent.spec.ids import RunId, approval_id
from assent.spec.words.durations import instant

if TYPE_CHECKING:
    from assent.capabilities.notify import Delivery
    from assent.engine import ApprovalRecord, Driver, RunRecord, Services
    from assent.journal.ports import Cell
    from assent.runtime.runs._deliveries import Deliveries
    from assent.runtime.settings.effective import Settings
    from assent.spec.events.kinds import ApprovalRequested

TYPE: Final = "approval_required"

NOTIFIER: Final = "service:assent"
"""Whom the egress rules are asked about: it is Assent that tells, whoever the question is about."""

AGAIN_S: Final = 60.0
"""What is waited where the disk took nothing, or the outbox is full."""

AT_ONCE_MAX: Final = 100
"""So many runs whose questions nobody was told of are looked at before an owner does anything else, more of them beside that."""

LOGGER: Final = logging.getLogger("assent.notify")


class Notices:
    """The engine's `Notices`: keeps the outbox of a runtime at what the open questions ask for."""

    def __init__(
        self,
        deliveries: Deliveries,
        endpoints: tuple[str, ...],
        mask: Callable[[str, str, Mapping[str, Json]], Json],
    ) -> None:
        """`mask` gives the inputs of a call of a capability, and its version, as they may be shown to anybody."""
        self._deliveries = deliveries
        self._endpoints = endpoints
        self._mask = mask
        # INVARIANT: whoever looks how a run stands has told of that before anybody is told how it stands next.
        self._turn = asyncio.Lock()
        self._later: set[asyncio.Task[None]] = set()
        self._is_behind = False

    async def open(self, services: Services, driver: Driver) -> None:
        """Deliver from now on, until the application is shut down; what earlier owners left too."""
        self._services, self._driver = services, driver
        wanted = await self._wanted()
        await self._deliveries.open(services, lambda one: one.approval is None or one.id in wanted)
        await self._catch_up(wanted)

    async def close(self) -> None:
        """Try nothing again."""
        for task in self._later:
            task.cancel()
        if self._later:
            await asyncio.wait(self._later)

    async def take(self, record: RunRecord) -> None:
        """Queue what tells of the open questions of a run, and withdraw what tells of others. Does not fail."""
        if not self._endpoints and not self._deliveries.is_used:
            return
        try:
            async with self._turn:
                await self._settle(record)
        except AssentError as error:
            self._stumble(record.run, error)

    def _stumble(self, run: RunId, error: AssentError) -> None:
        LOGGER.warning("the questions of run `%s` could not be told: %s", run, error)
        if not self._is_behind:
            self._is_behind = True
            self._do_later(self._again())

    async def _again(self) -> None:
        await asyncio.sleep(AGAIN_S)
        self._is_behind = False
        await self._catch_up(await self._wanted())

    def _do_later(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._services.spawn(work, name="notices")
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _wanted(self) -> dict[str, RunId]:
        """The run of each webhook that the open questions ask for, by its id; none where nobody is to be told."""
        if not self._endpoints:
            return {}
        return {
            _delivery_id(_approval_of(row), endpoint): RunId(str(row["run_id"]))
            async for row in each_row(self._services.journal, "approvals", {"status": "pending"})
            for endpoint in self._endpoints
        }

    async def _catch_up(self, wanted: Mapping[str, RunId]) -> None:
        if not wanted:
            return
        known = await asyncio.to_thread(self._deliveries.outbox.files.names)
        runs = [*dict.fromkeys(run for name, run in wanted.items() if name not in known)]
        await self._look_at(runs[:AT_ONCE_MAX])
        if len(runs) > AT_ONCE_MAX:
            self._do_later(self._look_at(runs[AT_ONCE_MAX:]))

    async def _look_at(self, runs: Iterable[RunId]) -> None:
        for run in runs:
            try:
                async with self._turn:
                    await self._settle((await self._driver.look(run)).record)
            except AssentError as error:
                self._stumble(run, error)
                if error.code == "OUTBOX_FULL":
                    return

    async def _settle(self, record: RunRecord) -> None:
        outbox = self._deliveries.outbox
        now_ms = self._services.clock.now_ms()
        asked = [
            one
            for one in record.open_approvals()
            if one.request.expires_at_ms is None or one.request.expires_at_ms > now_ms
        ]
        wanted = {
            _delivery_id(_id_of(record, one), endpoint): (one, endpoint)
            for one in asked
            for endpoint in self._endpoints
        }
        for queued in outbox.waiting(record.run):
            if queued.approval is not None and queued.id not in wanted:
                await outbox.withdraw(queued.id)
        for name, (one, endpoint) in wanted.items():
            if await outbox.find(name) is None:
                await outbox.put(await self._notice(name, record, one, endpoint))

    async def _notice(self, name: str, record: RunRecord, asked: ApprovalRecord, endpoint: str) -> Delivery:
        from assent.capabilities.notify import Delivery, body_of

        data, at_ms = await self._data(record, asked), asked.requested_at_ms
        try:
            body = body_of(TYPE, at_ms, data)
        except NoEffectError:
            body = body_of(TYPE, at_ms, {**data, "inputs": None})
        return Delivery(
            format=1,
            id=name,
            run=record.run,
            step=asked.request.step,
            principal=NOTIFIER,
            endpoint=endpoint,
            type=TYPE,
            queued_ms=at_ms,
            next_ms=at_ms,
            body=body,
            approval=_id_of(record, asked),
            until_ms=asked.request.expires_at_ms,
        )

    async def _data(self, record: RunRecord, asked: ApprovalRecord) -> dict[str, Json]:
        """What is told of a question: whatever can be shown to whoever reads the receiver's mail."""
        request, run = asked.request, record.run
        inputs = await load_json(self._services.journal, request.inputs)
        if isinstance(inputs, Mapping):
            shown = self._mask(request.capability, request.version, inputs)
            inputs = self._services.pipeline.redactor.json(shown)
        limit_ms = request.expires_at_ms
        return {
            "approval_id": _id_of(record, asked),
            "run_id": run,
            "workflow": record.created.workflow,
            "step": request.step,
            "capability": request.capability,
            "version": request.version,
            "risk_level": request.risk,
            "rule": request.rule,
            "requester": request.requester,
            "digest": request.digest,
            "inputs": inputs,
            "approvers": approvers_of(request),
            "requested_at": instant(asked.requested_at_ms),
            "expires_at": None if limit_ms is None else instant(limit_ms),
            "decide": {
                "approve": ["assent", "approve", run, request.step],
                "reject": ["assent", "reject", run, request.step],
            },
        }


def notified(settings: Settings) -> tuple[str, ...]:
    """The endpoints that are told of questions."""
    return listed(settings.areas["notify"], "approvals")


def approvers_of(request: ApprovalRequested) -> dict[str, Json]:
    """Who may answer a question, as JSON."""
    return {
        "roles": [*request.roles],
        "kinds": [*request.kinds],
        "count": request.count,
        "not_requester": request.not_requester,
        "further_roles": [[*roles] for roles in request.further_roles],
    }


def _id_of(record: RunRecord, asked: ApprovalRecord) -> str:
    return approval_id(record.run, asked.request.step, asked.request.digest, asked.requested_at_ms)


def _approval_of(row: Mapping[str, Cell]) -> str:
    return approval_id(
        str(row["run_id"]), str(row["step"]), str(row["digest"]), int(row["requested_at_ms"] or 0)
    )


def _delivery_id(approval: str, endpoint: str) -> str:
    """The id of the webhook that tells an endpoint of a question."""
    return f"msg_{hashlib.sha256(f'{approval} {endpoint}'.encode()).hexdigest()[:32]}"
