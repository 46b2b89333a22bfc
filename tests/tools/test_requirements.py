"""The locked files agree with each other: what runs is locked as it was tested, and nothing of the tests comes with it."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from tests.docs.pages import ROOT

BUILD = {"hatchling", "editables"}
"""What the installation itself takes: the build backend, so that nothing is fetched behind the lock."""


_LEFT_OUT = re.compile(r"extra ==|python_(full_)?version < .3\.(\d|1[01])\b")
"""What nothing of ours asks for, or an older Python alone."""


def locked(name: str) -> dict[str, str]:
    """Distribution → its whole line."""
    lines = Path(ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines()
    return {line.partition("==")[0]: line for line in lines if "==" in line}


def needed() -> set[str]:
    """Everything that an installation without extras may take, on any machine."""
    found: set[str] = set()
    open_ = {"assent", *BUILD}
    while open_:
        one = open_.pop()
        found.add(one)
        try:
            wanted = requires(one) or []
        except PackageNotFoundError:
            continue  # for another machine
        names = [
            re.split(r"[^A-Za-z0-9._-]", line)[0].lower() for line in wanted if not _LEFT_OUT.search(line)
        ]
        open_ |= {re.sub(r"[-_.]+", "-", name) for name in names} - found
    return found - {"assent"}


def test_what_runs_is_locked_as_it_was_tested_and_nothing_else() -> None:
    run, test = locked("run.txt"), locked("test.txt")
    assert {name: line for name, line in run.items() if test.get(name) != line} == {}
    assert run.keys() == {name for name in needed() if name in test}
