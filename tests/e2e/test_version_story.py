"""A capability gets a second version while the first is in use, and whatever is killed on the way, nothing is lost or doubled."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from assent.failpoints import VARIABLE
from assent.journal import SqliteReader, leaves_at_once
from assent.runtime.service._reading import Reader
from assent.runtime.settings.effective import Settings
from assent.spec.events import kinds as ev
from tests.support.nursery import Nursery
from tests.support.orders import ID, ONE, TWO
from tests.support.own_places import own_places
from tests.support.version_story import CHAPTERS

KILLED: Final = -9
ROOT: Final = Path(__file__).resolve().parents[2]

PLACES: Final = ("ledger.before:1", "ledger.after:1", "effect.after:1", "commit.after:2")
"""Where each chapter is killed, one process after another; each goes on where the one before it died."""


@pytest.fixture
def places(tmp_path: Path, clean_env: dict[str, str]) -> Iterator[tuple[Path, dict[str, str]]]:
    """A workspace and the environment of its processes."""
    workspace = tmp_path / "ws"
    (workspace / "orders").mkdir(parents=True)
    (workspace / "assent.toml").touch()
    with own_places(tmp_path, clean_env) as env:
        yield workspace, env


def told(
    nursery: Nursery, chapter: str, workspace: Path, env: dict[str, str], *, killed_at: str | None = None
) -> int:
    """Tell a chapter in a process of its own; how that ended."""
    armed = {
        **env,
        "PYTHONPATH": os.pathsep.join((str(ROOT), env["PYTHONPATH"])),
        **({VARIABLE: killed_at} if killed_at else {}),
    }
    words = ("-m", "tests.support.version_story", chapter, str(workspace))
    done = nursery.run(*words, cwd=workspace, env=armed, kind="python")
    assert done.code in (0, KILLED), done.err
    return done.code


def changes(workspace: Path, env: dict[str, str]) -> list[Any]:
    """What the ledger says of the capability, in order."""
    with SqliteReader.open(settings(workspace, env).state) as journal:
        found = [leaf.event for leaf in leaves_at_once(journal)]
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
        ev.CapabilityLabelled,
        ev.CapabilityLabelled,
        ev.CapabilityRetired,
    ]
    first, second, labelled, moved, retired = story
    assert (first.version, first.fingerprint) == ("1.0.0", ONE.fingerprint)
    assert (second.version, second.fingerprint) == ("2.0.0", TWO.fingerprint)
    assert [(one.label, one.version) for one in (labelled, moved)] == [
        ("stable", "1.0.0"),
        ("stable", "2.0.0"),
    ]
    assert retired.version == "1.0.0"
    placed = [path.name.partition(".")[0] for path in (workspace / "orders").iterdir()]
    once = ("early-0", "early-1", "after-refusal", "pinned", "kept", "kept-stable", "moved", "last")
    assert {name: placed.count(name) for name in once} == dict.fromkeys(once, 1)
    [last_order] = (workspace / "orders").glob("last.*")
    assert last_order.read_text(encoding="utf-8") == "2.0.0"
    with Reader.open(settings(workspace, env)) as reader:
        assert reader.unfinished() == 0
        assert reader.verify()["ok"] is True


@pytest.mark.slow
def test_a_second_version_comes_fails_comes_again_and_the_first_one_goes(
    places: tuple[Path, dict[str, str]], nursery: Nursery
) -> None:
    """1.0 in use, 2.0 refused, accepted with transformers, tried, labelled instead of 1.0, and 1.0 retired."""
    for chapter in CHAPTERS:
        assert told(nursery, chapter, *places) == 0
    check_the_story(*places)


@pytest.mark.slow
def test_the_same_story_comes_out_however_often_it_is_killed(
    places: tuple[Path, dict[str, str]], nursery: Nursery
) -> None:
    """Each chapter dies of SIGKILL at one place after another, and goes on."""
    kills = 0
    for chapter in CHAPTERS:
        for place in PLACES:
            kills += told(nursery, chapter, *places, killed_at=place) == KILLED
        assert told(nursery, chapter, *places) == 0
    assert kills >= len(CHAPTERS), "the story was hardly killed at all"
    check_the_story(*places)
