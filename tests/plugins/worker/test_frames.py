"""No bytes break either end of the pipe: they are messages, or the end of the conversation."""

from __future__ import annotations

import asyncio
import os
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assent import system
from assent.capabilities.fs import changing
from assent.errors import AssentError, InputError, RefusedError, WorldError
from assent.invocation import CallState, NoEffectError, StateKey
from assent.invocation.context.local import CallLife
from assent.plugins.worker import _frames, _questions
from assent.plugins.worker._errors import from_wire, to_wire
from assent.plugins.worker._frames import (
    FRAME_BYTES_MAX,
    PROTOCOL,
    Answer,
    Ask,
    Begin,
    BrokenFrameError,
    Done,
    File,
    Frames,
    Kept,
    Load,
    Ready,
    WireError,
    framed,
    from_worker,
    pack_json,
    to_worker,
    unpack_json,
)
from assent.plugins.worker._kept import keep, kept_of
from assent.plugins.worker._process import WorkerProcess
from assent.plugins.worker._questions import RemoteCall
from assent.spec import create_read_capability
from tests.support.seeds import examples

TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner, max_size=40) | st.dictionaries(st.text(), inner, max_size=20),
    max_leaves=60,
)


def count_of(value: object) -> int:
    match value:
        case list():
            return 1 + sum(map(count_of, value))
        case dict():
            return 1 + sum(1 + count_of(item) for item in value.values())
        case _:
            return 1


@given(TREES)
def test_values_are_counted_without_being_made(value: object) -> None:
    count, data = count_of([value]), bytes(Ask.of(1, 1, "http", [value]).args)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_frames, "VALUES_MAX", count)
        _frames._require_countable(data)
        patched.setattr(_frames, "VALUES_MAX", count - 1)
        with pytest.raises(BrokenFrameError, match="more than"):
            _frames._require_countable(data)


@pytest.mark.parametrize("one", [b"\x90", b"\x01"], ids=bytes.hex)
@pytest.mark.parametrize("nested", [False, True])
def test_many_values_in_a_question_take_no_memory(one: bytes, nested: bool) -> None:
    many = 2 * _frames.VALUES_MAX
    args = (b"\x91" if nested else b"") + b"\xdd" + many.to_bytes(4, "big") + one * many
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    asked = from_worker(b"\x95\xa3ask\x01\x01\xa4http" + args)
    assert isinstance(asked, Ask)
    with pytest.raises(BrokenFrameError, match="more than 2000000 values"):
        asked.arguments()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000, "kilobytes"


@pytest.mark.parametrize("one", [b"[]", b'{"a":1}'])
def test_many_values_in_a_json_text_are_refused_uncounted_in_texts(one: bytes) -> None:
    data = b"[" + b",".join([one] * 2000) + b"]"
    with pytest.raises(BrokenFrameError, match="more than 1000 values"):
        unpack_json(data, most=1000)
    assert len(unpack_json(data, most=4001)) == 2000


def test_text_that_looks_like_many_values_is_text() -> None:
    text = '[{,\\",' * 1000
    assert unpack_json(pack_json({"csv": text}), most=10) == {"csv": text}


def test_a_text_that_never_ends_is_looked_at_once() -> None:
    """Looked for from each of its marks anew, these 2 MB would take hours."""
    with pytest.raises(BrokenFrameError, match="no JSON"):
        unpack_json(b"[,,," + b'"' + b'\\"' * 1_000_000, most=10)


@given(st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=5))
def test_any_bytes_are_frames_or_refused(data: bytes, cuts: list[int]) -> None:
    frames = Frames()
    places = sorted({0, *(min(cut, len(data)) for cut in cuts), len(data)})
    with suppress(BrokenFrameError):
        for begin, end in pairwise(places):
            for body in frames.feed(data[begin:end]):
                for decode in (from_worker, to_worker):
                    with suppress(BrokenFrameError):
                        decode(body)


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(1, 50))
def test_frames_come_out_as_they_went_in(data: list[bytes], step: int) -> None:
    messages = [File(str(number), "place", one) for number, one in enumerate(data)]
    stream = b"".join(map(framed, messages))
    frames = Frames()
    found = [
        to_worker(body) for at in range(0, len(stream), step) for body in frames.feed(stream[at : at + step])
    ]
    assert found == messages
    assert not frames.is_half


