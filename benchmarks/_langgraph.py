"""LangGraph with its SQLite checkpointers, `durability="sync"`: a checkpoint is durable before the next step begins.

Both of its checkpointers take part, because neither is faster everywhere. They set WAL themselves and leave `synchronous` at
SQLite's default, FULL.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypedDict

from benchmarks._contender import STEPS, Evidence, Load

# One checkpoint for the input and one for the start come before those of the five steps.
_CHECKPOINTS = "SELECT count(*) FROM checkpoints"
_PER_WORKFLOW = STEPS + 2


class _State(TypedDict):
    done: int


@asynccontextmanager
async def langgraph_async(folder: Path, concurrency: int) -> AsyncIterator[Load]:
    """Async nodes and `AsyncSqliteSaver`, runs as tasks of one loop."""
    del concurrency
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    path = folder / "checkpoints.sqlite"
    async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
        graph = _builder(_async_node).compile(checkpointer=saver)
        threads = count()

        async def once() -> None:
            config = {"configurable": {"thread_id": f"thread-{next(threads)}"}}
            state = await graph.ainvoke({"done": 0}, config, durability="sync")
            assert state["done"] == STEPS

        yield Load(
            Evidence(path, _CHECKPOINTS, _PER_WORKFLOW),
            'WAL, synchronous=FULL, AsyncSqliteSaver, durability="sync", async nodes in tasks',
            in_task=once,
        )


@asynccontextmanager
async def langgraph_sync(folder: Path, concurrency: int) -> AsyncIterator[Load]:
    """Sync nodes and `SqliteSaver`, runs in threads."""
    del concurrency
    from langgraph.checkpoint.sqlite import SqliteSaver

    path = folder / "checkpoints.sqlite"
    with SqliteSaver.from_conn_string(str(path)) as saver:
        graph = _builder(_sync_node).compile(checkpointer=saver)
        threads = count()

        def once() -> None:
            config = {"configurable": {"thread_id": f"thread-{next(threads)}"}}
            state = graph.invoke({"done": 0}, config, durability="sync")
            assert state["done"] == STEPS

        yield Load(
            Evidence(path, _CHECKPOINTS, _PER_WORKFLOW),
            'WAL, synchronous=FULL, SqliteSaver, durability="sync", sync nodes in threads',
            in_thread=once,
        )


# `Any`: what its builder takes and is goes through a dozen private types of its own.
def _builder(node: Callable[[int], Any]) -> Any:
    from langgraph.graph import END, START, StateGraph

    builder = StateGraph(_State)
    names = [f"step_{number}" for number in range(1, STEPS + 1)]
    for number, name in enumerate(names, 1):
        builder.add_node(name, node(number))
    for before, after in zip([START, *names], [*names, END], strict=True):
        builder.add_edge(before, after)
    return builder


def _async_node(number: int) -> Callable[[_State], Awaitable[_State]]:
    async def step(state: _State) -> _State:
        del state
        return {"done": number}

    return step


def _sync_node(number: int) -> Callable[[_State], _State]:
    def step(state: _State) -> _State:
        del state
        return {"done": number}

    return step
