"""A server behind an address: one client, its own credential, no way anywhere else; and what a crash leaves is asked of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from assent import Runtime
from tests.support.gateway import RECONCILED, Gateway
from tests.support.mcp_upstream import Upstream
from tests.support.plugins import refused
from tests.support.web import Asked, Reply, Site, serving

LOCAL = 'private = ["127.0.0.1/32"]\n'


class Notes:
    """A server of notes, of which a test decides how a call is answered."""

    def __init__(self) -> None:
        self.upstream = Upstream()
        self.hold = threading.Event()
        """While it is set, nobody is told what came of a call."""
        self.called = threading.Event()
        self.released = threading.Event()
        self.wrong: Reply | None = None
        """What it answers to everything instead."""
        self.events = ""
        """What it says of itself before each answer, which is then a stream of events."""
        self.keeps = threading.Event()
        """While it is set, nobody is let go."""

    def __call__(self, asked: Asked) -> Reply:
        if self.keeps.is_set() and asked.method == "DELETE":
            self.released.wait(30)
        if self.wrong is not None:
            return self.wrong
        message = json.loads(asked.body or b"{}")
        answer = self.upstream.answer(message) if "method" in message else None
        if answer is None:
            return Reply(202)
        if self.hold.is_set() and message["method"] == "tools/call":
            self.called.set()
            self.released.wait(30)
        kind, told = "application/json", json.dumps(answer)
        if self.events:
            kind, told = "text/event-stream", f"{self.events}event: message\ndata: {told}\n\n"
        return Reply(200, [("content-type", kind), ("mcp-session-id", "one")], told.encode())


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def site(notes: Notes) -> Iterator[Site]:
    with serving(notes) as site:
        yield site


@pytest.fixture
def gateway(tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ASSENT_SECRET_TOKEN", "a-long-token")
    gateway = Gateway(tmp_path / "work")
    gateway.say(
        f'\n[mcp.servers.notes]\nurl = "http://127.0.0.1:{site.port}/mcp"\n{LOCAL}'
        f'headers = {{ Authorization = "Bearer secret://token" }}\n{RECONCILED}'
    )
    return gateway


async def test_its_own_credential_goes_there_and_nobody_elses(gateway: Gateway, site: Site) -> None:
    gateway.trust()
    site.asked.clear()
    async with Runtime.open(gateway.folder) as rt:
        done = await rt.call("mcp.notes.add_note", {"title": "milk"}, principal="agent:other")
        assert done.outputs == {"id": 1}
        assert (await rt.undo(done.run_id)).status == "undone"
    posts = [one for one in site.asked if one.method == "POST"]
    assert {one.headers["authorization"] for one in posts} == {"Bearer a-long-token"}
    assert all("agent:other" not in str(one.headers) + one.body.decode() for one in posts)
    assert not [one for one in site.asked if one.method == "GET"]


@pytest.mark.parametrize("to", ["http://127.0.0.1:{}/mcp", "/of/somebody/else", "//127.0.0.1:{}/mcp"])
async def test_a_redirect_leads_nowhere(gateway: Gateway, site: Site, notes: Notes, to: str) -> None:
    """SSRF through a server: it is reached where assent.toml says, and its credential with it. One host may be many's."""
    gateway.trust()
    with serving(lambda asked: Reply(200)) as other:
        notes.wrong = Reply(307, [("location", to.format(other.port))])
        async with Runtime.open(gateway.folder) as rt:
            step = (await rt.call("mcp.notes.add_note", {"title": "milk"})).steps[0]
            assert step.error is not None
            assert (step.status, step.error["code"]) == ("failed", "MCP_SERVER_UNREACHABLE")
        assert other.asked == []
    assert {one.path for one in site.asked} == {"/mcp"}


