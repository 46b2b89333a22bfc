"""Daemons are killed while an agent calls, and the agent at last: each call is carried out once, and all can be undone."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.server.conftest import env, root
from tests.support.patience import PATIENCE_S
from tests.support.seeds import dice

__all__ = ["env", "root"]

CALLS: Final = 30
_HELLO: Final = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "t", "version": "1"},
}


class Place:
    """A workspace, and the processes in it."""

    def __init__(self, root: Path, env: Mapping[str, str]) -> None:
        self._words = [sys.executable, "-m", "assent", "--workspace", str(root)]
        self._env = dict(env)

    @contextmanager
    def process(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """One that is killed at the end."""
        with subprocess.Popen(
            [*self._words, *words],
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as found:
            try:
                yield found
            finally:
                found.kill()

    def asked(self, *words: str) -> Any:
        """What a command answers."""
        command = [*self._words, "--json", *words]
        return json.loads(subprocess.run(command, env=self._env, capture_output=True, check=False).stdout)


def _ask(agent: subprocess.Popen[bytes], number: int, method: str, params: Mapping[str, Any]) -> Any:
    assert agent.stdin is not None
    assert agent.stdout is not None
    asked = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    agent.stdin.write(json.dumps(asked).encode() + b"\n")
    agent.stdin.flush()
    while True:
        told = json.loads(agent.stdout.readline())
        if told.get("id") == number:
            return told["result"]


@pytest.mark.parametrize("round_", range(6))
def test_whoever_is_killed_each_call_is_carried_out_once(
    root: Path, env: dict[str, str], crash_complete: bool, round_: int
) -> None:
    if not crash_complete:
        pytest.skip("with --complete-crash")
    place, random, is_over = Place(root, env), dice(f"agents {round_}"), threading.Event()

    def live_and_die() -> None:
        while not is_over.is_set():
            is_over.wait(random.random() * 2)  # at times longer than the agent's process waits for it
            with place.process("serve") as daemon:
                assert daemon.stdout is not None
                assert daemon.stdout.readline()
                is_over.wait(random.random() * 3)

    dying = threading.Thread(target=live_and_die)
    dying.start()
    try:
        with place.process("mcp") as agent:
            _ask(agent, 0, "initialize", _HELLO)
            sessions = set()
            for number in range(1, CALLS + 1):
                write = {"path": f"{number}.txt", "content": ""}
                told = _ask(agent, number, "tools/call", {"name": "io_fs_write_file", "arguments": write})
                assert told["structuredContent"]["created"], told
                sessions.add(told["_meta"]["assent/run"])
                time.sleep(random.random() / 2)
            assert len(sessions) == 1
    finally:
        is_over.set()
        dying.join()
    with place.process("serve"):
        (session,) = sessions
        until = time.monotonic() + PATIENCE_S
        while place.asked("show", session)["status"] != "succeeded" and time.monotonic() < until:
            time.sleep(0.2)
        assert place.asked("undo", session)["status"] == "undone"
    assert not [*root.glob("*.txt")]
