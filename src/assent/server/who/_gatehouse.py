"""One way in: what was presented becomes a caller, or the one refusal that tells nothing."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias

from assent.errors import AssentError, InputError, Json, RefusedError
from assent.runtime.service.requests import Asker
from assent.runtime.settings.effective import own_name
from assent.runtime.wiring.key_store import BY_KEY, KeyStore
from assent.runtime.wiring.vouching import BY_CERTIFICATE, fault_of_key
from assent.server.who._caller import Caller, Presented, Refused
from assent.server.who._rates import Rates
from assent.spec.scopes import SCOPES
from assent.system import SystemClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from assent.runtime.settings._serve import Issuer
    from assent.runtime.settings.effective import Settings
    from assent.server.who._tokens import Tokens
    from assent.spec.ports import Clock

NoteStranger: TypeAlias = "Callable[[str, str, str], Awaitable[None]]"
"""Is told of a door, where somebody came from, and why they were not let in."""

METADATA_PATH: Final = "/.well-known/oauth-protected-resource"

BEARER_MAX: Final = 16 * 1024
"""Characters of a credential."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*\Z", re.ASCII)


class Gatehouse:
    """Knows who may come in, of one workspace."""

    def __init__(
        self,
        settings: Settings,
        *,
        note: NoteStranger | None = None,
        is_offered: Callable[[str], bool] = bool,
        clock: Clock | None = None,
    ) -> None:
        """`note` puts on record who was not let in; `is_offered` says whether there is a capability of an id."""
        self._settings = settings
        self._note = note
        self._keys = KeyStore(settings.state)
        self._clock = clock or SystemClock()
        self._known: tuple[tuple[Issuer, ...], Tokens] | None = None
        self.rates = Rates(settings.serve.rates, self._clock, is_offered)
        """What every request passes on its way in, before and after it is asked whose it is."""

    @property
    def _tokens(self) -> Tokens:
        from assent.server.who._tokens import (
            Tokens,  # a daemon that nobody sends one starts without their reader
        )

        issuers = self._settings.serve.issuers
        if self._known is None or self._known[0] != issuers:  # they may have been read anew
            self._known = issuers, Tokens(issuers, self._clock)
        return self._known[1]

    async def authenticate(self, presented: Presented) -> Caller:
        """Who this is. `RefusedError` NOT_IDENTIFIED, alike whatever was wrong or missing."""
        try:
            return await self._identify(presented)
        except Refused as refused:
            if self._note is not None:
                # Whoever is refused is refused, also where the ledger takes nothing more.
                with suppress(AssentError):
                    await self._note(presented.door, presented.peer, refused.code)
            raise RefusedError(
                "NOT_IDENTIFIED",
                "who is calling could not be established",
                hint="send `Authorization: Bearer KEY` with a key of `assent key create`, or a token of a configured issuer",
            ) from None

    async def _identify(self, presented: Presented) -> Caller:
        if presented.authorization:
            text = _bearer(presented.authorization)
            is_token = text.count(".") == 2 and bool(self._settings.serve.issuers)
            return await self._tokens.caller(text) if is_token else self._of_key(text)
        if presented.os_uid is not None:
            return Caller(asker=self._of_account(presented.os_uid))
        if presented.certificate is not None:
            return self._of_certificate(presented.certificate)
        raise Refused("NOTHING_PRESENTED")

    def challenge(self, base: str | None) -> str:
        """What stands in `WWW-Authenticate` beside a refusal, for the door at `base`."""
        if base is None or not self._settings.serve.issuers:
            return 'Bearer realm="assent"'
        return f'Bearer realm="assent", resource_metadata="{base}{METADATA_PATH}"'

    def metadata(self, base: str) -> dict[str, Json]:
        """Where a client gets a token for the door at `base`, as RFC 9728 writes it."""
        issuers = dict.fromkeys(one.issuer for one in self._settings.serve.issuers)
        return {
            "resource": base,
            "authorization_servers": [*issuers],
            "scopes_supported": [*SCOPES],
            "bearer_methods_supported": ["header"],
        }

    def _of_account(self, os_uid: int) -> Asker:
        """The account's own principal; of another account than ours the one that the configuration maps to it."""
        identities, principal = self._settings.identities, own_name(os_uid)
        mapped = [name for name, uid in identities.uids.items() if uid == os_uid]
        if os_uid != self._settings.os_uid and principal not in mapped:
            if len(mapped) != 1:
                raise Refused("ACCOUNT_UNKNOWN")
            (principal,) = mapped
        if not identities.is_proven(principal, os_uid):
            raise Refused("ACCOUNT_UNKNOWN")
        return Asker(principal=principal, os_uid=os_uid)

    def _of_certificate(self, data: bytes) -> Caller:
        """The handshake has proven that it is theirs, that an authority of ours vouches for it, and that it had not ended."""
        from cryptography.x509 import load_der_x509_certificate  # as above

        certificate = load_der_x509_certificate(data)
        subject = certificate.subject.rfc4514_string()
        found = self._settings.identities.certificates.get(subject)
        ends_ms = int(certificate.not_valid_after_utc.timestamp() * 1000)
        if found is None:
            raise Refused("CERTIFICATE_UNKNOWN")
        if ends_ms <= self._clock.now_ms():  # a connection may be older
            raise Refused("CERTIFICATE_EXPIRED")
        principal, scopes = found
        asker = Asker(principal=principal, identified_by=f"{BY_CERTIFICATE}{subject}", scopes=scopes)
        return Caller(asker=asker, expires_at_ms=ends_ms)

    def _of_key(self, text: str) -> Caller:
        try:
            key = self._keys.presented(text)
        except InputError as error:
            raise Refused(error.code) from None
        if key is None:
            raise Refused("KEY_UNKNOWN")
        if (fault := fault_of_key(key, self._settings, self._clock.now_ms())) is not None:
            raise Refused(fault)
        asker = Asker(principal=key.principal, identified_by=f"{BY_KEY}{key.id}", scopes=key.scopes)
        return Caller(asker=asker, expires_at_ms=key.expires_ms)


def _bearer(headers: tuple[str, ...]) -> str:
    """The one credential that was sent. Two headers are refused: of two readers each could believe another one."""
    scheme, _, text = headers[0].partition(" ")
    if len(headers) > 1 or scheme.lower() != "bearer" or len(text) > BEARER_MAX or not _TOKEN.match(text):
        raise Refused("CREDENTIALS_MALFORMED")
    return text
