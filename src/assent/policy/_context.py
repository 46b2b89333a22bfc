"""The facts that a rule may look at: complete, deeply frozen, the same for every rule."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final, Literal, Self, TypeAlias, TypeVar

import msgspec

from assent.errors import InputError, Json
from assent.spec.capability import CapabilitySpec, OperationType, RiskLevel
from assent.spec.policy import Measure
from assent.spec.principal import Principal
from assent.spec.states import Mode
from assent.spec.values.frozen import freeze
from assent.spec.words.articles import with_article

UnknownInputs: TypeAlias = Collection[str] | Literal["all"]
"""Names of inputs whose values are not known yet; `all` when none is."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOW_MS_MAX: Final = 253_402_300_799_999
"""The last millisecond of the year 9999, where timestamps end."""


_Choice = TypeVar("_Choice", RiskLevel, OperationType, Mode)


def _member(kind: type[_Choice], value: str, what: str) -> _Choice:
    if type(value) is kind:
        return value
    try:
        return kind(value)
    except ValueError:
        names = ", ".join(member.value for member in kind)
        raise InputError(
            "SPEC_INVALID", f"`{value}` is not {with_article(what)}", hint=f"one of: {names}"
        ) from None


class Count(msgspec.Struct, frozen=True, omit_defaults=True):
    """What calls have used of a limit within its window; `opens_at_ms`: where the call in question does not fit, when it will.

    Of what was used, `kept` is for calls that others may lead to, which has no time at which it counts no more; `own` is of calls
    that come with the one in question. `of` is what was counted, where that is on record: the limit may count something else now.
    """

    used: int
    opens_at_ms: int | None = None
    kept: int = 0
    own: int = 0
    of: Measure | None = None


KEY_INPUTS: Final = frozenset({"key", "limit", "on_busy"})
"""The inputs of a question about a concurrency key."""

_NO_COUNTS: Final[Mapping[str, Count]] = MappingProxyType({})


