"""What the functions of a declaration ask for: each signature is read once, and held against that of the function itself."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from pydantic import BaseModel, PydanticUserError, TypeAdapter

from assent.errors import Json
from assent.invocation.context.local import LocalContext
from assent.invocation.describe._claims import DeclaredPart
from assent.invocation.describe._declaration_faults import DeclarationFaults
from assent.invocation.describe.handler import Preview, Reconciliation

PREPARED: Final = "prepared"
"""The parameter that receives what `prepare` gave."""

# What a part of each kind has to give; a part without an annotation is believed.
_GIVES: Final[Mapping[str, type]] = {"preview": Preview, "reconcile": Reconciliation}


class Signature(msgspec.Struct, frozen=True):
    """What one function asks for.

    `whole` names the parameter that takes all inputs; `inputs` are the single ones. `prepared` reads what `prepare` gave as the
    type that the function wants of it; None when it does not ask for it.
    """

    has_context: bool
    whole: str | None
    inputs: tuple[str, ...]
    prepared: TypeAdapter[Any] | None
    hints: Mapping[str, Any]  # `Any`: a type expression has no type of its own
    defaults: Mapping[str, object]


def signature_of(
    part: DeclaredPart,
    faults: DeclarationFaults,
    *,
    home: str,
    parameters: Mapping[str, Json] | None = None,
    execute: Signature | None = None,
) -> Signature | None:
    """The signature of one part, also when it has faults; None when it can't be read at all.

    `execute` is that of the function which the part belongs to.
    """
    place = part.place
    if not inspect.isroutine(part.function):
        faults.add(home, f"what is attached as `{part.kind}` is not a function")
        return None
    hints = _hints(part, faults)
    if hints is None:
        return None
    listed = [*inspect.signature(part.function).parameters.values()]
    has_context = bool(listed) and hints.get(listed[0].name) is LocalContext
    own = listed[1:] if has_context else listed
    prepared: TypeAdapter[Any] | None = None
    defaults: dict[str, object] = {}
    inputs: list[str] = []
    for parameter in own:
        name = parameter.name
        if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
            faults.add(place, f"`{name}` of `{part.kind}` has to be a parameter that can be named")
        elif hints.get(name) is LocalContext:
            faults.add(place, f"`{name}` of `{part.kind}` is the context, which has to come first")
        elif name == PREPARED:
            prepared = _prepared(part, hints.get(PREPARED, dict[str, Any]), faults)
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
    return Signature(has_context, whole, tuple(inputs), prepared, hints, defaults)


def _hints(
    part: DeclaredPart, faults: DeclarationFaults
) -> dict[str, Any] | None:  # `Any`: as in `Signature`
    try:
        hints = get_type_hints(part.function, localns=dict(part.names), include_extras=True)
        given = _type_arguments(getattr(part.function, "__self__", None))
        return hints | {
            name: given[hint] for name, hint in hints.items() if isinstance(hint, TypeVar) and hint in given
        }
    except NameError as error:
        faults.add(
            part.place,
            f"the annotation `{error.name}` of `{part.kind}` names nothing that exists when the program runs "
            "(an import under `if TYPE_CHECKING` does not)",
        )
    except Exception as error:  # noqa: BLE001  # an annotation is code of its own, and raises whatever it likes
        faults.add(part.place, f"an annotation of `{part.kind}` can't be read: {error}")
    return None


def _type_arguments(owner: object) -> dict[TypeVar, Any]:  # `Any`: as in `Signature`
    """What the type variables of a generic class are for one of its objects, whose method a part is."""
    found: dict[TypeVar, Any] = {}
    bases = [getattr(owner, "__orig_class__", None)]
    bases += [base for one in type(owner).__mro__ for base in vars(one).get("__orig_bases__", ())]
    for base in bases:
        variables = getattr(get_origin(base), "__parameters__", ())
        for variable, said in zip(variables, get_args(base), strict=False):
            found.setdefault(variable, found.get(said, said) if isinstance(said, TypeVar) else said)
    return found


def _prepared(part: DeclaredPart, hint: Any, faults: DeclarationFaults) -> TypeAdapter[Any] | None:
    # `Any`: as in `Signature`
    try:
        return TypeAdapter(hint)
    except (PydanticUserError, TypeError, NameError, ValueError):
        faults.add(part.place, f"`{PREPARED}` of `{part.kind}` is of a type that is not read from JSON")
        return None


def _whole(
    own: list[inspect.Parameter],
    inputs: list[str],
    hints: Mapping[str, Any],  # `Any`: as in `Signature`
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
    hints: Mapping[str, Any],  # `Any`: as in `Signature`
    faults: DeclarationFaults,
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
    hints: Mapping[str, Any],  # `Any`: as in `Signature`
    execute: Signature,
    faults: DeclarationFaults,
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


def _check_part_result(part: DeclaredPart, hints: Mapping[str, Any], faults: DeclarationFaults) -> None:
    wanted, given = _GIVES.get(part.kind), hints.get("return")
    if wanted is not None and given is not None and given is not wanted and given is not Any:
        faults.add(part.place, f"`{part.kind}` has to give a `{wanted.__name__}`")
