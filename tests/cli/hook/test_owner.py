"""Where another process owns the state the hook only asks it; one that is lost on the way has permitted nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from assent.cli.hook import _owner
from assent.journal.owner import _frames
from assent.journal.owner import _owner as owner
from tests.cli.hook.conftest import Agent, decision


@pytest.fixture
def daemon(agent: Agent) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "assent", "--workspace", str(agent.root), "serve"]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=agent.env, cwd=agent.root, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process
        process.kill()


def state(agent: Agent) -> str:
    return f"--state={agent.root / '.assent'}"


def test_the_owner_decides_and_the_hook_loads_nothing_of_the_runtime(
    agent: Agent, daemon: subprocess.Popen[bytes]
) -> None:
    """Permitted, denied, refused, the same again, the end; then the owner is gone, and the hook is the owner for a moment."""
    looked = f"""
import sys
sys.argv = ["assent", "hook", "claude-code", "--workspace", {str(agent.root)!r}, {state(agent)!r}]
import os
os._exit = lambda code: (print(code, sorted({{"click", "msgspec", "asyncio", "pydantic"}} & sys.modules.keys())), sys.exit(code))
from assent.cli import entry
entry()
"""
    data = agent.say("Write", {"file_path": "a"}, call="c1")
    done = subprocess.run(
        [sys.executable, "-c", looked], input=data, env=agent.env, capture_output=True, check=True
    )
    assert b'"allow"' in done.stdout
    assert done.stdout.endswith(b"0 []\n")
    asked = [("Write", {"file_path": "a"}, "c1"), ("Bash", {"command": "rm a"}, "c2"), ("Write", {}, "c3")]
    found = [
        decision(agent.start(agent.say(tool, given, call=call), state(agent)))[0]
        for tool, given, call in asked
    ]
    assert found == ["allow", "deny", "deny"]
    decided, reason = decision(agent.start(agent.say("Bash", {"command": "ls"}, call="c1"), state(agent)))
    assert (decided, "[REQUEST_" in reason) == ("deny", True), reason
    for _ in range(2):
        assert decision(agent.start(agent.came("c1"), state(agent)))[0] == "nothing"
    untold = agent.start(agent.came("c1", "Exit code 3"), state(agent))
    assert b"not recorded" in untold.communicate()[1]
    assert untold.returncode == 1
    ended = json.dumps({"session_id": "s1", "hook_event_name": "SessionEnd"}).encode()
    assert decision(agent.start(ended, state(agent)))[0] == "nothing"
    daemon.send_signal(signal.SIGKILL)
    daemon.wait()
    assert decision(agent.start(agent.say("Read", {"file_path": "a"}), state(agent)))[0] == "allow"
    assert [len(run["steps"]) for run in agent.sessions()] == [3, 1]


def test_the_short_client_speaks_the_owners_protocol() -> None:
    assert _owner.PROTOCOL == _frames.PROTOCOL
    assert _owner._ADDRESS_BYTES_MAX == owner._ADDRESS_BYTES_MAX
    assert _owner.SILENCE_S == owner.SILENCE_S_MAX


Said = list[dict[str, Any]]
WELCOME: dict[str, Any] = {"kind": "welcome", "protocol": _frames.PROTOCOL, "pid": 1, "digests": {}}


@pytest.mark.parametrize(
    ("greeting", "then", "code"),
    [
        ([WELCOME], [{"kind": "accepted", "id": "@"}], "OWNER_LOST"),
        (
            [WELCOME],
            [{"kind": "accepted", "id": "@"}, {"kind": "progress", "id": "@", "report": {}}],
            "OWNER_LOST",
        ),
        ([WELCOME], [], None),
        ([{**WELCOME, "protocol": 99}], [], None),
        ([], [], None),
    ],
    ids=["taken", "at-work", "not-taken", "another-protocol", "no-word"],
)
def test_an_owner_that_goes_has_permitted_nothing(
    agent: Agent, greeting: Said, then: Said, code: str | None, short: Path
) -> None:
    """What it had taken is denied; what it had not is asked of the next owner, which is the hook itself."""
    agent.use("TodoWrite", {})  # so that there is a state
    with Leaving(short, greeting, then):
        (agent.root / ".assent" / "socket").write_bytes(os.fsencode(short))
        decided, reason = agent.use("Read", {"file_path": "a"}, state=str(agent.root / ".assent"))
    assert (decided, reason if code is None else code in reason) == (
        ("deny", True) if code is not None else ("allow", "permitted by rule rest")
    )


@pytest.fixture
def short(agent: Agent) -> Path:
    return Path(agent.env["XDG_RUNTIME_DIR"]) / "fake.sock"


class Leaving:
    """A process that looks like an owner, and goes once it has said this to the first who comes."""

    def __init__(self, path: Path, greeting: Said, then: Said) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._path, self._greeting, self._then = path, greeting, then
        self._thread = Thread(target=self._serve)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        self._socket.close()
        self._path.unlink()
        frames = _frames.Frames()
        read: Callable[[], Any] = frames.next_object
        with connection:
            for messages in (self._greeting, self._then):
                while (found := read()) is None:
                    frames.feed(connection.recv(1 << 16) or b"\0\0\0\2{}")
                for message in messages:
                    named = {
                        name: found.get("id") if value == "@" else value for name, value in message.items()
                    }
                    connection.sendall(_frames.encode_frame(named))
                if not messages:
                    return
