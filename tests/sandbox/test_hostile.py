"""Hostile programs behind every kind of wall that this machine can put up: each attempt is denied, and that is measured."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from assent.sandbox import Confinement, Ended, Sandbox, SandboxLimits
from assent.sandbox._confinement import MIB
from tests.sandbox.conftest import Ground
from tests.support.patience import PATIENCE_S

HOSTILE = Path(__file__).parent / "hostile"
INTERPRETER = os.path.realpath(sys.executable)
TIGHT = SandboxLimits(
    wall_s=60, cpu_s=20, memory_bytes=96 * MIB, file_bytes=4 * MIB, layer_bytes=24 * MIB, processes=24
)


async def attack(
    sandbox: Sandbox, ground: Ground, name: str, *arguments: str, layer: bool = True, **changes: object
) -> Ended:
    """One hostile program, with the workspace's private layer to write to."""
    shutil.copy(HOSTILE / f"{name}.py", ground.root)
    confinement = ground.confinement(layer=layer, read_only=(Path(sys.base_prefix),), **changes)
    return await sandbox.run([INTERPRETER, "-I", "-S", f"{name}.py", *arguments], confinement)


def processes_with(marker: str) -> list[int]:
    """The living processes whose command line holds this word."""
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are all that is wanted
        try:
            words = Path(f"/proc/{name}/cmdline").read_bytes() if name.isdecimal() else b""
        except OSError:
            continue
        if marker.encode() in words.split(b"\0"):
            found.append(int(name))
    return found


def wait_until(condition: Callable[[], bool]) -> bool:
    """Whether the condition came true within a generous time."""
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.01)
    return True


def _is_at_home() -> bool:
    return Path(sys.base_prefix).is_relative_to(Path.home())


async def test_no_file_outside_is_reached(sandbox: Sandbox, ground: Ground, tmp_path: Path) -> None:
    """Home, journal, key, passwords, other processes and devices: neither read nor changed, by no way there is."""
    secret = ground.outside / "secret.txt"
    written = ground.outside / "written.txt"
    readable = [secret, ground.state / "journal.db", Path("/etc/shadow"), Path(__file__)]
    given = {
        "read": [str(one) for one in readable],
        "list": [
            str(one) for one in (Path.home(), ground.outside, ground.state, Path("/var/log"), Path("/home"))
        ],
        "write": [
            str(written),
            "/etc/passwd",
            "/proc/sys/kernel/core_pattern",
            "/proc/sysrq-trigger",
            "/dev/mem",
            "/dev/kmsg",
        ],
        "processes": [os.getpid(), os.getppid()],
        "scratch": ".",
    }
    before = Path("/etc/passwd").stat().st_mtime_ns
    ended = await attack(sandbox, ground, "reach", json.dumps(given))
    assert ended.exit_code == 0, ended.stderr.decode()
    found = json.loads(ended.stdout)
    reached = {name for name, got in found.items() if not got.startswith("denied")}
    # Folders that lead to something that is shown are there and show nothing else; the first process of bubblewrap's own
    # namespace is within the walls, with an empty environment.
    way = f"[{Path(sys.base_prefix).relative_to(Path.home()).parts[0]!r}]" if _is_at_home() else "[]"
    assert {
        name for name in reached if found[name] not in {"[]", way} and "first process" not in name
    } == set()
    assert found["environment of the first process"].startswith(("denied", "b''"))
    assert found["memory of the first process"].startswith("denied")
    assert len(found) > 50
    assert secret.read_text() == "the key\n"
    assert (ground.state / "journal.db").read_text() == "the record\n"
    assert not written.exists()
    assert Path("/etc/passwd").stat().st_mtime_ns == before


async def test_swapped_links_never_lead_out(sandbox: Sandbox, ground: Ground) -> None:
    ended = await attack(sandbox, ground, "race", str(ground.outside), "secret.txt", ".")
    assert ended.stdout == b"the end\n", (ended, ended.stderr)


