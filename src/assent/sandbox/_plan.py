"""What the launcher is told to do for a confinement: pure, so that every wall can be read and tested as data.

A plan is JSON; its parts are documented in `_supervisor.py`.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from assent.sandbox import _kernel, _landlock
from assent.sandbox._confinement import Confinement, SandboxLimits
from assent.sandbox._layer import Layer, LayerKind
from assent.sandbox._seccomp import AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, FilterRules, seccomp_filter

SYSTEM_FOLDERS: Final = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store",
)  # fmt: skip
"""Programs and libraries. Nothing of `/etc`, `/var`, `/home`, `/opt`, `/run`, `/sys` comes along by itself."""
SYSTEM_FILES: Final = (
    "/etc/alternatives", "/etc/ca-certificates", "/etc/gai.conf", "/etc/host.conf",
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime",
    "/etc/mime.types", "/etc/nsswitch.conf", "/etc/os-release", "/etc/pki/tls/certs",
    "/etc/protocols", "/etc/services", "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/timezone",
)  # fmt: skip
ACCOUNT_FILES: Final = ("/etc/group", "/etc/passwd")
"""Made up in a view of our own; behind Landlock alone nothing can be made up, and programs can't do without them."""
RESOLVER_FILE: Final = "/etc/resolv.conf"
NETWORK_FILES: Final = ("/etc/hosts", RESOLVER_FILE)
"""Shown where the network is granted, the first also behind Landlock alone; else it is made up."""
_HARMLESS_PROC: Final = (
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/version",
)
_DEVICES: Final = ("/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero")
_SCRATCH: Final = ("/tmp", "/dev/shm")  # noqa: S108 - the program's own, in memory
_DEVICE_LINKS: Final = (
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
)
# Secrets of the kernel that the host's root may read by his number alone.
_ROOTS_PROC: Final = tuple(
    f"/proc/{name}"
    for name in "kcore keys kmsg kpagecgroup kpagecount kpageflags slabinfo sysrq-trigger timer_list vmallocinfo".split()
)

_RESOLVER: Final = "127.0.0.53"
"""Where a program in a scope finds its resolver; who is there on the machine is not asked."""

_OLD: Final = "/.old"
_PID_MAX_LEAST: Final = 301
"""The kernel takes no smaller bound on the number of a PID namespace's processes."""
_NAMESPACES: Final = (
    _kernel.CLONE_NEWNS | _kernel.CLONE_NEWIPC | _kernel.CLONE_NEWUTS | _kernel.CLONE_NEWCGROUP
)
_UID_SHOWN_FOR_ROOT: Final = 1000
_ROOT_INODES: Final = 200_000
_ARGS_FD: Final = 10
_FILTER_FD: Final = 11
_WRAPPER_PROCESSES: Final = 2

Plan = dict[str, Any]  # `Any`: JSON
Steps = list[list[Any]]  # `Any`: JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the plans depend on of the machine, as it was measured."""

    architecture: str
    landlock: int
    """Version of Landlock's interface; 0: none."""
    namespaces: bool
    """Whether user, mount, PID, IPC and network namespaces can be made."""
    uid: int
    gid: int
    wrapper: str | None = None
    """The path of bubblewrap, where it is the backend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A confinement with every path resolved: what is shown and what is hidden, and where the program begins."""

    confinement: Confinement
    root: str
    layer: Layer | None
    hidden: tuple[str, ...]
    read_only: tuple[str, ...]
    writable: tuple[str, ...]
    scratch: str | None
    """A private folder for temporary files, where there is no `/tmp` of its own."""

    @classmethod
    def of(cls, confinement: Confinement, layer: Layer | None, scratch: str | None) -> View:
        """The view of a confinement; links are followed now, and never by the confined program."""
        real = os.path.realpath
        return cls(
            confinement=confinement,
            root=real(confinement.root),
            layer=layer,
            hidden=tuple(real(path) for path in confinement.hidden),
            read_only=tuple(dict.fromkeys(real(path) for path in confinement.read_only)),
            writable=tuple(dict.fromkeys(real(path) for path in confinement.writable)),
            scratch=scratch,
        )

    def cwd(self, at: str) -> str:
        """The folder in which the program begins, when the workspace is seen at `at`."""
        return os.path.normpath(os.path.join(at, self.confinement.cwd))


