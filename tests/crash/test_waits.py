"""Whoever sends a signal, or goes on with what has waited, is killed anywhere: each signal ends one step, and none is lost."""

from __future__ import annotations

import pytest

from tests.support.crashing import KILLED, Scene

FLOW = """\
name: waits
steps:
  - { name: soon, wait: 1ms }
  - { name: one, wait: { signal: go } }
  - { name: note, capability: io.fs.write_file, inputs: { path: heard.txt, content: "${{ steps.one.output }}\\n" } }
  - { name: two, wait: { signal: go } }
outputs: { heard: ["${{ steps.one.output }}", "${{ steps.two.output }}"] }
"""


def heard(scene: Scene, run: str) -> int:
    """How many signals are on record."""
    return sum(kind == "signal.received" for kind, _ in scene.story(run).events)


def send(scene: Scene, run: str, payload: str, *, kill: str | None = None) -> int:
    return scene.assent("signal", run, "go", payload, "--json", kill=kill).code


@pytest.mark.parametrize("place", ["commit.before:1", "commit.after:1", "ledger.after:2", "effect.after:1"])
def test_a_signal_that_was_told_is_kept_and_ends_one_step(scene: Scene, place: str) -> None:
    """Killed as it is recorded, or as the run goes on with it; who was not told sends it again."""
    (scene.workspace / "waits.yaml").write_text(FLOW, encoding="utf-8")
    ended = scene.assent("run", "waits.yaml", "--json")
    assert (ended.code, ended.json()["status"]) == (4, "waiting")
    run = str(ended.json()["run_id"])
    assert send(scene, run, '"first"', kill=place) == KILLED, f"`{place}` was not reached"
    if not heard(scene, run):
        assert send(scene, run, '"first"') == 0
    assert send(scene, run, '"second"') == 0
    scene.assent("resume", "--json")
    scene.assert_sound()
    story = scene.story(run)
    assert (story.status, heard(scene, run)) == ("succeeded", 2)
    assert scene.assent("show", run, "--json").json()["outputs"] == {"heard": ["first", "second"]}
    assert (scene.workspace / "heard.txt").read_text(encoding="utf-8") == "first\n"
