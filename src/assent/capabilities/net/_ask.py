"""`net.http.get` and `net.http.head`: what only asks. Nothing of it has to be taken back, and a crash lets it ask again."""

from __future__ import annotations

from assent.capabilities.net._answer import attached, head_of, refused
from assent.capabilities.net._client import Http, Received
from assent.capabilities.net._failure import HttpFailure
from assent.capabilities.net._parameters import Ask
from assent.capabilities.net._request import Draft, wire_of
from assent.capabilities.net._results import Answer, Head
from assent.invocation import LocalContext, Preview


def draft_of(parameters: Ask, method: str) -> Draft:
    """The request that asks."""
    return Draft(method, parameters.url, parameters.headers, parameters.query)


def preview(parameters: Ask, method: str) -> Preview:
    """The request as text; nobody is asked."""
    draft = draft_of(parameters, method)
    draft.require_sound()
    return Preview("text", draft.show(), changes=False)


async def get(context: LocalContext, parameters: Ask) -> Answer:
    """Ask for the whole answer."""
    received = await _asked(context, parameters, "GET")
    return await attached(context, received, context.app.get(Http).limits.inline_bytes)


async def head(context: LocalContext, parameters: Ask) -> Head:
    """Ask for the head of the answer."""
    return head_of(await _asked(context, parameters, "HEAD"))


async def _asked(context: LocalContext, parameters: Ask, method: str) -> Received:
    http = context.app.get(Http)
    wire = await wire_of(context, http, draft_of(parameters, method))
    try:
        received = await http.send(
            wire,
            principal=str(context.principal),
            bytes_max=http.limits.answer_bytes,
            follow=parameters.follow_redirects,
        )
        if received.status >= 400 and received.status not in parameters.accept_status:
            raise refused(context, received, was_sent=True)
    except HttpFailure as failure:
        raise failure.to_error(is_safe=True) from failure
    return received
