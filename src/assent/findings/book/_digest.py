"""What a book says, as one digest: two that were folded from the same acts have the same one, however they came to it."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

import msgspec

from assent.findings.book._bits import numbers_in
from assent.findings.book._called import NUMBER, PLACE
from assent.findings.book._file import BookFile

# All that is shown or decided by, without the numbers that a book goes by itself: these depend on what was taken back.
_SAID: Final = """
SELECT id, name, since_ms FROM project ORDER BY id;
SELECT finding.id, project.id, finding.rank, detector.id, tool, closed, muted_ms, first_ms, last_ms, finding.called, dataset
    FROM finding LEFT JOIN project ON project.n = project LEFT JOIN detector ON detector.n = finding.detector
    LEFT JOIN seen ON seen.n = newest ORDER BY finding.id;
SELECT finding.id, dataset, at_ms, seen.rank, detector.id, tool, seen.called, body
    FROM seen LEFT JOIN finding ON finding.n = finding LEFT JOIN detector ON detector.n = seen.detector
    ORDER BY finding.id, dataset;
SELECT resource.id, project.id, kind, first_ms, last_ms, dataset FROM resource LEFT JOIN project ON project.n = project
    LEFT JOIN place ON place.n = newest ORDER BY resource.id;
SELECT resource.id, dataset, at_ms, body FROM place LEFT JOIN resource ON resource.n = resource ORDER BY resource.id, dataset;
SELECT triage.id, project.id, muted_ms, body FROM triage LEFT JOIN project ON project.n = project ORDER BY triage.id;
SELECT mute.id, project.id, kind, value, until_ms FROM mute LEFT JOIN project ON project.n = project ORDER BY mute.id;
SELECT seq, id, before, after FROM change ORDER BY seq, id
""".split(";")
# Of each triple of signs how many findings have it, at their places, and what these are called, since two books may number them
# otherwise: five seconds for 240,000, and more than all else here takes.
_CALLED: Final = f"""
SELECT term, count(*), count(finding.n), sum(called & 0xffffffff), sum(called >> 32) FROM words_triples
    LEFT JOIN finding ON finding.n = doc & {NUMBER} AND {PLACE} = doc GROUP BY term ORDER BY term
"""  # noqa: S608 - our own names
_DATASETS: Final = (
    "SELECT seq, project.id, run, step, at_ms, said, new, known, bits FROM dataset"
    " LEFT JOIN project ON project.n = project ORDER BY seq"
)


def contents(file: BookFile) -> str:
    """The SHA-256 of all that is said in a book, in one reading of it."""
    digest, encode = sha256(), msgspec.msgpack.encode
    for asked in (*_SAID, _CALLED):
        for row in file.db.execute(asked):
            digest.update(encode(row))
    rows: Any = file.db.execute(_DATASETS)  # `Any`: the columns' types are the schema's
    for *row, bits in rows:
        has = 0
        for number in numbers_in(int.from_bytes(bits, "little")):
            ident: Any = file.db.execute(
                "SELECT id FROM finding WHERE n = ?", (number,)
            ).get  # `Any`: as above
            has += (
                0 if ident is None else int.from_bytes(ident)
            )  # in no order, and removed by age where it is gone
        digest.update(encode((*row, f"{has:x}")))
    return digest.hexdigest()
