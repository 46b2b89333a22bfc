"""The gate: what is allowed, what is denied, what a person decides. Declared in a file, pure, explainable."""

from __future__ import annotations

from assent.policy._builtin import BUILTIN_POLICY, DEFAULT_POLICY_YAML
from assent.policy._context import PolicyContext
from assent.policy._engine import PolicyEngine, Preflight, UnknownInputs
from assent.policy._explain import Nearest, PolicyExplanation, RuleReport

__all__ = [
    "BUILTIN_POLICY",
    "DEFAULT_POLICY_YAML",
    "Nearest",
    "PolicyContext",
    "PolicyEngine",
    "PolicyExplanation",
    "Preflight",
    "RuleReport",
    "UnknownInputs",
]
