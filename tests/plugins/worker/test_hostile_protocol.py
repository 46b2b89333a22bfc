"""A hostile plugin gets nothing out of the pipe: what is forged, flooded, withheld or broken off is found, and ends its worker.

These workers have no walls around them. What only walls can stop is tried in `test_hostile_walls.py`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from assent.errors import AssentError, RefusedError, WorldError
from assent.invocation import CallTimeoutError
from assent.invocation.context.local import CallLife
from assent.plugins.worker._slot import WorkerMissingError
from tests.support.patience import PATIENCE_S
from tests.support.workers import Stage, plugin_of, staged

SOURCE = '''\
"""A plugin that means no good."""

import asyncio
import gc
import os
import signal
import struct
import sys
import threading
import time

import msgspec

from assent import capability
from assent.invocation import LocalContext, Prepared, Preview, Reconciliation
from assent.plugins.worker import _frames as frames
from assent.plugins.worker._channel import Channel

KEPT = []


def channel():
    return next(one for one in gc.get_objects() if isinstance(one, Channel))


def raw(data):
    pipe = channel()._writing
    while data:
        data = data[os.write(pipe, data):]


def send(*parts):
    body = msgspec.msgpack.encode(list(parts))
    raw(struct.pack(">I", len(body)) + body)


@capability("sample.act", operation="WRITE", risk="CRITICAL")
async def act(context: LocalContext, how: str) -> str:
    """Do something that is not done."""
    match how:
        case "honest":
            return "done"
        case "die":
            os._exit(7)
        case "signal":
            os.kill(os.getpid(), signal.SIGKILL)
        case "garbage":
            raw(b"\\xff" * 100_000)
        case "oversized":
            raw(struct.pack(">I", 1 << 31))
        case "half":
            raw(struct.pack(">I", 1000) + b"x")
            os._exit(0)
        case "other call":
            send("done", 999_999, b'"forged"', None, None)
        case "unasked":
            send("loaded", [], False)
        case "ask for others":
            send("ask", 1, 999_999, "files.list", [0, "."])
        case "no such question":
            channel().ask(context._number, "files.format", 0, "/")
        case "wrong arguments":
            channel().ask(context._number, "files.list", "zero", ["."])
        case "wrong code":
            raise type("E", (Exception,), {"__str__": lambda self: "\\ud800"})()
        case "deep":
            context.meta["deep"] = 1
            frames_deep = b"[" * 100_000 + b"]" * 100_000
            send("done", max(RUNNING()), frames_deep, None, None)
            await asyncio.Event().wait()
        case "remember junk":
            send("done", max(RUNNING()), b"null", None, [b"[1]", [], b""])
            await asyncio.Event().wait()
        case "talk":
            for _ in range(30_000):
                context.progress(0.5, None, "x")
            context.progress(float("nan"), None, "x")
            return "done"
        case "print":
            print("x" * 100_000)
            sys.stdout.write("more")
            sys.stderr.write("again")
            os.write(1, b"raw")
            return "done"
        case "environment":
            os.environ["ASSENT_EVIL"] = "1"
            os.environ.clear()
            return "done"
        case "patch":
            channel().__class__.send = lambda self, message: None
            return "never told"
        case "too large":
            return "x" * (70 << 20)
        case "block the loop":
            time.sleep(600)
        case "swallow":
            while True:
                try:
                    await asyncio.sleep(600)
                except asyncio.CancelledError:
                    pass
        case "stop reading":
            os.kill(os.getpid(), signal.SIGSTOP)


def RUNNING():
    from assent.plugins.worker._serving import Serving

    return [*next(one for one in gc.get_objects() if isinstance(one, Serving))._running]


@act.prepare
def look(context: LocalContext, how: str) -> Prepared:
    if how == "die in prepare":
        os._exit(7)
    if how == "claim a blob":
        return Prepared({"blob": "0" * 64}, ("0" * 64,))
    if how == "write in prepare":
        context.world.files.write("sly", [b""], key=context.key)
    return Prepared()


@act.reconcile
def happened(context: LocalContext, how: str) -> Reconciliation:
    os._exit(7)


@act.preview
def show(context: LocalContext, how: str) -> Preview:
    os._exit(7)


@act.before
def refuse(call):
    os._exit(7)


@capability("sample.read", operation="READ", risk="LOW")
def read(context: LocalContext, how: str) -> str:
    """Read, or try more."""
    files = context.world.files
    match how:
        case "write":
            files.write("sly", [b""], key=context.key)
        case "remove":
            files.remove_file("innocent")
        case "climb":
            return b"".join(files.read("../state/secret")).decode()
        case "protected":
            return b"".join(files.read("/etc/passwd")).decode()
        case "blob":
            return b"".join(context.blobs.read("{}".format(context.capability and "%064x" % 1))).decode()
        case "named blob":
            return b"".join(context.blobs.read(context.prepared["named"])).decode()
        case "open many":
            for _ in range(100):
                files.read("innocent")
            readers = [channel().ask(context._number, "files.read", 0, "innocent") for _ in range(100)]
        case "no such world":
            channel().ask(context._number, "files.list", 7, ".")
        case "no such bytes":
            channel().ask(context._number, "bytes.next", 77)
        case "late":
            KEPT.append(context)
            return "kept"
        case "ask late":
            try:
                return ",".join(KEPT[0].world.files.list("."))
            except Exception as error:
                return getattr(error, "code", repr(error))
        case "read late":
            opened = KEPT[0]
            return str(opened._number)
    return "done"
'''


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("hostile"), plugin_of(SOURCE)) as found:
        (found.root / "innocent").write_text("text")
        (found.state / "secret").write_text("secret")
        yield found


async def honest(stage: Stage) -> None:
    """Whatever happened before, the plugin's next call is performed, and the world is as it was."""
    assert await stage.execute("sample.act", {"how": "honest"}) == "done"
    assert sorted(path.name for path in stage.root.iterdir()) == ["innocent"]


