"""What an MCP server asks in a call, carried to the client whose call it is: elicitation, sampling, roots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import mcp_types as wire
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from pydantic import ValidationError

from assent.errors import Json
from assent.invocation.context.companion import Answers, Questions
from assent.mcp._telling import Asks, Context
from assent.plugins.upstream import ASKS_SECRET, SERVER
from assent.spec.ids import MARKS

REQUESTS: Final[Mapping[str, type[Any]]] = {  # `Any`: the SDK's types have no more in common
    "elicitation/create": wire.ElicitRequest,
    "sampling/createMessage": wire.CreateMessageRequest,
    "roots/list": wire.ListRootsRequest,
}
RESULTS: Final[Mapping[str, type[Any]]] = {
    "elicitation/create": wire.ElicitResult,
    "sampling/createMessage": wire.CreateMessageResultWithTools,
    "roots/list": wire.ListRootsResult,
}


class _GoneError(Exception):
    """Nobody is there to be asked (any more)."""


def asking(context: Context, only: str | None) -> Asks:
    """Asks the client of a call, of a revision in which that is a request. `only`: it is offered this server alone, and knows who
    asks.
    """

    async def one(method: str, params: Mapping[str, Json]) -> dict[str, Json]:
        asked = REQUESTS[method].model_validate({"params": shown(method, params, only)}, by_name=False)
        try:
            given = await context.session.send_request(
                asked, RESULTS[method], metadata=ServerMessageMetadata(related_request_id=context.request_id)
            )
        except MCPError as error:
            if error.code == wire.CONNECTION_CLOSED:
                raise _GoneError from None
            return {"error": {"code": error.code, "message": error.message, "data": error.data}}
        except ValidationError:
            said = "what the client answered is no answer to this"
            return {"error": {"code": wire.INVALID_PARAMS, "message": said, "data": method}}
        except Exception as error:  # whatever a transport raises that has nobody at its other end
            raise _GoneError from error
        told: dict[str, Json] = given.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {"result": told}

    async def ask(questions: Questions) -> Answers | None:
        try:
            return {name: await one(*question) for name, question in questions.items()}
        except _GoneError:
            return None

    return ask


def shown(method: str, said: Mapping[str, Json], only: str | None) -> dict[str, Any]:
    """What a person reads says who wants to know, if it is a server behind us: the client shows a question of ours."""
    params: dict[str, Any] = dict(said)  # `Any`: JSON
    meta = params.get("_meta", {})
    server = meta.get(SERVER)
    wants_secret = any(one.get("code") == ASKS_SECRET for one in meta.get(MARKS, ()))
    if method != "elicitation/create" or server is None or (only is not None and not wants_secret):
        return params
    warned = " for what may be a secret (give it none here)" if wants_secret else ""
    message = str(params.get("message", ""))
    if "\n" in message:  # a line of it may look as if another one asked
        message = "".join(f"\n> {line}" for line in message.split("\n"))
    return {**params, "message": f"MCP server `{server}` asks{warned}: {message}"}
