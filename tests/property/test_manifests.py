"""Manifests of generated plugins: nothing that the code declares is missing, nothing else is in it, and every byte counts."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assent.errors import InputError
from assent.invocation import capabilities_in
from assent.plugins import Declaration, Manifest, ManifestCache, PluginText, SourceKind, agree, scan
from tests.support.properties import holds
from tests.support.seeds import examples

LABELS = st.lists(st.sampled_from(["reads_private", "sends_external", "a-b", "x.y"]), unique=True, max_size=3)
_TAKEN: Final = frozenset(
    """and as assert async await break class continue def del elif else except finally for from global if import in is lambda
    none nonlocal not or pass raise return true try while with json copy self cls prepared dict model context call input int str
    bool list set open exec eval iter next hash help id len map max min oct ord pow repr sum type vars zip abs all any ascii
    bin chr dir exit hex object print quit range round slice sorted super tuple""".split()
)

NAMES: Final = st.from_regex(r"[a-z]{2,6}", fullmatch=True).filter(lambda name: name not in _TAKEN)

TYPES: Final = (
    ("str", ("string",), '"x"'),
    ("int", ("integer",), "3"),
    ("bool", ("boolean",), "True"),
    ("float", ("number",), "1.5"),
    ("str | None", ("null", "string"), "None"),
    ("Optional[int]", ("integer", "null"), "None"),
    ("list[int]", ("array",), "[]"),
    ("List[str]", ("array",), "[]"),
    ("dict[str, int]", ("object",), "{}"),
    ('Literal["a", "b"]', ("string",), '"a"'),
    ("Annotated[int, Field(ge=0)]", ("integer",), "1"),
    ("Count", ("integer",), "7"),
    ("Shade", ("string",), "Shade.DARK"),
    ("Item", ("object",), None),
)
"""An annotation, the JSON types that it takes, and a default."""

USES: Final = (
    ("import socket; socket.create_connection(('h.example', 1))", "network", "socket.create_connection"),
    ("import urllib.request as u; u.urlopen('https://h.example')", "network", "urllib.request.urlopen"),
    ("from os import system as go; go('ls')", "process", "os.system"),
    ("import subprocess as sp; sp.check_call(['ls'])", "process", "subprocess.check_call"),
    ("open('/tmp/x')", "files", "builtins.open"),
    ("import shutil; shutil.rmtree('x')", "files", "shutil.rmtree"),
    ("import os; os.getenv('A')", "environment", "os.getenv"),
    ("import os as system; system.environ['A']", "environment", "os.environ"),
    ("eval('1')", "dynamic", "builtins.eval"),
    ("import pickle; pickle.loads(b'')", "dynamic", "pickle.loads"),
    ("import ctypes as c; c.CDLL('x')", "native", "ctypes.CDLL"),
    ("import os; getattr(os, 'po' + 'pen')('ls')", "process", "os.popen"),
    ("__import__('sub' + 'process').run(['ls'])", "process", "subprocess.run"),
)
"""A line of code, and the use that it is."""

IMPORTS: Final = (
    ("from assent import capability, LocalContext", "capability"),
    ("import assent\nfrom assent import LocalContext", "assent.capability"),
    ("import assent as a\nfrom assent import LocalContext", "a.capability"),
    ("from assent import capability as declare, LocalContext", "declare"),
    ("from assent.invocation import capability as c, LocalContext", "c"),
)

HEAD: Final = """
from enum import StrEnum
from typing import Annotated, Any, List, Literal, Optional
from pydantic import BaseModel, Field
from assent.spec.capability import OperationType, RiskLevel

Count = Annotated[int, Field(ge=0)]

class Shade(StrEnum):
    DARK = "dark"

class Item(BaseModel):
    name: str
    count: Count = 1
