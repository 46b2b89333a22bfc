"""`policy check`: everything that looks wrong, with its line, and nothing that does not."""

from __future__ import annotations

import stat
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import InputError, Json
from assent.policy import DEFAULT_POLICY_YAML, PolicyEngine, check, require_private
from assent.policy._cover import Earlier, covers
from assent.spec.capability import (
    RiskLevel,
    create_delete_capability,
    create_read_capability,
    create_write_capability,
)
from assent.spec.policy import Rule
from tests.support.policy import context

READ = create_read_capability("io.fs.read_file", parameters={"type": "object", "properties": {"path": {}}})
WRITE = create_write_capability(
    "io.fs.write_file", parameters={"type": "object", "properties": {"path": {}, "content": {}}}
)
DELETE = create_delete_capability("io.fs.delete", labels={"fs"})
KNOWN = [READ, WRITE, DELETE]


def rules(*lines: str) -> str:
    return "version: 1\nrules:\n" + "".join(f"  - {{{line}}}\n" for line in lines)


def test_clean_policy_has_no_findings() -> None:
    assert check(DEFAULT_POLICY_YAML, known_capabilities=KNOWN) == []


@pytest.mark.parametrize("pattern", ["assent.undo", "assent.*", "[assent.undo, io.fs.delete]"])
def test_a_rule_for_the_undo_is_a_rule_like_any_other(pattern: str) -> None:
    """The gate is asked about `assent.undo`, though no capability is called so."""
    assert (
        check(rules(f"id: a, when: {{capability: {pattern}}}, decision: DENY"), known_capabilities=KNOWN)
        == []
    )


def test_faults_are_errors_with_places() -> None:
    found = check(rules("id: a, decision: NO", "id: b, decision: DENY, if: 'x'"), "p.yaml")
    assert [(finding.severity, finding.kind, finding.path) for finding in found] == [
        ("error", "fault", "p.yaml:3:23"),
        ("error", "fault", "p.yaml:4:34"),
    ]
    assert check("a: [", "p.yaml")[0].severity == "error"


@pytest.mark.parametrize("source", ["p.yaml", "c:p.yaml"])
def test_findings_stand_in_the_order_of_the_file(source: str) -> None:
    """Whatever kind they are of."""
    found = check(rules("id: a, decision: DENY", "id: b, decision: DENY") + "  - {id: c}\n", source)
    assert [(finding.kind, finding.path) for finding in found] == [
        ("shadowed", f"{source}:4:10"),
        ("fault", f"{source}:5:5"),
    ]


def test_only_rules_that_take_something_are_said_to_leave_nothing() -> None:
    [again, left] = check(
        rules(
            "id: low, decision: DENY, when: {risk_level: LOW}",
            "id: again, decision: DENY, when: {risk_level: LOW}",
            "id: rest, decision: DENY, when: {risk_level: {at_least: MEDIUM}}",
            "id: left, decision: DENY",
        )
    )
    assert (again.kind, again.rule) == ("shadowed", "again")
    assert (left.kind, left.rule) == ("unreachable", "left")
    assert "`low`, `rest` above it together" in left.message


