"""The gate: what is allowed, what is denied, what a person decides. Declared in a file, pure, explainable."""

from __future__ import annotations

from assent.policy._builtin import BUILTIN_POLICY, DEFAULT_POLICY_YAML
from assent.policy._cases import Case, CaseResult, load_cases, run_cases
from assent.policy._check import Finding, check
from assent.policy._context import PolicyContext
from assent.policy._engine import PolicyEngine, Preflight, UnknownInputs
from assent.policy._explain import Nearest, PolicyExplanation, RuleReport
from assent.policy._permissions import require_private

__all__ = [
    "BUILTIN_POLICY",
    "DEFAULT_POLICY_YAML",
    "Case",
    "CaseResult",
    "Finding",
    "Nearest",
    "PolicyContext",
    "PolicyEngine",
    "PolicyExplanation",
    "Preflight",
    "RuleReport",
    "UnknownInputs",
    "check",
    "load_cases",
    "require_private",
    "run_cases",
]
