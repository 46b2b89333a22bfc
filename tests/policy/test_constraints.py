"""Constraints on inputs: every one that is about a call must hold, a denial says what would be allowed, and nothing widens."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent import Runtime
from assent.errors import Json
from assent.policy import PolicyContext, PolicyEngine
from assent.runtime.service import requests
from assent.runtime.settings.effective import Settings
from assent.spec.decision import PolicyDecision
from tests.support.gateway import ALLOW, Gateway
from tests.support.policy import context

OURS: Final[dict[str, Any]] = {
    "id": "ours",
    "inputs": {"properties": {"owner": {"const": "acme"}}, "required": ["owner"]},
    "reason": "only our own",
}
SMALL: Final[dict[str, Any]] = {"id": "small", "inputs": {"properties": {"size": {"maximum": 9}}}}
CLOSED: Final[dict[str, Any]] = {
    "id": "closed",
    "inputs": {"additionalProperties": False, "properties": {"owner": {}, "size": {}}},
}


def engine(*constraints: dict[str, Any], decision: str = "ALLOW") -> PolicyEngine:
    rules: list[Json] = [{"id": "r", "decision": decision}]
    return PolicyEngine.from_dict({"version": 1, "rules": rules, "constrain": [*constraints]})


def asked(**inputs: Any) -> PolicyContext:
    return context(inputs=inputs)


@pytest.mark.parametrize(
    ("constraints", "inputs", "rule", "told"),
    [
        ([], {}, "r", "rule `r`"),
        ([OURS], {"owner": "acme"}, "r", "rule `r`"),
        ([OURS], {}, "ours", "only our own: `owner` is missing"),
        ([OURS], {"owner": "evil"}, "ours", "only our own: `owner` must be 'acme', not `evil`"),
        ([OURS | {"when": {"capability": "io.net.*"}}], {}, "r", ""),
        ([OURS | {"when": {"not": {"principal": "user:alice"}}}], {}, "r", ""),
        ([OURS, SMALL], {"owner": "acme", "size": 9}, "r", ""),
        (
            [OURS, SMALL],
            {"owner": "acme", "size": 10},
            "small",
            "other inputs only: `size` must be at most 9",
        ),
        ([SMALL, OURS], {"size": 10}, "small", ""),
        ([CLOSED], {"owner": "acme", "to": "x"}, "closed", "`to` is not a parameter"),
        ([SMALL], {"size": "a text is none of its business"}, "r", ""),
    ],
)
def test_every_constraint_about_a_call_must_hold(
    constraints: list[dict[str, Any]], inputs: dict[str, Any], rule: str, told: str
) -> None:
    gate = engine(*constraints)
    decision = gate.decide(asked(**inputs))
    assert (decision.rule, told in decision.reason) == (rule, True)
    assert decision.effect is (PolicyDecision.ALLOW if rule == "r" else PolicyDecision.DENY)
    denying = next((one["inputs"] for one in constraints if one["id"] == rule), None)
    assert decision.allowed == denying
    assert bool(decision.faults) is (denying is not None)
    explained = gate.explain(asked(**inputs))
    assert explained.decision == decision
    assert [one.constraint for one in explained.constraints if not one.holds][:1] == [rule] * (rule != "r")
    again = type(gate.policy).from_json(gate.policy.to_json())
    assert PolicyEngine(again).decide(asked(**inputs)) == decision


def test_nobody_is_asked_about_what_a_constraint_denies_and_a_denial_stays_its_rules() -> None:
    assert engine(OURS, decision="REQUIRE_APPROVAL").decide(asked()).code == "INPUTS_NOT_ALLOWED"
    assert engine(OURS, decision="DENY").decide(asked()).rule == "r"
    assert "constraints" not in engine().policy.to_json()  # its digest is what it was before there were any


def test_a_check_that_would_take_too_long_denies() -> None:
    """As everywhere, and without beginning it."""
    twice = {"anyOf": [{"items": {"$ref": "#/$defs/a"}}, {"items": {"$ref": "#/$defs/a"}}]}
    gate = engine(
        {"id": "deep", "inputs": {"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": twice}}}
    )
    deep: Any = []
    for _ in range(60):
        deep = [deep]
    decision = gate.decide(asked(a=deep))
    assert (decision.effect, decision.rule) == (PolicyDecision.DENY, "deep")
    assert "too long" in decision.reason


INPUTS = st.fixed_dictionaries(
    {}, optional={"owner": st.sampled_from(["acme", "evil", 3]), "size": st.integers(0, 20), "to": st.none()}
)


@given(
    chosen=st.lists(st.sampled_from([OURS, SMALL, CLOSED]), unique_by=lambda one: str(one["id"])),
    inputs=INPUTS,
    unknown=st.sets(st.sampled_from(["owner", "size", "to"])),
    decision=st.sampled_from(list(PolicyDecision)),
)
def test_what_is_foreseen_is_what_is_decided_and_one_more_never_widens(
    chosen: list[dict[str, Any]], inputs: dict[str, Any], unknown: set[str], decision: PolicyDecision
) -> None:
    gate = engine(*chosen, decision=decision.value)
    whole = gate.decide(asked(**inputs))
    known = asked(**{name: value for name, value in inputs.items() if name not in unknown})
    foreseen = gate.foresee(known, unknown)
    possible = gate.possible(known, unknown)
    assert foreseen is None or (foreseen.effect, foreseen.rule) == (whole.effect, whole.rule)
    assert (whole.effect, whole.rule) in {(one.effect, one.rule) for one in possible.answers}
    assert (foreseen is None) is bool(possible.unknown)
    fewer = engine(*chosen[1:], decision=decision.value).decide(asked(**inputs))
    assert whole.effect in {fewer.effect, PolicyDecision.DENY}


CONSTRAIN: Final = """
constrain:
  - id: drafts
    when: { capability: io.fs.write_file }
    inputs: { properties: { path: { pattern: "^drafts/" } } }
    reason: only drafts
  - id: groceries
    when: { capability: mcp.notes.add_note }
    inputs: { properties: { title: { enum: [milk, eggs] } } }
