"""What became of a request is never guessed, and what it did is offset by the request that was named."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from assent.errors import RefusedError
from tests.support.bodies import Place
from tests.support.services import EVERYTHING, OFFSET, Web, error, fixed, offset_at, output, service
from tests.support.web import Reply, talking


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


async def test_the_compensating_request_takes_values_of_the_answer(tmp_path: Path) -> None:
    """A value is nothing but a value: encoded in an address, itself in JSON, no secret and no placeholder of its own."""
    value = "a/b?c#d {other} secret://mail/token"
    answer = json.dumps({"id": value}).encode()
    async with service(tmp_path, fixed(200, answer)) as (web, rt, asked):
        result = await rt.call(
            "net.http.post_compensated", {"url": web.url(), "compensation": offset_at(web, OFFSET)}
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
            "net.http.post_compensated", {"url": web.url(), "compensation": offset_at(web, offset)}
        )
        with pytest.raises(RefusedError) as caught:
            await rt.undo(result.run_id)
        assert caught.value.code == "UNDO_IMPOSSIBLE"
        assert ((await rt.show(result.run_id)).status, len(asked)) == ("succeeded", 1)


async def test_numbers_and_truth_can_stand_in_an_address(tmp_path: Path) -> None:
    """As JSON writes them."""
    async with service(tmp_path, fixed(200, b'{"id": 7, "on": true}')) as (web, rt, asked):
        offset: dict[str, Any] = {
            "method": "PUT",
            "url": "URL/{id}/{on}",
            "from_answer": {"id": "body.id", "on": "body.on"},
        }
        result = await rt.call(
            "net.http.put_compensated", {"url": web.url(), "compensation": offset_at(web, offset)}
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
        inputs: dict[str, Any] = {"url": web.url(), "compensation": offset_at(web, OFFSET | offset)}
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
            "net.http.post_compensated", {"url": web.url(), "compensation": offset_at(web, plain)}
        )
        assert (await rt.undo(result.run_id)).status == undone
