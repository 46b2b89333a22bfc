"""What a call remembers, as it crosses the pipe: the same on either side."""

from __future__ import annotations

from typing import Any, Final

from assent.invocation import CallState, HookKind, HookLevel, HookRecord, StateKey
from assent.invocation.context.local import CallLife
from assent.invocation.context.state import PLAIN_TYPES
from assent.plugins.worker._frames import BrokenFrameError, Kept, pack_json, unpack_json

_NAMES: Final[dict[type, str]] = {kind: name for name, kind in PLAIN_TYPES.items()}


def kept_of(life: CallLife) -> Kept:
    """What of a call's memory is JSON. The rest stays where it is."""
    meta = {name: value for name, value in life.meta.items() if _is_json(value)} if life.meta else {}
    flags = map(str, life.flags or ())
    entries = []
    if life.state is not None:
        entries = [
            [key.name, _NAMES[key.type], value]
            for key, value in zip(life.state, life.state.values(), strict=True)
            if key.type in _NAMES and _is_json(value)
        ]
    return Kept(pack_json(meta) if meta else b"", sorted(flags), pack_json(entries) if entries else b"")


def keep(life: CallLife, kept: Kept) -> None:
    """Remember what the other side does. What is here and is no JSON stays; `BrokenFrameError` for what can't be kept."""
    meta, state = unpack_json(kept.meta) or {}, unpack_json(kept.state) or []
    if not isinstance(meta, dict) or not isinstance(state, list):
        raise BrokenFrameError("what a call remembers is not a memory of one")
    # Changed in place, all three: a part, or a hook, may hold them.
    if meta or life.meta:
        own = life.meta = {} if life.meta is None else life.meta
        for name in [name for name, value in own.items() if _is_json(value)]:
            del own[name]
        own.update(meta)
    if kept.flags or life.flags:
        flags = life.flags = set() if life.flags is None else life.flags
        flags.clear()
        flags.update(kept.flags)
    if state or life.state is not None:
        _keep_state(life, state)


def _keep_state(life: CallLife, entries: list[object]) -> None:
    own = life.state = CallState() if life.state is None else life.state
    for key, value in [*zip(own, own.values(), strict=True)]:
        if key.type in _NAMES and _is_json(value):
            own.delete(key)
    for entry in entries:
        match entry:
            case [str() as name, str() as kind, value] if kind in PLAIN_TYPES and isinstance(
                value, PLAIN_TYPES[kind]
            ):
                own.set(StateKey(name, PLAIN_TYPES[kind]), value)
            case _:
                raise BrokenFrameError("a call's state holds what is none")


def records_to(records: tuple[HookRecord, ...]) -> bytes:
    """What came of a call's hooks, as JSON text."""
    if not records:
        return b""
    return pack_json([[one.id, one.kind, one.level, one.runs, one.duration_us, one.code] for one in records])


def records_from(data: bytes) -> tuple[HookRecord, ...]:
    """The same again."""
    found: list[list[Any]] = unpack_json(data) or []  # `Any`: rows of mixed types
    return tuple(
        HookRecord(ident, HookKind(kind), HookLevel(level), runs, duration_us, code)
        for ident, kind, level, runs, duration_us, code in found
    )


def _is_json(value: object) -> bool:
    """Whether the value is JSON, of JSON's own types: a tuple or a date would come back as something else."""
    try:
        return bool(unpack_json(pack_json(value)) == value)
    except (TypeError, ValueError, RecursionError, BrokenFrameError):
        return False
