"""One application per runtime: modules by type, in order, closed in reverse; health; reload."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import AssentError, InputError, WorldError
from assent.invocation import Config, GlobalContext, Health, HealthStatus, ModuleLimits
from tests.support.lives import SHORT, Life, application
from tests.support.properties import holds


class Database:
    """A module."""


class Cache:
    """Another."""


PLANS = st.lists(
    st.fixed_dictionaries(
        {
            "priority": st.integers(-2, 2),
            "is_async": st.booleans(),
            "fails_to_close": st.booleans(),
            "ready": st.booleans(),
        }
    ),
    max_size=7,
)


def failing(call: Any, *arguments: Any) -> AssentError:
    with pytest.raises(AssentError) as raised:
        call(*arguments)
    return raised.value


@holds("module_registry")
@given(PLANS, st.none() | st.integers(0, 6), st.randoms(use_true_random=False))
def test_modules_start_by_priority_and_close_in_exact_reverse(
    plans: list[dict[str, Any]], failing_at: int | None, chance: Any
) -> None:
    """Highest priority first, registration between equals; a failing one rolls back; every failure of a close is told."""

    async def scenario() -> None:
        app, log = application(), list[str]()
        lives: list[tuple[Life, bool]] = []
        for number, plan in enumerate(plans):
            ready = plan.pop("ready")
            life = Life(f"M{number}", log, **plan)
            life.register(app, ready=ready)
            lives.append((life, ready))
            repeated = failing(app.register, life.kind, life.kind())
            assert repeated.code == "MODULE_REGISTERED"
        order = sorted(lives, key=lambda one: -one[0].priority)
        made = [life for life, ready in order if not ready]
        broken = None
        if failing_at is not None and failing_at < len(made):
            broken = made[failing_at]
            broken.fails_to_start = True
            with pytest.raises(WorldError) as raised:
                await app.start()
            assert raised.value.code == "MODULE_START_FAILED"
            began = [life.name for life in made[:failing_at]]
            assert log == [f"start {name}" for name in began] + [f"close {name}" for name in reversed(began)]
            assert raised.value.details["closed"] == began[::-1]
            for life in made:
                assert failing(app.get, life.kind).code == "MODULE_NOT_STARTED"
            broken.fails_to_start = False
            log.clear()
        await app.start()
        assert log == [f"start {life.name}" for life in made]
        for life, _ in lives:
            assert type(app.get(life.kind)) is life.kind
        log.clear()
        stuck = [life.name for life, _ in reversed(order) if life.fails_to_close]
        told: Any = []
        if stuck:
            with pytest.raises(WorldError) as incomplete:
                await app.shutdown()
            assert incomplete.value.code == "SHUTDOWN_INCOMPLETE"
            told = incomplete.value.details["failures"]
        else:
            await app.shutdown()
        assert [failure["module"] for failure in told] == stuck
        assert log == [f"close {life.name}" for life, _ in reversed(order)]
        await app.shutdown()
        assert len(log) == len(lives), "a second shutdown does nothing"
        for life, _ in lives:
            assert failing(app.get, life.kind).code == "RUNTIME_CLOSED"

    asyncio.run(scenario())


async def test_a_factory_asks_for_what_has_a_higher_priority() -> None:
    """Dependencies are asked for in the factory; one that starts too late is named with what to do."""
    app = application()
    app.register(Cache, factory=lambda own: (own.get(Database), Cache())[1])
    app.register(Database, factory=lambda own: Database(), priority=1)
    await app.start()
    assert isinstance(app.get(Cache), Cache)
    wrong = application()
    wrong.register(Cache, factory=lambda own: (own.get(Database), Cache())[1])
    wrong.register(Database, factory=lambda own: Database())
    with pytest.raises(WorldError) as raised:
        await wrong.start()
    assert raised.value.details["cause"] == {
        "code": "MODULE_NOT_STARTED",
        "message": "module `Database` has not been started",
    }
    assert "higher priority than 0" in str(raised.value.hint)


async def test_an_unknown_module_is_named_with_what_is_close() -> None:
    app = application()
    app.register(Database, Database())
    typo = type("Databas", (), {})
    error = failing(app.get, typo)
    assert error.code == "MODULE_UNKNOWN"
    assert error.hint == "did you mean `Database`?"
    assert failing(application().get, Database).hint == "register it with `app.register`"


async def test_two_types_of_one_name_are_two_modules() -> None:
    app = application()
    other: type[Any] = type("Database", (), {})
    app.register(Database, Database())
    app.register(other, other())
    assert isinstance(app.get(other), other)
    assert isinstance(app.get(Database), Database)
    assert len((await app.health()).parts) == 2


async def test_what_is_registered_must_be_of_its_type() -> None:
    class Named(Protocol):
        name: str

    app = application()
    assert failing(app.register, Database, Cache()).code == "MODULE_INVALID"
    assert failing(app.register, Database).code == "MODULE_INVALID"
    app.register(Named, factory=lambda own: Cache())  # type: ignore[arg-type, return-value, type-abstract]
    app.register(Database, factory=lambda own: Cache())  # type: ignore[arg-type, return-value]
    with pytest.raises(WorldError, match="is something else"):
        await app.start()


async def test_a_module_registered_later_is_started_by_the_next_start_and_closed_first() -> None:
    app, log = application(), list[str]()
    Life("First", log).register(app)
    await app.start()
    Life("Second", log, priority=9).register(app)
    late = Life("Ready", log)
    await app.start()
    late.register(app, ready=True)
    await app.shutdown()
    assert log == ["start First", "start Second", "close Ready", "close Second", "close First"]
    assert failing(app.register, Database, Database()).code == "RUNTIME_CLOSED"
    with pytest.raises(InputError, match="shut down"):
        await app.start()


async def test_an_offered_module_is_made_once_when_it_is_first_asked_for_and_closed() -> None:
    """Nobody pays for what nobody asks for; threads that ask at once get the same one."""
    app, made, closed = application(), list[Cache](), list[object]()

    def make() -> Cache:
        made.append(Cache())
        return made[-1]

    app.offer(f"{Cache.__module__}.Cache", make, close=closed.append)
    app.offer(f"{Database.__module__}.Database", Database, close=closed.append)
    await app.start()
    assert not made
    assert (await app.health()).parts == {}
    assert failing(app.register, Cache, Cache()).code == "MODULE_REGISTERED"
    assert failing(app.get, Life).hint == "there are: Cache, Database"
    found = await asyncio.gather(*(asyncio.to_thread(app.get, Cache) for _ in range(8)))
    assert {id(one) for one in found} == {id(made[0])}
    await app.shutdown()
    assert closed == made
    assert failing(app.get, Database).code == "RUNTIME_CLOSED"


async def test_a_hanging_factory_is_cancelled_and_rolled_back() -> None:
    app, log = application(limits=SHORT), list[str]()
    ended = asyncio.Event()

    async def hang(own: GlobalContext) -> Database:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return Database()

    Life("First", log, priority=1).register(app)
    app.register(Database, factory=hang)
    with pytest.raises(WorldError, match=r"took longer than 0\.2 s"):
        await app.start()
    assert ended.is_set()
    assert log == ["start First", "close First"]


async def test_a_cancelled_start_is_rolled_back_and_stays_a_cancellation() -> None:
    app, log = application(), list[str]()
    reached = asyncio.Event()

    async def hang(own: GlobalContext) -> Database:
        reached.set()
        await asyncio.Event().wait()
        return Database()

    Life("First", log, priority=1).register(app)
    app.register(Database, factory=hang)
    starting = asyncio.ensure_future(app.start())
    await reached.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert log == ["start First", "close First"]


async def test_hanging_modules_do_not_keep_the_rest_from_being_closed() -> None:
    """Whether it waits for ever, ignores its cancellation or blocks a thread: each has a share of the one deadline."""
    app, log = application(limits=ModuleLimits(shutdown_s=0.6)), list[str]()
    release, blocked = asyncio.Event(), threading.Event()

    async def stubborn(module: object) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                log.append("ignored")

    Life("Last", log).register(app)
    Life("Hanging", log, hangs=True).register(app)
    app.register(Database, Database(), close=stubborn)
    app.register(Cache, Cache(), close=lambda module: blocked.wait())
    Life("Failing", log, fails_to_close=True).register(app)
    await app.start()
    log.clear()
    with pytest.raises(WorldError) as raised:
        await app.shutdown()
    failures: Any = raised.value.details["failures"]
    assert [one["module"] for one in failures] == ["Failing", "Cache", "Database", "Hanging"]
    assert [one["code"] for one in failures] == ["MODULE_FAILED", "TIME_LIMIT", "TIME_LIMIT", "TIME_LIMIT"]
    assert log == ["close Failing", "ignored", "close Hanging", "close Last"]
    release.set()
    blocked.set()
    await asyncio.sleep(0)


async def test_functions_before_the_shutdown_find_every_module_alive() -> None:
    app, seen = application(), list[object]()
    app.register(Database, Database())

    async def fail() -> None:
        raise OSError("not now")

    app.before_shutdown(fail)
    app.before_shutdown(lambda: seen.append(app.get(Database)))
    with pytest.raises(WorldError, match="before closing"):
        await app.shutdown()
    assert len(seen) == 1


async def test_what_a_thread_raises_ends_the_module_and_not_the_process() -> None:
    def leave(own: GlobalContext) -> Database:
        raise SystemExit(3)

    app = application()
    app.register(Database, factory=leave)
    with pytest.raises(WorldError, match="it raised SystemExit"):
        await app.start()


async def test_a_module_that_cancels_itself_has_failed() -> None:
    async def quit_it(own: GlobalContext) -> Database:
        raise asyncio.CancelledError

    app = application()
    app.register(Database, factory=quit_it)
    with pytest.raises(WorldError, match="cancelled its own work"):
        await app.start()


@given(st.lists(st.sampled_from([*HealthStatus]), max_size=5))
def test_the_worst_part_decides(statuses: list[HealthStatus]) -> None:
    async def scenario() -> None:
        app, log = application(), list[str]()
        for number, status in enumerate(statuses):
            Life(f"M{number}", log, health=Health(status, "so")).register(app)
        await app.start()
        found = await app.health()
        ranks = ["ok", "degraded", "failed"]
        expected = max((ranks.index(status) for status in statuses), default=0)
        assert found.status == ranks[expected]
        assert [part.status for part in found.parts.values()] == statuses

    asyncio.run(scenario())


async def test_a_check_that_hangs_fails_or_says_nothing_counts_as_failed() -> None:
    app = application(limits=SHORT)
    hang = asyncio.Event()

    def broken() -> Health:
        raise OSError("no route")

    async def hanging() -> Health:
        await hang.wait()
        return Health()

    app.add_health_check("broken", broken)
    app.add_health_check("hanging", hanging)
    app.add_health_check("silent", lambda: None)  # type: ignore[arg-type, return-value]
    app.add_health_check("sound", Health)
    app.register(Database, factory=lambda own: Database())
    app.register(Cache, Cache())
    assert failing(app.add_health_check, "sound", Health).code == "MODULE_REGISTERED"
    found = await app.health()
    assert found.to_json() == {
        "status": "failed",
        "parts": {
            "Cache": {"status": "ok", "detail": "it has no check"},
            "Database": {"status": "failed", "detail": "it has not been started"},
            "broken": {"status": "failed", "detail": "no route"},
            "hanging": {"status": "failed", "detail": "it took longer than 0.2 s"},
            "silent": {"status": "failed", "detail": "its check gave no `Health`"},
            "sound": {"status": "ok", "detail": ""},
        },
    }


async def test_a_reload_is_checked_first_swapped_whole_and_told() -> None:
    """A refused one leaves the old configuration and tells nobody; one that holds is told to all, also past a failure."""
    app, told = application({"size": 1}), list[tuple[int, int]]()

    def at_least_one(config: Config) -> None:
        if config.whole("size") < 1:
            raise ValueError("`size` must be at least 1")

    def fail(old: Config, new: Config) -> None:
        raise OSError("too late")

    async def listen(old: Config, new: Config) -> None:
        assert app.config is new
        told.append((old.whole("size"), new.whole("size")))

    app.add_config_check(at_least_one)
    app.add_config_check(lambda config: config.text("name", "x"))
    with pytest.raises(InputError):
        app.add_config_check(lambda config: config.text("missing"))
    app.on_reload(listen)
    old = app.config
    with pytest.raises(InputError) as raised:
        await app.reload({"size": 0, "name": 3})
    assert raised.value.code == "CONFIG_INVALID"
    assert raised.value.details["faults"]
    assert app.config is old
    assert told == []
    await app.reload({"size": 2})
    app.on_reload(fail)
    app.on_reload(listen)
    with pytest.raises(WorldError) as failed:
        await app.reload({"size": 3})
    assert failed.value.code == "LISTENERS_FAILED"
    assert told == [(1, 2), (2, 3), (2, 3)]
    assert app.config.whole("size") == 3
    assert old.whole("size") == 1
