"""A hint at a door can be followed there: no command of a line that whoever reads it does not have."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import assent
from assent.errors import InputError
from assent.runtime.service.requests import operation_of
from assent.runtime.service.routes import ROUTES
from assent.server._problems import problem
from assent.server.pipe._messages import failure

SOURCES = [path for path in Path(assent.__file__).parent.rglob("*.py") if path.parts[-2] != "cli"]
COMMANDS = sorted(
    {
        command.replace("{", "").replace("}", "")
        for path in SOURCES
        for hint in re.findall(r'hint=f?"([^"\n]*)"', path.read_text())
        for command in re.findall(r"`assent [^`]*`", hint)
    }
)
"""Every command that a hint names."""


def told(hint: str) -> tuple[str, str]:
    """The hint as HTTP and the pipe tell it."""
    error = InputError("RUN_UNKNOWN", "there is no such run", hint=hint)
    over_http = json.loads(problem(error, "/v1/runs/x")[1])["error"]["hint"]
    return over_http, json.loads(failure(1, error))["error"]["data"]["hint"]


def test_hints_are_found() -> None:
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_told_as_what_can_be_asked_there(command: str) -> None:
    """One that is no operation says where it is to be typed."""
    for hint in told(f"look with {command}, then ask again"):
        (said,) = re.findall(r"`[^`]*`(?: on the daemon's machine)?", hint)
        if said.endswith("machine"):
            assert said.startswith(command)
            continue
        method, _, path = said.strip("`").partition(" ")
        is_route = any(
            one.method == method and re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", one.path), path)
            for one in ROUTES
        )
        assert is_route or method in {operation_of(one.kind) for one in ROUTES}, hint


SAID = {
    "list what there is with `assent runs`": ("`GET /v1/runs`", "`runs`"),
    "look what it needs: `assent show run_1`": ("`GET /v1/runs/run_1`", "`show`"),
    "add `--x`, or `assent schedule remove nightly`": ("`DELETE /v1/schedules/nightly`", "`remove_schedule`"),
    "run `assent audit log` and look": ("`GET /v1/audit/log`", "`audit_log`"),
    "type `assent init`": ("`assent init` on the daemon's machine",) * 2,
}


@pytest.mark.parametrize("hint", SAID)
def test_a_hint_names_the_thing_that_it_is_about(hint: str) -> None:
    for said, wanted in zip(told(hint), SAID[hint], strict=True):
        assert wanted in said
