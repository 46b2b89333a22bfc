"""A Python program owns the state: terminals and other programs use it meanwhile, and nobody is harmed when one of them goes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.nursery import Nursery
from tests.support.own_places import own_places
from tests.support.terminals import Running, Terminals

_DELETES: Final = """\
name: deletes
steps:
  - name: drop
    capability: io.fs.delete
    inputs: {path: old.txt}
"""

_OWNER: Final = """\
import asyncio, sys, time
from assent import Runtime, capability

@capability("shop.greet", operation="READ", risk="LOW")
def greet(name: str) -> str:
    "Greet somebody."
    return f"hello {name}"

@capability("shop.enter", operation="READ", risk="LOW", secrets=["shop/door"])
def enter() -> str:
    "Enter the shop."
    return "inside"

async def main():
    rt = Runtime.open()
    rt.register(greet)
    rt.register(enter)
    async with rt:
        print("open", file=sys.stderr)
        block = int(sys.argv[1])
        if block:
            time.sleep(block)
            print("back", file=sys.stderr)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print("closed", file=sys.stderr)

asyncio.run(main())
"""

_CLIENT: Final = """\
import asyncio, sys
from assent import Runtime
from assent.errors import AssentError

async def main():
    async with Runtime.open() as rt:
        made = await rt.call("io.fs.write_file", {"path": "made.txt", "content": "made"})
        print("made", made.run_id, file=sys.stderr)
        def hear(run, n, at_ms, event):
            if event.kind == "step.started":
                print("napping", file=sys.stderr)
        try:
            with rt.telling(hear):
                await rt.call("sys.sleep", {"seconds": 600})
        except AssentError as error:
            print("lost", error.code, file=sys.stderr)
        undone = await rt.undo(made.run_id)
        print("undone", undone.status.value, file=sys.stderr)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


