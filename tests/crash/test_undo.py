"""An undo is killed at every point where that can matter, and resumed: everything is taken back, each effect once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.crashing import KILLED, SUCCEEDS, UNDO, Scene, noted, places, some_places
from tests.support.seeds import SEED, dice

SAMPLES = 4


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


def test_an_undo_killed_anywhere_is_finished(scene: Scene, place: str) -> None:
    run = finished(scene)
    ended = scene.assent("undo", run, kill=place)
    assert ended.code == KILLED, f"`{place}` was not reached: {ended}"
    finish_undo(scene, run)
    assert_undone(scene, run)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """All places, and all first places of a pair, with `--complete-crash`, otherwise those that the dice choose."""
    if metafunc.function is test_an_undo_killed_anywhere_is_finished:
        is_complete = metafunc.config.getoption("crash_complete")
        metafunc.parametrize("place", places(UNDO) if is_complete else some_places(UNDO))
    if "first" in metafunc.fixturenames:
        is_complete = metafunc.config.getoption("crash_complete")
        firsts = places(UNDO) if is_complete else dice("first kills of an undo").sample(places(UNDO), SAMPLES)
        metafunc.parametrize("first", firsts)


def test_the_recovery_of_an_undo_killed_anywhere_is_finished(
    scene: Scene, first: str, crash_complete: bool, is_new: Callable[[str], bool]
) -> None:
    """The undo is killed, then the process that finishes it; what a first kill leaves is followed whole once."""
    run = finished(scene)
    assert scene.assent("undo", run, kill=first).code == KILLED
    kept = scene.keep()
    words = ("resume",) if scene.runs()[0]["status"] != "succeeded" else ("undo", run)
    trace = scene.trace(*words)
    reached = len(trace)
    seconds = range(1, reached + 1)
    chance = dice(f"second kill of an undo after {first}")
    scene.restore(kept)
    is_whole = crash_complete and is_new(scene.left([UNDO, *words[:1], *trace]))
    for second in seconds if is_whole else chance.choices(seconds, k=min(reached, 1)):
        with noted(f"ASSENT_TEST_SEED={SEED}: undo killed at {first}, then at any:{second} of {reached}"):
            scene.restore(kept)
            scene.kill_at(second, *words)
            finish_undo(scene, run)
            assert_undone(scene, run)


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
