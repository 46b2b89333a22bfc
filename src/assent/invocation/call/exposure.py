"""Secrets that were handed out, on their way to where they would stay: such a call is refused before anything does.

What is shown is masked. What has to be kept exactly can't be: a file with `***` in it is another file, and an undo would put
back another one. So no value enters a file, the blobs of an undo, or the journal's inputs; the undo itself is free of this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from assent.errors import InputError, Json
from assent.invocation.context.local import BlobStore
from assent.invocation.describe.handler import NoEffectError
from assent.secrets.redaction import Redactor

CODE: Final = "SECRET_EXPOSED"
HINT: Final = "a file is read by whoever may read the workspace; leave the value out, and refer to the secret where it is used"


def require_unexposed(redactor: Redactor, value: Json, what: str, of: str) -> None:
    """Raise SECRET_EXPOSED when a secret that was handed out stands in what would be journaled as it is.

    With `***` in its place, something else would run after a crash, or be put back by an undo, than what runs now.
    """
    name = redactor.name_in_json(value) if redactor.is_active else None
    if name is not None:
        raise InputError(
            CODE,
            f"{what} of `{of}` hold the value of the secret `{name}`",
            hint=f"write `secret://{name}` in a field that takes references to secrets",
        )


def unexposed(
    redactor: Redactor, chunks: Iterable[bytes], what: str, *, path: str | None = None, hint: str
) -> Iterable[bytes]:
    """The same bytes, in other pieces; `NoEffectError` SECRET_EXPOSED where a secret that was handed out stands in them.

    No byte of it has been handed on by then.
    """
    return _watched(redactor, chunks, what, path, hint) if redactor.is_active else chunks


def _watched(
    redactor: Redactor, chunks: Iterable[bytes], what: str, path: str | None, hint: str
) -> Iterator[bytes]:
    kept = b""
    for chunk in chunks:
        kept += chunk
        name = redactor.name_in_bytes(kept)
        if name is not None:
            raise NoEffectError(CODE, f"{what} holds the value of the secret `{name}`", path=path, hint=hint)
        cut = len(kept) - redactor.overlap_bytes
        if cut > 0:
            yield kept[:cut]
            kept = kept[cut:]
    yield kept


class UnexposedBlobs:
    """A blob store that takes no secret that was handed out."""

    __slots__ = ("_blobs", "_redactor")

    def __init__(self, blobs: BlobStore, redactor: Redactor) -> None:
        self._blobs = blobs
        self._redactor = redactor

    def put(self, chunks: Iterable[bytes]) -> str:
        """See `BlobStore.put`; `NoEffectError` SECRET_EXPOSED."""
        hint = "take the value out of it first; a step with `undo: none` keeps no earlier contents"
        return self._blobs.put(unexposed(self._redactor, chunks, "what would be kept", hint=hint))

    def read(self, digest: str) -> Iterator[bytes]:
        return self._blobs.read(digest)
