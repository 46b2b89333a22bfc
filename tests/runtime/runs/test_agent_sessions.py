"""What whoever builds an agent relies on: answers for each call, sessions that outlive a process, tools made of the registry."""

from __future__ import annotations

import asyncio
import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from assent import Runtime, sync
from assent.errors import AssentError, Json
from assent.runtime import CallResult, Session, service
from assent.runtime._outlook import MANY
from assent.spec.states import RunState
from assent.system import SystemClock
from tests.support.nursery import Nursery

RULES: dict[str, Json] = {
    "version": 1,
    "default": "DENY",
    "rules": [
        {"id": "no-net", "when": {"capability": "net.*"}, "decision": "DENY", "reason": "no network here"},
        {
            "id": "drafts",
            "when": {"capability": "io.fs.write_file"},
            "if": "inputs.path.startsWith('drafts/')",
            "decision": "ALLOW",
        },
        {
            "id": "no-moves",
            "when": {"capability": "io.fs.move"},
            "if": "inputs.source == 'x'",
            "decision": "DENY",
        },
        {"id": "deletes", "when": {"capability": "io.fs.delete"}, "decision": "ALLOW"},
        {"id": "reads", "when": {"operation_type": "READ"}, "decision": "ALLOW"},
    ],
}
WRITE: dict[str, Json] = {"path": "drafts/a.txt", "content": "a"}


@pytest.fixture(autouse=True)
def drafts(tmp_path: Path) -> None:
    """The folder that may be written to."""
    (tmp_path / "drafts").mkdir()


REFUSED: dict[str, tuple[str, Any, str, str, str]] = {
    "unknown": ("io.fs.writefile", {}, "failed", "CAPABILITY_UNKNOWN", "did you mean `io.fs.write_file`?"),
    "version": ("io.fs.write_file@9.0.0", WRITE, "failed", "VERSION_NOT_FOUND", ""),
    "not a name": ("..", {}, "failed", "CAPABILITY_UNKNOWN", ""),
    "inputs": ("io.fs.write_file", {"pat": 1}, "failed", "INVALID_INPUT", "did you mean `path`?"),
    "no object": ("io.fs.write_file", [1], "failed", "INVALID_INPUT", ""),
    "no JSON": ("io.fs.write_file", {"path": float("nan")}, "failed", "JSON_INVALID", ""),
    "denied": (
        "io.fs.write_file",
        {"path": "b", "content": ""},
        "denied",
        "POLICY_DENIED",
        "`drafts` would allow it",
    ),
    "denied always": ("net.http.get", {"url": "http://x.test"}, "denied", "POLICY_DENIED", "policy explain"),
}


@pytest.mark.parametrize("who", ["owner", "client"])
async def test_what_is_wrong_with_a_call_is_its_result_and_the_session_goes_on(
    tmp_path: Path, who: str
) -> None:
    """Unknown, wrong and denied alike: a code, a sentence and what would do, for whoever asked; JSON all through."""
    async with Runtime.open(tmp_path, policy=RULES) as owner, Runtime.open(tmp_path, policy=RULES) as client:
        session = await (owner if who == "owner" else client).session(principal="agent:helper")
        for what, (capability, parameters, status, code, hint) in REFUSED.items():
            told = await session.call(capability, parameters)
            assert (told.status, told.run_id, told.output) == (status, session.run_id, None), what
            assert told.error is not None, what
            assert told.error["code"] == code, what
            assert hint in json.dumps(told.to_json()), (what, told.error)
            assert told.error["message"], what
        assert (await session.call("io.fs.write_file", WRITE)).status == "succeeded"
        assert (await session.close()).status is RunState.SUCCEEDED
        with pytest.raises(AssentError) as closed:
            await session.call("io.fs.write_file", WRITE)
        assert closed.value.code == "SESSION_CLOSED"


async def test_show_names_what_was_asked_for_also_where_the_gate_never_knew_it(tmp_path: Path) -> None:
    """A step that failed before it began is told by every door as its own call told it."""
    async with Runtime.open(tmp_path, policy=RULES) as rt:
        session = await rt.session()
        failed = await session.call("io.fs.read_file", {"path": 3})
        assert (failed.status, failed.capability) == ("failed", "io.fs.read_file")
        await session.close()
        told = service.process.perform(service.requests.Show(run=session.run_id), rt.settings)
        for step in (told.steps[0], (await rt.show(session.run_id)).steps[0]):
            assert (step.name, step.capability) == (failed.name, failed.capability)


