"""What people read: the summary first, the failure first, colour never alone, and no data that drives the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.cli._exit import plan_exit_code
from assent.cli._versions import diff_words
from assent.cli.runs._plan_text import approvers_text, plan_text
from assent.cli.runs._progress import _WORDS, event_detail, event_words
from assent.cli.runs._prompt import approval_text
from assent.cli.runs._result_text import result_text
from assent.cli.runs._timeline import show_text
from assent.cli.terminal._diff import FOLD_LINES, counts, deleted, diff_text
from assent.cli.terminal._error_text import FAULTS_SHOWN, error_text
from assent.cli.terminal._output import COLUMNS_MIN, Output
from assent.cli.terminal._style import PLAIN, Paint, wants_colour
from assent.cli.terminal._table import table, visible
from assent.errors import InputError, Json, WorldError
from assent.runtime.service import answers
from assent.spec.events.kinds import EVENT_TYPES
from assent.spec.words.legible import both_ends, safe, safe_line
from tests.support.door import RUN, approval_object, filled, run_object
from tests.support.properties import holds

COLOUR = Paint(enabled=True)


def diff_text_of(data: dict[str, Json]) -> str:
    return diff_words(filled(answers.CapabilityDiff, data), PLAIN)


@holds("terminal_safety")
@given(st.text(), st.integers(min_value=1, max_value=80))
def test_no_text_can_drive_the_terminal_or_break_a_line(text: str, width: int) -> None:
    line = safe_line(text, width)
    assert len(line) <= width
    assert all(char.isprintable() or char in " \u3000" or not char.isascii() for char in line)
    assert "\x1b" not in safe(text)
    assert "\u202e" not in safe(text)
    safe(text).encode()


def test_what_is_unsafe_is_written_out() -> None:
    assert safe("a\x1b[2Jb\u202ec\td\n") == "a\\x1b[2Jb\\u202ec\td\n"
    assert safe_line("a\tb\nc") == "a\\tb\\nc"


@given(st.text(st.characters(exclude_characters="…")), st.integers(min_value=40, max_value=120))
def test_what_is_cut_shows_both_its_ends_and_how_much_is_between(text: str, width: int) -> None:
    shown, whole = both_ends(text, width), safe_line(text)
    if len(whole) <= width:
        assert shown == whole
        return
    first, count, last = shown.split(" … ")
    assert whole.startswith(first)
    assert whole.endswith(last)
    assert len(first) + len(last) + int(count.split()[0]) == len(whole)
    assert len(shown) <= width + 8


def test_the_end_of_a_long_command_is_in_the_question() -> None:
    argv: Json = ["sh", "-c", f"true{' ' * 2100}; cat private.txt EVILTAIL"]
    asked = filled(answers.Approval, {**approval_object(), "inputs": {"argv": argv}})
    shown = approval_text(asked, paint=PLAIN, now_ms=0, more="type d to see all")
    assert "EVILTAIL" in shown
    assert "more characters" in shown
    assert "…" not in approval_text(asked, paint=PLAIN, now_ms=0)


def test_a_question_tells_why_it_is_asked() -> None:
    """Of a workflow's own question the reason is all there is to decide about."""
    asked = approval_object(rule="workflow", preview={"reason": "does the\x1b[2J draft read well?"})
    shown = approval_text(filled(answers.Approval, asked), paint=PLAIN, now_ms=0)
    assert "  asked by user:alice, rule workflow: does the\\x1b[2J draft read well?" in shown.splitlines()


def test_a_question_tells_who_has_agreed_already() -> None:
    asked = filled(answers.Approval, approval_object(granted_by=["user:alice"]))
    assert (
        "  approved so far: 1 of 2 (user:alice)" in approval_text(asked, paint=PLAIN, now_ms=0).splitlines()
    )
    asked = filled(answers.Approval, approval_object())
    assert "so far" not in approval_text(asked, paint=PLAIN, now_ms=0)


def test_a_question_about_what_cannot_be_taken_back_says_so() -> None:
    """Both where it is asked and where it is listed."""
    for undo, is_told in (("none", True), ("automatic", False), ("not_needed", False)):
        asked = filled(answers.Approval, approval_object(preview={"undo": undo, "diff": ""}))
        shown = approval_text(asked, paint=PLAIN, now_ms=0)
        assert ("  NO UNDO: what it does can't be taken back" in shown.splitlines()) is is_told