def plan_of(view: View, argv: Sequence[str], machine: Machine) -> Plan:
    """The plan for running `argv` so confined, on this machine."""
    # Bubblewrap hands nobody the questions of a filter.
    if machine.wrapper is not None and view.confinement.scope is None:
        return _wrapped(view, argv, machine)
    return _namespaced(view, argv, machine) if machine.namespaces else _plain(view, argv, machine)


def unconfined_plan(view: View, argv: Sequence[str]) -> Plan:
    """The plan without walls, for an operator who has switched them off by name; the limits hold as far as they can."""
    at = _visible_root(view)
    plan = _common(view, argv, cwd=view.cwd(at), machine=None)
    return plan | {"rlimits": _rlimits(view.confinement.limits, None)}


def overlay_plan(layer: Layer, machine: Machine) -> Plan:
    """A plan that only tries whether this layer's file system can take an overlay's changes."""
    limits = SandboxLimits()
    return _unwalled(limits, ()) | {
        "user_maps": _maps(machine),
        "outer": _kernel.CLONE_NEWUSER,
        "inner": _kernel.CLONE_NEWNS,
        "steps": [["private"], ["overlay", str(layer.root), layer.upper, layer.work, layer.trial]],
    }


def _common(view: View, argv: Sequence[str], *, cwd: str, machine: Machine | None) -> Plan:
    confinement = view.confinement
    environment = dict(confinement.environment)
    private = [path for path in (view.layer.writes if view.layer else None, view.scratch) if path]
    if view.scratch is not None:
        environment.setdefault("TMPDIR", view.scratch)
        if environment.get("HOME") in _SCRATCH:
            environment["HOME"] = view.scratch  # there is no `/tmp` of its own that it could be
    return _unwalled(confinement.limits, private) | {
        "rlimits": _rlimits(confinement.limits, machine),
        "processes_more": None if machine and machine.namespaces else confinement.limits.processes,
        # The supervisor chooses the number.
        "become": 0
        if machine and machine.uid == 0 and not machine.namespaces and not machine.wrapper
        else None,
        "given": [*private, *view.writable],
        "argv": list(argv),
        "env": environment,
        "cwd": cwd,
    }


def _unwalled(limits: SandboxLimits, private: Sequence[str]) -> Plan:
    """What every plan says, with no walls yet and nothing to run."""
    return {
        "user_maps": None,
        "outer": 0,
        "inner": 0,
        "steps": [],
        "rlimits": {},
        "processes_more": None,
        "become": None,
        "given": [],
        "watch": _watch(limits, private),
        "wall_s": limits.wall_s,
        "forgo": True,
        "landlock": None,
        "filter": None,
        "scope": None,
        "files": {},
        "argv": [],
        "env": {},
        "cwd": "/",
    }


def _watch(limits: SandboxLimits, private: Sequence[str]) -> dict[str, Any]:  # `Any`: JSON
    return {
        "processes": limits.processes,
        "helpers": 0,
        "memory_bytes": limits.memory_bytes,
        "cpu_ms": limits.cpu_s * 1000,
        "layers": list(private),
        "layer_bytes": limits.layer_bytes,
        "layer_entries": limits.layer_entries,
        "memory_files": [],
    }


def _rlimits(limits: SandboxLimits, machine: Machine | None) -> dict[str, tuple[int, int]]:
    found = {
        "RLIMIT_CORE": (0, 0),
        # A second more before SIGKILL: whoever catches SIGXCPU may say so.
        "RLIMIT_CPU": (limits.cpu_s, limits.cpu_s + 1),
        # Not RLIMIT_AS: whole runtimes reserve address space that they never touch.
        "RLIMIT_DATA": (limits.memory_bytes, limits.memory_bytes),
        "RLIMIT_FSIZE": (limits.file_bytes, limits.file_bytes),
        "RLIMIT_MEMLOCK": (0, 0),
        "RLIMIT_MSGQUEUE": (0, 0),
        "RLIMIT_NOFILE": (limits.open_files, limits.open_files),
    }
    if machine is not None and machine.namespaces:
        # Counted within the new user namespace, in which the supervisor and the init are two. Without one it would count all that
        # the user runs anywhere.
        most = limits.processes + 2 + (_WRAPPER_PROCESSES if machine.wrapper else 0)
        found["RLIMIT_NPROC"] = (most, most)
    return found


