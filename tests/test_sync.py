"""The runtime for programs without an event loop."""

from __future__ import annotations

import inspect
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assent import Runtime as AsyncRuntime
from assent import capability, sync
from assent.errors import AssentError
from assent.spec.states import RunState

DELETES: dict[str, Any] = {
    "name": "deletes",
    "steps": [{"name": "drop", "capability": "io.fs.delete", "inputs": {"path": "old.txt"}}],
}


@capability("shop.greet", operation="READ", risk="LOW")
def greet(name: str) -> str:
    """Greet somebody."""
    return f"hello {name}"


def test_its_methods_wait(tmp_path: Path) -> None:
    """Calls, runs, sessions, decisions and events, and what went wrong is raised."""
    (tmp_path / "old.txt").write_text("old")
    with sync.Runtime.open(tmp_path) as rt:
        rt.runtime.register(greet)
        assert rt.call("shop.greet", {"name": "ann"}).step("call").output == "hello ann"
        waiting = rt.run(DELETES)
        assert waiting.status is RunState.WAITING
        assert rt.approve(waiting.run_id).status is RunState.SUCCEEDED
        assert rt.wait(waiting.run_id) == rt.show(waiting.run_id)
        kinds = [event.event["kind"] for event in rt.events(waiting.run_id)]
        assert (kinds[0], kinds[-1]) == ("run.created", "run.succeeded")
        session = rt.session()
        session.call("io.fs.write_file", {"path": "a.txt", "content": "a"})
        assert session.close().status is RunState.SUCCEEDED
        assert rt.undo(session.run_id).status is RunState.UNDONE
        explained, is_whole = rt.explain("io.fs.delete", {"path": "old.txt"})
        assert (explained.to_json()["decision"], is_whole) == ("REQUIRE_APPROVAL", True)
        with pytest.raises(AssentError) as unknown:
            rt.show("run_nothing")
        assert unknown.value.code == "RUN_UNKNOWN"
    with pytest.raises(RuntimeError):
        rt.call("sys.noop")


def test_it_is_a_client_where_another_owns(tmp_path: Path) -> None:
    """Both serve while the program that opened them does something else: here, in one thread."""
    with sync.Runtime.open(tmp_path) as owner, sync.Runtime.open(tmp_path) as client:
        made = client.call("io.fs.write_file", {"path": "a.txt", "content": "a"})
        assert owner.show(made.run_id).status is RunState.SUCCEEDED


def test_it_has_every_method_of_the_awaited_one() -> None:
    """What is awaited there waits here, under the same name."""
    awaited = {
        name
        for name, member in inspect.getmembers(AsyncRuntime)
        if not name.startswith("_")
        and (inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member))
    }
    inside = {
        "start",
        "close",
        "find",
        "result",
        "run_spec",
        "run_plan",
        "replay_recording",
        "snapshot_of",
        "add_step",
        "close_session",
        "reload_configuration",
    }
    assert awaited - inside <= set(dir(sync.Runtime))


def test_its_versions_and_deliveries_wait_too(tmp_path: Path) -> None:
    """Of an owner and of a client."""
    with sync.Runtime.open(tmp_path) as owner, sync.Runtime.open(tmp_path) as client:
        for rt in (owner, client):
            assert rt.versions.label("io.fs.write_file@1.0.0", "stable").version == "1.0.0"
            assert {change.label for change in rt.versions.label_history("io.fs.write_file")} == {"stable"}
            assert rt.versions.status("io.fs.write_file", "1.0.0").labels == ("stable",)
            assert rt.versions.diff("io.fs.write_file", "1.0.0", "stable").changes == ()
            assert rt.versions.unlabel("io.fs.write_file", "stable") is True
            assert rt.deliveries.list() == []
            with pytest.raises(AssentError) as refused:
                rt.deliveries.cancel("msg_nothing")
            assert refused.value.code == "DELIVERY_UNKNOWN"


@pytest.mark.parametrize("is_here", [True, False])
def test_ctrl_c_ends_the_waiting_and_the_run_can_be_resumed(tmp_path: Path, *, is_here: bool) -> None:
    """`KeyboardInterrupt` is raised where the program waits; leaving the `with` stops the run where it is.

    Also where another thread takes the signal: that is the moment before the wait begins, made to last.
    """
    program = """
import signal, sys, threading
from assent.sync import Runtime
with Runtime.open(sys.argv[1]) as rt:
    def hear(run, n, at_ms, event):
        if event.kind == "step.started":
            print("napping", flush=True)
            if len(sys.argv) > 2:
                signal.pthread_kill(threading.get_ident(), signal.SIGINT)
    try:
        with rt.runtime.telling(hear):
            rt.call("sys.sleep", {"seconds": 600})
    except KeyboardInterrupt:
        print("interrupted", flush=True)
with Runtime.open(sys.argv[1]) as rt:
    print(len(rt.unfinished()), flush=True)
"""
    words = [sys.executable, "-c", program, str(tmp_path), *([] if is_here else ["elsewhere"])]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "napping\n"
        if is_here:
            process.send_signal(signal.SIGINT)
        try:
            said, _ = process.communicate(timeout=60)
        finally:
            process.kill()
        assert said == "interrupted\n1\n"
        assert process.returncode == 0
