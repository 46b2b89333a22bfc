"""Hooks: who runs when, what a failure does, and that no hook reaches into another call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import AssentError, InputError, RefusedError, WorldError
from assent.invocation import (
    CallPhase,
    Hook,
    HookedCall,
    HookKind,
    HookLevel,
    Hooks,
    Invocation,
    LocalContext,
    NoEffectError,
    Prepared,
)
from tests.support.calls import Bed, bed, nothing
from tests.support.properties import holds

LEVELS = (HookLevel.GLOBAL, HookLevel.CAPABILITY, HookLevel.LOCAL)
KINDS = tuple(HookKind)


def attached(
    made: Bed, layout: list[tuple[HookLevel, HookKind]], make: Callable[[str], Any], **options: Any
) -> tuple[Any, tuple[Hook, ...]]:
    """A capability and local hooks: one hook for each entry of the layout, named by its place in it."""
    own: list[Hook] = []
    local: list[Hook] = []
    for index, (level, kind) in enumerate(layout):
        hook = Hook(kind, make(str(index)), id=str(index), **options)
        match level:
            case HookLevel.GLOBAL:
                made.pipeline.hooks.add(hook)
            case HookLevel.CAPABILITY:
                own.append(hook)
            case HookLevel.LOCAL:
                local.append(hook)
    return tuple(own), tuple(local)


async def fails(context: LocalContext, parameters: Any) -> Any:
    raise NoEffectError("NO", "not today")


def expected(layout: list[tuple[HookLevel, HookKind]], kind: HookKind) -> list[str]:
    """The places of a kind's hooks, in the order in which they run: an oracle apart from the code."""
    forward = [
        str(index) for level in LEVELS for index, (at, of) in enumerate(layout) if at is level and of is kind
    ]
    return forward if kind is HookKind.BEFORE else forward[::-1]


@holds("hook_order", "hook_recording", "hook_registration")
@given(
    layout=st.lists(st.tuples(st.sampled_from(LEVELS), st.sampled_from(KINDS)), max_size=12),
    has_failed=st.booleans(),
    is_async=st.booleans(),
)
def test_hooks_run_by_level_and_the_last_three_kinds_in_exact_reverse(
    layout: list[tuple[HookLevel, HookKind]], has_failed: bool, is_async: bool
) -> None:
    """Each once, for its own call only, and each on the record with its level and outcome."""
    ran: list[str] = []

    def make(name: str) -> Any:
        async def slow(call: HookedCall) -> None:
            ran.append(name)

        return slow if is_async else lambda call: ran.append(name)

    async def body(made: Bed) -> tuple[Invocation, ...]:
        own, local = attached(made, layout, make)
        bound = made.bound(fails if has_failed else nothing, hooks=own)
        calls = (made.receive(bound, local=local), made.receive(bound), made.receive())
        codes: list[str] = []
        for call in calls:
            try:
                await made.take(call)
            except AssentError as error:
                codes.append(error.code)
        assert codes == ["NO", "NO"] * has_failed
        return calls

    with bed() as made:
        calls = asyncio.run(body(made))
    kinds = [HookKind.BEFORE, HookKind.CATCH if has_failed else HookKind.AFTER, HookKind.FINALLY]
    first = [name for kind in kinds for name in expected(layout, kind)]
    without_local = [name for name in first if layout[int(name)][0] is not HookLevel.LOCAL]
    quiet = [HookKind.BEFORE, HookKind.AFTER, HookKind.FINALLY]
    other = [
        name for kind in quiet for name in expected(layout, kind) if layout[int(name)][0] is HookLevel.GLOBAL
    ]
    assert ran == first + without_local + other
    records = calls[0].context.hooks_run
    assert [(r.id, r.level, r.kind) for r in records] == [(n, *layout[int(n)]) for n in first]
    assert all(r.runs == 1 and r.code is None and not r.has_failed and r.duration_us >= 0 for r in records)


