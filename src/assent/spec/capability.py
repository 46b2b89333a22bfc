"""CapabilitySpec v3: what a capability does, what it risks and how it is taken back. Inconsistent ones cannot be built.

The three risk rules of the law, checked together so that an author sees every fault at once:

1. `risk.irreversible`: irreversible side effects → HIGH or CRITICAL.
2. `risk.delete`: a DELETE operation → HIGH or CRITICAL.
3. `risk.uncompensated`: irreversible and no compensation → CRITICAL.

`reversible` means that the handler's own `compensate` restores the earlier state exactly. A supported
compensation without it is an act that offsets the effect; the state afterwards is another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from assent.errors import InputError, Json
from assent.spec import risk as risks
from assent.spec.documents.faults import EXPECTED, Fault, Telling, invalid
from assent.spec.ids import CAPABILITY_ID, LABEL, SEMVER, Fingerprint
from assent.spec.schemas.schema import schema_of
from assent.spec.spelled_fields import forget_spelling
from assent.spec.unkept_fields import has_unkept
from assent.spec.values.canonical import fingerprint
from assent.spec.values.frozen import FrozenJson, thaw

OperationType = risks.OperationType
RiskLevel = risks.RiskLevel

Flag = Annotated[bool, Field(strict=True)]
"""`"yes"` and 1 are mistakes, not consent."""


class SpecModel(BaseModel):
    """What users write, parsed at the border: frozen, nothing unknown, nothing coerced from another type."""

    # Built when it is first used: a call needs two of the hundred models that stand beside its own.
    model_config = ConfigDict(
        defer_build=True, frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )


class SideEffects(SpecModel):
    """What the act changes. `scope` names the part of the world (`filesystem`, `network` …)."""

    reversible: Flag
    scope: str = ""
    description: str = ""


class Compensation(SpecModel):
    """How the act is taken back: the handler's own `compensate`, or another capability."""

    supported: Flag = False
    strategy: str | None = None
    capability_id: str | None = None


class Risk(SpecModel):
    """How dangerous the act is, and why."""

    level: RiskLevel
    justification: str = ""
    requires_approval: Flag = False


def _matching(
    pattern: Any, what: str
) -> AfterValidator:  # `Any`: re.Pattern is invariant in its parameter here
    def check(value: str) -> str:
        if not pattern.match(value):
            raise PydanticCustomError(EXPECTED, "must be {expected}", {"expected": what})
        return value

    return AfterValidator(check)


Label = Annotated[str, _matching(LABEL, "a label")]
FLOWS: Final = frozenset({"reads_private", "reads_untrusted", "sends_external"})
"""The labels that say where information flows. A spec may have others, for the rules of whoever writes the policy."""

SPEC_VERSION: Final = 3
"""The version of a spec's JSON."""

Seconds = Annotated[float, Field(strict=True, gt=0, le=31 * 24 * 3600)]


