"""What an auditor asks of one ledger: its log with filters, and proofs that single entries are in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from assent.errors import InputError, Json, WorldError
from assent.journal.ports import EventFilter
from assent.spec.events.kinds import (
    ApprovalGranted,
    ApprovalRejected,
    ApprovalRequested,
    ApprovalVoided,
    CancelRequested,
    KeyAnswer,
    Leaf,
    PolicyRecorded,
    ReleaseRegistered,
    RunCreated,
    StepDenied,
    UndoRefused,
    UndoRequested,
    decode_leaf,
)
from assent.spec.ids import CALL_STEP, KEY_CAPABILITY, Commitment, RunId
from assent.spec.values.typed import decode
from assent.spec.words.globs import glob_matches

if TYPE_CHECKING:
    from assent.journal.store._record import Record
    from assent.journal.tree._checkpoint import Checkpoint
    from assent.journal.tree._trust import TrustPolicy


class LogLine(msgspec.Struct, frozen=True):
    """One entry with what its own leaf leaves unsaid: who acted, on which capability, with which inputs, and what was asked."""

    leaf: Leaf
    principal: str | None
    """Who approved, cancelled, resolved …, and what came of an undo or a cancel is of whoever asked for that; for everything
    else, whose run it is. None for events of the ledger itself.
    """
    capability: str | None
    """The capability that the event, or the step it belongs to, is about."""
    asked: ApprovalRequested | None = None
    """The question that the event answers, or is."""
    inputs: Commitment | None = None
    """What was decided on, where the event is about a decision."""
    context: Commitment | None = None
    """What the gate was asked with, where nothing else binds the inputs."""

    @property
    def decisions(self) -> set[str]:
        """What the gate answered, where the event says it: to a run that wants a concurrency key it may have answered twice."""
        said = _text(self.leaf.event, "decision")
        return {one.decision for one in self._key_answers} | ({said} if said is not None else set())

    @property
    def capabilities(self) -> set[str]:
        """What the event is about that has an id of a capability."""
        event = self.leaf.event
        found = {self.capability} if self.capability is not None else set()
        if isinstance(event, ReleaseRegistered):
            found |= {version.partition("@")[0] for version in event.versions}
        return found | ({KEY_CAPABILITY} if self._key_answers else set())

    @property
    def _key_answers(self) -> tuple[KeyAnswer, ...]:
        event = self.leaf.event
        return event.key_answers if isinstance(event, RunCreated) else ()

    @property
    def policy(self) -> str | None:
        """The digest of the policy that the event was decided under, or that it records."""
        event = self.leaf.event
        if isinstance(event, PolicyRecorded):
            return event.digest
        return _text(event, "policy") or (None if self.asked is None else self.asked.policy)

    def to_json(self) -> dict[str, Json]:
        """The entry for `--json`: its place, who and what, then the event as it stands in the leaf."""
        leaf = self.leaf
        event: dict[str, Json] = decode(msgspec.json.encode(leaf.event))
        return {
            "seq": leaf.seq,
            "at_ms": leaf.at_ms,
            "run_id": leaf.run,
            "stream": leaf.stream,
            "n": leaf.n,
            "kind": leaf.event.kind,
            "principal": self.principal,
            "capability": self.capability,
            "policy": self.policy,
            "event": event,
        }


class AuditLog:
    """The entries that pass a filter. What one entry leaves unsaid, those before it said: it must be given all of them in their
    order, or, where a run is wanted, all of that run and all of no run.

    `wanted.capability` may be a pattern (`io.fs.*`); the others are compared as they are.
    """

    def __init__(self, wanted: EventFilter) -> None:
        self._wanted = wanted
        self._principals: dict[RunId | None, str] = {}
        self._acting: dict[tuple[RunId | None, str | None], str] = {}
        self._capabilities: dict[tuple[RunId | None, str], str] = {}
        self._asked: dict[tuple[RunId | None, str], ApprovalRequested] = {}
        self._given: dict[tuple[RunId | None, str], Commitment] = {}

    def lines(self, leaves: Iterable[Leaf]) -> Iterator[LogLine]:
        """Those of the next leaves that pass."""
        for leaf in leaves:
            line = self._line(leaf)
            if _passes(line, self._wanted):
                yield line

    def unheard(self, leaves: Iterable[Leaf]) -> set[RunId]:
        """The runs that began before these leaves, which are about them, and of which it was given nothing yet."""
        heard, missing = {*self._principals}, set[RunId]()
        for leaf in leaves:
            run = _run_of(leaf)
            if run is not None and run not in heard:
                (heard if isinstance(leaf.event, RunCreated) else missing).add(run)
        return missing

    def _line(self, leaf: Leaf) -> LogLine:
        event, run, step = leaf.event, _run_of(leaf), _text(leaf.event, "step")
        if isinstance(event, RunCreated):
            self._principals[run] = event.principal
            self._given[run, CALL_STEP] = event.inputs
        elif isinstance(event, UndoRequested | CancelRequested):
            self._acting[run, step] = event.by
        elif isinstance(event, UndoRefused):
            self._acting.pop((run, None), None)
        capability = _text(event, "capability")
        if step is not None:
            if capability is None:
                capability = self._capabilities.get((run, step))
            else:
                self._capabilities[run, step] = capability
        if isinstance(event, ApprovalRequested):
            self._asked[run, event.digest] = event
        digest = event.digest if isinstance(event, _ANSWERS) else None
        asked = None if digest is None else self._asked.get((run, digest))
        return LogLine(
            leaf,
            _text(event, "by")
            or _text(event, "requester")
            or self._acting.get((run, step))
            or self._acting.get((run, None))
            or self._principals.get(run),
            capability,
            asked,
            self._inputs(leaf, step, asked),
            event.context if isinstance(event, StepDenied) else None,
        )

    def _inputs(self, leaf: Leaf, step: str | None, asked: ApprovalRequested | None) -> Commitment | None:
        event = leaf.event
        if asked is not None:
            return asked.inputs
        if isinstance(event, StepDenied):
            return self._given.get((leaf.run, CALL_STEP)) if step == CALL_STEP else None
        found: Commitment | None = getattr(event, "inputs", None)
        return found


_ANSWERS: Final = (ApprovalRequested, ApprovalGranted, ApprovalRejected, ApprovalVoided)


def _passes(line: LogLine, wanted: EventFilter) -> bool:
    leaf = line.leaf
    return (
        (wanted.run is None or _run_of(leaf) == wanted.run)
        and (wanted.principal is None or line.principal == wanted.principal)
        and (wanted.decision is None or wanted.decision in line.decisions)
        and (wanted.since_ms is None or leaf.at_ms >= wanted.since_ms)
        and (wanted.until_ms is None or leaf.at_ms < wanted.until_ms)
        and (not wanted.kinds or leaf.event.kind in wanted.kinds)
        and (
            wanted.capability is None
            or any(glob_matches(wanted.capability, capability) for capability in line.capabilities)
        )
    )


def _run_of(leaf: Leaf) -> RunId | None:
    """The run that an entry is about: its own, or the one that what it tells of began in."""
    source = _text(leaf.event, "source")
    return leaf.run if source is None else RunId(source)


def _text(event: object, name: str) -> str | None:
    """A field of that name; of all kinds that have one, those asked for here are text."""
    value: str | None = getattr(event, name, None)
    return value


class ProvenEntry(msgspec.Struct, frozen=True):
    """An entry that a proof has shown to be in a ledger."""

    index: int
    data: bytes
    """The leaf's bytes, exactly as they are stored and hashed."""
    leaf: Leaf | None
    """The same, decoded; None when it is not an entry of this version's kinds."""
    checkpoint: Checkpoint


