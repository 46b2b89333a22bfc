"""Webhooks are signed as Standard Webhooks 1.0.0 says: held against its own vector, and against a verifier written apart."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.capabilities.notify._attempt import key_of, signed_headers
from assent.errors import InputError

# The vector that the specification's own libraries are tested with (`libraries/go/webhook_test.go`, `TestWebhookSign`).
SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE: Final = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT_S: Final = 1_614_265_330
BODY: Final = b'{"test": 2432232314}'
SIGNATURE: Final = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

# The other signatures that they try are none of this message.
WRONG: Final = ("v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=", "v1,dawfeoifkpqwoekfpqoekf", "v1,")


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """RFC 2104 by hand, so that no library is held against itself."""
    block = (key if len(key) <= 64 else hashlib.sha256(key).digest()).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(one ^ 0x36 for one in block) + message).digest()
    return hashlib.sha256(bytes(one ^ 0x5C for one in block) + inner).digest()


def verifies(headers: dict[str, str], body: bytes, key: bytes) -> bool:
    """What a receiver does, as the specification's "Verifying signatures" has it; the list may hold several signatures."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac_sha256(key, signed)).decode()
    found = [one.partition(",") for one in headers["webhook-signature"].split(" ")]
    return any(version == "v1" and value == wanted for version, _, value in found)


def test_the_vector_of_the_specification() -> None:
    headers = signed_headers(MESSAGE, AT_S, BODY, SECRET)
    assert headers == {
        "webhook-id": MESSAGE,
        "webhook-timestamp": str(AT_S),
        "webhook-signature": SIGNATURE,
    }
    assert verifies(headers, BODY, base64.b64decode(SECRET.removeprefix("whsec_")))


@pytest.mark.parametrize("wrong", WRONG)
def test_the_judge_refuses_what_the_specification_refuses(wrong: str) -> None:
    headers = {**signed_headers(MESSAGE, AT_S, BODY, SECRET), "webhook-signature": wrong}
    assert not verifies(headers, BODY, key_of(SECRET))
    assert verifies({**headers, "webhook-signature": f"v2,x {wrong} {SIGNATURE}"}, BODY, key_of(SECRET))


@given(
    key=st.binary(min_size=24, max_size=96),
    at_s=st.integers(min_value=0, max_value=1 << 40),
    data=st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=3),
    changed=st.integers(min_value=0, max_value=10_000),
)
def test_what_is_signed_verifies_and_one_changed_byte_does_not(
    key: bytes, at_s: int, data: dict[str, str], changed: int
) -> None:
    body = json.dumps(data, ensure_ascii=False).encode()
    headers = signed_headers("msg_1", at_s, body, "whsec_" + base64.b64encode(key).decode())
    assert verifies(headers, body, key)
    other = bytearray(body)
    other[changed % len(body)] ^= 1
    assert not verifies(headers, bytes(other), key)
    assert not verifies({**headers, "webhook-timestamp": str(at_s + 1)}, body, key)
    assert not verifies({**headers, "webhook-id": "msg_2"}, body, key)


def test_a_plain_text_is_its_own_key() -> None:
    text = "thirty-two characters, none less"
    assert key_of(text) == text.encode()
    assert key_of(f" {text}\n") == text.encode(), "a file ends with a line break"


@pytest.mark.parametrize(
    "secret",
    ["", "too little", "whsec_", "whsec_c2hvcnQ=", "whsec_no base64 at all, this", "whsec_ÄÖÜ", "x" * 23],
)
def test_a_secret_that_can_not_sign_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(InputError) as raised:
        signed_headers(MESSAGE, AT_S, BODY, secret)
    assert raised.value.code == "WEBHOOK_SECRET_INVALID"
    inner = secret.removeprefix("whsec_")
    assert not inner or inner not in json.dumps(raised.value.to_dict())
    assert raised.value.__cause__ is None


def test_two_secrets_sign_while_one_takes_the_place_of_the_other() -> None:
    """A receiver with either verifies it; one that never was a key is left out."""
    old = "whsec_" + base64.b64encode(b"o" * 32).decode()
    headers = signed_headers(MESSAGE, AT_S, BODY, SECRET, previous=old)
    assert headers["webhook-signature"].split(" ")[0] == SIGNATURE
    assert len(headers["webhook-signature"].split(" ")) == 2
    assert verifies(headers, BODY, key_of(SECRET))
    assert verifies(headers, BODY, key_of(old))
    for none in ("too short", SECRET, "whsec_?"):
        assert signed_headers(MESSAGE, AT_S, BODY, SECRET, previous=none)["webhook-signature"] == SIGNATURE
