"""Limits of `[serve.rate]`: exact under a clock that the test sets, for each client alone, bounded in memory."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from assent.errors import WorldError
from assent.runtime.service.requests import AddStep, Call, Request, Runs
from assent.runtime.settings._serve import DoorRate
from assent.server.who import Rates, Visit, _rates


@dataclass
class Clock:
    """Time that only the test moves."""

    ms: int = 1_000_000

    def now_ms(self) -> int:
        raise AssertionError("a clock that somebody may set moves no limit")

    def monotonic_ms(self) -> int:
        return self.ms


def rate(requests: int = 1, window_ms: int = 1000, burst: int | None = None, **said: Any) -> DoorRate:
    name = said.pop("name", "x")
    return DoorRate(name=name, requests=requests, window_ms=window_ms, burst=burst or requests, **said)


def come(
    rates: Rates,
    door: str = "http",
    peer: str = "192.0.2.1",
    principal: str = "agent:bot",
    request: Request[Any] | None = None,
) -> Visit:
    """A request on its whole way in."""
    visit = rates.visit(door, peer)
    visit.arrive()
    visit.identify(principal)
    visit.ask(request or Runs())
    return visit


def wait_ms(rates: Rates, **who: Any) -> int:
    """0 for a request that passes; else how long it has to wait."""
    refused: WorldError | None = None
    try:
        come(rates, **who)
    except WorldError as error:
        refused = error
    if refused is None:
        return 0
    assert refused.code == "RATE_LIMITED"
    told = refused.details["retry_after_ms"]
    assert isinstance(told, int)
    return told


PACES = st.builds(
    rate,
    requests=st.integers(1, 7),
    window_ms=st.integers(1, 60),
    burst=st.integers(1, 5),
    per=st.sampled_from([(), ("principal",), ("principal", "door")]),
)
COMING = st.lists(
    st.tuples(st.integers(0, 25), st.sampled_from(["socket", "http"]), st.sampled_from(["user:a", "user:b"])),
    max_size=60,
)


@given(PACES, COMING)
def test_what_passes_is_what_a_bucket_that_drains_would_take(
    pace: DoorRate, coming: list[tuple[int, str, str]]
) -> None:
    """The bucket, said plainly: fractions drain out of it, and a request comes in where there is room for it."""
    clock = Clock()
    rates = Rates([pace], clock)
    levels: dict[object, tuple[Fraction, int]] = {}
    passed: dict[object, list[int]] = {}
    for pause, door, principal in coming:
        clock.ms += pause
        who = {"door": door, "principal": principal}
        mine = tuple(who[one] for one in pace.per)
        level, before_ms = levels.get(mine, (Fraction(0), 0))
        level = max(Fraction(0), level - Fraction((clock.ms - before_ms) * pace.requests, pace.window_ms))
        has_room = level + 1 <= pace.burst
        assert (wait_ms(rates, **who) == 0) == has_room
        if has_room:
            levels[mine] = (level + 1, clock.ms)
            passed.setdefault(mine, []).append(clock.ms)
    for moments in passed.values():
        for (first, earlier), (last, later) in combinations(enumerate(moments), 2):
            assert last - first + 1 <= pace.burst + Fraction(
                (later - earlier) * pace.requests, pace.window_ms
            )


@given(PACES, COMING)
def test_whoever_waits_as_told_is_served_and_not_a_moment_later(
    pace: DoorRate, coming: list[tuple[int, str, str]]
) -> None:
    clock = Clock()
    rates = Rates([pace], clock)
    for pause, door, principal in coming:
        clock.ms += pause
        who = {"door": door, "principal": principal}
        if wait := wait_ms(rates, **who):
            clock.ms += wait - 1
            assert wait_ms(rates, **who) == 1  # a refusal counts for nothing
            clock.ms += 1
            assert wait_ms(rates, **who) == 0
    every_ms = -(-pace.window_ms // pace.requests)
    clock.ms += pace.burst * every_ms
    for _ in range(20):  # and whoever keeps to the rate never waits
        assert wait_ms(rates) == 0
        clock.ms += every_ms


CALL = Call(capability="net.http.get@1.2.0")


@pytest.mark.parametrize(
    ("said", "same", "others"),
    [
        pytest.param({}, [{"peer": "198.51.100.1"}, {"door": "pipe"}], [{"principal": "agent:c"}], id="principal"),
        pytest.param({"per": ()}, [{"principal": "user:a", "peer": "uid:1", "door": "pipe"}], [], id="all"),
        pytest.param(
            {"per": ("source",)}, [{"principal": "user:a"}], [{"peer": "192.0.2.2"}, {"peer": "uid:7"}], id="source"
        ),
        pytest.param({"per": ("door",)}, [{"door": "https"}], [{"door": "socket"}, {"door": "pipe"}], id="door"),
        pytest.param(
            {"per": ("capability",), "first": CALL},
            [{"request": AddStep(run="run_1", capability="net.http.get")}],
            [{"request": Call(capability="net.http.post")}, {"request": Runs()}],
            id="capability",
        ),
        pytest.param(
            {"capability": "net.*", "first": CALL},
            [{"request": Call(capability="net.http.post")}],
            [{"request": Call(capability="io.fs.read_file")}, {"request": Runs()}],
            id="calls of",
        ),
        pytest.param(
            {"principal": "agent:*", "per": ()}, [{"principal": "agent:c"}], [{"principal": "user:a"}], id="agents"
        ),
        pytest.param({"door": "http", "per": ()}, [{"door": "https"}], [{"door": "socket"}], id="one door"),
        pytest.param(
            {"per": ("source",), "peer": "[2001:db8:1:2::1]"},
            [{"peer": "[2001:db8:1:2:ffff::9]"}],
            [{"peer": "[2001:db8:1:3::1]"}],
            id="IPv6",
        ),
        pytest.param(
            {"per": ("source",), "peer": "[::ffff:192.0.2.1]"}, [{"peer": "192.0.2.1"}], [{"peer": "[::1]"}], id="mapped"
        ),
        pytest.param(
            {"per": ("source",), "peer": "127.0.0.1"},
            [{"peer": "127.3.2.1"}, {"peer": "[::ffff:127.0.0.9]"}], [{"peer": "12.7.0.1"}], id="this machine",
        ),
    ],
)  # fmt: skip
def test_a_limit_is_of_whom_it_says(
    said: dict[str, Any], same: list[dict[str, Any]], others: list[dict[str, Any]]
) -> None:
    first = {"request": said.pop("first", None), "peer": said.pop("peer", "192.0.2.1")}
    rates = Rates([rate(**said)], Clock())
    assert wait_ms(rates, **first) == 0
    assert [wait_ms(rates, **{**first, **one}) for one in same] == [1000] * len(same)
    assert [wait_ms(rates, **{**first, **one}) for one in others] == [0] * len(others)


def test_it_is_told_what_is_left_and_what_refused() -> None:
    clock = Clock()
    rates = Rates([rate(2, 3000, name="each"), rate(5, 60_000, 3, name="all", per=())], clock)

    def left(visit: Visit) -> list[tuple[str, int, int]]:
        return [(one.rate.name, one.left, one.more_in_ms) for one in visit.allowances]

    # What is known before anybody is identified comes first.
    assert left(come(rates)) == [("all", 2, 12_000), ("each", 1, 1500)]
    assert left(come(rates)) == [("all", 1, 12_000), ("each", 0, 1500)]
    clock.ms += 500
    with pytest.raises(WorldError) as caught:
        come(rates)
    assert caught.value.message == "limit `each` has no room for this one: it lets 2 requests pass in each 3s"
    assert caught.value.hint == "try again in 1 s"
    assert caught.value.details == {"retry_after_ms": 1000, "limits": ["each"]}
    clock.ms += 1000
    with pytest.raises(WorldError, match="limit `all`"):
        come(rates)
    assert rates.refused == {"each": 1, "all": 1}


def test_of_limits_that_are_looked_at_together_one_refuses_for_all_and_the_longest_wait_is_told() -> None:
    rates = Rates(
        [
            rate(name="short"),
            rate(name="long", window_ms=9000, per=("principal", "door")),
            rate(4, name="idle", per=("door", "principal")),
        ],
        Clock(),
    )
    come(rates)
    visit = rates.visit("socket", "uid:1")
    with pytest.raises(WorldError, match="limit `short`"):
        visit.identify("agent:bot")
    assert [(one.rate.name, one.left) for one in visit.allowances] == [("short", 0), ("long", 1), ("idle", 4)]
    with pytest.raises(WorldError) as caught:
        come(rates)
    assert caught.value.details == {"retry_after_ms": 9000, "limits": ["short", "long"]}


def test_a_limit_that_stays_goes_on_and_one_that_changes_begins_anew() -> None:
    stays, changes = rate(name="stays", per=("door",)), rate(name="changes", per=("source",))
    rates = Rates([stays, changes], Clock())
    come(rates)
    rates.hold([replace(changes, requests=2), stays])
    assert wait_ms(rates, door="socket") == 0
    assert wait_ms(rates, peer="192.0.2.9") == 1000
    rates.hold([])
    assert wait_ms(rates) == 0


def test_past_its_clients_a_limit_forgets_who_has_least_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of names pushes nobody out who has used up more than each of them has."""
    monkeypatch.setattr(_rates, "KEYS_MAX", 8)
    clock = Clock()
    rates = Rates([rate(3, 300_000)], clock)
    for _ in range(3):
        come(rates, principal="agent:busy")
    for number in range(1000):
        clock.ms += 1
        assert wait_ms(rates, principal=f"agent:{number}") == 0
    assert wait_ms(rates, principal="agent:busy") == 99_000
    assert len(rates._limits[0]._empty) == len(rates._limits[0]._soonest) == 8
    clock.ms += 300_000
    for number in range(8):
        come(rates, principal=f"agent:{number}")  # what is empty is forgotten, and nothing is lost by that
    assert wait_ms(rates, principal="agent:busy") == 0
