"""What `assent replay` and `assent show --snapshot` say and write."""

from __future__ import annotations

import stat
from typing import Any

from assent.errors import Json
from tests.support.door import RUN, ScriptedRuntime, Terminal, run_object


def report(**fields: Json) -> dict[str, Json]:
    """A report of the façade's shape, in which nothing differs."""
    plain: dict[str, Json] = {
        "run_id": RUN,
        "workflow": "release",
        "equal": not fields.get("differences"),
        "status": {"recorded": "rolled_back", "replayed": "rolled_back"},
        "steps": 3,
        "differences": [],
        "policy": {"recorded": "p1", "now": "p1", "changed": False},
        "against": {},
        "capabilities": [],
        "stopped": [],
        "assumed": [],
        "masked": [],
    }
    return plain | fields


def test_a_replay_in_which_nothing_differs_says_so_and_exits_with_0(
    terminal: Terminal, runtime: ScriptedRuntime
) -> None:
    runtime.replayed = report()
    answer = terminal("replay", RUN)
    assert (answer.code, answer.out) == (0, f"{RUN}: nothing differs (rolled back)\n")
    assert terminal("replay", RUN, "--json").object == runtime.replayed
    [asked, _] = runtime.requests
    assert asked == {"op": "replay", "run": RUN, "snapshot": None, "capability_version": None}


def test_every_difference_is_told_and_the_exit_code_is_1(
    terminal: Terminal, runtime: ScriptedRuntime
) -> None:
    patch: Json = [{"op": "replace", "path": "/n", "value": 2}, {"op": "remove", "path": ""}]
    differences: list[Any] = [
        {
            "in": "decision",
            "step": "b",
            "recorded": {"decision": "ALLOW", "rule": "all"},
            "replayed": {"decision": "DENY", "rule": "no"},
        },
        {"in": "output", "step": None, "recorded": {"n": 1}, "replayed": {"n": 2}, "patch": patch},
        {"in": "event", "step": "b", "recorded": {"kind": "step.started"}, "replayed": None},
    ]
    runtime.replayed = report(
        differences=differences,
        status={"recorded": "succeeded", "replayed": "rolled_back"},
        policy={"recorded": "p1", "now": "p2", "changed": True},
        against={"demo.greet": "2.0.0"},
        capabilities=[
            {"capability": "a@1.0.0", "changed": "missing"},
            {"capability": "b@1.0.0", "changed": "handler"},
        ],
        stopped=["c"],
        assumed=["a"],
        masked=["net.login /token"],
    )
    answer = terminal("replay", RUN, "--capability-version", "demo.greet@2.0.0")
    assert answer.code == 1
    assert answer.out.splitlines() == [
        "decision  b  ALLOW (all) -> DENY (no)",
        "output    run",
        "          replace /n  2",
        "          remove (whole)",
        "event     b  step.started -> -",
        "the policy is another than the run was decided by",
        "demo.greet really ran as 2.0.0, on a simulated world",
        "a@1.0.0 is not installed here",
        "b@1.0.0 has another handler than recorded",
        "c: the record ends here: it does not tell what would have come of it",
        "a: taken to have been taken back: the record does not tell",
        "net.login /token: hidden in the snapshot: neither validated nor compared",
        f"{RUN}: 3 differences (succeeded then, rolled back now)",
    ]
    runtime.replayed = report(differences=differences[:1])
    assert terminal("replay", RUN).out.splitlines()[-1] == f"{RUN}: 1 difference (rolled back again)"
    assert terminal("replay", RUN, "--json").code == 1


def test_a_snapshot_is_written_for_its_owner_only_and_read_again(
    terminal: Terminal, runtime: ScriptedRuntime
) -> None:
    runtime.shown = [run_object(events=[])] * 2
    answer = terminal("show", RUN, "--snapshot", "run.json", "--json")
    assert (answer.code, answer.object["run_id"]) == (0, RUN)
    assert "replay it anywhere: assent replay run.json" in answer.err
    path = terminal.folder / "run.json"
    assert path.read_text() == f"the snapshot of {RUN}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    runtime.replayed = report()
    assert terminal("replay", "run.json").code == 0
    assert runtime.requests[-1]["snapshot"] == f"the snapshot of {RUN}".encode()
    answer = terminal("show", RUN, "--snapshot", "no/such/folder.json", "--json")
    assert (answer.code, answer.error["code"]) == (1, "FILE_UNWRITABLE")


def test_a_snapshot_for_standard_output_is_the_answer(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    runtime.shown = [run_object(events=[])]
    answer = terminal("show", RUN, "--snapshot", "-")
    assert (answer.code, answer.out) == (0, f"the snapshot of {RUN}\n")
    assert not (terminal.folder / "-").exists()


def test_an_attachment_is_written_as_it_is(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    runtime.shown = [run_object(events=[])]
    answer = terminal("show", RUN, "--attachment", "abc")
    assert (answer.code, answer.out) == (0, f"what {RUN} attached as abc")


def test_what_is_neither_a_run_nor_a_file_is_told_so(terminal: Terminal) -> None:
    terminal.runtime = None
    assert terminal("call", "sys.noop").code == 0
    answer = terminal("replay", "run.jsn", "--json")
    assert (answer.code, answer.error["message"]) == (2, "`run.jsn` is neither a run nor a file")
    assert terminal("replay", "run_zz", "--json").error["message"] == "there is no run `run_zz`"
