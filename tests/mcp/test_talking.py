"""What an MCP server behind us tells and asks while it carries out a call goes to the client whose call it is, and comes back."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mcp_types as wire
import pytest
from mcp.shared.exceptions import MCPError

from assent.runtime._answering import Answering
from assent.runtime.service import requests
from assent.runtime.service.requests import asker_of
from assent.system import spawn
from tests.mcp.test_door import ERAS, Met, meeting, settings_of
from tests.support import talking_upstream
from tests.support.gateway import Gateway
from tests.support.patience import PATIENCE_S

PROGRAM = Path(talking_upstream.__file__)


SAID = f"""
[mcp.servers.talk]
command = ["{sys.executable}", "{PROGRAM}"]
read_only = ["{PROGRAM}"]
"""


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The lock, once somebody has looked at the server."""
    gateway = Gateway(tmp_path_factory.mktemp("looked") / "work")
    gateway.say(SAID)
    gateway.trust("talk")
    return (gateway.folder / "assent-mcp.lock").read_text()


@pytest.fixture
def gateway(tmp_path: Path, trusted: str) -> Gateway:
    """A workspace with the server, trusted."""
    gateway = Gateway(tmp_path / "work")
    gateway.say(SAID)
    path = gateway.folder / "assent-mcp.lock"
    path.write_text(trusted)
    path.chmod(0o600)
    return gateway


NAMED = '{"action":"accept","content":{"name":"Ann"}}'
ANSWERS = {
    "elicitation": NAMED,
    "secret": NAMED,
    "sampling": '{"role":"assistant","content":{"type":"text","text":"hi"},"model":"m"}',
    "roots": '{"roots":[{"uri":"file:///a"}]}',
}


class Person:
    """Whoever sits at an agent's client, with what they heard."""

    def __init__(self, action: str = "accept") -> None:
        self.asked: list[str] = []
        self.meta: list[Mapping[str, Any]] = []
        self.messages: list[tuple[str | None, str]] = []
        self._action = action

    def __call__(self, *does: str) -> dict[str, Any]:
        """What a client is made with that can do this."""
        can = {"elicitation": self._elicit, "sampling": self._sample, "list_roots": self._roots}
        return {**{f"{name}_callback": can[name] for name in does}, "logging_callback": self._log}

    async def _elicit(self, _: object, params: Any) -> wire.ElicitResult:
        self.asked.append(params.message)
        self.meta.append(params.meta or {})
        return wire.ElicitResult.model_validate(
            {"action": self._action, **({"content": {"name": "Ann"}} if self._action == "accept" else {})}
        )

    async def _sample(self, _: object, params: wire.CreateMessageRequestParams) -> wire.CreateMessageResult:
        self.asked.append(str(params.include_context))
        return wire.CreateMessageResult(
            role="assistant", content=wire.TextContent(type="text", text="hi"), model="m"
        )

    async def _roots(self, _: object) -> wire.ListRootsResult:
        return wire.ListRootsResult.model_validate({"roots": [{"uri": "file:///a"}]})

    async def _log(self, params: wire.LoggingMessageNotificationParams) -> None:
        if params.logger != "assent":
            self.messages.append((params.logger, params.level))


def said(result: wire.CallToolResult) -> str:
    assert not result.is_error, result
    (one,) = result.content
    assert isinstance(one, wire.TextContent)
    return one.text


async def step_of(met: Met, capability: str) -> Any:
    """The newest step of the session that called this."""
    return [one for one in (await met.run())["steps"] if one["capability"] == capability][-1]


