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
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from mcp import Client

from assent import Runtime
from assent.runtime.wiring._server_web import Web
from tests.support.gateway import RECONCILED, Gateway
from tests.support.mcp_upstream import Upstream
from tests.support.patience import PATIENCE_S
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
        self.keeps = threading.Event()
        """While it is set, nobody is let go."""
        self.session = "one"
        self.says: Callable[[bytes], Iterator[bytes]] | None = None
        """The pieces in which an answer comes on a stream, where it does."""
        self.told: list[Reply] = []
        """How it answers who wants to hear what nobody asked for, one after the other; then that it offers none."""

    def __call__(self, asked: Asked) -> Reply:
        if self.keeps.is_set() and asked.method == "DELETE":
            self.released.wait(30)
        if self.wrong is not None:
            return self.wrong
        if asked.method == "GET":
            return self.told.pop(0) if self.told else Reply(405)
        if asked.headers.get("mcp-session-id", self.session) != self.session:
            return Reply(404)
        message = json.loads(asked.body or b"{}")
        answer = self.upstream.answer(message) if "method" in message else None
        if answer is None:
            return Reply(202)
        if self.hold.is_set() and message["method"] == "tools/call":
            self.called.set()
            self.released.wait(30)
        body = json.dumps(answer).encode()
        if self.says is not None and message["method"] != "initialize":
            return stream(self.says(body))
        headers = [("content-type", "application/json"), ("mcp-session-id", self.session)]
        return Reply(200, headers, body)


def stream(pieces: Iterable[bytes]) -> Reply:
    """An answer as a stream of events."""
    return Reply(200, [("content-type", "text/event-stream; charset=utf-16")], iter(pieces))


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
    assert not [one for one in site.asked if one.method == "GET"]  # nobody listens


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
    notes.says = lambda body: iter([b"event: \x1b]0;mine\x07\ndata: x\n\n", _event(body)])
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
    async with asyncio.timeout(60), Runtime.open(gateway.folder) as rt:
        assert (await rt.call("mcp.notes.add_note", {"title": "milk"})).outputs == {"id": 1}
        notes.keeps.set()
    notes.released.set()


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
async def test_an_answer_on_a_stream_is_read_however_it_is_cut(
    gateway: Gateway, notes: Notes, end: bytes
) -> None:
    """And no longer than to what was asked: the stream may stay open."""

    def says(body: bytes) -> Iterator[bytes]:
        told = end.join([b": hello", b"", b"event: message", b"id: 1", b"data", b"data: " + body, b"", b""])
        yield from (told[at : at + 7] for at in range(0, len(told), 7))
        notes.released.wait(20)

    gateway.trust()
    notes.says = says
    async with Runtime.open(gateway.folder) as rt:
        for number in (1, 2):
            done = await rt.call("mcp.notes.add_note", {"title": "milk"})
            assert done.outputs == {"id": number}
    notes.released.set()


def _endless(piece: bytes) -> Callable[[bytes], Iterator[bytes]]:
    def says(_: bytes) -> Iterator[bytes]:
        while True:
            yield piece
            time.sleep(0.0002)

    return says


MISBEHAVES: dict[str, tuple[Callable[[bytes], Iterator[bytes]], str]] = {
    "crowd": (lambda _: iter([b': "\ndata: ' + b"[" * 5000 + b"\n\n"]), "more than 3276 values"),
    "huge": (_endless(b"data: " + b"x" * 8192), "more than 65536 bytes"),
    "flood": (_endless(b":\n\n" * 100), "more than 500 messages that nobody asked for"),
    "ends": (lambda _: iter([b"data: {\n\n"[:-1]]), "ended without a response"),
    "slow": (_endless(b": wait\n"), ""),
    "again": (lambda _: iter([b"id: 1\nretry: 0\ndata:\n\n"]), "broke off again and again"),
}


@pytest.mark.parametrize("mode", MISBEHAVES)
async def test_a_stream_that_misbehaves_is_one_error_and_the_next_call_is_as_ever(
    gateway: Gateway, notes: Notes, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assent.plugins.upstream._frames.UNASKED_MAX", 500)
    monkeypatch.setattr("assent.runtime.wiring._server_web.RESUMED_MAX", 3)
    monkeypatch.setattr("assent.runtime.wiring._server_web.AGAIN_S_MIN", 0.01)
    path = gateway.folder / "assent.toml"
    path.write_text(path.read_text().replace(LOCAL, LOCAL + 'answer_bytes = 65536\ntimeout = "2s"\n'))
    gateway.trust()
    pieces, told = MISBEHAVES[mode]
    if mode == "again":
        notes.told = [stream([b"id: 1\nretry: 0\ndata:\n\n"]) for _ in range(9)]
    async with Runtime.open(gateway.folder) as rt:
        assert (await rt.call("mcp.notes.add_note", {"title": "milk"})).outputs == {"id": 1}
        notes.says = lambda body: pieces(body) if b'"structuredContent"' in body else iter([_event(body)])
        step = (await rt.call("mcp.notes.find_note", {"title": "milk"})).steps[0]
        assert step.error is not None
        assert told in str(step.error["message"])
        notes.says = None
        # Another title: on a slow machine this call is late too, and is then looked for by its own.
        assert (await rt.call("mcp.notes.add_note", {"title": "bread"})).outputs == {"id": 2}


def _event(body: bytes) -> bytes:
    return b"data: " + body + b"\n\n"


async def test_a_session_that_the_server_has_lost_is_begun_anew(gateway: Gateway, notes: Notes) -> None:
    gateway.trust()
    async with Runtime.open(gateway.folder) as rt:
        assert (await rt.call("mcp.notes.add_note", {"title": "milk"})).outputs == {"id": 1}
        notes.session = "two"
        assert (await rt.call("mcp.notes.add_note", {"title": "milk"})).outputs == {"id": 2}


async def test_what_is_said_unasked_is_asked_for_again_where_it_ended(
    gateway: Gateway, site: Site, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the last event on, if it has a number; where something may be missing that is told. One with none is left alone."""
    for name, value in (("AGAIN_S", 0.01), ("AGAIN_S_MIN", 0.01), ("AGAIN_S_MAX", 0.05)):
        monkeypatch.setattr(f"assent.runtime.wiring._server_web.{name}", value)
    changed = _event(b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}')
    notes.told = [
        Reply(503),
        stream([b"id: 7\nretry: 10\n" + changed]),
        Reply(400),
        stream([changed]),
        stream([b"data: " + b"x" * (5 << 20) + b"\n\n"]),
        Reply(429),
        stream([changed, b"id: 9\n", changed]),
    ]
    heard, missed = [], []

    async def hear(message: object) -> None:
        heard.append(message)

    web = Web(gateway.settings.servers["notes"], {"Authorization": "Bearer a-long-token"})
    async with Client(web.streams(), message_handler=hear):
        assert not [one for one in site.asked if one.method == "GET"]
        await web.hear(lambda: missed.append(len(site.asked)))
        async with asyncio.timeout(PATIENCE_S):
            while len(heard) < 4 or len(missed) < 4:  # noqa: ASYNC110 - another part of it settles it
                await asyncio.sleep(0.02)
        asked = [one.headers.get("last-event-id") for one in site.asked if one.method == "GET"]
        assert asked == [None, None, "7", None, None, None, None, "9", None]
        await asyncio.sleep(0.2)
        assert len([one for one in site.asked if one.method == "GET"]) == len(asked)
    assert web.fault is None


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
