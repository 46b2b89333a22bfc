"""A second runtime of a state is a client of the first: the same methods, carried out by the owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from assent import Runtime, capability
from assent.errors import AssentError, InputError
from assent.invocation import Hook, HookKind
from assent.runtime.service import requests
from assent.runtime.service.answers import RunEvent
from assent.spec.events.kinds import PlanRead
from assent.spec.principal import Principal
from assent.spec.states import RunState, StepState

WRITES: dict[str, Any] = {
    "name": "writes",
    "steps": [
        {"name": "one", "capability": "io.fs.write_file", "inputs": {"path": "one.txt", "content": "1"}}
    ],
}

DELETES: dict[str, Any] = {
    "name": "deletes",
    "steps": [{"name": "drop", "capability": "io.fs.delete", "inputs": {"path": "old.txt"}}],
}


@pytest.fixture
async def rt(tmp_path: Path) -> AsyncIterator[Runtime]:
    """The owner."""
    async with Runtime.open(tmp_path) as owner:
        yield owner


@pytest.fixture
async def client(rt: Runtime, tmp_path: Path) -> AsyncIterator[Runtime]:
    async with Runtime.open(tmp_path) as other:
        yield other


async def test_a_client_calls_runs_and_looks(rt: Runtime, client: Runtime, tmp_path: Path) -> None:
    """What the owner answers is the same object that the owner's own caller gets."""
    called = await client.call("io.fs.write_file", {"path": "a.txt", "content": "hello"})
    assert called.status is RunState.SUCCEEDED
    assert (tmp_path / "a.txt").read_text() == "hello"
    assert await rt.show(called.run_id) == await client.show(called.run_id)
    ran = await client.run(WRITES)
    assert (ran.workflow, ran.status) == ("writes", RunState.SUCCEEDED)
    assert (await client.replay(ran.run_id)).differences == ()
    assert (await client.snapshot(ran.run_id)).dump() == (await rt.snapshot(ran.run_id)).dump()
    assert (await client.plan(WRITES)).to_json()["steps"]
    undone = await client.undo(ran.run_id)
    assert undone.status is RunState.UNDONE
    assert not (tmp_path / "one.txt").exists()
    erasing = await client.erase([ran.run_id])
    assert (await client.approve(erasing.run_id, principal="user:bob")).status is RunState.SUCCEEDED
    assert await client.unfinished() == await rt.unfinished() == []


@pytest.mark.parametrize("who", ["owner", "client"])
async def test_a_run_is_named_by_the_beginning_of_its_id_alike(
    rt: Runtime, client: Runtime, who: str
) -> None:
    """By the owner, a client and the command line, in everything that takes a run; an empty name is that of no run."""
    asked = rt if who == "owner" else client
    run = (await rt.run(WRITES)).run_id
    short = run[:-2]
    assert [event.n async for event in asked.events(short)][:2] == [0, 1]
    for result in (await asked.show(short), await asked.wait(short), *await asked.resume(short)):
        assert (result.run_id, result.status) == (run, RunState.SUCCEEDED)
    assert (await asked.snapshot(short)).dump() == (await asked.snapshot(run)).dump()
    assert (await asked.replay(short)).run_id == run
    methods = (
        asked.show,
        asked.wait,
        asked.resume,
        asked.snapshot,
        asked.replay,
        asked.approve,
        asked.reject,
    )
    for method in (*methods, asked.cancel, asked.undo, lambda run: asked.erase([run])):
        for nobody in ("", "run_zz"):
            with pytest.raises(InputError) as refused:
                await method(nobody)
            assert refused.value.code == "RUN_UNKNOWN"
    for method, code in (
        (asked.approve, "APPROVAL_NOT_OPEN"),
        (asked.reject, "APPROVAL_NOT_OPEN"),
        (asked.cancel, "RUN_FINISHED"),
    ):
        with pytest.raises(InputError) as refused:
            await method(short)
        assert refused.value.code == code
    with pytest.raises(InputError) as refused:
        await asked.resolve(short, "one", "happened")
    assert refused.value.code == "RESOLUTION_INVALID"
    assert (await asked.undo(short)).status is RunState.UNDONE
    assert (await asked.erase([short])).status is RunState.WAITING