def _maps(machine: Machine) -> tuple[int, int]:
    """The user and group that the program sees as its own: not root's number, or tools would try what only root may."""
    return machine.uid or _UID_SHOWN_FOR_ROOT, machine.gid or _UID_SHOWN_FOR_ROOT


def _filter(
    machine: Machine,
    *,
    families: tuple[int, ...],
    signals: bool = True,
    metadata: bool = True,
    asks: bool = False,
) -> str:
    rules = FilterRules(families=families, signals=signals, metadata=metadata, asks=asks)
    return _encoded(rules, machine.architecture)


@cache
def _encoded(rules: FilterRules, architecture: str) -> str:
    return base64.b64encode(seccomp_filter(rules, architecture)).decode("ascii")


def _families(
    machine: Machine, *, network: bool, own_network: bool, own_files: bool, scope: bool = False
) -> tuple[int, ...]:
    families: tuple[int, ...] = ()
    # A service of the machine's may be a way out of the scope.
    own_files = own_files and not scope
    if network or own_network:
        families += (AF_INET, AF_INET6, AF_NETLINK)
    # Sockets of the host: by path where its files are seen, by abstract name where its network is and Landlock can't keep them
    # apart.
    if own_files and (own_network or machine.landlock >= _landlock.VERSION_SCOPES):
        families += (AF_UNIX,)
    return families


def _namespaced(view: View, argv: Sequence[str], machine: Machine) -> Plan:
    confinement = view.confinement
    network = confinement.network
    steps: Steps = [["private"], ["write", "/proc/sys/user/max_user_namespaces", "0"]]
    if not network:
        steps.append(["loopback"])
    steps.append(
        ["new_root", f"size={confinement.limits.memory_bytes},nr_inodes={_ROOT_INODES},mode=755", _OLD]
    )
    steps += [["show", _OLD + path, path] for path in SYSTEM_FOLDERS]
    files = _system_files(network=network)
    if confinement.scope is not None:
        files = [(path, source) for path, source in files if path != RESOLVER_FILE]
    steps += [["show", _OLD + source, path] for path, source in files]
    steps += [["text", path, text] for path, text in _made_up(confinement, machine)]
    steps.append(["folder", "/dev"])
    steps += [["device", _OLD + path, path] for path in _DEVICES]
    steps += [["symlink", *link] for link in _DEVICE_LINKS]
    steps += [["scratch", path, 0o1777] for path in _SCRATCH]
    steps.append(["processes", "/proc", _most(confinement), True])
    if machine.uid == 0:
        steps += [["hide", path] for path in _ROOTS_PROC]
    steps += [["show", _OLD + path, path] for path in view.read_only]
    steps.append(_workspace_step(view))
    steps += [["open_up", _OLD + path, path] for path in view.writable]
    steps += [["hide", path] for path in view.hidden]
    steps.append(["seal_root", _OLD])
    plan = _common(view, argv, cwd=view.cwd(view.root), machine=machine)
    plan["watch"]["memory_files"] = [_SCRATCH[0]]  # one file system holds them all
    writable = [*_SCRATCH, *([view.root] if view.layer else []), *view.writable]
    return plan | {
        "user_maps": _maps(machine),
        "outer": _kernel.CLONE_NEWUSER | _kernel.CLONE_NEWPID,
        "inner": _NAMESPACES | (0 if network else _kernel.CLONE_NEWNET),
        "steps": steps,
        "landlock": _rules(machine, ["/"], writable, network=True),
        "filter": _filter(
            machine,
            families=_families(
                machine,
                network=network,
                own_network=not network,
                own_files=True,
                scope=confinement.scope is not None,
            ),
            asks=confinement.scope is not None,
        ),
        "scope": confinement.scope and confinement.scope.rules((_RESOLVER,)),
    }


def _most(confinement: Confinement) -> int:
    """The bound on a PID namespace's processes, our own included."""
    return max(confinement.limits.processes + 2 + _WRAPPER_PROCESSES, _PID_MAX_LEAST)


def _system_files(*, network: bool) -> list[tuple[str, str]]:
    """Pairs of a path and the file that it leads to; what is not there is left out."""
    named = (*SYSTEM_FILES, *(NETWORK_FILES if network else ()))
    return [(path, os.path.realpath(path)) for path in named if os.path.exists(path)]


