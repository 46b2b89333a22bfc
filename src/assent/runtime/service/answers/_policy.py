"""Answers about the policy: why it decided, what another one would decide, and what is wrong with one."""

from __future__ import annotations

from assent.runtime.service.answers._base import Answer, Json
from assent.runtime.service.answers._plans import PlanApprovers


class RuleReport(Answer, frozen=True, kw_only=True):
    """One rule of the policy: whether it holds, and why it was passed over."""

    rule: str
    decision: str
    holds: bool | None
    reached: bool
    because: str


class LimitReport(Answer, frozen=True, kw_only=True):
    """A limit that the call is held against: what calls have `used` of `most`, and what this one takes.

    `of` is what it measures: `calls`, `bytes_out` or `cost`. `opens_at_ms`: when the call will fit, where it does not now.
    """

    limit: str
    of: str
    used: int
    takes: int
    most: int
    opens_at_ms: int | None


class ConstraintReport(Answer, frozen=True, kw_only=True):
    """A constraint that is about the call: whether its inputs fit, and what of them does not."""

    constraint: str
    holds: bool
    because: str


class LimitUsed(Answer, frozen=True, kw_only=True):
    """What calls had used of a limit when the gate was asked, and when the call would have fitted, where it did not.

    Of what was used, `kept` was for calls that others might lead to, and `own` is of calls that come with this one.
    """

    used: int
    opens_at_ms: int | None = None
    kept: int = 0
    own: int = 0


class NearestRule(Answer, frozen=True, kw_only=True):
    """The rule before the deciding one that would have given another answer, had `missing` held."""

    rule: str
    effect: str
    missing: list[str]


class Explained(Answer, frozen=True, kw_only=True):
    """A decision with the whole policy around it. `allowed`: the schema that the inputs had to fit, where a constraint denied."""

    principal: str
    capability: str
    risk_level: str
    decision: str
    rule: str
    reason: str
    code: str | None
    approvers: PlanApprovers | None
    opens_at_ms: int | None
    policy_digest: str
    rules: list[RuleReport]
    limits: list[LimitReport]
    nearest: NearestRule | None
    constraints: list[ConstraintReport] = []
    allowed: dict[str, Json] | None = None
    complete: bool
    """The parameters are those of a whole call; without all of them a rule that reads one may answer otherwise."""


class Asked(Answer, frozen=True, kw_only=True):
    """What the gate was asked with beside the call itself."""

    roles: list[str]
    operation_type: str
    requires_approval: bool
    labels: list[str]
    run_labels: list[str]
    workflow: str
    environment: str
    mode: str
    now_ms: int
    limits: dict[str, LimitUsed] = {}
    """By the id of each limit that the call was held against."""


class DecisionExplained(Answer, frozen=True, kw_only=True):
    """One recorded answer of the gate, and the rules of its policy.

    `missing` where it can't be explained: `context_not_kept` and `policy_not_kept` (an earlier Assent wrote it), `erased`,
    `consequence` (it was given for what the call may lead to, whose own entry has the kind `consequence.decided`), and
    `unknown_inputs` (it depended on inputs that nobody knew yet).
    `agrees`: the policy answers the same to the same question.
    """

    seq: int
    at_ms: int
    step: str
    kind: str
    capability: str
    version: str
    risk_level: str
    principal: str
    decision: str
    rule: str
    code: str | None
    policy: str
    asked: Asked | None
    missing: str | None
    agrees: bool | None
    explained: Explained | None


class DecisionsExplained(Answer, frozen=True, kw_only=True):
    """What the gate was asked about a run, oldest first."""

    run_id: str
    decisions: list[DecisionExplained]


class SimulatedCall(Answer, frozen=True, kw_only=True):
    """A recorded call that would be decided otherwise."""

    run_id: str
    step: str
    capability: str
    principal: str
    at_ms: int


class Change(Answer, rename={"was": "from", "was_rule": "from_rule"}, frozen=True, kw_only=True):
    """So many calls would be decided otherwise, in the same way; some of them as `examples`."""

    was: str
    was_rule: str
    to: str
    to_rule: str
    count: int
    examples: list[SimulatedCall]


class Simulated(Answer, frozen=True, kw_only=True):
    """What a policy would have answered: `changes`, the most frequent first. `unknown`: calls that could not be asked, by why."""

    path: str
    digest: str
    rules: int
    calls: int
    changed: int
    unknown: dict[str, int]
    changes: list[Change]


class AlwaysApproved(Answer, frozen=True, kw_only=True):
    """Calls that people always approved, so many times."""

    capability: str
    principal: str
    risk_level: str
    approved: int


class SuggestedRule(AlwaysApproved, frozen=True, kw_only=True):
    """The same with a rule that would allow them; put first, it would decide so many of the recorded calls otherwise."""

    rule: dict[str, Json]
    changed: int
    calls: int


class Suggested(Answer, frozen=True, kw_only=True):
    """What could be allowed. `left_out`: what was always approved and is CRITICAL, which a person is to look at each time."""

    rules: list[SuggestedRule]
    left_out: list[AlwaysApproved]


class Finding(Answer, frozen=True, kw_only=True):
    """A mistake in a policy, or a rule that can never decide."""

    severity: str
    kind: str
    message: str
    path: str | None
    rule: str | None
    hint: str | None
    length: int = 1
    """Characters of the line at `path` that it is about."""


class PolicyChecked(Answer, frozen=True, kw_only=True):
    """What was found in a policy; `ok` where it can be used, which then has so many `rules`, `constraints` and `limits`."""

    path: str
    ok: bool
    rules: int | None
    constraints: int | None = None
    limits: int | None = None
    findings: list[Finding]


class CaseResult(Answer, frozen=True, kw_only=True):
    """What the policy answered to one case."""

    name: str
    passed: bool
    path: str
    expect: str
    decision: str
    rule: str
    reason: str
    fault: str | None


class PolicyTested(Answer, frozen=True, kw_only=True):
    """What the policy answered to the cases of a file; `ok` where each is as expected."""

    path: str
    ok: bool
    cases: list[CaseResult]


class PolicyInForce(Answer, frozen=True, kw_only=True):
    """The policy that decides: where it stands (None: built in), how many rules it has, and what names it."""

    path: str | None
    rules: int
    digest: str
