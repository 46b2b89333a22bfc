"""Checkpoints: a signed note that says how large the ledger is and what its root is (C2SP tlog-checkpoint).

    assent.local/ledger/01J…                      origin: which log
    20852163                                      how many leaves
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=  the tree's root

Whoever keeps a copy of one can later tell whether anything before it was changed.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from assent._lazy import compiled_when_asked
from assent.errors import InputError
from assent.journal.tree._note import Note, Signer, Verifier, open_note, sign_note
from assent.spec.values.merkle import HASH_BYTES, SIZE_MAX

_SIZE: Final = compiled_when_asked(r"(?:0|[1-9][0-9]{0,18})\Z", re.ASCII)


class Checkpoint(msgspec.Struct, frozen=True):
    """A ledger's head at one moment. Two checkpoints of one origin must be consistent, or its keeper has lied."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()
    """Opaque extra lines; we write none, because no monitor can audit them."""

    def text(self) -> str:
        """The note's text: what is signed."""
        lines = (self.origin, str(self.size), encode_hash(self.root), *self.extensions)
        if not all(lines) or any("\n" in line for line in lines):
            message = "a checkpoint's lines are not empty and have no line breaks"
            raise ValueError(message)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """The checkpoint that a note's text states; `InputError` `CHECKPOINT_MALFORMED` for any other text."""
        lines = text.removesuffix("\n").split("\n")
        if not text.endswith("\n") or len(lines) < 3 or not all(lines):
            raise _malformed("needs three lines: origin, size and root")
        origin, size, root, *extensions = lines
        if not is_decimal(size) or int(size) > SIZE_MAX:
            raise _malformed(f"has `{size[:40]}` where its size should be")
        return cls(origin, int(size), decode_hash(root), tuple(extensions))


class SignedCheckpoint(msgspec.Struct, frozen=True):
    """A checkpoint whose log has signed it, with the note that proves it."""

    checkpoint: Checkpoint
    note: Note


def sign_checkpoint(checkpoint: Checkpoint, *signers: Signer) -> str:
    """The checkpoint as a signed note."""
    return sign_note(checkpoint.text(), *signers)


def open_checkpoint(
    note: bytes | str, log_keys: Sequence[Verifier], *, witnesses: Sequence[Verifier] = ()
) -> SignedCheckpoint:
    """The checkpoint, after checking that the log it names has signed it.

    A key speaks for the log of its own name only: with the keys of several logs, one can't sign for another. Raises
    `InputError` as `open_note` does, `CHECKPOINT_MALFORMED`, and `SIGNATURE_MISSING` when only others have signed.
    """
    opened = open_note(note, [*log_keys, *witnesses])
    checkpoint = Checkpoint.parse(opened.text)
    signers = {(signature.name, signature.key_id) for signature in opened.verified}
    if not any(key.name == checkpoint.origin and (key.name, key.key_id) in signers for key in log_keys):
        raise InputError(
            "SIGNATURE_MISSING",
            f"the log `{checkpoint.origin}` has not signed this checkpoint with a known key",
            hint="check that the key belongs to this ledger",
        )
    return SignedCheckpoint(checkpoint, opened)


def is_decimal(text: str) -> bool:
    """Whether `text` is a number of the one form that checkpoints and proofs allow: no sign, no leading zeroes."""
    return _SIZE.match(text) is not None


def encode_hash(value: bytes) -> str:
    """A hash as checkpoints and proofs write it: base64 with padding."""
    return base64.b64encode(value).decode()


def decode_hash(text: str) -> bytes:
    """The 32 bytes of a hash; `InputError` `CHECKPOINT_MALFORMED` unless `text` is exactly how they are written."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != HASH_BYTES or encode_hash(value) != text:
        raise _malformed(f"has `{text[:60]}` where a hash should be")
    return value


def _malformed(fault: str) -> InputError:
    return InputError("CHECKPOINT_MALFORMED", f"the checkpoint {fault}")
