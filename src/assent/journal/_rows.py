"""What both journals do alike with what stands beside the leaves: check a payload, name the columns of a projection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from assent.errors import InputError, InternalError, WorldError
from assent.journal._schema import PROJECTIONS
from assent.journal.ports import Cell
from assent.spec.canonical import SALT_BYTES, commit
from assent.spec.ids import Commitment

_TAG_DIGITS: Final = 12


def payload_tag(commitment: Commitment) -> int:
    """The first 48 bits of a commitment: what the index holds."""
    return int(commitment[:_TAG_DIGITS], 16)


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
