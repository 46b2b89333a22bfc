"""Signed notes: text with signature lines under it (C2SP signed-note), the envelope of every checkpoint.

    the text, ending in a newline
                                                        (an empty line)
    — key.name base64(4-byte key id || signature)       (one or more)

Reading is strict: there is one way to write a note, and everything else is refused. A note's text must not be used before
`open_note` has found a good signature of a known key on it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from assent._lazy import compiled_when_asked
from assent.errors import InputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

NOTE_BYTES_MAX: Final = 1_000_000
SIGNATURES_MAX: Final = 100
ED25519_KEY_BYTES: Final = 32

PRIVATE_KEY_PREFIX: Final = "PRIVATE+KEY+"
"""How the text form of a private key begins."""

_DASH: Final = "— "
_CONTROL: Final = compiled_when_asked(r"[\x00-\x09\x0b-\x1f]")
"""What no note may hold: ASCII control characters other than the newline."""


class KeyType(IntEnum):
    """The first byte of a public key: how the key signs."""

    ED25519 = 0x01
    """The note's text, with Ed25519 (signed-note)."""
    COSIGNATURE_V1 = 0x04
    """A timestamped statement about a checkpoint, with Ed25519 (tlog-cosignature)."""
    COSIGNATURE_ML_DSA_44 = 0x06
    """A timestamped statement about a checkpoint, with ML-DSA-44 (tlog-cosignature)."""


class Verifier(Protocol):
    """A public key that can check one kind of signature."""

    @property
    def name(self) -> str: ...

    @property
    def key_id(self) -> bytes:
        """4 bytes."""
        ...

    def verify(self, text: str, signature: bytes) -> bool:
        """Whether `signature` is this key's signature on a note's text."""
        ...


class Signer(Protocol):
    """The port behind which a private key lives: in a file (`Ed25519FileSigner`), an agent, or hardware.

    Signing the same message twice is harmless. An implementation raises `AssentError` when the key can't be used.
    """

    @property
    def name(self) -> str:
        """The key's name; the origin of the log that it signs for."""
        ...

    @property
    def vkey(self) -> str:
        """The public key in its text form."""
        ...

    def sign(self, message: bytes) -> bytes: ...

    def derive(self, purpose: bytes) -> bytes:
        """32 bytes that follow from the key and the purpose, and that nobody without the key can know."""
        ...


class Signature(msgspec.Struct, frozen=True):
    """One signature line. `key_id` is a hint for finding the key, not a proof of anything."""

    name: str
    key_id: bytes
    signature: bytes

    def line(self) -> str:
        """The line, with its newline."""
        return f"{_DASH}{self.name} {_b64(self.key_id + self.signature)}\n"


class UnverifiedNote(msgspec.Struct, frozen=True):
    """A note that is well-formed; nobody has checked who signed it."""

    text: str
    signatures: tuple[Signature, ...]


class Note(msgspec.Struct, frozen=True):
    """A note with at least one good signature of a known key. `unverified` are those of keys that nobody gave us."""

    text: str
    verified: tuple[Signature, ...]
    unverified: tuple[Signature, ...]


def key_id(name: str, public_key: bytes) -> bytes:
    """The 4-byte id of a key; `public_key` begins with its type byte."""
    return sha256(name.encode() + b"\n" + public_key).digest()[:4]


def format_vkey(name: str, public_key: bytes) -> str:
    """A public key as text, `name+hex(id)+base64(type || key)`: what people copy, compare and configure."""
    return f"{name}+{key_id(name, public_key).hex()}+{_b64(public_key)}"


def split_vkey(vkey: str) -> tuple[str, bytes]:
    """The name and the public key (type byte first) of a vkey; `InputError` `KEY_INVALID` when its id does not fit."""
    if vkey.lstrip().startswith(PRIVATE_KEY_PREFIX):
        # INVARIANT: no message quotes what was given for a key: it may be a private one, or a part of it.
        raise InputError(
            "KEY_INVALID",
            "this is a private key where a public one is expected",
            hint="give the line of `ledger.vkey`, which `assent audit export` writes; keep the private key to yourself",
        )
    name, _, rest = vkey.partition("+")
    id_text, _, key_text = rest.partition("+")
    public_key = _unb64(key_text)
    if not is_key_name(name) or not public_key or id_text != key_id(name, public_key).hex():
        raise InputError(
            "KEY_INVALID",
            "what was given is not a public key of the form `name+id+base64`",
            hint="copy the whole line that `assent audit export` wrote to `ledger.vkey`",
        )
    return name, public_key


def is_key_name(name: str) -> bool:
    """Whether a key may bear this name: not empty, no spaces of any script, no plus sign, no control characters."""
    return bool(name) and "+" not in name and not any(char.isspace() or char < " " for char in name)


