"""Whoever has a concurrency key, waits for it or cancels for it is killed anywhere: one at a time, in order, and all end."""

from __future__ import annotations

import pytest

from tests.support.crashing import KILLED, Scene

FLOW = """\
name: keyed
inputs: { name: string, ask: { type: boolean, default: false } }
concurrency: { key: k, on_busy: ON_BUSY }
steps:
  - { name: ask, when: inputs.ask, approval: { reason: "?" } }
  - { name: note, capability: io.fs.write_file, inputs: { path: "${{ inputs.name }}.txt", content: x } }
"""


@pytest.mark.parametrize(
    ("on_busy", "command", "place"),
    [
        ("queue", "run", "commit.after:1"),
        ("queue", "approve", "effect.after:1"),
        ("cancel_running", "run", "commit.after:1"),
        ("cancel_running", "run", "commit.before:2"),
        ("cancel_running", "run", "effect.after:1"),
    ],
)
def test_the_next_begins_after_the_last_has_ended(
    scene: Scene, on_busy: str, command: str, place: str
) -> None:
    """Killed as a run is put in line, as it cancels the one before it, and as either has its turn."""

    def assent(*words: str) -> None:
        kill = place if words[0] == command else None
        ended = scene.assent(*words, "--json", kill=kill)
        assert (ended.code == KILLED) is (kill is not None), f"`{place}` was not reached"

    (scene.workspace / "keyed.yaml").write_text(FLOW.replace("ON_BUSY", on_busy), encoding="utf-8")
    held = scene.assent("run", "keyed.yaml", "name=a", "ask=true", "--json")
    assert held.code == 4
    holder = str(held.json()["run_id"])
    assent("run", "keyed.yaml", "name=b")
    scene.assent("resume", "--json")
    if scene.story(holder).status == "waiting":
        assent("approve", holder, "--unseen")
    scene.assent("resume", "--json")
    scene.assert_sound()
    runs = [str(run["run_id"]) for run in scene.assent("runs", "--json").json()]
    is_cancelled = on_busy == "cancel_running" and len(runs) == 2
    assert scene.story(holder).status == ("cancelled" if is_cancelled else "succeeded")
    assert [scene.story(run).status for run in runs[1:]] == ["succeeded"] * (len(runs) - 1)
    assert (scene.workspace / "b.txt").exists() is (len(runs) == 2)


POLICY = """\
version: 1
default: ALLOW
rules:
  - { id: may, when: { concurrency: k, cancels_others: true, principal: "user:bob" }, decision: ALLOW }
  - { id: may-not, when: { concurrency: k, principal: "user:eve" }, decision: DENY }
"""


@pytest.mark.parametrize("place", ["commit.before:1", "commit.after:1", "commit.after:2"])
@pytest.mark.parametrize(("who", "ends"), [("user:bob", "succeeded"), ("user:eve", "failed")])
def test_what_the_policy_said_of_a_key_holds_for_whoever_goes_on(
    scene: Scene, who: str, ends: str, place: str
) -> None:
    """Killed as the run that may cancel others', or may not have the key, is put on record, and as it cancels or ends."""
    (scene.workspace / "policy.yaml").write_text(POLICY, encoding="utf-8")
    (scene.workspace / "policy.yaml").chmod(0o600)
    (scene.workspace / "keyed.yaml").write_text(FLOW.replace("ON_BUSY", "cancel_running"), encoding="utf-8")
    holder = str(scene.assent("run", "keyed.yaml", "name=a", "ask=true", "--json").json()["run_id"])
    killed = scene.assent("run", "keyed.yaml", "name=b", "--as", who, "--json", kill=place)
    scene.assent("resume", "--json")
    runs = [str(run["run_id"]) for run in scene.assent("runs", "--json").json()]
    is_cancelled = len(runs) == 2 and who == "user:bob"
    scene.assert_sound(*([] if is_cancelled else ["waiting"]))
    assert scene.story(holder).status == ("cancelled" if is_cancelled else "waiting")
    assert [scene.story(run).status for run in runs[1:]] == [ends] * (len(runs) - 1)
    assert (scene.workspace / "b.txt").exists() is is_cancelled
    assert killed.code == KILLED or len(runs) == 2
