"""Where the master keys of knowledge are kept: the system's keychain, files under a passphrase, or plain ones of mode 0600."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Final

from assent.errors import InputError
from assent.runtime.wiring._secret_files import read_secret_file, write_secret_file
from assent.runtime.wiring._secret_sources import asked, keychain
from assent.spec.ports import Entropy

KEYCHAIN_SERVICE: Final = "assent-knowledge"
_KEY_BYTES: Final = 32
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_SEALED_BYTES: Final = _SALT_BYTES + _NONCE_BYTES + _KEY_BYTES + 16
_SCRYPT_COST: Final = 1 << 17
"""With blocks of 1 KiB: 128 MiB and half a second for each guess (RFC 7914)."""


class KeychainKeys:
    """Keys in the system's keychain (extra `keyring`)."""

    def load(self, name: str) -> bytes | None:
        found: str | None = asked(name, lambda: keychain(name).get_password(KEYCHAIN_SERVICE, name))
        return None if found is None else _decoded(found, name, _KEY_BYTES)

    def keep(self, name: str, key: bytes) -> None:
        text = base64.b64encode(key).decode()
        asked(name, lambda: keychain(name).set_password(KEYCHAIN_SERVICE, name, text))

    def destroy(self, name: str) -> None:
        if self.load(name) is not None:
            asked(name, lambda: keychain(name).delete_password(KEYCHAIN_SERVICE, name))


class FileKeys:
    """Keys in a folder of files with mode 0600."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, name: str) -> bytes | None:
        found = read_secret_file(self._path(name))
        return None if found is None else self._opened(found, name)

    def keep(self, name: str, key: bytes) -> None:
        write_secret_file(self._path(name), base64.b64encode(self._closed(key, name)).decode())

    def destroy(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.key"

    def _opened(self, text: str, name: str) -> bytes:
        key = _decoded(text, name, _KEY_BYTES, _SEALED_BYTES)
        if len(key) != _KEY_BYTES:
            raise InputError(
                "KNOWLEDGE_KEY_WRONG",
                "the master key is sealed under a passphrase, and assent.toml names none",
                path=str(self._path(name)),
                hint="name the file of the passphrase: `passphrase_file` under `[knowledge]`",
            )
        return key

    def is_plain(self, name: str) -> bool:
        """Whether the file of a key, of which `load` made one, opens it without anything else."""
        return len(base64.b64decode(read_secret_file(self._path(name)) or "")) == _KEY_BYTES

    def _closed(self, key: bytes, _name: str) -> bytes:
        return key


class PassphraseKeys(FileKeys):
    """The same, each sealed under a passphrase (scrypt, AES-256-GCM): for servers, where the passphrase comes from elsewhere."""

    def __init__(self, folder: Path, passphrase: str, entropy: Entropy) -> None:
        super().__init__(folder)
        self._passphrase = passphrase.encode()
        self._entropy = entropy
        self._known: dict[bytes, bytes] = {}

    def _opened(self, text: str, name: str) -> bytes:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        data = _decoded(text, name, _KEY_BYTES, _SEALED_BYTES)
        if len(data) == _KEY_BYTES:
            return data  # It is from before there was a passphrase; the next one that is kept is sealed.
        salt, nonce, sealed = (
            data[:_SALT_BYTES],
            data[_SALT_BYTES:][:_NONCE_BYTES],
            data[_SALT_BYTES + _NONCE_BYTES :],
        )
        try:
            return AESGCM(self._key(salt)).decrypt(nonce, sealed, name.encode())
        except InvalidTag:
            raise InputError(
                "KNOWLEDGE_KEY_WRONG",
                "the passphrase does not open the master key",
                path=str(self._path(name)),
                hint="use the passphrase with which the store was made",
            ) from None

    def _closed(self, key: bytes, name: str) -> bytes:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        salt, nonce = self._entropy.salt(), self._entropy.salt()[:_NONCE_BYTES]
        return salt + nonce + AESGCM(self._key(salt)).encrypt(nonce, key, name.encode())

    def _key(self, salt: bytes) -> bytes:
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

        # It takes half a second on purpose, and a store asks for its master at each opening and change of keys.
        if salt not in self._known:
            scrypt = Scrypt(salt=salt, length=_KEY_BYTES, n=_SCRYPT_COST, r=8, p=1)
            self._known[salt] = scrypt.derive(self._passphrase)
        return self._known[salt]


def private_key(path: Path) -> bytes:
    """The 32 bytes of the X25519 private key in a file of mode 0600 (PEM).

    `InputError` `KNOWLEDGE_RECIPIENT_INVALID`, `SECRET_FILE_UNSAFE`; it quotes nothing of it.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    text = read_secret_file(path)
    try:
        key = None if text is None else load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, X25519PrivateKey):
        raise InputError(
            "KNOWLEDGE_RECIPIENT_INVALID",
            "there is no such file"
            if text is None
            else "the file holds no X25519 private key in PEM form without a passphrase",
            path=str(path),
            hint="name the file that `openssl genpkey -algorithm X25519` made",
        )
    return key.private_bytes_raw()


def _decoded(text: str, name: str, *sizes: int) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in sizes:
        # The message never quotes the text: it may be most of a key.
        raise InputError(
            "KNOWLEDGE_KEY_WRONG",
            f"what is kept as `{name}` is not a key",
            hint="put the key back from a backup",
        )
    return key
