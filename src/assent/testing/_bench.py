"""Where a capability is tried: a workspace of its own, a blob store in memory, and calls whose parts are called one by one."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from assent.capabilities.fs import Workspace
from assent.errors import Json
from assent.invocation import BoundCapability, CancelToken, Invoker, LocalContext, Prepared, World
from assent.invocation.context.local import CallLife
from assent.invocation.context.phases import CallPhase
from assent.journal import MemoryBlobs
from assent.spec.ids import RunId, StepKey
from assent.spec.values.canonical import canonical_json, parse_json
from assent.testing._case import Case
from assent.testing._requests import TrialSurroundings

GRACE_S = 5.0

_PHASES: Final[Mapping[str, CallPhase]] = {
    "preview": CallPhase.VALIDATED,
    "prepare": CallPhase.AUTHORIZED,
    "execute": CallPhase.EXECUTING,
    "reconcile": CallPhase.EXECUTING,
    "compensate": CallPhase.COMPENSATING,
}
"""Where the runtime's calls stand when they come to a part: what a part may ask for depends on it."""

Seen = tuple[object, object]
"""What can be seen of the world: the workspace's tree, and what the case observes."""


@dataclass
class Bench:
    """A world for one case. Each call made on it has an idempotency key of its own."""

    bound: BoundCapability
    case: Case
    root: Path
    workspace: Workspace
    invoker: Invoker
    blobs: MemoryBlobs
    around: TrialSurroundings
    calls: int = 0

    @classmethod
    @contextmanager
    def open(
        cls, bound: BoundCapability, case: Case, folder: Path, around: TrialSurroundings
    ) -> Iterator[Bench]:
        """A bench in a folder that is made for it."""
        root = folder / "workspace"
        state = folder / "state"
        root.mkdir(parents=True)
        state.mkdir()
        case.prepare_world(root)
        workspace = Workspace.open(root, hidden=[state])
        with ThreadPoolExecutor(max_workers=2) as threads:
            try:
                invoker = Invoker(threads, grace_s=GRACE_S)
                yield cls(bound, case, root, workspace, invoker, MemoryBlobs(), around)
            finally:
                workspace.close()

    def see(self) -> Seen:
        """Everything that can be seen of the world now. Times are left out: reading changes them."""
        return (_tree(self.root), self.case.observe())

    def call(self, inputs: Mapping[str, Json] | None = None, *, world: World | None = None) -> Trial:
        """A call of the capability, with the case's inputs."""
        self.calls += 1
        parameters, _ = self.bound.parse(self.case.inputs if inputs is None else inputs)
        life = CallLife()
        life.bound, life.reach, life.granted = self.bound, self.bound.reach, self.bound.spec.secrets
        return Trial(self, parameters, f"trial/{self.calls}", world or self.workspace, life, CancelToken())


@dataclass
class Trial:
    """One call. What `prepare` gives goes through JSON, as it does in a journal."""

    bench: Bench
    parameters: Any  # `Any`: whatever type the capability says
    key: str
    world: World
    life: CallLife
    cancel: CancelToken

    @property
    def _context(self) -> LocalContext:
        spec = self.bench.bound.spec
        return LocalContext(
            run=RunId("run_trial"),
            step=StepKey("trial"),
            attempt=1,
            principal=self.bench.around.principal,
            key=self.key,
            world=self.world,
            blobs=self.bench.blobs,
            cancel=self.cancel,
            request_id=self.key,
            capability=spec.id,
            version=spec.version,
            life=self.life,
            around=self.bench.around,
        )

    async def part(self, kind: str, *, timeout_s: float | None = None) -> Any:  # `Any`: as each part gives
        """What a part gives, called as the runtime calls it."""
        part = getattr(self.bench.bound.handler, kind)
        self.life.phase = _PHASES[kind]
        return await self.bench.invoker.invoke(part, self._context, self.parameters, timeout_s=timeout_s)

    async def prepare(self) -> Prepared | None:
        """What `prepare` keeps; None without such a part. The other parts see it from now on."""
        if self.bench.bound.handler.prepare is None:
            return None
        prepared = await self.part("prepare")
        assert isinstance(prepared, Prepared), "`prepare` gives a `Prepared`"
        state = parse_json(canonical_json(dict(prepared.state)))
        assert isinstance(state, dict)
        self.life.prepared = state
        return prepared

    async def execute(self) -> Json:
        """The output, validated and as JSON; `compensate` sees it from now on."""
        output = self.bench.bound.result(await self.part("execute"))
        self.life.output = output
        return output


def _tree(root: Path) -> dict[str, tuple[int, bytes]]:
    found: dict[str, tuple[int, bytes]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFLNK:
            content = str(path.readlink()).encode(errors="surrogateescape")
        else:
            content = path.read_bytes() if kind == stat.S_IFREG else b""
        found[path.relative_to(root).as_posix()] = (status.st_mode, content)
    return found
