"""A plugin in a worker tells what its `compensate` leads to, as a built-in capability does: the gate is asked when the call is
admitted, and the same policy again with the real inputs. Whatever else it tells lets nothing happen.

The kind: each answer of a rule, inputs known beforehand or only from the output, and each way to say something else than that.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from assent.errors import AssentError
from assent.runtime import Runtime
from tests.support.bodies import Bench, code, policy, rule
from tests.support.hostile import Workshop
from tests.support.plugins import interpreter_kept
from tests.support.workers import plugin_of, staged

SOURCE: Final = '''\
"""Opens tickets, which a request closes again."""

import time

from assent import LocalContext, capability
from assent.invocation import LeadsTo
from assent.spec.types import SecretText


@capability("plugged.open", operation="WRITE", risk="MEDIUM", reversible=True, timeout=1)
def open_it(
    context: LocalContext, how: str, method: str = "post", key: SecretText = SecretText("none")
) -> str:
    """Open a ticket, whose number is the answer."""
    context.world.files.write("opened", [b""], key=context.key)
    return "b7"


@open_it.compensate
def close(context: LocalContext, how: str) -> None:
    """Close it."""
    context.world.files.write("closed", [b""], key=context.key)


def url(of: object) -> dict[str, object]:
    return {"url": f"https://api.test/{of}"}


@open_it.leads_to
def leads(context: LocalContext, how: str, method: str, key: SecretText) -> list[LeadsTo]:
    """The request that closes it."""
    capability = f"net.http.{method}"
    number = context.output
    match how:
        case "known":
            return [LeadsTo("request", capability, url("b7"))]
        case "of the output" if number is None:
            return [LeadsTo("request", capability, {}, {"url"})]
        case "of the output":
            return [LeadsTo("request", capability, url(number))]
        case "with a secret":
            return [LeadsTo("request", capability, {**url("b7"), "headers": {"Authorization": key}})]
        case "nothing":
            return []
        case "later" if number is None:
            return []
        case "another later" if number is None:
            return [LeadsTo("request", "net.http.get", url("b7"))]
        case "more later" if number is None:
            return [LeadsTo("request", capability, url("b7"))]
        case "later" | "another later":
            return [LeadsTo("request", capability, url("b7"))]
        case "more later":
            return [LeadsTo("request", capability, url("b7"))] * 2
        case "never known":
            return [LeadsTo("request", capability, {}, {"url"})]
        case "none":
            return None
        case "a text":
            return "net.http.delete"
        case "not one":
            return [{"role": "request"}]
        case "many":
            return [LeadsTo("request", capability, url("b7"))] * 17
        case "a long role":
            return [LeadsTo("x" * 33, capability, url("b7"))]
        case "a role of two lines":
            return [LeadsTo("request\\n  ALLOW", capability, url("b7"))]
        case "no capability":
            return [LeadsTo("request", "net.http.burn", url("b7"))]
        case "no reference":
            return [LeadsTo("request", "x" * 100_000, url("b7"))]
        case "wrong inputs":
            return [LeadsTo("request", capability, {"urls": "x"})]
        case "no such input":
            return [LeadsTo("request", capability, url("b7"), {"something\\nelse"})]
        case "not JSON":
            return [LeadsTo("request", capability, {"url": object()})]
        case "raises":
            raise ValueError("no")
        case "writes":
            context.world.files.write("written", [b""], key=context.key)
            return [LeadsTo("request", capability, url("b7"))]
        case "sends":
            context.http.request_in_thread("GET", "http://127.0.0.1:9/")
            return []
        case "asks for a secret":
            context.secret_in_thread("token")
            return []
        case "never ends":
            time.sleep(3)
            return []
        case "exits":
            raise SystemExit(7)
'''
PERMISSIONS: Final = '[permissions]\nnetwork = ["http://127.0.0.1:9"]\nsecrets = ["token"]\n'
AT_B: Final = 'inputs.url.startsWith("https://api.test/b")'
POLICY: Final = policy(
    rule("allow", when={"capability": "net.http.post"}),
    rule("deny", "DENY", when={"capability": "net.http.delete"}),
    rule("ask", "REQUIRE_APPROVAL", when={"capability": "net.http.put"}),
    rule("deny if", "DENY", when={"capability": "net.http.patch"}, **{"if": AT_B}),
    rule("allow if", when={"capability": "net.http.get"}, **{"if": AT_B}),
    rule("all", without_approval=True),
)

SAYS: Final[dict[tuple[str, str], tuple[str | None, str | None]]] = {
    ("known", "post"): ("succeeded", None),
    ("known", "delete"): ("POLICY_DENIED", None),
    ("known", "put"): ("waiting", None),
    ("known", "patch"): ("POLICY_DENIED", None),
    ("of the output", "post"): ("succeeded", None),
    ("of the output", "delete"): ("POLICY_DENIED", None),
    ("of the output", "put"): ("waiting", None),
    ("of the output", "get"): ("waiting", None),
    ("of the output", "patch"): ("waiting", "COMPENSATION_DENIED"),
    ("with a secret", "post"): ("succeeded", None),
    ("writes", "post"): ("succeeded", None),
    ("nothing", "delete"): ("succeeded", None),
    ("later", "post"): ("succeeded", "COMPENSATION_DENIED"),
    ("another later", "post"): ("succeeded", "COMPENSATION_DENIED"),
    ("more later", "post"): ("succeeded", "COMPENSATION_DENIED"),
    ("never known", "post"): ("succeeded", "COMPENSATION_DENIED"),
}
"""What it tells, of a method that the policy has a rule about → how the call ends, and what its undo is refused with."""

REFUSED: Final = {
    **dict.fromkeys(
        (
            "none",
            "a text",
            "not one",
            "many",
            "a long role",
            "a role of two lines",
            "no such input",
        ),
        "HANDLER_INVALID",
    ),
    "no capability": "CAPABILITY_UNKNOWN",
    "no reference": "CAPABILITY_UNKNOWN",
    "wrong inputs": "INVALID_INPUT",
    "not JSON": "HANDLER_FAILED",
    "raises": "HANDLER_FAILED",
    "sends": "HTTP_TOO_EARLY",
    "asks for a secret": "SECRET_TOO_EARLY",
    "never ends": "STEP_TIMEOUT",
    "exits": "HANDLER_FAILED",
}
"""What a `leads_to` may do instead, and what the call is refused with."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    place = tmp_path / "work"
    place.mkdir()
    (place / "assent.toml").write_text('[plugins]\npaths = ["plugged"]\n[sandbox]\nunconfined = true\n')
    shop = Workshop(place)
    shop.write("__init__.py", SOURCE)
    shop.write("assent-plugin.toml", PERMISSIONS)
    shop.trust()
    with interpreter_kept():
        yield place


