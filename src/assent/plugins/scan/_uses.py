"""What a module reaches for: every reference with a meaning that counts, where it stands and how openly it is written."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import Final

from assent.plugins.manifest import HTTP, Import, ModuleUse, Secret, Use, UseKind
from assent.plugins.scan._names import ROUNDABOUT, Names
from assent.plugins.scan._table import (
    KEYS,
    METHODS,
    PATH_METHODS,
    SUSPICIOUS,
    TABLE,
    is_stdlib,
    shown_name,
    use_kind,
)
from assent.plugins.scan._types import source_of
from assent.plugins.scan._values import fold
from assent.plugins.scan._walk import AT_IMPORT, SECRET_SCHEME, TYPING, Called, chain_of
from assent.spec.secret_text import SecretText

TARGET_MAX: Final = 200
"""Characters of a host, program, path or name."""

_DECODERS: Final = re.compile(
    r"\b(b64decode|b32decode|b16decode|b85decode|a85decode|urlsafe_b64decode|unhexlify|fromhex|decompress|decode|loads)\b"
)
_HOST: Final = re.compile(
    r"(?:[a-z][a-z0-9+.-]*://)?(?:[^/@\s]*@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.*-]+)(?::\d+)?(?:[/?#].*)?\Z"
)
_GETTERS: Final = frozenset({"builtins.getattr", "builtins.hasattr"})
_SETTERS: Final = frozenset({"builtins.setattr", "builtins.delattr"})
_IMPORTERS: Final = frozenset({"builtins.__import__", "importlib.import_module", "importlib.__import__"})
_BY_NAME: Final = frozenset({"operator.attrgetter", "operator.methodcaller"})
_FINDERS: Final = _GETTERS | _IMPORTERS
"""What finds things by name: handed on as a value (`map(__import__, names)`), it finds them where no reading sees it."""
_BEHIND: Final = frozenset({"__dict__", "__getattribute__", "__getattr__"})
_HTTP: Final = re.compile(r"(?:^|\.)(?:context|ctx)\.http\b|\.http\.request(?:_in_thread)?\Z")
_REFERRING: Final = frozenset(
    {
        "assent.spec.secret_text.SecretText",
        "assent.spec.secret_text.SecretText.parse",
        "assent.spec.types.SecretText",
    }
)
_APP: Final = re.compile(r"(?:^|\.)app\.(get|register)\Z")


class Uses:
    """Everything that one module reaches for. Equal uses of one scope are told once, at their first place."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._facts = names.facts
        self._found: dict[tuple[UseKind, str, str | None, str], Use] = {}
        self._placed: dict[tuple[UseKind, str, str], bool] = {}
        self.secrets: dict[tuple[str | None, str], Secret] = {}
        self.app_modules: dict[tuple[str, bool, str], ModuleUse] = {}
        self.imports: dict[tuple[str, bool], Import] = {}
        self._is_typing_plain = names.of_name("TYPE_CHECKING", AT_IMPORT) in ((), ("typing.TYPE_CHECKING",))

    @property
    def found(self) -> list[Use]:
        """The uses, in no particular order."""
        return [*self._found.values()]

    def read(self) -> None:
        """Go through everything that the walk met."""
        facts, names = self._facts, self._names
        # Calls first: they know the target, and a plain reference to the same name adds nothing.
        for call in facts.calls:
            self._call(call)
        for node, scope in facts.subscripts:
            self._item(node, scope)
        for (scope, chain), line in facts.chains.items():
            self._reference(chain, names.of_chain(chain, scope), scope, line)
        for (scope, name), line in facts.names.items():
            meanings = names.of_chain(name, scope)
            self._reference(name, meanings, scope, line)
            self._key(meanings, scope, line)
        for attribute, scope in facts.computed:
            self._reference(f"?.{attribute.attr}", names.of(attribute, scope), scope, attribute.lineno)
        for chain, scope, line in facts.stored:
            self._patched(names.of_chain(chain, scope), scope, line)
        for text, scope, line in facts.texts:
            self._secret(text.removeprefix(SECRET_SCHEME) or None, scope, line)
        for formatted, scope in facts.formatted:
            first = formatted.values[0] if formatted.values else None
            if isinstance(first, ast.Constant) and str(first.value).startswith(SECRET_SCHEME):
                value = fold(names, formatted, scope)
                secret = value.removeprefix(SECRET_SCHEME) if isinstance(value, str) else None
                self._secret(secret, scope, formatted.lineno)
        for one in facts.imports:
            self._imported(one.module, one.line, is_dynamic=False)

    def _kind(self, name: str) -> UseKind | None:
        """What a real name reaches; a module of the source is judged by what stands in it, whatever it is called."""
        kind = use_kind(name)
        return None if kind is None or self._names.package.is_own(name) else kind

    def _reference(
        self, written: str, meanings: Iterable[str], scope: str, line: int, *, is_called: bool = False
    ) -> None:
        has_meaning = is_known = False
        for meaning in meanings:
            has_meaning = True
            name = meaning.removeprefix(ROUNDABOUT)
            hidden = meaning.startswith(ROUNDABOUT)
            kind = self._kind(name)
            if kind is not None and is_called:
                is_known = True
                continue  # The call tells it, with its target.
            if kind is None:
                kind, name, hidden = self._within(name, hidden=hidden, is_called=is_called)
            if kind is not None:
                is_known = True
                self._add(kind, name, None, scope, line, hidden=hidden)
        asked = written.split(".")[1:]
        if _HTTP.search(written) and not is_known:
            if not is_called:  # The call tells it, with its target.
                self._add(UseKind.NETWORK, HTTP, None, scope, line)
        elif asked and not is_known:
            for one in asked:
                if one in METHODS:
                    self._add(METHODS[one], f"?.{one}", None, scope, line)
            if asked[-1] in PATH_METHODS and not has_meaning and self._knows_paths():
                self._add(UseKind.FILES, f"pathlib.Path.{asked[-1]}", None, scope, line)

    def _within(self, name: str, *, hidden: bool, is_called: bool) -> tuple[UseKind | None, str, bool]:
        """A dangerous module reached through another one (`logging.os.system`), or asked for its names behind their backs."""
        parts = name.split(".")
        if name in _FINDERS and not is_called:
            return UseKind.DYNAMIC, name, True
        if parts[0] in KEYS and not _BEHIND.isdisjoint(parts):
            return UseKind.DYNAMIC, f"{parts[0]}.?", True
        if self._names.package.is_own(name):
            return None, name, hidden
        for index in range(1, len(parts) - 1):
            if parts[index] in KEYS:
                inner = ".".join(parts[index:])
                kind = self._kind(inner)
                if kind is not None:
                    return kind, inner, True
        return None, name, hidden

    def _knows_paths(self) -> bool:
        return any(one.target.startswith("pathlib") for one in self._facts.imports)

    def _key(self, meanings: Iterable[str], scope: str, line: int) -> None:
        """A module as a mere value, which may be used where no reading sees it."""
        for meaning in meanings:
            if meaning.removeprefix(ROUNDABOUT) in KEYS:
                self._add(UseKind.DYNAMIC, meaning.removeprefix(ROUNDABOUT), None, scope, line, hidden=True)

    def _patched(self, meanings: Iterable[str], scope: str, line: int) -> None:
        for meaning in meanings:
            name = meaning.removeprefix(ROUNDABOUT)
            if (
                "." in name
                and not self._names.package.is_own(name)
                and self._kind(name) is not UseKind.ENVIRONMENT
            ):
                owner = name.rpartition(".")[0]
                # Only a module's or a class's attribute is everybody's; that of an object is its owner's affair.
                if any(one.target in (owner, name) or one.module == owner for one in self._facts.imports):
                    self._add(UseKind.PATCH, name, None, scope, line)

    def _call(self, call: Called) -> None:
        node, scope, names = call.node, call.scope, self._names
        chain = call.chain
        if chain is not None:
            if chain.endswith(".secret") and node.args:
                self._secret(names.text(node.args[0], scope), scope, node.lineno)
            if _HTTP.search(chain):
                target = self._target(UseKind.NETWORK, node, scope)
                self._add(UseKind.NETWORK, HTTP, target, scope, node.lineno, is_called=True)
            found = _APP.search(chain)
            if found is not None and node.args:
                self._app_module(node.args[0], scope, is_registered=found[1] == "register")
            meanings = names.of_chain(chain, scope)
            self._reference(chain, meanings, scope, node.lineno, is_called=True)
        else:
            meanings = names.of(node.func, scope)
        for meaning in meanings:
            name = meaning.removeprefix(ROUNDABOUT)
            if name in _REFERRING and node.args:
                self._references_of(node, scope)
            if name.startswith(("builtins.", "importlib.", "operator.")):
                self._meta(name, node, scope)
            kind = self._kind(name)
            if kind is not None:
                hidden = meaning.startswith(ROUNDABOUT) or (kind is UseKind.DYNAMIC and _is_decoded(node))
                target = self._target(kind, node, scope)
                self._add(kind, name, target, scope, node.lineno, hidden=hidden, is_called=True)
        if scope == AT_IMPORT:
            # What is handed to a call may be called by it.
            for argument in node.args:
                if (handed := chain_of(argument)) is not None:
                    for meaning in names.of_chain(handed, scope):
                        name = meaning.removeprefix(ROUNDABOUT)
                        if (kind := self._kind(name)) is not None:
                            self._add(kind, name, None, scope, node.lineno, is_called=True)

    def _meta(self, name: str, node: ast.Call, scope: str) -> None:
        """Calls that reach something by a name that is data."""
        args, names, line = node.args, self._names, node.lineno
        if name in _GETTERS and len(args) > 1:
            attribute = names.text(args[1], scope)
            for owner in names.of(args[0], scope):
                base = owner.removeprefix(ROUNDABOUT)
                if attribute is not None:
                    kind = self._kind(f"{base}.{attribute}")
                    if kind is not None:
                        self._add(kind, f"{base}.{attribute}", None, scope, line, hidden=True)
                elif base in KEYS or f"{base}." in _DANGEROUS:
                    self._add(UseKind.DYNAMIC, f"{base}.?", None, scope, line, hidden=True)
            if attribute is not None and attribute in METHODS:
                self._add(METHODS[attribute], f"?.{attribute}", None, scope, line, hidden=True)
        elif name in _SETTERS and args:
            attribute = names.text(args[1], scope) if len(args) > 1 else None
            owners = names.of(args[0], scope)
            self._patched([f"{owner}.{attribute or '?'}" for owner in owners], scope, line)
        elif name in _IMPORTERS:
            module = names.text(args[0], scope) if args else None
            if module is None:
                self._add(UseKind.DYNAMIC, name, None, scope, line, hidden=True)
            else:
                self._imported(module, line, is_dynamic=True)
        elif name in _BY_NAME:
            asked = [names.text(argument, scope) for argument in args[:1] if name.endswith("caller")] or [
                names.text(argument, scope) for argument in args
            ]
            if any(one is None or one.rpartition(".")[2] in SUSPICIOUS for one in asked):
                self._add(UseKind.DYNAMIC, name, None, scope, line, hidden=True)

    def _item(self, node: ast.Subscript, scope: str) -> None:
        names = self._names
        for meaning in names.of(node.value, scope):
            base = meaning.removeprefix(ROUNDABOUT)
            if self._kind(base) is UseKind.ENVIRONMENT:
                name = names.text(node.slice, scope)
                self._add(UseKind.ENVIRONMENT, base, _short(name), scope, node.lineno, is_called=True)
            elif base == "builtins.globals" or base.endswith(".__dict__"):
                owner = base.removesuffix(".__dict__")
                key = names.text(node.slice, scope)
                if key is None and (owner in KEYS or owner == self._facts.module):
                    self._add(UseKind.DYNAMIC, f"{owner}.?", None, scope, node.lineno, hidden=True)
        for meaning in names.of(node, scope):
            self._reference("", [meaning], scope, node.lineno)

    def _target(self, kind: UseKind, node: ast.Call, scope: str) -> str | None:
        """The host, program, path or variable that a call names, where it can be known."""
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        candidates = [
            *node.args[:2],
            *(given[key] for key in ("url", "host", "args", "file", "base_url") if key in given),
        ]
        for candidate in candidates:
            # Of a command or an address the first part is told, also when the rest can't be known.
            first = (
                candidate.elts[0]
                if isinstance(candidate, ast.List | ast.Tuple) and candidate.elts
                else candidate
            )
            value = fold(self._names, first, scope)
            if isinstance(value, tuple | list) and value:
                value = value[0]
            if not isinstance(value, str):
                continue
            if kind is UseKind.NETWORK:
                found = _HOST.match(value)
                if found is None or ("." not in value and ":" not in value and value != "localhost"):
                    continue
                return _short(found[1])
            if kind is UseKind.PROCESS:
                return _short(value.split()[0]) if value.split() else None
            return _short(value) if kind in (UseKind.FILES, UseKind.ENVIRONMENT) else None
        return None

    def _secret(self, name: str | None, scope: str, line: int) -> None:
        self.secrets.setdefault(
            (name, scope), Secret(name=_short(name), scope=scope, at=f"{self._facts.path}:{line}")
        )

    def _references_of(self, node: ast.Call, scope: str) -> None:
        """The secrets that a text refers to which the code makes itself."""
        text = self._names.text(node.args[0], scope)
        for name in (None,) if text is None else SecretText(text).names:
            self._secret(name, scope, node.lineno)

    def _app_module(self, node: ast.expr, scope: str, *, is_registered: bool) -> None:
        if isinstance(node, ast.Constant):
            return  # `app.get("key")` is some other thing called `app`.
        target = node.func if isinstance(node, ast.Call) else node
        names = self._names.of(target, scope) or (chain_of(target) or source_of(target),)
        for name in names:
            plain = name.removeprefix(ROUNDABOUT)
            use = ModuleUse(
                name=plain, is_registered=is_registered, scope=scope, at=f"{self._facts.path}:{node.lineno}"
            )
            self.app_modules.setdefault((plain, is_registered, scope), use)

    def _imported(self, module: str, line: int, *, is_dynamic: bool) -> None:
        if (module, is_dynamic) in self.imports:
            return
        top = module.partition(".")[0]
        if module in self._names.package.modules or self._names.package.is_own(module):
            origin = "own"
        elif top == "assent":
            origin = "assent"
        else:
            origin = "stdlib" if is_stdlib(module) else "third_party"
        self.imports[module, is_dynamic] = Import(
            name=_short(module) or "",
            origin=origin,  # type: ignore[arg-type]  # one of the four words above
            is_dynamic=is_dynamic,
            at=f"{self._facts.path}:{line}",
        )

    def _add(
        self,
        kind: UseKind,
        name: str,
        target: str | None,
        scope: str,
        line: int,
        *,
        hidden: bool = False,
        is_called: bool = False,
    ) -> None:
        if scope == TYPING and self._is_typing_plain:
            return
        scope = AT_IMPORT if scope == TYPING else scope
        name = shown_name(name) if kind is not UseKind.PATCH else name
        placed = self._placed.get((kind, name, scope))
        if target is None and placed is not None and placed >= hidden and not is_called:
            return
        key = (kind, name, target, scope)
        at_import = is_called and scope == AT_IMPORT
        known = self._found.get(key)
        if known is not None and known.is_hidden >= hidden and known.is_import_time >= at_import:
            return
        self._placed[kind, name, scope] = hidden or bool(placed)
        self._found[key] = Use(
            kind=kind,
            name=name[:TARGET_MAX],
            target=target,
            scope=scope,
            is_hidden=hidden or (known is not None and known.is_hidden),
            is_import_time=at_import or (known is not None and known.is_import_time),
            at=known.at if known is not None else f"{self._facts.path}:{line}",
        )


# Modules some of whose names count: asking them for a name that is data is asking for any of these.
_DANGEROUS: Final = frozenset(
    f"{'.'.join(name.split('.')[:depth])}."
    for name, kind in TABLE.items()
    if kind is not None
    for depth in range(1, name.count(".") + 2)
)


def _is_decoded(node: ast.Call) -> bool:
    """Whether what is executed is made from something that no reader can read."""
    return any(
        _DECODERS.search(source_of(argument))
        for argument in node.args[:1]
        if not isinstance(argument, ast.Constant)
    )


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= TARGET_MAX else text[: TARGET_MAX - 1] + "…"
