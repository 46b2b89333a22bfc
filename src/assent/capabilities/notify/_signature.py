"""The signature of a webhook: HMAC-SHA256 over `ID.TIMESTAMP.BODY`, as Standard Webhooks 1.0.0 says ("Signature scheme")."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from contextlib import suppress
from typing import Final

from assent.errors import InputError

PREFIX: Final = "whsec_"
KEY_BYTES_MIN: Final = 24
"""What the specification asks of a signing secret at least (192 bits)."""


def signed_headers(
    delivery: str, at_s: int, body: bytes, secret: str, *, previous: str | None = None
) -> dict[str, str]:
    """The three headers of one attempt; `at_s` is its time in whole seconds since 1970. WEBHOOK_SECRET_INVALID.

    `previous` is the secret that was replaced: until the receiver has the new one, it verifies the second signature.
    """
    content = b".".join((delivery.encode("ascii"), str(at_s).encode(), body))
    keys = [key_of(secret)]
    if previous is not None:
        # One that is no key has never signed anything, and nobody waits for it.
        with suppress(InputError):
            keys.append(key_of(previous))
    digests = (hmac.new(key, content, hashlib.sha256).digest() for key in dict.fromkeys(keys))
    return {
        "webhook-id": delivery,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }


def key_of(secret: str) -> bytes:
    """The key that a secret's text stands for: behind `whsec_` base64, otherwise its UTF-8 bytes. WEBHOOK_SECRET_INVALID."""
    secret = secret.strip()
    if secret.startswith(PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            # The text is told nobody, and neither is what the library found wrong with it.
            raise _invalid("is no base64 behind `whsec_`") from None
    else:
        key = secret.encode()
    if len(key) < KEY_BYTES_MIN:
        raise _invalid(f"is shorter than {KEY_BYTES_MIN} bytes")
    return key


def _invalid(why: str) -> InputError:
    return InputError(
        "WEBHOOK_SECRET_INVALID",
        f"the secret that signs the webhook {why}",
        hint="take `whsec_` and the base64 of 32 random bytes, the same as the receiver has",
    )
