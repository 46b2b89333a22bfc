"""When schedules come due: by the clocks of any zone, whatever the machine's own clock does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assent.errors import InputError
from assent.spec.schedule import (
    BEHIND_MS_MAX,
    LATE_MS,
    Begin,
    Former,
    Missed,
    Overlap,
    StopFormer,
    Timing,
    decide,
    require_zone,
    timing_of,
)
from assent.spec.words.durations import DAY_MS

MINUTE_MS, HOUR_MS = 60_000, 3_600_000

CHANGES = (
    ("Europe/Berlin", (2026, 3, 29)),
    ("Europe/Berlin", (2026, 10, 25)),
    ("America/Havana", (2026, 3, 8)),
    ("America/Havana", (2026, 11, 1)),
    ("Australia/Lord_Howe", (2026, 4, 5)),
    ("Australia/Lord_Howe", (2026, 10, 4)),
    ("Antarctica/Troll", (2026, 3, 29)),
    ("Antarctica/Troll", (2026, 10, 25)),
    ("Asia/Kathmandu", (1985, 12, 31)),
    ("Pacific/Apia", (2011, 12, 30)),
)
"""Days on which clocks were put forward or back: by an hour, at midnight, by half an hour, by two, by 15 minutes, by a day."""

changes = st.sampled_from(CHANGES)
minutes = st.integers(0, 59)
hours = st.integers(0, 23)


def at(text: str) -> int:
    """A moment in ms."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def told(timing: Timing, since: str, until: str) -> list[str]:
    """The ticks of a time, in UTC."""
    ticks = takewhile(lambda tick_ms: tick_ms <= at(until), timing.ticks(at(since)))
    return [datetime.fromtimestamp(tick_ms / 1000, UTC).strftime("%d %H:%M") for tick_ms in ticks]


