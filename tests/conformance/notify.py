"""`notify.webhook`: an endpoint that is paused, so that what is seen is the outbox and no chance of the network."""

from __future__ import annotations

import json
from typing import Final

from tests.conformance.case import Case, Cell, Escape, Stage

SETTINGS: Final = """\
[net.rules.hooks]
hosts = ["127.0.0.1", "169.254.169.254"]
methods = ["POST"]
schemes = ["http"]
ports = [80, 9]
private = ["127.0.0.1/32"]

[notify.endpoints.ops]
url = "http://127.0.0.1:9/hooks?token=8a1f"
secret = "secret://hooks/ops"
paused = true

[notify.endpoints.elsewhere]
url = "https://hooks.example.org/"
secret = "secret://hooks/ops"

[notify.endpoints.metadata]
url = "http://169.254.169.254/latest/"
secret = "secret://hooks/ops"

[notify.endpoints.unsigned]
url = "http://127.0.0.1:9/hooks"
secret = "secret://hooks/other"

[secrets."hooks/ops"]
capabilities = ["notify.webhook"]
"""


def standing(stage: Stage) -> object:
    """What a receiver will have been told in the end: each type with its data, unless it was withdrawn or offset."""
    outbox = stage.workspace / ".assent" / "outbox"
    found = [json.loads(path.read_text()) for path in sorted(outbox.rglob("msg_*.json"))]
    offset = {one.get("undoes") for one in found}
    return [
        (one["endpoint"], one["type"], json.loads(one["body"])["data"])
        for one in found
        if one.get("status", "pending") == "pending" and not one.get("undoes") and one["id"] not in offset
    ]


CASES = (
    Case(
        "notify.webhook",
        inputs={"endpoint": "ops", "type": "invoice.paid", "data": {"id": 7, "total": "12.50"}},
        settings=SETTINGS,
        observe=standing,
        bad=[
            {"endpoint": "ops", "type": "invoice paid"},
            {"endpoint": "ops", "type": ".paid"},
            {"endpoint": "../ops", "type": "invoice.paid"},
            {"endpoint": "ops", "type": "invoice.paid", "data": ["not an object"]},
        ],
        escapes=[
            Escape({"endpoint": "nobody", "type": "invoice.paid"}, "ENDPOINT_UNKNOWN"),
            Escape({"endpoint": "elsewhere", "type": "invoice.paid"}, "EGRESS_DENIED"),
            Escape({"endpoint": "metadata", "type": "invoice.paid"}, "EGRESS_DENIED"),
            Escape({"endpoint": "unsigned", "type": "invoice.paid"}, "SECRET_NOT_GRANTED"),
            Escape(
                {"endpoint": "ops", "type": "invoice.paid", "data": {"all": "x" * (256 << 10)}},
                "NOTIFICATION_TOO_LARGE",
            ),
        ],
        without={
            Cell.TIMEOUT: "it writes one small file; sending it is not part of the call, and has a limit of its own"
        },
        provided={
            Cell.UNDO: "a delivery that may have arrived is offset by another one, `TYPE.undone`, which names it"
        },
    ),
)
