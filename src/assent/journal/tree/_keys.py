"""The ledger's signing key: an Ed25519 key in a file that nobody but its owner can read.

The file holds one line in the text form of signed notes, `PRIVATE+KEY+name+id+base64`, so that other tools can use it. Whoever
has this file can rewrite the ledger unnoticed by anybody without a kept checkpoint; it should not lie beside the ledger.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assent.errors import InputError, WorldError, exhausted
from assent.journal.tree._note import PRIVATE_KEY_PREFIX, KeyType, format_vkey, is_key_name, key_id

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

DEFAULT_KEY_NAME: Final = "assent.local/ledger"
_SEED_BYTES: Final = 32
_FILE_BYTES_MAX: Final = 4096


class Ed25519FileSigner:
    """A `Signer` whose private key was read from a file. The key never appears in its `repr`."""

    __slots__ = ("_key", "_name", "_public")

    def __init__(self, name: str, seed: bytes) -> None:
        # Imported late: loading OpenSSL costs 15 ms, and most commands sign nothing.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if not is_key_name(name):
            raise InputError(
                "KEY_INVALID", f"`{name}` can't name a key: it is empty or has spaces or a plus sign"
            )
        self._name = name
        self._key: Ed25519PrivateKey = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._key.public_key().public_bytes_raw()

    @property
    def name(self) -> str:
        """The key's name."""
        return self._name

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        return self._public

    @property
    def vkey(self) -> str:
        """The public key in its text form, safe to show and to share."""
        return format_vkey(self._name, bytes([KeyType.ED25519]) + self._public)

    def __repr__(self) -> str:
        return f"Ed25519FileSigner({self.vkey!r})"

    def named(self, name: str) -> Ed25519FileSigner:
        """The same key under another name: a key's name says for which log it signs, and one key may keep several."""
        return Ed25519FileSigner(name, self._key.private_bytes_raw())

    def derive(self, purpose: bytes) -> bytes:
        """32 bytes that only who has this key can know, unlike those of any other purpose: HKDF-SHA256 (RFC 5869)."""
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return HKDF(SHA256(), 32, salt=None, info=purpose).derive(self._key.private_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature, 64 bytes; the same for the same message."""
        return self._key.sign(message)

    @classmethod
    def open(cls, path: Path) -> Ed25519FileSigner:
        """The key in an existing file.

        Raises `InputError` `KEY_PERMISSIONS` when others may read it, `KEY_INVALID` when it is not a key, and `WorldError`
        `KEY_UNREADABLE` when it can't be read at all.
        """
        try:
            return cls._open(path)
        except FileNotFoundError as error:
            hint = "say where the key is: `[ledger] key` in assent.toml; to verify, the public key is enough: `--key`"
            raise _unreadable(path, error, hint) from error

    @classmethod
    def _open(cls, path: Path) -> Ed25519FileSigner:
        return cls(*_parse_skey(_read_private(path), path))

    @classmethod
    def open_or_create(cls, path: Path, *, name: str = DEFAULT_KEY_NAME) -> Ed25519FileSigner:
        """The key in the file, or a new one written there with mode 0600; durable when this returns.

        Two processes that create the same file end up with the same key. A crash half-way leaves no file under this name.
        Raises what `open` raises, and `WorldError` `KEY_UNREADABLE` when the file can't be created.
        """
        try:
            return cls._open(path)
        except FileNotFoundError:
            pass
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        seed = Ed25519PrivateKey.generate().private_bytes_raw()
        signer = cls(name, seed)
        _create_private(path, format_skey(name, seed, signer.public_key) + "\n")
        return cls.open(path)


def format_skey(name: str, seed: bytes, public_key: bytes) -> str:
    """A private key as text, as `golang.org/x/mod/sumdb/note` writes it; the id is that of the public key."""
    identity = key_id(name, bytes([KeyType.ED25519]) + public_key)
    return f"{PRIVATE_KEY_PREFIX}{name}+{identity.hex()}+{base64.b64encode(bytes([KeyType.ED25519]) + seed).decode()}"


def _parse_skey(text: str, path: Path) -> tuple[str, bytes]:
    # The message never quotes the text: it may be most of a private key.
    invalid = InputError(
        "KEY_INVALID",
        "this is not a private key of the form `PRIVATE+KEY+name+id+base64`",
        path=str(path),
        hint="restore the key from a backup; a new key can't continue this ledger's signatures",
    )
    line = text.removesuffix("\n")
    name, _, rest = line.removeprefix(PRIVATE_KEY_PREFIX).partition("+")
    identity, _, encoded = rest.partition("+")
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise invalid from None
    if (
        not line.startswith(PRIVATE_KEY_PREFIX)
        or len(key) != 1 + _SEED_BYTES
        or key[0] != KeyType.ED25519
        or not is_key_name(name)
    ):
        raise invalid
    public = Ed25519FileSigner(name, key[1:]).public_key
    if identity != key_id(name, bytes([KeyType.ED25519]) + public).hex():
        raise invalid
    return name, key[1:]


def _read_private(path: Path) -> str:
    try:
        # O_NONBLOCK: a FIFO put in the key's place must not hang us before we have seen that it is no file.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        status = os.fstat(descriptor)  # of the file that is open, not of whatever bears its name by now
        if not stat.S_ISREG(status.st_mode) or status.st_size > _FILE_BYTES_MAX:
            raise InputError("KEY_INVALID", "the key file is not a small regular file", path=str(path))
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise InputError(
                "KEY_PERMISSIONS",
                f"the key file may be used by others (mode {stat.S_IMODE(status.st_mode):04o})",
                path=str(path),
                hint=f"if nobody has read it: chmod 600 {path}",
            )
        return os.read(descriptor, _FILE_BYTES_MAX).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("KEY_INVALID", "the key file is not text", path=str(path)) from None
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(descriptor)


def _create_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read, or leave the one that another process was first to write."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A complete file appears under its name in one step, because `link` refuses to replace one that exists.
        draft = path.with_name(f".{path.name}.{os.getpid()}.new")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(descriptor)
            try:
                os.link(draft, path)
            except FileExistsError:
                return
        finally:
            draft.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError, hint: str | None = None) -> WorldError:
    return exhausted(error) or WorldError(
        "KEY_UNREADABLE",
        f"the key file can't be used: {(error.strerror or 'unknown').lower()}",
        path=str(path),
        hint=hint,
    )
