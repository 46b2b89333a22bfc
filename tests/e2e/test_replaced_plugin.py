"""A plugin is replaced by another version of itself: what that breaks is known, though only the ledger still has the old one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.nursery import Ended, Nursery
from tests.support.own_places import own_places

PLUGIN = '''\
from assent.invocation import LocalContext, capability

ASSENT_PLUGIN = {{"name": "words", "version": "{version}"}}


@capability("words.count", operation="READ", risk="LOW", justification="reads only", version="{version}", revision="{version}")
def count(context: LocalContext, {takes}) -> int:
    """Counts words"""
    return len(text.split())
'''

PROGRAM = """\
import asyncio, json, sys
from assent import Runtime
from assent.errors import InputError
from assent.invocation import Transformer
from assent.spec import create_read_capability

def version(number, *fields):
    properties = {name: {"type": "string"} for name in fields}
    schema = {"type": "object", "properties": properties, "required": [*fields], "additionalProperties": False}
    return create_read_capability("people.greet", version=number, parameters=schema, returns={"type": "string"})

async def greet(context, parameters):
    return " ".join(parameters.values())

async def main(what):
    rt = Runtime.open()
    one, two = version("1.0.0", "name"), version("1.1.0", "first", "last")
    split = Transformer(older="1.0.0", newer="1.1.0", inputs_forward=lambda old: {"first": old["name"], "last": "-"})
    match what:
        case "one":
            rt.register(one, greet)
        case "two":
            rt.register(two, greet)
        case "two and what leads there":
            rt.register(one, None)
            rt.register(two, greet, transformers=[split])
    async with rt:
        for reference in ("people.greet@1.0.0", "people.greet"):
            try:
                print(json.dumps((await rt.call(reference, {"name": "ada"})).to_json()))
            except InputError as error:
                print(json.dumps(error.to_dict()))

