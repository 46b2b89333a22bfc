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
        self.redirect: str | None = None
        self.keeps = threading.Event()
        """While it is set, nobody is let go."""

    def __call__(self, asked: Asked) -> Reply:
        if self.keeps.is_set() and asked.method == "DELETE":
            self.released.wait(30)
        if self.redirect is not None:
            return Reply(307, [("location", self.redirect)])
        message = json.loads(asked.body or b"{}")
        answer = self.upstream.answer(message) if "method" in message else None
        if answer is None:
            return Reply(202)
        if self.hold.is_set() and message["method"] == "tools/call":
            self.called.set()
            self.released.wait(30)
        headers = [("content-type", "application/json"), ("mcp-session-id", "one")]
        return Reply(200, headers, json.dumps(answer).encode())


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


async def test_a_redirect_leads_nowhere(gateway: Gateway, site: Site, notes: Notes) -> None:
    """SSRF through a server: it is reached where assent.toml says, and its credential with it."""
    gateway.trust()
    with serving(lambda asked: Reply(200)) as other:
        notes.redirect = f"http://127.0.0.1:{other.port}/mcp"
        async with Runtime.open(gateway.folder) as rt:
            step = (await rt.call("mcp.notes.add_note", {"title": "milk"})).steps[0]
            assert step.error is not None
            assert (step.status, step.error["code"]) == ("failed", "MCP_SERVER_UNREACHABLE")
        assert other.asked == []


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
    path.write_text(path.read_text().replace(LOCAL, ""))
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
