"""When a schedule comes due, as functions of values: no clock, and nothing of what runs.

A *tick* is a moment, in ms since 1970. Those of `every` lie at whole intervals from the moment at which it was added. Those of
`cron` are local times of a zone, and where that zone's clocks are put forward or back there are two ways to read them:

- Minute and hour are both said (`30 2 * * *`): the ticks are times of day. One that is left out, because clocks are put
  forward, comes when they have been; one that there is twice comes the first time only.
- Minute or hour begins with `*` (`*/15 * * * *`): the ticks go by the time that passes. There are none in an hour that is left
  out, and one that there is twice has its ticks both times.

That is what cron does on Debian. Every tick comes once: those that fall on the same moment are one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec

from assent.errors import InputError
from assent.spec.words.durations import DAY_MS, parse_duration_ms, write_duration
from assent.spec.words.suggestions import did_you_mean

EVERY_MS_MIN: Final = 1000
EVERY_MS_MAX: Final = 366 * DAY_MS

LATE_MS: Final = 60_000
"""A tick that begins its run no later than this was not missed: a daemon may have been started anew meanwhile."""

BEHIND_MS_MAX: Final = 31 * DAY_MS
"""Older ticks are not caught up with, and wait no longer: a clock that was wrong by a year must not make a year's runs."""

_MOVED: Final = timedelta(hours=26)
"""No clock is put further forward or back: two zones differ by so much at most."""

_SECOND: Final = timedelta(seconds=1)


class Missed(StrEnum):
    """What becomes of ticks that came while nobody was there to begin a run."""

    SKIP = "skip"
    ONE = "one"
    """The newest of them begins a run, however late."""
    ALL = "all"
    """Each begins a run, one after the other."""


class Overlap(StrEnum):
    """What becomes of a tick that comes before the run of the former one has ended."""

    SKIP = "skip"
    QUEUE = "queue"
    CANCEL = "cancel"
    """The former run is cancelled, and the tick's begins once that has ended."""


