"""The spool: sealed, bounded, in order, and one process's."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from assent.client._spool import AGE_MS_MAX, COUNT_MAX, Deferred, Spool
from assent.errors import AssentError
from assent.system import SystemEntropy

HERE = "/run/api.sock"


class Clock:
    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.ms = now_ms

    def now_ms(self) -> int:
        return self.ms

    def monotonic_ms(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(tmp_path: Path, clock: Clock, no_keychain: None) -> Callable[..., Spool]:
    def open_spool(**bounds: int) -> Spool:
        bounds = {"count_max": 3, "age_ms_max": 120_000, **bounds}
        return Spool.open(tmp_path / "spool", clock, SystemEntropy(), **bounds)

    return open_spool


def push(spool: Spool, name: object, target: str = HERE) -> list[Deferred]:
    """What it pushed out."""
    return spool.push(target, f"key-{name}", "sys.noop", {"name": name}, None)[1]


def names(entries: list[Deferred]) -> list[Any]:
    return [entry.parameters["name"] for entry in entries]


def waiting(spool: Spool, target: str = HERE) -> list[Any]:
    return names([entry for entry in spool.entries(target) if entry.status == "WAITING"])


def taken(spool: Spool, target: str = HERE) -> Deferred:
    entry, _ = spool.next(target)
    assert entry is not None
    return entry


def test_the_oldest_is_pushed_out_and_told(opened: Callable[..., Spool]) -> None:
    """CHECKLIST B 76: capacity 3, push 1..4 → 2,3,4."""
    spool = opened()
    dropped = [one for name in (1, 2, 3, 4) for one in push(spool, name)]
    assert (waiting(spool), max(one.sequence for one in spool.entries())) == ([2, 3, 4], 4)
    assert [(one.status, (one.error or {})["code"], one.was_sent) for one in dropped] == [
        ("DROPPED", "DROPPED", False)
    ]
    assert names([one for one in spool.entries() if one.status == "DROPPED"]) == [1]
    spool.forget(1)
    assert names(spool.entries()) == [2, 3, 4]
    with pytest.raises(KeyError):
        spool.forget(2)


def test_what_is_too_old_is_gone_and_put_back_is_no_younger(
    opened: Callable[..., Spool], clock: Clock
) -> None:
    """CHECKLIST B 76: older than the maximum → gone; requeue keeps its age."""
    spool = opened()
    push(spool, 1)
    clock.ms += 60_000
    push(spool, 2)
    spool.put_back(taken(spool), was_sent=True)
    clock.ms += 60_001
    entry, dropped = spool.next(HERE)
    assert (entry and entry.parameters["name"], [(*names([one]), one.was_sent) for one in dropped]) == (
        2,
        [(1, True)],
    )
    clock.ms -= 400_000  # a clock that was set back keeps nothing for longer
    spool.put_back(taken(spool), was_sent=False)
    assert spool.next(HERE)[0] is None


def test_what_is_put_back_stays_before_what_comes_later(opened: Callable[..., Spool]) -> None:
    """CHECKLIST B 77: drain 10,11,12; requeue 11; push 13 → 11,13; a capacity of 0 → error."""
    spool = opened(count_max=4)
    for name in (10, 11, 12):
        push(spool, name)
    spool.answered(taken(spool))
    spool.put_back(taken(spool), was_sent=True)
    (last,) = [entry for entry in spool.entries() if entry.parameters["name"] == 12]
    spool.refused(last, {"code": "INVALID_INPUT"})
    push(spool, 13)
    assert waiting(spool) == [11, 13]
    spool.close()
    with pytest.raises(AssentError) as refused:
        opened(count_max=0)
    assert refused.value.code == "INVALID_INPUT"


def test_it_is_the_same_when_it_is_opened_again(
    opened: Callable[..., Spool], clock: Clock, samples: Path
) -> None:
    """CHECKLIST B 77: snapshot file → 1,2,3, with their ages."""
    lines = samples / "embednexus/fixtures/transport/offline-queue/snapshot.jsonl"
    if not lines.is_file():
        pytest.skip("the sample `offline-queue/snapshot.jsonl` is not here")
    spool = opened()
    for line in lines.read_text().splitlines():
        said = json.loads(line)
        clock.ms = said["enqueued_at"] * 1000
        spool.push(HERE, said["token_id"], f"sample.{said['command']}", said["payload"], None)
    before = spool.entries()
    assert [one.sequence for one in before] == [1, 2, 3]
    taken(spool)
    spool.close()
    again = opened()
    assert [(one.sequence, one.was_sent) for one in again.entries()] == [(1, True), (2, False), (3, False)]
    assert [one.at_ms for one in again.entries()] == [1_700_000_000_000, 1_700_000_030_000, 1_700_000_060_000]
    assert again.entries()[1:] == before[1:]


def test_what_comes_late_keeps_its_order(opened: Callable[..., Spool], clock: Clock, samples: Path) -> None:
    """CHECKLIST B 85, 87: 1..3 and one more are made in order, each as late as it is; the replay is the golden's."""
    folder = samples / "embednexus"
    lines = (folder / "fixtures/ingestion/delayed-ledger/placeholder.jsonl").read_text().splitlines()
    spool = opened(count_max=COUNT_MAX, age_ms_max=AGE_MS_MAX)
    now_ms = clock.ms
    for said in [json.loads(line) for line in lines] + [{"sequence": 4, "delayed_ms": -9_000}]:
        clock.ms = now_ms - said["delayed_ms"]
        spool.push(HERE, f"late-{said['sequence']}", "knowledge.index", said, None)
    clock.ms = now_ms
    made = []
    while (entry := spool.next(HERE)[0]) is not None:
        made.append((entry.sequence, round(AGE_MS_MAX / 1_000 - spool.left_s(entry), 3)))
        spool.answered(entry)
        if entry.sequence == 3:
            said = entry.parameters
    assert made == [(1, 4.2), (2, 3.8), (3, 9.6), (4, 0)]
    assert (folder / "golden/ingestion/manifest-replay.log").read_text().partition("\n")[2] == (
        f"sequence: 3\nrepo: {said['repo_id']}\nstatus: drained\n"
        f"checksum_before: {said['payload_checksum_before']}\nchecksum_after: {said['payload_checksum_after']}\n"
        f"notes:\n  - buffered entries flushed after offline window of {made[2][1]}s\n"
        f"  - retention ceiling satisfied (max_age_ms = {AGE_MS_MAX}, max_entries = {COUNT_MAX})\n"
    )


