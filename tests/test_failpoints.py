"""Failpoints: named in one table, reached where the table says, free when off."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from assent import failpoints
from assent.failpoints import POINTS, Failpoints


def test_an_unknown_name_is_refused() -> None:
    """A test that arms a point nobody reaches would prove nothing."""
    with pytest.raises(ValueError, match=r"effect\.befor"):
        Failpoints().arm("effect.befor:1")


def test_off_nothing_is_traced() -> None:
    points = Failpoints()
    points.hit("effect.before")
    assert points.trace == []


def test_with_count_zero_points_are_traced_and_nothing_ends() -> None:
    points = Failpoints()
    points.arm("any:0")
    points.hit("commit.before")
    points.hit("effect.before")
    assert points.trace == ["commit.before", "effect.before"]


def test_only_the_armed_point_is_counted() -> None:
    points = Failpoints()
    points.arm("effect.after:9")
    points.hit("commit.before")
    points.hit("effect.after")
    assert points.trace == ["effect.after"]


@pytest.mark.parametrize("armed", ["effect.after:2", "any:3"])
def test_the_process_dies_of_sigkill_when_the_count_is_reached(clean_env: dict[str, str], armed: str) -> None:
    program = (
        "import sys; from assent.failpoints import FAILPOINTS as f; f.arm(sys.argv[1])\n"
        "for name in ('effect.after', 'commit.before', 'effect.after', 'effect.after'):\n"
        "    f.hit(name); print(name, flush=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, armed], env=clean_env, capture_output=True, text=True, check=False
    )
    assert done.returncode == -9
    assert done.stdout.split() == ["effect.after", "commit.before"]


def test_every_point_is_reached_in_the_sources_and_described(repository: Path) -> None:
    """The table, the names and the places are one list."""
    package = repository / "src" / "assent"
    sources = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    assert set(re.findall(r'FAILPOINTS\.hit\("([a-z.]+)"\)', sources)) == set(POINTS)
    assert tuple(re.findall(r"^\| `([a-z.]+)` +\|", failpoints.__doc__ or "", re.MULTILINE)) == POINTS


def test_the_module_needs_nothing_of_ours(clean_env: dict[str, str]) -> None:
    """Every floor may name its points, so the module loads none of them: only what the package itself needs at its front."""
    program = "import sys, assent.failpoints; print(sorted(n for n in sys.modules if n.startswith('assent')))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=clean_env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(["assent", "assent._lazy", "assent.failpoints"])
    assert os.environ.get(failpoints.VARIABLE) is None, "a test run is never armed itself"