def _made_up(confinement: Confinement, machine: Machine) -> list[tuple[str, str]]:
    """Files that programs look up names in, with nothing of the machine's: the program's own user and itself."""
    user, group = _maps(machine)
    home = confinement.environment.get("HOME") or _SCRATCH[0]
    shown = home if home.isprintable() and ":" not in home else "/"
    users = (
        "root:x:0:0::/:/sbin/nologin",
        f"sandbox:x:{user}:{group}::{shown}:/bin/sh",
        "nobody:x:65534:65534::/:/sbin/nologin",
    )
    found = [
        ("/etc/group", f"root:x:0:\nsandbox:x:{group}:\nnogroup:x:65534:\n"),
        ("/etc/passwd", "\n".join([*users, ""])),
    ]
    if confinement.scope is not None:
        found.append((RESOLVER_FILE, f"nameserver {_RESOLVER}\n"))
    if not confinement.network:
        found.append(("/etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost\n"))
    return found


def _workspace_step(view: View) -> list[Any]:  # `Any`: JSON
    if view.layer is None:
        return ["show", _OLD + view.root, view.root]
    if view.layer.kind is LayerKind.OVERLAY:
        return ["overlay", _OLD + view.root, _OLD + view.layer.upper, _OLD + view.layer.work, view.root]
    return ["open_up", _OLD + view.layer.tree, view.root]


def _rules(
    machine: Machine, readable: Sequence[str], writable: Sequence[str], *, network: bool
) -> dict[str, Any] | None:  # `Any`: JSON
    if not machine.landlock:
        return None
    version = machine.landlock
    rules = [(path, _landlock.rights("read", version)) for path in readable]
    rules += [
        (path, _landlock.rights("read", version) | _landlock.rights("write", version)) for path in writable
    ]
    rules += [(path, _landlock.rights("device", version)) for path in _DEVICES]
    return {"handled": _landlock.handled(version, network=network), "rules": rules}


def _visible_root(view: View) -> str:
    """Where the workspace is seen without a view of its own: itself, or the copy that takes the writes."""
    return view.root if view.layer is None else view.layer.tree


def _plain(view: View, argv: Sequence[str], machine: Machine) -> Plan:
    confinement = view.confinement
    network = confinement.network
    at = _visible_root(view)
    readable = [*SYSTEM_FOLDERS, *_HARMLESS_PROC]
    readable += [source for _, source in _system_files(network=network)]
    readable += [os.path.realpath(path) for path in (*ACCOUNT_FILES, NETWORK_FILES[0])]
    for path in (*view.read_only, *([] if view.layer else [view.root])):
        readable += without(path, view.hidden)
    writable = [path for path in (view.scratch, at if view.layer else None) if path]
    writable += [inside for path in view.writable for inside in without(path, view.hidden)]
    plan = _common(view, argv, cwd=view.cwd(at), machine=machine)
    if confinement.scope is not None:
        plan["watch"]["helpers"] = 1  # the guard, which stands beside it
    return plan | {
        "landlock": _rules(machine, readable, writable, network=network),
        "filter": _filter(
            machine,
            families=_families(machine, network=network, own_network=False, own_files=False),
            signals=machine.landlock >= _landlock.VERSION_SCOPES,
            metadata=False,
            asks=confinement.scope is not None,
        ),
        "scope": confinement.scope and confinement.scope.rules(_resolvers()),
    }


def _resolvers() -> tuple[str, ...]:
    """Where programs of this machine find their resolvers: behind Landlock alone nothing else can be told them."""
    try:
        lines = Path(RESOLVER_FILE).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return ()
    words = [line.split() for line in lines]
    return tuple(one[1].partition("%")[0] for one in words if len(one) == 2 and one[0] == "nameserver")


def without(path: str, hidden: Sequence[str]) -> list[str]:
    """The paths that together show `path` without what is hidden: rules only ever add, so neighbours are named one by one."""
    if any(_is_within(path, one) for one in hidden):
        return []
    inner = [one for one in hidden if _is_within(one, path)]
    if not inner:
        return [path]
    try:
        with os.scandir(path) as entries:
            names = sorted(entry.path for entry in entries if not entry.is_symlink())
    except OSError:
        return []
    return [found for name in names for found in without(name, inner)]


