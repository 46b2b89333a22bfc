"""The one way out: where it connects to, what it sends, and what it takes from servers that mean no good."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
import zlib
from pathlib import Path
from typing import Any

import httpcore2
import pytest
from backports import zstd

from assent.capabilities.net._client import HEADERS_MAX, Header, headers_too_large
from assent.capabilities.net._failure import HttpFailure
from assent.capabilities.net._limits import HEAD_BYTES_MAX, HEADER_BYTES_MAX
from assent.invocation import NoEffectError
from tests.capabilities.net.conftest import Names, client, opened, wire
from tests.support.web import Asked, Reply, authority, serving, talking

ADA = "user:ada"
MIB = 1 << 20


def says(status: int = 200, body: bytes = b"", **headers: str) -> Any:
    """A server that gives everybody the same answer; `_` in a header's name is a hyphen."""
    listed = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return lambda asked: Reply(status, listed, body)


async def refusal(awaitable: Any) -> str:
    """The code that a request fails with."""
    try:
        await awaitable
    except (HttpFailure, NoEffectError) as error:
        return error.code
    raise AssertionError("it was answered")


async def code_of(
    url: str, *, method: str = "GET", bytes_max: int = MIB, follow: bool = True, **limits: Any
) -> str:
    """The code that a request to a loopback server fails with, under these limits."""
    async with client(**limits) as http:
        return await refusal(http.send(wire(url, method), principal=ADA, bytes_max=bytes_max, follow=follow))


