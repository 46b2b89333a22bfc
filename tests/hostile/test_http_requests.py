"""Requests of HTTP that two readers could read differently, that are larger than they may be, or that never end: each is refused
or waited for no longer, nothing of it is carried out, and the daemon goes on with nothing left of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import env, root  # noqa: F401  # the workspace that a daemon serves
from tests.support.serving import Raw, Serving, daemon

CALL = b'{"capability": "sys.noop"}'


def post(*headers: bytes, body: bytes = CALL, path: bytes = b"/v1/calls", json: bool = True) -> bytes:
    kind = [b"Content-Type: application/json"] if json else []
    return b"\r\n".join([b"POST %s HTTP/1.1" % path, b"Host: a", *kind, *headers, b"", body])


def sized(body: bytes = CALL) -> bytes:
    return post(b"Content-Length: %d" % len(body), body=body)


def chunked(body: bytes, *headers: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", *headers, body=body)


SMUGGLED = sized()
LENGTH = b"Content-Length: %d" % len(CALL)
CHUNK = b"%x\r\n%s\r\n0\r\n\r\n" % (len(CALL), CALL)

DOUBTFUL: dict[str, bytes] = {
    "a length beside chunks": chunked(b"0\r\n\r\n", LENGTH) + SMUGGLED,
    "a length before chunks": post(LENGTH, b"Transfer-Encoding: chunked", body=b"0\r\n\r\n") + SMUGGLED,
    "two lengths": post(LENGTH, b"Content-Length: 1"),
    "the same length twice": post(LENGTH, LENGTH),
    "two lengths in one": post(b"Content-Length: 26, 26"),
    "a signed length": post(b"Content-Length: +26"),
    "a negative length": post(b"Content-Length: -1"),
    "a length in hex": post(b"Content-Length: 0x1a"),
    "a length past every number": post(b"Content-Length: " + b"9" * 40),
    "an empty length": post(b"Content-Length:"),
    "an unknown coding": post(b"Transfer-Encoding: xchunked", body=CHUNK),
    "chunks that are not the last coding": post(b"Transfer-Encoding: chunked, identity", body=CHUNK),
    "two codings": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=CHUNK),
    "a coding behind a tab": post(b"Transfer-Encoding:\x0bchunked", body=CHUNK),
    "a negative chunk": chunked(b"-1\r\n" + CALL + b"\r\n0\r\n\r\n"),
    "a chunk in another spelling": chunked(b"0x1a\r\n" + CALL + b"\r\n0\r\n\r\n"),
    "a chunk past every number": chunked(b"f" * 17 + b"\r\n" + CALL + b"\r\n0\r\n\r\n"),
    "a chunk that is longer than it says": chunked(b"1\r\n" + CALL + b"\r\n0\r\n\r\n"),
    "a chunk behind a bare line feed": chunked(b"1a\n" + CALL + b"\r\n0\r\n\r\n"),
    "a chunk that ends in a bare line feed": chunked(b"1a\r\n" + CALL + b"\n0\r\n\r\n"),
    "an extension with a bare line feed": chunked(b"1a;a\nb\r\n" + CALL + b"\r\n0\r\n\r\n"),
    "a folded header": post(b"X-A: 1\r\n 2", LENGTH),
    "a header that begins with a space": post(b" " + LENGTH),
    "a space before the colon": post(b"Content-Length : 26"),
    "a space in a name": post(b"X A: 1", LENGTH),
    "a header without a name": post(b": 1", LENGTH),
    "a header without a colon": post(b"nothing", LENGTH),
    "a NUL in a header": post(b"X-A: a\0b", LENGTH),
    "a bare carriage return": post(b"X-A: a\rContent-Length: 1", LENGTH),
    "lines that end in a bare line feed": sized().replace(b"\r\n", b"\n"),
    "one line that does": post(b"X-A: 1\nX-B: 2", LENGTH),
    "an upgrade with a body": post(b"Connection: upgrade", b"Upgrade: h2c", LENGTH) + SMUGGLED,
    "an upgrade to a socket of the web": post(b"Connection: Upgrade", b"Upgrade: websocket", LENGTH),
    "a tunnel": b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n" + SMUGGLED,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version that is not there": b"GET /v1/runs HTTP/9.9\r\nHost: a\r\n\r\n",
    "a method that is none": b"get /v1/runs HTTP/1.1\r\nHost: a\r\n\r\n",
    "a path with a control character": b"GET /v1/\x01runs HTTP/1.1\r\nHost: a\r\n\r\n",
    "a path that is not ASCII": b"GET /v1/\xffruns HTTP/1.1\r\nHost: a\r\n\r\n",
    "TLS where there is none": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
}

TOO_LARGE: dict[str, tuple[bytes, int]] = {
    "headers, many": (post(*[b"X-%d: 1" % n for n in range(200)], LENGTH), 431),
    "one header": (post(b"X-A: " + b"a" * 40_000, LENGTH), 431),
    "one name": (post(b"X" * 40_000 + b": 1", LENGTH), 431),
    "a path": (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
    "a query": (b"GET /v1/runs?" + b"a=1&" * 10_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
    "headers behind the body": (chunked(CHUNK[:-2] + b"X-A: " + b"a" * 40_000 + b"\r\n\r\n"), 431),
    "a length": (post(b"Content-Length: 99999999999", body=b""), 413),
    "chunks": (chunked(b"ffff\r\n" + b"a" * 0xFFFF + b"\r\n" + b"0\r\n\r\n"), 413),
    "requests at once": (b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n" * 200, 200),
}

SETTINGS = (
    '[serve]\nrequest = "1s"\nidle = "1s"\ndrain = "1s"\nbody_bytes = 16384\nconnections = 64\nstreams = 32\n'
)


@pytest.fixture
async def served(root: Path, env: dict[str, str]) -> AsyncIterator[Serving]:  # noqa: F811
    with (root / "assent.toml").open("a") as file:
        file.write(SETTINGS)
    async with daemon(root, env) as found:
        await found.http.get("/v1/runs")
        yield found


def opened() -> tuple[int, int]:
    """How many tasks and descriptors there are."""
    return len(asyncio.all_tasks()), sum(1 for _ in Path("/proc/self/fd").iterdir())


async def until(met: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(1000):
        if await met():
            return
        await asyncio.sleep(0.02)
    raise AssertionError([str(task.get_coro()) for task in asyncio.all_tasks()])


async def at_rest(before: tuple[int, int], ours: int = 0) -> None:
    """Wait until nothing is left of what was begun and opened since, but for descriptors of ours."""

    async def met() -> bool:
        tasks, files = opened()
        return tasks <= before[0] and files <= before[1] + ours

    await until(met)


async def runs(served: Serving) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await served.http.get("/v1/runs")).json()
    return found


async def test_what_could_be_read_in_two_ways_is_refused_and_nothing_of_it_done(served: Serving) -> None:
    told = await asyncio.gather(*(Raw.ask(served, sent) for sent in DOUBTFUL.values()))
    wrong = {name: said[:60] for name, said in zip(DOUBTFUL, told, strict=True) if not refused(said)}
    assert wrong == {}
    assert await runs(served) == []


def refused(said: bytes) -> bool:
    """One answer, 400, after which the connection ends."""
    head, _, body = said.partition(b"\r\n\r\n")
    return (
        head.startswith(b"HTTP/1.1 400 ")
        and said.count(b"HTTP/1.1 ") == 1
        and json.loads(body)["error"]["code"] == "REQUEST_INVALID"
    )


async def test_what_is_too_large_is_refused_in_its_words(served: Serving) -> None:
    told = await asyncio.gather(*(Raw.ask(served, sent) for sent, _ in TOO_LARGE.values()))
    wrong = {
        name: said[:60]
        for (name, (_, status)), said in zip(TOO_LARGE.items(), told, strict=True)
        if not said.startswith(b"HTTP/1.1 %d " % status)
    }
    assert wrong == {}
    assert told[-1].count(b"HTTP/1.1 ") < 20  # those behind were refused
    assert await runs(served) == []


WAITING: dict[str, tuple[bytes, ...]] = {
    "nothing": (b"",),
    "half a head": (b"POST /v1/calls HTTP/1.1\r\nHost: a\r\nX-",),
    "a head byte by byte": tuple(b"GET /v1/runs HTTP/1.1\r\nX: " + b"a" * n for n in range(1, 4)),
    "half a body": (sized()[:-5],),
    "a body byte by byte": (sized()[:-5], b"n", b"o"),
    "a chunk that never ends": (chunked(b"1a\r\n{"),),
    "half a request behind a whole one": (b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\nGET /", b"v1"),
    "an empty line behind a whole one": (b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n"),
    "a whole one, and then nothing": (b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n",),
}


async def test_who_never_ends_a_request_is_waited_for_no_longer(served: Serving) -> None:
    before = opened()

    async def slowly(parts: tuple[bytes, ...]) -> bytes:
        raw = await Raw.to(served)
        for part in parts:
            raw.writer.write(part)
            await asyncio.sleep(0.1)
        return await raw.rest()

    told = dict(zip(WAITING, await asyncio.gather(*map(slowly, WAITING.values())), strict=True))
    first = {name: said.split(b" ", 2)[1] for name, said in told.items()}
    answered = {name for name in WAITING if "whole one" in name}
    assert first == {name: b"200" if name in answered else b"408" for name in WAITING}
    assert await runs(served) == []
    await at_rest(before)


async def test_headers_behind_a_body_are_none(served: Serving) -> None:
    said = b"Authorization: Bearer nothing\r\nIdempotency-Key: k\r\nAssent-Version: 9.9.9\r\n"
    body = CHUNK[:-2] + said + b"\r\n"
    told = await Raw.ask(served, chunked(body, b"Connection: close"))
    assert told.startswith(b"HTTP/1.1 200 "), told


SLEEP = b'{"capability": "sys.sleep", "parameters": {"seconds": 0.3}}'
RUNS = b"GET /v1/runs HTTP/1.1\r\nHost: a\r\n\r\n"


async def test_each_answer_stands_behind_its_request(served: Serving) -> None:
    """What comes behind a request under way is answered after it, and so is what can't be read."""
    told = await Raw.ask(served, sized(SLEEP) + RUNS + b"nothing\r\n\r\n")
    first, second = (part.partition(b"\r\n\r\n")[2] for part in told.split(b"HTTP/1.1 200 OK")[1:])
    assert json.loads(first)["status"] == "succeeded"
    assert [run["run_id"] for run in json.loads(second)] == [json.loads(first)["run_id"]]
    told = await Raw.ask(served, sized(SLEEP) + sized(CALL)[:-3])
    assert (told.count(b"HTTP/1.1 200 OK"), told.count(b"HTTP/1.1 ")) == (1, 2)  # 408


