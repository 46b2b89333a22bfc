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
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from assent.errors import Json
from assent.spec.documents.settings import DURATION, Matching, Setting, Table, Whole, fields, flag

if TYPE_CHECKING:
    from assent.sandbox import Sandbox, SandboxLimits

Backend = Literal["auto", "bubblewrap", "native"]
_BACKENDS: Final[Mapping[str, Backend]] = {
    "auto": "auto",
    "bubblewrap": "bubblewrap",
    "native": "native",
}

SANDBOX: Final[Table] = {
    "unconfined": Setting(
        flag,
        "run programs and plugins where no walls stand, with every right of the user",
        default=False,
        is_always_shown=True,
    ),
    "backend": Setting(
        Matching('must be one of `"auto"`, `"bubblewrap"`, `"native"`', _BACKENDS.__contains__),
        '`"auto"`, `"bubblewrap"` or `"native"`',
        unless='`"auto"`',
    ),
    "cpu": Setting(DURATION, "processor time of all processes together", unless="60 s"),
    "wall": Setting(DURATION, "time by the clock", unless="120 s"),
    "memory_bytes": Setting(
        Whole(1, 1 << 44), "memory of all together, files in `/tmp` included", unless="1 GiB"
    ),
    "file_bytes": Setting(Whole(1, 1 << 50), "the largest file", unless="256 MiB"),
    "layer_bytes": Setting(Whole(1, 1 << 50), "all that the private layer holds", unless="1 GiB"),
    "layer_entries": Setting(Whole(1, 100_000_000), "files, folders and links in it", unless="100 000"),
    "processes": Setting(Whole(1, 100_000), "processes and threads at one time", unless="64"),
    "output_bytes": Setting(Whole(1, 1 << 40), "both streams together", unless="16 MiB"),
    "open_files": Setting(Whole(1, 1 << 20), "open files of one process", unless="1024"),
}
"""What `[sandbox]` may hold; the sandbox's own types have the defaults."""


class SandboxSettings(msgspec.Struct, frozen=True):
    """Everything under `[sandbox]`; `limits` by the names of `SandboxLimits`."""

    unconfined: bool = False
    backend: Backend = "auto"
    limits: Mapping[str, int] = {}

    def detect(self) -> Sandbox:
        """The sandbox of this machine, as it is configured; takes some 100 ms for the first one of a process."""
        from assent.sandbox import Sandbox

        return Sandbox.detect(backend=self.backend, unconfined=self.unconfined)

    def default_limits(self) -> SandboxLimits:
        """The limits of a program for which nothing else is said."""
        from assent.sandbox import SandboxLimits

        return SandboxLimits(**self.limits)


def sandbox_settings(said: Mapping[str, Json]) -> SandboxSettings:
    """The settings from checked values; times are whole seconds there, and at least one."""
    limits = {
        f"{name.removesuffix('_ms')}_s" if name.endswith("_ms") else name: max(1, -(-value // 1000))
        if name.endswith("_ms")
        else value
        for name, value in fields(said, SANDBOX).items()
        if name not in ("unconfined", "backend")
    }
    return SandboxSettings(said["unconfined"] is True, _BACKENDS[str(said["backend"] or "auto")], limits)
