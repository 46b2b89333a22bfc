"""From a declaration to a spec and a handler: annotations become types, and claims are held against the parts that are there."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model

from assent.errors import InputError
from assent.invocation.describe._binding import bound_part
from assent.invocation.describe._claims import CALLS_ANOTHER, RESTORES, Claims, DeclaredPart
from assent.invocation.describe._declaration_faults import DeclarationFaults
from assent.invocation.describe._signatures import Signature, signature_of
from assent.invocation.describe.handler import PART_NAMES, Handler
from assent.invocation.hooks.hook import Hook
from assent.spec.capability import CapabilitySpec, Risk, SpecModel
from assent.spec.documents.faults import Telling
from assent.spec.schemas.schema import schema_of


class _Named(SpecModel):
    """The base of the models that are made from a function's parameters."""

    model_config = ConfigDict(serialize_by_alias=True, protected_namespaces=())


class _End(msgspec.Struct, frozen=True):
    """One end of the call: its type in Python, None when there is only a schema."""

    python: Any  # `Any`: a type expression
    schema: object


def build(
    claims: Claims, parts: list[DeclaredPart], hooks: tuple[Hook, ...]
) -> tuple[CapabilitySpec, Handler]:
    """The spec and the handler of a declaration; `InputError` tells all its faults together."""
    faults = DeclarationFaults()
    execute = parts[0]
    own = signature_of(execute, faults, home=execute.place, parameters=claims.parameters)
    typed = own if not faults.found else None  # a type is only looked at where the signature says what it is
    signatures = {id(part): signature_of(part, faults, home=execute.place, execute=own) for part in parts[1:]}
    _check_parts(claims, parts, faults)
    takes = _takes(claims, execute, typed, faults)
    gives = _gives(claims, execute, typed, faults)
    spec = _spec(claims, execute, takes, gives, faults)
    faults.raise_if_any(claims, execute.place)
    assert own is not None
    assert spec is not None
    fields = _field_names(own)
    # `Any`: keyword arguments of one type would be taken for all of the handler's fields.
    bound: dict[str, Any] = {"execute": bound_part(execute, own, fields)}
    for part in parts[1:]:
        signature = signatures[id(part)]
        assert signature is not None  # INVARIANT: a signature that could not be read is a fault
        bound[part.kind] = bound_part(part, signature, fields)
    handler = Handler(
        **bound,
        parameters=takes.python,
        returns=gives.python,
        revision=claims.revision,
        rehearsable=claims.rehearsable,
        hooks=hooks,
    )
    return spec, handler


def _check_parts(claims: Claims, parts: list[DeclaredPart], faults: DeclarationFaults) -> None:
    """Each part is there at most once, and a part stands there exactly when it is claimed."""
    attached: dict[str, DeclaredPart] = {}
    for part in parts:
        if part.kind in attached:
            faults.add(part.place, f"`{part.kind}` is attached twice: also at {attached[part.kind].place}")
        attached.setdefault(part.kind, part)
    claims_own = claims.compensated_by is None and bool(claims.reversible or claims.compensation)
    reads = claims.operation == "READ"
    if not reads and claims_own and "compensate" not in attached:
        claimed = f"the compensation `{claims.compensation or RESTORES}`"
        faults.add(parts[0].place, f"{claimed} is claimed, but no `compensate` is attached")
    if "compensate" in attached and not reads and not claims_own:
        faults.add(
            attached["compensate"].place,
            "`compensate` is attached, but nothing claims it: say `reversible=True` when it restores the state before, "
            "or name the strategy with `compensation=`",
        )
    if "leads_to" in attached and "compensate" not in attached:
        faults.add(
            attached["leads_to"].place, "`leads_to` is attached, but no `compensate` that leads to anything"
        )
    for kind in ("prepare", "compensate", "reconcile"):
        if reads and kind in attached:
            faults.add(attached[kind].place, f"`{kind}` is attached to a READ, which has no effect")
    if reads and (claims.compensation or claims.compensated_by):
        faults.add(parts[0].place, "a READ claims a compensation, but has no effect")
    _check_reasons(claims, attached, faults)


def _check_reasons(claims: Claims, attached: Mapping[str, DeclaredPart], faults: DeclarationFaults) -> None:
    """`without` gives reasons, and only for parts that are not there."""
    place = attached[PART_NAMES[0]].place
    if not isinstance(claims.without, Mapping):
        faults.add(place, "`without` has to name parts, each with its reason")
        return
    for kind, reason in claims.without.items():
        if kind not in PART_NAMES[1:]:
            faults.add(place, f"`without` names `{kind}`, which is not part that could be missing")
        elif kind in attached:
            faults.add(attached[kind].place, f"`{kind}` is attached, and `without` says why there is none")
        elif not isinstance(reason, str) or not reason.strip():
            faults.add(place, f"`without` gives no reason for the missing `{kind}`")