@pytest.mark.parametrize(
    ("cron", "zone", "day", "ticks"),
    [
        # Berlin: on 29 March 02:00-02:59 is left out, at 01:00 UTC; on 25 October it is there twice, until 01:00 UTC.
        ("30 12 * * *", "Europe/Berlin", "2026-03-29", ["29 10:30"]),
        ("30 2 * * *", "Europe/Berlin", "2026-03-29", ["29 01:00"]),
        ("0,15,30 2 * * *", "Europe/Berlin", "2026-03-29", ["29 01:00"]),
        ("0 2,3 * * *", "Europe/Berlin", "2026-03-29", ["29 01:00"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25", ["25 00:30"]),
        ("30 * * * *", "Europe/Berlin", "2026-03-29", [f"29 {hour:02}:30" for hour in range(24)]),
        ("30 * * * *", "Europe/Berlin", "2026-10-25", [f"25 {hour:02}:30" for hour in range(24)]),
        ("*/30 2 * * *", "Europe/Berlin", "2026-03-29", []),
        ("*/30 2 * * *", "Europe/Berlin", "2026-10-25", ["25 00:00", "25 00:30", "25 01:00", "25 01:30"]),
        # Lord Howe puts its clocks back by half an hour, to 01:30, at 15:00 UTC.
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04", ["04 14:45"]),
        ("*/15 1 * * *", "Australia/Lord_Howe", "2026-04-04",
         ["04 14:00", "04 14:15", "04 14:30", "04 14:45", "04 15:00", "04 15:15"]),
        ("0 0 29 2 *", "UTC", "2028-02-29", ["29 00:00"]),
        ("0 12 * * MON#1", "UTC", "2026-11-02", ["02 12:00"]),
    ],
)  # fmt: skip
def test_clocks_that_are_put_forward_or_back(cron: str, zone: str, day: str, ticks: list[str]) -> None:
    before = (datetime.fromisoformat(day) - timedelta(seconds=1)).isoformat()
    assert told(Timing(cron=cron, zone=zone), f"{before}+00:00", f"{day}T23:59+00:00") == ticks


@cache
def scanned(zone: str, day: tuple[int, int, int]) -> tuple[tuple[int, datetime], ...]:
    """Every minute of the three days around one, and what clocks show then."""
    middle, at_home = int(datetime(*day, 12, tzinfo=UTC).timestamp()), ZoneInfo(zone)
    return tuple(
        (moment * 1000, datetime.fromtimestamp(moment, at_home).replace(tzinfo=None, fold=0))
        for moment in range(middle - 36 * 3600, middle + 36 * 3600, 60)
    )


@given(changes, st.sampled_from([1, 7, 10, 15, 30, 60]), st.sets(hours, min_size=1))
def test_ticks_by_the_time_that_passes_are_the_moments_at_which_clocks_show_them(
    change: tuple[str, tuple[int, int, int]], step: int, of: set[int]
) -> None:
    zone, day = change
    moments = scanned(zone, day)
    wanted = [at_ms for at_ms, shown in moments[1:] if shown.minute % step == 0 and shown.hour in of]
    first, last = moments[0][0], moments[-1][0]
    timing = Timing(cron=f"*/{step} {','.join(map(str, of))} * * *", zone=zone)
    assert [*takewhile(lambda tick_ms: tick_ms <= last, timing.ticks(first))] == wanted


@given(changes, st.sets(minutes, min_size=1, max_size=3), st.sets(hours, min_size=1, max_size=3))
def test_a_time_of_day_comes_once_a_day_and_never_early(
    change: tuple[str, tuple[int, int, int]], at_minutes: set[int], at_hours: set[int]
) -> None:
    """The first moment at which clocks show it; of one that is left out, the first at which they show more."""
    zone, day = change
    moments = scanned(zone, day)
    first, last = moments[0], moments[-1]
    local, wanted = first[1], set()
    shown_at: dict[datetime, int] = {}
    for moment_ms, shown in moments:
        shown_at.setdefault(shown, moment_ms)
    while (local := local + timedelta(minutes=1)) <= last[1]:
        if local.minute in at_minutes and local.hour in at_hours:
            later = [moment_ms for shown, moment_ms in shown_at.items() if shown >= local]
            wanted.add(shown_at.get(local, min(later)))
    cron = f"{','.join(map(str, at_minutes))} {','.join(map(str, at_hours))} * * *"
    ticks = takewhile(lambda tick_ms: tick_ms <= last[0], Timing(cron=cron, zone=zone).ticks(first[0]))
    assert [*ticks] == sorted(wanted)


timings = st.one_of(
    st.builds(Timing, every_ms=st.integers(1000, 3 * DAY_MS), anchor_ms=st.just(at("2026-01-01T00:00Z"))),
    st.builds(
        Timing,
        cron=st.sampled_from(["0 2 * * *", "*/15 * * * *", "* 3 * * *", "30 2 1,15 * *", "0 * * * MON"]),
        zone=st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
    ),
)


@given(timings, st.integers(0, 40 * DAY_MS), st.integers(0, 3 * DAY_MS))
def test_the_newest_tick_is_the_last_one(timing: Timing, since: int, length: int) -> None:
    since += at("2026-03-01T00:00Z")
    ticks = [*takewhile(lambda tick_ms: tick_ms <= since + length, timing.ticks(since))]
    assert timing.newest(since, since + length) == (ticks[-1] if ticks else None)
    assert all(one < other for one, other in pairwise(ticks))


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ({}, "cron"),
        ({"cron": "0 2 * * *", "every": "1h"}, "cron"),
        ({"cron": "0 2 * *"}, "cron"),
        ({"cron": "0 0 2 * * *"}, "cron"),
        ({"cron": "61 2 * * *"}, "cron"),
        ({"cron": "0 0 31 2 *"}, "cron"),
        ({"cron": "@daily"}, "cron"),
        ({"cron": "0 2 * * *", "zone": "Europe/Berlln"}, "zone"),
        ({"cron": "0 2 * * *", "zone": "../../etc/passwd"}, "zone"),
        ({"cron": "0 2 * * *", "zone": ""}, "zone"),
        ({"every": "1h", "zone": "Europe/Berlin"}, "zone"),
        ({"every": "10ms"}, "every"),
        ({"every": "soon"}, "every"),
        ({"every": "9999d"}, "every"),
        ({"every": "1h", "missed": "all", "overlap": "skip"}, "overlap"),
    ],
)
def test_what_is_no_time_is_refused_with_its_place(said: dict[str, str], path: str) -> None:
    fields = dict.fromkeys(("cron", "every", "zone", "missed", "overlap")) | said
    with pytest.raises(InputError) as caught:
        timing_of(anchor_ms=0, **fields)
    assert (caught.value.code, caught.value.path) == ("SCHEDULE_INVALID", path)


