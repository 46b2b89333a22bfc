"""A confined program sees what it is shown, and how it ends is told."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import signal
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assent.errors import AssentError, WorldError
from assent.sandbox import Confinement, Holds, Sandbox, SandboxLimits, Scratch, Wall, _sandbox
from assent.sandbox._child import Child
from assent.sandbox._launcher import Launcher
from assent.sandbox._plan import Machine, Plan, View, plan_of
from tests.sandbox.conftest import Ground
from tests.support.patience import PATIENCE_S


async def test_program_reads_workspace_and_writes_nothing(sandbox: Sandbox, ground: Ground) -> None:
    ended = await sandbox.run(
        ["sh", "-c", "cat a.txt src/b.txt; echo new > n || exit 7"], ground.confinement()
    )
    assert ended.stdout == b"alpha\nbeta\n"
    assert (ended.exit_code, ended.signal, ended.limit) == (7, None, None) or ended.exit_code == 2
    assert not (ground.root / "n").exists()


async def test_what_is_written_to_a_writable_folder_stays_there(
    sandbox: Sandbox, ground: Ground, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    script = f"echo new > {kept}/n; echo new > {tmp_path}/n; cat {kept}/n"
    assert (await sandbox.run(["sh", "-c", script], ground.confinement(writable=(kept,)))).stdout == b"new\n"
    assert ((kept / "n").read_text(), (tmp_path / "n").exists()) == ("new\n", False)


async def test_input_and_environment_are_what_is_given(sandbox: Sandbox, ground: Ground) -> None:
    confinement = ground.confinement(environment={"PATH": "/usr/bin:/bin", "GIVEN": "a b"}, cwd="src")
    ended = await sandbox.run(["sh", "-c", "cat; env; cat b.txt"], confinement, stdin=b"from outside\n")
    lines = ended.stdout.decode().splitlines()
    assert lines[0] == "from outside"
    assert lines[-1] == "beta"
    names = {line.partition("=")[0] for line in lines[1:-1]}
    assert "GIVEN=a b" in lines
    assert names <= {"GIVEN", "PATH", "PWD", "OLDPWD", "SHLVL", "_", "TMPDIR"}


async def test_exit_and_signal_are_told_apart(sandbox: Sandbox, ground: Ground) -> None:
    ended = await sandbox.run(["sh", "-c", "exit 3"], ground.confinement())
    assert (ended.exit_code, ended.signal) == (3, None)
    ended = await sandbox.run(["sh", "-c", "kill -TERM $$"], ground.confinement())
    assert (ended.exit_code, ended.signal) in {(None, 15), (143, None)}  # bubblewrap tells it as a shell does


async def test_unknown_program_is_refused(sandbox: Sandbox, ground: Ground) -> None:
    if sandbox.holds.backend == "bubblewrap":
        ended = await sandbox.run(["no-such-program"], ground.confinement())
        assert ended.exit_code == 1
        return
    with pytest.raises(AssentError) as caught:
        await sandbox.run(["no-such-program"], ground.confinement())
    assert (caught.value.code, caught.value.message) == (
        "SANDBOX_PROGRAM",
        "the program can't be started inside the sandbox: no such file or directory",
    )


@pytest.mark.parametrize(
    ("changes", "step", "code"),
    [({"limits": SandboxLimits(open_files=-2)}, "start", 0), ({"cwd": "none"}, "{}/none", errno.ENOENT)],
)
async def test_walls_that_can_not_be_put_up_name_the_step(
    sandbox: Sandbox, ground: Ground, changes: dict[str, Any], step: str, code: int
) -> None:
    if sandbox.holds.backend == "bubblewrap" and code:
        pytest.skip("bubblewrap itself goes to the folder, and says so on its standard error")
    with pytest.raises(AssentError) as caught:
        await sandbox.run(["true"], ground.confinement(**changes))
    assert caught.value.code == "SANDBOX_FAILED"
    assert caught.value.details == {"step": step.format(ground.root), "errno": code}


async def test_output_past_its_bound_ends_the_program(sandbox: Sandbox, ground: Ground) -> None:
    limits = replace(ground.limits, output_bytes=100_000)
    ended = await sandbox.run(["sh", "-c", "yes"], ground.confinement(limits=limits))
    assert ended.limit == "output_bytes"
    assert len(ended.stdout) == 100_000


async def test_output_past_its_bound_is_told_of_a_program_that_was_faster(
    sandbox: Sandbox, ground: Ground
) -> None:
    """It had ended by itself before anybody read what it left in the pipe; of that a part was lost all the same."""
    limits = replace(ground.limits, output_bytes=1000)

    def wait_for_its_end(child: Child) -> None:
        assert select.select([child._control], [], [], 30)[0]

    for size, limit in ((1000, None), (1001, "output_bytes")):
        line = f"head -c {size} /dev/zero"
        ended = await sandbox.run(
            ["sh", "-c", line], ground.confinement(limits=limits), on_start=wait_for_its_end
        )
        assert (ended.limit, len(ended.stdout), ended.is_success) == (limit, 1000, limit is None)


async def test_callback_gets_output_as_it_comes(sandbox: Sandbox, ground: Ground) -> None:
    got: list[tuple[str, bytes]] = []

    async def take(name: str, block: bytes) -> None:
        await asyncio.sleep(0)
        got.append((name, block))

    ended = await sandbox.run(["sh", "-c", "echo out; echo err >&2"], ground.confinement(), on_output=take)
    assert sorted(got) == [("stderr", b"err\n"), ("stdout", b"out\n")]
    assert ended.stdout == b""
    assert ended.output_bytes == 8


@pytest.mark.parametrize("wall_s", [1, 1e-4])
async def test_wall_clock_ends_the_program(sandbox: Sandbox, ground: Ground, wall_s: float) -> None:
    ended = await sandbox.run(["sleep", "3"], ground.confinement(limits=SandboxLimits(wall_s=wall_s)))
    assert ended.limit == "wall_s"


async def test_a_supervisor_that_is_killed_is_told(ground: Ground) -> None:
    with Sandbox.detect(unconfined=True) as sandbox:
        child = await sandbox.start(["sh", "-c", "echo here; sleep 600"], ground.confinement())
        assert os.read(child.stdout, 64) == b"here\n"
        launched = Path(f"/proc/{sandbox.launcher_id}/task/{sandbox.launcher_id}/children").read_text()
        os.kill(int(launched.split()[-1]), signal.SIGKILL)
        with pytest.raises(WorldError) as caught:
            await child.wait()
        assert caught.value.code == "SANDBOX_FAILED"
        assert caught.value.message.endswith("its supervisor was killed")
        for descriptor in (child.stdin, child.stdout, child.stderr):
            os.close(descriptor)


async def test_cancelled_run_leaves_nothing(sandbox: Sandbox, ground: Ground) -> None:
    began = asyncio.Event()
    task = asyncio.create_task(
        sandbox.run(
            ["sh", "-c", "echo here; sleep 600"], ground.confinement(), on_output=lambda *_: began.set()
        )
    )
    await asyncio.wait_for(began.wait(), PATIENCE_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_nothing_runs_where_nothing_holds(launcher: Launcher, ground: Ground) -> None:
    machine = Machine(architecture="x86_64", landlock=0, namespaces=False, uid=1, gid=1)
    holds = Holds("unconfined", {}, {Wall.FILES: "get a newer kernel"})
    with pytest.raises(WorldError) as caught:
        await Sandbox(launcher, machine, holds, unconfined=False).run(["true"], ground.confinement())
    assert caught.value.code == "SANDBOX_UNAVAILABLE"
    assert "get a newer kernel" in str(caught.value.hint)
    ended = await Sandbox(launcher, machine, holds, unconfined=True).run(["true"], ground.confinement())
    assert ended.is_success


@pytest.mark.parametrize("namespaces", [True, False])
def test_processes_are_counted_once(ground: Ground, *, namespaces: bool) -> None:
    """In a name space of its own the limit is the program's; outside it comes on top of what its user runs already."""
    machine = Machine(architecture="x86_64", landlock=1, namespaces=namespaces, uid=1, gid=1)
    view = View.of(ground.confinement(limits=SandboxLimits(processes=7)), None, None)
    plan = plan_of(view, ["true"], machine)
    assert plan["processes_more"] == (None if namespaces else 7)
    assert plan["rlimits"].get("RLIMIT_NPROC") == ((9, 9) if namespaces else None), (
        "with the supervisor and the init"
    )


