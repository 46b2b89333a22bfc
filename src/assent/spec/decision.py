"""What the gate answers: ALLOW, DENY or REQUIRE_APPROVAL, by which rule, why, and who may approve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from assent.errors import Json


class PolicyDecision(StrEnum):
    """The three answers of the gate."""

    ALLOW = "ALLOW"
    DENY = "DENY"
    REQUIRE_APPROVAL = "REQUIRE_APPROVAL"


@dataclass(frozen=True, slots=True)
class Approvers:
    """Who must agree before a step may go on.

    `roles`: any one of them is enough, empty means any; `count` distinct principals; `expires_ms` bounds
    deciding and using, None means never; `kinds` of principals that may decide.
    """

    roles: tuple[str, ...] = ()
    count: int = 1
    not_requester: bool = False
    expires_ms: int | None = None
    kinds: tuple[str, ...] = ("user",)

    def to_json(self) -> dict[str, Json]:
        """The approvers as JSON data, as plans and approvals show them."""
        return {
            "roles": list(self.roles),
            "count": self.count,
            "not_requester": self.not_requester,
            "expires_ms": self.expires_ms,
            "kinds": list(self.kinds),
        }


@dataclass(frozen=True, slots=True)
class Tried:
    """One rule that was looked at, and why it did or did not decide."""

    rule: str
    matched: bool
    because: str


class Decision(msgspec.Struct, frozen=True, gc=False):
    """One answer of the gate, complete enough to be explained and replayed.

    `rule` is the id of the deciding rule, or `default`, `builtin.low` …; `code` is set on a denial
    (`POLICY_DENIED`, `POLICY_ERROR`); `policy_digest` names the parsed policy; `trace` lists the rules tried,
    in file order.
    """

    effect: PolicyDecision
    rule: str
    reason: str
    policy_digest: str
    approvers: Approvers | None = None
    code: str | None = None
    trace: Sequence[Tried] = ()

    @property
    def is_allowed(self) -> bool:
        """The call may go on without asking anybody."""
        return self.effect is PolicyDecision.ALLOW
