"""Calls of tools as the APIs of models write them: OpenAI's Responses and Chat Completions, and Anthropic's Messages.

tools = rt.tools("openai", principal="agent:helper")
response = client.responses.create(model=…, input=messages, tools=tools)
messages += response.output
messages += await answer_calls(session, response.output, tools=tools)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from assent.adapters._calls import AnySession, awaited, succeeded, told, waits
from assent.errors import InputError, Json
from assent.runtime import CallResult, Session
from assent.spec.words.legible import safe_line


class _Asked(NamedTuple):
    """One call of a tool."""

    id: str
    name: Any  # `Any`: whatever a model calls a tool
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
    session: AnySession,
    items: Iterable[object],
    *,
    tools: Iterable[Mapping[str, Json]] | None = None,
    patience_s: float = 0,
) -> list[dict[str, Json]]:
    """Make the calls among the items, all at once, and give what the model's next request takes for answers, in their order.

    `tools`: those that the model was offered, of whatever kind; a call of any other is refused. Without them a model may name any
    capability, and the policy alone decides.

    What is no call (text, reasoning) is passed over. A call that waits for a person is waited for, `patience_s` at most, and then
    answered as it stands; `session.wait` tells later what came of it. Nothing that a model can get wrong raises.
    """
    offered = None if tools is None else frozenset(map(_name_of, tools))
    calls = [(kind, kind.asked(item)) for item in items if (kind := _KINDS.get(str(_of(item, "type"))))]
    results = await asyncio.gather(
        *[_result(awaited(session), asked, offered, patience_s) for _, asked in calls]
    )
    return [kind.answered(asked.id, result) for (kind, asked), result in zip(calls, results, strict=True)]


def _name_of(tool: Mapping[str, Json]) -> str:
    """What a model calls a tool, as each kind has it."""
    return str(tool.get("name") or _of(tool.get("function"), "name") or tool.get("title"))


async def _result(
    session: Session, asked: _Asked, offered: frozenset[str] | None, patience_s: float
) -> CallResult:
    if not isinstance(asked.name, str) or (offered is not None and asked.name not in offered):
        name = safe_line(str(asked.name), 80)
        error = InputError(
            "CAPABILITY_UNKNOWN", f"`{name}` is not a tool of this agent", hint="call one that was offered"
        )
        return CallResult.refused(session.run_id, name, error)
    result = await session.call_tool(asked.name, asked.arguments)
    if waits(result) and patience_s:
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                return await session.wait(result.name)
    return result
