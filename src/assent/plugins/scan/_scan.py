"""From bytes to a manifest: every module is parsed and walked once, then names are followed through the whole source."""

from __future__ import annotations

import ast
import gc
import hashlib
import io
import tokenize
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Final, Literal

import msgspec

from assent.errors import InputError
from assent.plugins.manifest import Capability, Declaration, File, Manifest, Module, SourceKind, Use, UseKind
from assent.plugins.scan._capabilities import Found, find
from assent.plugins.scan._describe import describe
from assent.plugins.scan._models import is_model, model_of
from assent.plugins.scan._names import ROUNDABOUT, Names, Package, TangledError
from assent.plugins.scan._reach import Graph, functions_of, graph, reach, run_on_import
from assent.plugins.scan._table import runs_something
from assent.plugins.scan._uses import Uses
from assent.plugins.scan._values import fold
from assent.plugins.scan._walk import AT_IMPORT, Facts, walk
from assent.spec.documents.sections import Faults

SOURCE_BYTES_MAX: Final = 1 << 20
"""One Python file. Its tree takes about a hundred times as much memory."""

CODE: Final = "PLUGIN_SOURCE_INVALID"
_KINDS: Final[Mapping[str, Literal["python", "bytecode", "native"]]] = {
    ".py": "python",
    ".pyw": "python",
    ".pyc": "bytecode",
    ".pyo": "bytecode",
    ".so": "native",
    ".pyd": "native",
    ".dll": "native",
    ".dylib": "native",
}


def scan(files: Mapping[str, bytes], declaration: Declaration, kind: SourceKind) -> Manifest:
    """The manifest of a source.

    `files` are its bytes by their path below the folder that it is imported from, with `/` (`notes/__init__.py`). Nothing of
    them is imported or run. Raises `InputError` PLUGIN_SOURCE_INVALID for Python that can't be read: the first fault, all others
    in `details.faults`.
    """
    with _without_collector():
        return _scan(files, declaration, kind)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Leave Python's cycle collector out for a while.

    A tree has tens of thousands of nodes and no cycle. Looking for cycles in them, again and again while more are made, takes as
    long as all the rest of a scan.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _scan(files: Mapping[str, bytes], declaration: Declaration, kind: SourceKind) -> Manifest:
    faults = Faults()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # What Python says about an odd escape is its author's affair.
        sources = [path for path in sorted(files) if file_kind(path) == "python"]
        facts = [one for path in sources if (one := _read(path, files[path], faults)) is not None]
    faults.raise_if_any()
    try:
        return _assemble(files, facts, declaration, kind)
    except RecursionError:
        raise InputError(
            CODE,
            "an expression is nested too deeply to be followed",
            hint="split it; nobody could read it either",
        ) from None
    except TangledError:
        raise InputError(
            CODE,
            "names refer to each other in more ways than can be followed",
            hint="bind each name once, to something plain",
        ) from None


def file_kind(path: str) -> Literal["python", "bytecode", "native", "data"]:
    """What a file is to an import, by its name."""
    name = PurePosixPath(path)
    if ".so." in name.name:  # `libx.so.1`
        return "native"
    return _KINDS.get(name.suffix.lower(), "data")


def module_name(path: str) -> str:
    """The dotted name under which a file is imported."""
    parts = path.removesuffix(".py").removesuffix(".pyw").split("/")
    if parts[-1] == "__init__" and len(parts) > 1:
        parts = parts[:-1]
    return ".".join(parts)


def _read(path: str, data: bytes, faults: Faults) -> Facts | None:
    if len(data) > SOURCE_BYTES_MAX:
        message = f"the file is larger than {SOURCE_BYTES_MAX >> 10} KiB, which no module needs"
        faults.add(InputError(CODE, message, path=path, hint="keep data in a file of its own"))
        return None
    try:
        text = _decode(data)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        hint = "save the file as UTF-8"
        faults.add(InputError(CODE, f"byte {error.start} is not UTF-8", path=f"{path}:{line}:1", hint=hint))
        return None
    except (SyntaxError, LookupError, ValueError):
        # Python would read other characters than a person who opens the file: `utf-7` hides whole programs.
        message = "the file asks for another encoding than UTF-8"
        faults.add(InputError(CODE, message, path=f"{path}:1:1", hint="take its `coding:` line out"))
        return None
    if "\0" in text:
        place = f"{path}:{text.count(chr(10), 0, text.index(chr(0))) + 1}:1"
        faults.add(InputError(CODE, "the file holds a null character, which no source has", path=place))
        return None
    try:
        tree = ast.parse(text)
        return walk(tree, module_name(path), path, is_package=path.endswith("__init__.py"))
    except SyntaxError as error:
        said = f"{(error.msg or 'invalid syntax')[:1].lower()}{(error.msg or 'invalid syntax')[1:]}"
        place = f"{path}:{error.lineno or 1}:{error.offset or 1}"
        faults.add(InputError(CODE, f"this is not Python: {said}", path=place))
    except (RecursionError, MemoryError):
        faults.add(InputError(CODE, "the file is nested too deeply to be read", path=path))
    return None


