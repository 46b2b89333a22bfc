"""A part in a worker has what it would have in Assent's own process, and its call goes the same way."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from assent.errors import AssentError, InputError, RefusedError
from assent.invocation import CallPhase, CallTimeoutError, NoEffectError, Reconciliation, StateKey
from assent.invocation.context.local import CallLife
from assent.plugins.worker._questions import OPENED_MAX
from assent.spec.states import Verdict
from tests.support.patience import PATIENCE_S
from tests.support.plugins import interpreter_kept
from tests.support.workers import Call, Stage, ThreadChild, plugin_of, staged

SOURCE = '''\
"""A sample of everything."""

import asyncio
import os
import threading

from pydantic import BaseModel

from assent import capability
from assent.errors import AssentError
from assent.invocation import LocalContext, NoEffectError, Prepared, Preview, Reconciliation, StateKey
from assent.spec.secret_text import SecretText
from assent.spec.states import Verdict

SEEN = StateKey("seen", int)
THING = StateKey("thing", object)
CLEANED = []


class Place(BaseModel):
    row: int = 1


class Wish(BaseModel):
    name: str
    place: Place = Place()
    tags: list[str] = []


@capability("sample.echo", operation="READ", risk="LOW")
async def echo(context: LocalContext, wish: Wish) -> dict[str, int | str]:
    """Give back what came."""
    return {"name": wish.name, "row": wish.place.row, "kind": type(wish).__name__, "process": os.getpid()}


@capability("sample.beside", operation="READ", risk="LOW")
async def beside(context: LocalContext, how: str) -> list[str]:
    """Do something beside itself."""
    done = []

    async def note(name: str) -> str:
        await asyncio.sleep(0)
        if how == "fails":
            raise ValueError(name)
        done.append(name)
        return name

    context.spawn(note("unawaited"), name="unawaited")
    return [await context.spawn(note("awaited"), name="awaited"), str(context.started_ms)]


@capability("sample.about", operation="READ", risk="LOW")
def about(context: LocalContext) -> dict[str, str]:
    """Tell of the call."""
    context.progress(1, 2, "half")
    context.logger.warning("a %s", "line")
    return {
        **{name: str(value) for name, value in context.ids.items()},
        "roles": ",".join(sorted(context.principal.roles)),
        "phase": context.phase.value,
        "deadline": str(context.deadline_ms),
        "declared": os.environ.get("DECLARED", "no"),
        "path": os.environ.get("HOME", "no"),
    }


@capability("sample.put", operation="WRITE", risk="MEDIUM", reversible=True)
def put(context: LocalContext, path: str, text: str = "x") -> str:
    """Write a file."""
    files = context.world.files
    files.write(path, [text.encode()], key=context.key)
    assert b"".join(files.read(path)) == text.encode()
    assert files.stat(path).size == len(text.encode())
    return b"".join(context.blobs.read(context.prepared["before"])).decode()


@put.prepare
def look(context: LocalContext, path: str) -> Prepared:
    digest = context.blobs.put([b"be", b"fore"])
    context.state.set(SEEN, 7)
    context.state.set(THING, object())
    context.meta["looked"] = True
    context.flags.add("looked")
    return Prepared({"before": digest}, (digest,))


@put.compensate
def take_back(context: LocalContext, path: str) -> None:
    context.world.files.remove_file(path)


@put.reconcile
async def happened(context: LocalContext, path: str) -> Reconciliation:
    there = context.world.files.stat(path) is not None
    return Reconciliation(Verdict.YES, "again") if there else Reconciliation(Verdict.NO, foreign=True)


@put.preview
def show(context: LocalContext, path: str) -> Preview:
    context.world.files.write(path, [b"imagined"], key=context.key)
    other = context.world.simulate()
    other.files.remove_file(path)
    assert context.world.is_changed and not context.world.simulate().is_changed
    assert context.world.files.stat(path) is not None and other.files.stat(path) is None
    return Preview("text", f"{path} {context.world.is_simulated}", "base", True)


@capability("sample.send", operation="READ", risk="LOW", labels=["sends_external"])
async def send(context: LocalContext, size: int | float, then: str = "ends") -> str:
    """Say what was sent, and end in some way."""
    context.count_sent(3)
    await asyncio.to_thread(context.count_sent, size)
    match then:
        case "fails":
            raise ValueError("after that")
        case "says too much":
            return "x" * (70 << 20)
        case "exits":
            os._exit(7)
    return "sent"


@capability("sample.remember", operation="READ", risk="LOW")
async def remember(context: LocalContext) -> dict[str, bool | int]:
    """Tell what is remembered."""
    context.meta["count"] = int(context.meta.get("count", 0)) + 1
    return {
        "seen": context.state.get(SEEN, 0),
        "thing": THING in context.state,
        "count": int(context.meta["count"]),
        "flag": "outside" in context.flags,
        "hash": len(context.snapshot().content_hash),
    }


@capability("sample.files", operation="WRITE", risk="CRITICAL")
def files(context: LocalContext) -> list[str]:
    """Try every way to reach files."""
    files = context.world.files
    files.make_dir("d", mode=0o700)
    files.write("d/a", (bytes(3_000_000), b"end"), key=context.key, mode=0o600, mtime_ns=10**9)
    assert sum(map(len, files.read("d/a"))) == 3_000_003
    files.rename("d/a", "d/b", replace=False)
    files.make_link("d/l", "b")
    assert files.read_link("d/l") == "b"
    files.set_attributes("d/b", mode=0o640)
    files.guard("d/b")
    temporary = files.temporary("d/t", key=context.key)
    files.write(temporary, [b"t"], key=context.key)
    files.remove_temporary("d/t", key=context.key)
    assert files.new_mode("file") > 0
    names = files.list("d")
    attachment = context.attach([b"large ", b"output"])
    assert attachment.bytes == 12
    files.remove_file("d/l")
    files.remove_file("d/b")
    files.remove_dir("d")
    return names


@capability("sample.heads", operation="WRITE", risk="CRITICAL")
def heads(context: LocalContext, count: int) -> int:
    """Read the beginning of a file often, and begin a file as often that comes to nothing."""
    def broken():
        yield b"x"
        raise OSError("no more")

    files, failed = context.world.files, 0
    files.write("long", [bytes(3_000_000)], key=context.key)
    for _ in range(count):
        assert next(files.read("long"))
        try:
            files.write("never", broken(), key=context.key)
        except OSError:
            failed += 1
    return failed


@capability("sample.names", operation="READ", risk="LOW")
def names(context: LocalContext, path: str) -> list[str]:
    """List a folder."""
    return context.world.files.list(path)


@capability("sample.secret", operation="READ", risk="LOW", secrets=["token"])
async def secret(context: LocalContext, name: str) -> list[str]:
    """Ask for a secret."""
    given = await context.secret(name, fresh=True)
    again = await asyncio.to_thread(context.secret_in_thread, name)
    return [given.reveal(), again.reveal(), str(given), context.redact(f"it is {given.reveal()}")]


@capability("sample.reveal", operation="READ", risk="LOW", secrets=["token"])
async def reveal(context: LocalContext, header: SecretText) -> list[str]:
    """Put a secret in its place."""
    first = await context.reveal(header, host="there")
    again = await asyncio.to_thread(context.reveal_in_thread, {"a": [header], "b": "secret://plain"})
    return [first, again["a"][0], again["b"], context.redact(f"it is {first}")]


@capability("sample.junk", operation="WRITE", risk="MEDIUM", reversible=True)
def junk(context: LocalContext, text: str) -> None:
    """Parts that give what no such part gives."""


@junk.prepare
def junk_before(context: LocalContext, text: str) -> Prepared:
    return 3


@junk.preview
def junk_shown(context: LocalContext, text: str):
    return 3


@junk.reconcile
def junk_answer(context: LocalContext, text: str):
    return 3 if text == "x" else Reconciliation(Verdict.YES, "not null")


@junk.compensate
def junk_back(context: LocalContext, text: str) -> None:
    context.on_phase_change(lambda before, after: 1 / 0)


@capability("sample.fail", operation="WRITE", risk="CRITICAL")
async def fail(context: LocalContext, how: str) -> None:
    """Fail in some way."""
    match how:
        case "ours":
            raise NoEffectError("WORD_TAKEN", "it is taken", hint="take another", details={"word": [1]})
        case "plain":
            raise KeyError("no such key")
        case "cancelled":
            raise asyncio.CancelledError
        case "exit":
            raise SystemExit(3)
        case "app":
            context.app.get(dict)
        case "huge":
            raise ValueError("x" * 50_000_000)


@capability("sample.stop", operation="READ", risk="LOW")
def stop() -> None:
    """Raise what no future can hold."""
    next(iter(()))


@capability("sample.unfit", operation="READ", risk="LOW")
async def unfit(context: LocalContext) -> int:
    """Give what does not fit."""
    return "text"


@capability("sample.wait", operation="WRITE", risk="CRITICAL")
async def wait(context: LocalContext) -> str:
    """Wait for ever, or until it is cancelled."""
    context.world.files.write("began", [b""], key=context.key)
    try:
        await asyncio.Event().wait()
    finally:
        context.world.files.write("ended", [b""], key=context.key)


@capability("sample.block", operation="WRITE", risk="CRITICAL")
def block(context: LocalContext) -> str:
    """Block a thread until it is told."""
    context.world.files.write("began", [b""], key=context.key)
    while not context.cancel.wait(60):
        pass
    context.world.files.write("told", [b""], key=context.key)
    return "late"


GATE = threading.Barrier(2)


@capability("sample.meet", operation="READ", risk="LOW")
def meet() -> int:
    """Return when another call is here too."""
    return GATE.wait(30)


@capability("sample.call_back", operation="WRITE", risk="CRITICAL")
async def call_back(context: LocalContext) -> None:
    """Ask to be called back."""
    def wrote(name):
        context.world.files.write(name, [b""], key=context.key)

    async def failed(error):
        wrote(f"error-{error.code}")

    context.on_cleanup(lambda: wrote("cleanup"))
    context.on_timeout(lambda: wrote("timeout"))
    context.on_error(failed)
    context.on_phase_change(lambda before, after: CLEANED.append((before.value, after.value)))


@capability("sample.hooked", operation="READ", risk="LOW")
async def hooked(context: LocalContext, word: str) -> str:
    """A call with hooks."""
    return word.upper()


@hooked.before
def checks(call):
    call.meta["before"] = dict(call.inputs)
    if call.inputs["word"] == "no":
        raise AssentError("WORD_FORBIDDEN", "that word is not said")
    if call.inputs["word"] == "bug":
        raise ValueError("a bug")


@hooked.after(id="sees", timeout_s=1, retries=2)
async def sees(call):
    call.meta["after"] = [call.output, str(call.error), call.phase.value]


async def health():
    return "a bit tired"
'''


@pytest.fixture(scope="module", params=["process", "thread"])
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A worker in a process, as it is; and in a thread, where what it does is measured."""
    plugin = plugin_of(SOURCE)
    with (
        interpreter_kept(),
        staged(tmp_path_factory.mktemp("worker"), plugin, in_thread=request.param == "thread") as found,
    ):
        yield found