def test_all_missed_ticks_wait_for_each_other() -> None:
    timing = timing_of(cron=None, every="1h", zone=None, missed="all", overlap=None, anchor_ms=0)
    assert timing.overlap is Overlap.QUEUE


HOURLY = Timing(every_ms=HOUR_MS)
NOW = 1000 * HOUR_MS


@pytest.mark.parametrize(
    ("missed", "overlap", "former", "now", "wanted"),
    [
        # What was missed: since hour 990 nobody was there.
        ("skip", "skip", (990, 990, False), 1000, Begin(1000)),
        ("skip", "skip", (990, 990, False), 1000.5, None),
        ("one", "skip", (990, 990, False), 1000.5, Begin(1000)),
        ("all", "queue", (990, 990, False), 1000.5, Begin(991)),
        ("all", "queue", (1, 1, False), 1000.5, Begin(1001 - BEHIND_MS_MAX // HOUR_MS)),
        # The former run has not ended.
        ("one", "skip", (999, None, False), 1000, None),
        ("one", "queue", (999, None, False), 1000, None),
        ("all", "queue", (999, None, False), 1000, None),
        ("one", "cancel", (999, None, False), 1000, StopFormer()),
        ("skip", "cancel", (999, None, False), 1000.5, None),
        ("one", "cancel", (1000, None, False), 1000.5, None),
        # It has, after the tick.
        ("one", "skip", (998, 1000.2, False), 1000.5, None),
        ("skip", "queue", (998, 1000.2, False), 1000.5, Begin(999)),
        ("skip", "queue", (999, 1000.2, False), 1000.5, Begin(1000)),
        ("skip", "cancel", (998, 1000.2, True), 1000.5, Begin(1000)),
        ("skip", "cancel", (998, 999.9, False), 1000.5, None),
        # Nothing ran yet.
        ("one", "skip", None, 1000, Begin(1000)),
    ],
)
def test_what_becomes_of_a_tick(
    missed: str, overlap: str, former: tuple[int, float | None, bool] | None, now: float, wanted: object
) -> None:
    """In hours: the former run's tick, when it ended, and whether it was cancelled; then the time, and what is to be done."""
    timing = Timing(every_ms=HOUR_MS, missed=Missed(missed), overlap=Overlap(overlap))
    ran, now_ms = None, int(now * HOUR_MS)
    if former is not None:
        tick, ended, is_cancelled = former
        ran = Former(tick * HOUR_MS, None if ended is None else int(ended * HOUR_MS), is_cancelled)
    found = decide(timing, since_ms=HOUR_MS // 2, former=ran, now_ms=now_ms, looked_ms=now_ms)
    assert (Begin(found.tick_ms // HOUR_MS) if isinstance(found, Begin) else found) == wanted


class Ticker:
    """What a process does that begins runs, on a clock that anybody may set; the record outlives it."""

    def __init__(self, timing: Timing, start_ms: int) -> None:
        self.timing, self.since_ms = timing, start_ms
        self.now_ms = start_ms
        self.began: dict[int, int] = {}
        self.former: Former | None = None
        self.start()

    def start(self) -> None:
        """Begin anew, knowing the record alone."""
        self.looked_ms, self.passed_ms = self.now_ms, 0

    def look(self) -> None:
        """Do all that is to be done."""
        for _ in range(2000):
            since_ms = max(self.since_ms, self.passed_ms)
            told = decide(
                self.timing,
                since_ms=since_ms,
                former=self.former,
                now_ms=self.now_ms,
                looked_ms=self.looked_ms,
            )
            if not isinstance(told, Begin):
                break
            assert told.tick_ms <= self.now_ms, "early"
            if told.tick_ms in self.began:
                self.passed_ms = told.tick_ms
            else:
                self.began[told.tick_ms] = self.now_ms
                self.former = Former(told.tick_ms, self.now_ms)
        else:
            pytest.fail("it comes to no end")
        self.looked_ms = self.now_ms

    def wait(self, for_ms: int) -> None:
        """Let time pass, with a look at each tick and once in a minute at least."""
        until_ms = self.now_ms + for_ms
        while self.now_ms < until_ms:
            next_ms = self.timing.next(self.now_ms) or until_ms
            self.now_ms = min(until_ms, next_ms, self.now_ms + max(MINUTE_MS, for_ms // 50))
            self.look()


@given(
    st.sampled_from([HOURLY, Timing(every_ms=HOUR_MS, missed=Missed.ONE), Timing(cron="0 2 * * *")]),
    st.lists(
        st.one_of(
            st.tuples(st.just("wait"), st.integers(1, 2 * DAY_MS)),
            st.tuples(st.just("set"), st.integers(-400 * DAY_MS, 400 * DAY_MS)),
            st.tuples(st.just("die"), st.integers(0, DAY_MS)),
        ),
        max_size=8,
    ),
)
@example(HOURLY, [("wait", DAY_MS), ("set", 400 * DAY_MS), ("wait", DAY_MS), ("set", -400 * DAY_MS)])
@example(HOURLY, [("wait", DAY_MS), ("set", -400 * DAY_MS), ("wait", 2 * DAY_MS)])
def test_a_clock_that_is_set_makes_no_tick_early_or_twice_and_silences_none(
    timing: Timing, story: list[tuple[str, int]]
) -> None:
    """Set by up to 400 days, again and again: the next tick has its run on time, unless it had one."""
    ticker = Ticker(timing, at("2026-03-28T12:00Z"))
    for what, length in story:
        if what == "wait":
            ticker.wait(length)
        elif what == "set":
            ticker.now_ms += length
            ticker.look()
        else:
            ticker.now_ms += length
            ticker.start()
            ticker.look()
    before_ms = ticker.now_ms
    ticker.wait(2 * DAY_MS)
    ticks = takewhile(lambda tick_ms: tick_ms <= ticker.now_ms, timing.ticks(before_ms))
    assert [tick_ms for tick_ms in ticks if tick_ms not in ticker.began and tick_ms > ticker.since_ms] == []


def test_a_tick_that_is_a_little_late_was_not_missed() -> None:
    """So a process that is killed and started anew within a minute loses none."""
    for late_ms, wanted in ((LATE_MS, Begin(NOW)), (LATE_MS + 1, None)):
        now_ms = NOW + late_ms
        assert decide(HOURLY, since_ms=0, former=None, now_ms=now_ms, looked_ms=now_ms) == wanted


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("Europe/Berlni", "did you mean `Europe/Berlin`?"),
        ("europe/berlin", "did you mean `Europe/Berlin`?"),
        ("../x", "for example `Europe/Berlin`, or `UTC`"),
    ],
)
def test_a_mistyped_zone_is_told_with_the_nearest(zone: str, hint: str) -> None:
    with pytest.raises(InputError) as refused:
        require_zone(zone)
    assert (refused.value.code, refused.value.hint) == ("SCHEDULE_INVALID", hint)
