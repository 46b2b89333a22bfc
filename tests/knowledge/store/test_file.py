"""The store in a file: nothing can be read at rest, and nothing but what was written is read back."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from threading import Barrier, Event
from types import SimpleNamespace
from typing import Any

import pytest

from assent.errors import AssentError, InputError, WorldError
from assent.knowledge.lexical import StoredSegment, without
from assent.knowledge.store import (
    MemoryKeys,
    MemoryStore,
    Recorded,
    SqlCipherStore,
    _file,
    _rows,
)
from assent.knowledge.store._database import PAGE_BYTES, STEPS, DamagedError, Database
from assent.knowledge.store._file import _RESEALED
from assent.knowledge.store._sealing import Sealer
from assent.system import SystemEntropy
from tests.knowledge.store.conftest import TREE, Stores, refused
from tests.support.knowledge import indexed, put, put_all


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file of this process can be made larger than that meanwhile."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_tenants_files_are_its_owners_alone_and_its_name_leads_nowhere(
    stores: Stores, tmp_path: Path
) -> None:
    for tenant in ("../../up", "/tmp/x", "a/b", "x" * 1024):  # a name, and no folder
        indexed(stores(tenant), TREE)
    assert [one.name for one in tmp_path.iterdir()] == ["knowledge"]
    assert stat.S_IMODE(stores.folder.stat().st_mode) == 0o700
    found = [*stores.folder.iterdir()]
    assert len(found) == 4 * 5  # the store, its log and the log's index, its keys, its lock
    assert {stat.S_IMODE(one.stat().st_mode) for one in found} == {0o600}
    for tenant in ("", "a\0b", "x" * 70_000):
        refused("KNOWLEDGE_NAME_INVALID", partial(stores, tenant))


def test_nothing_that_was_indexed_is_in_the_folder(stores: Stores) -> None:
    """500 markers in texts, paths, symbols, labels and pieces; after indexing, undo, forget and rotation."""
    markers = [b"marker%03dqx" % number for number in range(500)]
    store = stores()
    with store.index("marker-repository") as run:
        put_all(run, {f"{one.decode()}/path.py": b"def %s():\n    pass\n" % one for one in markers})
        put(run, "labelled.txt", b"marker text", "marker-label")
        run.put_piece("vectors", "marker-name", {"marker-part": b"".join(markers)})
        run.save()
        require_absent(stores.folder)
        run.commit()
    require_absent(stores.folder)
    indexed(store, {f"{markers[0].decode()}/path.py": b"again"}, "marker-repository")
    store.undo(2)
    store.forget(
        "marker-repository", [f"{one.decode()}/path.py" for one in markers[:250]], {"lexical": without}
    )
    require_absent(stores.folder)
    while store.rotate(400):
        require_absent(stores.folder)
    store.close()
    require_absent(stores.folder)


def require_absent(folder: Path, needle: bytes = b"marker") -> None:
    for one in folder.iterdir():
        assert needle not in one.read_bytes(), one.name
        assert needle.decode() not in one.name


def test_a_file_is_shorter_by_what_was_forgotten(stores: Stores) -> None:
    store = stores()
    large = {f"{number}.txt": b"%064d\n" % number * 900 for number in range(40)}
    indexed(store, TREE | large)
    store._ask("PRAGMA wal_checkpoint(TRUNCATE)")
    before = stores.file("tenant").stat().st_size
    store.forget("repo", large, {"lexical": without})
    assert stores.file("tenant").stat().st_size < before // 3
    assert store._ask("PRAGMA freelist_count") == [(0,)]
    store.verify()


def test_what_is_forgotten_is_not_even_in_a_plain_file(plain: Stores) -> None:
    store = plain()
    tree = {f"marker{number}.py": b"# marker %d\n" % number * 40 for number in range(200)}
    indexed(store, TREE | tree)
    indexed(store, TREE | dict.fromkeys(tree, b"marker again\n"))
    found = b"".join(one.read_bytes() for one in plain.folder.iterdir())
    assert b"marker" in found
    store.forget("repo", tree, {"lexical": without})
    require_absent(plain.folder)
    assert [one.path for one in store.files("repo")] == [*TREE]
    assert set(StoredSegment(store.pieces("repo", "lexical")[0]).paths) == {*TREE}
    refused("KNOWLEDGE_ENCRYPTION_DIFFERS", store.rotate)


def test_a_plain_store_is_never_taken_for_an_encrypted_one(stores: Stores, plain: Stores) -> None:
    for one in (stores, plain):
        indexed(one(), TREE)
    keys, plain.keys, stores.keys = stores.keys, stores.keys, None
    refused("KNOWLEDGE_ENCRYPTION_DIFFERS", plain)
    refused("KNOWLEDGE_ENCRYPTION_DIFFERS", stores)
    with pytest.raises(InputError, match="KNOWLEDGE_ENCRYPTION_DIFFERS"):
        SqlCipherStore(stores.folder, "tenant", keys=keys, encryption="off", salt=SystemEntropy().salt)
    with pytest.raises(InputError, match="KNOWLEDGE_ENCRYPTION_DIFFERS"):
        SqlCipherStore(stores.folder, "tenant", keys=None, salt=SystemEntropy().salt)


# -- files that are not what was written ---------------------------------------------------------


def test_another_key_opens_nothing(stores: Stores) -> None:
    indexed(stores(), TREE)
    stores.close()
    before, stores.keys = stores.keys, MemoryKeys()
    refused("KNOWLEDGE_KEY_MISSING", stores)
    assert before is not None
    (name,) = before._keys
    stores.keys.keep(name, bytes(32))
    refused("KNOWLEDGE_KEY_WRONG", stores)
    stores.keys = before
    stores.file("tenant", "keys").unlink()
    refused("KNOWLEDGE_KEY_MISSING", stores)


@pytest.mark.parametrize("size", [9, 100, PAGE_BYTES, 2 * PAGE_BYTES + 7, -PAGE_BYTES, -1])
def test_a_file_that_was_cut_is_refused(stores: Stores, size: int) -> None:
    store = stores()
    indexed(store, {f"{number}.txt": os.urandom(900).hex().encode() for number in range(99)})  # data
    store.forget("repo")
    stores.close()
    path = stores.file("tenant")
    os.truncate(path, size if size > 0 else path.stat().st_size + size)
    refused("KNOWLEDGE_STORE_DAMAGED", lambda: stores().verify())


def test_a_changed_page_is_refused(stores: Stores) -> None:
    store = stores()
    indexed(store, {f"{number}.txt": os.urandom(900).hex().encode() for number in range(99)})  # data
    store.forget("repo")
    stores.close()
    path = stores.file("tenant")
    # SQLCipher reads some pages that were changed as zeros: what is in them is found by its seal then.
    for at in range(PAGE_BYTES // 2, path.stat().st_size, 5 * PAGE_BYTES):
        before = path.read_bytes()
        path.write_bytes(before[:at] + bytes([before[at] ^ 1]) + before[at + 1 :])
        refused("KNOWLEDGE_(STORE_DAMAGED|RECORD_REFUSED)", lambda: stores().verify())
        stores.close()
        path.write_bytes(before)
    stores().verify()


def test_another_tenants_files_are_refused(stores: Stores) -> None:
    for tenant in ("tenant", "other"):
        indexed(stores(tenant), TREE)
        stores.close()
    shutil.copy(stores.file("other"), stores.file("tenant"))
    refused("KNOWLEDGE_STORE_FOREIGN", stores)
    shutil.copy(stores.file("other", "keys"), stores.file("tenant", "keys"))
    refused("KNOWLEDGE_STORE_FOREIGN", stores)
    stores.file("tenant").unlink()
    refused("KNOWLEDGE_STORE_FOREIGN", stores)


def test_another_tenants_plain_file_is_refused(plain: Stores) -> None:
    indexed(plain("other"), TREE)
    plain.close()
    shutil.copy(plain.file("other"), plain.file("tenant"))
    refused("KNOWLEDGE_STORE_FOREIGN", plain)
    plain.file("tenant").write_bytes(b"something else altogether")
    refused("KNOWLEDGE_STORE_FOREIGN", plain)
    plain.file("tenant").unlink()
    plain.file("tenant").symlink_to(plain.file("other"))
    refused("KNOWLEDGE_STORE_DAMAGED", plain)


def test_a_file_that_is_older_than_the_record_is_refused(stores: Stores, tmp_path: Path) -> None:
    first = indexed(stores(), TREE)
    stores.close()
    shutil.copytree(stores.folder, tmp_path / "copy")
    second = indexed(stores(), {"a.py": b"other\n"})
    known = Recorded(second.number, second.root)
    assert stores(expected=known).head() == second
    assert stores(expected=Recorded(first.number, first.root)).head() == second
    stores.close()
    shutil.rmtree(stores.folder)
    shutil.copytree(tmp_path / "copy", stores.folder)
    refused("KNOWLEDGE_STORE_ROLLED_BACK", lambda: stores(expected=known))
    # Another change is not the one that the record knows, whatever its number.
    assert indexed(stores(), {"a.py": b"a third\n"}).number == second.number
    refused("KNOWLEDGE_STORE_ROLLED_BACK", lambda: stores(expected=known))
    # Taking it back counts as well.
    undone = Recorded(stores().head().number, stores().head().root, is_undone=True)
    refused("KNOWLEDGE_STORE_ROLLED_BACK", lambda: stores(expected=undone))
    stores().undo(undone.number)
    assert stores(expected=undone).head().kind == "undo"
    stores.close()
    # As its hint says.
    shutil.rmtree(stores.folder)
    assert stores(expected=known).head().number == 0


@pytest.mark.parametrize("whose", ["tenant", "other"])
@pytest.mark.parametrize("kind", ["stores", "plain"])
def test_a_log_that_somebody_put_beside_it_is_refused_and_gets_not_into_it(
    request: pytest.FixtureRequest, whose: str, kind: str
) -> None:
    """Of before, as from a backup, or another's: once it is gone, all is as it was."""
    place: Stores = request.getfixturevalue(kind)
    file, log = place.file("tenant"), place.file("tenant", "db-wal")
    indexed(place(whose), {"old.py": b"old\n" * 9000})
    kept = place.file(whose, "db-wal").read_bytes()
    place.close()
    done = indexed(place(), TREE)
    place.close()
    before = file.read_bytes()
    log.write_bytes(kept)
    expected = Recorded(done.number, done.root)
    for _ in range(2):
        refused("KNOWLEDGE_STORE", lambda: place(expected=expected))
    assert file.read_bytes() == before
    log.unlink()
    place(expected=expected).verify()


