"""Versions over time in a runtime: every change is on the record first, runs keep what they began with, nothing in use ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest

from assent.engine import RunProjector
from assent.errors import InputError, Json, WorldError
from assent.invocation import Handler
from assent.journal import LEDGER_FILE, Batch, Head, SqliteJournal, leaves_at_once, rows_at_once
from assent.registry import CapabilityVersion
from assent.runtime.capabilities._versions import VersionStatus
from assent.spec import CapabilitySpec, create_read_capability
from assent.spec.events import kinds as ev
from assent.spec.events.kinds import EVENT_TYPES
from assent.spec.states import RunState
from tests.support.bodies import Bench, Place, code, policy, rule, states, workflow

ID = "mail.send"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A workspace, a state directory and a box of values."""
    return Place(tmp_path)


def spec(version: str, ident: str = ID, **fields: str) -> CapabilitySpec:
    return create_read_capability(ident, version=version, returns={}, **fields)


def saying(version: str) -> Handler:
    def execute(_context: object, _parameters: object) -> str:
        return version

    return Handler(execute=execute)


def add(rt: Bench, *versions: str, **fields: str) -> None:
    """Versions whose output is their own number."""
    for version in versions:
        rt.register(spec(version, **fields), saying(version))


@asynccontextmanager
async def opened(place: Place, *versions: str) -> AsyncIterator[Bench]:
    async with place.open(box=False) as rt:
        add(rt, *versions)
        yield rt


def journal_of(rt: Bench) -> SqliteJournal:
    journal = rt._core.ready.journal
    assert isinstance(journal, SqliteJournal)
    return journal


def recorded(rt: Bench) -> list[ev.Event]:
    """The events of capabilities, without those that come with Assent."""
    kinds = tuple(kind for name, kind in EVENT_TYPES.items() if name.startswith("capability."))
    return [
        leaf.event
        for leaf in leaves_at_once(journal_of(rt))
        if isinstance(leaf.event, kinds) and getattr(leaf.event, "capability", "") == ID
    ]


def by_fingerprint(version: str) -> str:
    """A reference that nothing but this very version can answer."""
    return f"{ID}@sha256:{spec(version).fingerprint}"


async def said(rt: Bench, reference: str) -> str:
    """Which version answers a call."""
    result = await rt.call(reference)
    assert result.status is RunState.SUCCEEDED, result.error
    return str(result.steps[0].output)


async def refusal(work: object) -> InputError:
    with pytest.raises(InputError) as caught:
        await work  # type: ignore[misc]  # a coroutine of any kind
    return caught.value


def status(rt: Bench, version: str) -> VersionStatus:
    return next(entry for entry in rt.versions.history(ID) if entry.entry.version == version)


async def test_a_version_is_recorded_once_before_the_first_run_that_could_use_it(place: Place) -> None:
    """Nothing is written by opening, reading or a second run; all new versions are one batch, before the run."""
    async with opened(place, "1.0.0", "1.1.0") as rt:
        rt.versions.history(ID)
        assert [leaf.event.kind for leaf in leaves_at_once(journal_of(rt))] == ["ledger.created"]
        assert await said(rt, ID) == "1.1.0"
        leaves = list(leaves_at_once(journal_of(rt)))
        kinds = [leaf.event.kind for leaf in leaves]
        assert kinds[1:4] == ["release.registered", *["capability.registered"] * 2]
        assert len({leaf.at_ms for leaf in leaves[1:4]}) == 1
        assert "capability.registered" not in kinds[4:]
        own, created = leaves[1].event, leaves[kinds.index("run.created")].event
        assert isinstance(own, ev.ReleaseRegistered)
        assert isinstance(created, ev.RunCreated)
        assert created.catalogue == len(own.versions) + 2
        entry = status(rt, "1.1.0").entry
        assert entry.created_at_ms == leaves[1].at_ms
        size = (await journal_of(rt).head()).size
        await rt.versions.record()
        assert (await journal_of(rt).head()).size == size
    async with opened(place, "1.0.0", "1.1.0", "2.0.0") as rt:
        assert await said(rt, ID) == "2.0.0"
        registered = [event for event in recorded(rt) if isinstance(event, ev.CapabilityRegistered)]
        assert [event.version for event in registered] == ["1.0.0", "1.1.0", "2.0.0"]
        assert status(rt, "1.1.0").entry.created_at_ms == entry.created_at_ms


