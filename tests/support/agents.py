"""Agents with scripted models, as each framework builds them. Tests import this where they need them: they load slowly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Annotated, Any, TypeAlias, TypedDict

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command
from pydantic_ai import Agent, DeferredToolRequests
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from assent.adapters._calls import AnySession
from assent.adapters.langgraph import tools_of
from assent.adapters.model_apis import answer_calls
from assent.adapters.pydantic_ai import AssentToolset
from assent.errors import Json

Call: TypeAlias = tuple[str, dict[str, Json]]
Tools: TypeAlias = list[dict[str, Json]]
Decide: TypeAlias = Callable[[str], Awaitable[object]]

TURNS: list[list[Call]] = [
    [
        ("io-fs-write_file", {"path": "a.txt", "content": "a"}),
        ("io-fs-write_file", {"path": "private/b.txt", "content": "b"}),
        ("io-fs-read_file", {"pat": "a.txt"}),
    ],
    [("io-fs-delete", {"path": "old.txt"}), ("io-fs-exists", {"path": "a.txt"})],
]
"""What the model asks for, turn by turn; then it has its last word."""

CODES = [None, "POLICY_DENIED", "INVALID_INPUT", None, None]


async def by_hand(session: AnySession, tools: Tools, decide: Decide, kind: str) -> list[str]:
    """A loop of one's own, as each model's API has it; what the model was told of each call."""
    del tools
    told: list[str] = []
    for turn in TURNS:
        calls = [_written(kind, f"call_{number}", *call) for number, call in enumerate(turn)]
        asked = asyncio.ensure_future(answer_calls(session, [*calls, {"type": "text"}], patience_s=20))
        if turn is TURNS[-1]:
            await decide(session.run_id)
        answers = await asked
        names = {"function_call": "call_id", "function": "tool_call_id", "tool_use": "tool_use_id"}
        assert [one[names[kind]] for one in answers] == [f"call_{number}" for number in range(len(turn))]
        told += [str(one.get("output") or one.get("content")) for one in answers]
        if kind == "tool_use":
            assert [one["is_error"] for one in answers] == [
                code is not None for code in CODES[: len(turn)]
            ] or (turn is TURNS[-1])
    return told


def _written(kind: str, ident: str, name: str, arguments: dict[str, Json]) -> object:
    text = json.dumps(arguments)
    return {
        # As the API's own library has it: an object with attributes.
        "function_call": SimpleNamespace(type="function_call", call_id=ident, name=name, arguments=text),
        "function": {"type": "function", "id": ident, "function": {"name": name, "arguments": text}},
        "tool_use": {"type": "tool_use", "id": ident, "name": name, "input": arguments},
    }[kind]


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


def graph_of(session: AnySession, tools: Tools, saver: InMemorySaver) -> CompiledStateGraph[State]:
    def model(state: State) -> State:
        turn = sum(isinstance(one, AIMessage) for one in state["messages"])
        asked = TURNS[turn] if turn < len(TURNS) else []
        # Models number their calls as they like: the same ids in each turn.
        calls = [{"name": name, "args": args, "id": f"c{n}"} for n, (name, args) in enumerate(asked)]
        return {"messages": [AIMessage("" if calls else "done", tool_calls=calls)]}

    graph = StateGraph(State)
    graph.add_node("model", model)
    graph.add_node("tools", ToolNode(tools_of(session, tools)))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    return graph.compile(checkpointer=saver)


async def by_langgraph(session: AnySession, tools: Tools, decide: Decide, kind: str) -> list[str]:
    saver = InMemorySaver()
    place: Any = {"configurable": {"thread_id": "1"}}
    told: Any = {"messages": [HumanMessage("go")]}
    resumed: Any = Command(resume=True)
    for asked in (told, resumed, resumed):
        graph = graph_of(session, tools, saver)  # another process could go on with it
        told = graph.invoke(asked, place) if kind == "sync" else await graph.ainvoke(asked, place)
        if asked is resumed and "__interrupt__" in told:  # resumed too early, it is interrupted again
            await decide(told["__interrupt__"][0].value["run_id"])
    assert told["messages"][-1].content == "done"
    answers = [one for one in told["messages"] if isinstance(one, ToolMessage)]
    assert [one.status for one in answers] == ["success" if code is None else "error" for code in CODES]
    return [str(one.content) for one in answers]


async def by_pydantic_ai(session: AnySession, tools: Tools, decide: Decide, kind: str) -> list[str]:
    del kind
    told: list[str] = []

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        assert {"io-fs-write_file", "io-fs-delete"} < {one.name for one in info.function_tools}
        turn = sum(isinstance(one, ModelResponse) for one in messages)
        last = messages[-1]
        assert isinstance(last, ModelRequest)
        told.extend(str(part.content) for part in last.parts if part.part_kind == "tool-return")
        if turn == len(TURNS):
            return ModelResponse([TextPart("done")])
        return ModelResponse([ToolCallPart(name, args) for name, args in TURNS[turn]])

    toolset = AssentToolset[None](session, tools)
    agent = Agent(FunctionModel(model), toolsets=[toolset], output_type=[str, DeferredToolRequests])
    first = await agent.run("go")
    assert isinstance(first.output, DeferredToolRequests)
    (waiting,) = first.output.metadata.values()
    asked = asyncio.ensure_future(toolset.results(first.output))
    await decide(waiting["run_id"])
    last = await agent.run(message_history=first.all_messages(), deferred_tool_results=await asked)
    assert last.output == "done"
    return told


WAYS = {
    "responses": (by_hand, "function_call"),
    "chat": (by_hand, "function"),
    "messages": (by_hand, "tool_use"),
    "langgraph": (by_langgraph, "async"),
    "pydantic_ai": (by_pydantic_ai, ""),
}


def judge(told: list[str]) -> None:
    """What the model was told of each call."""
    for said, code in zip(told, CODES, strict=True):
        assert said.startswith("{")
        assert code is None or json.loads(said)["error"]["code"] == code
    assert "private" in told[1]