@pytest.mark.parametrize("era", ERAS)
async def test_progress_messages_and_whole_results_pass(
    gateway: Gateway, env: dict[str, str], era: str
) -> None:
    person, heard = Person(), []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))

    async with meeting(gateway.folder, env, era, log_level="info", **person("elicitation")) as met:
        assert said(await met.client.call_tool("mcp_talk_tell", progress_callback=hear)) == "told"
        # Within one process the newer revision's calls bear no token; over a wire they do (`make conformance`).
        assert era != ERAS[0] or heard == [(0, 100, "at 0"), (50, 100, "at 50"), (100, 100, "at 100")]
        # What says that Assent itself tells it is told as what it is.
        assert person.messages == [("theirs", "warning"), ("mcp.talk", "warning")]
        whole = await met.client.call_tool("mcp_talk_whole", {})
        assert (whole.content, whole.structured_content) == (talking_upstream.WHOLE.content, {"n": 3})
        assert (whole.meta or {})["example.org/seen"] == [1, 2]
        failed = await met.client.call_tool("mcp_talk_fails", {})
        assert failed.is_error
        assert failed.content[:1] == talking_upstream.FAILS.content
        # A tool that is named like one of the protocol's own requests is a tool beside it.
        assert (await met.client.call_tool("mcp_talk_resources_list", {})).structured_content == {"n": 3}


async def test_a_server_that_sets_no_level_is_called_all_the_same(
    tmp_path: Path, env: dict[str, str]
) -> None:
    """Though it says that it has messages: what it refuses was no call of its tool."""
    gateway = Gateway(tmp_path / "work")
    gateway.program("loud")
    gateway.trust()
    async with meeting(gateway.folder, env) as met:
        assert (await met.call("mcp_notes_add_note", title="milk"))["id"] == 1


async def test_a_cancelled_call_is_cancelled_behind_us_and_the_record_says_so(
    gateway: Gateway, env: dict[str, str]
) -> None:
    async with meeting(gateway.folder, env) as met:
        waiting = asyncio.ensure_future(met.client.call_tool("mcp_talk_wait", {}))
        assert said(await met.client.call_tool("mcp_talk_begun", {})) == "begun"
        waiting.cancel()
        assert said(await met.client.call_tool("mcp_talk_was_cancelled", {})) == "cancelled"
        while (step := await step_of(met, "mcp.talk.wait"))["status"] == "running":
            await met.client.call_tool("mcp_talk_can", {})  # takes a moment
        # What it did until then is not known, and nobody can be asked.
        assert (step["status"], step["error"]["code"]) == ("in_doubt", "EFFECT_UNKNOWN")
        assert "the agent cancelled this call" in step["error"]["message"]


@pytest.mark.parametrize("era", ERAS)
async def test_what_a_server_asks_is_asked_of_the_client_whose_call_it_is(
    gateway: Gateway, env: dict[str, str], era: str
) -> None:
    """And one that can't be asked, or says no, refuses by the protocol's own words; nobody is asked in a workflow."""
    person, other = Person(), Person("decline")
    workflow = {"calls": [{"tool": "mcp_talk_ask", "arguments": {"what": "elicitation"}}]}
    async with meeting(gateway.folder, env, era, **person("elicitation", "sampling", "list_roots")) as met:
        for what, answered in ANSWERS.items():
            assert said(await met.client.call_tool("mcp_talk_ask", {"what": what})) == answered, what
        assert person.asked == [
            "MCP server `talk` asks: Who are you?",
            "MCP server `talk` asks for what may be a secret (give it none here): Your password?",
            "None",  # of what else a model has seen, nothing
        ]
        ran = await met.client.call_tool("assent_run", workflow)
        assert "decline" in str(ran.structured_content), ran
        assert len(person.asked) == 3
        log = requests.AuditLog(kinds=frozenset({"http.requested"}))
        noted = [one.event["method"] async for one in met.visit.parts(log)]
        assert noted == ["elicitation/create"] * 2 + ["sampling/createMessage", "roots/list"]
    async with meeting(gateway.folder, env, era, "agent:bob", **other("elicitation")) as met:
        assert said(await met.client.call_tool("mcp_talk_can", {})) == "elicitation"
        ask = {"what": "elicitation"}
        assert '"decline"' in said(await met.client.call_tool("mcp_talk_ask", ask))
        for what in ("sampling", "roots"):
            with pytest.raises(MCPError, match="nobody can answer"):
                await met.client.call_tool("mcp_talk_ask", {"what": what})