def test_an_unknown_key_hides_no_other_fault() -> None:
    """A file is mended in one go; a key that is missing because it is misspelt is told once."""
    rules_of = (
        "{id: a, when: {risk_levl: LOW, capabilty: x}, decison: ALLOW, approvers: {rols: [b]}}",
        "{idd: b, decision: ALOW}",
        "{when: {}}",
        "text",
    )
    found = check("version: 1\nrules:\n" + "".join(f"  - {rule}\n" for rule in rules_of))
    assert [finding.message for finding in found] == [
        "unknown key `risk_levl`",
        "unknown key `capabilty`",
        "unknown key `decison`",
        "unknown key `rols`",
        "unknown key `idd`",
        "`ALOW` is not a decision",
        "a rule needs `id`",
        "a rule must be an object with keys",
    ]


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ("", "when: {risk_level: LOW}"),
        ("when: {capability: io.*}", "when: {capability: io.fs.*}"),
        ("when: {capability: io.*}", "when: {capability: io.fs.delete, risk_level: LOW}"),
        ("when: {capability: 'io.*.x'}", "when: {capability: 'io.a*.x'}"),
        ("when: {principal: ['agent:*', 'user:bob']}", "when: {principal: ['agent:x', 'user:bob']}"),
        ("when: {step: 'deploy_*'}", "when: {step: deploy_web}"),
        ("when: {roles: [a, b]}", "when: {roles: a}"),
        ("when: {roles: [a, b]}", "when: {roles: {all: [a, c]}}"),
        ("when: {roles: [a, b]}", "when: {roles: [a, b]}"),
        ("when: {labels: {all: [a]}}", "when: {labels: {all: [a, b]}}"),
        ("when: {risk_level: {at_least: MEDIUM}}", "when: {risk_level: CRITICAL}, if: 'inputs.x == 1'"),
        ("when: {not: {environment: prod}}", "when: {risk_level: LOW, not: {environment: prod}}"),
    ],
)
def test_shadowed_rule_is_found_and_really_never_decides(above: str, below: str) -> None:
    text = rules(f"id: above, decision: DENY, {above}".rstrip(", "), f"id: below, decision: ALLOW, {below}")
    [finding] = check(text, "p.yaml")
    assert (finding.kind, finding.rule, finding.severity) == ("shadowed", "below", "warning")
    assert finding.path == "p.yaml:4:10"
    assert "`above`" in finding.message
    assert finding.message.endswith("and decides DENY")
    [same] = check(text.replace("decision: DENY", "decision: ALLOW"), "p.yaml")
    assert same.message.endswith("and decides the same")


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ("when: {capability: io.fs.*}", "when: {capability: io.*}"),
        ("when: {capability: io.fs.*}, if: 'inputs.x == 1'", "when: {capability: io.fs.*}"),
        ("when: {roles: a}", "when: {roles: [a, b]}"),
        ("when: {roles: {all: [a, b]}}", "when: {roles: {all: [a]}}"),
        ("when: {not: {environment: prod}}", "when: {risk_level: LOW}"),
        ("when: {risk_level: LOW}", "when: {risk_level: {at_least: LOW}}"),
        ("when: {workflow: w}", ""),
        ("when: {step: s}", ""),
        ("when: {principal: 'user:*'}", "when: {principal: '*'}"),
    ],
)
def test_reachable_rule_is_not_accused(above: str, below: str) -> None:
    text = rules(f"id: above, decision: DENY, {above}", f"id: below, decision: ALLOW, {below}".rstrip(", "))
    assert check(text) == []


_PATTERNS = st.lists(st.sampled_from(["*", "a.*", "a.b", "*.b", "a.b.*", "c.d"]), max_size=2)
_WORDS = st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=2, unique=True)


@st.composite
def _whens(draw: st.DrawFn) -> dict[str, Json]:
    when: dict[str, Json] = {}
    for key in ("capability", "workflow", "step"):
        if patterns := draw(_PATTERNS):
            when[key] = [*patterns]
    for key in ("roles", "labels"):
        if draw(st.booleans()):
            when[key] = {draw(st.sampled_from(["any", "all"])): [*draw(_WORDS)]}
    return when


@given(st.lists(_whens(), min_size=2, max_size=8))
def test_no_rule_that_covers_another_is_passed_over(whens: list[dict[str, Json]]) -> None:
    """What the tables leave out really covers nothing: the answers are those of comparing each rule with each."""
    rules = (
        PolicyEngine.from_dict(
            {
                "version": 1,
                "rules": [{"id": f"r{i}", "when": when, "decision": "DENY"} for i, when in enumerate(whens)],
            }
        )
    ).policy.rules
    earlier = Earlier(rules)
    for i, rule in enumerate(rules):
        found = [other.id for other in earlier.of(i) if covers(other, rule)]
        assert found == [other.id for other in rules[:i] if covers(other, rule)]