async def appeared(stage: Stage, name: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not (stage.root / name).exists():  # noqa: ASYNC110  # a file, which another process makes
            await asyncio.sleep(0.01)


async def test_a_part_gets_its_own_types_and_inputs_get_their_defaults(stage: Stage) -> None:
    bound = stage.bound["sample.echo"]
    parameters, plain = bound.parse({"name": "a"})
    assert parameters == plain == {"name": "a", "place": {"row": 1}, "tags": []}
    found = await stage.execute("sample.echo", {"name": "a", "place": {"row": 3}})
    assert found == {"name": "a", "row": 3, "kind": "Wish", "process": stage.nursery.children[0].pid}
    with pytest.raises(InputError) as refused:
        bound.parse({"name": "a", "place": {"row": "3"}, "more": 1})
    assert refused.value.code == "INVALID_INPUT"


async def test_a_context_tells_the_same(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    call = stage.call("sample.about")
    call.life.phase = CallPhase.EXECUTING
    call.life.deadline_ms = 123
    with caplog.at_level(logging.WARNING, "assent.call"):
        found = await call.part("execute")
    assert found | {"run": "run_1", "principal": "user:alice", "roles": "dev"} == found
    assert found | {"phase": "executing", "deadline": "123", "declared": "no"} == found
    assert stage.around.told[-1] == (1.0, 2.0, "half")
    assert "a line" in caplog.text


async def test_tasks_of_a_part_end_with_it_there_as_here(stage: Stage) -> None:
    """What one of them fails with is the part's; `started_ms` is what Assent's process noted."""
    call = stage.call("sample.beside")
    call.life.started_ms = 7
    assert await call.part("execute", {"how": "works"}) == ["awaited", "7"]
    with pytest.raises(Exception, match="awaited"):
        await stage.execute("sample.beside", {"how": "fails"})


async def test_all_parts_share_one_call(stage: Stage) -> None:
    call = stage.call("sample.put")
    prepared = await call.part("prepare", {"path": "f"})
    assert call.life.meta == {"looked": True}
    assert call.life.flags == {"looked"}
    assert call.life.state is not None
    assert [key.name for key in call.life.state] == ["seen"]
    call.life.prepared = prepared.state
    assert await call.part("execute", {"path": "f", "text": "hello"}) == "before"
    assert (stage.root / "f").read_text() == "hello"
    assert await call.part("reconcile", {"path": "f"}) == Reconciliation(Verdict.YES, "again")
    await call.part("compensate", {"path": "f"})
    assert await call.part("reconcile", {"path": "f"}) == Reconciliation(Verdict.NO, None, foreign=True)


async def test_a_preview_acts_on_a_simulated_world(stage: Stage) -> None:
    shown = await stage.call("sample.put", world=stage.world.simulate()).part("preview", {"path": "g"})
    assert (shown.kind, shown.diff, shown.base, shown.changes) == ("text", "g True", "base", True)
    assert not (stage.root / "g").exists()


async def test_what_the_other_side_remembers_is_there(stage: Stage) -> None:
    life = CallLife()
    call = stage.call("sample.remember", life=life)
    call.context.state.set(StateKey("seen", int), 3)
    call.context.flags.add("outside")
    assert await call.part("execute") == {"seen": 3, "thing": False, "count": 1, "flag": True, "hash": 64}
    assert (await call.part("execute"))["count"] == 2
    assert call.context.meta == {"count": 2}
    call.context.flags.clear()
    assert (await call.part("execute"))["flag"] is False


@pytest.mark.parametrize(
    ("size", "then", "sent"),
    [
        (4, "ends", 7),
        (4, "fails", 7),
        (4, "says too much", 7),
        ((1 << 53) - 1, "ends", (1 << 53) - 1),
        *((size, "ends", 3) for size in (-1, 1 << 53, 1.5)),
    ],
)
async def test_what_a_part_says_it_sent_counts_however_it_ends(
    stage: Stage, size: float, then: str, sent: int
) -> None:
    """And nothing that is no number of bytes, which would let others send more."""
    call = stage.call("sample.send")
    with suppress(Exception):
        await call.part("execute", {"size": size, "then": then})
    assert call.life.sent == sent


async def test_what_a_worker_that_exits_said_it_sent_counts(tmp_path: Path) -> None:
    with staged(tmp_path, plugin_of(SOURCE)) as own:
        call = own.call("sample.send")
        with pytest.raises(AssentError):
            await call.part("execute", {"size": 4, "then": "exits"})
        assert call.life.sent == 7


async def test_files_are_those_of_the_context(stage: Stage) -> None:
    assert await stage.execute("sample.files") == ["b", "l"]


async def test_what_is_read_or_written_half_way_does_not_stay_open(stage: Stage) -> None:
    assert await stage.execute("sample.heads", {"count": OPENED_MAX + 6}) == OPENED_MAX + 6


async def test_a_name_that_is_no_text_is_told_and_keeps_nobody_waiting(stage: Stage) -> None:
    folder = stage.root / "odd"
    folder.mkdir()
    (folder / os.fsdecode(b"a\xff")).touch()
    with pytest.raises(InputError, match=r"files\.list.* a name that is not UTF-8") as refused:
        await stage.execute("sample.names", {"path": "odd"})
    assert refused.value.code == "DATA_INVALID"


async def test_secrets_come_by_grant(stage: Stage) -> None:
    found = await stage.execute("sample.secret", {"name": "token"})
    assert found == ["value of token", "value of token", "***", "it is ***"]
    assert stage.around.asked == [("token", True), ("token", False)]
    with pytest.raises(InputError, match="has no secret `other`"):
        await stage.execute("sample.secret", {"name": "other"})


async def test_references_are_put_in_their_places_there(stage: Stage) -> None:
    found = await stage.execute("sample.reveal", {"header": "Bearer secret://token"})
    there, nowhere = "Bearer value of token for there", "Bearer value of token for None"
    assert found[:3] == [there, nowhere, "secret://plain"]
    assert "value of token" not in found[3]


async def test_parts_that_give_what_none_gives_have_failed(stage: Stage) -> None:
    call = stage.call("sample.junk")
    for part in ("prepare", "preview"):
        with pytest.raises(Exception, match=r"does not give|not iterable"):
            await call.part(part, {"text": "x"})
    assert await call.part("reconcile", {"text": "x"}) is None
    unfit = await call.part("reconcile", {"text": "y"})
    with pytest.raises(InputError) as refused:
        call.bound.result(unfit.output)
    assert refused.value.code == "INVALID_OUTPUT"
    await call.part("compensate", {"text": "x"})
    assert call.life.callbacks is not None
    call.life.callbacks.phase[0](CallPhase.EXECUTING, CallPhase.FAILED)


@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [
        ("ours", "NoEffectError", "it is taken"),
        ("plain", "KeyError", "no such key"),
        ("cancelled", "AssentError", "cancelled its own work"),
        ("exit", "SystemExit", "3"),
        ("app", "InputError", "process of its own"),
        ("huge", "ValueError", "xxx"),
    ],
)
async def test_a_failure_stays_what_it_was(stage: Stage, how: str, kind: str, said: str) -> None:
    with pytest.raises(Exception, match=said) as raised:
        await stage.execute("sample.fail", {"how": how})
    error = raised.value
    assert type(error).__name__ == kind
    assert len(str(error)) < 20_000
    if isinstance(error, NoEffectError):
        assert (error.code, error.hint, error.details) == ("WORD_TAKEN", "take another", {"word": [1]})


async def test_a_thread_that_raises_what_no_future_holds_has_failed(stage: Stage) -> None:
    with pytest.raises(Exception, match="it raised StopIteration"):
        await stage.execute("sample.stop")


async def test_an_output_that_does_not_fit_is_told_after_the_effect(stage: Stage) -> None:
    call = stage.call("sample.unfit")
    returned = await call.part("execute")
    with pytest.raises(InputError) as refused:
        call.bound.result(returned)
    assert refused.value.code == "INVALID_OUTPUT"


async def test_an_async_part_is_cancelled_and_awaited(stage: Stage) -> None:
    for timeout_s in (0.1, 1, 10, 60):  # On a busy machine the first may pass before the part has begun.
        with pytest.raises(CallTimeoutError):
            await stage.execute("sample.wait", timeout_s=timeout_s)
        if (stage.root / "began").exists():
            break
    assert (stage.root / "ended").exists()
    (stage.root / "began").unlink()
    (stage.root / "ended").unlink()


async def test_a_sync_part_is_told_and_awaited(stage: Stage) -> None:
    with pytest.raises(CallTimeoutError) as stopped:
        await stage.execute("sample.block", timeout_s=0.05)
    assert not stopped.value.is_alive
    assert (stage.root / "told").exists()
    (stage.root / "told").unlink()
    call = stage.call("sample.block")
    running = asyncio.ensure_future(call.part("execute"))
    await appeared(stage, "began")
    call.cancel.cancel()
    assert await running == "late"
    already = stage.call("sample.block")
    already.cancel.cancel()
    assert await already.part("execute") == "late"


async def test_a_worker_performs_several_calls_at_once(stage: Stage) -> None:
    both = await asyncio.gather(stage.execute("sample.meet"), stage.execute("sample.meet"))
    assert sorted(both) == [0, 1]


async def test_callbacks_reach_the_worker(stage: Stage) -> None:
    call = stage.call("sample.call_back")
    await call.part("execute")
    callbacks = call.life.callbacks
    assert callbacks is not None
    callbacks.phase[0](CallPhase.EXECUTING, CallPhase.FAILED)
    await callbacks.timeout[0]()
    await callbacks.error[0](AssentError("SOME_CODE", "a failure"))
    await callbacks.cleanup[0]()
    assert {"timeout", "error-SOME_CODE", "cleanup"} <= {path.name for path in stage.root.iterdir()}


async def test_health_is_asked_there(stage: Stage) -> None:
    assert stage.loaded is not None
    assert stage.loaded.health is not None
    assert await stage.loaded.health() == "a bit tired"  # type: ignore[misc]  # a remote one is async


async def test_hooks_run_there(stage: Stage) -> None:
    from assent.invocation.hooks.hook import HookedCall

    call = stage.call("sample.hooked")
    before, after = call.bound.handler.hooks
    assert (before.kind.value, after.id, after.timeout_s, after.retries) == ("before", "sees", 1, 2)
    await before.run(HookedCall(call.context, {"word": "yes"}))
    await after.run(HookedCall(call.context, {"word": "yes"}, output="YES"))
    assert call.life.meta == {"before": {"word": "yes"}, "after": ["YES", "None", "received"]}
    with pytest.raises(AssentError, match="not said"):
        await before.run(HookedCall(call.context, {"word": "no"}))
    with pytest.raises(Exception, match="a bug"):
        await before.run(HookedCall(call.context, {"word": "bug"}, error=RefusedError("X_Y", "z")))


def test_one_process_did_all_of_it(stage: Stage) -> None:
    assert len(stage.nursery.children) == 1


QUEUE = '''\
"""A part that holds its thread until its token is set, and one that needs a thread for a moment."""

from assent import capability
from assent.invocation import LocalContext


@capability("sample.hold", operation="READ", risk="LOW")
def hold(context: LocalContext) -> bool:
    """Hold a thread."""
    return context.cancel.wait(60)


@capability("sample.quick", operation="READ", risk="LOW")
def quick(context: LocalContext) -> bool:
    """Need a thread for a moment."""
    return True
'''


def test_a_worker_that_has_ended_is_told_no_line_of_any_log(tmp_path: Path) -> None:
    """It has no descriptor any more, and somebody else may have one of that number."""
    logger = logging.getLogger("assent.call.remote")
    before = [*logger.handlers]
    with interpreter_kept():
        stage = Stage(tmp_path, plugin_of(QUEUE, name="elsewhere"), in_thread=True)
        stage.load()
        during = [*logger.handlers]
        stage.close()
        (child,) = stage.nursery.children
        assert isinstance(child, ThreadChild)
        child.join()
    assert (len(during), logger.handlers) == (len(before) + 1, before)


@dataclass
class Begun:
    """Hears that a part begins."""

    begin: Callable[[], None]

    def end(self) -> None:
        pass


async def test_a_part_that_waits_for_a_thread_of_its_worker_has_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the queue is, the part's time begins with the part."""
    ahead_s, loop = 0.0, asyncio.get_running_loop()
    real = loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + ahead_s)
    monkeypatch.setattr("assent.plugins.worker._frames.FORWARD_MAX", 1)
    # The stage that the other tests share may have a plugin of this name in the same process.
    for name in [name for name in sys.modules if name.partition(".")[0] == "sample"]:
        monkeypatch.delitem(sys.modules, name)
    with interpreter_kept():
        stage = Stage(tmp_path, plugin_of(QUEUE), in_thread=True)
        try:
            stage.load()
            begun: list[str] = []
            held_now = asyncio.Event()

            def perform(name: str, told: Callable[[], None]) -> tuple[Call, asyncio.Future[Any]]:
                call = stage.call(name)
                parameters, _ = call.bound.parse({})
                part = call.bound.handler.execute
                limit_s = 60 if name == "sample.quick" else None
                work = stage.invoker.invoke(part, call.context, parameters, timeout_s=limit_s, at=Begun(told))
                return call, asyncio.ensure_future(work)

            holding, held = perform("sample.hold", held_now.set)
            await held_now.wait()
            _, waiting = perform("sample.quick", lambda: begun.append("quick"))
            for jump_s in (0, 600):
                ahead_s += jump_s
                for _ in range(5):
                    await asyncio.sleep(0)
            assert not begun
            holding.cancel.cancel()
            assert (await held, await waiting, begun) == (True, True, ["quick"])
        finally:
            stage.close()