@pytest.mark.parametrize("era", ERAS)
async def test_a_prompt_and_a_resource_ask_before_they_are_given(
    gateway: Gateway, env: dict[str, str], era: str
) -> None:
    """And in the newer revision, what is given before it was asked for counts once."""
    person = Person()
    async with meeting(gateway.folder, env, era, **person("elicitation")) as met:
        prompt = (await met.client.get_prompt("mcp.talk.asks")).messages[0].content
        assert isinstance(prompt, wire.TextContent)
        (resource,) = (await met.client.read_resource("talk://asks")).contents
        assert isinstance(resource, wire.TextResourceContents)
        assert (prompt.text, resource.text) == (NAMED, NAMED)
        assert person.asked == ["MCP server `talk` asks: Who are you?"] * 2
        if era == ERAS[0]:
            return
        yes: Any = {"it": wire.ElicitResult(action="accept", content={"name": "Ann"})}

        async def ask(state: str | None) -> Any:
            given = wire.GetPromptRequestParams(
                name="mcp.talk.asks", input_responses=yes, request_state=state
            )
            request = wire.GetPromptRequest(params=given)
            return (await met.client.session.send_request(request, wire.GetPromptResult)).messages[0].content

        with pytest.raises(MCPError, match="this state names no call"):
            await ask("0" * 32)
        assert await ask(None) == prompt
        assert len(person.asked) == 2