"""


@pytest.mark.parametrize(
    ("capability", "fits", "strays", "told"),
    [
        (
            "io.fs.write_file",
            {"path": ".//drafts/b", "content": "x", "create_dirs": True},
            {"path": "./b", "content": "x"},
            "only drafts: `path` must match",
        ),
        ("mcp.notes.add_note", {"title": "milk"}, {"title": "guns"}, "`title` must be 'milk' or 'eggs', not"),
    ],
)
async def test_a_denial_tells_what_would_be_allowed_and_stays_on_record(
    tmp_path: Path, capability: str, fits: dict[str, Json], strays: dict[str, Json], told: str
) -> None:
    """Of what is built in as of a tool of somebody else's: to who calls, in a plan, in `explain`, `simulate` and a replay."""
    gateway = Gateway(tmp_path / "work")
    gateway.program()
    gateway.trust()
    path = gateway.folder / "policy.yaml"
    path.write_text(ALLOW + CONSTRAIN)
    async with Runtime.open(gateway.folder) as rt:
        runs = [await rt.call(capability, inputs) for inputs in (fits, strays)]
        assert [run.status for run in runs] == ["succeeded", "failed"], runs[0].error
        error: Any = runs[1].steps[0].error
        assert error["code"] == "INPUTS_NOT_ALLOWED"
        assert told in error["message"]
        schema = error["details"]["allowed"]
        assert error["details"]["rule"] in {"drafts", "groceries"}
        assert len(error["details"]["faults"]) == 1
        for run in runs:
            assert (await rt.replay(run.run_id)).differences == ()
    settings = Settings.resolve(workspace=gateway.folder, environ={}, cwd=gateway.folder)
    perform = partial(gateway.perform, settings=settings)
    explained = perform(requests.ExplainPolicy(capability=capability, parameters=strays))
    recorded = perform(requests.ExplainDecisions(run=runs[1].run_id)).decisions[0]
    assert recorded.agrees
    for one in (explained, recorded.explained):
        assert (one.decision, one.allowed) == ("DENY", schema)
        assert [report.holds for report in one.constraints] == [False]
    workflow = {
        "version": "1.0.0",
        "name": "w",
        "steps": [{"name": "s", "capability": capability, "inputs": strays}],
    }
    planned = perform(requests.Plan(text=json.dumps(workflow), reads=False))
    assert told in str(planned)
    drafted = perform(requests.SimulatePolicy(text=ALLOW, path="draft.yaml"))
    assert drafted.changed == 1