@pytest.mark.parametrize("network", [True, False])
def test_a_network_of_its_own_has_a_loopback(ground: Ground, *, network: bool) -> None:
    machine = Machine(architecture="x86_64", landlock=1, namespaces=True, uid=1, gid=1)
    plan = plan_of(View.of(ground.confinement(network=network), None, None), ["true"], machine)
    assert (["loopback"] in plan["steps"]) != network


async def test_who_gives_up_while_the_walls_are_planned_leaves_nothing(
    sandbox: Sandbox, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copying a workspace takes long, and its folder for temporary files was made by then."""
    made: list[Scratch] = []
    reached, go_on = threading.Event(), threading.Event()
    plan = Sandbox._plan

    def slow(self: Sandbox, argv: Sequence[str], confinement: Confinement) -> tuple[Scratch | None, Plan]:
        scratch, found = plan(self, argv, confinement)
        made.append(scratch or Scratch.make())
        reached.set()
        assert go_on.wait(30), "the loop has other things to do meanwhile"
        return made[0], found

    monkeypatch.setattr(Sandbox, "_plan", slow)
    running = asyncio.ensure_future(sandbox.run(["true"], ground.confinement(layer=True)))
    assert await asyncio.to_thread(reached.wait, 60)
    running.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not made[0].path.exists()


@pytest.mark.parametrize(
    ("failure", "told"),
    [(BrokenPipeError, WorldError), (asyncio.CancelledError, asyncio.CancelledError)],
)
async def test_a_plan_that_can_not_be_handed_over_leaves_no_pipe_open(
    sandbox: Sandbox,
    ground: Ground,
    monkeypatch: pytest.MonkeyPatch,
    failure: type[BaseException],
    told: type[BaseException],
) -> None:
    opened: list[int] = []
    closed: list[int] = []
    open_streams, close = _sandbox._open_streams, _sandbox._close

    def opening(*, with_input: bool) -> _sandbox._Streams:
        found = open_streams(with_input=with_input)
        opened.extend((found.stdin, found.stdout, found.stderr, *found.ours))
        return found

    def closing(descriptors: Sequence[int]) -> None:
        closed.extend(descriptors)
        close(descriptors)

    async def fails(*_: object) -> None:
        raise failure

    with monkeypatch.context() as broken:
        broken.setattr(_sandbox, "_open_streams", opening)
        broken.setattr(_sandbox, "_close", closing)
        broken.setattr(asyncio.get_running_loop(), "sock_sendall", fails)
        with pytest.raises(told):
            await sandbox.run(["true"], ground.confinement(), stdin=b"")
    assert sorted(closed) == sorted(opened)
    assert len(opened) == 6
    assert (await sandbox.run(["true"], ground.confinement())).exit_code == 0
