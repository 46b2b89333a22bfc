"""Annotations as text and as the JSON types that they take.

Types are written in their modern spelling with aliases followed: `Optional[List[int]]` is `list[int] | None`, and a module's
`Count = Annotated[int, Field(ge=0)]` is `int`. A class of the plugin is its name; what is somebody else's is its full name.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Final

from assent.plugins.scan._names import ROUNDABOUT, Names
from assent.plugins.scan._values import fold
from assent.plugins.scan._walk import AT_IMPORT

DEPTH_MAX: Final = 20
TEXT_MAX: Final = 400
"""Characters of one type or default as text."""

ANY: Final = ("array", "boolean", "integer", "null", "number", "object", "string")

_JSON: Final[dict[str, tuple[str, ...]]] = {
    name: kinds
    for kinds, names in {
        ("boolean",): "bool",
        ("string",): """
            bytes datetime.date datetime.datetime datetime.time datetime.timedelta str uuid.UUID pathlib.Path
            assent.spec.types.Email assent.spec.types.Url assent.spec.types.Uuid assent.spec.types.WorkspacePath
            assent.spec.types.SecretReference assent.spec.types.SemVer assent.spec.types.SecretText
            assent.spec.secret_text.SecretText""",
        ("object",): "dict",
        ("number",): "float",
        ("array",): "frozenset list set tuple",
        ("integer",): "int",
        ("null",): "None",
        ANY: "Any object Json assent.spec.types.SecretJson",
        ("number", "string"): "assent.spec.types.Duration",
        ("integer", "string"): "assent.spec.types.Size",
    }.items()
    for name in names.split()
}
_SPELLINGS: Final = {
    name: modern
    for modern, names in {
        "list": """
            typing.List collections.abc.Sequence typing.Sequence collections.abc.Iterable""",
        "dict": """
            typing.Dict collections.abc.Mapping typing.Mapping assent.spec.values.frozen.FrozenJson""",
        "set": "typing.Set collections.abc.Set",
        "frozenset": "typing.FrozenSet",
        "tuple": "typing.Tuple",
        "str": "typing.Text",
        "Any": "typing.Any",
        "Json": "assent.errors.Json",
    }.items()
    for name in names.split()
}
ENUM_BASES: Final = {
    "enum.StrEnum": "string",
    "enum.IntEnum": "integer",
    "builtins.str": "string",
    "builtins.int": "integer",
}


@dataclass(frozen=True, slots=True)
class TypeText:
    """A type as text, and the JSON types that it takes; none when they can't be known."""

    text: str
    json: tuple[str, ...] = ()
    model: tuple[Names, str] | None = None
    """The class of the plugin that the type is, itself and not inside of something."""
    description: str = ""


def type_of(names: Names, node: ast.expr, scope: str = AT_IMPORT, depth: int = 0) -> TypeText:
    """The type that an annotation means."""
    names.package.spend()
    if depth > DEPTH_MAX:
        return TypeText("…")
    match node:
        case ast.Constant(value=None):
            return TypeText("None", ("null",))
        case ast.Constant(value=str() as source):
            try:
                return type_of(names, ast.parse(source, mode="eval").body, scope, depth + 1)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                return TypeText(repr(source)[:TEXT_MAX])
        case ast.BinOp(op=ast.BitOr()):
            return _union([type_of(names, side, scope, depth + 1) for side in _sides(node)])
        case ast.Subscript():
            return _subscript(names, node, scope, depth)
        case ast.Name() | ast.Attribute():
            return _named(names, node, scope, depth)
        case _:
            return TypeText(source_of(node))


def _sides(node: ast.expr) -> list[ast.expr]:
    found: list[ast.expr] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        found.append(node.right)
        node = node.left
    return [node, *reversed(found)]


def _union(members: list[TypeText]) -> TypeText:
    texts = list(dict.fromkeys(member.text for member in members))
    if "None" in texts:  # Written last, wherever it stood.
        texts = [text for text in texts if text != "None"] + ["None"]
    known = all(member.json for member in members)
    kinds = tuple(sorted({kind for member in members for kind in member.json})) if known else ()
    return TypeText(" | ".join(texts)[:TEXT_MAX], kinds)


def _subscript(names: Names, node: ast.Subscript, scope: str, depth: int) -> TypeText:
    base = spelling(names, node.value, scope)
    inner = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
    if base in ("typing.Optional", "typing.Union"):
        members = [type_of(names, part, scope, depth + 1) for part in inner]
        return _union([*members, TypeText("None", ("null",))] if base.endswith("Optional") else members)
    if base == "typing.Annotated" and inner:
        return _annotated(names, inner, scope, depth)
    if base == "typing.Literal":
        return _literal(names, inner, scope)
    if base in ("typing.ClassVar", "typing.Final", "typing.Required", "typing.NotRequired") and inner:
        return type_of(names, inner[0], scope, depth + 1)
    own = own_class(names, node.value, scope)
    if own is not None:
        return _class(own)
    parts = ", ".join(
        "..."
        if isinstance(part, ast.Constant) and part.value is ...
        else type_of(names, part, scope, depth + 1).text
        for part in inner
    )
    return TypeText(f"{base}[{parts}]"[:TEXT_MAX], _JSON.get(base, ()))


