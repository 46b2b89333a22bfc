"""A plugin reaches the services that its trusted manifest declares and `[net]` opens, through Assent, and nothing else."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from assent import Runtime
from assent.errors import Json
from assent.journal import SqliteReader, at_once, leaves_at_once
from assent.spec.events.kinds import HttpAnswered, HttpRequested, SecretAccessed
from assent.spec.ids import RunId
from tests.support.hostile import Workshop
from tests.support.plugins import interpreter_kept
from tests.support.services import EVERYTHING, SECRET
from tests.support.web import Asked, Reply, Site, serving

SOURCE = '''\
"""Asks and tells services."""

from typing import Any

from assent import LocalContext, capability
from assent.errors import AssentError
from assent.invocation import NoEffectError, Prepared, Preview, Reconciliation
from assent.spec.states import Verdict
from assent.spec.types import SecretText


def told(answer) -> dict[str, Any]:
    return {
        "status": answer.status,
        "text": answer.text(),
        "url": answer.url,
        "redirects": [*answer.redirects],
        "headers": {name: value for name, value in answer.headers.items() if name.startswith("x-")},
    }


@capability("plugged.ask", operation="READ", risk="MEDIUM", labels=["sends_external"])
async def ask(
    context: LocalContext,
    url: str,
    method: str = "GET",
    headers: dict[str, SecretText] = {},
    query: dict[str, SecretText] = {},
    times: int = 1,
) -> dict[str, Any]:
    """Ask a service."""
    try:
        for _ in range(times):
            answer = await context.http.request(method, url, headers=headers, query=query)
    except AssentError as error:
        return {"code": error.code, "message": error.message, "family": error.family}
    return told(answer)


@capability("plugged.tell", operation="EXECUTE", risk="CRITICAL", labels=["sends_external"])
def tell(
    context: LocalContext, url: str, body: Any = None, kind: str | None = None, method: str = "POST", twice: str = ""
) -> dict[str, Any]:
    """Tell a service."""
    given = body.encode() if kind == "bytes" else body
    answer = context.http.request_in_thread(method, url, body=given, body_type=kind)
    if twice:
        context.http.request_in_thread(method, twice)
    return told(answer)


@tell.preview
def show(
    context: LocalContext, url: str, body: Any = None, kind: str | None = None, method: str = "POST", twice: str = ""
) -> Preview:
    """Try to ask already."""
    try:
        context.http.request_in_thread("GET", url)
    except AssentError as error:
        return Preview("text", error.code)
    return Preview("text", "asked")


@tell.reconcile
async def happened(
    context: LocalContext, url: str, body: Any = None, kind: str | None = None, method: str = "POST", twice: str = ""
) -> Reconciliation:
    """Ask the service; telling it anything is refused here, in a worker."""
    answer = await context.http.request("GET", url)
    return Reconciliation(Verdict.YES, {"asked": answer.text()})


@capability("plugged.give", operation="READ", risk="MEDIUM", labels=["sends_external"])
async def give(context: LocalContext, what: SecretText, host: str) -> str:
    """Try to get a secret's value by naming a host where it may go."""
    try:
        return await context.reveal(what, host=host)
    except AssentError as error:
        return error.code


@capability("plugged.wait", operation="READ", risk="MEDIUM", labels=["sends_external"], timeout=1.0)
async def wait(context: LocalContext, url: str) -> int:
    """Wait for a service."""
    return (await context.http.request("GET", url)).status


@capability("plugged.wait_in_thread", operation="READ", risk="MEDIUM", labels=["sends_external"], timeout=1.0)
def wait_in_thread(context: LocalContext, url: str) -> int:
    """Wait for a service in a thread."""
    return context.http.request_in_thread("GET", url).status


@capability("plugged.flood", operation="READ", risk="MEDIUM", labels=["sends_external"])
async def flood(context: LocalContext, url: str, count: int) -> list[str]:
    """Send many requests at once."""
    import asyncio

    found = await asyncio.gather(*(context.http.request("GET", url) for _ in range(count)), return_exceptions=True)
    return sorted({getattr(one, "code", None) or str(one.status) for one in found})
