"""A call or a run as it stood at one moment: a document of JSON that nothing later changes.

A snapshot is kept as bytes, so it shares nothing with what it was taken of. Its content hash is SHA-256 over
the document's canonical JSON (RFC 8785, floats included), so it is the same wherever the same was seen. It tells a snapshot from
a changed one; it does not prove where it came from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Self

from assent.errors import AssentError, InputError, Json
from assent.spec.ids import Fingerprint
from assent.spec.values.canonical import canonical_json, fingerprint, parse_json
from assent.spec.values.json_patch import Operation, diff
from assent.versions.transform import Migrations

MIGRATIONS: Final = Migrations("the snapshot", (), key="snapshot")
"""From each format to the next; a format that changes adds its step here, and snapshots of all earlier ones can still be read."""

FORMAT: Final = MIGRATIONS.current
"""What `snapshot` says in every document that is written now."""

KINDS: Final = ("call", "run")
"""What a snapshot can be of."""

SNAPSHOT_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes that one snapshot's document may have."""


class Snapshot:
    """One snapshot. `kind` is `call` or `run`; equal when the documents are."""

    __slots__ = ("_made",)

    def __init__(self, body: bytes | Callable[[], bytes]) -> None:
        """`body` is the JSON text of a document without its hash, or makes it of what was frozen; `SNAPSHOT_TOO_LARGE`."""
        self._made = require_size(body) if isinstance(body, bytes) else body

    @classmethod
    def of_document(cls, document: dict[str, Json]) -> Self:
        """The snapshot of a document. `JSON_INVALID` when it holds what JSON can't say exactly."""
        return cls(canonical_json(document))

    @classmethod
    def load(cls, data: bytes) -> Self:
        """The snapshot that `dump` wrote, in the current format.

        `SNAPSHOT_INVALID` when it is none, is of a format that is not known, or was changed since.
        """
        if len(data) > 2 * SNAPSHOT_BYTES_MAX:
            raise invalid_snapshot("it is larger than any snapshot")
        try:
            document = parse_json(data)
        except InputError as error:
            raise invalid_snapshot(error.message) from None
        if not isinstance(document, dict) or "snapshot" not in document:
            raise invalid_snapshot("it has no `snapshot`")
        written = document.pop("hash", None)
        # The hash is of what was written then, so it is looked at before anything is brought to another format.
        if written != fingerprint(document):
            raise invalid_snapshot("its content is not what its hash says")
        try:
            document = MIGRATIONS.migrate(document)
        except AssentError as error:
            raise invalid_snapshot(error.message) from None
        if document.get("kind") not in KINDS:
            raise invalid_snapshot("it is neither of a call nor of a run")
        return cls.of_document(document)

    @property
    def document(self) -> dict[str, Json]:
        """The document, as a copy of one's own."""
        if not isinstance(self._made, bytes):
            self._made = require_size(self._made())
        found = parse_json(self._made)
        assert isinstance(found, dict)  # INVARIANT: both ways to make one lead through an object
        return found

    @property
    def kind(self) -> str:
        """`call` or `run`."""
        return str(self.document["kind"])

    @property
    def content_hash(self) -> Fingerprint:
        """64 hex digits of SHA-256 over the canonical document."""
        return fingerprint(self.document)

    def dump(self) -> bytes:
        """The document with its hash, as one line of canonical JSON."""
        document = self.document
        return canonical_json({**document, "hash": fingerprint(document)}) + b"\n"

    def diff(self, later: Snapshot) -> list[Operation]:
        """The patch (RFC 6902) that makes the later snapshot's document of this one's; empty when they are equal."""
        return diff(self.document, later.document)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Snapshot) and self.content_hash == other.content_hash

    def __hash__(self) -> int:
        return hash(self.content_hash)


def require_size(body: bytes) -> bytes:
    """The same bytes; `SNAPSHOT_TOO_LARGE` when they are more than a snapshot may have."""
    if len(body) > SNAPSHOT_BYTES_MAX:
        raise InputError(
            "SNAPSHOT_TOO_LARGE",
            f"a snapshot of {len(body)} bytes is larger than the {SNAPSHOT_BYTES_MAX} that one may have",
            hint="keep large data in files, and their paths or digests in the state",
            details={"size": len(body), "limit": SNAPSHOT_BYTES_MAX},
        )
    return body


def invalid_snapshot(why: str) -> InputError:
    """The refusal of a document that is no snapshot of this format."""
    return InputError(
        "SNAPSHOT_INVALID",
        f"this is not a snapshot that can be used: {why}",
        hint="take it again with `assent show RUN --snapshot FILE`",
    )
