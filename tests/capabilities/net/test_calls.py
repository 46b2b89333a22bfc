"""What the HTTP capabilities say about their effects: through the whole runtime, against a real service."""

from __future__ import annotations

import base64
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from assent.engine import RunResult
from assent.errors import RefusedError
from tests.support.bodies import Bench, Place
from tests.support.web import Asked, Reply, serving, talking

EVERYTHING: dict[str, Any] = {
    "version": 1,
    "rules": [
        {
            "id": "everything",
            "when": {"principal": "user:*"},
            "decision": "ALLOW",
            "without_approval": True,
            "reason": "the capability itself is tried here",
        }
    ],
}
SECRET = "correct-horse-battery-staple"


@dataclass
class Web:
    """A runtime that may reach one service; `url` makes addresses there."""

    place: Place
    port: int

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def files(self) -> Path:
        return self.place.workspace

    @asynccontextmanager
    async def open(self, more: str = "") -> AsyncIterator[Bench]:
        """A runtime with the rule that opens the service, and `more` lines of configuration."""
        self.files.mkdir(exist_ok=True)
        (self.files / "assent.toml").write_text(
            f'{more}[net.rules.service]\nhosts = ["127.0.0.1"]\nschemes = ["http"]\nports = [{self.port}]\n'
            'methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]\nprivate = ["127.0.0.1/32"]\n'
        )
        async with self.place.open(box=False) as rt:
            yield rt


def output(result: RunResult) -> Any:
    """The one step's output."""
    assert result.status == "succeeded", result
    return result.steps[0].output


def error(result: RunResult) -> Any:
    """The one step's error."""
    return result.steps[0].error


Answer = Callable[[Asked], Reply]


@asynccontextmanager
async def service(
    tmp_path: Path, answer: Answer, more: str = ""
) -> AsyncIterator[tuple[Web, Bench, list[Asked]]]:
    """A service, and a runtime that may reach it."""
    with serving(answer) as site:
        web = Web(Place(tmp_path, policy=EVERYTHING), site.port)
        async with web.open(more) as rt:
            yield web, rt, site.asked


def fixed(status: int, body: bytes = b"", kind: str = "application/json") -> Answer:
    """Everybody gets this."""
    return lambda asked: Reply(status, [("content-type", kind)], body)


# -- answers ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "found", "how"),
    [
        (b'{"a": [1, 2.5, null]}', "application/json", {"a": [1, 2.5, None]}, "json"),
        (b'{"a": 1}', "application/problem+json; charset=utf-8", {"a": 1}, "json"),
        (b"{broken", "application/json", "{broken", "text"),
        (b'{"a": NaN}', "application/json", '{"a": NaN}', "text"),
        (b'{"a": 1e999}', "application/json", '{"a": 1e999}', "text"),
        (b"[" * 100 + b"]" * 100, "application/json", "[" * 100 + "]" * 100, "text"),
        (b"[" * 9000 + b"]" * 9000, "application/json", "[" * 9000 + "]" * 9000, "text"),
        (b"[12345678901234567890123]", "application/json", "[12345678901234567890123]", "text"),
        (rb'["\ud800"]', "application/json", r'["\ud800"]', "text"),
        ("grüß".encode("latin-1"), "text/plain; charset=iso-8859-1", "grüß", "text"),
        (b"<a/>", "application/xml", "<a/>", "text"),
        (b"plain", "", "plain", "text"),
        (b"\xff\xfe", "text/plain", "//4=", "base64"),
        (b"a\0b", "text/plain", "YQBi", "base64"),
        (b"text", "text/plain; charset=no-such", "dGV4dA==", "base64"),
        (b"\x89PNG", "image/png", "iVBORw==", "base64"),
        (b"", "application/json", None, "none"),
    ],
)
async def test_a_body_is_json_or_text_where_it_is_that(
    tmp_path: Path, body: bytes, kind: str, found: Any, how: str
) -> None:
    """And base64 otherwise; what nobody could hold as JSON stays text."""
    async with service(tmp_path, fixed(200, body, kind)) as (web, rt, _):
        answer = output(await rt.call("net.http.get", {"url": web.url()}))
    assert (answer["body"], answer["body_type"], answer["size"]) == (found, how, len(body))