@pytest.mark.parametrize(("waits", "number"), [((4, 5, 6), 42), ((40, 41, 42), 50), ((60, 61), 70)])
def test_numbers_only_grow(opened: Callable[..., Spool], waits: tuple[int, ...], number: int) -> None:
    """CHECKLIST B 86, 89: whatever waits, and in which order it is read again."""
    spool = opened(count_max=9)
    for name in range(1, number):
        push(spool, name)
        if name not in waits:
            spool.answered(next(one for one in spool.entries() if one.sequence == name))
    push(spool, number)
    spool.close()
    spool = opened(count_max=9)
    push(spool, number + 1)
    assert [one.sequence for one in spool.entries()] == [*waits, number, number + 1]


def test_each_target_has_its_own_order_and_one_refusal_holds_up_nobody(opened: Callable[..., Spool]) -> None:
    spool = opened(count_max=9)
    for name, target in ((1, HERE), (2, "elsewhere"), (3, HERE), (4, "elsewhere")):
        push(spool, name, target)
    assert (waiting(spool), waiting(spool, "elsewhere")) == ([1, 3], [2, 4])
    dead = spool.refused(taken(spool), {"code": "INVALID_INPUT"})
    assert (dead.status, names([taken(spool)]), names([taken(spool, "elsewhere")])) == ("DEAD", [3], [2])


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def _swap(file: Path) -> None:
    file.rename(file.with_name("000000000009.waiting"))


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:9])


def _open_to_others(file: Path) -> None:
    file.parent.chmod(0o750)


