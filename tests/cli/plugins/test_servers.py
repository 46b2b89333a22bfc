"""From naming an MCP server of somebody else to trusting and forgetting it, on the command line."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Any

import pytest

from assent.cli.plugins._trust import _repeated
from assent.errors import Json
from tests.support.door import Terminal
from tests.support.gateway import UPSTREAM


def test_a_server_is_named_looked_at_trusted_and_forgotten(terminal: Terminal, folder: Path) -> None:
    assert terminal("mcp", "list", "--json").json == []
    words = (
        "--read-only",
        str(UPSTREAM),
        "--env",
        "TOKEN=x",
        "--",
        sys.executable,
        "-ISE",
        str(UPSTREAM),
        "rug",
    )
    named = terminal("mcp", "add", "notes", *words)
    assert named.code == 0
    assert "assent mcp trust notes" in named.err
    assert terminal("mcp", "add", "notes", "--", "x").code == 2
    found: Any = terminal("mcp", "list", "--json").json
    (listed,) = found
    assert (listed["name"], listed["status"], listed["capabilities"]) == ("notes", "untrusted", [])

    shown = terminal("mcp", "inspect", "notes")
    assert "mcp.notes.add_note" in shown.out
    assert "title  string  required" in shown.out  # what a model reads of a tool, a person is shown
    assert "CRITICAL" in shown.out
    refusal = terminal("mcp", "trust", "notes", "--yes", "--json")
    assert (refusal.code, refusal.error["code"]) == (3, "MCP_UNTRUSTED")
    details: Any = refusal.error["details"]
    digest = str(details["digest"])
    assert (
        terminal("mcp", "trust", "notes", "--digest", "0" * 64, "--json").error["code"] == "MCP_TOOL_CHANGED"
    )
    assert terminal("mcp", "trust", "notes", "--digest", digest).code == 0
    assert "is trusted already" in terminal("mcp", "trust", "notes").out
    assert "trusted" in terminal("mcp", "list").out
    assert "5 tools" in terminal("mcp", "list").out
    spec: Any = terminal("capability", "show", "mcp.notes.add_note", "--json").object
    assert spec["risk"]["level"] == "CRITICAL"

    assert "printed nothing" in terminal("mcp", "log", "notes").err
    assert terminal("mcp", "log", "notes", "--json").json == {"name": "notes", "printed": ""}
    assert terminal("mcp", "remove", "notes").code == 0
    assert terminal("mcp", "list", "--json").json == []
    assert (folder / "assent-mcp.lock").read_text().count("notes") == 0
    assert terminal("mcp", "trust", "notes", "--json").error["code"] == "MCP_SERVER_UNKNOWN"


def test_a_word_that_is_no_command_of_it_starts_no_server(terminal: Terminal) -> None:
    answer = terminal("mcp", "lst")
    assert answer.code == 2
    assert "did you mean `list`?" in answer.err
    assert terminal("mcp", "add", "notes", "--env", "TOKEN", "--", "x").code == 2
    assert "assent mcp add notes -- COMMAND, or with `--url URL`" in terminal("mcp", "add", "notes").err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--", sys.executable, str(UPSTREAM)), f"its program sees no `{UPSTREAM}`: "),
        (("--", "no-such-program"), "there is no program `no-such-program`: "),
        (("--", "program-of-mine"), "inside the sandbox `PATH` is `/usr/local/bin:/usr/bin:/bin`: "),
        (
            ("--url", "http://127.0.0.1:9/mcp"),
            "if it is meant to be there, name its network under `private` ",
        ),
    ],
)
def test_a_server_that_gives_no_answer_is_told_with_what_to_do(
    terminal: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], hint: str
) -> None:
    """Most servers of people are in their home folder, where no program looks."""
    mine = folder / "bin" / "program-of-mine"
    mine.parent.mkdir()
    mine.symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{mine.parent}:/usr/bin:/bin")
    assert terminal("mcp", "add", "notes", *words).code == 0
    error = terminal("mcp", "inspect", "notes", "--json").error
    assert error["code"] == "MCP_SERVER_UNREACHABLE"
    assert str(error["hint"]).startswith(hint)


def test_what_a_program_needs_is_where_it_was_installed_and_never_a_whole_home(
    terminal: Terminal, folder: Path
) -> None:
    """By its place alone `~/bin/server` was taken for what the home was installed for."""
    home = folder.parent / "home"
    tool = home / ".local/share/tools/notes"
    for program in (home / "bin/alone", tool / "bin/notes"):
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\nexit 1\n")
        program.chmod(0o700)
    (tool / "pyvenv.cfg").touch()
    link = home / ".local/bin/notes"
    link.parent.mkdir()
    link.symlink_to(tool / "bin/notes")
    for name, program, needs in (
        ("a", home / "bin/alone", "nothing beside itself"),
        ("b", link, f"no `{tool}`"),
    ):
        assert terminal("mcp", "add", name, "--", str(program)).code == 0
        hint = str(terminal("mcp", "inspect", name, "--json").error["hint"])
        assert hint.startswith(f"its program sees {needs}: "), hint


def test_the_worst_of_the_warnings_is_told_at_the_question() -> None:
    """The list of them is above all tools, out of sight."""
    told: list[dict[str, Json]] = [
        {"code": code, "message": f"of {code}"} for code in ("MCP_TOOL_LONG", "MCP_TOOL_INSTRUCTS")
    ]
    assert _repeated([]) == []
    assert _repeated(told[:1]) == ["\na warning (all are above): MCP_TOOL_LONG  of MCP_TOOL_LONG"]
    (line,) = _repeated(told)
    assert line == "\n2 warnings, the worst (all are above): MCP_TOOL_INSTRUCTS  of MCP_TOOL_INSTRUCTS"


def test_a_word_on_a_tool_that_there_is_not_is_told(terminal: Terminal, folder: Path) -> None:
    """Where it says which argument is a secret, none would be."""
    words = ("--read-only", str(UPSTREAM), "--", sys.executable, "-ISE", str(UPSTREAM), "plain")
    assert terminal("mcp", "add", "notes", *words).code == 0
    digest = str(terminal("mcp", "inspect", "notes", "--json").object["digest"])
    assert terminal("mcp", "trust", "notes", "--digest", digest).code == 0
    with (folder / "assent.toml").open("a") as file:
        file.write('\n[mcp.servers.notes.tools.add_notes]\nsecret = ["title"]\n')
    listed: Any = terminal("mcp", "list", "--json").json
    fault = listed[0]["faults"]["notes.add_notes"]
    assert (fault["code"], fault["hint"]) == ("MCP_TOOL_INVALID", "did you mean `add_note`?")


def test_a_server_that_is_not_named_is_guessed_at(terminal: Terminal) -> None:
    assert terminal("mcp", "add", "notes", "--", "x").code == 0
    for words in (("inspect", "note"), ("--only", "note")):
        answer = terminal("mcp", *words)
        assert (answer.code, "did you mean `notes`?" in answer.err) == (2, True)


@pytest.mark.parametrize("said", ["", "policy = 'p.yaml'\n", "# mine\n\n[limits]\ngrace = '5s'\n"])
def test_a_file_is_as_it_was_when_its_servers_are_gone(terminal: Terminal, folder: Path, said: str) -> None:
    """Its mode too: others may not read it only because a server was named."""
    (folder / "p.yaml").write_text("version: 1\nrules: []\n")
    file = folder / "assent.toml"
    file.write_text(said)
    file.chmod(0o600)
    for name in ("one", "two"):
        assert terminal("mcp", "add", name, "--", "x").code == 0
    for name in ("one", "two"):
        assert terminal("mcp", "remove", name).code == 0
    assert (file.read_text(), file.stat().st_mode & 0o777) == (said, 0o600)


def test_a_full_disk_leaves_the_file_and_nothing_beside_it(
    terminal: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    assert terminal("mcp", "add", "one", "--", "x").code == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    monkeypatch.setattr("os.fsync", full)
    assert terminal("mcp", "add", "two", "--json", "--", "x").error["code"] == "WORKSPACE_UNUSABLE"
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_who_misses_a_tool_is_told_that_its_server_is_not_trusted(terminal: Terminal) -> None:
    assert terminal("mcp", "add", "notes", "--", "x").code == 0
    answer = terminal("call", "mcp.notes.add_note")
    assert (answer.code, "nobody has trusted MCP server `notes`" in answer.err) == (2, True)
    assert "assent mcp trust notes" in answer.err
    assert "MCP server" not in terminal("call", "mcp.other.add_note").err
