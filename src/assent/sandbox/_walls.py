"""The walls around a program, and which of them a machine can put up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

BackendName = Literal["bubblewrap", "native", "unconfined"]


class Wall(StrEnum):
    """One thing that a confined program can't do or pass."""

    FILES = "files"
    NETWORK = "network"
    PROCESSES_OF_OTHERS = "processes of others"
    PRIVILEGES = "privileges"
    SYSTEM_CALLS = "system calls"
    SURVIVAL = "survival"
    CPU = "cpu"
    MEMORY = "memory"
    FILE_SIZE = "file size"
    PROCESS_COUNT = "process count"
    WALL_CLOCK = "wall clock"
    OUTPUT = "output"
    ENVIRONMENT = "environment"
    LAYER = "private layer"


REQUIRED: Final = (
    Wall.FILES,
    Wall.NETWORK,
    Wall.PROCESSES_OF_OTHERS,
    Wall.PRIVILEGES,
    Wall.SYSTEM_CALLS,
    Wall.SURVIVAL,
)
"""A machine on which one of these can't stand runs nothing confined."""


@dataclass(frozen=True, slots=True)
class Holds:
    """Which walls stand here, each with the mechanism it is made of; what is missing comes with its remedy."""

    backend: BackendName
    walls: Mapping[Wall, str]
    missing: Mapping[Wall, str] = field(default_factory=dict)

    @property
    def is_confined(self) -> bool:
        """Whether every wall stands that must."""
        return self.backend != "unconfined" and all(wall in self.walls for wall in REQUIRED)
