"""Every provider of resources keeps the contract of the port; the one in a file lasts, whatever happens to its process."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from assent.errors import InputError, WorldError
from assent.findings.assets import MemoryProvider, ResourceProvider, SqliteProvider, _sqlite, ports
from assent.testing import ResourceRegistryContract
from assent.testing._resource_registry import LATER, WHEN, WORDS, OpensProvider

MIB = 1 << 20


class TestMemoryProvider(ResourceRegistryContract):
    """The provider in memory."""

    @pytest.fixture
    def opens(self) -> OpensProvider:
        provider = MemoryProvider()
        return lambda: provider


class TestSqliteProvider(ResourceRegistryContract):
    """The provider in a file."""

    @pytest.fixture
    def opens(self, tmp_path: Path) -> OpensProvider:
        return lambda: SqliteProvider(tmp_path / "resources.db")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "resources.db"


@pytest.mark.parametrize("kind", [MemoryProvider, SqliteProvider])
def test_a_content_has_a_limit(path: Path, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    provider: ResourceProvider = kind(path) if kind is SqliteProvider else kind()
    monkeypatch.setattr(ports, "CONTENT_BYTES_MAX", 2 * MIB)
    assert provider.publish(f"{WORDS}:1", bytes(2 * MIB), at=WHEN).size_bytes == 2 * MIB
    with pytest.raises(InputError) as refused:
        provider.publish(f"{WORDS}:2", (bytes(MIB) for _ in iter(int, 1)), at=WHEN)
    assert refused.value.code == "RESOURCE_TOO_LARGE"
    assert [one.version for one in provider.versions()] == ["1"]


def test_one_content_is_kept_once(path: Path) -> None:
    provider = SqliteProvider(path)
    for word in ("1", "2", "2"):
        provider.publish(f"{WORDS}:{word}", bytes(3 * MIB), at=WHEN)
    provider.promote(f"{WORDS}:1", "global", at=WHEN)
    assert provider._db.execute("SELECT count(*), sum(length(body)) FROM piece").get == (3, 3 * MIB)


def test_versions_come_page_by_page_while_others_publish(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sqlite, "_PAGE", 2)
    provider = SqliteProvider(path)
    for number in range(5):
        provider.publish(f"{WORDS}:{number}", b"", at=WHEN)
    listed = provider.versions("project/shop")
    first = next(listed)
    SqliteProvider(path).publish(f"{WORDS}:5", b"", at=WHEN)
    assert [first.version, *(one.version for one in listed)] == ["0", "1", "2", "3", "4", "5"]


def test_the_files_are_their_owners_alone(path: Path) -> None:
    provider = SqliteProvider(path)
    provider.publish(f"{WORDS}:1", b"secret words", at=WHEN)
    found = sorted(path.parent.iterdir())
    assert len(found) > 1
    assert {stat.S_IMODE(one.stat().st_mode) for one in found} == {0o600}


def test_a_later_registry_is_refused(path: Path) -> None:
    SqliteProvider(path).close()
    db = apsw.Connection(str(path))
    db.pragma("user_version", 99)
    with pytest.raises(InputError) as refused:
        SqliteProvider(path)
    assert refused.value.code == "STORE_TOO_NEW"


def test_a_damaged_file_is_told(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(WorldError) as told:
        SqliteProvider(path)
    assert told.value.code == "STORAGE_FAILED"


def test_a_link_is_not_followed(path: Path) -> None:
    SqliteProvider(path).close()
    (path.parent / "link").symlink_to(path)
    with pytest.raises(WorldError) as told:
        SqliteProvider(path.parent / "link")
    assert told.value.code == "STORAGE_FAILED"


def test_a_full_disk_loses_nothing_that_was_there(path: Path) -> None:
    provider = SqliteProvider(path)
    provider.publish(f"{WORDS}:1", b"there", at=WHEN)
    provider._db.pragma("max_page_count", provider._db.pragma("page_count"))
    with pytest.raises(WorldError) as told:
        provider.publish(f"{WORDS}:2", bytes(MIB), at=WHEN)
    assert told.value.code == "DISK_FULL"
    assert [one.version for one in provider.versions()] == ["1"]


def test_a_file_that_another_holds_is_told(path: Path) -> None:
    provider = SqliteProvider(path)
    provider._db.set_busy_timeout(1)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(WorldError) as told:
        provider.publish(f"{WORDS}:1", b"", at=WHEN)
    assert told.value.code == "STORAGE_BUSY"
    other.execute("ROLLBACK")
    provider.publish(f"{WORDS}:1", b"", at=WHEN)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE piece SET body = zeroblob(length(body)) WHERE number = 1",
        "DELETE FROM piece WHERE number = 2",
        "INSERT INTO piece VALUES (1, 3, x'00')",
        "DELETE FROM content",
    ],
)
def test_damaged_content_is_not_used_and_is_mended_by_publishing_it_again(path: Path, damage: str) -> None:
    content = b"word" * MIB
    provider = SqliteProvider(path)
    provider.publish(f"{WORDS}:1", content[: 3 * MIB], at=WHEN)
    apsw.Connection(str(path)).execute(damage)
    with pytest.raises(WorldError) as told:
        provider.use(f"{WORDS}:1", at=WHEN)
    assert told.value.code == "RESOURCE_CORRUPT"
    assert provider.resolve(f"{WORDS}:1").uses == 0
    provider.publish(f"{WORDS}:1", content[: 3 * MIB], at=LATER)
    assert b"".join(provider.use(f"{WORDS}:1", at=WHEN).content) == content[: 3 * MIB]


def test_content_that_is_damaged_while_it_is_read_is_told_at_its_end(path: Path) -> None:
    provider = SqliteProvider(path)
    provider.publish(f"{WORDS}:1", bytes(3 * MIB), at=WHEN)
    content = provider.use(f"{WORDS}:1", at=WHEN).content
    next(content)
    apsw.Connection(str(path)).execute("UPDATE piece SET body = x'01' WHERE number = 2")
    with pytest.raises(WorldError) as told:
        list(content)
    assert told.value.code == "RESOURCE_CORRUPT"


_DIES = """
import os, signal, sys
from pathlib import Path
from assent.findings.assets import SqliteProvider
from assent.testing._resource_registry import WHEN, WORDS

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def pieces(dies):
    for number in range(5):
        if number == dies:
            die()
        yield bytes([number]) * (1 << 20)

