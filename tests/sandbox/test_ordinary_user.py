"""What holds against hostile programs holds for ordinary users too, whose machines give them other walls than root's."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOBODY = "nobody"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A private folder of that user's; those of the tests are root's alone."""
    made = Path(tempfile.mkdtemp(prefix="assent-nobody-"))
    home = made / "home"
    home.mkdir(mode=0o700)
    for one in (made, home):
        os.chown(one, pwd.getpwnam(NOBODY).pw_uid, -1)
    try:
        yield made
    finally:
        shutil.rmtree(made)


def as_nobody(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    packages = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), str(ROOT / "src")}
    return subprocess.run(
        arguments,
        cwd=ROOT,
        env={
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": ":".join(packages),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder),
        },
        user=NOBODY,
        group=pwd.getpwnam(NOBODY).pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )


def interpreter(folder: Path) -> str | None:
    """An interpreter of this version that the user may start and that finds the tests' packages."""
    same = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for one in (sys.executable, f"/usr/local/bin/{same}", f"/usr/bin/{same}"):
        try:
            found = as_nobody([one, "-c", "import pytest, assent.sandbox, tests.sandbox"], folder)
        except OSError:
            continue
        if found.returncode == 0:
            return one
    return None


@pytest.mark.slow
def test_hostile_programs_of_an_ordinary_user_are_denied_as_those_of_root(
    request: pytest.FixtureRequest,
) -> None:
    if os.getuid() != 0:
        pytest.skip("the suite is an ordinary user's already")
    folder: Path = request.getfixturevalue("folder")
    python = interpreter(folder)
    if python is None:
        pytest.skip(f"`{NOBODY}` can run no interpreter with the tests' packages here")
    options = ["-q", "--no-cov", "-p", "no:cacheprovider", "--basetemp", str(folder / "tmp")]
    # Of the bombs only the one that ordinary users are counted for: they are what costs time.
    chosen = ["tests/sandbox/test_hostile.py", "-k", "not bombs or forks"]
    found = as_nobody([python, "-m", "pytest", *options, *chosen], folder)
    assert found.returncode == 0, found.stdout + found.stderr
    assert " passed" in found.stdout
