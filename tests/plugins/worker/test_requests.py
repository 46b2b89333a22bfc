"""A request crosses the pipe as it was written, references as references, and ends with the part that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from msgspec.msgpack import Ext

from assent.errors import AssentError, InputError
from assent.invocation import CallTimeoutError, LocalContext
from assent.invocation.context.http import HttpAnswer, HttpRequest, require_form
from assent.invocation.context.local import CallLife
from assent.plugins.worker import _frames, _process
from assent.plugins.worker._frames import BrokenFrameError
from assent.plugins.worker._http import from_args, to_args
from assent.spec.secret_text import SecretText
from tests.support.plugins import interpreter_kept
from tests.support.workers import Around, Stage, plugin_of, staged

SOURCE = '''\
"""Sends requests."""

import asyncio

from assent import capability
from assent.errors import AssentError
from assent.invocation import LocalContext, Reconciliation
from assent.spec.states import Verdict
from assent.spec.types import SecretText


@capability("sample.ask", operation="EXECUTE", risk="CRITICAL", labels=["sends_external"])
async def ask(context: LocalContext, url: str) -> list[str | int]:
    """Ask."""
    answer = await context.http.request(
        "POST",
        url,
        headers={"A": SecretText("x secret://{one}"), "B": "secret://plain"},
        query={"q": ["1", SecretText("secret://two")]},
        body={"list": [1, 2.5, None, True, SecretText("secret://{three}")], "text": "é"},
    )
    return [answer.status, answer.text(), str(answer.json()), str(answer.is_success), answer.headers["x"], *answer.redirects]


@ask.reconcile
async def happened(context: LocalContext, url: str) -> Reconciliation:
    """Try to change something where only asking is due."""
    try:
        await context.http.request("DELETE", url)
    except AssentError as error:
        return Reconciliation(Verdict.YES, [error.code])
    return Reconciliation(Verdict.UNKNOWN)


@capability("sample.wait", operation="READ", risk="MEDIUM", labels=["sends_external"])
def wait(context: LocalContext, url: str) -> str:
    """Wait for an answer in a thread, twice."""
    try:
        context.http.request_in_thread("GET", url)
    except AssentError:
        context.http.request_in_thread("GET", url)
    return "answered"


@capability("sample.many", operation="READ", risk="MEDIUM", labels=["sends_external"])
async def many(context: LocalContext, url: str, count: int) -> int:
    """Ask for many things at once; how much came."""
    found = await asyncio.gather(*(context.http.request("GET", url) for _ in range(count)))
    return sum(len(one.body) for one in found)


@capability("sample.big", operation="EXECUTE", risk="CRITICAL", labels=["sends_external"])
async def big(context: LocalContext, url: str, size: int) -> str:
    """Send what no message holds."""
    try:
        await context.http.request("POST", url, body=b"x" * size)
    except AssentError as error:
        return error.code
    return "sent"


@capability("sample.odd", operation="READ", risk="MEDIUM", labels=["sends_external"])
async def odd(context: LocalContext, url: str) -> str:
    """Write a request that is none."""
    try:
        await context.http.request("GET", url, body="x")
    except AssentError as error:
        return error.code
    return "sent"
'''


class Service(Around):
    """Answers each request with what `answers` holds, or never; remembers what was asked."""

    def __init__(self, *answers: HttpAnswer) -> None:
        super().__init__()
        self.answers = [*answers]
        self.requests: list[HttpRequest] = []

    def begin_request(
        self, context: LocalContext, life: CallLife, request: HttpRequest
    ) -> Future[HttpAnswer]:
        self.requests.append(request)
        answer: Future[HttpAnswer] = Future()
        if self.answers:
            answer.set_result(self.answers.pop(0))
        return answer


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with interpreter_kept(), staged(tmp_path, plugin_of(SOURCE), in_thread=True) as found:
        yield found


async def test_a_request_and_its_answer_arrive_as_they_were_written(stage: Stage) -> None:
    answer = HttpAnswer(201, "http://a.test/", {"x": "y"}, ("http://b.test/",), b'{"a": 1}')
    stage.around = service = Service(answer)
    told = await stage.execute("sample.ask", {"url": "http://a.test/"})
    assert told == [201, '{"a": 1}', "{'a': 1}", "True", "y", "http://b.test/"]
    (request,) = service.requests
    assert (request.method, request.url, request.follow_redirects) == ("POST", "http://a.test/", True)
    assert request.headers == (("A", "x secret://{one}"), ("B", "secret://plain"))
    assert [type(value) for _, value in (*request.headers, *request.query)] == [
        SecretText,
        str,
        str,
        SecretText,
    ]
    assert request.body == {"list": [1, 2.5, None, True, "secret://{three}"], "text": "é"}
    assert isinstance(request.body["list"][4], SecretText)


async def test_a_part_that_only_reads_sends_nothing_that_changes(stage: Stage) -> None:
    stage.around = service = Service()
    assert (await stage.call("sample.ask").part("reconcile", {"url": "http://a.test/"})).output == [
        "PLUGIN_DENIED"
    ]
    assert await stage.execute("sample.odd", {"url": "http://a.test/"}) == "HTTP_REQUEST_INVALID"
    assert service.requests == []


async def test_who_waits_for_an_answer_is_told_when_its_part_is_stopped(stage: Stage) -> None:
    """Its worker need not be ended, so the plugin's other calls go on; and it sends nothing more."""
    stage.host.grace_s = 60
    stage.around = service = Service()
    waiting = asyncio.ensure_future(stage.call("sample.wait").part("execute", {"url": "x"}, timeout_s=0.5))
    with pytest.raises(CallTimeoutError):
        await waiting
    assert len(service.requests) <= 1
    (slot,) = stage.host._slots
    assert slot.worker is not None


