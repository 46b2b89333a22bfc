"""Paths that a program and its daemon call differently: by rules, put to traces and to what Hypothesis thinks of."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from assent import sync
from assent.client import Client, Deferred, Paths, connect
from assent.client._path_fields import PathFields
from assent.errors import AssentError, InputError, RefusedError, WorldError
from assent.runtime.service import requests
from tests.support.serving import Serving, daemon, key_for, over_tcp

TRACES = [json.loads(line) for line in (Path(__file__).parent / "paths.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: str(trace["of"]))
def test_traces(trace: dict[str, Any]) -> None:
    """`there` is null where the path is refused; `back` is what that is called here, the same where it is left out."""
    paths = Paths(trace.get("rules"), trace.get("wsl"))
    there: Any = trace.get("there", trace.get("from"))
    if "here" in trace:
        if there is None:
            with pytest.raises(InputError) as refused:
                paths.to_daemon(trace["here"])
            assert refused.value.code == "PATH_UNMAPPED"
            assert refused.value.hint
            return
        assert paths.to_daemon(trace["here"]) == there
    assert paths.from_daemon(there) == trace.get("back", there)


@pytest.mark.parametrize(
    "rules",
    [
        {"project": "/w"}, {"C:": "/w"}, {"C:p": "/w"}, {"": "/w"}, {"\\p": "/w"}, {"\\\\server": "/w"}, {"C:\\a\\..\\b": "/w"},
        {"/a/..": "/w"}, {"/a": "w"}, {"/a": ""}, {"/a": "C:\\w"}, {"/a": "/w/../x"}, {1: "/w"}, {"/a": Path("/w")},
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_rule_is_refused(rules: dict[str, str]) -> None:
    with pytest.raises(InputError) as refused:
        Paths(rules)
    assert (refused.value.code, refused.value.path) == ("INVALID_INPUT", "paths")


def test_what_is_too_long_for_a_path_is_none() -> None:
    """A text may be large, and is not taken apart for nothing."""
    paths = Paths({"C:\\p": "/w", "/p": "/w"})
    for beginning in ("C:\\p\\", "/p/", "p/"):
        text = beginning + "a" * 32_767
        assert paths.to_daemon(text) == text


NAMES = st.lists(st.sampled_from(["a", "b", "B", "ab", "ü", "a b", "..", "wsl$", "x\\y"]), max_size=4)
"""Few, so that rules meet."""
POSIX = NAMES.map(lambda names: "/" + "/".join(names))
WINDOWS = st.tuples(st.sampled_from(["C:\\", "c:/", "D:\\", "\\\\a\\b\\", "//A/b/"]), NAMES).map(
    lambda parts: parts[0] + "\\".join(parts[1])
)
ANY = st.one_of(POSIX, WINDOWS, st.text(max_size=8))
RULES = st.dictionaries(
    st.one_of(POSIX, WINDOWS).filter(lambda one: ".." not in one),
    POSIX.filter(lambda one: ".." not in one),
    max_size=4,
)


def names_of(path: str) -> list[str]:
    """What a path of the daemon's leads through: two are of one file where these are the same."""
    return [name for name in path.split("/") if name not in ("", ".")]


@example(rules={"/a": "/"}, wsl=None, path="//")
@given(rules=RULES, wsl=st.sampled_from([None, "a", "Ubuntu"]), path=ANY)
def test_what_comes_back_names_the_same_file(rules: dict[str, str], wsl: str | None, path: str) -> None:
    """Whatever the rules are: what the daemon is told is what it is told when its own word for it comes back."""
    paths = Paths(rules, wsl)
    try:
        there = paths.to_daemon(path)
    except InputError:
        return
    here = paths.from_daemon(there)
    if here != there:
        assert names_of(paths.to_daemon(here)) == names_of(there)
        assert paths.from_daemon(paths.to_daemon(here)) == here


@given(rules=RULES, path=POSIX)
def test_what_is_told_of_a_daemon_leads_there(rules: dict[str, str], path: str) -> None:
    paths = Paths(rules)
    here = paths.from_daemon(path)
    if here != path:
        assert paths.to_daemon(here) == "/" + "/".join(name for name in path.split("/") if name)