@pytest.mark.parametrize("who", ["owner", "client", "sync"])
async def test_calls_at_the_same_time_each_answer_for_their_own_step(tmp_path: Path, who: str) -> None:
    """Twelve at once, with one that is denied, one unknown and one that waits among them."""
    (tmp_path / "old.txt").write_text("old")
    asked: list[tuple[str, dict[str, Json]]] = [
        ("io.fs.write_file", {"path": f"drafts/{n}.txt", "content": str(n)}) for n in range(9)
    ]
    asked += [
        ("io.fs.write_file", {"path": "x", "content": ""}),
        ("no.such", {}),
        ("io.fs.delete", {"path": "old.txt"}),
    ]

    def judge(told: list[CallResult]) -> None:
        assert [one.status for one in told] == ["succeeded"] * 9 + ["denied", "failed", "awaiting_approval"]
        assert [one.output["path"] for one in told[:9] if isinstance(one.output, dict)] == [
            one["path"] for _, one in asked[:9]
        ]
        assert len({one.name for one in told}) == 12
        assert "assent approve" in str(told[-1].to_json()["hint"])

    if who == "sync":
        with sync.Runtime.open(tmp_path, policy=RULES) as waited:
            made = waited.session()
            judge(await asyncio.gather(*[asyncio.to_thread(made.call, *one) for one in asked]))
        return
    async with Runtime.open(tmp_path, policy=RULES) as owner, Runtime.open(tmp_path, policy=RULES) as client:
        session = await (owner if who == "owner" else client).session()
        judge(await asyncio.gather(*[session.call(*one) for one in asked]))


@pytest.mark.parametrize("word", ["approve", "reject"])
async def test_a_step_is_waited_for_until_somebody_elsewhere_has_decided(tmp_path: Path, word: str) -> None:
    (tmp_path / "old.txt").write_text("old")
    async with Runtime.open(tmp_path) as rt, Runtime.open(tmp_path) as elsewhere:
        session = await rt.session(principal="agent:helper")
        asked = await session.call("io.fs.delete", {"path": "old.txt"})
        waiting = asyncio.ensure_future(session.wait(asked.name))
        await session.call("sys.noop")
        assert not waiting.done()
        await getattr(elsewhere, word)(session.run_id, asked.name, principal="user:ann")
        told = await waiting
        assert told.status == ("succeeded" if word == "approve" else "denied")
        assert (await session.wait(asked.name)).status == told.status, "at once, of one that waits for nobody"
        assert (tmp_path / "old.txt").exists() is (word == "reject")
        with pytest.raises(KeyError):
            await session.wait("step_9")


CRASHES = """
import asyncio, os, sys
from assent import Runtime

async def main():
    async with Runtime.open(".") as rt:
        session = await rt.session(principal="agent:helper")
        await session.call("io.fs.write_file", {"path": "one.txt", "content": "1"})
        await session.call("io.fs.delete", {"path": "old.txt"})
        print(session.run_id, flush=True)
        os._exit(9)

asyncio.run(main())
"""


def crashed(nursery: Nursery, env: dict[str, str], folder: Path) -> str:
    """A session whose process was killed, with one step done and one that waits for a person."""
    (folder / "old.txt").write_text("old")
    ended = nursery.run("-c", CRASHES, cwd=folder, env=env, kind="python")
    assert ended.code == 9, ended.err
    return ended.out.strip()


@pytest.mark.parametrize("who", ["owner", "client", "sync"])
async def test_a_session_is_taken_up_after_a_crash_and_in_another_process(
    tmp_path: Path, nursery: Nursery, clean_env: dict[str, str], who: str
) -> None:
    """It goes on as who began it, with what it did and what it waits for, and ends as one."""
    run = await asyncio.to_thread(crashed, nursery, clean_env, tmp_path)

    async def go_on(session: Session) -> None:
        assert session.run_id == run
        told = await session.call("io.fs.write_file", {"path": "two.txt", "content": "2"})
        assert (told.name, told.status) == ("step_3", "succeeded")

    if who == "sync":
        with sync.Runtime.open(tmp_path) as rt:
            made = rt.session(run)
            assert made.call("io.fs.write_file", {"path": "two.txt", "content": "2"}).name == "step_3"
            assert made.cancel().status is RunState.CANCELLED
            assert sorted(one.name for one in tmp_path.glob("*.txt")) == ["old.txt"]
        return
    async with Runtime.open(tmp_path) as owner, Runtime.open(tmp_path) as client:
        taking = owner if who == "owner" else client
        session = await taking.session(run[:12] if who == "owner" else run)
        await go_on(session)
        shown = await owner.runs()
        assert shown.runs[-1].principal == "agent:helper"
        assert (await taking.approve(run, "step_2")).step("step_2").status == "succeeded"
        assert (await session.wait("step_2")).status == "succeeded"
        assert (await session.close()).status is RunState.SUCCEEDED
        assert sorted(one.name for one in tmp_path.glob("*.txt")) == ["one.txt", "two.txt"]


