"""The file capabilities: each one's spec beside its handler."""

from __future__ import annotations

from typing import Any, Final

from assent.capabilities.fs import _parameters as takes
from assent.capabilities.fs import _read
from assent.capabilities.fs import _results as gives
from assent.capabilities.fs._effect import FileEffect
from assent.capabilities.fs._relocate import CopyEffect, DeleteEffect, MoveEffect
from assent.capabilities.fs._snapshot import PRE_IMAGE_BYTES_MAX
from assent.capabilities.fs._write import MakeDirEffect, WriteBytesEffect, WriteFileEffect
from assent.invocation import Handler
from assent.invocation.handler import Part
from assent.spec.capability import (
    CapabilitySpec,
    SideEffects,
    SpecModel,
    create_delete_capability,
    create_read_capability,
    create_write_capability,
)

_EFFECT: Final = SideEffects(
    reversible=True, scope="filesystem", description="changes files of the workspace"
)
_PRIVATE: Final = frozenset({"reads_private"})

Bound = tuple[CapabilitySpec, Handler]


def file_capabilities(*, max_pre_image_bytes: int = PRE_IMAGE_BYTES_MAX) -> list[Bound]:
    """Every `io.fs.*` capability with its handler. `max_pre_image_bytes` bounds what one call may keep for its undo."""
    limit = max_pre_image_bytes
    return [
        _read_only(
            "read_file", "Read a text file", _read.read_file, takes.ReadFile, gives.FileText, labels=_PRIVATE
        ),
        _read_only("hash_file", "SHA-256 and size of a file", _read.hash_file, takes.OnePath, gives.FileHash),
        _read_only(
            "list_dir", "List a folder", _read.list_dir, takes.ListDir, gives.Listing, labels=_PRIVATE
        ),
        _read_only(
            "exists", "Whether something stands at a path", _read.exists, takes.OnePath, gives.Existence
        ),
        _write(
            WriteFileEffect(limit),
            "Write text to a file, replacing what it held",
            takes.WriteFile,
            gives.Written,
            idempotent=True,
        ),
        _write(WriteBytesEffect(limit), "Write bytes to a file", takes.WriteBytes, gives.Written),
        _write(MakeDirEffect(limit), "Make a folder", takes.MakeDir, gives.Made),
        _delete(DeleteEffect(limit), "Delete a file, a link or a folder with everything in it"),
        _write(MoveEffect(limit), "Move a file or folder within the workspace", takes.TwoPaths, gives.Moved),
        _write(CopyEffect(limit), "Copy a file or folder within the workspace", takes.TwoPaths, gives.Copied),
    ]


def _read_only(
    name: str,
    description: str,
    execute: Part,
    parameters: type[SpecModel],
    returns: type[SpecModel],
    *,
    labels: frozenset[str] = frozenset(),
) -> Bound:
    spec = create_read_capability(
        f"io.fs.{name}", description, parameters=parameters, returns=returns, labels=labels
    )
    handler = Handler(
        execute, preview=_read.no_change, parameters=parameters, returns=returns, revision=f"io.fs.{name}/1"
    )
    return spec, handler


# `Any`: effects differ in their parameters' type, which the handler keeps to itself.
def _write(
    effect: FileEffect[Any],
    description: str,
    parameters: type[SpecModel],
    returns: type[SpecModel],
    *,
    idempotent: bool = False,
) -> Bound:
    spec = create_write_capability(
        effect.name,
        description,
        parameters=parameters,
        returns=returns,
        side_effects=_EFFECT,
        idempotent=idempotent,
    )
    return spec, effect.handler(parameters, returns)


def _delete(effect: DeleteEffect, description: str) -> Bound:
    spec = create_delete_capability(
        effect.name,
        description,
        reversible=True,
        strategy="restore_pre_image",
        parameters=takes.Delete,
        returns=gives.Deleted,
        side_effects=_EFFECT,
    )
    return spec, effect.handler(takes.Delete, gives.Deleted)