@given(here=st.one_of(POSIX, WINDOWS), there=POSIX, rest=NAMES)
def test_a_path_under_one_rule_goes_there_and_back(here: str, there: str, rest: list[str]) -> None:
    """In its plain spelling it comes back letter by letter, and it never ends up beside the rule's folder."""
    assume(".." not in here and ".." not in there and "x\\y" not in rest)
    paths = Paths({here: there})
    plain = paths.from_daemon(paths.to_daemon(here))
    separator = "/" if plain.startswith("/") else "\\"
    path = separator.join([plain.rstrip(separator), *rest]) if rest else plain
    assume(len(plain) > 1 or rest)
    mapped = paths.to_daemon(path)
    assert mapped.startswith(there.rstrip("/"))
    assert paths.from_daemon(mapped) == path


# -- a client and its daemon ------------------------------------------------------------------------------------------------

HERE = "C:\\Users\\me\\project"
WRITE = "io.fs.write_file"
COPIES: dict[str, Any] = {
    "name": "copies",
    "inputs": {"file": {"type": "string", "format": "workspace-path"}, "text": {"type": "string"}},
    "steps": [
        {
            "name": "write",
            "capability": WRITE,
            "inputs": {"path": "${{ inputs.file }}", "content": "${{ inputs.text }}"},
        }
    ],
}


@pytest.fixture
async def rt(served: Serving, root: Path) -> AsyncIterator[Client]:
    async with connect(served.doors["socket"], patience_s=5, paths={HERE: str(root)}) as client:
        yield client


async def inputs_of(rt: Client, run: str) -> Any:  # `Any`: JSON
    """What the gate, the record and people see, without defaults."""
    inputs = (await rt.perform(requests.Show(run=run))).inputs
    assert isinstance(inputs, dict)
    return {name: value for name, value in inputs.items() if name not in ("create_dirs", "encoding")}


async def test_what_a_schema_calls_a_path_is_mapped_and_nothing_else(rt: Client, root: Path) -> None:
    """One call, a session, a plan, a workflow's inputs, lists and what may be null: the daemon is told its own paths alone."""
    assert rt.server is not None
    assert rt.server.root == str(root)
    text = f"{HERE}\\a.txt"
    made = await rt.call(WRITE, {"path": text, "content": text})
    assert made.status == "succeeded"
    assert (root / "a.txt").read_text() == text
    assert await inputs_of(rt, made.run_id) == {"path": "a.txt", "content": text}
    run = await rt.run(COPIES, {"file": f"{HERE}/b.txt", "text": text})
    assert (run.status, (root / "b.txt").read_text()) == ("succeeded", text)
    assert await inputs_of(rt, run.run_id) == {"file": f"{root}/b.txt", "text": text}
    planned = await rt.plan(COPIES, {"file": f"{HERE}\\private\\b.txt", "text": ""})
    assert [step.rule for step in planned.steps] == ["private"]
    asked = requests.ExplainPolicy(
        capability=WRITE, parameters={"path": f"{HERE}\\private\\x", "content": ""}
    )
    assert (await rt.perform(asked)).rule == "private"
    await rt.add_schedule(COPIES, {"file": f"{HERE}\\c.txt", "text": text}, name="copies", every="1h")
    kept = await rt.perform(requests.Schedule(name="copies"))
    assert kept.inputs == {"file": f"{root}/c.txt", "text": text}
    session = await rt.session()
    packed = await session.call(
        "sys.archive.pack",
        {"sources": [f"{HERE}\\a.txt", "b.txt"], "destination": f"{HERE}\\ab.zip", "base": HERE},
    )
    assert (packed.status, packed.error) == ("succeeded", None)
    read = await session.call("data.json.parse", {"path": f"{HERE}\\none.json"})
    assert (read.error or {})["code"] == "FILE_NOT_FOUND"
    assert not [one.name for one in root.iterdir() if "\\" in one.name or ":" in one.name]


