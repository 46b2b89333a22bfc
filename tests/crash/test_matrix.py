"""A run is killed at every point where that can matter, and resumed: no effect is lost, none is doubled.

Effects are counted by comparing the whole workspace, names, bytes, modes and promised times, with what six effects make of it,
by each step's output and events, and by taking the run back afterwards: a doubled effect would have kept its own result as the
state to restore.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.support.crashing import (
    ENDS,
    FAILS,
    KILLED,
    REACHED,
    SUCCEEDS,
    UNDO,
    WORKFLOWS,
    Scene,
    noted,
    places,
    some_places,
)
from tests.support.seeds import SEED, dice

EXIT = {SUCCEEDS: 0, FAILS: 1}
EVERY = [(workflow, place) for workflow in WORKFLOWS for place in places(workflow)]
_WHERE: dict[str, list[str]] = {}
for _workflow in WORKFLOWS:
    for _place in some_places(_workflow):
        _WHERE.setdefault(_place, []).append(_workflow)
SOME = [(dice(f"a kill at {place}").choice(found), place) for place, found in _WHERE.items()]
"""Of what `some_places` are, each in one workflow that comes to it."""
SAMPLES = 12
ANEW = ["ledger.after:3", "effect.after:4", "file.before:5", "compensate.after:2"]
"""Where `make test` also kills processes that were started from nothing, not forked."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """All places, and all first places of a pair, with `--complete-crash`, otherwise those that the dice choose."""
    if "place" in metafunc.fixturenames:
        is_complete = metafunc.config.getoption("crash_complete")
        metafunc.parametrize(("workflow", "place"), EVERY if is_complete else SOME)
    if "first" in metafunc.fixturenames:
        is_complete = metafunc.config.getoption("crash_complete")
        firsts = EVERY if is_complete else dice("first kills of runs").sample(EVERY, SAMPLES)
        metafunc.parametrize("first", firsts, ids=[f"{workflow}-{place}" for workflow, place in firsts])
    if "anew" in metafunc.fixturenames:
        is_complete = metafunc.config.getoption("crash_complete")
        metafunc.parametrize("anew", places(FAILS) if is_complete else ANEW)


def killed(scene: Scene, *words: str, at: str) -> None:
    """Run a command that must die at a place: one that is never reached proves nothing."""
    ended = scene.assent(*words, kill=at)
    assert ended.code == KILLED, f"`{at}` was not reached: {ended}"


def recover(scene: Scene, workflow: str) -> str:
    """Resume what is there; the run. One that was killed before anything of it was durable is begun again, as its user would."""
    if not scene.runs_if_any():
        scene.assert_untouched()
        assert scene.assent("run", f"{workflow}.yaml", "--json").code == EXIT[workflow]
    else:
        had_ended = scene.runs()[0]["status"] == ENDS[workflow]
        ended = scene.assent("resume", "--json")
        assert ended.code == (0 if had_ended else EXIT[workflow]), ended
    (run,) = scene.runs()
    return str(run["run_id"])


def assert_as_if_never_killed(scene: Scene, workflow: str, run: str) -> None:
    """The run ended as it would have, with each effect once; and it can be undone to the last byte."""
    scene.assert_sound()
    story = scene.story(run)
    assert story.status == ENDS[workflow]
    story.assert_each_effect_once()
    if workflow == SUCCEEDS:
        scene.assert_done()
        assert scene.assent("undo", run, "--json").code == 0
        scene.assert_sound()
        story = scene.story(run)
    story.assert_each_taken_back_once()
    scene.assert_untouched()


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_the_table_of_places_is_what_a_run_reaches(scene: Scene, workflow: str) -> None:
    """The control: without a kill the run goes through exactly these places, and does what the other tests expect."""
    ended = scene.assent("run", f"{workflow}.yaml", "--json", kill="any:0")
    assert ended.code == EXIT[workflow], ended
    assert Counter(ended.trace) == REACHED[workflow]
    run = str(ended.json()["run_id"])
    if workflow == SUCCEEDS:
        scene.assert_done()
        assert Counter(scene.trace("undo", run)) == REACHED[UNDO]
    scene.assert_untouched()


def test_a_run_killed_anywhere_ends_as_if_it_had_not_been(scene: Scene, workflow: str, place: str) -> None:
    killed(scene, "run", f"{workflow}.yaml", at=place)
    assert_as_if_never_killed(scene, workflow, recover(scene, workflow))


def test_a_recovery_killed_anywhere_is_recovered(
    scene: Scene, first: tuple[str, str], crash_complete: bool, is_new: Callable[[str], bool]
) -> None:
    """The run is killed, then its recovery: at a place that a seed chooses, or, in the complete matrix, at each.

    Many first kills leave the same: before and after a commit that failed, at the end of one effect and before the next. Each of
    what can be left is followed whole once, and any other first kill at one place.
    """
    workflow, place = first
    killed(scene, "run", f"{workflow}.yaml", at=place)
    kept = scene.keep()
    # Where nothing was durable, the second process is the first one that runs the workflow to its end.
    words = ("resume",) if scene.runs_if_any() else ("run", f"{workflow}.yaml")
    trace = scene.trace(*words)
    reached = len(trace)
    # Only a run that was told to have ended leaves a recovery nothing to do.
    assert reached or scene.runs()[0]["status"] == ENDS[workflow]
    seconds = range(1, reached + 1)
    chance = dice(f"second kill of {workflow} after {place}")
    scene.restore(kept)
    is_whole = crash_complete and is_new(scene.left([workflow, *words[:1], *trace]))
    for second in seconds if is_whole else chance.choices(seconds, k=min(reached, 1)):
        with noted(
            f"ASSENT_TEST_SEED={SEED}: {workflow}, killed at {place}, then at any:{second} of {reached}"
        ):
            scene.restore(kept)
            scene.kill_at(second, *words)
            assert_as_if_never_killed(scene, workflow, recover(scene, workflow))


def test_processes_started_from_nothing_are_killed_and_resumed(scene: Scene, anew: str) -> None:
    """The same with the installed command in processes of its own, as a shell starts them."""
    assert scene.assent_anew("run", "fails.yaml", kill=anew).code == KILLED
    resumed = scene.assent_anew("resume", "--json")
    assert resumed.code in (0, 1), resumed
    run = recover(scene, FAILS)
    assert scene.assent_anew("audit", "verify", "--json").json()["ok"] is True
    assert_as_if_never_killed(scene, FAILS, run)
