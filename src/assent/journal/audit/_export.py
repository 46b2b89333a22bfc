"""A ledger as a folder of plain files that can be checked anywhere: entries, checkpoints, the public key, and a checker.

`leaves.jsonl` holds each entry's exact bytes, one per line: the hash of a line (after a zero byte) is the leaf of the tree. The
folder appears whole or not at all. Payloads are left out unless they are asked for, because they may hold anything.
"""

from __future__ import annotations

import binascii
import os
import shutil
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from assent.errors import InputError, WorldError
from assent.journal._files import create_private_file, ensure_private_dir, fsync_dir
from assent.journal.audit._report import VerifyReport
from assent.journal.audit._verify import verify
from assent.journal.ports import Cell
from assent.journal.store._record import CHUNK_ROWS, Chunk, PayloadRow, Record, StoredTree
from assent.journal.store._rows import payload_tag
from assent.journal.tree._commits import Commit
from assent.journal.tree._heads import HeadList
from assent.journal.tree._note import Verifier
from assent.spec.ids import Commitment
from assent.spec.values.typed import decoder

LEAVES: Final = "leaves.jsonl"
CHECKPOINTS: Final = "checkpoints.jsonl"
NEWEST: Final = "checkpoint"
PAYLOADS: Final = "payloads.jsonl"
KEY: Final = "ledger.vkey"
CHECKER: Final = "verify.py"
README: Final = "README.md"

_FILES: Final = frozenset({LEAVES, CHECKPOINTS, NEWEST, PAYLOADS, KEY, CHECKER, README})

_README: Final = """\
# An exported Assent ledger

- `leaves.jsonl`: the entries, one per line, oldest first; a line's bytes are exactly what was hashed.
- `checkpoints.jsonl`: every signed checkpoint with its size; `checkpoint` is the newest one by itself.
- `ledger.vkey`: the public key that signed them.
- `payloads.jsonl`, if it is here: what the entries bind (inputs, outputs, errors, previews, what an undo needs), one payload per
  line in base64, with the salt of its commitment. They are as they were stored: secrets that Assent handed out are `***`, and all
  else is there, contents of files too. Payloads that were erased are not, nor are the pre-images that an undo puts back.
- `verify.py`: a checker that needs Python 3.11 or newer and nothing else. It is short; read it before you trust it.

Check it on any machine, with the key from a source you trust:

    python3 verify.py --key "$(cat ledger.vkey)"

A key that travels with what it signs proves nothing about who signed: compare `ledger.vkey` with the key that the ledger's
keeper published. A checkpoint that you kept from earlier (`--checkpoint FILE`) also shows that nothing before it was changed
since, not even by the keeper.

`verify.py` checks that each payload is the one that an entry binds; `assent audit verify --export DIR` also finds one that is
missing though no entry says that it was erased.

What this does not show: that what an entry says is true, that nothing happened without an entry, or when an entry was made.
"""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export holds."""

    entries: int
    checkpoints: int
    payloads: int | None
    """None when they were not asked for."""


class _CheckpointLine(msgspec.Struct, frozen=True):
    size: int
    note: str


class _PayloadLine(msgspec.Struct, frozen=True):
    seq: int
    commitment: str
    salt: str
    body: str


_encode: Final = msgspec.json.Encoder(order="sorted").encode
_decode_checkpoint: Final = decoder(_CheckpointLine).decode
_decode_payload: Final = decoder(_PayloadLine).decode


def export_ledger(record: Record, folder: Path, *, vkey: str, payloads: bool = False) -> Exported:
    """Write the record into a new folder that only its owner can read; what it holds.

    `vkey` is the ledger's public key. The folder is durable when this returns; a crash half-way leaves at most a folder
    `NAME.new`, which the next try replaces. Raises `InputError` `EXPORT_EXISTS`, also for a `NAME.new` that is something else,
    and `WorldError` `RECORD_CORRUPT` for entries that can't be exported and `EXPORT_FAILED` when the disk fails.
    """
    if folder.exists():
        raise InputError(
            "EXPORT_EXISTS",
            f"`{folder}` exists already",
            hint="name a new folder; an export never overwrites anything",
        )
    draft = folder.with_name(f"{folder.name}.new")
    try:
        if draft.is_symlink() or draft.exists():
            _remove_draft(draft)
        ensure_private_dir(draft)
        exported = _write(record, draft, vkey, payloads=payloads)
        fsync_dir(draft)
        draft.rename(folder)
        fsync_dir(folder.parent)
    except OSError as error:
        raise WorldError(
            "EXPORT_FAILED",
            f"the export can't be written: {(error.strerror or 'unknown').lower()}",
            path=str(folder),
        ) from error
    return exported


def export_key(folder: Path) -> str:
    """The public key inside an export; whether to trust it is the caller's to say. Raises `InputError` `EXPORT_INVALID`."""
    try:
        return (folder / KEY).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise _not_an_export(folder, KEY) from None


def _not_an_export(folder: Path, missing: str) -> InputError:
    return InputError(
        "EXPORT_INVALID",
        f"`{folder}` is not an export of a ledger: it has no `{missing}` that can be read",
        path=str(folder),
        hint="name a folder that `assent audit export DIR` wrote",
    )


def _remove_draft(draft: Path) -> None:
    # Somebody's own folder may bear this name. A draft of ours is empty, or begins with the entries.
    is_folder = draft.is_dir() and not draft.is_symlink()
    names = {path.name for path in draft.iterdir()} if is_folder else {draft.name}
    if not names <= _FILES or (names and LEAVES not in names):
        raise InputError(
            "EXPORT_EXISTS",
            f"`{draft}` is in the way: an export is written there first, and this is not an export that was left unfinished",
            hint="move it away, or name another folder",
        )
    shutil.rmtree(draft)


