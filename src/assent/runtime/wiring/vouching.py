"""Whether what a door identified somebody by still vouches for them: a key, a token of an issuer, a certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from assent.errors import RefusedError
from assent.runtime.settings.effective import own_name
from assent.runtime.wiring.key_store import BY_KEY, KeyStore
from assent.spec.scopes import CALL

if TYPE_CHECKING:
    from assent.runtime.settings.effective import Settings
    from assent.runtime.wiring.key_store import Key

BY_TOKEN: Final = "jwt:"  # noqa: S105 - how the record names what identified somebody
BY_CERTIFICATE: Final = "mtls:"

_ENDED: Final = {"expired": "KEY_EXPIRED", "revoked": "KEY_REVOKED"}


def fault_of_key(key: Key, settings: Settings, now_ms: int) -> str | None:
    """Why a key opens nothing; None while it does."""
    if (ended := _ENDED.get(key.status(now_ms))) is not None:
        return ended
    identities = settings.identities
    # A key outlives neither its principal's entry nor the day on which the configuration becomes strict.
    if key.principal not in identities.roles and (
        key.configured or (identities.strict and key.principal != own_name(settings.os_uid))
    ):
        return "KEY_PRINCIPAL_UNKNOWN"
    return None


def require_vouched(settings: Settings, principal: str, by: str, now_ms: int) -> None:
    """Raise `RefusedError` IDENTITY_REFUSED where nobody would be let in any more as who came in by this.

    Of a token that is as long as its issuer counts. `KEYS_INVALID`.
    """
    if by.startswith(BY_KEY):
        ident = by.removeprefix(BY_KEY)
        key = KeyStore(settings.state).find(ident)
        fault = "KEY_UNKNOWN" if key is None else fault_of_key(key, settings, now_ms)
        why = None if fault is None else f"the key `{ident}` opens nothing any more ({fault})"
    elif by.startswith(BY_TOKEN):
        issuer = by.removeprefix(BY_TOKEN)
        known = any(one.issuer == issuer for one in settings.serve.issuers)
        why = None if known else f"tokens of `{issuer}` count no more"
    else:
        subject = by.removeprefix(BY_CERTIFICATE)
        mapped, scopes = settings.identities.certificates.get(subject, (None, frozenset()))
        counts = mapped == principal and CALL in scopes
        why = None if counts else f"the certificate `{subject}` no longer lets `{principal}` begin runs"
    if why is not None:
        raise RefusedError("IDENTITY_REFUSED", why, hint="let somebody who may do it ask again")
