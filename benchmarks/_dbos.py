"""DBOS Transact on SQLite, by its documentation: decorated functions, a SQLite system database, workflows called directly.

Sync workflows in threads are used, because they were measured to be faster than `async` ones (at 1 and at 64), and calls from
the caller's own threads to be no slower than `start_workflow`. Its documentation gives no advice on speed with SQLite.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from benchmarks._contender import STEPS, Contender, Evidence, Load


def dbos(*, wal: bool, pool_size: int | None = None) -> Contender:
    """DBOS as shipped (a rollback journal, `synchronous` at SQLite's default, FULL), or with WAL forced on its file.

    `pool_size=1` makes its writers queue for one connection instead of competing for SQLite's lock, which waits by sleeping.
    """

    @asynccontextmanager
    async def opened(folder: Path, concurrency: int) -> AsyncIterator[Load]:
        del concurrency
        from dbos import DBOS, DBOSConfig

        path = folder / "dbos.sqlite"
        if wal:
            # The mode is a property of the file: it holds for every connection that DBOS makes later.
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")

        @DBOS.step()
        def noop() -> None:
            return None

        @DBOS.workflow()
        def five_steps() -> None:
            for _ in range(STEPS):
                noop()

        config: DBOSConfig = {
            "name": "bench",
            "system_database_url": f"sqlite:///{path}",
            "log_level": "ERROR",
            "enable_otlp": False,
        }
        if pool_size is not None:
            config["sys_db_pool_size"] = pool_size
        DBOS(config=config)
        DBOS.launch()
        mode = "WAL forced" if wal else "rollback journal"
        pool = "its default connection pool" if pool_size is None else f"sys_db_pool_size={pool_size}"
        try:
            yield Load(
                Evidence(path, "SELECT count(*) FROM operation_outputs", STEPS),
                f"{mode}, synchronous=FULL, {pool}, sync workflows in threads",
                in_thread=five_steps,
            )
        finally:
            DBOS.destroy()

    return opened