@pytest.mark.parametrize("status", [401, 403])
def test_who_is_not_let_in_is_told_that_nobody_signs_in_for_them(
    gateway: Gateway, site: Site, notes: Notes, status: int
) -> None:
    """OAuth would ask whom the server names, and give them what was said to it."""
    with serving(lambda asked: Reply(200)) as other:
        metadata = (
            f'Bearer resource_metadata="http://127.0.0.1:{other.port}/.well-known/oauth-protected-resource"'
        )
        notes.wrong = Reply(status, [("www-authenticate", metadata), ("x-odd", "\u00e9")], b"\x1b]0;x\x07")
        error = refused(gateway.look)
        assert error.code == "MCP_SERVER_UNREACHABLE"
        assert f"it answered {status}" in error.message
        assert "(OAuth)" in error.message
        assert other.asked == []
    assert {one.path for one in site.asked} == {"/mcp"}


def test_nothing_that_a_server_says_is_logged_as_it_came(
    gateway: Gateway, notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    """What is logged stands in a terminal, before anybody trusts the server: the SDK tells of events by their names."""
    notes.events = "event: \x1b]0;mine\x07\ndata: x\n\n"
    gateway.look()
    notes.wrong = Reply(200, [("content-type", "text/\x1b[31m")], b"x")
    assert refused(gateway.look).code == "MCP_SERVER_UNREACHABLE"
    assert [one.getMessage() for one in caplog.records if one.name.startswith("mcp")] == []


def test_a_secret_that_no_header_can_have_is_told_of_without_it(
    gateway: Gateway, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for secret in ("a-long-token\r\nX-Other: 1", "a-long-t\u00f6ken"):
        monkeypatch.setenv("ASSENT_SECRET_TOKEN", secret)
        error = refused(gateway.look)
        assert "can't be sent in a header" in error.message
        assert "a-long" not in json.dumps(error.to_dict())
    assert site.asked == []


async def test_one_that_lets_nobody_go_holds_up_no_end(
    gateway: Gateway, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.trust()
    monkeypatch.setattr("assent.runtime.wiring._server_web.LEAVE_S", 0.2)
    async with Runtime.open(gateway.folder) as rt:
        assert (await rt.call("mcp.notes.add_note", {"title": "milk"})).outputs == {"id": 1}
        notes.keeps.set()
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 10
    notes.released.set()


def test_an_address_in_a_private_network_has_to_be_named(gateway: Gateway, site: Site) -> None:
    path = gateway.folder / "assent.toml"
    path.write_text(path.read_text().replace("127.0.0.1/32", "10.0.0.0/8"))
    error = refused(gateway.look)
    assert error.code == "MCP_SERVER_UNREACHABLE"
    assert "127.0.0.1" in error.message
    assert site.asked == []


def test_a_secret_goes_to_its_hosts_alone(gateway: Gateway, site: Site) -> None:
    gateway.say('\n[secrets.token]\nhosts = ["api.example.org"]\n')
    assert refused(gateway.look).code == "SECRET_NOT_GRANTED"
    assert site.asked == []


_OWNER = """
import asyncio, sys
from pathlib import Path
from assent import Runtime

async def main():
    async with Runtime.open(Path(sys.argv[1])) as rt:
        await rt.call("mcp.notes.add_note", {"title": "milk"})

asyncio.run(main())
"""


@pytest.mark.parametrize("happened", [True, False])
async def test_after_a_kill_the_server_is_asked_what_happened(
    gateway: Gateway, notes: Notes, *, happened: bool
) -> None:
    """Nothing is lost and nothing is done twice; then the call is taken back like any other."""
    gateway.trust()
    notes.hold.set()
    owner = subprocess.Popen([sys.executable, "-c", _OWNER, str(gateway.folder)])
    assert await asyncio.to_thread(notes.called.wait, 30)
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    notes.hold.clear()
    notes.released.set()
    if not happened:
        notes.upstream.notes.clear()
    async with Runtime.open(gateway.folder) as rt:
        (run,) = await rt.resume()
        assert (run.status, run.outputs) == ("succeeded", {"id": 1})
        assert notes.upstream.notes == {1: "milk"}
        assert [name for name, _ in notes.upstream.calls].count("add_note") == (1 if happened else 2)
        assert (await rt.undo(run.run_id)).status == "undone"
        assert notes.upstream.notes == {}
