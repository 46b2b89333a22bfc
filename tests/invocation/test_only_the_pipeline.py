"""Nothing but the pipeline calls a part of a handler: its sources are read for whoever might."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from assent.invocation.describe.handler import PART_NAMES

PIPELINE: Final = "invocation/call/_pipeline.py"
BENCH: Final = "testing/_bench.py"
"""The contract suite tries one part at a time, in a world of its own; no call comes through it."""
WORKER: Final = "plugins/worker/_serving.py"
"""The other end of a pipe, in a process of its own, where what the pipeline calls is performed. Nobody else talks to it."""
NAMED: Final = re.compile(r"handler\s*[.,]|[Ii]nvoker")
"""What stands in every source that might."""
ROOF: Final = "runtime/_parts.py"
"""It makes the invoker and hands it to the pipeline."""


def reaches(source: str) -> Iterator[str]:
    """Where a source takes a handler's part for more than asking whether it is there, or has an invoker call something."""
    if not NAMED.search(source):
        return  # to read a whole package as a tree takes seconds
    tree = ast.parse(source)
    asked = {
        id(node.left)
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and all(isinstance(one, ast.Is | ast.IsNot) for one in node.ops)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=owner, attr=name) if name in PART_NAMES and id(node) not in asked:
                if last(owner) in ("handler", "_handler"):
                    yield f"{node.lineno}: {ast.unparse(node)}"
            case ast.Attribute(value=owner, attr="invoke") if last(owner).endswith("invoker"):
                yield f"{node.lineno}: {ast.unparse(node)}"
            case ast.Call(func=ast.Name(id="getattr"), args=[owner, *_]) if id(node) not in asked:
                if last(owner) in ("handler", "_handler"):
                    yield f"{node.lineno}: {ast.unparse(node)}"
            case ast.Call(func=ast.Name(id="Invoker")):
                yield f"{node.lineno}: {ast.unparse(node)}"
            case _:
                pass


def last(node: ast.expr) -> str:
    """The last name of an expression: `handler` of `call.bound.handler`."""
    return ast.unparse(node).rpartition(".")[2]


def test_only_the_pipeline_calls_a_part_of_a_handler(repository: Path) -> None:
    package = repository / "src" / "assent"
    found = {
        path.relative_to(package).as_posix(): [*reaches(path.read_text(encoding="utf-8"))]
        for path in sorted(package.rglob("*.py"))
    }
    strangers = {name: places for name, places in found.items() if places}
    assert strangers.keys() == {PIPELINE, BENCH, ROOF, WORKER}
    assert [place.partition(": ")[2].partition("(")[0] for place in strangers[ROOF]] == ["Invoker"]


@pytest.mark.parametrize(
    "source",
    [
        "await call.bound.handler.execute(context, parameters)",
        "part = bound.handler.compensate",
        "getattr(bound.handler, kind)(context, parameters)",
        "await self._invoker.invoke(part, context, parameters)",
        "Invoker(threads, grace_s=1)",
    ],
)
def test_a_way_round_the_pipeline_is_found(source: str) -> None:
    assert len([*reaches(source)]) == 1


@pytest.mark.parametrize(
    "source", ["bound.handler.execute is None", "if not_here.handler.prepare is not None: ..."]
)
def test_asking_whether_a_part_is_there_is_no_call(source: str) -> None:
    assert [*reaches(source)] == []
