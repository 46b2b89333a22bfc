"""Runs that are steps of sessions: begun once for each step, waited for, and taken back with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from assent import system
from assent.engine import AskUndo, Cancel, asker_of, is_undoable, to_take_back
from assent.errors import AssentError, InputError, Json, RefusedError
from assent.invocation import NoEffectError
from assent.runtime._find_run import undo_refusal
from assent.spec.ids import RunId, StepKey, request_of_step
from assent.spec.states import Mode, RunState
from assent.spec.workflow.definition import WorkflowSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assent.capabilities.workflow import RunWorkflow, WorkflowRuns
    from assent.engine import Actor, Driver, RunRecord, RunResult, Services, Wish
    from assent.invocation import CancelToken


class Acting(Protocol):
    """What begins runs here and drives them."""

    @property
    def running(self) -> Driver:
        """What drives them; `RUNTIME_CLOSED`."""

    @property
    def ready(self) -> Services:
        """What the engine works with; `RUNTIME_CLOSED`."""

    async def show(self, run: str) -> RunResult:
        """How a run stands."""
        ...

    async def run_plan(
        self, plan_id: str, actor: Actor, *, priority: int, labels: frozenset[str]
    ) -> RunResult:
        """Run a saved plan."""
        ...

    async def run_spec(
        self,
        spec: WorkflowSpec,
        inputs: Mapping[str, Json],
        actor: Actor,
        *,
        environment: str | None,
        labels: frozenset[str],
        priority: int,
    ) -> RunResult:
        """Run a parsed workflow."""
        ...


class InnerRuns:
    """What `workflow.run` does, as the owner of the state."""

    def __init__(self, core: Acting, drive: Callable[[RunId, Wish | None], Awaitable[RunResult]]) -> None:
        """`drive` gives a run a wish, if any, and has it go on until it ends or waits for a person."""
        self._core = core
        self._drive = drive

    def offered(self) -> WorkflowRuns:
        """The same for the capability."""
        from assent.capabilities.workflow import WorkflowRuns  # for who runs one

        return WorkflowRuns(self.run, self.take_back)

    async def run(self, run: RunId, step: StepKey, asked: RunWorkflow, cancel: CancelToken) -> Json:
        """Begin the run of a step, or join it, and tell how it ended. `NoEffectError` where it left nothing."""
        loop, cancelled = asyncio.get_running_loop(), asyncio.Event()
        cancel.watch(lambda: loop.call_soon_threadsafe(cancelled.set))
        running = system.spawn(self._run(run, step, asked), name="a run within a session")
        stopping = system.spawn(cancelled.wait(), name="whether a session is cancelled")
        try:
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                await self._stop(run, step, running)
            # One that was stopped while it began the run has begun it all the same: that one is joined.
            inner = await (self._run(run, step, asked) if running.cancelled() else running)
        finally:
            for task in (running, stopping):
                task.cancel()
        result = (await self._core.show(inner)).to_json()
        record = await self._record(inner)
        if record.state is RunState.SUCCEEDED or is_undoable(record):
            return {name: result[name] for name in ("run_id", "workflow", "status", "steps", "outputs")}
        raise _came_to_nothing(inner, record.state, result["error"])

    async def take_back(self, run: RunId, step: StepKey) -> None:
        """Stop the run of a step, and take back what it left. `UNDO_IMPOSSIBLE`, `COMPENSATION_CONFLICT` …"""
        driver = self._core.running
        begun = await driver.inner_of(run, step)
        if begun is None:
            return
        outer, actor = await self._outer(run)
        await self._cancel(begun.run, actor)
        await self._end(begun.run)
        record = await self._record(begun.run)
        if is_undoable(record) and to_take_back(record):
            # Where all is rolled back, as much as can be is: what is left then is told.
            is_partial = outer.undo is None or outer.undo.is_over or outer.undo.request.partial
            await self._drive(begun.run, AskUndo(actor, is_partial, is_inner=True))
            refusal = await undo_refusal(self._core.ready.journal, begun.run)
            record = await self._record(begun.run)
            if refusal is not None and record.state is not RunState.UNDONE:
                raise refusal
            await self._end(begun.run)
        self._require_nothing_left(await self._record(begun.run), outer)

    def _require_nothing_left(self, record: RunRecord, outer: RunRecord) -> None:
        left = to_take_back(record)
        may_be_left = outer.undo is not None and not outer.undo.is_over and outer.undo.request.partial
        if left and not may_be_left:
            raise RefusedError(
                "UNDO_IMPOSSIBLE",
                f"nothing takes step `{left[0]}` of run `{record.run}` back",
                path=left[0],
                hint=f"`assent show {record.run}` tells what it did",
            )

    async def _run(self, run: RunId, step: StepKey, asked: RunWorkflow) -> RunId:
        driver = self._core.running
        begun = await driver.inner_of(run, step)
        if begun is None:
            try:
                await self._begin(run, step, asked)
            except AssentError as error:
                begun = await driver.inner_of(run, step)
                if begun is None:
                    raise _not_begun(error) from error
                raise
            begun = await driver.inner_of(run, step)
            assert begun is not None  # INVARIANT: it has just begun
        await self._end(begun.run)
        return begun.run

    async def _begin(self, run: RunId, step: StepKey, asked: RunWorkflow) -> None:
        core = self._core
        outer, actor = await self._outer(run, request_of_step(run, step))
        created = outer.created
        assert created.mode is Mode.SESSION  # INVARIANT: nothing else has such a step
        labels = await core.running.labels(run)
        if asked.plan is not None:
            await core.run_plan(asked.plan, actor, priority=created.priority, labels=labels)
        else:
            spec = WorkflowSpec.from_dict(asked.workflow or {})
            await core.run_spec(
                spec,
                asked.inputs,
                actor,
                environment=created.environment,
                labels=labels,
                priority=created.priority,
            )

    async def _end(self, inner: RunId) -> None:
        """Drive a run until it has ended, whoever decides in it meanwhile."""
        with self._core.ready.journal.follow(inner) as news:
            while True:
                heard = news.count
                try:
                    if (await self._drive(inner, None)).status.is_finished:
                        return
                except InputError as error:
                    if error.code != "RUNTIME_CLOSED":
                        raise
                    break
                if not await news.beyond(heard):
                    break
        # This process ends, and the call with it: whoever goes on with the session joins the run again.
        await asyncio.Event().wait()

    async def _stop(self, run: RunId, step: StepKey, running: asyncio.Task[RunId]) -> None:
        """The session is cancelled: end the run of its step, or let it not begin."""
        while (begun := await self._core.running.inner_of(run, step)) is None and not running.done():
            running.cancel()
            await asyncio.wait({running})
        if begun is None:
            raise NoEffectError("CALL_CANCELLED", "the session was cancelled before the run began")
        _, actor = await self._outer(run)
        await self._cancel(begun.run, actor)

    async def _cancel(self, inner: RunId, actor: Actor) -> None:
        try:
            await self._core.running.deliver(inner, Cancel(actor))
        except InputError as error:
            if error.code != "RUN_FINISHED":
                raise

    async def _outer(self, run: RunId, request: str | None = None) -> tuple[RunRecord, Actor]:
        """The session, and who its step acts for."""
        record = await self._record(run)
        actor = asker_of(record.created, self._core.ready.roles())
        return record, replace(actor, request=request)

    async def _record(self, run: RunId) -> RunRecord:
        return (await self._core.running.look(run)).record


def _not_begun(error: AssentError) -> NoEffectError:
    return NoEffectError(
        error.code, error.message, path=error.path, hint=error.hint, details={**error.details}
    )


def _came_to_nothing(inner: RunId, state: RunState, error: Json) -> AssentError:
    told = error if isinstance(error, dict) else {}
    details = told.get("details")
    return NoEffectError.from_dict(
        {
            "code": "RUN_CANCELLED",
            "message": f"the run ended: {state.value}",
            **told,
            "details": {
                **(details if isinstance(details, dict) else {}),
                "run_id": inner,
                "status": state.value,
            },
        }
    )
