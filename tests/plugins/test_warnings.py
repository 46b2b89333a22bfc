"""What a person has to know before trusting a plugin is told first, with code, place and hint."""

from __future__ import annotations

from collections.abc import Collection
from textwrap import dedent

import msgspec
import pytest

from assent.errors.explanations import explanations
from assent.plugins import Declaration, Permissions, PluginWarning, SourceKind, scan, warnings_of
from assent.plugins._warnings import ORDER

DECLARED = Declaration(name="notes", file="pyproject.toml")


def warned(
    source: str, *, known: Collection[str] = (), **permissions: tuple[str, ...]
) -> list[PluginWarning]:
    declaration = msgspec.structs.replace(DECLARED, permissions=Permissions(**permissions))
    files = {"notes.py": dedent(source).encode()}
    return warnings_of(scan(files, declaration, SourceKind.FILE), known)


def codes(source: str, **permissions: tuple[str, ...]) -> list[str]:
    """The codes without that of a source that declares no capability."""
    found = warned(source, **permissions)
    return [one.code for one in found if one.code != "PLUGIN_EMPTY"]


PLAIN = """
from assent import capability
@capability("notes.get", operation="READ", risk="LOW")
def get(key: str) -> str: ...
"""


def test_plain_code_that_declares_itself_gets_no_warning() -> None:
    assert warned(PLAIN) == []


@pytest.mark.parametrize(
    ("source", "code", "key", "granted", "refused"),
    [
        (
            "async def f(context): await context.http.request('GET', 'https://a.example/x')",
            "PLUGIN_NETWORK_UNDECLARED",
            "network",
            "*.example:443",
            "b",
        ),
        (
            "import subprocess\ndef f(): subprocess.run(['git'])",
            "PLUGIN_PROCESS_UNDECLARED",
            "process",
            "git",
            "ls",
        ),
        (
            "import subprocess\ndef f(): subprocess.run('/bin/git x')",
            "PLUGIN_PROCESS_UNDECLARED",
            "process",
            "git",
            "bin",
        ),
        ("def f(): open('/etc/hosts')", "PLUGIN_FILES_UNDECLARED", "files", "/etc", "/var"),
        (
            "import os\ndef f(): os.getenv('HOME')",
            "PLUGIN_ENVIRONMENT_UNDECLARED",
            "environment",
            "HOME",
            "PATH",
        ),
        ("def f(context): context.secret('token')", "PLUGIN_SECRET_UNDECLARED", "secrets", "token", "other"),
    ],
)
def test_what_is_not_asked_for_is_told(source: str, code: str, key: str, granted: str, refused: str) -> None:
    assert code in codes(source)
    assert codes(source, **{key: (granted,)}) == []
    assert code in codes(source, **{key: (refused,)})


def test_a_target_that_cannot_be_known_is_covered_by_asking_for_its_kind() -> None:
    source = "def f(context, url): context.http.request_in_thread('GET', url)"
    assert codes(source) == ["PLUGIN_NETWORK_UNDECLARED"]
    assert codes(source, network=("a.example",)) == []


@pytest.mark.parametrize(
    "source",
    [
        "import httpx\ndef f(): httpx.get('https://a.example/x')",
        "import socket\ndef f(): socket.socket()",
        "async def f(loop): await loop.create_connection(p)",
    ],
)
def test_code_that_reaches_the_network_by_itself_is_told_that_a_worker_has_none(source: str) -> None:
    """Whatever is declared: what is declared goes through `context.http`."""
    assert codes(source) == ["PLUGIN_NETWORK_UNDECLARED", "PLUGIN_NETWORK_DIRECT"]
    assert codes(source, network=("a.example",)) == ["PLUGIN_NETWORK_DIRECT"]


