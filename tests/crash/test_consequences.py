"""A call that takes a step back is killed at every point, and made once: it goes on from what was journaled for it."""

from __future__ import annotations

import pytest

from tests.support.crashing import KILLED, Scene

_WORKFLOW = """\
name: offset
version: 1.0.0
steps:
  - name: write
    capability: io.fs.write_file
    inputs: {path: new.txt, content: "brand new"}
    compensation: {capability: io.fs.move, inputs: {source: report.txt, destination: moved.txt}}
  - name: fail
    capability: sys.fail
    inputs: {message: "the end fails"}
"""


@pytest.mark.parametrize("point", ["first", "last", "each"])
def test_an_offsetting_call_killed_anywhere_is_made_once(scene: Scene, point: str) -> None:
    """A second move would find nothing to move: it is asked whether the first one happened."""
    (scene.workspace / "offset.yaml").write_text(_WORKFLOW)
    kept = scene.keep()
    trace = scene.trace("run", "offset.yaml", "--json")
    begun = trace.index("compensate.before") + 1
    places = range(begun, len(trace) + 1)
    for place in {"first": places[:1], "last": places[-1:], "each": places[1:-1]}[point]:
        scene.restore(kept)
        ended = scene.assent("run", "offset.yaml", "--json", kill=f"any:{place}")
        assert ended.code == KILLED, f"`any:{place}` was not reached: {ended}"
        scene.assent("resume", "--json")
        [run] = scene.runs()
        assert run["status"] == "rolled_back", (place, trace[place - 1], run)
        assert (scene.workspace / "moved.txt").read_bytes() == b"report\n"
        assert not (scene.workspace / "report.txt").exists()
        scene.assert_sound()
