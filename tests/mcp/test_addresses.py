"""A server at an address says as much as one with pipes: in an answer that is still coming, and on a stream of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.subscriptions import (
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ToolsListChanged,
)

from tests.mcp.test_door import ERAS, meeting
from tests.mcp.test_news import Heard, asked
from tests.mcp.test_talking import ANSWERS, NAMED, Person, said
from tests.support.gateway import Gateway
from tests.support.patience import PATIENCE_S
from tests.support.talking_upstream import OverHttp, over_http

PLACE = "talk://asks"
CHANGES = [ToolsListChanged(), PromptsListChanged(), ResourcesListChanged(), ResourceUpdated(PLACE)]


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, OverHttp]]:
    with over_http() as told:
        yield told


@pytest.fixture(scope="module")
def locks(tmp_path_factory: pytest.TempPathFactory, server: tuple[str, OverHttp]) -> dict[str, Any]:
    """What is configured and trusted, by revision of the server: each is looked at once."""
    found = {}
    for era in ERAS:
        gateway = Gateway(tmp_path_factory.mktemp(f"looked-{era}") / "work")
        gateway.say(
            f'\n[mcp.servers.talk]\nurl = "{server[0]}/{era}"\nprivate = ["127.0.0.1/32"]\ntimeout = "20s"\n'
        )
        gateway.trust("talk")
        found[era] = [(gateway.folder / name).read_text() for name in ("assent.toml", "assent-mcp.lock")]
    return found


def gateway_of(tmp_path: Path, locks: dict[str, Any], era: str) -> Gateway:
    """A workspace with the server of that revision, trusted."""
    gateway = Gateway(tmp_path / "work")
    for name, told in zip(("assent.toml", "assent-mcp.lock"), locks[era], strict=True):
        (gateway.folder / name).write_text(told)
        (gateway.folder / name).chmod(0o600)
    return gateway


async def test_of_the_older_revision_all_that_is_said_and_asked_in_a_call_goes_through(
    tmp_path: Path, env: dict[str, str], locks: dict[str, Any], server: tuple[str, OverHttp]
) -> None:
    """To the call in whose answer it comes, whatever else is under way."""
    gateway, person, heard = gateway_of(tmp_path, locks, ERAS[0]), Person(), []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)

    can = person("elicitation", "sampling", "list_roots")
    async with meeting(gateway.folder, env, log_level="info", **can) as met:
        client = met.client
        for what, answered in ANSWERS.items():
            assert said(await client.call_tool("mcp_talk_ask", {"what": what})) == answered, what
        waiting = asyncio.ensure_future(client.call_tool("mcp_talk_wait", {}))
        assert said(await client.call_tool("mcp_talk_begun", {})) == "begun"
        assert said(await client.call_tool("mcp_talk_ask", {"what": "elicitation"})) == NAMED
        assert said(await client.call_tool("mcp_talk_tell", progress_callback=hear)) == "told"
        assert (heard, person.messages) == ([0, 50, 100], [("theirs", "warning"), ("mcp.talk", "warning")])
        waiting.cancel()
        assert said(await client.call_tool("mcp_talk_was_cancelled", {})) == "cancelled"
        # What is asked beside the answer is of the one call that is under way.
        assert said(await client.call_tool("mcp_talk_asks_apart", {})) == NAMED
        # An answer that breaks off is gone on with.
        assert said(await client.call_tool("mcp_talk_breaks", {})) == "whole"
        assert person.messages[2:] == [("theirs", "warning")] * 2
        assert [one for one in server[1].asked if one[1] is not None]
    assert ("DELETE", None) in server[1].asked


@pytest.mark.parametrize("era", ERAS)
async def test_what_it_tells_of_changes_is_told(
    tmp_path: Path, env: dict[str, str], locks: dict[str, Any], era: str
) -> None:
    """Of resources as long as somebody has subscribed to them."""
    gateway, heard = gateway_of(tmp_path, locks, era), Heard()
    found: list[Any] = []
    async with meeting(gateway.folder, env, message_handler=heard.hear) as met:
        client = met.client
        await client.list_tools()
        await client.list_prompts()
        await client.list_resources()
        await asked(met, "subscribe", uri=PLACE)
        assert PLACE in said(await client.call_tool("mcp_talk_watched", {}))
        await client.call_tool("mcp_talk_change", {})
        async with asyncio.timeout(PATIENCE_S):
            while {*found} != {*CHANGES}:
                found.append(await heard.news.get())
        await asked(met, "unsubscribe", uri=PLACE)
        async with asyncio.timeout(PATIENCE_S):
            while PLACE in said(await client.call_tool("mcp_talk_watched", {})):
                pass