def _annotated(names: Names, inner: list[ast.expr], scope: str, depth: int) -> TypeText:
    found = type_of(names, inner[0], scope, depth + 1)
    for note in inner[1:]:
        value = field_call(names, note, scope)
        if value is not None and value.description:
            found = TypeText(found.text, found.json, found.model, value.description)
        elif value is None:
            # A validator may take other JSON than the type says; what it is can't be known.
            found = TypeText(found.text, (), found.model, found.description)
    return found


def _literal(names: Names, inner: list[ast.expr], scope: str) -> TypeText:
    values = [fold(names, part, scope) for part in inner]
    kinds = tuple(sorted({kind for value in values if (kind := _kind_of(value)) is not None}))
    known = all(_kind_of(value) for value in values)
    text = ", ".join(repr(v) if known else source_of(p) for v, p in zip(values, inner, strict=True))
    return TypeText(f"Literal[{text}]"[:TEXT_MAX], kinds if known else ())


def _kind_of(value: object) -> str | None:
    match value:
        case bool():
            return "boolean"
        case str():
            return "string"
        case int():
            return "integer"
        case None:
            return "null"
        case _:
            return None


def _named(names: Names, node: ast.Name | ast.Attribute, scope: str, depth: int) -> TypeText:
    own = own_class(names, node, scope)
    if own is not None:
        return _class(own)
    alias = _alias(names, node, scope)
    if alias is not None:
        return type_of(alias[0], alias[1], AT_IMPORT, depth + 1)
    text = spelling(names, node, scope)
    return TypeText(text, _JSON.get(text, ()))


def spelling(names: Names, node: ast.expr, scope: str) -> str:
    """The one real name of a type, in its modern spelling; the source where it may mean several."""
    meanings = names.of(node, scope)
    if len(meanings) != 1:
        return source_of(node)
    real = meanings[0].removeprefix(ROUNDABOUT).replace("typing_extensions.", "typing.")
    return _SPELLINGS.get(real, real.removeprefix("builtins."))


def own_class(names: Names, node: ast.expr, scope: str) -> tuple[Names, str] | None:
    """The class of the plugin that an expression names: its module's names and its own; None for anything else."""
    meanings = names.of(node, scope)
    if len(meanings) != 1:
        return None
    found = names.package.split(meanings[0])
    return found if found is not None and found[1] in found[0].facts.classes else None


def _alias(names: Names, node: ast.expr, scope: str) -> tuple[Names, ast.expr] | None:
    """The expression that a type alias of the plugin stands for."""
    if isinstance(node, ast.Name):
        bound = names.facts.bindings.get((AT_IMPORT, node.id))
        if bound is not None and len(bound) == 1 and bound[0] is not None:
            return names, bound[0]
    meanings = names.of(node, scope)
    found = names.package.split(meanings[0]) if len(meanings) == 1 else None
    if found is None:
        return None
    bound = found[0].facts.bindings.get((AT_IMPORT, found[1]))
    return (found[0], bound[0]) if bound is not None and len(bound) == 1 and bound[0] is not None else None


def _class(own: tuple[Names, str]) -> TypeText:
    """The type that a class of the plugin is: an enum by its values, anything else an object."""
    names, name = own
    kinds = {
        kind
        for base in names.facts.classes[name].bases
        for meaning in names.of(base, AT_IMPORT)
        if (kind := ENUM_BASES.get(meaning)) is not None
    }
    if kinds:
        return TypeText(name, tuple(sorted(kinds)))
    is_enum = any("enum.Enum" in names.of(base, AT_IMPORT) for base in names.facts.classes[name].bases)
    return TypeText(name, () if is_enum else ("object",), None if is_enum else own)


@dataclass(frozen=True, slots=True)
class FieldCall:
    """What a call of `Field(…)` or `field(…)` says."""

    required: bool
    default: str | None
    description: str
    alias: str | None


def field_call(names: Names, node: ast.expr, scope: str) -> FieldCall | None:
    """What an expression says of a field; None when it is no such call."""
    if not isinstance(node, ast.Call):
        return None
    meanings = names.of(node.func, scope)
    if not set(meanings) & {
        "pydantic.Field",
        "pydantic.fields.Field",
        "dataclasses.field",
        "msgspec.field",
        "msgspec.Meta",
    }:
        return None
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    default = node.args[0] if node.args else given.get("default")
    factory = given.get("default_factory")
    if isinstance(default, ast.Constant) and default.value is ...:
        default = None
    text = (
        source_of(default)
        if default is not None
        else f"{source_of(factory)}()"
        if factory is not None
        else None
    )
    description = fold(names, given["description"], scope) if "description" in given else ""
    # An input is validated, so where both are given it goes by the second.
    named = given.get("validation_alias", given.get("alias"))
    alias = fold(names, named, scope) if named is not None else None
    return FieldCall(
        required=text is None,
        default=text,
        description=description if isinstance(description, str) else "",
        alias=alias if isinstance(alias, str) else None,
    )


def source_of(node: ast.expr) -> str:
    """An expression as text, in one spelling and no longer than is worth reading."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and len(node.value) > TEXT_MAX:
        return repr(node.value[: TEXT_MAX - 1]) + "…"
    try:
        text = ast.unparse(node)
    except (RecursionError, ValueError):  # the latter for a number of more digits than Python writes
        return "…"
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"
