"""Every way an agent could look for to change Assent itself: by each capability, under each rule that is not about that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assent.capabilities import builtin_capabilities
from assent.policy import PolicyContext, PolicyEngine
from assent.spec.principal import Principal
from tests.support.bodies import Bench, Place, policy, put, rule, workflow

OWN = [one.spec for one in builtin_capabilities() if one.id.startswith("assent.")]
AGENT, CODE = "agent:bot", "AGENT_REFUSED"

RULES: dict[str, tuple[dict[str, Any] | None, bool]] = {
    "none": (None, False),
    "everything": ({}, False),
    "this agent, everything": ({"principal": AGENT}, False),
    "anybody, by name": ({"capability": "assent.*"}, False),
    "anybody and anything": ({"principal": "*", "capability": "*"}, False),
    "anybody written at length": ({"principal": ["user:*", "*:bot"], "capability": "assent.*"}, False),
    "this agent, anything": ({"principal": AGENT, "capability": ["*", "io.*"]}, False),
    "another agent": ({"principal": ["agent:ops", "*"], "capability": "assent.*"}, False),
    "both": ({"principal": AGENT, "capability": "assent.*"}, True),
    "both among others": ({"principal": ["user:*", "agent:*"], "capability": ["io.*", "assent.*"]}, True),
}


@pytest.mark.parametrize("when", RULES)
def test_only_a_rule_that_names_both_lets_an_agent(when: str) -> None:
    said, is_let = RULES[when]
    rules = () if said is None else (rule("r", when=said, without_approval=True),)
    gate = PolicyEngine.from_dict(policy(*rules))
    for spec in OWN:
        for who in (AGENT, "user:ann", "service:ci"):
            question = PolicyContext.of(spec, Principal.parse(who), {})
            decision = gate.decide(question)
            assert (decision.code == CODE) == (who == AGENT and not is_let)
            assert [one.code for one in gate.possible(question, "all").answers] == [decision.code]
            assert gate.explain(question).decision == gate.foresee(question) == decision
            assert decision.code is None or gate.explain(question).nearest is None


def test_what_the_gate_is_merely_asked_under_such_a_name_is_for_agents_too() -> None:
    for name in ("assent.undo", "assent.signal", "assent.approval"):
        asked: Any = {"risk_level": "LOW", "operation_type": "EXECUTE"}
        question = PolicyContext(principal=Principal.parse(AGENT), capability=name, **asked)
        assert PolicyEngine.builtin().decide(question).code is None


async def _by_call(rt: Bench, capability: str, inputs: dict[str, Any]) -> Any:
    return await rt.call(capability, inputs, principal=AGENT)


async def _in_workflow(rt: Bench, capability: str, inputs: dict[str, Any]) -> Any:
    step = {"name": "s", "capability": capability, "inputs": inputs}
    return await rt.run(workflow(step), principal=AGENT)


async def _as_way_back(rt: Bench, capability: str, inputs: dict[str, Any]) -> Any:
    step = put("s", compensation={"capability": capability, "inputs": inputs})
    return await rt.run(workflow(step), principal=AGENT)


async def _in_session(rt: Bench, capability: str, inputs: dict[str, Any]) -> Any:
    session = await rt.session(principal=AGENT)
    await session.call(capability, inputs)
    return await rt.show(session.run_id)


async def _in_inner_run(rt: Bench, capability: str, inputs: dict[str, Any]) -> Any:
    step = {"name": "s", "capability": capability, "inputs": inputs}
    return await _in_session(rt, "workflow.run", {"workflow": workflow(step)})


@pytest.mark.parametrize("way", [_by_call, _in_workflow, _as_way_back, _in_session, _in_inner_run])
async def test_no_way_leads_around(tmp_path: Path, way: Any) -> None:
    place = Place(tmp_path)
    place.policy = policy(rule("all", without_approval=True))
    inputs = {"name": "nightly"}
    async with place.open() as rt:
        result = await way(rt, "assent.schedule.pause", inputs)
        (step,) = result.steps
        assert step.error is not None
        assert step.error["code"] == CODE
        assert place.box.values == {}


def test_each_is_known() -> None:
    """A new one is refused by its name alone; here is what there is."""
    assert {spec.id for spec in OWN} == {
        "assent.erase",
        *(f"assent.key.{verb}" for verb in ("create", "revoke")),
        *(f"assent.mcp.{verb}" for verb in ("trust", "untrust")),
        *(f"assent.schedule.{verb}" for verb in ("add", "pause", "remove", "resume")),
    }
