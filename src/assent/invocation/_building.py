"""From a declaration to a spec and a handler: annotations become types, and every part becomes `part(context, parameters)`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, Final, TypeVar, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
    create_model,
)

from assent.errors import AssentError, InputError, Json
from assent.invocation._claims import CALLS_ANOTHER, RESTORES, Claims, DeclaredPart
from assent.invocation.context import LocalContext
from assent.invocation.handler import PART_NAMES, Handler, Part, Prepared, Preview, Reconciliation
from assent.invocation.hooks import Hook
from assent.spec.capability import (
    CapabilitySpec,
    Risk,
    SpecModel,
)
from assent.spec.faults import Telling
from assent.spec.schemas import schema_of

PREPARED: Final = "prepared"
"""The parameter that receives what `prepare` gave."""

# What a part of each kind has to give; a part without an annotation is believed.
_GIVES: Final[Mapping[str, type]] = {"preview": Preview, "reconcile": Reconciliation}


# The fields of a spec that the decorator has another name for.
_SAID_AS: Final[Mapping[str, str]] = {
    "operation_type": "operation",
    "side_effects.reversible": "reversible",
    "side_effects.scope": "scope",
    "side_effects.description": "effect",
    "compensation.strategy": "compensation",
    "compensation.capability_id": "compensated_by",
    "risk.level": "risk",
    "risk.justification": "justification",
    "risk.requires_approval": "requires_approval",
}


class _Named(SpecModel):
    """The base of the models that are made from a function's parameters."""

    model_config = ConfigDict(serialize_by_alias=True, protected_namespaces=())


@dataclass(frozen=True, slots=True)
class _Signature:
    """What one function asks for. `whole` names the parameter that takes all inputs; `inputs` are the single ones."""

    has_context: bool
    whole: str | None
    inputs: tuple[str, ...]
    takes_prepared: bool
    hints: Mapping[str, Any]  # `Any`: a type expression has no type of its own
    defaults: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _End:
    """One end of the call: its type in Python, None when there is only a schema."""

    python: Any  # `Any`: a type expression
    schema: object


class _Faults:
    """Everything that is wrong with one declaration, each fault with its place."""

    def __init__(self) -> None:
        self.found: list[dict[str, Json]] = []
        self.adopted: tuple[AssentError, list[dict[str, Json]]] | None = None

    def add(self, place: str, message: str) -> None:
        self.found.append({"path": place, "message": message})

    def adopt(self, place: str, error: AssentError) -> None:
        """Remember an error that somebody else raised about the declaration."""
        listed = error.details.get("faults")
        told = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        for one in told:
            one["message"] = _in_words_of_the_decorator(one)
        if told:
            more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
            error.message = f"{error.message.partition(': ')[0]}: {told[0]['message']}{more}"
        messages = [one["message"] for one in told] or [error.message]
        found: list[dict[str, Json]] = [
            {"path": place, "message": message, "code": error.code} for message in messages
        ]
        self.adopted = (error, found)
        self.found += found

    def raise_if_any(self, claims: Claims, place: str) -> None:
        if not self.found:
            return
        if self.adopted is not None and len(self.found) == len(self.adopted[1]):
            # The law refused the spec, and nothing else is wrong: its own code says it best.
            error = self.adopted[0]
            raise InputError(
                error.code,
                f"{error.message} ({place})",
                path=error.path,
                hint=error.hint,
                details=error.details,
            )
        more = f" (and {len(self.found) - 1} more)" if len(self.found) > 1 else ""
        raise InputError(
            "DECLARATION_INVALID",
            f"capability `{claims.id}` can't be registered: {self.found[0]['message']}{more}",
            path=str(self.found[0]["path"]),
            hint="mend the function that the path names; the details list every fault",
            details={"faults": [*self.found]},
        )


def _in_words_of_the_decorator(fault: Mapping[str, Json]) -> str:
    """The message of a spec's fault, with the name that the decorator has for the field."""
    path, message = fault.get("path"), str(fault.get("message"))
    field = ".".join(map(str, path)) if isinstance(path, list) else ""
    return message.replace(f"`{field}`", f"`{_SAID_AS.get(field, field)}`", 1)


