"""An undo is killed at every point where that can matter, and resumed: everything is taken back, each effect once."""

from __future__ import annotations

import os
from random import Random

import pytest

from tests.support.crashing import KILLED, SUCCEEDS, UNDO, Scene, noted, places

SAMPLES = 6


def finished(scene: Scene) -> str:
    """A run that has succeeded; its id."""
    ended = scene.assent("run", f"{SUCCEEDS}.yaml", "--json")
    assert ended.code == 0, ended
    return str(ended.json()["run_id"])


def finish_undo(scene: Scene, run: str) -> None:
    """Resume, and ask again only where the first request for an undo was never durable."""
    assert scene.assent("resume", "--json").code == 0
    if scene.story(run).status == "succeeded":
        assert all(kind != "run.undo_requested" for kind, _ in scene.story(run).events)
        scene.assert_done()
        assert scene.assent("undo", run, "--json").code == 0


def assert_undone(scene: Scene, run: str) -> None:
    scene.assert_untouched()
    scene.assert_sound()
    story = scene.story(run)
    assert story.status == "undone"
    story.assert_each_taken_back_once()


@pytest.mark.parametrize("place", places(UNDO))
def test_an_undo_killed_anywhere_is_finished(scene: Scene, place: str) -> None:
    run = finished(scene)
    ended = scene.assent("undo", run, kill=place)
    assert ended.code == KILLED, f"`{place}` was not reached: {ended}"
    finish_undo(scene, run)
    assert_undone(scene, run)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """All first places of a pair with `--complete-crash`, otherwise some that a seed chooses."""
    if "first" in metafunc.fixturenames:
        is_complete = metafunc.config.getoption("crash_complete")
        firsts = places(UNDO) if is_complete else [None] * SAMPLES
        metafunc.parametrize(
            "first", firsts, ids=firsts if is_complete else [f"sample{n}" for n in range(SAMPLES)]
        )


def test_the_recovery_of_an_undo_killed_anywhere_is_finished(
    scene: Scene, first: str | None, crash_complete: bool
) -> None:
    """The undo is killed, then the process that finishes it."""
    seed = os.environ.get("ASSENT_CRASH_SEED") or os.urandom(4).hex()
    random = Random(seed)
    place = first or random.choice(places(UNDO))
    run = finished(scene)
    assert scene.assent("undo", run, kill=place).code == KILLED
    kept = scene.keep()
    words = ("resume",) if scene.runs()[0]["status"] != "succeeded" else ("undo", run)
    reached = len(scene.trace(*words))
    seconds = range(1, reached + 1)
    for second in seconds if crash_complete else random.choices(seconds, k=min(reached, 1)):
        with noted(f"ASSENT_CRASH_SEED={seed}: undo killed at {place}, then at any:{second} of {reached}"):
            scene.restore(kept)
            scene.kill_at(second, *words)
            finish_undo(scene, run)
            assert_undone(scene, run)


# -- conflicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["compensate.before:3", "compensate.after:3"])
def test_a_change_of_somebody_else_after_the_kill_is_not_overwritten(scene: Scene, place: str) -> None:
    """Between the kill and the recovery the world may change; what is not as we left it stays, and a person is asked."""
    run = finished(scene)
    assert scene.assent("undo", run, kill=place).code == KILLED
    theirs = scene.workspace / "copied" / "a.txt"
    theirs.write_bytes(b"somebody else's\n")
    ended = scene.assent("resume", "--json")
    assert ended.code == 5, ended
    assert theirs.read_bytes() == b"somebody else's\n"
    assert scene.runs()[0]["status"] == "needs_attention"
    (result,) = ended.json()
    assert result["error"]["code"] == "COMPENSATION_CONFLICT"
    theirs.write_bytes(b"alpha\n")
    assert scene.assent("resume", "--json").code == 0
    scene.assert_sound()
    assert scene.story(run).status == "undone"
