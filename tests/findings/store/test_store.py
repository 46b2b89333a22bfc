"""Every store of findings keeps the contract of the port."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from assent.errors import InputError, WorldError
from assent.findings.store import MemoryStore, SqliteStore, Where
from assent.testing import FindingsStoreContract
from assent.testing._findings_store import PROJECT, Opens, finding


class TestMemoryStore(FindingsStoreContract):
    """The store in memory."""

    @pytest.fixture
    def opens(self) -> Opens:
        store = MemoryStore()
        return lambda: store


class TestSqliteStore(FindingsStoreContract):
    """The store in a file."""

    @pytest.fixture
    def opens(self, tmp_path: Path) -> Opens:
        return lambda: SqliteStore(tmp_path / "findings.db")


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "findings.db").close()
    assert stat.S_IMODE((tmp_path / "findings.db").stat().st_mode) == 0o600


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "findings.db").close()
    (tmp_path / "link").symlink_to("findings.db")
    with pytest.raises(WorldError) as refused:
        SqliteStore(tmp_path / "link")
    assert refused.value.code == "STORAGE_FAILED"


def test_a_later_store_is_refused_and_a_changed_one_told(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "findings.db")
    db = apsw.Connection(str(tmp_path / "findings.db"))
    db.execute("DROP INDEX finding_run")
    assert store.validate_store_layout() is False
    db.pragma("user_version", 99)
    with pytest.raises(InputError) as refused:
        SqliteStore(tmp_path / "findings.db")
    assert refused.value.code == "STORE_TOO_NEW"


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "findings.db").write_bytes(b"no database" * 1000)
    with pytest.raises(WorldError) as told:
        SqliteStore(tmp_path / "findings.db")
    assert told.value.code == "STORAGE_FAILED"


def test_a_full_disk_loses_nothing_that_was_there(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "findings.db")
    store.save_finding(finding(1))
    store._db.pragma("max_page_count", store._db.pragma("page_count"))
    with pytest.raises(WorldError) as told:
        store.save_findings(finding(number, title="long" * 500) for number in range(2, 200))
    assert told.value.code == "DISK_FULL"
    assert [one.id for one in store.list_findings(PROJECT)] == [finding(1)["id"]]


def test_a_file_that_another_holds_is_told(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "findings.db")
    store._db.set_busy_timeout(1)
    other = apsw.Connection(str(tmp_path / "findings.db"))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(WorldError) as told:
        store.save_finding(finding(1))
    assert told.value.code == "STORAGE_BUSY"
    other.execute("ROLLBACK")
    store.save_finding(finding(1))
    assert len(store.page(PROJECT, Where(), limit=9).findings) == 1
    other.close()


_WRITES = """
import sys
from pathlib import Path
from assent.findings.store import SqliteStore
from assent.testing._findings_store import finding

store = SqliteStore(Path(sys.argv[1]))
for batch in range(100_000):
    store.save_findings(finding(batch * 7 + number) for number in range(7))
    print(batch + 1, flush=True)
"""


@pytest.mark.parametrize("batches", [1, 9])
def test_a_killed_writer_leaves_whole_batches(tmp_path: Path, batches: int) -> None:
    path = tmp_path / "findings.db"
    with subprocess.Popen(
        [sys.executable, "-c", _WRITES, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for _ in range(batches):
            writer.stdout.readline()
        writer.kill()
        told = batches + len(writer.stdout.readlines())
    store = SqliteStore(path)
    whole, half = divmod(len(store.list_findings(PROJECT)), 7)
    # One more may be there than was told: it was kept, and the process killed before it could say so.
    assert half == 0
    assert whole in (told, told + 1)
    assert store.validate_store_layout() is True
