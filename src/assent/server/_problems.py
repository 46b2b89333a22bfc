"""What is told of a request that was not admitted: RFC 9457's problem, with the house's own error object in it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from assent.errors import AssentError, Json
from assent.runtime.service._hints import hint_at_door
from assent.runtime.service.requests import Request
from assent.runtime.service.routes import ROUTES

PROBLEM: Final = b"application/problem+json"

_BY_CODE: Final = {
    code: status
    for status, codes in {
        400: "REQUEST_INVALID JSON_INVALID INVALID_VERSION",
        401: "NOT_IDENTIFIED",
        403: "SCOPE_MISSING ORIGIN_REFUSED HOST_REFUSED",
        404: "ROUTE_UNKNOWN RUN_UNKNOWN STEP_UNKNOWN CAPABILITY_UNKNOWN VERSION_NOT_FOUND PLAN_UNKNOWN ENTRY_UNKNOWN "
        "PLUGIN_UNKNOWN ATTACHMENT_UNKNOWN DELIVERY_UNKNOWN SECRET_MISSING STATE_MISSING RUN_AMBIGUOUS SCHEDULE_UNKNOWN "
        "KEY_UNKNOWN SIGNAL_UNKNOWN TILE_UNKNOWN ENTRY_UNSIGNED PROJECT_UNKNOWN FINDING_UNKNOWN FINDING_AMBIGUOUS "
        "RUN_WITHOUT_FINDINGS RECIPE_UNKNOWN RESOURCE_NOT_FOUND",
        405: "METHOD_NOT_ALLOWED",
        408: "REQUEST_TOO_SLOW",
        409: "REQUEST_REUSED APPROVAL_STALE APPROVAL_NOT_OPEN APPROVAL_AMBIGUOUS RUN_FINISHED RUN_UNFINISHED RUN_NOT_UNDOABLE "
        "RUN_PAUSED SESSION_CLOSED NOT_A_SESSION PLAN_USED PLAN_STALE PLAN_EXPIRED UNDO_IMPOSSIBLE UNDO_ERASED PAYLOAD_ERASED "
        "COMPENSATION_CONFLICT RESOLUTION_INVALID PLUGIN_CHANGED STALE_WRITER OWNER_DIFFERS VERSION_IN_USE VERSION_NEWEST "
        "VERSION_LABELLED DELIVERY_ENDED SECRET_ROTATING CAPABILITY_ABSENT ERASE_UNFINISHED SCHEDULE_EXISTS "
        "CONCURRENCY_TAKEN",
        413: "BODY_TOO_LARGE PAYLOAD_TOO_LARGE DOCUMENT_TOO_LARGE",
        415: "MEDIA_TYPE_UNSUPPORTED",
        429: "QUEUE_FULL RATE_LIMITED STREAMS_FULL SIGNALS_FULL UPLOADS_FULL",
        431: "HEAD_TOO_LARGE",
        503: "RUNTIME_CLOSED",
        504: "TIME_LIMIT OWNER_SILENT",
    }.items()
    for code in codes.split()
}
_BY_FAMILY: Final = {"input": 422, "refused": 403, "world": 503, "internal": 500}


def status_of(error: AssentError) -> int:
    """The HTTP status of an error: by its code, else by whose side it is on."""
    return _BY_CODE.get(error.code, _BY_FAMILY.get(error.family, 500))


def problem(error: AssentError, instance: str) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """Status, body and headers that tell of an error which kept a request from being admitted. `instance`: the path asked for."""
    status = status_of(error)
    told: dict[str, Json] = {
        "type": f"urn:assent:error:{error.code}",
        "title": _TITLES.get(status, "Not possible"),
        "status": status,
        "detail": error.message,
        "instance": instance,
        "family": error.family,
        "error": {**error.to_dict(), "hint": hint_at_door(error, _said)},
    }
    run = error.details.get("run_id")
    if isinstance(run, str):
        told["run_id"] = run
    headers = [(b"content-type", PROBLEM)]
    after = error.details.get("retry_after_ms")
    if status in (429, 503):
        seconds = max(1, -(-after // 1000)) if isinstance(after, int) else 1
        headers.append((b"retry-after", str(seconds).encode()))
    allow = error.details.get("allow")
    if status == 405 and isinstance(allow, list):
        headers.append((b"allow", ", ".join(map(str, allow)).encode()))
    return status, msgspec.json.encode(told), headers


def _said(kind: type[Request[Any]]) -> str | None:
    """How an operation is asked for here."""
    return next((f"{route.method} {route.path}" for route in ROUTES if route.kind is kind), None)


_TITLES: Final = {
    400: "Unreadable",
    401: "Not identified",
    403: "Refused",
    404: "Not there",
    405: "Another method",
    408: "Too slow",
    409: "Does not fit what is there",
    413: "Too large",
    415: "Another kind of content",
    422: "Wrong parameters",
    429: "Too much at once",
    431: "Headers too large",
    500: "A fault of Assent",
    503: "Not possible now",
    504: "Took too long",
}
