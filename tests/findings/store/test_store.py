"""Every store of findings keeps the contract of the port."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from assent.errors import InputError, WorldError
from assent.findings.store import BatchStoragePort, FolderStore, MemoryStore, SqliteStore, Where
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


class TestFolderStore(FindingsStoreContract):
    """The store in a folder."""

    @pytest.fixture
    def opens(self, tmp_path: Path) -> Opens:
        return lambda: FolderStore(tmp_path / "findings")


def folder_of(path: Path) -> FolderStore:
    """A store with one finding and one document in it."""
    store = FolderStore(path)
    store.save_finding(finding(1))
    store.atomic_write("a/b", {"store_schema_version": "1.0.0"})
    return store


ONE = f"projects/{PROJECT}/{finding(1)['id']}.json"


def test_a_folder_is_its_owners_alone_and_each_finding_a_file(tmp_path: Path) -> None:
    folder_of(tmp_path / "f")
    found = sorted((tmp_path / "f").rglob("*"))
    assert [str(one.relative_to(tmp_path / "f")) for one in found if one.is_file()] == [
        "documents/a.b.json",
        "lock",
        ONE,
        "store.json",
    ]
    assert {stat.S_IMODE(one.stat().st_mode) for one in found} == {0o600, 0o700}
    assert json.loads((tmp_path / "f" / ONE).read_text()) == finding(1)


def test_some_other_folder_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(InputError) as refused:
        FolderStore(tmp_path)
    assert refused.value.code == "STORE_LAYOUT_INVALID"
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_of_a_later_release_is_refused(tmp_path: Path) -> None:
    folder_of(tmp_path / "f")
    (tmp_path / "f/store.json").write_text('{"store_schema_version": "2.0.0"}')
    with pytest.raises(InputError) as refused:
        FolderStore(tmp_path / "f")
    assert refused.value.code == "STORE_TOO_NEW"


@pytest.mark.parametrize("place", ["", "projects", f"projects/{PROJECT}", ONE])
def test_links_in_a_folder_are_not_followed(tmp_path: Path, place: str) -> None:
    path = tmp_path / "f"
    folder_of(path)
    (path / place).rename(tmp_path / "elsewhere")
    (path / place).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WorldError) as told:
        FolderStore(path).list_findings(PROJECT)
    assert told.value.code == "STORAGE_FAILED"


@pytest.mark.parametrize(
    ("place", "content"),
    [
        ("other", ""),
        ("documents/x.json", "{}"),
        ("documents/x.json", "[]"),
        ("documents/x.json", "{"),
        ("documents/x", '{"store_schema_version": "1.0.0"}'),
        (ONE, "{"),
        (ONE, json.dumps(finding(2))),
        (ONE, json.dumps(finding(1, project_id="0" * 8 + PROJECT[8:-1] + "9"))),
        ("projects/other", ""),
    ],
)
def test_a_folder_that_somebody_meddled_with_is_told(tmp_path: Path, place: str, content: str) -> None:
    store = folder_of(tmp_path / "f")
    assert store.validate_store_layout() is True
    (tmp_path / "f" / place).write_text(content)
    assert store.validate_store_layout() is False


def test_a_damaged_finding_is_told_with_its_file(tmp_path: Path) -> None:
    store = folder_of(tmp_path / "f")
    (tmp_path / "f" / ONE).write_text("{")
    with pytest.raises(WorldError) as told:
        store.list_findings(PROJECT)
    assert (told.value.code, str(told.value.path).endswith(ONE)) == ("STORAGE_FAILED", True)


def test_what_was_ready_is_kept_and_what_was_pending_is_not(tmp_path: Path) -> None:
    """As a process leaves it that ended in the middle: of the making, of a batch, of moving its files, of a removal."""
    path = tmp_path / "f"
    path.mkdir()
    (path / "store.json.new").write_text("{")
    store = FolderStore(path)
    for number, folder in ((1, "ready"), (2, "pending"), (3, "gone")):
        (path / folder).mkdir()
        one = finding(number)
        (path / folder / f"{PROJECT}_{one['id']}.json").write_text(json.dumps(one))
    assert [one.id for one in store.list_findings(PROJECT)] == [finding(1)["id"]]
    assert store.validate_store_layout() is True


_TOO_LONG = """
import resource, sys
from pathlib import Path
from assent.errors import WorldError
from assent.findings.store import FolderStore
from assent.testing._findings_store import finding

store = FolderStore(Path(sys.argv[1]))
store.save_finding(finding(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    store.save_findings([finding(2), finding(3, title="long" * 900)])
except WorldError as error:
    print(error.code)
"""


def test_a_write_that_fails_keeps_nothing_of_its_batch(tmp_path: Path) -> None:
    run = [sys.executable, "-c", _TOO_LONG, str(tmp_path / "f")]
    told = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert told == "STORAGE_FAILED\n"
    store = FolderStore(tmp_path / "f")
    assert [one.id for one in store.list_findings(PROJECT)] == [finding(1)["id"]]
    assert store.validate_store_layout() is True


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
from assent.findings.store import FolderStore, SqliteStore
from assent.testing._findings_store import finding

store = {"SqliteStore": SqliteStore, "FolderStore": FolderStore}[sys.argv[2]](Path(sys.argv[1]))
for batch in range(100_000):
    store.save_findings(finding(batch * 7 + number) for number in range(7))
    print(batch + 1, flush=True)
"""


@pytest.mark.parametrize("kind", [SqliteStore, FolderStore])
@pytest.mark.parametrize("batches", [1, 9])
def test_a_killed_writer_leaves_whole_batches(
    tmp_path: Path, batches: int, kind: type[SqliteStore | FolderStore]
) -> None:
    path = tmp_path / "findings"
    with subprocess.Popen(
        [sys.executable, "-c", _WRITES, str(path), kind.__name__], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for _ in range(batches):
            writer.stdout.readline()
        writer.kill()
        told = batches + len(writer.stdout.readlines())
    store: BatchStoragePort = kind(path)
    whole, half = divmod(len(store.list_findings(PROJECT)), 7)
    # One more may be there than was told: it was kept, and the process killed before it could say so.
    assert half == 0
    assert whole in (told, told + 1)
    assert store.validate_store_layout() is True
