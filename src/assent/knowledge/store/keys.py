"""The keys of a store: a master in a place of its own (keychain, passphrase, file) wraps random keys in a file beside it.

    master (KeySource) ── wraps ──┬── the file's key: SQLCipher encrypts every page with it
                                  └── the records' keys, by number: the last seals, earlier ones open what is not sealed anew yet

All are random, 256 bits. Without the master nothing of a tenant can be read ever again: destroying it is what erasing rests on.
For whoever may recover it (nobody unless asked for) it is sealed once more, for an X25519 key (HPKE, RFC 9180).
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Protocol, TypeAlias

import msgspec

from assent.errors import InputError
from assent.knowledge.store._faults import storage_failed, told
from assent.spec.values.typed import convert, decode

if TYPE_CHECKING:
    from cryptography.hazmat.primitives import hpke

KEYS_VERSION: Final = 1
MASTERS_MAX: Final = 1_000
"""So many are destroyed where nothing says which one there is."""
KEYS_BYTES_MAX: Final = 1 << 20
_NONCE_BYTES: Final = 12


class KeySource(Protocol):
    """Where masters are kept: the system's keychain, a file under a passphrase, or one that only its owner may read."""

    def load(self, name: str) -> bytes | None:
        """32 bytes, or None when there is no key of that name. Raises an error of ours when that can't be said."""

    def keep(self, name: str, key: bytes) -> None:
        """Keep a key, durably, in place of any of that name."""

    def destroy(self, name: str) -> None:
        """Have no key of that name any more; where there is none, do nothing."""


class MemoryKeys:
    """A source that forgets all when the process ends."""

    def __init__(self) -> None:
        self._keys: dict[str, bytes] = {}

    def load(self, name: str) -> bytes | None:
        return self._keys.get(name)

    def keep(self, name: str, key: bytes) -> None:
        self._keys[name] = key

    def destroy(self, name: str) -> None:
        self._keys.pop(name, None)


_Mark: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]*\Z", max_length=16)]


class _Kept(msgspec.Struct, frozen=True):
    keys_version: int
    tenant: str
    master: int
    file: list[str]
    records: dict[str, str]
    escrow: dict[str, str] = {}
    """The master, sealed for each recipient."""
    mark: _Mark = ""
    """In the names of its masters: where they are kept, those of another store of a tenant of this name may be, too."""


