"""What a server has beside tools (resources, prompts, completion), as capabilities that only read: the gate is asked, the record
tells, and the run has read a stranger's words.

Of these nothing is pinned but that the server has them: who trusts it agrees that they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from assent.errors import Json, WorldError
from assent.invocation import Handler, LocalContext, NoEffectError
from assent.plugins.upstream._capabilities import OURS, mark_failure, revealed, without
from assent.plugins.upstream._talk import Talk
from assent.plugins.upstream._tools import marks_of_result
from assent.spec.capability import CapabilitySpec, OperationType, Risk, RiskLevel, SideEffects
from assent.spec.ids import MARKS
from assent.spec.values.canonical import fingerprint

if TYPE_CHECKING:
    from assent.plugins.upstream._client import Connection
    from assent.plugins.upstream._servers import Server

LISTED_MAX: Final = 1000
"""Resources, templates or prompts of one server."""

_TEXT: Final[Json] = {"type": "string"}
_TABLE: Final[Json] = {"type": "object"}


class _Passed(NamedTuple):
    """One request of the protocol: its capability is `mcp.SERVER.` and `id`; `gives` is what the answer has to hold."""

    id: str
    method: str
    request: str
    gives: str
    about: str
    given: Mapping[str, Json] = {}
    required: tuple[str, ...] = ()


_PASSED: Final = (
    _Passed("resources.list", "resources/list", "ListResourcesRequest", "resources", "List its resources."),
    _Passed(
        "resources.templates",
        "resources/templates/list",
        "ListResourceTemplatesRequest",
        "resourceTemplates",
        "List its families of resources.",
    ),
    _Passed(
        "resources.read",
        "resources/read",
        "ReadResourceRequest",
        "contents",
        "Read one of its resources.",
        {"uri": _TEXT},
        ("uri",),
    ),
    _Passed(
        "resources.subscribe",
        "resources/subscribe",
        "SubscribeRequest",
        "",
        "Tell this agent's client when one of its resources changes.",
        {"uri": _TEXT},
        ("uri",),
    ),
    _Passed(
        "resources.unsubscribe",
        "resources/unsubscribe",
        "UnsubscribeRequest",
        "",
        "Tell it no more.",
        {"uri": _TEXT},
        ("uri",),
    ),
    _Passed("prompts.list", "prompts/list", "ListPromptsRequest", "prompts", "List its prompts."),
    _Passed(
        "prompts.get",
        "prompts/get",
        "GetPromptRequest",
        "messages",
        "Get one of its prompts.",
        {"name": _TEXT, "arguments": {"type": "object", "additionalProperties": _TEXT}},
        ("name",),
    ),
    _Passed(
        "completions.complete",
        "completion/complete",
        "CompleteRequest",
        "completion",
        "Ask what an argument of a prompt or a resource may be.",
        {"ref": _TABLE, "argument": _TABLE, "context": _TABLE},
        ("ref", "argument"),
    ),
)


def passed_of(
    server: Server,
    offers: Iterable[str],
    connection: Connection,
    others: Callable[[], Collection[str]] = frozenset,
) -> Iterator[tuple[CapabilitySpec, Handler]]:
    """What a server offers of this, each as a capability. `others`: as of its tools."""
    kinds = frozenset(offers)
    for one in _PASSED:
        if one.id.partition(".")[0] in kinds:
            spec = CapabilitySpec(
                id=f"mcp.{server.name}.{one.id}",
                name=one.id,
                description=one.about,
                operation_type=OperationType.READ,
                parameters={
                    "type": "object",
                    "properties": dict(one.given),
                    "required": list(one.required),
                    "additionalProperties": False,
                },
                returns={"type": "object", "required": [one.gives] if one.gives else []},
                side_effects=SideEffects(reversible=True, scope="none"),
                risk=Risk(
                    level=RiskLevel.LOW, justification="it only reads; what it gives comes from a stranger"
                ),
                timeout=server.timeout_ms / 1000,
                secrets=server.secrets,
                idempotent=True,
                # A list is asked for as it is; what names something carries it to the server.
                labels=frozenset({"reads_untrusted", *(("sends_external",) if one.given else ())}),
            )
            yield (
                spec,
                Handler(
                    execute=partial(_asked, connection, one, others),
                    revision=f"mcp {fingerprint({'place': server.place, 'method': one.method})}",
                    completes=True,
                ),
            )


async def _asked(
    connection: Connection,
    one: _Passed,
    others: Callable[[], Collection[str]],
    context: LocalContext,
    parameters: Mapping[str, Json],
) -> Json:
    """The answer as it came, and of a list all pages as one; what in it may be meant to move a model is marked in its `_meta`."""
    try:
        answer = await _answered(connection, one, context, parameters)
    except (NoEffectError, WorldError) as error:
        await mark_failure(error, others())
        raise
    meta = without(OURS, answer.pop("_meta", None))
    if marks := await marks_of_result(answer, others()):
        meta[MARKS] = marks
    return {**answer, "_meta": meta} if meta else answer


async def _answered(
    connection: Connection, one: _Passed, context: LocalContext, parameters: Mapping[str, Json]
) -> dict[str, Any]:  # `Any`: JSON
    talk = Talk(connection.server.name, context)
    reveal = partial(revealed, context, connection.server.host)
    if not one.gives:
        does = connection.watch if one.id == "resources.subscribe" else connection.unwatch
        await does(str(parameters["uri"]), reveal=reveal, talk=talk)
        return {}

    async def page(params: Mapping[str, Json]) -> dict[str, Any]:  # `Any`: JSON
        return await connection.ask(one.request, params, reveal=reveal, talk=talk)

    answer = await page(parameters)
    if one.given:
        return answer
    items, cursor = [*answer.get(one.gives, ())], answer.pop("nextCursor", None)
    while cursor is not None:
        following = await page({"cursor": cursor})
        items += following.get(one.gives, ())
        if len(items) > LISTED_MAX or following.get("nextCursor") == cursor:
            raise WorldError(
                "MCP_SERVER_FAILED",
                f"MCP server `{connection.server.name}` lists more than {LISTED_MAX} {one.gives}, or without end",
            )
        cursor = following.get("nextCursor")
    return {**answer, one.gives: items}
