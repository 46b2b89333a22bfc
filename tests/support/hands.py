"""Capabilities called without an engine: a workspace on a real folder, a blob store in memory, and calls that keep their key."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel

from assent.capabilities import builtin_capabilities
from assent.capabilities.fs import PRE_IMAGE_BYTES_MAX, Workspace
from assent.invocation import (
    CancelToken,
    Files,
    Handler,
    LocalContext,
    NoEffectError,
    Preview,
    Reconciliation,
    World,
)
from assent.invocation.context.local import CallLife, Surroundings
from assent.spec.ids import RunId, StepKey
from assent.spec.principal import Principal, PrincipalKind

HANDLERS: dict[str, Handler] = {one.id: one.handler for one in builtin_capabilities()}

TreeState: TypeAlias = dict[str, tuple[str, int, int, bytes]]
"""Path to kind, mode, mtime in nanoseconds and content (of a link: its target)."""


class Killed(BaseException):
    """The process dies here; nothing of the code under test may run afterwards."""


class MemoryBlobs:
    """A blob store that keeps its bytes in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, chunks: Iterable[bytes]) -> str:
        data = b"".join(chunks)
        digest = hashlib.sha256(data).hexdigest()
        self.kept[digest] = data
        return digest

    def read(self, digest: str) -> Iterator[bytes]:
        # Small chunks, so that a pack's borders never fall together with those of its files.
        data = self.kept[digest]
        return (data[start : start + 7] for start in range(0, len(data), 7))


@dataclass
class PlainWorld:
    """A world made of any `Files`."""

    files: Files
    is_simulated: bool = False
    is_changed: bool = False
    pre_image_bytes_max: int = PRE_IMAGE_BYTES_MAX

    def simulate(self) -> World:
        raise NotImplementedError


@dataclass
class Step:
    """One call through its life. `context.prepared` has been through JSON, as a journal would put it."""

    handler: Handler
    parameters: Any
    context: LocalContext

    def on(self, world: World) -> Step:
        return replace(self, context=another(self.context, world=world))

    def prepare(self) -> Step:
        assert self.handler.prepare is not None
        prepared: Any = self.handler.prepare(self.context, self.parameters)
        state = json.loads(json.dumps(dict(prepared.state), ensure_ascii=False).encode().decode())
        return replace(self, context=another(self.context, prepared=state))

    def execute(self) -> Any:
        output: Any = self.handler.execute(self.context, self.parameters)
        return output.model_dump(mode="json") if isinstance(output, BaseModel) else output

    def compensate(self) -> Any:
        assert self.handler.compensate is not None
        output: Any = self.handler.compensate(self.context, self.parameters)
        return output

    def reconcile(self) -> Reconciliation:
        assert self.handler.reconcile is not None
        answer: Any = self.handler.reconcile(self.context, self.parameters)
        assert isinstance(answer, Reconciliation)
        return answer

    def preview(self) -> Preview:
        assert self.handler.preview is not None
        shown: Any = self.handler.preview(self.context, self.parameters)
        assert isinstance(shown, Preview)
        return shown


def another(
    context: LocalContext, *, world: World | None = None, prepared: dict[str, Any] | None = None
) -> LocalContext:
    """The same call in another world, or after `prepare`."""
    life = CallLife()
    life.prepared = prepared if prepared is not None else context.prepared
    return LocalContext(
        run=context.run,
        step=context.step,
        attempt=context.attempt,
        principal=context.principal,
        key=context.key,
        world=world if world is not None else context.world,
        blobs=context.blobs,
        cancel=context.cancel,
        keep_pre_image=context.keep_pre_image,
        life=life,
        around=context._around,
    )


