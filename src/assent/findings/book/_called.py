"""What findings are called, to be looked for by any part of it: an index of the triples of signs in title, resource and detector.

It says which findings may hold a text, never that they do: whoever asks looks at these. It holds what each finding's newest
dataset says; `called` of a finding or of a row of `seen` is a digest of that, so that only what is another text is written anew.
Its rows are numbered in the order of the pages, so that the first of the findings that hold a text are the first it gives,
however many others hold it. Two signs end each text: so every sign begins a triple, and what is shorter than one is looked for
by all that begin with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from hashlib import blake2b
from typing import Any, Final

import msgspec

from assent.findings._sqlite import Connection
from assent.findings.finding import Finding
from assent.spec.values.typed import decoder

TABLE: Final = """
CREATE VIRTUAL TABLE words USING fts5(text, tokenize = 'trigram case_sensitive 1', detail = none, columnsize = 0, content = '');
CREATE VIRTUAL TABLE words_triples USING fts5vocab(words, instance);
"""
_TRIPLES_MAX: Final = 12
"""So many triples of a text are looked for: one that all findings have takes 5 ms in a million."""
_BEGINNING_MAX: Final = 1_000
"""So many triples that begin with a shorter text are looked for, at 60 µs each: what has more is nearly everywhere."""
_DETECTORS_MAX: Final = 10
"""So many detectors are looked for beside a text."""
_BUFFERED_MAX: Final = 1 << 20
"""So many signs are written at once, in order: SQLite begins a new part of the index where a number is less than the last."""
_NUMBER_BITS: Final = 40
_RANK_BITS: Final = 3
NUMBER: Final = (1 << _NUMBER_BITS) - 1
"""The bits of a place that are the finding's number."""
PLACE: Final = f"(((project << {_RANK_BITS}) + rank) << {_NUMBER_BITS}) + finding.n"
"""What `place_of` gives, in SQL."""


class _Named(msgspec.Struct):
    """What is looked in, of a finding's document."""

    title: str
    resource: str
    detector_id: str


_DECODE: Final = decoder(_Named).decode


class Called:
    """Changes of a book's index, within one transaction of its file's, and what it is asked."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._buffered: list[tuple[str | None, int, str]] = []
        self._signs = 0

    def add(self, place: int, text: str) -> None:
        """The finding at a place (`place_of`) is called so."""
        self._change(None, place, text)

    def remove(self, place: int, body: bytes) -> None:
        """No finding is any more at a place and called as its document has it."""
        # Without the text SQLite can't know what to take out.
        self._change("delete", place, text_of(_DECODE(body)))

    def change(self, rows: Iterable[Any]) -> None:
        """Findings are called otherwise: projects and numbers, ranks and documents as they were, and as they are; None: gone."""
        for project, number, rank, before, new_rank, after in rows:
            self.remove(place_of(project, rank, number), before)
            if after is not None:
                self.add(place_of(project, new_rank, number), text_of(_DECODE(after)))
        self.write()

    def write(self) -> None:
        """Write what was changed."""
        # By place alone: what was changed twice stays in its order.
        self._buffered.sort(key=lambda one: one[1])
        self._db.executemany("INSERT INTO words (words, rowid, text) VALUES (?, ?, ?)", self._buffered)
        self._buffered.clear()
        self._signs = 0

    def clear(self) -> None:
        """Empty it."""
        self._db.execute("INSERT INTO words (words) VALUES ('delete-all')")

    def query(self, text: str, detectors: Collection[str] = ()) -> str | None:
        """What `words` is to match where a finding, of one of some detectors, may hold a text.

        None: it is so short that nearly all do.
        """
        folded = _plain(text)
        if len(folded) < 3:
            triples = self._beginning(folded)
            if len(triples) > _BEGINNING_MAX:
                return None
            match = " OR ".join(map(_quoted, triples)) or '""'
        else:
            match = _all_of(folded)
        # A detector has a line of its own.
        lines = [_all_of(_plain("\n" + one + "\n")) for one in sorted(detectors)]
        return f"({match}) AND (({') OR ('.join(lines)}))" if 0 < len(lines) <= _DETECTORS_MAX else match

    def _beginning(self, text: str) -> list[str]:
        """The triples that begin with less than three signs, and at most one more than are looked for."""
        first = "SELECT term FROM words_triples WHERE term >= ? AND term <= ? LIMIT 1"
        found: list[str] = []
        at, end = text, text + chr(0x10FFFF) * 2
        while len(found) <= _BEGINNING_MAX and (triple := self._db.execute(first, (at, end)).get):
            found.append(triple)
            at = triple + "\1"  # Behind `> triple` SQLite would go through all that have it.
        return found

    def _change(self, command: str | None, place: int, text: str) -> None:
        self._buffered.append((command, place, text))
        self._signs += len(text)
        if self._signs >= _BUFFERED_MAX:
            self.write()


def place_of(project: int, rank: int, number: int) -> int:
    """The number of a finding's row in the index: by project, and then in the order of the pages.

    Of a higher rank or number than any finding has, it is higher than theirs.
    """
    return (((project << _RANK_BITS) + rank) << _NUMBER_BITS) + number


def text_of(finding: Finding | _Named) -> str:
    """What a finding is called, as it is looked for."""
    return _plain(f"{finding.title}\n{finding.resource}\n{finding.detector_id}\n\n")


def holds(body: bytes, folded: str) -> bool:
    """Whether a text stands in what a finding's document calls it, whatever its case."""
    named = _DECODE(body)
    return any(folded in one.casefold() for one in (named.title, named.resource, named.detector_id))


def digest_of(text: str) -> int:
    """What tells a text from others, in a whole number of SQLite's."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def _plain(text: str) -> str:
    # Where a text has a zero, SQLite takes it to end.
    return text.casefold().replace("\0", "\n")


def _all_of(folded: str) -> str:
    triples = [*dict.fromkeys(folded[at : at + 3] for at in range(len(folded) - 2))]
    # From all over the text, so that each of its signs is in one.
    return " AND ".join(map(_quoted, triples[:: -(-len(triples) // _TRIPLES_MAX)]))


def _quoted(triple: str) -> str:
    return '"' + triple.replace('"', '""') + '"'