def _takes(claims: Claims, execute: DeclaredPart, own: Signature | None, faults: DeclarationFaults) -> _End:
    """The model of the inputs, or the schema that stands in its place."""
    if own is None or claims.parameters is not None:
        return _End(None, claims.parameters)
    if own.whole is not None:
        return _end(own.hints[own.whole], f"`{own.whole}` is", execute, faults)
    fields: dict[str, Any] = {}  # `Any`: pydantic takes (type, default) pairs here
    for name, python in _field_names(own).items():
        hint = own.hints[name]
        # An input may be called like an attribute of every model (`copy`, `json`): its field then has another name inside.
        kind = hint if python == name else Annotated[hint, Field(alias=name)]
        fields[python] = (kind, own.defaults.get(name, ...))
    title = "".join(word.capitalize() for word in execute.function.__name__.split("_"))
    known = len(faults.found)
    try:
        model = create_model(title, __base__=_Named, __module__=__name__, **fields)
        end = _end(model, "the inputs are", execute)
        _check_defaults(model, own, execute, faults)
    except (InputError, PydanticUserError, TypeError, NameError, ValueError) as whole:
        for name in own.inputs:
            _end(own.hints[name], f"`{name}` is", execute, faults)
        if len(faults.found) == known:
            faults.add(execute.place, f"the inputs have no schema: {_first_line(whole)}")
        return _End(None, None)
    else:
        return end


def _check_defaults(
    model: type[BaseModel], own: Signature, execute: DeclaredPart, faults: DeclarationFaults
) -> None:
    """A default is an input like any other; who leaves it out must not be told that it does not fit."""
    if not own.defaults:
        return
    try:
        model.model_validate({})
    except ValidationError as error:
        told = Telling({}, shows_values=True).of_model(error)
        names = {python: name for name, python in _field_names(own).items() if name in own.defaults}
        for one, fault in zip(error.errors(include_url=False), told, strict=False):
            field = str(one["loc"][0]) if one["loc"] else ""
            if field in names:
                message = str(fault["message"]).replace(f"`{field}`", f"`{names[field]}`", 1)
                faults.add(execute.place, f"the default of {message}")


def _gives(claims: Claims, execute: DeclaredPart, own: Signature | None, faults: DeclarationFaults) -> _End:
    """The type of the result, or the schema that stands in its place."""
    if own is None or claims.returns is not None:
        return _End(None, claims.returns)
    if "return" not in own.hints:
        faults.add(execute.place, "the function's result has no annotation, so its type is unknown")
        return _End(None, None)
    hint = own.hints["return"]
    return _End(None, None) if hint is Any else _end(hint, "the function's result is", execute, faults)


def _end(
    hint: Any, what: str, execute: DeclaredPart, faults: DeclarationFaults | None = None
) -> _End:  # `Any`: a type expression
    try:
        return _End(hint, schema_of(hint))
    except InputError as error:
        if faults is None:
            raise
        faults.add(execute.place, f"{what} of a type that has no schema: {error.message}")
        return _End(None, None)


def _field_names(own: Signature) -> dict[str, str]:
    """The field of the model that each input is: of its own name, but for what every model has an attribute of already."""
    names: dict[str, str] = {}
    for name in own.inputs:
        field = name
        while hasattr(_Named, field) or (field != name and field in own.inputs):
            field += "_"
        names[name] = field
    return names


def _first_line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{text[:1].lower()}{text[1:]}"


def _spec(
    claims: Claims, execute: DeclaredPart, takes: _End, gives: _End, faults: DeclarationFaults
) -> CapabilitySpec | None:
    ends = {"parameters": takes.schema, "returns": gives.schema}
    given: dict[str, Any] = {
        name: schema for name, schema in ends.items() if schema is not None
    }  # `Any`: JSON
    reads = claims.operation == "READ"
    compensates = not reads and bool(claims.reversible or claims.compensation or claims.compensated_by)
    strategy = claims.compensation or (CALLS_ANOTHER if claims.compensated_by else RESTORES)
    try:
        # Plain values, so that all that is wrong with them is told together, and by the spec itself.
        whole: dict[str, Any] = {  # `Any`: the spec validates whatever a declaration says
            "id": claims.id,
            "version": claims.version,
            "name": claims.name,
            "description": _description(claims, execute),
            "operation_type": claims.operation,
            "side_effects": {
                "reversible": reads if claims.reversible is None else claims.reversible,
                "scope": ("none" if reads else "") if claims.scope is None else claims.scope,
                "description": claims.effect,
            },
            "compensation": {
                "supported": compensates,
                "strategy": strategy if compensates else None,
                "capability_id": claims.compensated_by,
            },
            "risk": _risk(claims),
            "idempotent": reads if claims.idempotent is None else claims.idempotent,
            "timeout": claims.timeout,
            "labels": claims.labels,
            "sandbox": claims.sandbox,
            "secrets": claims.secrets,
        }
        return CapabilitySpec(**whole, **given)
    except InputError as error:
        faults.adopt(execute.place, error)
    except ValueError as error:
        faults.add(execute.place, _first_line(error))
    return None


def _risk(claims: Claims) -> Risk | dict[str, object]:
    if isinstance(claims.risk, Risk):
        return claims.risk
    return {
        "level": claims.risk,
        "justification": claims.justification,
        "requires_approval": claims.requires_approval,
    }


def _description(claims: Claims, execute: DeclaredPart) -> str:
    if claims.description is not None:
        return claims.description
    first = (inspect.getdoc(execute.function) or "").partition("\n\n")[0]
    return " ".join(first.split())
