"""Several terminals, one state: a second one never waits for a lock, is told what happens, and harms nobody by leaving."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nursery import Nursery
from tests.support.own_places import own_places
from tests.support.terminals import Running, Terminals

# Long enough that nothing here can outlast it; every test ends such a run by a signal or a cancel.
_SLEEPS = """\
name: sleeps
steps:
  - name: note
    capability: io.fs.write_file
    inputs: {path: note.txt, content: "noted\\n"}
  - name: nap
    capability: sys.sleep
    inputs: {seconds: 600}
"""

_NAPS = """\
name: naps
steps:
  - name: nap
    capability: sys.sleep
    inputs: {seconds: 600}
"""

_ONE = """\
name: one
inputs: {ask: boolean}
concurrency: k
steps:
  - {name: ask, when: inputs.ask, approval: {reason: ready}}
  - {name: noop, capability: sys.noop}
"""

_DELETES = """\
name: deletes
steps:
  - name: note
    capability: io.fs.write_file
    inputs: {path: note.txt, content: "noted\\n"}
  - name: drop
    capability: io.fs.delete
    inputs: {path: old.txt}
"""


@pytest.fixture
def terminals(tmp_path: Path, clean_env: dict[str, str], nursery: Nursery) -> Iterator[Terminals]:
    workspace = tmp_path / "ws"
    workspace.mkdir()
    with own_places(tmp_path, clean_env) as env, Terminals.at(workspace, env, nursery) as terminals:
        terminals.write("sleeps.yaml", _SLEEPS)
        terminals.write("naps.yaml", _NAPS)
        terminals.write("deletes.yaml", _DELETES)
        terminals.write("old.txt", "old\n")
        yield terminals


@pytest.fixture
def owner(terminals: Terminals) -> Running:
    """The first terminal: it runs a workflow that sleeps, and so owns the state."""
    owner = terminals.begin("run", "sleeps.yaml")
    owner.wait_for("started", "nap")
    return owner


def own_run(terminals: Terminals) -> str:
    """The run of the first terminal."""
    (run,) = [run for run in terminals.answer("runs") if run["workflow"] == "sleeps"]
    return str(run["run_id"])


def test_reading_works_beside_an_owner(terminals: Terminals, owner: Running) -> None:
    """No reading command waits, takes the lock or disturbs the run."""
    run = own_run(terminals)
    assert terminals.answer("runs")[0]["status"] == "running"
    shown = terminals.answer("show", run)
    assert [step["status"] for step in shown["steps"]] == ["succeeded", "running"]
    assert any(event["run_id"] == run for event in terminals.events("audit", "log"))
    assert terminals.answer("audit", "verify")["ok"] is True
    assert terminals.answer("approvals") == []
    while (
        code := terminals.type("audit", "prove", "1").code
    ) != 0:  # the owner signs what has stood for a second
        assert code == 2
    assert owner.process.poll() is None


def test_driving_commands_are_done_by_the_owner(terminals: Terminals, owner: Running) -> None:
    """`run`, `call`, `approve`, `cancel` and `undo` of a second terminal work while the first one's run is under way."""
    called = terminals.answer("call", "io.fs.write_file", "path=called.txt", "content=hello")
    assert (terminals.workspace / "called.txt").read_text() == "hello"
    assert terminals.answer("undo", called["run_id"])["status"] == "undone"
    assert not (terminals.workspace / "called.txt").exists()

    waiting = terminals.type("run", "deletes.yaml", "--json")
    assert waiting.code == 4, waiting
    run = waiting.json()["run_id"]
    approved = terminals.type("approve", run, "drop", "--unseen", "--json")
    assert approved.code == 0, approved
    assert not (terminals.workspace / "old.txt").exists()

    assert owner.process.poll() is None, "the first terminal's run is still under way"
    assert terminals.type("cancel", own_run(terminals), "--json").code == 0
    assert owner.end().code == 1
    assert {run["status"] for run in terminals.answer("runs")} == {"undone", "succeeded", "cancelled"}
    assert terminals.answer("audit", "verify")["ok"] is True


def test_each_terminal_is_told_of_its_own_run(terminals: Terminals, owner: Running) -> None:
    """Progress is streamed to the terminal that asked, and to no other."""
    terminals.write("noops.yaml", "name: noops\nsteps:\n  - {name: only, capability: sys.noop}\n")
    ended = terminals.type("run", "noops.yaml")
    assert ended.code == 0
    assert "started" in ended.err
    assert "nap" not in ended.err
    assert terminals.type("cancel", own_run(terminals)).code == 0
    said = owner.end().err
    assert "run cancelled" in said
    assert "sys.noop" not in said


def test_ctrl_c_in_the_second_terminal_leaves_the_run_alone(terminals: Terminals, owner: Running) -> None:
    """A client that goes away takes nothing with it: the run goes on where it is driven, and it is told so."""
    second = terminals.begin("run", "naps.yaml")
    second.wait_for("started", "nap")
    second.send(signal.SIGINT)
    ended = second.end()
    assert ended.code == 130
    assert "the run goes on" in ended.err
    assert "assent show run_" in ended.err
    assert [run["status"] for run in terminals.answer("runs")] == ["running", "running"]
    for run in terminals.answer("runs"):
        assert terminals.type("cancel", run["run_id"]).code == 0
    assert owner.end().code == 1


