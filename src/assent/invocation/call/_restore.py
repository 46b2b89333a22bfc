"""A context made of a call's snapshot again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assent.errors import Json, RefusedError
from assent.invocation.call._bound import BoundCapability
from assent.invocation.context._hook_records import HookKind, HookLevel, HookRecord
from assent.invocation.context.local import BlobStore, CallLife, LocalContext, World
from assent.invocation.context.phases import CallPhase
from assent.invocation.context.snapshot import Snapshot, invalid_snapshot
from assent.invocation.context.state import PLAIN_TYPES, CallState, StateKey
from assent.spec.ids import RunId, StepKey
from assent.spec.principal import Principal


def restore_call(
    snapshot: Snapshot, bound: BoundCapability, *, world: World, blobs: BlobStore, force: bool = False
) -> LocalContext:
    """A context that stands where the call stood, with its private values, acting on another world if need be. What was hung on
    the call (`on_cleanup` and the like) is code of the process that froze it, and is only counted in the snapshot.

    Each call gives another, equal one. `SNAPSHOT_INVALID`; `SNAPSHOT_MISMATCH` when `bound` is not what the call was of, unless
    `force` says that it may be another.
    """
    document: Any = snapshot.document
    if document.get("kind") != "call":
        raise invalid_snapshot("it is of a run, and only a call has a context to restore")
    try:
        if not force:
            _require_same(document["versions"], bound)
        return _context(document, bound, world, blobs)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise invalid_snapshot(f"something is missing in it or is of another kind ({error})") from None


def _context(document: Any, bound: BoundCapability, world: World, blobs: BlobStore) -> LocalContext:
    life = CallLife()
    life.phase = CallPhase(document["phase"])
    life.deadline_ms = document["deadline_ms"]
    life.prepared, life.output = document["prepared"], document["output"]
    life.is_over = document["tasks"]["is_over"]
    life.bound = bound
    if document["hook"] is not None:
        life.hooks_run = tuple(
            HookRecord(name, HookKind(kind), HookLevel(level), runs, duration_us, code)
            for name, kind, level, runs, duration_us, code in document["hook"]["ran"]
        )
    if document["state"]:
        life.state = CallState()
        for name, kind, value in document["state"]:
            # Canonical JSON writes `1.0` as `1`.
            life.state.set(StateKey(name, PLAIN_TYPES[kind]), float(value) if kind == "float" else value)
    life.meta = document["meta"]
    if document["flags"]:
        life.flags = set(document["flags"])
    return LocalContext(
        run=RunId(document["run"]),
        step=StepKey(document["step"]),
        attempt=document["attempt"],
        principal=Principal.parse(document["principal"], roles=frozenset(document["roles"])),
        key=document["key"],
        world=world,
        blobs=blobs,
        keep_pre_image=document["keep_pre_image"],
        request_id=document["request_id"],
        capability=bound.spec.id,
        version=bound.spec.version,
        life=life,
    )


def _require_same(versions: Mapping[str, Json], bound: BoundCapability) -> None:
    now = {"spec": bound.spec.fingerprint, "handler": bound.handler_fingerprint}
    changed: list[Json] = [name for name, fingerprint in now.items() if versions[name] != fingerprint]
    if changed:
        raise RefusedError(
            "SNAPSHOT_MISMATCH",
            f"the snapshot is of `{versions['capability']}@{versions['version']}`, and the {' and the '.join(map(str, changed))} "
            f"of `{bound.spec.reference}` is another",
            hint="restore it with what it was taken of, or say `force=True`",
            details={"changed": changed},
        )