def build(
    claims: Claims, parts: list[DeclaredPart], hooks: tuple[Hook, ...]
) -> tuple[CapabilitySpec, Handler]:
    """The spec and the handler of a declaration; `InputError` tells all its faults together."""
    faults = _Faults()
    execute = parts[0]
    own = _read(execute, faults, home=execute.place, parameters=claims.parameters)
    typed = own if not faults.found else None  # a type is only looked at where the signature says what it is
    signatures = {id(part): _read(part, faults, home=execute.place, execute=own) for part in parts[1:]}
    _check_parts(claims, parts, faults)
    takes = _takes(claims, execute, typed, faults)
    gives = _gives(claims, execute, typed, faults)
    spec = _spec(claims, execute, takes, gives, faults)
    faults.raise_if_any(claims, execute.place)
    assert own is not None
    assert spec is not None
    fields = _field_names(own)
    # `Any`: keyword arguments of one type would be taken for all of the handler's fields.
    bound: dict[str, Any] = {"execute": _bind(execute, own, fields)}
    for part in parts[1:]:
        signature = signatures[id(part)]
        assert signature is not None  # INVARIANT: a signature that could not be read is a fault
        bound[part.kind] = _bind(part, signature, fields)
    handler = Handler(
        **bound,
        parameters=takes.python,
        returns=gives.python,
        revision=claims.revision,
        rehearsable=claims.rehearsable,
        hooks=hooks,
    )
    return spec, handler


# -- signatures ----------------------------------------------------------------------------------------------------------


def _read(
    part: DeclaredPart,
    faults: _Faults,
    *,
    home: str,
    parameters: Mapping[str, Json] | None = None,
    execute: _Signature | None = None,
) -> _Signature | None:
    """The signature of one part, also when it has faults; None when it can't be read at all.

    `execute` is that of the function which the part belongs to.
    """
    place = part.place
    if not inspect.isroutine(part.function):
        faults.add(home, f"what is attached as `{part.kind}` is no function")
        return None
    hints = _hints(part, faults)
    if hints is None:
        return None
    listed = [*inspect.signature(part.function).parameters.values()]
    has_context = bool(listed) and hints.get(listed[0].name) is LocalContext
    own = listed[1:] if has_context else listed
    takes_prepared = False
    defaults: dict[str, object] = {}
    inputs: list[str] = []
    for parameter in own:
        name = parameter.name
        if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
            faults.add(place, f"`{name}` of `{part.kind}` has to be a parameter that can be named")
        elif hints.get(name) is LocalContext:
            faults.add(place, f"`{name}` of `{part.kind}` is the context, which has to come first")
        elif name == PREPARED:
            takes_prepared = True
        else:
            inputs.append(name)
            if parameter.default is not parameter.empty:
                defaults[name] = parameter.default
    if part.kind == "execute":
        _check_inputs(place, inputs, hints, faults, by_schema=parameters is not None)
        whole = _whole(own, inputs, hints, by_schema=parameters is not None)
    else:
        whole = execute.whole if execute is not None and execute.whole in inputs else None
        if execute is not None:
            _check_part_inputs(part, inputs, hints, execute, faults)
            _check_part_result(part, hints, faults)
    return _Signature(has_context, whole, tuple(inputs), takes_prepared, hints, defaults)


def _hints(part: DeclaredPart, faults: _Faults) -> dict[str, Any] | None:  # `Any`: as in `_Signature`
    try:
        return get_type_hints(part.function, localns=dict(part.names), include_extras=True)
    except NameError as error:
        faults.add(
            part.place,
            f"the annotation `{error.name}` of `{part.kind}` names nothing that exists when the program runs "
            "(an import under `if TYPE_CHECKING` does not)",
        )
    except (TypeError, SyntaxError, AttributeError) as error:
        faults.add(part.place, f"an annotation of `{part.kind}` can't be read: {error}")
    return None