async def test_the_connection_goes_to_the_address_that_was_checked(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that means something else a moment later (DNS rebinding) is not asked again."""
    asked = names({"rebound.test": [["93.184.216.34"], ["127.0.0.1"]]})
    connected: list[str] = []

    async def connect(self: object, host: str, *rest: Any, **options: Any) -> None:
        connected.append(host)
        raise httpcore2.ConnectError("nobody there")

    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", connect)
    rule = opened(private=())
    async with client(rule) as http:
        code = await refusal(http.send(wire("http://rebound.test/"), principal=ADA, bytes_max=MIB))
        assert (code, connected, asked) == ("HTTP_CONNECT_FAILED", ["93.184.216.34"], ["rebound.test"])
        code = await refusal(http.send(wire("http://rebound.test/"), principal=ADA, bytes_max=MIB))
        assert (code, connected) == ("EGRESS_DENIED", ["93.184.216.34"])


async def test_a_name_is_asked_for_once_and_sent_as_it_is(names: Names) -> None:
    """The connection is pinned; the `Host` stays the name."""
    asked = names({"service.test": [["127.0.0.1"], ["192.0.2.1"]]})
    with serving(says(body=b"hello")) as site:
        async with client() as http:
            url = site.url("/a?b=c", host="service.test")
            answer = await http.send(wire(url), principal=ADA, bytes_max=MIB)
    assert (answer.status, answer.body, asked) == (200, b"hello", ["service.test"])
    assert site.asked[0].path == "/a?b=c"
    assert site.asked[0].headers["host"] == f"service.test:{site.port}"


@pytest.mark.parametrize(
    "addresses",
    [
        ["93.184.216.34", "10.0.0.1"],
        ["169.254.169.254"],
        ["::ffff:93.184.216.34"],
        ["fe80::1%1"],
        ["::1", "1.1.1.1"],
    ],
)
async def test_every_address_of_a_name_has_to_be_public(names: Names, addresses: list[str]) -> None:
    """One private address among public ones is enough: whoever picks may pick that one."""
    names({"mixed.test": [addresses]})
    async with client(opened(private=())) as http:
        assert await refusal(http.check(wire("http://mixed.test/").target, "GET", ADA)) == "EGRESS_DENIED"


async def test_without_rules_public_hosts_are_open_at_the_webs_own_ports(names: Names) -> None:
    """And nothing else; the gate has decided about the call before."""
    names({"public.test": [["93.184.216.34"]], "inside.test": [["10.0.0.1"]]})
    from assent.capabilities.net import Http

    http = Http()
    assert [str(one) for one in await http.check(wire("https://public.test/").target, "POST", ADA)] == [
        "93.184.216.34"
    ]
    assert await http.check(wire("http://public.test:443/").target, "GET", ADA)
    for url in (
        "https://public.test:8443/",
        "https://inside.test/",
        "http://127.0.0.1/",
        "http://localhost/",
    ):
        assert await refusal(http.check(wire(url).target, "GET", ADA)) == "EGRESS_DENIED", url


async def test_another_address_of_the_host_is_tried_when_one_takes_no_connection(names: Names) -> None:
    """They were all checked together."""
    names({"two.test": [["127.0.0.2", "127.0.0.1"]]})
    with serving(says(body=b"here")) as site:
        async with client() as http:
            answer = await http.send(wire(site.url(host="two.test")), principal=ADA, bytes_max=MIB)
    assert answer.body == b"here"


async def test_a_name_that_nobody_knows_was_sent_nothing(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No address, an empty answer and a resolver that hangs are one failure, without an effect."""
    names({"empty.test": [[]]})
    for host in ("unknown.test", "empty.test"):
        assert await code_of(f"http://{host}/") == "HTTP_DNS_FAILED"
    ending = threading.Event()

    def hang(*_: Any, **__: Any) -> list[Any]:
        ending.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    assert await code_of("http://hanging.test/", connect_timeout_ms=20) == "HTTP_DNS_FAILED"
    ending.set()


async def test_nothing_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, no `.netrc`, and no cookie of an earlier answer."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ada password pw\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    with serving(says(set_cookie="session=1; Path=/")) as site:
        async with client() as http:
            for _ in range(2):
                await http.send(wire(site.url()), principal=ADA, bytes_max=MIB)
    assert [{"authorization", "cookie"} & asked.headers.keys() for asked in site.asked] == [set(), set()]


async def test_questions_share_a_connection_and_changes_have_their_own() -> None:
    """A change on a connection that the service is about to close would leave nobody knowing."""
    ports: list[int] = []

    def talk(connection: socket.socket, head: bytes) -> None:
        while head:
            ports.append(connection.getpeername()[1])
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            head = connection.recv(65536)

    with talking(talk) as port:
        async with client() as http:
            for method in ("GET", "GET", "POST", "POST"):
                await http.send(wire(f"http://127.0.0.1:{port}/", method), principal=ADA, bytes_max=MIB)
    assert ports[0] == ports[1]
    assert len(set(ports)) == 3


async def test_a_question_is_asked_anew_when_the_service_closed_the_idle_connection() -> None:
    """Once it is used again it turns out to be closed; nothing was answered, so nothing is lost."""
    heads: list[bytes] = []

    def talk(connection: socket.socket, head: bytes) -> None:
        heads.append(head)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        if len(heads) == 1:
            connection.recv(65536)  # the second request comes, and is not answered
            connection.close()

    with talking(talk) as port:
        async with client() as http:
            for _ in range(2):
                answer = await http.send(wire(f"http://127.0.0.1:{port}/"), principal=ADA, bytes_max=MIB)
                assert answer.status == 200
    assert len(heads) == 2


async def test_a_connection_is_no_other_names_connection(names: Names, tmp_path: Path) -> None:
    """Two names at one address: what was verified for one says nothing of the other."""
    names({"one.test": [["127.0.0.1"]], "two.test": [["127.0.0.1"]]})
    own = authority(tmp_path, "one.test")
    with serving(says(body=b"one"), tls=own.server) as site:
        async with client(ca_bundle=own.ca_file) as http:
            answer = await http.send(wire(site.url(host="one.test")), principal=ADA, bytes_max=MIB)
            assert answer.body == b"one"
            code = await refusal(http.send(wire(site.url(host="two.test")), principal=ADA, bytes_max=MIB))
            assert code == "HTTP_TLS_FAILED"
    assert len(site.asked) == 1


async def test_a_request_that_is_given_up_closes_its_connection() -> None:
    """The service must not work for nobody."""
    closed = threading.Event()

    def talk(connection: socket.socket, head: bytes) -> None:
        began.set()
        if not connection.recv(1):
            closed.set()

    began = threading.Event()
    with talking(talk) as port:
        async with client() as http:
            sending = asyncio.create_task(
                http.send(wire(f"http://127.0.0.1:{port}/"), principal=ADA, bytes_max=MIB)
            )
            await asyncio.to_thread(began.wait, 30)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            assert await asyncio.to_thread(closed.wait, 30)


async def test_a_certificate_has_to_be_of_the_host_in_time_and_of_a_known_authority(
    names: Names, tmp_path: Path
) -> None:
    """Nothing is sent otherwise, and nothing switches that off."""
    names({"one.test": [["127.0.0.1"]]})
    good = authority(tmp_path / "good", "one.test", "127.0.0.1")
    old = authority(tmp_path / "old", "one.test", is_expired=True)
    with serving(says(body=b"safe"), tls=good.server) as site, serving(says(), tls=old.server) as late:
        async with client(ca_bundle=good.ca_file) as http:
            for host in ("one.test", "127.0.0.1"):
                answer = await http.send(wire(site.url(host=host)), principal=ADA, bytes_max=MIB)
                assert answer.body == b"safe"
        assert await code_of(site.url(host="one.test")) == "HTTP_TLS_FAILED"
        assert await code_of(late.url(host="one.test"), ca_bundle=old.ca_file) == "HTTP_TLS_FAILED"
        assert await code_of(site.url(), method="POST", ca_bundle=old.ca_file) == "HTTP_TLS_FAILED"
    with serving(says()) as plain:
        assert await code_of(plain.url().replace("http:", "https:")) == "HTTP_TLS_FAILED"
    assert (len(site.asked), late.asked, plain.asked) == (2, [], [])


async def test_authorities_that_can_t_be_read_stop_every_request(tmp_path: Path) -> None:
    """Better none than unverified ones."""
    (tmp_path / "ca.pem").write_text("no certificate")
    for name in ("ca.pem", "missing.pem"):
        assert await code_of("http://127.0.0.1:9/", ca_bundle=tmp_path / name) == "CONFIG_INVALID"


async def test_a_redirect_is_checked_like_the_first_address(names: Names) -> None:
    """Host, port, addresses and the way it is written."""
    names({"inside.test": [["10.0.0.1"]]})
    places = {
        "/metadata": ("http://169.254.169.254/latest/", "EGRESS_DENIED"),
        "/inside": ("http://inside.test/", "EGRESS_DENIED"),
        "/mapped": ("http://[::ffff:10.0.0.1]/", "EGRESS_DENIED"),
        "/decimal": ("http://2130706433/", "URL_INVALID"),
        "/user": ("http://ada@127.0.0.1/", "URL_INVALID"),
        "/backslash": ("\\\\127.0.0.1/", "URL_INVALID"),
        "/file": ("file:///etc/passwd", "URL_INVALID"),
        "/circle": ("/circle", "HTTP_REDIRECTS"),
    }
    with serving(lambda asked: Reply(302, [("location", places[asked.path][0])])) as site:
        for path, (_, code) in places.items():
            assert await code_of(site.url(path)) == code, path
        async with client() as http:
            for path in ("/inside", "/decimal"):
                with pytest.raises(NoEffectError) as caught:
                    await http.send(wire(site.url(path)), principal=ADA, bytes_max=MIB, follow=True)
                assert caught.value.details["redirects"] == [site.url(path)]
            stay = await http.send(wire(site.url("/metadata")), principal=ADA, bytes_max=MIB)
            assert (stay.status, stay.header("location")) == (302, "http://169.254.169.254/latest/")
            sent = await http.send(
                wire(site.url("/metadata"), "POST"), principal=ADA, bytes_max=MIB, follow=True
            )
            assert sent.status == 302


async def test_what_is_private_stays_with_the_first_origin() -> None:
    """Another port is another origin; on the way to a path of the same one everything goes along."""
    with serving(says(body=b"there")) as other:

        def answer(asked: Asked) -> Reply:
            if asked.path == "/end":
                return Reply(body=b"here")
            return Reply(301, [("location", "/end" if asked.path == "/same" else other.url("/x"))])

        headers = (Header("authorization", "secret", is_private=True), Header("x-open", "1"))
        with serving(answer) as site:
            async with client() as http:
                for path, body in (("/same", b"here"), ("/away", b"there")):
                    found = await http.send(
                        wire(site.url(path), "GET", *headers), principal=ADA, bytes_max=MIB, follow=True
                    )
                    assert found.body == body
                    assert found.redirects == (site.url(path),)
    assert all("authorization" in asked.headers for asked in site.asked)
    assert "authorization" not in other.asked[0].headers
    assert other.asked[0].headers["x-open"] == "1"


async def test_encryption_is_not_left_on_the_way(tmp_path: Path) -> None:
    """Whoever asked over TLS is not led away from it."""
    own = authority(tmp_path, "127.0.0.1")
    with serving(says()) as plain:
        with serving(says(302, location=plain.url("/open")), tls=own.server) as site:
            assert await code_of(site.url(), ca_bundle=own.ca_file) == "HTTP_REDIRECT_REFUSED"
        assert plain.asked == []


async def test_an_answer_is_no_larger_than_it_may_be() -> None:
    """Announced, or found out while it comes; packed, or plain; at the limit exactly it passes."""
    big = b"x" * 2000
    packed = gzip.compress(big)
    with serving(says(body=big)) as site, serving(says(body=packed, content_encoding="gzip")) as zipped:
        assert await code_of(site.url(), bytes_max=1999) == "HTTP_BODY_TOO_LARGE"
        assert await code_of(zipped.url(), bytes_max=1999) == "HTTP_BODY_TOO_LARGE"
        async with client() as http:
            for url in (site.url(), zipped.url()):
                assert (await http.send(wire(url), principal=ADA, bytes_max=2000)).body == big

    def endless(connection: socket.socket, head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")

    with talking(endless) as port:
        assert await code_of(f"http://127.0.0.1:{port}/", bytes_max=100_000) == "HTTP_BODY_TOO_LARGE"


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "zstd"])
async def test_a_bomb_is_stopped_while_it_unpacks(encoding: str) -> None:
    """Three hundred megabytes of zeros in a few kilobytes; not many times more than was sent comes out."""
    zeros = bytes(MIB)
    if encoding == "zstd":
        packer = zstd.ZstdCompressor()
        parts = [packer.compress(zeros) for _ in range(300)]
        bomb = b"".join(parts) + packer.flush()
    else:
        squeezer = zlib.compressobj(9, zlib.DEFLATED, 31)
        bomb = b"".join(squeezer.compress(zeros) for _ in range(300)) + squeezer.flush()
    with serving(says(body=bomb, content_encoding=encoding)) as site:
        assert await code_of(site.url(), bytes_max=1 << 30, answer_bytes=1 << 30) == "HTTP_BOMB"


