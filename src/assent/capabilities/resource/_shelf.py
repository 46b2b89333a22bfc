"""The registry of a state directory, opened for each call anew, and what a reference without a scope means there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from assent.capabilities.handed import Handed
from assent.errors import InputError, Json
from assent.findings.assets import (
    AssetType,
    AssetVersion,
    Context,
    MemoryProvider,
    Reference,
    ResourceProvider,
    SqliteProvider,
)
from assent.invocation import NoEffectError
from assent.spec.ids import StepKey, name_of
from assent.spec.words.durations import instant

if TYPE_CHECKING:
    from assent.invocation import LocalContext
    from assent.spec.ports import Clock

REGISTRY: Final = "resources.db"
"""The file in the state directory with the resources of all scopes."""
_NODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Moments:
    """The time, no millisecond twice: what is in the registry with a moment is one call's own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turn = Lock()
        self._last_ms = 0

    def next_ms(self) -> int:
        """The time now, or a later one where that was given to somebody."""
        with self._turn:
            self._last_ms = max(self._clock.now_ms(), self._last_ms + 1)
            return self._last_ms


class Shelf(msgspec.Struct, frozen=True):
    """What calls on resources share."""

    state: Path
    moments: Moments
    project: str | None
    group: str | None
    """What is in force where nobody says another one: `[resource]` of assent.toml."""

    @classmethod
    def of(cls, state: Path, said: Mapping[str, Json], clock: Clock) -> Shelf:
        """By the area's section; nothing is opened."""
        project, group = (
            name if isinstance(name, str) else None for name in (said.get("project"), said.get("group"))
        )
        return cls(state, Moments(clock), project, group)

    @property
    def handed(self) -> Handed:
        """Files that people handed over."""
        return Handed(self.state)

    def now(self) -> str:
        """The moment, as the registry keeps it; nobody else has the same one."""
        return instant(self.moments.next_ms())

    @contextmanager
    def changing(self) -> Iterator[ResourceProvider]:
        """The registry, made where there is none. What it refuses has had no effect (`NoEffectError`)."""
        with refused_whole(), closing(SqliteProvider(self.state / REGISTRY)) as provider:
            yield provider

    @contextmanager
    def looking(self) -> Iterator[ResourceProvider]:
        """The registry; an empty one where nothing was published yet."""
        path = self.state / REGISTRY
        if not path.exists():
            yield MemoryProvider()
            return
        with closing(SqliteProvider(path)) as provider:
            yield provider

    def context(
        self,
        *,
        run: str | None = None,
        step: str | None = None,
        project: str | None = None,
        group: str | None = None,
    ) -> Context:
        """What is in force: a run, a step of a workflow as its node, and a project and group unless assent.toml says them."""
        node = None if step is None else name_of(StepKey(step))
        return Context(
            run=run,
            node=node if node is not None and _NODE.fullmatch(node) else None,
            project=project or self.project,
            group=group or self.group,
        )


@contextmanager
def refused_whole() -> Iterator[None]:
    """What the registry refuses, it refuses before it writes: told so that nobody is asked what became of it."""
    try:
        yield
    except InputError as error:
        raise NoEffectError(error.code, error.message, hint=error.hint, details=error.details) from None


def at(provider: ResourceProvider, meant: Reference) -> AssetVersion | None:
    """The version of a scope and a word, retired or not; None where there is none."""
    there = provider.versions(meant.scope, meant.type, meant.name)
    return next((one for one in there if one.version == meant.version), None)


class InUse(NamedTuple):
    """A version that a call uses. `reference` means this version for ever; `chunks` gives its content, as often as it is called.

    The content was whole when it was asked for, and is checked again while it is read (`RESOURCE_CORRUPT` behind its last piece).
    """

    reference: str
    sha256: str
    size_bytes: int
    uses: int
    chunks: Callable[[], Iterator[bytes]]


def resolved(
    context: LocalContext, reference: str, *, project: str | None = None, group: str | None = None
) -> AssetVersion:
    """The version that a reference means for a call; it is not counted as used. Blocks. Raises what `resolved_for_use` raises."""
    shelf = context.app.get(Shelf)
    here = shelf.context(run=context.run, step=context.step, project=project, group=group)
    with refused_whole(), shelf.looking() as provider:
        return provider.resolve(reference, here)


def resolved_for_use(
    context: LocalContext,
    reference: str,
    *,
    kind: AssetType | None = None,
    project: str | None = None,
    group: str | None = None,
) -> InUse:
    """What a reference means for a call, counted as used. Blocks: it is for a thread.

    `kind` is what it has to be. `NoEffectError` `RESOURCE_NOT_FOUND`, `RESOURCE_RETIRED`, `RESOURCE_REFERENCE_INVALID`,
    `RESOURCE_REQUEST_INVALID` for one of another kind; `WorldError` `RESOURCE_CORRUPT`.
    """
    shelf = context.app.get(Shelf)
    here = shelf.context(run=context.run, step=context.step, project=project, group=group)
    with refused_whole(), shelf.looking() as provider:
        found = provider.resolve(reference, here)
        if kind is not None and found.type is not kind:
            raise NoEffectError(
                "RESOURCE_REQUEST_INVALID",
                f"`{found.reference}` must be of the type `{kind}`",
                hint=f"name one that begins with `res://{kind}/`, or has `{kind}` behind its scope",
            )
        # By its word, so that it is this one that is counted; one that is retired has its digest alone.
        used = provider.use(found.reference if found.retired_at is None else reference, here, at=shelf.now())
    version = used.version

    def chunks() -> Iterator[bytes]:
        with shelf.looking() as opened:
            yield from opened.content(version)

    return InUse(str(version.reference), version.sha256, version.size_bytes, version.uses, chunks)
