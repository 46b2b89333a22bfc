"""A program is killed anywhere while it uses texts that are told and not kept: none is left behind, and none is made up."""

from __future__ import annotations

import json

import pytest

from assent.failpoints import VARIABLE
from tests.support.crashing import KILLED, Scene
from tests.support.nursery import Ended
from tests.support.shelves import OTHER, QUERY, TEXT, told_in

_PROGRAM = """\
import asyncio, json, sys

from assent import Runtime
from tests.support.shelves import QUERY, Shelf, find

FLOW = {
    "name": "flow",
    "inputs": {"q": {"type": "string", "kept": False}},
    "steps": [
        find(),
        {"name": "write", "capability": "io.fs.write_file",
         "inputs": {"path": "found.txt", "content": "${{ steps.look.output.hits[0].place }}"}},
        {**find("each", "${{ item.text }}"), "foreach": "${{ steps.look.output.hits }}", "depends_on": ["write"]},
    ],
    "outputs": {"texts": "${{ steps.each.output[1].hits }}"},
}


async def main(word):
    async with Runtime.open(workspace=".") as rt:
        Shelf().register(rt)
        if word == "call":
            return [await rt.call("shelf.find", {"query": QUERY})]
        if word == "public":
            FLOW["steps"][0] = find(query="public")
        if word != "resume":
            return [await rt.run(FLOW, {"q": QUERY})]
        return await rt.resume()


print(json.dumps([one.to_json() for one in asyncio.run(main(sys.argv[1]))]))
"""


def program(scene: Scene, word: str, kill: str | None = None) -> Ended:
    env = dict(scene.env) if kill is None else {**scene.env, VARIABLE: kill}
    return scene.nursery.run("-c", _PROGRAM, word, cwd=scene.workspace, env=env, kind="python")


@pytest.mark.parametrize("word", ["call", "run", "public"])
def test_a_program_that_is_killed_leaves_none_of_them(scene: Scene, word: str) -> None:
    """Whatever it went on with afterwards is whole, or has said what is missing."""
    place, last = 0, KILLED
    while last == KILLED:
        place += 1
        last = program(scene, word, f"any:{place}").code
        assert told_in(scene.workspace, QUERY, TEXT, OTHER) == []
        resumed = program(scene, "resume")
        assert resumed.code == 0, resumed
        assert told_in(scene.workspace, QUERY, TEXT, OTHER) == []
        for run in json.loads(resumed.out):
            # A query that the document has may be asked again; one that went with its process may not.
            if run["error"] is None:
                assert word == "call" or run["outputs"]["texts"][0]["text"] == TEXT
            else:
                assert (run["error"]["code"], word == "public") == ("TEXT_NOT_KEPT", False)
                assert not (scene.workspace / "found.txt").exists()
        (scene.workspace / "found.txt").unlink(missing_ok=True)
    assert (last, place > 3) == (0, True)
    assert scene.assent("audit", "verify").code == 0
    scene.assert_sound()
