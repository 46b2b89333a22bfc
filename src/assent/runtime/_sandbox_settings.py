"""`[sandbox]` of assent.toml: which walls are asked for, and what a program may use up. Kept as plain values.

    [sandbox]
    backend = "auto"
    memory_bytes = 2147483648
    wall = "10m"

The sandbox's own types are made of these when a runtime first runs a program; a command that only resolves its settings imports
none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from assent.errors import Json

if TYPE_CHECKING:
    from assent.sandbox import Sandbox, SandboxLimits

Backend = Literal["auto", "bubblewrap", "native"]
_BACKENDS: Final[Mapping[str, Backend]] = {
    "auto": "auto",
    "bubblewrap": "bubblewrap",
    "native": "native",
}

DURATIONS: Final[Mapping[str, str]] = {"cpu": "cpu_s", "wall": "wall_s"}
"""Limits that are written as durations, and where they go."""

NUMBERS: Final[Mapping[str, int]] = {
    "memory_bytes": 1 << 44,
    "file_bytes": 1 << 50,
    "layer_bytes": 1 << 50,
    "layer_entries": 100_000_000,
    "processes": 100_000,
    "output_bytes": 1 << 40,
    "open_files": 1 << 20,
}
"""Limits that are written as numbers, under the names that the sandbox has for them, and the most that each may be."""


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Everything under `[sandbox]`; `limits` by the names of `SandboxLimits`."""

    unconfined: bool = False
    backend: Backend = "auto"
    limits: Mapping[str, int] = field(default_factory=dict)

    def detect(self) -> Sandbox:
        """The sandbox of this machine, as it is configured; takes some 100 ms for the first one of a process."""
        from assent.sandbox import Sandbox

        return Sandbox.detect(backend=self.backend, unconfined=self.unconfined)

    def default_limits(self) -> SandboxLimits:
        """The limits of a program for which nothing else is said."""
        from assent.sandbox import SandboxLimits

        return SandboxLimits(**self.limits)


def read_backend(value: object) -> Json:
    """Check `backend`; ValueError with the rest of the sentence."""
    if value not in _BACKENDS:
        raise ValueError('must be one of `"auto"`, `"bubblewrap"`, `"native"`')
    return str(value)


def sandbox_settings(*, unconfined: bool, said: Mapping[str, Json]) -> SandboxSettings:
    """The settings from checked values under the names of the file; durations are milliseconds there, and at least a second
    here.
    """
    limits: dict[str, int] = {}
    for name, value in said.items():
        if name in DURATIONS and isinstance(value, int):
            limits[DURATIONS[name]] = max(1, -(-value // 1000))
        elif name in NUMBERS and isinstance(value, int):
            limits[name] = value
    return SandboxSettings(unconfined, _BACKENDS[str(said.get("backend", "auto"))], limits)
