"""The capability that erases, described."""

from __future__ import annotations

from typing import Final

from assent.capabilities.describing import describe
from assent.capabilities.record import _erase

CAPABILITIES: Final = (
    describe(
        "assent.erase",
        "Erase the inputs, outputs and pre-images of runs that have ended, for good",
        _erase,
        operation="DELETE",
        risk="CRITICAL",
        justification="what is erased can't be brought back, and the runs can't be undone any more",
        reversible=False,
        scope="record",
        without={"compensate": "what is erased is nowhere any more"},
        effect="erases payloads of the record; its entries stay, and the ledger still verifies",
        idempotent=True,
    ),
)
