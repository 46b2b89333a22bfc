"""The walls as data: what the filter answers to each call on each machine, and what a confinement may be."""

from __future__ import annotations

import base64
import errno
import os
import signal
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assent.errors import AssentError
from assent.sandbox import Sandbox, SandboxLimits, Wall, _detect, _landlock
from assent.sandbox._detect import detect
from assent.sandbox._launcher import Launcher
from assent.sandbox._layer import Layer, LayerKind
from assent.sandbox._plan import Machine, Plan, View, plan_of, without
from assent.sandbox._seccomp import _KINDS, _NUMBERS, FilterRules, programs_filter, seccomp_filter
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
        assert operation & 0x7 == 0x5 or (yes, no) == (0, 0), "only a jump says where to"
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
        elif name in _KINDS["unsupported"]:
            assert got & 0xFFFF == errno.EOPNOTSUPP, name
    socket, clone = _NUMBERS["socket"][column], _NUMBERS["clone"][column]
    assert socket is not None
    assert clone is not None
    assert answer(program, architecture, socket, 2) == ALLOW
    # What comes after a call's own conditions is about its number again, and not about what was looked at last.
    assert answer(program, architecture, clone, socket) == ALLOW
    assert answer(program, architecture, socket, 40) & 0xFFFF == errno.EPERM
    assert answer(program, architecture, clone, signal.SIGCHLD) == ALLOW
    assert answer(program, architecture, clone, 0x1000_0000) & 0xFFFF == errno.EPERM
    assert answer(program, architecture, 0) == ALLOW
    assert answer(program, 0x4000_0003, 0) == KILL
    assert answer(program, architecture, 0x4000_0000) == (
        ALLOW if machine == "aarch64" else 0x0005_0000 | errno.ENOSYS
    )


NAMESPACE_BITS = (0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000)
# A call and which of its arguments is looked at → values that pass, values that are refused. Strict: where modes and times are.
ARGUMENTS = {
    ("clone", 0): ((0, 0x1_0000), NAMESPACE_BITS),
    ("ioctl", 1): ((0x5401, 0x5413), (0x5412, 0x541C)),
    ("mknod", 1): ((0o100600, 0o010600, 0o140600), (0o020600, 0o060600)),
    ("mknodat", 2): ((0o100600, 0o010600, 0o140600), (0o020600, 0o060600)),
    ("personality", 0): ((0, 8, 0xFFFF_FFFF), (1, 0x4_0000)),
    ("utimensat", 1): ((0,), (1, 0x7FFF)),
}


@pytest.mark.parametrize("machine", ARCHITECTURES)
@pytest.mark.parametrize(("call", "place"), ARGUMENTS)
def test_filter_looks_at_arguments(machine: str, call: str, place: int) -> None:
    passing, refused = ARGUMENTS[call, place]
    number = _NUMBERS[call][[*ARCHITECTURES].index(machine)]
    for is_strict in (False, True):
        program = seccomp_filter(FilterRules(families=(), signals=True, metadata=not is_strict), machine)
        for value in (*passing, *refused):
            words = [0xFFFF_0000] * place + [value]
            is_refused = value in refused and (is_strict or call != "utimensat")
            got = answer(program, ARCHITECTURES[machine], number, *words) if number is not None else None
            assert got in (None, 0x0005_0000 | errno.EPERM if is_refused else ALLOW), (value, is_strict)


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_a_program_that_may_start_none_has_threads(machine: str) -> None:
    program, architecture = programs_filter(machine), ARCHITECTURES[machine]
    for name, numbers in _NUMBERS.items():
        number = numbers[[*ARCHITECTURES].index(machine)]
        if number is None:
            continue
        wanted = ALLOW
        if name in _KINDS["start"] or name == "clone":
            wanted = 0x0005_0000 | errno.EPERM
        elif name == "clone3":
            wanted = 0x0005_0000 | errno.ENOSYS
        assert answer(program, architecture, number, signal.SIGCHLD) == wanted, name
        if name == "clone":
            assert answer(program, architecture, number, 0x1_0000) == ALLOW


def test_neighbours_of_what_is_hidden_are_named_one_by_one(ground: Ground) -> None:
    root = str(ground.root)
    assert without(root, [str(ground.outside)]) == [root]
    assert without(root, [str(ground.state)]) == [f"{root}/a.txt", f"{root}/src"]
    assert without(root, [f"{root}/src/b.txt"]) == [f"{root}/.assent", f"{root}/a.txt"]
    assert without(root, [str(ground.root.parent)]) == []
    assert without(f"{root}/none", [f"{root}/none/x"]) == []


