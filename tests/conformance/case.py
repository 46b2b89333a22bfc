"""How a capability is put to the test: the world that it meets, what it is called with, and what may be seen of that world.

**For authors.** Each area has a module here (`fs.py`, `sys.py`, `net.py`, …) with a tuple `CASES`; it is found by itself. A
capability has one case:

    Case(
        "io.fs.copy",
        inputs={"source": "a.txt", "destination": "b.txt"},
        files={"a.txt": "one\n"},
        bad=[{"source": "a.txt"}],
        escapes=[Escape({"source": "../outside/canary.txt", "destination": "b.txt"}, "PATH_ESCAPES")],
    )

While its cases are still to come it stands in `LANDING` of `test_conformance.py`; take it out with the case. Then
`python -m tools.write_conformance AREA` tries the cases of the module and writes `docs/conformance.md`.

- `inputs` may be a function of the `Stage`, where the world decides them (the port of a server, the id of a commit).
- `files` stand in the workspace before; `arrange` does whatever else is needed: it starts servers with
  `stage.open(context_manager)` and keeps what the other functions need in `stage.things`. The call is also the example in
  `docs/capabilities.md` (`python -m tools.write_capabilities`): what differs from time to time gets another text there with
  `stage.shown["http://127.0.0.1:4711"] = "https://api.example.org"`.
- `observe` gives everything that the effect changes, as a value that compares. Of the same call in the same world it has to give
  the same value twice, so it leaves out times and random ids. By default it is the workspace's tree with bytes and modes. An
  effect outside (a server, a database) is observed there: the *state* that it left, not the requests that it took to get there,
  so that a compensating request brings the value before back and a doubled one shows.
- `settings` are more lines for `assent.toml`, `env` more variables for the process; either may be a function of the stage.
- `bad` are inputs that have to be refused before anything happens. Unknown names, missing ones and values of another kind are
  tried in any case.
- `escapes` are inputs that reach for what the capability may not touch, each with the error codes that may refuse it. Beside the
  workspace stands `../outside/canary.txt`, whose text may appear in no answer; `arrange` of an escape prepares its way out.
- `lasting` are inputs that would last for ever (a server that never answers, `sleep infinity`). Without them the call is held
  at its first look at the workspace's files until it is told to end.
- `in_doubt` says why a call that was killed after its effect ends `in_doubt` although there is a `reconcile`. Where there is
  none, `without={"reconcile": "…"}` of `@capability` says it, and nothing has to be said here.
- `variants` are other cases of the same capability that a killed call ends differently for, each with a `name` and `in_doubt`.
  Only killing is tried with them. On what a mark of the main case depends, `provided` says, as a sentence for the table.
- `in_session`: only a session can call it, and a call by itself is refused; it is then tried as the one step of a session.
- `fails` is the code that the call ends with, where failing is the point.
- `without` says of a cell why it can't be tried: a sentence for the table. What follows from the spec (a READ has nothing to
  undo) is derived, and may not be said here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from assent.errors import Json
from tests.support.hands import tree_of, without_times
from tests.support.own_places import own_places

T = TypeVar("T")

CANARY: Final = "the canary that nobody may carry out 7f3a"
"""What stands outside; an answer that holds it has read it."""

_POLICY: Final = """\
version: 1
rules:
  - id: everything
    when: {principal: "user:*"}
    decision: ALLOW
    without_approval: true
    reason: the capability itself is tried here, and nobody is there to be asked
