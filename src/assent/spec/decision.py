"""What the gate answers: ALLOW, DENY or REQUIRE_APPROVAL, by which rule, why, and who may approve."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Final, Self

import msgspec

from assent.errors import Json
from assent.spec.ids import LABEL
from assent.spec.principal import PrincipalKind
from assent.spec.words.durations import DAY_MS
from assent.spec.words.suggestions import did_you_mean

if TYPE_CHECKING:
    from assent.spec.documents.sections import Section


APPROVERS_MAX: Final = 100
"""The highest `count` of approvers."""

EXPIRES_MS_MAX: Final = 366 * DAY_MS
"""The longest `expires`: a year."""

_USERS: Final = ("user",)


class PolicyDecision(StrEnum):
    """The three answers of the gate."""

    ALLOW = "ALLOW"
    DENY = "DENY"
    REQUIRE_APPROVAL = "REQUIRE_APPROVAL"


class Approvers(msgspec.Struct, frozen=True):
    """Who must agree before a step may go on.

    `roles`: any one of them is enough, empty means any; `count` distinct principals; `expires_ms` bounds
    deciding and using, None means never; `kinds` of principals that may decide. `further_roles`: of each of these, too, one is
    needed, which no file says but what `and_also` makes of two questions.
    """

    KEYS: ClassVar = ("roles", "count", "not_requester", "expires", "kinds")

    roles: tuple[str, ...] = ()
    count: int = 1
    not_requester: bool = False
    expires_ms: int | None = None
    kinds: tuple[str, ...] = _USERS
    further_roles: tuple[tuple[str, ...], ...] = ()

    def and_also(self, other: Self) -> Self:
        """Those who may answer two questions at once: whoever agrees is one whom each of them names.

        Where no kind of principal may answer both, only a person does.
        """
        asked = [
            roles for roles in (self.roles, *self.further_roles, other.roles, *other.further_roles) if roles
        ]
        first, *further = dict.fromkeys(asked) or [()]
        times = [one for one in (self.expires_ms, other.expires_ms) if one is not None]
        return type(self)(
            roles=first,
            count=max(self.count, other.count),
            not_requester=self.not_requester or other.not_requester,
            expires_ms=min(times, default=None),
            kinds=tuple(kind for kind in self.kinds if kind in other.kinds) or _USERS,
            further_roles=tuple(further),
        )

    @classmethod
    def read(cls, section: Section | None) -> Self:
        """Those that a policy or a workflow names; the faults go to the section."""
        if section is None:
            return cls()
        section.known_keys(cls.KEYS)
        roles, kinds = section.texts("roles"), section.texts("kinds") or _USERS
        for index, role in enumerate(roles):
            if not LABEL.match(role):
                hint = "letters, digits, spaces and `. _ / : @ + -`"
                section.fault("VALUE_INVALID", f"`{role[:80]}` is not a role", "roles", index, hint=hint)
        for index, kind in enumerate(kinds):
            if kind not in tuple(PrincipalKind):
                near = did_you_mean(kind, tuple(PrincipalKind), otherwise="one of: user, agent, service")
                section.fault(
                    "VALUE_INVALID", f"`{kind}` is not a kind of principal", "kinds", index, hint=near
                )
        return cls(
            roles=roles,
            count=section.whole("count", 1, least=1, most=APPROVERS_MAX),
            not_requester=section.flag("not_requester", default=False),
            expires_ms=section.duration_ms("expires", most_ms=EXPIRES_MS_MAX),
            kinds=kinds,
        )

    def to_json(self) -> dict[str, Json]:
        """The approvers as JSON data, as plans and approvals show them."""
        further: list[Json] = [[*roles] for roles in self.further_roles]
        return {
            "roles": list(self.roles),
            "count": self.count,
            "not_requester": self.not_requester,
            "expires_ms": self.expires_ms,
            "kinds": list(self.kinds),
            # The digest of a policy covers what a file can say, and a file can't say this.
            **({"further_roles": further} if further else {}),
        }


class Tried(msgspec.Struct, frozen=True):
    """One rule that was looked at, what it says, and why it did or did not decide."""

    rule: str
    matched: bool
    because: str
    decision: PolicyDecision


class Decision(msgspec.Struct, frozen=True, gc=False):
    """One answer of the gate, complete enough to be explained and replayed.

    `rule` is the id of the deciding rule, constraint or limit, or `default`, `builtin.low` …; `code` is set on a denial
    (`POLICY_DENIED`, `POLICY_ERROR`, `AGENT_REFUSED`, `INPUTS_NOT_ALLOWED`, `LIMIT_REACHED`); `policy_digest` names the parsed
    policy; `trace` lists the rules tried, in file order. `opens_at_ms`: when a limit that denied has room again, if nobody else
    calls; None where it never has. `allowed`: the schema that inputs had to fit, and `faults` what of them did not, where a
    constraint denied.
    """

    effect: PolicyDecision
    rule: str
    reason: str
    policy_digest: str
    approvers: Approvers | None = None
    code: str | None = None
    trace: Sequence[Tried] = ()
    opens_at_ms: int | None = None
    allowed: dict[str, Json] | None = None
    faults: Sequence[dict[str, Json]] = ()
