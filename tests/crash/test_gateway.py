"""A daemon, an MCP server behind it or an agent before it is killed anywhere in a call or in its undo.

Afterwards the book of what the server did says what the ledger says: nothing is lost, nothing was done twice, and only a call
about which the server can't be asked is in doubt.
"""

from __future__ import annotations

import json
import os
import signal
import socketserver
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from assent.failpoints import VARIABLE
from assent.plugins.upstream import Pinned, Server, save_pins
from assent.runtime.service._reading import Reader
from assent.runtime.settings.effective import Settings
from tests.mcp.test_one_server import CALL, META
from tests.support import counted_upstream
from tests.support.crashing import KILLED, noted
from tests.support.gateway import ALLOW
from tests.support.nursery import Child, Nursery
from tests.support.own_places import own_places
from tests.support.patience import PATIENCE_S
from tests.support.seeds import SEED, dice
from tests.support.serving import free_port, key_for

UPSTREAM: Final = Path(counted_upstream.__file__)
TOOLS: Final = ("add", "put")
BEFORE: Final = ("initialize.read", "initialize.told", "list.read", "list.told")
VICTIMS: Final = ("daemon", "server", "agent")
SAMPLES: Final = {"daemon": 2, "server": 4, "agent": 2}

UNDER_WAY: Final = ("pending", "running", "compensating", "cancelling", "rolling_back")
POINTS: Final = 44
"""Points of its own that a daemon reaches in a session of two calls and its undo."""

AGENT: Final = """
import http.client, sys
port, headers, body = sys.argv[1:]
asking = http.client.HTTPConnection("127.0.0.1", int(port))
asking.request("POST", "/mcp", body.encode(), dict(line.split(": ") for line in headers.splitlines()))
print(asking.getresponse().read().decode())
"""


class Case(NamedTuple):
    """Who is killed where. A point of the server is one of its call's, or of its undo's (`in_undo`)."""

    victim: str
    tool: str
    point: str
    in_undo: bool

    def __str__(self) -> str:
        return f"{self.victim}-{self.tool}-{self.point}{'-undo' if self.in_undo else ''}"


def cases(victim: str) -> list[Case]:
    """Every place where this one can be killed."""
    found: list[Case] = []
    for tool in TOOLS:
        points = [*BEFORE, *(f"{tool}.{where}" for where in ("read", "done", "told"))]
        found += [Case(victim, tool, point, in_undo=False) for point in points]
        asked = ("find",) if tool == "add" else ()
        points = ["list.read", "list.told"]
        points += [f"{one}.{where}" for one in (*asked, "remove") for where in ("read", "done", "told")]
        found += [Case(victim, tool, point, in_undo=True) for point in points]
    if victim == "daemon":
        found += [Case(victim, tool, f"any:{at}", in_undo=True) for tool in TOOLS for at in range(1, POINTS)]
    return found


@dataclass
class Book:
    """What the server did, in order, kept where no kill reaches; and who dies next, and where."""

    done: list[tuple[str, Any]] = field(default_factory=list)
    entries: dict[int, str] = field(default_factory=dict)
    point: str | None = None
    kill: Any = None
    is_hit: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def arm(self, point: str, kill: Any) -> None:
        """Have `kill` called when the server comes to a point; what it gives is what the server is answered."""
        self.is_hit.clear()
        self.point, self.kill = point, kill

    def answer(self, what: str, *said: Any) -> Any:
        if what == "at":
            if said[0] != self.point:
                return None
            self.point = None
            told = self.kill()
            self.is_hit.set()
            return told
        tool, given = said
        if tool == "find":
            return [number for number, title in self.entries.items() if title == given]
        self.done.append((tool, given))
        if tool == "remove":
            self.entries.pop(given, None)
            return given
        number = len(self.done)
        self.entries[number] = given
        return number

    def serve(self) -> Iterator[Book]:
        book = self

        class Line(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                answer = book.answer(*json.loads(self.rfile.readline()))
                with suppress(OSError):
                    self.wfile.write(json.dumps(answer).encode() + b"\n")

        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Line) as server:
            self.port = server.server_address[1]
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            yield self
            server.shutdown()