async def test_packed_answers_are_read_or_refused() -> None:
    """Several parts are one answer; what is damaged, cut off, or packed in another way is none."""
    text = bytes(range(256)) * 1000
    whole = gzip.compress(text)
    good = {
        "gzip": [whole, whole[:0] + gzip.compress(text[:100]) + gzip.compress(text[100:])],
        "zstd": [zstd.compress(text), zstd.compress(text[:100]) + zstd.compress(text[100:])],
        "identity": [text],
    }
    async with client() as http:
        for encoding, bodies in good.items():
            for body in bodies:
                with serving(says(body=body, content_encoding=encoding)) as site:
                    answer = await http.send(wire(site.url()), principal=ADA, bytes_max=MIB)
                    assert (answer.body, answer.size) == (text, len(text)), encoding
    bad = [
        ("gzip", whole[:-20], "HTTP_BROKEN"),
        ("gzip", b"no gzip at all", "HTTP_BROKEN"),
        ("zstd", zstd.compress(text)[:-5], "HTTP_BROKEN"),
        ("br", b"x", "HTTP_ENCODING"),
        ("gzip, gzip", whole, "HTTP_ENCODING"),
    ]
    for encoding, body, code in bad:
        with serving(says(body=body, content_encoding=encoding)) as site:
            assert await code_of(site.url()) == code, (encoding, body[:10])
            async with client() as http:
                told = await http.send(wire(site.url(), "POST"), principal=ADA, bytes_max=MIB)
                assert (told.status, told.body, told.fault) == (200, b"", code)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfour", "HTTP_BROKEN"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nfour\r\n", "HTTP_BROKEN"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n", "HTTP_BROKEN"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nfour", "HTTP_BROKEN"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "HTTP_BROKEN"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "HTTP_BROKEN"),
        (b"", "HTTP_BROKEN"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: " + b"x" * 200_000 + b"\r\n\r\n", "HTTP_HEADERS_TOO_LARGE"),
        (
            b"HTTP/1.1 200 OK\r\n" + b"".join(b"h%d: x\r\n" % n for n in range(9000)) + b"\r\n",
            "HTTP_HEADERS_TOO_LARGE",
        ),
        (b"HTTP/1.1 200 OK\r\na: b\r\n c: folded\r\n" + b"x" * 1100, "HTTP_BROKEN"),
    ],
)
async def test_an_answer_that_breaks_the_protocol_is_none(said: bytes, code: str) -> None:
    """Cut off, contradictory, endless in its head, or no HTTP at all."""

    def talk(connection: socket.socket, head: bytes) -> None:
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)

    with talking(talk) as port:
        assert await code_of(f"http://127.0.0.1:{port}/") == code


