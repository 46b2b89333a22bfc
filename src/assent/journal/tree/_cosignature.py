"""Cosignatures: a witness says that a checkpoint is the largest it has seen of a log (C2SP tlog-cosignature).

Two kinds: Ed25519 over two header lines and the note's text; ML-DSA-44 over a binary structure that also names the cosigner.
A log may use the second kind to sign its own checkpoints. We verify both and make the first.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, Protocol

from assent.errors import InputError
from assent.journal.tree._checkpoint import Checkpoint
from assent.journal.tree._note import (
    ED25519_KEY_BYTES,
    Ed25519Verifier,
    KeyType,
    Signature,
    Verifier,
    ed25519_verifies,
    format_vkey,
    key_id,
    split_vkey,
)

ML_DSA_44_KEY_BYTES: Final = 1312
TIMESTAMP_MAX: Final = 2**63 - 1
_LABEL: Final = b"subtree/v1\n\x00"


@dataclass(frozen=True, slots=True)
class CosignatureVerifier:
    """Checks timestamped cosignatures of one cosigner, of either kind."""

    name: str
    key_type: KeyType
    public_key: bytes
    """32 bytes (Ed25519) or 1312 bytes (ML-DSA-44), without the type byte."""

    @property
    def key_id(self) -> bytes:
        """4 bytes."""
        return key_id(self.name, bytes([self.key_type]) + self.public_key)

    def verify(self, text: str, signature: bytes) -> bool:
        """Whether `signature` (8 bytes of time, then the signature) is this cosigner's on the checkpoint `text`."""
        if len(signature) < 8:
            return False
        timestamp = int.from_bytes(signature[:8], "big")
        if timestamp > TIMESTAMP_MAX:
            return False
        if self.key_type is KeyType.COSIGNATURE_V1:
            return ed25519_verifies(self.public_key, signature[8:], cosignature_v1_message(text, timestamp))
        try:
            checkpoint = Checkpoint.parse(text)
            message = _subtree_message(self.name, timestamp, checkpoint)
        except (InputError, ValueError):
            return False
        return ml_dsa_44_verifies(self.public_key, signature[8:], message)


def verifier_from_vkey(vkey: str) -> Verifier:
    """The verifier of a public key of any kind that we can check; `InputError` `KEY_INVALID` for the others."""
    name, public_key = split_vkey(vkey)
    kind, material = public_key[0], public_key[1:]
    if kind == KeyType.COSIGNATURE_V1 and len(material) == ED25519_KEY_BYTES:
        return CosignatureVerifier(name, KeyType.COSIGNATURE_V1, material)
    if kind == KeyType.COSIGNATURE_ML_DSA_44 and len(material) == ML_DSA_44_KEY_BYTES:
        return CosignatureVerifier(name, KeyType.COSIGNATURE_ML_DSA_44, material)
    return Ed25519Verifier.from_vkey(vkey)


class CosigningKey(Protocol):
    """An Ed25519 private key that cosigns; `Ed25519FileSigner` is one."""

    @property
    def public_key(self) -> bytes: ...

    def sign(self, message: bytes) -> bytes: ...


def cosign_v1(text: str, *, name: str, key: CosigningKey, timestamp_s: int) -> Signature:
    """An Ed25519 cosignature on a checkpoint's text at `timestamp_s` (seconds since the Unix epoch).

    The cosigner must have checked consistency with what it signed before: see `assent.journal.tree._witness.judge`. Its key must
    not sign anything else, because the message does not name the cosigner.
    """
    signature = key.sign(cosignature_v1_message(text, timestamp_s))
    identity = key_id(name, bytes([KeyType.COSIGNATURE_V1]) + key.public_key)
    return Signature(name, identity, timestamp_s.to_bytes(8, "big") + signature)


def cosigner_vkey(name: str, public_key: bytes) -> str:
    """The text form of an Ed25519 cosigner's key."""
    return format_vkey(name, bytes([KeyType.COSIGNATURE_V1]) + public_key)


def cosignature_v1_message(text: str, timestamp_s: int) -> bytes:
    """What an Ed25519 cosigner signs."""
    return f"cosignature/v1\ntime {timestamp_s}\n{text}".encode()


def ml_dsa_44_verifies(public_key: bytes, signature: bytes, message: bytes, *, context: bytes = b"") -> bool:
    """Whether an ML-DSA-44 signature is good (FIPS 204, pure)."""
    # Imported late, as in `ed25519_verifies`.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

    try:
        MLDSA44PublicKey.from_public_bytes(public_key).verify(signature, message, context)
    except (InvalidSignature, ValueError):
        return False
    return True


def _subtree_message(cosigner: str, timestamp: int, checkpoint: Checkpoint) -> bytes:
    name, origin = cosigner.encode(), checkpoint.origin.encode()
    if len(name) > 255 or len(origin) > 255:
        message = "names in a cosigned message have at most 255 bytes"
        raise ValueError(message)
    return b"".join(
        (
            _LABEL,
            bytes([len(name)]),
            name,
            struct.pack(">Q", timestamp),
            bytes([len(origin)]),
            origin,
            struct.pack(">QQ", 0, checkpoint.size),
            checkpoint.root,
        )
    )
