"""Strangers before the limits of `[serve.rate]`: what they send counts before it costs anything, and only against themselves."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import httpx2
import pytest

from assent.errors import WorldError
from assent.runtime.service.requests import Call
from assent.runtime.settings._serve import DoorRate
from assent.server.who import Gatehouse, Rates, _rates
from tests.server.conftest import env, root
from tests.server.who.test_rates import Clock, come
from tests.support.patience import PATIENCE_S
from tests.support.serving import daemon, key_for, over_tcp

__all__ = ["env", "root"]

LIMITS = """
[serve.rate.sources]
requests = 10
window = "1h"
per = ["source"]
door = "http"
[serve.rate.known]
requests = 3
window = "1h"
"""

SPOOFED = (
    "forwarded: for=198.51.100.{n}",
    "x-forwarded-for: 198.51.100.{n}",
    "x-real-ip: 198.51.100.{n}",
    "x-client-ip: 198.51.100.{n}",
    "client-ip: 198.51.100.{n}",
    "true-client-ip: 198.51.100.{n}",
    "cf-connecting-ip: 198.51.100.{n}",
    "x-forwarded-host: {n}.example",
    "via: 1.1 proxy{n}",
    "idempotency-key: {n}",
)


async def test_a_source_is_where_it_comes_from_and_is_stopped_before_it_is_looked_at(
    root: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No header makes another source of it, and past its rate nothing is authenticated; others are served as before."""
    over_tcp(root)
    with (root / "assent.toml").open("a") as file:
        file.write(LIMITS)
    looked_at: list[str] = []
    identify = Gatehouse._identify

    async def counted(self: Gatehouse, presented: object) -> object:
        looked_at.append(getattr(presented, "peer", ""))
        return await identify(self, presented)  # type: ignore[arg-type]  # what it was given

    monkeypatch.setattr(Gatehouse, "_identify", counted)
    async with daemon(root, env) as served:
        key = key_for(root, env)
        answered: Counter[int] = Counter()
        async with httpx2.AsyncClient(base_url=served.doors["http"], timeout=PATIENCE_S) as http:
            for number, header in enumerate((*SPOOFED, *SPOOFED, *SPOOFED)):
                name, _, value = header.format(n=number).partition(": ")
                sent = {name: value, "authorization": f"Bearer forged.{number}"}
                answer = await http.get("/v1/runs", headers=sent)
                answered[answer.status_code] += 1
                assert answer.headers["ratelimit"].startswith(f'"sources";r={max(0, 9 - number)};t=')
            assert answered == {401: 10, 429: 20}
            assert looked_at == ["127.0.0.1"] * 10
            # What needs no caller costs something, too; that somebody else's page asks, is not the source's doing.
            assert (await http.get("/.well-known/oauth-protected-resource")).status_code == 429
            assert (await http.get("/v1/runs", headers={"host": "evil.example"})).status_code == 403
            bearer = {"authorization": f"Bearer {key}"}
            assert (await http.get("/v1/runs", headers=bearer)).status_code == 429
        # None of that has counted for the principal, who comes from elsewhere.
        for _ in range(3):
            assert (await served.http.get("/v1/runs", headers=bearer)).status_code == 200
        assert (await served.http.get("/v1/runs", headers=bearer)).status_code == 429


def test_thousands_of_sources_and_names_take_bounded_room_and_push_nobody_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_rates, "KEYS_MAX", 2048)
    clock = Clock()
    rates = Rates(
        [
            DoorRate(name="sources", requests=10, window_ms=60_000, burst=10, per=("source",)),
            DoorRate(name="names", requests=10, window_ms=60_000, burst=10, per=("principal", "capability")),
            DoorRate(name="known", requests=10, window_ms=60_000, burst=10),
        ],
        clock,
    )
    known = {"principal": "user:ada", "request": Call(capability="net.http.get")}
    for number in range(10):
        come(rates, peer=f"192.0.2.{number}", **known)  # type: ignore[arg-type]  # as it takes them
    for number in range(2 * _rates.KEYS_MAX):
        # Each is somebody else, who shows nothing: it gets no further than the door.
        visit = rates.visit("http", f"[2001:db8:{number >> 8:x}:{number & 255:x}::1]")
        visit.arrive()
        assert [one.rate.name for one in visit.allowances] == ["sources"]
    for number in range(10, 2 * _rates.KEYS_MAX):
        # Names that are made up, of one who was let in: each is one request, where ada's were ten.
        visit = rates.visit("http", f"198.51.100.{number}")
        visit.identify(f"agent:{number}")
        visit.ask(Call(capability=f"x{number}.y"))
    for limit in rates._limits:
        assert len(limit._empty) == len(limit._soonest) <= _rates.KEYS_MAX
    with pytest.raises(WorldError, match="limit `known`"):
        come(rates, peer="192.0.2.77", **known)  # type: ignore[arg-type]  # as it takes them
    visit = rates.visit("http", "192.0.2.78")
    visit.principal = "user:ada"
    with pytest.raises(WorldError, match="limit `names`"):
        visit.ask(Call(capability="net.http.get@2"))


async def test_a_flood_at_once_passes_no_more_than_its_burst(root: Path, env: dict[str, str]) -> None:
    with (root / "assent.toml").open("a") as file:
        file.write('[serve.rate.all]\nrequests = 20\nwindow = "1h"\nper = []\n')
    async with daemon(root, env) as served:
        answers = await asyncio.gather(*(served.http.get("/v1/runs") for _ in range(100)))
        assert Counter(one.status_code for one in answers) == {200: 20, 429: 80}
        assert (await served.http.get("/readyz")).status_code == 200


def test_names_of_capabilities_that_are_made_up_share_one_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with one of its own would push out those of what there is, and be a limit on nothing."""
    monkeypatch.setattr(_rates, "KEYS_MAX", 64)
    limits = [
        DoorRate(name="each", requests=20, window_ms=60_000, burst=20, per=("capability",)),
        DoorRate(name="mine", requests=9, window_ms=60_000, burst=9, per=("capability",), capability="x.*"),
    ]
    rates = Rates(limits, Clock(), {"net.http.get", "x.real"}.__contains__)

    def refused(capability: str) -> str | None:
        visit = rates.visit("http", "192.0.2.1")
        try:
            visit.ask(Call(capability=capability))
        except WorldError as error:
            return str(error.details["limits"])
        return None

    assert [refused("net.http.get") for _ in range(20)] == [None] * 20
    made_up = [refused(f"x.y{number}@{number}") for number in range(200)]
    assert made_up == [None] * 9 + ["['mine']"] * 191
    assert refused("net.http.get@1") == "['each']"
    assert refused("x.real") is None
    assert {len(limit._empty) for limit in rates._limits} == {2, 3}
