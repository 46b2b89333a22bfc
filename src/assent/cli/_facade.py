"""What the door asks of the runtime: the narrowest interface that the commands need, so that tests can stand in for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from assent.errors import Json

if TYPE_CHECKING:
    from assent.journal.ports import EventFilter
    from assent.policy import PolicyEngine
    from assent.runtime.settings import Settings
    from assent.spec.capability import CapabilitySpec

Result: TypeAlias = "dict[str, Json]"
OnProgress: TypeAlias = "Callable[[dict[str, Json]], None]"


class Reading(Protocol):
    """Reads the state of a workspace; never takes its lock."""

    def runs(self) -> list[Result]: ...

    def show(self, run_id: str) -> Result:
        """A run with its events; an unambiguous beginning of its id is enough. RUN_UNKNOWN."""
        ...

    def attachment(self, run_id: str, digest: str) -> Iterator[bytes]:
        """The bytes beside an output or an error. RUN_UNKNOWN, ATTACHMENT_UNKNOWN, RECORD_CORRUPT."""
        ...

    def approvals(self) -> list[Result]: ...

    def deliveries(self, *, status: str | None = None, limit: int | None = None) -> list[Result]: ...

    def audit_log(self, wanted: EventFilter) -> Iterator[Result]: ...

    def verify(self, checkpoint: str | None = None, key: str | None = None) -> Result: ...

    def prove(self, seq: int) -> str: ...

    def export(self, folder: Path) -> Result | None: ...

    def unfinished(self) -> int: ...

    def vkey(self) -> str:
        """The ledger's public key; KEY_UNREADABLE, KEY_EXPOSED."""
        ...


class ReaderType(Protocol):
    """Opens a reading."""

    def open(self, settings: Settings) -> AbstractContextManager[Reading]: ...


class Catalogue(Protocol):
    """The registered capabilities."""

    def resolve(self, reference: str, /) -> CapabilitySpec:
        """The capability that a reference means; CAPABILITY_UNKNOWN, VERSION_NOT_FOUND, INVALID_VERSION."""
        ...

    def spoken(self, reference: str, /) -> CapabilitySpec:
        """The capability whose inputs callers who write this send; as `resolve`, and also a retired one that others serve."""
        ...

    def list(self) -> list[CapabilitySpec]: ...


class Facade(Protocol):
    """The runtime as the door sees it."""

    @property
    def Reader(self) -> ReaderType: ...  # noqa: N802 - the runtime's class of this name

    def execute(
        self, request: Mapping[str, Json], settings: Settings, *, on_progress: OnProgress | None = None
    ) -> Result: ...

    def plan(
        self, request: Mapping[str, Json], settings: Settings, *, on_progress: OnProgress | None = None
    ) -> Result: ...

    def replay(
        self, settings: Settings, *, run: str, snapshot: bytes | None, capability_version: str | None
    ) -> Result:
        """How a run compares with its record when it is run again; of a snapshot when there is one."""
        ...

    def snapshot(self, settings: Settings, run: str) -> bytes:
        """The file of a run's snapshot."""
        ...

    def verify_proof(self, text: str, key: str) -> Result: ...

    def verify_export(self, folder: Path, key: str | None) -> Result: ...

    def capabilities(self, settings: Settings) -> Catalogue: ...

    def capability_list(self, settings: Settings) -> list[Result]:
        """Every version that can be called: its spec, and under `standing` how it stands."""
        ...

    def capability(self, settings: Settings, reference: str) -> Result:
        """The same of the version that a reference means, with `how` it was named."""
        ...

    def capability_diff(self, settings: Settings, name: str, old: str, new: str) -> Result:
        """What changes from one version of a capability to another."""
        ...

    def capability_history(self, settings: Settings, name: str) -> Result:
        """Every version of a capability, and every change of its labels and weights, the newest first."""
        ...

    def policy(self, settings: Settings) -> PolicyEngine: ...

    def health(self, request: Mapping[str, Json], settings: Settings) -> Result | None:
        """How the state's owner is; None when there is none."""
        ...
