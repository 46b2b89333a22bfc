"""What one capability says, field by field: what is stated, and what its form derives from what is not.

Each form has rules of its own for that (a READ is reversible; `create_delete_capability` is HIGH and asks). They are those of
`assent.invocation.describe.declaration` and `assent.spec.capability`, and a test holds both against what is really registered.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Final

from assent.plugins.manifest import Capability, Field, Shape
from assent.plugins.scan._capabilities import Form, Found
from assent.plugins.scan._models import fields_of_schema, is_model, model_of, parameter
from assent.plugins.scan._names import Names
from assent.plugins.scan._types import TypeText, type_of
from assent.plugins.scan._values import UNKNOWN, Arguments, Record, fold
from assent.plugins.scan._walk import Function

_CONTEXT: Final = "LocalContext"
_PREPARED: Final = "prepared"
_RESTORES: Final = "restore_pre_image"
_CALLS_ANOTHER: Final = "other_capability"


class _Sheet:
    """The fields of one capability as they are filled in; a value that can't be known is null and named in `unknown`."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self.unknown: set[str] = set()

    def put(self, name: str, value: object, kind: type | tuple[type, ...]) -> None:
        """Fill a field in, if the value is of the kind that it takes."""
        if value is None:
            self.values[name] = None
        elif (
            value is UNKNOWN or not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
        ):
            self.values[name] = None
            self.unknown.add(name)
        else:
            self.values[name] = value

    def put_names(self, name: str, value: object, *, in_order: bool = False) -> None:
        """Fill in a collection of names."""
        items = list(value) if isinstance(value, list | tuple | frozenset | dict) else None
        if items is None or not all(isinstance(item, str) for item in items):
            self.values[name] = ()
            self.unknown.add(name)
        else:
            self.values[name] = tuple(items) if in_order else tuple(sorted(set(items)))


def describe(one: Found) -> Capability:
    """What would be registered."""
    sheet = _Sheet()
    given = Arguments(one.names, one.node, one.scope)
    positional = one.form != "spec"
    sheet.put("id", given.value("id", 0 if positional else None), str)
    sheet.put("version", given.value("version", None, "1.0.0"), str)
    sheet.put("name", given.value("name", None, ""), str)
    docstring = ast.get_docstring(one.function) or "" if one.function is not None else ""
    _DESCRIBE[one.form](sheet, given, docstring)
    sheet.put("timeout", _number(given.value("timeout", None)), float)
    sheet.put_names("labels", given.value("labels", None, ()))
    sheet.put_names("secrets", given.value("secrets", None, ()), in_order=True)
    takes, gives = _shapes(one, given, sheet)
    if not one.parts_known:
        sheet.unknown.add("parts")
    names = one.names
    line = one.function.lineno if one.function is not None and one.form == "decorator" else one.node.lineno
    return Capability(
        parameters=takes,
        returns=gives,
        form=one.form,
        handler=one.handler,
        parts=tuple(sorted(one.parts)),
        is_registered=one.is_registered,
        docstring=docstring,
        unknown=tuple(sorted(sheet.unknown)),
        at=f"{names.facts.path}:{line}",
        **sheet.values,  # type: ignore[arg-type]  # the sheet puts only values of the field's own type
    )


