"""What a part wrote becomes the request of the one client, or is refused with its place before anything is sent."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from assent.capabilities.net import Http, NetLimits, Outgoing, _outgoing
from assent.errors import AssentError, InputError, WorldError
from assent.invocation import LocalContext, NoEffectError, Secret
from assent.invocation.call._sending import hidden
from assent.invocation.context.http import HttpAnswer, HttpRequest
from assent.journal import MemoryBlobs
from assent.secrets.redaction import Redactor
from assent.spec.ids import RunId, StepKey
from assent.spec.principal import Principal
from assent.spec.secret_text import SecretText
from tests.capabilities.net.conftest import client, opened
from tests.support.web import Asked, Reply, serving

CONTEXT = LocalContext(
    run=RunId("run_1"),
    step=StepKey("call"),
    attempt=1,
    principal=Principal.parse("user:ann"),
    key="key",
    world=None,  # type: ignore[arg-type]  # nothing here looks at files
    blobs=MemoryBlobs(),
)


def admit(method: str, scheme: str, host: str, port: int) -> None:
    """Everything may leave."""


async def reveal(value: Any, host: str) -> Any:
    """Nothing is to be revealed."""
    return value


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"url": "ftp://a.example/"}, "URL_INVALID"),
        ({"headers": (("Host", "b.example"),)}, "HTTP_REQUEST_INVALID"),
        ({"headers": (("X", "a\r\nY: b"),)}, "HTTP_REQUEST_INVALID"),
        ({"body": b"x", "body_type": "json"}, "HTTP_REQUEST_INVALID"),
        ({"body": "x", "body_type": "bytes"}, "HTTP_REQUEST_INVALID"),
        ({"body": {"a": float("nan")}}, "HTTP_REQUEST_INVALID"),
        ({"body": {"a": object()}}, "HTTP_REQUEST_INVALID"),
        ({"body": ["x"], "body_type": "form"}, "HTTP_REQUEST_INVALID"),
        ({"body": b"x" * 200}, "HTTP_REQUEST_TOO_LARGE"),
        ({"body": "x" * 200}, "HTTP_REQUEST_TOO_LARGE"),
        ({"body": ["x" * 200]}, "HTTP_REQUEST_TOO_LARGE"),
    ],
)
def test_what_can_not_be_sent_is_refused(fields: dict[str, Any], code: str) -> None:
    request = HttpRequest(**{"method": "POST", "url": "https://a.example/", **fields})
    with pytest.raises((InputError, NoEffectError)) as refused:
        Outgoing(Http(limits=NetLimits(request_bytes=100))).shown(request)
    assert refused.value.code == code


def test_what_is_shown_holds_no_credential() -> None:
    headers = (("Authorization", "Bearer literal"), ("X-Key", SecretText("secret://one")))
    shown = Outgoing(Http()).shown(
        HttpRequest("POST", "https://a.example:444/x", headers, (("a", "1"), ("a", "2")), {"password": "p"})
    )
    assert (shown.scheme, shown.host, shown.port) == ("https", "a.example", 444)
    text = str(shown.request["request"])
    assert text.startswith("POST https://a.example:444/x?a=1&a=2\n")
    assert "secret://one" in text
    assert "literal" not in text
    assert '"p"' not in text


async def test_an_answer_that_can_not_be_read_is_a_failure_of_the_world() -> None:
    def long(asked: Asked) -> Reply:
        return Reply(200, body=b"x" * 100)

    with serving(long) as site:
        async with client(opened(), answer_bytes=10) as http:
            for method in ("GET", "POST"):
                with pytest.raises(WorldError) as failed:
                    await Outgoing(http).send(
                        CONTEXT, HttpRequest(method, site.url()), admit=admit, reveal=reveal
                    )
                assert failed.value.code == "HTTP_BODY_TOO_LARGE"
                assert (
                    failed.value.hint
                    == "ask the service for less at a time, or raise `answer_bytes` in `[net]`"
                )
        assert [one.method for one in site.asked] == ["GET", "POST"]


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_an_answer_is_counted_unpacked_and_bounded_whatever_is_configured(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """It is held in memory: beyond that bound no setting helps, and the hint names none."""
    monkeypatch.setattr(_outgoing, "ANSWER_BYTES_MAX", 1000)
    body = b"x" * 1001
    packed = body if encoding == "identity" else gzip.compress(body)

    def answer(asked: Asked) -> Reply:
        fits = asked.path == "/fits"
        return Reply(200, [] if fits else [("content-encoding", encoding)], b"x" * 1000 if fits else packed)

    with serving(answer) as site:
        async with client(opened(), answer_bytes=1 << 30) as http:
            out = Outgoing(http)
            received = await out.send(
                CONTEXT, HttpRequest("GET", site.url("/fits")), admit=admit, reveal=reveal
            )
            assert len(received.body) == 1000
            with pytest.raises(WorldError) as failed:
                await out.send(CONTEXT, HttpRequest("GET", site.url()), admit=admit, reveal=reveal)
    assert (failed.value.code, failed.value.hint) == (
        "HTTP_BODY_TOO_LARGE",
        "ask the service for less at a time",
    )


async def test_an_answer_that_unpacks_to_many_times_its_size_is_stopped() -> None:
    bomb = gzip.compress(b"\0" * (4 << 20))
    with serving(lambda asked: Reply(200, [("content-encoding", "gzip")], bomb)) as site:
        async with client(opened()) as http:
            with pytest.raises(WorldError) as failed:
                await Outgoing(http).send(CONTEXT, HttpRequest("GET", site.url()), admit=admit, reveal=reveal)
    assert failed.value.code == "HTTP_BOMB"
    assert "`ratio`" in str(failed.value.hint)


async def test_who_refuses_is_asked_before_the_host_is_looked_up(names: Any) -> None:
    asked: list[str] = names({})

    def refuse(method: str, scheme: str, host: str, port: int) -> None:
        raise AssentError("REFUSED", f"{method} {scheme} {host} {port}")

    async with client(opened()) as http:
        request = HttpRequest("GET", "http://nobody.test:8080/")
        with pytest.raises(AssentError, match=r"GET http nobody\.test 8080"):
            await Outgoing(http).send(CONTEXT, request, admit=refuse, reveal=reveal)
    assert asked == []


def test_an_answer_reads_as_text_and_json_and_repeats_no_secret() -> None:
    answer = HttpAnswer(
        404, "http://a.test/value-one", {"x": "value-one"}, ("http://value-one.test/",), b'{"a": "value-one"}'
    )
    assert (answer.is_success, answer.text(), answer.json()) == (
        False,
        '{"a": "value-one"}',
        {"a": "value-one"},
    )
    given = Redactor()
    assert hidden(answer, given) is answer
    given.add("one", Secret("value-one").reveal())
    masked = hidden(answer, given)
    assert masked == HttpAnswer(
        404, "http://a.test/***", {"x": "***"}, ("http://***.test/",), b'{"a": "***"}'
    )
