"""The capabilities that make and revoke keys, described."""

from __future__ import annotations

from functools import partial
from typing import Final

from assent.capabilities.describing import describe
from assent.capabilities.keys._keys import Creation, Revocation

_changes: Final = partial(
    describe,
    operation="WRITE",
    risk="MEDIUM",
    reversible=True,
    scope="keys",
    idempotent=True,
)

CAPABILITIES: Final = (
    _changes(
        "assent.key.create",
        "Let whoever has a key act as a principal through the daemon's doors, within scopes",
        Creation(),
        justification="it opens a door, and revoking the key shuts it again",
        effect="keeps the digest of a key; the key itself is known to whoever made it alone",
    ),
    _changes(
        "assent.key.revoke",
        "Let a key open nothing any more",
        Revocation(),
        justification="it shuts a door, and its undo opens it again",
        effect="marks a key as revoked",
    ),
)
