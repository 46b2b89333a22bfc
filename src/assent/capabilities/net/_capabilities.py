"""The HTTP capabilities, described. How requests are checked, sent and taken back is in the modules beside this one.

`post`, `put`, `patch` and `delete` can't be taken back and are CRITICAL. Each has a twin that names the request that offsets it;
it is HIGH, and another capability, because a capability has one risk.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from assent.capabilities.describing import changes_files, describe
from assent.capabilities.net._answer import attached, head_of, refused
from assent.capabilities.net._client import Http, Received
from assent.capabilities.net._download import DownloadEffect
from assent.capabilities.net._failure import HttpFailure
from assent.capabilities.net._request import Draft, foresee, wire_of
from assent.capabilities.net._send import Sending, SendingCompensated
from assent.capabilities.net._shapes import Answer, Ask, Head, Send
from assent.invocation import Capability, LocalContext, Preview

_LABELS: Final = ("reads_untrusted", "sends_external")


async def get(context: LocalContext, parameters: Ask) -> Answer:
    """What a web service answers."""
    received = await _asked(context, parameters, "GET")
    return await attached(context, received, context.app.get(Http).limits.inline_bytes)


async def head(context: LocalContext, parameters: Ask) -> Head:
    """The head of what it answers."""
    return head_of(await _asked(context, parameters, "HEAD"))


def _draft(parameters: Ask, method: str) -> Draft:
    return Draft(method, parameters.url, parameters.headers, parameters.query)


def _preview(context: LocalContext, parameters: Ask, method: str) -> Preview:
    draft = _draft(parameters, method)
    foresee(context, draft)
    return Preview("text", draft.show(), changes=False)


def get_preview(context: LocalContext, parameters: Ask) -> Preview:
    """The request as text."""
    return _preview(context, parameters, "GET")


def head_preview(context: LocalContext, parameters: Ask) -> Preview:
    """The request as text."""
    return _preview(context, parameters, "HEAD")


async def nothing_to_undo() -> None:
    """Nothing was changed."""


async def _asked(context: LocalContext, parameters: Ask, method: str) -> Received:
    http = context.app.get(Http)
    wire = await wire_of(context, http, _draft(parameters, method))
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


_asks = partial(
    describe,
    operation="NETWORK",
    risk="MEDIUM",
    justification="only asks, but what it asks goes out, and what it gets comes from a stranger",
    reversible=True,
    scope="none",
    effect="asks a service",
    compensate=nothing_to_undo,
    compensation="nothing_to_undo",
    idempotent=True,
    labels=_LABELS,
    without={"reconcile": "it only asks, so after a crash it asks again"},
)
_sends = partial(
    describe,
    operation="NETWORK",
    scope="network",
    effect="changes what a service holds",
    labels=("reads_private", *_LABELS),  # a body may be a file of the workspace
)


def _changing(method: str, description: str, **said: Any) -> Iterator[Capability[..., Any]]:
    """What changes something for good, and the same with the way back; `Any`: as `describe` has it."""
    twin = f"net.http.{method}_compensated"
    yield _sends(
        f"net.http.{method}",
        description,
        Sending[Send](method.upper()),
        risk="CRITICAL",
        justification="what a service was told can't be taken back by us",
        without={"compensate": f"name the request that offsets it: `{twin}`"},
        **said,
    )
    # None of these is idempotent, not even where its method is: a second answer tells what the first request left, so that what
    # offsets it would put that back and not what stood before.
    yield _sends(
        twin,
        f"{description}, and say which request offsets it",
        SendingCompensated(method.upper()),
        risk="HIGH",
        justification="the request that offsets it is sent, which need not bring every trace back",
        compensation="compensating_request",
    )


_DOWNLOAD: Final = DownloadEffect()

CAPABILITIES: Final = (
    _asks("net.http.get", "Ask a web service for something, and get its answer", get, preview=get_preview),
    _asks("net.http.head", "Ask a web service for the head of an answer", head, preview=head_preview),
    changes_files(
        "net.http.download",
        "Fetch a file from a web service into the workspace",
        _DOWNLOAD.fetch,
        prepare=_DOWNLOAD.fetch_prepared,
        compensate=_DOWNLOAD.compensate,
        reconcile=_DOWNLOAD.look,
        preview=_DOWNLOAD.preview,
        justification="writes one file that can be taken back; what is in it comes from a stranger",
        labels=_LABELS,
    ),
    *_changing("post", "Send something to a web service"),
    *_changing("put", "Put something in its place at a web service", idempotent=True),
    *_changing("patch", "Change a part of something at a web service"),
    *_changing("delete", "Delete something at a web service", idempotent=True),
)