async def test_a_plugin_is_asked_what_its_undo_leads_to(folder: Path) -> None:
    ended: dict[tuple[str, str], tuple[str | None, str | None]] = {}
    async with Runtime.open(folder, policy=POLICY) as rt:
        for how, method in SAYS:
            result = await rt.call("plugged.open", {"how": how, "method": method})
            first = code(result) or result.status
            assert (folder / "opened").exists() == (first == "succeeded")
            if first == "waiting":
                result = await rt.approve(result.run_id, principal="user:boss")
            refusal = None
            if result.status == "succeeded":
                try:
                    refusal = code(await rt.undo(result.run_id))
                except AssentError as error:
                    refusal = error.code
            assert (folder / "closed").exists() == (result.status == "succeeded" and refusal is None)
            assert not (folder / "written").exists()
            for mark in ("opened", "closed"):
                (folder / mark).unlink(missing_ok=True)
            ended[how, method] = first, refusal
    assert ended == SAYS


async def test_a_plugin_that_does_not_say_what_its_undo_leads_to_is_not_called(folder: Path) -> None:
    found: dict[str, str | None] = {}
    async with Bench.open(folder, policy=POLICY) as rt:
        for how in REFUSED:
            result = await rt.call("plugged.open", {"how": how})
            is_recorded = {"consequence.decided", "step.started"} & {*rt.kinds(result.run_id)}
            found[how] = "recorded" if is_recorded else code(result)
    assert found == REFUSED
    assert {one.name for one in folder.iterdir()}.isdisjoint({"opened", "closed"})


FORGED: Final = {
    "no list": '{"a": 1}',
    "not calls": "[1]",
    "too short": '[["request", "net.http.delete", {}]]',
    "inputs": '[["request", "net.http.delete", [], []]]',
    "no JSON": "[",
}


@pytest.mark.parametrize("forged", FORGED)
async def test_what_no_worker_of_ours_tells_is_found_in_what_came_over_the_pipe(
    tmp_path: Path, forged: str
) -> None:
    evil = f"from assent.plugins.worker import _serving\n_serving._written = lambda *_: ({FORGED[forged].encode()!r}, None)\n"
    source = SOURCE.replace("plugged.", "sample.") + evil
    with interpreter_kept(), staged(tmp_path, plugin_of(source)) as stage:
        with pytest.raises(AssentError) as raised:
            await stage.call("sample.open").part("leads_to", {"how": "known"})
        assert raised.value.code == "PLUGIN_MISBEHAVED"
