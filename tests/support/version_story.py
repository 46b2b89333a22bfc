"""The story of a capability that gets a second version, one chapter for each process: each can be killed anywhere and told again.

    python -m tests.support.version_story CHAPTER WORKSPACE

A chapter does what is left of it. Orders are files that can be made only once, so nothing can be done twice unnoticed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from assent import Runtime
from assent.engine import RunResult
from assent.errors import InputError
from assent.invocation import Handler, LocalContext, NoEffectError, Prepared, Reconciliation
from assent.spec.states import RunState, Verdict
from tests.support.orders import ID, ONE, TWO, one_to_two

POLICY: Final[dict[str, Any]] = {
    "version": 1,
    "rules": [{"id": "shop", "when": {"capability": ID}, "decision": "ALLOW"}],
    "default": "DENY",
}

WAITING: Final[dict[str, Any]] = {
    "name": "waiting",
    "version": "1.0.0",
    "steps": [
        {"name": "order", "capability": f"{ID}@1.0.0", "inputs": {"item": "kept"}},
        {"name": "ask", "approval": {"reason": "is it still wanted?", "approvers": {}}},
    ],
}
"""A run that keeps version 1 in use until a person answers."""


def handler(version: str, orders: Path, *, fails: bool = False) -> Handler:
    """Places an order as a file, which it never does twice."""

    def output(name: str) -> dict[str, Any]:
        return {"number": len(name)} if version == "1.0.0" else {"reference": name}

    def items(parameters: Mapping[str, Any]) -> str:
        return str(parameters["item"] if version == "1.0.0" else parameters["items"][0])

    async def execute(context: LocalContext, parameters: Mapping[str, Any]) -> dict[str, Any]:
        name = items(parameters)
        if fails:
            raise NoEffectError("SHOP_CLOSED", "the shop is closed")
        with (orders / f"{name}.{context.key}").open("x", encoding="utf-8") as file:
            file.write(version)
        return output(name)

    async def prepare(context: LocalContext, parameters: Mapping[str, Any]) -> Prepared:
        return Prepared({})

    async def reconcile(context: LocalContext, parameters: Mapping[str, Any]) -> Reconciliation:
        name = items(parameters)
        if (orders / f"{name}.{context.key}").exists():
            return Reconciliation(Verdict.YES, output=output(name))
        return Reconciliation(Verdict.NO)

    async def compensate(context: LocalContext, parameters: Mapping[str, Any]) -> None:
        (orders / f"{items(parameters)}.{context.key}").unlink(missing_ok=True)

    return Handler(
        execute=execute, prepare=prepare, reconcile=reconcile, compensate=compensate, revision=version
    )


class Story:
    """The runtime of one chapter."""

    def __init__(self, rt: Runtime, orders: Path) -> None:
        self.rt = rt
        self.orders = orders

    def is_placed(self, item: str) -> bool:
        """Whether an order is there."""
        return any(path.name.startswith(f"{item}.") for path in self.orders.iterdir())

    async def order(self, reference: str, item: str) -> RunResult | None:
        """Place an order of version 1, unless it is placed."""
        if self.is_placed(item):
            return None
        return await self.rt.call(reference, {"item": item})

    async def label(self, version: str) -> None:
        """Let `stable` name a version, unless it does."""
        await self.rt.versions.label(f"{ID}@{version}", "stable")


async def _in_use(story: Story) -> None:
    for number in range(2):
        result = await story.order(ID, f"early-{number}")
        assert result is None or result.step("call").version == "1.0.0"


async def _refused(story: Story) -> None:
    with pytest.raises(InputError) as caught:
        story.rt.register(TWO, handler("2.0.0", story.orders))
    assert caught.value.code == "VERSION_BREAKING"
    assert caught.value.details["changes"]
    await story.order(ID, "after-refusal")


async def _accepted(story: Story) -> None:
    result = await story.order(f"{ID}@1.0.0", "pinned")
    assert result is None or result.step("call").output == {"number": 6}
    if not story.is_placed("kept"):
        waiting = await story.rt.run(WAITING)
        assert waiting.status is RunState.WAITING, waiting


async def _tried(story: Story) -> None:
    await story.label("1.0.0")
    failed = await story.rt.call(f"{ID}@2.0.0", {"items": ["tried"]})
    assert failed.status is RunState.FAILED, failed
    result = await story.order(f"{ID}@stable", "kept-stable")
    assert result is None or result.step("call").version == "1.0.0"


async def _moved(story: Story) -> None:
    await story.label("2.0.0")
    if not story.is_placed("moved"):
        result = await story.rt.call(f"{ID}@stable", {"items": ["moved"]})
        assert result.step("call").version == "2.0.0", result


async def _retired(story: Story) -> None:
    retired = {status.entry.version for status in story.rt.versions.history(ID) if status.entry.is_retired}
    unfinished = await story.rt.unfinished()
    if "1.0.0" not in retired:
        if unfinished:
            with pytest.raises(InputError) as caught:
                await story.rt.versions.retire(f"{ID}@1.0.0")
            assert caught.value.code == "VERSION_IN_USE"
            for run in unfinished:
                await story.rt.approve(run)
        await story.rt.versions.retire(f"{ID}@1.0.0")
    result = await story.order(f"{ID}@1.0.0", "last")
    if result is not None:
        step = result.step("call")
        assert (step.version, step.asked_version, step.output) == ("2.0.0", "1.0.0", {"number": 4}), step


CHAPTERS: Final[dict[str, tuple[Callable[[Story], Awaitable[None]], bool, bool]]] = {
    # what happens, whether version 2 is there, and whether it fails
    "in_use": (_in_use, False, False),
    "refused": (_refused, False, False),
    "accepted": (_accepted, True, False),
    "tried": (_tried, True, True),
    "moved": (_moved, True, False),
    "retired": (_retired, True, False),
}


async def tell(chapter: str, workspace: Path) -> None:
    """Tell what is left of a chapter, after what a kill left unfinished."""
    what, has_two, fails = CHAPTERS[chapter]
    orders = workspace / "orders"
    rt = Runtime.open(workspace, policy=POLICY)
    rt.register(ONE, handler("1.0.0", orders))
    if has_two:
        rt.register(
            TWO,
            handler("2.0.0", orders, fails=fails),
            transformers=[one_to_two(outputs_backward=lambda new: {"number": len(new["reference"])})],
        )
    async with rt:
        await rt.resume()
        await what(Story(rt, orders))


if __name__ == "__main__":
    asyncio.run(tell(sys.argv[1], Path(sys.argv[2])))