async def test_what_is_recorded_is_what_the_fold_says(place: Place) -> None:
    """The rows of a journal that lived through everything equal those made from its events, and a restart knows the same."""
    async with opened(place, "1.0.0", "1.1.0", "2.0.0") as rt:
        await rt.versions.label(f"{ID}@1.0.0", "stable")
        await rt.versions.label(f"{ID}@^1", "stable", by="user:ada")
        await rt.versions.label(f"{ID}@1.0.0", "old")
        await rt.versions.unlabel(ID, "old")
        await shared_once(rt, {"1.1.0": 80, "2.0.0": 20})
        await rt.versions.record()
        await rt.versions.retire(f"{ID}@1.0.0")
        journal = journal_of(rt)
        rows = {table: list(rows_at_once(journal, table)) for table in RunProjector.tables}
        told = rt.versions.told(ID)
        await journal.rebuild(RunProjector())
        assert {table: list(rows_at_once(journal, table)) for table in RunProjector.tables} == rows
    async with opened(place, "1.0.0", "1.1.0", "2.0.0") as rt:
        assert rt.versions.told(ID) == told
        assert [change.version for change in rt.versions.label_history(ID)] == [
            None,
            "1.0.0",
            "1.1.0",
            "1.0.0",
        ]
        assert rt.versions.label_history(ID)[2].by == "user:ada"
        assert status(rt, "1.0.0").state == "retired"


async def shared_once(rt: Bench, weights: dict[str, int]) -> None:
    """Put on the record what an earlier Assent did: it let versions share the calls of the bare id."""
    event = ev.CapabilityActivated(
        capability=ID, versions=tuple(weights), weights=tuple(weights.values()), by="user:ada"
    )
    await rt.versions._append(event)


