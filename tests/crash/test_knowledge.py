"""Whoever indexes, forgets or takes back is killed anywhere: the store opens, holds what a fresh one would, and shows no text."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.crashing import KILLED, Scene
from tests.support.shelves import told_in

MARKER = "quartzberg"
CONFIG = '\n[knowledge.repositories.code]\nfolder = "code"\n'


@pytest.fixture
def code(scene: Scene) -> Scene:
    """The scene with a repository in it."""
    folder = scene.workspace / "code"
    folder.mkdir()
    for number in range(3):
        (folder / f"f{number}.py").write_text(f"def {MARKER}_{number}():\n    return {number}\n")
    with (scene.workspace / "assent.toml").open("a") as file:
        file.write(CONFIG)
    return scene


def standing(scene: Scene) -> dict[str, Any]:
    """How the repository stands, as it was verified."""
    (one,) = scene.assent("knowledge", "verify", "--json").json()["repositories"]
    assert isinstance(one, dict)
    return one


@pytest.mark.parametrize("word", ["index", "forget", "undo"])
def test_the_store_is_what_a_fresh_one_is(code: Scene, word: str) -> None:
    assert code.assent("knowledge", "index").code == 0
    wanted = standing(code)["root"]
    place, ended = 0, KILLED
    while ended == KILLED:
        place += 2
        (code.workspace / "code" / "f0.py").write_text(f"# {MARKER} {place}\n")
        run = ["knowledge", "index"]
        if word == "undo":
            assert code.assent(*run).code == 0
            run = ["undo", str(code.runs()[-1]["run_id"])]
        elif word == "forget":
            run = ["knowledge", "forget", "-r", "code", "code/f1.py"]
        ended = code.assent(*run, kill=f"any:{place}").code
        assert code.assent("resume", "--json").code == 0
        found = standing(code)
        assert found["files"] in ({2, 3} if word == "forget" else {3})
        assert told_in(code.workspace / ".assent", MARKER) == []
        (code.workspace / "code" / "f0.py").write_text(f"def {MARKER}_0():\n    return 0\n")
        assert code.assent("knowledge", "index").code == 0
        assert standing(code)["root"] == wanted
    assert (ended, place > 4) == (0, True)
    assert code.assent("audit", "verify").code == 0