@given(st.binary(max_size=300))
def test_a_changed_message_is_a_message_or_refused(noise: bytes) -> None:
    body = framed(Done(1, b"null", WireError("input", "A_B", "m"), Kept(b"{}", ["a"], b"")))[4:]
    for at in range(0, len(body), 7):
        for decode in (from_worker, to_worker):
            with suppress(BrokenFrameError):
                decode(body[:at] + noise + body[at + len(noise) :])


def test_a_message_that_is_too_large_is_not_sent() -> None:
    with pytest.raises(BrokenFrameError, match="larger"):
        framed(File("a", "b", bytes(FRAME_BYTES_MAX)))


@pytest.mark.parametrize("data", [b"[" * 100_000, b"{", b"\xff", b"nan"])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(BrokenFrameError):
        unpack_json(data)


@pytest.mark.parametrize("family", [NoEffectError, InputError, RefusedError, WorldError, AssentError])
def test_an_error_keeps_its_family_and_everything_else(family: type[AssentError]) -> None:
    error = family("SOME_CODE", "a message", path="a.b", hint="a hint", details={"n": [1, None]})
    again = from_wire(to_wire(error))
    assert type(again) is family
    assert isinstance(again, AssentError)
    assert again.to_dict() == error.to_dict()


def test_an_error_is_cut_to_what_can_be_sent() -> None:
    wire = to_wire(
        AssentError("SOME_CODE", "m" * 100_000, hint="h" * 100_000, details={"x": "y" * 3_000_000})
    )
    assert (len(wire.message), len(wire.hint or ""), wire.details) == (16_384, 16_384, b"")
    assert to_wire(AssentError("SOME_CODE", "m", details={"x": object()})).details == b""  # type: ignore[dict-item]  # on purpose
    assert to_wire(asyncio.CancelledError()).kind == "cancelled"


@pytest.mark.parametrize(
    "wire", [WireError("input", "no code", "m"), WireError("input", "A_B", "m", details=b"[1]")]
)
def test_an_error_that_nobody_raises_is_refused(wire: WireError) -> None:
    with pytest.raises(BrokenFrameError):
        from_wire(wire)


def test_a_class_without_a_name_is_an_exception() -> None:
    assert type(from_wire(WireError("foreign", name="no name", message="m"))).__name__ == "Exception"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.text(max_size=5), json_values, max_size=4), st.sets(st.text(max_size=5), max_size=3)
)
def test_a_memory_is_the_same_on_either_side(meta: dict[str, object], flags: set[str]) -> None:
    here, there = CallLife(), CallLife()
    here.meta, here.flags, here.state = dict(meta), set(flags), CallState()  # type: ignore[arg-type]  # JSON by its strategy
    here.state.set(StateKey("n", int), 1)
    here.state.set(StateKey("t", tuple), (1,))
    there.meta = {"old": 1}
    keep(there, kept_of(here))
    assert (there.meta, there.flags or set()) == (meta, flags)
    assert there.state is not None
    assert [key.name for key in there.state] == ["n"]
    keep(there, Kept())
    assert (there.meta, there.flags or set(), len(there.state)) == ({}, set(), 0)


@pytest.mark.parametrize(
    "kept",
    [Kept(b"[1]"), Kept(b"", [], b'{"a": 1}'), Kept(b"", [], b'[["n", "int", "1"]]'), Kept(b"", [], b"[1]")],
)
def test_what_is_no_memory_is_refused(kept: Kept) -> None:
    with pytest.raises(BrokenFrameError):
        keep(CallLife(), kept)


