"""What is told of a run: one object for the command line, Python and the wire, with the fields of the design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import msgspec

from assent.engine.record._concurrency import tell_concurrency
from assent.engine.record._outline import Asked
from assent.engine.record._readiness import iterations
from assent.engine.record._record import RunRecord, StepRecord
from assent.engine.record._values import Values, load_json, words_of
from assent.errors import Json
from assent.journal.ports import JournalReader
from assent.spec.ids import RunId, StepKey, name_of
from assent.spec.states import RunState, StepState
from assent.spec.unkept_fields import is_marked
from assent.spec.values.json_fields import text

_FAILED = frozenset({StepState.FAILED, StepState.DENIED, StepState.IN_DOUBT, StepState.COMPENSATION_FAILED})

_RAISED = (
    "a handler that fails before it has done anything raises `NoEffectError` (of `assent.invocation`), and one with a "
    "`reconcile` tells afterwards whether it has: then nobody has to be asked"
)
"""What is advised about an exception of a handler's own, of which nobody knows what was done before it."""

_SUCCEEDED = StepState.SUCCEEDED  # see `_record.py` for what a look-up in the class costs
_WITHOUT_ERROR = (RunState.SUCCEEDED, RunState.UNDONE, RunState.PENDING)


class StepResult(msgspec.Struct, frozen=True):
    """One step of a run. `output` is None unless it succeeded; `error` is the error object when it did not.

    `asked_version`: the caller speaks this version, and `version` served in its place. `undo`: how what began can be
    taken back, `not_needed`, `automatic`, `compensation` or `none`. `waits_for`: of a step that waits, `signal` and `due_at_ms`,
    when that ends at the latest; each may be None.
    """

    name: str
    capability: str | None
    version: str | None
    status: StepState
    risk_level: str | None
    decision: str | None
    rule: str | None
    attempts: int
    output: Json = None
    error: dict[str, Json] | None = None
    asked_version: str | None = None
    undo: str | None = None
    waits_for: dict[str, Json] | None = None
    in_finally: bool = False

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The step that `to_json` told of, by another process of this release; what else is in the object is left out."""
        known = {name: data[name] for name in cls.__struct_fields__ if name in data}
        return cls(**{**known, "status": StepState(data["status"])})

    def to_json(self) -> dict[str, Json]:
        """The step's object: `output` when it has one, else `error` when it has one."""
        data: dict[str, Json] = {
            "name": self.name,
            "capability": self.capability,
            "version": self.version,
            "status": self.status.value,
            "risk_level": self.risk_level,
            "decision": self.decision,
            "rule": self.rule,
            "attempts": self.attempts,
        }
        if self.asked_version is not None:
            data["asked_version"] = self.asked_version
        if self.undo is not None:
            data["undo"] = self.undo
        if self.waits_for is not None:
            data["waits_for"] = self.waits_for
        if self.in_finally:
            data["in_finally"] = True
        if self.error is not None:
            data["error"] = self.error
        else:
            data["output"] = self.output
        return data


class RunResult(msgspec.Struct, frozen=True):
    """How a run stands: the fields of `assent run --json`. `ledger` is the log's size and root (base64) at that moment.

    `concurrency`, of a run with a concurrency key: `key`, `limit` and `on_busy`, its `state` (`waiting`, `held`, `over`), and of
    one that has not ended which others have the key (`held_by`) or wait for it (`waiting`), 20 at most, oldest first.
    """

    run_id: RunId
    workflow: str | None
    status: RunState
    steps: tuple[StepResult, ...]
    outputs: Json
    error: dict[str, Json] | None
    ledger: Mapping[str, Json]
    concurrency: dict[str, Json] | None = None

    def step(self, name: str) -> StepResult:
        """The step of that name; KeyError when there is none."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The result that `to_json` told of, by another process of this release; what else is in the object is left out."""
        known = {name: data[name] for name in cls.__struct_fields__ if name in data}
        steps = tuple(StepResult.from_json(step) for step in data["steps"])
        return cls(**{**known, "status": RunState(data["status"]), "steps": steps})

    def telling(self, told: Mapping[str, Json]) -> Self:
        """The same with these outputs of steps, by name, where the record has marks; that of a call is the run's."""
        outputs = self.outputs
        if self.workflow is None and len(self.steps) == 1 and is_marked(outputs):
            outputs = told.get(self.steps[0].name, outputs)
        steps = (
            msgspec.structs.replace(one, output=told[one.name])
            if one.name in told and is_marked(one.output)
            else one
            for one in self.steps
        )
        return msgspec.structs.replace(self, steps=tuple(steps), outputs=outputs)

    def to_json(self) -> dict[str, Json]:
        """The run object."""
        return {
            "run_id": self.run_id,
            "workflow": self.workflow,
            "status": self.status.value,
            "steps": [step.to_json() for step in self.steps],
            "outputs": self.outputs,
            "error": self.error,
            "ledger": dict(self.ledger),
            **({} if self.concurrency is None else {"concurrency": self.concurrency}),
        }