async def test_a_large_body_stands_beside_the_output_without_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The output names it; what is kept was redacted."""
    monkeypatch.setenv("ASSENT_SECRET_MAIL_TOKEN", SECRET)
    grant = '[net]\ninline_bytes = 100\n[secrets."mail/token"]\ncapabilities = ["net.http.*"]\n'
    body = b"x" * 200 + SECRET.encode()
    async with service(tmp_path, fixed(200, body, "text/plain"), grant) as (web, rt, _):
        for capability in ("net.http.get", "net.http.post"):
            inputs: dict[str, Any] = {"url": web.url(), "headers": {"authorization": "secret://mail/token"}}
            answer = output(await rt.call(capability, inputs))
            assert (answer["body_type"], answer["size"]) == ("blob", len(body))
            digest = answer["body"]["blob"]
            kept = (tmp_path / "state/blobs" / digest[:2] / digest[2:]).read_bytes()
            assert kept == b"x" * 200 + b"***"


async def test_credentials_of_an_answer_are_masked_by_name(tmp_path: Path) -> None:
    """Whatever they hold, and however often they come."""
    headers = [
        ("set-cookie", f"a={SECRET}"),
        ("set-cookie", f"b={SECRET}"),
        ("x-api-key", SECRET),
        ("vary", "a"),
        ("vary", "b"),
    ]
    async with service(tmp_path, lambda asked: Reply(200, headers)) as (web, rt, _):
        for capability in ("net.http.get", "net.http.head"):
            told = output(await rt.call(capability, {"url": web.url()}))["headers"]
            assert (told["set-cookie"], told["x-api-key"], told["vary"]) == ("***", "***", "a, b")


async def test_a_status_from_400_on_is_a_failure_unless_it_is_accepted(tmp_path: Path) -> None:
    """What the service said is in the details."""
    async with service(tmp_path, fixed(404, b'{"why": "gone"}')) as (web, rt, _):
        failed = await rt.call("net.http.get", {"url": web.url()})
        assert error(failed)["code"] == "HTTP_STATUS"
        assert error(failed)["details"]["status"] == 404
        assert "gone" in error(failed)["details"]["body"]
        fine = await rt.call("net.http.get", {"url": web.url(), "accept_status": [404]})
        assert output(fine)["body"] == {"why": "gone"}


# -- what is sent ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "body", "kind"),
    [
        ({"body": {"a": "ü"}}, b'{"a":"\xc3\xbc"}', "application/json"),
        ({"body": "a", "body_type": "text"}, b"a", "text/plain; charset=utf-8"),
        ({"body": {"a b": "c&d"}, "body_type": "form"}, b"a+b=c%26d", "application/x-www-form-urlencoded"),
        ({"body": "AAE=", "body_type": "base64", "media_type": "a/b"}, b"\0\1", "a/b"),
        ({"body": "f.bin", "body_type": "file"}, b"of the file", "application/octet-stream"),
        ({"body": 1, "headers": {"Content-Type": "x/y"}}, b"1", "x/y"),
        ({}, b"", None),
    ],
)
async def test_a_body_is_sent_as_its_type_says(
    tmp_path: Path, fields: dict[str, Any], body: bytes, kind: str | None
) -> None:
    """With its media type, its length, and the key of the call."""
    async with service(tmp_path, fixed(201)) as (web, rt, asked):
        (web.files / "f.bin").write_bytes(b"of the file")
        output(await rt.call("net.http.post", {"url": web.url(), **fields}))
    (sent,) = asked
    assert (sent.method, sent.body, sent.headers.get("content-type")) == ("POST", body, kind)
    assert len(sent.headers["idempotency-key"]) == 32


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"headers": {"a b": "c"}}, "HTTP_REQUEST_INVALID"),
        ({"headers": {"a\r\nb": "c"}}, "HTTP_REQUEST_INVALID"),
        ({"headers": {"a": "b\r\nhost: evil.example"}}, "HTTP_REQUEST_INVALID"),
        ({"headers": {"a": "b\nc"}}, "HTTP_REQUEST_INVALID"),
        ({"headers": {"a": "ü"}}, "HTTP_REQUEST_INVALID"),
        ({"headers": {"A": "b", "a": "c"}}, "HTTP_REQUEST_INVALID"),
        ({"headers": {"Host": "evil.example"}}, "HTTP_REQUEST_INVALID"),
        ({"headers": {"content-length": "5"}}, "HTTP_REQUEST_INVALID"),
        ({"headers": {"transfer-encoding": "chunked"}}, "HTTP_REQUEST_INVALID"),
        ({"headers": {"connection": "upgrade"}}, "HTTP_REQUEST_INVALID"),
        ({"headers": {"proxy-authorization": "x"}}, "HTTP_REQUEST_INVALID"),
        ({"body": [], "body_type": "form"}, "HTTP_REQUEST_INVALID"),
        ({"body": {"a": 1}, "body_type": "form"}, "HTTP_REQUEST_INVALID"),
        ({"body": 1, "body_type": "text"}, "HTTP_REQUEST_INVALID"),
        ({"body": "?", "body_type": "base64"}, "HTTP_REQUEST_INVALID"),
        ({"body": {}, "body_type": "file"}, "HTTP_REQUEST_INVALID"),
        ({"body": "missing", "body_type": "file"}, "FILE_NOT_FOUND"),
        ({"body": "x" * 2000}, "HTTP_REQUEST_TOO_LARGE"),
        ({"body": "big.bin", "body_type": "file"}, "HTTP_REQUEST_TOO_LARGE"),
        ({"status": {"url": "http://{a}/", "happened_when": "a"}}, "HTTP_REQUEST_INVALID"),
        ({"status": {"url": "http://127.0.0.1:1/", "happened_when": "a"}}, "EGRESS_DENIED"),
        ({"status": {"url": "URL", "happened_when": "a ["}}, "HTTP_REQUEST_INVALID"),
        ({"status": {"url": "URL", "happened_when": "a", "not_happened_when": "?"}}, "HTTP_REQUEST_INVALID"),
    ],
)
async def test_a_request_that_can_t_be_right_is_refused_before_it_is_sent(
    tmp_path: Path, fields: dict[str, Any], code: str
) -> None:
    """Nothing reached the service, and the step has no effect to take back."""
    async with service(tmp_path, fixed(200), "[net]\nrequest_bytes = 1000\n") as (web, rt, asked):
        (web.files / "big.bin").write_bytes(b"x" * 1001)
        inputs = json.loads(json.dumps({"url": web.url(), **fields}).replace('"URL"', json.dumps(web.url())))
        result = await rt.call("net.http.post", inputs)
        assert (result.status, error(result)["code"], asked) == ("failed", code, [])


async def test_the_file_that_was_approved_is_the_file_that_is_sent(tmp_path: Path) -> None:
    """A plan shows its digest; whoever changes it meanwhile is found out."""
    rule = {
        "id": "ask",
        "when": {},
        "decision": "REQUIRE_APPROVAL",
        "reason": "look",
        "approvers": {"not_requester": False},
    }
    asks = {"version": 1, "rules": [rule]}
    with serving(fixed(200)) as site:
        web = Web(Place(tmp_path, policy=asks), site.port)
        async with web.open() as rt:
            (web.files / "f").write_bytes(b"one")
            inputs: dict[str, Any] = {"url": web.url(), "body": "f", "body_type": "file"}
            asked = await rt.call("net.http.post", inputs)
            (web.files / "f").write_bytes(b"two")
            again = await rt.approve(asked.run_id)
            assert again.status == "waiting"  # the grant was for the other content
            done = await rt.approve(asked.run_id)
            assert done.status == "succeeded"
        assert [one.body for one in site.asked] == [b"two"]


# -- what became of the effect ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "run", "step"),
    [
        (200, "succeeded", "succeeded"),
        (302, "succeeded", "succeeded"),
        (400, "failed", "failed"),
        (422, "failed", "failed"),
        (307, "failed", "failed"),
        (409, "needs_attention", "in_doubt"),
        (500, "needs_attention", "in_doubt"),
        (503, "needs_attention", "in_doubt"),
    ],
)
async def test_the_answer_says_what_became_of_the_effect(
    tmp_path: Path, status: int, run: str, step: str
) -> None:
    """A refusal is none; a conflict may be about an attempt that is under way; a fault of the service says nothing."""
    async with service(tmp_path, fixed(status)) as (web, rt, asked):
        result = await rt.call("net.http.post", {"url": web.url(), "body": 1})
        assert (result.status, result.steps[0].status, len(asked)) == (run, step, 1)


async def test_a_service_that_breaks_off_leaves_it_open_and_can_be_asked(tmp_path: Path) -> None:
    """`status` tells; without it a person has to."""
    performed: list[bytes] = []

    def talk(connection: socket.socket, head: bytes) -> None:
        if head.startswith(b"GET /known"):
            connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        elif head.startswith(b"GET"):
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        else:
            performed.append(head)
            connection.shutdown(socket.SHUT_RDWR)

    with talking(talk) as port:
        web = Web(Place(tmp_path, policy=EVERYTHING), port)
        async with web.open() as rt:
            status = {"happened_when": "status == `200`", "not_happened_when": "status == `404`"}
            for path, run in (("/known", "succeeded"), ("/other", "failed")):
                inputs: dict[str, Any] = {
                    "url": web.url(),
                    "body": 1,
                    "status": {"url": web.url(path), **status},
                }
                assert (await rt.call("net.http.post", inputs)).status == run
            vague: dict[str, Any] = {
                "url": web.url(),
                "status": {"url": web.url("/other"), "happened_when": "status == `200`"},
            }
            assert (await rt.call("net.http.post", vague)).status == "needs_attention"
            silent: dict[str, Any] = {"url": web.url(), "honours_key": True}
            assert (await rt.call("net.http.post", silent)).status == "needs_attention"
    assert len(performed) == 4


async def test_a_key_that_is_honoured_lets_an_attempt_be_repeated(tmp_path: Path) -> None:
    """The same key each time; what the second attempt is refused with says nothing of the first."""
    answers = iter([500, 500, 201])
    async with service(tmp_path, lambda asked: Reply(next(answers))) as (web, rt, asked):
        step: dict[str, Any] = {
            "name": "call",
            "capability": "net.http.post",
            "inputs": {"url": web.url(), "honours_key": True},
            "retry": {"max_attempts": 3, "backoff": {"initial": "1ms"}},
        }
        result = await rt.run({"name": "w", "version": "1.0.0", "steps": [step]})
        assert result.status == "succeeded"
    assert len({one.headers["idempotency-key"] for one in asked}) == 1
    assert len(asked) == 3


async def test_an_answer_that_is_too_large_has_not_undone_the_effect(tmp_path: Path) -> None:
    """The status came, so the request was performed; only its text is missing."""
    async with service(tmp_path, fixed(200, b"x" * 5000), "[net]\nanswer_bytes = 4000\n") as (web, rt, _):
        told = output(await rt.call("net.http.put", {"url": web.url(), "body": 1}))
        assert (told["status"], told["body"], told["body_missing"]) == (200, None, "HTTP_BODY_TOO_LARGE")
        assert error(await rt.call("net.http.get", {"url": web.url()}))["code"] == "HTTP_BODY_TOO_LARGE"


# -- taking it back --------------------------------------------------------------------------------------------------------

OFFSET: dict[str, Any] = {
    "method": "DELETE",
    "url": "URL/items/{id}?reason={idempotency_key}",
    "headers": {"x-id": "item {id} {other}"},
    "body": {"id": "{id}", "text": "no. {id}", "list": ["{id}"]},
    "from_answer": {"id": "body.id"},
}


def _in(web: Web, offset: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(offset).replace("URL", web.url("")))
    return found


async def test_the_compensating_request_takes_values_of_the_answer(tmp_path: Path) -> None:
    """A value is nothing but a value: encoded in an address, itself in JSON, no secret and no placeholder of its own."""
    value = "a/b?c#d {other} secret://mail/token"
    answer = json.dumps({"id": value}).encode()
    async with service(tmp_path, fixed(200, answer)) as (web, rt, asked):
        result = await rt.call(
            "net.http.post_compensated", {"url": web.url(), "compensation": _in(web, OFFSET)}
        )
        assert (await rt.undo(result.run_id)).status == "undone"
    first, undone = asked
    assert undone.method == "DELETE"
    path = "/items/a%2Fb%3Fc%23d%20%7Bother%7D%20secret%3A%2F%2Fmail%2Ftoken"
    assert undone.path == f"{path}?reason={first.headers['idempotency-key']}"
    assert undone.headers["x-id"] == f"item {value} {{other}}"
    assert json.loads(undone.body) == {"id": value, "text": f"no. {value}", "list": [value]}
    assert undone.headers["idempotency-key"] != first.headers["idempotency-key"]


@pytest.mark.parametrize(
    "answer",
    [b'{"id": ""}', b'{"id": ".."}', b'{"id": "."}', b'{"id": null}', b"{}", b'{"id": [1]}', b"text"],
)
async def test_a_value_that_can_t_stand_in_an_address_sends_nothing(tmp_path: Path, answer: bytes) -> None:
    """`/items/` and `/items/..` are other things than an item."""
    async with service(tmp_path, fixed(200, answer)) as (web, rt, asked):
        offset: dict[str, Any] = {
            "method": "DELETE",
            "url": "URL/items/{id}",
            "from_answer": {"id": "body.id"},
        }
        result = await rt.call(
            "net.http.post_compensated", {"url": web.url(), "compensation": _in(web, offset)}
        )
        undone = await rt.undo(result.run_id)
        assert undone.status == "needs_attention"
        assert len(asked) == 1


async def test_numbers_and_truth_can_stand_in_an_address(tmp_path: Path) -> None:
    """As JSON writes them."""
    async with service(tmp_path, fixed(200, b'{"id": 7, "on": true}')) as (web, rt, asked):
        offset: dict[str, Any] = {
            "method": "PUT",
            "url": "URL/{id}/{on}",
            "from_answer": {"id": "body.id", "on": "body.on"},
        }
        result = await rt.call(
            "net.http.put_compensated", {"url": web.url(), "compensation": _in(web, offset)}
        )
        await rt.undo(result.run_id)
    assert asked[1].path == "/7/true"


@pytest.mark.parametrize(
    ("offset", "code"),
    [
        ({"url": "http://{id}.example.org/"}, "HTTP_REQUEST_INVALID"),
        ({"url": "http://169.254.169.254/"}, "EGRESS_DENIED"),
        ({"url": "http://0x7f.1/"}, "URL_INVALID"),
        ({"url": "nothing"}, "HTTP_REQUEST_INVALID"),
        ({"from_answer": {"id": "a ["}}, "HTTP_REQUEST_INVALID"),
        ({"from_answer": {"idempotency_key": "a"}}, "HTTP_REQUEST_INVALID"),
        ({"headers": {"a": "b\r\nc"}}, "HTTP_REQUEST_INVALID"),
        ({"body": 1, "body_type": "text"}, "HTTP_REQUEST_INVALID"),
    ],
)
async def test_a_compensation_that_could_not_be_sent_stops_the_request(
    tmp_path: Path, offset: dict[str, Any], code: str
) -> None:
    """Found out before the effect, not in the middle of a rollback."""
    async with service(tmp_path, fixed(200)) as (web, rt, asked):
        inputs: dict[str, Any] = {"url": web.url(), "compensation": _in(web, OFFSET | offset)}
        result = await rt.call("net.http.post_compensated", inputs)
        assert (error(result)["code"], asked) == (code, [])
        assert (
            await rt.plan(
                {
                    "name": "w",
                    "steps": [{"name": "s", "capability": "net.http.post_compensated", "inputs": inputs}],
                }
            )
        ) is not None


@pytest.mark.parametrize(
    ("status", "offset", "undone"),
    [
        (404, {}, "undone"),
        (410, {}, "undone"),
        (404, {"method": "PUT"}, "needs_attention"),
        (404, {"method": "PUT", "accept_status": [404]}, "undone"),
        (307, {}, "needs_attention"),
        (500, {}, "needs_attention"),
    ],
)
async def test_what_is_gone_already_is_deleted(
    tmp_path: Path, status: int, offset: dict[str, Any], undone: str
) -> None:
    """Everything else that is no success leaves the step to a person."""
    plain: dict[str, Any] = {"method": "DELETE", "url": "URL/x"} | offset
    async with service(tmp_path, lambda asked: Reply(200 if asked.method == "POST" else status)) as (
        web,
        rt,
        _,
    ):
        result = await rt.call(
            "net.http.post_compensated", {"url": web.url(), "compensation": _in(web, plain)}
        )
        assert (await rt.undo(result.run_id)).status == undone


# -- secrets ---------------------------------------------------------------------------------------------------------------


async def test_a_secret_reaches_its_service_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In headers, query and body, also of the request that takes it back; echoed, it is masked; the state holds it nowhere."""
    monkeypatch.setenv("ASSENT_SECRET_MAIL_TOKEN", SECRET)
    grant = '[secrets."mail/token"]\ncapabilities = ["net.http.*"]\nhosts = ["127.0.0.1"]\n'

    def echo(asked: Asked) -> Reply:
        told = json.dumps(
            {"path": asked.path, "auth": asked.headers.get("authorization"), "body": asked.body.decode()}
        )
        return Reply(200, [("content-type", "application/json"), ("x-echo", SECRET)], told.encode())

    async with service(tmp_path, echo, grant) as (web, rt, asked):
        headers: dict[str, Any] = {"Authorization": "Bearer secret://mail/token"}
        told = [
            await rt.call(
                "net.http.get",
                {"url": web.url(), "headers": headers, "query": {"key": "secret://mail/token"}},
            ),
            await rt.call("net.http.download", {"url": web.url(), "headers": headers, "path": "f"}),
        ]
        offset: dict[str, Any] = {
            "method": "POST",
            "url": web.url(),
            "headers": headers,
            "body": {"k": "secret://mail/token"},
        }
        sent = await rt.call(
            "net.http.post_compensated",
            {
                "url": web.url(),
                "headers": headers,
                "body": {"k": "secret://mail/token"},
                "compensation": offset,
            },
        )
        told += [sent, await rt.undo(sent.run_id)]
        for name, code in (("mail/token", "EGRESS_DENIED"), ("mail/other", "EGRESS_DENIED")):
            away: dict[str, Any] = {"url": "http://localhost/", "headers": {"x": f"secret://{name}"}}
            assert error(await rt.call("net.http.get", away))["code"] == code
        missing: dict[str, Any] = {"url": web.url(), "headers": {"x": "secret://mail/other"}}
        assert error(await rt.call("net.http.post", missing))["code"] == "SECRET_NOT_GRANTED"
        monkeypatch.setenv("ASSENT_SECRET_MAIL_TOKEN", SECRET)
    assert [one.headers["authorization"] for one in asked] == [f"Bearer {SECRET}"] * 4
    assert f"key={SECRET}" in asked[0].path
    assert [json.loads(one.body)["k"] for one in asked[2:]] == [SECRET, SECRET]
    forms = (SECRET.encode(), base64.b64encode(SECRET.encode()))
    assert not any(form in json.dumps([one.to_json() for one in told]).encode() for form in forms)
    for folder, _, names in os.walk(tmp_path / "state"):
        for name in names:
            data = (Path(folder) / name).read_bytes() if not (Path(folder) / name).is_socket() else b""
            assert not any(form in data for form in forms), name