asyncio.run(main(sys.argv[1]))
"""


@dataclass
class Workspace:
    """A workspace whose plugin is one file, and the processes that work in it."""

    folder: Path
    env: dict[str, str]
    nursery: Nursery

    def __call__(self, *words: str) -> Ended:
        return self.nursery.run(*words, "--json", cwd=self.folder, env=self.env)

    def install(self, version: str, takes: str) -> None:
        """Put a version in the place of the one that is there, and trust it."""
        (self.folder / "words.py").write_text(PLUGIN.format(version=version, takes=takes), encoding="utf-8")
        digest = self("plugin", "inspect", "words.py").json()["fingerprint"]
        assert self("plugin", "trust", "words", "--digest", digest).code == 0

    def call(self, reference: str, *words: str) -> Any:
        return self("call", reference, *words).json()


@pytest.fixture
def workspace(tmp_path: Path, nursery: Nursery) -> Iterator[Workspace]:
    folder = tmp_path / "ws"
    folder.mkdir()
    (folder / "assent.toml").write_text('[plugins]\npaths = ["words.py"]\n', encoding="utf-8")
    with own_places(tmp_path, {"PATH": os.environ["PATH"]}) as env:
        yield Workspace(folder, env, nursery)


def test_a_breaking_replacement_is_refused_with_what_it_breaks(workspace: Workspace) -> None:
    """Its capabilities are left out; whoever calls one is told the difference and what can be done, and everything else runs."""
    workspace.install("1.0.0", "text: str")
    assert workspace.call("words.count", "text=a b")["outputs"] == 2
    workspace.install("1.1.0", "text: str, least: int")
    for reference, words in (
        ("words.count", ["text=a b"]),
        ("words.count@1.0.0", ["text=a b"]),
        ("words.count@1.1.0", ["text=a b", "least=1"]),
    ):
        refused = workspace.call(reference, *words)
        assert refused["error"]["code"] == "CAPABILITY_UNKNOWN", reference
        (fault,) = refused["error"]["details"]["left_out"]
        assert fault["code"] == "VERSION_BREAKING"
        assert "breaks callers of `1.0.0`: `parameters.least`: a required field was added" in fault["message"]
        assert [change["path"] for change in fault["details"]["changes"]] == ["parameters.least"]
        assert "assent capability retire words.count@1.0.0" in fault["hint"]
    assert workspace.call("sys.noop")["status"] == "succeeded"
    diff = workspace("capability", "diff", "words.count", "1.0.0", "1.1.0").json()
    assert (diff["breaking"], diff["served"]) == (1, False)
    assert workspace("audit", "verify").code == 0


def test_who_has_no_callers_any_more_retires_what_is_gone(workspace: Workspace) -> None:
    """Also when nothing of the capability is installed."""
    workspace.install("1.0.0", "text: str")
    assert workspace.call("words.count", "text=a b")["outputs"] == 2
    workspace.install("1.1.0", "text: str, least: int")
    assert workspace("capability", "retire", "words.count@1.0.0").code == 0
    assert workspace.call("words.count", "text=a b", "least=1")["steps"][0]["version"] == "1.1.0"
    assert workspace.call("words.count@1.0.0", "text=a b")["error"]["code"] == "VERSION_NOT_FOUND"


def test_another_major_number_may_break_what_it_replaces(workspace: Workspace) -> None:
    """Then a call that means the old one says so, and what the ledger knows of both can be compared."""
    workspace.install("1.0.0", "text: str")
    assert workspace.call("words.count", "text=a b")["outputs"] == 2
    workspace.install("2.0.0", "text: str, least: int")
    assert workspace.call("words.count", "text=a b", "least=1")["steps"][0]["version"] == "2.0.0"
    for reference in ("words.count@1.0.0", "words.count@^1"):
        error = workspace.call(reference, "text=a b")["error"]
        assert error["code"] == "VERSION_NOT_FOUND"
        assert "`words.count@1.0.0` is not installed here any more" in error["message"]
        assert "nothing brings inputs from `1.0.0` to `2.0.0`" in error["details"]["why"]
    assert workspace("capability", "diff", "words.count", "1.0.0", "2.0.0").json()["breaking"] == 1


def test_callers_of_what_a_compatible_version_replaced_are_served_by_it(workspace: Workspace) -> None:
    workspace.install("1.0.0", "text: str")
    assert workspace.call("words.count", "text=a b")["outputs"] == 2
    workspace.install("1.1.0", "text: str, least: int = 0")
    for reference in ("words.count", "words.count@1.0.0", "words.count@~1.0"):
        result = workspace.call(reference, "text=a b c")
        assert (result["outputs"], result["steps"][0]["version"]) == (3, "1.1.0"), reference
    kinds = [line["kind"] for line in map(json.loads, workspace("audit", "log").out.splitlines())]
    assert [kind for kind in kinds if kind.partition(".")[0] in ("capability", "release")] == [
        "release.registered",
        "capability.registered",
        "capability.registered",
    ]


def test_a_program_that_replaces_a_version_is_held_to_the_same(
    tmp_path: Path, clean_env: dict[str, str], nursery: Nursery
) -> None:
    """What leads from the old version to the new one makes the difference."""
    with own_places(tmp_path, clean_env) as env:

        def run(what: str) -> list[dict[str, Any]]:
            done = nursery.run("-c", PROGRAM, what, cwd=tmp_path, env=env, kind="python")
            return [json.loads(line) for line in done.out.splitlines()]

        assert [one["outputs"] for one in run("one")] == ["ada", "ada"]
        assert [one["code"] for one in run("two")] == ["VERSION_NOT_FOUND", "VERSION_BREAKING"]
        pinned, latest = run("two and what leads there")
        assert (pinned["outputs"], pinned["steps"][0]["version"]) == ("ada -", "1.1.0")
        assert latest["steps"][0]["error"]["code"] == "INVALID_INPUT"
