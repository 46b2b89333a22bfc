"""What the owner of a state directory does: one function for each request that changes the record or asks the owner itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from assent import __version__
from assent.engine import Actor, RunResult, signal_refusal
from assent.errors import InputError, Json, RefusedError
from assent.invocation.context.telling import News, listener_here, telling
from assent.runtime._core import Core, require_same_request
from assent.runtime.runs._loading import sibling_reader
from assent.runtime.service import answers, requests
from assent.runtime.service._reading import Reader
from assent.runtime.service.requests import OnProgress
from assent.runtime.service.scopes import SCOPE_OF
from assent.runtime.settings.effective import Settings
from assent.spec.events.kinds import (
    Act,
    ApprovalGranted,
    ApprovalRejected,
    CancelRequested,
    Leaf,
    RunCreated,
    SignalReceived,
    StepResolved,
    UndoRequested,
)  # fmt: skip
from assent.spec.ids import KEY_CAPABILITY, OWN_REQUESTS, SCHEDULE_CAPABILITIES, RunId
from assent.spec.principal import (
    BY_ASSERTION,
    BY_PEER,
    BY_PROCESS,
    Principal,
    PrincipalKind,
    identified,
    is_account,
)
from assent.spec.scopes import UNDO
from assent.spec.values.typed import convert
from assent.spec.workflow.definition import WorkflowSpec, capabilities_of
from assent.spec.workflow.inputs import parameter_schema, read_argument
from assent.system import SystemClock, environment

Worded = TypeVar("Worded", requests.Call, requests.ExplainPolicy)

Settling: TypeAlias = (
    requests.Approve | requests.Reject | requests.Cancel | requests.Signal | requests.Undo | requests.Resolve
)

Acting: TypeAlias = (
    requests.AddSchedule
    | requests.RemoveSchedule
    | requests.PauseSchedule
    | requests.ResumeSchedule
    | requests.CreateKey
    | requests.RevokeKey
)

_ACTS: Final[Mapping[type[requests.Request[Any]], type[Act]]] = {
    requests.Approve: ApprovalGranted,
    requests.Reject: ApprovalRejected,
    requests.Cancel: CancelRequested,
    requests.Signal: SignalReceived,
    requests.Undo: UndoRequested,
    requests.Resolve: StepResolved,
}
"""The entry that a request of each kind leaves; one that begins a run leaves the run's first."""


_Called: TypeAlias = tuple[str, dict[str, Json]]
"""A capability and its parameters."""

CREATE_KEY: Final = "assent.key.create"

_OF_A_WORKFLOW: Final = frozenset({"text", "source", "base"})


def actor_of(settings: Settings, by: requests.Asker, request: str | None = None) -> Actor:
    """Who acts, with the roles that the workspace gives them, in the request of that id. `IDENTITY_REFUSED`."""
    principal = requests.principal_of(settings, by)
    if by.identified_by is not None:
        may_stop = by.scopes is None or UNDO in by.scopes
        return Actor(principal, False, by.os_uid, by.identified_by, request, may_stop_runs=may_stop)
    uid = settings.os_uid if by.os_uid is None else by.os_uid
    how = identified(BY_PROCESS if by.os_uid is None else BY_PEER, asserted=by.asserted)
    return Actor(principal, by.asserted, uid, how, request)


def in_request(runtime: Core, request: requests.Request[Any], actor: Actor) -> Actor:
    """Who acts, with what they asked, where they chose the id under which they ask: it may mean one thing only."""
    is_kept = isinstance(request, requests.Beginning | Settling | requests.AddStep)
    if actor.request is None or actor.request.startswith(OWN_REQUESTS) or not is_kept:
        return actor
    asked = read_words(runtime, request) if isinstance(request, requests.Call) else request
    said: dict[str, Any] = msgspec.to_builtins(asked)
    for name in ("priority", "client"):  # when it begins, and who waits for it: not what it is
        said.pop(name, None)
    if isinstance(asked, requests.Run) and asked.plan is None:
        # However its file is written, and wherever it lies, it is one workflow.
        said = {name: value for name, value in said.items() if name not in ("text", "source", "base")}
        said["workflow"] = workflow_of(asked).fingerprint
    return msgspec.structs.replace(actor, request_digest=runtime.digest_of(said))