async def test_a_plan_shows_the_request_and_asks_nobody(tmp_path: Path) -> None:
    """Credentials that were written out are masked, references to secrets shown, the compensating request included."""
    async with service(tmp_path, fixed(200)) as (web, rt, asked):
        (web.files / "f").write_bytes(b"x")
        inputs: dict[str, Any] = {
            "url": web.url("/a"),
            "headers": {
                "Authorization": f"Bearer {SECRET}",
                "X-Token": "secret://mail/token",
                "x-plain": "shown",
            },
            "query": {"api_key": SECRET, "page": "2", "token": "secret://mail/token"},
            "body": {"password": SECRET, "name": "ada"},
            "compensation": _in(web, OFFSET),
        }
        steps: list[Any] = [
            {"name": "a", "capability": "net.http.post_compensated", "inputs": inputs},
            {"name": "b", "capability": "net.http.get", "inputs": {"url": web.url()}},
            {
                "name": "c",
                "capability": "net.http.put",
                "inputs": {"url": web.url(), "body": "f", "body_type": "file"},
            },
            {
                "name": "d",
                "capability": "net.http.download",
                "inputs": {"url": web.url(), "path": "new/g", "create_dirs": True},
            },
            {
                "name": "e",
                "capability": "net.http.download",
                "inputs": {"url": web.url(), "path": "f", "overwrite": True, "sha256": "0" * 64},
            },
        ]
        plan = await rt.plan({"name": "w", "version": "1.0.0", "steps": steps})
        first, second, third, fourth, fifth = (step.preview.diff for step in plan.steps)
        assert SECRET not in first
        for shown in (
            "POST http",
            "authorization: ***",
            "x-token: secret://mail/token",
            "x-plain: shown",
            "page=2",
            '"name": "ada"',
        ):
            assert shown in first
        assert "/items/{id}" in first
        assert "{id} is `body.id` of the answer" in first.replace("where ", "")
        assert second.startswith("GET http")
        assert "sha256 of the file: 2d711642b726b044" in third
        assert "to new/g: whatever is there" in fourth
        assert "make new/" in fourth
        assert f"sha256 {'0' * 64}" in fifth
        assert "in place of" in fifth
        assert asked == []