SHOP = """
import asyncio, os
from assent import Runtime, capability
from assent.invocation import Reconciliation
from assent.spec.states import Verdict

@capability("shop.pay", operation="WRITE", risk="MEDIUM", reversible=True, scope="shop", effect="pays", idempotent=False)
def pay(to: str) -> str:
    if "DIES" in os.environ:
        os._exit(9)
    return to

@pay.compensate
def take_back(to: str) -> None:
    raise AssertionError

@pay.reconcile
def was_paid(to: str) -> Reconciliation:
    return Reconciliation(Verdict.YES, to)

async def main():
    async with Runtime.open(".") as rt:
        rt.register(pay)
        session = await rt.session()
        print(session.run_id, flush=True)
        await session.call("shop.pay", {"to": "ann"})
"""


async def test_a_session_at_a_call_that_is_not_registered_here_is_left_to_whoever_has_it(
    tmp_path: Path, nursery: Nursery, clean_env: dict[str, str]
) -> None:
    """Whether it was paid is for the shop to say: what can't ask it records no doubt."""
    (tmp_path / "shop.py").write_text(SHOP)
    ended = await asyncio.to_thread(
        nursery.run,
        "-c",
        "import asyncio, shop; asyncio.run(shop.main())",
        cwd=tmp_path,
        env={**clean_env, "DIES": "1"},
        kind="python",
    )
    assert ended.code == 9, ended.err
    run = ended.out.strip()
    async with Runtime.open(tmp_path) as rt:
        before = [told async for told in rt.events(run)]
        for act in (rt.resume, rt.session, rt._core.close_session):
            with pytest.raises(AssentError) as absent:
                await act(run)
            assert absent.value.code == "CAPABILITY_ABSENT"
        assert [(one.error or {})["code"] for one in await rt.resume()] == ["CAPABILITY_ABSENT"]
        assert [told async for told in rt.events(run)] == before
    shop = runpy.run_path(str(tmp_path / "shop.py"))
    async with Runtime.open(tmp_path) as rt:
        rt.register(shop["pay"])
        session = await rt.session(run)
        assert (await rt.show(run)).step("step_1").output == "ann"
    async with Runtime.open(tmp_path) as rt:
        session = await rt.session(run)  # What it did is settled, and asks nothing of who goes on.
        assert (await session.close()).status is RunState.SUCCEEDED


async def test_only_an_open_session_is_taken_up(tmp_path: Path) -> None:
    async with Runtime.open(tmp_path) as rt:
        call = await rt.call("io.fs.write_file", {"path": "a.txt", "content": ""})
        session = await rt.session()
        await session.close()
        cases: list[tuple[Any, dict[str, Any], str]] = [
            ("run_none", {}, "RUN_UNKNOWN"),
            (call.run_id, {}, "NOT_A_SESSION"),
            (session.run_id, {}, "SESSION_CLOSED"),
            (session.run_id, {"principal": "user:eve"}, "INVALID_INPUT"),
        ]
        for run, how, code in cases:
            with pytest.raises(AssentError) as refused:
                await rt.session(run, **how)
            assert refused.value.code == code