@holds("hook_recording")
@given(retries=st.integers(0, 4), failures=st.integers(0, 6), is_refusal=st.booleans())
def test_a_hook_with_n_retries_runs_at_most_n_plus_one_times(
    retries: int, failures: int, is_refusal: bool
) -> None:
    """A refusal on purpose is final at once; whatever else goes wrong may be tried again."""
    runs = 0

    async def hook(call: HookedCall) -> None:
        nonlocal runs
        runs += 1
        if runs <= failures:
            raise RefusedError("NO_ENTRY", "no") if is_refusal else WorldError("BUSY", "busy")

    async def body(made: Bed) -> str | None:
        made.pipeline.hooks.add(Hook(HookKind.BEFORE, hook, id="h", retries=retries, backoff_s=0))
        try:
            await made.call()
        except AssentError as error:
            return error.code
        return None

    with bed() as made:
        code = asyncio.run(body(made))
    if is_refusal:
        assert (runs, code) == (1, "HOOK_REFUSED" if failures else None)
    else:
        assert runs == min(failures, retries) + 1
        assert code == ("HOOK_FAILED" if failures > retries else None)


async def refused_by(made: Bed, kind: HookKind, run: Any) -> tuple[AssentError, Invocation, list[str]]:
    """The error of a call that a hook stopped, the call, and the parts that ran."""
    made.pipeline.hooks.add(Hook(kind, run, id="guard"))
    ran: list[str] = []

    async def execute(context: LocalContext, parameters: Any) -> Any:
        ran.append("execute")
        return {}

    async def prepare(context: LocalContext, parameters: Any) -> Prepared:
        ran.append("prepare")
        return Prepared()

    call = made.receive(made.bound(execute, prepare=prepare))
    with pytest.raises(AssentError) as caught:
        await made.take(call)
    return caught.value, call, ran


async def test_a_throwing_before_stops_the_call_and_starts_catch() -> None:
    caught: list[AssentError | None] = []
    with bed() as made:
        made.pipeline.hooks.catch(lambda call: caught.append(call.error))

        async def guard(call: HookedCall) -> None:
            raise RefusedError("OFFICE_CLOSED", "the office is closed", hint="come tomorrow")

        made.pipeline.hooks.add(Hook(HookKind.BEFORE, guard, id="guard"))
        later: list[str] = []
        made.pipeline.hooks.before(id="later")(lambda call: later.append("ran"))
        with pytest.raises(AssentError) as refused:
            await made.call()
    error = refused.value
    assert (error.code, error.hint) == ("HOOK_REFUSED", "come tomorrow")
    assert error.message == "the before hook `guard` refused the call: the office is closed"
    details: Any = error.details
    assert (details["hook"], details["level"], details["kind"]) == ("guard", "global", "before")
    assert details["error"]["code"] == "OFFICE_CLOSED"
    assert [found.code if found else None for found in caught] == ["HOOK_REFUSED"]
    assert later == []


async def test_a_refused_call_touches_nothing_and_is_failed() -> None:
    def guard(call: HookedCall) -> None:
        raise RefusedError("NO", "no")

    with bed() as made:
        error, call, ran = await refused_by(made, HookKind.BEFORE, guard)
    assert (error.code, ran, call.context.phase) == ("HOOK_REFUSED", [], CallPhase.FAILED)
    assert not call.has_returned


async def test_a_throwing_after_fails_a_call_whose_effect_is_done() -> None:
    async def guard(call: HookedCall) -> None:
        assert call.output == {}
        raise RefusedError("NO", "no")

    with bed() as made:
        error, call, ran = await refused_by(made, HookKind.AFTER, guard)
    assert (error.code, call.has_returned, ran) == ("HOOK_REFUSED", True, ["prepare", "execute"])


async def test_a_failing_catch_or_finally_never_hides_the_first_error_and_is_recorded() -> None:
    def bad(call: HookedCall) -> None:
        raise ValueError("worse")

    with bed() as made:
        for kind in (HookKind.CATCH, HookKind.FINALLY):
            made.pipeline.hooks.add(Hook(kind, bad, id=f"bad-{kind}"))
        with pytest.raises(AssentError) as caught:
            await made.call(made.bound(fails))
    assert (caught.value.code, caught.value.message) == ("NO", "not today")
    assert caught.value.details["failed_hooks"] == [
        {"hook": f"bad-{kind}", "kind": kind, "level": "global", "code": "HOOK_FAILED"}
        for kind in ("catch", "finally")
    ]


