"""Resources, prompts and completion of the MCP servers behind us: each is asked for as a step of the agent's session.

A resource keeps its address where one server alone has it; else it is `assent://mcp/SERVER/ADDRESS`. A prompt is called
`mcp.SERVER.NAME`, as a tool's capability is. To whoever is offered one server alone (`only`), all is called as that calls it.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import quote, unquote

import mcp_types as wire
from mcp.shared.exceptions import MCPError

from assent import system
from assent.errors import AssentError, Json
from assent.mcp import _results as results
from assent.mcp._visit import Visit
from assent.runtime.service import answers, requests

QUIET_S: Final = 10.0
"""A list of several servers has what they gave until none gave anything for so long: one that hangs holds up no other."""

_OURS: Final = "assent:"
_PLACED: Final = re.compile(r"assent://mcp/([a-z][a-z0-9_]*)/(.+)")
_NAMED: Final = re.compile(r"mcp\.([a-z][a-z0-9_]*)\.(.+)", re.DOTALL)
_EXPRESSION: Final = re.compile(r"\{[^{}]*\}")

Item = dict[str, Any]
"""What a server lists, as JSON."""

Add: TypeAlias = Callable[[str, Mapping[str, Json]], Awaitable[answers.Run]]
"""Adds a call to the agent's session, as a step that may ask the client something."""


class Home(NamedTuple):
    """Where something is: the server, and what it calls it."""

    server: str
    name: str


async def resources(visit: Visit, only: str | None) -> list[wire.Resource]:
    """Those of all servers."""
    found = await _listed(visit, "resources.list", "resources", only)
    return [wire.Resource.model_validate(one, by_name=False) for one in _placed(found, "uri")]


async def templates(visit: Visit, only: str | None) -> list[wire.ResourceTemplate]:
    """Families of resources of all servers."""
    found = await _listed(visit, "resources.templates", "resourceTemplates", only)
    return [wire.ResourceTemplate.model_validate(one, by_name=False) for one in _placed(found, "uriTemplate")]


async def prompts(visit: Visit, only: str | None) -> list[wire.Prompt]:
    """Those of all servers."""
    found = await _listed(visit, "prompts.list", "prompts", only)
    return [
        wire.Prompt.model_validate(
            one if only else {**one, "name": f"mcp.{server}.{one['name']}"}, by_name=False
        )
        for server, one in found
    ]


async def read(visit: Visit, add: Add, uri: str, only: str | None) -> wire.ReadResourceResult | None:
    """What is there; None where no server has it. `MCPError` as `_ask`."""
    home = await _home(visit, uri, only)
    if home is None:
        return None
    answer = await _ask(add, f"mcp.{home.server}.resources.read", {"uri": home.name})
    return wire.ReadResourceResult.model_validate(answer, by_name=False)


async def subscribe(visit: Visit, uri: str, only: str | None, client: str) -> Home | None:
    """Have the resource's server tell `client` of changes; where that is, or None. `MCPError` as `_ask`."""
    home = await _home(visit, uri, only)
    if home is None or home.server not in await _servers(visit, "resources.subscribe", only):
        return None
    add = partial(visit.add, tell=_unheard, client=requests.Client(id=client))
    await _ask(add, f"mcp.{home.server}.resources.subscribe", {"uri": home.name})
    return home


async def unsubscribe(visit: Visit, home: Home, client: str) -> None:
    """The same no more. An agent that has gone begins no session for that: its subscriptions end with what it hears."""
    if visit.run is not None:
        step = requests.AddStep(
            run=visit.run,
            capability=f"mcp.{home.server}.resources.unsubscribe",
            parameters={"uri": home.name},
            client=requests.Client(id=client),
        )
        with suppress(AssentError):
            await visit.act(step, tell=_unheard)


def _unheard(_: object) -> None:
    """Nobody is told how such a step goes."""


async def prompt(
    visit: Visit, add: Add, name: str, arguments: Mapping[str, str], only: str | None
) -> wire.GetPromptResult | None:
    """What the model is told; None where no server has it. `MCPError` as `_ask`."""
    home = _named(name, only)
    if home is None or home.server not in await _servers(visit, "prompts.get", only):
        return None
    given: dict[str, Json] = {"name": home.name, **({"arguments": dict(arguments)} if arguments else {})}
    return wire.GetPromptResult.model_validate(
        await _ask(add, f"mcp.{home.server}.prompts.get", given), by_name=False
    )