def test_rules_that_have_nothing_to_do_with_each_other_are_not_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or checking the 10 000 rules that a policy may have would take minutes."""
    compared: list[str] = []

    def counted(wide: Rule, narrow: Rule) -> bool:
        compared.append(narrow.id)
        return covers(wide, narrow)

    monkeypatch.setattr("assent.policy._check.covers", counted)
    text = "version: 1\nrules:\n" + "".join(
        f"  - {{id: r{i}, when: {{capability: a.b{i}.*, roles: role-{i}}}, decision: DENY}}\n"
        for i in range(200)
    )
    assert check(text) == []
    assert compared == []


def test_several_rules_together_make_one_unreachable() -> None:
    levels = [f"id: {level}, decision: DENY, when: {{risk_level: {level}}}" for level in RiskLevel]
    [finding] = check(rules(*levels, "id: rest, decision: ALLOW, when: {capability: io.*}"))
    assert (finding.kind, finding.rule) == ("unreachable", "rest")
    assert "`LOW`, `MEDIUM`, `HIGH`, `CRITICAL`" in finding.message
    again = check(
        rules(*levels, "id: low, decision: DENY, when: {risk_level: LOW}", "id: rest, decision: ALLOW")
    )
    assert [finding.rule for finding in again] == ["low", "rest"]
    assert "`LOW`, `MEDIUM`, `HIGH`, `CRITICAL` above it" in again[1].message, (
        "not one that takes nothing more"
    )


def test_rule_that_contradicts_itself_is_unreachable() -> None:
    text = rules("id: a, decision: DENY, when: {capability: io.fs.x, not: {capability: io.fs.*}}")
    [finding] = check(text)
    assert (finding.kind, finding.rule) == ("unreachable", "a")
    policy = PolicyEngine.load(text)
    assert policy.decide(context(capability="io.fs.x")).rule == "default"


def test_unknown_capability_is_named_with_the_nearest_known_one() -> None:
    text = rules("id: a, decision: DENY, when: {capability: [io.fs.read_file, io.fs.wirte_file]}")
    [finding] = check(text, "p.yaml", KNOWN)
    assert (finding.kind, finding.path, finding.hint) == (
        "unmatched",
        f"p.yaml:3:{text.splitlines()[2].index('io.fs.wirte_file') + 1}",
        "did you mean `io.fs.write_file`?",
    )
    assert check(text) == []


@pytest.mark.parametrize(
    "when",
    [
        "operation_type: EXECUTE",
        "labels: nothing",
        "labels: {all: [fs, x]}",
        "capability: io.fs.delete, risk_level: LOW",
    ],
)
def test_rule_that_matches_no_known_capability_is_found(when: str) -> None:
    [finding] = check(rules(f"id: a, decision: DENY, when: {{{when}}}"), known_capabilities=KNOWN)
    assert (finding.kind, finding.rule) == ("unmatched", "a")


def test_raised_risk_still_matches() -> None:
    """A step may raise a capability's risk, so a rule about CRITICAL can meet any of them."""
    text = rules("id: a, decision: DENY, when: {capability: io.fs.read_file, risk_level: CRITICAL}")
    assert check(text, known_capabilities=KNOWN) == []


def test_unknown_input_is_named_with_the_nearest_known_one() -> None:
    text = rules("id: a, decision: DENY, when: {capability: io.fs.write_file}, if: 'inputs.contnet == \"x\"'")
    [finding] = check(text, "p.yaml", KNOWN)
    assert (finding.kind, finding.hint) == ("unknown_input", "did you mean `content`?")
    assert finding.path is not None
    assert finding.path.startswith("p.yaml:3:")
    for rule in (
        "id: a, decision: DENY, when: {capability: io.fs.delete}, if: 'inputs.anything == 1'",
        'id: a, decision: DENY, when: {capability: io.fs.write_file}, if: \'"x" in inputs && run.id == "r"\'',
    ):
        assert check(rules(rule), known_capabilities=KNOWN) == []


