"""A capability ready to be called: its spec and handler, and the validators that stand at both ends of a call."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec
from pydantic import TypeAdapter, ValidationError

from assent.errors import InputError, Json
from assent.invocation._faults import Fault, finite_faults, model_faults, plain_fault, schema_faults
from assent.invocation._hook_records import HookLevel
from assent.invocation.handler import Handler
from assent.invocation.hooks import Hooks
from assent.spec.capability import CapabilitySpec, schema_of
from assent.spec.frozen import thaw
from assent.spec.ids import Fingerprint
from assent.spec.states import Undo

_encode = msgspec.json.Encoder(order="sorted").encode


class BoundCapability:
    """One capability version with the handler that performs it.

    Both ends validate strictly: nothing is coerced from another type, NaN and infinity are refused. Validators are built at
    their first use, because most runs call few of the capabilities that exist.
    """

    def __init__(self, spec: CapabilitySpec, handler: Handler) -> None:
        _check_parts(spec, handler)
        Hooks(HookLevel.CAPABILITY, handler.hooks)  # refuses two with one id
        self.spec = spec
        self.handler = handler
        self.fingerprint = handler.fingerprint()

    @property
    def handler_fingerprint(self) -> Fingerprint:
        """Names the handler's behaviour; an intent is only continued by the same one."""
        return self.fingerprint

    @cached_property
    def undo(self) -> Undo:
        """How the effect can be taken back."""
        if not self.spec.has_effect:
            return Undo.NOT_NEEDED
        if self.handler.compensate is not None:
            return Undo.AUTOMATIC if self.spec.side_effects.reversible else Undo.COMPENSATION
        return Undo.COMPENSATION if self.spec.compensation.capability_id else Undo.NONE

    def parse(self, inputs: Mapping[str, Json]) -> tuple[Any, dict[str, Json]]:
        """The parameters as the handler takes them, and as JSON with every default filled in.

        `InputError` INVALID_INPUT lists every fault.
        """
        faults = finite_faults(inputs)
        if faults:
            raise invalid("INVALID_INPUT", f"the inputs of `{self.spec.id}`", faults)
        if self._parameters is None:
            faults = _check_schema(self._parameter_schema, self.spec.parameters, inputs, shows_values=True)
            if faults:
                raise invalid("INVALID_INPUT", f"the inputs of `{self.spec.id}`", faults)
            plain = dict(inputs)
            return plain, plain
        try:
            value = self._parameters.validate_json(_encode(inputs), strict=True)
        except ValidationError as error:
            faults = model_faults(error, self.spec.parameters, shows_values=True)
            raise invalid("INVALID_INPUT", f"the inputs of `{self.spec.id}`", faults) from None
        except (TypeError, ValueError) as error:
            faults = [plain_fault(str(error))]
            raise invalid("INVALID_INPUT", f"the inputs of `{self.spec.id}`", faults) from None
        return value, self._parameters.dump_python(value, mode="json")

    def revive(self, inputs: Mapping[str, Json]) -> Any:
        """The parameters of a journaled call, as the handler takes them."""
        return self.parse(inputs)[0]

    def result(self, output: object) -> Json:
        """What `execute` returned, as JSON; `InputError` INVALID_OUTPUT lists every fault.

        The faults tell no values: the error is kept in the ledger, where an erased payload must not live on.
        """
        what = f"the output of `{self.spec.id}`"
        try:
            if self._returns is not None:
                checked = self._returns.validate_python(output, strict=True)
                return self._returns.dump_python(checked, mode="json")  # type: ignore[no-any-return]  # JSON by its mode
            if output is None and not self._return_schema:
                return None
            plain: Json = msgspec.to_builtins(output)
            msgspec.json.encode(plain)
        except ValidationError as error:
            faults = model_faults(error, self.spec.returns, shows_values=False)
            raise invalid("INVALID_OUTPUT", what, faults) from None
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            raise invalid("INVALID_OUTPUT", what, [plain_fault(str(error))]) from None
        faults = finite_faults(plain) or _check_schema(
            self._return_schema, self.spec.returns, plain, shows_values=False
        )
        if faults:
            raise invalid("INVALID_OUTPUT", what, faults)
        return plain

    def cool(self) -> None:
        """Let go of the validators; the next call builds them again. Safe beside calls under way, which keep what they hold."""
        for name in ("_parameters", "_returns", "_parameter_schema", "_return_schema"):
            self.__dict__.pop(name, None)

    @cached_property
    def _parameters(self) -> TypeAdapter[Any] | None:
        return _adapter(self.handler.parameters, self.spec.parameters, f"`{self.spec.id}` takes")

    @cached_property
    def _returns(self) -> TypeAdapter[Any] | None:
        return _adapter(self.handler.returns, self.spec.returns, f"`{self.spec.id}` returns")

    @cached_property
    def _parameter_schema(self) -> Any:
        return _schema_validator(thaw(self.spec.parameters))

    @cached_property
    def _return_schema(self) -> Any:
        return _schema_validator(thaw(self.spec.returns))


def _check_schema(
    validator: Any, schema: Mapping[str, Json], value: object, *, shows_values: bool
) -> list[Fault]:
    if validator is None:
        return []
    return schema_faults(validator.iter_errors(value), schema, shows_values=shows_values)


def _check_parts(spec: CapabilitySpec, handler: Handler) -> None:
    claims = spec.has_effect and spec.compensation.supported and spec.compensation.capability_id is None
    if claims and handler.compensate is None:
        raise InputError(
            "HANDLER_INVALID",
            f"capability `{spec.id}` claims the compensation `{spec.compensation.strategy}`, but its handler has no "
            "`compensate` part",
            hint="give the handler a `compensate`, or name a compensating capability in the spec",
        )
    if handler.compensate is not None and not spec.compensation.supported:
        raise InputError(
            "HANDLER_INVALID",
            f"the handler of `{spec.id}` has a `compensate` part that the spec does not claim",
            hint="set `compensation.supported` and name its strategy",
        )


def _adapter(declared: type | None, schema: Mapping[str, Json], what: str) -> TypeAdapter[Any] | None:
    if declared is None:
        return None
    adapter: TypeAdapter[Any] = TypeAdapter(declared)
    if schema and schema_of(declared) != thaw(schema):
        raise InputError(
            "HANDLER_INVALID",
            f"{what} another type than its spec says",
            hint="derive the spec's schema from the handler's own type",
        )
    return adapter


def _schema_validator(schema: dict[str, Json]) -> Any:
    if not schema:
        return None
    import jsonschema_rs  # only capabilities without Python types need it, and it costs start-up

    return jsonschema_rs.validator_for(schema)


def invalid(code: str, what: str, faults: list[Fault]) -> InputError:
    """One error for all faults: the first in the sentence, every one in `details`."""
    first = faults[0]
    path, hint = str(first["path"]), first.get("hint")
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return InputError(
        code,
        f"{what} are not valid: {first['message']}{more}",
        path=path or None,
        hint=str(hint) if hint else None,
        details={"faults": list(faults)},
    )