"""


class Cell(StrEnum):
    """A column of the table."""

    PREVIEW = "preview"
    UNDO = "undo"
    RECONCILE = "reconcile"
    TIMEOUT = "timeout"
    BAD_INPUT = "bad input"
    CONFINEMENT = "confinement"


@dataclass
class Stage:
    """One world: a workspace, what stands outside of it, and whatever a case adds."""

    root: Path
    env: dict[str, str]
    _closing: ExitStack
    things: dict[str, Any] = field(default_factory=dict)  # `Any`: whatever a case needs again
    shown: dict[str, str] = field(default_factory=dict)
    control: dict[str, str] = field(default_factory=dict)

    @property
    def workspace(self) -> Path:
        """The folder that a runtime works in."""
        return self.root / "ws"

    @property
    def outside(self) -> Path:
        """A folder that no call may see or change."""
        return self.root / "outside"

    def open(self, manager: AbstractContextManager[T]) -> T:
        """Enter a context that lasts as long as the stage."""
        return self._closing.enter_context(manager)

    def write(self, path: str, content: str | bytes | None) -> None:
        """A file of the workspace with the folders above it; None makes a folder."""
        target = self.workspace / path
        if content is None:
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)


_CONTROL: Final = ("policy.yaml", "assent.toml")


def tree(stage: Stage) -> object:
    """The workspace with bytes and modes, but without what governs it: the state directory, settings and policy."""
    found = without_times(tree_of(stage.workspace))
    return {path: state for path, state in found.items() if path not in _CONTROL}


def control(stage: Stage) -> str:
    """Whether settings and policy are as they were; what stands in them (a port) may differ from one world to the next."""
    found = {name: (stage.workspace / name).read_text() for name in _CONTROL}
    return "as they were" if found == stage.control else f"now {found}"


def nothing(stage: Stage) -> None:
    """A world that needs no more than its files."""
    del stage


Given: TypeAlias = "T | Callable[[Stage], T]"
Inputs: TypeAlias = "Mapping[str, Json] | Callable[[Stage], Mapping[str, Json]]"


def given(value: Given[T], stage: Stage) -> T:
    """A value that may depend on the stage."""
    return value(stage) if callable(value) else value


@dataclass(frozen=True)
class Escape:
    """Inputs that reach for what is out of bounds, and the codes that may refuse them."""

    inputs: Inputs
    codes: str | tuple[str, ...]
    arrange: Callable[[Stage], object] = nothing

    @property
    def refusals(self) -> tuple[str, ...]:
        """The codes."""
        return (self.codes,) if isinstance(self.codes, str) else self.codes


@dataclass(frozen=True)
class Case:
    """One capability's case; see the module's text for each field."""

    capability: str
    inputs: Inputs = field(default_factory=dict)
    files: Mapping[str, str | bytes | None] = field(default_factory=dict)
    arrange: Callable[[Stage], object] = nothing
    observe: Callable[[Stage], object] = tree
    settings: str | Callable[[Stage], str] = ""
    env: Mapping[str, str] | Callable[[Stage], Mapping[str, str]] = field(default_factory=dict)
    bad: Sequence[Inputs] = ()
    escapes: Sequence[Escape] = ()
    lasting: Inputs | None = None
    in_doubt: str = ""
    in_session: bool = False
    fails: str = ""
    name: str = ""
    variants: Sequence[Case] = ()
    provided: Mapping[Cell, str] = field(default_factory=dict)
    without: Mapping[Cell, str] = field(default_factory=dict)

    @contextmanager
    def stage(self, root: Path, env: Mapping[str, str]) -> Iterator[Stage]:
        """The case's world in an empty folder, as it stands before anything is run; `env` is what a process has around it."""
        root.mkdir(parents=True, exist_ok=True)
        with own_places(root, env) as places, ExitStack() as closing:
            stage = Stage(root, places, closing)
            stage.workspace.mkdir()
            stage.outside.mkdir()
            (stage.outside / "canary.txt").write_text(CANARY)
            for place in (stage.outside / "canary.txt", stage.outside):
                # What stands outside is watched with its times, also from one world to the next.
                os.utime(place, ns=(10**18, 10**18))
            for path, content in self.files.items():
                stage.write(path, content)
            self.arrange(stage)
            stage.control = {
                "policy.yaml": _POLICY,
                "assent.toml": f'policy = "policy.yaml"\n{given(self.settings, stage)}',
            }
            for path, text in stage.control.items():
                stage.write(path, text)
            # A policy that others may write is refused, whatever this machine's umask lets through.
            (stage.workspace / "policy.yaml").chmod(0o600)
            stage.env.update(given(self.env, stage))
            yield stage
