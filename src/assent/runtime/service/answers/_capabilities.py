"""Answers about capabilities and their versions."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from assent.runtime.service.answers._base import Answer, Json
from assent.spec.decision import PolicyDecision


class Labelled(Answer, frozen=True, kw_only=True):
    """A label's version, the one that it named before, and by what the version was found."""

    capability: str
    label: str
    version: str
    before: str | None
    how: str


class Unlabelled(Answer, frozen=True, kw_only=True):
    """Whether the capability had the label."""

    capability: str
    label: str
    removed: bool


class Retired(Answer, frozen=True, kw_only=True):
    """Whether a version is retired now: not when that was only tried."""

    capability: str
    version: str
    retired: bool


class Standing(Answer, frozen=True, kw_only=True):
    """How a version stands: whether it can be called, and by what else than its number it is named."""

    state: str
    latest: bool
    labels: list[str]
    created_at: str | None
    created_at_ms: int | None


class SideEffects(Answer, frozen=True, kw_only=True):
    """What a call changes in the world."""

    reversible: bool
    scope: str
    description: str


class Compensation(Answer, frozen=True, kw_only=True):
    """How a call is taken back."""

    supported: bool
    strategy: str | None
    capability_id: str | None


class Risk(Answer, frozen=True, kw_only=True):
    """How dangerous a call is."""

    level: str
    justification: str
    requires_approval: bool


class Capability(Answer, frozen=True, kw_only=True):
    """One version of a capability: its spec, and how it stands. `how`: by what a reference to it was resolved."""

    id: str
    version: str
    name: str
    description: str
    operation_type: str
    side_effects: SideEffects
    compensation: Compensation
    risk: Risk
    idempotent: bool
    timeout: float | None
    secrets: list[str]
    parameters: dict[str, Json]
    returns: dict[str, Json]
    sandbox: dict[str, Json] | None
    labels: list[str]
    spec_version: int
    fingerprint: str
    standing: Standing
    how: str | UnsetType = UNSET


class Capabilities(Answer, frozen=True, kw_only=True):
    """Every version that can be called, by id and version."""

    capabilities: list[Capability]


class Tool(Answer, frozen=True, kw_only=True):
    """A capability that may be called, and the decisions that a call of it can get, whatever its parameters are."""

    capability: Capability
    told: str
    """What a model is told of it: what it does, how risky that is, whether a person is asked, whether it can be undone."""
    decisions: list[PolicyDecision]
    upstream: str | UnsetType = UNSET
    """What the MCP server calls it that it is a tool of."""


class Tools(Answer, frozen=True, kw_only=True):
    """What one principal may call, by id. What the policy denies whatever the parameters are is left out."""

    tools: list[Tool]


class Parameters(Answer, frozen=True, kw_only=True):
    """What callers who write a reference send, as a JSON Schema; `id` is the capability's."""

    id: str
    schema: dict[str, Json]


class VersionLine(Answer, frozen=True, kw_only=True):
    """One version over time."""

    capability: str
    version: str
    fingerprint: str
    created_at: str | None
    created_at_ms: int | None
    state: str
    labels: list[str]
    latest: bool
    retired_at_ms: int | None


class LabelChange(Answer, frozen=True, kw_only=True):
    """A label that was put on a version, or taken away."""

    label: str
    version: str | None
    at: str
    at_ms: int
    by: str | None


class CapabilityHistory(Answer, frozen=True, kw_only=True):
    """Every version of a capability, and every change of its labels, the newest first."""

    capability: str
    versions: list[VersionLine]
    labels: list[LabelChange]


class CapabilityDiff(Answer, rename={"old": "from", "new": "to"}, frozen=True, kw_only=True):
    """What changes from one version to another; `served`: the newer one can serve the older one's callers."""

    capability: str
    old: str
    new: str
    breaking: bool
    counts: dict[str, int]
    changes: list[dict[str, Json]]
    served: bool
    missing: str | None
