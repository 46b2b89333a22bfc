"""Inclusion proofs as text: one file that shows offline that an entry is in the ledger (C2SP tlog-proof).

    c2sp.org/tlog-proof@v1
    extra base64(the leaf's bytes)            (optional)
    index 73894
    base64(sibling hash)                      (none or more, from the leaf up)

    the signed checkpoint, verbatim

Our own proofs carry the leaf as `extra`, so that the file says by itself what is proved. The specification calls extra data
untrusted, and so do we: it is believed only after its hash has led to the signed root.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from assent.errors import InputError
from assent.journal.tree._checkpoint import decode_hash, encode_hash, is_decimal
from assent.journal.tree._trust import CosignedCheckpoint, TrustPolicy
from assent.spec.values.merkle import verify_inclusion

PROOF_HEADER: Final = "c2sp.org/tlog-proof@v1"
PATH_LENGTH_MAX: Final = 63


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """That some leaf stands at `index` of the tree that `checkpoint` (a signed note) describes."""

    index: int
    path: tuple[bytes, ...]
    """Sibling hashes, from the leaf up."""
    checkpoint: str
    extra: bytes | None = None

    def text(self) -> str:
        """The proof as a file's text; `parse` reads it back equal."""
        lines = [PROOF_HEADER]
        if self.extra is not None:
            lines.append(f"extra {base64.b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines.extend(encode_hash(sibling) for sibling in self.path)
        return "\n".join(lines) + "\n\n" + self.checkpoint

    @classmethod
    def parse(cls, text: bytes | str) -> InclusionProof:
        """The proof that a file's text states, unchecked; `InputError` `PROOF_MALFORMED` for any other text."""
        try:
            source = text.decode() if isinstance(text, bytes) else text
        except UnicodeDecodeError:
            raise _malformed("is not UTF-8") from None
        head, separator, checkpoint = source.partition("\n\n")
        lines = head.split("\n")
        if lines.pop(0) != PROOF_HEADER or not separator:
            raise _malformed(f"does not begin with `{PROOF_HEADER}`, or has no checkpoint")
        extra: bytes | None = None
        if lines and lines[0].startswith("extra "):
            extra = _decode_extra(lines.pop(0).removeprefix("extra "))
        word, _, index = lines.pop(0).partition(" ") if lines else ("", "", "")
        if word != "index" or not is_decimal(index):
            raise _malformed("has no line `index N` where it should be")
        if len(lines) > PATH_LENGTH_MAX:
            raise _malformed(f"has more than {PATH_LENGTH_MAX} hashes")
        try:
            path = tuple(decode_hash(line) for line in lines)
        except InputError:
            raise _malformed("has a line that is not a hash") from None
        return cls(int(index), path, checkpoint, extra)

    def verify(self, leaf: bytes, trust: TrustPolicy) -> CosignedCheckpoint:
        """The checkpoint, after checking that it is signed as `trust` asks and that `leaf` (a leaf hash) is under its root.

        Raises `InputError`: what `TrustPolicy.open` raises, and `PROOF_INVALID` when the path does not lead to the root.
        """
        opened = trust.open(self.checkpoint)
        checkpoint = opened.checkpoint
        if not verify_inclusion(
            index=self.index, size=checkpoint.size, leaf=leaf, proof=self.path, root=checkpoint.root
        ):
            raise InputError(
                "PROOF_INVALID",
                f"the proof does not lead from this entry at index {self.index} to the signed root",
                hint="the entry, its index or the proof was changed",
            )
        return opened


def _decode_extra(encoded: str) -> bytes:
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise _malformed("has extra data that is not base64") from None
    return data


def _malformed(fault: str) -> InputError:
    return InputError(
        "PROOF_MALFORMED", f"the proof {fault}", hint="take an unchanged copy of the file that `prove` wrote"
    )