_WAITER: Final = """\
import asyncio, sys
from assent import Runtime

async def main():
    async with Runtime.open() as rt:
        print("open", file=sys.stderr)
        waited = await rt.wait(sys.argv[1])
        print("waited", waited.status.value, file=sys.stderr)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


@pytest.fixture
def terminals(tmp_path: Path, clean_env: dict[str, str], nursery: Nursery) -> Iterator[Terminals]:
    workspace = tmp_path / "ws"
    workspace.mkdir()
    with own_places(tmp_path, clean_env) as env, Terminals.at(workspace, env, nursery) as terminals:
        terminals.write("deletes.yaml", _DELETES)
        terminals.write("old.txt", "old\n")
        yield terminals


def program(terminals: Terminals, text: str, *words: str) -> Running:
    """A Python program in the workspace, which ends when its stdin does."""
    return terminals.run_python("-c", text, *words)


def test_a_terminal_works_beside_a_program(terminals: Terminals) -> None:
    """It calls, runs, approves, cancels, lists and undoes; the program performs it, and ends by itself when it wants to."""
    owner = program(terminals, _OWNER, "0")
    owner.wait_for("open")
    made = terminals.answer("call", "io.fs.write_file", "path=made.txt", "content=made")
    waiting = [terminals.type("run", "deletes.yaml", "--json").json()["run_id"] for _ in range(2)]
    assert {item["run_id"] for item in terminals.answer("approvals")} == set(waiting)
    assert terminals.type("cancel", waiting[0]).code == 0
    assert terminals.answer("approve", waiting[1], "--unseen")["status"] == "succeeded"
    assert terminals.answer("undo", made["run_id"])["status"] == "undone"
    assert [run["status"] for run in terminals.answer("runs")] == ["undone", "cancelled", "succeeded"]
    assert not (terminals.workspace / "old.txt").exists()
    assert owner.process.poll() is None
    owner.close_stdin()
    ended = owner.end()
    assert (ended.code, ended.err.splitlines()[-1]) == (0, "closed")
    assert terminals.answer("audit", "verify")["ok"] is True


def test_a_terminal_asks_about_and_calls_what_only_the_program_has(terminals: Terminals) -> None:
    """Its words are read by the types that are declared there; what nobody has is unknown as ever."""
    owner = program(terminals, _OWNER, "0")
    owner.wait_for("open")
    assert terminals.answer("call", "shop.greet", "name=7")["outputs"] == "hello 7"
    assert terminals.answer("policy", "explain", "shop.greet", "name=7")["complete"] is True
    assert terminals.answer("capability", "show", "shop.greet")["description"] == "Greet somebody."
    terminals.write(
        "greets.yaml", "name: greets\nsteps: [{name: it, capability: shop.greet, inputs: {name: ann}}]\n"
    )
    planned = terminals.answer("plan", "greets.yaml")
    assert [step["capability"] for step in planned["steps"]] == ["shop.greet"]
    ran = terminals.answer("run", planned["plan_id"])
    assert (ran["status"], ran["steps"][0]["output"]) == ("succeeded", "hello ann")
    assert terminals.answer("secrets", "who-uses", "shop/door")["specs"] == ["shop.enter"]
    assert [one["name"] for one in terminals.answer("secrets", "list")] == ["shop/door"]
    for words, code in ((("shop.greet", "nme=7"), "INPUT_UNKNOWN"), (("shop.none",), "CAPABILITY_UNKNOWN")):
        for command in (("call",), ("policy", "explain")):
            refused = terminals.type(*command, *words, "--json")
            assert (refused.code, refused.json()["error"]["code"]) == (2, code)
    owner.close_stdin()
    assert owner.end().code == 0


def test_a_terminal_is_refused_a_new_run_under_another_policy(terminals: Terminals) -> None:
    """`OWNER_DIFFERS`, and deciding works all the same."""
    terminals.write("strict.yaml", "version: 1\ndefault: DENY\nrules: []\n")
    owner = program(terminals, _OWNER, "0")
    owner.wait_for("open")
    waiting = terminals.type("run", "deletes.yaml", "--json").json()["run_id"]
    refused = terminals.type("call", "sys.noop", "--policy", "strict.yaml", "--json")
    assert refused.code == 1
    assert refused.json()["error"]["code"] == "OWNER_DIFFERS"
    assert terminals.type("reject", waiting, "--policy", "strict.yaml").code == 0
    owner.close_stdin()
    assert owner.end().code == 0


@pytest.mark.slow
def test_a_program_that_blocks_its_loop_is_waited_for(terminals: Terminals) -> None:
    """Longer than an owner may be silent: the terminal is told that it is busy, reads meanwhile, and then served."""
    owner = program(terminals, _OWNER, "20")
    owner.wait_for("open")
    calling = terminals.begin("call", "sys.noop")
    calling.wait_for("busy for")
    assert terminals.answer("runs") == []
    ended = calling.end()
    assert ended.code == 0, ended
    owner.wait_for("back")
    owner.close_stdin()
    assert owner.end().code == 0


def test_a_second_program_is_a_client_and_follows_when_the_owner_is_killed(terminals: Terminals) -> None:
    """It is told what was lost, and goes on as the owner, which a terminal then uses."""
    owner = program(terminals, _OWNER, "0")
    owner.wait_for("open")
    client = program(terminals, _CLIENT)
    client.wait_for("made")
    client.wait_for("napping")
    assert [run["status"] for run in terminals.answer("runs")] == ["succeeded", "running"]
    owner.send(signal.SIGKILL)
    client.wait_for("lost", "OWNER_LOST")
    client.wait_for("undone", "undone")
    assert not (terminals.workspace / "made.txt").exists()
    assert terminals.answer("call", "sys.noop")["status"] == "succeeded"
    assert client.process.poll() is None
    client.close_stdin()
    assert client.end().code == 0
    assert owner.end().code == -9
    assert terminals.answer("audit", "verify")["ok"] is True


def test_who_waits_for_a_run_whose_owner_is_killed_is_told_that_it_is_interrupted(
    terminals: Terminals,
) -> None:
    """Whether it becomes the owner or another one does, and so is a terminal beside them, until somebody resumes the run."""
    terminals.write(
        "naps.yaml", "name: naps\nsteps: [{name: nap, capability: sys.sleep, inputs: {seconds: 600}}]\n"
    )
    killed = terminals.begin("run", "naps.yaml")
    killed.wait_for("started", "nap")
    (run,) = [line["run_id"] for line in terminals.answer("runs")]
    waiters = [program(terminals, _WAITER, run) for _ in range(2)]
    for waiter in waiters:
        waiter.wait_for("open")
    killed.send(signal.SIGKILL)
    for waiter in waiters:
        waiter.wait_for("waited", "interrupted")
    assert terminals.answer("show", run)["status"] == "interrupted"
    assert [line["run_id"] for line in terminals.answer("runs", "--status", "interrupted")] == [run]
    assert terminals.answer("runs", "--status", "running") == []
    resuming = terminals.begin("resume", run)
    resuming.wait_for("resumed", "nap")
    assert terminals.answer("show", run)["status"] == "running"
    assert terminals.type("cancel", run).code == 0
    assert resuming.end().code == 1
    for waiter in waiters:
        waiter.close_stdin()
        assert waiter.end().code == 0