"""


@dataclass(frozen=True)
class Declared:
    """One capability as it is to be written."""

    name: str
    operation: str
    risk: str
    undo: str
    version: str
    labels: list[str]
    secrets: list[str]
    timeout: int | None
    idempotent: bool | None
    asks: bool
    parameters: list[tuple[str, tuple[str, tuple[str, ...], str | None], bool]]
    returns: tuple[str, tuple[str, ...], str | None]
    has_context: bool
    prepares: bool
    uses: list[int]
    hooks: list[tuple[str, int, int]] = field(default_factory=list)

    @property
    def id(self) -> str:
        return f"gen.{self.name}"

    @property
    def reads(self) -> bool:
        return self.operation == "READ"


@st.composite
def declared(draw: st.DrawFn) -> Declared:
    operation = draw(st.sampled_from(["READ", "WRITE", "DELETE", "EXECUTE", "NETWORK"]))
    undo = "none" if operation == "READ" else draw(st.sampled_from(["none", "restores", "offsets", "other"]))
    risks = {
        "none": ["LOW", "MEDIUM", "HIGH", "CRITICAL"] if operation == "READ" else ["CRITICAL"],
        "restores": ["HIGH", "CRITICAL"] if operation == "DELETE" else ["LOW", "MEDIUM", "HIGH"],
        "offsets": ["HIGH", "CRITICAL"],
        "other": ["HIGH", "CRITICAL"],
    }
    names = draw(st.lists(NAMES, unique=True, max_size=4))
    # Behind a first parameter with a default every other one needs one as well.
    types = [draw(st.sampled_from(TYPES)) for _ in names]
    first = draw(st.integers(0, len(names)))
    parameters = [
        (name, kind, index >= first and kind[2] is not None)
        for index, (name, kind) in enumerate(zip(names, types, strict=True))
    ]
    return Declared(
        name=draw(NAMES),
        operation=operation,
        risk=draw(st.sampled_from(risks[undo])),
        undo=undo,
        version=draw(st.sampled_from(["1.0.0", "2.3.4", "1.0.0-rc1"])),
        labels=draw(LABELS),
        secrets=draw(st.lists(NAMES, unique=True, max_size=2)),
        timeout=draw(st.none() | st.integers(1, 1000)),
        idempotent=draw(st.none() | st.booleans()),
        asks=draw(st.booleans()),
        parameters=parameters,
        returns=draw(st.sampled_from(TYPES)),
        has_context=draw(st.booleans()),
        prepares=operation != "READ" and draw(st.booleans()),
        uses=draw(st.lists(st.integers(0, len(USES) - 1), unique=True, max_size=3)),
        hooks=draw(
            st.lists(
                st.tuples(
                    st.sampled_from(["before", "after", "catch", "finally_"]),
                    st.integers(1, 60),
                    st.integers(0, 3),
                ),
                max_size=2,
            )
        ),
    )


def written(one: Declared, decorator: str, *, by_name: bool) -> str:
    """The source of one capability; `by_name`: its values stand in constants and enums."""
    lines = [f"_N_{one.name} = 'gen'", f"_T_{one.name} = {one.timeout!r}"]
    ident = f"f'{{_N_{one.name}}}.' + '{one.name}'" if by_name else repr(one.id)
    operation = f"OperationType.{one.operation}" if by_name else repr(one.operation)
    risk = f"RiskLevel.{one.risk}" if by_name else repr(one.risk)
    given = [ident, f"operation={operation}", f"risk={risk}", f"version={one.version!r}"]
    given += {
        "none": [],
        "restores": ["reversible=True"],
        "offsets": ["compensation='offset'"],
        "other": ["compensated_by='gen.other'"],
    }[one.undo]
    given += [f"labels={set(one.labels)!r}" if one.labels and by_name else f"labels={one.labels!r}"]
    given += [f"secrets={one.secrets!r}"] if one.secrets else []
    given += [f"timeout=_T_{one.name}"] if one.timeout is not None else []
    given += [f"idempotent={one.idempotent}"] if one.idempotent is not None else []
    given += ["requires_approval=True"] if one.asks else []
    taken = [
        f"{name}: {kind[0]}{f' = {kind[2]}' if has_default else ''}"
        for name, kind, has_default in one.parameters
    ]
    # What follows a default by position has to have one; by name it need not.
    keyword = [] if len(taken) != 1 and not any(has for _, _, has in one.parameters) else ["*"]
    head = (["context: LocalContext"] if one.has_context else []) + (keyword if taken else []) + taken
    lines += [
        f"@{decorator}({', '.join(given)})",
        f"def {one.name}({', '.join(head)}) -> {one.returns[0]}:",
        f'    """Do {one.name}."""',
        *(f"    {USES[index][0]}" for index in one.uses),
        "    ...",
        *(f"    context.secret({name!r})" for name in one.secrets),
    ]
    if one.prepares:
        lines += [f"@{one.name}.prepare", f"def {one.name}_prepare(): ..."]
    if one.undo in ("restores", "offsets"):
        lines += [f"@{one.name}.compensate", f"def {one.name}_compensate(): ..."]
    for index, (kind, timeout, retries) in enumerate(one.hooks):
        lines += [
            f"@{one.name}.{kind}(id='{one.name}-{index}', timeout_s={timeout}, retries={retries})",
            f"def {one.name}_hook{index}(call): ...",
        ]
    return "\n".join(lines) + "\n"


PLUGINS = st.lists(declared(), min_size=1, max_size=3, unique_by=lambda one: one.name)


def check(one: Declared, manifest: Manifest, module: str) -> None:
    """Everything that was written of a capability is in the manifest as it was written."""
    found = next(item for item in manifest.capabilities if item.id == one.id)
    assert found.unknown == ()
    assert (found.version, found.operation, found.risk) == (one.version, one.operation, one.risk)
    assert found.requires_approval is one.asks
    assert found.reversible is (one.reads or one.undo == "restores")
    claimed = {
        "none": None,
        "restores": "restore_pre_image",
        "offsets": "offset",
        "other": "other_capability",
    }
    assert found.compensation == claimed[one.undo]
    assert found.compensated_by == ("gen.other" if one.undo == "other" else None)
    assert found.labels == tuple(sorted(one.labels))
    assert found.secrets == tuple(one.secrets)
    assert found.timeout == (None if one.timeout is None else float(one.timeout))
    assert found.idempotent is (one.reads if one.idempotent is None else one.idempotent)
    assert found.docstring == found.description == f"Do {one.name}."
    parts = {"execute"} | ({"prepare"} if one.prepares else set())
    parts |= {"compensate"} if one.undo in ("restores", "offsets") else set()
    assert set(found.parts) == parts
    assert found.parameters is not None
    assert found.parameters.fields is not None
    assert [(item.name, item.json, item.required) for item in found.parameters.fields] == [
        (name, kind[1], not has_default) for name, kind, has_default in one.parameters
    ]
    assert found.returns is not None
    assert found.returns.json == one.returns[1]
    assert {use.kind.value for use in manifest.uses if use.scope == one.name} == {
        USES[i][1] for i in one.uses
    }
    assert {use.name for use in manifest.uses if use.scope == one.name} == {USES[i][2] for i in one.uses}
    assert set(found.reaches) == {USES[i][1] for i in one.uses}
    assert {secret.name for secret in manifest.secrets if secret.scope == one.name} == set(one.secrets)
    hooks = [
        (hook.kind, hook.id, hook.timeout, hook.retries)
        for hook in manifest.hooks
        if hook.capability == one.id
    ]
    assert sorted(hooks) == sorted(
        (kind.removesuffix("_"), f"{one.name}-{index}", float(timeout), retries)
        for index, (kind, timeout, retries) in enumerate(one.hooks)
    )
    assert all(hook.at.startswith(f"{module}.py:") for hook in manifest.hooks)


@holds("manifest_completeness")
@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(PLUGINS, st.sampled_from(IMPORTS), st.booleans())
def test_a_manifest_names_all_that_the_code_declares_and_nothing_else(
    plugin: list[Declared], style: tuple[str, str], by_name: bool
) -> None:
    """And what is registered when the same source is imported is what was read."""
    source = style[0] + HEAD + "".join(written(one, style[1], by_name=by_name) for one in plugin)
    manifest = scan({"generated.py": source.encode()}, Declaration(name="gen"), SourceKind.FILE)
    assert {one.id for one in manifest.capabilities} == {one.id for one in plugin}
    assert len(manifest.hooks) == sum(len(one.hooks) for one in plugin)
    assert {use.scope for use in manifest.uses} <= {one.name for one in plugin}
    for one in plugin:
        check(one, manifest, "generated")
    module = ModuleType("generated")
    sys.modules["generated"] = module
    try:
        exec(compile(source, "generated.py", "exec", dont_inherit=True), module.__dict__)
        registered = [(one.spec, one.handler) for one in capabilities_in(module)]
    finally:
        del sys.modules["generated"]
    assert [str(one) for one in agree(manifest, registered)] == []


FILES = st.dictionaries(
    st.sampled_from(["a.py", "b.py", "p/__init__.py", "p/data.txt", "p/x.so"]),
    st.sampled_from(
        [
            b"",
            b"x = 1  # one\n",
            b'"""A text."""\nimport os\ndef f(): os.getenv("A")\n',
            b"from assent import capability\n@capability('x.y', operation='READ', risk='LOW')\ndef f(a: int) -> str: ...\n",
        ]
    ),
    min_size=1,
)


@holds("manifest_caching")
@settings(max_examples=examples(150), deadline=None)
@given(FILES, st.data())
def test_a_cached_manifest_equals_a_fresh_one_and_changes_with_any_byte(
    files: dict[str, bytes], data: st.DataObject
) -> None:
    declaration = Declaration(name="x")
    cache = ManifestCache(limit=4)
    text = PluginText(SourceKind.FOLDER, files, declaration)
    first = cache.manifest(text)
    again = cache.manifest(PluginText(SourceKind.FOLDER, dict(reversed(files.items())), declaration))
    fresh = scan(files, declaration, SourceKind.FOLDER)
    assert cache.statistics().hits == 1
    assert first.canonical() == again.canonical() == fresh.canonical()
    name = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(files[name])
    position = data.draw(st.integers(0, len(content)))
    byte = data.draw(st.integers(0, 255))
    if position == len(content):
        content.append(byte)
    elif content[position] != byte:
        content[position] = byte
    else:
        del content[position]
    changed = {**files, name: bytes(content)}
    try:
        fresh = scan(changed, declaration, SourceKind.FOLDER)
    except InputError:
        return  # A source that can no longer be read has no manifest at all.
    other = cache.manifest(PluginText(SourceKind.FOLDER, changed, declaration))
    assert other.fingerprint != first.fingerprint
    assert other.canonical() == fresh.canonical()
