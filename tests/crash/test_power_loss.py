"""The record survives the loss of power and the failing of the disk at any operation: nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import pytest

from assent.errors import AssentError
from assent.journal import Ed25519Verifier, SqliteJournal, SqliteReader, leaves_at_once, verify_ledger
from assent.journal._blobs import BlobStore
from assent.journal._files import ensure_private_dir
from assent.journal.store._connection import connect_reader, connect_writer
from assent.journal.store._schema import prepare_ledger
from tests.support.faulty_disk import (
    Acknowledged,
    FailingDisk,
    Operation,
    RecordingDisk,
    after_power_loss,
)
from tests.support.journals import (
    ADA,
    KEY,
    CountedEntropy,
    SimpleProjector,
    StillClock,
    created,
    open_sqlite,
    progressed,
    run_id,
    succeeded,
)
from tests.support.seeds import dice

LEDGER = "ledger.db"
WAL_PAGES = 16
"""Few, so that the log moves to the file several times during the workload."""


async def _workload(
    state: Path,
    vfs: str,
    acknowledge: Callable[[int], None],
    *,
    synchronous: Literal["FULL", "NORMAL"] = "FULL",
    owners: int = 2,
    runs: int = 3,
) -> None:
    """Some runs, one erasure and a clean end, by one owner after the other."""
    for session in range(owners):
        journal = _opened(state, vfs, synchronous=synchronous)
        try:
            acknowledge((await journal.head()).size)
            for number in range(runs):
                run = run_id(10 * session + number)
                acknowledge((await journal.append(created(run))).size)
                acknowledge((await journal.append(progressed(run, 1))).size)
                acknowledge((await journal.append(succeeded(run, 2))).size)
            await journal.erase(run_id(10 * session), who=ADA, at_ms=1)
            acknowledge((await journal.head()).size)
        finally:
            await journal.close()


def _opened(state: Path, vfs: str, **how: Literal["FULL", "NORMAL"]) -> SqliteJournal:
    path = state / LEDGER
    writer = connect_writer(path, vfs=vfs, **how)
    try:
        writer.wal_autocheckpoint(WAL_PAGES)
        blobs = BlobStore(state / "blobs")
        blobs.prepare()
        return SqliteJournal(
            writer=writer,
            reader=connect_reader(path),
            blobs=blobs,
            signer_for=KEY.named,
            clock=StillClock(),
            entropy=CountedEntropy(),
        )
    except BaseException:
        writer.close()
        raise


def _state(path: Path) -> Path:
    ensure_private_dir(path)
    prepare_ledger(path / LEDGER)
    return path


def _record(state: Path, synchronous: Literal["FULL", "NORMAL"]) -> list[Operation]:
    disk = RecordingDisk()
    try:
        asyncio.run(
            _workload(
                state,
                disk.name,
                lambda size: disk.operations.append(Acknowledged(size)),
                synchronous=synchronous,
            )
        )
    finally:
        disk.unregister()
    return disk.operations


def _chosen(moments: Sequence[int], purpose: str, *, is_complete: bool) -> list[int]:
    """All moments, or one of three, as the dice choose."""
    return [*moments] if is_complete else sorted(dice(purpose).sample(moments, len(moments) // 3))


def _leave(folder: Path, files: dict[str, bytes]) -> Path:
    """A state directory with what the power loss left of the ledger."""
    ensure_private_dir(folder)
    for name, content in files.items():
        (folder / Path(name).name).write_bytes(content)
    return folder


def _leaves(state: Path) -> list[bytes]:
    with SqliteReader.open(state) as reader:
        return [leaf.encode() for leaf in leaves_at_once(reader)]


def _require_whole(state: Path, *, acknowledged: int, whole: list[bytes]) -> None:
    """Everything acknowledged is there, nothing is there that was not appended, and the chain holds."""
    left = _leaves(state)
    assert len(left) >= acknowledged
    assert left == whole[: len(left)]
    asyncio.run(_go_on(state))
    assert _leaves(state)[: len(left)] == left
    with SqliteReader.open(state) as reader:
        newest = reader.newest_checkpoint()
        assert newest is not None
        origin = newest[1].splitlines()[0]
    report = verify_ledger(
        state / LEDGER, [Ed25519Verifier.from_vkey(KEY.named(origin).vkey)], projector=SimpleProjector()
    )
    assert report.faults == ()


async def _go_on(state: Path) -> None:
    journal = open_sqlite(state)
    await journal.append(created(run_id(99)))
    await journal.close()


@pytest.mark.slow
@pytest.mark.parametrize("arrival", ["nothing", "everything", "some"])
def test_no_acknowledged_event_is_lost_when_the_power_goes_at_any_moment(
    tmp_path: Path, arrival: Literal["nothing", "everything", "some"], crash_complete: bool
) -> None:
    """After each storage operation, with nothing, everything or torn parts of what was not synced: all that was acknowledged is
    there, the chain holds, and the next owner goes on."""
    state = _state(tmp_path / "state")
    operations = _record(state, "FULL")
    whole = _leaves(state)
    first = next(index for index, found in enumerate(operations) if isinstance(found, Acknowledged))
    assert len(operations) - first > 100
    for moment in _chosen(range(len(operations) + 1), f"power lost, {arrival}", is_complete=crash_complete):
        files, acknowledged = after_power_loss(operations[:moment], arrival, seed=moment)
        if not any(name.endswith(LEDGER) for name in files):
            continue  # The first open has not happened yet.
        left = _leave(tmp_path / f"left-{moment}", files)
        _require_whole(left, acknowledged=acknowledged, whole=whole)


@pytest.mark.slow
def test_a_commit_that_is_not_synced_would_lose_acknowledged_events(tmp_path: Path) -> None:
    """The control: with `synchronous=NORMAL` the same power loss takes acknowledged events, so the test above can fail."""
    state = _state(tmp_path / "state")
    operations = _record(state, "NORMAL")
    lost = 0
    for moment in range(len(operations) + 1):
        files, acknowledged = after_power_loss(operations[:moment], "nothing", seed=moment)
        if any(name.endswith(LEDGER) for name in files):
            left = _leave(tmp_path / f"left-{moment}", files)
            lost += len(_leaves(left)) < acknowledged
    assert lost > 0


@pytest.mark.slow
# SQLite tells nobody of a failure while it closes a file, and apsw then reports what our disk raised to nobody in particular.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for-good"])
@pytest.mark.parametrize("is_full", [False, True], ids=["io-error", "disk-full"])
def test_no_acknowledged_event_is_lost_when_the_disk_fails_at_any_operation(
    tmp_path: Path, is_full: bool, for_good: bool, crash_complete: bool
) -> None:
    """Whichever operation fails, once or from then on: the error is one of ours, and what was acknowledged before is there."""
    clean = _state(tmp_path / "clean")
    counting = FailingDisk(fail_at=-1, for_good=False, is_full=is_full)
    try:
        asyncio.run(_workload(clean, counting.name, lambda _size: None, owners=1, runs=2))
    finally:
        counting.unregister()
    whole = _leaves(clean)
    codes: set[str] = set()
    operations = counting.writes if is_full else range(counting.count)
    for fail_at in _chosen(operations, "failing disk", is_complete=crash_complete):
        state = _state(tmp_path / f"state-{fail_at}")
        disk = FailingDisk(fail_at=fail_at, for_good=for_good, is_full=is_full)
        acknowledged = 0

        def acknowledge(size: int) -> None:
            nonlocal acknowledged
            acknowledged = size

        try:
            asyncio.run(_workload(state, disk.name, acknowledge, owners=1, runs=2))
        except AssentError as error:
            codes.add(error.code)
            assert disk.has_failed
        finally:
            disk.unregister()
        _require_whole(state, acknowledged=acknowledged, whole=whole)
    assert codes
    assert codes <= {"DISK_FULL"} if is_full else codes <= {"STORAGE_FAILED"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_journal_goes_on_when_a_full_disk_has_space_again(tmp_path: Path) -> None:
    """Whichever write found no space: what it was for is not there, and the same journal takes it, and all else, afterwards."""
    clean = _state(tmp_path / "clean")
    counting = FailingDisk(fail_at=-1, for_good=False, is_full=True)
    try:
        assert asyncio.run(_append_each(clean, counting.name)) == (6, 0)
    finally:
        counting.unregister()
    refusals = 0
    for fail_at in counting.writes:
        state = _state(tmp_path / f"state-{fail_at}")
        disk = FailingDisk(fail_at=fail_at, for_good=False, is_full=True)
        try:
            appended, refused = asyncio.run(_append_each(state, disk.name))
        except AssentError:
            continue  # It could not even be opened.
        finally:
            disk.unregister()
        assert appended == 6
        refusals += refused
        _require_whole(state, acknowledged=len(_leaves(state)), whole=_leaves(state))
    assert refusals > 5


async def _append_each(state: Path, vfs: str) -> tuple[int, int]:
    """Six batches, each asked again until it is taken: how many, and how many attempts were refused for want of space."""
    journal, runs, refused = _opened(state, vfs), [run_id(n) for n in range(2)], 0
    try:
        for run in runs:
            for batch in (created(run), progressed(run, 1), succeeded(run, 2)):
                for _ in range(2):
                    try:
                        await journal.append(batch)
                        break
                    except AssentError as error:
                        if error.code != "DISK_FULL":
                            raise
                        refused += 1
        return sum([len(await journal.events(run)) for run in runs]), refused
    finally:
        await journal.close()
