"""Confined programs: what holds on this machine, running one, and what it has written."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Literal, Self

from assent.errors import AssentError, InputError, WorldError
from assent.sandbox import _layer
from assent.sandbox._capture import Capture, CaptureLimits, captured
from assent.sandbox._child import Child, OnOutput, Pump
from assent.sandbox._confinement import Confinement, Ended
from assent.sandbox._detect import detect, why_no_scope
from assent.sandbox._held import remove_tree
from assent.sandbox._launcher import Launcher, encode
from assent.sandbox._layer import Layer
from assent.sandbox._plan import Machine, Plan, View, overlay_plan, plan_of, unconfined_plan
from assent.sandbox._scratch import Scratch
from assent.sandbox._walls import Holds

BackendChoice = Literal["auto", "bubblewrap", "native"]
_FOUND: Final[dict[str, tuple[Machine, Holds]]] = {}
_FINDING: Final = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Streams:
    """The ends of a program's pipes: the ones that it gets, and ours."""

    stdin: int
    stdout: int
    stderr: int
    ours: tuple[int, int, int]


class Sandbox:
    """Runs programs behind the walls that stand on this machine. Made by `detect`; `close` ends all that still runs."""

    def __init__(self, launcher: Launcher, machine: Machine, holds: Holds, *, unconfined: bool) -> None:
        self._launcher = launcher
        self._machine = machine
        self._unconfined = unconfined
        self._overlays: dict[tuple[int, int], bool] = {}
        self._scope: tuple[str | None] | None = None
        self.holds = holds

    @classmethod
    def detect(cls, *, backend: BackendChoice = "auto", unconfined: bool = False) -> Self:
        """The sandbox of this machine. The first call of a process tries the walls out, which takes some 50 ms.

        `unconfined` lets programs run without walls where none stand: only what the operator has written down may set it. Nothing
        is raised where nothing holds; `holds` tells, and `run` refuses.
        """
        launcher = Launcher()
        with _FINDING:
            if backend not in _FOUND:
                _FOUND[backend] = detect(launcher, backend)
            machine, holds = _FOUND[backend]
        return cls(launcher, machine, holds, unconfined=unconfined)

    def close(self) -> None:
        """End the launcher and every program that still runs. Harmless when called twice."""
        self._launcher.close()

    @property
    def launcher_id(self) -> int | None:
        """The process that starts programs and does all the work for them; None before it is needed."""
        return self._launcher.process_id

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def run(
        self,
        argv: Sequence[str],
        confinement: Confinement,
        *,
        stdin: bytes | None = None,
        on_output: OnOutput | None = None,
        on_start: Callable[[Child], None] | None = None,
    ) -> Ended:
        """Run a program to its end; nothing of it is left when this returns, also when it is cancelled.

        Output goes to `on_output`, or is kept in the answer. `on_start` is given the running program, to end it early.
        Raises `WorldError` SANDBOX_UNAVAILABLE (nothing holds here), SANDBOX_FAILED, SANDBOX_LAYER_FULL, `InputError`
        SANDBOX_INVALID, SANDBOX_PROGRAM.
        """
        child = await self._start(argv, confinement, with_input=stdin is not None)
        pump = Pump(child, stdin=stdin, on_output=on_output, most=confinement.limits.output_bytes)
        try:
            if on_start is not None:
                on_start(child)
            await pump.run()
        except BaseException:
            child.kill()
            await child.wait()
            raise
        ended = await child.wait()
        limit = ended.limit
        if limit is None and pump.count > confinement.limits.output_bytes:
            limit = "output_bytes"  # It ended by itself while too much of it was still in the pipes, and that is lost.
        return replace(
            ended,
            limit=limit,
            stdout=bytes(pump.kept["stdout"]),
            stderr=bytes(pump.kept["stderr"]),
            output_bytes=pump.count,
        )

    async def start(self, argv: Sequence[str], confinement: Confinement) -> Child:
        """Start a program that stays: its pipes are the caller's. The bound on output is the caller's too.

        Raises as `run` does, except for what `Child.wait` tells.
        """
        return await self._start(argv, confinement, with_input=True)

    async def _start(self, argv: Sequence[str], confinement: Confinement, *, with_input: bool) -> Child:
        self.require()
        if not argv or any("\0" in word for word in argv):
            raise InputError("SANDBOX_INVALID", "a program is a list of texts that is not empty")
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        is_quick = confinement.layer is None and confinement.scope is None
        if is_quick and (self._machine.namespaces or self._machine.wrapper):
            scratch, plan = self._plan(argv, confinement)
        else:
            scratch, plan = await self._planned(argv, confinement)
        streams = _open_streams(with_input=with_input)
        try:
            control = self._launcher.request(streams.stdin, streams.stdout, streams.stderr)
        except BaseException:
            _close(streams.ours)
            if scratch is not None:
                scratch.remove()
            raise
        finally:
            _close((streams.stdin, streams.stdout, streams.stderr))
        stdin, stdout, stderr = streams.ours
        child = Child(control, stdin=stdin, stdout=stdout, stderr=stderr, began_s=began_s, scratch=scratch)
        try:
            await loop.sock_sendall(control, encode(plan))
        except BaseException as error:
            child.kill()
            _close(streams.ours)
            with suppress(AssentError):
                await child.wait()
            if isinstance(error, OSError):
                raise WorldError(
                    "SANDBOX_FAILED", "what starts a program ended before it was told which"
                ) from error
            raise
        return child

    def require(self, section: str = "sandbox") -> None:
        """Raise `WorldError` SANDBOX_UNAVAILABLE where nothing holds and nobody has switched the walls off by name.

        `section`: of assent.toml, where that is done.
        """
        if not self.holds.is_confined and not self._unconfined:
            remedy = next(iter(self.holds.missing.values()), "`assent doctor` shows what is missing")
            raise WorldError(
                "SANDBOX_UNAVAILABLE",
                "programs can't be confined on this machine",
                hint=f"{remedy}. `unconfined = true` under `[{section}]` runs them without walls",
            )

    def scope_missing(self) -> str | None:
        """Why a program's network can't be made to end at a scope on this machine; None: it can. The first look takes 50 ms."""
        if self._scope is None:
            self._scope = (why_no_scope(self._launcher, self._machine, self.holds),)
        return self._scope[0]

    def _require_scope(self) -> None:
        missing = self.scope_missing()
        if missing is not None:
            raise WorldError(
                "SANDBOX_UNAVAILABLE",
                "the network of a program can't be made to end at a scope on this machine",
                hint=missing,
            )

    async def _planned(self, argv: Sequence[str], confinement: Confinement) -> tuple[Scratch | None, Plan]:
        """The plan, made in a thread: copying a workspace takes its time.

        Whoever gives up waits for it, since nobody else would remove what it makes until the process ends.
        """
        planning = asyncio.get_running_loop().run_in_executor(None, partial(self._plan, argv, confinement))
        try:
            return await asyncio.shield(planning)
        except asyncio.CancelledError:
            await asyncio.wait({planning})
            if not planning.cancelled() and planning.exception() is None:
                scratch, _ = planning.result()
                if scratch is not None:
                    scratch.remove()
            raise

    def _plan(self, argv: Sequence[str], confinement: Confinement) -> tuple[Scratch | None, Plan]:
        _check(confinement)
        layer = None if confinement.layer is None else self._layer(confinement, confinement.layer)
        machine = self._machine
        if confinement.scope is not None:
            self._require_scope()
            machine = replace(machine, wrapper=None)
        is_plain = not machine.namespaces and machine.wrapper is None
        scratch = Scratch.make() if is_plain else None
        try:
            view = View.of(confinement, layer, None if scratch is None else str(scratch.path))
            if not self.holds.is_confined:
                return scratch, unconfined_plan(view, argv)
            return scratch, plan_of(view, argv, machine)
        except BaseException:
            if scratch is not None:
                scratch.remove()
            raise

    def _layer(self, confinement: Confinement, folder: Path) -> Layer:
        """The layer in this folder, made for its workspace if it is new."""
        folder = Path(os.path.realpath(folder))
        root = Path(os.path.realpath(confinement.root))
        found = _layer.read_layer(folder)
        if found is not None:
            if found.root != root:
                raise InputError("SANDBOX_INVALID", f"the layer `{folder}` lies over another workspace")
            return found
        hidden = tuple(os.path.realpath(path) for path in confinement.hidden)
        layer = _layer.new_layer(folder, root, hidden, confinement.unfinished)
        if not self._takes_overlay(layer):
            layer = _layer.copy_workspace(layer, bytes_max=confinement.limits.layer_bytes)
        _layer.record(layer)
        return layer

    def _takes_overlay(self, layer: Layer) -> bool:
        """Whether the kernel lays an overlay over this workspace with its changes in this folder. Asked once for each pair of
        disks.
        """
        if not self._machine.namespaces or not self.holds.is_confined:
            return False
        disks = (layer.root.stat().st_dev, layer.folder.stat().st_dev)
        if disks not in self._overlays:
            answer, _ = self._launcher.try_out(overlay_plan(layer, self._machine))
            self._overlays[disks] = answer.get("status") == 0
        return self._overlays[disks]

    def captured(self, layer: Path, *, limits: CaptureLimits | None = None) -> Capture:
        """What programs have written to a layer, compared with the workspace as it is now; no program may be running on it.

        Reads every changed file of a copied layer. Raises `WorldError` SANDBOX_LAYER_FULL past the limits.
        """
        found = _layer.read_layer(Path(os.path.realpath(layer)))
        return captured(found, limits or CaptureLimits())

    @staticmethod
    def discard(layer: Path) -> None:
        """Remove a layer with all that was written to it. Harmless when it is gone."""
        remove_tree(layer)