async def test_shares_that_an_earlier_assent_recorded_end_on_the_record_and_are_told(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, before the next run; the entries stay, the rebuild equals, and the bare id means the latest version."""
    async with opened(place, "1.0.0", "2.0.0") as rt:
        await rt.versions.record()
        await shared_once(rt, {"1.0.0": 100})
    async with opened(place, "1.0.0", "2.0.0") as rt:
        assert await said(rt, ID) == "2.0.0"
        assert [record.getMessage().split(",")[0] for record in caplog.records] == [
            f"the calls of `{ID}` were shared by weight (1.0.0=100)"
        ]
        assert await said(rt, ID) == "2.0.0"
        given, ended = (event for event in recorded(rt) if isinstance(event, ev.CapabilityActivated))
        assert (given.weights, ended.weights) == ((100,), ())
        assert (ended.code, ended.by) == ("WEIGHTS_REMOVED", None)
        rt.require_sound_rows()
    async with opened(place, "1.0.0", "2.0.0") as rt:
        size = (await journal_of(rt).head()).size
        await rt.versions.record()
        assert (await journal_of(rt).head()).size == size
        assert rt.registry.revision == len(recorded(rt)) + _own(rt)


def _own(rt: Bench) -> int:
    """How many versions came with Assent: each is a change."""
    return sum(
        len(leaf.event.versions)
        for leaf in leaves_at_once(journal_of(rt))
        if isinstance(leaf.event, ev.ReleaseRegistered)
    )


async def test_a_spec_that_changed_under_its_version_is_refused_unless_that_is_meant(place: Place) -> None:
    """Before the first run of a runtime, or when it is registered; a meant change keeps the time of the version."""
    async with opened(place, "1.0.0") as rt:
        await rt.versions.record()
        before = status(rt, "1.0.0").entry
    async with place.open(box=False) as rt:
        assert (await refusal(_register(rt))).code == "VERSION_CHANGED"
        rt.register(spec("1.0.0", description="other"), _nothing, replace=True)
        await rt.versions.record()
        after = status(rt, "1.0.0").entry
        assert after.fingerprint != before.fingerprint
        assert after.created_at_ms == before.created_at_ms
        (_, changed) = recorded(rt)
        assert isinstance(changed, ev.CapabilityRegistered)
        assert changed.replaces == before.fingerprint
        await rt.versions.label(f"{ID}@1.0.0", "stable")
    runtime = Bench(place.settings())
    add(runtime, "1.0.0")
    async with runtime as rt:
        assert (await refusal(rt.call("sys.noop"))).code == "VERSION_CHANGED"


async def _register(rt: Bench) -> None:
    rt.register(spec("1.0.0", description="other"), _nothing)


def _nothing(_context: object, _parameters: object) -> None:
    """A handler that does nothing."""


async def test_what_comes_with_assent_may_change_under_its_version(place: Place) -> None:
    async with place.open(box=False) as rt:
        rt.register(spec("1.0.0"), _nothing, origin="built in")
        await rt.versions.record()
    async with place.open(box=False) as rt:
        rt.register(spec("1.0.0", description="mended"), _nothing, origin="built in")
        await rt.versions.record()
        (changed,) = recorded(rt)
        assert isinstance(changed, ev.CapabilityRegistered)
        assert (changed.replaces, changed.spec) == (spec("1.0.0").fingerprint, None)


WAITS = policy(rule("ask", "REQUIRE_APPROVAL", when={"capability": "sys.noop"}))


def asked_then(reference: str) -> dict[str, Json]:
    """A run that waits for a person, then calls."""
    return workflow({"name": "wait", "capability": "sys.noop"}, {"name": "then", "capability": reference})


@pytest.mark.parametrize("crashes", [False, True])
@pytest.mark.parametrize(
    ("reference", "version"), [(ID, "1.1.0"), (f"{ID}@stable", "1.0.0"), (f"{ID}@^1", "1.1.0")]
)
async def test_a_run_keeps_the_catalogue_that_it_began_with(
    place: Place, reference: str, version: str, *, crashes: bool
) -> None:
    """A label that moves and a version that comes while it waits do not change its later steps, nor does a restart."""
    place.policy = WAITS
    async with opened(place, "1.0.0", "1.1.0") as rt:
        await rt.versions.label(f"{ID}@1.0.0", "stable")
        waiting = await rt.run(asked_then(reference))
        assert waiting.status is RunState.WAITING
        add(rt, "1.2.0")
        await rt.versions.label(f"{ID}@1.2.0", "stable")
        if not crashes:
            await rt.approve(waiting.run_id)
    async with opened(place, "1.0.0", "1.1.0", "1.2.0") as rt:
        ended = await rt.approve(waiting.run_id) if crashes else await rt.show(waiting.run_id)
        assert await said(rt, ID) == "1.2.0"
    assert (ended.status, ended.steps[1].output) == (RunState.SUCCEEDED, version)
    assert ended.steps[1].version == version


async def test_a_version_that_came_after_a_crash_and_is_not_recorded_yet_is_not_used_by_an_older_run(
    place: Place,
) -> None:
    place.policy = WAITS
    async with opened(place, "1.0.0") as rt:
        waiting = await rt.run(asked_then(ID))
    async with opened(place, "1.0.0", "2.0.0") as rt:
        ended = await rt.approve(waiting.run_id)
        assert ended.steps[1].version == "1.0.0"


async def test_a_version_that_is_gone_fails_the_step_instead_of_being_replaced(place: Place) -> None:
    place.policy = WAITS
    async with opened(place, "1.0.0", "1.1.0") as rt:
        waiting = await rt.run(asked_then(ID))
    async with opened(place, "1.0.0") as rt:
        ended = await rt.approve(waiting.run_id)
        assert states(ended)["then"] == "failed"
        assert code(ended) == "VERSION_NOT_FOUND"


async def test_a_reference_that_meant_an_older_version_because_a_recorded_one_was_missing_keeps_it(
    place: Place,
) -> None:
    """What is installed is not on the record, so the run's first event names what would else be told differently."""
    place.policy = WAITS
    async with opened(place, "1.0.0", "2.0.0") as rt:
        await rt.versions.record()
    async with opened(place, "1.0.0") as rt:
        assert status(rt, "2.0.0").state == "missing"
        waiting = await rt.run(asked_then(ID))
        (created,) = [
            leaf.event for leaf in leaves_at_once(journal_of(rt)) if isinstance(leaf.event, ev.RunCreated)
        ]
        assert created.pins == (f"{ID}=1.0.0",)
    async with opened(place, "1.0.0", "2.0.0") as rt:
        assert await said(rt, ID) == "2.0.0"
        ended = await rt.approve(waiting.run_id)
        assert ended.steps[1].version == "1.0.0"


async def test_a_label_moves_and_goes(place: Place) -> None:
    """Putting it where it is records nothing; taking it away says whether it was there."""
    async with opened(place, "1.0.0", "1.1.0") as rt:
        first = await rt.versions.label(f"{ID}@1.0.0", "stable")
        assert (first.version, first.before) == ("1.0.0", None)
        moved = await rt.versions.label(ID, "stable")
        assert (moved.version, moved.before, moved.how.value) == ("1.1.0", "1.0.0", "latest")
        count = len(recorded(rt))
        await rt.versions.label(ID, "stable")
        assert len(recorded(rt)) == count
        assert await said(rt, f"{ID}@stable") == "1.1.0"
        assert await rt.versions.unlabel(ID, "stable") is True
        assert await rt.versions.unlabel(ID, "stable") is False
        assert (await refusal(rt.call(f"{ID}@stable"))).code == "VERSION_NOT_FOUND"
        assert (await refusal(rt.versions.label(ID, "latest"))).code == "LABEL_INVALID"
        assert (await refusal(rt.versions.unlabel("no.such", "stable"))).code == "CAPABILITY_UNKNOWN"


@pytest.mark.parametrize(
    "tampered",
    [
        "UPDATE capability_labels SET version = '2.0.0'",
        "DELETE FROM capability_labels",
        "INSERT INTO capability_labels VALUES ('mail.send', 'stable', 99, '2.0.0', 1, 'user:ada')",
        "UPDATE capabilities SET retired = 0, retired_at_ms = 1 WHERE version = '2.0.0'",
        "UPDATE capabilities SET fingerprint = 'x' WHERE capability = 'mail.send'",
        "DELETE FROM capabilities WHERE capability = 'mail.send'",
        "UPDATE capability_specs SET spec = 'x'",
    ],
)
async def test_rows_that_no_entry_made_decide_nothing(place: Place, tampered: str) -> None:
    """Which version a label names is what was recorded: an owner takes no row's word for it."""
    async with opened(place, "1.0.0", "2.0.0") as rt:
        await rt.versions.label(f"{ID}@1.0.0", "stable")
    with apsw.Connection(str(place.settings().state / LEDGER_FILE)) as db:
        db.execute(tampered)
        assert db.changes()
    with pytest.raises(WorldError, match="not one that was recorded") as refused:
        async with opened(place, "1.0.0", "2.0.0"):
            pass
    assert refused.value.code == "RECORD_CORRUPT"


async def test_a_runtime_that_is_not_open_changes_nothing(place: Place) -> None:
    runtime = Bench(place.settings())
    add(runtime, "1.0.0")
    assert (await refusal(runtime.versions.label(ID, "stable"))).code == "RUNTIME_CLOSED"
    assert (await refusal(runtime.call(ID))).code == "RUNTIME_CLOSED"
    async with runtime:
        assert (await runtime.call(ID)).status == "succeeded"
    assert (await refusal(runtime.call(ID))).code == "RUNTIME_CLOSED"


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
async def test_a_change_whose_asker_gives_up_is_known_before_the_next_one_is_numbered(
    place: Place, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """It became durable all the same; a second change that took its number would make the rows lie."""
    async with opened(place, "1.0.0") as rt:
        await rt.versions.record()
        append = journal_of(rt).append
        waits, goes = asyncio.Event(), asyncio.Event()

        async def slow(batch: Batch) -> Head:
            head = await append(batch)
            waits.set()
            await goes.wait()
            return head

        with monkeypatch.context() as patched:
            patched.setattr(journal_of(rt), "append", slow)
            asking = asyncio.ensure_future(rt.versions.label(ID, "stable"))
            await waits.wait()
            for _ in range(times):
                asking.cancel()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            assert not asking.done()
            goes.set()
            with pytest.raises(asyncio.CancelledError):
                await asking
        await rt.versions.label(ID, "other")
        assert status(rt, "1.0.0").labels == ("other", "stable")
        rt.require_sound_rows()
        assert [change.change for change in rt.versions.label_history(ID)] == [
            rt.registry.revision - 1,
            rt.registry.revision - 2,
        ]


async def test_a_version_is_retired_only_when_nothing_needs_it(place: Place) -> None:
    """The newest and a labelled one stay; a retired one runs no more, and is not retired twice."""
    async with opened(place, "1.0.0", "1.1.0", "2.0.0") as rt:
        await rt.versions.label(f"{ID}@1.0.0", "old")
        codes = [(await refusal(rt.versions.retire(f"{ID}@{v}"))).code for v in ("1.0.0", "2.0.0")]
        assert codes == ["VERSION_LABELLED", "VERSION_NEWEST"]
        await rt.versions.unlabel(ID, "old")
        assert await rt.versions.retire(f"{ID}@1.0.0", dry_run=True) == (ID, "1.0.0")
        assert await said(rt, f"{ID}@1.0.0") == "1.0.0"
        assert await rt.versions.retire(f"{ID}@1.0.0") == (ID, "1.0.0")
        assert (await refusal(rt.call(by_fingerprint("1.0.0")))).code == "VERSION_NOT_FOUND"
        assert await said(rt, f"{ID}@1.0.0") == "2.0.0", "who is pinned to it is served by the latest"
        assert (await refusal(rt.versions.retire(f"{ID}@1.0.0"))).code == "VERSION_NOT_FOUND"
        assert (await refusal(rt.versions.retire(f"{ID}@3.0.0"))).code == "VERSION_NOT_FOUND"


@pytest.mark.parametrize("crashes", [False, True])
async def test_a_version_that_an_unfinished_run_has_used_or_will_use_is_not_retired(
    place: Place, *, crashes: bool
) -> None:
    place.policy = WAITS
    steps = [
        {"name": "used", "capability": f"{ID}@1.0.0"},
        {"name": "wait", "capability": "sys.noop"},
        {"name": "later", "capability": f"{ID}@~1.1"},
    ]
    async with opened(place, "1.0.0", "1.1.0", "2.0.0") as rt:
        waiting = await rt.run(workflow(*steps))
        if not crashes:
            await _refuses_to_retire(rt, waiting.run_id)
    if crashes:
        async with opened(place, "1.0.0", "1.1.0", "2.0.0") as rt:
            await _refuses_to_retire(rt, waiting.run_id)


async def _refuses_to_retire(rt: Bench, run: str) -> None:
    for version in ("1.0.0", "1.1.0"):
        error = await refusal(rt.versions.retire(f"{ID}@{version}"))
        assert error.code == "VERSION_IN_USE"
        assert error.details["runs"] == [run]
    await rt.reject(run)
    assert await rt.versions.retire(f"{ID}@1.0.0") == (ID, "1.0.0")
    await rt.versions.retire(f"{ID}@1.1.0")


async def test_a_missing_version_can_be_retired(place: Place) -> None:
    """So what was uninstalled does not stay in the list for ever."""
    async with opened(place, "1.0.0", "2.0.0") as rt:
        await rt.versions.record()
    async with opened(place, "2.0.0") as rt:
        await rt.versions.retire(f"{ID}@1.0.0")
        assert status(rt, "1.0.0").state == "retired"


async def test_nothing_begins_with_a_version_while_its_retirement_is_being_recorded(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the record can't be written: then the version is as before."""
    async with opened(place, "1.0.0", "2.0.0") as rt:
        await rt.versions.record()
        append, codes = journal_of(rt).append, list[str]()

        async def failing(batch: Batch) -> Head:
            if any(isinstance(event, ev.CapabilityRetired) for event in batch.events):
                codes.append((await refusal(rt.call(by_fingerprint("1.0.0")))).code)
                raise WorldError("STORAGE_FAILED", "the disk is gone")
            return await append(batch)

        monkeypatch.setattr(journal_of(rt), "append", failing)
        with pytest.raises(WorldError):
            await rt.versions.retire(f"{ID}@1.0.0")
        assert codes == ["VERSION_NOT_FOUND"]
        assert await said(rt, f"{ID}@1.0.0") == "1.0.0"


def test_a_version_that_is_neither_installed_nor_recorded_has_no_fingerprint() -> None:
    with pytest.raises(AssertionError):
        _ = CapabilityVersion(ID, "1.0.0").fingerprint