def test_a_later_schema_is_refused(plain: Stores, stores: Stores) -> None:
    plain()._ask(f"PRAGMA user_version = {len(STEPS) + 1}")
    refused("KNOWLEDGE_STORE_TOO_NEW", plain)
    stores()
    path = stores.file("tenant", "keys")
    path.write_bytes(path.read_bytes().replace(b'"keys_version":1', b'"keys_version":2'))
    refused("KNOWLEDGE_STORE_TOO_NEW", stores)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b"\xff\xff",
        b'{"keys_version":1,"tenant":"","master":1,"file":[],"records":{},"escrow":{}}',
    ],
)
def test_a_damaged_file_of_keys_is_refused(stores: Stores, document: bytes) -> None:
    stores()
    stores.file("tenant", "keys").write_bytes(document)
    refused("KNOWLEDGE_STORE_DAMAGED", stores)


@pytest.mark.parametrize(
    ("at", "sql"),
    [
        ("text", "UPDATE chunks SET sealed = (SELECT sealed FROM chunks ORDER BY id DESC LIMIT 1)"),
        ("head", "UPDATE files SET sealed = (SELECT sealed FROM cuts)"),
        ("text", "UPDATE chunks SET sealed = CAST(substr(sealed, 1, length(sealed) - 1) || x'00' AS BLOB)"),
        ("text", "UPDATE chunks SET sealed = CAST(x'414b3200' || substr(sealed, 5) AS BLOB)"),
        ("text", "UPDATE chunks SET sealed = CAST(x'414b3000' || substr(sealed, 5) AS BLOB)"),
        ("text", "UPDATE chunks SET sealed = substr(sealed, 1, 9)"),
        (
            "text",
            "UPDATE chunks SET sealed = CAST(substr(sealed, 1, 7) || x'09' || substr(sealed, 9) AS BLOB)",
        ),
        ("text", "UPDATE files SET repository = (SELECT max(id) FROM repositories)"),
    ],
)
def test_a_record_at_another_place_or_changed_is_refused(stores: Stores, at: str, sql: str) -> None:
    store = stores()
    indexed(store, TREE)
    indexed(store, TREE, "elsewhere")
    held = store.files("repo")[0]
    store._ask(sql)
    refused(
        "KNOWLEDGE_RECORD_REFUSED",
        lambda: store.text(held.row, 0) if at == "text" else store.files("repo"),
    )