def _whole(
    own: list[inspect.Parameter],
    inputs: list[str],
    hints: Mapping[str, Any],  # `Any`: as in `_Signature`
    *,
    by_schema: bool,
) -> str | None:
    """The one parameter that takes all inputs, if there is one; a keyword-only one is a single input like any other."""
    if len(inputs) != 1:
        return None
    (parameter,) = [one for one in own if one.name == inputs[0]]
    hint = hints.get(parameter.name)
    is_model = isinstance(hint, type) and issubclass(hint, BaseModel)
    if by_schema or (is_model and parameter.kind is not parameter.KEYWORD_ONLY):
        return parameter.name
    return None


def _check_inputs(
    place: str,
    inputs: list[str],
    hints: Mapping[str, Any],  # `Any`: as in `_Signature`
    faults: _Faults,
    *,
    by_schema: bool,
) -> None:
    if by_schema and len(inputs) != 1:
        faults.add(place, "a function with a schema of its own takes all inputs in one parameter")
    for name in inputs:
        if name not in hints and not by_schema:
            faults.add(place, f"`{name}` has no annotation, so its type is unknown")
        if name.startswith("_"):
            faults.add(place, f"`{name}` starts with `_`, which no input may")


def _check_part_inputs(
    part: DeclaredPart,
    inputs: list[str],
    hints: Mapping[str, Any],  # `Any`: as in `_Signature`
    execute: _Signature,
    faults: _Faults,
) -> None:
    for name in inputs:
        if name not in execute.inputs:
            listed = ", ".join(f"`{one}`" for one in execute.inputs) or "none"
            faults.add(
                part.place,
                f"`{part.kind}` asks for `{name}`, which the function does not take (it takes: {listed})",
            )
        elif name in hints and not _fits(hints[name], execute.hints.get(name)):
            faults.add(part.place, f"`{name}` has another type in `{part.kind}` than in the function")


def _fits(hint: object, own: object) -> bool:
    """Whether a part may say so of an input: its own type, nothing in particular, or what a generic class left open."""
    return hint in (own, Any, object) or isinstance(hint, TypeVar)


def _check_part_result(part: DeclaredPart, hints: Mapping[str, Any], faults: _Faults) -> None:
    wanted, given = _GIVES.get(part.kind), hints.get("return")
    if wanted is not None and given is not None and given is not wanted and given is not Any:
        faults.add(part.place, f"`{part.kind}` has to give a `{wanted.__name__}`")


def _check_parts(claims: Claims, parts: list[DeclaredPart], faults: _Faults) -> None:
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
    for kind in ("prepare", "compensate", "reconcile"):
        if reads and kind in attached:
            faults.add(attached[kind].place, f"`{kind}` is attached to a READ, which has no effect")
    if reads and (claims.compensation or claims.compensated_by):
        faults.add(parts[0].place, "a READ claims a compensation, but has no effect")
    _check_reasons(claims, attached, faults)


def _check_reasons(claims: Claims, attached: Mapping[str, DeclaredPart], faults: _Faults) -> None:
    """`without` gives reasons, and only for parts that are not there."""
    place = attached[PART_NAMES[0]].place
    if isinstance(claims.without, str):
        faults.add(place, "`without` has to name parts, each with its reason")
        return
    for kind, reason in claims.without.items():
        if kind not in PART_NAMES[1:]:
            faults.add(place, f"`without` names `{kind}`, which is no part that could be missing")
        elif kind in attached:
            faults.add(attached[kind].place, f"`{kind}` is attached, and `without` says why there is none")
        elif not reason.strip():
            faults.add(place, f"`without` gives no reason for the missing `{kind}`")


# -- types ---------------------------------------------------------------------------------------------------------------


def _takes(claims: Claims, execute: DeclaredPart, own: _Signature | None, faults: _Faults) -> _End:
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
        return end  # what the `except` is about is above
    except (InputError, PydanticUserError, TypeError, NameError, ValueError) as whole:
        for name in own.inputs:
            _end(own.hints[name], f"`{name}` is", execute, faults)
        if len(faults.found) == known:
            faults.add(execute.place, f"the inputs have no schema: {_first_line(whole)}")
        return _End(None, None)


