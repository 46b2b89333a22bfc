"""The door of one command: its flags, its settings, its streams, and the way to the runtime."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from assent.cli.terminal._output import Output, is_a_terminal
from assent.spec.words.legible import safe_line

if TYPE_CHECKING:
    from assent.runtime.service.requests import OnProgress, Request, Stream
    from assent.runtime.settings.effective import Settings

A = TypeVar("A")


class Service(Protocol):
    """What the door asks: the application service, as `assent.runtime.service.process` is; tests can stand in for it."""

    def perform(
        self,
        request: Request[A],
        settings: Settings,
        *,
        on_progress: OnProgress | None = None,
        ident: str | None = None,
    ) -> A: ...

    def stream(self, request: Stream[A], settings: Settings) -> Iterator[A]: ...


class Flags:
    """What was said on the command line about where and as whom; the same on every command."""

    def __init__(self) -> None:
        self.workspace: Path | None = None
        self.state: Path | None = None
        self.policy: Path | None = None
        self.principal: str | None = None
        self.yes = False

    def words(self) -> list[str]:
        """The flags as they have to be typed again to meet the same state."""
        words: list[str] = []
        for name, value in (
            ("--workspace", self.workspace),
            ("--state", self.state),
            ("--policy", self.policy),
        ):
            if value is not None:
                words += [name, str(value)]
        return words


class Door:
    """One invocation. `operation` is what it asked of a run last, for the exit code."""

    def __init__(self, environ: Mapping[str, str], cwd: Path, service: Service | None = None) -> None:
        self.environ = environ
        self.cwd = cwd
        self.flags = Flags()
        self.out = Output(environ)
        self.operation: str | None = None
        self.interrupted_run: str | None = None
        self.is_quiet = False
        """Of a run that succeeds, only what came out is wanted."""
        self._service = service

    @cached_property
    def settings(self) -> Settings:
        """The resolved settings; CONFIG_INVALID, WORKSPACE_MISSING, IDENTITY_REFUSED."""
        return self.resolve()

    def resolve(self) -> Settings:
        """The same, read anew."""
        from assent.runtime.settings.effective import Settings

        return Settings.resolve(
            workspace=self.flags.workspace,
            state=self.flags.state,
            policy=self.flags.policy,
            principal=self.flags.principal,
            environ=self.environ,
            cwd=self.cwd,
        )

    @property
    def has_resolved(self) -> bool:
        """The settings are known, so that asking for them costs and raises nothing."""
        return "settings" in self.__dict__

    @property
    def service(self) -> Service:
        """The application service."""
        if self._service is None:
            from assent.runtime.service import process

            self._service = process
        return self._service

    @property
    def can_ask(self) -> bool:
        """A person is there to answer, and the answer is not for a program."""
        return not self.out.is_json and is_a_terminal(sys.stdin) and is_a_terminal(sys.stderr)

    def perform(
        self, request: Request[A], on_progress: OnProgress | None = None, *, ident: str | None = None
    ) -> A:
        """What the service answers to a request. `ident`: the id under which it is asked."""
        from assent.runtime.service.requests import Driving, operation_of

        if isinstance(request, Driving):
            self.operation = operation_of(type(request))
        return self.service.perform(request, self.settings, on_progress=on_progress, ident=ident)

    def stream(self, request: Stream[A]) -> Iterator[A]:
        """The parts of an answer that has many."""
        return self.service.stream(request, self.settings)

    def command(self, *words: str) -> str:
        """A command line that can be typed again, with the flags that lead to the same state."""
        return safe_line(shlex.join(["assent", *words, *self.flags.words()]))
