"""`assent.mcp.*`: what is seen is what the lock says of which server."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from assent.errors import Json
from assent.plugins.upstream import Pinned, Server, load_pins, save_pins
from tests.conformance.case import Case, Cell, Escape, Stage
from tests.support.gateway import UPSTREAM
from tests.support.mcp_upstream import Upstream

_COMMAND = (sys.executable, "-ISE", str(UPSTREAM), "plain")
_SERVER = f'[mcp.servers.notes]\ncommand = {json.dumps(_COMMAND)}\nread_only = ["{UPSTREAM}"]\n'
_AT_ONCE = "it keeps one small file"


def _entry() -> Pinned:
    tools = {one["name"]: one for one in Upstream().tools()}
    return Pinned.of(Server(name="notes", command=_COMMAND), tools, "user:ann")


def _lock(stage: Stage) -> Path:
    return stage.workspace / "assent-mcp.lock"


def _looked_at(stage: Stage) -> Mapping[str, Json]:
    del stage
    return {"name": "notes", "digest": _entry().digest}


def trusted(stage: Stage) -> object:
    """Every server that is trusted, as what."""
    return {name: one.digest for name, one in load_pins(_lock(stage)).items()}


def named(stage: Stage) -> None:
    """A server that somebody looked at."""
    stage.shown[_entry().digest] = "ab" * 32  # it depends on where Python is


def there(stage: Stage) -> None:
    """A server that is trusted."""
    save_pins(_lock(stage), {"notes": _entry()})


CASES = (
    Case(
        "assent.mcp.trust",
        inputs=_looked_at,
        settings=_SERVER,
        arrange=named,
        observe=trusted,
        bad=[{"name": "../notes", "digest": "ab" * 32}, {"name": "notes", "digest": "ab"}],
        escapes=[
            Escape({"name": "notes", "digest": "cd" * 32}, "MCP_TOOL_CHANGED"),
            Escape({"name": "others", "digest": "cd" * 32}, "MCP_SERVER_UNKNOWN"),
        ],
        without={Cell.TIMEOUT: "a server that does not answer is given up on after 30 seconds"},
    ),
    Case(
        "assent.mcp.untrust",
        inputs={"name": "notes"},
        settings=_SERVER,
        arrange=there,
        observe=trusted,
        bad=[{"name": "../notes"}],
        without={Cell.TIMEOUT: _AT_ONCE, Cell.CONFINEMENT: "it takes an entry out of the one lock there is"},
    ),
)