async def test_an_excerpt_never_shows_a_part_of_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller who chooses where a service's complaint is cut, so that it divides an echoed secret, sees nothing of it."""
    monkeypatch.setenv("ASSENT_SECRET_MAIL_TOKEN", SECRET)
    grant = '[secrets."mail/token"]\ncapabilities = ["net.http.*"]\n'

    def complain(asked: Asked) -> Reply:
        pad, value = asked.headers["x-pad"], asked.headers["authorization"]
        text = f"{'.' * int(pad)}{value}"
        if asked.method == "GET":
            return Reply(400, [("content-type", "text/plain")], text.encode())
        return Reply(307, [("location", text)])

    async with service(tmp_path, complain, grant) as (web, rt, _):
        for capability, place in (("net.http.get", "body"), ("net.http.post", "location")):
            for pad in (500 - len(SECRET) + 1, 490):
                headers: dict[str, Any] = {"authorization": "secret://mail/token", "x-pad": str(pad)}
                failed = await rt.call(capability, {"url": web.url(), "headers": headers})
                told = error(failed)["details"][place]
                assert set(told) <= {".", "*"}, told


async def test_a_redirect_to_no_address_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a service wrote there may hold a part of what it was sent."""
    monkeypatch.setenv("ASSENT_SECRET_MAIL_TOKEN", SECRET)
    grant = '[secrets."mail/token"]\ncapabilities = ["net.http.*"]\n'

    def lead_on(asked: Asked) -> Reply:
        return Reply(302, [("location", f"gopher://{'a' * 180}/{asked.headers['authorization']}")])

    async with service(tmp_path, lead_on, grant) as (web, rt, _):
        headers: dict[str, Any] = {"authorization": "secret://mail/token"}
        failed = await rt.call("net.http.get", {"url": web.url(), "headers": headers})
        assert error(failed)["code"] == "URL_INVALID"
        assert SECRET[:5] not in json.dumps(failed.to_json())


async def test_without_rules_no_secret_travels_unencrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in a header, a query or a body, nor in the request that would take another one back; a rule for `http` opens it."""
    monkeypatch.setenv("ASSENT_SECRET_MAIL_TOKEN", SECRET)
    place = Place(tmp_path, policy=EVERYTHING)
    place.workspace.mkdir(exist_ok=True)
    (place.workspace / "assent.toml").write_text('[secrets."mail/token"]\ncapabilities = ["net.http.*"]\n')
    value, url = "Bearer secret://mail/token", "http://192.0.2.1/"  # nobody is there, should anything go out
    sealed: dict[str, Any] = {"method": "DELETE", "url": url, "headers": {"x": value}}
    asked: list[tuple[str, dict[str, Any]]] = [
        ("net.http.get", {"headers": {"x": value}}),
        ("net.http.head", {"query": {"x": value}}),
        ("net.http.post", {"body": {"x": [value]}}),
        ("net.http.post_compensated", {"compensation": sealed}),
        ("net.http.post", {"status": sealed | {"method": "GET", "happened_when": "`true`"}}),
    ]
    async with place.open(box=False) as rt:
        told = [error(await rt.call(capability, {"url": url, **more})) for capability, more in asked]
    told = [one for one in told if "read on the way" not in one["message"]]
    assert told == []


