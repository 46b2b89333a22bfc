"""Files that people hand over: `assent findings import FILE`, `assent resource publish REFERENCE FILE`."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from io import BufferedRandom
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from assent.errors import InputError, RefusedError
from assent.invocation import NoEffectError
from assent.journal import ensure_private_dir, fsync_dir, state_unusable
from assent.spec.capability import SpecModel
from assent.spec.words.sizes import count_text, size_text

if TYPE_CHECKING:
    from assent.invocation import LocalContext

HANDED: Final = "handed"
"""The folder of the state that they are in."""
TAKERS: Final = ("findings.import", "resource.publish")
"""The capabilities that a file is handed over for."""
FILE_BYTES_MAX: Final = 4 << 30
"""The largest file that is handed over."""
WAITING_BYTES_MAX: Final = 16 << 30
WAITING_FILES_MAX: Final = 256
"""What may wait of one principal, files that are still coming included."""
KEPT_MS: Final = 86_400_000
"""A file that no call came for is here for so long, and so is one that has not come whole."""
WAITS_MS: Final = 30 * KEPT_MS
"""One whose run waits, for somebody to approve it, is here for so much longer."""

_UPLOAD: Final = re.compile("[A-Za-z0-9-]{8,64}")
_PART: Final = ".part"
_APPEND: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


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


class Upload(SpecModel):
    """A file that was handed over: under which name, and what it is."""

    upload: Annotated[str, Field(pattern="^[A-Za-z0-9-]{8,64}$")]
    blob: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="its SHA-256")]
    bytes: Annotated[int, Field(ge=0)]


class Handed:
    """Files that people handed over, until the call that each is for has taken it, or its run has ended.

    A file is bound to who handed it over and to the capability that it is for: nobody else's call, and no other one, finds it.
    The process of whoever hands a file over reads it with that person's rights, and writes here: the state's owner, which may be
    another process, opens no path that it was told.
    """

    def __init__(self, state: Path) -> None:
        self._folder = state / HANDED

    def has_any(self) -> bool:
        """Whether anything is here, also of what is still coming."""
        return self._folder.is_dir() and next(self._folder.iterdir(), None) is not None

    def add(
        self, upload: str, data: bytes, *, principal: str, capability: str, offset: int, is_last: bool
    ) -> tuple[str | None, int]:
        """Add a part to what comes under a name; its size so far, and its digest when it is whole, which is durable then.

        `InputError` UPLOAD_INVALID, FILE_TOO_LARGE; `RefusedError` UPLOADS_FULL; `WorldError` DISK_FULL, STATE_UNUSABLE.
        """
        if capability not in TAKERS:
            raise InputError(
                "UPLOAD_INVALID",
                f"`{capability[:80]}` takes no file that was handed over",
                path="capability",
                hint=f"one of {', '.join(TAKERS)}",
            )
        if not _UPLOAD.fullmatch(upload):
            raise InputError(
                "UPLOAD_INVALID",
                "an upload must have a name of 8 to 64 letters, digits and `-`",
                path="upload",
            )
        try:
            ensure_private_dir(self._folder.parent)
            ensure_private_dir(self._folder)
        except OSError as error:
            raise state_unusable(self._folder.parent, error) from error
        stem = _stem(principal, capability, upload)
        temporary = self._folder / f"{stem}{_PART}"
        self._require_room(principal, temporary, len(data))
        try:
            with _alone(temporary) as file:
                size = file.seek(0, os.SEEK_END)
                is_kept = size > 0
                try:
                    if size != offset:
                        raise InputError(
                            "UPLOAD_INVALID",
                            f"the part begins at byte {offset}, and {size} bytes of the upload are here",
                            path="offset",
                            hint="send each part once, in order, or begin again under another name",
                        )
                    is_kept = False
                    file.write(data)
                    file.flush()
                    size += len(data)
                    if size > FILE_BYTES_MAX:
                        raise InputError(
                            "FILE_TOO_LARGE",
                            f"the file has more than {size_text(FILE_BYTES_MAX)}",
                            hint="hand it over in parts, for a call each",
                        )
                    if not is_last:
                        is_kept = True
                        return None, size
                    os.fsync(file.fileno())
                    file.seek(0)
                    digest = measured(iter(lambda: file.read(1 << 20), b""))[0]
                    temporary.replace(self._folder / f"{stem}.{digest}")
                    is_kept = True
                    fsync_dir(self._folder)
                finally:
                    if not is_kept:
                        temporary.unlink(missing_ok=True)
        except OSError as error:
            raise state_unusable(self._folder.parent, error) from error
        return digest, size

    def _require_room(self, principal: str, coming: Path, more: int) -> None:
        sizes: dict[Path, int] = {}
        for path in self._folder.glob(f"{_who(principal)}.*"):
            with suppress(OSError):  # its call has taken it meanwhile
                sizes[path] = path.stat().st_size
        total, files = sum(sizes.values()), len(sizes.keys() - {coming})
        if files >= WAITING_FILES_MAX or total + more > WAITING_BYTES_MAX:
            raise RefusedError(
                "UPLOADS_FULL",
                f"`{principal}` has {count_text(files, 'file')} with {size_text(total)} waiting for their calls, of at most"
                f" {WAITING_FILES_MAX} with {size_text(WAITING_BYTES_MAX)}",
                hint="decide about the calls that wait (`assent approvals`): a file goes when its run has ended, or after a day",
            )

    def read(self, one: Upload, context: LocalContext) -> Iterator[bytes]:
        """What was handed over, by whom the call is made and for that call. `NoEffectError` FILE_NOT_HANDED_OVER."""
        path = self._of(one, str(context.principal), context.capability)
        try:
            file = path.open("rb")
        except OSError:
            raise _not_here(one) from None
        with file:
            if os.fstat(file.fileno()).st_size != one.bytes:
                raise _not_here(one)
            while chunk := file.read(1 << 20):
                yield chunk

    def drop(self, one: Upload, principal: str, capability: str) -> None:
        """The call has it, or never will."""
        with suppress(OSError):
            self._of(one, principal, capability).unlink(missing_ok=True)

    def after_run(
        self, named: Iterable[tuple[str, object]], principal: str, *, has_ended: bool, now_ms: int
    ) -> None:
        """Keep what a run's calls name, each with its capability, while it waits, and drop it when it has ended. Blocks."""
        until_s = (now_ms + WAITS_MS) / 1000
        for capability, said in named:
            try:
                one = Upload.model_validate(said)
            except ValueError:
                continue
            if has_ended:
                self.drop(one, principal, capability)
                continue
            with suppress(OSError):
                os.utime(self._of(one, principal, capability), (until_s, until_s))

    def _of(self, one: Upload, principal: str, capability: str) -> Path:
        return self._folder / f"{_stem(principal, capability, one.upload)}.{one.blob}"

    def sweep(self, now_ms: int) -> None:
        """Remove what no call came for. Blocks."""
        with suppress(OSError):
            for path in self._folder.iterdir() if self._folder.is_dir() else ():
                if path.stat().st_mtime * 1000 < now_ms - KEPT_MS:
                    path.unlink(missing_ok=True)


@contextmanager
def _alone(path: Path) -> Iterator[BufferedRandom]:
    """A file that is still coming, for one part at a time: two that are sent at once are not mixed."""
    while True:
        with os.fdopen(os.open(path, _APPEND, 0o600), "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _stands_at(path, file):
                yield file
                return
            # It has come whole, or was given up, while this part waited.


def _stands_at(path: Path, file: BufferedRandom) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def _who(principal: str) -> str:
    return sha256(principal.encode()).hexdigest()[:32]


def _stem(principal: str, capability: str, upload: str) -> str:
    return f"{_who(principal)}.{capability}.{upload}"


def _not_here(one: Upload) -> NoEffectError:
    return NoEffectError(
        "FILE_NOT_HANDED_OVER",
        f"no file with the digest `{one.blob}` was handed over for this call by whom it is made",
        hint="hand it over again with the command; agents name files of the workspace by `path`",
    )
