"""What a door hands over, whom it gets for it, and why it may get nobody."""

from __future__ import annotations

import msgspec

from assent.runtime.service.requests import Asker
from assent.spec.principal import BY_PEER


class Presented(msgspec.Struct, frozen=True, kw_only=True):
    """What a door knows of whoever calls: what the machine vouches for, and what the caller sent."""

    door: str
    """`http`, `https`, `socket`: as it stands in the record."""
    peer: str
    """Where it comes from: an address without its port (IPv6 in brackets), or `uid:N`."""
    os_uid: int | None = None
    """The account at the other end of a Unix socket, as the kernel names it."""
    authorization: tuple[str, ...] = ()
    """Each `Authorization` header that was sent."""
    certificate: bytes | None = None
    """What the peer proved to own in the TLS handshake, in DER form, once an authority of ours was found to vouch for it."""

    def __repr__(self) -> str:
        return f"Presented(door={self.door!r}, peer={self.peer!r}, os_uid={self.os_uid!r})"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who was let in."""

    asker: Asker
    expires_at_ms: int | None = None
    """When what they presented ends: a stream to them ends then, too."""

    @property
    def identified_by(self) -> str:
        """`peer_uid`, `api_key:ID`, `jwt:ISSUER` or `mtls:SUBJECT`."""
        return self.asker.identified_by or BY_PEER

    @property
    def scopes(self) -> frozenset[str] | None:
        """What they may ask; None for everything."""
        return self.asker.scopes


class Refused(Exception):
    """Why somebody was not let in: for the record, and for nobody else."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