'''
Answer = Callable[[Asked], Reply]


@dataclass
class Net:
    """A plugin in a workspace, and the services around it."""

    shop: Workshop
    in_process: bool
    declared: list[str]
    site: Site

    def url(self, host: str, path: str = "/") -> str:
        return self.site.url(path, host)

    @asynccontextmanager
    async def open(self, *, net: str | None = None, more: str = "") -> AsyncIterator[Runtime]:
        """A runtime with the plugin, trusted; `net`: the rules of `[net]` in place of those that open all of it."""
        rules = (
            f'[net.rules.all]\nhosts = ["127.0.0.1", "*.test"]\nschemes = ["http"]\nports = [{self.site.port}]\n'
            'methods = ["GET", "HEAD", "POST", "PUT"]\nprivate = ["127.0.0.1/32"]\n'
        )
        (self.shop.folder / "assent.toml").write_text(
            '[plugins]\npaths = ["plugged"]\n[sandbox]\nunconfined = true\n'
            + (rules if net is None else net)
            + more
        )
        self.shop.write(
            "assent-plugin.toml",
            f'name = "plugged"\nentry = "plugged"\n[permissions]\nnetwork = {json.dumps(self.declared)}\n',
        )
        self.shop.write("__init__.py", SOURCE)
        self.shop.trust(in_process=self.in_process)
        async with Runtime.open(self.shop.folder, policy=EVERYTHING) as rt:
            yield rt


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ASSENT_SECRET_TOKEN", SECRET)
    with interpreter_kept():
        yield


both = pytest.mark.parametrize("host", ["worker", "in process"])
"""What holds for a plugin, wherever it runs. What is decided in one place is tried with the host that starts at once."""


@pytest.fixture
def host() -> str:
    return "in process"


@pytest.fixture
def net(tmp_path: Path, host: str, names: Any) -> Iterator[Net]:
    """Hosts `a.test` and `b.test` are on loopback; `inner.test` is a cloud's metadata service."""
    names({"a.test": [["127.0.0.1"]], "b.test": [["127.0.0.1"]], "inner.test": [["169.254.169.254"]]})
    folder = tmp_path / "work"
    folder.mkdir()

    def answer(asked: Asked) -> Reply:
        if asked.path.startswith("/to/"):
            return Reply(302, [("location", f"http://{asked.path.removeprefix('/to/')}")])
        said = json.dumps({"method": asked.method, "body": asked.body.decode(), "path": asked.path})
        echo = asked.headers.get("authorization", "")
        return Reply(200, [("x-echo", echo)], f"{said} {echo}".encode())

    with serving(answer) as site:
        declared = [f"GET,POST http://a.test:{site.port}"]
        yield Net(Workshop(folder), host == "in process", declared, site)


async def output(rt: Runtime, capability: str, **inputs: Any) -> Any:
    """The output of one call."""
    result = await rt.call(capability, inputs)
    assert result.status == "succeeded", result
    return result.steps[0].output


@both
async def test_what_is_declared_and_opened_is_reached(net: Net) -> None:
    async with net.open() as rt:
        asked = await output(rt, "plugged.ask", url=net.url("a.test", "/x"), query={"q": "1 2"})
        assert (asked["status"], json.loads(asked["text"])["path"]) == (200, "/x?q=1%202")
        for body, kind, seen, media in (
            ({"a": [1, 2.5, None, True]}, None, '{"a":[1,2.5,null,true]}', "application/json"),
            ("plain", None, "plain", "text/plain; charset=utf-8"),
            ({"a": "b c"}, "form", "a=b+c", "application/x-www-form-urlencoded"),
            ("raw", "bytes", "raw", "application/octet-stream"),
        ):
            told = await output(rt, "plugged.tell", url=net.url("a.test"), body=body, kind=kind)
            assert json.loads(told["text"]) == {"method": "POST", "body": seen, "path": "/"}
            assert net.site.asked[-1].headers["content-type"] == media


async def test_what_is_not_declared_is_refused_before_anybody_is_asked(net: Net) -> None:
    port = net.site.port
    async with net.open() as rt:
        for url, method in (
            (net.url("b.test"), "GET"),
            (net.url("127.0.0.1"), "GET"),
            (f"http://a.test:{port - 1}/", "GET"),
            (f"https://a.test:{port}/", "GET"),
            (net.url("a.test"), "HEAD"),
            (net.url("sub.a.test"), "GET"),
        ):
            refused = await output(rt, "plugged.ask", url=url, method=method)
            assert (refused["code"], refused["family"]) == ("PLUGIN_HOST_UNDECLARED", "refused"), url
            assert "`plugged` may not send" in refused["message"]
        assert net.site.asked == []


@both
async def test_a_redirect_leads_nowhere_that_is_not_declared(net: Net) -> None:
    net.declared.append(f"http://c.test:{net.site.port}")
    async with net.open() as rt:
        kept = await output(rt, "plugged.ask", url=net.url("a.test", f"/to/a.test:{net.site.port}/end"))
        assert (kept["status"], kept["redirects"]) == (
            200,
            [net.url("a.test", f"/to/a.test:{net.site.port}/end")],
        )
        led = await output(rt, "plugged.ask", url=net.url("a.test", f"/to/b.test:{net.site.port}/"))
        assert led["code"] == "PLUGIN_HOST_UNDECLARED"
        inside = await output(rt, "plugged.ask", url=net.url("a.test", "/to/169.254.169.254/latest"))
        assert inside["code"] == "PLUGIN_HOST_UNDECLARED"
        assert [one.path for one in net.site.asked if not one.path.startswith("/to/")] == ["/end"]


async def test_a_name_that_means_an_inner_address_is_refused_though_it_is_declared(net: Net) -> None:
    net.declared.append(f"http://inner.test:{net.site.port}")
    async with net.open() as rt:
        refused = await output(rt, "plugged.ask", url=net.url("inner.test"))
        assert refused["code"] == "EGRESS_DENIED"
        assert "metadata" in refused["message"]


async def test_what_the_operator_does_not_open_stays_shut_though_it_is_declared(net: Net) -> None:
    rules = '[net.rules.other]\nhosts = ["other.example"]\n'
    async with net.open(net=rules) as rt:
        assert (await output(rt, "plugged.ask", url=net.url("a.test")))["code"] == "EGRESS_DENIED"
    async with net.open(net="") as rt:
        assert (await output(rt, "plugged.ask", url=net.url("a.test")))["code"] == "EGRESS_DENIED"
    assert net.site.asked == []


@both
async def test_a_secret_goes_only_where_it_is_granted_and_its_value_never_comes_in(net: Net) -> None:
    net.declared.append(f"http://b.test:{net.site.port}")
    grant = '[secrets.token]\ncapabilities = ["plugged.*"]\nhosts = ["a.test"]\n'
    bearer: dict[str, Json] = {"Authorization": "Bearer secret://token"}
    async with net.open(more=grant) as rt:
        sent = await rt.call("plugged.ask", {"url": net.url("a.test"), "headers": bearer})
        assert net.site.asked[-1].headers["authorization"] == f"Bearer {SECRET}"
        told: Any = sent.steps[0].output
        assert told["headers"] == {"x-echo": "Bearer ***"}
        assert told["text"].endswith("Bearer ***")
        elsewhere = await output(rt, "plugged.ask", url=net.url("b.test"), headers=bearer)
        assert elsewhere["code"] == "SECRET_NOT_GRANTED"
        literal = {"X-Text": "secret://token"}
        await output(rt, "plugged.ask", url=net.url("a.test"), query=literal)
        assert SECRET in net.site.asked[-1].path
        assert await output(rt, "plugged.give", what="secret://token", host="a.test") == "SECRET_NOT_GRANTED"
        leaves = at_once(rt._core.ready.journal.events(RunId(sent.run_id)))
        kinds = [leaf.event.kind for leaf in leaves]
        assert kinds[1:-1] == [
            "step.started",
            "http.requested",
            "secret.accessed",
            "http.answered",
            "step.succeeded",
        ]
        report = await rt.replay(sent.run_id)
        assert report.is_equal, json.dumps(report.to_json()["differences"])
    assert len(net.site.asked) == 2
    for path in net.shop.folder.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()


async def test_each_request_is_on_the_record_before_it_leaves(net: Net) -> None:
    recorded: list[int] = []

    def look(asked: Asked) -> Reply:
        with SqliteReader.open(net.shop.folder / ".assent") as reader:
            recorded.append(sum(isinstance(leaf.event, HttpRequested) for leaf in leaves_at_once(reader)))
        return Reply(200, body=b"seen")

    with serving(look) as site:
        net.site = site
        net.declared[:] = [f"http://a.test:{site.port}"]
        async with net.open() as rt:
            sent = await rt.call("plugged.ask", {"url": net.url("a.test", "/q?token=abc"), "times": 2})
            lost = await rt.call("plugged.ask", {"url": "http://a.test:1/"})
    assert recorded == [1, 2]
    with SqliteReader.open(net.shop.folder / ".assent") as reader:
        leaves = at_once(reader.events(RunId(sent.run_id)))
        asked = [leaf.event for leaf in leaves if isinstance(leaf.event, HttpRequested)]
        answered = [leaf.event for leaf in leaves if isinstance(leaf.event, HttpAnswered)]
        assert [(one.step, one.attempt, one.number, one.method) for one in asked] == [
            ("call", 1, 1, "GET"),
            ("call", 1, 2, "GET"),
        ]
        assert [(one.number, one.status, one.code) for one in answered] == [(1, 200, None), (2, 200, None)]
        assert all(one.size > 0 for one in answered)
        body = at_once(reader.payload(asked[0].request))
        assert body is not None
        assert json.loads(body)["request"].startswith(f"GET {net.url('a.test', '/q?token=abc')}")
        assert not [
            leaf
            for leaf in at_once(reader.events(RunId(lost.run_id)))
            if isinstance(leaf.event, HttpRequested)
        ], "what is not declared is not even about to be sent"
        assert not [leaf for leaf in leaves if isinstance(leaf.event, SecretAccessed)]


@both
async def test_nothing_leaves_before_the_effect_and_a_read_only_asks(net: Net) -> None:
    async with net.open() as rt:
        refused = await output(rt, "plugged.ask", url=net.url("a.test"), method="POST")
        assert refused["code"] == "PLUGIN_DENIED"
        assert (await output(rt, "plugged.ask", url=net.url("a.test"), method="TRACE"))[
            "code"
        ] == "HTTP_REQUEST_INVALID"
        assert (await output(rt, "plugged.ask", url="http://a.test@b.test/"))["code"] == "URL_INVALID"
        step: dict[str, Json] = {
            "name": "s",
            "capability": "plugged.tell",
            "inputs": {"url": net.url("a.test")},
        }
        plan = await rt.plan({"name": "w", "version": "1.0.0", "steps": [step]})
        assert "HTTP_TOO_EARLY" in json.dumps(plan.to_json())
    assert net.site.asked == []


@both
async def test_a_refusal_says_nothing_of_an_effect_that_went_before(net: Net) -> None:
    """The first request has been performed, so the step asks what became of it."""
    async with net.open() as rt:
        done = await rt.call("plugged.tell", {"url": net.url("a.test"), "twice": net.url("b.test")})
        assert done.status == "succeeded"
        told: Any = done.steps[0].output
        assert json.loads(told["asked"])["method"] == "GET"
    assert [one.method for one in net.site.asked] == ["POST", "GET"]


async def test_a_call_has_so_many_requests(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    async with net.open() as rt:
        with monkeypatch.context() as fewer:
            fewer.setattr("assent.invocation.call._sending.REQUESTS_MAX", 3)
            assert (await output(rt, "plugged.ask", url=net.url("a.test"), times=3))["status"] == 200
            assert (await output(rt, "plugged.ask", url=net.url("a.test"), times=4))[
                "code"
            ] == "HTTP_TOO_MANY"
        assert await output(rt, "plugged.flood", url=net.url("a.test"), count=10) == ["200"]
        found = await output(rt, "plugged.flood", url=net.url("a.test"), count=60)
        assert found == ["200", "HTTP_TOO_MANY"]


@both
async def test_a_part_that_waits_for_a_silent_service_ends_when_its_time_is_up(net: Net) -> None:
    """Its worker, and with it the plugin's other calls, goes on."""
    held = threading.Event()

    def silent(asked: Asked) -> Reply:
        held.wait(30)
        return Reply()

    with serving(silent) as site:
        net.declared[:] = [f"GET,POST http://a.test:{site.port}"]
        rules = (
            f'[net.rules.all]\nhosts = ["a.test"]\nschemes = ["http"]\nports = [{site.port}]\n'
            'methods = ["GET", "POST"]\nprivate = ["127.0.0.1/32"]\n'
        )
        async with net.open(net=rules, more='[limits]\ngrace = "60s"\n') as rt:
            for how in ("plugged.wait", "plugged.wait_in_thread"):
                late = await rt.call(how, {"url": site.url("/", "a.test")})
                assert late.status == "failed"
                assert late.error is not None
                assert late.error["code"] == "STEP_TIMEOUT"
            held.set()
            assert (await output(rt, "plugged.ask", url=site.url("/", "a.test")))["status"] == 200
            if not net.in_process:
                host: Any = rt.plugins._host
                assert [slot.starts for slot in host._workers._slots] == [1]
