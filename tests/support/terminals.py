"""Terminals side by side: commands that run at the same time in one workspace, and what each says while it runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from typing import IO, Any, Final

import pytest

from assent.sandbox import Sandbox
from tests.support.nursery import Child, Ended, Nursery
from tests.support.own_places import own_places
from tests.support.patience import PATIENCE_S

"""How long a signal that must come is waited for: two cores run many tests at once."""

_COMMAND: Final = (sys.executable, "-m", "assent")


class Running:
    """A command under way. Its stderr is read line by line while it runs, its stdout at its end."""

    def __init__(self, process: subprocess.Popen[str] | Child) -> None:
        self.process = process
        self.said: list[str] = []
        self._lines: Queue[str | None] = Queue()
        self._out: list[str] = []
        assert process.stdout is not None
        assert process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read_lines, args=(process.stderr,)),
            threading.Thread(target=self._read_all, args=(process.stdout,)),
        ]
        for reader in self._readers:
            reader.start()

    def _read_lines(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._lines.put(line)
        self._lines.put(None)

    def _read_all(self, stream: IO[str]) -> None:
        with stream:
            self._out.append(stream.read())

    def wait_for(self, *words: str) -> str:
        """The next line on stderr that holds all these words."""
        while True:
            try:
                line = self._lines.get(timeout=PATIENCE_S)
            except Empty:
                raise AssertionError(f"nothing with {words} was said in time: {self.said}") from None
            assert line is not None, f"it ended and never said {words}: {self.said} {self._out}"
            self.said.append(line)
            if all(word in line for word in words):
                return line

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def close_stdin(self) -> None:
        """Tell a program that reads its stdin to the end that this is it."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def kill(self) -> None:
        """End it now, in whatever state it is."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()

    def end(self) -> Ended:
        """Wait until it ends."""
        try:
            code = self.process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end: {self.said}") from None
        for reader in self._readers:
            reader.join()
        while (line := self._lines.get()) is not None:
            self.said.append(line)
        return Ended(code, "".join(self._out), "".join(self.said))


@dataclass
class Terminals:
    """A workspace and the commands that are typed into its terminals."""

    workspace: Path
    env: Mapping[str, str]
    nursery: Nursery
    _running: list[Running] = field(default_factory=list)

    @classmethod
    @contextmanager
    def at(cls, workspace: Path, env: Mapping[str, str], nursery: Nursery) -> Iterator[Terminals]:
        """The terminals of a workspace; whatever still runs at the end is killed."""
        self = cls(workspace, env, nursery)
        # A shell's background job ignores Ctrl-C, and so would its children; a handler, even of ours, makes them mind it again.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before)
            for running in self._running:
                running.kill()

    @staticmethod
    def command(*words: str) -> list[str]:
        """What is started when these words are typed."""
        return [*_COMMAND, *words]

    def begin(self, *words: str, **env: str) -> Running:
        """Type a command; it runs on its own."""
        return self._watched(self.nursery.start(*words, cwd=self.workspace, env=self._environment(env)))

    def begin_in_background(self, *words: str) -> Running:
        """Type a command with `&` behind it, as a script would: it does not mind Ctrl-C."""
        process = subprocess.Popen(
            ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *_COMMAND, *words],
            cwd=self.workspace,
            env=self._environment({}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self._watched(process)

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        return {**self.env, **more, "PYTHONUNBUFFERED": "1"}

    def _watched(self, process: subprocess.Popen[str] | Child) -> Running:
        running = Running(process)
        self._running.append(running)
        return running

    def run_python(self, *words: str) -> Running:
        """A Python program in the workspace; its stdin stays open until `Running.close_stdin`."""
        env = self._environment({})
        child = self.nursery.start(*words, cwd=self.workspace, env=env, kind="python", is_typed_to=True)
        return self._watched(child)

    def type(self, *words: str, **env: str) -> Ended:
        """Type a command and wait for its end."""
        return self.begin(*words, **env).end()

    def answer(self, *words: str) -> Any:  # `Any`: whatever the command answers
        """The JSON answer of a command that must succeed."""
        ended = self.type(*words, "--json")
        assert ended.code == 0, ended
        return ended.json()

    def events(self, *words: str) -> list[dict[str, Any]]:
        """The lines of a stream of JSON."""
        ended = self.type(*words, "--json")
        assert ended.code == 0, ended
        return [json.loads(line) for line in ended.out.splitlines()]

    def write(self, name: str, text: str) -> Path:
        """Put a file into the workspace."""
        path = self.workspace / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path


_NOBODY_IS_ASKED: Final = """\
version: 1
default: DENY
rules:
  - {id: all, decision: ALLOW, when: {capability: "*"}, without_approval: true, reason: nobody is there to be asked}
"""


@contextmanager
def terminals_with_programs(
    folder: Path, environ: Mapping[str, str], nursery: Nursery, config: str
) -> Iterator[Terminals]:
    """Terminals where everything is allowed and `config` says which programs; the test is skipped where none can be confined."""
    with Sandbox.detect() as sandbox:
        if not sandbox.holds.is_confined:
            pytest.skip("nothing on this machine confines programs")
    workspace = folder / "ws"
    workspace.mkdir()
    with own_places(folder, environ) as env, Terminals.at(workspace, env, nursery) as terminals:
        terminals.write("policy.yaml", _NOBODY_IS_ASKED)
        terminals.write("assent.toml", f'policy = "policy.yaml"\n{config}')
        yield terminals