@pytest.mark.parametrize("source", ["p.yaml", "C:p.yaml"])
def test_findings_come_in_file_order(source: str) -> None:
    text = rules(
        "id: a, decision: DENY", "id: b, decision: NO", "id: c, decision: ALLOW, when: {capability: x.y}"
    )
    found = check(text, source, KNOWN)
    assert [finding.kind for finding in found] == ["fault", "shadowed", "unmatched"]
    lines = [int((finding.path or "").split(":")[-2]) for finding in found]
    assert all(before <= after for before, after in pairwise(lines))
    assert {"severity", "kind", "message", "path", "rule", "hint", "length"} == set(
        found[0].__struct_fields__
    )


@pytest.mark.parametrize(("mode", "who"), [(0o664, "its group"), (0o646, "everybody"), (0o666, "everybody")])
def test_policy_that_others_can_change_is_refused(mode: int, who: str) -> None:
    with pytest.raises(InputError) as caught:
        require_private(stat.S_IFREG | mode, "policy.yaml")
    assert caught.value.code == "POLICY_PERMISSIONS"
    assert who in caught.value.message


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o444, 0o755])
def test_policy_that_only_its_owner_can_change_is_accepted(mode: int) -> None:
    require_private(stat.S_IFREG | mode, "policy.yaml")


@pytest.mark.parametrize(
    ("limit", "message", "path"),
    [
        ("id: l, window: 1h, calls: 1", None, None),
        (
            "id: l, window: 1h, calls: 1, when: {capability: io.fs.wite}",
            "no known capability is called",
            "p.yaml:3:54",
        ),
        (
            "id: l, window: 1h, calls: 1, when: {capability: assent.undo}",
            "no known capability",
            "p.yaml:3:54",
        ),
        ("id: l, window: 1h, calls: 1, when: {labels: moon}", "matches no known capability", "p.yaml:3:41"),
        ("id: l, window: 1h, cost: 1, prices: {io.fs.wite: 2}", "called `io.fs.wite`", "p.yaml:3:43"),
        ("id: l, window: 1h, bytes_out: 1MB", "no capability with the label `sends_external`", "p.yaml:3:36"),
    ],
)
def test_a_limit_that_counts_nothing_is_told(limit: str, message: str | None, path: str | None) -> None:
    found = check("version: 1\nlimits:\n  - {" + limit + "}\n", "p.yaml", known_capabilities=KNOWN)
    assert [(one.kind, one.rule, one.path) for one in found] == (
        [("unmatched", "l", path)] if message else []
    )
    assert all((message or "") in one.message for one in found)


@pytest.mark.parametrize(
    ("constraint", "kind", "path"),
    [
        ("id: c, when: {capability: io.fs.write_file}, inputs: {required: [path]}", None, None),
        ("id: c, when: {capability: assent.undo}, inputs: {required: [run]}", None, None),
        ("id: c, when: {capability: io.fs.wite}, inputs: {required: [path]}", "unmatched", "p.yaml:3:32"),
        ("id: c, when: {labels: moon}, inputs: {required: [path]}", "unmatched", "p.yaml:3:19"),
        (
            "id: c, when: {capability: io.fs.write_file}, inputs: {properties: {pth: {maxLength: 3}}}",
            "unknown_input",
            "p.yaml:3:73",
        ),
    ],
)
def test_a_constraint_that_bounds_nothing_is_told(
    constraint: str, kind: str | None, path: str | None
) -> None:
    found = check("version: 1\nconstrain:\n  - {" + constraint + "}\n", "p.yaml", known_capabilities=KNOWN)
    assert [(one.kind, one.rule, one.path) for one in found] == ([(kind, "c", path)] if kind else [])