async def test_naming_a_blob_in_its_state_gives_a_plugin_nobody_elses(stage: Stage) -> None:
    """What it returned as `blobs` of its own is read again after a crash; a digest that it only wrote down is not."""
    digest = stage.blobs.put([b"of another run"])
    call = stage.call("sample.read")
    call.life.prepared = {"named": digest}
    with pytest.raises(AssentError) as refused:
        await call.part("execute", {"how": "named blob"})
    assert refused.value.code == "PLUGIN_DENIED"
    own = stage.call("sample.read", life=CallLife())
    own.life.prepared, own.life.blobs = {"named": digest}, (digest,)
    assert await own.part("execute", {"how": "named blob"}) == "of another run"


@pytest.mark.parametrize(
    "how", ["die", "signal", "half", "block the loop", "swallow", "patch", "stop reading"]
)
async def test_a_worker_that_is_gone_or_never_answers_is_ended_and_another_one_started(
    stage: Stage, how: str
) -> None:
    with pytest.raises((WorldError, CallTimeoutError)) as died:
        await stage.execute("sample.act", {"how": how}, timeout_s=60 if how in {"die", "half"} else 0.5)
    assert died.value.code in {"PLUGIN_WORKER_DIED", "STEP_TIMEOUT"}
    if how in {"die", "half"}:
        assert died.value.details["ended"]
    await honest(stage)


@pytest.mark.parametrize(
    "how",
    [
        "garbage",
        "oversized",
        "other call",
        "unasked",
        "ask for others",
        "no such question",
        "wrong arguments",
        "remember junk",
    ],
)
async def test_what_is_no_part_of_the_protocol_ends_the_worker(stage: Stage, how: str) -> None:
    with pytest.raises(WorldError) as found:
        await stage.execute("sample.act", {"how": how}, timeout_s=30)
    assert found.value.code == "PLUGIN_MISBEHAVED"
    await honest(stage)


async def test_json_that_is_none_fails_the_call_alone(stage: Stage) -> None:
    with pytest.raises(AssentError) as found:
        await stage.execute("sample.act", {"how": "deep"}, timeout_s=30)
    assert found.value.code == "PLUGIN_MISBEHAVED"


@pytest.mark.parametrize("how", ["talk", "print", "environment"])
async def test_noise_changes_nothing(stage: Stage, how: str) -> None:
    assert await stage.execute("sample.act", {"how": how}, timeout_s=60) == "done"
    assert "ASSENT_EVIL" not in os.environ
    assert len(stage.around.told) <= 10_000
    await honest(stage)


async def test_an_output_that_is_too_large_is_a_failure_like_any_other(stage: Stage) -> None:
    with pytest.raises(AssentError) as found:
        await stage.execute("sample.act", {"how": "too large"})
    assert found.value.code == "PLUGIN_MESSAGE_TOO_LARGE"
    await honest(stage)