def _check_defaults(model: type[BaseModel], own: _Signature, execute: DeclaredPart, faults: _Faults) -> None:
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


def _gives(claims: Claims, execute: DeclaredPart, own: _Signature | None, faults: _Faults) -> _End:
    """The type of the result, or the schema that stands in its place."""
    if own is None or claims.returns is not None:
        return _End(None, claims.returns)
    if "return" not in own.hints:
        faults.add(execute.place, "the function's result has no annotation, so its type is unknown")
        return _End(None, None)
    hint = own.hints["return"]
    return _End(None, None) if hint is Any else _end(hint, "the function's result is", execute, faults)


def _end(
    hint: Any, what: str, execute: DeclaredPart, faults: _Faults | None = None
) -> _End:  # `Any`: a type expression
    try:
        return _End(hint, schema_of(hint))
    except InputError as error:
        if faults is None:
            raise
        faults.add(execute.place, f"{what} of a type that has no schema: {error.message}")
        return _End(None, None)


def _field_names(own: _Signature) -> dict[str, str]:
    """The field of the model that each input is."""
    return {name: f"{name}_" if hasattr(_Named, name) else name for name in own.inputs}


def _first_line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{text[:1].lower()}{text[1:]}"


# -- the spec ------------------------------------------------------------------------------------------------------------


def _spec(
    claims: Claims, execute: DeclaredPart, takes: _End, gives: _End, faults: _Faults
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


# -- parts ---------------------------------------------------------------------------------------------------------------


def _bind(part: DeclaredPart, signature: _Signature, fields: Mapping[str, str]) -> Part:
    """The part as the engine calls it. A function that is written so already is taken as it is."""
    function = part.function
    is_plain = part.kind != "prepare" or signature.hints.get("return") is Prepared
    if (
        is_plain
        and signature.has_context
        and signature.whole is not None
        and len(signature.inputs) == 1
        and not signature.takes_prepared
    ):
        return function
    arguments = _arguments(signature, fields)
    finish: Callable[[Any], Any] = _to_prepared if part.kind == "prepare" else _as_it_is
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def awaited(context: LocalContext, parameters: object) -> object:
            positional, named = arguments(context, parameters)
            return finish(await function(*positional, **named))

        return awaited

    @wraps(function)
    def called(context: LocalContext, parameters: object) -> object:
        positional, named = arguments(context, parameters)
        return finish(function(*positional, **named))

    return called


def _arguments(
    signature: _Signature, fields: Mapping[str, str]
) -> Callable[[LocalContext, Any], tuple[tuple[LocalContext, ...], dict[str, Any]]]:
    # `Any` above: parameters are whatever type the function says, which validation has proved.
    whole = signature.whole
    own = () if whole is not None else tuple((name, fields[name]) for name in signature.inputs)
    reads = _prepared_reader(signature) if signature.takes_prepared else None

    def arguments(
        context: LocalContext, parameters: Any
    ) -> tuple[tuple[LocalContext, ...], dict[str, Any]]:  # `Any`: as above
        named = {name: getattr(parameters, python) for name, python in own}
        if whole is not None:
            named[whole] = parameters
        if reads is not None:
            named[PREPARED] = reads(context.prepared)
        return ((context,) if signature.has_context else ()), named

    return arguments


def _prepared_reader(signature: _Signature) -> Callable[[Mapping[str, Json] | None], object]:
    adapter: TypeAdapter[Any] = TypeAdapter(signature.hints.get(PREPARED, dict[str, Any]))
    return lambda prepared: adapter.validate_python(dict(prepared or {}))


def _to_prepared(given: object) -> Prepared:
    match given:
        case Prepared():
            return given
        case None:
            return Prepared()
        case Mapping():
            return Prepared(dict(given))
        case _:
            state = TypeAdapter(type(given)).dump_python(given, mode="json")
            return Prepared(state)


def _as_it_is(given: object) -> object:
    return given


__all__ = ["build"]
