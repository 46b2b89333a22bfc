"""A call that a server has made a task of (`io.modelcontextprotocol/tasks`): asked about until it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from assent.errors import WorldError
from assent.plugins.upstream._talk import TASKS

if TYPE_CHECKING:
    from mcp import MCPError

POLL_MS: Final = 1_000
"""So often a task is asked about whose server says nothing of that, and within these bounds where it does."""

POLL_S_MIN: Final = 0.05
POLL_S_MAX: Final = 30.0

Answered: TypeAlias = Callable[[Any], Awaitable[dict[str, Any]]]
"""Gives the answer to a request of the call. `Any`: JSON, and a request of no kind that the SDK knows."""


class Task:
    """One task. `inputs` gives what it needs, by the request that it needs it for; `left`: the client wants no outcome."""

    def __init__(
        self, server: str, ident: str, answered: Answered, inputs: Answered, left: asyncio.Event | None
    ) -> None:
        self._server, self._ident = server, ident
        self._answered, self._inputs = answered, inputs
        self._left = left

    async def end(self, told: Mapping[str, Any]) -> dict[str, Any] | None:  # `Any`: JSON
        """How it stands once it has ended (`completed`, `failed`, `cancelled`); None where the client has left before.

        `told`: how it stood first. `WorldError` MCP_SERVER_FAILED: that can't be told.
        """
        given = set[str]()
        while True:
            poll_ms = told.get("pollIntervalMs")
            poll_s = (poll_ms if isinstance(poll_ms, int | float) else POLL_MS) / 1000
            if await self._has_left(min(max(poll_s, POLL_S_MIN), POLL_S_MAX)):
                return None
            told = stands = await self._ask("get", {"taskId": self._ident})
            match stands.get("status"):
                case "completed" if isinstance(stands.get("result"), dict):
                    return stands
                case "failed" | "cancelled":
                    return stands
                case "input_required":
                    asked = stands.get("inputRequests") or {}
                    asked = {name: one for name, one in asked.items() if name not in given}
                    given |= asked.keys()
                    if asked:
                        inputs = await self._inputs({"inputRequests": asked})
                        await self._ask("update", {"taskId": self._ident, **inputs})
                case "working":
                    pass
                case _:
                    raise WorldError(
                        "MCP_SERVER_FAILED",
                        f"MCP server `{self._server}` tells nothing that can be read of the task of this call",
                    )

    async def _ask(self, what: str, params: dict[str, Any]) -> dict[str, Any]:
        try:
            return await self._answered(task_request(what, params))
        except WorldError as error:
            if error.code != "MCP_TOOL_FAILED":
                raise
            # That it does not answer this says nothing of what the call did.
            raise WorldError(
                "MCP_SERVER_FAILED",
                f"{error.message}; what came of its task is not known",
                details=error.details,
            ) from None

    async def _has_left(self, within_s: float) -> bool:
        if self._left is None:
            await asyncio.sleep(within_s)
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._left.wait()
            return True
        return False


def task_request(
    what: str, params: dict[str, Any]
) -> Any:  # `Any`: JSON, and a request of no kind that the SDK knows
    """A request about a task: `get`, `update` or `cancel` it."""
    return _kind()(method=f"tasks/{what}", params=params)


@cache
def _kind() -> Any:  # `Any`: as above
    from mcp_types import Request

    class TaskRequest(Request[dict[str, Any], str]):
        name_param = "taskId"  # what the header `Mcp-Name` names

    return TaskRequest


def error_of(said: Any) -> MCPError:  # `Any`: JSON
    """The error that a task has failed with."""
    from mcp import MCPError
    from mcp_types import INTERNAL_ERROR

    told = said if isinstance(said, dict) else {}
    code = told.get("code")
    return MCPError(
        code if isinstance(code, int) else INTERNAL_ERROR,
        str(told.get("message", "it does not say why")),
        told.get("data"),
    )


def needs_tasks(error: MCPError) -> bool:
    """Whether a server refuses to carry a call out as anything but a task."""
    from mcp_types import MISSING_REQUIRED_CLIENT_CAPABILITY

    data = error.data if isinstance(error.data, dict) else {}
    needed = data.get("requiredCapabilities")
    extensions = needed.get("extensions") if isinstance(needed, dict) else None
    is_missing = error.code == MISSING_REQUIRED_CLIENT_CAPABILITY
    return is_missing and isinstance(extensions, dict) and TASKS in extensions
