"""The six cells of a capability, each tried with the whole runtime on a real folder, and the rules for what does not apply."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from assent.capabilities import builtin_capabilities
from assent.capabilities.fs import Workspace
from assent.engine import RunResult, StepResult
from assent.errors import InputError, Json
from assent.failpoints import VARIABLE, Failpoints
from assent.invocation import CancelToken, Capability, Files, Invocation, Pipeline
from assent.runtime import Runtime
from assent.runtime.settings.effective import Settings
from assent.spec.states import StepState
from assent.spec.values.frozen import thaw
from assent.spec.values.json_fields import mapping
from tests.conformance.case import CANARY, Case, Cell, Stage, control, given
from tests.conformance.turns import Turns
from tests.support.crashing import KILLED, noted
from tests.support.hands import tree_of
from tests.support.nursery import Ended, Nursery

BUILTIN: Final[Mapping[str, Capability[..., Any]]] = {one.id: one for one in builtin_capabilities()}
"""Every built-in capability by its id."""

LIMIT_S: Final = 0.2
"""The time that `execute` gets when the call would last for ever."""

WAIT_S: Final = 30.0
"""How long a call is held that nobody tells to end."""

_READS: Final = "reads only: there is nothing to take back"
_READS_AGAIN: Final = "reads only: it is read again"


def not_applicable(case: Case) -> dict[Cell, str]:
    """Cell → why it can't be tried: what follows from the capability, and what the case says."""
    one = BUILTIN[case.capability]
    found = dict(case.without)
    if not one.spec.has_effect:
        found |= {Cell.UNDO: _READS, Cell.RECONCILE: _READS_AGAIN}
    elif not one.spec.compensation.supported:
        found[Cell.UNDO] = one.without["compensate"]
    if one.handler.preview is None:
        found[Cell.PREVIEW] = one.without["preview"]
    return found


def doubt(case: Case) -> str:
    """Why a call that was killed after its effect ends in doubt; empty where it ends as if it had not been killed."""
    one = BUILTIN[case.capability]
    if one.handler.reconcile is None and not one.spec.idempotent:
        return one.without["reconcile"]
    return case.in_doubt


@asynccontextmanager
async def opened(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Runtime]:
    """A whole runtime in this process, in the surroundings that a process of the stage would have."""
    for name, value in stage.env.items():
        monkeypatch.setenv(name, value)
    settings = Settings.resolve(workspace=stage.workspace, environ=stage.env, cwd=stage.workspace)
    async with Runtime(settings) as runtime:
        yield runtime


def workflow(case: Case, inputs: Mapping[str, Json], **more: Json) -> dict[str, Json]:
    """A workflow of the one step `call`."""
    step: dict[str, Json] = {"name": "call", "capability": case.capability, "inputs": _literal(dict(inputs))}
    return {"name": "conformance", "version": "1.0.0", "steps": [step | more]}


def _literal(value: Json) -> Json:
    """The value, as a workflow writes what is no reference."""
    match value:
        case str():
            return value.replace("${{", "$${{")
        case list():
            return [_literal(one) for one in value]
        case dict():
            return {name: _literal(one) for name, one in value.items()}
        case _:
            return value


def seen(case: Case, stage: Stage) -> tuple[object, ...]:
    """Everything that is observed: what the case says, and what never changes, the world outside and what governs this one."""
    return case.observe(stage), tree_of(stage.outside), control(stage)


async def _called(runtime: Runtime, case: Case, inputs: Mapping[str, Json]) -> RunResult:
    """The run of one call; of what only a session can call, that session once it is closed."""
    if not case.in_session:
        return await runtime.call(case.capability, inputs)
    before = await runtime.runs()
    with pytest.raises(InputError, match="session"):
        await runtime.call(case.capability, inputs)
    assert await runtime.runs() == before, "a run has begun that can't be"
    session = await runtime.session()
    await session.call(case.capability, inputs)
    return await session.close()


def _only(result: RunResult) -> StepResult:
    (step,) = result.steps
    return step


