"""Requests as data: what a door asks of the owner of a state directory, be it this process or another one.

Every request names its `op` and who asks; the answer is the object that the command prints. One table, so that a forwarded
command and a local one can't differ.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from assent.engine import Actor, RunResult
from assent.errors import InputError, InternalError, Json
from assent.invocation import hide_in_error
from assent.runtime._loading import sibling_reader
from assent.runtime._runtime import Runtime
from assent.spec.states import Resolution
from assent.spec.workflow import WorkflowSpec, capabilities_of

Request: TypeAlias = Mapping[str, Json]
Answer: TypeAlias = "dict[str, Json]"


async def perform(runtime: Runtime, request: Request, *, os_uid: int | None = None) -> Answer:
    """Do what a request asks and return its answer. `os_uid`: the user id that the operating system says the asker has."""
    operation = _OPERATIONS.get(str(request.get("op")))
    if operation is None:
        raise InternalError("REQUEST_INVALID", f"`{request.get('op')}` is no operation")
    redactor = runtime.secrets.redactor
    try:
        answer = await operation(runtime, request, _actor(runtime, request, os_uid))
    except Exception as error:
        # Also what nobody expected: its text goes into a log, and its causes with it.
        hide_in_error(error, redactor)
        raise
    shown = redactor.json(answer)
    assert isinstance(shown, dict)  # INVARIANT: an object stays one
    return shown


def check(runtime: Runtime, request: Request) -> None:
    """Refuse what can be refused without the state: a workflow that does not load or fit, an unknown capability, an identity."""
    _actor(runtime, request, None)
    if request.get("op") == "run" and request.get("plan") is None:
        spec = load_text(request)
        _consult(runtime, capabilities_of(spec.steps))
        runtime.check_spec(spec, _object(request, "inputs"))
    elif request.get("op") == "call":
        capability = str(request.get("capability"))
        _consult(runtime, [capability])
        runtime.check_call(capability, _object(request, "parameters"))


def _consult(runtime: Runtime, references: Iterable[str]) -> None:
    """Learn from the ledger what the references depend on, and which plugins it refuses; nothing without a need."""
    plugins = runtime.plugins
    runtime.versions.consult(runtime.settings, None if plugins.loaded else references)
    plugins.leave_out_unrecordable()


def _actor(runtime: Runtime, request: Request, os_uid: int | None) -> Actor:
    settings = runtime.settings
    uid = settings.os_uid if os_uid is None else os_uid
    asserted = bool(request.get("asserted"))
    name = str(request.get("principal") or settings.principal)
    return Actor(settings.principal_of(name, asserted=asserted, os_uid=uid), asserted, uid)


async def _run(runtime: Runtime, request: Request, actor: Actor) -> Answer:
    plan = request.get("plan")
    if plan is not None:
        return (await runtime.run_plan(str(plan), actor)).to_json()
    spec = load_text(request)
    result = await runtime.run_spec(
        spec, _object(request, "inputs"), actor, environment=_text(request, "environment")
    )
    return result.to_json()


def load_text(request: Request) -> WorkflowSpec:
    """The workflow of a request: its text, with the name and folder of the file it came from."""
    folder = Path(str(request.get("base") or "."))
    return WorkflowSpec.load(
        str(request.get("text", "")),
        source=str(request.get("source") or "<text>"),
        resolve=sibling_reader(folder),
    )


async def _call(runtime: Runtime, request: Request, actor: Actor) -> Answer:
    result = await runtime.call_as(
        str(request.get("capability")),
        _object(request, "parameters"),
        actor,
        environment=_text(request, "environment"),
    )
    return result.to_json()


async def _approve(runtime: Runtime, request: Request, actor: Actor) -> Answer:
    return (
        await runtime.approve_as(
            _run_id(runtime, request), _text(request, "step"), _text(request, "digest"), actor
        )
    ).to_json()


async def _reject(runtime: Runtime, request: Request, actor: Actor) -> Answer:
    return (
        await runtime.reject_as(
            _run_id(runtime, request),
            _text(request, "step"),
            _text(request, "digest"),
            _text(request, "reason") or "",
            actor,
        )
    ).to_json()


async def _cancel(runtime: Runtime, request: Request, actor: Actor) -> Answer:
    return (await runtime.cancel_as(_run_id(runtime, request), actor)).to_json()


async def _resume(runtime: Runtime, request: Request, actor: Actor) -> Answer:
    del actor  # a run goes on as its requester, whoever resumes it
    run = _run_id(runtime, request) if request.get("run") is not None else None
    results: list[RunResult] = await runtime.resume(run)
    return {"results": [result.to_json() for result in results]}


async def _undo(runtime: Runtime, request: Request, actor: Actor) -> Answer:
    return (
        await runtime.undo_as(_run_id(runtime, request), actor, partial=bool(request.get("partial")))
    ).to_json()


async def _resolve(runtime: Runtime, request: Request, actor: Actor) -> Answer:
    step = _text(request, "step")
    if step is None:
        raise InputError(
            "STEP_MISSING", "which step is settled?", hint="`assent resolve RUN STEP --happened`"
        )
    resolution = Resolution(str(request.get("resolution")))
    return (
        await runtime.resolve_as(_run_id(runtime, request), step, resolution, request.get("output"), actor)
    ).to_json()


async def _erase(runtime: Runtime, request: Request, actor: Actor) -> Answer:
    count = await runtime.erase(_run_id(runtime, request), actor)
    return {"run_id": _run_id(runtime, request), "erased": count}


async def _health(runtime: Runtime, request: Request, actor: Actor) -> Answer:
    del request, actor  # whoever may reach the owner may know how it is
    health = await runtime.app.health()
    return {**health.to_json(), "metrics": runtime.metrics.snapshot()}


async def _label(runtime: Runtime, request: Request, actor: Actor) -> Answer:
    reference, label = str(request.get("reference")), str(request.get("label"))
    moved = await runtime.versions.label(reference, label, by=actor)
    return {
        "capability": moved.capability,
        "label": label,
        "version": moved.version,
        "before": moved.before,
        "how": moved.how.value,
    }


async def _unlabel(runtime: Runtime, request: Request, actor: Actor) -> Answer:
    capability, label = str(request.get("capability")), str(request.get("label"))
    removed = await runtime.versions.unlabel(capability, label, by=actor)
    return {"capability": capability, "label": label, "removed": removed}


async def _activate(runtime: Runtime, request: Request, actor: Actor) -> Answer:
    capability = str(request.get("capability"))
    weights = {
        version: weight for version, weight in _object(request, "weights").items() if isinstance(weight, int)
    }
    await runtime.versions.activate(capability, weights, by=actor)
    return {"capability": capability, "weights": {**weights}}


async def _retire(runtime: Runtime, request: Request, actor: Actor) -> Answer:
    dry_run = bool(request.get("dry_run"))
    capability, version = await runtime.versions.retire(
        str(request.get("reference")), by=actor, dry_run=dry_run
    )
    return {"capability": capability, "version": version, "retired": not dry_run}


async def _forget_secret(runtime: Runtime, request: Request, actor: Actor) -> Answer:
    del actor  # to fetch a value anew tells nobody anything
    runtime.secrets.forget(str(request.get("name")))
    return {"forgotten": True}


async def _retry_delivery(runtime: Runtime, request: Request, actor: Actor) -> Answer:
    return await runtime.deliveries.retry(str(request.get("delivery")), by=actor)


async def _cancel_delivery(runtime: Runtime, request: Request, actor: Actor) -> Answer:
    return await runtime.deliveries.cancel(str(request.get("delivery")), by=actor)


_OPERATIONS: Final[Mapping[str, Callable[[Runtime, Request, Actor], Awaitable[Answer]]]] = {
    "run": _run,
    "call": _call,
    "approve": _approve,
    "reject": _reject,
    "cancel": _cancel,
    "resume": _resume,
    "undo": _undo,
    "resolve": _resolve,
    "erase": _erase,
    "health": _health,
    "label": _label,
    "unlabel": _unlabel,
    "activate": _activate,
    "retire": _retire,
    "forget_secret": _forget_secret,
    "retry_delivery": _retry_delivery,
    "cancel_delivery": _cancel_delivery,
}


def _run_id(runtime: Runtime, request: Request) -> str:
    return runtime.find(str(request.get("run")))


def _text(request: Request, key: str) -> str | None:
    value = request.get(key)
    return None if value is None else str(value)


def _object(request: Request, key: str) -> dict[str, Json]:
    value = request.get(key)
    return value if isinstance(value, dict) else {}
