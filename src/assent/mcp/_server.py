"""The protocol's requests, each answered by the service: tools first."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from functools import partial
from typing import Any, Final

import mcp_types as wire
from mcp.server import NotificationOptions, Server
from mcp.server.context import CallNext, HandlerResult
from mcp.server.models import InitializationOptions
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import validate_mcp_param_headers
from mcp.shared.subscriptions import PromptsListChanged, ResourcesListChanged, ToolsListChanged
from mcp_types.version import is_version_at_least
from msgspec import UNSET

from assent import __version__
from assent.errors import AssentError, InputError, Json
from assent.mcp import _looks as looks
from assent.mcp import _results as results
from assent.mcp import _tasks as tasks
from assent.mcp import _upstreams as upstreams
from assent.mcp._asking import asking
from assent.mcp._consent import can_be_asked
from assent.mcp._news import SINCE_NOW, News
from assent.mcp._own import TOOLS, Asked
from assent.mcp._patience import StepOfSession, outcome, soon
from assent.mcp._rounds import Held, Rounds
from assent.mcp._telling import Asks, Call, Calls, Context
from assent.mcp._tools import Listing, Offer, gives_content, pattern_of
from assent.mcp._visit import Visit
from assent.runtime.service import answers, requests

PAGE: Final = 256
"""Tools of a page: a client that asks for one page only still has ours and 200 others."""

PATIENCE: Final = "assent/patience_ms"
"""The key in `_meta` by which a client says how long one call of it may wait for a person."""

PATIENCE_MS_MAX: Final = 3_600_000

HASTY_S: Final = 4.0
"""So long a client waits that says nothing: short of what clients give up after."""

PATIENT_S: Final = 30.0
"""So long one that hears of progress meanwhile."""

_SERVER_NAME: Final = re.compile("[a-z][a-z0-9_]*")
_OBJECTS_ONLY_BEFORE: Final = "2026-07-28"

INSTRUCTIONS: Final = (
    "Every tool call passes a policy and is put on record. One that needs a person's agreement answers APPROVAL_REQUIRED and "
    "waits: go on with something else, and ask for it with assent_status. assent_plan shows what would happen; assent_undo "
    "takes back what this session did."
)


_PAGE: Final[ContextVar[list[dict[str, Any]]]] = ContextVar(
    "tools of the page that is asked for"
)  # `Any`: JSON


class _Server(Server):
    """The SDK's, which says to clients of the older revisions that lists change."""

    def create_initialization_options(
        self, notification_options: NotificationOptions | None = None, *rest: Any, **more: Any
    ) -> InitializationOptions:
        """What a client is told when it begins."""
        changes = notification_options or NotificationOptions(
            tools_changed=True, prompts_changed=True, resources_changed=True
        )
        return super().create_initialization_options(changes, *rest, **more)


