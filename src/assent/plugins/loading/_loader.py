"""From a name to a loaded plugin: find it, read it, hold it against the lock, hand it to the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from assent.errors import AssentError, Json
from assent.plugins.ports import LoadedPlugin, PluginHost
from assent.plugins.source._lock import Lock
from assent.plugins.source._reading import read_candidate
from assent.plugins.source._sources import PluginSource, Sources, find_sources
from assent.plugins.source._trust import Candidate, CheckedPlugin


class PluginState(StrEnum):
    """How a plugin stands."""

    UNTRUSTED = "untrusted"
    """Found, and nobody has trusted it."""
    TRUSTED = "trusted"
    """Exactly what was trusted; a runtime that opens has it."""
    LOADED = "loaded"
    """Trusted, and a part of the runtime that tells of it."""
    CHANGED = "changed"
    """Trusted once, and another now."""
    REFUSED = "refused"
    """It can't be used as it is, or it failed; its error says why."""
    MISSING = "missing"
    """Trusted, and not to be found any more."""


@dataclass(frozen=True, slots=True)
class PluginStatus:
    """One plugin, for showing. `capabilities` are the ids that its manifest states; `error` says what is wrong with it.

    `in_process`: it is trusted to run in Assent's own process, and not in a worker.
    """

    name: str
    state: PluginState
    origin: str | None = None
    version: str | None = None
    digest: str | None = None
    is_required: bool = False
    capabilities: tuple[str, ...] = ()
    error: AssentError | None = None
    in_process: bool = False

    def to_json(self) -> dict[str, Json]:
        """The same as JSON data."""
        return {
            "name": self.name,
            "status": self.state.value,
            "origin": self.origin,
            "version": self.version,
            "digest": self.digest,
            "required": self.is_required,
            "capabilities": [*self.capabilities],
            "error": None if self.error is None else self.error.to_dict(),
            "in_process": self.in_process,
        }


class PluginLoader:
    """The plugins of one workspace. Nothing here imports a plugin but `load`, and that only what is trusted.

    `paths` are those of `[plugins] paths`; what is required is refused with an error instead of being left out. `assent` is the
    version of Assent that they run with.
    """

    def __init__(
        self,
        workspace: Path,
        lock_path: Path,
        *,
        paths: Sequence[str] = (),
        required: frozenset[str] = frozenset(),
        assent: str,
    ) -> None:
        self._workspace = workspace
        self._lock_path = lock_path
        self._paths = paths
        self.required = required
        self._assent = assent

    def sources(self) -> Sources:
        """Every plugin that can be found now."""
        return find_sources(self._workspace, self._paths)

    def lock(self) -> Lock:
        """What is trusted now; PLUGIN_LOCK_INVALID, PLUGIN_LOCK_PERMISSIONS."""
        return Lock.load(self._lock_path)

    def read(self, name: str) -> Candidate:
        """A plugin as it stands now; nothing is imported. PLUGIN_UNKNOWN, PLUGIN_INVALID, PLUGIN_SHADOWS, PLUGIN_AMBIGUOUS."""
        return read_candidate(self.sources().get(name), assent=self._assent)

    def wanted(self) -> list[str]:
        """The plugins that a runtime loads: the trusted and the required ones, by name."""
        return sorted({*self.lock().plugins, *self.required})

    def check(self, name: str, sources: Sources | None = None) -> CheckedPlugin:
        """A plugin that is exactly what was trusted; else as `read` and `Candidate.check`. Nothing is imported."""
        lock = self.lock()
        source = (sources or self.sources()).get(name)
        return read_candidate(source, assent=self._assent).check(lock.plugins.get(name))

    def load(self, name: str, host: PluginHost, sources: Sources | None = None) -> LoadedPlugin:
        """Import a plugin that is exactly what was trusted.

        Every refusal comes before its first line runs, but for those of the host: see `PluginHost.load`.
        """
        return host.load(self.check(name, sources))

    def trust(self, candidate: Candidate, *, native: bool, trusted_by: str, in_process: bool = False) -> None:
        """Write into the lock that exactly these bytes are trusted; PLUGIN_OVERREACHES, PLUGIN_NATIVE, PLUGIN_INVALID."""
        candidate.require_trustworthy(native=native)
        entry = candidate.entry(native=native, trusted_by=trusted_by, in_process=in_process)
        self.lock().with_entry(candidate.name, entry).save()

    def untrust(self, name: str) -> bool:
        """Take a plugin out of the lock; whether it was in it."""
        lock = self.lock()
        if name not in lock.plugins:
            return False
        lock.without(name).save()
        return True

    def list(self) -> list[PluginStatus]:
        """Every plugin that was found or is trusted, by name, as it stands; nothing is imported."""
        lock, sources = self.lock(), self.sources()
        found = [
            self._status(source, lock)
            for name, source in sources.plugins.items()
            if name not in sources.faults
        ]
        found += [
            PluginStatus(name, PluginState.REFUSED, is_required=name in self.required, error=error)
            for name, error in sources.faults.items()
        ]
        known = {*sources.plugins, *sources.faults}
        for name in sorted({*lock.plugins, *self.required} - known):
            entry = lock.plugins.get(name)
            try:
                sources.get(name)
            except AssentError as error:
                found.append(
                    PluginStatus(
                        name,
                        PluginState.MISSING,
                        origin=None if entry is None else entry.origin,
                        is_required=name in self.required,
                        error=error,
                    )
                )
        return sorted(found, key=lambda status: status.name)

    def _status(self, source: PluginSource, lock: Lock) -> PluginStatus:
        entry = lock.plugins.get(source.name)
        is_required = source.name in self.required
        try:
            candidate = read_candidate(source, assent=self._assent)
        except AssentError as error:
            return PluginStatus(
                source.name, PluginState.REFUSED, source.origin, source.version, None, is_required, (), error
            )
        state, fault = PluginState.TRUSTED, None
        try:
            if entry is None:
                candidate.require_trustworthy(native=False)
            candidate.check(entry)
        except AssentError as error:
            state, fault = _STATES.get(error.code, PluginState.REFUSED), error
        ids = tuple(sorted({one.id for one in candidate.manifest.capabilities if one.id is not None}))
        version = source.version or candidate.manifest.declaration.version
        return PluginStatus(
            source.name,
            state,
            source.origin,
            version,
            candidate.digest,
            is_required,
            ids,
            fault,
            in_process=entry is not None and entry.in_process,
        )


_STATES = {"PLUGIN_UNTRUSTED": PluginState.UNTRUSTED, "PLUGIN_CHANGED": PluginState.CHANGED}
