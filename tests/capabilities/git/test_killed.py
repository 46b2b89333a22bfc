"""Killed at any change, a call on a repository is completed or taken back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from assent.spec.states import Verdict
from tests.support.hands import Hands, Killed, MortalFiles, PlainWorld, Step
from tests.support.repositories import says
from tests.support.repository_hands import (
    furnish,
)

MAKE: dict[str, Callable[[Hands], Step]] = {
    "commit": lambda h: h.step("sys.git.commit", message="m", paths=["a.txt", "docs"]),
    "tag": lambda h: h.step("sys.git.tag", name="x/v1", message="m"),
    "create": lambda h: h.step("sys.git.branch", action="create", name="x/y"),
    "delete": lambda h: h.step("sys.git.branch", action="delete", name="topic"),
    "rename": lambda h: h.step("sys.git.branch", action="rename", name="main", new_name="trunk"),
}


def _die(hands: Hands, step: Step, part: Callable[[Step], object], at: int, when: str) -> bool:
    mortal = MortalFiles(hands.workspace.files, hands.root, dies_at=at, when=when)
    try:
        part(step.on(PlainWorld(mortal)))
    except Killed:
        return True
    return False


def _pack(root: Path) -> None:
    """Let all references be packed ones, as after a garbage collection."""
    refs = dict(sorted((name, value) for name, value in says(root)["refs"].items()))  # type: ignore[attr-defined]  # a mapping
    (root / ".git/packed-refs").write_text("".join(f"{value} {name}\n" for name, value in refs.items()))
    for name in refs:
        (root / ".git" / name).unlink()


@pytest.mark.parametrize("name", MAKE)
def test_killed_anywhere_it_is_completed_or_taken_back(tmp_path: Path, name: str) -> None:
    """Whatever a kill leaves is recognised: what is begun can be completed, and taken back, and no lock stays."""
    wanted = None
    for at in range(1, 60):
        hands = furnish(tmp_path / f"w{at}")
        if name == "delete":
            _pack(hands.root)
        before = says(hands.root)
        step = MAKE[name](hands).prepare()
        when = ("before", "within", "after")[at % 3]
        died = _die(hands, step, Step.execute, at, when)
        if at % 2:
            answer = step.reconcile()
            # A run that stops takes back what is unknown, and leaves what is answered `no` as it is.
            assert answer.is_repeatable == (answer.verdict is Verdict.UNKNOWN), f"change {at}"
            assert answer.verdict is not Verdict.NO or says(hands.root) == before, f"change {at}"
            output = step.execute()
            assert answer.output in (output, None)
            assert step.reconcile().verdict is Verdict.YES
            found = says(hands.root)
            wanted = wanted or found
            assert found == wanted, f"change {at}"
            _die(hands, step, Step.compensate, at // 2 + 1, when)
        step.compensate()
        assert says(hands.root) == before, f"change {at}"
        hands.workspace.close()
        if not died:
            return
    pytest.fail("the effect never ended")