DOUBLING = "|".join(["[@,@]"] * 40) + "|to_string(@)"


async def test_an_expression_that_doubles_what_it_finds_does_not_stop_the_runtime(tmp_path: Path) -> None:
    """Taking back counts the work of its expressions: too much of it finds nothing, and the undo says so."""
    async with service(tmp_path, fixed(201, b'{"id": 7}')) as (web, rt, asked):
        offset: dict[str, Any] = {
            "method": "DELETE",
            "url": web.url("/items/{id}"),
            "from_answer": {"id": DOUBLING},
        }
        sent = await rt.call("net.http.post_compensated", {"url": web.url(), "compensation": offset})
        assert sent.status == "succeeded"
        undone = await rt.undo(sent.run_id)
        assert undone.status != "undone"
        assert "UNDO_IMPOSSIBLE" in json.dumps(undone.to_json())
        assert [one.method for one in asked] == ["POST"]


@pytest.mark.parametrize("expression", ["!" * 1000 + "a", "(" * 500 + "a" + ")" * 500, "[[" * 300])
async def test_an_expression_that_is_too_deep_is_refused_before_anything_is_sent(
    tmp_path: Path, expression: str
) -> None:
    """It could not be evaluated afterwards."""
    async with service(tmp_path, fixed(201, b'{"id": 7}')) as (web, rt, asked):
        offset: dict[str, Any] = {
            "method": "DELETE",
            "url": web.url("/items/{id}"),
            "from_answer": {"id": expression},
        }
        failed = await rt.call("net.http.post_compensated", {"url": web.url(), "compensation": offset})
        assert error(failed)["code"] == "HTTP_REQUEST_INVALID"
        assert asked == []