def test_a_record_is_opened_for_its_own_tenant_repository_key_and_place_alone() -> None:
    key, salt = {1: bytes(32)}, SystemEntropy().salt
    sealed = Sealer(b"t", key, salt).seal(b"data", b"r", b"p")
    assert Sealer(b"t", {**key, 2: bytes(32)}, salt).open(sealed, b"r", b"p") == b"data"
    for sealer, repository, place in (
        (Sealer(b"u", key, salt), b"r", b"p"),
        (Sealer(b"t", {1: bytes(31) + b"1"}, salt), b"r", b"p"),
        (Sealer(b"t", {2: bytes(32)}, salt), b"r", b"p"),
        (Sealer(b"t", key, salt), b"s", b"p"),
        (Sealer(b"t", key, salt), b"r", b"q"),
        (Sealer(b"t", {}, salt), b"r", b"p"),
    ):
        with pytest.raises(InputError, match="KNOWLEDGE_RECORD_REFUSED"):
            sealer.open(sealed, repository, place)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM files WHERE id = (SELECT max(id) FROM files)",
        "UPDATE generations SET root = zeroblob(32)",
    ],
)
def test_what_does_not_fit_its_root_is_found(plain: Stores, sql: str) -> None:
    store = plain()
    indexed(store, TREE)
    store._ask(sql)
    refused("KNOWLEDGE_STORE_DAMAGED", store.verify)