KINDS = {
    "openai": lambda tool: (tool["name"], tool["description"], tool["parameters"], tool["strict"] is False),
    "openai-chat": lambda tool: (
        tool["function"]["name"],
        tool["function"]["description"],
        tool["function"]["parameters"],
        tool["type"] == "function",
    ),
    "anthropic": lambda tool: (
        tool["name"],
        tool["description"],
        tool["input_schema"],
        set(tool) == {"name", "description", "input_schema"},
    ),
    "json-schema": lambda tool: (
        tool["title"],
        tool["description"],
        tool,
        tool["$schema"].endswith("2020-12/schema"),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("who", ["owner", "client", "sync"])
async def test_tools_are_what_the_policy_may_let_a_principal_call(
    tmp_path: Path, kind: str, who: str
) -> None:
    """With names that every API takes, risk and consequence in words, and a schema of an object."""
    async with Runtime.open(tmp_path, policy=RULES) as owner, Runtime.open(tmp_path, policy=RULES) as client:
        if who == "sync":
            made = await asyncio.to_thread(_tools_waited, tmp_path, kind)
        else:
            made = (owner if who == "owner" else client).tools(kind, principal="agent:helper")
        told = {name: (says, schema, fits) for name, says, schema, fits in map(KINDS[kind], made)}
        assert {"io-fs-write_file", "io-fs-read_file", "io-fs-delete"} <= told.keys()
        assert not [name for name in told if name.startswith("net-") or name == "io-fs-move"]
        for name, (says, schema, fits) in told.items():
            assert fits, name
            assert name.replace("-", "").replace("_", "").isalnum()
            assert len(name) <= 64
            assert (schema["type"], schema["additionalProperties"]) == ("object", False), name
            assert not {"anyOf", "oneOf", "allOf"} & schema.keys(), name
            assert "Risk " in says
            json.dumps(schema)
        assert "depends on the inputs" in told["io-fs-write_file"][0]
        assert "until a person has approved" in told["io-fs-delete"][0]
        assert "can be undone" in told["io-fs-delete"][0]
        session = await owner.session(principal="agent:helper")
        for arguments in (WRITE, json.dumps(WRITE)):
            assert (await session.call_tool("io-fs-write_file", arguments)).status == "succeeded"
        for arguments in ("{", "[1]", '{"path": "\\ud800"}'):
            wrong = await session.call_tool("io-fs-write_file", arguments)
            assert (wrong.status, wrong.name) == ("failed", "")


def _tools_waited(folder: Path, kind: str) -> list[dict[str, Json]]:
    with sync.Runtime.open(folder, policy=RULES) as rt:
        return rt.tools(kind, principal="agent:helper")


async def test_what_may_be_called_is_told_as_it_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it was asked before: who asks, where, the policy, and the time all count."""
    policy, allowed = tmp_path / "policy.yaml", "  - {id: rest, decision: ALLOW, reason: x}\n"
    policy.write_text(f"version: 1\nrules:\n{allowed}")
    (tmp_path / "assent.toml").write_text('policy = "policy.yaml"\n')
    async with Runtime.open(tmp_path) as rt:

        def names(who: str = "agent:ann", environment: str | None = None) -> set[str]:
            found = [rt.tools("openai", principal=who, environment=environment) for _ in range(2)]
            assert found[0] == found[1]
            return {str(one["name"]) for one in found[0]}

        def rule(match: str, condition: str = "") -> None:
            denied = f"  - {{id: no, when: {{capability: sys.noop{match}}}, {condition}decision: DENY, reason: x}}\n"
            policy.write_text(f"version: 1\nrules:\n{denied}{allowed}")
            rt.reload_policy()

        everything = names()
        assert len(everything) >= MANY
        assert names() == everything
        rule(', principal: "agent:bob"')
        assert (names(), names("agent:bob")) == (everything, everything - {"sys-noop"})
        rule(", environment: prod")
        assert names(environment="prod") == everything - {"sys-noop"} != names()
        rule("", 'if: now < timestamp("2040-01-01T00:00:00Z"), ')
        assert names() == everything - {"sys-noop"}
        monkeypatch.setattr(SystemClock, "now_ms", lambda _: 2_300_000_000_000)
        assert names() == everything


async def test_tools_are_chosen_by_patterns_and_by_a_kind_that_there_is(tmp_path: Path) -> None:
    async with Runtime.open(tmp_path) as rt:
        names = {tool["name"] for tool in rt.tools("anthropic", capabilities=["io.fs.read*", "sys.noop"])}
        assert "sys-noop" in names
        assert all(str(name).startswith(("io-fs-read", "sys-noop")) for name in names)
        with pytest.raises(AssentError) as refused:
            rt.tools("gemini")
        assert (refused.value.code, "openai-chat" in str(refused.value.hint)) == ("INVALID_INPUT", True)
