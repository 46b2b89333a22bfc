"""Sandboxes of each kind that this machine can build, and a workspace with something to protect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from assent.sandbox import Confinement, Sandbox, SandboxLimits
from assent.sandbox._detect import detect
from assent.sandbox._launcher import Launcher

KINDS = ("bubblewrap", "namespaces", "landlock")
LIMITS = SandboxLimits(wall_s=60)


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
