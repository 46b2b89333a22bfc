"""Sandboxes of each kind that this machine can build, and a workspace with something to protect."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import coverage
import pytest

from assent.sandbox import Confinement, Sandbox, SandboxLimits, _launcher
from assent.sandbox._detect import detect
from assent.sandbox._launcher import Launcher
from tests.conftest import ROOT

KINDS = ("bubblewrap", "namespaces", "landlock")
LIMITS = SandboxLimits(wall_s=60)


# Each process writes what it has run before it ends or becomes a program, to a file that was opened before the walls were there.
_MEASURED = """
import atexit, contextlib, os, signal, sys
sys.path.append({packages!r})
from coverage import Coverage
measured = Coverage(data_file=None, branch=True, include={include!r}, config_file=False)
measured.set_option("run:disable_warnings", ["no-data-collected"])
told = os.open({told!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def telling(call):
    def ending(*words):
        data = measured.get_data()
        said = ascii({{file: data.arcs(file) for file in data.measured_files()}})
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with contextlib.suppress(OSError):  # a program's limit on files
            os.write(told, b"\\n" + said.encode() + b"\\n")
        signal.signal(signal.SIGXFSZ, before)
        call(*words)
    return ending
os._exit, os.execve = telling(os._exit), telling(os.execve)
atexit.register(telling(bool))
measured.start()
measured._collector.data_lock = None  # one thread: a signal that came while it was held had its handler wait for itself
"""


@pytest.fixture(scope="session", autouse=True)
def _measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Launchers have no environment and no installed packages to be measured by: where coverage is, they are told in words."""
    if "COVERAGE_PROCESS_CONFIG" not in os.environ:
        yield
        return
    told = tmp_path_factory.mktemp("measured") / "told"
    told.touch()
    packages, include = str(Path(coverage.__file__).parents[1]), str(Path(_launcher.__file__).parent / "*")
    with pytest.MonkeyPatch.context() as patch:
        begin = _MEASURED.format(packages=packages, include=include, told=str(told))
        patch.setattr(_launcher, "_BOOT", begin + _launcher._BOOT)
        yield
    whole = coverage.CoverageData(str(ROOT / ".coverage"), suffix=True)
    for line in told.read_text().splitlines():
        with suppress(SyntaxError, ValueError):  # cut short by such a limit
            whole.add_arcs(ast.literal_eval(line or "{}"))


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    made = Launcher()
    yield made
    made.close()


@pytest.fixture(scope="module", params=KINDS)
def sandbox(request: pytest.FixtureRequest, launcher: Launcher) -> Sandbox:
    """One sandbox of each kind. What the machine can't build is skipped by name."""
    kind: str = request.param
    machine, holds = detect(
        launcher,
        "bubblewrap" if kind == "bubblewrap" else "native",
        namespaces=kind != "landlock",
    )
    if not holds.is_confined:
        pytest.skip(f"this machine has no {kind}: {next(iter(holds.missing.values()))}")
    if kind == "namespaces" and not machine.namespaces:
        pytest.skip("this machine has no namespaces for this user")
    return Sandbox(launcher, machine, holds, unconfined=False)


@dataclass
class Ground:
    """A workspace with a state directory in it, a layer beside it, and the confinement of both."""

    root: Path
    layer: Path
    state: Path
    outside: Path
    limits: SandboxLimits = field(default_factory=lambda: LIMITS)

    def confinement(self, *, layer: bool = False, **changes: object) -> Confinement:
        plain = Confinement(
            root=self.root,
            layer=self.layer if layer else None,
            hidden=(self.state,),
            environment={"PATH": "/usr/local/bin:/usr/bin:/bin"},
            limits=self.limits,
        )
        return replace(plain, **changes)  # type: ignore[arg-type]  # fields by name


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    root = tmp_path / "work"
    for folder in (root, root / "src", root / ".assent", tmp_path / "layer", tmp_path / "outside"):
        folder.mkdir(mode=0o700)
    (root / "a.txt").write_text("alpha\n")
    (root / "src" / "b.txt").write_text("beta\n")
    (root / ".assent" / "journal.db").write_text("the record\n")
    (tmp_path / "outside" / "secret.txt").write_text("the key\n")
    return Ground(root=root, layer=tmp_path / "layer", state=root / ".assent", outside=tmp_path / "outside")


@pytest.fixture(scope="session")
def python() -> tuple[str, tuple[Path, ...]]:
    """An interpreter for hostile programs, and what has to be readable for it."""
    import sys

    return sys.executable, tuple(
        Path(one) for one in {sys.prefix, sys.base_prefix} if not one.startswith("/usr")
    )
