"""The shape of a policy file: its JSON Schema, which is also the reference of its keys."""

from __future__ import annotations

from assent.errors import Json
from assent.policy._read import CAPABILITY_PATTERN, PATTERN, PRINCIPAL_PATTERN
from assent.spec.capability import OperationType
from assent.spec.decision import PolicyDecision
from assent.spec.ids import LABEL
from assent.spec.policy import CONSTRAINTS_MAX, LIMITS_MAX, POLICY_VERSION, RULES_MAX, Measure, Per
from assent.spec.risk import RiskLevel
from assent.spec.schemas.written import choice, document, flag, key, listed, mapping, one_or_more, part, text
from assent.spec.values.canonical import INTEGER_MAX
from assent.spec.words.sizes import SIZE_PATTERN
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
        "concurrency": key(
            _some(text(PATTERN), "`deploy-prod`, `deploy-*`, or a list"),
            "the concurrency key that a run wants: a rule with it is about keys, and about no call",
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
                "constrain": key(
                    {**listed(part("constraint"), "a list of constraints"), "maxItems": CONSTRAINTS_MAX},
                    "what the inputs of calls must fit, whatever the rules let go: all that are about a call must hold; at most "
                    f"{CONSTRAINTS_MAX}",
                ),
                "limits": key(
                    {**listed(part("limit"), "a list of limits"), "maxItems": LIMITS_MAX},
                    f"how much passes within a time of what the rules let go; at most {LIMITS_MAX}",
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
                "cancels_others": key(
                    flag(),
                    "with `concurrency`: about cancelling runs of others for the key, and not about having it",
                    default=False,
                ),
                "not": key(
                    part("not", "the same keys"), "the rule does not hold when **all** of its keys match"
                ),
            },
        ),
        "not": mapping("", matched) | {"minProperties": 1},
        "approvers": APPROVERS,
        "constraint": mapping(
            "What the inputs of some calls must fit.",
            {
                "id": key(label, "unique among rules, constraints and limits; recorded with each denial"),
                "when": key(part("when"), "which calls it is about; left out: all"),
                "inputs": key(
                    {"title": "a JSON Schema (2020-12)", "type": "object", "minProperties": 1},
                    "what their inputs must fit",
                ),
                "reason": key(text(), "shown and recorded with the denial"),
            },
            "id",
            "inputs",
        ),
        "limit": mapping(
            "So much of one thing within a time: exactly one of `calls`, `bytes_out` and `cost`.",
            {
                "id": key(
                    label,
                    "unique among rules, constraints and limits; recorded with each denial, and what is counted has this name",
                ),
                "when": key(part("when"), "which calls count; left out: all"),
                "per": key(choice(*Per), "who has a count of their own", Per.PRINCIPAL.value),
                "window": key(
                    {"title": "a time, like `1h`", "type": ["string", "number"]},
                    "the length of time; at most 31 days",
                ),
                "calls": key(_amount(), "so many calls"),
                "bytes_out": key(
                    {
                        "title": "a size, like `10MB`",
                        "anyOf": [{"type": "string", "pattern": SIZE_PATTERN}, _amount()],
                    },
                    "so many bytes sent out, by capabilities with the label `sends_external`",
                ),
                "cost": key(_amount(), "so many units of cost"),
                "prices": key(
                    {
                        "title": "units by capability, like `{ net.http.*: 5 }`",
                        "type": "object",
                        "minProperties": 1,
                        "propertyNames": text(CAPABILITY_PATTERN),
                        "additionalProperties": _amount(0),
                    },
                    "what a call costs: 1 where no pattern fits, the most where several do",
                ),
                "reason": key(text(), "shown and recorded with the denial"),
            },
            "id",
            "window",
        )
        | {"oneOf": [{"required": [one]} for one in Measure]},
    }
    return document(f"policy:{POLICY_VERSION}", "Assent policy", "policy", parts)


def _amount(least: int = 1) -> dict[str, Json]:
    return {
        "title": f"a whole number, {least} or more",
        "type": "integer",
        "minimum": least,
        "maximum": INTEGER_MAX,
    }


def _some(item: dict[str, Json], title: str) -> dict[str, Json]:
    # An empty list would match nothing.
    return one_or_more(item, title, least=1)


def _words(kind: type[OperationType]) -> str:
    return ", ".join(f"`{one}`" for one in kind) + ", or a list"


def _any_all(title: str, item: dict[str, Json]) -> dict[str, Json]:
    some = _some(item, "")
    sides = mapping("", {"any": some, "all": some}) | {"minProperties": 1}
    return {"title": title, "anyOf": [some, sides]}
