"""Classes that stand for data, with their fields: what a capability takes and gives."""

from __future__ import annotations

import ast
from typing import Final

from assent.plugins.manifest import Field, Model
from assent.plugins.scan._names import Names
from assent.plugins.scan._types import (
    DEPTH_MAX,
    ENUM_BASES,
    TEXT_MAX,
    TypeText,
    field_call,
    own_class,
    source_of,
    spelling,
    type_of,
)
from assent.plugins.scan._walk import AT_IMPORT

_DATA_BASES: Final = frozenset(
    {
        "pydantic.BaseModel",
        "assent.spec.capability.SpecModel",
        "assent.spec.SpecModel",
        "assent.SpecModel",
        "typing.TypedDict",
        "typing.NamedTuple",
        "msgspec.Struct",
    }
)
"""What makes a class stand for data."""

_PLAIN_BASES: Final = frozenset(
    {"typing.Generic", "typing.Protocol", "abc.ABC", "builtins.object", "builtins.Exception"}
)
"""What brings a class no fields."""

_DATACLASSES: Final = ("dataclasses.dataclass", "pydantic.dataclasses.dataclass")


def model_of(names: Names, name: str, depth: int = 0) -> Model:
    """A class with its fields, those of its own bases first. Of two bases with one field the first one says what it is."""
    names.package.spend()
    node = names.facts.classes[name]
    fields: dict[str, Field] = {}
    bases: list[str] = []
    complete = depth <= DEPTH_MAX
    for base in node.bases:
        inner = base.value if isinstance(base, ast.Subscript) else base
        found = own_class(names, inner, AT_IMPORT)
        if found is not None and depth <= DEPTH_MAX and found != (names, name):
            above = model_of(*found, depth + 1)
            fields |= {one.name: one for one in above.fields if one.name not in fields}
            complete = complete and above.is_complete
            bases.append(found[1])
        else:
            text = spelling(names, inner, AT_IMPORT)
            known = text if "." in text else f"builtins.{text}"
            complete = complete and (
                known in _DATA_BASES | _PLAIN_BASES or known in ENUM_BASES or known.startswith("enum.")
            )
            bases.append(text)
    for statement in node.body:
        field = _field(names, statement)
        if field is not None:
            fields[field.name] = field
    return Model(
        name=f"{names.facts.module}:{name}",
        bases=tuple(bases),
        docstring=ast.get_docstring(node) or "",
        fields=tuple(fields.values()),
        is_complete=complete,
        at=f"{names.facts.path}:{node.lineno}",
    )


def is_model(names: Names, name: str) -> bool:
    """Whether a class stands for data: a pydantic model, a dataclass, a typed dictionary, or a child of one."""
    names.package.spend()
    node = names.facts.classes[name]
    for decorator in node.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        if set(names.of(target, AT_IMPORT)) & set(_DATACLASSES):
            return True
    for base in node.bases:
        inner = base.value if isinstance(base, ast.Subscript) else base
        own = own_class(names, inner, AT_IMPORT)
        if own is not None and own != (names, name) and is_model(*own):
            return True
        if set(names.of(inner, AT_IMPORT)) & _DATA_BASES:
            return True
    return False


def _field(names: Names, statement: ast.stmt) -> Field | None:
    """The field that a statement of a class body declares."""
    if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
        return None
    name, note = statement.target.id, statement.annotation
    is_class_variable = (
        isinstance(note, ast.Subscript) and spelling(names, note.value, AT_IMPORT) == "typing.ClassVar"
    )
    if is_class_variable or name.startswith("_"):
        return None
    found = type_of(names, note)
    field = parameter(name, found, statement.value)
    if statement.value is None:
        return field
    call = field_call(names, statement.value, AT_IMPORT)
    if call is None:
        return field
    return Field(
        name=call.alias or name,
        type=found.text,
        json=found.json,
        required=call.required,
        default=call.default,
        description=call.description or found.description,
    )


def parameter(name: str, found: TypeText, default: ast.expr | None) -> Field:
    """One parameter of a function, or one plain field."""
    return Field(
        name=name,
        type=found.text,
        json=found.json,
        required=default is None,
        default=source_of(default) if default is not None else None,
        description=found.description,
    )


def fields_of_schema(schema: object) -> tuple[Field, ...] | None:
    """The fields of a JSON Schema that is written out in the code; None when it does not list them."""
    if not isinstance(schema, dict) or not isinstance(schema.get("properties"), dict):
        return None
    required = schema.get("required", ())
    fields: list[Field] = []
    for name, part in schema["properties"].items():
        kind = part.get("type") if isinstance(part, dict) else None
        kinds = tuple(sorted(map(str, kind if isinstance(kind, list | tuple) else [kind] if kind else [])))
        default = repr(part["default"])[:TEXT_MAX] if isinstance(part, dict) and "default" in part else None
        description = part.get("description") if isinstance(part, dict) else None
        fields.append(
            Field(
                name=str(name),
                type=" | ".join(kinds)[:TEXT_MAX] or "Any",
                json=kinds,
                required=name in required if isinstance(required, list | tuple) else False,
                default=default,
                description=description if isinstance(description, str) else "",
            )
        )
    return tuple(fields)
