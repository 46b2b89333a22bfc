"""What both journals do alike with what stands beside the leaves: check a payload, name the columns of a projection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import apsw

from assent.errors import InputError, InternalError, WorldError
from assent.journal._schema import PROJECTIONS, SINCE
from assent.journal.ports import Cell
from assent.spec.canonical import SALT_BYTES, commit
from assent.spec.ids import Commitment

_EPOCH_BITS: Final = 12
_PREFIX_BITS: Final = 32
_PREFIX_DIGITS: Final = _PREFIX_BITS // 4

_FIND_PAYLOAD: Final = f"""
WITH RECURSIVE epochs(epoch) AS (
  SELECT (SELECT max(seq) FROM events) >> {_EPOCH_BITS} UNION ALL SELECT epoch - 1 FROM epochs WHERE epoch > 0
)
SELECT payloads.rowid, salt, body
FROM epochs CROSS JOIN payloads ON tag = (epoch << {_PREFIX_BITS} | ?1) WHERE commitment = ?2 LIMIT 1
"""  # noqa: S608 - made of our own constants


def payload_tag(commitment: Commitment, seq: int) -> int:
    """What the index of payloads holds: the epoch of the leaf that binds it, then the first 32 bits of the commitment.

    An epoch is 4 096 leaves. Commitments are random, so an index of them alone has each new row on another page, and each of
    those pages goes to the disk with the commit. Led by the epoch, new rows share a dozen pages however large the ledger is;
    finding a payload looks into each epoch, the newest first, at about a microsecond each.
    """
    return seq >> _EPOCH_BITS << _PREFIX_BITS | int(commitment[:_PREFIX_DIGITS], 16)


def find_payload(connection: apsw.Connection, commitment: Commitment) -> tuple[int, bytes, bytes] | None:
    """Row number, salt and body of a stored payload, unchecked; None when there is none."""
    key = (int(commitment[:_PREFIX_DIGITS], 16), bytes.fromhex(commitment))
    # `Any`: the columns' types are the schema's, which apsw can't know.
    row: Any = connection.execute(_FIND_PAYLOAD, key).fetchone()
    return None if row is None else (row[0], row[1], row[2])


def checked_body(commitment: Commitment, salt: bytes, body: bytes) -> bytes:
    """The payload's bytes if they are the committed ones; `WorldError` `RECORD_CORRUPT` if not."""
    if len(salt) != SALT_BYTES or commit(salt, body) != commitment:
        raise WorldError(
            "RECORD_CORRUPT",
            f"the payload `{commitment[:16]}…` is not the one that was recorded",
            hint="run `assent audit verify`; nothing more is done with this record",
            details={"commitment": commitment},
        )
    return body


def projection_columns(table: str, where: Mapping[str, Cell] | None) -> tuple[str, ...]:
    """The columns of a projection table, after checking that it exists and has the columns of `where`."""
    columns = PROJECTIONS.get(table)
    if columns is None:
        raise InternalError("PROJECTION_UNKNOWN", f"there is no projection `{table}`")
    for column in where or ():
        if column not in columns:
            raise InputError("PROJECTION_UNKNOWN", f"the projection `{table}` has no column `{column}`")
    return tuple(columns)


def has_table(connection: apsw.Connection, table: str) -> bool:
    """Whether the file's format knows a projection table; one of an older Assent that is only read has not been migrated."""
    return table not in SINCE or int(connection.pragma("user_version")) >= SINCE[table]