async def note_refusal(runtime: Core, request: requests.Request[Any], by: requests.Asker, code: str) -> None:
    """Put on record that somebody wanted to decide a question under a name that was refused."""
    if isinstance(request, requests.Approve | requests.Reject):
        how = identified(BY_PROCESS if by.os_uid is None else BY_PEER, asserted=by.asserted)
        actor = Actor(Principal.parse(by.principal), by.asserted, by.os_uid, how)
        with suppress(InputError):  # no such run: nothing was to be decided
            await runtime.note_refusal(request.run, request.step, actor, code)


# `Any`: the answer is that of the request's kind.
async def begun(runtime: Core, request: requests.Request[Any], actor: Actor) -> Any:
    """The answer to a request that began a run or decided about one already, also at an earlier owner; None to any other.

    `REQUEST_INVALID` where it was somebody else's, or another kind of request, `REQUEST_REUSED` where something else was asked.
    """
    found = None if actor.request is None else await _act_of(runtime, request, actor.request)
    if found is None:
        return None
    run, leaf = found
    act = leaf.event
    if not isinstance(act, _ACTS.get(type(request), RunCreated)):
        raise InputError("REQUEST_INVALID", "another request was asked under this id")
    who = act.principal if isinstance(act, RunCreated) else str(getattr(act, "by", None))
    require_same_request(str(actor.request), (who, act.request_digest), actor)
    if isinstance(request, requests.OpenSession):
        runtime.taken_up.add(run)
        return answers.Session(run_id=run)
    refusal = signal_refusal(act) if isinstance(act, SignalReceived) else None
    if refusal is not None:
        raise refusal
    listener = listener_here()
    if isinstance(act, RunCreated) and listener is not None:
        # Whoever waits for its first entry hears which run it is, however long that takes from here.
        listener(run, leaf.n, leaf.at_ms, act)
    shown = await runtime.show(run)
    result = shown if shown.status.is_settled else (await runtime.resumed(run, actor))[0]
    return _told(await runtime.undone_or_raise(run, result))


async def _act_of(runtime: Core, request: requests.Request[Any], ident: str) -> tuple[RunId, Leaf] | None:
    """The run that was begun or decided about in the request of this id, and its own entry (an `Act`) of what was done."""
    journal = runtime.ready.journal
    if isinstance(request, requests.Beginning):
        # The row is no fact of the record: it only says where to look.
        rows = await journal.rows("run_requests", {"request": ident}, limit=1)
        run, most = next((RunId(str(row["run_id"])) for row in rows), None), 1
    else:
        run, most = await runtime.find(request.run) if isinstance(request, Settling) else None, None
    for leaf in await journal.events(run, limit=most) if run is not None else ():
        event = leaf.event
        if isinstance(event, Act) and event.request == ident:
            assert run is not None  # INVARIANT: its entries were read
            return run, leaf
    return None


def reporting(tell: OnProgress | None) -> AbstractContextManager[None]:
    """Inside, `tell` is told of every durable event of the runs that are driven from here, and of what steps say, as JSON."""
    if tell is None:
        return nullcontext()

    def report(run: RunId, n: int | None, at_ms: int, event: News) -> None:
        tell({"run": run, "n": n, "at_ms": at_ms, "event": msgspec.to_builtins(event)})

    return telling(report)


def accompanying(
    runtime: Core, request: requests.Request[Any], principal: str, tell: OnProgress | None
) -> AbstractContextManager[None]:
    """Inside, the client of a step that is asked for can be told and asked things meanwhile."""
    client = request.client if isinstance(request, requests.AddStep) else None
    if client is None or tell is None:
        return nullcontext()
    return runtime.companions.beside(
        principal,
        client.id,
        tell,
        can=client.can,
        log_level=client.log_level,
        wants_progress=client.wants_progress,
    )


def check(runtime: Core, request: requests.Request[Any], principal: str) -> None:
    """Refuse what can be refused without the state: a workflow that does not load or fit, a call that can't be made."""
    match request:
        case requests.Run(plan=None) | requests.AddSchedule():
            _consult(runtime, capabilities_of(workflow_of(request).steps))
        case requests.Call():
            _consult(runtime, [request.capability])
        case _:
            pass
    check_fits(runtime, request, principal)


