"""What `sys.exec.*` takes, as users write it, and what it answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from assent.spec.capability import SpecModel
from assent.spec.types import Duration, SecretText, WorkspacePath

Words = Annotated[
    list[Annotated[str, Field(max_length=65_536, pattern=r"^[^\x00]*$")]],
    Field(
        min_length=1,
        max_length=1024,
        description="the program and its arguments, each as it is: no shell reads them",
    ),
]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Input = Annotated[
    str | None, Field(max_length=1 << 20, description="what the program reads from its standard input")
]
Limit = Annotated[
    Duration | None, Field(description="how long it may take, where that is less than the sandbox allows")
]
Check = Annotated[
    bool, Field(description="fail when the program ends with another exit code than 0; else it is told")
]
Patterns = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=1024)]],
    Field(
        max_length=256,
        description="what is written here is not taken over, in the patterns of `.gitignore`",
    ),
]


class Run(SpecModel):
    """What to run."""

    argv: Words
    cwd: WorkspacePath = "."
    environment: Annotated[
        dict[Variable, SecretText],
        Field(
            max_length=128,
            description="variables that the rule lets a caller set; a value may hold `secret://NAME`",
        ),
    ] = Field(default_factory=dict)
    stdin: Input = None
    timeout: Limit = None
    check: Check = True


class RunCaptured(SpecModel):
    """What to run, and which of its writes to leave out."""

    argv: Words
    cwd: WorkspacePath = "."
    environment: Annotated[
        dict[Variable, Annotated[str, Field(max_length=65_536)]],
        Field(max_length=128, description="variables that the rule lets a caller set"),
    ] = Field(default_factory=dict)
    stdin: Input = None
    timeout: Limit = None
    check: Check = True
    ignore: Patterns = Field(default_factory=list)


Count = Annotated[int, Field(ge=0)]


class Log(SpecModel):
    """The whole of a stream that is too long for the output, beside it (`assent show RUN --attachment DIGEST`)."""

    blob: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    bytes: Count


class Stream(SpecModel):
    """What came out of a program. `text` is its end when it is cut; bytes that are no UTF-8 are replaced in it."""

    text: str
    bytes: Count
    is_cut: bool
    log: Log | None


class Used(SpecModel):
    """What the program used."""

    cpu_ms: Count
    memory_bytes: Count
    wall_ms: Count


class Ran(SpecModel):
    """How a program ended. Without an exit code a signal ended it."""

    exit_code: int | None
    signal: int | None
    stdout: Stream
    stderr: Stream
    used: Used


class Changed(SpecModel):
    """One path that the program changed; `bytes` is the size of all files there now."""

    path: str
    change: Literal["added", "changed", "removed"]
    kind: Literal["file", "directory", "symlink"]
    bytes: Count


class RanCaptured(Ran):
    """How a program ended, and what of its writes the workspace took over: at most 1000 paths are listed, `count` are there."""

    changes: list[Changed]
    count: Count
    ignored: Count