async def test_a_path_of_windows_that_no_rule_names_is_refused_before_it_is_sent(
    served: Serving, root: Path
) -> None:
    """With its place, also without any rules, and in a result where an agent reads it; other texts stay as they are."""
    async with connect(served.doors["socket"]) as rt:
        for work in (
            rt.call(WRITE, {"path": "C:\\x", "content": ""}),
            rt.run(COPIES, {"file": "C:\\x", "text": ""}),
            rt.plan(COPIES, {"file": "C:\\x", "text": ""}),
        ):
            with pytest.raises(InputError) as refused:
                await work
            assert refused.value.code == "PATH_UNMAPPED"
            assert refused.value.path in ("path", "file")
        assert (await rt.runs()).runs == []
        session = await rt.session()
        error = (
            await session.call("sys.archive.pack", {"sources": ["a", "C:/x"], "destination": "a.zip"})
        ).error
        assert error is not None
        assert (error["code"], error["path"]) == ("PATH_UNMAPPED", "sources[1]")
        assert (await rt.call(WRITE, {"path": "a.txt", "content": "C:\\x"})).status == "succeeded"
        with pytest.raises(InputError, match="CAPABILITY_UNKNOWN"):
            await rt.call("io.fs.wirte_file", {"path": "C:\\x"})
    assert (root / "a.txt").read_text() == "C:\\x"