async def test_workspace_is_untouched_with_and_without_layer(sandbox: Sandbox, ground: Ground) -> None:
    destroy = "rm -rf src .assent; mv a.txt z.txt; chmod 000 .; ln -s /etc l; echo gone > a.txt; true"
    for layer in (False, True):
        await sandbox.run(["sh", "-c", destroy], ground.confinement(layer=layer))
        assert (ground.root / "a.txt").read_text() == "alpha\n"
        assert (ground.root / "src" / "b.txt").read_text() == "beta\n"
        assert (ground.state / "journal.db").read_text() == "the record\n"
        assert ground.root.stat().st_mode & 0o777 == 0o700


async def test_no_dangerous_call_goes_through(sandbox: Sandbox, ground: Ground) -> None:
    """Each is refused by the filter, not by chance: with the errors that the filter gives."""
    leak = os.open(ground.outside / "secret.txt", os.O_RDONLY)
    os.set_inheritable(leak, True)
    try:
        ended = await attack(sandbox, ground, "calls", str(os.getpid()))
    finally:
        os.close(leak)
    assert ended.exit_code == 0, ended.stderr.decode()
    found: dict[str, str] = json.loads(ended.stdout)
    # As root without namespaces the program is a user of its own, with one right: to read what Landlock leaves in sight.
    only_reading = (b"\x04\0\0\0" * 3 + bytes(12)).hex()
    is_user = sandbox.holds.backend == "native" and not sandbox._machine.namespaces and os.getuid() == 0
    assert found.pop("capabilities") == (only_reading if is_user else "none")
    assert found.pop("no new privileges") == "1"
    assert found.pop("descriptors") == "0,1,2"
    assert found.pop("32-bit call", "SIGSYS") == "SIGSYS"
    assert found.pop("x32", "ENOSYS") == "ENOSYS"
    assert found.pop("become root") in {
        "EPERM",
        "EINVAL",
    }  # EINVAL: there is no such number in its user namespace
    assert {name: error for name, error in found.items() if error not in {"EPERM", "ENOSYS"}} == {}
    assert len(found) > 45


async def test_setuid_programs_gain_nothing(sandbox: Sandbox, ground: Ground) -> None:
    tool = next((one for one in ("/usr/bin/su", "/bin/su", "/usr/bin/mount") if Path(one).exists()), None)
    if tool is None:
        pytest.skip("this machine has no setuid program to try")
    shown = await sandbox.run(
        ["sh", "-c", f"{tool} -c 'id -u; cat /etc/shadow' </dev/null; true"], ground.confinement()
    )
    assert b"root:" not in shown.stdout


async def test_signals_reach_nobody_outside(sandbox: Sandbox, ground: Ground) -> None:
    with subprocess.Popen(["sleep", "600"]) as bystander:
        try:
            ended = await attack(sandbox, ground, "signals", str(bystander.pid))
            assert ended.stdout.splitlines()[0].startswith(b"denied"), ended
            assert bystander.poll() is None
        finally:
            bystander.kill()


