"""`verify`: is the ledger what was recorded? Answered from the stored bytes, the key and, best, a checkpoint kept elsewhere.

Whoever lacks the signing key can't change, drop, insert or reorder an entry that a checkpoint covers, nor a payload, nor a row
that is shown, without being found here. Entries that no checkpoint covers yet (`unsigned`, at most a second's worth after a kill)
are checked where the private key is. What this can't find: the whole state put back to an earlier one (unless a newer checkpoint
was kept elsewhere), and anything done by whoever has the key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from assent.errors import WorldError
from assent.journal.audit._report import Fault, Seconds, VerifyReport, by_place
from assent.journal.audit._verify_contents import ContentsCheck
from assent.journal.audit._verify_record import RecordCheck
from assent.journal.ports import Blobs, Projector
from assent.journal.store._projections import Projection
from assent.journal.store._record import Record, SqliteRecord
from assent.journal.tree._checkpoint import open_checkpoint
from assent.journal.tree._note import Signer, Verifier


def verify_ledger(
    path: Path,
    keys: Sequence[Verifier],
    *,
    projector: Projector | None,
    kept: bytes | str | None = None,
    signer: Signer | None = None,
    blobs: Blobs | None = None,
    cpu_s: Callable[[], float] | None = None,
    areas: Sequence[Projection] = (),
) -> VerifyReport:
    """What `verify` says of the ledger file at `path`. Takes no lock; a writer may go on meanwhile.

    `areas` bring projections of their own, which are checked as well.

    Raises `InputError` `STATE_FOREIGN` or `STATE_NEWER` for a file that is no ledger of this version; a ledger that is damaged
    past opening gives a report with that fault.
    """
    try:
        with SqliteRecord.open(path, areas=areas) as record:
            return verify(
                record, keys, projector=projector, kept=kept, signer=signer, blobs=blobs, cpu_s=cpu_s
            )
    except WorldError as error:
        if error.code != "RECORD_CORRUPT":
            raise
        return _report(
            RecordCheck(keys), ContentsCheck(0, is_whole=False), [_corrupt(error, None)], None, None
        )


def verify(
    record: Record,
    keys: Sequence[Verifier],
    *,
    projector: Projector | None,
    kept: bytes | str | None = None,
    signer: Signer | None = None,
    blobs: Blobs | None = None,
    cpu_s: Callable[[], float] | None = None,
) -> VerifyReport:
    """Check everything that the record carries and report what was found; changes nothing.

    `keys` are the ledger's public keys. `kept` is a checkpoint of this ledger that was kept elsewhere: with it, a state that was
    rolled back or rewritten is found as well. `signer` has the ledger's private key: with it, what no checkpoint covers yet is
    checked, too. `blobs`: where those are that payloads need, to be read as well. `projector` is needed to check projections.
    `cpu_s` (the process's CPU seconds) fills in what the checks cost.

    Raises `InputError` when `kept` itself is not a checkpoint signed with one of `keys`.
    """
    clock = cpu_s or (lambda: 0.0)
    checkpoint = None if kept is None else open_checkpoint(kept, keys).checkpoint
    faults: list[Fault] = []
    begun = clock()
    try:
        if (damage := record.damage()) is not None:
            faults.append(Fault("STORAGE_DAMAGED", damage))
    except WorldError as error:
        faults.append(_corrupt(error, None))

    opened = clock()
    main = RecordCheck(keys, checkpoint, signer)
    try:
        main.run(record)
    except WorldError as error:
        main.fault = _corrupt(error, main.frontier.size)
    if main.fault is not None:
        faults.append(main.fault)
    elif checkpoint is not None and checkpoint.origin != main.origin:
        faults.append(
            Fault("HISTORY_REWRITTEN", f"the checkpoint that was kept is of the log `{checkpoint.origin}`")
        )

    checked = clock()
    contents = ContentsCheck(main.frontier.size, is_whole=main.fault is None, blobs=blobs)
    try:
        contents.run(record, projector)
    except WorldError as error:
        faults.append(_corrupt(error, None))
    faults.extend(contents.faults.values())

    seconds = Seconds(file=opened - begun, record=checked - opened, contents=clock() - checked)
    return _report(
        main, contents, faults, None if checkpoint is None else checkpoint.size, seconds if cpu_s else None
    )


def _report(
    main: RecordCheck,
    contents: ContentsCheck,
    faults: list[Fault],
    kept_size: int | None,
    seconds: Seconds | None,
) -> VerifyReport:
    return VerifyReport(
        size=main.frontier.size,
        root=main.frontier.root(),
        origin=main.origin,
        faults=by_place(faults),
        checkpoints=main.checkpoints,
        signed=main.signed,
        is_tail_proven=_is_tail_proven(main),
        kept_size=kept_size,
        payloads=contents.payloads,
        blobs=contents.found_blobs,
        erased=contents.erased,
        rows=contents.rows,
        seconds=seconds,
    )


def _is_tail_proven(main: RecordCheck) -> bool | None:
    """Whether the entries that no checkpoint covers are those that were written; None where nobody here can tell."""
    if main.fault is None and main.signed == main.frontier.size:
        return True
    return None if main.key is None else main.fault is None


def _corrupt(error: WorldError, seq: int | None) -> Fault:
    if error.code != "RECORD_CORRUPT":
        raise error  # The disk failed, not the record.
    return Fault("STORAGE_DAMAGED", error.message, seq)
