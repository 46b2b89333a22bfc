"""What differs between two versions of a capability: in what it takes, in what it gives, and in what it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from assent.errors import Json
from assent.spec.values.canonical import canonical_json
from assent.spec.values.frozen import thaw
from assent.versions.schema_diff import Change, ChangeKind, diff_schemas

if TYPE_CHECKING:
    from assent.spec.capability import CapabilitySpec

_SHOWN_MAX: Final = 80


@dataclass(frozen=True, slots=True)
class VersionDiff:
    """The changes from one version of a capability to another; `changes` is empty when they are the same but for their names."""

    capability: str
    old: str
    new: str
    changes: tuple[Change, ...]

    @property
    def breaking(self) -> tuple[Change, ...]:
        """The changes that break a caller of the older version."""
        return tuple(change for change in self.changes if change.is_breaking)

    @property
    def is_breaking(self) -> bool:
        """Whether a caller of the older version may be refused, or given what it is not ready for."""
        return bool(self.breaking)

    def to_json(self) -> dict[str, Json]:
        """`{capability, from, to, breaking, counts, changes}`."""
        return {
            "capability": self.capability,
            "from": self.old,
            "to": self.new,
            "breaking": self.is_breaking,
            "counts": {
                "breaking": len(self.breaking),
                "compatible": len(self.changes) - len(self.breaking),
            },
            "changes": [change.to_json() for change in self.changes],
        }


def diff_specs(old: CapabilitySpec, new: CapabilitySpec) -> VersionDiff:
    """Every change from one version of a capability to another: parameters first, then results, then the rest of the spec.

    Only parameters and results can break a caller. What changes in risk or reversibility is told, because whoever wrote a
    policy wants to know it; the gate decides by it at the next call.
    """
    changes = (
        *diff_schemas(old.parameters, new.parameters, "input", path="parameters"),
        *diff_schemas(old.returns, new.returns, "output", path="returns"),
        *_rest(old, new),
    )
    return VersionDiff(old.id, old.version, new.version, changes)


def _rest(old: CapabilitySpec, new: CapabilitySpec) -> Iterator[Change]:
    yield from _said(
        "operation_type",
        ChangeKind.OPERATION_CHANGED,
        "the operation",
        old.operation_type.value,
        new.operation_type.value,
    )
    if old.risk.level is not new.risk.level:
        is_raised = new.risk.level.rank > old.risk.level.rank
        kind = ChangeKind.RISK_RAISED if is_raised else ChangeKind.RISK_LOWERED
        yield from _said("risk.level", kind, "the risk", old.risk.level.value, new.risk.level.value)
    if old.needs_approval != new.needs_approval:
        reason = (
            "it asks for approval now" if new.needs_approval else "it no longer asks for approval by itself"
        )
        yield Change("risk.requires_approval", ChangeKind.APPROVAL_CHANGED, False, reason)
    if old.side_effects.reversible and not new.side_effects.reversible:
        reason = "its effect can no longer be taken back exactly"
        yield Change("side_effects.reversible", ChangeKind.REVERSIBILITY_LOST, False, reason)
    elif new.side_effects.reversible and not old.side_effects.reversible:
        reason = "its effect can be taken back exactly now"
        yield Change("side_effects.reversible", ChangeKind.REVERSIBILITY_GAINED, False, reason)
    if old.compensation != new.compensation:
        was, now = (
            spec.compensation.capability_id or spec.compensation.strategy or "none" for spec in (old, new)
        )
        reason = f"how it is taken back was `{was}` and is `{now}`"
        yield Change("compensation", ChangeKind.COMPENSATION_CHANGED, False, reason)
    yield from _said(
        "idempotent", ChangeKind.IDEMPOTENCE_CHANGED, "being idempotent", old.idempotent, new.idempotent
    )
    yield from _said(
        "timeout", ChangeKind.TIMEOUT_CHANGED, "the timeout in seconds", old.timeout, new.timeout
    )
    if old.labels != new.labels:
        reason = _sets(old.labels, new.labels)
        yield Change("labels", ChangeKind.LABELS_CHANGED, False, reason)
    added, removed = {*new.secrets} - {*old.secrets}, {*old.secrets} - {*new.secrets}
    if added:
        reason = f"it needs the secrets {_named(added)} now"
        yield Change("secrets", ChangeKind.SECRETS_ADDED, False, reason)
    if removed:
        reason = f"it no longer needs the secrets {_named(removed)}"
        yield Change("secrets", ChangeKind.SECRETS_REMOVED, False, reason)
    if canonical_json(thaw(old.sandbox)) != canonical_json(thaw(new.sandbox)):
        yield Change("sandbox", ChangeKind.SANDBOX_CHANGED, False, "what it needs of the sandbox changed")
    for field in ("name", "description"):
        if getattr(old, field) != getattr(new, field):
            yield Change(field, ChangeKind.DESCRIPTION_CHANGED, False, f"its {field} changed")


def _said(path: str, kind: ChangeKind, what: str, old: object, new: object) -> Iterator[Change]:
    if old != new:
        was, now = (str(canonical_json(value).decode())[:_SHOWN_MAX].strip('"') for value in (old, new))
        yield Change(path, kind, False, f"{what} was `{was}` and is `{now}`")


def _sets(old: frozenset[str], new: frozenset[str]) -> str:
    parts = [
        f"{word} {_named(names)}" for word, names in (("gained", new - old), ("lost", old - new)) if names
    ]
    return f"it {' and '.join(parts)}"


def _named(names: set[str] | frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
