"""Answers about the process that owns the state, its workspace, and the keys that open it."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from assent.capabilities.area import Check
from assent.runtime.service.answers._base import Answer, Json
from assent.runtime.settings.effective import Effective


class PartHealth(Answer, frozen=True, kw_only=True):
    """How one part is, and what it has to say about that."""

    status: str
    detail: str


class Admission(Answer, frozen=True, kw_only=True):
    """How many runs are at work, of how many, and how many wait to begin, of how many; draining, none begins any more."""

    running: int
    runs: int
    queued: int
    queue: int
    is_draining: bool


class Backlog(Answer, frozen=True, kw_only=True):
    """How much there is to do, and how large the record is: runs that have not ended by status, as recorded."""

    runs: dict[str, int]
    approvals: int
    deliveries: int
    entries: int
    bytes: int


class Health(Answer, frozen=True, kw_only=True):
    """How the owner is: the whole, each part by its name, what it has counted, its line of runs, and what the record holds.

    `version` is its release of Assent, `now_ms` what its clock shows, and `operations` what it can be asked, by name. `in_force`
    are digests of what it works by: `policy`, `identity`, `serve`, `mcp`, `settings`. `root` is the workspace, and `wsl` the
    distribution of WSL that it runs in, so that a client knows what paths are called there.
    """

    status: str
    parts: dict[str, PartHealth]
    metrics: dict[str, Json]
    admission: Admission
    backlog: Backlog
    version: str
    now_ms: int
    operations: list[str]
    in_force: dict[str, str] = {}
    root: str | UnsetType = UNSET
    wsl: str | UnsetType = UNSET


class UnderWay(Answer, frozen=True, kw_only=True):
    """Those of the runs asked about that the owner drives.

    `stopped`: those stopped by what is no outcome of their steps, as a full disk is, and its code. Each is tried again.
    `asked`: by run and step, what calls are made with that people are asked about, where not all of that is kept.
    `told`: by run and step, what the runs of whoever asks were told that is not all kept, as long as the owner knows it.
    """

    runs: list[str]
    stopped: dict[str, str] = {}
    asked: dict[str, dict[str, Json]] = {}
    told: dict[str, dict[str, Json]] = {}


class Forgotten(Answer, frozen=True, kw_only=True):
    """The owner has forgotten a secret's value."""

    forgotten: bool


class Replied(Answer, frozen=True, kw_only=True):
    """Whether anybody waited for what a client said."""

    heard: bool


class Doctor(Answer, frozen=True, kw_only=True):
    """What holds in a workspace, and whether what it stands on is sound. `has_state`: something was made to record in."""

    has_state: bool
    settings: list[Effective]
    checks: list[Check]


class Key(Answer, frozen=True, kw_only=True):
    """One key, without what opens: `active`, `expired` or `revoked`."""

    id: str
    name: str
    principal: str
    scopes: list[str]
    status: str
    created_at: str
    created_by: str
    expires_at: str | None
    revoked_at: str | None


class Keys(Answer, frozen=True, kw_only=True):
    """The keys of a state directory, the oldest first."""

    keys: list[Key]
