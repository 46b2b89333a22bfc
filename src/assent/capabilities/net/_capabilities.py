"""The HTTP capabilities, described. How requests are checked, sent and taken back is in the modules beside this one.

`post`, `put`, `patch` and `delete` can't be taken back and are CRITICAL. Each has a twin that names the request that offsets it;
it is HIGH, and another capability, because a capability has one risk.
"""

from __future__ import annotations

from typing import Final

from assent.capabilities.net._answer import attached, head_of, refused
from assent.capabilities.net._client import Http, Received
from assent.capabilities.net._download import DownloadEffect
from assent.capabilities.net._failure import HttpFailure
from assent.capabilities.net._parameters import Ask, Download, Send, SendCompensated
from assent.capabilities.net._request import Draft, wire_of
from assent.capabilities.net._results import Answer, Downloaded, Head
from assent.capabilities.net._send import Sending, SendingCompensated
from assent.invocation import LocalContext, Preview, capability

_LABELS: Final = ("reads_untrusted", "sends_external")
_WITH_BODY: Final = ("reads_private", *_LABELS)
"""A body may be a file of the workspace."""
_ASKS_AGAIN: Final = {"reconcile": "it only asks, so after a crash it asks again"}
_GOES_OUT: Final = "only asks, but what it asks goes out, and what it gets comes from a stranger"
_CHANGES: Final = "changes what a service holds"
_FINAL: Final = "what a service was told can't be taken back by us"
_OFFSET: Final = "the request that offsets it is sent, which need not bring every trace back"

# -- asking ----------------------------------------------------------------------------------------------------------------


@capability(
    "net.http.get",
    operation="NETWORK",
    risk="MEDIUM",
    justification=_GOES_OUT,
    reversible=True,
    scope="none",
    effect="asks a service",
    compensation="nothing_to_undo",
    idempotent=True,
    labels=_LABELS,
    revision="net.http.get/1",
    without=_ASKS_AGAIN,
)
async def get(context: LocalContext, parameters: Ask) -> Answer:
    """Ask a web service for something, and get its answer"""
    received = await _asked(context, parameters, "GET")
    return await attached(context, received, context.app.get(Http).limits.inline_bytes)


@get.preview
def get_preview(parameters: Ask) -> Preview:
    """The request as text."""
    return _preview(parameters, "GET")


@get.compensate
async def get_undo() -> None:
    """Nothing was changed."""


@capability(
    "net.http.head",
    operation="NETWORK",
    risk="MEDIUM",
    justification=_GOES_OUT,
    reversible=True,
    scope="none",
    effect="asks a service",
    compensation="nothing_to_undo",
    idempotent=True,
    labels=_LABELS,
    revision="net.http.head/1",
    without=_ASKS_AGAIN,
)
async def head(context: LocalContext, parameters: Ask) -> Head:
    """Ask a web service for the head of an answer"""
    return head_of(await _asked(context, parameters, "HEAD"))


@head.preview
def head_preview(parameters: Ask) -> Preview:
    """The request as text."""
    return _preview(parameters, "HEAD")


@head.compensate
async def head_undo() -> None:
    """Nothing was changed."""


def _draft(parameters: Ask, method: str) -> Draft:
    return Draft(method, parameters.url, parameters.headers, parameters.query)


def _preview(parameters: Ask, method: str) -> Preview:
    draft = _draft(parameters, method)
    draft.require_sound()
    return Preview("text", draft.show(), changes=False)


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


# -- fetching a file -------------------------------------------------------------------------------------------------------

_DOWNLOAD: Final = DownloadEffect()


@capability(
    "net.http.download",
    operation="WRITE",
    risk="MEDIUM",
    justification="writes one file that can be taken back; what is in it comes from a stranger",
    reversible=True,
    scope="filesystem",
    effect="changes files of the workspace",
    labels=_LABELS,
    revision="net.http.download/1",
    rehearsable=True,
)
async def download(context: LocalContext, parameters: Download) -> Downloaded:
    """Fetch a file from a web service into the workspace"""
    return await _DOWNLOAD.fetch(context, parameters)


download.prepare(_DOWNLOAD.fetch_prepared)
download.compensate(_DOWNLOAD.compensate)
download.reconcile(_DOWNLOAD.look)
download.preview(_DOWNLOAD.preview)

# -- changing, for good ----------------------------------------------------------------------------------------------------

_POST: Final = Sending[Send]("POST")
_PUT: Final = Sending[Send]("PUT")
_PATCH: Final = Sending[Send]("PATCH")
_DELETE: Final = Sending[Send]("DELETE")


@capability(
    "net.http.post",
    operation="NETWORK",
    risk="CRITICAL",
    justification=_FINAL,
    scope="network",
    effect=_CHANGES,
    labels=_WITH_BODY,
    revision="net.http.post/1",
    without={"compensate": "name the request that offsets it: `net.http.post_compensated`"},
)
async def post(context: LocalContext, parameters: Send) -> Answer:
    """Send something to a web service"""
    return await _POST.execute(context, parameters)


post.prepare(_POST.prepare)
post.reconcile(_POST.reconcile)
post.preview(_POST.preview)