class Ed25519Verifier(msgspec.Struct, frozen=True):
    """Checks plain Ed25519 note signatures (type 0x01)."""

    name: str
    public_key: bytes
    """32 bytes, without the type byte."""

    @property
    def key_id(self) -> bytes:
        """4 bytes."""
        return key_id(self.name, bytes([KeyType.ED25519]) + self.public_key)

    @property
    def vkey(self) -> str:
        """The key in its text form."""
        return format_vkey(self.name, bytes([KeyType.ED25519]) + self.public_key)

    @classmethod
    def from_vkey(cls, vkey: str) -> Ed25519Verifier:
        """The verifier of a public key in its text form; `InputError` `KEY_INVALID` for another type of key."""
        name, public_key = split_vkey(vkey)
        if public_key[0] != KeyType.ED25519 or len(public_key) != 1 + ED25519_KEY_BYTES:
            raise InputError("KEY_INVALID", f"the key of `{name}` is not an Ed25519 key")
        return cls(name, public_key[1:])

    def verify(self, text: str, signature: bytes) -> bool:
        """Whether `signature` (64 bytes) is this key's on the text."""
        return ed25519_verifies(self.public_key, signature, text.encode())


@lru_cache(maxsize=16)
def _loaded(public_key: bytes) -> Ed25519PublicKey:
    """The key as OpenSSL keeps it; a ledger has thousands of signatures by few keys. `ValueError` for what is no point."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(public_key)


def ed25519_verifies(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether an Ed25519 signature is good (RFC 8032 §5.1.7); false as well for a public key that is no point."""
    # Imported late: loading OpenSSL costs 15 ms, and most commands sign and verify nothing.
    from cryptography.exceptions import InvalidSignature

    try:
        _loaded(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def sign_note(text: str, *signers: Signer) -> str:
    """The note with one signature line per signer, in this order. `ValueError` for a text that no note can hold."""
    if not text.endswith("\n") or _CONTROL.search(text):
        message = "a note's text ends in a newline and holds no other control character"
        raise ValueError(message)
    lines = []
    for signer in signers:
        name, public_key = split_vkey(signer.vkey)
        lines.append(Signature(name, key_id(name, public_key), signer.sign(text.encode())).line())
    return f"{text}\n{''.join(lines)}"


def parse_note(note: bytes | str) -> UnverifiedNote:
    """The parts of a note; `InputError` `NOTE_MALFORMED` for anything but the one form."""
    data = note if isinstance(note, bytes) else note.encode(errors="surrogatepass")
    if len(data) > NOTE_BYTES_MAX:
        raise _malformed(f"is longer than {NOTE_BYTES_MAX} bytes")
    try:
        source = data.decode()
    except UnicodeDecodeError:
        raise _malformed("is not UTF-8") from None
    if _CONTROL.search(source):
        raise _malformed("holds a control character")
    # The last empty line separates, because the text may have empty lines of its own.
    text, separator, tail = source.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise _malformed("has no signature lines under an empty line, or no newline at its end")
    lines = tail[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise _malformed(f"has more than {SIGNATURES_MAX} signatures")
    return UnverifiedNote(text + "\n", tuple(_parse_signature(line) for line in lines))


def open_note(note: bytes | str, verifiers: Sequence[Verifier]) -> Note:
    """The note, after checking the signature of every known key on it.

    Signatures of unknown keys are set aside, as the specification demands. Raises `InputError`: `NOTE_MALFORMED`;
    `SIGNATURE_INVALID` when a known key's signature is wrong; `SIGNATURE_MISSING` when no known key has signed.
    """
    parsed = parse_note(note)
    known: dict[tuple[str, bytes], list[Verifier]] = {}
    for verifier in verifiers:
        known.setdefault((verifier.name, verifier.key_id), []).append(verifier)
    verified: dict[tuple[str, bytes], Signature] = {}
    unverified: dict[Signature, None] = {}
    for signature in parsed.signatures:
        identity = (signature.name, signature.key_id)
        if identity not in known:
            unverified[signature] = None
        elif len(known[identity]) > 1:
            raise InputError(
                "KEY_INVALID", f"two different keys are called `{signature.name}` with the same id"
            )
        elif identity not in verified:
            if not known[identity][0].verify(parsed.text, signature.signature):
                raise InputError(
                    "SIGNATURE_INVALID",
                    f"the signature of `{signature.name}` does not fit the text",
                    hint="the text was changed after it was signed, or somebody else signed under this name",
                )
            verified[identity] = signature
    if not verified:
        raise InputError(
            "SIGNATURE_MISSING",
            "none of the known keys has signed this",
            hint="check that the key belongs to this ledger",
            details={"signed_by": [signature.name for signature in parsed.signatures]},
        )
    return Note(parsed.text, tuple(verified.values()), tuple(unverified))


def _parse_signature(line: str) -> Signature:
    name, separator, encoded = line.removeprefix(_DASH).partition(" ")
    blob = _unb64(encoded)
    if not line.startswith(_DASH) or not separator or not is_key_name(name) or len(blob) < 5:
        raise _malformed(f"has a line that is not a signature, `{_shorten(line)}`")
    return Signature(name, blob[:4], blob[4:])


def _malformed(fault: str) -> InputError:
    return InputError("NOTE_MALFORMED", f"the signed note {fault}")


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unb64(text: str) -> bytes:
    """The bytes, or none at all unless `text` is exactly how they are written (RFC 4648 §3.5: no stray trailing bits)."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return data if _b64(data) == text else b""


def _shorten(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
