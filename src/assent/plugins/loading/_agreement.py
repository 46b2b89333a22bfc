"""Whether what was registered is what was read: after an import, the manifest is held against the real specs and handlers.

A plugin that registers anything else than its code shows has been read wrongly or hides something; either way it is refused. What
could not be known by reading counts as a difference where safety depends on it, and is left out where it does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from assent.errors import Json, RefusedError
from assent.invocation.describe.handler import ATTACHED_NAMES, Handler
from assent.plugins._differences import Difference
from assent.plugins.manifest import Capability, Field, Manifest, Shape
from assent.spec.capability import CapabilitySpec
from assent.spec.reach import Reach
from assent.spec.schemas.references import referred
from assent.spec.values.frozen import thaw

if TYPE_CHECKING:
    from assent.invocation.hooks.hook import Hook
    from assent.plugins.manifest import Manifest
    from assent.spec.capability import CapabilitySpec

ANY: Final = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
DEPTH_MAX: Final = 20

_SAFETY: Final = (
    "operation", "risk", "requires_approval", "reversible", "compensation", "compensated_by", "labels",
    "secrets", "parts",
)  # fmt: skip
"""Fields that have to be known: what policy decides by, and what an undo rests on."""
_OTHERS: Final = ("name", "description", "scope", "idempotent", "timeout")


def agree(
    manifest: Manifest,
    registered: Iterable[tuple[CapabilitySpec, Handler]],
    global_hooks: Iterable[Hook] = (),
) -> list[Difference]:
    """Everything in which a registration (`after`) differs from what was read (`before`); empty when the two agree.

    `global_hooks` are those that the plugin registered for every call.
    """
    read = {(one.id, one.version): one for one in manifest.capabilities}
    found: list[Difference] = []
    hooks: list[tuple[str | None, Hook]] = [(None, hook) for hook in global_hooks]
    seen: set[tuple[str | None, str | None]] = set()
    for spec, handler in sorted(registered, key=lambda pair: pair[0].reference):
        one = read.get((spec.id, spec.version))
        if one is None:
            found.append(
                Difference(f"capability {spec.reference}", "added", None, "registered, but not in the code")
            )
            continue
        seen.add((spec.id, spec.version))
        found += _capability(one, spec, handler)
        hooks += [(spec.id, hook) for hook in handler.hooks]
    found += [
        Difference(
            f"capability {one.id or '?'}@{one.version or '?'}", "removed", f"declared at {one.at}", None
        )
        for key, one in read.items()
        if key not in seen and one.is_registered
    ]
    return [*found, *_hooks(manifest, hooks)]


def _capability(one: Capability, spec: CapabilitySpec, handler: Handler) -> Iterator[Difference]:
    real: dict[str, object] = {
        "operation": spec.operation_type.value,
        "risk": spec.risk.level.value,
        "requires_approval": spec.risk.requires_approval,
        "reversible": spec.side_effects.reversible,
        "compensation": spec.compensation.strategy,
        "compensated_by": spec.compensation.capability_id,
        "labels": tuple(sorted(spec.labels)),
        "secrets": tuple(spec.secrets),
        "parts": tuple(sorted(name for name in ATTACHED_NAMES if getattr(handler, name) is not None)),
        "name": spec.name,
        "description": spec.description,
        "scope": spec.side_effects.scope,
        "idempotent": spec.idempotent,
        "timeout": spec.timeout,
    }
    for field in (*_SAFETY, *_OTHERS):
        is_unknown = field in one.unknown
        if is_unknown and field in _OTHERS:
            continue
        value: object = getattr(one, field)
        if is_unknown or value != real[field]:
            read = "what only running would tell" if is_unknown else _text(value)
            yield _differs(f"capability {spec.reference} {field}", read, _text(real[field]))
    if "parameters" not in one.unknown:
        yield from _shape(spec, "parameters", one.parameters, thaw(spec.parameters))
    if one.returns is not None:
        yield from _shape(spec, "returns", one.returns, thaw(spec.returns))


def _differs(path: str, read: str | None, registered: str | None) -> Difference:
    if read is None or registered is None:
        return Difference(path, "added" if read is None else "removed", read, registered)
    return Difference(path, "changed", read, registered)


def _text(value: object) -> str | None:
    if value is None:
        return None
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)


def _shape(
    spec: CapabilitySpec, name: str, shape: Shape | None, schema: dict[str, Json]
) -> Iterator[Difference]:
    """The names, obligations and types of what is read, against a JSON Schema."""
    if shape is None:
        return
    kinds = frozenset(shape.json)
    real = json_kinds(schema, schema)
    if kinds and kinds != ANY and schema and kinds != real:
        said = (" or ".join(sorted(kinds)), " or ".join(sorted(real)))
        yield _differs(f"capability {spec.reference} {name}", *said)
        return
    if shape.fields is None:
        return
    properties, required = _properties(schema, schema)
    fields = {field.name: field for field in shape.fields}
    for field in sorted({*fields, *properties}):
        read = _said(fields[field]) if field in fields else None
        there = None
        if field in properties:
            there = _needed(is_required=field in required) + _kinds_text(
                json_kinds(properties[field], schema)
            )
        if (
            read is not None
            and there is not None
            and _fits(fields[field], properties[field], schema, is_required=field in required)
        ):
            continue
        yield _differs(f"capability {spec.reference} {name}.{field}", read, there)


def _fits(field: Field, schema: Json, root: Mapping[str, Json], *, is_required: bool) -> bool:
    kinds = frozenset(field.json)
    return field.required is is_required and (not kinds or kinds == ANY or kinds == json_kinds(schema, root))


def _said(field: Field) -> str:
    return _needed(is_required=field.required) + (
        _kinds_text(frozenset(field.json)) if field.json else f" {field.type}"
    )


def _needed(*, is_required: bool) -> str:
    return "required" if is_required else "optional"


def _kinds_text(kinds: frozenset[str]) -> str:
    return f" {'anything' if kinds == ANY else ' or '.join(sorted(kinds))}"


def _properties(schema: Json, root: Mapping[str, Json]) -> tuple[dict[str, Json], frozenset[str]]:
    found = _resolved(schema, root)
    properties, required = found.get("properties"), found.get("required")
    names = frozenset(map(str, required)) if isinstance(required, list) else frozenset[str]()
    return (properties if isinstance(properties, dict) else {}), names


def _resolved(schema: object, root: Mapping[str, Json], depth: int = 0) -> Mapping[str, Json]:
    """A schema with its `$ref` into the same document followed."""
    if not isinstance(schema, dict):
        return {}
    target = referred(root, schema["$ref"]) if "$ref" in schema and depth <= DEPTH_MAX else None
    return schema if target is None else _resolved(target, root, depth + 1)


def json_kinds(schema: Json, root: Mapping[str, Json], depth: int = 0) -> frozenset[str]:
    """The JSON types that a schema lets through; all of them when it does not say."""
    found = _resolved(schema, root)
    if depth > DEPTH_MAX:
        return ANY
    kind = found.get("type")
    if isinstance(kind, str):
        return frozenset({kind})
    if isinstance(kind, list):
        return frozenset(map(str, kind))
    for word in ("anyOf", "oneOf"):
        branches = found.get(word)
        if isinstance(branches, list):
            return frozenset().union(*(json_kinds(branch, root, depth + 1) for branch in branches))
    values = found.get("enum", [found["const"]] if "const" in found else None)
    if isinstance(values, list):
        return frozenset(map(_kind_of, values))
    return ANY


def _kind_of(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _hooks(manifest: Manifest, hooks: Iterable[tuple[str | None, Hook]]) -> Iterator[Difference]:
    read = {
        (one.capability, one.id, one.kind, one.timeout, one.retries)
        for one in manifest.hooks
        if one.level != "local"
    }
    real = {(owner, hook.id, hook.kind.value, hook.timeout_s, hook.retries) for owner, hook in hooks}
    for key in sorted(real ^ read, key=str):
        owner, ident, kind, timeout, retries = key
        text = f"{kind}, {timeout} s, {retries} retries"
        path = f"hook {ident or '?'} of {owner or 'every call'}"
        yield _differs(path, text if key in read else None, text if key in real else None)


def require_agreement(
    name: str, manifest: Manifest, found: Sequence[tuple[CapabilitySpec, Handler]]
) -> tuple[tuple[CapabilitySpec, Handler], ...]:
    """What plugin `name` brings, by reference, when its manifest says the same; PLUGIN_DIFFERS tells every difference.

    Its calls reach what the manifest declares, whichever host runs them.
    """
    differences = agree(manifest, found)
    if differences:
        more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
        listed: list[Json] = [one.to_json() for one in differences]
        raise RefusedError(
            "PLUGIN_DIFFERS",
            f"plugin `{name}` registers what its code does not show: {differences[0]}{more}",
            hint="nothing of it stays registered; each capability has to be imported by the entry module, and say constants",
            details={"differences": listed},
        )
    reach = Reach.of(name, manifest.declaration.permissions.network)
    ordered = sorted(found, key=lambda pair: pair[0].reference)
    return tuple((spec, replace(handler, reach=reach)) for spec, handler in ordered)
