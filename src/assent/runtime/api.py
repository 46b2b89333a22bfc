"""What the doors call: everything that drives a run goes through `execute`, everything that only looks through `Reader`.

`execute` makes the process the owner of the state directory for as long as the request takes, or hands the request to the living
owner. While it owns, it serves the requests of other terminals as well. Nothing here prompts, prints or exits.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from assent import system
from assent.engine import (
    Blueprint,
    RunProjector,
    RunRecord,
    describe_run,
    fold,
    load_json,
)
from assent.errors import AssentError, InputError, Json, WorldError
from assent.invocation import Health, Snapshot
from assent.journal import (
    LEDGER_FILE,
    Ed25519FileSigner,
    EventFilter,
    Ownership,
    Peer,
    SqliteReader,
    SqliteRecord,
    TrustPolicy,
    Verifier,
    acquire_or_forward,
    audit_log,
    export_ledger,
    forward,
    is_owned,
    prove,
    verifier_from_vkey,
    verify_ledger,
)
from assent.journal import (
    verify_export as _verify_export,
)
from assent.journal import (
    verify_proof as _verify_proof,
)
from assent.policy import PolicyEngine
from assent.registry import RegistrySnapshot
from assent.runtime._interrupts import Interrupted, termination_interrupts, wake_for_signals
from assent.runtime._loading import load_policy
from assent.runtime._operations import check, load_text, perform
from assent.runtime._plans import PlanStore, SavedPlan
from assent.runtime._plugins import plugin_loader
from assent.runtime._runs import find_run, unknown_run
from assent.runtime._runtime import Runtime
from assent.runtime.settings import Settings
from assent.spec import events as ev
from assent.spec.capability import CapabilitySpec
from assent.spec.ids import RunId
from assent.spec.states import RunState

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

    Progress is told as journal entries; as `{"serving": N}` when only the requests of N others keep this process; as
    `{"stopping_ms": N}` when it waits, at most so long, for a call that was asked to stop. Raises `Interrupted` for Ctrl-C and
    SIGTERM: the run stays where it is, resumable, or goes on where another process drives it.
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
        run = report.get("run")
        if self.run is None and isinstance(run, str):
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


def _reporter(tell: OnProgress) -> Callable[[RunId, int, int, ev.AnyEvent], None]:
    def report(run: RunId, n: int, at_ms: int, event: ev.AnyEvent) -> None:
        tell({"run": run, "n": n, "at_ms": at_ms, "event": msgspec.to_builtins(event)})

    return report


# -- looking ahead ------------------------------------------------------------------------------------------------------


def plan(request: Mapping[str, Json], settings: Settings) -> dict[str, Json]:
    """What a run would do, saved under its `plan_id` so that exactly this can be run; nothing is executed."""
    return asyncio.run(_plan(request, settings))


async def _plan(request: Mapping[str, Json], settings: Settings) -> dict[str, Json]:
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
        found = await runtime.planner(spec, inputs, principal, environment).plan()
        saved = SavedPlan(
            plan_id=system.SystemIds().plan_id(),
            document={"workflow": spec.to_json()},
            inputs=inputs,
            principal=str(principal),
            environment=environment,
            digest=found.digest,
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


# -- looking back -------------------------------------------------------------------------------------------------------


class Reader:
    """Reads the state of a workspace beside a living owner or without one; takes no lock, writes nothing."""

    def __init__(self, settings: Settings, journal: SqliteReader | None) -> None:
        self._settings = settings
        self._journal = journal

    @classmethod
    @contextmanager
    def open(cls, settings: Settings) -> Iterator[Self]:
        """A reader. A workspace in which nothing was recorded yet reads as empty."""
        try:
            journal = SqliteReader.open(settings.state)
        except InputError as error:
            if error.code != "STATE_MISSING":
                raise
            yield cls(settings, None)
            return
        with journal:
            yield cls(settings, journal)

    def runs(self) -> list[dict[str, Json]]:
        """All runs, oldest first."""
        if self._journal is None:
            return []
        return [self._run_line(row) for row in self._journal.rows("runs")]

    def _run_line(self, row: Mapping[str, Any]) -> dict[str, Json]:
        return {
            "run_id": row["run_id"],
            "workflow": row["workflow"],
            "status": self._shown_status(str(row["status"])),
            "started_at": _instant(row["started_at_ms"]),
            "started_at_ms": row["started_at_ms"],
            "updated_at": _instant(row["updated_at_ms"]),
            "updated_at_ms": row["updated_at_ms"],
            "principal": row["principal"],
            "mode": row["mode"],
            "code": row["code"],
        }

    def _shown_status(self, status: str) -> str:
        moving = (RunState.RUNNING, RunState.PENDING, RunState.ROLLING_BACK, RunState.UNDOING)
        return "interrupted" if status in moving and not self.owner_alive() else status

    def owner_alive(self) -> bool:
        """Whether a process owns the state directory now."""
        return is_owned(self._settings.state, runtime_dir=self._settings.runtime_dir())

    def unfinished(self) -> int:
        """How many runs have not ended and wait for `assent resume`; those that wait for a person are not counted."""
        if self._journal is None:
            return 0
        states = [RunState(str(row["status"])) for row in self._journal.rows("runs")]
        idle = sum(not state.is_finished and state is not RunState.WAITING for state in states)
        return 0 if idle and self.owner_alive() else idle

    def show(self, run_id: str) -> dict[str, Json]:
        """A run with its events; an unambiguous beginning of its id is enough. `RUN_UNKNOWN`, `RUN_AMBIGUOUS`."""
        journal = self._recorded(run_id)
        run = find_run(journal, run_id)
        record: RunRecord | None = None
        events: list[Json] = []
        for leaf in journal.run_leaves(run):
            record = fold(record, leaf)
            events.append(
                {"seq": leaf.seq, "n": leaf.n, "at_ms": leaf.at_ms, "event": msgspec.to_builtins(leaf.event)}
            )
        assert record is not None  # INVARIANT: a row of `runs` has events
        head = journal.head()
        document = load_json(journal, record.created.document)
        blueprint = Blueprint.of_document(document) if document is not None else None
        ledger: dict[str, Json] = {"size": head.size, "root": base64.b64encode(head.root).decode()}
        shown = describe_run(record, blueprint, journal, ledger).to_json()
        return {
            **shown,
            "status": self._shown_status(record.state.value),
            "started_at": _instant(record.started_at_ms),
            "started_at_ms": record.started_at_ms,
            "principal": record.created.principal,
            "owner_alive": self.owner_alive(),
            "inputs": load_json(journal, record.created.inputs),
            "events": events,
        }

    def approvals(self) -> list[dict[str, Json]]:
        """Everything that waits for a person, oldest first, with what would be approved."""
        if self._journal is None:
            return []
        waiting: list[dict[str, Json]] = []
        for row in self._journal.rows("approvals", {"status": "pending"}):
            record: RunRecord | None = None
            for leaf in self._journal.run_leaves(RunId(str(row["run_id"]))):
                record = fold(record, leaf)
            open_now = record.open_approvals() if record is not None else []
            waiting += [
                self._approval(str(row["run_id"]), approval)
                for approval in open_now
                if approval.request.digest == row["digest"]
            ]
        return sorted(waiting, key=lambda item: str(item["requested_at"]))

    def _approval(self, run_id: str, approval: Any) -> dict[str, Json]:
        assert self._journal is not None  # INVARIANT: `approvals` looked
        request: ev.ApprovalRequested = approval.request
        return {
            "run_id": run_id,
            "step": request.step,
            "capability": request.capability,
            "version": request.version,
            "risk_level": request.risk,
            "rule": request.rule,
            "requester": request.requester,
            "digest": request.digest,
            "preview": load_json(self._journal, request.preview),
            "inputs": load_json(self._journal, request.inputs),
            "approvers": {
                "roles": [*request.roles],
                "kinds": [*request.kinds],
                "count": request.count,
                "not_requester": request.not_requester,
            },
            "requested_at": _instant(approval.requested_at_ms),
            "requested_at_ms": approval.requested_at_ms,
            "expires_at_ms": request.expires_at_ms,
            "expires_at": _instant(request.expires_at_ms) if request.expires_at_ms is not None else None,
            "granted_by": [*approval.granted_by],
        }

    def audit_log(self, wanted: EventFilter) -> Iterator[dict[str, Json]]:
        """The entries that pass a filter, in log order."""
        if self._journal is None:
            return
        for line in audit_log(self._journal.leaves(), wanted):
            yield line.to_json()

    def verify(self, checkpoint: str | None = None, key: str | None = None) -> dict[str, Json]:
        """Whether the ledger is what was recorded: `checkpoint` is the text of one kept elsewhere, `key` a public key."""
        self._recorded("")
        report = verify_ledger(
            self._ledger_file,
            [self._key(key)],
            projector=RunProjector(),
            kept=checkpoint,
            cpu_s=system.cpu_seconds,
        )
        return report.to_json()

    def prove(self, seq: int) -> str:
        """A self-contained proof that an entry is in the ledger."""
        self._recorded("")
        with SqliteRecord.open(self._ledger_file) as record:
            return prove(record, seq)

    def export(self, folder: Path) -> dict[str, Json]:
        """Write the whole ledger to a folder, verifiable elsewhere."""
        self._recorded("")
        with SqliteRecord.open(self._ledger_file) as record:
            exported = export_ledger(record, folder, vkey=self.vkey())
        return {"folder": str(folder), **msgspec.to_builtins(exported)}

    def vkey(self) -> str:
        """The public key that the ledger's checkpoints are signed with, under the ledger's own name."""
        return self._signer().vkey

    def _key(self, key: str | None) -> Verifier:
        return verifier_from_vkey(key if key is not None else self.vkey())

    def _signer(self) -> Ed25519FileSigner:
        """The key that signs this ledger, under the ledger's own name."""
        first = next(self._recorded("").leaves(stop=1)).event
        assert isinstance(first, ev.LedgerCreated)  # INVARIANT: every ledger begins with it
        return Ed25519FileSigner.open(self._settings.key_path).named(first.origin)

    @property
    def _ledger_file(self) -> Path:
        return self._settings.state / LEDGER_FILE

    def _recorded(self, run_id: str) -> SqliteReader:
        if self._journal is None:
            if run_id:
                raise unknown_run(run_id)
            raise InputError(
                "STATE_MISSING",
                f"nothing was recorded yet in `{self._settings.state}`",
                hint="run something with `assent run` first",
            )
        return self._journal


def verify_proof(text: str, key: str) -> dict[str, Json]:
    """What a proof shows, checked with the ledger's public key alone."""
    proven = _verify_proof(text, TrustPolicy.of_keys(key))
    return {
        "index": proven.index,
        "size": proven.checkpoint.size,
        "root": base64.b64encode(proven.checkpoint.root).decode(),
        "origin": proven.checkpoint.origin,
        "entry": msgspec.json.decode(proven.data),
    }


def verify_export(folder: Path, key: str | None) -> dict[str, Json]:
    """Whether an export is what was recorded; the key that came with it is used when no other is given."""
    vkey = key if key is not None else (folder / "ledger.vkey").read_text(encoding="ascii").strip()
    return _verify_export(folder, [verifier_from_vkey(vkey)]).to_json()


def _instant(at_ms: Any) -> str:
    moment = datetime.fromtimestamp(int(at_ms) / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
