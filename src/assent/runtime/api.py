"""What the doors call: everything that drives a run goes through `execute`, everything that only looks through `Reader`.

`execute` makes the process the owner of the state directory for as long as the request takes, or hands the request to the living
owner. While it owns, it serves the requests of other terminals as well. Nothing here prompts, prints or exits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from assent import system
from assent.engine import Preparing, Progress, Said
from assent.errors import AssentError, InputError, Json, WorldError
from assent.invocation import Health, Snapshot
from assent.journal import (
    Ownership,
    Peer,
    SqliteReader,
    acquire_or_forward,
    forward,
)
from assent.policy import PolicyEngine
from assent.registry import RegistrySnapshot
from assent.runtime._interrupts import Interrupted, termination_interrupts, wake_for_signals
from assent.runtime._loading import load_policy
from assent.runtime._operations import check, load_text, perform
from assent.runtime._plans import PlanStore, SavedPlan
from assent.runtime._plugins import plugin_loader
from assent.runtime._reading import Reader, verify_export, verify_proof
from assent.runtime._runs import find_run, unknown_run
from assent.runtime._runtime import Runtime
from assent.runtime.settings import Settings
from assent.spec import events as ev
from assent.spec.capability import CapabilitySpec
from assent.spec.ids import RunId

if TYPE_CHECKING:
    from assent.plugins import PluginLoader

OnProgress = Callable[[dict[str, Json]], None]

_SILENCE_S: Final = 0.5
"""After this long a process that is stopping says so."""


# -- driving ------------------------------------------------------------------------------------------------------------


def execute(
    request: Mapping[str, Json], settings: Settings, *, on_progress: OnProgress | None = None
) -> dict[str, Json]:
    """Perform a request as the owner of the state directory, or have the owner perform it; its answer.

    Progress is told as journal entries; as ones without a number, `step.preparing`, when a program runs before its step begins,
    and `step.said` of each line that a step says or its program prints (`line` is null where some were left out); as
    `{"serving": N}` when only the requests of N others keep this process; as `{"stopping_ms": N}` when it waits, at most so long,
    for a call that was asked to stop. Raises `Interrupted` for Ctrl-C and SIGTERM: the run stays where it is, resumable, or goes
    on where another process drives it.
    """
    runtime = Runtime(settings)
    # What can be refused is refused before there is a state directory, a lock or a ledger.
    check(runtime, request)
    settings.create_state()
    watched = _Watched(on_progress)
    with termination_interrupts():
        try:
            answer = acquire_or_forward(settings.state, request, watched, runtime_dir=settings.runtime_dir())
        except KeyboardInterrupt:
            raise Interrupted(watched.run, goes_on=True) from None
        if not isinstance(answer, Ownership):
            return answer
        try:
            return asyncio.run(_own(answer, request, runtime, watched))
        except KeyboardInterrupt:
            raise Interrupted(watched.run) from None
        except WorldError as error:
            # The ledger could not be written: the run is where it was, and beginning it anew would be the wrong advice.
            if watched.run is not None:
                mend = "free some space" if error.code == "DISK_FULL" else "check the disk"
                error.hint = f"{mend}, then go on with `assent resume {watched.run}`"
            raise
        finally:
            answer.release()


class _Watched:
    """Hands progress on, and remembers the first run that it was about."""

    def __init__(self, tell: OnProgress | None) -> None:
        self._tell = tell
        self.run: str | None = None

    def __call__(self, report: dict[str, Json]) -> None:
        run, event = report.get("run"), report.get("event")
        # What is said may be of a plan that is made once more, and that is no run.
        is_said = isinstance(event, dict) and event.get("kind") == "step.said"
        if self.run is None and isinstance(run, str) and not is_said:
            self.run = run
        if self._tell is not None:
            self._tell(report)


async def _own(
    ownership: Ownership, request: Mapping[str, Json], runtime: Runtime, tell: OnProgress
) -> dict[str, Json]:
    wake_for_signals()
    try:
        await runtime.start(ownership)
        await ownership.serve(
            lambda asked, peer, emit: _serve(runtime, asked, peer, emit),
            runtime_dir=runtime.settings.runtime_dir(),
        )
        with runtime.telling(_reporter(tell)):
            return await _drained(perform(runtime, request), ownership, tell)
    finally:
        ownership.hang_up()
        # Closing waits for calls under way to end. When that is not at once, whoever sits there shall know what it waits for.
        grace_ms = runtime.settings.limits.grace_ms
        news: dict[str, Json] = {"stopping_ms": grace_ms}
        waits = asyncio.get_running_loop().call_later(_SILENCE_S, tell, news)
        try:
            await runtime.close()
        finally:
            waits.cancel()


async def _drained(
    work: Awaitable[dict[str, Json]], ownership: Ownership, tell: OnProgress
) -> dict[str, Json]:
    """Finish the requests of others that were taken meanwhile, also when our own failed; an interrupt does not wait for them."""
    try:
        answer = await work
    except Exception:
        await _drain(ownership, tell)
        raise
    await _drain(ownership, tell)
    return answer


async def _drain(ownership: Ownership, tell: OnProgress) -> None:
    if ownership.serving:
        tell({"serving": ownership.serving})
    # Our own request is done. An interrupt ends what we still do for others, not the telling of our answer.
    with suppress(asyncio.CancelledError):
        await ownership.drain()


async def _serve(
    runtime: Runtime, request: dict[str, Any], peer: Peer, emit: Callable[[dict[str, Any]], None]
) -> dict[str, Json]:
    with runtime.telling(_reporter(emit)):
        return await perform(runtime, request, os_uid=peer.uid)


def _reporter(tell: OnProgress) -> Progress:
    def report(run: RunId, n: int | None, at_ms: int, event: ev.AnyEvent | Preparing | Said) -> None:
        tell({"run": run, "n": n, "at_ms": at_ms, "event": msgspec.to_builtins(event)})

    return report


# -- looking ahead ------------------------------------------------------------------------------------------------------


def plan(
    request: Mapping[str, Json], settings: Settings, *, on_progress: OnProgress | None = None
) -> dict[str, Json]:
    """What a run would do, saved under its `plan_id` so that exactly this can be run; nothing is executed.

    Progress is told of what captured programs print, as `execute` tells of it.
    """
    return asyncio.run(_plan(request, settings, on_progress))


async def _plan(
    request: Mapping[str, Json], settings: Settings, tell: OnProgress | None = None
) -> dict[str, Json]:
    settings.create_state()
    spec = load_text(request)
    runtime = Runtime(settings)
    try:
        principal = settings.principal_of(
            str(request.get("principal") or settings.principal),
            asserted=bool(request.get("asserted")),
            os_uid=settings.os_uid,
        )
        given = request.get("inputs")
        inputs = given if isinstance(given, dict) else {}
        chosen = request.get("environment")
        environment = str(chosen) if chosen is not None else None
        runtime.prepare_to_plan()
        execute_captured = bool(request.get("execute_captured"))
        planner = runtime.planner(spec, inputs, principal, environment, execute_captured)
        with runtime.telling(_reporter(tell)) if tell is not None else nullcontext():
            found = await planner.plan()
        saved = SavedPlan(
            plan_id=system.SystemIds().plan_id(),
            document={"workflow": spec.to_json()},
            inputs=inputs,
            principal=str(principal),
            environment=environment,
            digest=found.digest,
            execute_captured=execute_captured,
            steps=[step.to_json() for step in found.steps],
        )
        plans = PlanStore(settings.state, expiry_ms=settings.limits.plan_expiry_ms)
        plans.sweep(system.SystemClock().now_ms())
        plans.save(saved)
        return {"plan_id": saved.plan_id, **found.to_json()}
    finally:
        await runtime.close()


def capabilities(settings: Settings) -> RegistrySnapshot:
    """The capabilities that a command of this workspace can call, with what the ledger says of them."""
    with _informed(settings) as runtime:
        return runtime.registry.snapshot()


def capability_list(settings: Settings) -> list[dict[str, Json]]:
    """Every version that can be called, by id and version: its spec, and how it stands."""
    with _informed(settings) as runtime:
        return [_described(runtime, spec) for spec in runtime.registry.list()]


def capability(settings: Settings, reference: str) -> dict[str, Json]:
    """The version that a reference means: its spec, how it stands, and by what it was named."""
    with _informed(settings) as runtime:
        found = runtime.registry.resolution(reference)
        return {**_described(runtime, found.spec), "how": found.how.value}


def capability_history(settings: Settings, name: str) -> dict[str, Json]:
    """Every version of a capability, and every change of its labels and weights, the newest first."""
    with _informed(settings) as runtime:
        return runtime.versions.told(name, now_ms=system.SystemClock().now_ms())


def capability_diff(settings: Settings, name: str, old: str, new: str) -> dict[str, Json]:
    """What changes from one version of a capability to another, and whether callers of the first can be served by the second."""
    with _informed(settings) as runtime:
        return runtime.versions.diff_told(name, old, new)


@contextmanager
def _informed(settings: Settings) -> Iterator[Runtime]:
    """A runtime that owns nothing and knows what the ledger says of capabilities; inside, its plugins are loaded."""
    runtime = Runtime(settings)
    try:
        runtime.versions.consult(settings)
        yield runtime
    finally:
        runtime.plugins.close()


def _described(runtime: Runtime, spec: CapabilitySpec) -> dict[str, Json]:
    status = runtime.versions.status(spec.id, spec.version, now_ms=system.SystemClock().now_ms()).to_json()
    kept = ("state", "latest", "labels", "weight", "created_at", "created_at_ms")
    # The spec has labels of its own, which say what information flows.
    return {
        **spec.to_json(),
        "fingerprint": spec.fingerprint,
        "standing": {name: status[name] for name in kept},
    }


def plugins(settings: Settings) -> PluginLoader:
    """The plugins of a workspace: found, trusted, listed; nothing is imported by asking."""
    return plugin_loader(settings)


def plugin_health(settings: Settings, name: str | None = None) -> dict[str, Health]:
    """How each trusted plugin (or the one of this name) says that it is; one that can't be loaded has failed. PLUGIN_UNKNOWN."""

    async def ask() -> dict[str, Health]:
        runtime = Runtime(settings)
        try:
            runtime.versions.consult(settings)
            runtime.plugins.leave_out_unrecordable()
            return await runtime.plugins.healths(name)
        finally:
            await runtime.close()

    return asyncio.run(ask())


