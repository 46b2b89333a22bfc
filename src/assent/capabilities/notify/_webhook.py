"""`notify.webhook`: the effect is that a delivery stands in the outbox; sending it is the outbox's affair.

To take it back, a delivery that has not left yet is withdrawn, which leaves no trace at the receiver. Of one that may have
arrived the receiver is told by another one, `TYPE.undone`, that names it; and it is attempted no more, so that it can't arrive
after that.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Final

from pydantic import Field, JsonValue

from assent.capabilities.net import Http
from assent.capabilities.net._url import parse_url
from assent.capabilities.notify._delivery import FORMAT, Delivery, body_of
from assent.capabilities.notify._endpoint import Endpoint
from assent.capabilities.notify._outbox import Outbox
from assent.errors import AssentError, Json
from assent.invocation import LeadsTo, LocalContext, NoEffectError, Prepared, Preview, Reconciliation
from assent.spec.capability import SpecModel
from assent.spec.states import Verdict
from assent.spec.values.frozen import thaw
from assent.spec.words.durations import instant

_VERSION: Final = 1
_SENT: Final = "send"
_UNDONE: Final = "undo"
_SUFFIX: Final = ".undone"

EndpointName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+/-]{0,127}$",
        description="where it goes: a name under `[notify.endpoints]` of `assent.toml`",
    ),
]
EventType = Annotated[
    str,
    Field(
        max_length=120,
        pattern=r"^[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*$",
        description="what happened, in words with full stops between them: `invoice.paid`",
    ),
]
Data = Annotated[
    dict[str, JsonValue],
    Field(description="what the receiver is told of it; secrets of this runtime are masked in it"),
]


class Notify(SpecModel):
    """Whom to tell, and what."""

    endpoint: EndpointName
    type: EventType
    data: Data = Field(default_factory=dict)


class Queued(SpecModel):
    """A delivery that stands in the outbox: `id` is what the receiver knows it by (`assent deliveries`)."""

    id: Annotated[str, Field(pattern="^msg_[0-9a-f]{32}$")]
    endpoint: str
    type: str
    queued_at: str


def preview(context: LocalContext, parameters: Notify) -> Preview:
    """Where it would go, and the body; nobody is asked."""
    endpoint = context.app.get(Outbox).endpoint(parameters.endpoint)
    _foresee(context, endpoint)
    body: dict[str, Json] = {
        "type": parameters.type,
        "timestamp": "(when it is queued)",
        "data": _data(context, parameters),
    }
    shown = json.dumps(body, indent=2, ensure_ascii=False)
    paused = "\npaused: it waits in the outbox" if endpoint.is_paused else ""
    head = f"endpoint {endpoint.name}\nPOST {endpoint.shown}{paused}\n"
    # What was agreed to is this address: with another one the question is asked again.
    base = hashlib.sha256(f"{endpoint.name}\0{endpoint.url}".encode()).hexdigest()
    return Preview("text", f"{head}\n{shown}\n", base)


def prepare(context: LocalContext, parameters: Notify) -> Prepared:
    """Refuse what can be known to fail, and settle what the delivery says of its time."""
    outbox = context.app.get(Outbox)
    endpoint = outbox.endpoint(parameters.endpoint)
    _foresee(context, endpoint)
    now_ms = outbox.clock.now_ms()
    body_of(parameters.type, now_ms, _data(context, parameters))
    return Prepared({"version": _VERSION, "queued_ms": now_ms})


def _foresee(context: LocalContext, endpoint: Endpoint) -> None:
    """Do nothing, or raise a `NoEffectError`: EGRESS_DENIED, SECRET_NOT_GRANTED, URL_INVALID. Names are not resolved yet."""
    target = parse_url(endpoint.url)
    context.app.get(Http).egress.foresee(target, "POST", str(context.principal))
    try:
        # It signs when the delivery leaves; until then one that is missing may come.
        context.foresee_secrets([endpoint.secret], host=target.host, at_once=False)
    except AssentError as error:
        raise NoEffectError.from_dict(error.to_dict()) from error


async def execute(context: LocalContext, parameters: Notify) -> Queued:
    """Put the delivery into the outbox, durably; once, however often it is called."""
    outbox = context.app.get(Outbox)
    endpoint = outbox.endpoint(parameters.endpoint)
    queued_ms = _queued_ms(context)
    body = body_of(parameters.type, queued_ms, _data(context, parameters))
    queued = _delivery(
        context,
        _id(context, _SENT),
        endpoint.name,
        kind=parameters.type,
        queued_ms=queued_ms,
        body=body,
    )
    return _told(await outbox.put(queued))


async def reconcile(context: LocalContext) -> Reconciliation:
    """It happened if the outbox knows of it, however the delivery went on."""
    found = await context.app.get(Outbox).find(_id(context, _SENT))
    if found is None:
        return Reconciliation(Verdict.NO)
    output: dict[str, Json] = _told(found).model_dump(mode="json")
    return Reconciliation(Verdict.YES, output)


def leads_to(context: LocalContext, parameters: Notify) -> list[LeadsTo]:
    """The webhook that tells the receiver to disregard the first one, where that may have arrived."""
    inputs: dict[str, Json] = {
        "endpoint": parameters.endpoint,
        "type": f"{parameters.type}{_SUFFIX}",
        "data": _undone(context, parameters),
    }
    return [LeadsTo("webhook", "notify.webhook", inputs)]


def _undone(context: LocalContext, parameters: Notify) -> dict[str, Json]:
    return {"id": _id(context, _SENT), "type": parameters.type}


async def compensate(context: LocalContext, parameters: Notify) -> None:
    """Withdraw the delivery; tell the receiver where it may have arrived. Harmless when that was done."""
    outbox = context.app.get(Outbox)
    first = _id(context, _SENT)
    found = await outbox.withdraw(first)
    if found is None and context.output is None:
        return  # it was never queued
    # One that is not kept any more has ended long ago, and nobody knows how.
    if found is not None and not (found.may_have_arrived or found.status == "delivered"):
        return
    queued_ms = outbox.clock.now_ms()
    kind = f"{parameters.type}{_SUFFIX}"
    body = body_of(kind, queued_ms, _undone(context, parameters))
    offset = _delivery(
        context,
        _id(context, _UNDONE),
        parameters.endpoint,
        kind=kind,
        queued_ms=queued_ms,
        body=body,
        undoes=first,
    )
    await outbox.put(offset)


def _id(context: LocalContext, purpose: str) -> str:
    """The id of a call's delivery: the same for every attempt at the call, and for nothing else."""
    digest = hashlib.sha256(f"{context.key}\0notify\0{purpose}".encode()).hexdigest()
    return f"msg_{digest[:32]}"


def _data(context: LocalContext, parameters: Notify) -> dict[str, Json]:
    """The data, without the secrets that were handed out: neither the outbox nor the receiver is told of any."""
    data: Any = context.redact(thaw(parameters.data))  # `Any`: an object stays one
    return dict(data)


def _queued_ms(context: LocalContext) -> int:
    queued_ms = (context.prepared or {})["queued_ms"]
    assert isinstance(queued_ms, int)  # INVARIANT: `prepare` wrote it
    return queued_ms


def _delivery(
    context: LocalContext,
    name: str,
    endpoint: str,
    *,
    kind: str,
    queued_ms: int,
    body: str,
    undoes: str | None = None,
) -> Delivery:
    return Delivery(
        format=FORMAT,
        id=name,
        run=context.run,
        step=context.step,
        principal=str(context.principal),
        endpoint=endpoint,
        type=kind,
        queued_ms=queued_ms,
        next_ms=queued_ms,
        body=body,
        undoes=undoes,
    )


def _told(delivery: Delivery) -> Queued:
    return Queued(
        id=delivery.id,
        endpoint=delivery.endpoint,
        type=delivery.type,
        queued_at=instant(delivery.queued_ms),
    )
