"""Real processes without their start: one that has imported everything forks a child for each command line.

Importing takes six times as long as a command itself, and a crash matrix has hundreds of commands. Each child is a process of
its own: it opens the state, has its own threads and locks, and dies of SIGKILL like any other.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code (negative: the signal it died of), what it said, and the failpoints it reached.

    `trace` is empty for one that was killed, and for one in which none was armed.
    """

    code: int
    out: str
    err: str
    trace: tuple[str, ...] = ()

    def json(self) -> Any:  # `Any`: whatever the command answered
        """The answer on stdout."""
        return json.loads(self.out)


class Nursery:
    """Runs command lines of `assent`, one at a time, each in a fresh fork."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @classmethod
    @contextmanager
    def open(cls, env: Mapping[str, str]) -> Iterator[Self]:
        """A nursery, ended when the context is left."""
        with subprocess.Popen(
            [sys.executable, __file__],
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield cls(process)
            finally:
                assert process.stdin is not None
                process.stdin.close()

    def run(self, *words: str, cwd: Path, env: Mapping[str, str]) -> Ended:
        """Run `assent WORDS…` to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"words": words, "cwd": str(cwd), "env": dict(env)}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        return Ended(told["code"], told["out"], told["err"], tuple(told["trace"]))


# -- inside the process that forks -------------------------------------------------------------------------------------


def _serve() -> None:
    # Loaded here, so that no child has to.
    for name in (
        "cli.runs._interventions",
        "cli.runs._run",
        "runtime.service._informed",
        "runtime.service._owner",
    ):
        import_module(f"assent.{name}")
    import_module("assent.runtime.service._recorded")
    orders, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    gc.freeze()
    for line in orders:
        order = json.loads(line)
        out, err, trace = (os.memfd_create(name) for name in ("out", "err", "trace"))
        child = os.fork()
        if child == 0:
            _live(order, (out, err, trace))
        _, status = os.waitpid(child, 0)
        told = {"out": _drain(out), "err": _drain(err), "trace": _drain(trace).split()}
        answers.write(json.dumps({"code": os.waitstatus_to_exitcode(status), **told}) + "\n")
        answers.flush()


def _live(order: Mapping[str, Any], files: tuple[int, int, int]) -> None:  # `Any`: what `run` wrote
    out, err, trace = files
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    from assent.cli import main
    from assent.failpoints import FAILPOINTS

    code = 70
    try:
        code = main(order["words"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(trace, " ".join(FAILPOINTS.trace).encode())
        os._exit(code)


def _drain(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(descriptor, "rb") as file:
        return file.read().decode()


if __name__ == "__main__":
    _serve()