@dataclass
class Hands:
    """A workspace and the calls made on it."""

    root: Path
    workspace: Workspace
    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    calls: int = 0
    around: Surroundings = field(default_factory=Surroundings)

    @classmethod
    def on(cls, root: Path, *, pre_image_bytes_max: int = PRE_IMAGE_BYTES_MAX) -> Hands:
        state = root / ".assent"
        state.mkdir(exist_ok=True)
        return cls(root, Workspace.open(root, hidden=[state], pre_image_bytes_max=pre_image_bytes_max))

    def step(
        self, capability: str, /, *, keep: bool = True, handler: Handler | None = None, **parameters: Any
    ) -> Step:
        self.calls += 1
        chosen = handler or HANDLERS[capability]
        assert chosen.parameters is not None
        context = LocalContext(
            run=RunId("run"),
            step=StepKey(f"step{self.calls}"),
            attempt=1,
            principal=Principal(PrincipalKind.USER, "tester"),
            key=f"run/step{self.calls}",
            world=self.workspace,
            blobs=self.blobs,
            cancel=CancelToken(),
            keep_pre_image=keep,
            around=self.around,
        )
        return Step(chosen, chosen.parameters(**parameters), context)

    def do(self, capability: str, /, **parameters: Any) -> Step:
        """Prepare and execute."""
        step = self.step(capability, **parameters).prepare()
        step.execute()
        return step

    def attempt(self, capability: str, /, **parameters: Any) -> Step | str:
        """The executed step, or the code it was refused with."""
        step = self.step(capability, **parameters)
        try:
            step = step.prepare()
            step.execute()
        except NoEffectError as error:
            return error.code
        return step

    def read(self, capability: str, /, **parameters: Any) -> Any:
        """The answer of a capability that only reads."""
        return self.step(capability, **parameters).execute()

    def preview(self, capability: str, /, **parameters: Any) -> Preview:
        return self.step(capability, **parameters).on(self.workspace.simulate()).preview()

    def tree(self, *, hidden: bool = False) -> TreeState:
        return tree_of(self.root, hidden=hidden)


def tree_of(root: Path, *, hidden: bool = False) -> TreeState:
    """Everything below `root`, the root's own time included, the state directory's insides only when asked for."""
    found: TreeState = {".": ("directory", stat.S_IMODE(root.stat().st_mode), root.stat().st_mtime_ns, b"")}
    for folder, names, files in os.walk(root):
        if not hidden and ".assent" in names:
            names.remove(".assent")
        for name in (*names, *files):
            path = Path(folder, name)
            status = path.lstat()
            mode, mtime = stat.S_IMODE(status.st_mode), status.st_mtime_ns
            key = str(path.relative_to(root))
            if stat.S_ISLNK(status.st_mode):
                found[key] = ("symlink", mode, mtime, os.fsencode(path.readlink()))
            elif stat.S_ISDIR(status.st_mode):
                found[key] = ("directory", mode, mtime, b"")
            elif stat.S_ISREG(status.st_mode):
                found[key] = ("file", mode, mtime, path.read_bytes())
            else:
                found[key] = ("other", mode, mtime, b"")
    return found


def without_times(tree: TreeState) -> dict[str, tuple[str, int, bytes]]:
    """The same state, modification times left out."""
    return {path: (kind, mode, content) for path, (kind, mode, _, content) in tree.items()}


_CHANGES = (
    "write",
    "make_dir",
    "remove_file",
    "remove_dir",
    "rename",
    "make_link",
    "set_attributes",
    "remove_temporary",
)


class MortalFiles:
    """`Files` whose process dies at the n-th change: just before it, in the middle of a write, or just after it."""

    def __init__(self, files: Files, root: Path, *, dies_at: int, when: str) -> None:
        self._files = files
        self._root = root
        self._dies_at = dies_at
        self._when = when
        self.changes = 0

    def __getattr__(self, name: str) -> Any:
        part = getattr(self._files, name)
        if name not in _CHANGES:
            return part

        def change(*args: Any, **kwargs: Any) -> Any:
            self.changes += 1
            dies = self.changes == self._dies_at
            if dies and self._when == "before":
                raise Killed
            if dies and self._when == "within":
                self._tear(name, *args, **kwargs)
                raise Killed
            answer = part(*args, **kwargs)
            if dies:
                raise Killed
            return answer

        return change

    def _tear(self, name: str, path: str, *args: Any, **kwargs: Any) -> None:
        # What a kill leaves of a write: half the bytes under the temporary name (or, in a tree, under the name itself).
        if name == "write" and ".tmp/" not in path and not path.endswith(".tmp"):
            half = self._root / self._files.temporary(path, key=kwargs["key"])
            data = b"".join(args[0])
            half.write_bytes(data[: len(data) // 2])
        elif name == "write":
            data = b"".join(args[0])
            (self._root / path).write_bytes(data[: len(data) // 2])
        elif name == "remove_temporary":
            # Half a tree removed: its files are gone, its folders stand.
            aside = self._root / self._files.temporary(path, key=kwargs["key"])
            for folder, _, files in os.walk(aside):
                for file in files:
                    Path(folder, file).unlink()
