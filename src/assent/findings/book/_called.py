"""What findings are called, to be looked for by any part of it: an index of the triples of signs in title, resource and detector.

It says which findings may hold a text, never that they do: whoever asks looks at these. It holds what each finding's newest
dataset says; `called` of a finding or of a row of `seen` is a digest of that, so that only what is another text is written anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Final

import msgspec

from assent.findings._sqlite import Connection
from assent.findings.finding import Finding

TABLE: Final = """
CREATE VIRTUAL TABLE words USING fts5(text, tokenize = 'trigram case_sensitive 1', detail = none, columnsize = 0, content = '');
"""
_TRIPLES_MAX: Final = 12
"""So many triples of a text are looked for: one that all findings have takes 5 ms in a million."""


class _Named(msgspec.Struct):
    """What is looked in, of a finding's document."""

    title: str
    resource: str
    detector_id: str


_DECODE: Final = msgspec.json.Decoder(_Named).decode


class Called:
    """The index of a book, within transactions of its file's."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def add(self, number: int, text: str) -> None:
        """A new finding is called so."""
        self._db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (number, text))

    def remove(self, number: int, body: bytes) -> None:
        """A finding is no more called as its document has it."""
        # Without the text SQLite can't know what to take out.
        self._db.execute(
            "INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)",
            (number, text_of(_DECODE(body))),
        )

    def change(self, rows: Iterable[Any]) -> None:
        """Findings are called otherwise: their numbers, their documents as they were, and as they are; None for what goes."""
        for number, before, after in rows:
            self.remove(number, before)
            if after is not None:
                self.add(number, text_of(_DECODE(after)))

    def clear(self) -> None:
        """Empty it."""
        self._db.execute("INSERT INTO words (words) VALUES ('delete-all')")

    def holding(self, project: int, text: str, most: int) -> list[int] | None:
        """The numbers of a project's findings that may hold a text; None where they are more than so many, or can't be told."""
        folded = _plain(text)
        triples = [*dict.fromkeys(folded[at : at + 3] for at in range(len(folded) - 2))]
        if not triples:
            return None
        # From all over the text, so that each of its signs is in one.
        asked = triples[:: -(-len(triples) // _TRIPLES_MAX)]
        query = (
            "SELECT finding.n FROM words JOIN finding ON finding.n = words.rowid WHERE words MATCH ? AND finding.project = ?"
            " LIMIT ?"
        )
        words = " AND ".join('"' + one.replace('"', '""') + '"' for one in asked)
        found: Any = self._db.execute(
            query, (words, project, most + 1)
        ).fetchall()  # `Any`: as the schema says
        return None if len(found) > most else [number for (number,) in found]


def text_of(finding: Finding | _Named) -> str:
    """What a finding is called, as it is looked for."""
    return _plain(f"{finding.title}\n{finding.resource}\n{finding.detector_id}")


def digest_of(text: str) -> int:
    """What tells a text from others, in a whole number of SQLite's."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def _plain(text: str) -> str:
    # Where a text has a zero, SQLite takes it to end.
    return text.casefold().replace("\0", "\n")