async def test_a_plan_that_reads_is_the_owner_s(rt: Runtime, client: Runtime, tmp_path: Path) -> None:
    """The record is the owner's, the plan the same, and nothing is kept to be run; one that reads nothing is the client's."""
    (tmp_path / "a.txt").write_text("text")
    reads: dict[str, Any] = {
        "name": "copies",
        "steps": [
            {"name": "read", "capability": "io.fs.read_file", "inputs": {"path": "a.txt"}},
            {
                "name": "copy",
                "capability": "io.fs.write_file",
                "inputs": {"path": "b.txt", "content": "${{ steps.read.output.content }}"},
            },
        ],
    }
    mine, theirs = await rt.plan(reads), await client.plan(reads, principal="agent:helper")
    assert [one.to_json() for one in mine.steps] == [one.to_json() for one in theirs.steps]
    leaves = await rt._core.ready.journal.leaves(limit=99)
    read_by = [leaf.event.by for leaf in leaves if isinstance(leaf.event, PlanRead)]
    assert read_by == [str(rt.settings.principal), "agent:helper"]
    await client.plan(WRITES)
    assert (await rt._core.ready.journal.head()).size == len(leaves)
    assert not (rt.settings.state / "plans").exists()


async def test_a_client_decides_what_the_owner_asks(rt: Runtime, client: Runtime, tmp_path: Path) -> None:
    """Approving, rejecting and cancelling reach the owner's runs."""
    (tmp_path / "old.txt").write_text("old")
    waiting = [await rt.run(DELETES) for _ in range(3)]
    assert {run.status for run in waiting} == {RunState.WAITING}
    assert (await client.reject(waiting[0].run_id, reason="no")).status is RunState.FAILED
    assert (await client.cancel(waiting[1].run_id)).status is RunState.CANCELLED
    assert (tmp_path / "old.txt").exists()
    assert (await client.approve(waiting[2].run_id, "drop")).status is RunState.SUCCEEDED
    assert not (tmp_path / "old.txt").exists()
    assert await client.resume() == []


async def test_a_client_has_sessions(rt: Runtime, client: Runtime, tmp_path: Path) -> None:
    """Their steps are added by the owner, also several at once, and taken back as one."""
    session = await client.session(principal="agent:helper")
    await asyncio.gather(
        *[session.call("io.fs.write_file", {"path": f"{n}.txt", "content": "x"}) for n in range(4)]
    )
    assert len(list(tmp_path.glob("*.txt"))) == 4
    shown = await rt.show(session.run_id)
    assert {step.name for step in shown.steps} == {"step_1", "step_2", "step_3", "step_4"}
    assert (await session.close()).status is RunState.SUCCEEDED
    other = await client.session()
    await other.call("io.fs.write_file", {"path": "other.txt", "content": "x"})
    assert (await other.cancel()).status is RunState.CANCELLED
    assert not (tmp_path / "other.txt").exists()


@pytest.mark.parametrize("end", ["close", "cancel"])
async def test_a_clients_session_goes_on_with_the_next_owner(
    rt: Runtime, client: Runtime, tmp_path: Path, end: str
) -> None:
    """Steps are added, and the session closed or cancelled, also once its client has become the owner."""
    session = await client.session()
    await session.call("io.fs.write_file", {"path": "one.txt", "content": "1"})
    await rt.close()
    added = await session.call("io.fs.write_file", {"path": "two.txt", "content": "2"})
    assert (added.name, added.status) == ("step_2", StepState.SUCCEEDED)
    if end == "close":
        assert (await session.close()).status is RunState.SUCCEEDED
        assert (await client.undo(session.run_id)).status is RunState.UNDONE
    else:
        assert (await session.cancel()).status is RunState.CANCELLED
    assert not [*tmp_path.glob("*.txt")]


