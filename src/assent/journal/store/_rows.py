"""What both journals do alike with what stands beside the leaves: check a payload, select rows of a projection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import apsw

from assent.errors import InputError, InternalError, WorldError
from assent.journal.ports import Begins, Cell, OneOf, Where
from assent.journal.store._projections import Tables
from assent.journal.store._schema import PROJECTIONS, SINCE, applied_areas
from assent.spec.ids import Commitment, RunId
from assent.spec.values.canonical import SALT_BYTES, commit


class Entry(NamedTuple):
    """One leaf as it is stored. `n` is None where an event of no run stands in a file that was not brought up to format 4."""

    seq: int
    run: RunId | None
    n: int | None
    hash: bytes
    data: bytes


_EPOCH_BITS: Final = 12
_PREFIX_BITS: Final = 32
_PREFIX_DIGITS: Final = _PREFIX_BITS // 4

_AFTER_ASCII: Final = "\x7f"

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


def commitment_bytes(commitment: Commitment) -> bytes:
    """The 32 bytes of a commitment; `WorldError` RECORD_CORRUPT for a text that is none: an entry was changed."""
    try:
        data = bytes.fromhex(commitment)
    except ValueError:
        data = b""
    if len(data) != 32 or data.hex() != commitment:
        raise WorldError(
            "RECORD_CORRUPT",
            "an entry binds a payload by something that is not a commitment",
            hint="run `assent audit verify`; nothing more is done with this record",
        )
    return data


def find_payload(connection: apsw.Connection, commitment: Commitment) -> tuple[int, bytes, bytes] | None:
    """Row number, salt and body of a stored payload, unchecked; None when there is none. RECORD_CORRUPT for no commitment."""
    data = commitment_bytes(commitment)
    key = (int(commitment[:_PREFIX_DIGITS], 16), data)
    # `Any`: the columns' types are the schema's, which apsw can't know.
    row: Any = connection.execute(_FIND_PAYLOAD, key).fetchone()
    if row is not None and [type(cell) for cell in row] != [int, bytes, bytes]:
        raise WorldError(
            "RECORD_CORRUPT",
            "a payload's row does not have the form of its table",
            hint="run `assent audit verify`",
        )
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


class Selection(NamedTuple):
    """Which rows of a projection are asked for, after checking that the table exists and has these columns."""

    table: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    where: Where
    after: tuple[Cell, ...] | None
    limit: int
    newest_first: bool

    @classmethod
    def of(
        cls,
        tables: Tables,
        table: str,
        where: Where | None,
        after: tuple[Cell, ...] | None,
        limit: int,
        *,
        newest_first: bool,
    ) -> Selection:
        """Raises `PROJECTION_UNKNOWN`."""
        columns = tables.columns.get(table)
        if columns is None:
            raise InternalError("PROJECTION_UNKNOWN", f"there is no projection `{table}`")
        for column in where or ():
            if column not in columns:
                raise InputError("PROJECTION_UNKNOWN", f"the projection `{table}` has no column `{column}`")
        return cls(table, columns, columns[: tables.keys[table]], where or {}, after, limit, newest_first)

    def sql(self) -> tuple[str, list[Cell]]:
        """The query, made of names of our own schema, and the values bound to it."""
        terms: list[str] = []
        bound: list[Cell] = []
        for column, wanted in self.where.items():
            match wanted:
                case None:
                    terms.append(f"{column} IS NULL")
                case OneOf(cells=cells):
                    terms.append(f"{column} IN ({', '.join('?' * len(cells))})")
                    bound += cells
                case Begins(text=text):
                    # Two bounds and no pattern: an index is used, and nothing in the text means anything.
                    terms.append(f"{column} >= ? AND {column} < ?")
                    bound += (text, text + _AFTER_ASCII)
                case _:
                    # `=` and not `IS`: only then is an index used that leaves out what is empty.
                    terms.append(f"{column} = ?")
                    bound.append(wanted)
        if self.after is not None:
            key = ", ".join(self.key)
            terms.append(f"({key}) {'<' if self.newest_first else '>'} ({', '.join('?' * len(self.after))})")
            bound += self.after
        order = " DESC" if self.newest_first else ""
        sql = f"SELECT {', '.join(self.columns)} FROM {self.table}"  # noqa: S608 - see above
        if terms:
            sql += f" WHERE {' AND '.join(terms)}"
        sql += f" ORDER BY {', '.join(column + order for column in self.key)} LIMIT ?"
        return sql, [*bound, self.limit]

    def matches(self, row: Mapping[str, Cell]) -> bool:
        """Whether a row is asked for, its place in the order aside."""
        return all(_is_wanted(row[column], wanted) for column, wanted in self.where.items())


def _is_wanted(cell: Cell, wanted: Cell | OneOf | Begins) -> bool:
    match wanted:
        case OneOf(cells=cells):
            return cell in cells
        case Begins(text=text):
            return isinstance(cell, str) and cell.startswith(text)
        case _:
            return cell == wanted


def has_table(connection: apsw.Connection, table: str, tables: Tables) -> bool:
    """Whether the file has a projection table: one of an older Assent that is only read has not been migrated."""
    if table in PROJECTIONS:
        return table not in SINCE or int(connection.pragma("user_version")) >= SINCE[table]
    area = next(area for area in tables.areas if table in area.tables)
    return applied_areas(connection).get(area.area) == area.applied
