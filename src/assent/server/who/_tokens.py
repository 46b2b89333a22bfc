"""Tokens of identity providers: JWTs, checked as a resource server of OAuth 2.1 has to; nothing is believed that they say of
themselves.

Of an unchecked token three things are looked at: `iss`, to know whose it would be, `kid`, to find that issuer's key, and `alg`,
which has to be allowed here and fit the key. Keys come from where the configuration says and from nowhere else (`jku`, `jwk`,
`x5u` and `x5c` of a token are never read), and are fetched anew at most once a minute, whatever strangers send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jwt

from assent.errors import AssentError
from assent.runtime.service.requests import Asker
from assent.runtime.settings._serve import Issuer
from assent.runtime.wiring.vouching import BY_TOKEN
from assent.server.who._caller import Caller, Refused
from assent.spec.ports import Clock
from assent.spec.principal import Principal
from assent.spec.scopes import SCOPES
from assent.spec.values.typed import decode

LEEWAY_S: Final = 30
"""How far an issuer's clock may be off."""

KEPT_MS: Final = 3_600_000
APART_MS: Final = 60_000
"""Keys are fetched anew after the one, and for a `kid` that is not known not before the other."""

KEYS_MAX: Final = 64
_BYTES_MAX: Final = 1 << 20
_PATIENCE_S: Final = 5.0
_TYPES: Final = (None, "JWT", "at+jwt", "application/at+jwt")

_FAMILIES: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
"""What kind of key a signature takes, by how its algorithm begins."""


_AS_THEY_ARE: Final[Mapping[str, list[str]]] = {one: [one] for one in SCOPES}


class Tokens:
    """The tokens of all configured issuers."""

    def __init__(self, issuers: tuple[Issuer, ...], clock: Clock) -> None:
        self._keys = {one.issuer: IssuerKeys(one, clock) for one in issuers}

    async def caller(self, text: str) -> Caller:
        """Who bears this token; `Refused`."""
        try:
            header = jwt.get_unverified_header(text)
            claims = jwt.decode(text, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Refused("TOKEN_MALFORMED") from None
        issuer = claims.get("iss")
        keys = self._keys.get(issuer) if isinstance(issuer, str) else None
        if keys is None:
            raise Refused("TOKEN_FOREIGN")
        return _caller_of(keys.issuer, await _checked(text, header, keys))


class IssuerKeys:
    """The public keys of an issuer."""

    def __init__(self, issuer: Issuer, clock: Clock) -> None:
        self.issuer = issuer
        self._clock = clock
        self._found: dict[str | None, dict[str, Any]] = {}
        self._tried_ms: int | None = None
        self._fetched_ms: int | None = None
        self._turn = asyncio.Lock()

    async def find(self, kid: str | None) -> dict[str, Any] | None:
        """The key of this id; None where there is none. The old ones stay where an issuer can't be asked."""
        if kid not in self._found or self._is_older(self._fetched_ms, KEPT_MS):
            async with self._turn:
                needed = kid not in self._found or self._is_older(self._fetched_ms, KEPT_MS)
                if needed and self._is_older(self._tried_ms, APART_MS):
                    self._tried_ms = self._clock.monotonic_ms()
                    await self._fetch()
        return self._found.get(kid)

    def _is_older(self, moment_ms: int | None, most_ms: int) -> bool:
        return moment_ms is None or self._clock.monotonic_ms() - moment_ms >= most_ms

    async def _fetch(self) -> None:
        try:
            data = await _read(self.issuer.jwks)
            keys = decode(data, dict[str, Any])["keys"]
            found = {one.get("kid"): one for one in keys[:KEYS_MAX] if one.get("use", "sig") == "sig"}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, AssentError):
            return
        self._found, self._fetched_ms = found, self._clock.monotonic_ms()


async def _read(place: str) -> bytes:
    """What stands there; OSError."""
    if place.startswith("/"):
        return await asyncio.to_thread(Path(place).read_bytes)
    import httpx2

    data = b""
    try:
        async with (
            asyncio.timeout(_PATIENCE_S),
            httpx2.AsyncClient(follow_redirects=False, trust_env=False) as client,
            client.stream("GET", place, headers={"accept": "application/json"}) as answer,
        ):
            async for piece in answer.raise_for_status().aiter_bytes():
                data += piece
                if len(data) > _BYTES_MAX:
                    raise OSError("the answer is too large")
    except (httpx2.HTTPError, TimeoutError) as error:
        raise OSError(str(error)) from None
    return data


async def _checked(text: str, header: Mapping[str, Any], keys: IssuerKeys) -> dict[str, Any]:
    issuer, algorithm, kid = keys.issuer, header.get("alg"), header.get("kid")
    if algorithm not in issuer.algorithms or header.get("typ") not in _TYPES:
        raise Refused("TOKEN_FORGED")
    key = await keys.find(kid if isinstance(kid, str) else None)
    if key is None or key.get("kty") != _FAMILIES[algorithm[:2]] or key.get("alg", algorithm) != algorithm:
        raise Refused("TOKEN_FORGED")
    try:
        claims: dict[str, Any] = jwt.decode(
            text,
            jwt.PyJWK(key, algorithm=algorithm),
            algorithms=[algorithm],
            audience=issuer.audience,
            issuer=issuer.issuer,
            leeway=LEEWAY_S,
            options={"require": ["exp", "iss", "aud", issuer.claim]},
        )
    except jwt.ExpiredSignatureError:
        raise Refused("TOKEN_EXPIRED") from None
    except (jwt.InvalidAudienceError, jwt.InvalidIssuerError):
        raise Refused("TOKEN_FOREIGN") from None
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
        raise Refused("TOKEN_FORGED") from None
    return claims


def _caller_of(issuer: Issuer, claims: Mapping[str, Any]) -> Caller:
    try:
        principal = Principal.parse(f"{issuer.kind}:{claims[issuer.claim]}")
    except AssentError:
        raise Refused("TOKEN_FOREIGN") from None
    words = _listed(claims.get("scope")) or _listed(claims.get("scp"))
    meant = issuer.scopes if issuer.scopes is not None else _AS_THEY_ARE
    asker = Asker(
        principal=str(principal),
        identified_by=f"{BY_TOKEN}{issuer.issuer}",
        roles=_meant(_listed(claims.get(issuer.roles_claim)), issuer.roles),
        scopes=_meant(words, meant),
    )
    return Caller(asker=asker, expires_at_ms=int(claims["exp"]) * 1000)


def _listed(claim: object) -> list[str]:
    """Words in a claim: a list of them, or a text with blanks between."""
    if isinstance(claim, str):
        return claim.split()
    return [one for one in claim if isinstance(one, str)] if isinstance(claim, list) else []


def _meant(words: list[str], meaning: Mapping[str, list[str]]) -> frozenset[str]:
    return frozenset(one for word in words for one in meaning.get(word, ()))
