"""What `scan.*` takes, and what it answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from assent.capabilities.findings import ProjectName
from assent.capabilities.findings.ingest import Ingested
from assent.spec.capability import SpecModel
from assent.spec.types import Duration, WorkspacePath

Count = Annotated[int, Field(ge=0)]
ToolName = Annotated[
    str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,63}$", description="a scanner; `assent scan tools` lists them")
]
Options = Annotated[
    dict[
        Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,63}$")],
        Annotated[str, Field(max_length=4096)] | bool | int,
    ],
    Field(max_length=64, description="what the scanner's manifest lets a caller set"),
]
Limit = Annotated[
    Duration | None, Field(description="how long it may take, where that is less than the manifest allows")
]


class Scan(SpecModel):
    """What to scan on the network, with what."""

    tool: ToolName
    target: Annotated[
        str,
        Field(
            min_length=1,
            max_length=2048,
            description="a URL, a host (`host:port`) or a network, as the scanner takes it",
        ),
    ]
    project: ProjectName
    options: Options = Field(default_factory=dict)
    timeout: Limit = None


class ScanFiles(SpecModel):
    """Which files of the workspace to scan, with what."""

    tool: ToolName
    target: WorkspacePath
    project: ProjectName
    options: Options = Field(default_factory=dict)
    timeout: Limit = None


class Used(SpecModel):
    """What the scanner used."""

    cpu_ms: Count
    memory_bytes: Count
    wall_ms: Count


class Ended(SpecModel):
    """How the scanner ended, and the last of what it said of errors."""

    exit_code: int | None
    stderr: str
    used: Used


class Program(SpecModel):
    """The file that was started. `pinned`: somebody has said which one it has to be."""

    path: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    version: str
    pinned: bool


class Reach(SpecModel):
    """Where the scanner could go. `enforced`: the kernel held it to the scope; `left_scope`: so often it asked for another place,
    and `left_for` are the first of these.
    """

    enforced: bool
    addresses: list[str]
    left_scope: Count
    left_for: list[str]


class Story(SpecModel):
    """How the scan went. `reach` is null for files, which nobody goes anywhere for."""

    command: list[str]
    program: Program
    ended: Ended
    reach: Reach | None


class Scanned(Ingested):
    """What became of a scanner's output, and how the scan went."""

    scan: Story