def check_fits(runtime: Core, request: requests.Request[Any], principal: str) -> None:
    """The same where the record is at hand, for who asks."""
    if isinstance(request, requests.Run) and request.plan is None:
        runtime.check_spec(workflow_of(request), request.inputs)
    called = _call_of(runtime, request, principal)
    if called is not None:
        runtime.check_call(*called)
        if called[0].partition("@")[0] == CREATE_KEY:
            _require_principal(called[1]["principal"])


def _require_principal(said: Json) -> None:
    """What the schema of a key can't say. `INVALID_INPUT`."""
    try:
        Principal.parse(str(said))
    except InputError as error:
        raise InputError("INVALID_INPUT", error.message, path="principal", hint=error.hint) from None


def _call_of(runtime: Core, request: requests.Request[Any], principal: str) -> _Called | None:
    """The one call that a request becomes, where nothing of it has to be looked up; None for any other request."""
    match request:
        case requests.Call():
            return request.capability, read_words(runtime, request).parameters
        case requests.AddSchedule():
            said = {
                name: getattr(request, name)
                for name in request.__struct_fields__
                if name not in _OF_A_WORKFLOW
            }
            return f"{SCHEDULE_CAPABILITIES}add", runtime.schedule_of(workflow_of(request), **said)
        case requests.RemoveSchedule() | requests.PauseSchedule() | requests.ResumeSchedule():
            verb = requests.operation_of(type(request)).partition("_")[0]
            return f"{SCHEDULE_CAPABILITIES}{verb}", {"name": request.name}
        case requests.CreateKey():
            return CREATE_KEY, {
                "id": request.id,
                "digest": request.digest,
                "name": request.name,
                "principal": request.principal or principal,
                "scopes": [*request.scopes],
                "expires_in_ms": request.expires_in_ms,
            }
        case requests.RevokeKey():
            return "assent.key.revoke", {"id": request.id}
        case _:
            return None


def read_words(runtime: Core, request: Worded) -> Worded:
    """The request with its words read, each by the type that its parameter declares."""
    if not request.words:
        return request
    if request.capability == KEY_CAPABILITY:  # which is no capability: whoever explains it reads them
        return msgspec.structs.replace(request, parameters={**request.parameters, **request.words}, words={})
    spec = runtime.registry.snapshot().spoken(request.capability)
    read = {
        name: read_argument(parameter_schema(spec.id, spec.parameters, name) or {}, text, name=name)
        for name, text in request.words.items()
    }
    return msgspec.structs.replace(request, parameters={**request.parameters, **read}, words={})


def _consult(runtime: Core, references: Iterable[str]) -> None:
    """Learn from the ledger what the references depend on, and which plugins it refuses; nothing without a need."""
    plugins = runtime.plugins
    runtime.versions.consult(runtime.settings, None if plugins.loaded else references)
    plugins.leave_out_unrecordable()


def workflow_of(request: requests.Run | requests.Plan | requests.AddSchedule) -> WorkflowSpec:
    """The workflow of a request: its text, with the name and folder of the file it came from; one from elsewhere stands alone."""
    if not request.source:
        return WorkflowSpec.from_dict(json.loads(request.text))
    resolve = sibling_reader(Path(request.base)) if request.base else None
    return WorkflowSpec.load(request.text, source=request.source, resolve=resolve)


def _told(result: RunResult) -> answers.Run:
    return convert(result.to_json(), answers.Run)


async def _run(runtime: Core, request: requests.Run, actor: Actor) -> answers.Run:
    if request.plan is not None:
        return _told(await runtime.run_plan(request.plan, actor, priority=request.priority))
    spec = workflow_of(request)
    result = await runtime.run(
        spec,
        request.inputs,
        principal=actor,
        environment=request.environment,
        priority=request.priority,
    )
    return _told(result)


async def _call(runtime: Core, request: requests.Call, actor: Actor) -> answers.Run:
    request = read_words(runtime, request)
    result = await runtime.call(
        request.capability,
        request.parameters,
        principal=actor,
        environment=request.environment,
        priority=request.priority,
    )
    return _told(result)


async def _session(runtime: Core, request: requests.OpenSession, actor: Actor) -> answers.Session:
    session = await runtime.session(
        principal=actor, environment=request.environment, priority=request.priority
    )
    runtime.keep(session)
    return answers.Session(run_id=session.run_id)


async def _add_step(runtime: Core, request: requests.AddStep, actor: Actor) -> answers.Run:
    run = await _own_session(runtime, request.run, actor)
    return _told(await runtime.add_step(run, request.capability, request.parameters, principal=actor))