# -- downloads -------------------------------------------------------------------------------------------------------------


async def test_a_download_is_a_change_of_a_file_like_any_other(tmp_path: Path) -> None:
    """Written, found unchanged, replaced with its mode kept, taken back to the byte."""
    content = [b"first"]
    async with service(tmp_path, lambda asked: Reply(200, [("content-type", "a/b")], content[0])) as (
        web,
        rt,
        asked,
    ):
        inputs: dict[str, Any] = {"url": web.url(), "path": "in/f.bin", "create_dirs": True}
        made = await rt.call("net.http.download", inputs)
        told = output(made)
        assert (told["created"], told["created_dirs"], told["size"], told["media_type"]) == (
            True,
            ["in"],
            5,
            "a/b",
        )
        assert asked[0].headers["accept-encoding"] == "identity"
        assert error(await rt.call("net.http.download", inputs))["code"] == "FILE_EXISTS"
        same = await rt.call("net.http.download", inputs | {"overwrite": True})
        assert output(same)["changed"] is False
        (web.files / "in/f.bin").chmod(0o600)
        content[0] = b"second"
        other = await rt.call("net.http.download", inputs | {"overwrite": True})
        assert (web.files / "in/f.bin").read_bytes() == b"second"
        assert (web.files / "in/f.bin").stat().st_mode & 0o777 == 0o600
        assert (await rt.undo(other.run_id)).status == "undone"
        assert (web.files / "in/f.bin").read_bytes() == b"first"
        (web.files / "in/f.bin").chmod(0o644)
        assert (await rt.undo(same.run_id)).status == "undone"
        assert (web.files / "in/f.bin").read_bytes() == b"first"


