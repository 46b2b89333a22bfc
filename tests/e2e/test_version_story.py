"""A capability gets a second version while the first is in use, and whatever is killed on the way, nothing is lost or doubled."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from assent.failpoints import VARIABLE
from assent.journal import SqliteReader
from assent.runtime.api import Reader
from assent.runtime.settings import Settings
from assent.spec import events as ev
from tests.support.orders import ID, ONE, TWO
from tests.support.own_places import own_places
from tests.support.version_story import CHAPTERS, SETTINGS

KILLED: Final = -9
ROOT: Final = Path(__file__).resolve().parents[2]

PLACES: Final = ("ledger.before:1", "ledger.after:1", "effect.after:1", "commit.after:2")
"""Where each chapter is killed, one process after another; each goes on where the one before it died."""


@pytest.fixture
def places(tmp_path: Path, clean_env: dict[str, str]) -> Iterator[tuple[Path, dict[str, str]]]:
    """A workspace and the environment of its processes."""
    workspace = tmp_path / "ws"
    (workspace / "orders").mkdir(parents=True)
    (workspace / "assent.toml").write_text(SETTINGS, encoding="utf-8")
    with own_places(tmp_path, clean_env) as env:
        yield workspace, env


def told(chapter: str, workspace: Path, env: dict[str, str], *, killed_at: str | None = None) -> int:
    """Tell a chapter in a process of its own; how that ended."""
    armed = {**env, "PYTHONPATH": str(ROOT), **({VARIABLE: killed_at} if killed_at else {})}
    command = [sys.executable, "-m", "tests.support.version_story", chapter, str(workspace)]
    done = subprocess.run(
        command, env=armed, cwd=workspace, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode in (0, KILLED), done.stderr
    return done.returncode


def changes(workspace: Path, env: dict[str, str]) -> list[Any]:
    """What the ledger says of the capability, in order."""
    with SqliteReader.open(settings(workspace, env).state) as journal:
        found = [leaf.event for leaf in journal.leaves()]
    return [
        event
        for event in found
        if getattr(event, "capability", None) == ID and event.kind.startswith("capability.")
    ]


def settings(workspace: Path, env: dict[str, str]) -> Settings:
    return Settings.resolve(workspace=workspace, state=None, policy=None, environ=env, cwd=workspace)


def check_the_story(workspace: Path, env: dict[str, str]) -> None:
    """The ledger tells all of it, once, and in order; and every order was placed exactly once."""
    story = changes(workspace, env)
    assert [type(event) for event in story] == [
        ev.CapabilityRegistered,
        ev.CapabilityRegistered,
        ev.CapabilityActivated,
        ev.CapabilitySwitched,
        ev.CapabilityActivated,
        ev.CapabilityActivated,
        ev.CapabilityRetired,
    ]
    first, second, canary, switched, back, moved, retired = story
    assert (first.version, first.fingerprint) == ("1.0.0", ONE.fingerprint)
    assert (second.version, second.fingerprint) == ("2.0.0", TWO.fingerprint)
    assert dict(zip(canary.versions, canary.weights, strict=True)) == {"1.0.0": 80, "2.0.0": 20}
    assert (switched.version, switched.errors) == ("2.0.0", switched.calls)
    assert switched.calls >= 3
    assert (back.code, back.by) == ("ERROR_RATE", None)
    assert dict(zip(back.versions, back.weights, strict=True)) == {"1.0.0": 100, "2.0.0": 0}
    assert dict(zip(moved.versions, moved.weights, strict=True)) == {"1.0.0": 0, "2.0.0": 100}
    assert moved.by is not None
    assert retired.version == "1.0.0"
    placed = [path.name.partition(".")[0] for path in (workspace / "orders").iterdir()]
    once = ("early-0", "early-1", "after-refusal", "pinned", "kept", "old-caller", "last")
    assert {name: placed.count(name) for name in once} == dict.fromkeys(once, 1)
    [moved_order] = (workspace / "orders").glob("old-caller.*")
    assert moved_order.read_text(encoding="utf-8") == "2.0.0"
    with Reader.open(settings(workspace, env)) as reader:
        assert reader.unfinished() == 0
        assert reader.verify()["ok"] is True


@pytest.mark.slow
def test_a_second_version_comes_fails_comes_again_and_the_first_one_goes(
    places: tuple[Path, dict[str, str]],
) -> None:
    """1.0 in use, 2.0 refused, accepted with transformers, tried on a fifth, switched back, moved to, and 1.0 retired."""
    for chapter in CHAPTERS:
        assert told(chapter, *places) == 0
    check_the_story(*places)


@pytest.mark.slow
def test_the_same_story_comes_out_however_often_it_is_killed(places: tuple[Path, dict[str, str]]) -> None:
    """Each chapter dies of SIGKILL at one place after another, and goes on."""
    kills = 0
    for chapter in CHAPTERS:
        for place in PLACES:
            kills += told(chapter, *places, killed_at=place) == KILLED
        assert told(chapter, *places) == 0
    assert kills >= len(CHAPTERS), "the story was hardly killed at all"
    check_the_story(*places)
