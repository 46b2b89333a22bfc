"""What SQLite itself can do: the same number of durable commits, and nothing else.

Five steps, each recorded before it begins and after it ended, need at least six commits: a step's end shares one with the next
step's beginning. At concurrency 1 each of the six writes one row; at 64 each writes 64 rows, as if group commit were perfect.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw

from benchmarks._contender import STEPS, Evidence, Load

COMMITS = STEPS + 1
ROW_BYTES = 1440
"""What Assent's file grows by with each of the six (`ledger` prints it per event; a workflow has twelve events)."""


@asynccontextmanager
async def raw_sqlite(folder: Path, concurrency: int) -> AsyncIterator[Load]:
    """One thread, one connection, prepared statements, the ledger's own settings."""
    path = folder / "raw.db"
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "FULL")
    connection.wal_autocheckpoint(4096)
    connection.execute("CREATE TABLE rows(id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
    body = os.urandom(ROW_BYTES)

    def once() -> None:
        for _ in range(COMMITS):
            connection.execute("BEGIN IMMEDIATE")
            for _ in range(concurrency):
                connection.execute("INSERT INTO rows(body) VALUES (?)", (body,))
            connection.execute("COMMIT")

    try:
        yield Load(
            Evidence(path, "SELECT count(*) FROM rows", COMMITS),
            f"WAL, synchronous=FULL, {COMMITS} commits of {concurrency} row(s) of {ROW_BYTES} bytes per round",
            in_thread=once,
            per_call=concurrency,
        )
    finally:
        connection.close()