@pytest.mark.parametrize("column", ["text", "cuts", "head"])
def test_what_does_not_fit_its_leaf_is_found(plain: Stores, column: str) -> None:
    store = plain()
    indexed(store, TREE)
    if column == "text":
        store._ask("UPDATE chunks SET sealed = CAST(sealed || x'20' AS BLOB)")
    elif column == "head":
        store._ask("UPDATE files SET sealed = (SELECT sealed FROM cuts)")
    else:
        store._ask("UPDATE cuts SET sealed = (SELECT sealed FROM cuts ORDER BY id LIMIT 1)")
        store._ask("UPDATE chunks SET sealed = (SELECT sealed FROM chunks ORDER BY id LIMIT 1)")
    refused("KNOWLEDGE_STORE_DAMAGED", store.verify)


def test_a_file_of_a_repository_that_is_not_there_is_none(plain: Stores) -> None:
    store = plain()
    indexed(store, TREE)
    row = store.files("repo")[0].row
    store._ask("UPDATE files SET repository = 99")
    refused("KNOWLEDGE_STALE", lambda: store.text(row, 0))


def test_pages_out_of_order_are_found(plain: Stores) -> None:
    store = plain()
    indexed(store, TREE)
    store._ask("PRAGMA writable_schema = ON")
    store._ask(
        "UPDATE sqlite_schema SET sql = 'CREATE INDEX files_by_birth ON files (died)' WHERE name = 'files_by_birth'"
    )
    store.close()
    refused("KNOWLEDGE_STORE_DAMAGED", lambda: plain().verify())


# -- several at once, and a disk that fails --------------------------------------------------------