def _is_within(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(folder)


def _wrapped(view: View, argv: Sequence[str], machine: Machine) -> Plan:
    """Bubblewrap builds the view. Around it, where we may: a user namespace, so that processes are counted apart, and the
    overlay.
    """
    assert machine.wrapper is not None, "chosen by the caller"
    network = view.confinement.network
    plan = _common(view, argv, cwd="/", machine=machine)
    plan["watch"] |= {"helpers": _WRAPPER_PROCESSES, "memory_files": [*_SCRATCH]}
    overlay = view.layer if view.layer and view.layer.kind is LayerKind.OVERLAY else None
    if machine.namespaces:
        steps: Steps = [["private"], ["processes", "/proc", _most(view.confinement), False]]
        if overlay:
            steps.append(["overlay", view.root, overlay.upper, overlay.work, overlay.trial])
        plan |= {
            "user_maps": _maps(machine),
            "outer": _kernel.CLONE_NEWUSER | _kernel.CLONE_NEWPID,
            "inner": _kernel.CLONE_NEWNS,
            "steps": steps,
        }
    # Rights to files are left to bubblewrap, which could not mount under such rules; what stays inside is scoped from here on.
    _, _, scopes = _landlock.handled(machine.landlock, network=True)
    made_up = _made_up(view.confinement, machine)
    options = _wrapper_options(view, machine, made_up)
    families = _families(machine, network=network, own_network=not network, own_files=True)
    text = "\0".join([*options, "--seccomp", str(_FILTER_FD)]) + "\0"
    return plan | {
        # Before it is inside, the program's environment would be the wrapper's own: `LD_PRELOAD` would take effect outside.
        "env": {},
        # A wrapper that needs its file's owner (setuid) could not start otherwise. It sets the same for the program.
        "forgo": machine.namespaces,
        "argv": [machine.wrapper, "--args", str(_ARGS_FD), "--", *argv],
        "landlock": {"handled": (0, 0, scopes), "rules": []} if scopes and machine.namespaces else None,
        "files": {
            str(_ARGS_FD): base64.b64encode(os.fsencode(text)).decode("ascii"),
            str(_FILTER_FD): _filter(machine, families=families),
            **{
                str(_FILTER_FD + number): base64.b64encode(text.encode()).decode("ascii")
                for number, (_, text) in enumerate(made_up, 1)
            },
        },
    }


def _wrapper_options(view: View, machine: Machine, made_up: Sequence[tuple[str, str]]) -> list[str]:
    confinement = view.confinement
    uid, gid = _maps(machine)
    options = ["--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    options += ["--uid", str(uid), "--gid", str(gid), "--hostname", "sandbox", "--clearenv"]
    if confinement.network:
        options.append("--share-net")
    for name, value in confinement.environment.items():
        options += ["--setenv", name, value]
    for path in SYSTEM_FOLDERS:
        if os.path.islink(path):
            options += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            options += ["--ro-bind", path, path]
    for path, source in _system_files(network=confinement.network):
        options += ["--ro-bind", source, path]
    for number, (path, _) in enumerate(made_up, 1):
        options += ["--perms", "0444", "--ro-bind-data", str(_FILTER_FD + number), path]
    options += ["--proc", "/proc", "--dev", "/dev"]
    options += [word for path in _SCRATCH for word in _memory(path, confinement)]
    for path in view.read_only:
        options += ["--ro-bind-try", path, path]
    layer = view.layer
    if layer is None:
        options += ["--ro-bind", view.root, view.root]
    else:
        shown = layer.trial if layer.kind is LayerKind.OVERLAY else layer.tree
        options += ["--bind", shown, view.root]
    for path in view.writable:
        options += ["--bind", path, path]
    for path in view.hidden:
        if os.path.isdir(path):
            options += ["--perms", "0000", "--size", "4096", "--tmpfs", path, "--remount-ro", path]
        elif os.path.exists(path):
            options += ["--ro-bind", "/dev/null", path]
    if machine.uid == 0:
        for path in _ROOTS_PROC:
            if os.path.exists(path):
                options += ["--ro-bind", "/dev/null", path]
    # `/proc`: see `_steps.py`.
    for path in ("/proc", "/dev", "/"):
        options += ["--remount-ro", path]
    return [*options, "--chdir", view.cwd(view.root)]


def _memory(path: str, confinement: Confinement) -> list[str]:
    return ["--perms", "1777", "--size", str(confinement.limits.memory_bytes), "--tmpfs", path]
