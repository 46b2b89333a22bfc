"""What `make dist` builds can be installed elsewhere and does its work there, and it builds nothing that is unfit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT
from tools.make_dist import UnfitError, build, main, require_fit, tag, version_of

WORKFLOW = (
    "name: w\nsteps:\n  - {name: a, capability: io.fs.write_file, inputs: {path: a.txt, content: hello}}\n"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist of this folder."""
    sdist, wheel = sorted(build(ROOT, tmp_path_factory.mktemp("dist")), key=lambda path: path.suffix)
    return wheel, sdist


def contents(wheel: Path) -> dict[str, int]:
    with zipfile.ZipFile(wheel) as archive:
        return {one.filename: one.CRC for one in archive.infolist() if "RECORD" not in one.filename}


def test_a_wheel_has_the_schemas_of_findings(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        for name in ("finding-1", "project-1", "resource-1", "run-1"):
            shipped = archive.read(f"assent/findings/schemas/{name}.json")
            assert shipped == (ROOT / "docs" / "schemas" / f"{name}.json").read_bytes()


@pytest.mark.slow
def test_a_wheel_in_a_fresh_environment_runs_and_verifies(built: tuple[Path, Path], tmp_path: Path) -> None:
    """The package comes from the wheel alone; only what it depends on is lent by the environment of the tests."""
    wheel, _ = built
    fresh = tmp_path / "fresh"
    venv.create(fresh, with_pip=False)
    python = fresh / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(fresh)}))
    words = ["install", "--no-deps", "--no-index", "--quiet", "--disable-pip-version-check", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *words], check=True)
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")

    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "w.yaml").write_text(WORKFLOW, encoding="utf-8")
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    env = {**kept, "HOME": str(tmp_path / "home")}

    def told(*command: str) -> Any:  # `Any`: whatever the command answers
        done = subprocess.run(
            [str(fresh / "bin" / command[0]), *command[1:]],
            cwd=workspace,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout.strip()

    assert Path(told("python", "-c", "import assent; print(assent.__file__)")).is_relative_to(fresh)
    assert version_of(ROOT) in told("assent", "version")
    assert json.loads(told("assent", "run", "w.yaml", "--json"))["status"] == "succeeded"
    assert (workspace / "a.txt").read_text(encoding="utf-8") == "hello"
    assert json.loads(told("assent", "audit", "verify", "--json"))["ok"] is True
    assert "STATE_OWNED" in told("assent", "explain", "STATE_OWNED")
    assert len(json.loads(told("assent", "capability", "list", "--json"))) > 40


def test_the_sdist_builds_the_same_wheel_and_holds_what_tests_need(
    built: tuple[Path, Path], tmp_path: Path
) -> None:
    wheel, sdist = built
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (root,) = tmp_path.iterdir()
    again = build(root, tmp_path / "again")
    assert contents(next(path for path in again if path.suffix == ".whl")) == contents(wheel)
    for name in ("README.md", "LICENSE", "CHANGELOG.md", "Makefile", "pyproject.toml", "tests/conftest.py"):
        assert (root / name).is_file(), name
    assert (root / "requirements" / "run.txt").is_file()


def git(root: Path, *words: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small folder under git that could be given to others."""
    (tmp_path / "src" / "assent").mkdir(parents=True)
    (tmp_path / "src" / "assent" / "__init__.py").write_text('__version__ = "1.2.0"\n', encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.0 - 2026\n", encoding="utf-8")
    git(tmp_path, "init", "-q")
    git(tmp_path, "config", "user.name", "t")
    git(tmp_path, "config", "user.email", "t@example.org")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "one")
    return tmp_path


def test_what_is_unfit_is_not_built(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Uncommitted changes, a version that the changelog does not know, and a tag that stands elsewhere."""
    require_fit(project, "1.2.0")
    with pytest.raises(UnfitError, match="no section"):
        require_fit(project, "1.3.0")
    assert tag(project, "1.2.0")
    assert not tag(project, "1.2.0")
    require_fit(project, "1.2.0")
    (project / "more.txt").touch()
    with pytest.raises(UnfitError, match="uncommitted"):
        require_fit(project, "1.2.0")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "two")
    with pytest.raises(UnfitError, match="another commit"):
        require_fit(project, "1.2.0")
    assert main([], project) == 1
    assert "nothing was built: the tag v1.2.0" in capsys.readouterr().err
    (project / "src" / "assent" / "__init__.py").write_text("", encoding="utf-8")
    with pytest.raises(UnfitError, match="says no version"):
        version_of(project)
