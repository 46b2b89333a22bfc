"""What a client is told that it did not ask for just now: changed tools and resources, and messages of its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import mcp_types as wire
import pytest
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import (
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ToolsListChanged,
)

from assent.runtime._answering import Answering
from tests.mcp.test_door import ERAS, MODERN, Met, meeting, settings_of
from tests.mcp.test_http import agent
from tests.mcp.test_talking import PROGRAM, SAID, said
from tests.support.gateway import Gateway
from tests.support.patience import PATIENCE_S
from tests.support.serving import daemon, key_for, over_tcp

LISTS: dict[type[Any], Any] = {
    wire.ToolListChangedNotification: ToolsListChanged(),
    wire.PromptListChangedNotification: PromptsListChanged(),
    wire.ResourceListChangedNotification: ResourcesListChanged(),
}


class Heard:
    """What a client hears by itself."""

    def __init__(self) -> None:
        self.news: asyncio.Queue[Any] = asyncio.Queue()
        self.messages: list[wire.LoggingMessageNotificationParams] = []

    async def hear(self, message: Any) -> None:
        for kind, event in LISTS.items():
            if isinstance(message, kind):
                self.news.put_nowait(event)
        if isinstance(message, wire.ResourceUpdatedNotification):
            self.news.put_nowait(ResourceUpdated(str(message.params.uri)))

    async def log(self, said: wire.LoggingMessageNotificationParams) -> None:
        self.messages.append(said)

    async def until(self, event: object) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await self.news.get() != event:
                pass


async def asked(met: Met, method: str, **said: Any) -> None:
    """A request that the SDK's client makes with a warning."""
    kinds: Any = {
        "subscribe": wire.SubscribeRequest,
        "unsubscribe": wire.UnsubscribeRequest,
        "level": wire.SetLevelRequest,
    }
    kind = kinds[method]
    request = kind(params=kind.model_fields["params"].annotation(**said))
    await met.client.session.send_request(request, wire.EmptyResult)


@pytest.mark.parametrize("era", ERAS)
async def test_whoever_subscribes_is_told_of_their_run_and_no_other_of_it(
    root: Path, env: dict[str, str], era: str
) -> None:
    heard = Heard()
    async with meeting(root, env, era, message_handler=heard.hear) as met:
        await met.call("sys_noop")
        place = f"assent://runs/{met.visit.run}"
        if era == MODERN:
            async with met.client.listen(resource_subscriptions=[place, "assent://runs"]) as stream:
                await met.call("sys_noop")
                async with asyncio.timeout(PATIENCE_S):
                    assert await anext(aiter(stream)) == ResourceUpdated(place)
            return
        await asked(met, "subscribe", uri=place)
        await met.call("sys_noop")
        await heard.until(ResourceUpdated(place))
        await asked(met, "unsubscribe", uri=place)
        with pytest.raises(MCPError, match="there is no resource"):
            await asked(met, "subscribe", uri="assent://nothing")
        with pytest.raises(MCPError, match="run_none"):
            await asked(met, "subscribe", uri="assent://runs/run_none")


async def test_a_stream_of_what_is_not_there_is_refused(root: Path, env: dict[str, str]) -> None:
    async with meeting(root, env, MODERN) as met:
        for places in (["assent://nothing"], ["assent://runs/run_none"], ["assent://runs"] * 101):
            with pytest.raises(MCPError):
                async with met.client.listen(resource_subscriptions=places):
                    pass


@pytest.fixture(scope="module")
def locks(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[str, ...]]:
    """What is configured and trusted, of a server of each era: each is looked at once."""
    found = {}
    for era in ERAS:
        gateway = Gateway(tmp_path_factory.mktemp(f"looked-{era}") / "work")
        told = f'"{PROGRAM}"]\nread'
        gateway.say(SAID if era == MODERN else SAID.replace(told, told.replace("]", ', "legacy"]')))
        gateway.trust("talk")
        found[era] = tuple((gateway.folder / name).read_text() for name in ("assent.toml", "assent-mcp.lock"))
    return found


