"""The capabilities and hooks that a source declares, in each form that they can be written in.

| form            | written as                                                                              |
|-----------------|-----------------------------------------------------------------------------------------|
| `decorator`     | `@capability("id", operation=…, risk=…)` on a function; parts as `@function.prepare` …  |
| `spec`          | `CapabilitySpec(id=…, …)`, registered together with its handler                         |
| `create_read` … | `create_read_capability(…)`, `create_write_capability(…)`, `create_delete_capability(…)` |

What a form derives from what is not said is derived here by the same rules, so that the manifest says what would be registered.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from assent.plugins.manifest import Hook
from assent.plugins.scan._names import ROUNDABOUT, Names, Package
from assent.plugins.scan._types import source_of
from assent.plugins.scan._values import Arguments
from assent.plugins.scan._walk import AT_IMPORT, Called, Function, chain_of

Form: TypeAlias = Literal["decorator", "spec", "create_read", "create_write", "create_delete"]

FORMS: Final[Mapping[str, Form]] = {
    "capability": "decorator",
    "CapabilitySpec": "spec",
    "create_read_capability": "create_read",
    "create_write_capability": "create_write",
    "create_delete_capability": "create_delete",
}
PARTS: Final = ("execute", "prepare", "compensate", "reconcile", "preview", "leads_to")
"""In the order in which `Handler` takes them."""

HOOKS: Final[Mapping[str, Literal["before", "after", "catch", "finally"]]] = {
    "before": "before",
    "after": "after",
    "catch": "catch",
    "finally_": "finally",
}

TIMEOUT_S: Final = 5.0
"""The limit of a hook that says none."""

_ATTACHED: Final = frozenset(PARTS) | frozenset(HOOKS)


@dataclass(slots=True)
class Found:
    """One capability on its way into the manifest. `functions` are its parts' functions, by their full names."""

    names: Names
    node: ast.Call
    form: Form
    scope: str
    function: Function | None = None
    qualified: str = ""
    parts: dict[str, str | None] = field(default_factory=dict)
    is_registered: bool = True
    handler: str | None = None
    parts_known: bool = True

    @property
    def full_name(self) -> str:
        """The name under which its function is found."""
        return f"{self.names.facts.module}.{self.qualified}"


def find(package: Package) -> tuple[list[Found], list[Hook]]:
    """Every capability of a source, and every hook."""
    found: list[Found] = []
    for names in package.modules.values():
        found += _decorated(names)
        found += _made(names)
    by_name = {one.full_name: one for one in found if one.function is not None}
    hooks: list[Hook] = []
    for names in package.modules.values():
        _attach(names, by_name, hooks)
    for names in package.modules.values():
        _register(names, found)
    return found, hooks


def _form(meanings: Sequence[str]) -> Form | None:
    for meaning in meanings:
        name = meaning.removeprefix(ROUNDABOUT)
        if name.startswith("assent."):
            form = FORMS.get(name.rpartition(".")[2])
            if form is not None:
                return form
    return None


def _decorated(names: Names) -> list[Found]:
    found: list[Found] = []
    for function, qualified, scope in names.facts.decorated:
        for decorator in function.decorator_list:
            if isinstance(decorator, ast.Call) and _form(names.of(decorator.func, scope)) == "decorator":
                whole = f"{names.facts.module}.{qualified}"
                one = Found(names, decorator, "decorator", scope, function, qualified, {"execute": whole})
                one.handler = function.name
                # One that a function makes exists only when that function is called.
                one.is_registered = scope == AT_IMPORT
                found.append(one)
    return found


def _made(names: Names) -> list[Found]:
    """Specs that are made by a call."""
    used = {id(d) for function, _, _ in names.facts.decorated for d in function.decorator_list}
    found: list[Found] = []
    for call in names.facts.calls:
        if id(call.node) in used or isinstance(call.node.func, ast.Call):
            continue
        meanings = (
            names.of_chain(call.chain, call.scope) if call.chain else names.of(call.node.func, call.scope)
        )
        form = _form(meanings)
        if form == "decorator":
            # `capability(…)(function)`: the decorator written as a call.
            found.append(_called_decorator(names, call))
        elif form is not None:
            one = Found(names, call.node, form, call.scope, is_registered=False, parts_known=False)
            found.append(one)
    return found


def _called_decorator(names: Names, call: Called) -> Found:
    one = Found(names, call.node, "decorator", call.scope, parts_known=False)
    for outer in names.facts.calls:
        if outer.node.func is call.node and outer.node.args:
            chain = chain_of(outer.node.args[0])
            for meaning in names.of_chain(chain, outer.scope) if chain else ():
                own = names.package.split(meaning)
                if own is not None and own[1] in own[0].facts.functions:
                    one.function, one.handler = own[0].facts.functions[own[1]], own[1]
                    one.parts = {"execute": meaning}
                    one.parts_known = True
    return one


@dataclass(frozen=True, slots=True)
class _Attachment:
    """One use of `owner.attribute`, as a decorator or as a call. `given` is the full name of the function that is attached."""

    target: ast.Attribute
    owner: Found | None
    call: ast.Call | None
    scope: str
    given: str | None
    function: Function | None


def _attach(names: Names, by_name: Mapping[str, Found], hooks: list[Hook]) -> None:
    """The parts and hooks that are attached in one module."""
    for one in _attachments(names, by_name):
        attribute = one.target.attr
        if attribute in PARTS:
            if one.owner is not None:
                one.owner.parts[attribute] = one.given
        elif one.owner is not None or _is_hooks(one.target.value):
            hooks.append(_hook(names, one))