async def test_a_client_is_told_what_its_run_does(rt: Runtime, client: Runtime) -> None:
    """As events, not as JSON: `telling` means the same on both sides."""
    kinds: list[str] = []
    with client.telling(lambda run, n, at_ms, event: kinds.append(event.kind)):
        await client.call("sys.noop")
    assert kinds[0] == "run.created"
    assert kinds[-1] == "run.succeeded"


async def test_the_owners_errors_are_the_clients(rt: Runtime, client: Runtime) -> None:
    """With code, hint and family."""
    with pytest.raises(AssentError) as theirs:
        await client.undo("run_nothing")
    with pytest.raises(AssentError) as own:
        await rt.undo("run_nothing")
    assert theirs.value.code == own.value.code == "RUN_UNKNOWN"
    assert type(theirs.value) is type(own.value)


async def test_a_client_governs_versions_and_deliveries_and_lists_runs(rt: Runtime, client: Runtime) -> None:
    """What the owner changes is known here at once, and what it refuses is raised here."""
    put = await client.versions.label("io.fs.write_file@1.0.0", "stable")
    assert put == (put.capability, "1.0.0", None, put.how)
    assert (await rt.versions.label("io.fs.write_file@1.0.0", "stable")).before == "1.0.0"
    assert [change.label for change in client.versions.label_history("io.fs.write_file")] == ["stable"]
    assert (await client.call("io.fs.write_file@stable", {"path": "a", "content": "a"})).error is None
    assert await client.versions.unlabel("io.fs.write_file", "stable") is True
    for asking, code in (
        (client.versions.retire("io.fs.write_file@1.0.0", dry_run=True), "VERSION_NEWEST"),
        (client.deliveries.retry("msg_nothing"), "DELIVERY_UNKNOWN"),
        (client.deliveries.cancel("msg_nothing"), "DELIVERY_UNKNOWN"),
    ):
        with pytest.raises(AssentError) as refused:
            await asking
        assert refused.value.code == code
    explained, _ = await client.explain("io.fs.delete", {"path": "a"})
    assert explained.decision.effect == "REQUIRE_APPROVAL"
    await rt.call("sys.noop")
    newest = await client.runs(limit=1)
    assert [run.capability for run in newest.runs] == ["sys.noop"]
    assert newest.before is not None
    older = await rt.runs(before=newest.before, status=["succeeded"])
    assert ([run.capability for run in older.runs], older.before) == (["io.fs.write_file"], None)


async def test_a_number_or_status_that_cannot_be_is_refused_alike_by_owner_and_client(
    rt: Runtime, client: Runtime
) -> None:
    """And is never taken for a damaged record, nor for a list without runs."""
    run = (await rt.call("sys.noop")).run_id
    wrong: list[dict[str, Any]] = [
        {"limit": 0},
        {"limit": -1},
        {"limit": "5"},
        {"status": ["done"]},
        {"status": "failed"},
    ]
    for runtime in (rt, client):
        for how in wrong:
            with pytest.raises(AssentError) as refused:
                await runtime.runs(**how)
            assert (refused.value.code, refused.value.path) == ("INVALID_INPUT", next(iter(how)))
        for since in (-1, "1"):
            with pytest.raises(AssentError) as refused:
                async for _ in runtime.events(run, since):  # type: ignore[arg-type]  # what is refused
                    pass
            assert (refused.value.code, refused.value.path) == ("INVALID_INPUT", "since")


