"""The gate: what is allowed, what is denied, what a person decides. Declared in a file, pure, explainable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.policy._builtin import BUILTIN_POLICY, DEFAULT_POLICY_YAML, builtin_approvers
    from assent.policy._cases import Case, CaseResult, load_cases, run_cases
    from assent.policy._check import Finding, check
    from assent.policy._context import Count, PolicyContext, UnknownInputs
    from assent.policy._engine import PolicyEngine, Possible
    from assent.policy._explain import Nearest, PolicyExplanation, RuleReport
    from assent.policy._limits import amount_of, amount_text, is_past, used_text
    from assent.policy._permissions import require_private
    from assent.policy._schema import policy_schema

_HOMES = {
    "._builtin": "BUILTIN_POLICY DEFAULT_POLICY_YAML builtin_approvers",
    "._cases": "Case CaseResult load_cases run_cases",
    "._check": "Finding check",
    "._context": "Count PolicyContext UnknownInputs",
    "._engine": "PolicyEngine Possible",
    "._explain": "Nearest PolicyExplanation RuleReport",
    "._limits": "amount_of amount_text is_past used_text",
    "._permissions": "require_private",
    "._schema": "policy_schema",
}

__getattr__, __dir__ = resolved_when_asked(__name__, _HOMES)