def test_who_waits_for_a_concurrency_key_stays_until_its_run_has_ended(terminals: Terminals) -> None:
    """`--wait` follows whoever has the key, begins when that has ended, and needs nobody who drives meanwhile."""
    terminals.write("one.yaml", _ONE)
    first = terminals.type("run", "one.yaml", "ask=true", "--json")
    assert first.code == 4, first
    second = terminals.begin("run", "one.yaml", "ask=false", "--wait=60s")
    second.wait_for("waiting; Ctrl-C")
    holder = first.json()["run_id"]
    assert terminals.answer("show", holder)["concurrency"]["waiting"] == [
        terminals.answer("runs")[-1]["run_id"]
    ]
    assert terminals.type("approve", holder, "--unseen").code == 0
    assert second.end().code == 0
    assert {run["status"] for run in terminals.answer("runs")} == {"succeeded"}


def test_the_owner_ends_only_after_the_work_of_others(terminals: Terminals, owner: Running) -> None:
    """Its own run is over, the forwarded one is not: it says so, takes more, and stays until nobody needs it."""
    second = terminals.begin("run", "naps.yaml")
    second.wait_for("started", "nap")
    first, other = [run["run_id"] for run in terminals.answer("runs")]
    assert terminals.type("cancel", first).code == 0
    owner.wait_for("of other terminals")
    assert terminals.type("call", "sys.noop").code == 0, "it still takes requests"
    assert owner.process.poll() is None
    assert terminals.type("cancel", other).code == 0
    assert second.end().code == 1
    ended = owner.end()
    assert ended.code == 1
    assert first in ended.out, "the answer about its own run was not lost"


def test_ctrl_c_while_the_owner_works_for_others_still_tells_its_own_answer(
    terminals: Terminals, owner: Running
) -> None:
    """Interrupted then, it tells what came of its own run; the other's can be resumed, and its terminal says so."""
    second = terminals.begin("run", "naps.yaml")
    second.wait_for("started", "nap")
    first, other = [run["run_id"] for run in terminals.answer("runs")]
    assert terminals.type("cancel", first).code == 0
    owner.wait_for("of other terminals")
    owner.send(signal.SIGINT)
    ended = owner.end()
    assert ended.code == 1
    assert first in ended.out
    lost = second.end()
    assert lost.code == 1
    assert "OWNER_LOST" in lost.err
    statuses = {run["run_id"]: run["status"] for run in terminals.answer("runs")}
    assert statuses == {first: "cancelled", other: "interrupted"}


def test_a_client_is_told_when_the_owner_is_killed(terminals: Terminals, owner: Running) -> None:
    """`OWNER_LOST` with what to do; the next command recovers."""
    second = terminals.begin("run", "naps.yaml", "--json")
    while len(terminals.answer("runs")) < 2:
        pass
    owner.send(signal.SIGKILL)
    assert owner.end().code == -9
    lost = second.end()
    assert lost.code == 1
    error = lost.json()["error"]
    assert error["code"] == "OWNER_LOST"
    assert "assent resume" in error["hint"]
    assert [run["status"] for run in terminals.answer("runs")] == ["interrupted", "interrupted"]
    assert "2 unfinished runs: assent resume" in terminals.type("call", "sys.noop").err
    for run in terminals.answer("runs")[:2]:
        assert terminals.type("cancel", run["run_id"]).code == 0
    assert terminals.answer("audit", "verify")["ok"] is True
    assert not (terminals.workspace / "note.txt").exists()


def test_many_calls_at_once_all_succeed(terminals: Terminals) -> None:
    """Sixteen commands start together; whoever is first serves the others, and nobody sees a locked database."""
    calls = [terminals.begin("call", "io.fs.write_file", f"path=f{n}.txt", f"content={n}") for n in range(16)]
    ended = [call.end() for call in calls]
    assert [end.code for end in ended] == [0] * 16, ended
    assert "lock" not in "".join(end.err for end in ended)
    assert [(terminals.workspace / f"f{n}.txt").read_text() for n in range(16)] == [str(n) for n in range(16)]
    assert [run["status"] for run in terminals.answer("runs")] == ["succeeded"] * 16
    assert terminals.answer("audit", "verify")["ok"] is True


def test_waiting_for_a_person_holds_no_lock(terminals: Terminals) -> None:
    """`--wait` follows the journal: another terminal decides as the owner, and the first one tells how it ended."""
    waiting = terminals.begin("run", "deletes.yaml", "--wait")
    waiting.wait_for("waiting; Ctrl-C")
    (run,) = terminals.answer("runs")
    assert run["status"] == "waiting"
    approved = terminals.type("approve", run["run_id"], "--unseen", "--json")
    assert approved.code == 0, approved
    ended = waiting.end()
    assert ended.code == 0
    assert "run succeeded" in ended.err, "what happens in the other terminal is told here"
    assert not (terminals.workspace / "old.txt").exists()


def test_a_wait_ends_when_who_drives_the_run_is_killed(terminals: Terminals) -> None:
    """A killed process writes nothing; whoever waits is woken by its end, and says how to go on."""
    terminals.write("asks.yaml", _DELETES + _NAPS.partition("steps:\n")[2])
    waiting = terminals.begin("run", "asks.yaml", "--wait")
    waiting.wait_for("waiting; Ctrl-C")
    (run,) = terminals.answer("runs")
    owner = terminals.begin("approve", run["run_id"], "--unseen")
    waiting.wait_for("started", "nap")
    owner.send(signal.SIGKILL)
    ended = waiting.end()
    assert ended.code == 5
    assert terminals.answer("runs")[0]["status"] == "interrupted"


def test_a_wait_that_is_interrupted_leaves_the_run_waiting(terminals: Terminals) -> None:
    waiting = terminals.begin("run", "deletes.yaml", "--wait")
    waiting.wait_for("waiting; Ctrl-C")
    waiting.send(signal.SIGINT)
    assert waiting.end().code == 130
    (run,) = terminals.answer("runs")
    assert run["status"] == "waiting"
