"""Calls that wait for their client's input, in revision 2026-07-28: answered with what is asked, gone on with when it comes back.

Theory of operation. There is one call, which goes on waiting inside (its server is asked once, whatever the client does); only
who waits for it changes. Each answer names it by a state that is a random name of it here and nothing else, so there is nothing
in it to tamper with: it counts for the same visit and the same request. After a restart no state names a call
any more, and nothing is done a second time for one. No two questions of a call have one name, whatever its server calls them: an
answer that comes late, or twice, answers what was asked and nothing that is asked by then.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Coroutine, Mapping
from itertools import count
from typing import Any, Final, TypeAlias

import mcp_types as wire
from mcp.server.context import HandlerResult
from mcp.shared.exceptions import MCPError
from pydantic import TypeAdapter

from assent import system
from assent.errors import Json
from assent.invocation.context.companion import Answers, Questions
from assent.mcp._asking import RESULTS, shown
from assent.mcp._consent import NAME
from assent.mcp._telling import Call
from assent.mcp._visit import Visit

HELD_MAX: Final = 1_000
"""Calls that wait for input, of all clients together."""

HELD_OF_ONE_MAX: Final = 100
"""The same of one visit."""

KEPT_S: Final = 300.0
"""So long the outcome of a call is kept whose client has not come back."""

ENDED_MAX: Final = 64
"""So many outcomes are kept of calls that have ended, of all clients together: of more, the oldest are forgotten."""

_FITS: Final[Mapping[str, tuple[type[Any], ...]]] = {
    **{method: (kind,) for method, kind in RESULTS.items()},
    "sampling/createMessage": (wire.CreateMessageResult, wire.CreateMessageResultWithTools),
}
"""What may answer each question, as the SDK reads it."""

Asking: TypeAlias = wire.CallToolRequestParams | wire.GetPromptRequestParams | wire.ReadResourceRequestParams
"""What may be answered with a question."""

_REQUEST: Final[TypeAdapter[wire.InputRequest]] = TypeAdapter(wire.InputRequest)


class Held:
    """One call, over all its rounds."""

    def __init__(self, visit: Visit, params: Asking, only: str | None) -> None:
        self.visit: Final = visit
        self.says: Final = _says(params)
        # Given before it was asked for, so once; nobody agrees to what they have not been shown.
        self._early = {name: one for name, one in (params.input_responses or {}).items() if name != NAME}
        self._only = only
        self._open: list[tuple[Questions, dict[str, Mapping[str, Json]], asyncio.Future[Answers]]] = []
        self._names: set[str] = set()
        self._asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._state = (frozenset[str](), "")
        self.forgetting: asyncio.TimerHandle | None = None
        self.call: Call
        self.task: asyncio.Task[HandlerResult]

    def go(self, call: Call, work: Coroutine[Any, Any, HandlerResult]) -> None:
        """Have the call carried out; `call` tells whoever waits for it."""
        self.call = call
        self.task = call.work = system.spawn(work, name="a call that may ask")
        # Looked at: a client that does not come back does not look.
        self.task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def ask(self, questions: Questions) -> Answers:
        """What the client answers, in whichever round."""
        waiting: asyncio.Future[Answers] = asyncio.get_running_loop().create_future()
        names = {self._name(name): name for name in questions}
        asked = {shown: questions[name] for shown, name in names.items()}
        one = (asked, dict[str, Mapping[str, Json]](), waiting)
        self._open.append(one)
        self.take({name: self._early.pop(name) for name in questions if name in self._early})
        self._tell()
        try:
            answers = await waiting
        finally:
            self._open.remove(one)
        return {name: answers[shown] for shown, name in names.items()}

    def state_for(self, wanted: Collection[str]) -> str:
        """What names this call in an answer that asks for these: another one once it asks for something else."""
        if self._state[0] != wanted:
            self._state = (frozenset(wanted), system.SystemEntropy().some(16).hex())
        return self._state[1]

    def _name(self, wanted: str) -> str:
        """What a question is called here: as its server calls it, where no other one of this call was called so."""
        tried = (wanted if number == 1 else f"{wanted}.{number}" for number in count(1))
        name = next(one for one in tried if one not in self._names)
        self._names.add(name)
        return name

    def take(self, responses: Mapping[str, Any]) -> None:
        """Take in what the client gives: what was not asked, or is not what was asked for, is asked again."""
        for questions, answers, waiting in self._open:
            for name, (method, _) in questions.items():
                if isinstance(given := responses.get(name), _FITS[method]):
                    told = given.model_dump(mode="json", by_alias=True, exclude_none=True)
                    answers[name] = {"result": told}
            if answers.keys() >= questions.keys() and not waiting.done():
                waiting.set_result(answers)

    def _tell(self) -> None:
        if not self._asked.done():
            self._asked.set_result(None)

    def wanted(self) -> dict[str, wire.InputRequest]:
        """What is asked and not answered yet."""
        return {
            name: _REQUEST.validate_python(
                {"method": method, "params": shown(method, dict(params), self._only)}, by_name=False
            )
            for questions, answers, waiting in self._open
            for name, (method, params) in questions.items()
            if name not in answers and not waiting.done()
        }

    async def round(self) -> dict[str, wire.InputRequest] | None:
        """What the call needs now; None once it has its outcome."""
        while not self.task.done():
            if wanted := self.wanted():
                return wanted
            if self._asked.done():
                self._asked = asyncio.get_running_loop().create_future()
            either: set[asyncio.Future[Any]] = {self.task, self._asked}  # `Any`: each has its own
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return None


class Rounds:
    """The calls of one door that wait for input, by their states: one for all answers that asked for the same. `tasks` has those
    that became tasks and have not ended.
    """

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        self._ended: dict[Held, None] = {}
        self.tasks: Final[dict[str, Held]] = {}

    def keep(self, task: str, held: Held) -> None:
        """A call has become a task."""
        work = held.call.work
        if work is not None and not work.done():
            self.tasks[task] = held
            work.add_done_callback(lambda _: self.tasks.pop(task, None))

    def begin(self, visit: Visit, params: Asking, only: str | None) -> Held:
        """A call that may ask. `MCPError` where too many wait."""
        held = {one for one in self._held.values() if not one.task.done()}
        if sum(one.visit is visit for one in held) >= HELD_OF_ONE_MAX or len(held) >= HELD_MAX:
            raise MCPError(wire.INTERNAL_ERROR, "too many calls wait for input of their clients")
        return Held(visit, params, only)

    def again(self, visit: Visit, params: Asking) -> Held | None:
        """The call that a request goes on with; None for one that begins. `MCPError` for a state that names no such call."""
        if params.request_state is None:
            return None
        held = self._held.get(params.request_state)
        if held is None or held.visit is not visit or held.says != _says(params):
            raise MCPError(wire.INVALID_PARAMS, "this state names no call of yours that waits for input")
        if held.forgetting is not None:
            held.forgetting.cancel()
        held.take(params.input_responses or {})
        return held

    async def outcome(self, held: Held) -> HandlerResult:
        """What the call gives, or what it needs first."""
        try:
            wanted = await held.round()
            if wanted is None:
                told: HandlerResult = held.task.result()
                return told
            if held not in self._held.values():
                held.task.add_done_callback(lambda _: self._end(held))
            state = held.state_for(wanted.keys())
            self._held[state] = held
            return wire.InputRequiredResult(input_requests=wanted, request_state=state)
        finally:
            if held in self._held.values():
                if held.forgetting is not None:
                    held.forgetting.cancel()
                loop = asyncio.get_running_loop()
                held.forgetting = loop.call_later(KEPT_S, self._forget, held)

    def _end(self, held: Held) -> None:
        """Keep its outcome, for whoever comes back for it: one may be as large as an answer may."""
        if held in self._held.values():
            self._ended[held] = None
        if len(self._ended) > ENDED_MAX:
            self._forget(next(iter(self._ended)))

    def _forget(self, held: Held) -> None:
        self._ended.pop(held, None)
        if held.forgetting is not None:
            held.forgetting.cancel()
        self._held = {state: one for state, one in self._held.items() if one is not held}
        held.task.cancel()
        if held.call.work is held.task:  # and no task, which may ask as long as it lasts
            held.call.end()


def _says(params: Asking) -> str:
    what = params.uri if isinstance(params, wire.ReadResourceRequestParams) else params.name
    return json.dumps([type(params).__name__, what, getattr(params, "arguments", None) or {}], sort_keys=True)
