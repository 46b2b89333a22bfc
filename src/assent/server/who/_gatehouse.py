"""One way in: what was presented becomes a caller, or the one refusal that tells nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from assent.errors import RefusedError
from assent.runtime.service.requests import Asker
from assent.runtime.settings.effective import own_name
from assent.spec.principal import BY_PEER

if TYPE_CHECKING:
    from assent.runtime.settings.effective import Settings


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


class Gatehouse:
    """Knows who may come in, of one workspace."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def authenticate(self, presented: Presented) -> Caller:
        """Who this is. `RefusedError` NOT_IDENTIFIED, alike whatever was wrong or missing."""
        if presented.authorization or presented.os_uid is None:
            raise _unknown()
        return Caller(asker=self._of_account(presented.os_uid))

    def challenge(self) -> str:
        """What stands in `WWW-Authenticate` beside a refusal."""
        return 'Bearer realm="assent"'

    def _of_account(self, os_uid: int) -> Asker:
        """The account's own principal; of another account than ours the one that the configuration maps to it."""
        identities, principal = self._settings.identities, own_name(os_uid)
        mapped = [name for name, uid in identities.uids.items() if uid == os_uid]
        if os_uid != self._settings.os_uid and principal not in mapped:
            if len(mapped) != 1:
                raise _unknown()
            (principal,) = mapped
        if not identities.is_proven(principal, os_uid):
            raise _unknown()
        return Asker(principal=principal, os_uid=os_uid)


def _unknown() -> RefusedError:
    return RefusedError(
        "NOT_IDENTIFIED",
        "who is calling could not be established",
        hint="send `Authorization: Bearer KEY` with a key of `assent key create`, or a token of a configured issuer",
    )
