"""Whoever sits at an agent's client may say what a rule lets agents say, and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import mcp_types as wire
import pytest
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from assent.runtime._answering import Answering
from assent.runtime.service import requests
from assent.runtime.service.requests import asker_of
from tests.mcp.test_door import ERAS, meeting, settings_of

POLICY = """
version: 1
rules:
  - id: looked-at
    when: {{ capability: io.fs.* }}
    decision: REQUIRE_APPROVAL
    approvers: {{ kinds: [{kinds}], not_requester: {other} }}
"""
with pytest.raises(ValidationError) as _caught:
    wire.ElicitResult.model_validate({"action": "perhaps"})
NONSENSE = _caught.value
WRITES = ("io_fs_write_file", {"path": "b.txt", "content": "hi"})
DELETES = ("io_fs_delete", {"path": "a.txt"})


def say(root: Path, kinds: str = "user, agent", other: str = "false") -> None:
    path = root / "policy.yaml"
    path.write_text(POLICY.format(kinds=kinds, other=other))
    path.chmod(0o600)
    (root / "assent.toml").write_text('policy = "policy.yaml"\n')


@pytest.mark.parametrize("era", ERAS)
async def test_what_is_answered_at_the_client_is_the_agents_own_decision(
    root: Path, env: dict[str, str], era: str
) -> None:
    say(root)
    actions, asked = ["accept", "decline", "cancel"], []

    async def answer(_: object, params: Any) -> wire.ElicitResult:
        asked.append(params.message)
        return wire.ElicitResult.model_validate({"action": actions[len(asked) - 1]})

    at_once: Any = {"assent/patience_ms": 0}
    async with meeting(root, env, era, elicitation_callback=answer) as met:
        results = [await met.client.call_tool(*WRITES, meta=at_once) for _ in actions]
        steps = (await met.run())["steps"]
        (waits,) = (await met.runtime.perform(requests.Approvals(), met.visit.by)).approvals
        told = [
            one async for one in met.runtime.stream(requests.AuditLog(run=str(met.visit.run)), met.visit.by)
        ]
    assert [one["status"] for one in steps] == ["succeeded", "denied", "awaiting_approval"]
    codes: Any = [(one.structured_content or {}).get("error", {}).get("code") for one in results]
    assert codes == [None, "APPROVAL_REJECTED", "APPROVAL_REQUIRED"]
    assert waits.step == steps[-1]["name"]
    assert len(asked) == 3
    assert all(word in asked[0] for word in ("io.fs.write_file", "MEDIUM", "looked-at", '"b.txt"'))
    decided = [one.event for one in told if one.event["kind"] in ("approval.granted", "approval.rejected")]
    assert [(one["kind"], one["by"]) for one in decided] == [
        ("approval.granted", "agent:ann"),
        ("approval.rejected", "agent:ann"),
    ]


@pytest.mark.parametrize(
    ("call", "kinds", "other"),
    [
        (DELETES, "user, agent", "false"),
        (WRITES, "user", "false"),
        (WRITES, "user, agent", "true"),
        ((WRITES[0], {"path": "b.txt", "content": "hi" + " " * 1000 + "and bye"}), "user, agent", "false"),
    ],
    ids=["HIGH", "people alone decide", "whoever asks may not decide", "more than is shown"],
)
async def test_the_models_own_host_is_no_gate(
    root: Path, env: dict[str, str], call: tuple[str, dict[str, str]], kinds: str, other: str
) -> None:
    say(root, kinds, other)
    (root / "a.txt").write_text("hi")

    asked: list[str] = []

    async def answer(_: object, params: Any) -> wire.ElicitResult:
        asked.append(params.message)
        return wire.ElicitResult(action="accept")

    async with meeting(root, env, elicitation_callback=answer) as met:
        assert (await met.refused(call[0], **call[1]))["error"]["code"] == "APPROVAL_REQUIRED"
    assert not asked


async def test_others_may_decide_while_somebody_thinks(root: Path, env: dict[str, str]) -> None:
    say(root)

    async def answer(*_: object) -> wire.ElicitResult:
        async with Answering(settings_of(root, env, "user:bob")) as person:
            by = asker_of(person.settings)
            (asked,) = (await person.perform(requests.Approvals(), by)).approvals
            agreed = requests.Approve(run=asked.run_id, step=asked.step, digest=asked.digest)
            await person.perform(agreed, by)
        await asyncio.Event().wait()
        raise AssertionError("this never ends")

    async with meeting(root, env, elicitation_callback=answer) as met:
        result = await met.client.call_tool(*WRITES)
    assert not result.is_error, result


@pytest.mark.parametrize("failure", [MCPError(wire.CONNECTION_CLOSED, "closed"), TimeoutError(), NONSENSE])
async def test_who_is_lost_or_talks_nonsense_has_decided_nothing(
    root: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    say(root)

    async def lost(*_: object, **__: object) -> wire.ElicitResult:
        raise failure

    monkeypatch.setattr("mcp.server.session.ServerSession.send_request", lost)
    async with meeting(root, env, elicitation_callback=_no_answer) as met:
        assert (await met.refused(*WRITES[:1], **WRITES[1]))["error"]["code"] == "APPROVAL_REQUIRED"


async def _no_answer(*_: object) -> wire.ElicitResult:
    raise AssertionError("it is lost")