def _number(value: object) -> object:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _describe_decorator(sheet: _Sheet, given: Arguments, docstring: str) -> None:
    operation = given.value("operation", None)
    sheet.put("operation", operation, str)
    reads = operation == "READ"
    _put_risk(sheet, given.value("risk", None), given.value("requires_approval", None, default=False))
    first = " ".join(docstring.partition("\n\n")[0].split())
    said = given.value("description", None)
    sheet.put("description", first if said is None else said, str)
    reversible = given.value("reversible", None)
    by, strategy = given.value("compensated_by", None), given.value("compensation", None)
    sheet.put("reversible", reads if reversible is None else reversible, bool)
    scope = given.value("scope", None)
    sheet.put("scope", ("none" if reads else "") if scope is None else scope, str)
    claims = [value for value in (reversible, strategy, by) if value]
    if any(value is UNKNOWN for value in (reversible, strategy, by, operation)):
        sheet.put("compensation", strategy if isinstance(strategy, str) else UNKNOWN, str)
    elif reads or not claims:
        sheet.put("compensation", None, str)
    else:
        sheet.put("compensation", strategy or (_CALLS_ANOTHER if by else _RESTORES), str)
    sheet.put("compensated_by", by, str)
    idempotent = given.value("idempotent", None)
    sheet.put("idempotent", reads if idempotent is None else idempotent, bool)


def _put_risk(sheet: _Sheet, risk: object, requires_approval: object) -> None:
    level, approval = risk, requires_approval
    if isinstance(risk, Record):
        level, approval = risk.get("level", 0), risk.get("requires_approval", 2, default=False)
    sheet.put("risk", level, str)
    sheet.put("requires_approval", approval, bool)


def _describe_spec(sheet: _Sheet, given: Arguments, docstring: str) -> None:
    del docstring
    _put_spec(sheet, given, None, {})


def _put_spec(sheet: _Sheet, given: Arguments, operation: str | None, defaults: Mapping[str, object]) -> None:
    """The fields of a `CapabilitySpec`, over the defaults of the function that makes it."""
    said = given.value("operation_type", None, operation)
    sheet.put("operation", said, str)
    sheet.put("description", given.value("description", 1 if operation else None, ""), str)
    effects = given.value("side_effects", None, defaults.get("side_effects", UNKNOWN))
    sheet.put("reversible", effects.get("reversible", 0) if isinstance(effects, Record) else UNKNOWN, bool)
    sheet.put("scope", effects.get("scope", 1, "") if isinstance(effects, Record) else UNKNOWN, str)
    claim = given.value("compensation", None, defaults.get("compensation", Record("Compensation")))
    if isinstance(claim, Record):
        sheet.put("compensation", claim.get("strategy", 1), str)
        sheet.put("compensated_by", claim.get("capability_id", 2), str)
    else:
        sheet.put("compensation", UNKNOWN, str)
        sheet.put("compensated_by", UNKNOWN, str)
    _put_risk(sheet, given.value("risk", None, defaults.get("risk", UNKNOWN)), UNKNOWN)
    sheet.put("idempotent", given.value("idempotent", None, defaults.get("idempotent", False)), bool)


def _describe_read(sheet: _Sheet, given: Arguments, docstring: str) -> None:
    del docstring
    defaults: dict[str, object] = {
        "side_effects": Record("SideEffects", (), {"reversible": True, "scope": "none"}),
        "risk": Record("Risk", (), {"level": "LOW"}),
        "idempotent": True,
    }
    _put_spec(sheet, given, "READ", defaults)


def _describe_change(
    sheet: _Sheet, given: Arguments, *, operation: str, reversible: bool, strategy: str
) -> None:
    reverses = given.value("reversible", None, reversible)
    named = given.value("strategy", None, strategy)
    levels = {True: "MEDIUM", False: "HIGH"}
    level: object = (
        "HIGH"
        if operation == "DELETE"
        else levels.get(reverses, UNKNOWN)
        if isinstance(reverses, bool)
        else UNKNOWN
    )
    defaults: dict[str, object] = {
        "side_effects": Record("SideEffects", (), {"reversible": reverses}),
        "compensation": Record("Compensation", (), {"strategy": named}),
        "risk": Record("Risk", (), {"level": level, "requires_approval": operation == "DELETE"}),
    }
    _put_spec(sheet, given, operation, defaults)


def _describe_write(sheet: _Sheet, given: Arguments, docstring: str) -> None:
    del docstring
    _describe_change(sheet, given, operation="WRITE", reversible=True, strategy=_RESTORES)


