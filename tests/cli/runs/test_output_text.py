"""What a step gave is told in a few words, of whatever kind it is, and the whole of it is one command away."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.capabilities import builtin_catalog
from assent.cli.runs._output_text import _ALONE, _SHAPES, output_text
from assent.errors import Json
from assent.runtime._areas import AREAS
from tests.support.door import RUN, ScriptedRuntime, Terminal, run_object

SHA = "4a1e67f2fe1d1cc7b31d0ca2ec441da4778203a036a77da10344c85e24ff0f92"
KINDS = [*_SHAPES, *(needed for area in AREAS.values() for needed in area.WORDS)]
TOLD_BY_FIELD = {
    "assent.key.revoke",
    "assent.mcp.trust",
    "assent.mcp.untrust",
    "knowledge.erase_tenant",
    "knowledge.escrow",
    "knowledge.export",
    "knowledge.recover",
    "knowledge.verify",
    "knowledge.status",
    "knowledge.search",
    "knowledge.read_chunk",
    "knowledge.prove",
    "knowledge.plan",
    "sys.info.os",
    "sys.noop",
    "sys.sleep",
    "sys.fail",
}


def stream(text: str, *, is_cut: bool = False) -> dict[str, Json]:
    return {"text": text, "bytes": 123_456 if is_cut else len(text), "is_cut": is_cut, "log": None}


def ran(code: int | None, **more: Json) -> dict[str, Json]:
    run: dict[str, Json] = {
        "exit_code": code,
        "signal": None,
        "stdout": stream(""),
        "stderr": stream(""),
        "used": {},
    }
    return run | more


def answered(status: int, **more: Json) -> dict[str, Json]:
    return {"url": "https://api.example.org/", "status": status, "headers": {}, "redirects": [], **more}


def written(**more: Json) -> dict[str, Json]:
    file: dict[str, Json] = {"path": "a.txt", "size": 14, "sha256": SHA, "created": True, "changed": True}
    return file | more


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (ran(0, stdout=stream("a\nb\nc\n")), "exit 0, 3 lines"),
        (ran(2, stderr=stream("no rule\n")), "exit 2, 1 line of errors"),
        (ran(None, signal=9, stdout=stream("x", is_cut=True)), "ended by signal 9, 121 KiB"),
        (ran(0, changes=[], count=2, ignored=0), "exit 0, 2 paths changed"),
        (answered(200, body={}, body_type="json", size=1234), "200 OK, 1.21 KiB of JSON"),
        (answered(200, body="a", body_type="text", size=1), "200 OK, 1 byte of text"),
        (answered(206, body="", body_type="base64", size=999), "206 Partial Content, 999 bytes"),
        (answered(204, body=None, body_type="none", size=0), "204 No Content"),
        (answered(299), "299"),
        (
            {"run_id": RUN, "workflow": "w", "status": "failed", "steps": [{}], "outputs": {}},
            f"failed as {RUN}, 1 step",
        ),
        (written(), "wrote 14 bytes to a.txt"),
        (written(changed=False), "a.txt is as it was, 14 bytes"),
        (written(url="https://x.example.org/"), "fetched 14 bytes to a.txt"),
        (
            {"path": "a", "content": "x\ny\n", "encoding": "utf-8", "size": 4, "sha256": SHA},
            "2 lines, 4 bytes",
        ),
        ({"path": "a", "algorithm": "sha256", "sha256": SHA, "size": 4}, "sha256 4a1e67f2fe1d…, 4 bytes"),
        ({"path": "a", "entries": [1, 2], "truncated": True}, "2 entries, and more"),
        ({"path": "a", "exists": True, "kind": "file"}, "a is a file"),
        ({"path": "a", "exists": False, "kind": None}, "no a"),
        ({"path": "a", "created": True, "created_dirs": []}, "made a"),
        ({"path": "a", "created": False, "created_dirs": []}, "a was there"),
        ({"path": "a", "entries": 3, "size": 1500}, "deleted a: 3 entries, 1.46 KiB"),
        ({"source": "a", "destination": "b", "replaced": False}, "a -> b"),
        ({"hits": [1], "files": 4, "skipped": {}, "truncated": False}, "1 line found in 4 files"),
        (
            {
                "files": [
                    {"change": "modified", "added_lines": 2, "removed_lines": 1},
                    {"change": "deleted", "added_lines": 0, "removed_lines": 3},
                ],
                "created_dirs": [],
            },
            "2 files, +2 -4, 1 deleted",
        ),
        (
            {"commit": "f" * 40, "branch": "main", "files_changed": 1, "insertions": 2, "deletions": 0},
            "ffffffffffff on main: 1 file, +2 -0",
        ),
        ({"name": "v1", "id": "f" * 40, "commit": "f" * 40, "annotated": True}, "v1 at ffffffffffff"),
        ({"action": "create", "name": "x", "commit": "f" * 40}, "create x at ffffffffffff"),
        ({"branch": None, "head": None, "counts": {"staged": 0, "ignored": 9}}, "on no branch: clean"),
        (
            {"branch": "main", "head": None, "counts": {"staged": 1, "untracked": 2}},
            "on main: 1 staged, 2 untracked",
        ),
        (
            {"path": "a.zip", "format": "zip", "entries": 2, "bytes_in": 9, "size": 99},
            "packed 2 entries into a.zip, 99 bytes",
        ),
        (
            {"path": "x", "format": "zip", "files": 1, "folders": 0, "size": 9},
            "unpacked 1 file into x, 9 bytes",
        ),
        ({"model": None, "generation": 1}, "there is no model: what is asked is found by words alone"),
        ({"valid": True, "faults": []}, "valid"),
        ({"valid": False, "faults": [{"message": "`a` is missing"}]}, "1 fault: `a` is missing"),
        ({"columns": ["a"], "rows": [{}, {}]}, "2 rows of 1 column"),
        ({"matches": [{}], "truncated": False}, "1 match"),
        ({"text": "abcz", "count": 1}, "1 replaced: abcz"),
        ({"value": {"a": 1}, "text": "a: 1\n"}, "a: 1"),
        ({"id": "msg_0", "endpoint": "ops", "type": "a.b", "queued_at": ""}, "queued for ops: msg_0"),
        ({"unix_ms": 0, "iso": "1970-01-01T00:00:00+00:00", "zone": "UTC"}, "1970-01-01T00:00:00+00:00 UTC"),
        ({"value": {"a": 1, "b": 2, "c": 3}}, "3 fields"),
        ({"result": ["a", None]}, "a, -"),
        ({"result": [[]]}, "1 entry"),
        (
            {
                "repository": "a",
                "generation": 2,
                "root": "r",
                "files": 7,
                "chunks": 8,
                "changed": 0,
                "resumed": 6,
            },
            "a: 7 files in 8 chunks, 0 indexed now and 6 before it was cut off",
        ),
        ({"result": None}, "nothing"),
        ({"text": "one\ntwo\n"}, "2 lines: one"),
        (
            {"pages": 2, "title": "x" * 40, "tags": ["a", "b", "c"]},
            f"pages 2, title {'x' * 31}…, tags 3 entries",
        ),
        (dict.fromkeys("abcdefgh", 1), "a 1, b 1, c 1, d 1, e 1, f 1, …"),
        ({"note": "one\ntwo"}, "note 2 lines"),
        ([1, 2, 3], "3 entries"),
        ("done", "done"),
        (True, "true"),
        ({}, ""),
        (None, ""),
    ],
)
def test_an_output_is_told_in_words_of_its_kind(output: Json, words: str) -> None:
    assert output_text(output) == words


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda part: st.lists(part) | st.dictionaries(st.text(), part),
    max_leaves=6,
)


@given(st.sampled_from(KINDS), st.data())
def test_no_output_whatever_its_fields_hold_keeps_a_run_from_being_shown(
    needed: frozenset[str], data: st.DataObject
) -> None:
    assert isinstance(output_text({name: data.draw(JSON) for name in sorted(needed)}), str)
    assert isinstance(output_text(data.draw(JSON)), str)


def test_whatever_a_built_in_capability_answers_has_words_of_its_own() -> None:
    for spec, _ in builtin_catalog():
        properties = spec.returns.get("properties")
        fields = set(properties) if isinstance(properties, Mapping) else set()
        known = any(needed <= fields for needed in KINDS) or (len(fields) == 1 and fields <= _ALONE)
        assert known != (spec.id in TOLD_BY_FIELD), f"{spec.id}: {sorted(fields)}"


def test_long_outputs_are_cut_and_the_command_that_shows_them_is_told(
    terminal: Terminal, runtime: ScriptedRuntime
) -> None:
    runtime.answers["call"] = run_object(outputs={"body": "x" * 9000})
    answer = terminal("call", "sys.noop")
    assert len(answer.out) < 5000
    assert f"all of the outputs: assent show {RUN} --json" in answer.err
    assert len(terminal("call", "sys.noop", "--json").out) > 9000


def test_the_whole_output_of_a_step_is_one_command_away(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    output: Json = {"rows": [{"a": 1}]}
    runtime.shown = [run_object(events=[], steps=[{"name": "read", "status": "succeeded", "output": output}])]
    answer = terminal("show", RUN, "--output", "read")
    assert (answer.code, answer.out) == (0, json.dumps(output, indent=2) + "\n")
    assert terminal("show", RUN, "--output", "read", "--json").object == output
