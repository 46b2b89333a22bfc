"""The walls as data: what the filter answers to each call on each machine, and what a confinement may be."""

from __future__ import annotations

import errno
import os
import signal
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from assent.errors import AssentError
from assent.sandbox import Sandbox
from assent.sandbox._plan import without
from assent.sandbox._seccomp import _KINDS, _NUMBERS, FilterRules, seccomp_filter
from tests.sandbox.conftest import Ground

ALLOW, KILL = 0x7FFF_0000, 0x8000_0000
ARCHITECTURES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}


def answer(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """What the program answers to a call: an interpreter of the few instructions that it is made of."""
    data = struct.pack("=iIQ6Q", number, architecture, 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    at = held = 0
    while True:
        operation, yes, no, value = code[at]
        at += 1
        match operation:
            case 0x20:
                held = struct.unpack_from("=I", data, value)[0]
            case 0x54:
                held &= value
            case 0x15:
                at += yes if held == value else no
            case 0x35:
                at += yes if held >= value else no
            case 0x45:
                at += yes if held & value else no
            case _:
                assert operation == 0x06
                return int(value)


@pytest.mark.parametrize("machine", ARCHITECTURES)
@pytest.mark.parametrize("is_strict", [False, True])
def test_filter_answers_as_the_lists_say(machine: str, is_strict: bool) -> None:
    program = seccomp_filter(
        FilterRules(families=(1, 2), signals=not is_strict, metadata=not is_strict), machine
    )
    architecture = ARCHITECTURES[machine]
    column = [*ARCHITECTURES].index(machine)
    kinds = ("refused", "signal", "metadata") if is_strict else ("refused",)
    refused = {name for kind in kinds for name in _KINDS[kind]}
    for name, numbers in _NUMBERS.items():
        number = numbers[column]
        if number is None:
            continue
        got = answer(program, architecture, number, 1)
        if name in refused:
            assert got & 0xFFFF == errno.EPERM, name
        elif name in _KINDS["absent"]:
            assert got & 0xFFFF == errno.ENOSYS, name
    socket, clone = _NUMBERS["socket"][column], _NUMBERS["clone"][column]
    assert socket is not None
    assert clone is not None
    assert answer(program, architecture, socket, 2) == ALLOW
    assert answer(program, architecture, socket, 40) & 0xFFFF == errno.EPERM
    assert answer(program, architecture, clone, signal.SIGCHLD) == ALLOW
    assert answer(program, architecture, clone, 0x1000_0000) & 0xFFFF == errno.EPERM
    assert answer(program, architecture, 0) == ALLOW
    assert answer(program, 0x4000_0003, 0) == KILL
    assert answer(program, architecture, 0x4000_0000) == (
        ALLOW if machine == "aarch64" else 0x0005_0000 | errno.ENOSYS
    )


def test_neighbours_of_what_is_hidden_are_named_one_by_one(ground: Ground) -> None:
    root = str(ground.root)
    assert without(root, [str(ground.outside)]) == [root]
    assert without(root, [str(ground.state)]) == [f"{root}/a.txt", f"{root}/src"]
    assert without(root, [f"{root}/src/b.txt"]) == [f"{root}/.assent", f"{root}/a.txt"]
    assert without(root, [str(ground.root.parent)]) == []
    assert without(f"{root}/none", [f"{root}/none/x"]) == []


async def test_impossible_confinements_are_refused(sandbox: Sandbox, ground: Ground, tmp_path: Path) -> None:
    wrong: list[dict[str, object]] = [
        {"root": Path("work")},
        {"root": tmp_path / "nowhere"},
        {"hidden": (Path("a"),)},
        {"cwd": "../outside"},
        {"cwd": "/"},
        {"environment": {"A=B": "c"}},
        {"environment": {"A": "\0"}},
        {"layer": ground.root / "src"},
    ]
    for changes in wrong:
        with pytest.raises(AssentError) as caught:
            await sandbox.run(["true"], replace(ground.confinement(), **changes))  # type: ignore[arg-type]  # fields by name
        assert caught.value.code == "SANDBOX_INVALID", changes
    for argv in ([], ["a\0b"]):
        with pytest.raises(AssentError) as caught:
            await sandbox.run(argv, ground.confinement())
        assert caught.value.code == "SANDBOX_INVALID"


@pytest.mark.parametrize("file_bytes", [0, 1200])
async def test_a_limit_on_files_takes_no_wall_away(sandbox: Sandbox, ground: Ground, file_bytes: int) -> None:
    """What tells bubblewrap which walls to build is a file too, and is not cut short by the program's limit."""
    looked = "cat /proc/self/status; pwd; echo x > /etc/new"
    ended = await sandbox.run(
        ["sh", "-c", looked],
        ground.confinement(limits=replace(ground.limits, file_bytes=file_bytes)),
    )
    lines = ended.stdout.decode().splitlines()
    assert "Seccomp:\t0" not in lines  # behind Landlock alone nobody sees it
    assert lines[-1] == str(ground.root.resolve())
    assert ended.exit_code != 0


async def test_layer_belongs_to_one_workspace(sandbox: Sandbox, ground: Ground) -> None:
    await sandbox.run(["true"], ground.confinement(layer=True))
    with pytest.raises(AssentError) as caught:
        await sandbox.run(["true"], ground.confinement(layer=True, root=ground.outside))
    assert caught.value.code == "SANDBOX_INVALID"


async def test_launcher_that_was_killed_is_started_again(ground: Ground) -> None:
    with Sandbox.detect() as sandbox:
        if not sandbox.holds.is_confined:
            pytest.skip("nothing can be confined on this machine")
        assert (await sandbox.run(["true"], ground.confinement())).is_success
        launcher = sandbox.launcher_id
        assert launcher is not None
        os.kill(launcher, signal.SIGKILL)
        os.waitid(os.P_PID, launcher, os.WEXITED | os.WNOWAIT)
        assert (await sandbox.run(["true"], ground.confinement())).is_success
        assert sandbox.launcher_id != launcher
    with pytest.raises(AssentError) as caught:
        await sandbox.run(["true"], ground.confinement())
    assert caught.value.code == "SANDBOX_FAILED"


async def test_child_has_its_pipes_and_is_killed(sandbox: Sandbox, ground: Ground) -> None:
    child = await sandbox.start(["cat"], ground.confinement())
    os.write(child.stdin, b"there and back")
    assert os.read(child.stdout, 64) == b"there and back"
    child.kill()
    child.kill()
    ended = await child.wait()
    assert (ended.limit, await child.wait()) == ("killed", ended)
    for descriptor in (child.stdin, child.stdout, child.stderr):
        os.close(descriptor)