async def _stop(runtime: Core, request: requests.Cancel | requests.Undo, actor: Actor) -> answers.Run:
    await _require_own(runtime, request.run, actor)
    return await _settle(runtime, request, actor)


_cancel = _undo = _stop


async def _require_own(runtime: Core, beginning: str, actor: Actor) -> None:
    """An agent stops and takes back what it began, and nobody else's work: no rule can tell whose a run is.

    `IDENTITY_REFUSED`. Accounts are not held to that.
    """
    if actor.principal.type is not PrincipalKind.AGENT or is_account(actor.identified_by):
        return
    created = await runtime.running.created(await runtime.find(beginning))
    if created.principal != str(actor.principal):
        raise RefusedError(
            "IDENTITY_REFUSED",
            "this run was begun by somebody else, and an agent stops and takes back only what it began",
            hint="whoever began it may, or a person",
        )


async def _close(runtime: Core, request: requests.CloseSession, actor: Actor) -> answers.Run:
    return _told(await runtime.close_session(await _own_session(runtime, request.run, actor)))


async def _own_session(runtime: Core, beginning: str, actor: Actor) -> RunId:
    """The session, which acts as who began it: whoever came in by a key, a token or a certificate began it by the same, and
    still has its roles.

    `IDENTITY_REFUSED`. Accounts are not held to that: who reaches the owner's socket may say to be anybody there.
    """
    run = await runtime.find(beginning)
    if actor.identified_by not in (BY_PROCESS, BY_PEER, BY_ASSERTION):
        created = await runtime.running.created(run)
        # Another token of the same issuer may have fewer roles than the one that began it.
        is_own = (created.principal, created.identified_by) == (str(actor.principal), actor.identified_by)
        if not is_own or not actor.principal.roles.issuperset(created.roles or ()):
            raise RefusedError(
                "IDENTITY_REFUSED",
                "this session was begun by somebody else, as whom its steps would act",
                hint="begin a session of your own",
            )
    return run


async def _settle(runtime: Core, request: Settling, actor: Actor) -> answers.Run:
    """What a person says of a run: the runtime's method of that name takes the request's fields."""
    said = msgspec.structs.asdict(request) | {"run": await runtime.find(request.run)}
    return _told(await getattr(runtime, requests.operation_of(type(request)))(**said, principal=actor))


_approve = _reject = _signal = _resolve = _settle


async def _resume(runtime: Core, request: requests.Resume, actor: Actor) -> answers.Resumed:
    run = await runtime.find(request.run) if request.run is not None else None
    # It goes on as its requester, whoever resumes it.
    return answers.Resumed(results=[_told(result) for result in await runtime.resumed(run, actor)])


async def _erase(runtime: Core, request: requests.Erase, actor: Actor) -> answers.Run:
    return _told(await runtime.erase(request.runs, principal=actor, compact=request.compact))


async def _act(runtime: Core, request: Acting, actor: Actor) -> answers.Run:
    """What is a call of a capability of ours."""
    called = _call_of(runtime, request, str(actor.principal))
    assert called is not None  # INVARIANT: only such requests are performed so
    return _told(await runtime.call(*called, principal=actor))


_add_schedule = _remove_schedule = _pause_schedule = _resume_schedule = _create_key = _revoke_key = _act


async def _trust_server(runtime: Core, request: requests.TrustServer, actor: Actor) -> answers.ServerFound:
    from assent.runtime.service import server_admin

    await runtime.reload_servers()
    settings, servers, name = runtime.settings, runtime.servers, request.name
    servers.server(name)
    before = servers.pins().get(name)
    asked = {"name": name, "digest": request.digest}
    _require_done(await runtime.call("assent.mcp.trust", asked, principal=actor))
    found = server_admin.told(settings, runtime, name, servers.looked[name], before)
    later = servers.faults.get(name)
    warnings = [] if later is None else [later.to_dict()]
    return msgspec.structs.replace(found, trusted=True, warnings=[*warnings, *found.warnings])


async def _remove_server(
    runtime: Core, request: requests.RemoveServer, actor: Actor
) -> answers.ServerWritten:
    from assent.runtime.service import server_admin

    await runtime.reload_servers()
    runtime.servers.server(request.name)
    if request.name in runtime.servers.pins():
        _require_done(await runtime.call("assent.mcp.untrust", {"name": request.name}, principal=actor))
    written = server_admin.remove(runtime.settings, runtime.servers, request)
    await runtime.reload_servers()
    return written


