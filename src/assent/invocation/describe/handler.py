"""A capability's handler: up to five parts, each sync (it runs in a worker thread) or async.

| part         | may touch the world | when it is called                                                             |
|--------------|---------------------|-------------------------------------------------------------------------------|
| `preview`    | no                  | for plans and approvals, on a simulated world that it changes as `execute` would |
| `prepare`    | reads only          | once per attempt, before the intent is journaled; what it returns is journaled  |
| `execute`    | yes                 | after the intent is durable; again after a crash when the effect did not happen  |
| `reconcile`  | reads only          | when a crash or timeout left it open whether the effect happened                 |
| `compensate` | yes                 | to take the effect back; idempotent, from what was journaled only; on a simulated |
|              |                     | world to find conflicts before an undo begins                                    |

Beside them `leads_to` may tell what calls `compensate` will come to (`LeadsTo`), so that the gate is asked about these when the
call is admitted. It looks at nothing but the parameters, the call's key and, later, the output. It is no behaviour of the effect,
so no fingerprint knows it.

Every part is called as `part(context, parameters)`. What `parameters` is follows from the handler's `parameters` type; without
one it is a plain dictionary that passed the spec's JSON Schema.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import CodeType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeGuard

import msgspec

from assent._lazy import compiled_when_asked
from assent.errors import AssentError, InputError, Json
from assent.invocation.context.local import LocalContext
from assent.invocation.hooks.hook import Hook
from assent.spec.ids import Fingerprint
from assent.spec.states import Verdict

if TYPE_CHECKING:
    from assent.spec.reach import Reach

# `Any`: parameter types differ from handler to handler, and validation has already proved the value.
Part: TypeAlias = Callable[[LocalContext, Any], Any | Awaitable[Any]]

PART_NAMES: Final = ("execute", "prepare", "compensate", "reconcile", "preview")


ATTACHED_NAMES: Final = (*PART_NAMES, "leads_to")

LEADS_MAX: Final = 16
"""Calls that taking one back may come to."""

_OF_A_LEAD: Final = {"role": str, "capability": str, "inputs": Mapping, "unknown": frozenset | set}
_ROLE: Final = compiled_when_asked(r"[a-z][a-z0-9_]{0,31}\Z")


class NoEffectError(AssentError):
    """A failure that is known to have left the world as it was: nothing to reconcile, nothing to take back.

    Any other exception out of `execute` leaves the effect unknown.
    """

    family = "input"


class Prepared(msgspec.Struct, frozen=True):
    """What undo and recovery will need, journaled before the effect. `blobs` are the pre-images that `state` refers to."""

    state: Mapping[str, Json] = msgspec.field(default_factory=dict)
    blobs: tuple[str, ...] = ()


class Reconciliation(msgspec.Struct, frozen=True):
    """Whether the effect happened. `output` is the effect's output when it did; `foreign`: somebody else's change was seen.

    `is_repeatable`: it is unknown, but this call, whatever its spec says of others, can't have its effect twice.
    """

    verdict: Verdict
    output: Json = None
    foreign: bool = False
    is_repeatable: bool = False


class LeadsTo(msgspec.Struct, frozen=True):
    """A call that taking this one back comes to: another capability with its inputs, and the names of those not known yet.

    It is rated by the call that it belongs to. Once the output is known, every input is. `role` is one lower-case word that says
    what it is (`request`).
    """

    role: str
    capability: str
    inputs: Mapping[str, Json]
    unknown: frozenset[str] = frozenset()

    @staticmethod
    def all_of(given: object, capability: str) -> tuple[LeadsTo, ...]:
        """What a `leads_to` gave, which may be anything: HANDLER_INVALID for what is not a few of these."""
        found = tuple(given) if isinstance(given, list | tuple) else (None,)
        if len(found) <= LEADS_MAX and all(map(_is_lead, found)):
            return found
        raise InputError(
            "HANDLER_INVALID",
            f"`leads_to` of `{capability}` does not give a list of at most {LEADS_MAX} `LeadsTo`",
            hint="give each a lower-case word as `role`, a capability, an object as `inputs`, and a set of names as `unknown`",
        )


def _is_lead(one: object) -> TypeGuard[LeadsTo]:
    # Nobody checked it when it was made, and a role stands in the ledger as it is.
    return (
        isinstance(one, LeadsTo)
        and all(isinstance(getattr(one, field), kind) for field, kind in _OF_A_LEAD.items())
        and _ROLE.match(one.role) is not None
        and all(isinstance(name, str) for name in (*one.inputs, *one.unknown))
    )


class Preview(msgspec.Struct, frozen=True):
    """What a call would change.

    `kind` says how to read `diff` (`unified`, `text`, `none`); `base` digests the state of the world that the preview was
    made on: an approval is void when it changed; `changes` is false when the call would leave the world as it is. `known` is
    false when what would change can't be told beforehand; `diff` then says why.
    """

    kind: str = "none"
    diff: str = ""
    base: str | None = None
    changes: bool = True
    known: bool = True


class UnfitOutput(msgspec.Struct, frozen=True):
    """An output that did not fit its type where the type is, in another process: `error` says how."""

    error: InputError


@dataclass(frozen=True, slots=True)
class Handler:
    """The parts of one capability's handler, and the types that its parameters and result have in Python.

    `revision` names the handler's behaviour for recovery: an intent is only continued by the handler that it was made for.
    Without one, the parts' compiled code is taken. `rehearsable`: `compensate` only acts through `context.world`, so it may be
    run on a simulated one. `hooks` run for the calls of this capability; they are no part of its behaviour. `completes`: its
    types are elsewhere, so the defaults of the spec's schema are filled in here. `reach`: of a plugin, where its calls may send
    requests.
    """

    execute: Part
    prepare: Part | None = None
    compensate: Part | None = None
    reconcile: Part | None = None
    preview: Part | None = None
    leads_to: Part | None = None
    parameters: type | None = None
    returns: type | None = None
    revision: str | None = None
    rehearsable: bool = False
    hooks: tuple[Hook, ...] = ()
    completes: bool = False
    reach: Reach | None = None

    @classmethod
    def of(cls, source: object) -> Handler:
        """The handler that `source` is: a `Handler`, a function (its `execute`), or an object with parts as methods."""
        if isinstance(source, Handler):
            return source
        if not hasattr(source, "execute") and callable(source):
            return cls(execute=source)
        # `Any`: keyword arguments of one type would be taken for all of the fields.
        parts: dict[str, Any] = {name: getattr(source, name, None) for name in PART_NAMES}
        execute = parts.pop("execute")
        if not callable(execute):
            raise InputError(
                "HANDLER_INVALID",
                "a handler needs an `execute` part",
                hint="pass a function `(context, parameters)`, or an object with an `execute` method",
            )
        return cls(
            execute=execute,
            leads_to=getattr(source, "leads_to", None),
            parameters=getattr(source, "parameters", None),
            returns=getattr(source, "returns", None),
            revision=getattr(source, "revision", None),
            rehearsable=bool(getattr(source, "rehearsable", False)),
            hooks=tuple(getattr(source, "hooks", ())),
            **parts,
        )

    @property
    def parts(self) -> frozenset[str]:
        """The names of the parts that there are."""
        return frozenset(name for name in PART_NAMES if getattr(self, name) is not None)

    def fingerprint(self) -> Fingerprint:
        """64 hex digits that change when the handler's behaviour may have changed."""
        digest = hashlib.sha256()
        for name in PART_NAMES:
            part = getattr(self, name)
            if part is not None:
                digest.update(f"{name}\0".encode())
                if self.revision is None:
                    digest.update(f"{getattr(part, '__qualname__', type(part).__qualname__)}\0".encode())
                    _digest_code(_code_of(part), digest.update)
        digest.update((self.revision or "").encode())
        return Fingerprint(digest.hexdigest())


