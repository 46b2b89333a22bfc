"""stdout is the answer and nothing else; stderr tells how to go on; lists are lists, also when they are empty."""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import chdir, suppress
from typing import Any

import pytest

from assent.cli._completion import SHELLS
from assent.cli._door import Door
from assent.cli.runs._prompt import Answer
from assent.errors import Json, WorldError
from assent.errors.explanations import explanations
from assent.spec.words.durations import instant
from tests.support.door import RUN, ScriptedRuntime, Terminal, approval_object, run_object


@pytest.mark.parametrize("words", [("runs",), ("approvals",)])
def test_an_empty_list_is_a_list(terminal: Terminal, words: tuple[str, ...]) -> None:
    assert terminal(*words, "--json").json == []
    plain = terminal(*words)
    assert plain.out == ""
    assert plain.err


def test_what_waits_is_listed_with_what_nothing_takes_back(
    terminal: Terminal, runtime: ScriptedRuntime
) -> None:
    for undo, is_told in (("none", True), ("automatic", False)):
        runtime.waiting = [approval_object(preview={"undo": undo})]
        assert ("NO UNDO" in terminal("approvals").out) is is_told


def test_the_log_is_a_stream_of_objects(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    runtime.lines = [
        {"seq": i, "at_ms": 0, "run_id": RUN, "kind": "step.started", "event": {}} for i in range(3)
    ]
    lines = terminal("audit", "log", "--json").out.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [0, 1, 2]
    assert terminal("audit", "log").out.count("step.started") == 3
    runtime.lines = []
    assert terminal("audit", "log").err == "no entries\n"


def test_a_kind_of_event_that_there_is_not_is_no_empty_log(terminal: Terminal) -> None:
    error = terminal("audit", "log", "--kind", "step.succeded", "--json").error
    assert (error["code"], error["hint"]) == ("USAGE_INVALID", "did you mean `step.succeeded`?")
    assert "step.denied" in str(terminal("audit", "log", "--kind", "zzz", "--json").error["hint"])


def test_the_log_hands_its_filters_on(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    words = (
        "--run",
        "R",
        "--principal",
        "user:x",
        "--capability",
        "io.*",
        "--decision",
        "deny",
        "--kind",
        "step.denied",
    )
    times = ("--since", "1970-01-01T00:00:01", "--until", "1970-01-01T00:00:02+00:00", "--limit", "3")
    assert terminal("audit", "log", *words, *times).code == 0
    assert runtime.requests == [
        {
            "op": "audit_log",
            "run": "R",
            "principal": "user:x",
            "capability": "io.*",
            "decision": "DENY",
            "since_ms": 1000,
            "until_ms": 2000,
            "limit": 3,
            "follow": False,
            "kinds": frozenset({"step.denied"}),
        }
    ]


def test_a_waiting_run_prints_the_exact_commands_that_go_on(
    terminal: Terminal, runtime: ScriptedRuntime
) -> None:
    """Without a terminal nothing prompts: the run is left waiting and the way on can be typed, or pasted."""
    runtime.answers["call"] = run_object("waiting")
    runtime.waiting = [approval_object(), approval_object(run_id="another")]
    answer = terminal("call", "sys.noop", "--state", "my state")
    assert answer.code == 4
    assert f"assent approve {RUN} publish --digest d1gest --state 'my state'" in answer.err
    assert f"assent reject {RUN} publish --reason" in answer.err
    assert "waiting for approval of `publish` by 2 of role operator, not the requester" in answer.err
    assert "another" not in answer.err
    assert "d1gest" not in answer.out
    assert [request["op"] for request in runtime.requests] == ["call"]


def test_who_agreed_already_is_told_with_the_next_command(
    terminal: Terminal, runtime: ScriptedRuntime
) -> None:
    runtime.answers["approve"] = run_object("waiting")
    runtime.waiting = [approval_object(granted_by=["user:ann"])]
    answer = terminal("approve", RUN, "--digest", "d1gest")
    assert "role operator, not the requester, so far 1 of 2 (user:ann):" in answer.err


@pytest.mark.parametrize(
    ("undos", "told"),
    [
        (["automatic", "not_needed"], f"to take it back: assent undo {RUN}\n"),
        (["automatic", "none"], f"to take what can be taken back: assent undo {RUN} --partial\n"),
        (["none"], ""),
    ],
)
def test_undo_that_is_advised_is_one_that_would_be_accepted(
    terminal: Terminal, runtime: ScriptedRuntime, undos: list[str], told: str
) -> None:
    steps: list[Json] = [
        {"name": f"s{number}", "status": "succeeded", "undo": undo} for number, undo in enumerate(undos)
    ]
    runtime.answers["call"] = run_object(steps=steps)
    assert terminal("call", "sys.noop").err.partition("to take")[2] == told.partition("to take")[2]


def test_many_runs_that_wait_are_told_of_after_one_look_at_what_waits(
    terminal: Terminal, runtime: ScriptedRuntime
) -> None:
    """Each with its own commands: what `assent resume` costs grows with the runs, not with their square."""
    runs: list[Json] = [run_object("waiting", run_id=f"run_{n}") for n in range(30)]
    runtime.answers["resume"] = {"results": runs}
    runtime.waiting = [approval_object(run_id=f"run_{n}", digest=f"d{n}") for n in range(30)]
    for words in (("resume",), ("resume", "--json")):
        runtime.looks.clear()
        answer = terminal(*words)
        assert answer.code == 4
        assert runtime.looks == [None]
        for n in range(30):
            told = answer.err.count(f"assent approve run_{n} publish --digest d{n}\n")
            assert told == (1 if n < 20 else 0)
        assert answer.err.endswith("and 10 more runs (10 waiting): assent runs, assent approvals\n")


def test_of_many_runs_those_that_wait_are_told_last(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    runs: list[Json] = [run_object("waiting", run_id=f"run_{n}") for n in range(20)]
    runtime.answers["resume"] = {"results": [*runs, run_object("failed", run_id="run_last")]}
    answer = terminal("resume")
    assert answer.out.startswith("failed  ")
    assert "and 1 more run (1 waiting)" in answer.err
    told = terminal("resume", "--json").json
    assert isinstance(told, list)
    assert len(told) == 21


def test_resume_waits_for_one_run_only(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    answer = terminal("resume", "--wait")
    assert (answer.code, runtime.requests) == (2, [])
    assert "`--wait` needs a RUN" in answer.err


def test_yes_never_answers_an_approval(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    runtime.answers["call"] = run_object("waiting")
    runtime.waiting = [approval_object()]
    assert terminal("call", "sys.noop", "--yes").code == 4
    assert [request["op"] for request in runtime.requests] == ["call"]


def test_where_nothing_can_be_shown_approving_needs_a_digest_or_says_so(
    terminal: Terminal, runtime: ScriptedRuntime
) -> None:
    runtime.answers["approve"] = run_object()
    runtime.waiting = [approval_object()]
    refused = terminal("approve", RUN, "--json")
    assert (refused.code, refused.error["code"]) == (2, "USAGE_INVALID")
    assert "--digest d1gest" in str(refused.error["hint"])
    assert terminal("approve", RUN, "--digest", "d1gest", "--unseen").code == 2
    assert not [request for request in runtime.requests if request["op"] == "approve"]
    assert terminal("approve", RUN, "--digest", "d1gest").code == 0
    assert terminal("approve", RUN, "--unseen").code == 0
    assert [request["digest"] for request in runtime.requests if request["op"] == "approve"] == [
        "d1gest",
        None,
    ]


def test_what_waits_only_after_nothing_was_shown_is_not_approved(
    terminal: Terminal, runtime: ScriptedRuntime
) -> None:
    """The question that came meanwhile is another one than the none that was there."""
    runtime.answers["approve"] = run_object()
    terminal("approve", RUN)
    assert [request["digest"] for request in runtime.requests if request["op"] == "approve"] == [""]


MORE = [f"run_{number:026d}" for number in range(3)]
A, B, C = ("a" * 64, "b" * 64, "c" * 64)


@pytest.mark.parametrize(
    ("words", "approved"),
    [
        # Each run with its step, where one is named; `@` is a run, and `--last` the first one.
        (("--unseen", *MORE), [(run, None, None) for run in MORE]),
        (
            ("--unseen", MORE[0], "publish", MORE[1], "@"),
            [(MORE[0], "publish", None), (MORE[1], None, None), ("@", None, None)],
        ),
        (("publish", "--last", "--unseen"), [("@", "publish", None)]),
        (("--last", "--reason"), None),
        # What was shown of each is found among the digests, in whatever order they stand.
        (
            (MORE[0], MORE[1], "--digest", B[:12], "--digest", A),
            [(MORE[0], "publish", A), (MORE[1], "publish", B)],
        ),
        # Where one was not shown, nothing is approved.
        ((MORE[0], MORE[1], MORE[2], "--digest", A, "--digest", B), None),
        ((MORE[0], MORE[1], "--digest", A), None),
        ((MORE[0], MORE[1], "--digest", A, "--digest", B[:11]), None),
        ((MORE[0], "other", "--digest", A, "--digest", B), None),
        ((MORE[0], MORE[1]), None),
        ((MORE[0], "publish", "another"), None),
        ((MORE[0], MORE[1], "--digest", A, "--unseen"), None),
    ],
)
def test_several_runs_are_approved_all_shown_or_none(
    terminal: Terminal,
    runtime: ScriptedRuntime,
    words: tuple[str, ...],
    approved: list[tuple[str, str | None, str | None]] | None,
) -> None:
    runtime.answers["approve"] = run_object()
    runtime.waiting = [
        approval_object(run_id=run, digest=digest) for run, digest in zip(MORE, (A, B, C), strict=True)
    ]
    answer = terminal("approve", *words, "--json")
    asked = [request for request in runtime.requests if request["op"] == "approve"]
    found = [(request["run"], request.get("step"), request.get("digest")) for request in asked]
    assert (answer.code, found) == (2, []) if approved is None else (0, approved)
    assert len(answer.out.splitlines()) == max(1, len(found)), "an object for each"


def test_the_last_run_stands_for_run_in_every_command_that_takes_one(
    terminal: Terminal, runtime: ScriptedRuntime
) -> None:
    """`--last` wherever it stands, and never where it is the value of an option."""
    for operation in ("reject", "cancel", "undo", "resolve", "resume"):
        runtime.answers[operation] = {"results": [run_object()]} if operation == "resume" else run_object()
    for words in (
        ("reject", "--last", "publish", "--reason", "--last"),
        ("cancel", "--last"),
        ("undo", "--partial", "--last"),
        ("resolve", "publish", "--happened", "--last"),
        ("resume", "--last"),
        ("reject", "R", "--reason", "--last"),
    ):
        terminal(*words)
    named = [
        (request["op"], request["run"], request.get("step"))
        for request in runtime.requests
        if "run" in request
    ]
    assert [one for one in named if one[0] not in ("approvals", "show")] == [
        ("reject", "@", "publish"),
        ("cancel", "@", None),
        ("undo", "@", None),
        ("resolve", "@", "publish"),
        ("resume", "@", None),
        ("reject", "R", None),
    ]


def test_a_run_that_needs_a_person_says_what_that_person_can_do(
    terminal: Terminal, runtime: ScriptedRuntime
) -> None:
    states: dict[str, Json] = {"before": "a", "now": "b"}
    error: dict[str, Json] = {
        "code": "STEP_IN_DOUBT",
        "message": "x",
        "path": "pay",
        "hint": None,
        "details": states,
    }
    pay: dict[str, Json] = {"name": "pay", "status": "in_doubt", "error": error}
    iterations: list[Json] = [{"name": f"each[{n}]", "status": "in_doubt", "error": error} for n in range(6)]
    steps: list[Json] = [{"name": "done", "status": "succeeded"}, pay, *iterations]
    runtime.answers["resume"] = {"results": [run_object("needs_attention", error=error, steps=steps)]}
    answer = terminal("resume", RUN)
    assert answer.code == 5
    assert "before: a" in answer.out
    assert "now: b" in answer.out
    for command in (
        f"assent show {RUN}",
        f"assent resume {RUN}",
        f"assent resolve {RUN} pay",
        f"assent resolve {RUN} 'each[3]'",
        "and 2 more",
    ):
        assert command in answer.err
    assert "each[4]" not in answer.err
    assert f"resolve {RUN} pay --happened|--not-happened|--compensated|--abandon\n" in answer.err
    assert "resolve {RUN} done" not in answer.err


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("in_doubt", ["--happened", "--not-happened", "--compensated", "--abandon"]),
        ("compensation_failed", ["--compensated", "--abandon"]),
    ],
)
def test_every_word_that_is_advised_settles_the_step(
    terminal: Terminal, runtime: ScriptedRuntime, status: str, words: list[str]
) -> None:
    """Each can be typed as it is printed, and none is printed that the engine refuses (`RESOLUTION_INVALID`)."""
    step: dict[str, Json] = {"name": "pay", "status": status}
    runtime.answers["resume"] = {"results": [run_object("needs_attention", steps=[step])]}
    (line,) = (line for line in terminal("resume", RUN).err.splitlines() if "to settle it" in line)
    *command, choices = line.removeprefix("to settle it: assent ").split(" ")
    assert choices.split("|") == words
    for word in words:
        runtime.answers["resolve"] = run_object("failed", steps=[step])
        terminal(*command, word)
        assert runtime.requests[-1]["resolution"] == word.removeprefix("--").replace("-", "_")


def test_waiting_follows_the_journal_until_somebody_decides(
    terminal: Terminal, runtime: ScriptedRuntime
) -> None:
    """`--wait` only reads: whoever approves in another terminal drives the run on."""
    runtime.answers["call"] = run_object("waiting")
    granted: dict[str, Json] = {"kind": "approval.granted", "step": "s", "by": "user:bob"}
    runtime.coming = [{"run": RUN, "n": 7, "at_ms": 1, "event": granted}]
    runtime.shown = [run_object("waiting", events=[]), run_object("succeeded", events=[])]
    assert "approved" in terminal("call", "sys.noop", "--wait").err
    runtime.shown = [run_object("waiting", events=[]), run_object("succeeded", events=[])]
    answer = terminal("call", "sys.noop", "--wait", "--json")
    assert (answer.code, answer.object["status"]) == (0, "succeeded")
    assert "events" not in answer.object, "the answer is the run object, however long it took"


def test_what_is_being_prepared_has_a_line_though_it_is_not_on_record(
    terminal: Terminal, runtime: ScriptedRuntime
) -> None:
    terminal.write("assent.toml", "")
    build: dict[str, Json] = {
        "kind": "step.preparing",
        "step": "build",
        "capability": "sys.exec.run_captured",
    }
    runtime.progress = [{"event": event, "n": None} for event in (build, {**build, "step": "each[0]"})]
    runtime.answers["call"] = run_object()
    [line] = terminal("call", "sys.noop").err.splitlines()
    assert line.split() == ["preparing", "build", "sys.exec.run_captured"]


def test_what_a_step_says_stands_beside_its_name_and_looks_like_no_line_of_ours(
    terminal: Terminal, runtime: ScriptedRuntime
) -> None:
    """Nothing in it drives the terminal, and it has an end. It is no answer, so a program is told nothing."""
    terminal.write("assent.toml", "")
    lines = ["  succeeded          build", "a\x1b[2J\tb\u202e", "\x07" * 200, None]
    runtime.progress = [
        {"event": {"kind": "step.said", "step": "build", "line": line}, "n": None} for line in lines
    ]
    runtime.answers["call"] = run_object()
    told = terminal("call", "sys.noop").err.splitlines()
    first, second, third, fourth = told
    margin = " " * 21 + "build" + " " * 16
    assert first == f"{margin}|   succeeded          build"
    assert second == rf"{margin}| a\x1b[2J\tb\u202e"
    assert third.startswith(rf"{margin}| \x07\x07")
    assert len(third) <= len(margin) + 2 + 240
    assert third.endswith("…")
    assert fourth == f"{margin}…"
    assert terminal("call", "sys.noop", "--json").err == ""
    terminal.write("w.yaml", "name: w\nsteps:\n  - {name: build, capability: sys.noop}\n")
    runtime.planned = {"plan_id": "plan_1", "workflow": "w", "steps": [], "summary": {}}
    assert terminal("plan", "w.yaml").err.splitlines() == told, "a plan is worked at, too"
    assert terminal("plan", "w.yaml", "--json").err == ""


@pytest.mark.parametrize(
    ("place", "flags", "told"),
    [
        (".", (), "no assent.toml in {here} or above it: the built-in policy holds"),
        (".", ("--workspace", "below"), "no assent.toml in {here}/below: the built-in policy holds"),
        ("here", (), None),
        ("below", (), "in the workspace {here}"),
        (
            "below",
            (
                "--workspace",
                "..",
            ),
            None,
        ),
        ("below", ("--json",), None),
        ("below", ("-q",), None),
    ],
)
def test_a_person_is_told_where_it_acts_unless_that_is_plain(
    terminal: Terminal,
    runtime: ScriptedRuntime,
    place: str,
    flags: tuple[str, ...],
    told: str | None,
) -> None:
    runtime.answers["call"] = run_object()
    (terminal.folder / "below").mkdir()
    if place != ".":
        terminal.write("assent.toml", "")
    with chdir(terminal.folder / ("below" if place == "below" else ".")):
        first = terminal("call", "sys.noop", *flags).err.partition("\n")[0]
    assert (
        first.startswith(told.format(here=terminal.folder))
        if told
        else "workspace" not in first and "assent.toml" not in first
    )


def test_nobody_waits_for_a_terminal_that_takes_no_line(
    terminal: Terminal, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into a pipe that is full, what a step says is left out; into one that is empty it goes."""
    terminal.write("assent.toml", "")
    reads, writes = os.pipe()
    runtime.progress = [{"event": {"kind": "step.said", "step": "s", "line": "said"}, "n": None}]
    runtime.answers["call"] = run_object()
    with os.fdopen(reads, "rb") as reader, os.fdopen(writes, "w") as writer:
        monkeypatch.setattr(sys, "stderr", writer)
        terminal("call", "sys.noop")
        assert os.read(reader.fileno(), 1000).split() == [b"s", b"|", b"said"]
        os.set_blocking(writes, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writes, bytes(1 << 16))
        assert terminal("call", "sys.noop").code == 0


def test_a_foreach_takes_a_line_at_both_ends_and_one_for_each_failure(
    terminal: Terminal, runtime: ScriptedRuntime
) -> None:
    terminal.write("assent.toml", "")
    told: list[tuple[str, dict[str, Json]]] = [
        ("step.expanded", {"step": "stamp", "count": 3}),
        ("step.started", {"step": "stamp[0]"}),
        ("step.started", {"step": "stamp[1]"}),
        ("step.started", {"step": "stamp[2]"}),
        ("step.succeeded", {"step": "stamp[0]"}),
        ("step.failed", {"step": "stamp[1]", "code": "X"}),
        ("step.succeeded", {"step": "stamp[2]"}),
        ("step.succeeded", {"step": "stamp"}),
        ("compensation.succeeded", {"step": "stamp[2]"}),
        ("compensation.succeeded", {"step": "stamp[0]"}),
        ("run.rolled_back", {}),
    ]
    runtime.progress = [{"event": {"kind": kind, **fields}} for kind, fields in told]
    runtime.answers["call"] = run_object()
    assert [line.split() for line in terminal("call", "sys.noop").err.splitlines()] == [
        ["started", "stamp", "3", "iterations"],
        ["failed", "stamp[1]", "X"],
        ["succeeded", "stamp", "3", "iterations"],
        ["taken", "back", "stamp", "2", "iterations"],
    ]


def test_waiting_ends_when_its_time_is_up(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    runtime.answers["call"] = run_object("waiting")
    runtime.shown = [run_object("waiting", events=[])]
    assert terminal("call", "sys.noop", "--wait=1ms").code == 4


def test_progress_is_told_on_stderr_and_not_at_all_to_programs(
    terminal: Terminal, runtime: ScriptedRuntime
) -> None:
    terminal.write("assent.toml", "")
    runtime.answers["call"] = run_object()
    runtime.progress = [{"at_ms": 0, "run": RUN, "n": 1, "event": {"kind": "step.succeeded", "step": "a"}}]
    plain = terminal("call", "sys.noop")
    assert plain.err.split() == ["succeeded", "a"]
    assert terminal("call", "sys.noop", "--json").err == ""


def test_unfinished_runs_are_told_of_by_commands_that_touch_the_state(
    terminal: Terminal, runtime: ScriptedRuntime
) -> None:
    runtime.unfinished_count = 2
    runtime.answers["call"] = run_object()
    state = terminal.folder / ".assent"
    state.mkdir(mode=0o700)
    assert "2 unfinished runs: assent resume" in terminal("runs").err
    assert "2 unfinished runs: assent resume" in terminal("call", "sys.noop", "--json").err
    assert "unfinished" not in terminal("version").err
    runtime.answers["resume"] = {"results": []}
    assert "unfinished" not in terminal("resume").err


def test_runs_can_be_narrowed(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    statuses = ("failed", "waiting", "failed", "succeeded")
    runtime.known_runs = [
        {"run_id": f"r{i}", "workflow": "w", "status": status, "started_at": "x"}
        for i, status in enumerate(statuses)
    ]
    failed = terminal("runs", "--status", "failed", "--limit", "1", "--json").json
    assert (
        [run["run_id"] for run in failed if isinstance(run, dict)] == ["r2"]
        if isinstance(failed, list)
        else False
    )
    assert terminal("runs").out.splitlines()[0].split() == [
        "run",
        "status",
        "workflow",
        "or",
        "call",
        "started",
    ]


def test_a_list_that_is_cut_says_how_to_go_on(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    """Nobody takes the newest runs for all of them; the command that is told lists those before, with the same conditions."""
    runtime.known_runs = [
        {"run_id": f"r{i:03d}", "workflow": "w", "status": "failed", "started_at": "x"} for i in range(55)
    ]
    listed = terminal("runs", "--status", "failed", "--json")
    assert isinstance(listed.json, list)
    assert len(listed.json) == 50
    assert "5 older: assent runs --status failed --before r005" in listed.err
    older = terminal("runs", "--before", "r005")
    assert len(older.out.splitlines()) == 1 + 5
    assert "older" not in older.err
    assert "53 older: assent runs --limit 2 --before r053" in terminal("runs", "--limit", "2").err
    assert "did you mean `interrupted`?" in terminal("runs", "--status", "interupted").err


def test_a_run_that_is_a_call_is_listed_by_its_capability(
    terminal: Terminal, runtime: ScriptedRuntime
) -> None:
    line = {"run_id": "r", "workflow": None, "status": "failed", "started_at": "x"}
    runtime.known_runs = [
        {**line, "capability": "sys.noop", "mode": "workflow"},
        {**line, "capability": None, "mode": "session"},
    ]
    assert [row.split()[2] for row in terminal("runs").out.splitlines()[1:]] == ["sys.noop", "session"]


def test_every_error_code_is_explained(terminal: Terminal) -> None:
    for code in explanations():
        answer = terminal("explain", code, "--json")
        assert (answer.code, answer.object["code"]) == (0, code)
    assert terminal("explain", "policy_denied").out.startswith("POLICY_DENIED\n")


def test_resume_asks_a_person_about_what_waits_and_nobody_else(
    terminal: Terminal, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.answers["resume"] = {"results": [run_object("waiting"), run_object("failed", run_id="run_other")]}
    runtime.waiting = [approval_object(run_id=RUN)]
    runtime.answers["approve"] = run_object()
    assert terminal("resume").code == 4
    monkeypatch.setattr(Door, "can_ask", True)
    monkeypatch.setattr("assent.cli.runs._prompt.ask", lambda *_: Answer("approve"))
    assert terminal("resume").code == 1, "that of the other run, for this one succeeded"
    assert [
        request["op"] for request in runtime.requests if "run" in request and request["op"] != "approvals"
    ] == [
        "resume",
        "resume",
        "approve",
    ]


def test_help_finds_commands_and_topics(terminal: Terminal) -> None:
    assert "Usage: assent audit verify" in terminal("help", "audit", "verify").out
    assert "130" in terminal("help", "exit-codes").out
    assert "ASSENT_STATE" in terminal("help", "environment").out
    assert terminal("help", "workfow", "--json").error["hint"] == "did you mean `workflow`?"
    assert terminal().out.startswith("Usage: assent")
    assert terminal("audit").code == 2


@pytest.mark.parametrize(
    ("topic", "key"), [("workflow", "foreach"), ("policy", "if"), ("capability-spec", "labels")]
)
def test_help_has_every_key_of_the_files_that_people_write(terminal: Terminal, topic: str, key: str) -> None:
    assert f"\n  {key} " in terminal("help", topic).out
    assert f'"{key}"' in terminal("help", topic, "--json").out


def test_a_word_that_is_no_command_gets_a_suggestion(terminal: Terminal) -> None:
    assert terminal("aprove", "--json").error["hint"] == "did you mean `approve`?"
    assert terminal("audit", "verfy", "--json").error["hint"] == "did you mean `verify`?"


@pytest.mark.parametrize("words", [(), ("audit",)])
def test_a_command_that_is_missing_is_no_help_text_to_a_program(
    terminal: Terminal, words: tuple[str, ...]
) -> None:
    answer = terminal("--json", *words)
    assert (answer.code, answer.error["code"], answer.err) == (2, "USAGE_INVALID", "")


def test_flags_work_before_and_after_the_command(terminal: Terminal) -> None:
    assert terminal("--json", "version").object == terminal("version", "--json").object
    assert terminal("--version").out == terminal("version").out


def test_the_flags_lead_back_to_the_same_state(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    runtime.answers["call"] = run_object("needs_attention")
    (terminal.folder / "elsewhere").mkdir()
    answer = terminal("--workspace", "elsewhere", "call", "sys.noop")
    assert f"assent show {RUN} --workspace elsewhere" in answer.err


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_its_completion(terminal: Terminal, shell: str) -> None:
    assert "_ASSENT_COMPLETE" in terminal("completion", shell).out
    assert terminal("completion", shell, "--json").object["shell"] == shell


def test_init_writes_a_workspace_that_loads_and_never_overwrites(terminal: Terminal) -> None:
    answer = terminal("init", "--json")
    assert answer.code == 0
    assert {path.name for path in terminal.folder.iterdir()} == {
        "assent.toml",
        "policy.yaml",
        "hello.yaml",
        ".assent",
    }
    assert (terminal.folder / ".assent").stat().st_mode & 0o777 == 0o700
    assert (terminal.folder / ".assent" / ".gitignore").read_text() == "*\n"
    before = (terminal.folder / "assent.toml").read_bytes()
    again = terminal("init", "--json")
    assert (again.code, again.error["code"]) == (2, "INIT_EXISTS")
    assert (terminal.folder / "assent.toml").read_bytes() == before
    check = terminal("policy", "check", "--json").object
    assert (check["ok"], check["findings"]) == (True, [])


def test_init_leaves_no_part_of_a_workspace_behind(terminal: Terminal) -> None:
    terminal.write("policy.yaml", "mine")
    assert terminal("init", "--json").error["code"] == "INIT_EXISTS"
    assert [path.name for path in terminal.folder.iterdir()] == ["policy.yaml"]


def test_init_keeps_a_workflow_that_is_called_like_the_one_to_try(terminal: Terminal) -> None:
    terminal.write("hello.yaml", "mine")
    assert terminal("init").code == 0
    assert (terminal.folder / "hello.yaml").read_text() == "mine"


def test_every_line_that_init_comments_out_is_valid_and_a_limit_is_as_it_is_without_it(
    terminal: Terminal, caplog: pytest.LogCaptureFixture
) -> None:
    """The file teaches by its comments; each of them can be taken as it stands."""

    def limits() -> dict[Json, Json]:
        settings: Any = terminal("doctor", "--json").object["settings"]
        return {one["name"]: one["value"] for one in settings if one["name"].startswith("limits.")}

    terminal("init")
    by_default = limits()
    file = terminal.folder / "assent.toml"
    lines = file.read_text().splitlines()
    file.write_text(
        "\n".join(
            line.removeprefix("# ") if " = " in line or line.startswith("# [") else line for line in lines
        )
    )
    assert "strict = true" in file.read_text().splitlines()[7]
    answer = terminal("doctor", "--json", "--as", "agent:helper")
    assert (answer.code, answer.error["code"]) == (3, "IDENTITY_REFUSED"), (
        "everything was read, strict included"
    )
    file.write_text(
        file.read_text().replace("strict = true", "strict = false").replace("required", "# required")
    )
    assert {name: value for name, value in limits().items() if ".rate." not in str(name)} == by_default
    assert not caplog.records, "nothing of it is removed"


def test_doctor_shows_every_value_with_its_source(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal("init")
    monkeypatch.setenv("ASSENT_ENVIRONMENT", "staging")
    answer = terminal("doctor", "--json")
    assert answer.code == 0
    settings = answer.object["settings"]
    assert isinstance(settings, list)
    sources = {one["name"]: one["source"] for one in settings if isinstance(one, dict)}
    assert sources["environment"] == "ASSENT_ENVIRONMENT"
    assert str(sources["policy"]).endswith("assent.toml:2")
    assert sources["limits.grace"] == "default"
    assert "signing key" in terminal("doctor").out


def test_doctor_shows_the_key_that_proofs_are_checked_with(terminal: Terminal) -> None:
    terminal("init")
    assert "assent.test+0000+KEY" in terminal("doctor").out


@pytest.mark.parametrize(
    ("status", "part", "shown"),
    [("ok", "", "ok"), ("degraded", "slow", "warning"), ("failed", "", "fault")],
)
def test_doctor_asks_the_living_owner_how_it_is(
    terminal: Terminal, status: str, part: str, shown: str
) -> None:
    """Its worst part decides; with `--json` its whole answer is there."""
    terminal("init")
    found: dict[str, Json] = {
        "status": status,
        "parts": {"Database": {"status": status, "detail": part}},
        "metrics": {},
        "admission": {"running": 1, "runs": 8, "queued": 0, "queue": 9, "is_draining": False},
        "backlog": {"runs": {"waiting": 1}, "approvals": 1, "deliveries": 0, "entries": 9, "bytes": 4096},
        "version": "0.2.0",
        "now_ms": 5,
        "operations": ["call"],
        "in_force": {},
    }
    assert terminal.runtime is not None
    terminal.runtime.owner_health = found
    answer = terminal("doctor", "--json")
    assert answer.code == (1 if shown == "fault" else 0)
    assert answer.object["health"] == found
    checks = answer.object["checks"]
    assert isinstance(checks, list)
    assert checks[-1] == {
        "name": "application",
        "status": shown,
        "seen": "all 1 ok" if status == "ok" else f"Database: {part or status}",
        "hint": None,
    }


def test_doctor_says_where_a_policy_is_at_fault(terminal: Terminal) -> None:
    terminal("init")
    policy = terminal.folder / "policy.yaml"
    policy.write_text("version: 1\nrules:\n  - idd: low\n")
    policy.chmod(0o600)
    answer = terminal("doctor")
    assert answer.code == 1
    assert f"unknown key `idd` at {policy}:3:5 [POLICY_INVALID]" in answer.out


def test_doctor_starts_nobody_to_ask_how_it_is(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    terminal("init")
    assert "nobody to ask: no process serves this state" in terminal("doctor").out
    runtime.owner_health = WorldError("STATE_OWNED", "it is owned and does not answer", hint="wait for it")
    answer = terminal("doctor")
    assert answer.code == 1
    assert "does not answer" in answer.out


POLICY = """\
version: 1
rules:
  - id: reads
    when: { operation_type: READ }
    decision: ALLOW
  - id: deletes
    when: { capability: io.fs.delete }
    decision: REQUIRE_APPROVAL
  - id: never
    when: { capability: io.fs.delete }
    decision: DENY
"""


def test_policy_check_tells_what_cannot_decide_and_refuses_what_is_broken(terminal: Terminal) -> None:
    terminal.write("p.yaml", POLICY)
    suspicious = terminal("policy", "check", "p.yaml", "--json")
    findings = suspicious.object["findings"]
    assert suspicious.code == 0
    assert isinstance(findings, list)
    assert [found["path"] for found in findings if isinstance(found, dict)] == ["p.yaml:9:9"]
    shown = terminal("policy", "check", "p.yaml").out.splitlines()
    place = shown.index("  --> p.yaml:9:9")
    assert [line.strip() for line in shown[place + 2 : place + 4]] == ["9 |   - id: never", "|         ^^^^^"]
    limits = "limits:\n  - {id: few, window: 1h, calls: 9}\n"
    for text, said, count in (("", "1 rule, no faults", 0), (limits, "1 rule, 1 limit, no faults", 1)):
        terminal.write("p.yaml", "version: 1\nrules: [{id: all, decision: ALLOW}]\n" + text)
        assert terminal("policy", "check", "p.yaml").out.splitlines()[-1] == f"p.yaml: {said}"
        assert terminal("policy", "check", "p.yaml", "--json").object["limits"] == count
    terminal.write("p.yaml", "version: 1\nruls: []\n")
    assert "2 | ruls: []" in terminal("policy", "check", "p.yaml").out
    broken = terminal("policy", "check", "p.yaml", "--json")
    assert (broken.code, broken.object["ok"]) == (2, False)


@pytest.mark.parametrize("named", [(), ("policy.yaml",)])
@pytest.mark.parametrize(
    ("mode", "more", "said"),
    [
        (0o666, b"", "can be changed by everybody   [POLICY_PERMISSIONS]"),
        (0o644, b"\xff", "is not UTF-8"),
    ],
)
def test_policy_check_refuses_the_configured_policy_wherever_a_call_would(
    terminal: Terminal, *, named: tuple[str, ...], mode: int, more: bytes, said: str
) -> None:
    terminal("init")
    policy = terminal.folder / "policy.yaml"
    policy.write_bytes(policy.read_bytes() + more)
    policy.chmod(mode)
    answer = terminal("policy", "check", *named)
    assert (answer.code, said in answer.out + answer.err) == (2, True)


def test_policy_explain_names_the_rule_and_why_no_earlier_one_decided(terminal: Terminal) -> None:
    terminal.write("p.yaml", POLICY)
    words = ("policy", "explain", "io.fs.delete", "path=x", "--policy", "p.yaml", "--as", "agent:bot")
    explained = terminal(*words, "--json").object
    assert (explained["decision"], explained["rule"]) == ("REQUIRE_APPROVAL", "deletes")
    text = terminal(*words).out
    assert text.startswith("REQUIRE_APPROVAL  io.fs.delete (HIGH) for agent:bot")
    assert "reads" in text


def test_a_limit_that_is_past_says_when_it_opens(terminal: Terminal) -> None:
    limit = "{ id: once, when: { capability: sys.noop }, window: 1h, calls: 1 }"
    terminal.write("p.yaml", f"version: 1\ndefault: ALLOW\nlimits:\n  - {limit}\n")
    assert terminal("call", "sys.noop", "--policy", "p.yaml").code == 0
    denied = terminal("call", "sys.noop", "--policy", "p.yaml", "--json")
    told: Any = denied.object
    assert (denied.code, told["error"]["code"]) == (3, "LIMIT_REACHED")
    opens = instant(told["error"]["details"]["opens_at_ms"])
    said = terminal("policy", "explain", told["run_id"], "call", "--policy", "p.yaml").out
    assert f"once  1 of 1 call used, this one takes 1 call: fits from {opens}" in said
    asked = terminal("policy", "explain", "sys.noop", "--policy", "p.yaml")
    assert asked.out.startswith("DENY  sys.noop")
    assert "1 of 1 call used, and it opens again at 20" in asked.out


def test_policy_explain_asks_as_if_something_had_been_read_before(terminal: Terminal) -> None:
    stays = "{ id: stays, if: '\"reads_private\" in run.labels', decision: DENY }"
    terminal.write("p.yaml", f"version: 1\ndefault: ALLOW\nrules:\n  - {stays}\n")
    words = ("policy", "explain", "net.http.get", "url=https://a.example/", "--policy", "p.yaml", "--json")
    assert terminal(*words).object["rule"] == "default"
    assert terminal(*words, "--run-label", "reads_private").object["rule"] == "stays"


def test_policy_test_compares_with_the_cases(terminal: Terminal) -> None:
    terminal.write("p.yaml", POLICY)
    case = "cases:\n  - name: asks\n    given: {{ capability: io.fs.delete }}\n    expect: {}\n"
    terminal.write("c.yaml", case.format("REQUIRE_APPROVAL"))
    assert terminal("policy", "test", "c.yaml", "--policy", "p.yaml", "--json").object["ok"] is True
    terminal.write("c.yaml", case.format("ALLOW"))
    differs = terminal("policy", "test", "c.yaml", "--policy", "p.yaml", "--json")
    assert (differs.code, differs.object["ok"]) == (1, False)
    assert "0 of 1 cases" in terminal("policy", "test", "c.yaml", "--policy", "p.yaml").out


def test_what_is_shown_fits_the_terminal(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a word that is wider than the terminal, like a key, runs over its edge, and a command, since they are to be copied."""
    terminal.runtime = None
    monkeypatch.setenv("COLUMNS", "80")
    terminal("init")
    terminal.write(
        "w.yaml", "name: w\nsteps: [{ name: wait, capability: sys.sleep, inputs: { seconds: 0.01 } }]\n"
    )
    run = str(terminal("run", "w.yaml", "--json").object["run_id"])
    terminal("call", "io.fs.delete", "path=hello.yaml", "recursive=false")
    terminal("reject", "@", "--reason", "no " * 60)
    listed = terminal("capability", "list", "--json").json
    assert isinstance(listed, list)
    shows = [("capability", "show", str(one["id"])) for one in listed if isinstance(one, dict)]
    for words in (
        *shows,
        ("doctor",),
        ("show", run),
        ("audit", "log"),
        ("audit", "approvals"),
        ("plugin", "list"),
    ):
        answer = terminal(*words)
        assert answer.code == 0, answer.err
        for line in (*answer.out.splitlines(), *answer.err.splitlines()):
            assert len(line) <= 80 or len(line.split()) == 1 or "assent " in line, (words, line)


def test_capabilities_are_listed_and_shown(terminal: Terminal) -> None:
    listed = terminal("capability", "list", "--json").json
    assert isinstance(listed, list)
    ids = [one["id"] for one in listed if isinstance(one, dict)]
    assert {"io.fs.read_file", "io.fs.delete", "sys.noop"} <= set(ids)
    assert terminal("capability", "show", "sys.noop", "--json").object["id"] == "sys.noop"
    for name in ids:
        assert str(name) in terminal("capability", "show", str(name)).out
    shown = terminal("capability", "show", "sys.archive.unpack").out
    assert re.search(r"bytes_max +string or integer +default", shown)
    assert re.search(r"format +zip \| tar \| tar.gz \| tar.zst \| gz \| zst +default null", shown)
    assert terminal("capability", "show", "io.fs.reed_file", "--json").error["code"] == "CAPABILITY_UNKNOWN"
    for name, what in (
        ("data.json.merge", "list of object {value, text, path}"),
        ("data.json.merge", "call it: assent call data.json.merge 'path=…' 'overlays=[{\"path\": \"…\"}]'"),
        ("data.yaml.parse", "call it: assent call data.yaml.parse 'path=…'"),
        ("data.yaml.patch", "call it: assent call data.yaml.patch 'path=…' 'patch=[{\"…\": \"…\"}]'"),
        ("data.csv.parse", "object of text | integer | number | boolean"),
        ("io.fs.find", "list of file | directory | symlink"),
        ("sys.exec.run", "list of string"),
        ("sys.noop", "call it: assent call sys.noop\n"),
    ):
        assert what in terminal("capability", "show", name).out
    assert "io.fs.delete" in terminal("capability", "list").out
    for pattern, expected in (
        ("net.http.d*", ["net.http.delete", "net.http.delete_compensated", "net.http.download"]),
        ("exec", ["sys.exec.run", "sys.exec.run_captured"]),
        ("nothing", []),
    ):
        found = terminal("capability", "list", pattern, "--json").json
        assert isinstance(found, list)
        assert [one["id"] for one in found if isinstance(one, dict)] == expected
    nothing = terminal("capability", "list", "nothing")
    assert (nothing.out, nothing.err) == ("", "no such capability\n")


def test_proofs_and_exports_are_handed_on(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    assert terminal("audit", "prove", "4", "--json").object == {"seq": 4, "proof": "proof of 4\n"}
    assert terminal("audit", "prove", "4").out == "proof of 4\n"
    written = terminal("audit", "prove", "4", "--output", "p")
    assert written.out == ""
    assert "assent audit verify-proof p --key assent.test+0000+KEY" in written.err
    assert (terminal.folder / "p").read_text() == "proof of 4\n"
    assert terminal("audit", "prove", "4", "--output", "none/p", "--json").error["code"] == "FILE_UNWRITABLE"
    assert terminal("audit", "export", "x", "--json").object["entries"] == 3
    terminal.write("k", "the key\n")
    terminal.write("kept", "a checkpoint")
    for words in (("--key", "k"), ("--key", "lit+er+al"), ("--checkpoint", "kept")):
        assert terminal("audit", "verify", *words).code == 0
    asked = [(one["checkpoint"], one["key"]) for one in runtime.requests[-3:]]
    assert asked == [(None, "the key"), (None, "lit+er+al"), ("a checkpoint", None)]


def test_the_difference_of_a_version_to_itself_is_none(terminal: Terminal) -> None:
    """With every field of the object, and in one line for people."""
    words = ("capability", "diff", "io.fs.write_file", "1.0.0", "^1")
    assert terminal(*words, "--json").json == {
        "capability": "io.fs.write_file",
        "from": "1.0.0",
        "to": "1.0.0",
        "breaking": False,
        "counts": {"breaking": 0, "compatible": 0},
        "changes": [],
        "served": True,
        "missing": None,
    }
    assert terminal(*words).out == "io.fs.write_file  1.0.0 → 1.0.0: no changes\n"
    assert terminal("capability", "diff", "io.fs.write_file", "1.0.0", "7.0.0").code == 2