class Timing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a schedule comes due: exactly one of `cron`, in `zone`, and `every_ms`, from `anchor_ms` on."""

    cron: str | None = None
    every_ms: int | None = None
    zone: str = "UTC"
    anchor_ms: int = 0
    missed: Missed = Missed.SKIP
    overlap: Overlap = Overlap.SKIP

    @property
    def told(self) -> str:
        """In a few words: `cron 0 2 * * * (Europe/Berlin)`, `every 1h`."""
        if self.every_ms is not None:
            return f"every {write_duration(self.every_ms)}"
        return f"cron {self.cron} ({self.zone})"

    def next(self, after_ms: int) -> int | None:
        """The first tick later than a moment; None where none comes within some fifty years."""
        if self.every_ms is not None:
            return self.anchor_ms + (max(0, (after_ms - self.anchor_ms) // self.every_ms) + 1) * self.every_ms
        assert self.cron is not None  # INVARIANT: it has one of the two
        after = datetime.fromtimestamp(after_ms // 1000, UTC)
        try:
            found = _next(self.cron, _zone(self.zone), after)
        except (OverflowError, ValueError):  # past the last year that a date can have
            return None
        return None if found is None else int(found.timestamp()) * 1000

    def ticks(self, after_ms: int) -> Iterator[int]:
        """The ticks later than a moment, in order."""
        tick_ms = self.next(after_ms)
        while tick_ms is not None:
            yield tick_ms
            tick_ms = self.next(tick_ms)

    def newest(self, after_ms: int, until_ms: int) -> int | None:
        """The last tick later than `after_ms` and not later than `until_ms`; None where there is none."""
        found = None
        while (tick_ms := self.next(after_ms)) is not None and tick_ms <= until_ms:
            # There may be thousands: what lies between this one and the end is halved, until nothing does.
            found = after_ms = tick_ms
            end_ms = until_ms
            while end_ms - after_ms > EVERY_MS_MIN:
                middle_ms = (after_ms + end_ms) // 2
                later_ms = self.next(middle_ms)
                if later_ms is not None and later_ms <= until_ms:
                    found = after_ms = later_ms
                else:
                    end_ms = middle_ms
        return found


def timing_of(
    *,
    cron: str | None,
    every: str | None,
    zone: str | None,
    missed: str | None,
    overlap: str | None,
    anchor_ms: int,
) -> Timing:
    """The timing that somebody wrote down. `InputError` SCHEDULE_INVALID says what is wrong with it."""
    if (cron is None) == (every is None):
        raise _invalid(
            "cron", "say either `cron` or `every`", 'for example `--cron "0 2 * * *"` or `--every 1h`'
        )
    wanted = Missed(missed or Missed.SKIP)
    # Ticks that were missed are all due at once: only one after the other can each of them have its run.
    overlaps = Overlap(overlap or (Overlap.QUEUE if wanted is Missed.ALL else Overlap.SKIP))
    if wanted is Missed.ALL and overlaps is not Overlap.QUEUE:
        raise _invalid(
            "overlap",
            f"missed ticks that are all made up for wait for each other, so `overlap` can't be `{overlaps}`",
            "leave it out, or say `queue`; or make up for `one` missed tick",
        )
    said = Timing(anchor_ms=anchor_ms, missed=wanted, overlap=overlaps)
    if every is not None:
        if zone is not None:
            raise _invalid("zone", "an interval is as long in every zone", "leave `zone` out")
        return msgspec.structs.replace(said, every_ms=_interval_ms(every))
    assert cron is not None  # INVARIANT: one of the two was said
    timing = msgspec.structs.replace(said, cron=" ".join(cron.split()), zone="UTC" if zone is None else zone)
    require_zone(timing.zone)
    _require_expression(timing.cron or "")
    if timing.next(anchor_ms) is None:
        raise _invalid("cron", f"`{cron}` never comes", "look at its days and months")
    return timing


def require_zone(name: str) -> None:
    """Raise SCHEDULE_INVALID for what is no time zone."""
    try:
        _zone(name)
    except (KeyError, ValueError, OSError):
        from zoneinfo import available_timezones  # reads a folder: only for who has mistyped one

        hint = did_you_mean(name, available_timezones(), otherwise="for example `Europe/Berlin`, or `UTC`")
        raise _invalid("zone", f"there is no time zone `{name[:80]}`", hint) from None


def _interval_ms(every: str) -> int:
    try:
        found = parse_duration_ms(every, most_ms=EVERY_MS_MAX)
    except ValueError as error:
        raise _invalid("every", f"`every` {error}", "for example `15m`, `1h` or `1d`") from None
    if found < EVERY_MS_MIN:
        raise _invalid("every", "`every` must be 1 s at least", "for example `15m`, `1h` or `1d`")
    return found


def _require_expression(cron: str) -> None:
    from cronsim import CronSim, CronSimError

    hint = "five fields: minute, hour, day of month, month, day of week; for example `0 2 * * *`"
    try:
        CronSim(cron, datetime(2000, 1, 1))  # noqa: DTZ001  # a local time: whose, is not asked here
    except CronSimError as error:
        raise _invalid(
            "cron", f"`{cron[:80]}` is not a cron expression: {str(error).lower()}", hint
        ) from None
    if len(cron.split()) != _FIELDS:
        raise _invalid("cron", f"`{cron[:80]}` has {len(cron.split())} fields", hint)


_FIELDS: Final = 5


def _invalid(path: str, message: str, hint: str | None) -> InputError:
    return InputError("SCHEDULE_INVALID", message, path=path, hint=hint)


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    return UTC if name == "UTC" else ZoneInfo(name)


def _next(cron: str, zone: tzinfo, after: datetime) -> datetime | None:
    """The first moment later than `after`, in UTC."""
    goes_by_time_passed = any(field.startswith("*") for field in cron.split()[:2])
    return _next_passed(cron, zone, after) if goes_by_time_passed else _next_of_day(cron, zone, after)


def _matches(cron: str, after: datetime) -> Iterator[datetime]:
    """The local times that an expression means, later than one of them."""
    from cronsim import CronSim

    return CronSim(cron, after)


def _next_of_day(cron: str, zone: tzinfo, after: datetime) -> datetime | None:
    for local in _matches(cron, _local(after, zone)):
        moment = local.replace(tzinfo=zone).astimezone(UTC)  # the first one, of a time that there is twice
        if _local(moment, zone) != local:
            moment = _change(zone, local.replace(tzinfo=zone, fold=1).astimezone(UTC), moment)
        if moment > after:
            return moment
    return None


def _next_passed(cron: str, zone: tzinfo, after: datetime) -> datetime | None:
    while True:
        local = next(_matches(cron, _local(after, zone)), None)
        if local is None:
            return None
        moment = local.replace(tzinfo=UTC) - _offset(zone, after)
        soon = after + _MOVED
        if _offset(zone, soon) != _offset(zone, after):
            changed = _change(zone, after, soon)
            if moment < changed:
                return moment
            # From here on clocks show other times: what they show at that very moment may be a tick.
            shown = _local(changed, zone)
            if shown == next(_matches(cron, shown - _SECOND), None):
                return changed
            after = changed
        elif moment <= soon or _offset(zone, moment) == _offset(zone, after):
            return moment
        else:
            after = moment - _MOVED  # clocks are changed in between, and no tick comes before


def _local(moment: datetime, zone: tzinfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _offset(zone: tzinfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _change(zone: tzinfo, before: datetime, after: datetime) -> datetime:
    """The moment between two at which clocks are put forward or back; they are known to be by the later one."""
    was = _offset(zone, before)
    while after - before > _SECOND:
        middle = (before + (after - before) // 2).replace(microsecond=0)
        if _offset(zone, middle) == was:
            before = middle
        else:
            after = middle
    return after


class Former(msgspec.Struct, frozen=True):
    """The run that a schedule began last: its tick, and when it ended; None while it has not."""

    tick_ms: int
    ended_ms: int | None = None
    is_cancelled: bool = False


class Begin(msgspec.Struct, frozen=True):
    """A tick's run is to begin now."""

    tick_ms: int


