"""The door of one command: its flags, its settings, its streams, and the way to the runtime."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from assent.cli._facade import Facade, OnProgress, Reading, Result
from assent.cli._output import Output, is_a_terminal
from assent.errors import Json

if TYPE_CHECKING:
    from assent.runtime.settings import Settings


@dataclass(slots=True)
class Flags:
    """What was said on the command line about where and as whom; the same on every command."""

    workspace: Path | None = None
    state: Path | None = None
    policy: Path | None = None
    principal: str | None = None
    yes: bool = False

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
    """One invocation. `operation` is what it asks of a run, for the exit code."""

    def __init__(self, environ: Mapping[str, str], cwd: Path, facade: Facade | None = None) -> None:
        self.environ = environ
        self.cwd = cwd
        self.flags = Flags()
        self.out = Output(environ)
        self.operation: str | None = None
        self.interrupted_run: str | None = None
        self._facade = facade

    @cached_property
    def settings(self) -> Settings:
        """The resolved settings; CONFIG_INVALID, WORKSPACE_MISSING, IDENTITY_REFUSED."""
        from assent.runtime.settings import Settings

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

    @cached_property
    def facade(self) -> Facade:
        """The runtime."""
        if self._facade is not None:
            return self._facade
        from assent.runtime import api

        facade: Facade = api
        return facade

    @property
    def can_ask(self) -> bool:
        """A person is there to answer, and the answer is not for a program."""
        return not self.out.is_json and is_a_terminal(sys.stdin) and is_a_terminal(sys.stderr)

    def request(self, operation: str, **fields: Json) -> dict[str, Json]:
        """A request to the runtime, with who asks for it."""
        self.operation = operation
        settings = self.settings
        return {
            "op": operation,
            **fields,
            "principal": str(settings.principal),
            "asserted": settings.asserted,
            "environment": settings.environment,
        }

    def execute(self, request: Mapping[str, Json], on_progress: OnProgress | None = None) -> Result:
        """What the runtime answers to a request."""
        return self.facade.execute(request, self.settings, on_progress=on_progress)

    def reader(self) -> AbstractContextManager[Reading]:
        """The state, for reading."""
        return self.facade.Reader.open(self.settings)

    def command(self, *words: str) -> str:
        """A command line that can be typed again, with the flags that lead to the same state."""
        return shlex.join(["assent", *words, *self.flags.words()])
