"""Codes of webhooks and their deliveries."""

from __future__ import annotations

from typing import Final

from assent.errors._explanation import Explanation

NOTIFY_CODES: Final[dict[str, Explanation]] = {
    "ENDPOINT_UNKNOWN": Explanation(
        "No endpoint of `[notify.endpoints]` has that name; or one had it, and a delivery to it still waits.",
        "Look at the spelling. An operator adds endpoints in `assent.toml`.",
    ),
    "NOTIFICATION_TOO_LARGE": Explanation(
        "The body of a webhook would be larger than 256 KiB. Nothing was queued.",
        "Tell where the receiver finds the data, rather than all of it.",
    ),
    "OUTBOX_FULL": Explanation(
        "10 000 deliveries wait already. Nothing was queued.",
        "`assent deliveries --status pending` shows what keeps them; mend the endpoint, or cancel them.",
    ),
    "WEBHOOK_SECRET_INVALID": Explanation(
        "The secret that signs webhooks is no base64 behind `whsec_`, or has less than 24 bytes. Nothing was sent.",
        "Store `whsec_` and the base64 of 32 random bytes, the same at the receiver. The delivery is tried again.",
    ),
    "DELIVERY_BROKEN_OFF": Explanation(
        "An attempt at a delivery was broken off by whoever stopped the process or cancelled the delivery.",
        "It may have arrived. A delivery that was not cancelled is tried again, under the same id.",
    ),
    "DELIVERY_UNKNOWN": Explanation(
        "No delivery has that id. One that has ended is kept for 30 days, and 1000 of them at most.",
        "`assent deliveries` lists them; the ledger keeps what became of each.",
    ),
    "DELIVERY_ENDED": Explanation(
        "A delivery has ended, and what was asked for is no longer possible.",
        "Its status says how. To tell the receiver once more, queue another one.",
    ),
}
