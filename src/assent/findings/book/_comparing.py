"""How two runs differ: by sets of the numbers of their findings, and of what was found before."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NamedTuple

from assent.findings._sqlite import Connection
from assent.findings.book._bits import numbers_in
from assent.spec.values.typed import decode


class Difference(StrEnum):
    """How a finding stands in a later run, compared with an earlier one."""

    NEW = "new"
    FIXED = "fixed"
    STILL = "still"
    REAPPEARED = "reappeared"


class Differing(NamedTuple):
    """The findings of each kind, as bits; `not_looked_for`: the earlier run's, of tools that the later one did not use."""

    kinds: dict[Difference, int]
    not_looked_for: int

    def members(self, kinds: set[Difference], skip: int) -> Iterator[tuple[Difference, int]]:
        """The findings of some kinds, one kind after the other, without the first few."""
        for kind in Difference:
            if kind in kinds:
                bits = self.kinds[kind]
                yield from ((kind, number) for number in numbers_in(bits, skip))
                skip = max(0, skip - bits.bit_count())


def differing(db: Connection, project: int, before: str, after: str) -> Differing:
    """How the findings of a project's one run differ from those of an earlier one."""
    first = db.execute(
        "SELECT min(seq) FROM dataset WHERE project = ? AND run = ?", (project, before)
    ).get or 0  # fmt: skip
    rows: Any = db.execute(  # `Any`: the columns' types are the schema's
        "SELECT seq, run, said, bits FROM dataset WHERE project = ? AND (seq < ? OR run IN (?, ?))"
        # The later run's tools are known before the earlier one's findings come.
        " ORDER BY run = ? DESC",
        (project, first, before, after, after),
    )
    older = had = looked_for = has = 0
    tools: set[str] = set()
    for seq, run, said, data in rows:
        bits, tool = int.from_bytes(data, "little"), str(decode(said, dict).get("tool"))
        if seq < first:
            older |= bits
        if run == after:
            has |= bits
            tools.add(tool)
        if run == before:
            had |= bits
            looked_for |= bits if tool in tools else 0
    kinds = {
        Difference.NEW: has & ~had & ~older,
        Difference.FIXED: looked_for & ~has,
        Difference.STILL: had & has,
        Difference.REAPPEARED: has & ~had & older,
    }
    return Differing(kinds, (had & ~has & ~looked_for).bit_count())
