"""`@capability`: a function, and beside it what the act risks and how it is taken back.

    @capability("notes.put", operation="WRITE", risk="MEDIUM", reversible=True)
    async def put(context: LocalContext, key: str, text: str = "") -> Put: ...

    @put.prepare
    async def before(context: LocalContext, key: str) -> Prepared: ...

    @put.compensate
    async def restore(context: LocalContext, key: str) -> None: ...

The decorator only describes. Nothing is registered, no schema is built and no annotation is looked at before a runtime is handed
the description (`rt.register(put)`); then everything that is wrong with it is told at once, with the line of the function.

**Signatures.** The first parameter may be annotated `LocalContext`. Behind it stands either one parameter whose type is a
pydantic model, which is the whole of the inputs, or any number of parameters, each of which is one input. The other parts name
only what they need of these, in any order. A parameter called `prepared` is no input: it receives what `prepare` gave, read as
the type it is annotated with.

**What is derived** from what is not said, and nothing else is: a READ is reversible, idempotent and of the scope `none`; any
other act is irreversible, not idempotent and without a compensation. `reversible=True` claims a `compensate` that restores the
state before (strategy `restore_pre_image`); `compensation="…"` alone claims one that offsets the effect; `compensated_by` names
another capability instead. The description is the first paragraph of the function's docstring.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from assent.errors import InputError, Json
from assent.invocation.context._hook_records import HookLevel
from assent.invocation.describe._claims import Claims, DeclaredPart, Level, Operation
from assent.invocation.describe.handler import ATTACHED_NAMES, Handler
from assent.invocation.hooks.hook import HookDecorator, Hooks

if TYPE_CHECKING:
    from assent.spec.capability import CapabilitySpec, Risk

Function = TypeVar("Function", bound=Callable[..., Any])  # `Any`: a function keeps its own type


P = ParamSpec("P")
R = TypeVar("R")


class Capability(Generic[P, R]):
    """A described capability. Made by `@capability`; handed to `rt.register` or found by a plugin's loader."""

    def __init__(self, claims: Claims, execute: DeclaredPart) -> None:
        self.claims = claims
        self.parts: list[DeclaredPart] = [execute]
        self.hooks = Hooks(HookLevel.CAPABILITY)

    @property
    def id(self) -> str:
        """The capability's id."""
        return self.claims.id

    @property
    def function(self) -> Callable[P, R]:
        """The function itself, for a test of its own; whoever calls it goes through no gate and leaves no record."""
        return self.parts[0].function

    @property
    def place(self) -> str:
        """`FILE:LINE` of the function."""
        return self.parts[0].place

    @property
    def without(self) -> Mapping[str, str]:
        """Part → why there is none, as the declaration says it to people."""
        said = self.claims.without
        if not isinstance(said, Mapping):
            return {}
        return {part: reason for part, reason in said.items() if isinstance(reason, str)}

    @property
    def spec(self) -> CapabilitySpec:
        """The specification; raises as `handler` does."""
        return self._built[0]

    @property
    def handler(self) -> Handler:
        """The handler of all parts. `InputError` DECLARATION_INVALID tells everything that is wrong with the declaration."""
        return self._built[1]

    def prepare(self, part: Function) -> Function:
        """Attach the part that reads what undo will need. It returns a mapping, a model, or a `Prepared` that names blobs."""
        return self._attach("prepare", part)

    def compensate(self, part: Function) -> Function:
        """Attach the part that takes the effect back, from what was journaled only; it may be called twice."""
        return self._attach("compensate", part)

    def reconcile(self, part: Function) -> Function:
        """Attach the part that finds out whether the effect happened; it returns a `Reconciliation` and changes nothing."""
        return self._attach("reconcile", part)

    def preview(self, part: Function) -> Function:
        """Attach the part that shows what would change; it returns a `Preview` and changes nothing real."""
        return self._attach("preview", part)

    def leads_to(self, part: Function) -> Function:
        """Attach what tells the calls that `compensate` will come to: it returns a list of `LeadsTo` and looks at nothing."""
        return self._attach("leads_to", part)

    # What is attached by these runs around every call of the capability, within the hooks of the runtime (see `hooks`).

    @property
    def before(self) -> HookDecorator:
        """Attach a hook that runs before the call: `@put.before`, or with options `@put.before(timeout_s=1)`."""
        return self._hooked(self.hooks.before)

    @property
    def after(self) -> HookDecorator:
        """Attach a hook that runs when the output is valid."""
        return self._hooked(self.hooks.after)

    @property
    def catch(self) -> HookDecorator:
        """Attach a hook that runs when the call failed."""
        return self._hooked(self.hooks.catch)

    @property
    def finally_(self) -> HookDecorator:
        """Attach a hook that runs at the end of the call, however it ended."""
        return self._hooked(self.hooks.finally_)

    def _hooked(self, decorator: HookDecorator) -> HookDecorator:
        self.__dict__.pop("_built", None)
        return decorator

    def _attach(self, kind: str, part: Function) -> Function:
        assert kind in ATTACHED_NAMES
        self.parts.append(DeclaredPart(kind, part, _local_names(part)))
        self.__dict__.pop("_built", None)  # what was built before knows nothing of this part
        return part

    @cached_property
    def _built(self) -> tuple[CapabilitySpec, Handler]:
        # Building needs pydantic; describing, which every import of an author's file does, does not.
        from assent.invocation.describe._building import build

        return build(self.claims, self.parts, self.hooks.all)

    def __repr__(self) -> str:
        return f"<capability {self.id} at {self.place}>"


