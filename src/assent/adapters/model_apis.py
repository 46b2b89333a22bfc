"""Calls of tools as the APIs of models write them: OpenAI's Responses and Chat Completions, and Anthropic's Messages.

tools = rt.tools("openai", principal="agent:helper")
response = client.responses.create(model=…, input=messages, tools=tools)
messages += response.output
messages += await answer_calls(session, response.output)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from assent.adapters._calls import AnySession, awaited, succeeded, told, waits
from assent.errors import Json
from assent.runtime import CallResult, Session


class _Asked(NamedTuple):
    """One call of a tool."""

    id: str
    name: str
    arguments: str | Mapping[str, Json]


class _Kind(NamedTuple):
    """How an API writes a call, and what it takes for an answer. `Any`: dictionaries, or the objects of the API's library."""

    asked: Callable[[Any], _Asked]
    answered: Callable[[str, CallResult], dict[str, Json]]


def _of(item: Any, name: str) -> Any:
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)


_KINDS: Final[Mapping[str, _Kind]] = {
    "function_call": _Kind(
        lambda item: _Asked(_of(item, "call_id"), _of(item, "name"), _of(item, "arguments")),
        lambda call, result: {"type": "function_call_output", "call_id": call, "output": told(result)},
    ),
    "function": _Kind(
        lambda item: _Asked(
            _of(item, "id"), _of(_of(item, "function"), "name"), _of(_of(item, "function"), "arguments")
        ),
        lambda call, result: {"role": "tool", "tool_call_id": call, "content": told(result)},
    ),
    "tool_use": _Kind(
        lambda item: _Asked(_of(item, "id"), _of(item, "name"), _of(item, "input")),
        lambda call, result: {
            "type": "tool_result",
            "tool_use_id": call,
            "content": told(result),
            "is_error": not succeeded(result),
        },
    ),
}
"""By `type`: an item of a Response's `output`, of a chat message's `tool_calls`, of an Anthropic message's `content`."""


async def answer_calls(
    session: AnySession, items: Iterable[object], *, patience_s: float = 0
) -> list[dict[str, Json]]:
    """Make the calls among the items, all at once, and give what the model's next request takes for answers, in their order.

    What is no call (text, reasoning) is passed over. A call that waits for a person is waited for, `patience_s` at most, and then
    answered as it stands; `session.wait` tells later what came of it. Nothing that a model can get wrong raises.
    """
    calls = [(kind, kind.asked(item)) for item in items if (kind := _KINDS.get(_of(item, "type")))]
    results = await asyncio.gather(*[_result(awaited(session), asked, patience_s) for _, asked in calls])
    return [kind.answered(asked.id, result) for (kind, asked), result in zip(calls, results, strict=True)]


async def _result(session: Session, asked: _Asked, patience_s: float) -> CallResult:
    result = await session.call_tool(asked.name, asked.arguments)
    if waits(result) and patience_s:
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                return await session.wait(result.name)
    return result
