"""Real processes without their start: one that has imported everything forks a child for each command line.

Importing takes six times as long as a command itself, and the tests have thousands of commands. Each child is a process of its
own: it opens the state, has its own threads and locks, minds signals, and dies of SIGKILL like any other. What begins with the
start (imports, an interrupt meanwhile) is tried where a process is started anew.

Whoever starts a child gives it the three streams over a socket, and hears over the same one that it began and how it ended. A
shell does that through a program of a few lines, which stands on its path as `assent` (see `Nursery.on_path`).
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import json
import marshal
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NoReturn, Self, TypeAlias

from coverage import process_startup

Order: TypeAlias = "tuple[str, tuple[str, ...], str, dict[str, str]]"
"""`assent` or `python`, its words, the folder it is typed in, and its environment."""


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


class Child:
    """A process under way, with the face of `subprocess.Popen`."""

    def __init__(self, connection: socket.socket, *streams: IO[str] | None) -> None:
        self._connection = connection
        self._told = connection.makefile("r")
        self.stdin, self.stdout, self.stderr = streams or (None, None, None)
        self.pid = int(self._told.readline())
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, negative for the signal that it died of."""
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._connection, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise subprocess.TimeoutExpired("assent", timeout or 0)
            self.returncode = int(self._told.readline())
            self._told.close()
            self._connection.close()
        return self.returncode

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it now."""
        self.send_signal(signal.SIGKILL)


class Nursery:
    """Starts command lines of `assent`, and Python programs, each in a fresh fork."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder
        """A folder with an `assent` and a `python` that are forked here."""

    @classmethod
    @contextmanager
    def open(cls, env: Mapping[str, str]) -> Iterator[Self]:
        """A nursery, ended when the context is left."""
        with tempfile.TemporaryDirectory(prefix="nursery-") as folder:
            address = f"{folder}/socket"
            for name, kind in (("assent", "assent"), ("python", "python")):
                shim = Path(folder, name)
                shim.write_text(_SHIM.format(python=sys.executable, address=address, kind=kind))
                shim.chmod(0o755)
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(address)
                listening.listen(64)
                command = [sys.executable, __file__, str(listening.fileno())]
                process = subprocess.Popen(
                    command, env=dict(env), stdin=subprocess.PIPE, pass_fds=[listening.fileno()]
                )
            with process:
                try:
                    yield cls(Path(folder))
                finally:
                    assert process.stdin is not None
                    process.stdin.close()

    def on_path(self, env: Mapping[str, str]) -> dict[str, str]:
        """An environment in which `assent` and `python` of a shell are forked here."""
        return {**env, "PATH": f"{self.bin}{os.pathsep}{env['PATH']}"}

    def start(
        self, *words: str, cwd: Path, env: Mapping[str, str], kind: str = "assent", is_typed_to: bool = False
    ) -> Child:
        """Start `assent WORDS…`, or as `python` a program; nothing comes from its stdin unless it is typed to."""
        (out, told), (err, said) = os.pipe(), os.pipe()
        stdin, typed = os.pipe() if is_typed_to else (os.open(os.devnull, os.O_RDONLY), None)
        connection = self._order((kind, words, str(cwd), dict(env)), stdin, told, said)
        for descriptor in (stdin, told, said):
            os.close(descriptor)
        keyboard = None if typed is None else os.fdopen(typed, "w")
        return Child(connection, keyboard, os.fdopen(out), os.fdopen(err))

    def run(self, *words: str, cwd: Path, env: Mapping[str, str], kind: str = "assent") -> Ended:
        """Run `assent WORDS…`, or as `python` a program, to its end; nothing comes from its stdin."""
        out, err, trace = (os.memfd_create(name) for name in ("out", "err", "trace"))
        with Path(os.devnull).open() as nothing:
            order = (kind, words, str(cwd), dict(env))
            code = Child(self._order(order, nothing.fileno(), out, err, trace)).wait()
        return Ended(code, _drain(out), _drain(err), tuple(_drain(trace).split()))

    def _order(self, order: Order, *streams: int) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self.bin / "socket"))
        data = marshal.dumps(order)
        socket.send_fds(connection, [len(data).to_bytes(8, "big")], streams)
        connection.sendall(data)
        return connection