def verify_export(folder: Path, keys: Sequence[Verifier], *, kept: bytes | str | None = None) -> VerifyReport:
    """What `verify` says of an export; `kept` is a checkpoint that was kept elsewhere.

    The key inside the export is not looked at: `keys` come from a source the caller trusts. Raises `InputError` `EXPORT_INVALID`
    when the folder is no export at all.
    """
    missing = [name for name in (LEAVES, CHECKPOINTS) if not (folder / name).is_file()]
    if missing:
        raise _not_an_export(folder, missing[0])
    return verify(ExportRecord(folder), keys, projector=None, kept=kept)


def _write(record: Record, folder: Path, vkey: str, *, payloads: bool) -> Exported:
    entries = _write_lines(folder / LEAVES, (leaf for chunk in record.chunks() for leaf in chunk.leaves))
    checkpoints = sorted(record.checkpoints())
    _write_lines(folder / CHECKPOINTS, (_encode(_CheckpointLine(size, note)) for size, note in checkpoints))
    _write_bytes(folder / NEWEST, [checkpoints[-1][1].encode() if checkpoints else b""])
    count = None
    if payloads and (rows := record.payloads()) is not None:
        count = _write_lines(folder / PAYLOADS, (_payload_line(row) for row in rows))
    _write_bytes(folder / KEY, [vkey.encode(), b"\n"])
    _write_bytes(
        folder / CHECKER, [files("assent.journal.audit").joinpath("_export_verifier.py").read_bytes()]
    )
    _write_bytes(folder / README, [_README.encode()])
    return Exported(entries, len(checkpoints), count)


def _payload_line(row: PayloadRow) -> bytes:
    line = _PayloadLine(
        row.seq, row.commitment.hex(), b64encode(row.salt).decode(), b64encode(row.body).decode()
    )
    return _encode(line)


def _write_lines(path: Path, lines: Iterator[bytes]) -> int:
    count = 0

    def terminated() -> Iterator[bytes]:
        nonlocal count
        for line in lines:
            if b"\n" in line:
                _corrupt(f"entry {count} has a line break in it; run `assent audit verify`")
            count += 1
            yield line + b"\n"

    _write_bytes(path, terminated())
    return count


def _write_bytes(path: Path, parts: Iterator[bytes] | list[bytes]) -> None:
    with os.fdopen(create_private_file(path), "wb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())


class ExportRecord:
    """The raw content of an export. It has no columns, no head of its own and no projections."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def damage(self) -> str | None:
        # What people are told to keep elsewhere has to be the right thing on the day when it is needed.
        newest = max(self.checkpoints(), default=(0, ""))[1]
        try:
            kept = (self._folder / NEWEST).read_bytes()
        except OSError:
            kept = None
        return None if kept == newest.encode() else f"the file `{NEWEST}` is not the newest signed checkpoint"

    def chunks(self) -> Iterator[Chunk]:
        leaves: list[bytes] = []
        for line in self._lines(LEAVES):
            leaves.append(line)
            if len(leaves) == CHUNK_ROWS:
                yield Chunk(tuple(leaves), None)
                leaves = []
        if leaves:
            yield Chunk(tuple(leaves), None)

    def checkpoints(self) -> Iterator[tuple[int, str]]:
        for line in self._lines(CHECKPOINTS):
            try:
                checkpoint = _decode_checkpoint(line)
            except (ValueError, RecursionError):
                _corrupt(f"`{CHECKPOINTS}` has a line that is not a checkpoint")
            yield checkpoint.size, checkpoint.note

    def tree(self) -> StoredTree | None:
        return None

    def commits(self) -> Iterator[Commit] | None:
        return None

    def heads(self) -> Iterator[HeadList]:
        return iter(())

    def payloads(self) -> Iterator[PayloadRow] | None:
        return self._payload_rows() if (self._folder / PAYLOADS).exists() else None

    def _payload_rows(self) -> Iterator[PayloadRow]:
        for line in self._lines(PAYLOADS):
            try:
                row = _decode_payload(line)
                commitment, salt = bytes.fromhex(row.commitment), b64decode(row.salt, validate=True)
                body = b64decode(row.body, validate=True)
                tag = payload_tag(Commitment(row.commitment), row.seq)
            except (msgspec.MsgspecError, binascii.Error, ValueError):
                _corrupt(f"`{PAYLOADS}` has a line that is not a payload")
            yield PayloadRow(seq=row.seq, tag=tag, commitment=commitment, salt=salt, body=body)

    def blob_refs(self) -> None:
        return None

    def is_blob_needed(self, digest: str) -> bool:
        del digest
        return True

    def with_payload(self, commitments: AbstractSet[Commitment]) -> set[Commitment]:
        found = self.payloads() or ()
        return {known for row in found if (known := Commitment(row.commitment.hex())) in commitments}

    @property
    def tables(self) -> None:
        return None

    def rows(self, table: str, run: str | None = None) -> Iterator[tuple[Cell, ...]]:
        del run
        raise InputError("EXPORT_INVALID", f"an export has no projection `{table}`")

    def _lines(self, name: str) -> Iterator[bytes]:
        try:
            with (self._folder / name).open("rb") as file:
                for line in file:
                    if not line.endswith(b"\n"):
                        _corrupt(f"`{name}` ends in the middle of a line")
                    yield line[:-1]
        except OSError as error:
            raise WorldError(
                "RECORD_CORRUPT", f"`{name}` can't be read: {(error.strerror or 'unknown').lower()}"
            ) from error


def _corrupt(fault: str) -> NoReturn:
    raise WorldError("RECORD_CORRUPT", fault)