class PolicyContext(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One question to the gate. Every field always has a value; only paths under `inputs` may be absent.

    `capability` is the id without a version. `workflow`, `step` and `environment` are empty, not missing, when there is none;
    `step` is the name in the workflow, of an iteration too. `requester` is who started the run, by default the principal.
    `run_labels` are those of the capabilities whose calls this run has begun before: what it may have read, and where it may
    have sent it. `counts`: what was used of each limit that the question is held against, by id. `concurrency`: the key of a run,
    where the question is whether it may have it, or, with `cancels_others`, cancel runs of others for it; empty for a call.
    Enumerations are accepted as text, `inputs` as any JSON object, of which a frozen copy is kept. Raises `InputError`
    SPEC_INVALID for a level, type, mode or time that does not exist.
    """

    principal: Principal
    capability: str
    risk_level: RiskLevel
    operation_type: OperationType
    version: str = ""
    labels: frozenset[str] = frozenset()
    requires_approval: bool = False
    inputs: Mapping[str, object] = msgspec.field(default_factory=dict)
    workflow: str = ""
    step: str = ""
    environment: str = ""
    run_id: str = ""
    mode: Mode = Mode.WORKFLOW
    requester: Principal | None = None
    run_labels: frozenset[str] = frozenset()
    now_ms: int = 0
    counts: Mapping[str, Count] = _NO_COUNTS
    concurrency: str = ""
    cancels_others: bool = False

    def __post_init__(self) -> None:
        put = msgspec.structs.force_setattr
        # The engine hands over members and frozen sets; whoever writes them as text pays for it, and nobody else.
        if type(self.risk_level) is not RiskLevel:
            put(self, "risk_level", _member(RiskLevel, self.risk_level, "risk level"))
        if type(self.operation_type) is not OperationType:
            put(self, "operation_type", _member(OperationType, self.operation_type, "operation type"))
        if type(self.mode) is not Mode:
            put(self, "mode", _member(Mode, self.mode, "mode of a run"))
        if not 0 <= self.now_ms <= _NOW_MS_MAX:
            raise InputError(
                "SPEC_INVALID", f"`{self.now_ms}` is not a time in milliseconds since 1970", path="now_ms"
            )
        if self.cancels_others and not self.concurrency:
            raise InputError(
                "SPEC_INVALID", "`cancels_others` needs a `concurrency` key", path="cancels_others"
            )
        if type(self.labels) is not frozenset:
            put(self, "labels", frozenset(self.labels))
        if type(self.run_labels) is not frozenset:
            put(self, "run_labels", frozenset(self.run_labels))
        put(self, "inputs", freeze(self.inputs))
        if not self.workflow:
            put(self, "workflow", "")  # programs without types hand over None
        if not self.step:
            put(self, "step", "")
        if not self.environment:
            put(self, "environment", "")
        if self.requester is None:
            put(self, "requester", self.principal)

    @classmethod
    def of(
        cls,
        spec: CapabilitySpec,
        principal: Principal,
        inputs: Mapping[str, Json],
        *,
        risk_level: RiskLevel | None = None,
        workflow: str | None = None,
        step: str | None = None,
        environment: str | None = None,
        run_id: str = "",
        mode: Mode = Mode.WORKFLOW,
        requester: Principal | None = None,
        run_labels: frozenset[str] = frozenset(),
        now_ms: int = 0,
    ) -> Self:
        """The question for one call of a capability; a `risk_level` below the spec's own does not lower it."""
        risk = spec.risk.level
        if risk_level is not None and risk_level.rank > risk.rank:
            risk = risk_level
        return cls(
            principal=principal,
            capability=spec.id,
            version=spec.version,
            operation_type=spec.operation_type,
            risk_level=risk,
            labels=spec.labels,
            requires_approval=spec.risk.requires_approval,
            inputs=inputs,
            workflow=workflow or "",
            step=step or "",
            environment=environment or "",
            run_id=run_id,
            mode=mode,
            requester=requester,
            run_labels=run_labels,
            now_ms=now_ms,
        )

    def told(self, *, with_time: bool) -> dict[str, Json]:
        """What the ledger keeps of the question beside what its entries say. `with_time`: a rule reads `now`."""
        said: dict[str, Json] = {
            "labels": [*sorted(self.labels)],
            "operation_type": self.operation_type.value,
            "requires_approval": self.requires_approval,
            "roles": [*sorted(self.principal.roles)],
            "run_labels": [*sorted(self.run_labels)],
        }
        if self.counts:
            said["limits"] = {name: msgspec.to_builtins(count) for name, count in self.counts.items()}
        return {**said, "now_ms": self.now_ms} if with_time else said

    def facts(self, names: Iterable[str] | None = None) -> dict[str, object]:
        """The variables of an `if`, by name: `principal, capability, risk_level, risk_rank, inputs, run, now`, or those named."""
        return {name: _FACTS[name](self) for name in (_FACTS if names is None else names) if name in _FACTS}


def _principal(context: PolicyContext) -> object:
    principal = context.principal
    return {"type": principal.type.value, "id": principal.id, "roles": principal.roles}


def _capability(context: PolicyContext) -> object:
    return {
        "id": context.capability,
        "version": context.version,
        "operation_type": context.operation_type.value,
        "labels": context.labels,
    }


def _run(context: PolicyContext) -> object:
    return {
        "id": context.run_id,
        "mode": context.mode.value,
        "requester": str(context.requester),
        "workflow": context.workflow,
        "environment": context.environment,
        "labels": context.run_labels,
    }


# One function for each: few policies read more than one or two of them, and all together cost as much as eight comparisons.
_FACTS: Final[Mapping[str, Callable[[PolicyContext], object]]] = {
    "principal": _principal,
    "capability": _capability,
    "risk_level": lambda context: context.risk_level.value,
    "risk_rank": lambda context: context.risk_level.rank,
    "inputs": lambda context: context.inputs,
    "run": _run,
    "now": lambda context: _EPOCH + timedelta(milliseconds=context.now_ms),
}