async def describe_run(
    record: RunRecord,
    planned: Mapping[StepKey, Asked],
    reader: JournalReader,
    ledger: Mapping[str, Json],
    values: Values | None = None,
    *,
    only: Sequence[StepKey] = (),
) -> RunResult:
    """The run's object. Steps come in the order of `planned`; iterations follow their step. `only` leaves out all others.

    `values` are those of the actor that just drove the run: what it still knows is not read from the journal again.
    """
    ordered = dict.fromkeys(only)
    for name in () if only else planned:
        ordered[name] = None
        parent = record.steps.get(name)
        if parent is not None and parent.children:
            ordered |= dict.fromkeys(iterations(name, parent.children))
    if not only:
        ordered |= dict.fromkeys(record.steps)
    steps = tuple([await _step(name, record, planned, reader, values) for name in ordered])
    return RunResult(
        run_id=record.run,
        workflow=record.created.workflow,
        status=record.state,
        steps=steps,
        outputs=values.outputs
        if values is not None and record.outputs is not None and values.outputs is not None
        else await load_json(reader, record.outputs),
        error=await _with_finally(record, await _run_error(record, steps, reader), steps, reader),
        ledger=ledger,
        concurrency=await tell_concurrency(record, reader),
    )


async def _step(
    name: StepKey,
    record: RunRecord,
    of_run: Mapping[StepKey, Asked],
    reader: JournalReader,
    values: Values | None,
) -> StepResult:
    step, planned = record.steps.get(name), of_run.get(name)
    base = of_run.get(name_of(name))
    in_finally = base is not None and base.in_finally
    if step is None:
        assert planned is not None  # INVARIANT: a name without a record is a planned one
        return StepResult(
            name, planned.capability, None, StepState.PENDING, None, None, None, 0, in_finally=in_finally
        )
    error: Any = None
    has_succeeded = step.state is _SUCCEEDED
    if step.state in _FAILED or (step.error is not None and not has_succeeded):
        error = await _step_error(step, reader)
    output: Json = None
    if has_succeeded:
        known, output = values.output(name) if values is not None else (False, None)
        if not known:
            output = await load_json(reader, step.output)
    return StepResult(
        name=name,
        capability=step.capability or await _asked_capability(step, planned, reader),
        version=step.version,
        status=step.state,
        risk_level=step.risk,
        decision=step.decision,
        rule=step.rule,
        attempts=step.attempt,
        output=output,
        error=error,
        asked_version=step.asked_version,
        undo=step.intent.undo.value if step.intent is not None else None,
        waits_for=_waits_for(step),
        in_finally=in_finally,
    )


def _waits_for(step: StepRecord) -> dict[str, Json] | None:
    if step.wait is None or step.state is not StepState.WAITING:
        return None
    return {"signal": step.wait.signal, "due_at_ms": step.wait.due_ms}


async def _asked_capability(step: StepRecord, planned: Asked | None, reader: JournalReader) -> str | None:
    """What a step was asked for that failed, or was stopped, before the gate knew its capability."""
    if planned is not None:
        return planned.capability
    call = await load_json(reader, step.call)  # of a session, whose document plans nothing
    return text(call, "capability") or None if isinstance(call, dict) else None


async def _step_error(step: StepRecord, reader: JournalReader) -> dict[str, Json]:
    found = await load_json(reader, step.error)
    if isinstance(found, dict) and "message" in found:
        told = {**found, "code": step.code or found.get("code")}
        details = found.get("details")
        if step.state is StepState.IN_DOUBT and isinstance(details, dict) and "exception" in details:
            # Not recorded with it: it is advice on how the handler is written, and not on what became of the step.
            told["hint"] = told.get("hint") or _RAISED
        return told
    reason = found.get("reason") if isinstance(found, dict) else None
    message = str(reason) if reason else words_of(step.code or "failed")
    return {
        "code": step.code or "STEP_FAILED",
        "message": message,
        "path": step.key,
        "hint": None,
        "details": {},
    }


async def _run_error(
    record: RunRecord, steps: tuple[StepResult, ...], reader: JournalReader
) -> dict[str, Json] | None:
    if record.state in _WITHOUT_ERROR:
        return None
    if record.is_cancelling:
        return _error("RUN_CANCELLED", "the run was cancelled", None)
    parked = next(
        (step for step in steps if step.status in (StepState.IN_DOUBT, StepState.COMPENSATION_FAILED)), None
    )
    if record.state is RunState.NEEDS_ATTENTION and parked is not None:
        return _from_step(parked)
    if record.failure_code is None:
        return None
    failed = next((step for step in steps if step.name == record.failed_step), None)
    if failed is None:
        told = await load_json(reader, record.error)
        if isinstance(told, dict):
            return told
        return _error(record.failure_code, words_of(record.failure_code), record.failed_step)
    return {**_from_step(failed), "code": record.failure_code}


async def _with_finally(
    record: RunRecord, error: dict[str, Json] | None, steps: tuple[StepResult, ...], reader: JournalReader
) -> dict[str, Json] | None:
    """The run's error; where it has one of its own, what went wrong in its `finally` stands in `details` beside it."""
    final = record.final
    if error is None or final is None or final.code is None or final.started.outcome is RunState.SUCCEEDED:
        return error
    failed = next((step for step in steps if step.name == final.step), None)
    if failed is not None:
        beside = _from_step(failed)
    else:
        told = await load_json(reader, final.error)
        beside = told if isinstance(told, dict) else _error(final.code, words_of(final.code), final.step)
    return {**error, "details": {**_details(error), "finally": {**beside, "code": final.code}}}


def _details(error: Mapping[str, Json]) -> dict[str, Json]:
    found = error.get("details")
    return found if isinstance(found, dict) else {}


def _from_step(step: StepResult) -> dict[str, Json]:
    error = step.error or {}
    found = _error(
        str(error.get("code", "STEP_FAILED")), str(error.get("message", "the step failed")), step.name
    )
    return {**found, "hint": error.get("hint"), "details": error.get("details", {})}


def _error(code: str, message: str, path: str | None) -> dict[str, Json]:
    return {"code": code, "message": message, "path": path, "hint": None, "details": {}}