async def preview_has_no_effect(case: Case, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan shows the change and leaves everything, times included, as it was."""
    async with opened(stage, monkeypatch) as runtime:
        before = seen(case, stage), tree_of(stage.workspace)
        plan = await runtime.plan(workflow(case, given(case.inputs, stage)), execute_captured=True)
        (step,) = plan.steps
        assert step.known, f"nothing is known of the call beforehand: {step}"
        assert step.preview is not None
        assert (seen(case, stage), tree_of(stage.workspace)) == before


async def undo_restores(case: Case, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the call did is there, and after the undo it is as if it had never been. Files were changed in turn, both times."""
    turns = Turns.watched(monkeypatch)
    async with opened(stage, monkeypatch) as runtime:
        before = seen(case, stage)
        result = await _called(runtime, case, given(case.inputs, stage))
        assert result.status == "succeeded", result
        after = seen(case, stage)
        assert after != before or not _acts(case), "the effect can't be observed, so its undo proves nothing"
        undone = await runtime.undo(result.run_id)
        assert undone.status == "undone", undone
        assert seen(case, stage) == before
    turns.require(case.capability)


def _acts(case: Case) -> bool:
    """Whether the capability changes anything; those for demos and tests touch nothing at all."""
    return BUILTIN[case.capability].spec.side_effects.scope != "none"


async def timeout_cancels(case: Case, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call whose time is up ends, leaves nothing running, and its record says what became of the world."""
    hold = _Hold.at_files(monkeypatch) if case.lasting is None else None
    _shorten(monkeypatch)
    inputs = given(case.inputs if case.lasting is None else case.lasting, stage)
    async with opened(stage, monkeypatch) as runtime:
        before = seen(case, stage)
        result = await runtime.run(workflow(case, inputs, timeout=_LONG))
        after = seen(case, stage)
    step = _only(result)
    if hold is not None:
        assert hold.was_reached, (
            "the call never looks at the workspace: say `lasting`, or why not in `without`"
        )
        assert hold.was_ended, "nobody told the call to end when its time was up"
    else:
        assert result.status != "succeeded", "a call that lasts for ever has succeeded"
        assert "STEP_TIMEOUT" in json.dumps(result.to_json()), result
    assert step.status is not StepState.IN_DOUBT or doubt(case), result
    if result.status in {"failed", "rolled_back"}:
        assert after == before, "a call that failed has left its effect"
    elif result.status == "succeeded" and _acts(case) and BUILTIN[case.capability].spec.has_effect:
        assert after != before, "a call that succeeded has no effect"
    else:
        assert result.status in {"succeeded", "needs_attention"}, result


_LONG: Final = "1h"


def _shorten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hour of the step be over at once where its effect begins: a busy machine must not spend it on preparing."""
    execute = Pipeline.execute

    async def shortened(
        pipeline: Pipeline, call: Invocation, *, timeout_s: float | None, prepared: Mapping[str, Json] | None
    ) -> Json:
        assert timeout_s == 3600, "the limit of the step is not the limit of its call"
        return await execute(pipeline, call, timeout_s=LIMIT_S, prepared=prepared)

    monkeypatch.setattr(Pipeline, "execute", shortened)


class _Hold:
    """Holds the thread of a call at its first look at the workspace's files until its token is cancelled."""

    def __init__(self) -> None:
        self._executes = threading.Event()
        self._ended = threading.Event()
        self.was_reached = False

    @classmethod
    def at_files(cls, monkeypatch: pytest.MonkeyPatch) -> _Hold:
        hold, files, cancel = cls(), vars(Workspace)["files"], CancelToken.cancel

        def hit(failpoints: Failpoints, name: str) -> None:
            if name == "effect.before":
                hold._executes.set()

        def held(workspace: Workspace) -> Files:
            if hold._executes.is_set() and threading.current_thread() is not threading.main_thread():
                hold.was_reached = True
                assert hold._ended.wait(WAIT_S), "nobody told the call to end"
            found: Files = files.__get__(workspace)
            return found

        def cancelled(token: CancelToken) -> None:
            cancel(token)
            hold._ended.set()

        monkeypatch.setattr(Failpoints, "hit", hit)
        monkeypatch.setattr(Workspace, "files", property(held))
        monkeypatch.setattr(CancelToken, "cancel", cancelled)
        return hold

    @property
    def was_ended(self) -> bool:
        """The token was cancelled."""
        return self._ended.is_set()


async def bad_input_is_refused(case: Case, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs that do not fit are refused before anything happens, with every fault."""
    async with opened(stage, monkeypatch) as runtime:
        before = seen(case, stage), tree_of(stage.workspace)
        for inputs in _bad(case, stage):
            with noted(f"the inputs are {inputs}"):
                step = _only(await _called(runtime, case, inputs))
                assert step.status is StepState.FAILED, step
                assert step.error is not None
                assert step.error["code"] == "INVALID_INPUT", step.error
                assert mapping(step.error, "details")["faults"], step.error
        assert (seen(case, stage), tree_of(stage.workspace)) == before


def _bad(case: Case, stage: Stage) -> Iterator[Mapping[str, Json]]:
    good = dict(given(case.inputs, stage))
    for one in case.bad:
        yield given(one, stage)
    schema: Any = thaw(BUILTIN[case.capability].spec.parameters)  # `Any`: a schema
    yield {**good, "no_such_input": 1}
    for name in schema.get("required", ()):
        yield {key: value for key, value in good.items() if key != name}
    for name, kind in schema.get("properties", {}).items():
        if kind.get("type") in {"string", "integer", "number", "boolean"}:
            yield {**good, name: ["of another kind"]}


async def confinement_holds(case: Case, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is out of bounds is neither changed nor told, and the refusal has its code."""
    assert case.escapes, "no way out is tried: say `escapes`, or why there is none in `without`"
    for arrange in dict.fromkeys(escape.arrange for escape in case.escapes):
        arrange(stage)
    async with opened(stage, monkeypatch) as runtime:
        before = seen(case, stage)
        for escape in case.escapes:
            inputs = given(escape.inputs, stage)
            with noted(f"the inputs are {inputs}"):
                result = await runtime.call(case.capability, inputs)
                step = _only(result)
                assert step.status is not StepState.SUCCEEDED, step
                assert step.error is not None
                assert step.error["code"] in escape.refusals, step.error
                assert CANARY not in json.dumps(result.to_json())
                assert seen(case, stage) == before


def write_call(case: Case, stage: Stage) -> Path:
    """The workflow of the case, in a file for commands."""
    path = stage.root / "call.yaml"
    path.write_text(json.dumps(workflow(case, given(case.inputs, stage))))
    return path


def command(nursery: Nursery, stage: Stage, *words: str, kill: str | None = None) -> Ended:
    """Run `assent WORDS… --json` in a process of its own, which dies at the failpoint `kill`."""
    env = stage.env if kill is None else {**stage.env, VARIABLE: kill}
    return nursery.run(*words, "--json", cwd=stage.workspace, env=env)


def reconciles(case: Case, stage: Stage, nursery: Nursery) -> None:
    """Killed between the effect and its record, the call ends as if it had not been, or in doubt where nobody can know."""
    before = seen(case, stage)
    ended = command(nursery, stage, "run", str(write_call(case, stage)), kill="effect.after:1")
    assert ended.code == KILLED, f"the call never came to the end of its effect: {ended}"
    after = seen(case, stage)
    assert after != before or not _acts(case), "the effect can't be observed, so its recovery proves nothing"
    (result,) = command(nursery, stage, "resume").json()
    assert seen(case, stage) == after, "the recovery changed what the effect had left"
    (step,) = result["steps"]
    wanted = ("needs_attention", "in_doubt") if doubt(case) else ("succeeded", "succeeded")
    assert (result["status"], step["status"]) == wanted, result
