"""A scan names its wordlist by reference, and uses the version that was shown."""

from __future__ import annotations

from typing import Any

import pytest

from tests.capabilities.scan.conftest import Web, Yard
from tests.support.hands import tree_of

NAME = "res://project/shop/wordlist/common"


def only(web: Web) -> str:
    return f'networks = ["127.0.0.1/32"]\nports = [{web.port}]'


async def published(yard: Yard, version: str, text: str) -> None:
    async with yard.place.open(box=False) as rt:
        result = await rt.call("resource.publish", {"reference": f"{NAME}:{version}", "text": text})
        assert result.status == "succeeded", result.error


async def uses(yard: Yard) -> dict[str, int]:
    from assent.runtime.service import process, requests

    found = process.perform(requests.Resources(retired=True), yard.place.settings()).resources
    return {one.version: one.uses for one in found}


async def test_a_wordlist_is_named_by_reference_copied_and_counted(yard: Yard, web: Web, held: None) -> None:
    yard.probe(only(web))
    await published(yard, "1.0.0", "admin\n")
    found = await yard.scanned("active", "probe", web.url, words=f"{NAME}:latest")
    assert "admin" in found["scan"]["ended"]["stderr"]
    assert "./words-common" in found["scan"]["command"]
    assert await uses(yard) == {"1.0.0": 1}


@pytest.mark.parametrize("kind", ["active", "static"])
async def test_what_may_be_a_file_or_a_folder_may_be_a_resource(
    yard: Yard, web: Web, held: None, kind: str
) -> None:
    """Of a scanner of files, too: it reads a copy that lies beside the workspace, in which nothing is put."""
    yard.probe(only(web), kind=kind)
    manifest = yard.work / "scanners/probe.toml"
    text = manifest.read_text().replace('[options.words]\ntype = "file"', '[options.words]\ntype = "path"')
    text = text.replace('["--words"', '["--also", "{also}"], ["--words"')
    text += '\n[options.also]\ntype = "file"\nabout = "more words to read"\n'
    manifest.write_text(text if kind == "active" else text.replace('target = "url"', 'target = "path"'))
    await published(yard, "1.0.0", "admin\n")
    before = tree_of(yard.work)
    target = web.url if kind == "active" else "scanners"
    found = await yard.scanned(kind, "probe", target, words=f"{NAME}:latest", also="assent.toml")
    told = found["scan"]["ended"]["stderr"]
    assert "admin\n" in told
    assert ("./also-assent.toml" if kind == "active" else "assent.toml") in found["scan"]["command"]
    assert (f"{NAME}:1.0.0" in found["scan"]["command"]) is (kind == "static")
    assert ("'assent.toml'" in told.splitlines()[-2]) is (kind == "static")
    assert await uses(yard) == {"1.0.0": 1}
    assert tree_of(yard.work) == before
    manifest.write_text(manifest.read_text().replace('type = "path"', 'type = "folder"'))
    result = await yard.run(kind, "probe", target, words=f"{NAME}:latest")
    assert result.error is not None
    assert result.error["message"] == "`words` must be a folder, and a resource is one file"


async def test_a_plan_shows_the_version_and_uses_none(yard: Yard, web: Web, held: None) -> None:
    yard.probe(only(web))
    await published(yard, "1.0.0", "admin\n")
    inputs: Any = {
        "tool": "probe",
        "target": web.url,
        "project": "demo",
        "options": {"words": f"{NAME}:latest"},
    }
    async with yard.place.open(box=False) as rt:
        plan: Any = await rt.plan(
            {"name": "w", "steps": [{"name": "s", "capability": "scan.active", "inputs": inputs}]}
        )
    assert f"words: {NAME}:1.0.0 (sha256 " in str(plan.to_json())
    assert await uses(yard) == {"1.0.0": 0}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (f"{NAME}:2.0.0", "RESOURCE_NOT_FOUND"),
        ("res://nothing", "RESOURCE_REFERENCE_INVALID"),
        ("res://project/shop/wordlist/../../x:1", "RESOURCE_REFERENCE_INVALID"),
    ],
)
async def test_what_no_version_is_meant_by_is_refused_before_anything_starts(
    yard: Yard, web: Web, held: None, words: str, code: str
) -> None:
    yard.probe(only(web))
    await published(yard, "1.0.0", "admin\n")
    result = await yard.run("active", "probe", web.url, words=words)
    assert result.error is not None
    assert result.error["code"] == code
    assert web.paths == []