def capability(
    id: str,  # noqa: A002  # the spec's own field name
    *,
    operation: Operation,
    risk: Level | Risk,
    version: str = "1.0.0",
    name: str = "",
    description: str | None = None,
    reversible: bool | None = None,
    scope: str | None = None,
    effect: str = "",
    compensation: str | None = None,
    compensated_by: str | None = None,
    requires_approval: bool = False,
    justification: str = "",
    idempotent: bool | None = None,
    timeout: float | None = None,
    labels: Iterable[str] = (),
    secrets: Iterable[str] = (),
    sandbox: Mapping[str, Json] | None = None,
    parameters: Mapping[str, Json] | None = None,
    returns: Mapping[str, Json] | None = None,
    revision: str | None = None,
    rehearsable: bool = False,
    without: Mapping[str, str] | None = None,
) -> Callable[[Callable[P, R]], Capability[P, R]]:
    """A decorator that describes a capability whose effect the function is.

    `effect` says what changes, `scope` in which part of the world. `timeout` is in seconds. `parameters` and `returns` are JSON
    Schemas (2020-12) for a function whose types Python cannot say: it then takes, or gives, plain JSON. `revision` and
    `rehearsable` are the handler's (see `Handler`). `without` says why there is no part of a kind, in one sentence:
    `without={"reconcile": "a mail server can't be asked"}`. It is told to people and is no part of the spec or its fingerprint.
    """
    claims = Claims(
        id=id,
        operation=operation,
        risk=risk,
        version=version,
        name=name,
        description=description,
        reversible=reversible,
        scope=scope,
        effect=effect,
        compensation=compensation,
        compensated_by=compensated_by,
        requires_approval=requires_approval,
        justification=justification,
        idempotent=idempotent,
        timeout=timeout,
        labels=labels if isinstance(labels, str) else tuple(labels),
        secrets=secrets if isinstance(secrets, str) else tuple(secrets),
        sandbox=sandbox or {},
        parameters=parameters,
        returns=returns,
        revision=revision,
        rehearsable=rehearsable,
        without=without or {},
    )

    def describe(function: Callable[P, R]) -> Capability[P, R]:
        return Capability(claims, DeclaredPart("execute", function, _local_names(function)))

    return describe


def capabilities_in(module: ModuleType) -> list[Capability[..., Any]]:  # `Any`: each has its own result
    """The capabilities that a module describes itself, in the order of their lines; imported ones are their own module's."""
    found = {id(thing): thing for thing in vars(module).values() if isinstance(thing, Capability)}
    return [thing for thing in found.values() if thing.function.__module__ == module.__name__]


def described(source: object) -> list[Capability[..., Any]]:
    """The capabilities that `source` is: one, or a module's. `InputError` DECLARATION_INVALID when there is none."""
    if isinstance(source, Capability):
        return [source]
    found = capabilities_in(source) if isinstance(source, ModuleType) else []
    if not found:
        what = f"module `{source.__name__}`" if isinstance(source, ModuleType) else "what was registered"
        raise InputError(
            "DECLARATION_INVALID",
            f"{what} describes no capability",
            hint="decorate a function with `@capability(…)`, or register a spec with its handler",
        )
    return found


def _local_names(function: object) -> Mapping[str, object]:
    """The names that stood around a function where it was described; empty for a module's own, which are found without help."""
    if "<locals>" not in getattr(function, "__qualname__", ""):
        return {}
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    return dict(frame.f_locals) if frame is not None else {}