async def test_a_new_run_under_another_policy_is_refused(rt: Runtime, tmp_path: Path) -> None:
    """The owner would not decide as this process was told to; deciding, cancelling and reading work all the same."""
    (tmp_path / "old.txt").write_text("old")
    waiting = await rt.run(DELETES)
    policy: dict[str, Any] = {"version": 1, "rules": [], "default": "DENY"}
    async with Runtime.open(tmp_path, policy=policy) as other:
        for asking in (other.call("sys.noop"), other.run(WRITES), other.session()):
            with pytest.raises(AssentError) as refused:
                await asking
            assert refused.value.code == "OWNER_DIFFERS"
            assert refused.value.details == {"differing": ["policy"]}
            assert "works under another policy than this one" in refused.value.message
        assert (await other.show(waiting.run_id)).status is RunState.WAITING
        assert (await other.reject(waiting.run_id)).status is RunState.FAILED
    assert [row["run_id"] for row in await rt._core.ready.journal.rows("runs", limit=9)] == [waiting.run_id]


@pytest.mark.parametrize(
    ("written", "differing"),
    [
        ('[identity.users.ann]\nroles = ["ops"]\n', "roles"),
        ("[limits]\nconcurrency = 3\n", "settings"),
    ],
)
async def test_a_new_run_under_other_settings_is_refused(
    rt: Runtime, tmp_path: Path, written: str, differing: str
) -> None:
    """Whoever changed assent.toml meanwhile learns that the owner has not read it."""
    (tmp_path / "assent.toml").write_text(written)
    (tmp_path / "assent.toml").chmod(0o600)
    async with Runtime.open(tmp_path) as other:
        with pytest.raises(AssentError) as refused:
            await other.call("sys.noop")
    assert refused.value.code == "OWNER_DIFFERS"
    assert refused.value.details == {"differing": [differing]}
    assert f"works under other {differing} than this one" in refused.value.message
    assert "what needs a start" in str(refused.value.hint)  # of settings most do: SIGHUP alone leads nowhere


async def test_a_reloaded_policy_counts_from_then_on(rt: Runtime, client: Runtime, tmp_path: Path) -> None:
    """A client that is connected already is held to what governs the owner by now."""
    assert (await client.call("sys.noop")).status is RunState.SUCCEEDED
    rt._core.gate.replace(
        type(rt._core.gate.engine).from_dict({"version": 1, "rules": [], "default": "DENY"})
    )
    with pytest.raises(AssentError) as refused:
        await client.call("sys.noop")
    assert refused.value.code == "OWNER_DIFFERS"


@capability("shop.greet", operation="READ", risk="LOW")
def greet(name: str) -> str:
    """Greet somebody."""
    return f"hello {name}"


async def test_what_is_registered_in_a_client_alone_is_refused_with_the_ways_out(
    rt: Runtime, tmp_path: Path
) -> None:
    """The owner would have to perform it, and can't."""
    other = Runtime.open(tmp_path)
    other.register(greet)
    async with other:
        with pytest.raises(AssentError) as absent:
            await other.call("shop.greet", {"name": "ann"})
        assert absent.value.code == "CAPABILITY_ABSENT"
        assert "state=" in str(absent.value.hint)
        with pytest.raises(AssentError) as unknown:
            await other.call("shop.nothing")
        assert unknown.value.code == "CAPABILITY_UNKNOWN"


async def test_what_the_owner_registered_is_called_by_its_clients(rt: Runtime, client: Runtime) -> None:
    """A client need not have it."""
    rt.register(greet)
    called = await client.call("shop.greet", {"name": "ann"})
    assert called.step("call").output == "hello ann"


async def test_a_run_whose_capability_is_not_registered_here_is_left_alone(tmp_path: Path) -> None:
    """Neither resumed nor approved: it stays as it is for the process that has it. Ending it by a person's word works."""
    policy: dict[str, Any] = {
        "version": 1,
        "rules": [{"id": "ask", "when": {"capability": "shop.*"}, "decision": "REQUIRE_APPROVAL"}],
        "default": "ALLOW",
    }
    first = Runtime.open(tmp_path, policy=policy)
    first.register(greet)
    async with first:
        waiting = [await first.call("shop.greet", {"name": name}) for name in ("ann", "bob")]
    async with Runtime.open(tmp_path, policy=policy) as other:
        size = other._core.ready.journal.head
        before = await size()
        for asking in (
            other.resume(waiting[0].run_id),
            other.approve(waiting[0].run_id),
        ):
            with pytest.raises(AssentError) as absent:
                await asking
            assert absent.value.code == "CAPABILITY_ABSENT"
        told = [(run.status, run.error and run.error["code"]) for run in await other.resume()]
        assert told == [(RunState.WAITING, "CAPABILITY_ABSENT")] * 2
        assert await size() == before
        assert (await other.cancel(waiting[1].run_id)).status is RunState.CANCELLED
    again = Runtime.open(tmp_path, policy=policy)
    again.register(greet)
    async with again:
        done = await again.approve(waiting[0].run_id)
        assert done.step("call").output == "hello ann"


