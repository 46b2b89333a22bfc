"""Both journals keep the contract of the port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.journal_contract import CompleteJournal, JournalContract
from tests.support.journals import TALLY, new_memory, open_sqlite


class TestSqliteJournal(JournalContract):
    """The journal in a file."""

    @pytest.fixture
    async def journal(self, tmp_path: Path) -> AsyncIterator[CompleteJournal]:
        journal = open_sqlite(tmp_path / "state", areas=[TALLY])
        yield journal
        await journal.close()


class TestMemoryJournal(JournalContract):
    """The journal in memory."""

    @pytest.fixture
    async def journal(self) -> AsyncIterator[CompleteJournal]:
        journal = new_memory(areas=[TALLY])
        yield journal
        await journal.close()
