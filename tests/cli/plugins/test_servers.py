"""From naming an MCP server of somebody else to trusting and forgetting it, on the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

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
