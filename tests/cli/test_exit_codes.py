"""Exit codes are an interface: what the JSON says and what the shell sees are one statement."""

from __future__ import annotations

import errno
import itertools
import subprocess
import sys
from typing import Any

import click
import pytest

from assent.cli._command import Group
from assent.cli._exit import MEANINGS
from assent.cli._root import build
from assent.errors import AssentError, InputError, InternalError, Json, RefusedError, WorldError
from tests.support.door import RUN, ScriptedRuntime, Terminal, failing, run_object

WORKFLOW = "name: release\nsteps:\n  - name: a\n    capability: sys.noop\n"

DRIVING = {
    "run": ("run", "w.yaml"),
    "call": ("call", "sys.noop"),
    "resume": ("resume", RUN),
    "approve": ("approve", RUN, "publish", "--digest", "d"),
}
SETTLING = {
    "reject": ("reject", RUN, "publish", "--reason", "no"),
    "cancel": ("cancel", RUN),
    "undo": ("undo", RUN),
    "resolve": ("resolve", RUN, "publish", "--happened"),
}


def error(code: str) -> Json:
    return {"code": code, "message": "x", "path": "a", "hint": None, "details": {}}


# Written from the design, apart from the code: status and the error's code on the left, the exit code on the right.
BY_STATUS: list[tuple[str, str | None, int]] = [
    ("succeeded", None, 0),
    ("failed", "STEP_FAILED", 1),
    ("rolled_back", "STEP_FAILED", 1),
    ("cancelled", "RUN_CANCELLED", 1),
    ("failed", "POLICY_DENIED", 3),
    ("rolled_back", "POLICY_DENIED", 3),
    ("rolled_back", "POLICY_ERROR", 3),
    ("rolled_back", "APPROVAL_REJECTED", 3),
    ("waiting", None, 4),
    ("needs_attention", "COMPENSATION_CONFLICT", 5),
    ("needs_attention", "POLICY_DENIED", 5),
]


@pytest.mark.parametrize("operation", DRIVING)
@pytest.mark.parametrize(("status", "code", "expected"), BY_STATUS)
def test_a_driving_command_exits_by_the_run_it_prints(
    terminal: Terminal,
    runtime: ScriptedRuntime,
    operation: str,
    status: str,
    *,
    code: str | None,
    expected: int,
) -> None:
    terminal.write("w.yaml", WORKFLOW)
    run = run_object(status, error=error(code) if code else None)
    runtime.answers[operation] = {"results": [run]} if operation == "resume" else run
    answer = terminal(*DRIVING[operation], "--json")
    assert answer.code == expected
    assert answer.object["status"] == status
    assert answer.object["run_id"] == RUN


@pytest.mark.parametrize("operation", DRIVING)
@pytest.mark.parametrize(("status", "code", "expected"), BY_STATUS)
def test_without_json_the_code_is_the_same(
    terminal: Terminal,
    runtime: ScriptedRuntime,
    operation: str,
    status: str,
    *,
    code: str | None,
    expected: int,
) -> None:
    terminal.write("w.yaml", WORKFLOW)
    run = run_object(status, error=error(code) if code else None)
    runtime.answers[operation] = {"results": [run]} if operation == "resume" else run
    answer = terminal(*DRIVING[operation])
    assert answer.code == expected
    assert status.replace("_", " ") in answer.out


