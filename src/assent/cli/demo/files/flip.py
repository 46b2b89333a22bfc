"""Flip one bit of one byte of one entry in a ledger file, as a thief would who wants the record to say something else.

python3 flip.py LEDGER SEQ
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(ledger: Path, seq: int) -> None:
    """Change the last letter of the entry's kind, behind the back of Assent and of SQLite."""
    data = bytearray(ledger.read_bytes())
    end = data.index(b'"seq":%d,"v":' % seq)
    place = data.index(b'"', data.rindex(b'"kind":"', 0, end) + len(b'"kind":"')) - 1
    before = data[place]
    data[place] ^= 1
    ledger.write_bytes(data)
    sys.stdout.write(f"byte {place} of {len(data)} was {chr(before)!r} and is {chr(data[place])!r} now\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