class Door:
    """The protocol for one way in: `visit` says whose session a request belongs to, `fault` what is told of an error of ours.

    `admit` raises what keeps a call of a capability out, before anything is asked of it. `only` names the one MCP server whose
    tools are all that is offered, called as it calls them. `watch` reads the ledger for its news.
    """

    def __init__(
        self,
        visit: Callable[[Context], Visit],
        fault: Callable[[Exception], AssentError],
        admit: Callable[[Context, str], None] = lambda _, __: None,
        only: Callable[[Context], str | None] = lambda _: None,
        watch: Callable[[Visit], AsyncIterator[answers.LogLine]] = lambda visit: visit.parts(SINCE_NOW),
    ) -> None:
        self._visit = visit
        self._admit = admit
        self._only_of = only
        self._fault = fault
        self._calls = Calls()
        self._listing = Listing([one.told for one in TOOLS.values()])
        self._rounds = Rounds()
        self.news: Final = News(watch, only)

    def server(self) -> Server:
        """The SDK's server, which knows the protocol's revisions and transports."""
        server = _Server(
            "assent",
            version=__version__,
            title="Assent",
            instructions=INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_templates,
            on_read_resource=self._read_resource,
            on_subscribe_resource=self._subscribe,
            on_unsubscribe_resource=self._unsubscribe,
            on_subscriptions_listen=self._listen,
            on_list_prompts=self._list_prompts,
            on_get_prompt=self._get_prompt,
            on_completion=self._complete,
            # What headers repeat is looked at where the tool is found; without an answer the SDK lists all tools at each call.
            get_tool_input_schema=lambda _: None,
        )
        server.add_request_handler("tools/call", wire.CallToolRequestParams, self._call_tool)
        # Not as `on_set_logging_level`, which warns that later revisions have it no more.
        server.add_request_handler("logging/setLevel", wire.SetLevelRequestParams, self._set_level)
        for name, answer in (("get", tasks.get), ("update", tasks.update), ("cancel", tasks.cancel)):
            server.add_request_handler(f"tasks/{name}", tasks.TaskParams, partial(self._of_task, answer))
        server.middleware.append(self._with_tools)
        server.extensions[tasks.EXTENSION] = {}
        server.add_notification_handler(
            "notifications/cancelled", wire.CancelledNotificationParams, self._cancelled
        )
        return server

    def _only(self, context: Context) -> str | None:
        """The MCP server whose tools alone are offered. `InputError` MCP_SERVER_UNKNOWN for what no server is called."""
        server = self._only_of(context)
        if server is not None and _SERVER_NAME.fullmatch(server) is None:  # a pattern names several
            raise _no_such(server)
        return server

    async def _offer(self, context: Context, visit: Visit, name: str | None = None) -> Offer:
        """All tools that a caller may use, or those whose names could be this one: to find one, not all have to be judged."""
        server = self._only(context)
        wanted = None if server is None else f"mcp.{server}.*"
        if name is not None and name not in TOOLS:
            wanted = pattern_of(name, server)
        offer = Offer((await visit.ask(requests.Tools(pattern=wanted))).tools, server)
        if server is not None and name is None and not offer.capabilities:
            raise _no_such(server)
        return offer

    async def _list_tools(
        self, context: Context, params: wire.PaginatedRequestParams | None
    ) -> wire.ListToolsResult:
        start = _place(params)
        rest = start + PAGE
        with self._told():
            visit = self._visit(context)
            # All tools are judged for the first page; those that follow are of the same list.
            listed = visit.listed if start else None
            if listed is None:
                offer = await self._offer(context, visit)
                if _only_objects(context):
                    has_others = any(one.upstream is not UNSET for one in offer.capabilities.values())
                    await self.news.listed(context, visit, ToolsListChanged, has_others=has_others)
                listed = self._listing.of(
                    offer, context.protocol_version, only_objects=_only_objects(context)
                )
        is_last = rest >= len(listed)
        visit.listed = None if is_last else listed
        _PAGE.get().extend(listed[start:rest])
        return wire.ListToolsResult(tools=[], next_cursor=None if is_last else str(rest))

    async def _with_tools(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """Put the tools into their list when the SDK has looked at all else of it: it would read and write each one again."""
        if ctx.method != "tools/list":
            return await call_next(ctx)
        page: list[dict[str, Any]] = []  # `Any`: JSON
        token = _PAGE.set(page)
        try:
            result = await call_next(ctx)
        finally:
            _PAGE.reset(token)
        return {**result, "tools": page} if isinstance(result, dict) else result

    async def _call_tool(self, context: Context, params: wire.CallToolRequestParams) -> HandlerResult:
        given: Mapping[str, Json] = params.arguments or {}
        try:
            visit = self._visit(context)
            held = self._rounds.again(visit, params)
            if held is not None:
                async with self._calls.begun(context, visit, held.call):
                    return await self._rounds.outcome(held)
            offer = await self._offer(context, visit, params.name)
            own, tool = TOOLS.get(params.name), offer.capabilities.get(params.name)
            async with self._calls.begun(context, visit) as call:
                if own is not None:
                    answer = await own.answer(Asked(visit, offer, own.read(given), call.hear))
                    if not isinstance(answer, StepOfSession):
                        return results.of_answer(answer)
                    return await self._asking(context, visit, call, params, answer)
                if tool is not None:
                    _require_same_headers(context, tool, given)
                    is_others = tool.upstream is not UNSET
                    step = StepOfSession(tool.capability.id, dict(given), gives_content(tool), is_others)
                    return await self._asking(context, visit, call, params, step)
        except MCPError:
            raise
        except AssentError as error:
            return results.of_error(error)
        except Exception as error:  # noqa: BLE001 - the last door: no traceback may reach a caller
            return results.of_error(self._fault(error))
        # Only what is spelled alike: an agent that may not approve is not led to another tool.
        name = params.name[:128].replace(".", "_")
        near = get_close_matches(name, [*TOOLS, *offer.capabilities], n=1, cutoff=0.85)
        meant = f": did you mean `{near[0]}`?" if near else ""
        raise MCPError(wire.INVALID_PARAMS, f"there is no tool `{params.name}`{meant}")

    async def _asking(
        self,
        context: Context,
        visit: Visit,
        call: Call,
        params: wire.CallToolRequestParams,
        step: StepOfSession,
    ) -> HandlerResult:
        """The same as `_carry_out`, for a client that may be asked something meanwhile: in what way, its revision says."""
        if not step.is_others and (tasks.is_wanted(context) or not can_be_asked(context)):
            return await self._carry_out(context, visit, call, step)
        only = self._only(context)
        if _only_objects(context):
            return await self._carry_out(context, visit, call, step._replace(asks=asking(context, only)))
        held = self._rounds.begin(visit, params, only)
        held.go(call, self._carry_out(context, visit, call, step._replace(asks=held.ask), held))
        return await self._rounds.outcome(held)

    async def _carry_out(
        self, context: Context, visit: Visit, call: Call, step: StepOfSession, held: Held | None = None
    ) -> HandlerResult:
        """The outcome of a step, or what it waits for once the client has had patience; a task where the client knows those."""
        self._admit(context, step.capability)
        if tasks.is_wanted(context):
            found = await soon(visit, call, step, tasks.SLOW_S)
            if isinstance(found, str):
                task = f"{visit.run}/{found}"
                if held is not None:
                    self._rounds.keep(task, held)
                return await tasks.begun(visit, task)
            run, inner = found, None
        else:
            run, inner = await outcome(visit, call, step, _patience(context, call))
        return results.of_step(
            run, only_objects=_only_objects(context), inner=inner, gives_content=step.gives_content
        )

    async def _cancelled(self, context: Context, params: wire.CancelledNotificationParams) -> None:
        if params.request_id is not None:
            await self._calls.stop(self._visit(context), params.request_id)

    async def _of_task(
        self,
        answer: Callable[[tasks.Asked], Awaitable[HandlerResult]],
        context: Context,
        params: tasks.TaskParams,
    ) -> HandlerResult:
        with self._told():
            tasks.require_known(context, params)
            visit, held = self._visit(context), self._rounds.tasks.get(params.task_id)
            # Who came in otherwise may look at it, as far as they may read; it is not their call.
            own = held if held is not None and held.visit.by == visit.by else None
            return await answer(tasks.Asked(visit, params, own))

    async def _list_resources(
        self, context: Context, params: wire.PaginatedRequestParams | None
    ) -> wire.ListResourcesResult:
        _require_first(params)
        with self._told():
            visit = self._visit(context)
            theirs = await upstreams.resources(visit, self._only(context))
            if _only_objects(context) and theirs:
                await self.news.listed(context, visit, ResourcesListChanged, has_others=True)
        return wire.ListResourcesResult(resources=[*looks.resources(), *theirs])

    async def _list_templates(
        self, context: Context, params: wire.PaginatedRequestParams | None
    ) -> wire.ListResourceTemplatesResult:
        _require_first(params)
        with self._told():
            theirs = await upstreams.templates(self._visit(context), self._only(context))
        return wire.ListResourceTemplatesResult(resource_templates=[*looks.templates(), *theirs])

    async def _read_resource(
        self, context: Context, params: wire.ReadResourceRequestParams
    ) -> wire.ReadResourceResult | wire.InputRequiredResult:
        uri = str(params.uri)
        with self._told():
            visit, only = self._visit(context), self._only(context)
            found: wire.ReadResourceResult | wire.InputRequiredResult | None = await looks.read(
                visit, uri
            ) or await self._theirs(context, params, lambda add: upstreams.read(visit, add, uri, only))
        if found is None:
            raise MCPError(wire.INVALID_PARAMS, f"there is no resource `{uri}`", {"uri": uri})
        return found

    async def _theirs(
        self,
        context: Context,
        params: wire.ReadResourceRequestParams | wire.GetPromptRequestParams,
        work: Callable[[upstreams.Add], Coroutine[Any, Any, HandlerResult]],
    ) -> Any:  # `Any`: what `work` gives, or what the server asks first
        """What another server has, which may ask the client something before it gives that, as in a call of a tool."""
        visit, only = self._visit(context), self._only(context)
        held = self._rounds.again(visit, params)
        if held is not None:
            async with self._calls.begun(context, visit, held.call):
                return await self._rounds.outcome(held)
        async with self._calls.begun(context, visit) as call:

            def add(asks: Asks, capability: str, given: Mapping[str, Json]) -> Awaitable[answers.Run]:
                return visit.add(capability, given, tell=call.hear, client=call.accompany(asks))

            if _only_objects(context):
                return await work(partial(add, asking(context, only)))
            held = self._rounds.begin(visit, params, only)
            held.go(call, work(partial(add, held.ask)))
            return await self._rounds.outcome(held)

    async def _list_prompts(
        self, context: Context, params: wire.PaginatedRequestParams | None
    ) -> wire.ListPromptsResult:
        _require_first(params)
        with self._told():
            visit = self._visit(context)
            theirs = await upstreams.prompts(visit, self._only(context))
            if _only_objects(context) and theirs:
                await self.news.listed(context, visit, PromptsListChanged, has_others=True)
        return wire.ListPromptsResult(prompts=[*looks.prompts(), *theirs])

    async def _subscribe(self, context: Context, params: wire.SubscribeRequestParams) -> wire.EmptyResult:
        with self._told():
            await self.news.subscribe(context, self._visit(context), str(params.uri))
        return wire.EmptyResult()

    async def _unsubscribe(self, context: Context, params: wire.UnsubscribeRequestParams) -> wire.EmptyResult:
        with self._told():
            await self.news.unsubscribe(self._visit(context), str(params.uri))
        return wire.EmptyResult()

    async def _listen(
        self, context: Context, params: wire.SubscriptionsListenRequestParams
    ) -> wire.SubscriptionsListenResult:
        with self._told():
            return await self.news.listen(context, self._visit(context), params)

    async def _set_level(self, context: Context, params: wire.SetLevelRequestParams) -> wire.EmptyResult:
        self._visit(context).log_level = params.level
        return wire.EmptyResult()

    async def _get_prompt(
        self, context: Context, params: wire.GetPromptRequestParams
    ) -> wire.GetPromptResult | wire.InputRequiredResult:
        given = params.arguments or {}
        with self._told():
            visit, only = self._visit(context), self._only(context)
            found: wire.GetPromptResult | wire.InputRequiredResult | None = looks.prompt(
                params.name, given
            ) or await self._theirs(
                context, params, lambda add: upstreams.prompt(visit, add, params.name, given, only)
            )
        if found is None:
            raise MCPError(wire.INVALID_PARAMS, f"there is no prompt `{params.name}` of these arguments")
        return found

    async def _complete(self, context: Context, params: wire.CompleteRequestParams) -> wire.CompleteResult:
        visit = self._visit(context)
        with self._told():
            if (found := await upstreams.complete(visit, params, self._only(context))) is not None:
                return found
            values = await looks.complete(visit, params.argument.name, params.argument.value)
        return wire.CompleteResult(
            completion=wire.Completion(values=values, total=len(values), has_more=False)
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong inside is an error of the protocol: a code, a message, and ours as data."""
        try:
            yield
        except AssentError as error:
            code = wire.INVALID_PARAMS if isinstance(error, InputError) else wire.INTERNAL_ERROR
            raise MCPError(code, error.message, error.to_dict()) from None
        except MCPError:
            raise
        except Exception as error:  # noqa: BLE001 - the last door: no traceback may reach a caller
            fault = self._fault(error)
            raise MCPError(wire.INTERNAL_ERROR, fault.message, fault.to_dict()) from None


def _no_such(server: str) -> InputError:
    return InputError(
        "MCP_SERVER_UNKNOWN",
        f"there is no tool of an MCP server `{server[:80]}` that you may call",
        hint="see: assent mcp list",
    )


def _patience(context: Context, call: Call) -> float:
    """How long the client waits for a person, in seconds, as it says itself; longer where it hears how its call goes."""
    said = (context.meta or {}).get(PATIENCE)
    if said is None:
        return PATIENT_S if call.asks_for_progress else HASTY_S
    if not isinstance(said, int) or isinstance(said, bool) or not 0 <= said <= PATIENCE_MS_MAX:
        raise InputError("INVALID_INPUT", f"`{PATIENCE}` must be milliseconds, at most {PATIENCE_MS_MAX}")
    return said / 1000


def _require_same_headers(context: Context, tool: answers.Tool, given: Mapping[str, Json]) -> None:
    """What a header repeats of the arguments is what they hold, where the server whose tool it is wants that repeated."""
    headers = getattr(context.request, "headers", None)
    if tool.upstream is UNSET or headers is None or _only_objects(context):
        return
    rejection = validate_mcp_param_headers(tool.capability.parameters, given, headers)
    if rejection is not None:
        raise MCPError(rejection.code, rejection.message)


def _only_objects(context: Context) -> bool:
    return not is_version_at_least(context.protocol_version, _OBJECTS_ONLY_BEFORE)


def _require_first(params: wire.PaginatedRequestParams | None) -> None:
    """These lists have one page."""
    if _place(params):
        raise MCPError(wire.INVALID_PARAMS, "this cursor is not one of ours")


def _place(params: wire.PaginatedRequestParams | None) -> int:
    cursor = None if params is None else params.cursor
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 9):
        raise MCPError(wire.INVALID_PARAMS, "this cursor is not one of ours")
    return int(cursor)
