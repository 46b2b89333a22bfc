"""The floors hold: each kind of breach is really refused by the contracts in `pyproject.toml`.

The contracts run over a made-up tree that has every floor they name, so that this test says whether a *rule* works, whatever
the sources look like today; `make lint` runs the same contracts over the sources.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

LINT = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"


def contracts(root: Path) -> dict[str, dict[str, object]]:
    """The contracts by id."""
    tool = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    return {contract["id"]: contract for contract in tool["importlinter"]["contracts"]}


def floors(root: Path) -> list[tuple[str, bool]]:
    """Every module the layers name, and whether it stands in parentheses (not built yet)."""
    layers = contracts(root)["floors"]["layers"]
    assert isinstance(layers, list)
    names = [name.strip() for layer in layers for name in str(layer).split("|")]
    return [(name.strip("()"), name.startswith("(")) for name in names]


@pytest.fixture
def tree(tmp_path: Path, repository: Path) -> Path:
    """A package `assent` with an empty module pair on every floor, under this repository's contracts."""
    shutil.copy(repository / "pyproject.toml", tmp_path)
    package = tmp_path / "src" / "assent"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for name, _ in floors(repository):
        (package / name).mkdir()
        for module in ("__init__", "inner"):
            (package / name / f"{module}.py").touch()
    return tmp_path


def lint(tree: Path, contract: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache", "--no-logo", "--contract", contract],
        cwd=tree,
        env={**env, "PYTHONPATH": str(tree / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("contract", ["floors", "pure", "acyclic"])
def test_a_tree_without_a_breach_is_accepted(tree: Path, clean_env: dict[str, str], contract: str) -> None:
    answer = lint(tree, contract, clean_env)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "1 kept, 0 broken" in answer.stdout


@pytest.mark.parametrize(
    ("contract", "module", "line"),
    [
        pytest.param("floors", "spec", "import assent.policy", id="law-knows-the-gate"),
        pytest.param("floors", "errors", "import assent.spec", id="errors-know-the-law"),
        pytest.param("floors", "policy", "import assent.registry", id="siblings-see-each-other"),
        pytest.param("floors", "journal", "import assent.engine", id="record-asks-the-body"),
        pytest.param("floors", "engine", "import assent.system", id="body-fetches-the-clock"),
        pytest.param("floors", "secrets", "import assent.invocation", id="secrets-know-a-call"),
        pytest.param("floors", "registry", "import assent.versions", id="registry-compares-versions"),
        pytest.param("floors", "engine", "import assent.runtime", id="body-knows-the-roof"),
        pytest.param("floors", "runtime", "import assent.cli", id="roof-knows-a-door"),
        pytest.param("floors", "server", "import assent.cli", id="door-knows-a-door"),
        pytest.param("floors", "policy", "def f():\n    import assent.engine", id="hidden-in-a-function"),
        pytest.param(
            "floors",
            "policy",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import assent.engine",
            id="hidden-from-the-interpreter",
        ),
        pytest.param("pure", "spec", "import asyncio", id="law-does-io"),
        pytest.param("pure", "spec", "from urllib.request import urlopen", id="law-calls-the-network"),
        pytest.param("pure", "policy", "import http.client", id="gate-calls-the-network"),
        pytest.param("pure", "policy", "import apsw", id="gate-opens-a-database"),
        pytest.param("pure", "policy", "import sqlite3", id="gate-opens-the-other-database"),
        pytest.param("pure", "policy", "import socket", id="gate-opens-a-socket"),
        pytest.param("pure", "policy", "def f():\n    import subprocess", id="gate-starts-a-process"),
        pytest.param("pure", "policy", "import httpx2", id="gate-has-a-client"),
        pytest.param("pure", "findings", "import apsw", id="findings-open-a-database-outside-their-store"),
    ],
)
def test_a_breach_is_refused(
    tree: Path, clean_env: dict[str, str], contract: str, module: str, line: str
) -> None:
    (tree / "src" / "assent" / module / "inner.py").write_text(line + "\n")
    answer = lint(tree, contract, clean_env)
    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert f"assent.{module}.inner" in answer.stdout


def test_io_behind_another_module_of_the_law_is_refused(tree: Path, clean_env: dict[str, str]) -> None:
    """The gate may not reach a socket through somebody else's import either."""
    (tree / "src/assent/policy/inner.py").write_text("import assent.errors.inner\n")
    (tree / "src/assent/errors/inner.py").write_text("import socket\n")
    answer = lint(tree, "pure", clean_env)
    assert answer.returncode == 1
    assert "assent.policy.inner -> assent.errors.inner" in answer.stdout


def test_a_cycle_between_siblings_is_refused(tree: Path, clean_env: dict[str, str]) -> None:
    for one, other in (("alpha", "beta"), ("beta", "alpha")):
        folder = tree / "src/assent/engine" / one
        folder.mkdir()
        (folder / "__init__.py").write_text(f"import assent.engine.{other}\n")
    assert lint(tree, "acyclic", clean_env).returncode == 1


def test_a_package_without_a_floor_is_refused(tree: Path, clean_env: dict[str, str]) -> None:
    (tree / "src/assent/helpers").mkdir()
    (tree / "src/assent/helpers/__init__.py").touch()
    answer = lint(tree, "floors", clean_env)
    assert answer.returncode == 1
    assert "helpers" in answer.stdout


def test_only_floors_not_built_yet_stand_in_parentheses(repository: Path) -> None:
    """A floor in parentheses may vanish unnoticed, so a built one loses them."""
    package = repository / "src" / "assent"
    built = {p.stem for p in package.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()}
    wrong = [name for name, optional in floors(repository) if optional == (name in built)]
    assert wrong == [], "take built floors out of the parentheses in pyproject.toml, and put the others in"


def test_the_contract_has_only_the_exceptions_of_the_design(repository: Path) -> None:
    rules = contracts(repository)
    assert rules["floors"]["exhaustive"] is True
    assert rules["floors"]["exhaustive_ignores"] == ["__main__", "testing"]
    ignored = {name: rule["ignore_imports"] for name, rule in rules.items() if "ignore_imports" in rule}
    assert ignored == {
        "pure": ["assent.findings._sqlite -> apsw", "assent.knowledge.store._database -> sqlcipher3"]
    }
    # The linter is told to be silent where an exception is not needed, so this says when one can go.
    assert "import apsw\n" in (repository / "src/assent/findings/_sqlite.py").read_text(encoding="utf-8")
    assert "from sqlcipher3 import dbapi2" in (
        repository / "src/assent/knowledge/store/_database.py"
    ).read_text(encoding="utf-8")
