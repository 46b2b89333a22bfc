"""A capability ready to be called: its spec and handler, and the validators that stand at both ends of a call."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from assent.errors import InputError, Json
from assent.invocation.call._shape import Shape
from assent.invocation.context._hook_records import HookLevel
from assent.invocation.describe.handler import DeferredHandler, Handler, UnfitOutput
from assent.invocation.hooks.hook import Hooks
from assent.spec.capability import CapabilitySpec
from assent.spec.ids import Fingerprint
from assent.spec.secret_fields import SecretFields
from assent.spec.spelled_fields import SpelledFields, Spellings
from assent.spec.states import Undo
from assent.spec.unkept_fields import UnkeptFields, has_unkept
from assent.spec.values.frozen import thaw


class Unkept(NamedTuple):
    """The texts of a call that are told and not kept.

    Of the inputs as its caller gives them (`handed`) and as they are complete, of the output as the version that serves gives it
    and as the caller's does (`told`).
    """

    handed: UnkeptFields
    inputs: UnkeptFields
    output: UnkeptFields
    told: UnkeptFields


class BoundCapability:
    """One capability version with the handler that performs it.

    Both ends validate strictly: nothing is coerced from another type, NaN and infinity are refused. Validators are built at
    their first use, because most runs call few of the capabilities that exist.
    """

    def __init__(
        self,
        spec: CapabilitySpec,
        handler: Handler | DeferredHandler,
        *,
        is_proved: bool = False,
        is_own: bool = False,
    ) -> None:
        """`is_proved`: the handler's types are known to be those of the spec's schemas, as a deferred one's always are.

        `is_own`: it comes with Assent, so that it does what its spec says and no more.
        """
        self.parts = handler.parts
        _check_parts(spec, self.parts)
        self.spec = spec
        self.given = handler
        self.is_proved = is_proved or isinstance(handler, DeferredHandler)
        self.is_own = is_own
        self.rehearsable = handler.rehearsable
        self.fingerprint = handler.fingerprint()
        self.reach = handler.reach if isinstance(handler, Handler) else None
        if isinstance(handler, DeferredHandler):
            return
        Hooks(HookLevel.CAPABILITY, handler.hooks)  # refuses two with one id
        if handler.parameters is None and spec.parameters:
            # A schema from outside is proved to be one before anybody can call it; types prove theirs when they are first used.
            _ = self._takes
        if handler.returns is None and spec.returns:
            _ = self._gives

    @cached_property
    def handler(self) -> Handler:
        """The parts themselves; asking for them imports their code, which `parts` and `rehearsable` do not."""
        return self.given.loaded() if isinstance(self.given, DeferredHandler) else self.given

    @cached_property
    def leaves_no_trace(self) -> bool:
        """It only looks, uses no secret, and nobody outside learns of it: having done it twice, or in vain, changes nothing."""
        spec = self.spec
        return (
            self.is_own and not spec.has_effect and not spec.secrets and "sends_external" not in spec.labels
        )

    @property
    def in_plans(self) -> bool:
        """A plan may really run it: it leaves no trace, and gives the same again where nobody changed a file."""
        is_given = isinstance(self.given, DeferredHandler) and self.given.in_plans
        # What a plan has read is kept, to be shown beside it.
        return self.leaves_no_trace and is_given and not any(fields.some for fields in self.unkept)

    @property
    def asked(self) -> CapabilitySpec | None:
        """The version that callers speak, where this one serves them in its place."""
        return None

    @property
    def performer(self) -> BoundCapability:
        """The version that does the work."""
        return self

    @property
    def handler_fingerprint(self) -> Fingerprint:
        """Names the handler's behaviour; an intent is only continued by the same one."""
        return self.fingerprint

    @cached_property
    def undo(self) -> Undo:
        """How the effect can be taken back."""
        # Of a plugin this is a claim: what it does is taken back by what it gave for that.
        touches_nothing = self.is_own and self.spec.side_effects.scope == "none"
        if not self.spec.has_effect or touches_nothing:
            return Undo.NOT_NEEDED
        if "compensate" in self.parts:
            return Undo.AUTOMATIC if self.spec.side_effects.reversible else Undo.COMPENSATION
        return Undo.COMPENSATION if self.spec.compensation.capability_id else Undo.NONE

    def parse(self, inputs: Mapping[str, Json]) -> tuple[Any, dict[str, Json]]:
        """The parameters as the handler takes them, and as JSON with every default filled in.

        `InputError` INVALID_INPUT lists every fault.
        """
        return self._takes.read(inputs)

    def take(self, inputs: Mapping[str, Json], spellings: Spellings) -> tuple[Any, dict[str, Json]]:
        """The same of a caller's inputs, with each path and URL in its normal form: what the gate, and all after it, sees.

        Raises what `spellings` refuse a path or a URL with, too.
        """
        parameters, plain = self.parse(inputs)
        spelled = self._spelled.normal(plain, spellings) if spellings else plain
        return (parameters, plain) if spelled is plain else self.performer.parse(spelled)

    def take_part(
        self, inputs: Mapping[str, Json], unknown: Collection[str], spellings: Spellings
    ) -> dict[str, Json]:
        """The same of inputs of which those named are not known yet: the defaults of the others, and their normal forms."""
        properties = self.spec.parameters.get("properties")
        defaults: dict[str, Json] = {
            str(name): thaw(schema["default"])
            for name, schema in (properties.items() if isinstance(properties, Mapping) else ())
            if isinstance(schema, Mapping) and "default" in schema and name not in unknown
        }
        return self._spelled.normal({**defaults, **inputs}, spellings)

    def require_references(self, inputs: Mapping[str, Json]) -> None:
        """Raise INVALID_INPUT for a value that stands where only a reference to a secret may; nothing of it is repeated.

        What the journal gives back is not held to this: an earlier version took it.
        """
        if self._secrets.hides:
            self._secrets.require_references(dict(inputs), self.spec.id)

    @cached_property
    def unkept(self) -> Unkept:
        """The texts that are told and not kept."""
        ends = (self.asked or self.spec), self.spec
        takes, gives = (
            [UnkeptFields(one.parameters) for one in ends],
            [UnkeptFields(one.returns) for one in ends],
        )
        return Unkept(*takes, *reversed(gives))

    @cached_property
    def _secrets(self) -> SecretFields:
        return SecretFields(self.spec.parameters)

    @cached_property
    def _spelled(self) -> SpelledFields:
        return SpelledFields(self.spec.parameters)

    def revive(self, inputs: Mapping[str, Json]) -> Any:
        """The parameters of a journaled call, as the handler takes them."""
        return self.parse(inputs)[0]

    def result(self, output: object) -> Json:
        """What `execute` returned, as JSON; `InputError` INVALID_OUTPUT lists every fault.

        The faults tell no values: the error is kept in the ledger, where an erased payload must not live on.
        """
        if isinstance(output, UnfitOutput):
            raise output.error
        return self._gives.write(output)

    @cached_property
    def _takes(self) -> Shape:
        return Shape(
            self.spec.parameters,
            self.handler.parameters,
            code="INVALID_INPUT",
            of=f"the inputs of `{self.spec.id}`",
            # A refusal is kept.
            shows_values=not has_unkept(self.spec.parameters),
            is_proved=self.is_proved,
            completes=self.handler.completes,
        )

    def told(self, output: Json) -> Json:
        """A valid output as callers get it."""
        return output

    @cached_property
    def _gives(self) -> Shape:
        return Shape(
            self.spec.returns,
            self.handler.returns,
            code="INVALID_OUTPUT",
            of=f"the outputs of `{self.spec.id}`",
            shows_values=False,
            is_proved=self.is_proved,
        )


def _check_parts(spec: CapabilitySpec, parts: frozenset[str]) -> None:
    claims = spec.has_effect and spec.compensation.supported and spec.compensation.capability_id is None
    if claims and "compensate" not in parts:
        raise InputError(
            "HANDLER_INVALID",
            f"capability `{spec.id}` claims the compensation `{spec.compensation.strategy}`, but its handler has no "
            "`compensate` part",
            hint="give the handler a `compensate`, or name a compensating capability in the spec",
        )
    if "compensate" in parts and not spec.compensation.supported:
        raise InputError(
            "HANDLER_INVALID",
            f"the handler of `{spec.id}` has a `compensate` part that the spec does not claim",
            hint="set `compensation.supported` and name its strategy",
        )