def test_asking_for_every_host_is_told() -> None:
    source = "def f(context, url): context.http.request_in_thread('GET', url)"
    (found,) = [one for one in warned(source, network=("POST *",)) if one.code != "PLUGIN_EMPTY"]
    assert (found.code, found.path) == ("PLUGIN_NETWORK_ANYWHERE", "pyproject.toml")
    assert "`POST https://*`" in found.message


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("def f(): __import__('os').system('ls')", "PLUGIN_CALL_HIDDEN"),
        ("def f(): exec('x')", "PLUGIN_CODE_DYNAMIC"),
        ("import ctypes\ndef f(): ctypes.CDLL('x')", "PLUGIN_CODE_NATIVE"),
        ("import json\njson.dumps = None", "PLUGIN_CODE_PATCHES"),
        ("import os\nos.system('ls')", "PLUGIN_IMPORT_EFFECT"),
        ("def f(context, x): context.secret(x)", "PLUGIN_SECRET_UNDECLARED"),
        (
            "from assent.spec.types import SecretText\nT = SecretText('Bearer secret://x')",
            "PLUGIN_SECRET_UNDECLARED",
        ),
        (
            "from assent.spec.types import SecretText\ndef f(x): return SecretText(x)",
            "PLUGIN_SECRET_UNDECLARED",
        ),
        (PLAIN.replace('"LOW"', "pick()"), "PLUGIN_VALUE_UNKNOWN"),
        (PLAIN.replace("notes.get", "io.fs.read_file"), "PLUGIN_ID_SHADOWS"),
        (PLAIN + PLAIN.replace("get(", "other("), "PLUGIN_ID_TWICE"),
        (PLAIN.replace('"LOW"', '"LOW", secrets=["x"]'), "PLUGIN_SECRET_UNDECLARED"),
        (PLAIN.replace("...", "open('x')"), "PLUGIN_RISK_UNDERSTATED"),
        ("import httpx" + PLAIN.replace("...", "httpx.get('x')"), "PLUGIN_RISK_UNDERSTATED"),
        (PLAIN.replace('"READ"', '"WRITE", reversible=True'), "PLUGIN_PART_MISSING"),
        (
            PLAIN.replace('"READ"', '"WRITE"') + "@get.compensate\ndef back(context): ...",
            "PLUGIN_PART_MISSING",
        ),
    ],
)
def test_each_kind_of_surprise_has_its_warning(source: str, code: str) -> None:
    found = [one for one in warned(source) if one.code == code]
    assert found
    assert all(one.path and one.path.startswith("notes.py:") and one.hint for one in found)


def test_an_id_that_is_there_already_is_told() -> None:
    assert [one.code for one in warned(PLAIN, known=frozenset({"notes.get"}))] == ["PLUGIN_ID_SHADOWS"]


def test_a_compensation_by_another_capability_needs_no_part() -> None:
    assert warned(PLAIN.replace('"READ"', '"WRITE", compensated_by="notes.drop"')) == []


def test_files_that_cannot_be_read_or_run_unasked_are_told() -> None:
    files = {"notes.py": PLAIN.encode(), "a.so": b"", "b.pyc": b"", "evil.pth": b"", "sitecustomize.py": b""}
    found = warnings_of(scan(files, DECLARED, SourceKind.WHEEL))
    assert [(one.code, one.path) for one in found] == [
        ("PLUGIN_CODE_NATIVE", "a.so"),
        ("PLUGIN_CODE_NATIVE", "b.pyc"),
        ("PLUGIN_STARTS_WITH_PYTHON", "evil.pth"),
        ("PLUGIN_STARTS_WITH_PYTHON", "sitecustomize.py"),
    ]


def test_permissions_that_nothing_uses_are_told() -> None:
    found = warned(PLAIN, network=("a.example",), secrets=("x",))
    assert [one.code for one in found] == ["PLUGIN_PERMISSION_UNUSED"] * 2
    assert [one.path for one in found] == ["pyproject.toml"] * 2


def test_a_source_without_declaration_or_capability_is_told() -> None:
    found = warnings_of(scan({"x.py": b""}, Declaration(name="x"), SourceKind.FILE))
    assert [one.code for one in found] == ["PLUGIN_UNDECLARED", "PLUGIN_EMPTY"]


def test_every_warning_is_explained_and_the_gravest_come_first() -> None:
    assert set(ORDER) <= set(explanations())
    found = codes("import os\nos.system('ls')\ndef f(): getattr(os, 'po' + 'pen')('x')")
    assert found == sorted(found, key=ORDER.index)
    assert found[0] == "PLUGIN_CALL_HIDDEN"