def _describe_delete(sheet: _Sheet, given: Arguments, docstring: str) -> None:
    del docstring
    _describe_change(sheet, given, operation="DELETE", reversible=False, strategy="recreate")


_DESCRIBE: Final[Mapping[Form, Callable[[_Sheet, Arguments, str], None]]] = {
    "decorator": _describe_decorator,
    "spec": _describe_spec,
    "create_read": _describe_read,
    "create_write": _describe_write,
    "create_delete": _describe_delete,
}


def _shapes(one: Found, given: Arguments, sheet: _Sheet) -> tuple[Shape | None, Shape | None]:
    takes, gives = given.node("parameters", None), given.node("returns", None)
    if one.form == "decorator":
        function = one.function
        parameters = (
            _shape(one, takes) if takes is not None else _signature(one, function) if function else None
        )
        returns = _shape(one, gives) if gives is not None else None
        if returns is None and function is not None and function.returns is not None:
            returns = _of_type(type_of(one.names, function.returns, one.scope))
    else:
        parameters = (
            _shape(one, takes) if takes is not None else Shape(type="object", json=("object",), fields=())
        )
        returns = _shape(one, gives) if gives is not None else None
    if parameters is None or (parameters.fields is None and "object" not in parameters.json):
        sheet.unknown.add("parameters")
    return parameters, returns


def _shape(one: Found, node: ast.expr) -> Shape:
    """What an expression given as `parameters` or `returns` says: a class, a type, or a schema that is written out."""
    value = fold(one.names, node, one.scope)
    if isinstance(value, dict):
        kind = value.get("type")
        kinds = (kind,) if isinstance(kind, str) else ()
        fields = fields_of_schema(value)
        return Shape(type="schema", json=kinds, fields=() if fields is None and not value else fields)
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "model_json_schema"
    ):
        node = node.func.value
    return _of_type(type_of(one.names, node, one.scope))


def _of_type(found: TypeText) -> Shape:
    fields = None
    if found.model is not None and is_model(*found.model):
        model = model_of(*found.model)
        fields = model.fields if model.is_complete else None
    return Shape(type=found.text, json=found.json, fields=fields)


def _signature(one: Found, function: Function) -> Shape:
    """What a decorated function takes: one model, or each parameter as one input."""
    names, scope = one.names, one.scope
    args = function.args
    plain = [*args.posonlyargs, *args.args]
    defaults: list[ast.expr | None] = [*[None] * (len(plain) - len(args.defaults)), *args.defaults]
    pairs = [*zip(plain, defaults, strict=True), *zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    if pairs and _is_context(names, pairs[0][0], scope):
        pairs = pairs[1:]
    pairs = [(arg, default) for arg, default in pairs if arg.arg != _PREPARED]
    types = [
        type_of(names, arg.annotation, scope) if arg.annotation is not None else TypeText("Any")
        for arg, _ in pairs
    ]
    if len(pairs) == 1 and pairs[0][0] not in args.kwonlyargs:
        found = types[0]
        if found.model is not None and is_model(*found.model):
            return _of_type(found)
        if not found.json and "." in found.text and "[" not in found.text and "|" not in found.text:
            return Shape(
                type=found.text
            )  # Somebody else's type: it may be a model, whose fields would be the inputs.
    fields: list[Field] = [
        parameter(arg.arg, found, default) for (arg, default), found in zip(pairs, types, strict=True)
    ]
    return Shape(type=function.name, json=("object",), fields=tuple(fields))


def _is_context(names: Names, arg: ast.arg, scope: str) -> bool:
    note = arg.annotation
    if note is None:
        return False
    if isinstance(note, ast.Constant) and isinstance(note.value, str):
        return note.value.rpartition(".")[2] == _CONTEXT
    return any(meaning.rpartition(".")[2] == _CONTEXT for meaning in names.of(note, scope))
