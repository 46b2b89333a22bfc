"""Flip one bit of one byte of one entry in a ledger file, as a thief would who wants the record to say something else.

python3 flip.py LEDGER SEQ
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path


def main(ledger: Path, seq: int) -> None:
    """Change the last letter of the entry's kind, behind the back of Assent and of SQLite."""
    with closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?immutable=1", uri=True)) as database:
        ((leaf,),) = database.execute("SELECT leaf FROM events WHERE seq = ?", (seq,))
    data = bytearray(ledger.read_bytes())
    start = data.index(leaf)
    place = data.index(b'"', data.index(b'"kind":"', start) + len(b'"kind":"')) - 1
    before = data[place]
    data[place] ^= 1
    ledger.write_bytes(data)
    sys.stdout.write(f"byte {place} of {len(data)} was {chr(before)!r} and is {chr(data[place])!r} now\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