class Mouth:
    """A child that is no process: three pipes, whose other ends are the test's."""

    def __init__(self) -> None:
        reads, self.stdin = os.pipe()
        self.stdout, self.says = os.pipe()
        self.stderr, errors = os.pipe()
        self.others = [reads, errors]
        self.is_killed = asyncio.Event()

    def fall_silent(self) -> None:
        """Say nothing more, ever: what has begun and not ended stays half."""
        os.close(self.says)
        self.says = -1

    def kill(self) -> None:
        self.is_killed.set()

    async def wait(self) -> str:
        await self.is_killed.wait()
        for descriptor in (self.says, *self.others):
            if descriptor >= 0:
                os.close(descriptor)
        return "it was killed"


@settings(max_examples=examples(40))
@given(st.binary(max_size=400), st.booleans())
def test_whatever_a_worker_says_its_host_ends_it_and_whoever_waits_is_told(
    data: bytes, is_framed: bool
) -> None:
    async def story() -> None:
        mouth = Mouth()
        with ThreadPoolExecutor(max_workers=1) as threads:
            worker = WorkerProcess(mouth, spawn=system.spawn, threads=threads, name="mouth")
            waiting = asyncio.ensure_future(
                worker.perform(Begin(1, 0, "health"), None, grace_s=0, part="health")
            )
            await asyncio.sleep(0)
            os.write(mouth.says, (len(data).to_bytes(4, "big") if is_framed else b"") + data)
            mouth.fall_silent()
            with pytest.raises(AssentError) as ended:
                await waiting
            assert ended.value.code in {"PLUGIN_MISBEHAVED", "PLUGIN_WORKER_DIED"}
            assert worker.ended.is_set()

    asyncio.run(story())


async def test_a_worker_that_goes_away_while_it_is_greeted_has_died() -> None:
    mouth = Mouth()
    with ThreadPoolExecutor(max_workers=1) as threads:
        worker = WorkerProcess(mouth, spawn=system.spawn, threads=threads, name="mouth")
        greeting = asyncio.ensure_future(worker.greet())
        await asyncio.sleep(0)
        os.write(mouth.says, framed(Answer(1))[:3])
        mouth.fall_silent()
        with pytest.raises(WorldError, match="in the middle of a message"):
            await greeting


class Unbuilt(Mouth):
    """A child whose walls could not be put up, or whose end nobody is left to tell of."""

    async def wait(self) -> str:
        await super().wait()
        raise WorldError("SANDBOX_FAILED", "the sandbox could not be built: no space")


async def test_a_worker_that_could_not_begin_says_why() -> None:
    mouth = Unbuilt()
    with ThreadPoolExecutor(max_workers=1) as threads:
        worker = WorkerProcess(mouth, spawn=system.spawn, threads=threads, name="mouth")
        greeting = asyncio.ensure_future(worker.greet())
        await asyncio.sleep(0)
        mouth.fall_silent()
        with pytest.raises(WorldError, match="no space") as failed:
            await greeting
        assert failed.value.code == "SANDBOX_FAILED"
        await worker.end()


async def test_a_worker_whose_end_nobody_can_tell_of_has_died_all_the_same() -> None:
    mouth = Unbuilt()
    with ThreadPoolExecutor(max_workers=1) as threads:
        worker = WorkerProcess(mouth, spawn=system.spawn, threads=threads, name="mouth")
        greeting = asyncio.ensure_future(worker.greet())
        await asyncio.sleep(0)
        os.write(mouth.says, framed(Ready(PROTOCOL)))
        await greeting
        mouth.fall_silent()
        with pytest.raises(WorldError, match="its process is gone") as failed:
            await worker.perform(Begin(1, 0, "health"), None, grace_s=0, part="health")
        assert failed.value.code == "PLUGIN_WORKER_DIED"
        assert failed.value.details["ended"] == "the sandbox could not be built: no space"


