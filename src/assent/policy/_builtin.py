"""The policy that holds when nobody wrote one, and the same as a file to start from."""

from __future__ import annotations

from typing import Final

from assent.spec.capability import RiskLevel
from assent.spec.decision import Approvers, PolicyDecision
from assent.spec.policy import BUILTIN_PREFIX, Match, Policy, Rule


def builtin_approvers(risk: RiskLevel) -> Approvers:
    """Who may approve where a rule does not say: any user, and for CRITICAL not the one who asks."""
    return Approvers(not_requester=risk is RiskLevel.CRITICAL)


def _rule(risk: RiskLevel, decision: PolicyDecision, reason: str) -> Rule:
    return Rule(
        id=BUILTIN_PREFIX + risk.value.lower(),
        decision=decision,
        when=Match(risk_levels=frozenset({risk})),
        reason=reason,
        approvers=None if decision is PolicyDecision.ALLOW else builtin_approvers(risk),
    )


BUILTIN_POLICY: Final = Policy(
    rules=(
        _rule(RiskLevel.LOW, PolicyDecision.ALLOW, "low risk"),
        _rule(RiskLevel.MEDIUM, PolicyDecision.ALLOW, "medium risk, and it can be undone"),
        _rule(RiskLevel.HIGH, PolicyDecision.REQUIRE_APPROVAL, "high risk needs a person's approval"),
        _rule(
            RiskLevel.CRITICAL,
            PolicyDecision.REQUIRE_APPROVAL,
            "critical risk needs the approval of somebody other than the requester",
        ),
    )
)
"""The built-in policy: LOW and MEDIUM allowed, HIGH asks, CRITICAL asks somebody else, everything else denied."""

DEFAULT_POLICY_YAML: Final = """\
# What Assent may do here. The first rule that holds decides; what no rule decides is denied.
#
#   assent policy check policy.yaml             mistakes, and rules that can never decide
#   assent policy explain io.fs.delete path=x   which rule decides, and why no earlier one did
#   assent policy test policy.cases.yaml        your own cases: given -> expected decision
version: 1
default: DENY

rules:
  # Looking does no harm.
  - id: low
    when: { risk_level: LOW }
    decision: ALLOW
    reason: low risk

  # Medium risk means that the change can be taken back, exactly.
  - id: medium
    when: { risk_level: MEDIUM }
    decision: ALLOW
    reason: medium risk, and it can be undone

  # A person decides. An ALLOW here would still ask, unless it said `without_approval: true` and why.
  - id: high
    when: { risk_level: HIGH }
    decision: REQUIRE_APPROVAL
    reason: high risk needs a person's approval
    # approvers: { roles: [operator], count: 1, not_requester: false, expires: 8h, kinds: [user] }

  # Nobody approves their own critical action.
  - id: critical
    when: { risk_level: CRITICAL }
    decision: REQUIRE_APPROVAL
    reason: critical risk needs the approval of somebody other than the requester
    approvers: { not_requester: true }

  # More that a rule can say, to copy above the rules that it should come before:
  #
  # - id: agents-keep-out-of-releases
  #   when:
  #     principal: "agent:*"              # exact, or with `*`; a list for several
  #     capability: [io.fs.write_*, io.fs.delete]
  #     workflow: release-*
  #     not: { environment: staging }
  #   decision: DENY
  #   reason: releases are made by people
  #
  # - id: private-data-stays              # an address can carry data out, and asking for one is MEDIUM
  #   when: { labels: [sends_external] }
  #   if: '"reads_private" in run.labels'   # what this run, or this agent's session, has called before
  #   decision: REQUIRE_APPROVAL
  #   reason: this run has read private data
  #
  # - id: patches-that-may-delete
  #   when: { capability: io.fs.patch }
  #   if: inputs.deletions                  # what the caller did not rule out with `deletions: false`
  #   decision: REQUIRE_APPROVAL
  #   reason: a diff may delete files
  #
  # - id: large-writes
  #   when: { capability: io.fs.write_file, risk_level: { at_least: MEDIUM } }
  #   if: size(inputs.content) > 1000000   # CEL over principal, capability, risk_level, risk_rank, inputs, run, now
  #   decision: REQUIRE_APPROVAL
  #   reason: large files are looked at first
  #   approvers: { roles: [operator], expires: 1h }
"""
"""The commented `policy.yaml` that `assent init` writes; it decides as the built-in policy does."""
