"""A promise kept: a command that ended with 75 is never carried out, also when the stopped owner goes on."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.nursery import Nursery
from tests.support.own_places import own_places
from tests.support.terminals import Terminals

_NAPS = """\
name: naps
steps:
  - name: nap
    capability: sys.sleep
    inputs: {seconds: 600}
"""

_DELETES = """\
name: deletes
steps:
  - name: drop
    capability: io.fs.delete
    inputs: {path: old.txt}
"""

_WRITES = """\
name: writes
steps:
  - name: note
    capability: io.fs.write_file
    inputs: {path: run.txt, content: "run"}
"""


@pytest.fixture
def terminals(tmp_path: Path, clean_env: dict[str, str], nursery: Nursery) -> Iterator[Terminals]:
    workspace = tmp_path / "ws"
    workspace.mkdir()
    with own_places(tmp_path, clean_env) as env, Terminals.at(workspace, env, nursery) as terminals:
        terminals.write("naps.yaml", _NAPS)
        terminals.write("deletes.yaml", _DELETES)
        terminals.write("writes.yaml", _WRITES)
        terminals.write("old.txt", "old\n")
        yield terminals


def _recorded(terminals: Terminals, *, besides: str = "") -> list[Any]:
    """The ledger's entries about runs; `besides` those of one."""
    events = terminals.events("audit", "log")
    return [event["seq"] for event in events if event.get("run_id") not in (None, besides)]


@pytest.mark.slow
def test_nothing_of_75_is_done_when_the_owner_goes_on(terminals: Terminals) -> None:
    """Every command that drives or decides, asked of a stopped owner: 75, and the record and the files stay as they were."""
    made = terminals.answer("call", "io.fs.write_file", "path=made.txt", "content=made")["run_id"]
    waiting = [terminals.type("run", "deletes.yaml", "--json").json()["run_id"] for _ in range(3)]
    owner = terminals.begin("run", "naps.yaml")
    owner.wait_for("started", "nap")
    (own,) = [run["run_id"] for run in terminals.answer("runs") if run["workflow"] == "naps"]
    before = _recorded(terminals)

    owner.send(signal.SIGSTOP)
    commands = [
        ("call", "io.fs.write_file", "path=called.txt", "content=called"),
        ("run", "writes.yaml"),
        ("approve", waiting[0], "--unseen"),
        ("reject", waiting[1]),
        ("cancel", waiting[2]),
        ("undo", made),
        ("resolve", own, "nap", "--happened"),
        ("resume", waiting[0]),
        ("resume",),
        ("cancel", own),
    ]
    asked = [terminals.begin(*command, "--json") for command in commands]
    for command, running in zip(commands, asked, strict=True):
        ended = running.end()
        assert ended.code == 75, (command, ended)
        error = ended.json()["error"]
        assert error["code"] == "STATE_OWNED"
        assert "won't be" in error["hint"]

    owner.send(signal.SIGCONT)
    # Asked on the same socket after all of those, and served: they have had their turn.
    after = terminals.answer("call", "sys.noop")["run_id"]
    assert _recorded(terminals, besides=after) == before
    files = {path.name for path in terminals.workspace.iterdir() if path.suffix == ".txt"}
    assert files == {"made.txt", "old.txt"}
    assert owner.process.poll() is None
    assert terminals.type("cancel", own).code == 0
    assert owner.end().code == 1


def test_an_owner_ends_beside_a_silent_client_without_a_word(terminals: Terminals) -> None:
    """Somebody has connected to its socket and says nothing; no traceback reaches the user."""
    owner = terminals.begin("run", "naps.yaml")
    owner.wait_for("started", "nap")
    address = next(Path(terminals.workspace, ".assent").glob("socket")).read_text()
    with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as half:
        silent.connect(address)
        half.connect(address)
        half.sendall(b"\x00\x00")
        (own,) = [run["run_id"] for run in terminals.answer("runs")]
        assert terminals.type("cancel", own).code == 0
        ended = owner.end()
    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert "Exception" not in ended.err


def test_a_client_of_the_first_protocol_is_refused_by_a_living_owner(terminals: Terminals) -> None:
    """A terminal with an older Assent: its request is refused in the words that it knows, and not done."""
    owner = terminals.begin("run", "naps.yaml")
    owner.wait_for("started", "nap")
    (own,) = [run["run_id"] for run in terminals.answer("runs")]
    address = Path(terminals.workspace, ".assent", "socket").read_text()
    request = f'{{"op":"cancel","run":"{own}","principal":"user:old"}}'.encode()
    with socket.socket(socket.AF_UNIX) as old:
        old.connect(address)
        old.sendall(len(request).to_bytes(4, "big") + request)
        old.settimeout(60)
        answer = old.makefile("rb").read()
    assert b"PROTOCOL_MISMATCH" in answer
    assert [run["status"] for run in terminals.answer("runs")] == ["running"]
    assert terminals.type("cancel", own).code == 0
    assert owner.end().code == 1
