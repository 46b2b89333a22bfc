"""Reading a policy file: nothing unknown, nothing ambiguous, every fault with its place and a way out."""

from __future__ import annotations

import pytest

from assent.errors import InputError, Json
from assent.policy import PolicyEngine
from assent.spec.decision import PolicyDecision
from assent.spec.values.json_fields import mapping

LIMITS_BELOW = "limits:\n  - "
CONSTRAIN = "version: 1\nconstrain:\n  - "
LIMITS = "version: 1\n" + LIMITS_BELOW
HEAD = "version: 1\nrules:\n  - id: a\n    decision: ALLOW\n"


def refused(text: str) -> InputError:
    with pytest.raises(InputError) as caught:
        PolicyEngine.load(text, source="p.yaml")
    return caught.value


@pytest.mark.parametrize(
    ("text", "path", "message", "hint"),
    [
        ("", "p.yaml", "empty", "version: 1"),
        ("rules: []", "p.yaml:1:1", "version", "version: 1"),
        ("version: 2", "p.yaml:1:10", "version `2` is not known", "version 1"),
        ('version: "1"', "p.yaml:1:10", "version `1` is not known", "write no quotes"),
        ("version: true", "p.yaml:1:10", "version `True`", ""),
        ("version: 1\nrule: []", "p.yaml:2:1", "unknown key `rule`", "did you mean `rules`?"),
        ("[version]", "p.yaml:1:1", "the policy must be an object", "known here: "),
        ("version: 1\nrules: {}", "p.yaml:2:8", "must be a list", None),
        ("version: 1\nrules: [x]", "p.yaml:2:9", "must be an object", "known here: "),
        ("version: 1\ndefault: deny", "p.yaml:2:10", "`deny` is not a decision", "did you mean `DENY`?"),
        ("version: 1\nrules:\n  - decision: ALLOW", "p.yaml:3:5", "needs `id`", "recorded with the id"),
        ("version: 1\nrules:\n  - {}", "p.yaml:3:5", "needs `id`", None),
        ("version: 1\nrules:\n  - {id: , decision: DENY}", "p.yaml:3:10", "`id` must be text", None),
        ("version: 1\nrules:\n  - id: a", "p.yaml:3:5", "needs `decision`", "REQUIRE_APPROVAL"),
        (
            "version: 1\nrules:\n  - {id: a, decision: PERMIT}",
            "p.yaml:3:23",
            "`PERMIT` is not a decision",
            "one of:",
        ),
        (
            "version: 1\nrules:\n  - {id: default, decision: DENY}",
            "p.yaml:3:10",
            "`default` cannot be the id",
            "",
        ),
        (
            "version: 1\nrules:\n  - {id: builtin.low, decision: DENY}",
            "p.yaml:3:10",
            "cannot be the id",
            "",
        ),
        ("version: 1\nrules:\n  - {id: 5, decision: DENY}", "p.yaml:3:10", "`id` must be text", "quotes"),
        (
            HEAD + "  - {id: a, decision: DENY}",
            "p.yaml:5:10",
            "stands twice; the first is at p.yaml:3:9",
            None,
        ),
        (HEAD + "    wen: {}", "p.yaml:5:5", "unknown key `wen`", "did you mean `when`?"),
        (
            HEAD + "    when: {rsk_level: LOW}",
            "p.yaml:5:12",
            "unknown key `rsk_level`",
            "did you mean `risk_level`?",
        ),
        (
            HEAD + "    when: {not: {capabilty: a.b}}",
            "p.yaml:5:18",
            "`capabilty`",
            "did you mean `capability`?",
        ),
        (HEAD + "    when: {not: {}}", "p.yaml:5:12", "exclude everything", None),
        (HEAD + "    when: {cancels_others: true}", "p.yaml:5:12", "needs a `concurrency`", "every key"),
        (HEAD + "    when: {not: {concurrency: a}}", "p.yaml:5:18", "needs a `concurrency`", "every key"),
        (
            HEAD + "    when: {concurrency: a, capability: b.c}",
            "p.yaml:5:28",
            "can't ask for `capability`",
            "before the run calls",
        ),
        (
            HEAD + "    when: {concurrency: a, not: {step: s}}",
            "p.yaml:5:34",
            "can't ask for `step`",
            "before the run calls",
        ),
        (
            HEAD + "    when: {concurrency: a}\n    approvers: {}",
            "p.yaml:6:5",
            "`approvers` says nothing",
            None,
        ),
        (
            "version: 1\nrules:\n  - {id: a, when: {concurrency: a}, decision: REQUIRE_APPROVAL}",
            "p.yaml:3:47",
            "nobody is asked about a concurrency key",
            "`ALLOW` or `DENY`",
        ),
        (
            "version: 1\nlimits:\n  - {id: a, window: 1h, calls: 1, when: {concurrency: a}}",
            "p.yaml:3:42",
            "a limit counts calls, and no keys",
            None,
        ),
        (HEAD + "    when: [a]", "p.yaml:5:11", "`when` must be an object", "known here: "),
        (HEAD + "    when:", "p.yaml:5:5", "nothing stands behind `when`", "leave the key out"),
        (HEAD + "    if:\n      # inputs.a > 1", "p.yaml:5:5", "nothing stands behind `if`", ""),
        (HEAD + "    approvers: ~", "p.yaml:5:5", "nothing stands behind `approvers`", ""),
        (HEAD + "    approvers: {expires: }", "p.yaml:5:17", "nothing stands behind `expires`", ""),
        (
            HEAD + "    when: {risk_level: high}",
            "p.yaml:5:24",
            "`high` is not a risk level",
            "did you mean `HIGH`?",
        ),
        (HEAD + "    when: {risk_level: []}", "p.yaml:5:24", "empty list", "leave the key out"),
        (
            HEAD + "    when: {risk_level: {at_least: SOME}}",
            "p.yaml:5:35",
            "`SOME` is not a risk level",
            "one of:",
        ),
        (HEAD + "    when: {risk_level: {min: LOW}}", "p.yaml:5:25", "unknown key `min`", "at_least"),
        (HEAD + "    when: {risk_level: {}}", "p.yaml:5:24", "asks for nothing", ""),
        (HEAD + "    when: {roles: {}}", "p.yaml:5:19", "asks for nothing", ""),
        (HEAD + "    when: {roles: []}", "p.yaml:5:19", "empty list", ""),
        (
            HEAD + "    when: {principal: alice}",
            "p.yaml:5:23",
            "`alice` cannot stand in `principal`",
            "user:alice",
        ),
        (HEAD + "    when: {principal: robot:x}", "p.yaml:5:23", "`robot:x`", ""),
        (HEAD + "    when: {capability: 'io fs'}", "p.yaml:5:24", "`io fs`", "io.fs.*"),
        (HEAD + "    when: {capability: [a.b, 5]}", "p.yaml:5:30", "`5` cannot stand", ""),
        (
            HEAD + "    when: {operation_type: [READ, WIRTE]}",
            "p.yaml:5:35",
            "`WIRTE`",
            "did you mean `WRITE`?",
        ),
        (HEAD + "    if: 5", "p.yaml:5:9", "`if` must be text", ""),
        (HEAD + "    if: inputs.a >", "p.yaml:5:9", "ends where a value is expected", None),
        (HEAD + "    if: inputs.a > 1 && amont > 3", "p.yaml:5:25", "`amont`", ""),
        (HEAD + "    if: true && input.a > 1", "p.yaml:5:17", "`input` is nothing", "`inputs`"),
        (HEAD + "    if: true && principal.nme != 'a'", "p.yaml:5:26", "no `principal.nme`", ""),
        (HEAD + "    reason: 5", "p.yaml:5:13", "`reason` must be text", ""),
        (HEAD + "    without_approval: true", "p.yaml:5:5", "must say why", "reason"),
        (HEAD + "    without_approval: yes", "p.yaml:5:23", "true or false", None),
        (
            HEAD + "    without_approval: true\n    reason: x\n    approvers: {}",
            "p.yaml:7:5",
            "nobody approves",
            None,
        ),
        (HEAD + "    approvers: {count: 0}", "p.yaml:5:24", "`count` must be", None),
        (HEAD + "    approvers: {count: 1.5}", "p.yaml:5:24", "`count` must be", None),
        (HEAD + "    approvers: {expires: 1 hour}", "p.yaml:5:26", "not a duration: `1 hour`", "`2h`"),
        (HEAD + "    approvers: {expires: 0s}", "p.yaml:5:26", "between `1ms` and `366d`", ""),
        (HEAD + "    approvers: {expires: 400d}", "p.yaml:5:26", "between `1ms` and `366d`", ""),
        (
            HEAD + "    approvers: {kinds: [robot]}",
            "p.yaml:5:25",
            "`robot` is not a kind of principal",
            "one of:",
        ),
        (HEAD + "    approvers: {role: x}", "p.yaml:5:17", "unknown key `role`", "did you mean `roles`?"),
        (HEAD + "    approvers: 3", "p.yaml:5:16", "`approvers` must be an object", "known here: "),
        (LIMITS + "{window: 1h, calls: 1}", "p.yaml:3:5", "a limit needs `id`", "their limit"),
        (LIMITS + "{id: b, calls: 1}", "p.yaml:3:5", "a limit needs `window`", "`window: 1h`"),
        (LIMITS + "{id: b, window: x, calls: 1}", "p.yaml:3:21", "not a duration: `x`", "`2h`"),
        (LIMITS + "{id: b, window: 32d, calls: 1}", "p.yaml:3:21", "between `1ms` and `31d`", ""),
        (LIMITS + "{id: b, window: 1h}", "p.yaml:3:5", "the limit bounds nothing", "one of `calls`"),
        (LIMITS + "{id: b, window: 1h, calls: 1, cost: 3}", "p.yaml:3:5", "not `calls` and `cost`", ""),
        (LIMITS + "{id: b, window: 1h, calls: 0}", "p.yaml:3:32", "a whole number, 1 or more", None),
        (LIMITS + "{id: b, window: 1h, calls: true}", "p.yaml:3:32", "a whole number, 1 or more", None),
        (
            LIMITS + "{id: b, window: 1h, bytes_out: 1 X}",
            "p.yaml:3:36",
            "`bytes_out` must be a size",
            "`10MB`",
        ),
        (LIMITS + "{id: b, window: 1h, bytes_out: true}", "p.yaml:3:36", "must be a size", ""),
        (LIMITS + "{id: b, window: 1h, calls: 1, prices: {a.b: 3}}", "p.yaml:3:35", "with `cost` only", None),
        (LIMITS + "{id: b, window: 1h, cost: 1, prices: {}}", "p.yaml:3:42", "must be an object", "net.http"),
        (
            LIMITS + "{id: b, window: 1h, cost: 1, prices: {A: 3}}",
            "p.yaml:3:43",
            "`A` cannot stand in",
            "io.fs",
        ),
        (LIMITS + "{id: b, window: 1h, cost: 1, prices: {a.b: -1}}", "p.yaml:3:48", "0 or more", None),
        (LIMITS + "{id: b, window: 1h, cost: 1, per: moon}", "p.yaml:3:39", "not a way of counting", "run"),
        (
            LIMITS + "{id: b, window: 1h, cots: 1}",
            "p.yaml:3:25",
            "unknown key `cots`",
            "did you mean `cost`?",
        ),
        (LIMITS + "{id: b, window: 1h, cost: 1, when: }", "p.yaml:3:34", "nothing stands behind `when`", ""),
        (LIMITS + "3", "p.yaml:3:5", "a limit must be an object", "known here: "),
        ("version: 1\nlimits: {}", "p.yaml:2:9", "`limits` must be a list", None),
        (CONSTRAIN + "3", "p.yaml:3:5", "a constraint must be an object", "known here: "),
        (CONSTRAIN + "{inputs: {not: {}}}", "p.yaml:3:5", "a constraint needs `id`", "their constraint"),
        (CONSTRAIN + "{id: b}", "p.yaml:3:5", "a constraint needs `inputs`", "inputs:"),
        (CONSTRAIN + "{id: b, inputs: {}}", "p.yaml:3:21", "asks for something", "const: acme"),
        (CONSTRAIN + "{id: b, inputs: {patern: x}}", "p.yaml:3:22", "`patern`", "`pattern`?"),
        (
            CONSTRAIN + "{id: b, inputs: {properties: {a: {items: {format: uri}}}}}",
            "p.yaml:3:47",
            "`format` checks nothing",
            "pattern",
        ),
        (CONSTRAIN + "{id: b, inputs: {type: no}}", "p.yaml:3:21", "is not JSON Schema", "2020-12"),
        (CONSTRAIN + "{id: b, inputs: {pattern: (?=a)}}", "p.yaml:3:21", "is not JSON Schema", "linear"),
        (
            CONSTRAIN + "{id: b, inputs: {not: {}}, when: {concurrency: a}}",
            "p.yaml:3:39",
            "about calls, and no keys",
            None,
        ),
        (
            HEAD + "constrain:\n  - {id: a, inputs: {not: {}}}",
            "p.yaml:6:10",
            "`a` stands twice; the first",
            None,
        ),
        (
            HEAD + LIMITS_BELOW + "{id: a, window: 1h, calls: 1}",
            "p.yaml:6:10",
            "rule `a` stands twice; the first is at p.yaml:3:9",
            None,
        ),
        (
            HEAD.replace("ALLOW", "DENY") + "    approvers: {}",
            "p.yaml:5:5",
            "nobody can approve what is denied",
            None,
        ),
        (
            HEAD.replace("ALLOW", "DENY") + "    without_approval: true\n    reason: x",
            "p.yaml:5:5",
            "ALLOW",
            None,
        ),
    ],
)
def test_fault_is_refused_with_place_and_hint(text: str, path: str, message: str, hint: str | None) -> None:
    error = refused(text)
    assert error.code == "POLICY_INVALID"
    assert error.path == path
    assert message in error.message
    # Where a hint is not the row's subject, it is "": there is one.
    assert (hint in error.hint) if hint is not None and error.hint is not None else error.hint is hint


