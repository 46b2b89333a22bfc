"""What a witness answers to a log that submits a checkpoint (C2SP tlog-witness, `add-checkpoint`), as a pure function.

A witness keeps the latest checkpoint of each log and cosigns a newer one only after a proof that nothing before it changed. A
log can then not show two histories. Whoever runs one stores `accepted` *before* answering, in one transaction with the check
that `latest` is still what it was: two requests at once could otherwise roll the record back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from assent.errors import InputError
from assent.journal.tree._checkpoint import Checkpoint, decode_hash, is_decimal, open_checkpoint
from assent.journal.tree._note import Verifier, parse_note
from assent.spec.values.merkle import EMPTY_ROOT, verify_consistency

PROOF_LENGTH_MAX: Final = 63


@dataclass(frozen=True, slots=True)
class Verdict:
    """An HTTP status and what goes with it."""

    status: int
    body: str = ""
    accepted: Checkpoint | None = None
    """With status 200: the checkpoint to store and to cosign. The body is then the cosignature's line."""


def judge(
    request: str, *, logs: Mapping[str, Sequence[Verifier]], latest: Mapping[str, Checkpoint]
) -> Verdict:
    """The answer to one `add-checkpoint` request. `logs` are the known keys by origin, `latest` what was cosigned last.

    400 malformed or an old size above the new one · 404 unknown log · 403 not signed by it · 409 with the size that this
    witness knows · 422 not a continuation of it · 200 accepted.
    """
    try:
        old_size, proof, note = _parse(request)
        origin = parse_note(note).text.partition("\n")[0]
        if origin not in logs:
            return Verdict(404)
        try:
            checkpoint = open_checkpoint(note, logs[origin]).checkpoint
        except InputError as error:
            return Verdict(403 if error.code.startswith("SIGNATURE_") else 400)
    except InputError:
        return Verdict(400)
    if old_size > checkpoint.size:
        return Verdict(400)
    known = latest.get(origin, Checkpoint(origin, 0, EMPTY_ROOT))
    if old_size != known.size:
        return Verdict(409, f"{known.size}\n")
    if not _continues(known, checkpoint, proof):
        return Verdict(422)
    return Verdict(200, accepted=checkpoint)


def _continues(known: Checkpoint, new: Checkpoint, proof: Sequence[bytes]) -> bool:
    if known.size == 0:
        # Everything extends the empty tree, so there is nothing to prove; but an empty tree has one root only.
        return not proof and (new.size > 0 or new.root == EMPTY_ROOT)
    return verify_consistency(size1=known.size, root1=known.root, size2=new.size, root2=new.root, proof=proof)


def _parse(request: str) -> tuple[int, list[bytes], str]:
    head, separator, note = request.partition("\n\n")
    old, *hashes = head.split("\n")
    word, _, size = old.partition(" ")
    if not separator or word != "old" or not is_decimal(size) or len(hashes) > PROOF_LENGTH_MAX:
        raise InputError("NOTE_MALFORMED", "the request does not have the form of `add-checkpoint`")
    return int(size), [decode_hash(line) for line in hashes], note