async def complete(
    visit: Visit, params: wire.CompleteRequestParams, only: str | None
) -> wire.CompleteResult | None:
    """What an argument may be; None where no server knows. `MCPError` as `_ask`."""
    said = params.model_dump(mode="json", by_alias=True, exclude_none=True)
    ref = said["ref"]
    key = "name" if "name" in ref else "uri"
    home = _named(ref[key], only) if key == "name" else await _home(visit, ref[key], only)
    if home is None or home.server not in await _servers(visit, "completions.complete", only):
        return None
    given: dict[str, Json] = {one: said[one] for one in ("argument", "context") if one in said}
    given["ref"] = {**ref, key: home.name}
    answer = await _ask(visit.add, f"mcp.{home.server}.completions.complete", given)
    return wire.CompleteResult.model_validate(answer, by_name=False)


def _named(name: str, only: str | None) -> Home | None:
    if only is not None:
        return Home(only, name)
    found = _NAMED.fullmatch(name)
    return None if found is None else Home(found[1], found[2])


async def _home(visit: Visit, uri: str, only: str | None) -> Home | None:
    """Whose resource, or family of them, this is: the one that is listed so, the one of a family, or the only server's."""
    if only is None and (found := _PLACED.fullmatch(uri)) is not None:
        return Home(found[1], unquote(found[2]))
    servers = await _servers(visit, "resources.read", only)
    if uri.lower().startswith(_OURS) or not servers:
        return None
    if len(servers) == 1:
        return Home(servers[0], uri)
    homes = {
        server
        for server, one in await _listed(visit, "resources.list", "resources", only)
        if one["uri"] == uri
    }
    if not homes:
        families = await _listed(visit, "resources.templates", "resourceTemplates", only)
        homes = {server for server, one in families if _is_of(uri, one["uriTemplate"])}
    # One that several have is none's: it is listed under an address that says whose it is.
    return Home(homes.pop(), uri) if len(homes) == 1 else None


def _is_of(uri: str, template: str) -> bool:
    first, *rest = _EXPRESSION.split(template)
    if uri == template or not rest:
        return uri == template
    # Not by a pattern of `re`, which a server could make take for ever: each part where it first fits, and the last at the end.
    *between, last = rest
    place = len(first)
    for part in between:
        found = uri.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return uri.startswith(first) and uri.endswith(last) and len(uri) - len(last) >= place


def _placed(found: list[tuple[str, Item]], key: str) -> list[Item]:
    """Each under its own address, where that names one thing alone."""
    counts = Counter(str(one[key]) for _, one in found)

    def place(server: str, address: str) -> str:
        if counts[address] == 1 and not address.lower().startswith(_OURS):
            return address
        # What a template has in braces stays that.
        return f"assent://mcp/{server}/{quote(address, safe='{}')}"

    return [{**one, key: place(server, str(one[key]))} for server, one in found]


async def _servers(visit: Visit, what: str, only: str | None) -> list[str]:
    """The servers that have this, as far as the agent may ask them."""
    offered = await visit.ask(requests.Tools(pattern=f"mcp.{only or '*'}.{what}"))
    ids = (one.capability.id for one in offered.tools)
    return [name for id_ in ids if "." not in (name := id_.removeprefix("mcp.").removesuffix(f".{what}"))]


async def _listed(visit: Visit, what: str, holds: str, only: str | None) -> list[tuple[str, Item]]:
    """What all servers list of this, with whose it is. One that gives no answer is left out, as its step on record tells."""
    servers = await _servers(visit, what, only)
    asked = [
        system.spawn(_ask(visit.add, f"mcp.{server}.{what}", {}), name=f"a list of {server}")
        for server in servers
    ]
    left, answered = {*asked}, {*asked}
    try:
        while left and answered:
            answered, left = await asyncio.wait(
                left, timeout=QUIET_S if only is None else None, return_when=asyncio.FIRST_COMPLETED
            )
    finally:
        for work in left:
            work.cancel()  # nobody waits for it; its step goes on
    found: list[tuple[str, Item]] = []
    for server, work in zip(servers, asked, strict=True):
        with suppress(MCPError, AssentError):
            found += [(server, one) for one in (work.result()[holds] if work not in left else ())]
    return found


async def _ask(add: Add, capability: str, parameters: Mapping[str, Json]) -> Item:
    """What a step of the session gives. `MCPError`: the server's own where it answered with one, else why it did not happen."""
    run = await add(capability, parameters)
    (step,) = run.steps
    if step.status == "succeeded" and isinstance(step.gave, dict):
        return step.gave
    fault = step.fault
    if fault is None:
        message = "a person has to decide about this first; ask for it with `assent_status`"
        raise MCPError(wire.INTERNAL_ERROR, message, {"run_id": run.run_id, "step": step.name})
    theirs = results.of_server(fault, {"assent/run": run.run_id, "assent/step": step.name})
    ours = {"run_id": run.run_id, "step": step.name, "code": fault.code}
    raise theirs or MCPError(wire.INTERNAL_ERROR, fault.message, ours)