def test_all_faults_are_told_at_once() -> None:
    error = refused(
        "version: 1\ndefault: no\nrules:\n - {id: a, decision: x, if: 'y', when: {z: 1}}\n - {id: b}\n"
    )
    faults = error.details["faults"]
    assert isinstance(faults, list)
    assert [fault["path"] for fault in faults if isinstance(fault, dict)] == [
        "p.yaml:2:10",
        "p.yaml:4:22",
        "p.yaml:4:41",
        "p.yaml:4:30",
        "p.yaml:5:4",
    ]
    # Each is marked in the file as far as it reaches.
    reach = [mapping(fault, "details")["length"] for fault in faults if isinstance(fault, dict)]
    assert reach == [2, 1, 1, 1, 7]
    assert "and 4 more" in error.message
    # What follows from a fault is none of its own: without a decision nobody can say what goes with it.
    for one in ("{id: a, decision: x}", "{id: a}", "{id: a, decision: x, reason: y, without_approval: true}"):
        assert "more)" not in refused(f"version: 1\nrules: [{one}]").message
    assert "(and 1 more)" in refused("version: 1\nrules: [{id: a, decision: x, if: 'y'}]").message


@pytest.mark.parametrize(
    ("when", "place"),
    [
        ({"risk_level": "X"}, "risk_level"),
        ({"capability": "a b"}, "capability"),
        ({"capability": ["a.b", "a b"]}, "capability[1]"),
    ],
)
def test_data_from_a_program_gets_dotted_places(when: dict[str, Json], place: str) -> None:
    with pytest.raises(InputError) as caught:
        PolicyEngine.from_dict({"version": 1, "rules": [{"id": "a", "decision": "ALLOW", "when": when}]})
    assert caught.value.path == f"rules[0].when.{place}"