provider = SqliteProvider(Path(sys.argv[1]))
match sys.argv[2]:
    case "piece":
        provider.publish(f"{WORDS}:2", pieces(int(sys.argv[3])), at=WHEN)
    case "publish":
        provider._db.set_commit_hook(die)
        provider.publish(f"{WORDS}:2", pieces(-1), at=WHEN)
    case "mend":
        provider._db.set_commit_hook(die)
        provider.publish(f"{WORDS}:1", b"there", at=WHEN)
    case "promote":
        provider._db.set_commit_hook(die)
        provider.promote(f"{WORDS}:1", "global", at=WHEN)
    case "retire":
        provider._db.set_commit_hook(die)
        provider.retire(f"{WORDS}:1", at=WHEN)
    case "withdraw":
        provider._db.set_commit_hook(die)
        provider.withdraw(f"{WORDS}:1", published_at=WHEN)
    case "use":
        provider._db.set_commit_hook(die)
        provider.use(f"{WORDS}:1", at=WHEN)
"""


@pytest.mark.parametrize(
    "where", ["piece 0", "piece 3", "publish", "mend", "promote", "retire", "withdraw", "use"]
)
def test_a_process_that_dies_before_it_commits_leaves_what_was(path: Path, where: str) -> None:
    before = SqliteProvider(path)
    made = before.publish(f"{WORDS}:1", b"there", at=WHEN)
    before.close()
    died = subprocess.run([sys.executable, "-c", _DIES, str(path), *where.split()], check=False)
    assert died.returncode == -signal.SIGKILL
    after = SqliteProvider(path)
    assert list(after.versions()) == [made]
    assert after._file.has_valid_layout()
    assert after._db.execute("SELECT count(*) FROM piece").get == 1
    assert b"".join(after.use(f"{WORDS}:1", at=WHEN).content) == b"there"


_WRITES = """
import sys
from pathlib import Path
from assent.findings.assets import SqliteProvider
from assent.testing._resource_registry import WHEN, WORDS

provider = SqliteProvider(Path(sys.argv[1]))
for number in range(100_000):
    provider.publish(f"{WORDS}:{number}", (bytes([number % 251, one]) * 300_000 for one in range(4)), at=WHEN)
    print(number + 1, flush=True)
"""


@pytest.mark.parametrize("versions", [1, 7])
def test_a_killed_publisher_leaves_whole_versions(path: Path, versions: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _WRITES, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for _ in range(versions):
            writer.stdout.readline()
        writer.kill()
        told = versions + len(writer.stdout.readlines())
    provider = SqliteProvider(path)
    there = list(provider.versions())
    # One more may be there than was told: it was kept, and the process killed before it could say so.
    assert len(there) in (told, told + 1)
    for one in there:
        assert sum(len(piece) for piece in provider.use(one.reference, at=WHEN).content) == one.size_bytes
    assert provider._file.has_valid_layout()
