"""A test of a plugin sends nothing before somebody says so, and then only examples, within what a run might send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assent import LocalContext, capability
from assent.errors import InputError, Json
from assent.invocation.context.http import HttpRequest
from assent.invocation.context.local import CallLife
from assent.runtime.settings.effective import Settings
from assent.testing import Case, check_capability
from assent.testing._plugin import trial
from assent.testing._requests import Requests
from tests.support.plugins import interpreter_kept, write
from tests.support.web import Asked, Reply, Site, serving

SOURCE = '''\
"""Keeps items with a service."""

from urllib.parse import quote

from assent import LocalContext, capability
from assent.invocation import Reconciliation
from assent.spec.states import Verdict
from assent.spec.types import SecretText

ITEMS = "http://127.0.0.1:PORT/items/"


@capability(
    "plugged.put", operation="WRITE", risk="MEDIUM", reversible=True, idempotent=True, labels=["sends_external"], secrets=SECRETS
)
async def put(context: LocalContext, name: str) -> int:
    """Put an item."""
    headers = {"authorization": SecretText("Bearer secret://token")}
    return (await context.http.request("PUT", ITEMS + quote(name, safe=""), headers=headers)).status


@put.compensate
def take_away(context: LocalContext, name: str) -> None:
    """Take it away again."""
    context.http.request_in_thread("DELETE", ITEMS + quote(name, safe=""))


@put.reconcile
async def happened(context: LocalContext, name: str) -> Reconciliation:
    """Ask for it."""
    status = (await context.http.request("GET", ITEMS + quote(name, safe=""))).status
    return Reconciliation(Verdict.YES, 200) if status == 200 else Reconciliation(Verdict.NO)
'''
CONTRACT = '''\
"""Examples, in a world of their own: the service starts anew for each."""

from urllib.request import urlopen

from assent.testing import Case


def ask(path):
    with urlopen("http://127.0.0.1:PORT/" + path, timeout=30) as answer:
        return answer.read().decode()


CASES = {
    "plugged.put": [
        Case({"name": "tea"}, name="tea", arrange=lambda folder: ask("reset"), observe=lambda: ask("list"), limit_s=120)
    ]
}
'''
VALUE = "correct-horse-battery-staple"


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ASSENT_SECRET_TOKEN", VALUE)
    with interpreter_kept():
        yield


@pytest.fixture
def site() -> Iterator[Site]:
    """A service that keeps items; what the examples ask it by themselves is not counted."""
    items: set[str] = set()

    def answer(asked: Asked) -> Reply:
        name = asked.path.removeprefix("/items/")
        if asked.path in ("/reset", "/list"):
            found.asked.remove(asked)
            body = json.dumps(sorted(items)).encode()
            items.difference_update(items if asked.path == "/reset" else ())
            return Reply(200, body=body)
        if asked.method == "PUT":
            items.add(name)
        status = 200 if name in items else 404
        items.difference_update({name} if asked.method == "DELETE" else ())
        return Reply(status)

    with serving(answer) as found:
        yield found


def request(folder: Path, site: Site, **more: Any) -> dict[str, Json]:
    """A workspace with the plugin, and what asks for its trial.

    `net`, `examples`, `methods`, `secrets` and `config` are of the workspace, all else is of the request.
    """
    port = str(site.port)
    net = more.pop(
        "net",
        f'[net.rules.all]\nhosts = ["127.0.0.1"]\nschemes = ["http"]\nports = [{port}]\n'
        'methods = ["GET", "PUT", "DELETE"]\nprivate = ["127.0.0.1/32"]\n',
    )
    declared = [f"{more.pop('methods', 'GET,PUT,DELETE')} http://127.0.0.1:{port}"]
    secrets = more.pop("secrets", [])
    source = SOURCE.replace("PORT", port).replace("SECRETS", str(secrets))
    if not secrets:
        source = source.replace('SecretText("Bearer secret://token")', '"Bearer none"')
    files = {
        "plugged/__init__.py": source,
        "plugged/assent-plugin.toml": 'name = "plugged"\nentry = "plugged"\n[permissions]\n'
        f"network = {json.dumps(declared)}\nsecrets = {json.dumps(secrets)}\n",
        "assent.toml": '[plugins]\npaths = ["plugged"]\n[sandbox]\nunconfined = true\n'
        + net
        + more.pop("config", ""),
    }
    examples = more.pop("examples", CONTRACT)
    if examples is not None:
        files["plugged/contract.py"] = examples.replace("PORT", port)
    write(folder, files)
    return {
        "workspace": str(folder),
        "lock": str(folder / "assent-plugins.lock"),
        "name": "plugged",
        "path": "plugged",
        "untrusted": True,
        "native": False,
        "in_process": True,
        **more,
    }


def outcomes(answer: dict[str, Json]) -> list[dict[str, Any]]:
    found: Any = answer["outcomes"]
    return list(found)


def broken(answer: dict[str, Json]) -> list[str]:
    return [
        f"{one['clause']}: {one['fault']}" for one in outcomes(answer) if one["fault"] and not one["needs"]
    ]


def test_nothing_is_sent_before_somebody_says_so(tmp_path: Path, site: Site) -> None:
    answer = trial(request(tmp_path, site))
    assert site.asked == []
    assert (answer["ok"], answer["requests"], broken(answer)) == (False, [], [])
    needs = {one["clause"]: one["needs"] for one in outcomes(answer)}
    assert (needs["output"], needs["restore"], needs["reconcile"], needs["spec"]) == (
        "send",
        "send",
        "send",
        None,
    )
    told = next(one["fault"] for one in outcomes(answer) if one["clause"] == "output")
    assert "before somebody says so" in told


@pytest.mark.parametrize("in_process", [True, False], ids=["in process", "worker"])
def test_examples_are_sent_to_what_is_declared_when_somebody_says_so(
    tmp_path: Path, site: Site, *, in_process: bool
) -> None:
    answer = trial(request(tmp_path, site, in_process=in_process, send=True))
    assert broken(answer) == []
    assert answer["ok"] is True
    counted: Any = answer["requests"]
    assert {one["origin"] for one in counted} == {f"http://127.0.0.1:{site.port}"}
    assert [one["method"] for one in counted] == ["DELETE", "GET", "PUT"]
    assert sum(one["count"] for one in counted) >= len(site.asked) > 8
    assert {one.path for one in site.asked} == {"/items/tea"}


def test_what_was_made_up_is_sent_to_nobody(tmp_path: Path, site: Site) -> None:
    answer = trial(request(tmp_path, site, examples=None, send=True))
    assert site.asked == []
    assert (answer["ok"], broken(answer)) == (False, [])
    assert {one["needs"] for one in outcomes(answer)} == {"example", None}


@pytest.mark.parametrize("send", [True, False])
def test_what_is_not_declared_is_a_broken_promise_whether_it_is_sent_or_not(
    tmp_path: Path, site: Site, *, send: bool
) -> None:
    answer = trial(request(tmp_path, site, methods="GET,PUT", send=send))
    told = "\n".join(broken(answer))
    assert "may not send `DELETE" in told
    answer = trial(request(tmp_path, site, methods="GET", send=send))
    assert "may not send `PUT" in "\n".join(broken(answer))
    assert "PUT" not in {one.method for one in site.asked[-1:]}


def test_what_the_operator_does_not_open_stays_shut(tmp_path: Path, site: Site) -> None:
    answer = trial(request(tmp_path, site, net="", send=True))
    assert "may not leave" in "\n".join(broken(answer))
    only = f'[net.rules.all]\nhosts = ["127.0.0.1"]\nschemes = ["http"]\nports = [{site.port}]\nmethods = ["PUT"]\n'
    answer = trial(
        request(
            tmp_path, site, net=f'{only}private = ["127.0.0.1/32"]\nprincipals = ["agent:*"]\n', send=True
        )
    )
    assert "may not leave" in "\n".join(broken(answer))
    assert (site.asked, answer["requests"]) == ([], [])
    answer = trial(
        request(
            tmp_path,
            site,
            net=f'{only}private = ["127.0.0.1/32"]\nprincipals = ["agent:*"]\n',
            send=True,
            principal="agent:bot",
        )
    )
    assert {one.method for one in site.asked} == {"PUT"}


@pytest.mark.parametrize("in_process", [True, False], ids=["in process", "worker"])
def test_a_secret_is_put_in_only_where_it_is_bound_to_hosts(
    tmp_path: Path, site: Site, *, in_process: bool
) -> None:
    how: dict[str, Any] = {"in_process": in_process, "send": True, "secrets": ["token"]}
    answer = trial(request(tmp_path, site, **how))
    assert "bound to no hosts" in "\n".join(broken(answer))
    assert "PUT" not in {one.method for one in site.asked}
    bound = '[secrets.token]\ncapabilities = []\nhosts = ["127.0.0.1"]\n'
    answer = trial(request(tmp_path, site, config=bound, **how))
    assert broken(answer) == []
    assert {one.headers.get("authorization") for one in site.asked if one.method == "PUT"} == {
        f"Bearer {VALUE}"
    }
    assert VALUE not in json.dumps(answer)


def settings(folder: Path) -> Settings:
    return Settings.resolve(workspace=folder, environ={"HOME": str(folder)}, cwd=folder)


@capability("sample.ask", operation="READ", risk="MEDIUM", labels=["sends_external"])
async def ask(context: LocalContext, url: str) -> int:
    """Ask."""
    return (await context.http.request("GET", url)).status


def test_a_capability_of_no_plugin_sends_nothing_whatever_is_said(tmp_path: Path, site: Site) -> None:
    """No manifest says where it may."""
    cases = [Case({"url": site.url()})]
    found = check_capability(ask, cases, requests=Requests(settings(tmp_path), needs=None))
    told = next(one for one in found if one.clause == "output")
    assert "sends no requests" in str(told.fault)
    assert site.asked == []
    assert not all(one.holds for one in check_capability(ask, cases))


def test_a_case_that_says_that_nothing_can_be_sent_is_tried(site: Site) -> None:
    found = check_capability(ask, [Case({"url": site.url()}, fails="HTTP_UNAVAILABLE")])
    assert [one for one in found if not one.holds] == []


def test_what_waits_for_an_answer_when_its_test_is_over_is_told(tmp_path: Path) -> None:
    async def surroundings() -> Any:
        async with Requests(settings(tmp_path), needs=None).around(None) as around:
            return around

    around = asyncio.run(surroundings())
    nobody: Any = None
    with pytest.raises(InputError) as ended:
        around.begin_request(nobody, CallLife(), HttpRequest("GET", "http://127.0.0.1/"))
    assert ended.value.code == "CALL_ENDED"