def _attachments(names: Names, by_name: Mapping[str, Found]) -> Iterator[_Attachment]:
    facts = names.facts
    used: set[int] = set()
    for function, qualified, scope in facts.decorated:
        for decorator in function.decorator_list:
            call = decorator if isinstance(decorator, ast.Call) else None
            target = call.func if call is not None else decorator
            used.add(id(call))
            if isinstance(target, ast.Attribute) and target.attr in _ATTACHED:
                owner = _owner(names, target.value, scope, by_name)
                yield _Attachment(target, owner, call, scope, f"{facts.module}.{qualified}", function)
    for called in facts.calls:
        target = called.node.func
        if id(called.node) in used or not isinstance(target, ast.Attribute) or target.attr not in _ATTACHED:
            continue
        owner = _owner(names, target.value, called.scope, by_name)
        chain = chain_of(called.node.args[0]) if called.node.args else None
        meanings = names.of_chain(chain, called.scope) if chain else ()
        given = meanings[0] if meanings else None
        yield _Attachment(target, owner, called.node, called.scope, given, None)


def _is_hooks(node: ast.expr) -> bool:
    """Whether an expression is a set of hooks: `rt.hooks`, `context.hooks`, `hooks`."""
    chain = chain_of(node)
    return chain is not None and chain.rpartition(".")[2] == "hooks"


def _owner(names: Names, node: ast.expr, scope: str, by_name: Mapping[str, Found]) -> Found | None:
    chain = chain_of(node)
    if chain is None:
        return None
    for meaning in names.of_chain(chain, scope):
        if meaning in by_name:
            return by_name[meaning]
    return by_name.get(f"{names.facts.module}.{scope}.{chain}") if scope else None


def _hook(names: Names, one: _Attachment) -> Hook:
    target, owner, call, function = one.target, one.owner, one.call, one.function
    given = Arguments(names, call, one.scope)
    kind = HOOKS[target.attr]
    chain = chain_of(target.value) or ""
    level: Literal["global", "capability", "local"] = "global"
    if owner is not None or "capability" in given.nodes:
        level = "capability"
    elif chain.startswith("context.") or chain.endswith("context.hooks"):
        level = "local"
    if isinstance(said := given.value("level", None), str) and said.lower() in (
        "global",
        "capability",
        "local",
    ):
        level = said.lower()  # type: ignore[assignment]  # one of the three words
    own_id = None if owner is None else Arguments(owner.names, owner.node, owner.scope).text("id", 0)
    named = given.text("capability", None) if owner is None else own_id
    hook_id = given.text("id", None)
    if hook_id is None and function is not None and "id" not in given.nodes:
        hook_id = f"{names.facts.module}.{function.name}"
    timeout, retries = given.value("timeout_s", None, TIMEOUT_S), given.value("retries", None, 0)
    unknown = [name for name in ("id", "capability", "timeout_s", "retries") if given.is_unknown(name)]
    line = function.lineno if function is not None else target.lineno
    return Hook(
        kind=kind,
        level=level,
        id=hook_id,
        capability=named,
        timeout=float(timeout)
        if isinstance(timeout, int | float) and not isinstance(timeout, bool)
        else None,
        retries=retries if isinstance(retries, int) and not isinstance(retries, bool) else None,
        unknown=tuple(sorted(name.removesuffix("_s") for name in unknown)),
        at=f"{names.facts.path}:{line}",
    )


def _register(names: Names, found: list[Found]) -> None:
    """Find the handlers of specs that are made by calls: `….register(spec, handler)`, or the two side by side in a tuple."""
    by_node = {id(one.node): one for one in found if one.form != "decorator" and one.names is names}
    if not by_node:
        return
    pairs: list[tuple[ast.expr, ast.expr, str]] = [
        (call.node.args[0], call.node.args[1], call.scope)
        for call in names.facts.calls
        if isinstance(call.node.func, ast.Attribute)
        and call.node.func.attr.startswith("register")
        and len(call.node.args) > 1
    ]
    for spec, handler, scope in pairs:
        node = _spec_call(names, spec, scope)
        one = by_node.get(id(node))
        if one is not None:
            one.is_registered = True
            _read_handler(names, one, handler, scope)


def _spec_call(names: Names, node: ast.expr, scope: str) -> ast.expr:
    """The call that makes the spec which an expression names."""
    if not isinstance(node, ast.Name):
        return node
    for where in (scope, AT_IMPORT):
        bound = names.facts.bindings.get((where, node.id))
        if bound and bound[-1] is not None:
            return bound[-1]
    return node


def _read_handler(names: Names, one: Found, node: ast.expr, scope: str) -> None:
    node = _spec_call(names, node, scope)
    target = node.func if isinstance(node, ast.Call) else node
    for meaning in names.of(target, scope):
        own = names.package.split(meaning)
        if own is None:
            if meaning.rpartition(".")[2] == "Handler" and isinstance(node, ast.Call):
                _read_handler_call(names, one, node, scope)
            continue
        owner, name = own
        one.handler = name
        if name in owner.facts.functions and not isinstance(node, ast.Call):
            one.parts, one.parts_known = {"execute": meaning}, True
        elif name in owner.facts.classes:
            has = {part: f"{meaning}.{part}" for part in PARTS if f"{name}.{part}" in owner.facts.functions}
            one.parts, one.parts_known = {**has}, "execute" in has


def _read_handler_call(names: Names, one: Found, node: ast.Call, scope: str) -> None:
    given = dict(zip(PARTS, node.args, strict=False))
    given |= {k.arg: k.value for k in node.keywords if k.arg in PARTS}
    parts: dict[str, str | None] = {}
    for part, value in given.items():
        if isinstance(value, ast.Constant) and value.value is None:
            continue
        meanings = names.of(value, scope)
        parts[part] = meanings[0] if meanings else None
    one.parts, one.parts_known = parts, True
    one.handler = source_of(given["execute"]) if "execute" in given else None