@pytest.mark.parametrize(
    ("text", "cause"), [("version: [1", "DOCUMENT_SYNTAX"), ("version: 1\nversion: 1", "DUPLICATE_KEY")]
)
def test_a_file_that_is_no_yaml_is_an_invalid_policy(text: str, cause: str) -> None:
    error = refused(text)
    assert (error.code, error.details["cause"]) == ("POLICY_INVALID", cause)
    assert (error.path or "").startswith("p.yaml:")


def test_a_policy_has_as_many_rules_as_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assent.policy._read.RULES_MAX", 2)
    rules = [f"- {{id: r{i}, decision: DENY}}\n" for i in range(3)]
    assert len(PolicyEngine.load(f"version: 1\nrules:\n{''.join(rules[:2])}").policy.rules) == 2
    assert "3 rules are more than 2" in refused(f"version: 1\nrules:\n{''.join(rules)}").message


@pytest.mark.parametrize("word", ["true", "false"])
def test_yaml_booleans_are_conditions_too(word: str) -> None:
    """YAML reads a bare `true` before the policy can; the author meant the expression."""
    policy = PolicyEngine.load(HEAD + f"    if: {word}\n").policy
    assert policy.rules[0].condition == word


def test_a_one_rule_file_is_read_whole() -> None:
    policy = PolicyEngine.load(
        HEAD.replace("ALLOW", "REQUIRE_APPROVAL") + "    reason: ' why '\n    if: 'risk_rank > 1'\n"
        "    when: {labels: {all: [x]}, not: {workflow: w}}\n    approvers: {expires: 15m}\n"
    ).policy
    rule = policy.rules[0]
    assert policy.default is PolicyDecision.DENY
    assert rule.reason == "why"
    assert rule.condition == "risk_rank > 1"
    assert rule.unless is not None
    assert rule.approvers is not None
    assert rule.approvers.expires_ms == 900_000
    assert rule.approvers.kinds == ("user",)