@capability(
    "net.http.put",
    operation="NETWORK",
    risk="CRITICAL",
    justification=_FINAL,
    scope="network",
    effect=_CHANGES,
    idempotent=True,
    labels=_WITH_BODY,
    revision="net.http.put/1",
    without={"compensate": "name the request that offsets it: `net.http.put_compensated`"},
)
async def put(context: LocalContext, parameters: Send) -> Answer:
    """Put something in its place at a web service"""
    return await _PUT.execute(context, parameters)


put.prepare(_PUT.prepare)
put.reconcile(_PUT.reconcile)
put.preview(_PUT.preview)


@capability(
    "net.http.patch",
    operation="NETWORK",
    risk="CRITICAL",
    justification=_FINAL,
    scope="network",
    effect=_CHANGES,
    labels=_WITH_BODY,
    revision="net.http.patch/1",
    without={"compensate": "name the request that offsets it: `net.http.patch_compensated`"},
)
async def patch(context: LocalContext, parameters: Send) -> Answer:
    """Change a part of something at a web service"""
    return await _PATCH.execute(context, parameters)


patch.prepare(_PATCH.prepare)
patch.reconcile(_PATCH.reconcile)
patch.preview(_PATCH.preview)


@capability(
    "net.http.delete",
    operation="NETWORK",
    risk="CRITICAL",
    justification=_FINAL,
    scope="network",
    effect=_CHANGES,
    idempotent=True,
    labels=_WITH_BODY,
    revision="net.http.delete/1",
    without={"compensate": "name the request that offsets it: `net.http.delete_compensated`"},
)
async def delete(context: LocalContext, parameters: Send) -> Answer:
    """Delete something at a web service"""
    return await _DELETE.execute(context, parameters)


delete.prepare(_DELETE.prepare)
delete.reconcile(_DELETE.reconcile)
delete.preview(_DELETE.preview)

# -- changing, with the way back -------------------------------------------------------------------------------------------

# None of these is idempotent, not even where its method is: a second answer tells what the first request left, so that what
# offsets it would put that back and not what stood before.

_POST_BACK: Final = SendingCompensated("POST")
_PUT_BACK: Final = SendingCompensated("PUT")
_PATCH_BACK: Final = SendingCompensated("PATCH")
_DELETE_BACK: Final = SendingCompensated("DELETE")


@capability(
    "net.http.post_compensated",
    operation="NETWORK",
    risk="HIGH",
    justification=_OFFSET,
    scope="network",
    effect=_CHANGES,
    compensation="compensating_request",
    labels=_WITH_BODY,
    revision="net.http.post_compensated/1",
)
async def post_compensated(context: LocalContext, parameters: SendCompensated) -> Answer:
    """Send something to a web service, and say which request offsets it"""
    return await _POST_BACK.execute(context, parameters)


post_compensated.prepare(_POST_BACK.prepare)
post_compensated.compensate(_POST_BACK.compensate)
post_compensated.reconcile(_POST_BACK.reconcile)
post_compensated.preview(_POST_BACK.preview)


@capability(
    "net.http.put_compensated",
    operation="NETWORK",
    risk="HIGH",
    justification=_OFFSET,
    scope="network",
    effect=_CHANGES,
    compensation="compensating_request",
    labels=_WITH_BODY,
    revision="net.http.put_compensated/1",
)
async def put_compensated(context: LocalContext, parameters: SendCompensated) -> Answer:
    """Put something in its place at a web service, and say which request offsets it"""
    return await _PUT_BACK.execute(context, parameters)


put_compensated.prepare(_PUT_BACK.prepare)
put_compensated.compensate(_PUT_BACK.compensate)
put_compensated.reconcile(_PUT_BACK.reconcile)
put_compensated.preview(_PUT_BACK.preview)


@capability(
    "net.http.patch_compensated",
    operation="NETWORK",
    risk="HIGH",
    justification=_OFFSET,
    scope="network",
    effect=_CHANGES,
    compensation="compensating_request",
    labels=_WITH_BODY,
    revision="net.http.patch_compensated/1",
)
async def patch_compensated(context: LocalContext, parameters: SendCompensated) -> Answer:
    """Change a part of something at a web service, and say which request offsets it"""
    return await _PATCH_BACK.execute(context, parameters)


patch_compensated.prepare(_PATCH_BACK.prepare)
patch_compensated.compensate(_PATCH_BACK.compensate)
patch_compensated.reconcile(_PATCH_BACK.reconcile)
patch_compensated.preview(_PATCH_BACK.preview)


@capability(
    "net.http.delete_compensated",
    operation="NETWORK",
    risk="HIGH",
    justification=_OFFSET,
    scope="network",
    effect=_CHANGES,
    compensation="compensating_request",
    labels=_WITH_BODY,
    revision="net.http.delete_compensated/1",
)
async def delete_compensated(context: LocalContext, parameters: SendCompensated) -> Answer:
    """Delete something at a web service, and say which request offsets it"""
    return await _DELETE_BACK.execute(context, parameters)


delete_compensated.prepare(_DELETE_BACK.prepare)
delete_compensated.compensate(_DELETE_BACK.compensate)
delete_compensated.reconcile(_DELETE_BACK.reconcile)
delete_compensated.preview(_DELETE_BACK.preview)