def plugin_faults(settings: Settings) -> dict[str, AssentError]:
    """Why each trusted plugin that can't be loaded is left out, by name; raises for one that is required."""
    with _informed(settings) as runtime:
        runtime.plugins.leave_out_unrecordable()
        return dict(runtime.plugins.faults)


def policy(settings: Settings) -> PolicyEngine:
    """The policy in force; `POLICY_MISSING`, `POLICY_INVALID`, `POLICY_PERMISSIONS`."""
    return load_policy(settings)


def health(request: Mapping[str, Json], settings: Settings) -> dict[str, Json] | None:
    """How the process that owns the state directory is, and what it has counted; None when there is no such process."""
    return forward(settings.state, request, runtime_dir=settings.runtime_dir())


# -- once more ------------------------------------------------------------------------------------------------------------


def snapshot(settings: Settings, run: str) -> bytes:
    """The file of a run's snapshot. `RUN_UNKNOWN`, `PAYLOAD_ERASED`, `SNAPSHOT_TOO_LARGE`."""
    from assent.engine.replay import Recording  # a run does not pay for what only a replay needs

    with _informed(settings) as runtime, SqliteReader.open(settings.state) as journal:
        recording = Recording.of_journal(journal, find_run(journal, run))
        return runtime.snapshot_of(recording).dump()


