"""Runs of schedules begin when their time comes, once each, as whoever added them; and not while nobody wants them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from assent.engine import Actor, RunResult
from assent.errors import InputError, WorldError
from assent.journal import at_once
from assent.runtime.schedules import Scheduler
from assent.runtime.service import process, requests
from assent.runtime.service.service import Service
from assent.runtime.wiring.key_store import Key, KeyStore
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId
from assent.spec.principal import BY_ASSERTION, Principal
from tests.support.bodies import Bench, FakeClock, Place, code, erased, policy, put, rule, workflow
from tests.support.patience import PATIENCE_S

KEY = f"ak_{'a' * 16}"
KEPT = Key(
    id=KEY,
    digest="ab" * 32,
    name="test",
    principal="service:ci",
    scopes=frozenset({"call"}),
    created_ms=0,
    created_by="test",
)

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class Day:
    """A runtime with a scheduler that looks when the test says so."""

    def __init__(self, rt: Bench, clock: FakeClock) -> None:
        self.rt, self.clock = rt, clock
        self.scheduler = Scheduler(rt._core)

    async def pass_(self, ms: int) -> None:
        """Let time pass, then look, until nothing more comes of that."""
        self.clock.ms += ms
        for _ in range(4):
            await self.scheduler.look()
            if self.scheduler._driving:
                await asyncio.wait(self.scheduler._driving)
            await asyncio.sleep(0.005)  # who watches a run is told of its end

    async def runs(self) -> list[dict[str, Any]]:
        """The runs that ticks began, oldest first."""
        journal = self.rt._core.ready.journal
        asked = {row["run_id"] for row in await journal.rows("run_requests", limit=1000)
                 if str(row["request"]).startswith("schedule:")}  # fmt: skip
        return [row for row in await journal.rows("runs", limit=1000) if row["run_id"] in asked]

    async def states(self) -> list[str]:
        """How they stand."""
        return [str(run["status"]) for run in await self.runs()]


@asynccontextmanager
async def day(place: Place) -> AsyncIterator[Day]:
    assert place.clock is not None
    async with place.open() as rt:
        one = Day(rt, place.clock)
        try:
            yield one
        finally:
            await one.scheduler.close()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, policy=policy(), clock=FakeClock())


async def add(rt: Bench, **said: Any) -> RunResult:
    """The schedule `nightly`, each hour unless something else is said."""
    said = {"name": "nightly", "every": "1h"} | said
    result = await rt.add_schedule(workflow(put("a")), **said)
    assert result.status == "succeeded", result.error
    return result


def keep(place: Place, key: Key) -> None:
    """Have the place's state know a key."""
    settings = place.settings()
    settings.create_state()
    KeyStore(settings.state).write(key)


def listed(place: Place) -> list[Any]:
    return process.perform(requests.Schedules(), place.settings()).schedules


@pytest.mark.parametrize(
    ("asserted", "os_uid", "by"),
    [(False, None, f"api_key:{KEY}"), (True, 4321, BY_ASSERTION)],
    ids=["by a key", "asserted"],
)
async def test_each_tick_has_one_run_as_whoever_added_the_schedule(
    asserted: bool, os_uid: int | None, by: str, place: Place
) -> None:
    """Also of a process that knows nothing but the record: the workflow, its inputs and its principal stand there."""
    who = Actor(Principal.parse("service:ci"), asserted, os_uid, by)
    keep(place, KEPT)
    async with day(place) as one:
        await add(one.rt, principal=who)
        await one.pass_(HOUR_MS - 1000)
        assert await one.runs() == []
        await one.pass_(1000)
        await one.pass_(0)
        assert await one.states() == ["succeeded"]
    place.clock.ms += HOUR_MS  # type: ignore[union-attr]
    async with day(place) as one:
        await one.pass_(0)
        runs = await one.runs()
        assert [run["status"] for run in runs] == ["succeeded", "succeeded"]
        for run in runs:
            created = one.rt.recorded(str(run["run_id"]))[0]
            assert isinstance(created, ev.RunCreated)
            known = (created.principal, created.asserted, created.os_uid, created.identified_by)
            assert known == ("service:ci", asserted, os_uid, by)
        (shown,) = listed(place)
        assert (shown.last_run_id, shown.last_status) == (runs[-1]["run_id"], "succeeded")
        one.rt.require_sound_rows()