async def test_headers_have_their_own_limit() -> None:
    """Below what the parser itself would take; the most that may be set is told as such."""
    with serving(says(x_long="x" * 3000)) as site:
        assert await code_of(site.url(), header_bytes=2048) == "HTTP_HEADERS_TOO_LARGE"
        async with client(header_bytes=2048) as http:
            told = await http.send(wire(site.url(), "POST"), principal=ADA, bytes_max=MIB)
            assert (told.status, told.headers, told.fault) == (200, (), "HTTP_HEADERS_TOO_LARGE")
    assert "raise `header_bytes`" in str(headers_too_large(HEADER_BYTES_MAX - 1).hint)
    assert headers_too_large(HEADER_BYTES_MAX).hint is None


async def test_headers_that_are_too_many_or_too_long_for_the_library_are_told_as_such() -> None:
    """No hint names a limit that would not help."""

    def many(asked: Asked) -> Reply:
        return Reply(200, [(f"x-{number}", "1") for number in range(HEADERS_MAX)], b"")

    long = says(x_long="x" * 2 * HEAD_BYTES_MAX)
    for answer, said in (
        (many, f"more than {HEADERS_MAX} headers"),
        (long, f"larger than {HEAD_BYTES_MAX} bytes"),
    ):
        with serving(answer) as site:
            async with client(header_bytes=4 * HEAD_BYTES_MAX) as http:
                with pytest.raises(HttpFailure, match=said) as failure:
                    await http.send(wire(site.url()), principal=ADA, bytes_max=MIB)
        assert (failure.value.code, failure.value.hint) == ("HTTP_HEADERS_TOO_LARGE", None)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfo"])