def _decode(data: bytes) -> str:
    """The text of a source that is UTF-8 and asks for nothing else."""
    if b"coding" in data[:512]:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        if encoding not in ("utf-8", "utf-8-sig"):
            raise ValueError(encoding)
    return data.decode("utf-8-sig")


def _assemble(
    files: Mapping[str, bytes], facts: list[Facts], declaration: Declaration, kind: SourceKind
) -> Manifest:
    package = Package(facts, fold)
    read = {name: Uses(names) for name, names in package.modules.items()}
    for uses in read.values():
        uses.read()
    edges = graph(package)
    on_import = run_on_import(package, edges)
    found, hooks = find(package)
    every = [
        _timed(use, names, on_import)
        for names, uses in zip(package.modules.values(), read.values(), strict=True)
        for use in uses.found
    ]
    kinds_of: dict[str, set[UseKind]] = {}
    for names, uses in zip(package.modules.values(), read.values(), strict=True):
        for use in uses.found:
            kinds_of.setdefault(f"{names.facts.module}.{use.scope}", set()).add(use.kind)
    capabilities = [_reaching(one, package, edges, kinds_of) for one in found]
    return Manifest(
        kind=kind,
        declaration=declaration,
        files=tuple(_file(path, data) for path, data in sorted(files.items())),
        modules=tuple(_module(names, read[name]) for name, names in sorted(package.modules.items())),
        capabilities=tuple(
            sorted(capabilities, key=lambda one: (one.id or "", one.version or "", _place(one.at)))
        ),
        models=tuple(
            model_of(names, name)
            for _, names in sorted(package.modules.items())
            for name in sorted(names.facts.classes)
            if is_model(names, name)
        ),
        hooks=tuple(sorted(hooks, key=lambda one: _place(one.at))),
        uses=tuple(
            sorted(every, key=lambda use: (_place(use.at), use.kind, use.name, use.target or "", use.scope))
        ),
        secrets=tuple(
            sorted(
                (secret for uses in read.values() for secret in uses.secrets.values()),
                key=lambda secret: (secret.name or "", _place(secret.at)),
            )
        ),
        app_modules=tuple(
            sorted(
                (use for uses in read.values() for use in uses.app_modules.values()),
                key=lambda use: (use.name, _place(use.at)),
            )
        ),
    )


def _place(at: str) -> tuple[str, int]:
    path, _, line = at.rpartition(":")
    return path, int(line)


def _timed(use: Use, names: Names, on_import: frozenset[str]) -> Use:
    """The use, marked when the function that it stands in can run on import."""
    if use.is_import_time or not use.scope or f"{names.facts.module}.{use.scope}" not in on_import:
        return use
    return msgspec.structs.replace(use, is_import_time=True)


def _reaching(one: Found, package: Package, edges: Graph, kinds_of: Mapping[str, set[UseKind]]) -> Capability:
    first = functions_of(package, [part for part in one.parts.values() if part is not None])
    kinds = {kind for name in reach(edges, first) for kind in kinds_of.get(name, ())}
    return msgspec.structs.replace(describe(one), reaches=tuple(sorted(kinds)))


def _module(names: Names, uses: Uses) -> Module:
    facts = names.facts
    runs: set[str] = set()
    for call in facts.calls:
        if call.scope == AT_IMPORT and call.chain is not None:
            for meaning in names.of_chain(call.chain, AT_IMPORT):
                name = meaning.removeprefix(ROUNDABOUT)
                own = names.package.split(name)
                if runs_something(name) if own is None else own[1] in own[0].facts.functions:
                    runs.add(name)
    imports = sorted(uses.imports.values(), key=lambda one: (one.name, one.is_dynamic))
    return Module(
        name=facts.module,
        path=facts.path,
        docstring=facts.docstring,
        imports=tuple(imports),
        runs=tuple(sorted(runs)),
    )


def _file(path: str, data: bytes) -> File:
    return File(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest(), kind=file_kind(path))