@pytest.mark.parametrize(
    ("operation", "status", "expected"),
    [
        ("reject", "rolled_back", 0),
        ("reject", "failed", 0),
        ("reject", "succeeded", 0),
        ("reject", "waiting", 4),
        ("reject", "needs_attention", 5),
        ("cancel", "cancelled", 0),
        ("cancel", "running", 0),
        ("cancel", "rolled_back", 0),
        ("cancel", "failed", 0),
        ("cancel", "undone", 0),
        ("cancel", "waiting", 4),
        ("cancel", "needs_attention", 5),
        ("cancel", "succeeded", 5),
        ("undo", "undone", 0),
        ("undo", "waiting", 4),
        ("undo", "needs_attention", 5),
        ("undo", "succeeded", 5),
        ("resolve", "succeeded", 0),
        ("resolve", "rolled_back", 0),
        ("resolve", "failed", 0),
        ("resolve", "waiting", 4),
        ("resolve", "needs_attention", 5),
    ],
)
def test_a_settling_command_exits_by_whether_it_did_what_was_asked(
    terminal: Terminal, runtime: ScriptedRuntime, operation: str, status: str, *, expected: int
) -> None:
    runtime.answers[operation] = run_object(status)
    answer = terminal(*SETTLING[operation], "--json")
    assert (answer.code, answer.object["status"]) == (expected, status)


def test_several_runs_exit_with_the_highest_that_applies(
    terminal: Terminal, runtime: ScriptedRuntime
) -> None:
    runs = [
        run_object("succeeded"),
        run_object("needs_attention"),
        run_object("failed", error=error("POLICY_DENIED")),
    ]
    runtime.answers["resume"] = {"results": [*runs]}
    answer = terminal("resume", "--json")
    assert answer.code == 5
    assert isinstance(answer.json, list)
    assert [run["status"] for run in answer.json if isinstance(run, dict)] == [
        "succeeded",
        "needs_attention",
        "failed",
    ]