async def test_functions_and_roles_do_not_travel(rt: Runtime, client: Runtime) -> None:
    """Hooks of one call and roles that a program gives itself are refused, and not left out in silence."""

    hook = Hook(HookKind.BEFORE, lambda call: None, id="nothing")
    with pytest.raises(AssentError) as hooks:
        await client.call("sys.noop", hooks=[hook])
    assert hooks.value.code == "HOOKS_LOCAL"
    ann = Principal.parse("user:ann", roles=frozenset({"admin"}))
    with pytest.raises(AssentError) as roles:
        await client.call("sys.noop", principal=ann)
    assert roles.value.code == "IDENTITY_REFUSED"


async def test_a_client_follows_an_owner_that_ends(tmp_path: Path) -> None:
    """The next call makes it the owner, with everything that was recorded; and it serves others in turn."""
    first, second, third = (Runtime.open(tmp_path) for _ in range(3))
    await first.__aenter__()
    async with second, third:
        made = await second.call("io.fs.write_file", {"path": "a.txt", "content": "a"})
        await first.close()
        assert (await second.undo(made.run_id)).status is RunState.UNDONE
        assert (await third.call("sys.noop")).status is RunState.SUCCEEDED
        assert await second.unfinished() == []
        with pytest.raises(AssentError):
            await first.call("sys.noop")


async def test_a_client_that_is_cancelled_leaves_the_run_alone(rt: Runtime, client: Runtime) -> None:
    """The asker's wait ends; the run goes on, and others see it end."""
    begun = asyncio.Event()
    runs: list[str] = []

    def hear(run: str, n: int | None, at_ms: int, event: Any) -> None:
        runs.append(run)
        if event.kind == "step.started":
            begun.set()

    with client.telling(hear):
        calling = asyncio.gather(client.call("sys.sleep", {"seconds": 600}))
        await begun.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
    assert (await rt.show(runs[0])).status is RunState.RUNNING
    assert (await client.cancel(runs[0])).status is RunState.CANCELLED


async def test_an_owner_that_closes_waits_for_its_clients_calls(tmp_path: Path) -> None:
    """For the time that a call has to end."""
    owner, other = Runtime.open(tmp_path), Runtime.open(tmp_path)
    await owner.__aenter__()
    async with other:
        begun = asyncio.Event()

        def hear(run: str, n: int | None, at_ms: int, event: Any) -> None:
            begun.set()

        with other.telling(hear):
            calling = asyncio.gather(other.call("sys.sleep", {"seconds": 0.2}))
            await begun.wait()
            await owner.close()
        (called,) = await calling
        assert called.status is RunState.SUCCEEDED