async def test_a_service_that_goes_silent_is_left(said: bytes) -> None:
    """Each wait has a limit, and all of it together."""
    ending = threading.Event()

    def talk(connection: socket.socket, head: bytes) -> None:
        connection.sendall(said)
        ending.wait(30)

    with talking(talk) as port:
        url = f"http://127.0.0.1:{port}/"
        assert await code_of(url, idle_timeout_ms=50) == "HTTP_TIMEOUT"
        assert await code_of(url, timeout_ms=50) == "HTTP_TIMEOUT"
        async with client(idle_timeout_ms=1_000) as http:
            sending = http.send(wire(url, "PUT"), principal=ADA, bytes_max=MIB)
            if said:
                told = await sending
                assert (told.status, told.header("content-length")) == (200, "4")
                assert (told.body, told.fault) == (b"", "HTTP_TIMEOUT")
            else:
                with pytest.raises(HttpFailure) as failure:
                    await sending
                assert (failure.value.code, failure.value.was_sent) == ("HTTP_TIMEOUT", True)
        ending.set()


async def test_the_status_of_a_change_stays_known_when_all_of_its_time_is_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A service that answers and then dawdles over the body has said what became of the effect."""
    ending = threading.Event()
    original, clocks = asyncio.timeout, list[asyncio.Timeout]()

    def timeout(delay: float | None) -> asyncio.Timeout:
        clocks.append(original(delay))
        return clocks[-1]

    async def take(piece: bytes) -> None:
        assert piece == b"fo"
        clocks[0].reschedule(0)  # the first is that of the whole request

    def talk(connection: socket.socket, head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 201 Created\r\ncontent-length: 4\r\nlocation: /1\r\n\r\nfo")
        ending.wait(30)

    monkeypatch.setattr(asyncio, "timeout", timeout)
    with talking(talk) as port:
        async with client() as http:
            asked = wire(f"http://127.0.0.1:{port}/", "POST", body=b"x")
            told = await http.send(asked, principal=ADA, bytes_max=MIB, take=take)
        ending.set()
    assert (told.status, told.header("location"), told.fault) == (201, "/1", "HTTP_TIMEOUT")


async def test_a_closed_port_was_sent_nothing() -> None:
    """So a change that was to go there has not happened."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with client() as http:
        with pytest.raises(HttpFailure) as failure:
            await http.send(wire(f"http://127.0.0.1:{port}/", "POST"), principal=ADA, bytes_max=MIB)
    assert (failure.value.code, failure.value.was_sent) == ("HTTP_CONNECT_FAILED", False)


async def test_what_a_sink_takes_is_the_content_of_a_success() -> None:
    """An error's text is no content: it stays in the answer, under the answer's own limit."""
    with serving(lambda asked: Reply(200 if asked.path == "/good" else 404, body=b"x" * 3000)) as site:
        async with client(answer_bytes=4000) as http:
            taken = bytearray()

            async def take(piece: bytes) -> None:
                taken.extend(piece)

            good = await http.send(wire(site.url("/good")), principal=ADA, bytes_max=MIB, take=take)
            assert (good.body, good.size, len(taken)) == (b"", 3000, 3000)
            bad = await http.send(wire(site.url("/bad")), principal=ADA, bytes_max=MIB, take=take)
            assert (len(bad.body), len(taken)) == (3000, 3000)