def test_one_writes_at_a_time_and_others_read(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_file, "BUSY_S", 0)
    writer, reader = stores(), stores()
    done = indexed(writer, TREE)
    with writer.index("repo") as run:
        put(run, "c.py", b"c\n")
        assert reader.head() == done
        assert len(reader.files("repo")) == 2
        refused("STORAGE_BUSY", lambda: indexed(reader, TREE))
        run.commit()
    assert len(reader.files("repo")) == 3
    assert indexed(reader, TREE).number == 3
    assert writer.head() == reader.head()


def test_threads_read_while_others_write_and_replace_the_keys(stores: Stores) -> None:
    """Both through the store that writes, and through another one, whose connection has to be made anew."""
    store, other = stores(), stores()
    indexed(store, TREE)
    ended, ready = Event(), Barrier(3)

    def read(reader: SqlCipherStore) -> int:
        ready.wait()
        rounds = 0
        while not ended.wait(0.001) or not rounds:
            files = reader.files("repo")
            assert [one.path for one in files] == [*TREE]
            assert b"".join(reader.text(one.row, 0) for one in files) == b"".join(TREE.values())
            rounds += 1
        return rounds

    with ThreadPoolExecutor(2) as pool:
        reading = [pool.submit(read, one) for one in (store, other)]
        ready.wait()
        try:
            for number in range(3):
                while store.rotate(2):
                    pass
                indexed(other, {"x.py": b"x = %d\n" % number}, "elsewhere")
        finally:
            ended.set()
        assert all(one.result() for one in reading)
    store.verify()


