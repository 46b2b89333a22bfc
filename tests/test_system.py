"""The system's adapters keep the promises of the ports they fill."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.spec.ids import RunId
from assent.spec.ports import Clock, Entropy, Ids
from assent.system import SystemClock, SystemEntropy, SystemIds, environment, spawn
from tests.support.properties import holds

if TYPE_CHECKING:
    from assent.invocation import Spawn

# What mypy checks here is part of the test: each adapter has the shape of its port.
CLOCK: Clock = SystemClock()
ENTROPY: Entropy = SystemEntropy()
IDS: Ids = SystemIds()
SPAWN: Spawn = spawn

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


class HandClock:
    """A clock that stands where it is put."""

    def __init__(self, now: int) -> None:
        self.now = now

    def now_ms(self) -> int:
        return self.now

    def monotonic_ms(self) -> int:
        return self.now


def test_the_wall_clock_counts_milliseconds_since_the_epoch() -> None:
    before = int(time.time() * 1000)
    now = CLOCK.now_ms()
    assert before <= now <= int(time.time() * 1000) + 1


def test_the_monotonic_clock_counts_milliseconds_on_while_the_machine_sleeps() -> None:
    """What lasts an hour ends after an hour, whatever of it the machine slept; a name space of times moves the clocks apart."""
    lasting = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    before = time.clock_gettime_ns(lasting) // 1_000_000
    now = CLOCK.monotonic_ms()
    assert before <= now <= time.clock_gettime_ns(lasting) // 1_000_000
    asked = "import time; from assent.system import SystemClock as C; print(C().monotonic_ms() - time.monotonic_ns() // 10**6)"
    slept = [
        "unshare",
        "--map-root-user",
        "--time",
        "--boottime=864000",
        "--fork",
        sys.executable,
        "-c",
        asked,
    ]
    try:
        told = subprocess.run(slept, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(
            "no clocks can be moved apart here: no name space of times (util-linux `unshare`, Linux 5.6)"
        )
    assert int(told) >= 864_000_000 - 1  # each clock is told in whole milliseconds, rounded down


def test_ids_say_what_they_name_and_are_lower_case_ulids() -> None:
    assert re.fullmatch(rf"run_[0-7][{CROCKFORD}]{{25}}", IDS.run_id())
    assert re.fullmatch(rf"plan_[0-7][{CROCKFORD}]{{25}}", IDS.plan_id())


def test_an_id_is_encoded_as_the_ulid_specification_says() -> None:
    """The specification's own example: the time 1469918176385 is written `01ARYZ6S41`."""
    made = SystemIds(HandClock(1469918176385), random_bytes=bytes).run_id()
    assert made == "run_" + "01aryz6s41" + "0" * 16


@holds("id_uniqueness")
@given(st.lists(st.integers(min_value=0, max_value=2**48 - 1), min_size=2, max_size=20))
def test_ids_of_one_maker_rise_whatever_the_clock_does(times: list[int]) -> None:
    clock = HandClock(0)
    ids = SystemIds(clock)
    made = []
    for now in times:
        clock.now = now
        made.append(ids.run_id())
    assert made == sorted(set(made))


@pytest.mark.parametrize("ahead", [-5, 0, 5])
def test_ids_rise_above_those_of_another_maker(ahead: int) -> None:
    others, ids = SystemIds(HandClock(1000 + ahead)), SystemIds(HandClock(1000))
    others.run_id()
    newest = others.run_id()
    ids.rise_above(newest)
    for foreign in ("run_1", "run_" + "u" * 26, "run_" + "z" * 26):
        ids.rise_above(RunId(foreign))
    made = [ids.run_id() for _ in range(3)]
    assert [newest, *made] == sorted({newest, *made})
    assert (made[0][:14] == newest[:14]) is (ahead >= 0), "no further ahead than it has to be"


def test_ids_are_distinct_across_threads() -> None:
    with ThreadPoolExecutor(4) as pool:
        made = [
            run for batch in pool.map(lambda _: [IDS.run_id() for _ in range(500)], range(8)) for run in batch
        ]
    assert len(set(made)) == 4000


def test_two_makers_that_share_their_past_part_ways() -> None:
    """As after a fork: the same last id and the same millisecond must not give the same next id."""
    first, second = SystemIds(HandClock(1)), SystemIds(HandClock(1))
    first._last = second._last = 1 << 80
    assert first.run_id() != second.run_id()


def test_a_clock_out_of_range_makes_no_id() -> None:
    with pytest.raises(AssertionError, match="1970"):
        SystemIds(HandClock(-1)).run_id()


def test_a_salt_is_16_bytes_and_never_the_same() -> None:
    salts = {ENTROPY.salt() for _ in range(100)}
    assert {len(salt) for salt in salts} == {16}
    assert len(salts) == 100


FORK = """
import os, sys
from assent.system import SystemEntropy, SystemIds
entropy, ids = SystemEntropy(), SystemIds()
entropy.salt(), ids.request_id()
is_child = os.fork() == 0
sys.stdout.write("".join(entropy.salt().hex() + "\\n" for _ in range(300)) + ids.request_id() + "\\n")
sys.stdout.flush()
if not is_child:
    os.wait()
"""


def test_a_forked_child_never_repeats_the_salts_and_ids_of_its_parent() -> None:
    """Salts are fetched many at a time; those that a fork copies are dropped in the child."""
    # In a process of its own, because forking this one, which has threads, is not safe.
    said = subprocess.run([sys.executable, "-c", FORK], check=True, capture_output=True, text=True).stdout
    salts = said.split()
    assert len(salts) == len(set(salts)) == 602


def test_nothing_stays_of_a_maker_that_nobody_has() -> None:
    """Some serve one call: whatever each leaves behind, a daemon collects."""
    told: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "register_at_fork", lambda **hooks: told.append(hooks))
        ids = SystemIds()
        ids.request_id()
        SystemEntropy().salt()
    gone = weakref.ref(ids)
    del ids
    assert (gone(), told) == (None, [])


def test_jitter_lies_between_zero_and_one_and_spreads() -> None:
    numbers = [ENTROPY.jitter() for _ in range(1000)]
    assert all(0 <= number < 1 for number in numbers)
    assert min(numbers) < 0.1
    assert max(numbers) > 0.9


async def test_a_spawned_task_runs_under_its_name() -> None:
    async def work() -> str | None:
        task = asyncio.current_task()
        return task.get_name() if task else None

    assert await spawn(work(), name="step fetch") == "step fetch"


def test_the_environment_is_a_read_only_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSENT_PROBE", "1")
    seen = environment()
    monkeypatch.delenv("ASSENT_PROBE")
    assert seen["ASSENT_PROBE"] == "1"
    assert "ASSENT_PROBE" not in os.environ
    with pytest.raises(TypeError):
        seen["ASSENT_PROBE"] = "2"  # type: ignore[index]  # that it cannot be written is the point
