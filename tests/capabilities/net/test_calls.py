"""What the HTTP capabilities say about their effects: through the whole runtime, against a real service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assent.invocation import LocalContext
from assent.spec import create_read_capability
from tests.support.bodies import Place, policy, rule
from tests.support.services import SECRET, Web, error, fixed, output, service
from tests.support.web import Reply, serving


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


async def test_a_limit_counts_the_files_and_requests_that_go_beside_the_inputs(tmp_path: Path) -> None:
    """Once they have gone: how large they are, nobody knows before. The next process knows it from the record."""

    async def ask(context: LocalContext, parameters: dict[str, Any]) -> int:
        return (await context.http.request("POST", parameters["url"], body="x" * parameters["size"])).status

    asks = create_read_capability(
        "box.ask", parameters={"type": "object"}, labels=frozenset({"sends_external"})
    )
    with serving(fixed(200)) as site:
        ways: dict[str, dict[str, Any]] = {
            "net.http.post": {"body": "f", "body_type": "file"},
            "box.ask": {"size": 4000},
        }
        for capability, inputs in ways.items():
            limit = {"id": "out", "window": "1h", "bytes_out": 2000}
            root = tmp_path / capability
            root.mkdir()
            web = Web(
                Place(root, policy={**policy(rule("all", without_approval=True)), "limits": [limit]}),
                site.port,
            )
            async with web.open() as rt:
                (web.files / "f").write_bytes(b"x" * 4000)
                rt.register(asks, ask)
                output(await rt.call(capability, {"url": web.url(), **inputs}))
                assert error(await rt.call("net.http.get", {"url": web.url()}))["code"] == "LIMIT_REACHED"
            async with web.open() as rt:
                assert error(await rt.call("net.http.get", {"url": web.url()}))["code"] == "LIMIT_REACHED"
        assert len(site.asked) == 2