async def test_a_client_that_is_lost_while_it_is_asked_takes_nothing_with_it(
    gateway: Gateway, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server hears that nobody answers, and is as it was for the next."""

    failures = [MCPError(wire.CONNECTION_CLOSED, "Connection closed"), TimeoutError(), ConnectionError()]

    async def lost(*_: object, **__: object) -> wire.ElicitResult:
        raise failures.pop()

    async with meeting(gateway.folder, env, **Person()("elicitation")) as met:
        assert said(await met.client.call_tool("mcp_talk_ask", {"what": "elicitation"})) == NAMED
        monkeypatch.setattr("mcp.server.session.ServerSession.send_request", lost)
        while failures:
            assert '"decline"' in said(await met.client.call_tool("mcp_talk_ask", {"what": "elicitation"}))
        log = requests.AuditLog(kinds=frozenset({"http.requested"}))
        assert len([one async for one in met.visit.parts(log)]) == 1


async def test_a_process_that_is_lost_while_it_is_asked_leaves_nobody_waiting(
    gateway: Gateway, env: dict[str, str]
) -> None:
    """An agent with a process of its own beside the owner: once that has gone, its call goes on as with nobody to ask."""
    ask: dict[str, Any] = {"what": "elicitation"}
    settings = settings_of(gateway.folder, env, "agent:ann")
    client = requests.Client(id="gone", can={"elicitation": {}}, wants_progress=False, log_level=None)
    asked = asyncio.Event()

    def hear(report: Mapping[str, Any]) -> None:
        if "ask" in report.get("passed", {}):
            asked.set()

    async with meeting(gateway.folder, env, **Person()("elicitation")) as met:
        async with Answering(settings) as beside:
            session = (await beside.perform(requests.OpenSession(), asker_of(settings))).run_id
            step = requests.AddStep(run=session, capability="mcp.talk.ask", parameters=ask, client=client)
            work = spawn(beside.perform(step, asker_of(settings), tell=hear), name="its call")
            await asked.wait()
            work.cancel()
        async with asyncio.timeout(PATIENCE_S):
            while (shown := await met.visit.ask(requests.Show(run=session))).steps[0].status == "running":  # noqa: ASYNC110 - another part of it settles it
                await asyncio.sleep(0.05)
    assert shown.steps[0].status == "succeeded"
    assert "decline" in str(shown.steps[0].gave)


async def test_a_server_that_died_is_started_again_for_a_prompt(
    gateway: Gateway, env: dict[str, str]
) -> None:
    async with meeting(gateway.folder, env, **Person()("elicitation")) as met:
        assert (await met.client.get_prompt("mcp.talk.asks")).messages
        servers = met.runtime._core.servers
        live = servers.connection("talk")._live
        assert live is not None
        live.link._child.kill()  # type: ignore[attr-defined]  # a program's
        assert (await met.client.get_prompt("mcp.talk.asks")).messages
        assert servers.connection("talk")._live is not live


async def test_a_retry_joins_the_call_under_way_and_no_other_state_does(
    gateway: Gateway, env: dict[str, str]
) -> None:
    """What is missing, or is not what was asked, is asked again; the server is asked once, whatever the client does."""
    yes = {"it": wire.ElicitResult(action="accept", content={"name": "Ann"})}
    no_answer = {"it": wire.ListRootsResult(roots=[]), "more": yes["it"]}
    asks = {"what": "elicitation", "times": 2}
    async with meeting(gateway.folder, env, ERAS[1], **Person()("elicitation")) as met:

        async def call(state: str | None = None, given: Any = None, arguments: Any = asks) -> Any:
            return await met.client.session.call_tool(
                "mcp_talk_ask",
                arguments,
                input_responses=given,
                request_state=state,
                allow_input_required=True,
            )

        first = await call()
        assert isinstance(first, wire.InputRequiredResult)
        state = first.request_state
        assert state is not None
        for wrong, arguments in ((state + "0", asks), (state.upper(), asks), (state, {"what": "roots"})):
            with pytest.raises(MCPError, match="this state names no call") as caught:
                await call(wrong, yes, arguments)
            assert caught.value.code == wire.INVALID_PARAMS
        for given in (None, {}, no_answer):
            again = await call(state, given)
            assert again.input_requests == first.input_requests
        second = await call(state, yes)
        assert isinstance(second, wire.InputRequiredResult)
        assert second.request_state != state
        # Its server calls both questions the same: what was said to the first, sent once more, is nothing to the second.
        assert [*(second.input_requests or {})] == ["it.2"]
        for _ in range(3):
            again = await call(state, yes)
            assert (again.input_requests, again.request_state) == (
                second.input_requests,
                second.request_state,
            )
        yes = {"it.2": yes["it"]}
        assert said(done := await call(second.request_state, yes)) == NAMED
        assert await call(second.request_state, yes) == done
        assert [one["attempts"] for one in (await met.run())["steps"]] == [1]


async def test_of_calls_that_have_ended_few_outcomes_are_kept(
    gateway: Gateway, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may be megabytes. A client that comes back for the newest finds it."""
    monkeypatch.setattr("assent.mcp._rounds.ENDED_MAX", 2)
    yes = {"it": wire.ElicitResult(action="accept", content={"name": "Ann"})}
    async with meeting(gateway.folder, env, ERAS[1], **Person()("elicitation")) as met:

        async def call(state: str | None = None) -> Any:
            given: Any = {} if state is None else {"input_responses": yes, "request_state": state}
            arguments = {"what": "elicitation"}
            session = met.client.session
            return await session.call_tool("mcp_talk_ask", arguments, allow_input_required=True, **given)

        states = []
        for _ in range(3):
            states.append((await call()).request_state)
            assert said(await call(states[-1])) == NAMED
        with pytest.raises(MCPError, match="this state names no call"):
            await call(states[0])
        assert [said(await call(state)) for state in states[1:]] == [NAMED] * 2


async def test_beside_another_call_what_is_unnamed_is_nobodys(tmp_path: Path, env: dict[str, str]) -> None:
    """A server of the older revisions does not say in which call it asks, so it is answered in none; nor does it ask for ever."""
    gateway, person = Gateway(tmp_path / "work"), Person()
    gateway.say(SAID.replace(f'"{PROGRAM}"]\nread', f'"{PROGRAM}", "legacy"]\nread'))
    gateway.trust("talk")
    async with meeting(gateway.folder, env, **person("elicitation")) as met:
        many = {"what": "elicitation", "times": 25}
        assert "decline" in said(await met.client.call_tool("mcp_talk_ask", many))
        assert len(person.asked) == 20
        waiting = asyncio.ensure_future(met.client.call_tool("mcp_talk_wait", {}))
        await met.client.call_tool("mcp_talk_begun", {})
        assert "decline" in said(await met.client.call_tool("mcp_talk_ask", {"what": "elicitation"}))
        await met.client.call_tool("mcp_talk_tell", {})
        assert len(person.asked) == 20
        assert not person.messages
        waiting.cancel()
        assert said(await met.client.call_tool("mcp_talk_was_cancelled", {})) == "cancelled"