# A version of Landlock's interface, whether the network is granted → rights to files, to TCP, and scopes that are taken away.
HANDLED = {
    (1, False): (0x1FFF, 0, 0),
    (2, False): (0x3FFF, 0, 0),
    (3, False): (0x7FFF, 0, 0),
    (4, False): (0x7FFF, 3, 0),
    (5, False): (0xFFFF, 3, 0),
    (6, False): (0xFFFF, 3, 3),
    (6, True): (0xFFFF, 0, 3),
}
READ, DEVICE = 0b1101, 0b110


@pytest.mark.parametrize(("version", "network"), HANDLED)
def test_landlock_takes_away_all_that_its_version_knows(version: int, *, network: bool) -> None:
    taken = _landlock.handled(version, network=network)
    assert taken == HANDLED[version, network]
    known = taken[0]
    assert _landlock.rights("read", version) == READ
    assert _landlock.rights("file", version) == 0b100
    assert _landlock.rights("write", version) == known & ~(1 << 6 | 1 << 11 | 1 << 15), "all but device nodes"
    assert _landlock.rights("device", version) == DEVICE | known & (1 << 14 | 1 << 15)


def machine(name: str, **facts: Any) -> Machine:
    """A machine of a kind, whichever this one is."""
    wrapper = "/usr/bin/bwrap" if name == "bubblewrap" else None
    plain = Machine(
        architecture="x86_64", landlock=7, namespaces=name != "landlock", uid=7, gid=8, wrapper=wrapper
    )
    return replace(plain, **facts)


def planned(on: Machine, ground: Ground, layer: LayerKind | None = None, **changes: Any) -> Plan:
    """The plan for a program there, with a folder for temporary files where there is no `/tmp` of its own."""
    found = Layer(ground.layer, layer, ground.root, (str(ground.state),)) if layer else None
    scratch = None if on.namespaces or on.wrapper else str(ground.outside)
    return plan_of(View.of(ground.confinement(**changes), found, scratch), ["true"], on)


def told(plan: Plan) -> str:
    """What bubblewrap is told, in one line."""
    return " ".join(base64.b64decode(plan["files"]["10"]).decode().split("\0"))


INTERNET = {2, 10, 16}
OWN = {1, *INTERNET}


@pytest.mark.parametrize(
    ("kind", "landlock", "alone", "granted"),
    [
        ("namespaces", 6, OWN, OWN),
        ("namespaces", 5, OWN, INTERNET),
        ("bubblewrap", 6, OWN, OWN),
        ("bubblewrap", 5, OWN, INTERNET),
        ("landlock", 6, set(), INTERNET),
        ("landlock", 5, set(), INTERNET),
    ],
)
def test_calls_are_refused_where_no_other_wall_holds_them(
    kind: str, landlock: int, alone: set[int], granted: set[int], ground: Ground
) -> None:
    for network, families in ((False, alone), (True, granted)):
        plan = planned(machine(kind, landlock=landlock), ground, network=network)
        program = base64.b64decode(plan["filter"] or plan["files"]["11"])

        def may(call: str, argument: int = 0, program: bytes = program) -> bool:
            return answer(program, ARCHITECTURES["x86_64"], _NUMBERS[call][0] or 0, argument) == ALLOW

        assert {family for family in range(50) if may("socket", family)} == families
        assert may("kill") == (kind != "landlock" or landlock >= 6)
        assert may("chmod") == (kind != "landlock")


NAMESPACES, USER_AND_PID = 0x0E02_0000, 0x3000_0000
SCOPED = {"handled": (0, 0, 3), "rules": []}
AROUND = {"outer": USER_AND_PID, "inner": 0x2_0000, "forgo": True, "env": {}}


