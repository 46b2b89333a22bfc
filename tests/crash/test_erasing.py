"""What is erased is gone, wherever the process was killed meanwhile: no payload, no pre-image, and nothing of another run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from assent.runtime._ledger import open_reader
from tests.support.crashing import KILLED, SUCCEEDS, Scene

_WAYS = {
    "erase": ("audit", "erase", "{first}", "{second}", "{plan}", "--yes", "--json"),
    "prune": ("prune", "--older-than", "1ms", "--yes", "--json"),
}

_READ = "what only a plan has read"
_PLANNED = """\
name: planned
steps:
  - {name: read, capability: io.fs.read_file, inputs: {path: read.txt}}
  - {name: write, capability: io.fs.write_file, inputs: {path: b.txt, content: "${{ steps.read.output.content }}"}}
"""


def _blobs(scene: Scene) -> Iterator[str]:
    return (path.parent.name + path.name for path in (scene.workspace / ".assent/blobs").glob("??/*"))


def _holding(scene: Scene, text: str) -> list[str]:
    """The files of the state that hold a text."""
    files = (path for path in (scene.workspace / ".assent").rglob("*") if path.is_file())
    return [str(path) for path in files if text.encode() in path.read_bytes()]


def _referred(scene: Scene) -> set[str]:
    with open_reader(scene.workspace / ".assent") as journal:
        return {str(row[0]) for row in journal.select("SELECT DISTINCT digest FROM blob_refs")}


@pytest.mark.parametrize("way", _WAYS)
def test_an_erasure_killed_anywhere_leaves_nothing_of_what_it_erased(scene: Scene, way: str) -> None:
    """`kept` has the pre-image that `second` has as well: it must be there for its undo."""
    file = scene.workspace / "untouched.txt"
    original = file.read_text(encoding="utf-8")
    runs = {"first": str(scene.assent("run", f"{SUCCEEDS}.yaml", "--json").json()["run_id"])}
    for name, content in (("second", "other"), ("third", original), ("kept", "other")):
        ended = scene.assent("call", "io.fs.write_file", "path=untouched.txt", f"content={content}", "--json")
        runs[name] = str(ended.json()["run_id"])
    (scene.workspace / "planned.yaml").write_text(_PLANNED)
    (scene.workspace / "read.txt").write_text(_READ)
    runs["plan"] = str(scene.assent("plan", "planned.yaml", "--json").json()["plan_id"])
    assert len(_holding(scene, _READ)) > 1, "in the ledger and in the file"
    words = [word.format_map(runs) for word in _WAYS[way]]
    before = scene.keep()
    trace = scene.trace(*words)
    for place in range(trace.index("effect.before") + 1, trace.index("effect.after") + 2):
        scene.restore(before)
        assert scene.assent(*words, kill=f"any:{place}").code == KILLED, (place, trace)
        if scene.assent("resume", "--json", kill="effect.after:1").code == KILLED:
            # Not only once the process ends: it may live for months.
            assert set(_blobs(scene)) == _referred(scene), (place, trace[place - 1])
        assert scene.assent("resume", "--json").code == 0
        assert set(_blobs(scene)) == _referred(scene), (place, trace[place - 1])
        assert _holding(scene, _READ) == [], (place, trace[place - 1])
        scene.assert_sound()
        if way == "erase":
            assert scene.assent("undo", runs["kept"], "--json").code == 0
            assert file.read_text(encoding="utf-8") == original
