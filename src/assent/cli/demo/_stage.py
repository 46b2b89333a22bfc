"""Shows a command and runs exactly what was shown: one line, a shell, the real output, and a check of how it ended."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from assent.cli.terminal._output import Output
from assent.errors import Json, WorldError

KILLED: Final = 128 + 9
"""How a shell reports a process that SIGKILL ended."""

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Fold:
    """Which lines of a long output are shown: the first, and windows of so many lines from where a text begins."""

    head: int = 30
    windows: tuple[tuple[str, int], ...] = ()

    def apply(self, lines: Sequence[str]) -> list[str]:
        """The lines to show, in order."""
        kept = set(range(self.head))
        plain = [_COLOUR.sub("", line) for line in lines]
        for text, count in self.windows:
            start = next((at for at, line in enumerate(plain) if text in line), None)
            if start is not None:
                kept |= set(range(start, start + count))
        return [line for at, line in enumerate(lines) if at in kept]


WHOLE: Final = Fold()


class Stage:
    """Runs the commands of the demo in its project folder. Every one of them is kept in `commands`, with how it ended."""

    def __init__(self, out: Output, folder: Path, environ: Mapping[str, str]) -> None:
        self._out = out
        self._paint = out.paint()
        self._width = shutil.get_terminal_size().columns
        self._folder = folder
        self._environ = dict(environ)
        if self._paint.enabled:
            self._environ["CLICOLOR_FORCE"] = "1"
        self.commands: list[dict[str, Json]] = []

    def title(self, text: str) -> None:
        """The heading of a scene."""
        self._answer(self._paint(f"\n== {text}", "bold"))

    def say(self, text: str) -> None:
        """A sentence between the commands."""
        self._answer(text)

    def enter(self, lines: Sequence[str]) -> None:
        """Show how a shell comes to where the commands run."""
        for line in lines:
            self._answer(self._paint(f"$ {line}", "cyan"))

    def run(self, line: str, *, expect: int = 0, fold: Fold = WHOLE) -> str:
        """Show the line, run it and show what `fold` leaves of its output, both streams together; all of it, without colour.

        `DEMO_FAILED` for another code.
        """
        self._answer(self._paint(f"$ {line}", "cyan"))
        ended = subprocess.run(  # noqa: S603 - the demo's own lines, shown before they run
            ["/bin/sh", "-c", line],
            cwd=self._folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="backslashreplace",
            check=False,
        )
        code = 128 - ended.returncode if ended.returncode < 0 else ended.returncode
        lines = [line for line in ended.stdout.splitlines() if line.strip()]
        for one in fold.apply(lines):
            self._answer(self._clipped(one))
        if code:
            killed = ", killed by SIGKILL" if code == KILLED else ""
            self._answer(self._paint(f"  [exit code {code}{killed}]", "dim"))
        self.commands.append({"command": line, "exit_code": code, "expected": expect})
        output = _COLOUR.sub("", ended.stdout)
        if code != expect:
            raise failed(f"`{line}` ended with exit code {code}, not {expect}", output=output)
        return output

    def check(self, holds: bool, otherwise: str) -> None:  # noqa: FBT001 - the condition reads first, as in `assert`
        """`DEMO_FAILED` unless the condition holds."""
        if not holds:
            raise failed(otherwise)

    def _clipped(self, line: str) -> str:
        """A line as wide as the terminal at most, so that none takes two; what is typed again is never cut."""
        plain = _COLOUR.sub("", line)
        return line if len(plain) <= self._width else f"{plain[: self._width - 1]}…"

    def _answer(self, text: str) -> None:
        if not self._out.is_json:
            self._out.answer(text)


def failed(what: str, *, output: str = "") -> WorldError:
    """The demo did not go as it says."""
    details: dict[str, Json] = {"output": output[-4000:]} if output else {}
    return WorldError(
        "DEMO_FAILED",
        f"the demo did not go as it should: {what}",
        hint="please report it with what is printed above",
        details=details,
    )
