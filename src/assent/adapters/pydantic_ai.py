"""Assent's tools for Pydantic AI: a toolset. A call that needs a person is deferred, and the agent's run ends with it:

toolset = AssentToolset(session, rt.tools("json-schema", principal="agent:helper"))
agent = Agent(model, toolsets=[toolset], output_type=[str, DeferredToolRequests])
result = await agent.run("…")
if isinstance(result.output, DeferredToolRequests):
    results = await toolset.results(result.output)  # waits until somebody has decided, in any terminal
    result = await agent.run(message_history=result.all_messages(), deferred_tool_results=results)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from assent.adapters._calls import AnySession, awaited, succeeded, told, waits
from assent.errors import Json
from assent.runtime import CallResult

try:
    from pydantic_ai import CallDeferred, RunContext, ToolDefinition, ToolFailed
    from pydantic_ai.tools import AgentDepsT, DeferredToolRequests, DeferredToolResults
    from pydantic_ai.toolsets import AbstractToolset, ToolsetTool
    from pydantic_core import SchemaValidator, core_schema
except ModuleNotFoundError as error:
    fault = "`assent.adapters.pydantic_ai` needs Pydantic AI, which is not installed: pip install pydantic-ai-slim"
    raise ModuleNotFoundError(fault, name=error.name) from error

_ANYTHING: Final = SchemaValidator(core_schema.any_schema())
"""Assent checks every call itself, and says what is wrong with it as a result."""


class AssentToolset(AbstractToolset[AgentDepsT]):
    """Calls of an agent as steps of one session. `tools` are of the kind `json-schema` (`Runtime.tools`, `Client.tools`).

    What did not happen is told to the model as a failed call, with the code, the reason and what would be allowed. One that waits
    for a person is deferred (`CallDeferred`), and its metadata says what waits: nobody approves through the agent's own host.
    """

    def __init__(
        self,
        session: AnySession,
        tools: Iterable[Mapping[str, Json]],
        *,
        id: str | None = None,  # noqa: A002
    ) -> None:
        self._session = awaited(session)
        self._definitions = [
            ToolDefinition(
                name=str(schema["title"]),
                description=str(schema["description"]),
                parameters_json_schema={**schema},
                strict=False,
            )
            for schema in tools
        ]
        self._id = id

    @property
    def id(self) -> str | None:
        """The toolset's own name, as it was given."""
        return self._id

    async def get_tools(self, ctx: RunContext[AgentDepsT]) -> dict[str, ToolsetTool[AgentDepsT]]:
        """All of them, whichever turn it is."""
        del ctx
        return {
            one.name: ToolsetTool(toolset=self, tool_def=one, max_retries=0, args_validator=_ANYTHING)
            for one in self._definitions
        }

    async def call_tool(
        self,
        name: str,
        tool_args: dict[str, Any],
        ctx: RunContext[AgentDepsT],
        tool: ToolsetTool[AgentDepsT],
    ) -> Json:
        """What the call gave. `ToolFailed` for what did not happen, `CallDeferred` for what waits."""
        del ctx, tool
        result = await self._session.call_tool(name, tool_args)
        if waits(result):
            raise CallDeferred({**result.to_json()})
        failed = _failed(result)
        if failed is not None:
            raise failed
        return result.output

    async def results(self, requests: DeferredToolRequests) -> DeferredToolResults:
        """What came of the session's deferred calls, once all are decided; `asyncio.timeout` bounds it. Others' are left out.

        To wait within the agent's run: `HandleDeferredToolCalls(lambda _, asked: toolset.results(asked))`.
        """
        calls: dict[str, Any] = {}
        for call in requests.calls:
            asked = requests.metadata.get(call.tool_call_id, {})
            if asked.get("run_id") == self._session.run_id:
                result = await self._session.wait(asked["name"])
                calls[call.tool_call_id] = _failed(result) or result.output
        return DeferredToolResults(calls=calls)


def _failed(result: CallResult) -> ToolFailed | None:
    return None if succeeded(result) else ToolFailed(told(result))
