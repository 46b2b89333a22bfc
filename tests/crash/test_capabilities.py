"""Every built-in capability that has an effect is killed wherever that can matter, and its outcome is right or `in_doubt`.

`make crash` kills at each point of the call, of its undo, and of the recovery from a kill around the effect, `make test` at one
of each, chosen by `tests.support.seeds`. What a call does to its world, and how that is seen, its conformance case says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import pytest

from assent.errors import Json
from tests.conformance.case import Case, Cell, Stage
from tests.conformance.cells import doubt, not_applicable, seen, write_call
from tests.conformance.table import KILLED
from tests.support.crashing import Scene, noted
from tests.support.nursery import Nursery
from tests.support.seeds import SEED, dice

UNDONE: Final = {name: case for name, case in KILLED.items() if Cell.UNDO not in not_applicable(case)}
"""The calls that can be undone."""


@dataclass
class Worlds:
    """A new world for each kill, and what is known of a call that nobody kills."""

    case: Case
    folder: Path
    env: dict[str, str]
    nursery: Nursery
    count: int = field(default=0)

    @contextmanager
    def world(self) -> Iterator[World]:
        """One more world of the case, in which nothing was run."""
        self.count += 1
        with self.case.stage(self.folder / f"{self.count}", self.env) as stage:
            write_call(self.case, stage)
            scene = Scene(stage.root, stage.env, self.nursery)
            yield World(self.case, stage, scene, seen(self.case, stage), arranged=len(scene.runs()))


@dataclass
class World:
    """One world of a case with the commands that are run in it; `before` is how it stood."""

    case: Case
    stage: Stage
    scene: Scene
    before: object
    run: Sequence[str] = ("run", "../call.yaml")
    arranged: int = 0
    """Runs that were there before: what an erasing is about."""

    def runs(self) -> Sequence[Mapping[str, Json]]:
        """Those of the call."""
        return self.scene.runs()[self.arranged :]

    def see(self) -> object:
        return seen(self.case, self.stage)

    def called(self) -> str:
        """The run of a call that nobody kills."""
        ended = self.scene.assent(*self.run, "--json")
        assert ended.code == 0, ended
        return str(ended.json()["run_id"])

    def recovery(self) -> Sequence[str]:
        """The command that goes on: where nothing of the run was durable, nothing was done, and its user begins anew."""
        if self.runs():
            return ("resume",)
        assert self.see() == self.before, "something was done, and nothing of it is on the record"
        return self.run

    def assert_settled(self, after: object) -> None:
        """Go on, and find the call done once, as its record says and as can be undone; or in doubt, where nobody can know."""
        self.scene.assent(*self.recovery(), "--json")
        (run,) = self.runs()
        if run["status"] == "needs_attention":
            (step,) = self.scene.story(str(run["run_id"])).states
            assert step == "in_doubt"
            assert doubt(self.case), "in doubt, although the capability can tell what became of its effect"
            self.scene.assert_sound("needs_attention")
            return
        assert run["status"] == "succeeded"
        self.scene.assert_sound()
        assert self.see() == after
        if Cell.UNDO not in not_applicable(self.case):
            assert self.scene.assent("undo", str(run["run_id"])).code == 0
            assert self.see() == self.before


@pytest.fixture
def worlds(case: Case, tmp_path: Path, clean_env: dict[str, str], nursery: Nursery) -> Worlds:
    return Worlds(case, tmp_path, clean_env, nursery)


def reference(worlds: Worlds) -> tuple[tuple[str, ...], object]:
    """The points that a call reaches, in order, and the world after it."""
    with worlds.world() as world:
        return world.scene.trace(*world.run), world.see()


def chosen(count: int, random: Random, *, is_complete: bool) -> list[int]:
    """All of so many points, or one of them."""
    return [*range(1, count + 1)] if is_complete else random.choices(range(1, count + 1), k=min(count, 1))


@contextmanager
def seeded(what: str) -> Iterator[Random]:
    """A choice that a failure tells how to repeat."""
    with noted(f"ASSENT_TEST_SEED={SEED}: {what}"):
        yield dice(what)


def test_a_call_killed_anywhere_is_right_or_in_doubt(worlds: Worlds, crash_complete: bool) -> None:
    trace, after = reference(worlds)
    with seeded(f"call {worlds.case.capability}") as random:
        for place in chosen(len(trace), random, is_complete=crash_complete):
            with noted(f"killed at {place}, {trace[place - 1]}, of {len(trace)}"), worlds.world() as world:
                world.scene.kill_at(place, *world.run)
                world.assert_settled(after)


def test_an_undo_killed_anywhere_is_finished(worlds: Worlds, crash_complete: bool) -> None:
    with worlds.world() as world:
        trace = world.scene.trace("undo", world.called())
    with seeded(f"undo {worlds.case.capability}") as random:
        for place in chosen(len(trace), random, is_complete=crash_complete):
            with noted(f"killed at {place}, {trace[place - 1]}, of {len(trace)}"), worlds.world() as world:
                run = world.called()
                world.scene.kill_at(place, "undo", run)
                world.scene.assent("resume")
                if world.scene.story(run).status == "succeeded":
                    assert world.scene.assent("undo", run).code == 0  # nothing of the first one was durable
                assert world.scene.story(run).status == "undone"
                world.scene.assert_sound()
                assert world.see() == world.before


def test_a_call_killed_anywhere_and_cancelled_leaves_nothing(worlds: Worlds, crash_complete: bool) -> None:
    """Whoever stops the run instead of going on finds the world as it was, and nothing half done or set aside in it."""
    trace, _ = reference(worlds)
    first, last = trace.index("effect.before") + 1, trace.index("effect.after") + 1
    with seeded(f"cancel {worlds.case.capability}") as random:
        for place in range(first, last + 1) if crash_complete else [random.randint(first, last)]:
            with noted(f"killed at {place}, {trace[place - 1]}, of {len(trace)}"), worlds.world() as world:
                world.scene.kill_at(place, *world.run)
                (run,) = world.runs()
                world.scene.assent("cancel", str(run["run_id"]))
                story = world.scene.story(str(run["run_id"]))
                if story.status == "needs_attention":
                    assert doubt(world.case), (
                        "in doubt, although the capability can tell what became of its effect"
                    )
                    continue
                assert story.status == "cancelled"
                world.scene.assert_sound()
                assert world.see() == world.before


WORLDS_MAX: Final = 3
"""So often it is tried anew: a first kill that met the other side of the effect leaves a shorter recovery than was counted."""


def test_a_recovery_killed_anywhere_is_right_or_in_doubt(worlds: Worlds, crash_complete: bool) -> None:
    """The call is killed around its effect, then the process that recovers it."""
    trace, after = reference(worlds)
    first, last = trace.index("effect.before") + 1, trace.index("effect.after") + 1
    with seeded(f"recovery {worlds.case.capability}") as random:
        for place in range(first, last + 1) if crash_complete else [random.randint(first, last)]:
            with worlds.world() as world:
                world.scene.kill_at(place, *world.run)
                reached = len(world.scene.trace("resume"))
            assert reached
            for second in chosen(reached, random, is_complete=crash_complete):
                what = f"killed at {place}, {trace[place - 1]}, then at {second} of {reached}"
                has_died = False
                for _ in range(WORLDS_MAX):
                    with noted(what), worlds.world() as world:
                        world.scene.kill_at(place, *world.run)
                        has_died = world.scene.came_near(second, *world.recovery())
                        world.assert_settled(after)
                    if has_died:
                        break
                assert has_died, what


CASES: Final = {
    "test_a_call_killed_anywhere_is_right_or_in_doubt": KILLED,
    "test_an_undo_killed_anywhere_is_finished": UNDONE,
    "test_a_call_killed_anywhere_and_cancelled_leaves_nothing": UNDONE,
    "test_a_recovery_killed_anywhere_is_right_or_in_doubt": KILLED,
}
"""Test → the capabilities that it is about."""


def sample() -> dict[str, list[str]]:
    """Test → the capabilities that it is about in `make test`: each of them is killed there in one way, and a few in pairs."""
    chance = dice("ways to kill a capability")
    *alone, pairs = CASES
    way = {name: chance.choice([test for test in alone if name in CASES[test]]) for name in sorted(KILLED)}
    return {test: [name for name in way if way[name] == test] for test in alone} | {
        pairs: sorted(chance.sample(sorted(KILLED), 4))
    }


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """All capabilities with `--complete-crash`, otherwise those that the dice choose."""
    test = metafunc.function.__name__
    names = sorted(CASES[test]) if metafunc.config.getoption("crash_complete") else sample()[test]
    metafunc.parametrize("case", [CASES[test][name] for name in names], ids=names)
