"""Records sealed one by one (AES-256-GCM), each bound to its tenant, its repository, its key and its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from assent.errors import InputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
SEALED: Final = b"AK1\0"
PLAIN: Final = b"AK0\0"
"""What a sealed record begins with, and one of a store that is not encrypted."""
_NONCE_BYTES: Final = 12
_HEAD_BYTES: Final = len(SEALED) + 4 + _NONCE_BYTES


def digest_of(text: str) -> bytes:
    """What stands for a name: 32 bytes, whatever is in it."""
    return sha256(text.encode()).digest()


class Sealer:
    """Seals and opens records of one tenant. `keys`: by number, the last being the one that seals; none: nothing is sealed.

    `salt` gives 16 bytes that nobody can know, never the same twice.
    """

    def __init__(self, tenant: bytes, keys: Mapping[int, bytes], salt: Callable[[], bytes]) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._tenant = tenant
        self._salt = salt
        self._keys: dict[int, AESGCM] = {number: AESGCM(key) for number, key in keys.items()}
        self.current = max(keys, default=0)
        """The number of the key that seals; 0: none."""

    def seal(self, data: bytes, repository: bytes, place: bytes) -> bytes:
        """A record, to be opened for the same repository and place alone."""
        if not self.current:
            return PLAIN + data
        nonce = self._salt()[:_NONCE_BYTES]
        head = SEALED + self.current.to_bytes(4, "big")
        return (
            head
            + nonce
            + self._keys[self.current].encrypt(nonce, data, head + self._tenant + repository + place)
        )

    def open(self, record: bytes, repository: bytes, place: bytes) -> bytes:
        """What was sealed. `InputError` `KNOWLEDGE_RECORD_REFUSED`: it was changed, or is another's."""
        if not self.current and record.startswith(PLAIN):
            return record[len(PLAIN) :]
        key = self._keys.get(self.key_of(record))
        if key is not None:
            from cryptography.exceptions import InvalidTag

            head, nonce = record[:8], record[8:_HEAD_BYTES]
            try:
                return key.decrypt(nonce, record[_HEAD_BYTES:], head + self._tenant + repository + place)
            except (InvalidTag, ValueError):
                pass
        raise InputError(
            "KNOWLEDGE_RECORD_REFUSED",
            "a record of the store was changed, or belongs to another tenant, repository, key or place",
            hint="erase the tenant (`assent knowledge erase`) and index again; find out who could write to the state directory",
        )

    def key_of(self, record: bytes) -> int:
        """The number of the key that a record says it is sealed with; 0: with none, or it is no record."""
        return int.from_bytes(record[4:8], "big") if record.startswith(SEALED) else 0

    def is_known(self, record: bytes) -> bool:
        """Whether the record's key is here."""
        return self.key_of(record) in self._keys or record.startswith(PLAIN)
