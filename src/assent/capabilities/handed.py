"""Files that people hand over: `assent findings import FILE`, `assent resource publish REFERENCE FILE`."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from assent.errors import InputError, WorldError
from assent.invocation import NoEffectError
from assent.journal import ensure_private_dir, fsync_dir
from assent.spec.capability import SpecModel
from assent.spec.words.sizes import size_text

HANDED: Final = "handed"
"""The folder of the state that they are in."""
FILE_BYTES_MAX: Final = 4 << 30
"""The largest file that is handed over."""
KEPT_MS: Final = 31 * 86_400_000
"""A file that was handed over waits so long for the call that it was handed over for."""

_UPLOAD: Final = re.compile("[A-Za-z0-9-]{8,64}")
_PART: Final = "part-"
_APPEND: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Kept(SpecModel):
    """Bytes that are kept beside what names them, by their digest (`assent show RUN --attachment DIGEST`)."""

    blob: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=0)]


class Counted:
    """Bytes on their way: `size` says how many have gone by."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.size += len(chunk)
            yield chunk


def measured(chunks: Iterable[bytes]) -> tuple[str, int]:
    """The SHA-256 of all of them, and their size."""
    counted, digest = Counted(chunks), sha256()
    for chunk in counted:
        digest.update(chunk)
    return digest.hexdigest(), counted.size


class Handed:
    """Files that people handed over for a call, under their digests, until the call has taken them or nobody came.

    One that is handed over twice is here twice: the call that comes first takes only its own.

    The process of whoever hands a file over reads it with that person's rights, and writes here: the state's owner, which may be
    another process, opens no path that it was told.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, upload: str, data: bytes, *, offset: int, is_last: bool) -> tuple[str | None, int]:
        """Add a part to what comes under a name; its size so far, and its digest when it is whole, which is durable then.

        `InputError` UPLOAD_INVALID, `WorldError` DISK_FULL.
        """
        if not _UPLOAD.fullmatch(upload):
            raise InputError(
                "UPLOAD_INVALID",
                "an upload must have a name of 8 to 64 letters, digits and `-`",
                path="upload",
            )
        ensure_private_dir(self._folder.parent)
        ensure_private_dir(self._folder)
        temporary = self._folder / f"{_PART}{upload}"
        try:
            with os.fdopen(os.open(temporary, _APPEND, 0o600), "ab") as file:
                if file.tell() != offset:
                    raise InputError(
                        "UPLOAD_INVALID",
                        f"the part begins at byte {offset}, and {file.tell()} bytes of the upload are here",
                        path="offset",
                        hint="send each part once, in order, or begin again under another name",
                    )
                file.write(data)
                size = file.tell()
                if size > FILE_BYTES_MAX:
                    temporary.unlink(missing_ok=True)
                    raise InputError(
                        "FILE_TOO_LARGE",
                        f"the file has more than {size_text(FILE_BYTES_MAX)}",
                        hint="hand it over in parts, for a call each",
                    )
                if not is_last:
                    return None, size
                file.flush()
                os.fsync(file.fileno())
            with temporary.open("rb") as whole:
                digest = file_digest(whole, "sha256").hexdigest()
            temporary.replace(self._folder / f"{digest}.{upload}")
            fsync_dir(self._folder)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise WorldError(
                "DISK_FULL" if full else "STORAGE_FAILED",
                "the disk that holds the state is full" if full else "what was handed over can't be kept",
                hint="free some space and try again" if full else None,
            ) from error
        return digest, size

    def read(self, digest: str) -> Iterator[bytes]:
        """What was handed over. `NoEffectError` FILE_NOT_HANDED_OVER."""
        path = self._of(digest)
        if path is None:
            raise NoEffectError(
                "FILE_NOT_HANDED_OVER",
                f"no file with the digest `{digest[:64]}` was handed over",
                hint="hand it over again with the command; agents name files of the workspace by `path`",
            )
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                yield chunk

    def drop(self, digest: str) -> None:
        """The call has it."""
        path = self._of(digest)
        if path is not None:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _of(self, digest: str) -> Path | None:
        return min(self._folder.glob(f"{digest}.*"), default=None) if _DIGEST.fullmatch(digest) else None

    def sweep(self, now_ms: int) -> None:
        """Remove what nobody came for."""
        with suppress(OSError):
            for path in self._folder.iterdir() if self._folder.is_dir() else ():
                if path.stat().st_mtime * 1000 < now_ms - KEPT_MS:
                    path.unlink(missing_ok=True)
