"""A session: a run whose steps arrive one at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, ParamSpec, Protocol, Self, TypeVar

import msgspec

from assent.engine import RunResult, StepResult
from assent.errors import AssentError, InputError, Json, RefusedError
from assent.runtime.runs._tools import capability_of
from assent.spec.ids import RunId
from assent.spec.states import StepState
from assent.spec.values.canonical import parse_json

if TYPE_CHECKING:
    from assent.invocation import Hook

P = ParamSpec("P")
T = TypeVar("T")

_OF_THE_SESSION: Final = frozenset(
    {"SESSION_CLOSED", "RUN_UNKNOWN", "RUNTIME_CLOSED", "HOOKS_LOCAL", "IDENTITY_REFUSED"}
)
"""What no other call of the session would fare better with: the program has to know, not the model."""


class CallResult(StepResult, frozen=True, kw_only=True):
    """What came of one call of a session: its own step, whatever else runs at the same time.

    `status` is the step's (`succeeded`, `failed`, `denied`, `awaiting_approval`, `in_doubt` …). One that was refused before it
    was a step (an unknown capability, values that can't be kept) is `failed`, its `name` is empty, and it is not on record.
    """

    run_id: RunId

    @classmethod
    def of(cls, run: RunResult, step: StepResult) -> Self:
        """A step of a session; what ended the session ended one that had no outcome yet."""
        told = msgspec.structs.asdict(step)
        if step.error is None and step.status is not StepState.SUCCEEDED and run.status.is_finished:
            told["error"] = run.error
        return cls(**told, run_id=run.run_id)

    @classmethod
    def refused(cls, run: RunId, capability: str, error: AssentError) -> Self:
        """A call that never became a step."""
        return cls(
            name="",
            capability=capability,
            version=None,
            status=StepState.FAILED,
            risk_level=None,
            decision=None,
            rule=None,
            attempts=0,
            error=error.to_dict(),
            run_id=run,
        )

    def to_json(self) -> dict[str, Json]:
        """The step's object and its session; one that waits says in `hint` how a person decides about it."""
        told = {**super().to_json(), "run_id": self.run_id}
        if self.status is StepState.AWAITING_APPROVAL:
            told["hint"] = f"a person has to decide: `assent approve {self.run_id} {self.name}`"
        return told


class Carry(Protocol):
    """Has what a function asks for carried out elsewhere."""

    def __call__(self, asked: Callable[P, Awaitable[T]], /) -> Callable[P, Awaitable[T]]:
        """A function that asks for the same."""
        ...


class AddStep(Protocol):
    """Adds a step to one session; the session with this step alone."""

    def __call__(
        self,
        capability: str,
        parameters: Mapping[str, Json],
        hooks: Iterable[Hook] = (),
        *,
        id: str | None = None,  # noqa: A002 - as `--id`
    ) -> Awaitable[RunResult]:
        """Returns when there is an outcome, or when it waits for a person."""
        ...


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Held:
    """A run that stays in memory as long as somebody refers to this: more steps of it are to be expected."""

    run_id: RunId


@dataclass(frozen=True, slots=True)
class Session:
    """An agent's whole visit, to be closed, cancelled or undone as one. It acts as who began it.

    A step that is denied or fails is recorded and the session goes on; one that waits for a person holds up nothing but itself.
    """

    run_id: RunId
    _add: AddStep
    _show: Callable[[], Awaitable[RunResult]]
    _settled: Callable[[str], Awaitable[RunResult]]
    _close: Callable[[], Awaitable[RunResult]]
    _cancel: Callable[[], Awaitable[RunResult]]
    _held: Held | None = None

    async def call(
        self,
        capability: str,
        parameters: Mapping[str, Json] | None = None,
        *,
        hooks: Iterable[Hook] = (),
        id: str | None = None,  # noqa: A002 - as `--id`
    ) -> CallResult:
        """Add a step and wait for its outcome, or until it waits for a person; what came of this step, however many run at once.

        `hooks` are this call's alone. Asked again under the same `id`, also by another process, it is the same step, told as it
        stands by then; `REQUEST_REUSED` if anything else was asked under it.

        What is wrong with the call itself (unknown capability, wrong inputs, a denial) is in the result, as `error`. Raised is
        what no other call would fare better with: `SESSION_CLOSED`, `RUN_UNKNOWN`, `RUNTIME_CLOSED`, `HOOKS_LOCAL`,
        `IDENTITY_REFUSED`, and every `WorldError`.
        """
        try:
            run = await self._add(capability, {} if parameters is None else parameters, hooks, id=id)
        except (InputError, RefusedError) as error:
            if error.code in _OF_THE_SESSION:
                raise
            return CallResult.refused(self.run_id, capability, error)
        step = run.steps[0]
        if id is not None and step.status.is_unsettled:
            # Whoever asks again may be given the answer of then: the record tells how it stands by now.
            run = await self._show()
            step = run.step(step.name)
        return CallResult.of(run, step)

    async def call_tool(
        self,
        name: str,
        arguments: str | Mapping[str, Json] | None = None,
        *,
        hooks: Iterable[Hook] = (),
        id: str | None = None,  # noqa: A002 - as `--id`
    ) -> CallResult:
        """What a model asked for: `name` as `Runtime.tools` wrote it, `arguments` as an object or as its JSON text.

        As `call`; text that is no JSON object is an `INVALID_INPUT` in the result.
        """
        capability = capability_of(name)
        try:
            parameters = parse_json(arguments or "{}") if isinstance(arguments, str) else arguments
        except InputError as error:
            refused = InputError(
                "INVALID_INPUT",
                f"the arguments of `{name}` are not JSON: {error.message}",
                hint="send one JSON object",
            )
            return CallResult.refused(self.run_id, capability, refused)
        return await self.call(capability, parameters, hooks=hooks, id=id)  # type: ignore[arg-type]  # what is no object is refused there

    async def wait(self, step: str) -> CallResult:
        """Wait until a step (`CallResult.name`) waits for nobody any more, whoever decides about it, and tell what came of it.

        `asyncio.timeout` bounds it. One of a session that needs attention or is interrupted is told of as it stands. KeyError for
        a step that the session does not have.
        """
        run = await self._settled(step)
        return CallResult.of(run, run.step(step))

    async def close(self) -> RunResult:
        """No more steps: the session succeeds once all are settled, and can be undone."""
        return await self._close()

    async def cancel(self) -> RunResult:
        """Take back everything the session did."""
        return await self._cancel()

    def through(self, carry: Carry) -> Session:
        """The same session, with what it asks for carried out by `carry`: in another loop, say."""
        return Session(
            self.run_id,
            carry(self._add),
            carry(self._show),
            carry(self._settled),
            carry(self._close),
            carry(self._cancel),
            self._held,
        )