class World:
    """A workspace with the server, its daemon, and agents that come to it."""

    def __init__(self, root: Path, env: Mapping[str, str], nursery: Nursery, book: Book) -> None:
        self.root, self.env, self.nursery, self.book = root, env, nursery, book
        self.sessions = 0
        self.port = free_port()
        self.daemon: Child | None = None
        self.agent: Child | None = None
        (root / ".assent").mkdir(parents=True)
        (root / ".assent").chmod(0o700)
        (root / "policy.yaml").write_text(ALLOW)
        (root / "policy.yaml").chmod(0o600)
        command = [sys.executable, "-ISE", str(UPSTREAM), str(book.port)]
        takes_back = 'compensate = { tool = "remove", arguments = { id = "${{ output.id }}" } }\n'
        asks = (
            'reconcile = { tool = "find", arguments = { title = "${{ inputs.title }}" }, '
            'happened = "size(result.ids) > 0", output = { id = "${{ result.ids[0] }}" } }\n'
        )
        (root / "assent.toml").write_text(
            f'policy = "policy.yaml"\n[serve]\nhttp = "127.0.0.1:{self.port}"\n'
            f"[mcp.servers.book]\ncommand = {json.dumps(command)}\nread_only = [{json.dumps(str(UPSTREAM))}]\nnetwork = true\n"
            f"[mcp.servers.book.tools.add]\n{takes_back}{asks}[mcp.servers.book.tools.put]\n{takes_back}"
            "[mcp.servers.book.tools.find]\nreads_only = true\n"
        )
        server = Server(name="book", command=tuple(command))
        tools = {name: {"name": name, **schemas} for name, schemas in counted_upstream.TOOLS.items()}
        save_pins(root / "assent-mcp.lock", {"book": Pinned.of(server, tools, "user:test")})
        self.key = key_for(root, env, "agent:ann")

    def end(self) -> None:
        """Have no daemon live."""
        if self.daemon is not None:
            self.daemon.kill()
            self.daemon.wait()
            _close(self.daemon)

    def start(self, kill: str | None = None) -> None:
        """Have another daemon live."""
        self.end()
        env = self.env if kill is None else {**self.env, VARIABLE: kill}
        self.daemon = self.nursery.start("serve", cwd=self.root, env=env)
        assert self.daemon.stdout is not None
        while "127.0.0.1" not in (line := self.daemon.stdout.readline()):
            assert line, self.daemon.stderr and self.daemon.stderr.read()

    def ask(self, session: str, tool: str, **given: Any) -> Any:
        """What an agent in a process of its own is answered; None where it, or the daemon, dies meanwhile."""
        params = {"name": tool, "arguments": given, "_meta": {**META, "assent/session": session}}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        headers = {**CALL, "authorization": f"Bearer {self.key}", "mcp-name": tool}
        lines = "\n".join(f"{name}: {value}" for name, value in headers.items())
        self.agent = self.nursery.start(
            "-c", AGENT, str(self.port), lines, json.dumps(body), cwd=self.root, env=self.env, kind="python"
        )
        assert self.agent.stdout is not None
        said = self.agent.stdout.read()
        self.agent.wait()
        _close(self.agent)
        told = [line for line in said.splitlines() if line.removeprefix("data: ").startswith("{")]
        return json.loads(told[-1].removeprefix("data: "))["result"] if told else None

    def kill(self, victim: str) -> Any:
        """End one of the three at once; what the server is answered, where it lives on."""
        if victim == "server":
            return "die"
        child = self.daemon if victim == "daemon" else self.agent
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)
        if victim == "daemon":
            child.wait()
        return None

    def shown(self, run: str) -> Any:
        """A run as the ledger has it."""
        with Reader.open(Settings.resolve(environ=self.env, cwd=self.root)) as reader:
            return reader.show(run)

    def runs(self) -> list[Any]:
        with Reader.open(Settings.resolve(environ=self.env, cwd=self.root)) as reader:
            return [*reader.runs()]

    def settled(self) -> Any:
        """The newest run, once nothing of it is under way."""
        until = time.monotonic() + PATIENCE_S
        while True:
            run = self.shown(str(self.runs()[-1]["run_id"]))
            if run["status"] not in UNDER_WAY[2:] and not any(
                one["status"] in UNDER_WAY for one in run["steps"]
            ):
                return run
            assert time.monotonic() < until, run
            time.sleep(0.05)

    def person(self, *words: str) -> None:
        """What a person does by the command line."""
        self.nursery.run(*words, "--json", cwd=self.root, env=self.env)

    def try_(self, case: Case) -> None:
        """One session of two calls, and its undo, in which somebody dies: what was done is what is on record."""
        self.sessions += 1
        name, title, begun = f"s{self.sessions}", f"t{self.sessions}", len(self.book.done)
        before = len(self.runs())
        if case.point.startswith("any:"):
            self.start(case.point)
        elif case.point.startswith("initialize."):  # it has to be one that was just started
            self.book.arm("add.told", lambda: "die")
        told = self.ask(name, "mcp_book_add", title=f"{title}-first")
        if case.in_undo and told is not None:
            told = self.ask(name, f"mcp_book_{case.tool}", title=title)
        self.book.arm(case.point, lambda: self.kill(case.victim))
        if not case.in_undo:
            told = self.ask(name, f"mcp_book_{case.tool}", title=title)
        elif told is not None:
            self.ask(name, "assent_undo", scope="session")
            told = None
        if case.point.startswith("any:"):
            assert self.daemon is not None
            assert self.daemon.wait(10) == KILLED, case
        else:
            assert self.book.is_hit.wait(10), f"{case} was not reached"
        if case.victim == "daemon":
            self.start()
            self.person("resume")
        if len(self.runs()) == before:  # of the session nothing was durable yet
            assert len(self.book.done) == begun
            return
        run = self.settled()
        self.agree(run, told, self.book.done[begun:])
        for step in run["steps"]:
            self.settle(str(run["run_id"]), step)
        run = self.settled()
        if run["status"] != "cancelled":
            self.ask(name, "assent_undo", scope="session")
            run = self.settled()
        assert run["status"] == "cancelled", run
        self.agree(run, None, self.book.done[begun:])
        assert not self.book.entries

    def agree(self, run: Any, told: Any, done: list[tuple[str, Any]]) -> None:
        """What was done is what is on record, and what the agent was told; nothing was done twice."""
        titles = [given for tool, given in done if tool != "remove"]
        assert len(done) == len({*done}), done
        for step in run["steps"]:
            title, status = step["inputs"]["title"], step["status"]
            there = title in self.book.entries.values()
            if status in ("in_doubt", "compensation_failed"):
                assert step["capability"] == "mcp.book.put", step
            else:
                assert status in ("succeeded", "compensated", "failed"), step
                assert there == (status == "succeeded"), step
                assert (title in titles) == (status != "failed"), step
        assert {*titles} <= {step["inputs"]["title"] for step in run["steps"]}
        if told is not None and not told["isError"]:
            assert run["steps"][-1]["output"] == told["structuredContent"]

    def settle(self, run: str, step: Any) -> None:
        """A person looks into the book, and says what nobody else can."""
        ids = [number for number, title in self.book.entries.items() if title == step["inputs"]["title"]]
        if step["status"] == "in_doubt":
            happened = ("--happened", "--output", json.dumps({"id": ids[0]})) if ids else ("--not-happened",)
            self.person("resolve", run, step["name"], *happened)
        elif step["status"] == "compensation_failed":
            self.person(*(("resume", run) if ids else ("resolve", run, step["name"], "--compensated")))


def _close(child: Child) -> None:
    for stream in (child.stdout, child.stderr):
        assert stream is not None
        stream.close()


@pytest.fixture
def world(tmp_path: Path, clean_env: dict[str, str], nursery: Nursery) -> Iterator[World]:
    serving = Book().serve()
    book = next(serving)
    with own_places(tmp_path, clean_env) as env:
        world = World(tmp_path / "work", env, nursery, book)
        world.start()
        try:
            yield world
        finally:
            world.end()
            for _ in serving:
                pass


def test_whoever_is_killed_the_book_says_what_the_ledger_says(world: World, crash_complete: bool) -> None:
    """A sample of the places for each of the three; all of them with `--complete-crash`."""
    chance = dice("kills behind a gateway")
    for victim in VICTIMS:
        every = cases(victim)
        for case in every if crash_complete else chance.sample(every, SAMPLES[victim]):
            with noted(f"ASSENT_TEST_SEED={SEED}: {case}"):
                world.try_(case)
    with Reader.open(Settings.resolve(environ=world.env, cwd=world.root)) as reader:
        assert reader.verify()["ok"]
