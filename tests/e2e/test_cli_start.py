"""Only what a command needs is loaded at its start; what that takes is a figure of `benchmarks/startup.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"pydantic", "msgspec", "asyncio", "apsw", "yaml", "rich", "cryptography", "jsonschema_rs", "tomllib"}
NOT_FOR_READING = {
    "assent.engine.drive._actor",
    "assent.engine.drive._engine",
    "assent.invocation.call._pipeline",
    "assent.journal.store._writer",
    "assent.policy._engine",
    "assent.runtime._core",
    "assent.spec.workflow._workflow_parse",
    "asyncio",
    "cryptography",
    "jsonschema_rs",
    "pydantic",
    "pydantic_core",
    "socket",
    "ssl",
    "yaml",
}
"""What costs a start its time and nothing that only reads needs: pydantic, sockets, the event loop, what drives a run."""

PROBE = """
import re, sys
from assent.cli import main

main({words})
own = [one for name, one in sys.modules.items() if name.startswith("assent")]
compiled = [f"re:{{one.__name__}}.{{name}}" for one in own for name, value in vars(one).items() if isinstance(value, re.Pattern)]
print("\\n" + " ".join([*sys.modules, *compiled]), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where modules are compiled to, once for all that starts here."""
    return tmp_path_factory.mktemp("pyc")


@pytest.fixture
def compiled(clean_env: dict[str, str], bytecode: Path, tmp_path: Path) -> dict[str, str]:
    """An environment whose modules are compiled, as an installed package's are."""
    env = {name: value for name, value in clean_env.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env |= {"PYTHONPYCACHEPREFIX": str(bytecode), "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-m", "assent", "version"], env=env, check=True, capture_output=True)
    return env


def loaded(env: dict[str, str], *words: str, cwd: Path) -> set[str]:
    """The modules that a command loads, and the patterns that ours of them compile (`re:module.name`)."""
    program = PROBE.format(words=list(words))
    answer = subprocess.run(
        [sys.executable, "-c", program], env=env, cwd=cwd, capture_output=True, text=True, check=True
    )
    return set(answer.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    "words", [("version",), ("--help",), ("run", "--help"), ("completion", "bash"), ("help", "exit-codes")]
)
def test_words_about_assent_load_nothing_heavy(
    compiled: dict[str, str], tmp_path: Path, words: tuple[str, ...]
) -> None:
    modules = loaded(compiled, *words, cwd=tmp_path)
    assert "assent.cli" in modules
    assert HEAVY & modules == set()


def test_rich_and_asyncio_are_left_alone_by_commands_that_only_look(
    compiled: dict[str, str], tmp_path: Path
) -> None:
    assert {"rich", "cryptography"} & loaded(compiled, "explain", "POLICY_DENIED", cwd=tmp_path) == set()


@pytest.mark.parametrize("command", ["runs", "show", "approvals", "audit log", "audit log --run"])
def test_looking_back_loads_neither_pydantic_nor_what_drives_a_run(
    compiled: dict[str, str], tmp_path: Path, command: str
) -> None:
    """Also for a run of a workflow, whose document tells its steps in their order."""
    (tmp_path / "two.yaml").write_text(
        "name: two\nsteps:\n  - {name: a, capability: sys.noop}\n  - {name: b, capability: sys.noop}\n",
        encoding="utf-8",
    )
    ran = subprocess.run(
        [sys.executable, "-m", "assent", "run", "two.yaml", "--json"],
        env=compiled,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    run = [json.loads(ran.stdout)["run_id"]] if command in ("show", "audit log --run") else []
    modules = loaded(compiled, *command.split(), *run, cwd=tmp_path)
    assert "assent.runtime.service._reading" in modules
    assert NOT_FOR_READING & modules == set()
    assert {name for name in modules if name.startswith("re:")} == set(), "`compiled_when_asked` is for these"
    hands = {name for name in modules if name.startswith("assent.capabilities.") and name.count(".") > 2}
    assert {name for name in hands if not name.endswith(".area")} == set(), "of an area its settings are read"


def test_python_m_assent_and_the_command_are_one_door(compiled: dict[str, str]) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "assent", "version", "--json"],
        env=compiled,
        check=True,
        capture_output=True,
        text=True,
    )
    assert set(json.loads(answer.stdout)) == {"version"}


def test_a_reader_that_leaves_is_no_failure(compiled: dict[str, str], tmp_path: Path) -> None:
    """`assent … | head` ends quietly: no traceback, no complaint."""
    reading, writing = os.pipe()
    os.close(reading)
    child = subprocess.run(
        [sys.executable, "-m", "assent", "help", "exit-codes"],
        env=compiled,
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (child.returncode, child.stderr) == (0, b"")


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_every_locale_can_print_every_answer(compiled: dict[str, str], tmp_path: Path, locale: str) -> None:
    env = compiled | {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    answer = subprocess.run(
        [sys.executable, "-m", "assent", "explain", "N\u00d6"],
        env=env,
        capture_output=True,
        check=False,
        cwd=tmp_path,
    )
    assert answer.returncode == 2
    assert b"USAGE_INVALID" in answer.stderr
    assert b"Traceback" not in answer.stderr
