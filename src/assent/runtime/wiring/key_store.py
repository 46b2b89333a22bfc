"""API keys: what one looks like, and where its digest is kept.

A key is `ID_SECRET`: the id names it in lists and in the record, the secret has 256 bits of chance. A file of its own in the
state directory keeps the SHA-256 of the whole. That needs no salt and no slow function: what is hashed can't be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from base64 import b32encode
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from assent._lazy import compiled_when_asked
from assent.errors import AssentError, InputError
from assent.journal import state_unusable
from assent.runtime.wiring._secret_files import read_secret_file, write_secret_file
from assent.spec.ports import Entropy
from assent.spec.values.typed import decode

BY_KEY: Final = "api_key:"
"""What stands before a key's id where the record says who somebody is."""

KEYS_MAX: Final = 10_000
"""Keys of one state directory, those that have ended among them."""

_ID: Final = compiled_when_asked(r"ak_[a-z2-7]{16}\Z", re.ASCII)
_KEY: Final = compiled_when_asked(r"(ak_[a-z2-7]{16})_[a-z2-7]{52}\Z", re.ASCII)
_NO_DIGEST: Final = "0" * 64


class NewKey(msgspec.Struct, frozen=True):
    """A key that was just made: nobody else has seen it."""

    text: str
    id: str

    @property
    def digest(self) -> str:
        """See `digest_of`."""
        return digest_of(self.text)

    def __repr__(self) -> str:
        return f"NewKey(id={self.id!r})"


def new_key(entropy: Entropy) -> NewKey:
    """A key that nobody has had."""
    ident = f"ak_{_letters(entropy.salt()[:10])}"
    return NewKey(f"{ident}_{_letters(entropy.salt() + entropy.salt())}", ident)


def _letters(data: bytes) -> str:
    return b32encode(data).decode().rstrip("=").lower()


def digest_of(text: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(text.encode()).hexdigest()


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a key."""

    id: str
    digest: str
    name: str
    principal: str
    scopes: frozenset[str]
    created_ms: int
    created_by: str
    expires_ms: int | None = None
    revoked_ms: int | None = None
    configured: bool = False
    """The configuration named its principal when it was made: a key outlives no principal."""

    def status(self, now_ms: int) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_ms is not None:
            return "revoked"
        return "active" if self.expires_ms is None or now_ms < self.expires_ms else "expired"


class KeyStore:
    """The keys of one state directory, each in a file that only its owner can read. Only the state's owner changes them."""

    def __init__(self, state: Path) -> None:
        self._folder = Path(os.path.realpath(state)) / "keys"  # of a link to itself nothing is made yet

    def find(self, ident: str) -> Key | None:
        """The key of this id. `KEYS_INVALID` for a file that can't be believed."""
        if _ID.match(ident) is None:
            return None
        path = self._folder / f"{ident}.json"
        try:
            text = read_secret_file(path)
            found = None if text is None else decode(text, Key)
        except (AssentError, ValueError) as error:
            raise InputError(
                "KEYS_INVALID", f"a key's file can't be believed: {str(error)[:200]}", path=str(path)
            ) from None
        if found is not None and found.id != ident:
            raise InputError("KEYS_INVALID", "a key's file is another key's", path=str(path))
        return found

    def all(self) -> list[Key]:
        """All of them, the oldest first; KEYS_INVALID."""
        found = [key for ident in self._idents() if (key := self.find(ident)) is not None]
        return sorted(found, key=lambda key: (key.created_ms, key.id))

    def write(self, key: Key) -> None:
        """Keep a key; durable when this returns. `STATE_UNUSABLE`, `DISK_FULL`."""
        try:
            write_secret_file(
                self._folder / f"{key.id}.json", msgspec.json.encode(key, order="sorted").decode()
            )
        except OSError as error:
            raise state_unusable(self._folder.parent, error) from error

    def count(self) -> int:
        """How many there are."""
        return sum(1 for _ in self._idents())

    def presented(self, text: str) -> Key | None:
        """The key that this text is, ended or not. As much is done for an id that nobody has as for a wrong secret."""
        form = _KEY.match(text)
        found = self.find(form[1]) if form is not None else None
        is_it = hmac.compare_digest(found.digest if found is not None else _NO_DIGEST, digest_of(text))
        return found if is_it else None

    def _idents(self) -> Iterator[str]:
        try:
            yield from (path.stem for path in self._folder.iterdir() if path.suffix == ".json")
        except FileNotFoundError:
            return
