"""A run with a `finally` is killed anywhere: each effect happens once, those of `finally` too, and the end is the same."""

from __future__ import annotations

import pytest

from tests.support.crashing import Scene, noted
from tests.support.seeds import SEED, dice

FLOW = """\
name: last
inputs: { ends: string }
steps:
  - { name: write, capability: io.fs.write_file, inputs: { path: new.txt, content: "brand new\\n" } }
  - { name: ask, when: inputs.ends == "cancelled", approval: go on? }
  - { name: bad, when: inputs.ends == "rolled_back", capability: sys.fail }
finally:
  - { name: fails, capability: sys.fail, when: inputs.ends == "failed" }
  - { name: log, capability: io.fs.write_file, inputs: { path: log.txt, content: "${{ run.outcome }}\\n" } }
  - { name: keep, capability: io.fs.copy, inputs: { source: notes.txt, destination: kept.txt } }
"""

EXIT = {"succeeded": 0, "rolled_back": 1, "failed": 1, "cancelled": 0}
SAMPLES = 1
"""How many places of each end `make test` tries."""


def begin(scene: Scene, ends: str) -> tuple[str, ...]:
    """The command that ends the run so, and whatever comes before it."""
    (scene.workspace / "last.yaml").write_text(FLOW, encoding="utf-8")
    words = ("run", "last.yaml", f"ends={ends}", "--json")
    if ends != "cancelled":
        return words
    assert scene.assent(*words).code == 4
    return ("cancel", str(scene.runs()[0]["run_id"]), "--json")


@pytest.mark.parametrize("ends", EXIT)
def test_a_run_with_a_finally_ends_as_if_it_had_not_been_killed(
    scene: Scene, ends: str, crash_complete: bool
) -> None:
    """Before its steps ended, between, and after; and an undo takes back what `finally` did, latest first."""
    words = begin(scene, ends)
    kept = scene.keep()
    ended = scene.assent(*words, kill="any:0")
    assert (ended.code, ended.json()["status"]) == (EXIT[ends], ends)
    places = range(1, len(ended.trace) + 1)
    chance = dice(f"kills of a run with a finally that is {ends}")
    for place in places if crash_complete else chance.sample(places, k=SAMPLES):
        with noted(f"ASSENT_TEST_SEED={SEED}: {ends}, killed at any:{place}"):
            scene.restore(kept)
            scene.kill_at(place, *words)
            recover(scene, ends, words)
            assert_as_if_never_killed(scene, ends)


def recover(scene: Scene, ends: str, words: tuple[str, ...]) -> None:
    """Resume; where nothing of the command was durable, say it again."""
    told = [kind for run in scene.runs() for kind, _ in scene.story(str(run["run_id"])).events]
    if ("run.cancel_requested" if ends == "cancelled" else "run.created") not in told:
        assert scene.assent(*words).code == EXIT[ends]
    else:
        scene.assent("resume", "--json")


def assert_as_if_never_killed(scene: Scene, ends: str) -> None:
    scene.assert_sound()
    (run,) = scene.runs()
    story = scene.story(str(run["run_id"]))
    assert story.status == ends
    for step, given in (
        ("write", {"created": True}),
        ("log", {"created": True}),
        ("keep", {"replaced": False}),
    ):
        assert story.events.count(("step.succeeded", step)) == 1, step
        output = story.outputs[step]
        # The output of a second effect would tell of the first; that of one that was taken back is not told.
        assert output is None or given.items() <= output.items(), step  # type: ignore[union-attr]  # else it is an object
    log = (scene.workspace / "log.txt").read_text(encoding="utf-8")
    assert log == ("succeeded\n" if ends == "failed" else f"{ends}\n")
    assert (scene.workspace / "new.txt").exists() is (ends in ("succeeded", "failed"))
    assert scene.assent("undo", str(run["run_id"]), "--json").code == 0
    (scene.workspace / "last.yaml").unlink()
    scene.assert_sound()
    assert {"new.txt", "log.txt", "kept.txt"}.isdisjoint(scene.tree())
    taken = [
        step for kind, step in scene.story(str(run["run_id"])).events if kind == "compensation.succeeded"
    ]
    assert [step for step in taken if step != "write"] == ["keep", "log"]
