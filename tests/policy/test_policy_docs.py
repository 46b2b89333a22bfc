"""The policy reference is executed: its policies load, its cases pass, its refusals are refused for the reason given."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from assent.capabilities import builtin_catalog
from assent.errors import InputError
from assent.policy import DEFAULT_POLICY_YAML, PolicyEngine, check, load_cases, run_cases
from assent.policy._conditions import VARIABLES
from assent.policy._read import CONSTRAINT_KEYS, LIMIT_KEYS, MATCH_KEYS, RULE_KEYS, TOP_KEYS
from assent.spec.capability import OperationType, RiskLevel
from assent.spec.decision import Approvers
from assent.spec.language.expression import FUNCTIONS
from assent.spec.language.syntax import MACROS
from tests.support.policy import context

PAGE = (Path(__file__).parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml (\w+)\n(.*?)```", PAGE, re.DOTALL)
POLICIES = [text for kind, text in BLOCKS if kind == "policy"]
CASES = [text for kind, text in BLOCKS if kind == "cases"]
REFUSED = [text for kind, text in BLOCKS if kind == "refused"]

BUILT_IN = {spec.id: spec for spec, _ in builtin_catalog()}


def test_the_page_has_examples_of_each_kind() -> None:
    assert [kind for kind, _ in BLOCKS if kind != "refused"] == ["policy", "cases"] * 11
    assert len(REFUSED) == 3


@pytest.mark.parametrize(("policy", "cases"), list(zip(POLICIES, CASES, strict=True)))
def test_cases_of_the_page_pass(policy: str, cases: str) -> None:
    assert check(policy) == []
    results = run_cases(PolicyEngine.load(policy), load_cases(cases, capabilities=BUILT_IN))
    assert [result.fault for result in results] == [None] * len(results)


@pytest.mark.parametrize("text", REFUSED)
def test_refusals_of_the_page_are_refused_as_it_says(text: str) -> None:
    expected = text.splitlines()[-1].removeprefix("# ")
    with pytest.raises(InputError) as caught:
        PolicyEngine.load(text)
    assert caught.value.message == expected


def test_the_page_names_every_key_variable_and_function() -> None:
    words = set(re.findall(r"[A-Za-z_]+", PAGE))
    getters = {name for name in FUNCTIONS if name.startswith("get")}
    assert {
        *TOP_KEYS,
        *RULE_KEYS,
        *CONSTRAINT_KEYS,
        *LIMIT_KEYS,
        *MATCH_KEYS,
        *Approvers.KEYS,
        *VARIABLES,
    } <= words
    assert (FUNCTIONS - getters) | MACROS <= words
    assert {*RiskLevel, *OperationType} <= words


@pytest.mark.parametrize("risk", RiskLevel)
@pytest.mark.parametrize("operation", OperationType)
@pytest.mark.parametrize("required", [True, False])
def test_the_file_that_init_writes_decides_as_the_builtin_policy(
    risk: RiskLevel, operation: OperationType, required: bool
) -> None:
    written, builtin = PolicyEngine.load(DEFAULT_POLICY_YAML), PolicyEngine.builtin()
    for principal in ("user:alice", "agent:bot", "service:ci"):
        asked = context(principal, risk_level=risk, operation_type=operation, requires_approval=required)
        one, other = written.decide(asked), builtin.decide(asked)
        assert (one.effect, one.reason, one.approvers) == (other.effect, other.reason, other.approvers)
        assert other.rule == f"builtin.{one.rule}"


def test_the_commented_rules_of_that_file_are_rules() -> None:
    """Somebody will take the `#` away: what stands there must load."""
    head, _, more = DEFAULT_POLICY_YAML.partition("  # More that a rule can say")
    lines = more.splitlines()[2:]
    uncommented = "\n".join(
        line.replace("  # ", "  ", 1) if line.startswith("  # ") else "" for line in lines
    )
    policy = PolicyEngine.load(f"{head}\n{uncommented}\n").policy
    assert [rule.id for rule in policy.rules][-4:] == [
        "agents-keep-out-of-releases",
        "private-data-stays",
        "patches-that-may-delete",
        "large-writes",
    ]
