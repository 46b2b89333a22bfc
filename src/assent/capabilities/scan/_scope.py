"""The written scope: what may be scanned, at which ports, when and by whom. What is not in it is not scanned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, Final

from assent.capabilities.scan._target import Address, NetTarget
from assent.capabilities.scan._written import Network, Ports, network_of, ranges_of
from assent.errors import Json
from assent.invocation import NoEffectError
from assent.spec.documents.settings import listed
from assent.spec.words.globs import glob_matches

if TYPE_CHECKING:
    from assent.sandbox import NetworkScope

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A time of day on some days of the week; one that ends at or before its beginning ends on the day after."""

    days: frozenset[int]
    begins: time
    ends: time

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read `mon-fri 20:00-06:00`; without days it is every day. ValueError."""
        said, _, hours = text.strip().rpartition(" ")
        first, sign, last = hours.partition("-")
        if not sign:
            raise ValueError("no time of day to another")
        ends = time(0) if last == "24:00" else time.fromisoformat(last)
        return cls(days=_days(said), begins=time.fromisoformat(first), ends=ends)

    def left(self, now: datetime) -> timedelta | None:
        """How long it lasts from `now` on, a local time; None outside."""
        for day in (now.date(), now.date() - _DAY):
            begins = datetime.combine(day, self.begins, now.tzinfo)
            ends = datetime.combine(day if self.ends > self.begins else day + _DAY, self.ends, now.tzinfo)
            if day.weekday() in self.days and begins <= now < ends:
                # Two local times are subtracted as the clock shows them, and clocks are put forward and back.
                return ends.astimezone(UTC) - now.astimezone(UTC)
        return None


def _days(said: str) -> frozenset[int]:
    if said in {"", "daily"}:
        return frozenset(range(len(DAYS)))
    found: set[int] = set()
    for part in said.split(","):
        first, _, last = part.strip().partition("-")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        found |= {(begin + step) % len(DAYS) for step in range((end - begin) % len(DAYS) + 1)}
    return frozenset(found)


def moment_of(text: str, zone: tzinfo, *, is_end: bool) -> datetime:
    """A moment from `2026-11-30T18:00:00Z`, or a day, of which the end is its last moment. ValueError."""
    if len(text) == len("2026-11-30"):
        day = date.fromisoformat(text) + (_DAY if is_end else timedelta())
        return datetime.combine(day, time(), zone)
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)


def zone_of(name: str) -> tzinfo:
    """A time zone. ValueError for one that this machine does not know."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError):
        raise ValueError(f"names `{name[:80]}`, which is no time zone") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What somebody has agreed to have scanned."""

    hosts: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    not_hosts: tuple[str, ...] = ()
    not_networks: tuple[Network, ...] = ()
    ports: Ports = ()
    """None: all."""
    principals: tuple[str, ...] = ("*",)
    windows: tuple[Window, ...] = ()
    """None: always."""
    zone: tzinfo = UTC
    begins: datetime | None = None
    ends: datetime | None = None
    _net: NetworkScope = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_net", self.network({}))

    @classmethod
    def of(cls, said: Mapping[str, Json]) -> Scope | None:
        """The scope of a section that was read; None where it names nothing."""
        hosts, networks = listed(said, "hosts"), listed(said, "networks")
        if not hosts and not networks:
            return None
        out = {one: network_of(one) for one in listed(said, "except")}
        zone = zone_of(str(said.get("zone") or "UTC"))
        begins, ends = said.get("from"), said.get("until")
        return cls(
            hosts=hosts,
            networks=tuple(found for one in networks if (found := network_of(one)) is not None),
            not_hosts=tuple(one for one, found in out.items() if found is None),
            not_networks=tuple(found for found in out.values() if found is not None),
            ports=ranges_of(listed(said, "ports")),
            principals=listed(said, "principals"),
            windows=tuple(map(Window.parse, listed(said, "times"))),
            zone=zone,
            begins=None if begins is None else moment_of(str(begins), zone, is_end=False),
            ends=None if ends is None else moment_of(str(ends), zone, is_end=True),
        )

    def network(self, pinned: Mapping[str, tuple[Address, ...]]) -> NetworkScope:
        """Where a program's network ends."""
        from assent.sandbox import NetworkScope

        return NetworkScope(
            networks=dict.fromkeys(self.networks, self.ports),
            names=dict.fromkeys(self.hosts, self.ports),
            refused_networks=self.not_networks,
            refused_names=self.not_hosts,
            pinned=pinned,
        )

    def time_left(self, now: datetime) -> timedelta | None:
        """How long a scan may go on from now; None: as long as it likes. `NoEffectError` SCAN_OUT_OF_SCOPE at another time."""
        if self.begins is not None and now < self.begins:
            raise out_of_scope(f"the scope begins at {_shown(self.begins)}", "wait until then")
        if self.ends is not None and now >= self.ends:
            raise out_of_scope(
                f"the scope ended at {_shown(self.ends)}", "have it extended: `until` under `[scan.scope]`"
            )
        left = [] if self.ends is None else [self.ends.astimezone(UTC) - now.astimezone(UTC)]
        if self.windows:
            local = now.astimezone(self.zone)
            open_ = [found for one in self.windows if (found := one.left(local)) is not None]
            if not open_:
                raise out_of_scope(
                    f"no scan may run at this time: it is {local:%a %H:%M} where the scope is",
                    "`times` under `[scan.scope]` says when",
                )
            left.append(max(open_))
        return min(left, default=None)

    def require(self, target: NetTarget, principal: str) -> None:
        """Refuse a target that is not named, or somebody who may not scan it. `NoEffectError` SCAN_OUT_OF_SCOPE."""
        if not any(glob_matches(one, principal) for one in self.principals):
            raise out_of_scope(
                f"`{principal}` may not scan", "`principals` under `[scan.scope]` says who may"
            )
        if isinstance(target.where, str):
            if not self._net.names_ports(target.where):
                raise out_of_scope(f"`{target.where}` is not in the scope")
        elif not self._net.holds(target.where):
            raise out_of_scope(f"`{target.host}` is not in the scope")
        if (
            target.port is not None
            and self.ports
            and not any(first <= target.port <= last for first, last in self.ports)
        ):
            raise out_of_scope(f"port {target.port} is not in the scope")

    def require_addresses(self, name: str, addresses: Sequence[Address]) -> None:
        """Refuse a name that leads to an address which is out: one that a name alone can't bring in."""
        for address in addresses:
            if not self._net.leads_to(address):
                raise out_of_scope(
                    f"`{name}` resolves to `{address}`, which is not in the scope",
                    "the machine itself and private addresses are in only where `networks` names them",
                )


def _shown(moment: datetime) -> str:
    return moment.isoformat(timespec="minutes")


def out_of_scope(
    message: str, hint: str = "`[scan.scope]` in assent.toml says what may be scanned"
) -> NoEffectError:
    """What is not in the scope is refused before anything starts."""
    return NoEffectError("SCAN_OUT_OF_SCOPE", message, path="target", hint=hint)
