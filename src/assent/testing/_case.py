"""One example of a call: its inputs, the world it meets, and what may be seen of that world."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from assent.errors import InputError, Json
from assent.invocation import BoundCapability
from assent.versions.samples import samples

LIMIT_S: Final = 20.0
"""How long a whole clause may take."""


def _no_world() -> object:
    return None


def _nothing(folder: Path) -> None:
    del folder


@dataclass(frozen=True, slots=True)
class Case:
    """One example of a call.

    `files` stand in the workspace before it (path to text or bytes; None makes a folder). `arrange` does whatever else has to be
    done first, also to a world of your own; it is given the workspace's folder, and starts that world anew each time. `observe`
    is asked for what can be seen of your own world: anything that compares, or None where the workspace is all there is.
    `refused` are inputs that must not be taken, besides those that the suite makes up. `fails` is the code of the error that
    `execute` ends with. `limit_s` bounds one clause, in seconds.
    """

    inputs: Mapping[str, Json] = field(default_factory=dict)
    name: str = ""
    files: Mapping[str, str | bytes | None] = field(default_factory=dict)
    arrange: Callable[[Path], object] = _nothing
    observe: Callable[[], object] = _no_world
    refused: Sequence[Mapping[str, Json]] = ()
    fails: str | None = None
    limit_s: float = LIMIT_S

    def prepare_world(self, folder: Path) -> None:
        """Put the case's world in place."""
        for path, content in self.files.items():
            target = folder / path
            if content is None:
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
        self.arrange(folder)

    @classmethod
    def made_for(cls, bound: BoundCapability, *, count: int = 3) -> tuple[Case, ...]:
        """Cases made from the schema of the inputs, for a capability whose world needs no preparation; empty when none can be."""
        try:
            seed = bound.spec.id.encode()
            made = list(
                islice(samples(bound.spec.parameters or {"type": "object"}, seed=seed, count=count), count)
            )
        except InputError:
            return ()
        return tuple(
            cls(inputs, name=f"made {index}") for index, inputs in enumerate(made) if isinstance(inputs, dict)
        )
