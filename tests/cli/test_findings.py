"""`assent findings`: a file is known by its tool, or told as it was seen, and nothing else is touched."""

from __future__ import annotations

import pytest

from tests.support.door import ScriptedRuntime, Terminal
from tests.support.scanned import GOLDEN


def test_a_file_is_known_by_its_tool(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    file = str(GOLDEN / "nuclei-3.10.jsonl")
    answer = terminal("findings", "detect", file, "--json")
    assert answer.code == 0
    said = answer.object
    assert (said["tool"], said["form"], said["format"], said["becomes"]) == (
        "nuclei",
        "nuclei",
        "json",
        ["finding"],
    )
    assert (said["version"], said["record"]) == ("3+", "a result: a template that was tried at a place")
    text = terminal("findings", "detect", file).out
    assert text.startswith(f"nuclei {said['version']}\n  Nuclei: ")
    assert "becomes a finding\n  tried with 2.5.2" in text
    assert runtime.requests == []


def test_a_form_that_nobody_saw_is_told_as_untried_and_escapes_are_no_escapes(terminal: Terminal) -> None:
    terminal.write("sites.json", '{"@version": "2.\\u001b[31m", "site": []}')
    answer = terminal("findings", "detect", "sites.json")
    assert answer.code == 0
    assert "untried: made from documentation alone" in answer.out
    assert "\x1b" not in answer.out
    assert terminal("findings", "detect", "sites.json", "--json").object["form"] == "zap-json"


@pytest.mark.parametrize(
    ("name", "content", "code", "told"),
    [
        ("none.json", None, "FILE_MISSING", "there is no file"),
        (".", None, "FILE_UNREADABLE", "is a directory"),
        ("empty", "", "TOOL_UNKNOWN", "it is empty"),
        ("other.json", '{"hello": 1}', "TOOL_UNKNOWN", "JSON with `hello`"),
    ],
)
def test_what_no_tool_wrote_is_one_error(
    terminal: Terminal, name: str, content: str | None, code: str, told: str
) -> None:
    if content is not None:
        terminal.write(name, content)
    answer = terminal("findings", "detect", name, "--json")
    assert (answer.code, answer.error["code"]) == (2, code)
    assert told in str(answer.error["message"])
