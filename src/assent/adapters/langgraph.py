"""Assent's tools for LangGraph, and for whatever takes tools of LangChain. A call that needs a person interrupts the graph:

tools = tools_of(session, rt.tools("json-schema", principal="agent:helper"))
graph.add_node("tools", ToolNode(tools))  # compiled with a checkpointer
told = await graph.ainvoke({"messages": […]}, config)
while "__interrupt__" in told:  # what waits; a person decides in any terminal
    told = await graph.ainvoke(Command(resume=True), config)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from assent import sync
from assent.adapters._calls import AnySession, awaited, succeeded, told, waits
from assent.errors import Json
from assent.runtime import CallResult

try:
    from langchain_core.runnables import RunnableConfig
    from langchain_core.tools import BaseTool, ToolException
    from langgraph.types import interrupt
except ModuleNotFoundError as error:
    fault = "`assent.adapters.langgraph` needs LangGraph, which is not installed: pip install langgraph"
    raise ModuleNotFoundError(fault, name=error.name) from error


def tools_of(
    session: AnySession, tools: Iterable[Mapping[str, Json]], *, interrupts: bool = True
) -> list[BaseTool]:
    """Tools whose calls are steps of one session. `tools` are of the kind `json-schema` (`Runtime.tools`, `Client.tools`).

    What did not happen is told to the model as a failed call, with the code, the reason and what would be allowed.

    With `interrupts`, which need a checkpointer, a call that waits for a person interrupts the graph with what waits. When the
    graph is resumed, with whatever value and in whichever process, the same step is looked at again, and interrupts it again
    until it is decided. Without them the model is told that the call waits.
    """
    return [
        _Tool(
            name=str(schema["title"]),
            description=str(schema["description"]),
            args_schema={**schema},
            handle_tool_error=True,
            session=session,
            interrupts=interrupts,
        )
        for schema in tools
    ]


class _Tool(BaseTool):
    session: Any  # `Any`: `AnySession`, which pydantic has no business with
    interrupts: bool

    def run(
        self, tool_input: str | dict[str, Any], *args: Any, tool_call_id: str | None = None, **kwargs: Any
    ) -> Any:
        """As the tool of the base, which tells `_run` nothing of the call's id."""
        given = {"arguments": tool_input, "call": tool_call_id}
        return super().run(given, *args, tool_call_id=tool_call_id, **kwargs)

    async def arun(
        self, tool_input: str | dict[str, Any], *args: Any, tool_call_id: str | None = None, **kwargs: Any
    ) -> Any:
        """As `run`."""
        given = {"arguments": tool_input, "call": tool_call_id}
        return await super().arun(given, *args, tool_call_id=tool_call_id, **kwargs)

    def _run(self, arguments: dict[str, Any], call: str | None, config: RunnableConfig) -> str:
        if not isinstance(self.session, sync.Session):
            raise NotImplementedError("this session is awaited: use `ainvoke`, or a session of `assent.sync`")
        ident = self._id(config, call)
        while True:
            result = self.session.call_tool(self.name, arguments, id=ident)
            if not self._interrupted(result, ident):
                return _said(result)

    async def _arun(self, arguments: dict[str, Any], call: str | None, config: RunnableConfig) -> str:
        session, ident = awaited(self.session), self._id(config, call)
        while True:
            result = await session.call_tool(self.name, arguments, id=ident)
            if not self._interrupted(result, ident):
                return _said(result)

    def _interrupted(self, result: CallResult, ident: str | None) -> bool:
        """Interrupts the graph for a call that waits; true where it was resumed, so that the call is looked at again."""
        if not (self.interrupts and ident is not None and waits(result)):
            return False
        interrupt(result.to_json())
        return True

    def _id(self, config: RunnableConfig, call: str | None) -> str | None:
        """What names this call whenever the graph comes to it again: LangGraph runs a node that was interrupted from its start.

        Models number their calls as they like, so the task counts as well. Outside of a graph nothing is run again.
        """
        task = config.get("configurable", {})
        if call is None or "checkpoint_ns" not in task:
            return None
        parts = (self.session.run_id, task.get("thread_id"), task["checkpoint_ns"], call)
        return f"langgraph:{sha256(repr(parts).encode()).hexdigest()[:32]}"


def _said(result: CallResult) -> str:
    if succeeded(result) or waits(result):
        return told(result)
    raise ToolException(told(result))