def test_nothing_to_resume_is_an_empty_list(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    runtime.answers["resume"] = {"results": []}
    answer = terminal("resume", "--json")
    assert (answer.code, answer.json) == (0, [])


ERRORS: list[tuple[BaseException, int, str]] = [
    (AssentError("STATE_OWNED", "x"), 75, "STATE_OWNED"),
    (InputError("RUN_UNKNOWN", "x"), 2, "RUN_UNKNOWN"),
    (RefusedError("APPROVER_REFUSED", "x"), 3, "APPROVER_REFUSED"),
    (RefusedError("IDENTITY_REFUSED", "x"), 3, "IDENTITY_REFUSED"),
    (WorldError("DISK_FULL", "x"), 1, "DISK_FULL"),
    (WorldError("RECORD_CORRUPT", "x"), 6, "RECORD_CORRUPT"),
    (InternalError("ILLEGAL_TRANSITION", "x"), 70, "ILLEGAL_TRANSITION"),
    (ZeroDivisionError("secret"), 70, "INTERNAL_ERROR"),
    (OSError(errno.EMFILE, "secret"), 1, "MACHINE_EXHAUSTED"),
    (OSError(errno.ENFILE, "secret"), 1, "MACHINE_EXHAUSTED"),
    (OSError(errno.ENOMEM, "secret"), 1, "MACHINE_EXHAUSTED"),
    (MemoryError("secret"), 1, "MACHINE_EXHAUSTED"),
]


@pytest.mark.parametrize(("raised", "code", "name"), ERRORS, ids=[name for _, _, name in ERRORS])
@pytest.mark.parametrize("operation", [*DRIVING, *SETTLING])
def test_an_error_has_one_shape_and_one_code_in_every_command(
    terminal: Terminal, operation: str, raised: BaseException, *, code: int, name: str
) -> None:
    terminal.write("w.yaml", WORKFLOW)
    terminal.runtime = failing(raised)
    words = {**DRIVING, **SETTLING}[operation]
    answer = terminal(*words, "--json")
    assert (answer.code, answer.error["code"]) == (code, name)
    assert "secret" not in answer.out + answer.err
    plain = terminal(*words)
    assert plain.code == code
    assert plain.out == ""
    assert f"[{name}]" in plain.err
    assert "secret" not in plain.err
    assert "Traceback" not in plain.err


@pytest.mark.parametrize("name", ["UNDO_IMPOSSIBLE", "UNDO_ERASED", "COMPENSATION_CONFLICT", "POLICY_DENIED"])
def test_an_undo_that_was_not_begun_needs_a_person(terminal: Terminal, name: str) -> None:
    terminal.runtime = failing(RefusedError(name, "x"))
    assert terminal("undo", RUN, "--json").code == 5


@pytest.mark.parametrize(("name", "code"), [("UNDO_IMPOSSIBLE", 5), ("POLICY_DENIED", 3)])
def test_an_undo_that_was_allowed_and_not_begun_needs_a_person(
    terminal: Terminal, name: str, code: int
) -> None:
    terminal.runtime = failing(RefusedError(name, "x"))
    assert terminal("approve", RUN, "--json").code == code


def test_a_fault_of_ours_is_logged_with_its_id_and_nothing_else_leaks(terminal: Terminal) -> None:
    terminal.runtime = failing(ZeroDivisionError("a detail for us"))
    (terminal.folder / ".assent").mkdir(mode=0o700)
    details = terminal("cancel", RUN, "--json").error["details"]
    assert isinstance(details, dict)
    log = terminal.folder / ".assent" / "logs" / f"internal-{details['id']}.log"
    assert details["log"] == str(log)
    assert "a detail for us" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_ctrl_c_says_how_to_go_on(terminal: Terminal) -> None:
    stopped = KeyboardInterrupt()
    stopped.run_id = RUN  # type: ignore[attr-defined]  # the façade puts it there
    terminal.runtime = failing(stopped)
    answer = terminal("call", "sys.noop")
    assert answer.code == 130
    assert f"assent resume {RUN}" in answer.err
    assert answer.out == ""


def planned(*steps: tuple[str, str, bool, bool]) -> dict[str, Json]:
    return {
        "plan_id": "plan_1",
        "workflow": "release",
        "steps": [
            {
                "name": f"s{i}",
                "capability": "io.fs.write_file",
                "operation_type": operation,
                "risk_level": "MEDIUM",
                "decision": decision,
                "rule": "r",
                "approvers": None,
                "undo": "automatic",
                "preview": {"kind": "unified", "diff": ""},
                "changes": changes,
                "known": known,
            }
            for i, (operation, decision, changes, known) in enumerate(steps)
        ],
        "summary": {},
    }


READ = ("READ", "ALLOW", False, True)
SAME = ("WRITE", "ALLOW", False, True)
CHANGE = ("WRITE", "ALLOW", True, True)
ASKS = ("DELETE", "REQUIRE_APPROVAL", True, True)
DENIED = ("DELETE", "DENY", True, True)
UNKNOWN = ("WRITE", "UNKNOWN", True, False)
LATER = ("WRITE", "ALLOW", True, False)
BY_STEP = {READ: 0, SAME: 0, CHANGE: 10, ASKS: 11, UNKNOWN: 11, LATER: 11, DENIED: 3}
RANK = {3: 3, 11: 2, 10: 1, 0: 0}


@pytest.mark.parametrize("steps", [*itertools.permutations(BY_STEP, 2), (), (READ,)])
def test_plan_exits_by_the_gravest_step_and_only_on_request(
    terminal: Terminal, runtime: ScriptedRuntime, steps: tuple[tuple[str, str, bool, bool], ...]
) -> None:
    """Denied > needs approval or can't be known > changes > nothing to do."""
    terminal.write("w.yaml", WORKFLOW)
    runtime.planned = planned(*steps)
    expected = max((BY_STEP[step] for step in steps), key=lambda code: RANK[code], default=0)
    assert terminal("plan", "w.yaml", "--json", "--exit-code").code == expected
    assert terminal("plan", "w.yaml", "--json").code == 0
    assert terminal("plan", "w.yaml").code == 0
    # What is known to fail comes right behind a denial.
    failing: Any = planned(*steps)
    for step in failing["steps"][:1]:
        step["error"] = {"code": "EGRESS_DENIED", "message": "no", "path": None, "hint": None, "details": {}}
        runtime.planned = failing
        assert terminal("plan", "w.yaml", "--json", "--exit-code").code == (3 if DENIED in steps else 1)


@pytest.mark.parametrize("status", ["failed", "needs_attention", "waiting", "interrupted", "succeeded"])
def test_reading_commands_give_zero_whatever_they_show(
    terminal: Terminal, runtime: ScriptedRuntime, status: str
) -> None:
    runtime.shown = [run_object(status)]
    runtime.known_runs = [{"run_id": RUN, "workflow": None, "status": status, "started_at": 0}]
    runtime.lines = [
        {"seq": 0, "at_ms": 0, "run_id": None, "kind": "ledger.created", "event": {"kind": "ledger.created"}}
    ]
    for words in (("show", RUN), ("runs",), ("approvals",), ("audit", "log")):
        assert terminal(*words).code == 0
        assert terminal(*words, "--json").code == 0


def test_verification_that_fails_gives_six(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    fault: Json = {"code": "ENTRY_CHANGED", "message": "entry 2 was changed", "seq": 2, "last": 2}
    runtime.report = {"ok": False, "size": 2, "root": "AAAA", "first_bad": fault, "faults": [fault]}
    answer = terminal("audit", "verify", "--json")
    assert (answer.code, answer.object["ok"]) == (6, False)
    plain = terminal("audit", "verify")
    assert plain.code == 6
    assert "entry 2" in plain.out
    assert terminal("audit", "verify", "--export", "x").code == 6
    terminal.write("p", "bad")
    assert terminal("audit", "verify-proof", "p", "--key", "k+0+0", "--json").code == 6


def test_verification_that_succeeds_gives_zero(terminal: Terminal) -> None:
    terminal.write("p", "good")
    assert terminal("audit", "verify", "--json").code == 0
    assert terminal("audit", "verify-proof", "p", "--key", "k+0+0").code == 0


def leaves(group: Group, *path: str) -> list[tuple[str, ...]]:
    """The path of every command, groups opened."""
    context = click.Context(group)
    found: list[tuple[str, ...]] = []
    for name in group.list_commands(context):
        if name == "demo":
            continue  # It is a play of the other commands and has its own tests.
        below = group.get_command(context, name)
        found += leaves(below, *path, name) if isinstance(below, Group) else [(*path, name)]
    return found


COMMANDS = leaves(build())


def test_there_are_commands() -> None:
    assert {("run",), ("audit", "verify"), ("policy", "explain"), ("capability", "show")} <= set(COMMANDS)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_wrong_option_is_an_error_object_with_code_two_in_every_command(
    terminal: Terminal, words: tuple[str, ...]
) -> None:
    answer = terminal(*words, "--no-such-option", "--json")
    assert answer.code == 2
    assert answer.error["code"] == "USAGE_INVALID"
    assert terminal(*words, "--no-such-option").err.startswith("error: ")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_takes_the_shared_flags(terminal: Terminal, words: tuple[str, ...]) -> None:
    answer = terminal(*words, "--help")
    assert answer.code == 0
    for flag in ("--json", "--workspace DIR", "--state DIR", "--as PRINCIPAL", "--yes", "--color"):
        assert flag in answer.out


def test_every_code_is_explained_in_the_help_topic(terminal: Terminal) -> None:
    answer = terminal("help", "exit-codes", "--json")
    assert isinstance(answer.json, list)
    assert [row["code"] for row in answer.json if isinstance(row, dict)] == sorted(MEANINGS)
    assert set(MEANINGS) == {0, 1, 2, 3, 4, 5, 6, 10, 11, 70, 75, 130}


def test_ctrl_c_while_the_command_still_loads_is_an_interruption_and_no_traceback() -> None:
    """Importing takes the first tenth of a second, in which nobody would look for a traceback."""
    program = (
        "import builtins\n"
        "load = builtins.__import__\n"
        "def loads(name, *rest):\n"
        "    if name == 'click':\n"
        "        raise KeyboardInterrupt\n"
        "    return load(name, *rest)\n"
        "builtins.__import__ = loads\n"
        "from assent.cli import entry\n"
        "entry()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"", b"")