async def test_an_error_without_words_is_still_one(stage: Stage) -> None:
    with pytest.raises(Exception, match=r"^\?") as found:
        await stage.execute("sample.act", {"how": "wrong code"})
    assert type(found.value).__name__ == "E"


@pytest.mark.parametrize(
    ("part", "how"), [("prepare", "die in prepare"), ("reconcile", "x"), ("preview", "x")]
)
async def test_dying_in_any_part_is_told(stage: Stage, part: str, how: str) -> None:
    with pytest.raises(WorldError, match="ended"):
        await stage.call("sample.act").part(part, {"how": how})
    await honest(stage)


async def test_dying_in_a_hook_is_told(stage: Stage) -> None:
    from assent.invocation.hooks.hook import HookedCall

    call = stage.call("sample.act")
    with pytest.raises(WorldError, match="ended"):
        await call.bound.handler.hooks[0].run(HookedCall(call.context, {"how": "x"}))
    await honest(stage)


async def test_the_calls_beside_one_that_kills_its_worker_end_too(stage: Stage) -> None:
    beside = asyncio.ensure_future(stage.execute("sample.act", {"how": "swallow"}))
    (slot,) = stage.host._slots
    async with asyncio.timeout(PATIENCE_S):
        while slot.worker is None or slot.worker.is_idle:  # noqa: ASYNC110  # it begins on another loop
            await asyncio.sleep(0.01)
    with pytest.raises(WorldError):
        await stage.execute("sample.act", {"how": "die"})
    with pytest.raises(WorldError, match="ended"):
        await beside


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("write", "PLUGIN_DENIED"),
        ("remove", "PLUGIN_DENIED"),
        ("climb", "PATH_ESCAPES"),
        ("protected", "PATH_ESCAPES"),
        ("blob", "PLUGIN_DENIED"),
        ("open many", "PLUGIN_DENIED"),
        ("no such world", "PLUGIN_DENIED"),
        ("no such bytes", "PLUGIN_DENIED"),
    ],
)
async def test_what_a_call_may_not_do_is_denied(stage: Stage, how: str, code: str) -> None:
    with pytest.raises(AssentError) as refused:
        await stage.execute("sample.read", {"how": how})
    assert refused.value.code == code
    assert sorted(path.name for path in stage.root.iterdir()) == ["innocent"]


async def test_a_part_that_only_reads_cannot_write(stage: Stage) -> None:
    with pytest.raises(RefusedError, match="only reads"):
        await stage.call("sample.act").part("prepare", {"how": "write in prepare"})


async def test_a_blob_that_was_not_put_cannot_be_kept(stage: Stage) -> None:
    with pytest.raises(AssentError, match="did not put"):
        await stage.call("sample.act").part("prepare", {"how": "claim a blob"})


async def test_a_call_that_has_ended_answers_nothing(stage: Stage) -> None:
    assert await stage.execute("sample.read", {"how": "late"}) == "kept"
    assert await stage.execute("sample.read", {"how": "ask late"}) == "CALL_ENDED"


async def test_a_worker_that_keeps_dying_is_started_later_each_time(tmp_path: Path) -> None:
    source = (
        "import os\n\nfrom assent import capability\n\n\n"
        '@capability("sample.die", operation="WRITE", risk="CRITICAL")\n'
        'async def die() -> None:\n    """Die."""\n    os._exit(1)\n'
    )
    with staged(tmp_path, plugin_of(source)) as stage:
        for _ in range(3):
            with pytest.raises(WorldError):
                await stage.execute("sample.die")
        (slot,) = stage.host._slots
        assert slot._deaths == 2
        assert slot.starts == 3


async def test_a_plugin_that_registers_otherwise_the_second_time_is_not_used(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    source = (
        "import os\nfrom pathlib import Path\n\nfrom assent import capability\n\n"
        f"FIRST = not Path({str(mark)!r}).exists()\nPath({str(mark)!r}).touch()\n\n\n"
        '@capability("sample.die", operation="READ", risk="LOW", idempotent=FIRST)\n'
        'async def die() -> None:\n    """Die."""\n    os._exit(1)\n'
    )
    with staged(tmp_path, plugin_of(source)) as stage:
        with pytest.raises(WorldError):
            await stage.execute("sample.die")
        with pytest.raises(WorkerMissingError, match="something else") as missing:
            await stage.execute("sample.die")
        assert missing.value.retryable
