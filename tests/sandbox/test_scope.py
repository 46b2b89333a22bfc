"""A program's network that ends at a scope: what leads out of it is refused by the kernel, seen from inside and from outside."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from assent.errors import InputError, WorldError
from assent.sandbox import Ended, NetworkScope, Sandbox, SandboxLimits, _detect, _tree
from assent.sandbox._detect import why_no_scope
from assent.sandbox._launcher import Launcher
from assent.sandbox._plan import Machine
from assent.sandbox._resolver import Resolver
from assent.sandbox._scope_rules import Place, Rules, place_of
from assent.sandbox._walls import REQUIRED, Holds
from tests.sandbox.conftest import Ground
from tests.sandbox.test_hostile import INTERPRETER, attack

REFUSED = "EACCES"


class Listener:
    """A server that says what it hears, over TCP and UDP on one port, and counts who came."""

    def __init__(self) -> None:
        self.came = 0
        self.heard: list[bytes] = []
        self.stream = socket.create_server(("127.0.0.1", 0), backlog=500)
        self.port: int = self.stream.getsockname()[1]
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.bind(("127.0.0.1", self.port))
        self.datagrams.setblocking(False)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                one, _ = self.stream.accept()
            except OSError:
                return
            self.came += 1
            with one:
                try:
                    one.sendall(one.recv(10))
                except OSError:
                    continue

    def messages(self) -> int:
        count = 0
        while True:
            try:
                self.datagrams.recv(10)
            except BlockingIOError:
                return count
            count += 1

    def close(self) -> None:
        self.stream.shutdown(socket.SHUT_RDWR)
        self.stream.close()
        self.datagrams.close()


@pytest.fixture
def servers() -> Iterator[tuple[Listener, Listener]]:
    """One in the scope, and one that is not."""
    both = Listener(), Listener()
    yield both
    for one in both:
        one.close()


def scope_of(inside: Listener) -> NetworkScope:
    ports = ((inside.port, inside.port),)
    return NetworkScope(networks={ip_network("127.0.0.1/32"): ports}, names={"localhost": ports})


async def leave(sandbox: Sandbox, ground: Ground, inside: Listener, outside: Listener) -> Ended:
    missing = sandbox.scope_missing()
    if missing is not None:
        pytest.skip(f"no scope holds on this machine: {missing}")
    ports = str(inside.port), str(outside.port)
    return await attack(
        sandbox, ground, "leave_scope", *ports, layer=False, network=True, scope=scope_of(inside)
    )


async def test_no_way_leads_out_of_the_scope(
    sandbox: Sandbox, ground: Ground, servers: tuple[Listener, Listener]
) -> None:
    inside, outside = servers
    ended = await leave(sandbox, ground, inside, outside)
    assert ended.exit_code == 0, ended.stderr.decode()
    found = json.loads(ended.stdout)
    flipped = found.pop("flipped")
    is_plain = sandbox.holds.walls and not sandbox._machine.namespaces
    assert {name: came for name, came in found.items() if name.startswith("in")} == {
        **dict.fromkeys(
            ("in", "in, with a limit", "in, as IPv6", "in, without an address", "in, thread"), "hello"
        ),
        **dict.fromkeys(("in, datagram", "in, connected datagram", "in, message", "in, signals"), "done"),
        "in, pair": "plain",
        "in, several": "2 of [2, 2]",
        "interfaces": "True",
    }
    assert {name: came for name, came in found.items() if name.startswith("out")} == {
        **dict.fromkeys([name for name in found if name.startswith("out")], REFUSED),
        "out, child": "refused",
        "out, several": "1 of [2]",
        "out, no family": "EAFNOSUPPORT",
    }
    assert {name: came for name, came in found.items() if not name.startswith(("in", "out", "name"))} == {
        "fast open": "ENOTSUP", "fast open, message": "ENOTSUP", "fast open, option": "EPERM",
        "source route": "EPERM", "listen": "EACCES", "raw": "EPERM", "packets": "EPERM", "echo": "EPROTONOSUPPORT",
        "multipath": "EPROTONOSUPPORT", "netfilter": "EPROTONOSUPPORT", "of the machine": "EPERM", "handed on": "EPERM",
        "bad descriptor": "EBADF", "a file": "ENOTSOCK", "bad memory": "EFAULT", "long address": "EINVAL",
    }  # fmt: skip
    if not is_plain:  # which keeps the machine's own resolver in sight
        assert {name: came for name, came in found.items() if name.startswith("name")} == {
            "name in": "0 1", "name in, IPv6": "0 0", "name in, another kind": "0 0", "name out": "3 0",
        }  # fmt: skip
        assert "secret.example.org:53" in ended.left_for
    assert set(flipped) <= {"done", REFUSED}
    assert sum(flipped.values()) == 300
    assert (outside.came, outside.messages()) == (0, 0), "nothing has reached it"
    assert inside.messages() == 6
    assert ended.left_scope >= 8
    assert f"127.0.0.1:{outside.port}" in ended.left_for


async def test_who_loses_its_guard_reaches_nothing(
    sandbox: Sandbox, ground: Ground, servers: tuple[Listener, Listener]
) -> None:
    """Nobody answers then, and the kernel says that there is no such call."""
    inside, _ = servers
    if sandbox.scope_missing() is not None:
        pytest.skip("no scope holds on this machine")
    program = (
        "import socket, sys\n"
        "print(socket.create_connection(('127.0.0.1', int(sys.argv[1]))).getpeername()[1], flush=True)\n"
        "sys.stdin.read(1)\n"
        "try: socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        "except OSError as error: print(error.errno, flush=True)\n"
    )
    (ground.root / "a.py").write_text(program)
    confinement = ground.confinement(read_only=(Path(sys.base_prefix),), network=True, scope=scope_of(inside))
    child = await sandbox.start([INTERPRETER, "-I", "-S", "a.py", str(inside.port)], confinement)
    with (
        os.fdopen(child.stdout, "rb") as told,
        os.fdopen(child.stdin, "wb", buffering=0) as say,
        os.fdopen(child.stderr, "rb") as errors,
    ):
        assert int(told.readline()) == inside.port, errors.read()
        for guard in guards_of(sandbox):
            os.kill(guard, 9)
        say.write(b"+")
        assert told.readline() == b"38\n", "ENOSYS"
    assert (await child.wait()).exit_code == 0


def guards_of(sandbox: Sandbox) -> list[int]:
    """The processes that hold where the questions of programs are heard."""
    assert sandbox.launcher_id is not None
    return [
        one
        for one in _tree.descendants(sandbox.launcher_id)
        if "anon_inode:seccomp notify" in open_files(one)
    ]


def open_files(process: int) -> list[str]:
    try:
        return [str(one.readlink()) for one in Path(f"/proc/{process}/fd").iterdir()]
    except OSError:
        return []


def test_who_is_in() -> None:
    scope = NetworkScope(
        networks={ip_network("10.0.0.0/8"): (), ip_network("2001:db8::/32"): ((80, 80), (8000, 8100))},
        names={"*.example.org": ((443, 443),), "example.net": ()},
        refused_networks=(ip_network("10.1.0.0/16"),),
        refused_names=("admin.example.org",),
    )
    in_or_out = {
        ("10.0.0.1", 1): True, ("10.1.0.1", 1): False, ("11.0.0.1", 1): False, ("2001:db8::1", 80): True,
        ("2001:db8::1", 8050): True, ("2001:db8::1", 443): False, ("2001:db9::1", 80): False,
    }  # fmt: skip
    for (address, port), is_in in in_or_out.items():
        assert scope.permits(ip_address(address), port) is is_in, address
    ports = {
        "a.example.org": [[[443, 443]]], "a.b.example.org": [[[443, 443]]], "example.org": [], "notexample.org": [],
        "admin.example.org": [], "example.net": [[]], "x.admin.example.org": [], "www.example.net": [],
    }  # fmt: skip
    for name, found in ports.items():
        assert scope.names_ports(name) == found, name


@pytest.mark.parametrize(
    ("address", "found"),
    [
        (struct.pack("=H", 2) + b"\0\x50" + bytes([10, 0, 0, 1]), Place(4, 0x0A00_0001, 80)),
        (struct.pack("=H", 2) + b"\0\x50" + bytes(4), Place(4, 0x7F00_0001, 80)),
        (
            struct.pack("=H", 10) + b"\0\x50" + bytes(4) + bytes(10) + b"\xff\xff\x0a\0\0\1",
            Place(4, 0x0A00_0001, 80),
        ),
        (struct.pack("=H", 10) + b"\0\x50" + bytes(4) + bytes(16), Place(6, 1, 80)),
        (struct.pack("=H", 1) + b"/run/x", None),
    ],
)
def test_an_address_leads_where_the_kernel_takes_it(address: bytes, found: Place | None) -> None:
    assert place_of(address) == found
    for size in range(len(address) if found else 2):
        with pytest.raises(OSError, match="Invalid argument"):
            place_of(address[:size])


class Names:
    """A resolver with its rules, and what it has noted."""

    def __init__(self, scope: NetworkScope) -> None:
        self.rules = Rules(scope.rules())
        self.noted: list[str] = []
        self.resolver = Resolver(self.rules, self.noted.append)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """A resolver on a machine that knows some names."""
    known = {
        "www.example.org": ["93.184.216.34", "2606:2800:21f::1"],
        "inner.example.org": ["10.0.0.7", "127.0.0.1", "93.184.216.35"],
        "taken.example.org": ["192.0.2.9"],
    }

    def look_up(name: str, *_: object, **__: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        if name == "slow.example.org":
            raise socket.gaierror(socket.EAI_AGAIN, "later")
        if name not in known:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, 1, 6, "", (one, 0)) for one in known[name]
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    scope = NetworkScope(
        networks={ip_network("10.0.0.0/24"): ((80, 80),)},
        names={"*.example.org": ((443, 443),)},
        refused_networks=(ip_network("192.0.2.0/24"),),
        refused_names=("admin.example.org",),
    )
    return Names(scope)


def asked(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(one)]) + one.encode() for one in name.split("."))
    return struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)


def told(names: Names, question: bytes) -> tuple[int, list[str]]:
    """The code of an answer and its addresses."""
    answer = names.resolver.answer(question)
    assert answer is not None
    ident, flags, questions, count, *_ = struct.unpack_from("!6H", answer)
    assert (ident, questions, flags & 0x8000) == (7, 1, 0x8000)
    at, found = len(question), []
    assert answer[12:at] == question[12:]
    for _ in range(count):
        _, kind, _, _, size = struct.unpack_from("!HHHIH", answer, at)
        found.append(
            socket.inet_ntop(
                socket.AF_INET if kind == 1 else socket.AF_INET6, answer[at + 12 : at + 12 + size]
            )
        )
        at += 12 + size
    assert at == len(answer)
    return flags & 0xF, found


def test_a_name_in_the_scope_brings_its_addresses_in(names: Names) -> None:
    web, port = Place(4, int(ip_address("93.184.216.34")), 443), 443
    assert not names.rules.permits(web)
    assert told(names, asked("WWW.example.org")) == (0, ["93.184.216.34"])
    assert told(names, asked("www.example.org", 28)) == (0, ["2606:2800:21f::1"])
    assert names.rules.permits(web)
    assert not names.rules.permits(web._replace(port=80)), "for the ports that the name is in for"
    assert told(names, asked("inner.example.org")) == (0, ["10.0.0.7", "93.184.216.35"]), (
        "not the machine itself"
    )
    assert names.rules.permits(Place(4, int(ip_address("10.0.0.7")), 80)), "a network says so"
    assert not names.rules.permits(Place(4, int(ip_address("10.0.0.7")), port)), "and for its ports alone"
    assert not names.rules.permits(Place(4, int(ip_address("127.0.0.1")), port))
    assert told(names, asked("taken.example.org")) == (0, [])
    assert told(names, asked("admin.example.org"))[0] == 3
    assert told(names, asked("example.com"))[0] == 3
    assert told(names, asked("none.example.org"))[0] == 3
    assert told(names, asked("slow.example.org"))[0] == 2
    assert names.noted == [
        "inner.example.org",
        "taken.example.org",
        "admin.example.org:53",
        "example.com:53",
    ]


def test_a_name_that_was_looked_up_before_keeps_its_addresses(names: Names) -> None:
    """Whoever answers for it now, and where they lead out of the scope they stay out."""
    pinned = {
        "www.example.org": (ip_address("198.51.100.7"),),
        "inner.example.org": (ip_address("127.0.0.1"),),
        "example.com": (ip_address("203.0.113.9"),),
    }
    found = Names(NetworkScope(names={"*.example.org": ((443, 443),)}, pinned=pinned))
    assert found.rules.permits(Place(4, int(ip_address("198.51.100.7")), 443)), "also where nobody asks"
    assert told(found, asked("www.example.org")) == (0, ["198.51.100.7"])
    assert told(found, asked("inner.example.org")) == (0, [])
    assert not found.rules.permits(Place(4, int(ip_address("127.0.0.1")), 443))
    assert not found.rules.permits(Place(4, int(ip_address("203.0.113.9")), 443))


@pytest.mark.parametrize(
    "question",
    [
        b"", b"\0" * 11, asked("a")[:-1], asked("a")[:2] + b"\x81" + asked("a")[3:], asked("a")[:5] + b"\2" + asked("a")[6:],
        struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + b"\xc0\x0c" + struct.pack("!2H", 1, 1),
        struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + b"\2\xff\xff\0" + struct.pack("!2H", 1, 1),
    ],
)  # fmt: skip
def test_what_is_no_question_has_no_answer(names: Names, question: bytes) -> None:
    assert names.resolver.answer(question) is None


async def test_a_scope_that_does_not_hold_is_refused_and_told(
    sandbox: Sandbox, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError) as without:
        await sandbox.run(["true"], ground.confinement(scope=NetworkScope()))
    assert without.value.code == "SANDBOX_INVALID"
    monkeypatch.setattr(_detect, "_probe", lambda *_, **__: ("no such call (seccomp)", None))
    another = Sandbox(sandbox._launcher, sandbox._machine, sandbox.holds, unconfined=False)
    with pytest.raises(WorldError) as refused:
        await another.run(["true"], ground.confinement(scope=NetworkScope(), network=True))
    assert refused.value.code == "SANDBOX_UNAVAILABLE"
    assert "Linux 5.19" in str(refused.value.hint)


@pytest.mark.parametrize("wall_s", [1e-4, 0.01, 0.02, 0.04, 0.08])
async def test_a_program_whose_time_is_up_before_it_is_guarded_is_told_as_that(
    sandbox: Sandbox, ground: Ground, wall_s: float
) -> None:
    missing = sandbox.scope_missing()
    if missing is not None:
        pytest.skip(f"no scope holds on this machine: {missing}")
    limits = SandboxLimits(wall_s=wall_s)
    for _ in range(8):
        ended = await sandbox.run(
            ["sleep", "3"], ground.confinement(scope=NetworkScope(), network=True, limits=limits)
        )
        assert ended.limit == "wall_s"


def test_where_no_scope_can_hold_it_is_said_why(launcher: Launcher) -> None:
    machine = Machine(
        architecture="x86_64", landlock=0, namespaces=False, uid=1, gid=1, wrapper="/usr/bin/bwrap"
    )
    holds = Holds("bubblewrap", dict.fromkeys(REQUIRED, "it"))
    assert "bubblewrap alone" in str(why_no_scope(launcher, machine, holds))
    assert "assent doctor" in str(why_no_scope(launcher, machine, Holds("unconfined", {})))
