"""That the ledger binds an outcome, shown to whoever has the ledger's key alone.

Theory of operation. The entry by which a step succeeded binds its outcome. It does not say which capability it is of, and most
say whatever somebody wants them to: so the entry by which the step began is proved beside it, and has to name a capability that
comes with Assent, and that nobody else may register a version of.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from assent.errors import InputError
from assent.journal import TrustPolicy, at_once, verify_proof
from assent.spec.events.kinds import StepStarted, StepSucceeded
from assent.spec.values.canonical import SALT_BYTES, commit, require_one_reading
from assent.spec.values.typed import decode

if TYPE_CHECKING:
    from assent.journal import ProvenEntry
    from assent.runtime._ledger import LedgerReader
    from assent.runtime.service import answers
    from assent.spec.ids import Commitment

_FAULT_CHARACTERS_MAX: Final = 200
"""Of what is wrong with a document: it may quote it."""
_BoundT = TypeVar("_BoundT", bound="answers.Bound")


class _Kind(msgspec.Struct):
    kind: str = "finding"
    """Proofs of findings that were made before there were others do not say theirs."""


def kind_of(text: str) -> str:
    """What a proof is of that is a document: `finding`, `knowledge`, or something of a later release."""
    try:
        return decode(text, _Kind).kind
    except ValueError as error:
        raise malformed("a finding or a chunk", error) from None


def read(text: str, kind: type[_BoundT], what: str) -> _BoundT:
    """The document of a proof, whose every name has one value, and which has nothing that is not looked at; `what`: it is of.

    Of a name that stands there twice, one value would be checked, and another one read by somebody else. `InputError`
    `PROOF_MALFORMED`.
    """
    try:
        require_one_reading(text)
        said = decode(text, kind)
        is_all = msgspec.to_builtins(said) == decode(text)
    except InputError as error:
        raise malformed(what, error.message) from None
    except ValueError as error:
        raise malformed(what, error) from None
    if not is_all:
        raise malformed(what, "it has more or less than a proof has")
    return said


def from_hex(text: str) -> bytes:
    """The bytes of hexadecimal digits, which have one spelling. `ValueError`."""
    found = bytes.fromhex(text)
    if found.hex() != text:
        raise ValueError("a hash has one spelling")
    return found


def entries(journal: LedgerReader, seq: int, makers: Collection[str]) -> tuple[int, Commitment] | None:
    """By which entry a step began that succeeded by entry `seq`, and the outcome which that one binds.

    None where it is no step of one of these capabilities.
    """
    leaf = next(iter(at_once(journal.leaves(start=seq, limit=1))), None)
    done = None if leaf is None else leaf.event
    if leaf is None or not isinstance(done, StepSucceeded):
        return None
    begun = [
        one.seq
        for one in journal.run_leaves(leaf.run)
        if isinstance(one.event, StepStarted)
        and one.event.step == done.step
        and one.event.capability in makers
    ]
    return (begun[-1], done.output) if begun else None


def verified(said: answers.Bound, key: str, makers: Collection[str], what: str) -> ProvenEntry:
    """The entry that binds the outcome of a proof, with the ledger's public key alone; `what`: what the makers do.

    `InputError` `PROOF_MALFORMED`, `PROOF_INVALID`, and what the proof of an entry may raise.
    """
    try:
        salt, outcome = from_hex(said.salt), said.outcome.encode()
    except ValueError as error:
        raise malformed(what, error) from None
    trust = TrustPolicy.of_keys(key)
    entry, began = verify_proof(said.proof, trust), verify_proof(said.began, trust)
    bound = _bound(entry, began, makers)
    require(
        (bound is not None, f"the entries are not those of {what} that succeeded"),
        (len(salt) == SALT_BYTES and bound == commit(salt, outcome), "the entry binds another outcome"),
        (entry.index == said.entry, "it is about another entry than it says"),
    )
    return entry


def _bound(entry: ProvenEntry, began: ProvenEntry, makers: Collection[str]) -> Commitment | None:
    one, before = entry.leaf, began.leaf
    if one is None or before is None or one.run is None or one.run != before.run:
        return None
    done, start = one.event, before.event
    if not isinstance(done, StepSucceeded) or not isinstance(start, StepStarted):
        return None
    is_its = done.step == start.step and before.seq < one.seq and start.capability in makers
    return done.output if is_its else None


def require(*checks: tuple[bool, str]) -> None:
    """Raise `PROOF_INVALID` for the first that does not hold."""
    for holds, otherwise in checks:
        if not holds:
            raise InputError(
                "PROOF_INVALID", otherwise, hint="what the proof is of, or the proof itself, was changed"
            )


def malformed(what: str, error: object) -> InputError:
    """That a document is no proof of something."""
    fault = str(error)[:_FAULT_CHARACTERS_MAX]
    hint = "take the file as `prove` wrote it; `assent knowledge verify --export` checks what `assent knowledge export` wrote"
    return InputError("PROOF_MALFORMED", f"the proof is not that of {what}: {fault}", hint=hint)