def prove(record: Record, seq: int) -> str:
    """The text of a file that shows, offline and with the ledger's public key alone, that entry `seq` is in the ledger.

    It proves against the newest checkpoint and carries the entry itself. Costs one pass over the ledger. Raises `InputError`
    `ENTRY_UNKNOWN`, `ENTRY_UNSIGNED` when no checkpoint covers the entry yet, and `WorldError` `RECORD_CORRUPT` when the
    entries do not fit the checkpoint: nothing is proved then.
    """
    from assent.journal.tree._checkpoint import Checkpoint
    from assent.journal.tree._note import parse_note
    from assent.journal.tree._proof import InclusionProof
    from assent.spec.values.merkle import inclusion_proof, leaf_hash, tree_root

    newest = max(record.checkpoints(), default=(0, ""))
    size, note = newest
    leaves: list[bytes] = []
    hashes: list[bytes] = []
    for chunk in record.chunks():
        for data in chunk.leaves:
            if len(hashes) == seq:
                leaves.append(data)
            hashes.append(leaf_hash(data))
    if not leaves:
        raise InputError(
            "ENTRY_UNKNOWN",
            f"there is no entry {seq}: the ledger has {len(hashes)}, counted from 0",
            hint="list them with `assent audit log`",
        )
    if seq >= size:
        raise InputError(
            "ENTRY_UNSIGNED",
            f"no checkpoint covers entry {seq} yet",
            hint="a checkpoint is signed when the run ends, or when the next command opens the ledger to write",
        )
    covered = hashes[:size]
    if len(covered) < size or Checkpoint.parse(parse_note(note).text).root != tree_root(covered):
        raise WorldError(
            "RECORD_CORRUPT",
            f"the entries are not those that the checkpoint of size {size} was signed for",
            hint="run `assent audit verify`",
        )
    return InclusionProof(seq, tuple(inclusion_proof(covered, seq)), note, leaves[0]).text()


def verify_proof(text: bytes | str, trust: TrustPolicy, *, entry: bytes | None = None) -> ProvenEntry:
    """The entry that a proof shows to be in a ledger whose keys `trust` names.

    `entry`: the leaf's bytes, for a proof that does not carry them (or to insist on them). Raises `InputError`:
    `PROOF_MALFORMED`, `PROOF_INVALID`, and what `TrustPolicy.open` raises.
    """
    from assent.journal.tree._proof import InclusionProof
    from assent.spec.values.merkle import leaf_hash

    proof = InclusionProof.parse(text)
    data = proof.extra if entry is None else entry
    if data is None:
        raise InputError(
            "PROOF_MALFORMED",
            "the proof does not carry the entry that it is about",
            hint="give the entry's bytes as well",
            details={"index": proof.index},
        )
    opened = proof.verify(leaf_hash(data), trust)
    leaf = _decoded(data, proof.index)
    if leaf is not None and leaf.seq != proof.index:
        # Only the keeper of the key can make such a ledger; its own `verify` would refuse it.
        raise InputError("PROOF_INVALID", f"the entry at index {proof.index} calls itself entry {leaf.seq}")
    return ProvenEntry(proof.index, data, leaf, opened.checkpoint)


def _decoded(data: bytes, index: int) -> Leaf | None:
    try:
        return decode_leaf(data, index)
    except (ValueError, RecursionError):
        return None
