"""A session: a run whose steps arrive one at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from assent.engine import RunResult
from assent.errors import Json
from assent.invocation import Hook
from assent.spec.ids import RunId


class AddStep(Protocol):
    """Adds a step to one session; the session with this step alone."""

    async def __call__(
        self, capability: str, parameters: Mapping[str, Json], hooks: Iterable[Hook] = ()
    ) -> RunResult:
        """Returns when there is an outcome, or when it waits for a person."""
        ...


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Session:
    """An agent's whole visit, to be closed, cancelled or undone as one.

    A step that is denied or fails is recorded and the session goes on; one that waits for a person holds up nothing but itself.
    """

    run_id: RunId
    _add: AddStep
    _close: Callable[[], Awaitable[RunResult]]
    _cancel: Callable[[], Awaitable[RunResult]]

    async def call(
        self,
        capability: str,
        parameters: Mapping[str, Json] | None = None,
        *,
        hooks: Iterable[Hook] = (),
    ) -> RunResult:
        """Add a step and wait for its outcome, or until it waits for a person; the session with this step alone.

        `hooks` are this call's alone. `CAPABILITY_UNKNOWN` and `SESSION_CLOSED` are raised before there is a step.
        """
        return await self._add(capability, {} if parameters is None else parameters, hooks)

    async def close(self) -> RunResult:
        """No more steps: the session succeeds once all are settled, and can be undone."""
        return await self._close()

    async def cancel(self) -> RunResult:
        """Take back everything the session did."""
        return await self._cancel()