async def test_events_are_told_as_they_happen_to_owner_and_client_alike(
    rt: Runtime, client: Runtime, tmp_path: Path
) -> None:
    """Those that were, then those to come, until the run has ended; from any number on."""
    (tmp_path / "old.txt").write_text("old")
    run = (await rt.run(DELETES)).run_id

    async def watch(watcher: Runtime, since: int, *, asked: asyncio.Event) -> list[Any]:
        seen = []
        async for event in watcher.events(run, since):
            seen.append((event.n, event.event["kind"]))
            if event.event["kind"] == "approval.requested":
                asked.set()
        return seen

    waits = [asyncio.Event() for _ in range(2)]
    watching = asyncio.gather(
        watch(rt, 0, asked=waits[0]),
        watch(client, 0, asked=waits[1]),
        client.wait(run),
        rt.wait(run),
    )
    for wait in waits:
        await wait.wait()
    await client.approve(run)
    own, theirs, *results = await watching
    assert own == theirs
    assert [n for n, _ in own] == list(range(len(own)))
    assert (own[0][1], own[-1][1]) == ("run.created", "run.succeeded")
    assert {result.status for result in results} == {RunState.SUCCEEDED}
    assert await watch(client, 3, asked=asyncio.Event()) == own[3:]


async def test_watching_holds_up_no_owner_that_ends(tmp_path: Path) -> None:
    """And goes on at the next one."""
    (tmp_path / "old.txt").write_text("old")
    owner, watcher, decider = (Runtime.open(tmp_path) for _ in range(3))
    await owner.__aenter__()
    async with watcher, decider:
        run = (await owner.run(DELETES)).run_id
        begun = asyncio.Event()

        async def watch() -> list[str]:
            kinds = []
            async for event in watcher.events(run):
                kinds.append(str(event.event["kind"]))
                begun.set()
            return kinds

        watching = asyncio.gather(watch())
        await begun.wait()
        await owner.close()
        await decider.approve(run)
        (kinds,) = await watching
        assert kinds[-1] == "run.succeeded"
        assert len(kinds) == len(set(enumerate(kinds)))


async def test_a_watcher_that_leaves_is_forgotten(rt: Runtime, client: Runtime, tmp_path: Path) -> None:
    """The owner ends what told it, and is not busy with it."""
    (tmp_path / "old.txt").write_text("old")
    run = (await rt.run(DELETES)).run_id
    events = client.events(run)
    await anext(events)
    ownership = rt._core._ownership
    assert ownership is not None
    assert ownership.serving == 0
    await events.aclose()  # type: ignore[attr-defined]  # a generator is more than an iterator
    assert (await client.cancel(run)).status is RunState.CANCELLED


@pytest.mark.parametrize("is_owner", [True, False], ids=["owner", "client"])
@pytest.mark.parametrize("how", ["wait", "events"])
async def test_watching_ends_with_the_runtime_that_watches(
    tmp_path: Path, how: str, *, is_owner: bool
) -> None:
    """Whoever waits for a run is told that the runtime was closed, and nothing of the state is taken again for it."""
    (tmp_path / "old.txt").write_text("old")
    owner, client = Runtime.open(tmp_path), Runtime.open(tmp_path)
    async with owner:
        await client.__aenter__()
        run = (await owner.run(DELETES)).run_id
        watcher, other = (owner, client) if is_owner else (client, owner)
        begun = asyncio.Event()

        async def watch() -> None:
            if how == "wait":
                asyncio.get_running_loop().call_later(0.05, begun.set)
                await watcher.wait(run)
            async for _ in watcher.events(run):
                begun.set()

        watching = asyncio.gather(watch(), return_exceptions=True)
        await begun.wait()
        await watcher.close()
        (refused,) = await watching
        assert isinstance(refused, AssentError)
        assert refused.code == "RUNTIME_CLOSED"
        assert (await other.show(run)).status is RunState.WAITING
        await client.close()


async def test_a_client_whose_closing_is_cancelled_lets_go_of_every_connection(
    rt: Runtime, client: Runtime
) -> None:
    """Also of one on which events are told."""
    run = (await client.run(WRITES)).run_id
    there = client._client
    assert there is not None
    async with AsyncExitStack() as stack:
        events: Any = there.stream(requests.Events(run=run), RunEvent)  # `Any`: it can be closed
        stack.push_async_callback(events.aclose)
        await anext(events)
        links = [there._link, *there._streams]
        closing = asyncio.create_task(there.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert [link._connection.fileno() for link in links] == [-1, -1]
