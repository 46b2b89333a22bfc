"""The events of the gate beside its calls: which policy held, what a plan read, what a call may lead to, who was refused."""

import msgspec

from assent.spec.events._event import Act, Event, OfAttempt
from assent.spec.ids import Commitment, Fingerprint, PlanId, RunId, StepKey


class Counted(msgspec.Struct, frozen=True, gc=False):
    """What a call takes of a limit of the policy: `amount` of what is measured `of` it (`calls`, `bytes_out`, `cost`)."""

    limit: str
    of: str
    amount: int


class KeyAnswer(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What the gate answered to a run that wants a concurrency key: whether it may have it.

    `cancels_others`: whether it may cancel the runs of other principals for it; asked only where its workflow would.
    """

    decision: str
    rule: str
    code: str | None = None
    cancels_others: bool = False


class PolicyRecorded(Event, frozen=True, kw_only=True, tag="policy.recorded"):
    """A policy holds from now on, with these roles, limits and net rules; kept once for each pair of them.

    `document` binds the parsed policy as canonical JSON, whose SHA-256 is `digest`: the `policy` that other events name.
    `circumstances` binds roles, limits and net rules, whose SHA-256 is `circumstances_digest`. Neither is a run's payload:
    erasing runs leaves both.
    """

    digest: str
    document: Commitment
    circumstances_digest: str
    circumstances: Commitment


class PlanRead(Act, frozen=True, kw_only=True, tag="plan.read"):
    """A plan really ran a built-in read, because the gate said ALLOW; it counts for labels and limits as a call does.

    `output` is missing where it failed, with `code`. `counted`: what it takes of limits.
    """

    plan: PlanId
    step: StepKey
    by: str
    capability: str
    version: str
    fingerprint: Fingerprint
    risk: str
    decision: str
    rule: str
    policy: str
    inputs: Commitment
    output: Commitment | None = None
    code: str | None = None
    counted: tuple[Counted, ...] = ()


class ConsequenceDecided(OfAttempt, frozen=True, kw_only=True, tag="consequence.decided"):
    """The gate was asked about something that a step's call may lead to, when the call was admitted.

    `role` says what: `compensation`, `request` (a compensating request) or `webhook`. `unknown` names the inputs that nobody
    knows yet and that the answer depends on; with one, the step asks a person, and `rules` are all that would ask one. Stands
    before the `step.started`, `approval.requested` or `step.denied` to which it belongs. `counted`: what is kept of limits for it
    from that `step.started` on, until it is done or can't come any more.
    """

    role: str
    capability: str
    version: str
    fingerprint: Fingerprint
    risk: str
    decision: str
    rule: str
    policy: str
    inputs: Commitment
    unknown: tuple[str, ...] = ()
    context: Commitment | None = None
    rules: tuple[str, ...] = ()
    counted: tuple[Counted, ...] = ()


class ConsequenceChecked(OfAttempt, frozen=True, kw_only=True, tag="consequence.checked"):
    """The real inputs of such a thing were put to the same policy, right before it; with `code` it is not done.

    `prepared` binds what its `prepare` captured: what a call that takes a step back goes on from after a crash. `counted`: what
    it takes of limits, none of which holds it up.
    """

    role: str
    capability: str = ""
    version: str = ""
    decision: str
    rule: str
    policy: str
    inputs: Commitment
    prepared: Commitment | None = None
    code: str | None = None
    counted: tuple[Counted, ...] = ()


class ApprovalRefused(Act, frozen=True, kw_only=True, tag="approval.refused"):
    """Attempts to decide a question of the run `source` were refused: `count` for the reason `code` since `since_ms`.

    At most one entry a minute for each asker and reason, so that nobody can fill the ledger.
    """

    source: RunId
    step: StepKey | None = None
    by: str
    code: str
    count: int
    since_ms: int


class IdentityRefused(Event, frozen=True, kw_only=True, tag="identity.refused"):
    """A door let somebody not in: `count` times for the reason `code` since `since_ms`, counted as in `approval.refused`.

    `peer` is where it came from, as the door knows it (a user id, an address), or `others` past the limit of those told apart.
    """

    door: str
    peer: str
    code: str
    count: int
    since_ms: int


class KeyCreated(Act, frozen=True, kw_only=True, tag="key.created"):
    """A key was made with which a program may act as `principal` through a door, within `scopes`. `act`: the run that did it."""

    key: str
    principal: str
    scopes: tuple[str, ...] = ()
    expires_at_ms: int | None = None
    by: str
    act: RunId


class KeyRevoked(Act, frozen=True, kw_only=True, tag="key.revoked"):
    """A key opens nothing any more."""

    key: str
    by: str
    act: RunId
