"""Tokens that no issuer gave for this service: forged, expired, another's, `alg: none`, keys of the token's own choosing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from assent.errors import RefusedError
from assent.runtime.settings.effective import Settings
from assent.server.who import Caller, Gatehouse, _tokens
from assent.system import SystemClock
from tests.support.who import bearer

ISSUER = "https://id.example.org"
AUDIENCE = "https://assent.example.org"
NOW = int(datetime.now(UTC).timestamp())
LATER = NOW + 24 * 3600
"""Later than any run of the suite ends: what expires while it runs is no fault of the code."""
KEY, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": LATER, "scope": "read call openid"}
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwks(**keys: Any) -> str:
    """A set of public keys by their ids."""
    found = []
    for kid, key in keys.items():
        by = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
        found.append({**json.loads(by.to_jwk(key.public_key())), "kid": kid})
    return json.dumps({"keys": found})


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "jwks.json").write_text(jwks(one=KEY, rsa=RSA))
    (tmp_path / "assent.toml").write_text(
        f'[serve.issuers.main]\nissuer = "{ISSUER}"\naudience = "{AUDIENCE}"\njwks = "{tmp_path}/jwks.json"\n'
        'algorithms = ["ES256"]\nroles = { admins = ["operator", "reviewer"] }\n'
    )
    return tmp_path


def gatehouse(place: Path, **said: Any) -> Gatehouse:
    settings = Settings.resolve(workspace=place, environ={"HOME": str(place)}, cwd=place)
    return Gatehouse(settings, **said)


def token(
    key: Any = KEY, algorithm: str = "ES256", headers: dict[str, Any] | None = None, **claims: Any
) -> str:
    said = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    return jwt.encode(said, key, algorithm, headers={"kid": "one"} | (headers or {}))


def by_hand(header: dict[str, Any], claims: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """A token that no library would make."""

    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    body = part(json.dumps(header).encode()) + b"." + part(json.dumps(claims).encode())
    return (body + b"." + part(sign(body))).decode()


def hmac_with(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda body: hmac.digest(secret, body, hashlib.sha256)


def with_claims(text: str, **claims: Any) -> str:
    """The same signature under other claims."""
    head, _, signature = text.split(".")
    body = base64.urlsafe_b64encode(json.dumps(CLAIMS | claims).encode()).rstrip(b"=").decode()
    return f"{head}.{body}.{signature}"


FORGED: dict[str, tuple[Callable[[], str], str]] = {
    "another's key": (lambda: token(OTHER), "TOKEN_FORGED"),
    "other claims": (lambda: with_claims(token(), sub="root"), "TOKEN_FORGED"),
    "no signature": (lambda: token().rpartition(".")[0] + ".", "TOKEN_FORGED"),
    "none": (lambda: by_hand({"alg": "none", "kid": "one"}, CLAIMS, lambda _: b""), "TOKEN_FORGED"),
    "None": (lambda: by_hand({"alg": "None", "kid": "one"}, CLAIMS, lambda _: b""), "TOKEN_FORGED"),
    "no algorithm": (lambda: by_hand({"kid": "one"}, CLAIMS, lambda _: b""), "TOKEN_FORGED"),
    "an algorithm that is none": (lambda: by_hand({"alg": ["ES256"], "kid": "one"}, CLAIMS, lambda _: b""), "TOKEN_FORGED"),
    "signed with the public key": (
        lambda: by_hand({"alg": "HS256", "kid": "one", "typ": "JWT"}, CLAIMS, hmac_with(PEM)), "TOKEN_FORGED",
    ),
    "an algorithm that is not allowed": (lambda: token(RSA, "RS256", {"kid": "rsa"}), "TOKEN_FORGED"),
    "a key of another kind": (lambda: token(headers={"kid": "rsa"}), "TOKEN_FORGED"),
    "a key that nobody has": (lambda: token(headers={"kid": "two"}), "TOKEN_FORGED"),
    "a key that is a path": (lambda: token(headers={"kid": "../../dev/null"}), "TOKEN_FORGED"),
    "a key that is no text": (lambda: by_hand({"alg": "ES256", "kid": {"a": 1}}, CLAIMS, lambda _: b""), "TOKEN_MALFORMED"),
    "its own key": (
        lambda: token(OTHER, headers={"jwk": json.loads(jwt.algorithms.ECAlgorithm.to_jwk(OTHER.public_key()))}),
        "TOKEN_FORGED",
    ),
    "its own set of keys": (lambda: token(OTHER, headers={"jku": "https://evil.example/jwks"}), "TOKEN_FORGED"),
    "something critical": (lambda: token(headers={"crit": ["exp"]}), "TOKEN_MALFORMED"),
    "another type": (lambda: token(headers={"typ": "dpop+jwt"}), "TOKEN_FORGED"),
    "expired": (lambda: token(exp=NOW - 60), "TOKEN_EXPIRED"),
    "for ever": (lambda: token(exp=None), "TOKEN_FORGED"),
    "not yet": (lambda: token(nbf=LATER, exp=LATER + 60), "TOKEN_FORGED"),
    "made later": (lambda: token(iat=LATER, exp=LATER + 60), "TOKEN_FORGED"),
    "another audience": (lambda: token(aud="https://other.example.org"), "TOKEN_FOREIGN"),
    "no audience": (lambda: token(aud=None), "TOKEN_FORGED"),
    "another issuer": (lambda: token(iss="https://id.example.org.evil.example"), "TOKEN_FOREIGN"),
    "no issuer": (lambda: token(iss=None), "TOKEN_FOREIGN"),
    "nobody": (lambda: token(sub=None), "TOKEN_FORGED"),
    "no principal": (lambda: token(sub="ann; drop"), "TOKEN_FOREIGN"),
    "another kind": (lambda: token(sub="x:root\n"), "TOKEN_FOREIGN"),
    "no token": (lambda: "a.b.c", "TOKEN_MALFORMED"),
    "deep": (lambda: by_hand({"alg": "ES256"}, {"a": json.loads("[" * 900 + "]" * 900)}, lambda _: b""), "TOKEN_FOREIGN"),
}  # fmt: skip


@pytest.mark.parametrize("case", FORGED)
async def test_what_its_issuer_did_not_sign_for_this_service_lets_nobody_in(place: Path, case: str) -> None:
    noted: list[str] = []

    async def note(_door: str, _peer: str, code: str) -> None:
        noted.append(code)

    make, expected = FORGED[case]
    with pytest.raises(RefusedError) as refused:
        await gatehouse(place, note=note).authenticate(bearer(make()))
    assert (refused.value.code, noted) == ("NOT_IDENTIFIED", [expected])


async def test_a_token_is_whom_it_names_with_what_its_words_mean_here(place: Path) -> None:
    caller: Caller = await gatehouse(place).authenticate(bearer(token(roles=["admins", "operator", "root"])))
    asker = caller.asker
    assert (asker.principal, asker.identified_by) == ("user:ann", f"jwt:{ISSUER}")
    assert (asker.roles, caller.scopes) == (
        frozenset({"operator", "reviewer"}),
        frozenset({"read", "call"}),
    )
    assert caller.expires_at_ms == LATER * 1000
    nothing = await gatehouse(place).authenticate(bearer(token(scope=None, aud=["x", AUDIENCE])))
    assert (nothing.scopes, nothing.asker.roles) == (frozenset(), frozenset())


async def test_keys_are_fetched_once_a_minute_whatever_strangers_send(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    read = _tokens._read

    async def counted(at: str) -> bytes:
        fetched.append(at)
        return await read(at)

    class Clock(SystemClock):
        ms = 0

        def monotonic_ms(self) -> int:
            return self.ms

    monkeypatch.setattr(_tokens, "_read", counted)
    clock = Clock()
    gate = gatehouse(place, clock=clock)

    async def is_in(text: str) -> bool:
        try:
            await gate.authenticate(bearer(text))
        except RefusedError:
            return False
        return True

    for number in range(50):
        assert not await is_in(token(headers={"kid": f"k{number}"}))
    assert await is_in(token())
    assert len(fetched) == 1
    # The issuer has a new key: it counts within the minute, and the old one no longer.
    (place / "jwks.json").write_text(jwks(two=OTHER))
    assert not await is_in(token(OTHER, headers={"kid": "two"}))
    clock.ms = _tokens.APART_MS
    assert await is_in(token(OTHER, headers={"kid": "two"}))
    assert not await is_in(token())
    # Where it can't be asked, or answers nonsense, the keys that are known stay.
    for nonsense in ("", "[]", '{"keys": 1}', '{"keys": [1]}', "[" * 100_000):
        clock.ms += _tokens.KEPT_MS
        (place / "jwks.json").write_text(nonsense)
        assert await is_in(token(OTHER, headers={"kid": "two"})), nonsense[:10]
    assert len(fetched) == 7