@pytest.mark.parametrize(
    ("on", "network", "parts"),
    [
        (machine("namespaces"), True, {"outer": USER_AND_PID, "inner": NAMESPACES, "user_maps": (7, 8)}),
        (machine("namespaces"), False, {"inner": NAMESPACES | 0x4000_0000, "forgo": True, "become": None}),
        (machine("namespaces", uid=0, gid=0), False, {"user_maps": (1000, 1000), "become": None}),
        (machine("namespaces", landlock=0), False, {"landlock": None}),
        (machine("bubblewrap"), False, {**AROUND, "landlock": SCOPED, "user_maps": (7, 8)}),
        (machine("bubblewrap", landlock=5, uid=0), False, {**AROUND, "landlock": None, "become": None}),
        (machine("bubblewrap", namespaces=False, uid=0), False, {"forgo": False, "landlock": None, "steps": []}),
        (machine("bubblewrap", namespaces=False, uid=0), False, {"outer": 0, "user_maps": None, "become": None}),
        (machine("landlock"), False, {"outer": 0, "inner": 0, "steps": [], "become": None, "user_maps": None}),
        (machine("landlock", uid=0), True, {"forgo": True, "become": 0}),
    ],
)  # fmt: skip
def test_a_plan_has_the_walls_of_its_machine(
    on: Machine, network: bool, parts: dict[str, object], ground: Ground
) -> None:
    limits = SandboxLimits(cpu_s=3, wall_s=1.5, processes=400)
    plan = planned(on, ground, network=network, limits=limits)
    assert {name: plan[name] for name in parts} == parts
    watch, wrapped = plan["watch"], on.wrapper is not None
    assert (plan["wall_s"], watch["cpu_ms"], watch["processes"]) == (1.5, 3000, 400)
    assert plan["rlimits"]["RLIMIT_CPU"] == (3, 4)
    in_memory = ["/tmp", "/dev/shm"] if wrapped else ["/tmp"] if on.namespaces else []
    assert (watch["helpers"], watch["memory_files"]) == (2 if wrapped else 0, in_memory)
    most = 402 + watch["helpers"]
    assert plan["rlimits"].get("RLIMIT_NPROC") == ((most, most) if on.namespaces else None)
    if on.namespaces:
        assert ["processes", "/proc", 404, not wrapped] in plan["steps"]
    if on.namespaces and not wrapped:
        assert (["hide", "/proc/kcore"] in plan["steps"]) == (on.uid == 0)
    if wrapped:
        assert ("--share-net" in told(plan)) == network
        assert (" --ro-bind /dev/null /proc/" in told(plan)) == (on.uid == 0)


FAMILIES, OVERLAY, COPY = (
    "seccomp on socket families",
    "overlay where the file system can",
    "a copy of the workspace",
)


@pytest.mark.parametrize(
    ("on", "pid_max", "told"),
    [
        (machine("namespaces"), 301, (
            "mount namespace (namespaces) + Landlock 7", f"network namespace (namespaces) + {FAMILIES}",
            "PID namespace (namespaces) + Landlock 7 scopes", "no_new_privs + no capabilities + user namespace",
            "PID namespace (namespaces) + death signals",
            "RLIMIT_NPROC in a user namespace + pid_max 301 + watched", OVERLAY,
        )),
        (machine("namespaces", uid=0, landlock=0), 1 << 15, (
            "mount namespace (namespaces)", f"network namespace (namespaces) + {FAMILIES}",
            "PID namespace (namespaces)", "no_new_privs + no capabilities + user namespace",
            "PID namespace (namespaces) + death signals", "watched", OVERLAY,
        )),
        (machine("bubblewrap", namespaces=False), None, (
            "mount namespace (bubblewrap)", f"network namespace (bubblewrap) + {FAMILIES}",
            "PID namespace (bubblewrap) + Landlock 7 scopes", "no_new_privs + no capabilities + user namespace",
            "PID namespace (bubblewrap) + death signals", "watched", COPY,
        )),
        (machine("landlock"), None, (
            "Landlock 7", f"Landlock 7 + {FAMILIES}", "Landlock 7 scopes", "no_new_privs + no capabilities",
            "subreaper, killed as a tree + death signals", "RLIMIT_NPROC + watched", COPY,
        )),
        (machine("landlock", uid=0, landlock=3), None, (
            "Landlock 3", FAMILIES, "seccomp refuses signals", "no_new_privs + a user of its own, who may only read",
            "subreaper, killed as a tree + a user of its own, killed as one + death signals",
            "RLIMIT_NPROC + watched", COPY,
        )),
    ],
)  # fmt: skip
def test_an_operator_is_told_what_each_wall_is_made_of(
    on: Machine, pid_max: int | None, told: tuple[str, ...]
) -> None:
    walls = _detect._holds(on, "native", pid_max=pid_max).walls
    which = (
        Wall.FILES,
        Wall.NETWORK,
        Wall.PROCESSES_OF_OTHERS,
        Wall.PRIVILEGES,
        Wall.SURVIVAL,
        Wall.PROCESS_COUNT,
    )
    assert tuple(walls[one] for one in which) == told[:-1]
    assert walls[Wall.LAYER].startswith(told[-1])