async def test_large_answers_wait_until_the_worker_has_read_those_before(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has asked for much at once is not taken for one that reads nothing."""
    monkeypatch.setattr(_process, "ROOM_BYTES", 1 << 20)
    monkeypatch.setattr(_process, "WAITING_BYTES_MAX", 3 << 20)
    stage.around = Service(*[HttpAnswer(200, "http://a.test/", body=b"x" * (2 << 20))] * 12)
    assert await stage.execute("sample.many", {"url": "http://a.test/", "count": 12}) == 24 << 20
    (slot,) = stage.host._slots
    assert slot.starts == 1


async def test_a_request_that_no_message_holds_is_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.around = service = Service()
    assert await stage.execute("sample.odd", {"url": "http://a.test/"}) == "HTTP_REQUEST_INVALID", (
        "it has begun"
    )
    monkeypatch.setattr(_frames, "FRAME_BYTES_MAX", 3000)
    told = await stage.execute("sample.big", {"url": "http://a.test/", "size": 4000})
    assert told == "PLUGIN_MESSAGE_TOO_LARGE"
    assert service.requests == []


async def test_a_call_by_hand_sends_nothing(stage: Stage) -> None:
    context = stage.call("sample.wait").context
    with pytest.raises(InputError, match="sends no requests") as refused:
        await context.http.request("GET", "http://a.test/")
    assert refused.value.code == "HTTP_UNAVAILABLE"
    with pytest.raises(InputError, match="sends no requests"):
        context.http.request_in_thread("GET", "http://a.test/")
    with pytest.raises(AssentError, match="sends no requests"):
        await stage.execute("sample.wait", {"url": "http://a.test/"})


GOOD = to_args(HttpRequest("GET", "http://a.test/"))


@pytest.mark.parametrize(
    "change",
    [
        {0: 1},
        {1: None},
        {2: "x"},
        {2: [["a"]]},
        {2: [["a", 1]]},
        {3: [["a", [1]]]},
        {4: Ext(2, b"x")},
        {4: Ext(1, b"\xff")},
        {4: {1: 2}},
        {4: float("nan")},
        {4: 1 << 65},
        {4: [[Ext(7, b"")]]},
        {5: "file"},
        {6: 1},
    ],
)
def test_what_is_no_request_breaks_the_protocol(change: dict[int, Any]) -> None:
    with pytest.raises(BrokenFrameError):
        from_args([change.get(at, value) for at, value in enumerate(GOOD)])


def test_a_request_has_all_its_arguments_and_an_end_of_depth() -> None:
    deep: Any = []
    for _ in range(70):
        deep = [deep]
    for args in (GOOD[:-1], [*GOOD, 1], [*GOOD[:4], deep, None, True]):
        with pytest.raises(BrokenFrameError):
            from_args(args)
    assert from_args([*GOOD[:4], b"x", "bytes", False]).body == b"x"


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "get"},
        {"method": "CONNECT"},
        {"body": "x"},
        {"body_type": "file"},
        {"headers": (("a", "b"),) * 65},
        {"query": (("a", "b"),) * 257},
        {"headers": (("a", "b" * (64 << 10)),)},
    ],
)
def test_a_request_has_a_form(fields: dict[str, Any]) -> None:
    require_form(HttpRequest("GET", "http://a.test/"))
    with pytest.raises(InputError) as refused:
        require_form(HttpRequest(**{"method": "GET", "url": "http://a.test/", **fields}))
    assert refused.value.code == "HTTP_REQUEST_INVALID"
