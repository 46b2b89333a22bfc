"""Whoever indexes, forgets, compacts, erases, takes back or replaces keys is killed anywhere: the store ends as a fresh one.

Points of the store are beside those of runs, so each act is killed at all points of runs (`any`) and at both of the store.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from assent.runtime.settings.effective import Settings
from tests.support.crashing import KILLED, Scene, noted
from tests.support.encoder import tiny_model
from tests.support.key_pairs import pair_in
from tests.support.seeds import SEED, dice
from tests.support.shelves import told_in

MARKER: Final = "quartzberg"
CONFIG: Final = '\n[knowledge.repositories.code]\nfolder = "code"\n'
POINTS: Final = ("any", "knowledge.before", "knowledge.after")
ACTS: Final = {
    "index": ("knowledge", "index"),
    "forget": ("knowledge", "forget", "-r", "code", "code/f1.py", "code/f2.py"),
    "compact": ("knowledge", "compact", "-r", "code"),
    "erase": ("knowledge", "erase", "workspace"),
}


@pytest.fixture
def code(scene: Scene) -> Scene:
    """The scene with a repository in it that was indexed twice, and changed since."""
    (scene.workspace / "code").mkdir()
    for number in range(3):
        write(scene, number, f"def {MARKER}_{number}():\n    return {number}\n")
    with (scene.workspace / "assent.toml").open("a") as file:
        file.write(CONFIG)
    assert scene.assent("knowledge", "index").code == 0
    write(scene, 0, f"def {MARKER}_again(): ...\n")
    assert scene.assent("knowledge", "index").code == 0
    write(scene, 0, f"# {MARKER} to come\n")
    (scene.workspace / "code" / "f2.py").unlink()
    write(scene, 3, f"def {MARKER}_new(): ...\n")
    return scene


def write(scene: Scene, number: int, text: str) -> None:
    (scene.workspace / "code" / f"f{number}.py").write_text(text)


@dataclass
class Kept:
    """The scene as it stood, with the keys of its knowledge, which are not in the workspace."""

    scene: Scene
    workspace: Path
    keys: Path

    @classmethod
    def of(cls, scene: Scene) -> Kept:
        shutil.rmtree(scene.root / "kept", ignore_errors=True)
        shutil.rmtree(scene.root / "kept_keys", ignore_errors=True)
        shutil.copytree(keys_of(scene), scene.root / "kept_keys")
        return cls(scene, scene.keep(), scene.root / "kept_keys")

    def restore(self) -> None:
        self.scene.restore(self.workspace)
        shutil.rmtree(keys_of(self.scene))
        shutil.copytree(self.keys, keys_of(self.scene))


def keys_of(scene: Scene) -> Path:
    return Settings.resolve(environ=scene.env, cwd=scene.workspace).knowledge_keys


def standing(scene: Scene) -> dict[str, Any]:
    """How the repository stands, as it was verified, and nothing of it can be read."""
    ended = scene.assent("knowledge", "verify", "--json")
    assert ended.code == 0, ended
    assert told_in(scene.workspace / ".assent", MARKER) == []
    (one,) = ended.json()["repositories"]
    assert isinstance(one, dict)
    return one


def fresh(scene: Scene) -> str:
    """The root of a store that never had anything else."""
    assert scene.assent(*ACTS["erase"]).code == 0
    assert scene.assent(*ACTS["index"]).code == 0
    return str(standing(scene)["root"])


def kills(
    scene: Scene, words: Sequence[str], *, all_of_them: bool, points: Sequence[str] = POINTS
) -> Iterator[None]:
    """Kill a command at each of all points, or at one of one of these sorts, each time in the scene as it is now."""
    kept = Kept.of(scene)
    for point in POINTS if all_of_them else dice(f"knowledge {words[:2]}").sample(points, 1):
        kept.restore()
        trace = scene.assent(*words, kill=f"{point}:0").trace
        chance = dice(f"knowledge {words[:2]} {point}")
        places = range(1, len(trace) + 1)
        for place in places if all_of_them else chance.choices(places, k=min(len(trace), 1)):
            with noted(f"ASSENT_TEST_SEED={SEED}: killed at {point}:{place} of {trace}"):
                kept.restore()
                ended = scene.assent(*words, kill=f"{point}:{place}")
                # Two appends share a commit if they meet, so that there may be fewer points this time.
                assert ended.code == KILLED or len(ended.trace) < place, ended
                yield


@pytest.mark.parametrize("act", ACTS)
def test_what_is_killed_is_done_once_it_is_resumed(code: Scene, act: str, *, crash_complete: bool) -> None:
    """Or never began; what is indexed then ends in the root of a store that was never killed, and never had anything else."""
    kept = Kept.of(code)
    before = standing(code)["root"]
    wanted = fresh(code)
    kept.restore()
    code.assent(*ACTS[act])
    after = "" if act == "erase" else standing(code)["root"]
    kept.restore()
    for _ in kills(code, ACTS[act], all_of_them=crash_complete):
        assert code.assent("resume", "--json").code == 0
        assert {run["status"] for run in code.runs()} == {"succeeded"}
        is_done = (
            len(code.runs()) == 3
        )  # nothing of it was durable else; what only looks is a run as well, later
        if act != "erase":
            assert standing(code)["root"] == (after if is_done else before)
        assert code.assent(*ACTS["index"]).code == 0
        assert standing(code)["root"] == wanted
        assert code.assent("audit", "verify").code == 0


def test_taking_an_index_run_back_killed_anywhere_is_finished(code: Scene, *, crash_complete: bool) -> None:
    before = standing(code)["root"]
    assert code.assent(*ACTS["index"]).code == 0
    run = str(code.runs()[-1]["run_id"])
    for _ in kills(code, ("undo", run), all_of_them=crash_complete):
        assert code.assent("resume", "--json").code == 0
        if code.story(run).status == "succeeded":
            assert code.assent("undo", run).code == 0  # nothing of the first request was durable
        assert code.story(run).status == "undone"
        assert standing(code)["root"] == before


def test_an_index_run_killed_anywhere_and_cancelled_leaves_nothing(
    code: Scene, *, crash_complete: bool
) -> None:
    before, there = standing(code)["root"], len(code.runs())
    for _ in kills(code, ACTS["index"], all_of_them=crash_complete):
        for run in code.runs()[there:]:
            if run["status"] == "succeeded":
                continue
            code.assent("cancel", str(run["run_id"]))
            assert code.story(str(run["run_id"])).status == "cancelled"
            assert standing(code)["root"] == before


def test_vectors_whose_making_is_killed_anywhere_are_all_made_in_the_end(
    code: Scene, *, crash_complete: bool
) -> None:
    add = ("knowledge", "model", "add", str(tiny_model(code.root / "tiny")))
    assert code.assent(*add).code == 0
    kept = Kept.of(code)
    for words in (ACTS["erase"], add, ACTS["index"]):
        assert code.assent(*words).code == 0
    wanted = standing(code)
    assert wanted["vectors"] == wanted["chunks"] > 0
    kept.restore()
    for _ in kills(code, ACTS["index"], all_of_them=crash_complete, points=["knowledge.after"]):
        assert code.assent("resume", "--json").code == 0
        assert code.assent(*ACTS["index"]).code == 0
        found = standing(code)
        assert [found[name] for name in ("root", "chunks", "vectors")] == [
            wanted[name] for name in ("root", "chunks", "vectors")
        ]


def test_keys_whose_replacing_is_killed_anywhere_are_replaced_and_can_be_recovered(
    code: Scene, *, crash_complete: bool
) -> None:
    secret, public, _ = pair_in(code.root)
    assert code.assent("knowledge", "key", "escrow", str(public)).code == 0
    before = standing(code)["root"]
    rotate = ("knowledge", "key", "rotate")
    for _ in kills(code, rotate, all_of_them=crash_complete, points=["knowledge.after"]):
        assert standing(code)["root"] == before
        assert code.assent("resume", "--json").code == 0
        assert {run["status"] for run in code.runs()} == {"succeeded"}
        shutil.rmtree(keys_of(code))
        assert code.assent("knowledge", "key", "recover", str(secret)).code == 0
        assert standing(code)["root"] == before
        ended = code.assent(*rotate, "--json")
        assert ended.code == 0, ended
        assert standing(code)["root"] == before
