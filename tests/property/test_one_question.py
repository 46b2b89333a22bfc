"""A plan, `policy explain` and the run ask the gate one and the same question, and tell the same undo."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assent.engine import RunResult
from assent.policy import PolicyEngine
from assent.spec import create_read_capability
from assent.spec.capability import RiskLevel
from assent.spec.events import kinds as ev
from assent.spec.states import Mode
from tests.support.bodies import Bench, Place, user
from tests.support.properties import holds

RULES: list[dict[str, Any]] = [
    {"when": {"roles": "ops"}},
    {"when": {"risk_level": "CRITICAL"}},
    {"when": {"risk_level": ["MEDIUM", "HIGH"]}},
    {"when": {"capability": "io.fs.*", "workflow": "release"}},
    {"when": {"environment": "prod"}},
    {"if": "risk_rank >= 2"},
    {"if": 'run.mode == "session"'},
    {"if": 'run.requester == "user:ann"'},
    {"if": '"reads_private" in run.labels'},
    # Only with every parameter filled in is there something to read.
    {"if": "!inputs.create_dirs"},
    {"if": 'inputs.path == "made.txt"'},
]
DECISIONS = ["ALLOW", "DENY", "REQUIRE_APPROVAL"]


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    chosen = draw(st.lists(st.sampled_from(RULES), max_size=5, unique_by=repr))
    rules = [
        {**rule, "id": f"r{i}", "decision": draw(st.sampled_from(DECISIONS))} for i, rule in enumerate(chosen)
    ]
    return {"version": 1, "default": draw(st.sampled_from(DECISIONS[:2])), "rules": rules}


CALLS = st.fixed_dictionaries(
    {
        "capability": st.sampled_from(
            ["io.fs.write_file", "io.fs.write_file@^1", "io.fs.read_file", "box.burn"]
        ),
        "who": st.sampled_from([("ann", ()), ("ann", ("ops",)), ("bob", ("ops", "dev"))]),
        "environment": st.sampled_from([None, "prod"]),
        "risk_level": st.sampled_from([None, RiskLevel.CRITICAL]),
        "keeps_undo": st.booleans(),
        "in_session": st.booleans(),
        "after_private": st.booleans(),
    }
)


@holds("one_question")
@given(policies(), CALLS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_explain_and_plan_agree_with_the_run(document: dict[str, Any], call: dict[str, Any]) -> None:
    """Over roles, modes, environments, labels, raised risk and `undo: none`: decision, rule, risk and undo are the run's."""
    with tempfile.TemporaryDirectory() as root:
        asyncio.run(_agree(Path(root), document, call))


async def _agree(root: Path, document: dict[str, Any], call: dict[str, Any]) -> None:
    capability, in_session = call["capability"], call["in_session"]
    is_file = capability.startswith("io.fs")
    inputs: dict[str, Any] = {"path": "made.txt"} if is_file else {"key": "k", "value": 1}
    if "write" in capability:
        inputs["content"] = "new"
    if in_session:  # A session's call has no author who could say more of it.
        call = {**call, "risk_level": None, "keeps_undo": True}
    name, roles = call["who"]
    asker = user(name, *roles)
    labels = frozenset({"reads_private"} if call["after_private"] else ())
    async with Place(root, policy={"version": 1, "default": "ALLOW", "rules": []}).open() as rt:
        (rt.settings.workspace / "made.txt").write_text("old")
        _register_private(rt)
        rt._core.gate.replace(PolicyEngine.from_dict(_letting_in(document)))
        step: dict[str, Any] = {"name": "it", "capability": capability, "inputs": inputs}
        if call["risk_level"] is not None:
            step["risk_level"] = call["risk_level"].value
        if not call["keeps_undo"]:
            step["undo"] = "none"
        before: list[dict[str, Any]] = (
            [{"name": "look", "capability": "test.private", "inputs": {}}] if labels else []
        )
        flow: dict[str, Any] = {"name": "release", "version": "1.0.0", "steps": [*before, step]}
        explained, is_whole = await rt.explain(
            capability,
            inputs,
            principal=asker,
            environment=call["environment"],
            workflow=None if in_session else "release",
            step=f"step_{len(before) + 1}" if in_session else "it",
            mode=Mode.SESSION if in_session else Mode.WORKFLOW,
            run_labels=labels,
            risk_level=call["risk_level"],
            keeps_undo=call["keeps_undo"],
        )
        assert is_whole
        foretold = (explained.decision.effect.value, explained.decision.rule, explained.context.risk_level)
        if in_session:
            session = await rt.session(principal=asker, environment=call["environment"])
            for one in before:
                await session.call(one["capability"], one["inputs"])
            answered = await session.call(capability, inputs)
            assert (answered.decision, answered.rule, answered.risk_level) == foretold
            return
        plan = await rt.plan(flow, principal=asker, environment=call["environment"])
        planned = next(one for one in plan.steps if one.name == "it")
        assert (planned.decision, planned.rule, planned.risk_level) == foretold
        result = await rt.run(flow, principal=asker, environment=call["environment"])
        told = result.step("it")
        assert (told.decision, told.rule, told.risk_level) == foretold
        undo = _undo_of(rt, result)
        assert undo in (None, planned.undo)


def _letting_in(document: dict[str, Any]) -> dict[str, Any]:
    """The policy, under which what is read first is always read."""
    first = {"id": "first", "when": {"capability": "test.private"}, "decision": "ALLOW"}
    return {**document, "rules": [first, *document["rules"]]}


def _undo_of(rt: Bench, result: RunResult) -> str | None:
    """How the run says that the step can be taken back; None when it was denied before that mattered."""
    for event in rt.recorded(result.run_id):
        if isinstance(event, ev.StepStarted) and event.step == "it":
            return event.undo.value
    return None


def _register_private(rt: Bench) -> None:
    async def look(_context: object, _parameters: object) -> dict[str, Any]:
        return {}

    spec = create_read_capability("test.private", parameters={"type": "object"}, labels={"reads_private"})
    rt.register(spec, look)