def _require_done(result: RunResult) -> None:
    """Raise why a call of ours did not happen, or not yet."""
    run = _told(result)
    (step,) = run.steps
    if run.status == "waiting":
        raise RefusedError(
            "APPROVAL_REQUIRED",
            "somebody has to agree to this first",
            hint=f"assent approve {run.run_id}",
            details={"run_id": run.run_id, "step": step.name},
        )
    if step.fault is not None:
        raise RefusedError.from_dict(msgspec.to_builtins(step.fault))


async def _label(runtime: Core, request: requests.Label, actor: Actor) -> answers.Labelled:
    moved = await runtime.versions.label(request.reference, request.label, by=actor)
    return answers.Labelled(
        capability=moved.capability,
        label=request.label,
        version=moved.version,
        before=moved.before,
        how=moved.how.value,
    )


async def _unlabel(runtime: Core, request: requests.Unlabel, actor: Actor) -> answers.Unlabelled:
    removed = await runtime.versions.unlabel(request.capability, request.label, by=actor)
    return answers.Unlabelled(capability=request.capability, label=request.label, removed=removed)


async def _retire(runtime: Core, request: requests.Retire, actor: Actor) -> answers.Retired:
    capability, version = await runtime.versions.retire(request.reference, by=actor, dry_run=request.dry_run)
    return answers.Retired(capability=capability, version=version, retired=not request.dry_run)


async def _retry_delivery(runtime: Core, request: requests.RetryDelivery, actor: Actor) -> answers.Delivery:
    return convert(await runtime.deliveries.retry(request.delivery, by=actor), answers.Delivery)


async def _cancel_delivery(runtime: Core, request: requests.CancelDelivery, actor: Actor) -> answers.Delivery:
    return convert(await runtime.deliveries.cancel(request.delivery, by=actor), answers.Delivery)


async def _health(runtime: Core, request: requests.Health, actor: Actor) -> answers.Health:
    del request, actor  # whoever may reach the owner may know how it is
    health = await runtime.app.health()
    admission = msgspec.to_builtins(runtime.running.admission())
    backlog = {**await asyncio.to_thread(_backlog, runtime), "deliveries": runtime.deliveries.waiting}
    told = {
        **health.to_json(),
        "metrics": runtime.metrics.snapshot(),
        "admission": admission,
        "backlog": backlog,
        "version": __version__,
        "now_ms": SystemClock().now_ms(),
        "operations": sorted(map(requests.operation_of, SCOPE_OF)),
        "in_force": {"policy": runtime.gate.digest, **runtime.settings.in_force()},
        "root": str(runtime.settings.workspace),
    }
    distribution = environment().get("WSL_DISTRO_NAME")
    if distribution:
        told["wsl"] = distribution
    return convert(told, answers.Health)


def _backlog(runtime: Core) -> dict[str, Json]:
    with Reader.open(runtime.settings, partial(under_way, runtime)) as reader:
        return reader.backlog()


async def _under_way(runtime: Core, request: requests.UnderWay, actor: Actor) -> answers.UnderWay:
    return under_way(runtime, request.runs, str(actor.principal) if request.texts else None)


def under_way(runtime: Core, runs: Iterable[str], principal: str | None = None) -> answers.UnderWay:
    """What the owner says of runs, with the texts that this principal's were told."""
    asked = [RunId(run) for run in runs]
    stopped = runtime.stopped()
    return answers.UnderWay(
        runs=[run for run in asked if runtime.drives(run)],
        stopped={run: stopped[run] for run in asked if run in stopped},
        asked={run: dict(told) for run in asked if (told := runtime.running.asked_of(run))},
        told={}
        if principal is None
        else {run: dict(runtime.running.told_to(run, principal)) for run in asked},
    )


async def _forget_secret(runtime: Core, request: requests.ForgetSecret, actor: Actor) -> answers.Forgotten:
    del actor  # to fetch a value anew tells nobody anything
    runtime.secrets.forget(request.name)
    return answers.Forgotten(forgotten=True)


async def _reply(runtime: Core, request: requests.Reply, actor: Actor) -> answers.Replied:
    return answers.Replied(
        heard=runtime.companions.hear(str(actor.principal), request.client, request.ask, request.answer)
    )