async def test_who_leaves_has_asked_once_and_nothing_is_left(served: Serving) -> None:
    before = opened()
    raws = [await Raw.to(served) for _ in range(6)]
    for raw in raws:
        raw.writer.write(sized(SLEEP))

    async def begun() -> bool:
        return len(await runs(served)) == len(raws)

    async def ended() -> bool:
        return {run["status"] for run in await runs(served)} == {"succeeded"}

    await until(begun)
    for number, raw in enumerate(raws):
        if number % 2:
            raw.writer.transport.abort()
        else:
            raw.writer.write_eof()  # it still reads
    said = await asyncio.gather(*(raw.rest() for raw in raws[::2]))
    assert [part[:12] for part in said] == [b"HTTP/1.1 200"] * 3
    await until(ended)
    assert len(await runs(served)) == len(raws)
    await at_rest(before)


async def test_no_more_connections_than_there_may_be(served: Serving) -> None:
    before = opened()
    told = await asyncio.gather(*(Raw.ask(served, b"GET /livez HTTP/1.1\r\n") for _ in range(500)))
    assert sum(said == b"" for said in told) >= 500 - 64  # hung up on; the others are told that they are slow
    assert (await served.http.get("/livez")).text == "ok\n"
    await at_rest(before)


async def test_answers_that_nobody_takes_end_with_their_connection(served: Serving) -> None:
    large = b"GET /v1/openapi.json HTTP/1.1\r\nHost: a\r\n"
    assert len(await Raw.ask(served, large + b"Connection: close\r\n\r\n")) > 100_000
    before = opened()
    for ask in (large + b"\r\n", large + b"Connection: close\r\n\r\n"):
        raws = [await Raw.to(served) for _ in range(8)]
        for raw in raws:
            raw.pause()
            raw.writer.write(ask * 16)
        await at_rest(before, ours=len(raws))  # ours are left
        for raw in raws:
            raw.writer.transport.abort()
    await at_rest(before)


