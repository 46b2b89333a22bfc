"""A call that takes a step back is killed at every point, and made once: it goes on from what was journaled for it."""

from __future__ import annotations

import json

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


_LIMIT = "limits: [{id: once, when: {capability: io.fs.move}, window: 1d, calls: 1}]\n"


@pytest.mark.parametrize("is_limited", [False, True])
@pytest.mark.parametrize("point", ["first", "last", "each"])
def test_an_offsetting_call_killed_anywhere_is_made_once(
    scene: Scene, point: str, *, is_limited: bool
) -> None:
    """A second move would find nothing to move: it is asked whether the first one happened.

    A limit that lets one pass keeps it for this one, before it and after it, and never holds it up.
    """
    (scene.workspace / "offset.yaml").write_text(_WORKFLOW)
    if is_limited:
        policy = scene.workspace / "policy.yaml"
        policy.write_text(policy.read_text() + _LIMIT)
    kept = scene.keep()
    trace = scene.trace("run", "offset.yaml", "--json")
    begun = trace.index("compensate.before") + 1
    places = range(begun, len(trace) + 1)
    for place in {"first": places[:1], "last": places[-1:], "each": places[1:-1]}[point]:
        scene.restore(kept)
        ended = scene.assent("run", "offset.yaml", "--json", kill=f"any:{place}")
        assert ended.code == KILLED, f"`any:{place}` was not reached: {ended}"
        _require_kept(scene, is_limited=is_limited)
        scene.assent("resume", "--json")
        _require_kept(scene, is_limited=is_limited)
        run = next(one for one in scene.runs() if one["workflow"] == "offset")
        assert run["status"] == "rolled_back", (place, trace[place - 1], run)
        assert (scene.workspace / "moved.txt").read_bytes() == b"report\n"
        assert not (scene.workspace / "report.txt").exists()
        scene.assert_sound()


def _require_kept(scene: Scene, *, is_limited: bool) -> None:
    if is_limited:
        refused = scene.assent("call", "io.fs.move", "source=a", "destination=b", "--json")
        assert json.loads(refused.out)["error"]["code"] == "LIMIT_REACHED"