def _check(confinement: Confinement) -> None:
    folders = (*confinement.hidden, *confinement.read_only, *confinement.writable)
    for path in (confinement.root, *folders, confinement.layer):
        if path is not None and not path.is_absolute():
            raise InputError("SANDBOX_INVALID", f"`{path}` must be an absolute path")
    if confinement.scope is not None and not confinement.network:
        raise InputError("SANDBOX_INVALID", "a scope needs a network that ends there")
    if not confinement.root.is_dir():
        raise InputError("SANDBOX_INVALID", f"the workspace `{confinement.root}` is not a folder")
    begin = os.path.normpath(os.path.join("/w", confinement.cwd))
    if os.path.isabs(confinement.cwd) or not Path(begin).is_relative_to("/w"):
        raise InputError(
            "SANDBOX_INVALID", f"the working folder `{confinement.cwd}` lies outside the workspace"
        )
    _check_environment(confinement.environment)


def _check_environment(environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        if not name or "=" in name or "\0" in name + value:
            raise InputError("SANDBOX_INVALID", f"`{name}` can't be a variable of an environment")


def _open_streams(*, with_input: bool) -> _Streams:
    if with_input:
        their_input, our_input = os.pipe()
    else:
        their_input, our_input = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), -1
    our_output, their_output = os.pipe()
    our_errors, their_errors = os.pipe()
    return _Streams(
        stdin=their_input,
        stdout=their_output,
        stderr=their_errors,
        ours=(our_input, our_output, our_errors),
    )


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)