BOMBS: dict[str, tuple[bytes, int]] = {
    "depth of lists": (
        b'{"capability": "sys.noop", "parameters": {"a": %s}}' % (b"[" * 7000 + b"]" * 7000),
        400,
    ),
    "depth of objects": (b'{"a":' * 2000 + b"1" + b"}" * 2000, 400),
    "a number of many digits": (b'{"capability": "sys.noop", "parameters": {"a": %s}}' % (b"9" * 9000), 400),
    "an exponent": (b'{"capability": "sys.noop", "parameters": {"a": 1e999999}}', 400),
    "not a number": (b'{"capability": "sys.noop", "parameters": {"a": NaN}}', 400),
    "a key twice": (b'{"capability": "sys.noop", "capability": "sys.sleep"}', 400),
    "a key twice, spelled apart": (b'{"capability": "sys.noop", "\\u0063apability": "sys.sleep"}', 400),
    "half of a pair": (b'{"capability": "\\ud800"}', 400),
    "no UTF-8": (b'{"capability": "\xff"}', 400),
    "another encoding": ('{"capability": "sys.noop"}'.encode("utf-16"), 400),
    "a mark before it": (b"\xef\xbb\xbf" + CALL, 400),
    "something behind it": (CALL + b"x", 400),
    "nothing but space": (b" " * 9000, 400),
    "a name with a NUL": (b'{"capability": "sys.noop\\u0000"}', 404),
}


