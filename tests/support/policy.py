"""How the tests of the gate ask it something."""

from __future__ import annotations

from typing import Any

from assent.policy import PolicyContext, PolicyEngine
from assent.spec.principal import Principal


def context(principal: str = "user:alice", *roles: str, **facts: Any) -> PolicyContext:
    """A question with everything filled in; `facts` say what the test is about."""
    fields: dict[str, Any] = {
        "principal": Principal.parse(principal, roles=frozenset(roles)),
        "capability": "io.fs.write_file",
        "risk_level": "LOW",
        "operation_type": "WRITE",
    }
    return PolicyContext(**fields | facts)


def engine(*rules: dict[str, Any], default: str = "DENY") -> PolicyEngine:
    """A policy of these rules; `id` and `decision: ALLOW` are filled in."""
    numbered = [{"id": f"r{i}", "decision": "ALLOW"} | rule for i, rule in enumerate(rules)]
    return PolicyEngine.from_dict({"version": 1, "default": default, "rules": [*numbered]})