async def test_a_daemon_in_wsl_knows_its_drives(
    root: Path, env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its shares lead to the very root, so that a whole call can be tried here."""
    monkeypatch.setenv("WSL_DISTRO_NAME", "Ubuntu")
    async with daemon(root, env) as served, connect(served.doors["socket"]) as rt:
        assert rt.server is not None
        assert (rt.server.root, rt.server.wsl) == (str(root), "Ubuntu")
        made = await rt.call(
            WRITE, {"path": "\\\\wsl$\\Ubuntu" + str(root).replace("/", "\\") + "\\a.txt", "content": ""}
        )
        assert await inputs_of(rt, made.run_id) == {"path": "a.txt", "content": ""}
        denied = await rt.call(WRITE, {"path": "D:\\elsewhere", "content": ""})
        assert (denied.error or {})["code"] == "PATH_ESCAPES"
        assert "/mnt/d/elsewhere" in str((denied.error or {})["message"])


async def test_a_request_that_is_made_again_is_the_same(served: Serving, root: Path) -> None:
    """Under one id the daemon's own word and the program's are one request; another rule makes another one."""
    place = served.doors["socket"]
    async with connect(place, paths={HERE: str(root)}) as rt, connect(place) as other:
        first = await rt.call(WRITE, {"path": f"{HERE}\\a.txt", "content": ""}, id="once")
        again = await rt.call(WRITE, {"path": f"{HERE}\\a.txt", "content": ""}, id="once")
        spelled = await other.call(WRITE, {"path": f"{root}/a.txt", "content": ""}, id="once")
        assert first.run_id == again.run_id == spelled.run_id
    async with connect(place, paths={HERE: f"{root}/sub"}) as rt:
        with pytest.raises(InputError, match="REQUEST_REUSED"):
            await rt.call(WRITE, {"path": f"{HERE}\\a.txt", "content": ""}, id="once")


async def test_deferred_calls_are_mapped_once_and_before_they_are_sealed(
    root: Path, env: dict[str, str], tmp_path: Path, no_keychain: None
) -> None:
    """Whatever the rules are when they are made; what can't be known while the daemon is away is refused, and nothing else."""
    spool = tmp_path / "spool"
    chain = {HERE: f"{root}/sub", f"{root}/sub": f"{root}/wrong"}
    async with daemon(root, env) as served:
        place = served.doors["socket"]
        async with connect(place, spool=spool, patience_s=0, paths=chain) as rt:
            await rt.call("io.fs.make_dir", {"path": HERE})
    async with connect(place, spool=spool, patience_s=0, paths=chain) as rt:
        with pytest.raises(AssentError) as unknown:
            await rt.defer(WRITE, {"path": f"{HERE}\\a.txt", "content": ""})
        assert unknown.value.code == "PATHS_UNKNOWN"
        await rt.defer(WRITE, {"path": "plain.txt", "content": ""})
        async with daemon(root, env):
            await rt.flush()
            await rt.call(WRITE, {"path": f"{HERE}\\known.txt", "content": ""})
        kept = await rt.defer(WRITE, {"path": f"{HERE}\\a.txt", "content": HERE})
        assert kept.parameters == {"path": f"{root}/sub/a.txt", "content": HERE}
        with pytest.raises(InputError, match="PATH_UNMAPPED"):
            await rt.defer(WRITE, {"path": "D:\\a.txt", "content": ""})
    told: list[Deferred] = []
    other = {f"{root}/sub": f"{root}/other"}
    async with (
        daemon(root, env),
        connect(place, spool=spool, patience_s=5, paths=other, told=told.append) as rt,
    ):
        await rt.flush()
        (run,) = [one.run for one in told]
        assert run is not None
        assert await inputs_of(rt, run.run_id) == {"path": "sub/a.txt", "content": HERE}
    assert sorted(one.name for one in (root / "sub").iterdir()) == ["a.txt", "known.txt"]


async def test_a_key_that_may_not_read_is_told_so_only_where_something_is_to_be_mapped(
    root: Path, env: dict[str, str]
) -> None:
    over_tcp(root)
    async with daemon(root, env) as served:
        place, key = served.doors["http"], key_for(root, env, scopes=["call"])
        async with connect(place, key=key) as rt:
            assert (await rt.call(WRITE, {"path": "a.txt", "content": "C:\\x"})).status == "succeeded"
        async with connect(place, key=key, paths={HERE: str(root)}) as rt:
            assert (await rt.call(WRITE, {"path": "b.txt", "content": "b"})).status == "succeeded"
            with pytest.raises(RefusedError, match="SCOPE_MISSING"):
                await rt.call(WRITE, {"path": f"{HERE}\\b.txt", "content": "b"})


async def test_programs_without_a_loop_have_it_too(served: Serving, root: Path) -> None:
    def program() -> tuple[str, str]:
        with sync.connect(served.doors["socket"], paths={HERE: str(root)}) as rt:
            made = rt.call(WRITE, {"path": f"{HERE}\\a.txt", "content": ""})
            return made.status, rt.paths.from_daemon(f"{root}/a.txt")

    assert await asyncio.to_thread(program) == ("succeeded", f"{HERE}\\a.txt")


OUTPUT = {
    "type": "object",
    "properties": {
        "report": {"type": "string", "format": "path"},
        "files": {"type": "array", "items": {"$ref": "#/$defs/file"}},
        "said": {"type": "string"},
    },
    "$defs": {"file": {"anyOf": [{"type": "string", "format": "file-path"}, {"type": "null"}]}},
}


async def test_outputs_are_told_with_the_paths_of_this_side() -> None:
    """Those that the capability's schema calls paths; asked for once, and left as they are where nobody says."""
    given: dict[str, Any] = {
        "report": "/workspace/r.html",
        "files": ["/workspace/a", None, "b"],
        "said": "/workspace/r.html",
    }
    asked: list[requests.Request[Any]] = []

    async def learn(request: requests.Request[Any]) -> Any:  # `Any`: a part of its answer
        asked.append(request)
        return SimpleNamespace(returns=OUTPUT)

    async def away(request: requests.Request[Any]) -> Any:  # `Any`: as above
        raise WorldError("SERVER_UNREACHABLE", "nobody answers")

    def answer() -> dict[str, Any]:
        step = {
            "name": "scan",
            "capability": "x.scan",
            "version": "2.0.0",
            "asked_version": "1.0.0",
            "output": dict(given),
        }
        return {
            "run_id": "run_1",
            "steps": [step, {"name": "bad", "capability": "x.scan", "version": None, "error": {}}],
        }

    fields, call = PathFields({HERE: "/workspace"}), requests.Call(capability="x.scan")
    mapped = {**given, "report": f"{HERE}\\r.html", "files": [f"{HERE}\\a", None, "b"]}
    for request, told in (
        (call, answer()),
        (requests.Show(run="run_1"), answer()),
        (requests.Resume(), {"results": [answer()]}),
    ):
        found = await fields.told(request, told, learn)
        assert found.get("results", [found])[0]["steps"][0]["output"] == mapped
    assert asked == [requests.Capability(reference="x.scan@1.0.0")]
    assert await PathFields({HERE: "/workspace"}).told(call, answer(), away) == answer()
    assert await PathFields(None).told(call, answer(), away) == answer()