async def test_a_failing_finally_leaves_a_success_as_it_is() -> None:
    def bad(call: HookedCall) -> None:
        raise ValueError

    with bed() as made:
        made.pipeline.hooks.finally_(id="bad")(bad)
        call, output = await made.call()
    assert (output, call.context.phase) == ({}, CallPhase.SUCCEEDED)
    assert [(r.id, r.code, r.has_failed) for r in call.context.hooks_run] == [("bad", "HOOK_FAILED", True)]


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_hook_past_its_limit_is_really_ended(is_async: bool) -> None:
    ended = []

    async def slow(call: HookedCall) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    def blocking(call: HookedCall) -> None:
        ended.append(call.cancel.wait(20))

    with bed(grace_s=20) as made:
        hook = Hook(HookKind.BEFORE, slow if is_async else blocking, id="slow", timeout_s=0.01)
        made.pipeline.hooks.add(hook)
        with pytest.raises(WorldError) as caught:
            await made.call()
        assert not made.pipeline.is_alive("k")
    assert (caught.value.code, ended) == ("HOOK_TIMEOUT", [True])


async def test_a_hooks_thread_that_does_not_end_is_no_living_effect() -> None:
    release = threading.Event()
    with bed() as made:
        made.pipeline.hooks.add(
            Hook(HookKind.BEFORE, lambda call: release.wait(20), id="stuck", timeout_s=0.01)
        )
        with pytest.raises(WorldError):
            await made.call()
        assert (made.pipeline.is_alive("k"), made.pipeline.is_alive("k#stuck")) == (False, True)
        release.set()


async def test_a_hook_that_cancels_itself_has_failed() -> None:
    async def give_up(call: HookedCall) -> None:
        raise asyncio.CancelledError

    with bed() as made:
        made.pipeline.hooks.before(give_up)
        with pytest.raises(AssentError) as caught:
            await made.call()
    assert caught.value.code == "HOOK_FAILED"


async def test_a_hook_sees_the_call_and_can_not_change_what_it_is_given() -> None:
    given_inputs: dict[str, Any] = {"list": [1, {"deep": True}]}
    seen: list[Any] = []

    async def look(call: HookedCall) -> None:
        assert call.inputs is call.inputs
        with pytest.raises(TypeError):
            call.inputs["list"] = []  # type: ignore[index]  # what the test is about
        inner: Any = call.inputs["list"]
        with pytest.raises(AttributeError):
            inner.append(2)
        with pytest.raises(AttributeError):
            call.inputs = {}  # type: ignore[misc]  # what the test is about
        call.meta["who"] = call.capability
        call.flags.add("seen")
        call.on_cleanup(lambda: seen.append("cleaned"))
        call.logger.debug("looked")
        seen.append((call.phase, call.deadline_ms, call.cancel.is_cancelled, call.error, len(call.state)))

    async def effect(context: LocalContext, parameters: Any) -> Any:
        seen.append((context.meta, context.flags, parameters, context.deadline_ms is not None))
        return {}

    with bed() as made:
        made.pipeline.hooks.before(look)
        await made.call(made.bound(effect), given_inputs, timeout_s=5)
    assert seen == [
        (CallPhase.AUTHORIZED, None, False, None, 0),
        ({"who": "a.read"}, {"seen"}, {"list": [1, {"deep": True}]}, True),
        "cleaned",
    ]


