"""Finds names in `src/assent` that only their owners may use: clock, randomness, ids, environment, tasks, data made into types.

    python -m tools.check_bans [FOLDER]

The names and their owners stand in `pyproject.toml` once, where ruff reads them too (`banned-api`, and the files it exempts
from TID251). Ruff follows imports; this also follows what an import linter cannot see: a module bound to another name, a
look-up by string (`getattr`, `import_module`, `sys.modules`), `create_task` on a loop, and a `# noqa` on the line.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent

# Names that are banned on any object. A loop or a task group is a value, so no import tells where these come from, and the
# house gives its own methods other names (`spawn`).
BANNED_METHODS: Mapping[str, str] = {
    "create_task": "ask the Spawn port",
    "ensure_future": "ask the Spawn port",
}

# Calls that fetch a module by a string.
_LOADERS = {"importlib.import_module", "builtins.__import__", "__import__"}


@dataclass(frozen=True, slots=True)
class Rules:
    """What is banned (dotted name to advice) and the files, relative to the root, that may use it."""

    banned: Mapping[str, str]
    owners: frozenset[str]

    def advice(self, dotted: str) -> tuple[str, str] | None:
        """The banned name that `dotted` is or lies within, with its advice."""
        parts = dotted.split(".")
        for length in range(len(parts), 0, -1):
            name = ".".join(parts[:length])
            if name in self.banned:
                return name, self.banned[name]
        return None


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One use of a banned name."""

    path: str
    line: int
    name: str
    advice: str

    def __str__(self) -> str:
        """One line, in the form editors can jump to."""
        return f"{self.path}:{self.line}: `{self.name}` is banned here: {self.advice}"


def load_rules(root: Path = ROOT) -> Rules:
    """The rules of `pyproject.toml`; raises KeyError when the table that ruff reads is gone."""
    lint = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    banned = {name: entry["msg"] for name, entry in lint["flake8-tidy-imports"]["banned-api"].items()}
    owners = {
        pattern
        for pattern, codes in lint["per-file-ignores"].items()
        if "TID251" in codes and pattern.startswith("src/")
    }
    return Rules(banned, frozenset(owners))


@dataclass(slots=True)
class _Visitor(ast.NodeVisitor):
    """Collects the banned uses of one module.

    Scopes are ignored: a name bound to a banned module anywhere in the file counts everywhere in it. That may say too
    much about a file that reuses a name, and never too little.
    """

    rules: Rules
    path: str
    names: dict[str, str] = field(default_factory=dict)
    found: set[Finding] = field(default_factory=set)

    def report(self, node: ast.AST, dotted: str) -> None:
        # A package may keep a name in a module of its own and show it at its front (`asyncio.tasks.create_task`).
        top, _, rest = dotted.partition(".")
        hit = self.rules.advice(dotted) or self.rules.advice(f"{top}.{rest.rpartition('.')[2]}")
        if hit is not None:
            self.found.add(Finding(self.path, getattr(node, "lineno", 0), *hit))

    def dotted(self, node: ast.expr) -> str | None:
        """The full name an expression stands for, as far as the file itself tells."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id, node.id if node.id in {"__import__", "getattr"} else None)
        if isinstance(node, ast.Attribute):
            base = self.dotted(node.value)
            return f"{base}.{node.attr}" if base else None
        return None

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.report(node, alias.name)
            top = alias.name.split(".")[0]
            self.names[alias.asname or top] = alias.name if alias.asname else top

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level or not node.module:
            return
        for alias in node.names:
            dotted = f"{node.module}.{alias.name}"
            self.report(node, dotted)
            if alias.name == "*" and any(name.startswith(f"{node.module}.") for name in self.rules.banned):
                self.found.add(Finding(self.path, node.lineno, dotted, "a star brings banned names along"))
            self.names[alias.asname or alias.name] = dotted

    def visit_Attribute(self, node: ast.Attribute) -> None:
        dotted = self.dotted(node)
        if dotted:
            self.report(node, dotted)
        if node.attr in BANNED_METHODS:
            self.found.add(Finding(self.path, node.lineno, node.attr, BANNED_METHODS[node.attr]))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = self.dotted(node.func)
        texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        if called in _LOADERS and texts:
            self.report(node, texts[0])
        if called == "getattr" and texts:
            base = self.dotted(node.args[0])
            self.report(node, f"{base}.{texts[0]}" if base else "")
            if texts[0] in BANNED_METHODS:
                self.found.add(Finding(self.path, node.lineno, texts[0], BANNED_METHODS[texts[0]]))
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        key = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if self.dotted(node.value) == "sys.modules" and isinstance(key, str):
            self.report(node, key)
        self.generic_visit(node)


def _bindings(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Each `name = expression` of a module, also annotated and walrus ones."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            yield from ((t.id, node.value) for t in node.targets if isinstance(t, ast.Name))
        elif (
            isinstance(node, ast.AnnAssign | ast.NamedExpr)
            and isinstance(node.target, ast.Name)
            and node.value
        ):
            yield node.target.id, node.value


def check_source(source: str, path: str, rules: Rules) -> list[Finding]:
    """The banned uses in one module's text, in the order of its lines; SyntaxError when it is no Python."""
    tree = ast.parse(source, path)
    visitor = _Visitor(rules, path)
    # Imports first, wherever they stand (a function may use what a later line imports), then plain renamings of what
    # they bound, then the uses.
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            visitor.visit(node)
    for name, value in _bindings(tree):
        bound = visitor.dotted(value)
        if bound and name not in visitor.names:
            visitor.names[name] = bound
    visitor.visit(tree)
    return sorted(visitor.found)


def check_tree(root: Path = ROOT) -> list[Finding]:
    """The banned uses in `src/assent` under `root`, except in the files that own them."""
    rules = load_rules(root)
    findings: list[Finding] = []
    for file in sorted((root / "src" / "assent").rglob("*.py")):
        path = file.relative_to(root).as_posix()
        if not any(PurePosixPath(path).match(owner) for owner in rules.owners):
            findings += check_source(file.read_text(encoding="utf-8"), path, rules)
    return findings


def main(arguments: list[str]) -> int:
    """Print each finding; 1 when there is one."""
    findings = check_tree(Path(arguments[0]) if arguments else ROOT)
    for finding in findings:
        print(finding)
    if not findings:
        print("No banned names.")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