class CapabilitySpec(SpecModel):
    """One version of one capability.

    `parameters` and `returns` are JSON Schema (2020-12); a type with annotations may be given and its schema
    is taken. `timeout` is in seconds. `labels` say what information flows (`reads_private`, `sends_external`
    …).
    """

    id: Annotated[str, _matching(CAPABILITY_ID, "a capability id (dotted, like `io.fs.write_file`)")]
    version: Annotated[str, _matching(SEMVER, "a semantic version (like `1.0.0`)")] = "1.0.0"
    name: str = ""
    description: str = ""
    operation_type: OperationType
    parameters: FrozenJson = Field(default_factory=dict)
    returns: FrozenJson = Field(default_factory=dict)
    side_effects: SideEffects
    compensation: Compensation = Compensation()
    risk: Risk
    idempotent: Flag = False
    timeout: Seconds | None = None
    labels: frozenset[Label] = frozenset()
    sandbox: FrozenJson = Field(default_factory=dict)
    secrets: tuple[Label, ...] = ()

    def __init__(self, **data: Any) -> None:  # `Any`: pydantic validates whatever a caller writes
        for key in ("parameters", "returns"):
            if key in data:
                data[key] = schema_of(data[key])
        try:
            super().__init__(**data)
        except ValidationError as error:
            faults = [*Telling({}, shows_values=True).of_model(error), *_inconsistencies(data)]
            raise invalid("SPEC_INVALID", f"capability `{data.get('id', '?')}` is", faults) from None
        self.require_consistent()
        if self.has_effect and (has_unkept(self.parameters) or has_unkept(self.returns)):
            raise InputError(
                "SPEC_INVALID",
                f"capability `{self.id}` changes something, so that what it takes and gives is kept: recovery and undo need it",
                path="operation_type",
                hint="leave `kept: false` to capabilities that only read",
            )

    def __hash__(self) -> int:
        # The generated one would hash the schemas, which are mappings.
        return hash((self.id, self.version, self.fingerprint))

    def require_consistent(self) -> None:
        """Do nothing, or raise COMPENSATION_INVALID or RISK_INCONSISTENT (every violation at once).

        A constructed spec is consistent. The registry asks again, because pydantic's `model_construct` and
        `model_copy` build objects without asking anybody.
        """
        violations = risk_violations(self)
        unclaimed = self._unclaimed()
        if unclaimed is not None and not violations:
            path, text, hint = unclaimed
            raise InputError("COMPENSATION_INVALID", f"capability `{self.id}` {text}", path=path, hint=hint)
        if violations:
            if unclaimed is not None:
                violations.append((unclaimed[0], f"it {unclaimed[1]}"))
            listed = "; ".join(f"[{rule}] {text}" for rule, text in violations)
            raise InputError(
                "RISK_INCONSISTENT",
                f"Risk Consistency Check Failed for capability `{self.id}` with risk {self.risk.level.value}: {listed}",
                path="risk.level",
                hint="raise the risk, make the effect reversible, or give it a compensation",
                details={"violations": [{"rule": rule, "message": text} for rule, text in violations]},
            )

    def _unclaimed(self) -> tuple[str, str, str] | None:
        """What is wrong with the claimed compensation: where, the fault, the mend."""
        claim = self.compensation
        if claim.supported and not claim.strategy:
            return (
                "compensation.strategy",
                "claims a compensation but names no strategy",
                "say how it is taken back, e.g. `restore_pre_image`",
            )
        if not claim.supported and (claim.strategy or claim.capability_id):
            return (
                "compensation.supported",
                "describes a compensation that it says it does not support",
                "set `supported: true`, or leave out `strategy` and `capability_id`",
            )
        return None

    @cached_property
    def reference(self) -> str:
        """`id@version`."""
        return f"{self.id}@{self.version}"

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """SHA-256 of the canonical spec: the same on every machine, whatever the order its fields were written in.

        INVARIANT: what only says where paths and URLs stand is no part of it: a call which began before it was said goes on.
        """
        data = self.to_json()
        forget_spelling(data["parameters"])
        forget_spelling(data["returns"])
        return fingerprint(data)

    @property
    def needs_approval(self) -> bool:
        """`requires_approval` acts like HIGH, and HIGH always asks."""
        return self.risk.requires_approval or self.risk.level.rank >= RiskLevel.HIGH.rank

    @property
    def has_effect(self) -> bool:
        """Whether anything may have to be taken back after this act."""
        return self.operation_type is not OperationType.READ

    def to_json(self) -> dict[str, Json]:
        """The spec as plain JSON data, sets sorted: what the fingerprint covers and `capability show --json` prints."""
        data = self.model_dump(mode="json", exclude={"parameters", "returns", "sandbox", "labels"})
        data["parameters"] = thaw(self.parameters)
        data["returns"] = thaw(self.returns)
        data["sandbox"] = thaw(self.sandbox)
        data["labels"] = sorted(self.labels)
        data["spec_version"] = SPEC_VERSION
        return data

    @classmethod
    def from_json(cls, data: dict[str, Json], known: Fingerprint | None = None) -> Self:
        """The spec that `to_json` wrote; SPEC_INVALID for what is none.

        `known` is its fingerprint where that is proved: it is then not computed again.
        """
        if (version := data.get("spec_version", SPEC_VERSION)) != SPEC_VERSION or isinstance(
            version, bool | float
        ):
            message = f"capability `{data.get('id', '?')}` is written in version `{version}` of the format"
            raise InputError(
                "SPEC_INVALID",
                message,
                path="spec_version",
                hint=f"this release reads version {SPEC_VERSION}",
            )
        fields = {key: value for key, value in data.items() if key != "spec_version"}
        spec = cls(**fields)
        if known is not None:
            spec.__dict__["fingerprint"] = known
        return spec