def _lose_key(file: Path) -> None:
    (file.parent / "key").unlink()


def _other_key(file: Path) -> None:
    (file.parent / "key").write_bytes(bytes(32))


@pytest.mark.parametrize("spoil", [_flip, _swap, _cut, _open_to_others, _lose_key, _other_key])
def test_what_was_touched_is_refused(
    opened: Callable[..., Spool], tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    spool = opened()
    push(spool, "a secret")
    (file,) = (tmp_path / "spool").glob("*.waiting")
    assert b"secret" not in file.read_bytes()
    assert {one.stat().st_mode & 0o077 for one in (file, file.parent, file.parent / "key")} == {0}
    with pytest.raises(AssentError) as taken_already:
        opened()
    spool.close()
    spoil(file)
    with pytest.raises(AssentError) as refused:
        opened()
    assert {taken_already.value.code, refused.value.code} == {"SPOOL_UNUSABLE"}


def test_a_kill_between_two_states_leaves_the_later_one(opened: Callable[..., Spool], tmp_path: Path) -> None:
    spool = opened()
    push(spool, 1)
    (file,) = (tmp_path / "spool").glob("*.waiting")
    before = file.read_bytes()
    spool.refused(taken(spool), {"code": "INVALID_INPUT"})
    spool.close()
    file.with_suffix(".sent").write_bytes(before)
    file.with_suffix(".tmp").write_bytes(b"half")
    assert [one.status for one in opened().entries()] == ["DEAD"]
    assert sorted(one.suffix for one in (tmp_path / "spool").iterdir()) == ["", ".dead"]


def test_the_keychain_has_the_key_where_there_is_one(
    tmp_path: Path, clock: Clock, keychain: dict[str, str]
) -> None:
    def opened() -> Spool:
        return Spool.open(tmp_path / "spool", clock, SystemEntropy())

    spool = opened()
    push(spool, 1)
    spool.close()
    assert not (tmp_path / "spool" / "key").exists()
    (kept,) = keychain.values()
    spool = opened()
    assert waiting(spool) == [1]
    spool.close()
    keychain.clear()
    with pytest.raises(AssentError) as locked:
        opened()
    assert (locked.value.code, len(kept)) == ("SPOOL_UNUSABLE", 64)


def test_a_disk_that_refuses_is_told_as_the_spool_s_own_fault(
    opened: Callable[..., Spool], tmp_path: Path, clock: Clock
) -> None:
    """Wherever it is met; whoever waits for the spool tries again."""
    spool = opened()
    for name in (1, 2, 3):
        push(spool, name)
    entry = taken(spool)
    for file in (tmp_path / "spool").iterdir():
        file.unlink()
    for change in (
        lambda: spool.put_back(entry, was_sent=False),
        lambda: spool.answered(entry),
        lambda: spool.refused(entry, {}),
        lambda: spool.next(HERE),
    ):
        with pytest.raises(AssentError, match="SPOOL_UNUSABLE"):
            change()


@pytest.mark.parametrize("fails_at", range(9))
def test_a_call_is_kept_or_its_push_fails_wherever_the_disk_refuses(
    opened: Callable[..., Spool], clock: Clock, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    """Whoever is told that it failed asks again, under another key. What has grown too old meanwhile is not sent."""
    spool = opened(count_max=2)
    push(spool, 1)
    clock.ms += 120_001
    for name in (2, 3):
        push(spool, name)
    clock.ms += 1
    left = fails_at

    def refusing(act: Callable[..., object]) -> Callable[..., object]:
        def acted(*args: object, **how: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(28, "No space left on device")
            return act(*args, **how)

        return acted

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refusing(os.fsync))
        patched.setattr(Path, "rename", refusing(Path.rename))
        is_kept = fails_at >= 3
        with nullcontext() if is_kept else pytest.raises(AssentError, match="SPOOL_UNUSABLE"):
            push(spool, 4)
    spool.close()
    spool = opened(count_max=2)
    assert (4 in waiting(spool)) is is_kept
    assert taken(spool).parameters["name"] in (2, 3)
