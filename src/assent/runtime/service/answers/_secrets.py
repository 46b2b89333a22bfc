"""Answers about secrets. None of them holds a value."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from assent.runtime.service.answers._base import Answer


class SecretAccess(Answer, frozen=True, kw_only=True):
    """One access to a secret, as the ledger tells of it."""

    run_id: str
    step: str | None
    attempt: int
    capability: str | None
    outcome: str
    provider: str | None
    at_ms: int
    used_replaced: bool | None | UnsetType = UNSET
    is_current: bool | None | UnsetType = UNSET


class Secret(Answer, frozen=True, kw_only=True):
    """One secret: where it is kept, how it stands, who may have it. Never its value."""

    name: str
    source: str
    status: str
    code: str | None
    capabilities: list[str]
    hosts: list[str]
    specs: list[str]
    rotating: bool
    last_access: SecretAccess | None


class Secrets(Answer, frozen=True, kw_only=True):
    """Every secret that the configuration, a capability or the ledger names."""

    secrets: list[Secret]


class SecretWritable(Answer, frozen=True, kw_only=True):
    """The name is one that a value can be kept under."""

    name: str


class SecretStored(Answer, frozen=True, kw_only=True):
    """Where a value was put, and whether a living owner was told."""

    name: str
    source: str
    owner_told: bool


class SecretRotated(Answer, frozen=True, kw_only=True):
    """How a secret stands after its value was replaced, confirmed or put back, and which unfinished runs were given the other."""

    name: str
    source: str
    state: str
    owner_told: bool
    unfinished: list[SecretAccess] | UnsetType = UNSET


class SecretReference(Answer, frozen=True, kw_only=True):
    """A line of a file that refers to a secret."""

    file: str
    line: int


class SecretUsers(Answer, frozen=True, kw_only=True):
    """Who uses a secret, and who did."""

    name: str
    specs: list[str]
    grants: list[str]
    hosts: list[str]
    files: list[SecretReference]
    accesses: list[SecretAccess]
