"""A snapshot of one call; `_restore` makes a context of it again.

Taking one has to be cheap, because it is taken in the middle of a call. So the values are only frozen then, in Python's own form
for plain data (`marshal`), which is exact and made in one go; the document is made of that when it is asked for.

In the document is what JSON can say exactly. A value that it can't (a tuple, a client, an integer beyond 2^53) is named under
`omitted`, and what is named like a secret, or what a schema calls one, under `masked`; neither is restored.
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from assent.errors import InputError, Json
from assent.invocation.context.phases import CallPhase
from assent.invocation.context.snapshot import FORMAT, Snapshot, require_size
from assent.invocation.context.state import PLAIN_TYPES, StateKey
from assent.spec.ids import Fingerprint
from assent.spec.masking import masked, masked_by_name, names_secret
from assent.spec.values.canonical import canonical_json, parse_json

if TYPE_CHECKING:
    from assent.invocation.context._hook_records import HookRecord
    from assent.spec.capability import CapabilitySpec

_NAMES: Final[Mapping[type, str]] = {kind: name for name, kind in PLAIN_TYPES.items()}
_TASKS: Final[Mapping[CallPhase, str]] = {
    CallPhase.EXECUTING: "execute",
    CallPhase.COMPENSATING: "compensate",
}


class Performing(Protocol):
    """What performs a call: all that a snapshot says of a capability."""

    @property
    def spec(self) -> CapabilitySpec: ...

    @property
    def handler_fingerprint(self) -> Fingerprint: ...


# `Any`: a `LocalContext` and its `CallLife`, whose module needs this one.
def snapshot_call(context: Any, life: Any) -> Snapshot:
    """A call as it stands. `SNAPSHOT_TOO_LARGE`."""
    state, prepared, meta, callbacks = life.state, life.prepared, life.meta, life.callbacks
    values = (
        [*state.values()] if state is not None else [],
        dict(meta) if meta is not None else None,
        dict(prepared) if prepared is not None else None,
        life.output,
    )
    try:
        frozen = marshal.dumps(values, 2)
    except ValueError:
        frozen = marshal.dumps(_plain(values), 2)
    taken = _Taken(
        context,
        life.bound,
        tuple(state) if state is not None else (),
        require_size(frozen),
        life.phase,
        life.deadline_ms,
        life.hooks_run,
        len(callbacks.cleanup) if callbacks is not None else 0,
        life.is_over,
        tuple(life.flags) if life.flags is not None else (),
        tuple(task.to_json() for task in life.tasks or ()),
    )
    return Snapshot(taken.encode)


class _Taken(NamedTuple):
    """What of a call can change, as it was. The context's own fields can't."""

    context: Any  # as above
    bound: Performing | None
    keys: tuple[StateKey[Any], ...]
    values: bytes
    phase: CallPhase
    deadline_ms: int | None
    hooks: tuple[HookRecord, ...]
    cleanups: int
    is_over: bool
    flags: tuple[str, ...]
    spawned: tuple[list[Json], ...]

    def encode(self) -> bytes:
        """The document as JSON text."""
        context, bound = self.context, self.bound
        state, meta, prepared, output = marshal.loads(self.values)  # noqa: S302  # frozen by this process, above
        omitted: list[str] = []
        hidden: list[str] = []
        entries: list[Json] = []
        for key, value in zip(self.keys, state, strict=True):
            if names_secret(key.name):
                hidden.append(key.name)
            elif key.type in _NAMES and _is_json(value):
                entries.append([key.name, _NAMES[key.type], masked_by_name(value, hidden)])
            else:
                omitted.append(key.name)
        for name, value in (("meta", meta), ("prepared", prepared), ("output", output)):
            if not _is_json(value):
                omitted.append(name)
        document: dict[str, Json] = {
            "snapshot": FORMAT,
            "kind": "call",
            "run": context.run,
            "step": context.step,
            "attempt": context.attempt,
            "key": context.key,
            "request_id": context.request_id,
            "principal": str(context.principal),
            "roles": [*sorted(context.principal.roles)],
            "keep_pre_image": context.keep_pre_image,
            "phase": self.phase.value,
            "deadline_ms": self.deadline_ms,
            "hook": _hook(self.hooks) if self.hooks else None,
            "tasks": {
                "part": _TASKS.get(self.phase),
                "cleanups": self.cleanups,
                "is_over": self.is_over,
                **({"spawned": [*self.spawned]} if self.spawned else {}),
            },
            "versions": {
                "capability": context.capability,
                "version": context.version,
                "spec": bound.spec.fingerprint if bound is not None else None,
                "handler": bound.handler_fingerprint if bound is not None else None,
            },
            "state": entries,
            "meta": masked_by_name(meta, hidden) if "meta" not in omitted else None,
            "flags": [*sorted(self.flags)],
            "prepared": masked_by_name(prepared, hidden) if "prepared" not in omitted else None,
            "output": _output(output, bound, hidden) if "output" not in omitted else None,
            "omitted": [*omitted],
            "masked": [*hidden],
        }
        # Last: by now every value is known that the call may have been given.
        return canonical_json(context.redact(document))


def _plain(value: Any) -> Any:  # `Any`: whatever a call remembers
    """The values with `...` for each that is no plain data: it is named, and nothing more is told of it."""
    if type(value) is tuple:
        return tuple(map(_plain, value))
    if type(value) is list:
        return [item if _is_plain(item) else ... for item in value]
    return value if _is_plain(value) else ...


def _is_plain(value: Any) -> bool:  # `Any`: as above
    try:
        marshal.dumps(value, 2)
    except ValueError:
        return False
    return True


def _hook(hooks: tuple[HookRecord, ...]) -> dict[str, Json]:
    """Where the call stands among its hooks: how many have run, what came of the last, and of each (`ran`), as restored."""
    last = hooks[-1]
    ran: list[Json] = [[one.id, one.kind, one.level, one.runs, one.duration_us, one.code] for one in hooks]
    return {
        "run": len(hooks),
        "last": last.id,
        "level": last.level,
        "kind": last.kind,
        "code": last.code,
        "ran": ran,
    }


def _output(value: Json, bound: Performing | None, hidden: list[str]) -> Json:
    if value is None or bound is None:
        return value
    shown = masked(value, bound.spec.returns)
    if shown is not value:
        hidden.append("output")
    return shown


def _is_json(value: object) -> bool:
    """Whether the value is JSON, of JSON's own types, and has an exact form."""
    try:
        return bool(parse_json(canonical_json(value)) == value)
    except (InputError, RecursionError):
        return False