class DeferredHandler(msgspec.Struct, frozen=True):
    """What is known of a handler whose code nobody has needed yet. `load` imports it; it may be called more than once.

    It stands for capabilities whose description was written down before (see `assent.capabilities`): their spec, too, is what was
    written, and the types that come with the code are taken to be those of the spec.
    """

    parts: frozenset[str]
    rehearsable: bool
    in_plans: bool
    """It only reads, and a plan may really run it; no part of its behaviour."""
    known_fingerprint: Fingerprint
    load: Callable[[], Handler]

    def fingerprint(self) -> Fingerprint:
        return self.known_fingerprint

    def loaded(self) -> Handler:
        """The handler itself."""
        handler = self.load()
        # INVARIANT: an intent names the behaviour by the fingerprint that was written down, so that must be this one's.
        assert handler.fingerprint() == self.known_fingerprint, "run `python -m tools.write_catalog`"
        return handler


def _code_of(part: Part) -> CodeType | None:
    """The compiled body of a function, a method, a decorated or partial function, or an object that is called."""
    part = inspect.unwrap(part.func if isinstance(part, partial) else part)
    found = getattr(part, "__code__", None) or getattr(type(part).__call__, "__code__", None)
    return found if isinstance(found, CodeType) else None


def _digest_code(code: CodeType | None, update: Callable[[bytes], None]) -> None:
    # Line numbers and file names are left out: moving a function does not change what it does.
    if code is None:
        return
    update(code.co_code)
    update(repr(code.co_names).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _digest_code(constant, update)
        elif isinstance(constant, frozenset):
            update(repr(sorted(map(repr, constant))).encode())
        else:
            update(repr(constant).encode())
