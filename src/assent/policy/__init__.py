"""The gate: what is allowed, what is denied, what a person decides. Declared in a file, pure, explainable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.policy._builtin import BUILTIN_POLICY, DEFAULT_POLICY_YAML
    from assent.policy._cases import Case, CaseResult, load_cases, run_cases
    from assent.policy._check import Finding, check
    from assent.policy._context import PolicyContext
    from assent.policy._engine import PolicyEngine, Preflight, UnknownInputs
    from assent.policy._explain import Nearest, PolicyExplanation, RuleReport
    from assent.policy._permissions import require_private

_HOMES = {
    "BUILTIN_POLICY": "._builtin",
    "Case": "._cases",
    "CaseResult": "._cases",
    "DEFAULT_POLICY_YAML": "._builtin",
    "Finding": "._check",
    "Nearest": "._explain",
    "PolicyContext": "._context",
    "PolicyEngine": "._engine",
    "PolicyExplanation": "._explain",
    "Preflight": "._engine",
    "RuleReport": "._explain",
    "UnknownInputs": "._engine",
    "check": "._check",
    "load_cases": "._cases",
    "require_private": "._permissions",
    "run_cases": "._cases",
}

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

__getattr__, __dir__ = resolved_when_asked(__name__, _HOMES)