STOPS = {
    "paused": lambda rt: rt.pause_schedule("nightly"),
    "removed": lambda rt: rt.remove_schedule("nightly"),
}
"""After these a schedule never begins a run."""


@pytest.mark.parametrize("stop", STOPS.values(), ids=STOPS)
async def test_what_is_paused_or_removed_begins_nothing_until_that_is_taken_back(
    stop: Callable[[Bench], Any], place: Place
) -> None:
    async with day(place) as one:
        await add(one.rt, missed="all")
        await one.scheduler.look()
        stopped = await stop(one.rt)
        assert stopped.status == "succeeded"
        await one.pass_(5 * HOUR_MS)
        assert await one.runs() == []
        await one.rt.undo(stopped.run_id)
        await one.pass_(HOUR_MS // 2)
        assert await one.runs() == [], "what came meanwhile is not made up for"
        await one.pass_(HOUR_MS)
        assert len(await one.runs()) == 1
        assert (await one.rt.resume_schedule("nightly")).status == "succeeded"


async def test_undoing_the_addition_removes_it_unless_somebody_changed_it_since(place: Place) -> None:
    async with day(place) as one:
        added = await add(one.rt)
        await one.rt.pause_schedule("nightly")
        assert code(await one.rt.undo(added.run_id)) == "COMPENSATION_CONFLICT"
        await one.rt.remove_schedule("nightly")
        added = await add(one.rt, every="2h")
        assert (await one.rt.undo(added.run_id)).status == "undone"
        assert listed(place) == []
        await one.pass_(2 * HOUR_MS)
        assert await one.runs() == []


async def test_a_removal_is_not_taken_back_over_another_schedule_of_the_name(place: Place) -> None:
    async with day(place) as one:
        await add(one.rt)
        removed = await one.rt.remove_schedule("nightly")
        await add(one.rt, every="3h")
        assert code(await one.rt.undo(removed.run_id)) == "COMPENSATION_CONFLICT"
        assert [one.every for one in listed(place)] == ["3h"]


REFUSED = {
    "SCHEDULE_EXISTS": lambda rt: rt.add_schedule(workflow(put("b")), name="nightly", every="1h"),
    "SCHEDULE_INVALID": lambda rt: rt.add_schedule(workflow(put("b")), name="other", cron="soon"),
    "SCHEDULE_UNKNOWN": lambda rt: rt.pause_schedule("other"),
}


@pytest.mark.parametrize("code", REFUSED)
async def test_what_can_be_no_schedule_is_refused(code: str, place: Place) -> None:
    async with day(place) as one:
        await add(one.rt)
        result = await REFUSED[code](one.rt)
        assert (result.status, result.error["code"]) == ("failed", code)
        with pytest.raises(InputError, match="CAPABILITY_UNKNOWN"):
            await one.rt.add_schedule(workflow(put("c", "box.nothing")), name="other", every="1h")
        assert [one.name for one in listed(place)] == ["nightly"]


async def test_deciding_about_schedules_passes_the_gate(place: Place) -> None:
    """A denied one leaves none, and whoever is asked sees when it comes due, what it runs and for whom."""
    place.policy = policy(
        rule("no", "DENY", when={"capability": "assent.schedule.remove"}),
        rule("ask", "REQUIRE_APPROVAL", when={"capability": "assent.schedule.add"}),
    )
    async with day(place) as one:
        waiting = await one.rt.add_schedule(
            workflow(put("a")), name="nightly", cron="0 2 * * *", zone="Asia/Tokyo"
        )
        (asked,) = process.perform(requests.Approvals(), place.settings()).approvals
        for told in ("cron 0 2 * * * (Asia/Tokyo)", "T17:00:00.000Z", "box.put", "acts for user:"):
            assert told in str(asked.preview)
        assert listed(place) == []
        await one.rt.approve(waiting.run_id, digest=asked.digest)
        assert [one.zone for one in listed(place)] == ["Asia/Tokyo"]
        assert (await one.rt.remove_schedule("nightly")).error["code"] == "POLICY_DENIED"  # type: ignore[index]
        assert len(listed(place)) == 1


@pytest.mark.parametrize(
    ("overlap", "while_it_runs", "once_it_ends"),
    [
        ("skip", ["waiting"], ["succeeded"]),
        ("queue", ["waiting"], ["succeeded", "succeeded", "succeeded"]),
        ("cancel", ["cancelled", "waiting"], ["cancelled", "succeeded"]),
    ],
)
async def test_a_tick_before_the_former_run_has_ended(
    overlap: str, while_it_runs: list[str], once_it_ends: list[str], place: Place
) -> None:
    """A run that waits for a person has not ended."""
    place.policy = policy(rule("ask", "REQUIRE_APPROVAL", when={"capability": "box.put_high"}))
    async with day(place) as one:
        steps = workflow(put("a", "box.put_high"))
        await one.rt.add_schedule(steps, name="nightly", every="1h", overlap=overlap)
        await one.pass_(HOUR_MS)
        assert await one.states() == ["waiting"]
        for _ in range(2 if overlap != "cancel" else 1):
            await one.pass_(HOUR_MS)
        assert await one.states() == while_it_runs
        (shown,) = listed(place)
        assert (shown.held and shown.held.code) == (None if overlap == "cancel" else "RUN_UNFINISHED")
        for _ in range(5):
            for run in await one.runs():
                if run["status"] == "waiting":
                    await one.rt.approve(str(run["run_id"]))
            await one.pass_(0)
        assert await one.states() == once_it_ends
        assert listed(place)[0].held is None


@pytest.mark.parametrize(
    ("act", "former", "left"),
    [("put_high", "cancelled", {"f": "f"}), ("put", "succeeded", {"a": "a", "f": "f"})],
)
async def test_the_finally_of_a_run_that_is_in_the_way_is_waited_for(
    place: Place, act: str, former: str, left: dict[str, str]
) -> None:
    """No tick ends what cleans up after a run, not the next one and not the next daemon's, whatever became of its steps."""
    place.policy = policy(rule("ask", "REQUIRE_APPROVAL", when={"capability": "box.put_high"}))
    async with day(place) as one:
        steps = workflow(put("a", f"box.{act}"), **{"finally": [put("f", "box.put_high")]})
        await one.rt.add_schedule(steps, name="nightly", every="1h", overlap="cancel")
        await one.pass_(HOUR_MS)
        await one.pass_(HOUR_MS)
    async with day(place) as one:
        await one.pass_(HOUR_MS)
        (run,) = await one.runs()
        assert run["status"] == "waiting"
        await one.rt.approve(str(run["run_id"]), "f")
        await one.pass_(0)
        assert await one.states() == [former, "waiting"]
        assert place.box.values == left


@pytest.mark.parametrize(("missed", "count"), [("skip", 0), ("one", 1), ("all", 5)])
async def test_ticks_that_nobody_was_there_for(missed: str, count: int, place: Place) -> None:
    async with place.open() as rt:
        await add(rt, missed=missed)
    place.clock.ms += 5 * HOUR_MS + HOUR_MS // 2  # type: ignore[union-attr]
    async with day(place) as one:
        await one.pass_(0)
        await one.pass_(0)
        assert len(await one.runs()) == count


async def test_a_clock_that_is_set_by_400_days_brings_no_tick_twice_and_silences_none(place: Place) -> None:
    async with day(place) as one:
        await add(one.rt)
        await one.pass_(HOUR_MS)
        # Before it was added there are no ticks.
        for set_ms, least in ((400 * DAY_MS, 2), (-400 * DAY_MS, 2), (-400 * DAY_MS, 0), (400 * DAY_MS, 2)):
            await one.pass_(set_ms)
            before = len(await one.runs())
            for _ in range(2):
                await one.pass_(HOUR_MS)
            assert len(await one.runs()) == before + least, set_ms
        requests_of = [
            str(row["request"]) for row in await one.rt._core.ready.journal.rows("run_requests", limit=99)
        ]
        assert len(requests_of) == len({*requests_of})


async def test_a_tick_that_may_begin_no_run_says_why_on_record(place: Place) -> None:
    """Its workflow calls what is not registered any more. The next tick is tried again."""
    async with day(place) as one:
        await add(one.rt)
    async with place.open(box=False) as rt:
        one = Day(rt, place.clock)  # type: ignore[arg-type]
        await one.pass_(HOUR_MS)
        await one.pass_(0)
        (shown,) = listed(place)
        assert (shown.refused_code, shown.last_run_id) == ("CAPABILITY_UNKNOWN", None)
        assert [type(event) for event in rt.recorded(shown.schedule_id)] == [
            ev.ScheduleAdded,
            ev.ScheduleTickRefused,
        ]
        place.register(rt)
        await one.pass_(HOUR_MS)
        assert await one.states() == ["succeeded"]


async def test_a_tick_that_the_machine_refused_has_its_run_before_it_is_late(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full for a moment costs no run, although `skip` drops what is late by a minute."""
    async with day(place) as today:
        await add(today.rt)
        begin, refused = today.rt._core.run_spec, 0

        # `Any`: whatever is asked of a run.
        async def run_spec(*asked: Any, **how: Any) -> Any:
            nonlocal refused
            if refused < 2:
                refused += 1
                raise WorldError("DISK_FULL", "the disk that holds the ledger is full")
            return await begin(*asked, **how)

        monkeypatch.setattr(today.rt._core, "run_spec", run_spec)
        await today.pass_(HOUR_MS)
        assert await today.states() == []
        for _ in range(3):
            await today.pass_(10_000)
        assert (await today.states(), refused) == (["succeeded"], 2)


async def test_who_may_not_act_any_more_has_no_runs(place: Place) -> None:
    """The workspace has become strict since the schedule was added under an asserted name."""
    async with day(place) as one:
        await add(one.rt, principal="user:somebody")
    (place.workspace / "assent.toml").write_text("[identity]\nstrict = true\n")
    async with day(place) as one:
        await one.pass_(HOUR_MS)
        (shown,) = listed(place)
        assert (shown.refused_code, shown.last_run_id) == ("IDENTITY_REFUSED", None)


CI = "[identity.services.ci]\n"
ISSUER = '[serve.issuers.corp]\nissuer = "https://id"\naudience = "a"\njwks = "https://id/jwks"\n'
CERTIFICATE = f'{CI}certificate = "CN=ci"\nscopes = ["call"]\n'
VOUCHED: dict[str, tuple[str, str, Key | None, str, Key | None]] = {
    "the key was revoked": (f"api_key:{KEY}", "", KEPT, "", replace(KEPT, revoked_ms=1)),
    "the key has expired": (f"api_key:{KEY}", "", KEPT, "", replace(KEPT, expires_ms=1)),
    "the key's principal left the configuration": (
        f"api_key:{KEY}",
        CI,
        KEPT,
        "",
        replace(KEPT, configured=True),
    ),
    "the configuration became strict": (f"api_key:{KEY}", "", KEPT, "[identity]\nstrict = true\n", KEPT),
    "nobody has made the key": ("api_key:ak_bbbbbbbbbbbbbbbb", "", KEPT, "", KEPT),
    "the issuer counts no more": ("jwt:https://id", ISSUER, None, "", None),
    "the certificate is nobody's": ("mtls:CN=ci", CERTIFICATE, None, CI, None),
    "the certificate is another's": (
        "mtls:CN=ci",
        CERTIFICATE,
        None,
        CERTIFICATE.replace("ci]", "cd]"),
        None,
    ),
    "the certificate may not call": (
        "mtls:CN=ci",
        CERTIFICATE,
        None,
        CERTIFICATE.replace("call", "read"),
        None,
    ),
}
"""By what the author of a schedule came in, and what of the configuration and the key ends that."""


@pytest.mark.parametrize("case", VOUCHED)
async def test_a_schedule_outlives_nothing_that_its_author_came_in_by(case: str, place: Place) -> None:
    """The tick after it begins no run, which is on record, and the list says so before it comes."""
    by, configuration, key, afterwards, ended = VOUCHED[case]
    place.workspace.mkdir(exist_ok=True)
    file = place.workspace / "assent.toml"
    file.write_text(configuration)
    if key is not None:
        keep(place, key)
    async with day(place) as one:
        await add(one.rt, principal=Actor(Principal.parse("service:ci"), False, None, by))
        if ended == key and afterwards == configuration:
            assert listed(place)[0].held is not None
        else:
            await one.pass_(HOUR_MS)
            assert (await one.states(), listed(place)[0].held) == (["succeeded"], None)
    file.write_text(afterwards)
    if ended is not None:
        keep(place, ended)
    async with day(place) as one:
        assert listed(place)[0].held.code == "IDENTITY_REFUSED"
        before = await one.states()
        await one.pass_(HOUR_MS)
        (shown,) = listed(place)
        assert (await one.states(), shown.refused_code) == (before, "IDENTITY_REFUSED")
    assert process.perform(requests.Schedule(name="nightly"), place.settings()).held == shown.held


async def test_who_revokes_a_key_is_shown_which_schedules_end_with_it(place: Place) -> None:
    """Undone, the key opens again, and the next tick begins a run."""
    place.policy = policy(rule("ask", "REQUIRE_APPROVAL", when={"capability": "assent.key.revoke"}))
    keep(place, KEPT)
    async with day(place) as one:
        by = Actor(Principal.parse("service:ci"), False, None, f"api_key:{KEY}")
        await add(one.rt, principal=by)
        await add(one.rt, name="mine")
        revoked = await one.rt.call("assent.key.revoke", {"id": KEY})
        (asked,) = process.perform(requests.Approvals(), place.settings()).approvals
        assert "begin no more runs: nightly" in str(asked.preview)
        await one.rt.approve(revoked.run_id)
        await one.rt.pause_schedule("mine")
        await one.pass_(HOUR_MS)
        assert await one.states() == []
        await one.rt.undo(revoked.run_id)
        await one.pass_(HOUR_MS)
        assert await one.states() == ["succeeded"]


async def test_nobody_else_asks_under_the_ids_of_ticks(place: Place) -> None:
    """A run of somebody's would stand in the way of the tick's."""
    async with place.open() as rt:
        asked = requests.Call(capability="sys.noop")
        with pytest.raises(InputError, match="REQUEST_INVALID"):
            await Service(place.settings(), rt._core).perform(asked, ident="schedule:nightly:3600000")


async def test_what_a_removed_schedule_did_is_erased_with_the_run_that_added_it(place: Place) -> None:
    place.policy = policy(rule("all", when={"capability": "*"}, without_approval=True))
    async with day(place) as one:
        added = await add(one.rt)
        removed = await one.rt.remove_schedule("nightly")
        (event,) = [e for e in one.rt.recorded(schedule_of(one.rt)) if isinstance(e, ev.ScheduleAdded)]
        await erased(one.rt, added.run_id)
        assert await one.rt._core.ready.journal.payload(event.document) is None
        assert code(await one.rt.undo(removed.run_id)) == "PAYLOAD_ERASED"
    report = process.perform(requests.VerifyLedger(), place.settings())
    assert report.ok, report.faults


def schedule_of(rt: Bench) -> RunId:
    (row,) = at_once(rt._core.ready.journal.rows("schedule_entries", limit=9))
    return RunId(str(row["schedule"]))


async def test_it_looks_by_itself_from_its_start_to_its_end(place: Place) -> None:
    acted = asyncio.Event()
    place.box.after["a"] = lambda context: acted.set()
    async with day(place) as one:
        await one.scheduler.start()
        await add(one.rt, every="1s")
        async with asyncio.timeout(PATIENCE_S):
            await acted.wait()
        await one.scheduler.settle()
        acted.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.2):
                await acted.wait()