class StopFormer(msgspec.Struct, frozen=True):
    """The former run is to be cancelled: a tick waits for that."""


def decide(
    timing: Timing, *, since_ms: int, former: Former | None, now_ms: int, looked_ms: int
) -> Begin | StopFormer | None:
    """What is to be done at `now_ms` about the ticks after `since_ms` and after the former run's; None is nothing yet.

    It is asked again whenever a tick comes and when the former run has ended, so that one answer at a time is enough. `looked_ms`
    is when it was asked before, or when whoever asks began to: where the record speaks of moments that the clock has not come to,
    since it was set back, ticks count from then on. Those among them that have had their run come once more; who begins runs
    knows them by their request.
    """

    def known(at_ms: int) -> int:
        return at_ms if at_ms <= now_ms else min(looked_ms, now_ms)

    last_ms = since_ms if former is None else former.tick_ms
    floor_ms = max(known(since_ms), known(last_ms), now_ms - BEHIND_MS_MAX)
    is_busy = former is not None and former.ended_ms is None
    ended_ms = floor_ms if former is None or former.ended_ms is None else known(former.ended_ms)
    if timing.overlap is Overlap.QUEUE:
        if is_busy:
            return None
        first_ms = timing.next(floor_ms)
        if first_ms is not None and first_ms <= (now_ms if timing.missed is Missed.ALL else ended_ms):
            return Begin(first_ms)
    elif timing.overlap is Overlap.SKIP:
        if is_busy:
            return None
        floor_ms = max(floor_ms, ended_ms)
    newest_ms = timing.newest(floor_ms, now_ms)
    if newest_ms is None:
        return None
    has_waited = former is not None and former.is_cancelled and newest_ms <= ended_ms
    if timing.missed is Missed.SKIP and now_ms - newest_ms > LATE_MS and not has_waited:
        return None
    return StopFormer() if is_busy else Begin(newest_ms)