@holds("hook_registration")
@given(ids=st.lists(st.sampled_from("abcd"), max_size=8), gone=st.sampled_from("abcde"))
def test_a_level_has_each_id_once_and_forgets_what_is_removed(ids: list[str], gone: str) -> None:
    hooks = Hooks(HookLevel.GLOBAL)
    kept: list[str] = []
    for ident in ids:
        if ident in kept:
            with pytest.raises(InputError) as caught:
                hooks.add(Hook(HookKind.BEFORE, print, id=ident))
            assert caught.value.code == "HOOK_INVALID"
        else:
            hooks.add(Hook(HookKind.BEFORE, print, id=ident))
            kept.append(ident)
    before = hooks.all
    assert hooks.remove(gone) == (gone in kept)
    assert [hook.id for hook in hooks.all] == [ident for ident in kept if ident != gone]
    assert [hook.id for hook in before] == kept
    assert hooks.level is HookLevel.GLOBAL


@pytest.mark.parametrize(
    "options",
    [{"timeout_s": 0}, {"timeout_s": 1e9}, {"retries": -1}, {"retries": 99}, {"backoff_s": -1}, {"run": 7}],
)
def test_a_hook_out_of_bounds_is_refused(options: dict[str, Any]) -> None:
    given: dict[str, Any] = {"kind": HookKind.BEFORE, "run": print} | options
    with pytest.raises(InputError) as caught:
        Hook(**given)
    assert caught.value.code == "HOOK_INVALID"


def test_a_hook_is_named_for_its_function_and_tells_of_itself() -> None:
    class Called:
        async def __call__(self, call: HookedCall) -> None: ...

    assert Hook(HookKind.BEFORE, fails).id == f"{__name__}.fails"  # type: ignore[arg-type]  # never run
    told = Hook(HookKind.AFTER, Called(), retries=2).to_dict()
    assert (
        told["id"] == f"{__name__}.test_a_hook_is_named_for_its_function_and_tells_of_itself.<locals>.Called"
    )
    assert told | {"id": ""} == {
        "id": "",
        "kind": "after",
        "timeout_ms": 5000,
        "retries": 2,
        "backoff_ms": 100,
        "is_async": True,
    }


async def test_two_hooks_of_a_capability_with_one_id_are_refused_when_it_is_bound() -> None:
    twice = tuple(Hook(HookKind.BEFORE, print, id="a") for _ in range(2))
    with bed() as made, pytest.raises(InputError):
        made.bound(hooks=twice)


async def test_hooks_that_come_or_go_change_only_calls_that_begin_afterwards() -> None:
    ran: list[str] = []
    with bed() as made:
        made.pipeline.hooks.finally_(id="old")(lambda call: ran.append("old"))

        async def effect(context: LocalContext, parameters: Any) -> Any:
            made.pipeline.hooks.remove("old")
            made.pipeline.hooks.finally_(id="new")(lambda call: ran.append("new"))
            return {}

        await made.call(made.bound(effect))
        await made.call()
    assert ran == ["old", "new"]


async def test_finally_and_cleanup_run_when_the_call_is_cancelled_and_catch_does_not() -> None:
    """What became of the effect is not known yet, so nobody is told of a failure."""
    ran: list[str] = []
    begun = asyncio.Event()

    async def hang(context: LocalContext, parameters: Any) -> None:
        context.on_cleanup(lambda: ran.append("cleanup"))
        context.on_error(lambda error: ran.append("on_error"))
        begun.set()
        await asyncio.Event().wait()

    with bed() as made:
        made.pipeline.hooks.catch(lambda call: ran.append("catch"))
        made.pipeline.hooks.finally_(id="f")(lambda call: ran.append("finally"))
        task = asyncio.ensure_future(made.call(made.bound(hang)))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert ran == ["finally", "cleanup"]


async def test_a_cancel_while_hooks_run_still_lets_every_one_of_them_run() -> None:
    ran: list[str] = []
    begun = asyncio.Event()

    async def slow(call: HookedCall) -> None:
        ran.append("slow")
        begun.set()
        await asyncio.Event().wait()

    with bed() as made:
        made.pipeline.hooks.finally_(id="last")(lambda call: ran.append("last"))
        made.pipeline.hooks.finally_(id="slow")(slow)
        call = made.receive()
        task = asyncio.ensure_future(made.take(call))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert ran == ["slow", "last"]
    assert [(r.id, r.code) for r in call.context.hooks_run] == [("slow", "STEP_INTERRUPTED"), ("last", None)]