def _drain(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(descriptor, "rb") as file:
        return file.read().decode()


_SHIM = """\
#!{python} -IS
import marshal, os, sys
from _socket import socket
nursery = socket(1, 1)
nursery.connect({address!r})
order = marshal.dumps(({kind!r}, tuple(sys.argv[1:]), os.getcwd(), dict(os.environ)))
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
nursery.sendmsg([len(order).to_bytes(8, "big")], [(1, 1, streams)])
nursery.sendall(order)
told = b""
while told.count(b"\\n") < 2:
    told += nursery.recv(64)
code = int(told.split()[1])
os._exit(code) if code >= 0 else os.kill(os.getpid(), -code)
"""
"""What a shell starts for `assent`: as little as a process that hands over its streams can be."""


def _serve(listening: socket.socket) -> None:
    sys.path[0] = str(Path(__file__).parents[2])  # and not the folder of this file
    from tests.support.disk import without_waiting

    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy would start threads, and whoever forks has none
    # Loaded here, so that no child has to.
    for name in (
        "assent",
        "assent.cli._main",
        "assent.cli.knowledge._acts",
        "assent.cli.record._audit",
        "assent.cli.runs._history",
        "assent.cli.runs._interventions",
        "assent.cli.runs._run",
        "assent.knowledge.asking",
        "assent.knowledge.store",
        "assent.policy._permissions",
        "assent.runtime.service._informed",
        "assent.runtime.service._owner",
        "assent.runtime.service._recorded",
        "assent.runtime.service.process",
        "assent.spec.workflow._workflow_parse",
        "cryptography.hazmat.primitives.asymmetric.ed25519",
        "cryptography.hazmat.primitives.kdf.hkdf",
        "jsonschema_rs",
        "yaml",
    ):
        import_module(name)
    from assent.capabilities import builtin_catalog

    for _, handler in builtin_catalog():
        handler.loaded()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.freeze()
    living: dict[int, tuple[int, socket.socket]] = {}
    with without_waiting(), selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(listening, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == 0:  # whoever opened the nursery is gone
                    for pid, _ in living.values():
                        os.kill(pid, signal.SIGKILL)
                    return
                if key.fileobj is listening:
                    connection, _ = listening.accept()
                    pid = _fork(connection)
                    connection.sendall(f"{pid}\n".encode())
                    ending = os.pidfd_open(pid)
                    living[ending] = pid, connection
                    selector.register(ending, selectors.EVENT_READ)
                    # Whoever started it never writes again: this is his end, and then its own.
                    selector.register(connection, selectors.EVENT_READ, ending)
                elif key.data is not None:
                    selector.unregister(key.fileobj)
                    os.kill(living[key.data][0], signal.SIGKILL)
                else:
                    pid, connection = living.pop(key.fd)
                    _, status = os.waitpid(pid, 0)
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    with suppress(KeyError):
                        selector.unregister(connection)
                    with connection, suppress(OSError):
                        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _fork(connection: socket.socket) -> int:
    head, streams, _, _ = socket.recv_fds(connection, 8, 4)
    size = int.from_bytes(head, "big")
    order = b""
    while len(order) < size:
        order += connection.recv(size - len(order))
    pid = os.fork()
    if pid == 0:
        _live(marshal.loads(order), streams)
    for stream in streams:
        os.close(stream)
    return pid


def _live(order: Order, streams: list[int]) -> NoReturn:
    kind, words, cwd, env = order
    for number, stream in enumerate([fcntl.fcntl(stream, fcntl.F_DUPFD, 64) for stream in streams]):
        os.dup2(stream, number)
    os.closerange(max(3, len(streams)), 1024)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = [place for place in env.get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
    sys.stdout.reconfigure(line_buffering="PYTHONUNBUFFERED" in env or os.isatty(1))
    sys.stderr.reconfigure(line_buffering=True, errors="backslashreplace")
    if "COVERAGE_PROCESS_CONFIG" in env:
        process_startup(force=True)
    code = 1
    try:
        if kind == "python" and words[:2] != ("-m", "assent"):
            _run_program(words)
            code = 0
        else:
            sys.argv = ["assent", *words[2 if kind == "python" else 0 :]]
            from assent.cli import entry

            entry()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as Python would tell it
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    if len(streams) > 3:
        from assent.failpoints import FAILPOINTS

        os.write(3, " ".join(FAILPOINTS.trace).encode())
    os._exit(code)


def _run_program(words: tuple[str, ...]) -> None:
    if words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        sys.path.insert(0, "")
        exec(words[1], {"__name__": "__main__"})
    elif words[0] == "-m":
        sys.argv = [*words[1:]]
        sys.path.insert(0, "")
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [*words]
        sys.path.insert(0, str(Path(words[0]).resolve().parent))
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