def test_threads_of_one_connection_see_nothing_that_is_not_durable(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they keep under the number of a generation would be of one that never came."""
    store = stores()
    done = indexed(store, TREE)
    with ThreadPoolExecutor(1) as pool:
        heads = []

        def hit(point: str) -> None:
            if point == "knowledge.before":
                heads.append(pool.submit(lambda: (store.head(), len(store.files("repo")))))
                wait(heads, timeout=0.2)
                raise WorldError("DISK_FULL", "at the last moment")

        monkeypatch.setattr(_rows, "FAILPOINTS", SimpleNamespace(hit=hit))
        for change in (
            lambda: indexed(store, {"new.txt": b"new\n"}),
            lambda: store.undo(1),
            lambda: store.forget("repo", ["a.py"]),
        ):
            refused("DISK_FULL", change)
        assert [one.result() for one in heads] == [(done, 2)] * 3


def test_a_store_that_is_closed_while_another_thread_writes_is_told_there(stores: Stores) -> None:
    store = stores()

    def closed() -> None:
        with store.index("repo") as run:
            store.close()
            put_all(run, TREE)

    refused("KNOWLEDGE_STORE_CLOSED", closed)
    assert stores().head().number == 0


@pytest.mark.parametrize("act", ["index", "forget", "undo"])
def test_what_is_written_to_a_file_that_was_removed_meanwhile_is_not_told_as_done(
    stores: Stores, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stores()
    indexed(store, TREE)
    committed = store._committed

    def removed(*given: Any) -> Any:
        stores.file("tenant").unlink()
        return committed(*given)

    monkeypatch.setattr(store, "_committed", removed)
    acts: dict[str, Callable[[], object]] = {
        "index": lambda: indexed(store, {"a.py": b"other\n"}),
        "forget": lambda: store.forget("repo", ["a.py"]),
        "undo": lambda: store.undo(1),
    }
    refused("KNOWLEDGE_STALE", acts[act])
    assert not store.is_in_place()
    assert stores().head().number == 0


def test_what_was_changed_on_the_disk_is_found_though_it_is_in_memory(stores: Stores) -> None:
    store = stores()
    indexed(store, {f"{number}.txt": os.urandom(3_000).hex().encode() for number in range(40)})
    store.verify()
    store._ask("PRAGMA wal_checkpoint(TRUNCATE)")
    with stores.file("tenant").open("r+b") as file:
        file.seek(5 * PAGE_BYTES)
        file.write(bytes(PAGE_BYTES))
    refused("KNOWLEDGE_STORE_DAMAGED", store.verify)


def test_who_waits_for_a_writer_goes_on_after_it(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, other = stores(), stores()
    with ExitStack() as first:
        first.enter_context(writer.index("repo"))

        def pause(_: float) -> None:
            first.close()

        monkeypatch.setattr(_file, "_pause", pause)
        assert indexed(other, TREE).number == 1


def test_nobody_waits_for_a_writer_to_open_a_store_and_read_it(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assent.knowledge.store._database.BUSY_S", 0)
    store = stores()
    done = indexed(store, TREE)
    with store.index("elsewhere") as run:
        put_all(run, TREE)
        reader = stores()
        assert (reader.head(), len(reader.files("repo"))) == (done, 2)


def test_two_that_make_a_store_make_it_once(stores: Stores) -> None:
    """Each sees before it waits for the other that the store is new."""
    store = stores()
    done = indexed(store, TREE)
    with store._db.whole():
        store._migrate()
    assert stores().head() == done


def test_one_thread_writes_in_memory_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assent.knowledge.store._rows.BUSY_S", 0)
    store = MemoryStore("tenant")
    with store.index("repo"):
        refused("STORAGE_BUSY", lambda: indexed(store, TREE))
    store.close()


def test_who_forgets_is_told_when_a_reader_keeps_it_and_the_next_writer_ends_it(
    plain: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assent.knowledge.store._database.BUSY_S", 0)
    store, reader = plain(), plain()
    indexed(store, TREE | {"gone.txt": b"marker\n"})
    reader._ask("BEGIN")
    reader.files("repo")
    refused("STORAGE_BUSY", lambda: store.forget("repo", ["gone.txt"]))
    assert store.file("repo", "gone.txt") is None
    reader._ask("ROLLBACK")
    indexed(store, TREE, "elsewhere")
    require_absent(plain.folder)


def test_a_full_disk_is_told_and_nothing_of_the_run_is_there(plain: Stores) -> None:
    store = plain()
    done = indexed(store, TREE)
    store._ask("PRAGMA max_page_count = 30")
    refused("DISK_FULL", lambda: indexed(store, {"large.txt": b"line of text\n" * 90_000}))
    store._ask("PRAGMA max_page_count = 30000")
    assert store.head() == done
    assert len(store.files("repo")) == 2
    store.verify()


def test_a_place_where_no_file_can_be_is_told(plain: Stores) -> None:
    plain.file("tenant").mkdir(parents=True)
    refused("STORAGE_FAILED", plain)


def test_a_database_that_somebody_locked_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assent.knowledge.store._database.BUSY_S", 0)
    one, other = (Database(tmp_path / "x.db", None) for _ in range(2))
    one.ask("BEGIN IMMEDIATE")
    refused("STORAGE_BUSY", lambda: other.ask("BEGIN IMMEDIATE"))
    one.back()
    one.back()
    one.close()
    other.close()


def test_what_the_disk_refuses_is_no_damage(stores: Stores) -> None:
    """Whoever is told of damage removes the store: a file that may not grow is told as that, and all is there afterwards."""
    store = stores()
    done = indexed(store, TREE)
    with files_of_at_most(stores.file("tenant", "db-wal").stat().st_size):
        refused("STORAGE_FAILED", lambda: indexed(store, {"large.txt": os.urandom(200_000).hex().encode()}))
    assert stores().head() == done
    for ending in ("lock", "keys", "db"):
        held = stores.file("tenant", ending)
        held.rename(stores.folder / "held")
        held.mkdir()
        refused("STORAGE_FAILED|KNOWLEDGE_STORE_DAMAGED", lambda: indexed(stores(), TREE))
        held.rmdir()
        (stores.folder / "held").rename(held)
    stores().verify()


@pytest.mark.parametrize("steps", [0, 12])
def test_a_rotation_that_the_disk_refuses_loses_nothing_and_is_ended_later(
    stores: Stores, steps: int
) -> None:
    """By the same process, which must not go on with keys that no file has."""
    store = stores()
    done = indexed(store, {f"{number}.txt": os.urandom(9_000).hex().encode() for number in range(40)})
    for _ in range(steps):
        store.rotate()
    draft = stores.file("tenant", "keys.new")
    draft.mkdir()
    refused("STORAGE_FAILED", lambda: [*iter(store.rotate, False)])
    draft.rmdir()
    assert store.head() == done
    while store.rotate():
        pass
    again = stores()
    again.verify()
    assert (again.head(), again.is_rotating) == (done, False)


class _Failing(MemoryKeys):
    """A keychain that is locked, or on a disk that can't be written, at the one call that is counted down to."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0

    def _asked(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.EROFS, "Read-only file system")

    def load(self, name: str) -> bytes | None:
        self._asked()
        return super().load(name)

    def keep(self, name: str, key: bytes) -> None:
        self._asked()
        super().keep(name, key)

    def destroy(self, name: str) -> None:
        self._asked()
        super().destroy(name)


def test_a_rotation_for_which_keys_cannot_be_kept_or_destroyed_loses_nothing_and_is_ended_later(
    stores: Stores,
) -> None:
    """Whichever call it is, by the same process and by the next; when it has ended there is one master."""
    keys = stores.keys = _Failing()
    store = stores()
    indexed(store, TREE)
    failed = 0
    for at in count(1):
        keys.left = at
        with suppress(WorldError):
            while store.rotate():
                pass
        if keys.left > 0:
            break
        failed += 1
        keys.left = 0
        indexed(store, {"new.txt": b"number %d\n" % at}, "elsewhere")
        stores().verify()
        while store.rotate():
            pass
        again = stores()
        again.verify()
        assert (len(again.files("repo")), again.is_rotating, len(keys._keys)) == (2, False, 1)
    assert failed > 3


def test_a_page_that_the_disk_would_not_give_once_is_read_the_next_time(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told as a disk that fails, or not at all; as damage only if it stays so, for then somebody removes the store."""
    files = {f"{number}.txt": os.urandom(9_000).hex().encode() for number in range(40)}
    indexed(stores(), files)
    stores.close()
    place = stores.file("tenant")
    kept = place.read_bytes()

    def spoil() -> None:
        place.write_bytes(kept[: 4 * PAGE_BYTES] + kept[:3:-1][4 * PAGE_BYTES - 4 :])

    def mend() -> None:
        place.write_bytes(kept)

    reader = stores()
    spoil()
    refused("KNOWLEDGE_STORE_DAMAGED", lambda: reader.files("repo"))
    mend()
    assert len(reader.files("repo")) == 40

    def mended(store: SqlCipherStore, error: DamagedError) -> AssentError:
        mend()
        return judged(store, error)

    judged = SqlCipherStore._judged
    for stays in (True, False):
        writer = stores()
        with monkeypatch.context() as patched:
            if not stays:
                patched.setattr(SqlCipherStore, "_judged", mended)
            code = "KNOWLEDGE_STORE_DAMAGED" if stays else "STORAGE_FAILED"

            def spoiled(one: SqlCipherStore = writer) -> None:
                with one.index("repo") as run:
                    spoil()
                    put_all(run, files)

            refused(code, spoiled)
        mend()
        assert indexed(writer, TREE).number == (1 if stays else 2) + 1
        writer.verify()
        kept = Path(place).read_bytes()


def test_pages_whose_key_could_not_be_replaced_keep_the_one_they_have(stores: Stores) -> None:
    store = stores()
    done = indexed(store, {f"{number}.txt": os.urandom(9_000).hex().encode() for number in range(40)})
    while store._meta("resealed", "0 0") != f"{len(_RESEALED)} 0":
        store.rotate()
    store._ask("PRAGMA wal_checkpoint(TRUNCATE)")
    with files_of_at_most(200_000):
        refused("STORAGE_FAILED", store.rotate)
    assert indexed(store, TREE, "elsewhere").number == 2
    stores().verify()
    while store.rotate():
        pass
    again = stores()
    again.verify()
    assert (len(again.files("repo")), again.is_rotating, done.number) == (40, False, 1)
