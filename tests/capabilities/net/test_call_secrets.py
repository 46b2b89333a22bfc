"""A secret reaches its service and nothing else, however the request, its answer or an expression is made."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from assent.errors import RefusedError
from tests.support.bodies import Place
from tests.support.services import EVERYTHING, OFFSET, SECRET, error, fixed, offset_at, service
from tests.support.web import Asked, Reply


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


async def test_a_plan_shows_the_request_and_asks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials that were written out are masked, references to secrets shown, the compensating request included."""
    monkeypatch.setenv("ASSENT_SECRET_MAIL_TOKEN", SECRET)
    grant = '[secrets."mail/token"]\ncapabilities = ["net.http.*"]\n'
    async with service(tmp_path, fixed(200), grant) as (web, rt, asked):
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
            "compensation": offset_at(web, OFFSET),
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
        with pytest.raises(RefusedError) as caught:
            await rt.undo(sent.run_id)
        assert caught.value.code == "UNDO_IMPOSSIBLE"
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
