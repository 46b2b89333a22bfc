"""What of capabilities goes on the record, and what comes back from it of those that are not installed any more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Final

from assent import __version__
from assent.engine import CAPABILITY_TABLES, CapabilityRows
from assent.errors import InputError, Json, WorldError
from assent.journal import JournalReader, Where, each_row
from assent.journal.ports import Cell
from assent.registry import CapabilityRegistry, LabelChange, RecordedVersion
from assent.spec.capability import CapabilitySpec
from assent.spec.events import kinds as ev
from assent.spec.ids import Commitment, Fingerprint
from assent.spec.values.typed import decode
from assent.spec.words.semver import is_version

BUILT_IN: Final = "built in"
"""The origin of the capabilities that come with Assent."""


def registrations(
    specs: Sequence[CapabilitySpec], registry: CapabilityRegistry, bind: Callable[[Json], Commitment]
) -> list[ev.AnyEvent]:
    """The events that put these specs on the record. `bind` keeps a payload and gives its commitment.

    What comes with Assent is one entry, without the specs: they stand in the release, whose versions Assent itself keeps
    compatible. What others wrote may be replaced on the machine; then only the record still knows what it was.
    """
    events: list[ev.AnyEvent] = []
    whole: list[CapabilitySpec] = []
    for spec in specs:
        is_own = registry.origin(spec.reference) == BUILT_IN
        fact = registry.recorded(spec.id, spec.version)
        if is_own and fact is None:
            whole.append(spec)
            continue
        event = ev.CapabilityRegistered(
            capability=spec.id,
            version=spec.version,
            fingerprint=spec.fingerprint,
            replaces=fact.fingerprint if fact is not None else None,
            spec=None if is_own else bind(spec.to_json()),
        )
        events.append(event)
    if whole:
        release = ev.ReleaseRegistered(
            release=__version__,
            versions=tuple(spec.reference for spec in whole),
            fingerprints=tuple(spec.fingerprint for spec in whole),
        )
        events.insert(0, release)
    return events


async def gone_specs(
    journal: JournalReader, missing: Iterable[RecordedVersion]
) -> AsyncIterator[CapabilitySpec]:
    """The specs that a journal keeps of versions that are not installed; none of those that it never had.

    A ledger of an earlier format has none, and neither has one for what comes with Assent. Raises RECORD_CORRUPT for a
    payload that is not the one that was recorded.
    """
    for fact in missing:
        version: Where = {"capability": fact.capability, "version": fact.version}
        rows = await journal.rows("capability_specs", version, limit=1)
        body = await journal.payload(Commitment(str(rows[0]["spec"]))) if rows else None
        if body is None:
            continue
        try:
            yield CapabilitySpec.from_json(decode(body))
        except InputError:
            continue  # A later Assent wrote it, and knows fields that this one does not.


PROVEN_MAX: Final = 512
"""So many entries of no run are folded again when an owner opens its ledger: a few milliseconds."""


async def require_rows_of_entries(journal: JournalReader) -> None:
    """See to it that the rows of capabilities are those that the entries make: they say which version is called, and no key
    vouches for a row. For the owner, whose journal vouches for the entries that it reads.

    `RECORD_CORRUPT`. A ledger with more than `PROVEN_MAX` entries of no run is left to `audit verify`.
    """
    leaves = await journal.events(None, limit=PROVEN_MAX)
    if len(leaves) == PROVEN_MAX:
        return
    fold = CapabilityRows()
    expected = {
        (row.table, *row.key): row.values for leaf in leaves for row in fold.apply(leaf.event, leaf.at_ms)
    }
    found = {
        (table, *tuple(row.values())[: journal.keys[table]]): tuple(row.values())
        for table in (*CAPABILITY_TABLES, "capability_specs")
        async for row in each_row(journal, table)
    }
    if found != expected:
        differing = (key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))
        raise _changed({"capability": str(min(differing, key=repr)[1])})


_NUMBER_MAX: Final = 253_402_300_799_999
"""The last moment of the year 9999, in ms; the other numbers of rows are smaller."""


def version_of(row: Mapping[str, Cell]) -> RecordedVersion:
    """The fact that a row of `capabilities` holds; `RECORD_CORRUPT` for one that can't have been written, as of all of these."""
    if not is_version(str(row["version"])):
        raise _changed(row)
    return RecordedVersion(
        capability=str(row["capability"]),
        version=str(row["version"]),
        fingerprint=Fingerprint(str(row["fingerprint"])),
        registered=number_of(row, "registered"),
        registered_at_ms=number_of(row, "registered_at_ms"),
        retired=number_of(row, "retired") if row["retired"] is not None else None,
        retired_at_ms=number_of(row, "retired_at_ms") if row["retired_at_ms"] is not None else None,
    )


def label_of(row: Mapping[str, Cell]) -> LabelChange:
    """The fact that a row of `capability_labels` holds."""
    return LabelChange(
        capability=str(row["capability"]),
        label=str(row["label"]),
        change=number_of(row, "change"),
        version=_text(row, "version"),
        at_ms=number_of(row, "at_ms"),
        by=_text(row, "principal"),
    )


def number_of(row: Mapping[str, Cell], column: str) -> int:
    """A number of a row."""
    value = row[column]
    if not isinstance(value, int) or not 0 <= value <= _NUMBER_MAX:
        raise _changed(row)
    return value


def _changed(row: Mapping[str, Cell]) -> WorldError:
    return WorldError(
        "RECORD_CORRUPT",
        f"a row of `{row['capability']}` is not one that was recorded",
        hint="run `assent audit verify`; nothing more is done with this record",
    )


def _text(row: Mapping[str, Cell], column: str) -> str | None:
    value = row[column]
    return None if value is None else str(value)
