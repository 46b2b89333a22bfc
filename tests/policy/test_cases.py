"""`policy test`: given this call, that answer."""

from __future__ import annotations

import pytest

from assent.errors import InputError
from assent.policy import PolicyEngine, load_cases, run_cases
from assent.spec.capability import OperationType, RiskLevel, create_delete_capability

POLICY = PolicyEngine.load(
    "version: 1\nrules:\n"
    "  - {id: night, if: 'now.getHours() < 6', decision: DENY}\n"
    "  - {id: big, when: {capability: a.b}, if: 'inputs.n > 5', decision: REQUIRE_APPROVAL}\n"
    "  - {id: ops, when: {roles: ops, environment: prod}, decision: ALLOW}\n"
)


def test_passing_and_failing_cases_are_told_apart() -> None:
    cases = load_cases(
        "cases:\n"
        "  - name: big ones ask\n"
        "    given: {principal: 'agent:x', capability: a.b, risk_level: LOW, inputs: {n: 9}, now: '2026-01-01T12:00:00Z'}\n"
        "    expect: REQUIRE_APPROVAL\n    rule: big\n"
        "  - given: {capability: a.c, roles: [ops], environment: prod, risk_level: LOW, now: 43200000}\n"
        "    expect: ALLOW\n"
        "  - name: wrong\n    given: {capability: a.c}\n    expect: ALLOW\n    rule: ops\n"
        "  - given: {capability: a.b, now: '2026-01-01T14:00:00+02:00'}\n    expect: DENY\n    code: POLICY_ERROR\n",
        source="c.yaml",
    )
    results = run_cases(POLICY, cases)
    assert [result.passed for result in results] == [True, True, False, True]
    assert [result.case.name for result in results] == ["big ones ask", "case 2", "wrong", "case 4"]
    wrong = results[2]
    assert wrong.fault is not None
    assert "expected ALLOW, got DENY by `night`" in wrong.fault
    assert "expected rule `ops`" in wrong.fault
    assert wrong.to_json()["path"] == "c.yaml:8:5"


def test_given_is_completed_from_the_registered_capability() -> None:
    spec = create_delete_capability("io.fs.delete", labels={"fs"})
    [known] = load_cases(
        "cases: [{given: {capability: io.fs.delete}, expect: DENY}]", capabilities={spec.id: spec}
    )
    assert known.context.risk_level is RiskLevel.HIGH
    assert known.context.operation_type is OperationType.DELETE
    assert known.context.requires_approval
    assert known.context.labels == {"fs"}
    [unknown] = load_cases("cases: [{given: {capability: x.y}, expect: DENY}]")
    assert unknown.context.risk_level is RiskLevel.HIGH


def test_who_began_the_run_is_the_principal_unless_a_case_says_otherwise() -> None:
    cases = load_cases(
        "cases:\n"
        "  - given: {principal: 'agent:x', capability: a.c, run: {requester: 'user:ann'}}\n    expect: DENY\n"
        "  - given: {principal: 'agent:x', capability: a.c}\n    expect: DENY\n"
    )
    assert [str(case.context.requester) for case in cases] == ["user:ann", "agent:x"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cases: []", "no cases"),
        ("- 1", "object"),
        ("version: 2\ncases: [{}]", "version `2`"),
        ("case: []", "unknown key `case`"),
        ("cases: [{expect: DENY}]", "needs `given`"),
        ("cases: [{given: {}, expect: DENY}]", "needs a `capability`"),
        ("cases: [{given: {capability: a.b}, expect: deny}]", "`deny` is no decision"),
        ("cases: [{given: {capability: a.b}, expect: 5}]", "`5` is no decision"),
        ("cases: [{given: {capability: a.b}, expect: [DENY]}]", "is no decision"),
        ("cases: [{given: {capability: a.b}, expect: {is: DENY}}]", "is no decision"),
        ("cases: [{given: {capability: a.b, risk_level: X}, expect: DENY}]", "`X` is no risk level"),
        ("cases: [{given: {capability: a.b, now: soon}, expect: DENY}]", "`soon` is no time"),
        ("cases: [{given: {capability: a.b, now: '2026-01-01'}, expect: DENY}]", "has no time zone"),
        ("cases: [{given: {capability: a.b, principal: bob}, expect: DENY}]", "`bob` is no principal"),
        ("cases: [{given: {capability: a.b, roles: [1]}, expect: DENY}]", "list of text"),
        ("cases: [{given: {capability: a.b, requires_approval: 1}, expect: DENY}]", "true or false"),
        ("cases: [{given: {capability: 5}, expect: DENY}]", "must be text"),
        ("cases: [{given: {capability: a.b, run: {x: 1}}, expect: DENY}]", "unknown key `x`"),
        ("cases: [{given: {capability: a.b, inputs: [1]}, expect: DENY}]", "`inputs` must be an object"),
    ],
)
def test_broken_case_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_cases(text, source="c.yaml")
    assert caught.value.code == "POLICY_CASES_INVALID"
    assert message in caught.value.message
    assert (caught.value.path or "").startswith("c.yaml:")