async def test_json_that_is_a_bomb_is_refused(served: Serving) -> None:
    told = {
        name: (
            await served.http.post("/v1/calls", content=body, headers={"content-type": "application/json"})
        ).status_code
        for name, (body, _) in BOMBS.items()
    }
    assert told == {name: status for name, (_, status) in BOMBS.items()}
    assert await runs(served) == []


async def test_what_a_client_asks_of_waiting_and_resuming_is_bounded(served: Serving) -> None:
    """`Prefer` and `Last-Event-ID` are wishes: what can't be read of them is as if nothing were said."""
    body = json.loads(CALL)
    for wish in (
        "wait=99999999999999999999",
        "wait=-1",
        "wait=1e9",
        "wait=\u0663",
        "wait",
        "=",
        ",,,;;;",
        "respond-async" * 200,
    ):
        answer = await served.http.post("/v1/calls", json=body, headers={b"prefer": wish.encode()})
        assert (answer.status_code, answer.json()["status"]) == (200, "succeeded"), wish
    (*_, run) = await runs(served)
    place = f"/v1/runs/{run['run_id']}/events"
    whole = (await served.http.get(place)).text
    for last in ("-1", "1.5", "9" * 30, "\u0663", "run.created", ""):
        assert (await served.http.get(place, headers={b"last-event-id": last.encode()})).text == whole, last
    assert "run.created" not in (await served.http.get(place, headers={"last-event-id": "999999"})).text


async def test_a_key_that_is_used_by_another_or_for_something_else_gives_nothing_away(
    served: Serving,
) -> None:
    for key in ("", "a\tb", "x" * 256, "\xe9"):
        answer = await served.http.post(
            "/v1/calls", json={"capability": "sys.noop"}, headers={b"idempotency-key": key.encode()}
        )
        assert answer.status_code == 400, key
    sent = {"idempotency-key": "k"}
    slow = served.http.post("/v1/calls", json=json.loads(SLEEP), headers=sent)
    first = asyncio.ensure_future(slow)

    async def begun() -> bool:
        return bool(await runs(served))

    await until(begun)
    (run,) = await runs(served)
    other = await served.http.post(f"/v1/runs/{run['run_id']}/undo", json={}, headers=sent)
    assert other.status_code == 409, other.text
    assert (await first).json()["status"] == "succeeded"