class KeyRing:
    """A tenant's keys, as its file of keys has them. What changes them writes the file at once, whole or not at all."""

    def __init__(self, path: Path, tenant: bytes, source: KeySource, salt: Callable[[], bytes]) -> None:
        self._path = path
        self._tenant = tenant
        self._source = source
        self._salt = salt
        self.mark = ""
        self.master = 1
        self.file: list[bytes] = []
        """The file's key; two while it is replaced, the later last."""
        self.records: dict[int, bytes] = {}
        """The records' keys; two while they are replaced."""
        self.recipients: list[str] = []
        """Who can recover the master: X25519 public keys (hex)."""
        self._written: bytes | None = None

    @classmethod
    def open(cls, path: Path, tenant: bytes, source: KeySource, salt: Callable[[], bytes]) -> KeyRing:
        """The keys of a tenant.

        `InputError` `KNOWLEDGE_KEY_MISSING` when the master or the file is not there, `KNOWLEDGE_KEY_WRONG` when the master does
        not fit, `KNOWLEDGE_STORE_FOREIGN` when the file is another tenant's.
        """
        ring = cls(path, tenant, source, salt)
        ring.reload()
        return ring

    @classmethod
    def create(cls, path: Path, tenant: bytes, source: KeySource, salt: Callable[[], bytes]) -> KeyRing:
        """New keys."""
        ring = cls(path, tenant, source, salt)
        ring.mark = ring._marked() or salt()[:8].hex()
        # The lock stays, whatever becomes of the file of keys.
        with told(path):
            path.with_suffix(".lock").write_text(ring.mark)
        ring.file, ring.records = [ring._key()], {1: ring._key()}
        ring._keep_master(ring._key())
        ring.save()
        return ring

    @property
    def is_rotating(self) -> bool:
        """Whether a key is being replaced."""
        return len(self.records) > 1 or len(self.file) > 1

    def reload(self) -> bool:
        """Read the file again, and whether it had changed."""
        document = self._read()
        if document == self._written:
            return False
        kept = _kept(document)
        if kept.tenant != self._tenant.hex():
            raise InputError(
                "KNOWLEDGE_STORE_FOREIGN",
                "the file of the store's keys belongs to another tenant",
                path=str(self._path),
                hint="put the files of this tenant back",
            )
        self.mark = kept.mark
        master = self._load(kept.master)
        if master is None and self._read() != document:
            return self.reload()  # it was replaced meanwhile
        if master is None:
            raise _missing(
                "the master key of the store is not where it is kept (`assent doctor` tells where)"
            )
        self.master = kept.master
        self.file = [self._unwrap(master, self._said("file", kept.escrow), one) for one in kept.file]
        self.records = {
            int(number): self._unwrap(master, self._said(f"record {number}", kept.escrow), one)
            for number, one in kept.records.items()
        }
        self.recipients = [*kept.escrow]
        self._written = document
        return True

    def older(self) -> InputError:
        """What is told where the file is from before the store's last keys; the next time it is read anew."""
        self._written = None
        return InputError(
            "KNOWLEDGE_KEY_WRONG",
            "the file of the store's keys is older than the store",
            path=str(self._path),
            hint="put back the one that was there last: the keys of what was sealed since are in no other",
        )

    def _read(self) -> bytes:
        try:
            return _plain(self._path)
        except FileNotFoundError:
            raise _missing("the file of the store's keys is gone") from None
        except OSError as error:
            raise storage_failed(self._path, error) from error

    def _marked(self) -> str:
        """The mark of the store that is or was in this place."""
        with suppress(OSError, msgspec.ValidationError, UnicodeDecodeError):
            return convert(_plain(self._path.with_suffix(".lock")).decode(), _Mark)
        return ""

    def save(self) -> None:
        """Write the file."""
        master = self._load(self.master)
        assert master is not None, "a ring is made or read with its master"
        kept = _Kept(
            KEYS_VERSION,
            self._tenant.hex(),
            self.master,
            [self._wrap(master, self._said("file", self.recipients), one) for one in self.file],
            {
                str(number): self._wrap(master, self._said(f"record {number}", self.recipients), one)
                for number, one in self.records.items()
            },
            {one: self._sealed_for(master, one) for one in self.recipients},
            self.mark,
        )
        document = msgspec.json.encode(kept)
        draft = self._path.with_suffix(".keys.new")
        with told(self._path):
            draft.unlink(missing_ok=True)
            with os.fdopen(
                os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb"
            ) as file:
                file.write(document)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
            _flush_folder(self._path.parent)
        self._written = document

    @contextmanager
    def _saved(self) -> Iterator[None]:
        """What is changed inside is in the file then; where it can't be, nothing was changed.

        With keys that no file has, all that is sealed from then on would be lost with the process.
        """
        before = self.master, self.file, self.records, self.recipients
        try:
            yield
            self.save()
        except BaseException:
            self.master, self.file, self.records, self.recipients = before
            raise

    def begin_rotation(self) -> None:
        """A new master, and a new key of records and of the file beside the ones of before."""
        with self._saved():
            self.master += 1
            self._keep_master(self._key())
            self.records = {**self.records, max(self.records) + 1: self._key()}
            self.file = [*self.file, self._key()]

    def destroy_former(self) -> None:
        """Have no master of before any more: since a rotation was begun it opens nothing but copies of the file."""
        self._destroy(self.master - 1)

    def end_rotation(self) -> None:
        """Keep the last keys alone."""
        last = max(self.records)
        with self._saved():
            self.records, self.file = {last: self.records[last]}, self.file[-1:]

    def escrow(self, recipients: Sequence[str]) -> None:
        """Have the master sealed for these X25519 public keys (hex, of 32 bytes) and no other, from now on.

        `InputError` `KNOWLEDGE_RECIPIENT_INVALID`.
        """
        with self._saved():
            self.recipients = [*dict.fromkeys(recipients)]

    @classmethod
    def erase(cls, path: Path, tenant: bytes, source: KeySource) -> None:
        """Destroy the master: nothing that was sealed can be opened any more, not even by whom it was wrapped for."""
        ring = cls(path, tenant, source, bytes)
        masters, marked = range(0), ring._marked()
        with suppress(InputError):
            ring.reload()
            masters = range(ring.master - 1, ring.master + 2)
        for number in masters:
            ring._destroy(number)
        if not masters or ring.mark != marked:
            # It is gone, or not what was written here, and a copy may open what the master is kept for.
            ring.mark = marked
            for number in range(1, MASTERS_MAX + 1):
                ring._destroy(number)
        with told(path):
            path.unlink(missing_ok=True)
            _flush_folder(path.parent)

    def _load(self, number: int) -> bytes | None:
        with told(self._path):
            return self._source.load(self._name(number))

    def _keep_master(self, key: bytes) -> None:
        with told(self._path):
            self._source.keep(self._name(self.master), key)

    def _destroy(self, number: int) -> None:
        with told(self._path):
            self._source.destroy(self._name(number))

    def _key(self) -> bytes:
        return self._salt() + self._salt()

    def _name(self, master: int) -> str:
        return _named(self._tenant.hex()[:32], self.mark, master)

    def _said(self, what: str, recipients: Iterable[str] = ()) -> bytes:
        # INVARIANT: no key is read beside recipients that it was not written with. Whoever can write the file, and has no
        # master, would put themselves there, and the next rotation would seal the master for them.
        return b"assent.knowledge key\0" + self._tenant + "\0".join((what, *sorted(recipients))).encode()

    def _wrap(self, master: bytes, said: bytes, key: bytes) -> str:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = self._salt()[:_NONCE_BYTES]
        return base64.b64encode(nonce + AESGCM(master).encrypt(nonce, key, said)).decode()

    def _unwrap(self, master: bytes, said: bytes, wrapped: str) -> bytes:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            data = base64.b64decode(wrapped, validate=True)
            return AESGCM(master).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], said)
        except (InvalidTag, ValueError):
            raise InputError(
                "KNOWLEDGE_KEY_WRONG",
                "the master key does not open the keys of the store",
                path=str(self._path),
                hint="use the keychain or passphrase with which the store was made",
            ) from None

    def _sealed_for(self, master: bytes, recipient: str) -> str:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

        try:
            public = X25519PublicKey.from_public_bytes(bytes.fromhex(recipient))
            return base64.b64encode(_suite().encrypt(master, public, self._said("escrow"))).decode()
        except ValueError:
            raise InputError(
                "KNOWLEDGE_RECIPIENT_INVALID",
                f"`{recipient[:80]}` is no X25519 public key that something can be sealed for",
                hint="give the 32 bytes of one in hexadecimal digits",
            ) from None

    @classmethod
    def recover(cls, path: Path, tenant: bytes, source: KeySource, private: bytes) -> str:
        """Keep the master in a source again, by an X25519 private key (32 bytes) that it was sealed for; the public one of that.

        `InputError` `KNOWLEDGE_KEY_WRONG`: it was sealed for no such key; `KNOWLEDGE_KEY_MISSING`: there is no file of keys.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        ring = cls(path, tenant, source, bytes)
        kept = _kept(ring._read())
        own = X25519PrivateKey.from_private_bytes(private)
        recipient = own.public_key().public_bytes_raw().hex()
        try:
            sealed = base64.b64decode(kept.escrow.get(recipient, ""))
            master = _suite().decrypt(sealed, own, ring._said("escrow"))
            # Anybody can seal one of their own for a recipient: what opens nothing is not kept.
            ring._unwrap(master, ring._said("file", kept.escrow), kept.file[0])
        except (InvalidTag, ValueError):
            raise InputError(
                "KNOWLEDGE_KEY_WRONG",
                "the master key of the store was not sealed for this key",
                path=str(path),
                hint="recovery is off unless it was switched on for a recipient before the key was lost",
            ) from None
        ring.master, ring.mark = kept.master, kept.mark
        ring._keep_master(master)
        ring.reload()
        return recipient


def master_of(path: Path) -> str:
    """As what the master is kept that opens a file of keys. `InputError` where the file is damaged."""
    with told(path):
        kept = _kept(_plain(path))
    return _named(path.stem, kept.mark, kept.master)


def _named(tenant: str, mark: str, master: int) -> str:
    return "-".join(filter(None, ("knowledge", tenant, mark, str(master))))


def _kept(document: bytes) -> _Kept:
    try:
        kept = decode(document, _Kept)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        kept = None
    if kept is None or not kept.file or not kept.records:
        raise InputError(
            "KNOWLEDGE_STORE_DAMAGED",
            "the file of the store's keys is damaged",
            hint="put it back from a backup; without it nothing of the store can be read",
        )
    if kept.keys_version > KEYS_VERSION:
        raise InputError(
            "KNOWLEDGE_STORE_TOO_NEW",
            f"the keys of the store are of version {kept.keys_version}, and this release knows {KEYS_VERSION}",
            hint="use the release of Assent that wrote it, or a later one",
        )
    return kept


def _suite() -> hpke.Suite:
    from cryptography.hazmat.primitives import hpke

    return hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def _plain(path: Path) -> bytes:
    # A pipe in the file's place must not hold us up before it is seen that it is none.
    held = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(held, "rb") as file:
        return file.read(KEYS_BYTES_MAX) if stat.S_ISREG(os.fstat(held).st_mode) else b""


def _missing(message: str) -> InputError:
    return InputError(
        "KNOWLEDGE_KEY_MISSING",
        message,
        hint="put the key back, from a copy or by `assent knowledge key recover`, or `key` under `[knowledge]` as it was;"
        " else erase what nothing can open (`assent knowledge erase TENANT`) and index again",
    )


def _flush_folder(folder: Path) -> None:
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(held)
    finally:
        os.close(held)