async def test_what_somebody_wrote_since_is_not_taken_back(tmp_path: Path) -> None:
    """Their work is not ours to overwrite."""
    async with service(tmp_path, fixed(200, b"ours")) as (web, rt, _):
        done = await rt.call("net.http.download", {"url": web.url(), "path": "f"})
        (web.files / "f").write_bytes(b"theirs")
        with pytest.raises(RefusedError, match="not as this step left it"):
            await rt.undo(done.run_id)
        assert (web.files / "f").read_bytes() == b"theirs"


@pytest.mark.parametrize(
    ("status", "fields", "code"),
    [
        (200, {"sha256": "0" * 64}, "HTTP_DIGEST_MISMATCH"),
        (404, {}, "HTTP_STATUS"),
        (304, {}, "HTTP_STATUS"),
        (302, {"follow_redirects": False}, "HTTP_STATUS"),
        (200, {"path": "missing/f"}, "FILE_NOT_FOUND"),
        (200, {"path": "folder"}, "IS_A_DIRECTORY"),
        (200, {"url": "http://10.0.0.1/"}, "EGRESS_DENIED"),
    ],
)
async def test_a_download_that_fails_leaves_nothing(
    tmp_path: Path, status: int, fields: dict[str, Any], code: str
) -> None:
    """No file, no folder, no temporary name."""
    async with service(tmp_path, fixed(status, b"body")) as (web, rt, _):
        (web.files / "folder").mkdir()
        before = sorted(one.name for one in web.files.iterdir())
        inputs: dict[str, Any] = {
            "url": web.url(),
            "path": "made/f",
            "create_dirs": "path" not in fields,
            **fields,
        }
        result = await rt.call("net.http.download", inputs)
        assert (result.status, error(result)["code"]) == ("failed", code)
        assert sorted(one.name for one in web.files.iterdir()) == before


async def test_a_download_is_as_large_as_downloads_may_be(tmp_path: Path) -> None:
    """A limit of its own, and many pieces on the way to the disk."""
    data = os.urandom(3 << 20)
    async with service(tmp_path, fixed(200, data), "[net]\ndownload_bytes = 3145728\n") as (web, rt, _):
        assert output(await rt.call("net.http.download", {"url": web.url(), "path": "f"}))["size"] == len(
            data
        )
        assert (web.files / "f").read_bytes() == data
    async with service(tmp_path, fixed(200, data), "[net]\ndownload_bytes = 3145727\n") as (web, rt, _):
        failed = await rt.call("net.http.download", {"url": web.url(), "path": "g"})
        assert error(failed)["code"] == "HTTP_BODY_TOO_LARGE"
        assert not (web.files / "g").exists()
