"""`policy test`: given this call, that answer."""

from __future__ import annotations

import pytest

from assent.errors import InputError, Json
from assent.policy import PolicyContext, PolicyEngine, load_cases, run_cases
from assent.spec.capability import OperationType, RiskLevel, create_delete_capability
from assent.spec.principal import Principal
from assent.spec.states import Mode

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


def test_what_was_used_of_limits_is_what_a_case_says() -> None:
    limit: Json = {"id": "few", "when": {"capability": "a.b"}, "window": "1h", "calls": 2}
    engine = PolicyEngine.from_dict({"version": 1, "default": "ALLOW", "limits": [limit]})
    case = "  - {{given: {{capability: {}, risk_level: LOW}}, used: {{few: {}}}, expect: {}}}\n"
    said = [("a.b", 1, "ALLOW"), ("a.b", 2, "DENY"), ("a.b", 2, "ALLOW"), ("a.c", 2, "ALLOW")]
    results = run_cases(engine, load_cases("cases:\n" + "".join(case.format(*one) for one in said)))
    assert [result.passed for result in results] == [True, True, False, False]
    assert "2 of 2 calls used" in str(results[2].fault)
    assert results[3].fault == "no limit `few` is about this call"
    with pytest.raises(InputError, match="`few` must be an amount"):
        load_cases("cases:\n" + case.format("a.b", "many", "ALLOW"))


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


def test_everything_that_a_case_gives_is_asked_about() -> None:
    spec = create_delete_capability("io.fs.delete", labels={"fs"}, version="2.1.0")
    whole, bare = load_cases(
        "cases:\n"
        "  - given:\n      {capability: io.fs.delete, version: 9.9.9, operation_type: READ, risk_level: LOW, labels: [mine],\n"
        "       requires_approval: false, inputs: {a: 1}, workflow: w, step: s, environment: e, roles: ops,\n"
        "       run: {id: r, mode: session, labels: [seen]}, now: '1970-01-01T00:00:01Z'}\n    expect: DENY\n"
        "  - {given: {capability: io.fs.delete}, expect: DENY}\n",
        capabilities={spec.id: spec},
    )
    asked = PolicyContext(
        principal=Principal.parse("user:somebody", roles=frozenset({"ops"})),
        capability="io.fs.delete",
        version="9.9.9",
        operation_type=OperationType.READ,
        risk_level=RiskLevel.LOW,
        labels=frozenset({"mine"}),
        inputs={"a": 1},
        workflow="w",
        step="s",
        environment="e",
        run_id="r",
        mode=Mode.SESSION,
        run_labels=frozenset({"seen"}),
        now_ms=1000,
    )
    assert whole.context == asked
    assert (bare.context.version, bare.context.now_ms, bare.context.step) == ("2.1.0", 0, "call")


def test_a_case_is_held_to_the_code_it_names() -> None:
    (result,) = run_cases(
        POLICY, load_cases("cases: [{given: {capability: a.c, now: 0}, expect: DENY, code: POLICY_ERROR}]")
    )
    assert result.fault == "expected code `POLICY_ERROR`, got `POLICY_DENIED`"


def test_a_file_has_as_many_cases_as_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assent.policy._cases.CASES_MAX", 2)
    one = "{given: {capability: a.b}, expect: DENY}"
    assert len(load_cases(f"cases: [{one}, {one}]")) == 2
    with pytest.raises(InputError, match="3 cases are more than 2"):
        load_cases(f"cases: [{one}, {one}, {one}]")


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
        ("cases: [{given: {capability: a.b, now: [1]}, expect: DENY}]", "`[1]` is not a time"),
        ("cases: []", "no cases"),
        ("- 1", "object"),
        ("version: 2\ncases: [{}]", "version `2`"),
        ("case: []", "unknown key `case`"),
        ("cases: [{expect: DENY}]", "needs `given`"),
        ("cases: [{given: {}, expect: DENY}]", "needs a `capability`"),
        ("cases: [{given: {capability: a.b}, expect: deny}]", "`deny` is not a decision"),
        ("cases: [{given: {capability: a.b}, expect: 5}]", "`5` is not a decision"),
        ("cases: [{given: {capability: a.b}, expect: [DENY]}]", "is not a decision"),
        ("cases: [{given: {capability: a.b}, expect: {is: DENY}}]", "is not a decision"),
        ("cases: [{given: {capability: a.b, risk_level: X}, expect: DENY}]", "`X` is not a risk level"),
        ("cases: [{given: {capability: a.b, now: soon}, expect: DENY}]", "`soon` is not a time"),
        ("cases: [{given: {capability: a.b, now: '2026-01-01'}, expect: DENY}]", "has no time zone"),
        ("cases: [{given: {capability: a.b, principal: bob}, expect: DENY}]", "`bob` is not a principal"),
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


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("version: 1\ncase: [1]", "c.yaml:2:1", "did you mean `cases`?"),
        (
            "cases: [{given: {capability: a.b, run: {x: 1}}, expect: DENY}]",
            "c.yaml:1:41",
            "known here: id, mode",
        ),
        (
            "cases:\n- given:\n    capability: a.b\n    risk_level: X\n  expect: DENY",
            "c.yaml:4:17",
            "one of: ",
        ),
        ("cases:\n- given:\n    capability: a.b\n    principal: b\n  expect: DENY", "c.yaml:3:5", ""),
    ],
)
def test_a_fault_is_told_where_it_stands_and_with_what_is_known_there(
    text: str, place: str, hint: str
) -> None:
    with pytest.raises(InputError) as caught:
        load_cases(text, source="c.yaml")
    assert caught.value.path == place
    assert hint in (caught.value.hint or "")
