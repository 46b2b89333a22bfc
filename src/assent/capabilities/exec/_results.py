"""What `sys.exec.*` answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from assent.spec.capability import SpecModel

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