async def test_a_worker_that_died_between_two_words_is_asked_for_nothing() -> None:
    mouth = Mouth()
    with ThreadPoolExecutor(max_workers=1) as threads:
        worker = WorkerProcess(mouth, spawn=system.spawn, threads=threads, name="mouth")
        mouth.fall_silent()
        await worker.ended.wait()
        raised = []
        for asked in (worker.load([Load("mouth", "mouth", native=False)]), worker.greet()):
            with pytest.raises(WorldError, match="its process is gone") as failed:
                await asked
            raised.append(failed.value)
        assert raised[0] is not raised[1]


class Dying(Mouth):
    """A child that says when it is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.is_gone = asyncio.Event()

    async def wait(self) -> str:
        how = await super().wait()
        self.is_gone.set()
        return how


async def test_nobody_is_told_of_a_workers_end_while_what_it_asked_for_is_being_done() -> None:
    """A file that is being written for it would appear after its call had been taken back."""
    mouth, goes_on, asked = Dying(), threading.Event(), list[str]()
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def perform(op: str, *_: object) -> None:
        asked.append(op)
        loop.call_soon_threadsafe(begun.set)
        assert goes_on.wait(30)

    with ThreadPoolExecutor(max_workers=1) as threads:
        worker = WorkerProcess(mouth, spawn=system.spawn, threads=threads, name="mouth")
        call = RemoteCall(1, create_read_capability("a.b", parameters={}, returns={}), "sample", changing)
        call.answer = perform  # type: ignore[method-assign,assignment]  # a question that takes its time
        asking = asyncio.ensure_future(worker.perform(Begin(1, 1, "part"), call, grace_s=0, part="execute"))
        await asyncio.sleep(0)
        for number, op in enumerate(("files.write", "files.rename")):
            os.write(mouth.says, framed(Ask.of(number, 1, op, [])))
        await begun.wait()
        mouth.fall_silent()
        await mouth.is_gone.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        was_told = worker.ended.is_set() or asking.done()
        goes_on.set()
        with pytest.raises(WorldError, match="its process is gone"):
            await asking
    assert not was_told
    assert asked == ["files.write"], "what was not begun yet is not begun any more"


async def test_an_answer_too_large_for_the_pipe_is_told_and_keeps_nobody_waiting() -> None:
    mouth = Mouth()
    with ThreadPoolExecutor(max_workers=1) as threads:
        worker = WorkerProcess(mouth, spawn=system.spawn, threads=threads, name="mouth")
        call = RemoteCall(1, create_read_capability("a.b", parameters={}, returns={}), "sample", changing)
        call.answer = lambda *_: bytes(FRAME_BYTES_MAX)  # type: ignore[method-assign]  # no file is that large
        worker._calls[1] = call
        asked = Ask.of(7, 1, "bytes.next", [1])
        await worker._answer(asked)
        told = to_worker(os.read(mouth.others[0], 1 << 16)[4:])
        assert isinstance(told, Answer)
        assert told.r == 7
        assert told.error is not None
        assert told.error.code == "PLUGIN_MESSAGE_TOO_LARGE"
        await worker.end()


def test_what_one_call_writes_at_once_is_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not each of its many files for itself."""
    monkeypatch.setattr(_questions, "GATHERED_BYTES_MAX", 1000)
    call = RemoteCall(1, create_read_capability("a.b", parameters={}, returns={}), "sample", changing)
    first, second = call.open_bytes(), call.open_bytes()
    call.add_bytes(first, bytes(600))
    with pytest.raises(RefusedError, match="at most 1000 bytes that it is writing"):
        call.add_bytes(second, bytes(600))
    call.close_bytes(first)
    call.close_bytes(second)
    third = call.open_bytes()
    call.add_bytes(third, bytes(1000))
    call.close_bytes(third)


def test_a_call_that_is_not_under_way_is_not_answered() -> None:
    call = RemoteCall.__new__(RemoteCall)
    call._running, call._context = {}, None
    call.spec = type("Spec", (), {"id": "a.b"})()
    with pytest.raises(InputError) as refused:
        call.answer("files.list", [0, "."], lambda kind, number: None)
    assert refused.value.code == "CALL_ENDED"
    assert pack_json(None) == b"null"