@pytest.mark.parametrize(("era", "theirs"), [ERAS, ERAS[::-1]])
async def test_what_a_server_behind_us_tells_of_changes_is_told_to_who_asked_for_it(
    tmp_path: Path, env: dict[str, str], locks: Mapping[str, Any], era: str, theirs: str
) -> None:
    """Of a resource once the policy let it be subscribed to, to nobody else, and no more once nobody wants it; a server that dies
    may have changed anything."""
    gateway = Gateway(tmp_path / "work")
    for name, text in zip(("assent.toml", "assent-mcp.lock"), locks[theirs], strict=True):
        (gateway.folder / name).write_text(text)
        (gateway.folder / name).chmod(0o600)
    heard, place = Heard(), "talk://asks"
    changes = [ToolsListChanged(), PromptsListChanged(), ResourcesListChanged(), ResourceUpdated(place)]
    found: list[Any] = []
    async with AsyncExitStack() as stack:
        if era == MODERN:  # the state is another process's, as it is for `assent mcp` beside `assent serve`
            await stack.enter_async_context(Answering(settings_of(gateway.folder, env, "user:bob")))
        met = await stack.enter_async_context(meeting(gateway.folder, env, era, message_handler=heard.hear))
        client = met.client
        if era == MODERN:
            kinds = {f"{one}_list_changed": True for one in ("tools", "prompts", "resources")}
            async with client.listen(resource_subscriptions=[place], **kinds) as stream:
                assert said(await client.call_tool("mcp_talk_watched", {})) == place
                await client.call_tool("mcp_talk_change", {})
                async with asyncio.timeout(PATIENCE_S):
                    while set(found) != set(changes):
                        found.append(await anext(aiter(stream)))
                await client.call_tool("mcp_talk_die", {})
                async with asyncio.timeout(PATIENCE_S):
                    assert await anext(aiter(stream)) == ResourceUpdated(place)
                assert said(await client.call_tool("mcp_talk_watched", {})) == place
        else:
            await client.list_tools()
            await client.list_prompts()
            await client.list_resources()
            await asked(met, "subscribe", uri=place)
            assert said(await client.call_tool("mcp_talk_watched", {})) == place
            await client.call_tool("mcp_talk_change", {})
            async with asyncio.timeout(PATIENCE_S):
                while set(found) != set(changes):
                    found.append(await heard.news.get())
            await client.call_tool("mcp_talk_die", {})
            await heard.until(ResourceUpdated(place))
            assert said(await client.call_tool("mcp_talk_watched", {})) == place
            await asked(met, "unsubscribe", uri=place)
        async with asyncio.timeout(PATIENCE_S):
            while said(await client.call_tool("mcp_talk_watched", {})) != "nothing":
                pass
        steps = [one["capability"] for one in (await met.run())["steps"]]
        assert steps.count("mcp.talk.resources.subscribe") == 1


@pytest.mark.parametrize("era", ERAS)
async def test_a_policy_that_is_read_anew_is_told_to_who_knows_the_tools(
    root: Path, env: dict[str, str], era: str
) -> None:
    over_tcp(root)
    heard, policy = Heard(), root / "policy.yaml"
    async with (
        daemon(root, env) as served,
        agent(served, key_for(root, env, "agent:bot"), era, message_handler=heard.hear) as client,
    ):
        names = {one.name for one in (await client.list_tools()).tools}
        assert "io_fs_write_file" in names
        tools = client.server_capabilities.tools  # a client that is told its era asks nobody
        assert era == MODERN or (tools is not None and tools.list_changed)
        policy.write_text(
            policy.read_text().replace(
                "rules:\n", "rules:\n  - {id: no, decision: DENY, when: {capability: io.*}}\n"
            )
        )
        if era == MODERN:
            async with client.listen(tools_list_changed=True) as stream:
                served.told.reload.set()
                async with asyncio.timeout(PATIENCE_S):
                    assert await anext(aiter(stream)) == ToolsListChanged()
        else:
            served.told.reload.set()
            await heard.until(ToolsListChanged())
        assert names - {one.name for one in (await client.list_tools()).tools} >= {"io_fs_write_file"}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("level", "levels"), [("info", {"info", "warning"}), ("warning", {"warning"}), (None, set[str]())]
)
async def test_messages_tell_of_a_call_from_the_level_on_that_was_asked_for(
    root: Path, env: dict[str, str], era: str, level: Any, levels: set[str]
) -> None:
    heard = Heard()
    told = {"log_level": level} if era == MODERN else {}
    async with meeting(root, env, era, logging_callback=heard.log, **told) as met:
        if era != MODERN and level is not None:
            await asked(met, "level", level=level)
        await met.call("sys_noop")
        await met.refused("io_fs_write_file", path="private/x", content="")
        assert {one.level for one in heard.messages} == levels
        assert not levels or any(one.data["kind"] == "step.denied" for one in heard.messages)


@pytest.mark.parametrize("era", ERAS)
async def test_each_list_has_a_page_and_no_other(root: Path, env: dict[str, str], era: str) -> None:
    async with meeting(root, env, era) as met:
        client = met.client
        for ask in (
            client.list_tools,
            client.list_resources,
            client.list_resource_templates,
            client.list_prompts,
        ):
            assert (await ask()).next_cursor is None
            with pytest.raises(MCPError, match="cursor"):
                await partial(ask, cursor="x")()
