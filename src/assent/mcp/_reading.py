"""What comes from a client, before the SDK reads it: of a key that stands twice that takes the last, and others the first.

Whoever looks at a message on its way (a proxy, a filter of the client's own) has to see the call that is made.
"""

from __future__ import annotations

import json
from typing import Any

import mcp_types as wire

from assent.errors import AssentError
from assent.spec.values.canonical import require_one_reading


def fault_in(text: bytes) -> str | None:
    """The error, as a message, that answers what two programs read differently; None for all else."""
    try:
        require_one_reading(text)
    except AssentError as error:
        return _error(text, wire.PARSE_ERROR, error.message)
    return None


def fault_in_message(text: bytes) -> str | None:
    """The same also for what is no message: on standard input and output the SDK says nothing to that, and its client waits."""
    found = fault_in(text)
    if found is None:
        try:
            wire.jsonrpc_message_adapter.validate_json(text, by_name=False)
        except ValueError:
            return _error(text, wire.INVALID_REQUEST, "it is no message of the protocol")
    return found


def _error(text: bytes, code: int, why: str) -> str:
    return json.dumps(
        {"jsonrpc": "2.0", "id": _asked_as(text), "error": {"code": code, "message": why[:300]}}
    )


def _asked_as(text: bytes) -> Any:  # `Any`: JSON
    """The id by which the client waits for an answer, as far as it can be told."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    ident = found.get("id") if isinstance(found, dict) else None
    return (
        ident
        if isinstance(ident, int | str) and not isinstance(ident, bool) and len(str(ident)) <= 200
        else None
    )