def replay(
    settings: Settings, *, run: str, snapshot: bytes | None, capability_version: str | None
) -> dict[str, Json]:
    """A run of this ledger, or of a snapshot's file, once more; what it comes to beside what was recorded. Touches nothing."""
    return asyncio.run(_replay(settings, run, snapshot, capability_version))


async def _replay(
    settings: Settings, run: str, snapshot: bytes | None, capability_version: str | None
) -> dict[str, Json]:
    from assent.engine.replay import Recording, recording_of

    runtime = Runtime(settings)
    try:
        runtime.prepare_to_plan()
        if snapshot is not None:
            recording = recording_of(Snapshot.load(snapshot))
        else:
            try:
                journal = SqliteReader.open(settings.state)
            except InputError as error:
                raise (unknown_run(run) if error.code == "STATE_MISSING" else error) from None
            with journal:
                recording = Recording.of_journal(journal, find_run(journal, run))
        report = await runtime.replay_recording(recording, capability_version)
        return report.to_json()
    finally:
        await runtime.close()


__all__ = [
    "Interrupted",
    "Reader",
    "capabilities",
    "capability",
    "capability_diff",
    "capability_history",
    "capability_list",
    "execute",
    "health",
    "plan",
    "policy",
    "replay",
    "snapshot",
    "verify_export",
    "verify_proof",
]
