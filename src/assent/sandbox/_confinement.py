"""What a program may do, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from assent.sandbox._reach import NetworkScope

MIB: Final = 1 << 20

LimitName = Literal[
    "cpu_s",
    "memory_bytes",
    "file_bytes",
    "layer_bytes",
    "processes",
    "wall_s",
    "output_bytes",
    "killed",
    "lost",
]
"""What ended a program before its time; `killed` is the caller's own wish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """The bounds of one program and all it starts, together."""

    cpu_s: int = 60
    memory_bytes: int = 1024 * MIB
    file_bytes: int = 256 * MIB
    """The largest single file."""
    layer_bytes: int = 1024 * MIB
    """All that the private layer may hold."""
    layer_entries: int = 100_000
    """Files, folders and links in the private layer."""
    processes: int = 64
    """Processes and threads at one time."""
    wall_s: float = 120
    output_bytes: int = 16 * MIB
    """Standard output and standard error together."""
    open_files: int = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """What one program sees and may use. All paths are absolute; links in them are followed once, when the walls are built."""

    root: Path
    """The workspace: read-only, at its own path."""
    layer: Path | None = None
    """An existing folder outside the workspace that takes what is written to it; None: nothing can be written there."""
    hidden: tuple[Path, ...] = ()
    """Files and folders that are not seen even where they lie within something that is: the state directory, the signing key."""
    unfinished: str = ""
    """A regular expression for names of somebody's unfinished work in the workspace: a copy leaves them out, and their coming and
    going is nobody's change. Empty: there are none.
    """
    read_only: tuple[Path, ...] = ()
    """More that is readable, at its own path."""
    writable: tuple[Path, ...] = ()
    """Existing folders, at their own paths, to which writes go through: nobody looks at them before they count."""
    network: bool = False
    scope: NetworkScope | None = None
    """Where the network ends for it; None: nowhere. Needs `network`, and a kernel that holds it (`Sandbox.scope_missing`)."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """All that the program finds in its environment."""
    cwd: str = "."
    """Relative to the root."""
    limits: SandboxLimits = field(default_factory=SandboxLimits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a program and all that it waited for used."""

    cpu_ms: int
    memory_bytes: int
    """The largest resident size of one process."""
    wall_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended."""

    exit_code: int | None
    """None when a signal ended it."""
    signal: int | None
    limit: LimitName | None
    """The limit that ended it, None when it ended by itself."""
    stdout: bytes
    """Empty when the output went to a callback or a pipe of the caller."""
    stderr: bytes
    output_bytes: int
    """How much came out, also where it was not kept."""
    usage: Usage
    left_scope: int = 0
    """How often it asked for a place outside its scope: each was refused."""
    left_for: tuple[str, ...] = ()
    """The first of these places, each once."""

    @property
    def is_success(self) -> bool:
        """Whether it ended by itself and with 0."""
        return self.exit_code == 0 and self.limit is None
