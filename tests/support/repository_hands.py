"""A workspace that is a git repository, hands to act in it, and the git program to compare with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pygit2
import pytest

from assent.capabilities.git import GitHome
from assent.errors import AssentError
from assent.invocation import GlobalContext, NoEffectError
from assent.invocation.context.local import Surroundings
from assent.system import spawn
from tests.support.hands import Hands, tree_of, without_times
from tests.support.repositories import GIT, repository

needs_git = pytest.mark.skipif(GIT is None, reason="this machine has no git to compare with")
NOW_S = 1_800_000_000
FILES: dict[str, str | bytes] = {"a.txt": "one\n", "docs/b.bin": bytes(range(256)), "docs/c.txt": "see\n"}


class Noon:
    """A clock that stands still."""

    def now_ms(self) -> int:
        return NOW_S * 1000 + 123

    def monotonic_ms(self) -> int:
        return 0


def around(root: Path) -> Surroundings:
    """What a call finds around it: a clock that stands still, and a home for git."""
    made = Surroundings()
    made.app = GlobalContext(clock=Noon(), spawn=spawn)
    made.app.register(GitHome, GitHome(root))
    return made


def furnish(root: Path) -> Hands:
    """A workspace that is a repository: one commit, a branch, and a change of each kind."""
    root.mkdir(exist_ok=True)
    repo = repository(root, FILES)
    repo.branches.create("topic", repo.head.peel(pygit2.Commit))
    (root / "a.txt").write_text("two\n")
    (root / "docs/c.txt").unlink()
    (root / "docs/new.txt").write_text("new\n")
    (root / "docs/run.sh").write_text("#!/bin/sh\n")
    (root / "docs/run.sh").chmod(0o755)
    hands = Hands.on(root)
    (root / ".assent/.gitignore").write_text("*\n")
    hands.around = around(root)
    return hands


def refusal(hands: Hands, capability: str, **parameters: Any) -> AssentError:
    """What a call is refused with; nothing may have changed."""
    before = outline(hands.root)
    with pytest.raises(NoEffectError) as caught:
        hands.read(capability, **parameters) if capability.endswith("status") else hands.do(
            capability, **parameters
        )
    assert outline(hands.root) == before
    return caught.value


def outline(root: Path) -> dict[str, tuple[str, int, bytes]]:
    """All files; objects may come and stay, for nothing refers to them."""
    found = without_times(tree_of(root))
    return {path: state for path, state in found.items() if "/objects/" not in path}


def git(root: Path, *words: str) -> str:
    """What the git program prints; it reads no configuration but the repository's."""
    assert GIT is not None
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        [GIT, "-C", root, *words],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
