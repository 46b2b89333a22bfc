"""The shape of a policy file: its JSON Schema, which is also the reference of its keys."""

from __future__ import annotations

from assent.errors import Json
from assent.policy._read import CAPABILITY_PATTERN, PATTERN, PRINCIPAL_PATTERN
from assent.spec.capability import OperationType
from assent.spec.decision import PolicyDecision
from assent.spec.ids import LABEL
from assent.spec.policy import POLICY_VERSION, RULES_MAX
from assent.spec.risk import RiskLevel
from assent.spec.schemas.written import choice, document, flag, key, listed, mapping, one_or_more, part, text
from assent.spec.workflow.schema import APPROVERS


def policy_schema() -> dict[str, Json]:
    """The JSON Schema (2020-12) of a policy file."""
    label = text(LABEL)
    levels = choice(*RiskLevel)
    matched = {
        "principal": key(
            _some(text(PRINCIPAL_PATTERN), "`user:alice`, `agent:*`, `*`, or a list"), "who acts"
        ),
        "roles": key(
            _any_all("`ops`, `[ops, dev]` (any of them), `{ any: […], all: […] }`", label),
            "the principal's roles",
        ),
        "capability": key(
            _some(text(CAPABILITY_PATTERN), "`io.fs.delete`, `io.fs.*`, `*.write_*`, or a list"),
            "the capability's id",
        ),
        "operation_type": key(_some(choice(*OperationType), _words(OperationType)), "what kind of act"),
        "risk_level": key(
            {
                "title": "`HIGH`, `[HIGH, CRITICAL]`, `{ at_least: HIGH }`",
                "anyOf": [
                    levels,
                    {"type": "array", "minItems": 1, "items": levels},
                    mapping("", {"at_least": levels}, "at_least"),
                ],
            },
            "the effective risk",
        ),
        "labels": key(_any_all("as `roles`", label), "the capability's labels"),
        "workflow": key(
            _some(text(PATTERN), "`release`, `release-*`, or a list"),
            "the workflow's name, empty for a single call",
        ),
        "step": key(
            _some(text(PATTERN), "`deploy`, `deploy_*`, or a list"),
            "the step's name: for an iteration that of its `foreach`, `call` for a single call, empty for an undo",
        ),
        "environment": key(
            _some(text(PATTERN), "`production`, or a list"),
            "the configured environment, empty when there is none",
        ),
    }
    parts: dict[str, Json] = {
        "policy": mapping(
            "The file.",
            {
                "version": key(
                    {"const": POLICY_VERSION, "title": f"`{POLICY_VERSION}`"}, "the version of the format"
                ),
                "default": key(
                    choice(*PolicyDecision), "the answer when no rule holds", PolicyDecision.DENY.value
                ),
                "rules": key(
                    {**listed(part("rule"), "a list of rules"), "maxItems": RULES_MAX},
                    f"the rules, in the order in which they are tried; at most {RULES_MAX}",
                ),
            },
            "version",
        ),
        "rule": mapping(
            "One rule.",
            {
                "id": key(label, "unique; recorded with each decision"),
                "when": key(part("when"), "what the call must look like; left out: any call"),
                "if": key(
                    {"title": "an expression in CEL", "type": ["string", "boolean"]},
                    "must be true for the rule to hold",
                ),
                "decision": key(choice(*PolicyDecision), "the answer"),
                "reason": key(text(), "shown and recorded with the decision"),
                "approvers": key(part("approvers"), "who may approve, when somebody must"),
                "without_approval": key(
                    flag(), "lets an `ALLOW` stand at HIGH and CRITICAL; needs a `reason`", default=False
                ),
            },
            "id",
            "decision",
        ),
        "when": mapping(
            "What a call must look like. Every key that is given must match; of a list, one must.",
            {
                **matched,
                "not": key(
                    part("not", "the same keys"), "the rule does not hold when **all** of its keys match"
                ),
            },
        ),
        "not": mapping("", matched) | {"minProperties": 1},
        "approvers": APPROVERS,
    }
    return document(f"policy:{POLICY_VERSION}", "Assent policy", "policy", parts)


def _some(item: dict[str, Json], title: str) -> dict[str, Json]:
    # An empty list would match nothing.
    return one_or_more(item, title, least=1)


def _words(kind: type[OperationType]) -> str:
    return ", ".join(f"`{one}`" for one in kind) + ", or a list"


def _any_all(title: str, item: dict[str, Json]) -> dict[str, Json]:
    some = _some(item, "")
    sides = mapping("", {"any": some, "all": some}) | {"minProperties": 1}
    return {"title": title, "anyOf": [some, sides]}