@pytest.mark.parametrize("layer", [None, LayerKind.OVERLAY, LayerKind.COPY])
def test_only_a_layer_can_be_written(ground: Ground, layer: LayerKind | None) -> None:
    root, kept = str(ground.root), str(ground.layer)
    wanted_step, wanted_words, wanted_folder = {
        None: (["show", f"/.old{root}", root], f"--ro-bind {root} {root}", root),
        LayerKind.OVERLAY: (
            ["overlay", f"/.old{root}", f"/.old{kept}/upper", f"/.old{kept}/work", root],
            f"--bind {kept}/merged {root}",
            f"{kept}/tree",
        ),
        LayerKind.COPY: (
            ["open_up", f"/.old{kept}/tree", root],
            f"--bind {kept}/tree {root}",
            f"{kept}/tree",
        ),
    }[layer]
    own, wrapped, plain = (
        planned(machine(kind), ground, layer, environment={"HOME": "/tmp"}, cwd="src")
        for kind in ("namespaces", "bubblewrap", "landlock")
    )
    assert wanted_step in own["steps"]
    assert f" {wanted_words} " in told(wrapped)
    assert told(wrapped).endswith(f"--remount-ro / --chdir {root}/src --seccomp 11 ")
    assert f"--perms 0000 --size 4096 --tmpfs {ground.state} --remount-ro {ground.state}" in told(wrapped)
    around = ["overlay", root, f"{kept}/upper", f"{kept}/work", f"{kept}/merged"]
    assert (around in wrapped["steps"]) == (layer is LayerKind.OVERLAY)
    for plan, folders in ((own, {"/tmp", "/dev/shm", *([root] if layer else [])}),
                          (plain, {str(ground.outside), *([wanted_folder] if layer else [])})):  # fmt: skip
        rules = plan["landlock"]["rules"]
        assert {path for path, given in rules if given & 1 << 8} == folders, "where a file can be made"
    assert (own["cwd"], plain["cwd"]) == (f"{root}/src", f"{wanted_folder}/src")
    assert (own["env"], plain["env"]) == (
        {"HOME": "/tmp"},
        {"HOME": str(ground.outside), "TMPDIR": str(ground.outside)},
    )
    assert not any(path == str(ground.state) for path, _ in plain["landlock"]["rules"])


def test_without_bubblewrap_it_is_missed_by_who_wants_nothing_else(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_detect, "_WRAPPER_PLACES", ())
    assert detect(launcher, "auto") == detect(launcher, "native")
    _, holds = detect(launcher, "bubblewrap")
    assert not holds.is_confined
    assert holds.missing.keys() == {*Wall}
    assert {why.partition(",")[0] for why in holds.missing.values()} == {"install bubblewrap"}


@pytest.mark.parametrize("namespaces", [True, False])
async def test_bubblewrap_is_told_which_walls_to_build(
    launcher: Launcher, ground: Ground, monkeypatch: pytest.MonkeyPatch, namespaces: bool
) -> None:
    """On a machine without it too: a script in its place shows what it is given."""
    wrapper = ground.outside / "bwrap"
    wrapper.write_text(
        '#!/bin/sh\n[ "$4" = true ] || { tr "\\0" " " </dev/fd/10; cat /dev/fd/11; echo "$GIVEN$*"; }\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setattr(_detect, "_WRAPPER_PLACES", ("/nowhere/bwrap", str(wrapper)))
    found, holds = detect(launcher, "auto", namespaces=namespaces)
    assert (holds.backend, found.wrapper) == ("bubblewrap", str(wrapper))
    confinement = ground.confinement(environment={"GIVEN": "outside"})
    ended = await Sandbox(launcher, found, holds, unconfined=False).run(["echo", "a b"], confinement)
    plan = plan_of(View.of(confinement, None, None), [], found)
    program = base64.b64decode(plan["files"]["11"])
    assert ended.stdout == told(plan).encode() + program + b"--args 10 -- echo a b\n", ended.stderr


async def test_how_many_processes_the_kernel_takes_is_told_from_inside(
    sandbox: Sandbox, ground: Ground
) -> None:
    seen = (await sandbox.run(["cat", "/proc/sys/kernel/pid_max"], ground.confinement())).stdout.decode()
    told = f"pid_max {seen.strip()} + " in sandbox.holds.walls[Wall.PROCESS_COUNT]
    assert told == (sandbox._machine.namespaces and seen != "" and int(seen) < 1 << 15)


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


async def test_a_program_that_is_ended_with_what_holds_it_is_told_apart_from_one_that_was_ended_here(
    ground: Ground,
) -> None:
    with Sandbox.detect() as sandbox:
        if not sandbox.holds.is_confined:
            pytest.skip("nothing can be confined on this machine")
        child = await sandbox.start(["sh", "-c", "echo begun; sleep 60"], ground.confinement())
        assert os.read(child.stdout, 64) == b"begun\n"
        launcher = sandbox.launcher_id
        assert launcher is not None
        os.kill(launcher, signal.SIGKILL)
        assert (await child.wait()).limit == "lost"
        for descriptor in (child.stdin, child.stdout, child.stderr):
            os.close(descriptor)


async def test_child_has_its_pipes_and_is_killed(sandbox: Sandbox, ground: Ground) -> None:
    child = await sandbox.start(["cat"], ground.confinement())
    os.write(child.stdin, b"there and back")
    assert os.read(child.stdout, 64) == b"there and back"
    child.kill("output_bytes")
    child.kill()
    ended = await child.wait()
    assert (ended.limit, await child.wait()) == ("output_bytes", ended)
    for descriptor in (child.stdin, child.stdout, child.stderr):
        os.close(descriptor)