def test_a_hostile_run_shows_its_bytes_and_obeys_none() -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\r"
    step: Json = {
        "name": "a",
        "status": "failed",
        "capability": evil,
        "error": {"message": evil, "code": "X"},
    }
    run = run_object(
        "failed",
        workflow=evil,
        steps=[step],
        error={"code": evil, "message": evil, "path": evil, "hint": evil},
    )
    shown = result_text(filled(answers.Run, run), paint=PLAIN)
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\r" not in shown


@pytest.mark.parametrize(
    ("choice", "environ", "is_terminal", "expected"),
    [
        ("auto", {}, True, True),
        ("auto", {}, False, False),
        ("always", {"NO_COLOR": "1"}, False, True),
        ("never", {"CLICOLOR_FORCE": "1"}, True, False),
        ("auto", {"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, True, False),
        ("auto", {"NO_COLOR": ""}, True, True),
        ("auto", {"CLICOLOR_FORCE": "1"}, False, True),
        ("auto", {"CLICOLOR_FORCE": "0"}, False, False),
        ("auto", {"CLICOLOR": "0"}, True, False),
        ("auto", {"TERM": "dumb"}, True, False),
    ],
)
def test_colour_follows_flag_then_environment_then_terminal(
    choice: str, environ: dict[str, str], is_terminal: bool, expected: bool
) -> None:
    assert wants_colour(choice, environ, is_terminal=is_terminal) is expected


def test_columns_align_with_and_without_colour() -> None:
    rows = [["a", COLOUR("long word", "red"), "x"], ["bb", "y", "z"]]
    head, *lines = table(rows, head=["h", "i", "j"], paint=PLAIN).splitlines()
    ends = [visible(line[:-1]) for line in (head, *lines)]
    assert ends == [15, 15, 15], "2 + 2 + 9 + 2 columns stand before the last one"
    assert table([["a", "", "c"]], paint=PLAIN) == "a  c", "an empty column takes no room"


HEAD = ["run", "step", "of", "status"]
CELLS = st.lists(
    st.lists(st.text("abcxyz 019漢", max_size=40), min_size=4, max_size=4), min_size=1, max_size=6
)


@given(CELLS, st.integers(40, 120))
def test_a_table_loses_nothing_and_is_as_wide_as_the_terminal_at_most(
    rows: list[list[str]], columns: int
) -> None:
    """Only a word that is wider than the terminal, like an id, runs over its edge, since it is to be copied."""
    narrow = Paint(enabled=False, columns=columns)
    wide = table(rows, head=HEAD, paint=PLAIN)
    found = table(rows, head=HEAD, paint=narrow)
    if all(visible(line) <= columns for line in wide.splitlines()):
        assert found == wide
    words = [word for row in rows for cell in row for word in cell.split()]
    for line in found.splitlines():
        assert visible(line) <= columns or any(visible(word) > columns - 14 for word in words)
    left = found.split()
    for word in words:
        left.remove(word)


def test_columns_that_find_no_room_stand_below_their_row_behind_their_heading() -> None:
    rows = [["a" * 30, "done", "b" * 30, "c" * 30], ["d", "", "e", ""]]
    found = table(rows, head=HEAD, paint=Paint(enabled=False, columns=70))
    assert found.splitlines() == [
        f"{'run':<30}  step  of",
        f"{'a' * 30}  done  {'b' * 30}",
        f"    status {'c' * 30}",
        f"{'d':<30}        e",
    ]


def test_one_long_cell_stands_below_its_row_and_moves_no_other() -> None:
    rows = [[f"setting.{i}", "on", "default"] for i in range(4)] + [["place", f"/{'p' * 60}", "file"]]
    found = table(rows, head=["setting", "value", "from"], paint=Paint(enabled=False, columns=80))
    assert found.splitlines()[1:] == [
        *(f"setting.{i}  on     default" for i in range(4)),
        "place",
        f"           value /{'p' * 60}",
        "           from file",
    ]
    last = table(
        [["ok", "public key", "k" * 64], ["ok", "state", "b c"]], paint=Paint(enabled=False, columns=70)
    )
    assert last.splitlines() == ["ok  public key", f"    {'k' * 64}", "ok  state       b c"]


def test_a_long_last_column_is_wrapped_where_it_stands() -> None:
    found = table([["key", "one two three four five six"]], paint=Paint(enabled=False, columns=30))
    assert found.splitlines() == ["key  one two three four five", "     six"]


@pytest.mark.parametrize(
    ("said", "columns"), [("80", 80), ("7", COLUMNS_MIN), ("", None), ("0", None), ("x", None)]
)
def test_columns_are_what_the_environment_says_also_in_a_pipe(said: str, columns: int | None) -> None:
    assert Output({"COLUMNS": said}).paint().columns == columns


def test_a_long_diff_is_folded_unless_it_is_asked_for() -> None:
    diff = "--- a\n+++ b\n" + "".join(f"+line {i}\n" for i in range(FOLD_LINES * 2))
    assert counts(diff) == (FOLD_LINES * 2, 0)
    folded = diff_text(diff, paint=PLAIN, fold="assent plan x --detail a")
    assert len(folded.splitlines()) == FOLD_LINES + 1
    assert "more lines: assent plan x --detail a" in folded
    assert len(diff_text(diff, paint=PLAIN).splitlines()) == FOLD_LINES * 2 + 2


def plan_step(name: str, **fields: Json) -> dict[str, Json]:
    step: dict[str, Json] = {
        "name": name,
        "capability": "io.fs.write_file",
        "operation_type": "WRITE",
        "risk_level": "MEDIUM",
        "decision": "ALLOW",
        "rule": "medium",
        "approvers": None,
        "undo": "automatic",
        "preview": {"kind": "unified", "diff": "--- a\n+++ b\n@@ -1 +1 @@\n-old\n+new\n"},
        "changes": True,
        "known": True,
    }
    return step | fields


def shown_plan(*steps: dict[str, Json], detail: str | None = None) -> str:
    plan: dict[str, Json] = {"plan_id": "plan_7", "workflow": "release", "steps": [*steps], "summary": {}}
    return plan_text(
        filled(answers.Plan, plan),
        paint=PLAIN,
        detail=detail,
        run="assent run plan_7",
        show="assent plan w.yaml",
    )


def test_a_plan_says_each_step_its_sign_and_the_summary_at_both_ends() -> None:
    text = shown_plan(
        plan_step(
            "look",
            operation_type="READ",
            risk_level="LOW",
            undo="not_needed",
            changes=False,
            preview={"diff": ""},
        ),
        plan_step("write"),
        plan_step(
            "drop", operation_type="DELETE", risk_level="HIGH", decision="REQUIRE_APPROVAL", rule="high"
        ),
        plan_step("later", known=False, preview={"kind": "none", "diff": ""}),
        plan_step("run", risk_level="CRITICAL", decision="DENY", rule="default", undo="none"),
    )
    signs = {line.split()[2]: line[0] for line in text.splitlines() if len(line) > 3 and line[3:4].isdigit()}
    signs |= {"look": " "}
    assert signs["write"] == "~"
    assert signs["drop"] == "-"
    assert signs["later"] == "?"
    assert signs["run"] == "!"
    summary = "Would: 1 without change, 3 changes, 1 deletion.  Undo: 3 automatic, 1 NOT possible (run)."
    assert text.count(summary) == 2
    assert "Can't be known before it runs: later." in text
    assert "1 approval, 1 denial: it would stop at `run`." in text
    assert text.splitlines()[0] == "Plan plan_7  release"
    assert text.splitlines()[-1] == "run it as planned: assent run plan_7"
    assert "known only when it runs" in text
    assert "+1 -1" in text


def test_a_plan_says_what_a_workflow_asks_a_person() -> None:
    """Whole: it is all there is to decide about."""
    reason = "does the draft read well? " * 10
    asking = plan_step("ask", capability="assent.approval", undo="not_needed", changes=False, reason=reason)
    shown = shown_plan({**asking, "preview": {"kind": "none", "diff": ""}})
    assert reason.rstrip() in shown


def test_a_change_that_deletes_is_marked_whatever_its_capability_is_called() -> None:
    kept = "--- a/a\n+++ b/a\n@@ -1 +1 @@\n-deleted file x\n+b\n"
    gone = "deleted file b, mode 0644, 2 bytes\n--- a/b\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
    other = "binary or large file c: file, 9 bytes -> nothing\ndirectory -> nothing: d\n"
    for diff, row in (
        (kept, "~  1  p  io.fs.patch"),
        (kept + gone, "-  1  p  io.fs.patch"),
        (other, "-  1  p  "),
    ):
        step: dict[str, Json] = {
            "name": "p",
            "capability": "io.fs.patch",
            "operation_type": "WRITE",
            "risk_level": "MEDIUM",
        }
        step |= {"decision": "ALLOW", "undo": "automatic", "known": True, "changes": True}
        plan: dict[str, Json] = {"plan_id": "plan_1", "steps": [{**step, "preview": {"diff": diff}}]}
        shown = plan_text(filled(answers.Plan, plan), paint=PLAIN, detail=None, run="run", show="show")
        assert row in shown
        assert ("1 deletion" if row.startswith("-") else "1 change") in shown
    assert (deleted(kept), deleted(kept + gone), deleted(other)) == (0, 1, 2)


def test_a_plan_that_would_fail_says_where_and_all_of_why() -> None:
    """What would fail is counted neither as a change nor as something that can be undone."""
    error: dict[str, Json] = {
        "code": "ARCHIVE_QUOTA",
        "message": "too much " * 20,
        "hint": "raise `bytes_max`",
    }
    failing = plan_step("unpack", preview={"kind": "none", "diff": ""}, changes=False, error=error)
    text = shown_plan(plan_step("write"), failing)
    assert text.count("Would: 1 change, 1 failure.  Undo: 1 automatic.\nIt would fail at `unpack`.") == 1
    assert f"  would fail: {'too much ' * 20}   [ARCHIVE_QUOTA]\n  help: raise `bytes_max`" in text
    assert "[ARCHIVE_QUOTA]" not in shown_plan(plan_step("write"), failing, detail="write")
    assert "help:" not in shown_plan(plan_step("write", error={"code": "X", "message": "no"}))


def test_one_step_s_detail_leaves_the_other_diffs_out() -> None:
    steps = (plan_step("one"), plan_step("two"))
    assert shown_plan(*steps).count("+new") == 2
    assert shown_plan(*steps, detail="two").count("+new") == 1


def test_approvers_are_told_in_words() -> None:
    approvers: dict[str, Json] = {
        "roles": ["ops"],
        "count": 2,
        "not_requester": True,
    }
    assert (
        approvers_text(filled(answers.Approvers, approvers), 3_600_000)
        == "2 of role ops, not the requester, within 1 h"
    )
    assert (
        approvers_text(filled(answers.Approvers, {"kinds": ["user", "agent"], "count": 1}))
        == "any user or agent"
    )


def test_every_kind_of_event_has_its_words() -> None:
    """Also what is told of a step that only prepares, which no event says."""
    assert set(_WORDS) == {*EVENT_TYPES, "step.preparing"}


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_an_event_of_any_kind_is_told_in_few_words(kind: str) -> None:
    assert 0 < len(event_words({"kind": kind})) <= 18
    event_detail({"kind": kind})


def test_an_unknown_event_of_a_later_version_is_still_shown() -> None:
    assert event_words({"kind": "step.teleported"}) == "step.teleported"


def leaf(at_ms: int, kind: str, step: str | None = None, **fields: Json) -> dict[str, Json]:
    event: dict[str, Json] = {"kind": kind, **({"step": step} if step else {}), **fields}
    return {"at_ms": at_ms, "run": RUN, "n": 0, "event": event}


def test_the_timeline_tells_the_failure_first_and_then_what_happened_when() -> None:
    events = [
        leaf(1000, "run.created", principal="user:alice"),
        leaf(1000, "step.started", "a", capability="io.fs.write_file", risk="MEDIUM", rule="medium"),
        leaf(2000, "step.succeeded", "a"),
        leaf(2000, "approval.requested", "b", capability="io.fs.delete", risk="HIGH", rule="high"),
        leaf(5000, "approval.granted", "b", by="user:bob", confirmed=True),
        leaf(5000, "step.failed", "b", code="DISK_FULL"),
        leaf(5000, "compensation.started", "a"),
        leaf(6000, "compensation.succeeded", "a"),
        leaf(6000, "run.rolled_back", code="DISK_FULL"),
    ]
    error: Json = {
        "code": "DISK_FULL",
        "message": "the disk is full",
        "path": "b",
        "hint": "make room",
        "details": {},
    }
    steps: list[Json] = [{"name": "a", "status": "compensated"}, {"name": "b", "status": "failed"}]
    run = run_object("rolled_back", events=[*events], principal="user:alice", error=error, steps=steps)
    text = show_text(filled(answers.ShownRun, run), paint=PLAIN)
    lines = text.splitlines()
    assert lines[0].startswith("rolled back  release")
    assert "started 1970-01-01 00:00:01Z, took 5.0 s" in lines[0]
    assert lines[2] == "error: step `b`: the disk is full   [DISK_FULL]"
    assert lines[3] == " help: make room"
    bars = {line.split()[0]: line[line.index("|") :] for line in lines if line.endswith("|") and "|" in line}
    assert bars["a"].startswith("|=")
    assert bars["a"].rstrip("|").endswith("<")
    assert "." in bars["b"]
    assert any("4.000 s  b  approved" in line and "by user:bob" in line for line in lines)
    widths = {len(bar) for bar in bars.values()}
    assert len(widths) == 1, "bars stand under each other"


def test_a_restart_is_marked_in_the_bars() -> None:
    events = [leaf(0, "step.started", "a"), leaf(500, "run.recovered"), leaf(1000, "step.succeeded", "a")]
    text = show_text(filled(answers.ShownRun, run_object(events=[*events])), paint=PLAIN)
    bar = next(line for line in text.splitlines() if line.strip().startswith("a  |"))
    assert bar.count("|") == 3


def test_a_run_nobody_drives_says_so() -> None:
    run = run_object("running", owner_alive=False, events=[leaf(0, "run.created")])
    assert "nobody drives it" in show_text(filled(answers.ShownRun, run), paint=PLAIN)


def test_an_error_shows_the_line_it_is_about(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("e") / "w.yaml"
    file.write_text("name: x\nsteps:\n  - nme: a\n")
    error = InputError(
        "UNKNOWN_KEY",
        "a step has no key `nme`",
        path=f"{file}:3:5",
        hint="did you mean `name`?",
        details={"length": 3},
    )
    assert error_text(error, paint=PLAIN).splitlines() == [
        "error: a step has no key `nme`   [UNKNOWN_KEY]",
        f"  --> {file}:3:5",
        "   |",
        " 3 |   - nme: a",
        "   |     ^^^",
        " help: did you mean `name`?",
    ]


def test_the_last_lines_that_a_program_printed_are_shown() -> None:
    printed = "".join(f"line {n}\n" for n in range(20))
    shown = error_text(WorldError("MCP_SERVER_FAILED", "it ended", details={"printed": printed}), paint=PLAIN)
    assert [line.strip() for line in shown.splitlines()[1:]] == [
        "it printed:",
        *(f"line {n}" for n in range(10, 20)),
    ]


def test_an_empty_list_is_told_where_it_is_the_answer() -> None:
    """Of a call that changed something it says nothing."""
    for undo, is_told in (("not_needed", True), ("automatic", False)):
        step: dict[str, Json] = {
            "name": "call",
            "capability": "a.b",
            "version": "1.0.0",
            "status": "succeeded",
        }
        step |= {"undo": undo, "output": {"path": "x", "entries": []}}
        run = filled(answers.Run, run_object(workflow=None, steps=[step]))
        assert ("entries  none" in result_text(run, paint=PLAIN)) is is_told


def test_a_place_in_a_file_that_is_gone_is_still_a_place() -> None:
    error = InputError("UNKNOWN_KEY", "x", path="/none/w.yaml:3:5")
    assert error_text(error, paint=PLAIN).splitlines()[1] == "  --> /none/w.yaml:3:5"


def test_each_cause_is_told_once_and_with_a_code() -> None:
    """The whole repeats its first fault in its sentence; that one gets no block of its own, and nobody counts the rest."""
    faults: list[Json] = [
        {"path": "path", "message": "`path` is missing"},
        {"path": "content", "message": "`content` is missing"},
    ]
    error = InputError(
        "INVALID_INPUT",
        "the inputs of `io.fs.write_file` are not valid: `path` is missing (and 1 more)",
        path="path",
        details={"faults": faults},
    )
    assert error_text(error, paint=PLAIN).splitlines() == [
        "error: `content` is missing   [INVALID_INPUT]",
        "",
        "error: the inputs of `io.fs.write_file` are not valid: `path` is missing   [INVALID_INPUT]",
    ]


def test_a_cause_without_a_shape_of_its_own_is_still_told() -> None:
    error = InputError("COMPENSATION_INVALID", "one (and 1 more)", details={"faults": ["one", "two"]})
    assert error_text(error, paint=PLAIN).splitlines() == [
        "error: two   [COMPENSATION_INVALID]",
        "",
        "error: one   [COMPENSATION_INVALID]",
    ]


def test_who_is_asked_sees_until_when() -> None:
    """The plan shows the limit; so must the question, as what is left of it."""
    asked = approval_object(expires_at_ms=7_200_000)
    assert (
        "  expires in 1 h"
        in approval_text(filled(answers.Approval, asked), paint=PLAIN, now_ms=3_600_000).splitlines()
    )
    assert (
        "  has expired"
        in approval_text(filled(answers.Approval, asked), paint=PLAIN, now_ms=7_200_000).splitlines()
    )
    assert "expire" not in approval_text(filled(answers.Approval, approval_object()), paint=PLAIN, now_ms=0)


def iterations(*statuses: str) -> list[Json]:
    return [
        {"name": f"stamp[{i}]", "status": status, "capability": "io.fs.write_file", "attempts": 1}
        for i, status in enumerate(statuses)
    ]


def test_a_failed_step_says_where_in_its_input_the_fault_is() -> None:
    """The error of the run names the step; the place within it is the step's own."""
    place = "text:1:7"
    step: dict[str, Json] = {
        "name": "call",
        "capability": "data.json.parse",
        "status": "failed",
        "error": {"path": place},
    }
    error: dict[str, Json] = {"code": "DATA_INVALID", "message": "expecting value", "path": "call"}
    lines = result_text(
        filled(answers.Run, run_object("failed", steps=[step], error=error)), paint=PLAIN
    ).splitlines()
    assert f"  --> {place}" in lines


def test_a_fault_that_the_error_tells_is_told_once_and_the_others_with_their_places() -> None:
    faults: list[Json] = [
        {"path": ["lines", 3, "qty"], "message": "`lines[3].qty` is missing"},
        {"path": ["lines", 4], "message": "no line"},
    ]
    error = InputError(
        "INVALID_INPUT",
        "the inputs are not valid: `lines[3].qty` is missing (and 1 more)",
        details={"faults": faults},
    )
    shown = error_text(error, paint=PLAIN)
    assert shown.count("is missing") == 1
    assert "  --> lines[4]\n" in shown


def test_what_a_program_said_keeps_its_lines_and_the_last_ones_are_shown() -> None:
    said = "".join(f"line {number}\x1b\n" for number in range(50))
    error: dict[str, Json] = {
        "code": "PROGRAM_FAILED",
        "message": "m",
        "details": {"stderr": said, "exit_code": 3},
    }
    lines = result_text(filled(answers.Run, run_object("failed", error=error)), paint=PLAIN).splitlines()
    start = lines.index("  stderr:")
    assert lines[start - 1 : start + 3] == [
        "  exit_code: 3",
        "  stderr:",
        "    … 10 lines before",
        "    line 10\\x1b",
    ]
    assert "    line 49\\x1b" in lines


FORGED = "no such file `a\nerror: all is lost\nverified  9 entries\r\n help: run me`"


@pytest.mark.parametrize("place", ["message", "path", "hint"])
@given(said=st.text() | st.just(FORGED))
def test_no_text_in_an_error_begins_a_line_of_its_own(place: str, said: str) -> None:
    """Names of files and projects, and what strangers wrote, stand in messages: no line but ours begins at the margin."""

    def at_the_margin(**other: str) -> tuple[int, ...]:
        said = {"message": "m", "path": "p", "hint": "h", **other}
        error = InputError("X", said["message"], path=said["path"], hint=said["hint"])
        run = filled(answers.Run, run_object("failed", error=error.to_dict()))
        lines = [error_text(error, paint=PLAIN).split("\n"), result_text(run, paint=PLAIN).split("\n")]
        return tuple(sum(not one.startswith("  ") for one in told if one) for told in lines)

    assert at_the_margin(**{place: f"x{said}"}) == at_the_margin()


def test_a_plan_shows_the_last_words_of_a_program_that_would_fail() -> None:
    """A few of them, and more for whoever asks for the step; neither drives the terminal."""
    said = "".join(f"line {number}\x1b[2J\n" for number in range(60))
    details: dict[str, Json] = {"stderr": said, "stdout": "", "exit_code": 3, "signal": None}
    failing = plan_step(
        "make",
        error={"code": "PROGRAM_FAILED", "message": "it ended", "details": details, "hint": "mend it"},
    )
    lines = shown_plan(failing).splitlines()
    start = lines.index("    stderr:")
    assert lines[start - 1 : start + 3] == [
        "    exit_code: 3",
        "    stderr:",
        "      … 50 lines before",
        "      line 50\\x1b[2J",
    ]
    assert lines[start + 12] == "  help: mend it"
    assert not any("signal" in line or "stdout" in line or "\x1b" in line for line in lines)
    assert "      line 20\\x1b[2J" in shown_plan(failing, detail="make").splitlines()
    assert "would fail: it ended   [" not in shown_plan(failing, plan_step("other"), detail="other")


def test_iterations_that_went_alike_share_a_line_and_a_failure_never_does() -> None:
    steps = [*iterations(*["succeeded"] * 9, "failed", "failed", "skipped"), *iterations("succeeded")]
    lines = result_text(filled(answers.Run, run_object("failed", steps=steps)), paint=PLAIN).splitlines()
    rows = [line.split() for line in lines if "stamp" in line]
    assert [row[: row.index("io.fs.write_file")] for row in rows] == [
        ["stamp[0..8]", "9", "\u00d7", "succeeded"],
        ["!", "stamp[9]", "failed"],
        ["!", "stamp[10]", "failed"],
        ["stamp[11]", "skipped"],
        ["stamp[0]", "succeeded"],
    ]


def test_iterations_planned_alike_share_a_row_with_the_sum_of_their_lines() -> None:
    """What is decided otherwise has a row of its own; a detail shows every row."""
    steps = [plan_step(f"stamp[{i}]") for i in range(3)]
    steps += [plan_step("stamp[3]", decision="DENY", rule="no"), plan_step("last")]
    text = shown_plan(*steps)
    rows = [line.split() for line in text.splitlines() if "io.fs.write_file" in line]
    assert [row[1:3] for row in rows] == [["1", "stamp[0..2]"], ["4", "stamp[3]"], ["5", "last"]]
    assert rows[0][3:5] == ["\u00d7", "3"]
    assert rows[0][-2:] == ["+3", "-3"]
    assert "2 more of `stamp[0..2]`: assent plan w.yaml --detail 'stamp[1]'" in text
    assert "Would: 5 changes" in text
    detailed = shown_plan(*steps, detail="stamp[1]")
    assert len([line for line in detailed.splitlines() if "io.fs.write_file" in line]) == 5
    assert "\nstamp[1]\n" in detailed


def test_iterations_that_differ_in_anything_that_is_shown_are_not_folded() -> None:
    differences: dict[str, Json] = {
        "risk_level": "HIGH",
        "undo": "none",
        "rule": "other",
        "known": False,
        "changes": False,
        "approvers": {"count": 2},
        "capability": "io.fs.copy",
        "error": {"message": "x"},
    }
    for field, value in differences.items():
        text = shown_plan(plan_step("stamp[0]"), plan_step("stamp[1]", **{field: value}))
        assert "stamp[0..1]" not in text, field


def test_of_many_errors_the_first_one_is_nearest_the_prompt() -> None:
    others = [dict(InputError("X_Y", f"fault {i}").to_dict()) for i in range(FAULTS_SHOWN + 5)]
    text = error_text(InputError("X_Y", "the first", details={"faults": [*others]}), paint=PLAIN)
    assert text.splitlines()[-1] == "error: the first   [X_Y]"
    assert text.splitlines()[0] == "… and 6 more"
    assert text.count("error:") == FAULTS_SHOWN


def test_errors_of_one_file_stand_in_its_order_and_those_of_several_do_not() -> None:
    def text(*places: str) -> str:
        first, *others = (
            InputError("X_Y", f"fault {number}", path=place) for number, place in enumerate(places)
        )
        first.details["faults"] = [dict(one.to_dict()) for one in others]
        return error_text(first, paint=PLAIN)

    def order(shown: str) -> list[str]:
        return [line.split()[2] for line in shown.splitlines() if line.startswith("error:")]

    assert order(text("/none/w:10:1", "/none/w:9:7", "/none/w:9:3")) == ["2", "1", "0"]
    assert order(text("/none/w:1:1", "/none/w:9:7", "/none/w:12:3")) == ["0", "1", "2"]
    assert order(text("/none/w:1:1", "/none/v:9:7")) == ["1", "0"]
    assert order(text("/none/w:1:1", "here")) == ["1", "0"]
    many = text(*(f"/none/w:{line}:1" for line in range(1, FAULTS_SHOWN + 3)))
    assert many.splitlines()[0] == "error: fault 0   [X_Y]"
    assert many.splitlines()[-1] == "… and 2 more"


def test_a_difference_names_what_breaks_first_and_says_who_is_served() -> None:
    """Marks, not colours, tell what breaks."""
    changes: list[Json] = [
        {
            "path": "returns.size",
            "kind": "field_added",
            "breaking": False,
            "reason": "an optional field was added",
        },
        {"path": "parameters.name", "kind": "type_changed", "breaking": True, "reason": "it was string"},
    ]
    data: dict[str, Json] = {
        "capability": "a.b",
        "from": "1.0.0",
        "to": "2.0.0",
        "breaking": True,
        "counts": {"breaking": 1, "compatible": 1},
        "changes": changes,
        "served": False,
        "missing": "nothing leads there",
    }
    lines = diff_text_of(data).splitlines()
    assert lines[0] == "a.b  1.0.0 → 2.0.0: 2 changes, 1 breaking"
    assert lines[1].split() == ["!", "parameters.name", "it", "was", "string"]
    assert lines[-1] == "callers of 1.0.0 can't be served: nothing leads there"
    assert "are served through transformers" in diff_text_of({**data, "served": True})
    harmless: dict[str, Json] = {**data, "changes": changes[:1], "counts": {"breaking": 0, "compatible": 1}}
    assert diff_text_of(harmless).splitlines()[0] == "a.b  1.0.0 → 2.0.0: 1 change, none breaking"
    assert len(diff_text_of(harmless).splitlines()) == 2


def test_the_rules_that_were_tried_and_what_failed_at_last_are_told_in_words() -> None:
    tried: list[Json] = [
        {"rule": "low", "decision": "ALLOW", "matched": False, "because": "risk_level is `HIGH`"},
        {"rule": "no", "decision": "DENY", "matched": True, "because": "everything it asks for holds\x1b\n"},
    ]
    beside: Json = {
        "code": "NOT_FOUND",
        "message": "gone",
        "path": "tidy",
        "hint": "look",
        "details": {"n": 1},
    }
    error: Json = {
        "code": "POLICY_DENIED",
        "message": "denied",
        "path": "del",
        "details": {"trace": tried, "finally": beside, "one": [{"a": 1, "b": "x"}]},
    }
    steps: list[Json] = [
        {"name": "del", "status": "denied"},
        {"name": "tidy", "status": "failed", "in_finally": True},
    ]
    run = run_object("failed", steps=steps, error=error)
    shown = result_text(filled(answers.Run, run), paint=PLAIN).splitlines()
    start = shown.index("  finally: step `tidy`: gone   [NOT_FOUND]")
    assert shown[start + 1 : start + 7] == [
        "    n: 1",
        "    help: look",
        "  one: a 1  b x",
        "  trace:",
        "    low (ALLOW): risk_level is `HIGH`",
        "    no (DENY): everything it asks for holds\\x1b\\n",
    ]
    rows = {line.split()[1]: line for line in shown if line.startswith("  !")}
    assert ["(finally)" in rows[name] for name in ("del", "tidy")] == [False, True]


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"state": "over", "replaced_by": "run_9"}, "cancelled for run_9, which wanted the key 'k'"),
        ({"state": "waiting", "held_by": ["run_2"], "in_force": 1}, "1 at once, and not 3: others say so"),
        ({"state": "waiting", "held_by": ["run_2"]}, "waits for the key 'k', which run_2 has"),
        ({"state": "held", "waiting": ["run_3"]}, "has the key 'k', for which run_3 waits"),
        ({"state": "over"}, ""),
    ],
)
def test_a_run_says_what_its_concurrency_key_did_to_it(known: dict[str, Json], words: str) -> None:
    said: dict[str, Json] = {
        "key": "k",
        "limit": 3,
        "in_force": 3,
        "on_busy": "queue",
        "held_by": [],
        "waiting": [],
    }
    shown = show_text(filled(answers.ShownRun, run_object(concurrency={**said, **known})), paint=PLAIN)
    assert words in " ".join(shown.split())
    assert ("key" in shown) is bool(words)


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({}, "concurrency key k: at most 3 runs at once, else queue; had now by nobody"),
        ({"in_force": 1, "held_by": ["run_2"]}, "(1 as long as those have it that have it now)"),
        (
            {"decision": "DENY", "rule": "no"},
            "denied by rule no, so that the run would end before its first step",
        ),
        (
            {"others": {"decision": "ALLOW", "rule": "r"}},
            "runs of others with this key are cancelled too (rule r)",
        ),
        (
            {"others": {"decision": "DENY", "rule": "r"}},
            "runs of others with this key are waited for (rule r)",
        ),
    ],
)
def test_a_plan_says_whether_its_run_may_have_its_key(known: dict[str, Json], words: str) -> None:
    said: dict[str, Json] = {"key": "k", "limit": 3, "in_force": 3, "on_busy": "queue", "held_by": []}
    key: dict[str, Json] = {**said, "decision": "ALLOW", "rule": "builtin.concurrency", **known}
    plan = filled(answers.Plan, {"plan_id": "plan_1", "workflow": "w", "steps": [], "concurrency": key})
    assert words in " ".join(plan_text(plan, paint=PLAIN, detail=None, run="run", show="show").split())
    assert plan_exit_code(plan) == (3 if key["decision"] == "DENY" else 0)
