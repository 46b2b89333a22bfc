"""Trust: a plugin as it stands now, held against what a person agreed to.

The question is always about bytes. They are read once; the manifest is made of them, the pins are made of them, and what is
imported is made of them. So between the check and the import there is no moment in which anything could be exchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from typing import Final

from assent.errors import InputError, Json, RefusedError
from assent.plugins._differences import (
    SHOWN_MAX,
    Difference,
    dependency_differences,
    file_differences,
    manifest_differences,
)
from assent.plugins._warnings import warnings_of
from assent.plugins.manifest import Manifest, PluginWarning, UseKind
from assent.plugins.source._code import PluginCode, modules_of, native_files
from assent.plugins.source._declaration import accepts
from assent.plugins.source._lock import LockEntry
from assent.plugins.source._sources import PluginSource
from assent.spec.ids import Fingerprint

REFUSED: Final = frozenset(
    """PLUGIN_CALL_HIDDEN PLUGIN_CODE_PATCHES PLUGIN_STARTS_WITH_PYTHON PLUGIN_ID_SHADOWS PLUGIN_ID_TWICE
    PLUGIN_NETWORK_UNDECLARED PLUGIN_PROCESS_UNDECLARED PLUGIN_FILES_UNDECLARED PLUGIN_ENVIRONMENT_UNDECLARED
    PLUGIN_SECRET_UNDECLARED""".split()
)
"""Warnings that nobody can wave through: here the code does more than it says. The others are for a person to weigh."""


@dataclass(frozen=True)
class Candidate:
    """A plugin as it was found and read: nothing of it was imported, and nobody has to have trusted it.

    `assent` is the version of Assent that it would run with.
    """

    source: PluginSource
    code: PluginCode
    manifest: Manifest
    assent: str

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self.source.name

    @property
    def digest(self) -> Fingerprint:
        """The manifest's fingerprint. It covers the SHA-256 of every file, so agreeing to it is agreeing to the bytes."""
        return self.manifest.fingerprint

    @cached_property
    def dependencies(self) -> dict[str, str | None]:
        """The distributions that the plugin imports from, with the installed version; None for one that is not installed."""
        tops = {
            entry.name.partition(".")[0]
            for module in self.manifest.modules
            for entry in module.imports
            if entry.origin == "third_party"
        }
        if not tops:
            return {}  # Reading the metadata of everything installed takes a while.
        owners: Mapping[str, list[str]] = metadata.packages_distributions()
        found: dict[str, str | None] = {}
        for top in sorted(tops):
            if top not in owners:
                found[top] = None
            for distribution in set(owners.get(top, ())):
                found[distribution] = metadata.version(distribution)
        return dict(sorted(found.items()))

    def entry(self, *, native: bool, trusted_by: str, in_process: bool = False) -> LockEntry:
        """What the lock says once somebody trusts exactly this."""
        return LockEntry(
            origin=self.source.origin,
            module=self.source.module,
            version=self.source.version or self.manifest.declaration.version,
            digest=self.digest,
            manifest=dict(self.manifest.to_json()),
            files=self.code.digests,
            dependencies=self.dependencies,
            native=native,
            trusted_by=trusted_by,
            in_process=in_process,
        )

    def differences(self, entry: LockEntry) -> list[Difference]:
        """What is another way than the lock says; empty when the plugin is exactly what was trusted."""
        found = [
            Difference(name, "changed", before, after)
            for name, before, after in (
                ("origin", entry.origin, self.source.origin),
                ("module", entry.module, self.source.module),
            )
            if before != after
        ]
        found += file_differences(entry.files, self.code.digests)
        found += dependency_differences(entry.dependencies, self.dependencies)
        if entry.digest != self.digest:
            found += manifest_differences(entry.manifest, self.manifest.to_json())
            if not found:
                found.append(Difference("manifest", "changed", entry.digest, self.digest))
        return found

    def check(self, entry: LockEntry | None) -> CheckedPlugin:
        """The plugin, ready to be imported, when it is what was trusted.

        `RefusedError` PLUGIN_UNTRUSTED, PLUGIN_CHANGED (`details.differences`), and what `require_trustworthy` raises.
        """
        if entry is None:
            raise RefusedError(
                "PLUGIN_UNTRUSTED",
                f"plugin `{self.name}` is not trusted",
                hint=f"look at what it does, and decide: assent plugin trust {self.name}",
            )
        differences = self.differences(entry)
        if differences:
            more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
            listed: list[Json] = [one.to_json() for one in differences[:SHOWN_MAX]]
            raise RefusedError(
                "PLUGIN_CHANGED",
                f"plugin `{self.name}` is not what was trusted: {differences[0]}{more}",
                hint=f"see every difference, and decide anew: assent plugin trust {self.name}",
                details={"differences": listed, "count": len(differences)},
            )
        return self.unchecked(native=entry.native, in_process=entry.in_process)

    def unchecked(self, *, native: bool, in_process: bool = False) -> CheckedPlugin:
        """The plugin, ready to be imported although nobody trusted it: for its own author, who tries what was just written.

        Raises what `require_trustworthy` raises.
        """
        self.require_trustworthy(native=native)
        return CheckedPlugin(
            self.name,
            self.source.module,
            self.code,
            self.manifest,
            native=native,
            in_process=in_process,
            dependencies=self.dependencies,
        )

    @cached_property
    def warnings(self) -> list[PluginWarning]:
        """What a person should know before trusting the plugin, the gravest first."""
        return warnings_of(self.manifest)

    def require_trustworthy(self, *, native: bool) -> None:
        """Refuse what nobody can agree to with open eyes: PLUGIN_OVERREACHES, PLUGIN_NATIVE, PLUGIN_INVALID."""
        entry = self.manifest.declaration.entry
        if entry and entry != self.source.module:
            raise InputError(
                "PLUGIN_INVALID",
                f"plugin `{self.name}` declares the entry `{entry}`, and would be imported as `{self.source.module}`",
                path=self.manifest.declaration.file,
                hint="let both name the same module",
            )
        wanted = self.manifest.declaration.assent
        if not accepts(wanted, self.assent):
            raise InputError(
                "PLUGIN_INVALID",
                f"plugin `{self.name}` is made for Assent {wanted}, and this is {self.assent}",
                path=self.manifest.declaration.file,
                hint="take a version of the plugin, or of Assent, that fits",
            )
        refused = [one for one in self.warnings if one.code in REFUSED]
        if refused:
            more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
            listed: list[Json] = [
                {"code": one.code, "message": one.message, "path": one.path, "hint": one.hint}
                for one in refused
            ]
            raise RefusedError(
                "PLUGIN_OVERREACHES",
                f"plugin `{self.name}` does more than it declares: {refused[0].message}{more}",
                path=refused[0].path,
                hint=refused[0].hint,
                details={"findings": listed},
            )
        modules = modules_of(self.code)
        if self.source.module not in modules:
            raise InputError(
                "PLUGIN_INVALID",
                f"plugin `{self.name}` has no module `{self.source.module}`",
                hint="every folder that is imported from needs an `__init__.py`",
            )
        unreadable = self._unreadable()
        if unreadable and not native:
            more = f" (and {len(unreadable) - 1} more)" if len(unreadable) > 1 else ""
            raise RefusedError(
                "PLUGIN_NATIVE",
                f"plugin `{self.name}` holds code that nobody can read: {unreadable[0]}{more}",
                hint=f"if you trust whoever made it: assent plugin trust {self.name} --native",
                details={"found": [*unreadable]},
            )

    def _unreadable(self) -> list[str]:
        """What no reading sees into: compiled modules, and code that is made while it runs. It could reach anything."""
        uses = [one for one in self.manifest.uses if one.kind in (UseKind.NATIVE, UseKind.DYNAMIC)]
        return [f"`{file}`" for file in native_files(self.code)] + [
            f"`{one.name}` at {one.at}" for one in uses
        ]


@dataclass(frozen=True, slots=True)
class CheckedPlugin:
    """A plugin whose bytes are those that were trusted; only these bytes are imported."""

    name: str
    module: str
    code: PluginCode
    manifest: Manifest
    native: bool
    in_process: bool = False
    """Its operator lets it run in Assent's own process; else it gets a worker."""
    dependencies: Mapping[str, str | None] = field(default_factory=dict)
    """The distributions that it imports from, as installed now."""