_OF_RISK: Final = ("operation_type", "side_effects", "compensation", "risk")
_PROBE: Final = "of.other_faults"


def risk_violations(spec: CapabilitySpec) -> list[tuple[str, str]]:
    """Every risk rule that the spec breaks, as (rule id, sentence); empty for a consistent spec."""
    dangerous = spec.risk.level.rank >= RiskLevel.HIGH.rank
    irreversible = not spec.side_effects.reversible
    found: list[tuple[str, str]] = []
    if irreversible and not dangerous:
        found.append(("risk.irreversible", "irreversible side effects need risk HIGH or CRITICAL"))
    if spec.operation_type is OperationType.DELETE and not dangerous:
        found.append(("risk.delete", "DELETE operations need risk HIGH or CRITICAL"))
    if irreversible and not spec.compensation.supported and spec.risk.level is not RiskLevel.CRITICAL:
        found.append(
            ("risk.uncompensated", "irreversible side effects without a compensation need risk CRITICAL")
        )
    return found


def _inconsistencies(data: Mapping[str, Any]) -> Iterator[Fault]:  # `Any`: as above
    """What is inconsistent in a spec that has other faults too, where what this depends on has none."""
    asked = {key: data[key] for key in _OF_RISK if key in data}
    if data.get("id") != _PROBE:
        try:
            CapabilitySpec(id=_PROBE, **asked)
        except InputError as error:
            if error.code != "SPEC_INVALID":
                message = error.message.replace(_PROBE, str(data.get("id", "?")))
                yield {"path": [*str(error.path).split(".")], "message": message}


def create_read_capability(
    id: str | None = None,  # noqa: A002  # the spec's own field name
    description: str = "",
    *,
    capability_id: str | None = None,
    **fields: Any,
) -> CapabilitySpec:
    """A READ capability: LOW risk, nothing to take back. `fields` may set anything else of the spec.

    `capability_id` is another word for `id`, as what refers to a capability has it.
    """
    return _create(
        id,
        capability_id,
        description,
        fields,
        operation_type=OperationType.READ,
        side_effects=SideEffects(reversible=True, scope="none"),
        risk=Risk(level=RiskLevel.LOW, justification="reads only"),
        idempotent=True,
    )


def create_write_capability(
    id: str | None = None,  # noqa: A002  # the spec's own field name
    description: str = "",
    *,
    capability_id: str | None = None,
    reversible: bool = True,
    strategy: str = "restore_pre_image",
    **fields: Any,
) -> CapabilitySpec:
    """A WRITE capability with a compensation: MEDIUM risk when it restores the earlier state exactly, HIGH otherwise."""
    return _create(
        id,
        capability_id,
        description,
        fields,
        operation_type=OperationType.WRITE,
        side_effects=SideEffects(reversible=reversible),
        compensation=Compensation(supported=True, strategy=strategy),
        risk=Risk(level=RiskLevel.MEDIUM if reversible else RiskLevel.HIGH),
    )


def create_delete_capability(
    id: str | None = None,  # noqa: A002  # the spec's own field name
    description: str = "",
    *,
    capability_id: str | None = None,
    reversible: bool = False,
    strategy: str = "recreate",
    **fields: Any,
) -> CapabilitySpec:
    """A DELETE capability: HIGH risk and approval either way; irreversible unless a restoring `compensate` is claimed."""
    return _create(
        id,
        capability_id,
        description,
        fields,
        operation_type=OperationType.DELETE,
        side_effects=SideEffects(reversible=reversible),
        compensation=Compensation(supported=True, strategy=strategy),
        risk=Risk(level=RiskLevel.HIGH, requires_approval=True),
    )


def _create(
    id: str | None,  # noqa: A002  # as above
    capability_id: str | None,
    description: str,
    fields: dict[str, Any],
    **defaults: Any,
) -> CapabilitySpec:
    if (id is None) == (capability_id is None):
        raise InputError(
            "SPEC_INVALID",
            "a capability has one id: say `id` or `capability_id`",
            path="id",
            hint="a dotted name, like `io.fs.write_file`",
        )
    return CapabilitySpec(**{"id": id or capability_id, "description": description, **defaults, **fields})