async def test_nothing_is_sent_to_sockets_of_the_host(sandbox: Sandbox, ground: Ground) -> None:
    """TCP, UDP, and the host's Unix sockets, those with abstract names too: the servers get nothing."""
    path, name = str(ground.outside / "s"), f"assent-{os.getpid()}-{id(ground)}"
    with (
        socket.socket() as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        tcp.bind(("127.0.0.1", 0))
        udp.bind(("127.0.0.1", 0))
        unix.bind(path)
        abstract.bind("\0" + name)
        for server in (tcp, unix, abstract):
            server.listen()
        given = {"tcp": tcp.getsockname()[1], "udp": udp.getsockname()[1], "path": path, "abstract": name}
        ended = await attack(sandbox, ground, "network", json.dumps(given))
        assert ended.exit_code == 0, ended.stderr.decode()
        found: dict[str, str] = json.loads(ended.stdout)
        # A datagram to the sandbox's own loopback is taken by its kernel and goes nowhere.
        assert {way for way, end in found.items() if end == "sent"} <= {"udp"}
        for server in (tcp, unix, abstract):
            server.setblocking(False)
            with pytest.raises(BlockingIOError):
                server.accept()
        udp.setblocking(False)
        with pytest.raises(BlockingIOError):
            udp.recv(16)


async def test_granted_network_reaches_tcp_and_no_unix_socket(sandbox: Sandbox, ground: Ground) -> None:
    path, name = str(ground.outside / "s"), f"assent-{os.getpid()}-{id(ground)}"
    with (
        socket.socket() as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        tcp.bind(("127.0.0.1", 0))
        unix.bind(path)
        abstract.bind("\0" + name)
        for server in (tcp, unix, abstract):
            server.listen()
        given = {"tcp": tcp.getsockname()[1], "udp": 9, "path": path, "abstract": name}
        ended = await attack(sandbox, ground, "network", json.dumps(given), network=True)
        found: dict[str, str] = json.loads(ended.stdout)
        assert found["tcp"] == "sent"
        assert found["unix"].startswith("denied")
        assert found["abstract"].startswith("denied")
        tcp.settimeout(PATIENCE_S)
        connection, _ = tcp.accept()
        with connection:
            assert connection.recv(16) == b"out"


BOMBS = [
    # What is used up, and the limits of which one has to end it; None: the program may also just be refused more.
    ("forks", {"processes", "memory_bytes", None}),
    ("threads", {"processes", "memory_bytes", None}),
    ("memory", {"memory_bytes", None}),
    ("memory_of_many", {"memory_bytes"}),
    ("shared_memory", {"memory_bytes"}),
    ("memory_files", {"memory_bytes", None}),
    ("memory_files_shared", {"memory_bytes", None}),
    ("memory_files_both", {"memory_bytes", None}),
    ("memfd", {None}),
    ("memfd_secret", {None}),
    ("system_v_shared", {None}),
    ("system_v_queues", {None}),
    ("system_v_semaphores", {None}),
    ("queues", {None}),
    ("huge_pages", {"memory_bytes", None}),
    ("room", {None}),
    ("room_written", {"layer_bytes"}),
    ("spin", {"cpu_s"}),
    ("one_file", {"file_bytes", None}),
    ("many_files", {"layer_bytes"}),
    ("unlinked_files", {"layer_bytes"}),
    ("names", {"layer_bytes"}),
]


@pytest.mark.parametrize(("kind", "limits"), BOMBS, ids=[kind for kind, _ in BOMBS])
async def test_bombs_are_stopped(
    sandbox: Sandbox, ground: Ground, kind: str, limits: set[str | None]
) -> None:
    tight = replace(TIGHT, cpu_s=1) if kind == "spin" else replace(TIGHT, layer_entries=2_000)
    ended = await attack(sandbox, ground, "bomb", kind, ".", limits=tight)
    assert ended.limit in limits, ended
    # The last of them may come before the watch does; then the watch has ended all of them.
    assert ended.limit is not None or b"went through" not in ended.stdout
    if ended.limit is None:
        assert ended.stdout.startswith(b"stopped"), ended
    held = sum(one.lstat().st_blocks * 512 for one in ground.layer.rglob("*"))
    # The watch looks several times a second, so what a disk takes meanwhile comes on top.
    assert held < 2048 * MIB
    assert ended.usage.memory_bytes < 2 * tight.memory_bytes


async def test_nobody_of_the_machine_is_named(sandbox: Sandbox, ground: Ground) -> None:
    """Users, groups and hosts are made up where there is a view of our own, and the program finds itself among them."""
    if sandbox.holds.backend == "native" and not sandbox._machine.namespaces:
        pytest.skip("Landlock alone makes nothing up")
    script = (
        "import os, pwd, grp, socket; print(pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name);"
        "print(socket.gethostbyname('localhost')); [print(open(f'/etc/{f}').read()) for f in ('passwd', 'group', 'hosts')]"
    )
    confinement = ground.confinement(read_only=(Path(sys.base_prefix),))
    ended = await sandbox.run([INTERPRETER, "-I", "-S", "-c", script], confinement)
    assert ended.exit_code == 0, ended
    told = ended.stdout.decode()
    assert told.startswith("sandbox sandbox\n127.0.0.1\n")
    theirs = {line for name in ("passwd", "group") for line in Path("/etc", name).read_text().splitlines()}
    assert not theirs & set(told.splitlines()) - {"root:x:0:", "nogroup:x:65534:"}


async def test_what_a_program_held_is_told_with_its_files_in_memory(sandbox: Sandbox, ground: Ground) -> None:
    hold = "; ".join(f"open('/dev/shm/{n}', 'wb').write(bytes(3 << 20))" for n in range(12))
    if sandbox.holds.backend == "native" and not sandbox._machine.namespaces:
        pytest.skip("behind Landlock alone no files lie in memory")
    confinement = ground.confinement(read_only=(Path(sys.base_prefix),), limits=TIGHT)
    words = [INTERPRETER, "-I", "-S", "-c", f"import threading; {hold}; threading.Event().wait(0.5)"]
    ended = await sandbox.run(words, confinement)
    assert 36 * MIB < ended.usage.memory_bytes < 96 * MIB


async def test_nothing_outlives_the_program(sandbox: Sandbox, ground: Ground) -> None:
    marker = f"outlives-{os.getpid()}-{id(ground)}"
    ended = await attack(sandbox, ground, "survive", marker)
    assert ended.stdout == b"left behind\n", ended
    assert processes_with(marker) == []


async def test_nothing_outlives_its_limit(sandbox: Sandbox, ground: Ground) -> None:
    marker = f"outlives-{os.getpid()}-{id(ground)}"
    ended = await attack(sandbox, ground, "survive", marker, "stay", limits=replace(ground.limits, wall_s=2))
    assert ended.limit == "wall_s"
    assert processes_with(marker) == []


@pytest.mark.parametrize("victim", ["runtime", "launcher", "supervisor"])
async def test_nothing_outlives_who_runs_it(sandbox: Sandbox, ground: Ground, victim: str) -> None:
    """SIGKILL of any process of ours, which leaves it no time for anything, ends the program and all it has started."""
    marker = f"outlives-{os.getpid()}-{id(ground)}"
    shutil.copy(HOSTILE / "survive.py", ground.root)
    confinement = ground.confinement(read_only=(Path(sys.base_prefix),))
    program = _RUNNER.format(
        hostile=[INTERPRETER, "-I", "-S", "survive.py", marker, "stay"],
        machine=sandbox._machine,
        holds=sandbox.holds.backend,
        confinement=confinement,
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as runner:
        try:
            assert runner.stdout is not None
            assert runner.stdout.readline() == b"left behind\n"
            # One that is about to run another program has no command line for a moment.
            assert wait_until(lambda: len(processes_with(marker)) >= 2)
            launcher = int(runner.stdout.readline())
            supervisor = _children(launcher)[0]
            os.kill(
                {"runtime": runner.pid, "launcher": launcher, "supervisor": supervisor}[victim],
                signal.SIGKILL,
            )
            assert wait_until(lambda: not processes_with(marker))
        finally:
            runner.kill()


def _children(process: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


_RUNNER = """
import asyncio, sys
from pathlib import Path, PosixPath
from types import MappingProxyType as mappingproxy
from assent.sandbox import Confinement, Sandbox, SandboxLimits
from assent.sandbox._launcher import Launcher
from assent.sandbox._plan import Machine
from assent.sandbox._walls import REQUIRED, Holds
async def main():
    launcher = Launcher()
    sandbox = Sandbox(launcher, {machine!r}, Holds({holds!r}, dict.fromkeys(REQUIRED, "")), unconfined=False)
    def tell(name, block):
        sys.stdout.write(block.decode() + str(launcher.process_id) + "\\n")
        sys.stdout.flush()
    await sandbox.run({hostile!r}, {confinement!r}, on_output=tell)
asyncio.run(main())
"""


async def test_many_at_once_end_each_by_itself(sandbox: Sandbox, ground: Ground) -> None:
    confinement: Confinement = ground.confinement()
    found = await asyncio.gather(
        *(sandbox.run(["sh", "-c", f"exit {code}"], confinement) for code in range(12))
    )
    assert [one.exit_code for one in found] == list(range(12))
