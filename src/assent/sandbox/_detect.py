"""What this machine can put up, found out by doing it: a probe runs behind the very walls that programs will run behind."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, Final

from assent.errors import WorldError
from assent.sandbox import _kernel, _landlock
from assent.sandbox._confinement import Confinement
from assent.sandbox._launcher import Launcher
from assent.sandbox._plan import Machine, View, plan_of
from assent.sandbox._reach import NetworkScope
from assent.sandbox._scratch import Scratch
from assent.sandbox._walls import BackendName, Holds, Wall

_WRAPPER_PLACES: Final = ("/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap")
"""Not looked for along PATH: whoever can set a variable could put a program of his own in its place."""

_NO_NAMESPACES: Final = (
    "allow unprivileged user namespaces (`sysctl user.max_user_namespaces`, `kernel.apparmor_restrict_unprivileged_userns`), "
    "or install bubblewrap"
)


def detect(launcher: Launcher, wanted: str, *, namespaces: bool = True) -> tuple[Machine, Holds]:
    """The machine and the walls that stand on it, with the backend `wanted`: `auto`, `bubblewrap` or `native`.

    `auto` takes bubblewrap where it works. Nothing is raised where nothing holds: `Holds.is_confined` says so. Without
    `namespaces` none of our own are tried, as on a machine that refuses them.
    """
    architecture = _kernel.MACHINE
    uid, gid = os.geteuid(), os.getegid()
    nothing = Machine(architecture=architecture, landlock=0, namespaces=False, uid=uid, gid=gid)
    if not _kernel.is_known_machine():
        return nothing, _none(dict.fromkeys(Wall, f"no filter is known for `{architecture}`"))
    landlock = _kernel.landlock_version()
    plain = replace(nothing, landlock=landlock)
    full = replace(plain, namespaces=True)
    failed, pid_max = _probe(launcher, full, []) if namespaces else ("not tried", None)
    native = full if failed is None else plain
    if wanted != "native":
        found = _wrapper(launcher, native, failed is None)
        if found is not None:
            return found, _holds(found, "bubblewrap", pid_max=pid_max if found.namespaces else None)
        if wanted == "bubblewrap":
            why = "install bubblewrap, or set `backend` under `[sandbox]` to `native`"
            return nothing, _none(dict.fromkeys(Wall, why))
    if failed is None:
        return full, _holds(full, "native", pid_max=pid_max)
    if landlock < _landlock.VERSION_TRUNCATE:
        why = f"Linux 6.2 with Landlock; or {_NO_NAMESPACES}"
        return nothing, _none(dict.fromkeys(Wall, why))
    failed, _ = _probe(launcher, plain, [])
    if failed is not None:
        return nothing, _none(dict.fromkeys(Wall, f"seccomp is refused: {failed}"))
    return plain, _holds(plain, "native", pid_max=None)


def _wrapper(launcher: Launcher, native: Machine, namespaces: bool) -> Machine | None:  # noqa: FBT001 - a measured fact
    for place in _WRAPPER_PLACES:
        if os.access(place, os.X_OK):
            for around in (True, False) if namespaces else (False,):
                found = replace(native, namespaces=around, wrapper=place)
                if _probe(launcher, found, ["true"])[0] is None:
                    return found
    return None


def why_no_scope(launcher: Launcher, machine: Machine, holds: Holds) -> str | None:
    """Why a network can't be made to end at a scope here, or None: found out behind the walls that such a program has."""
    if not holds.is_confined:
        return "no program can be confined here: `assent doctor` shows what is missing"
    native = replace(machine, wrapper=None)
    if not machine.namespaces and machine.landlock < _landlock.VERSION_TRUNCATE:
        return f"bubblewrap alone hands nobody the questions of a filter. Linux 6.2 with Landlock; or {_NO_NAMESPACES}"
    failed, _ = _probe(launcher, native, [], scope=NetworkScope())
    return failed and f"it needs Linux 5.19 and the right to look into programs of one's own: {failed}"


def _probe(
    launcher: Launcher, machine: Machine, argv: list[str], *, scope: NetworkScope | None = None
) -> tuple[str | None, int | None]:
    """Why these walls can't stand here, or None; and how many processes the PID namespace takes, where that can be told."""
    folder = Scratch.make()
    try:
        confinement = Confinement(
            root=folder.path.resolve(),
            environment={"PATH": "/usr/bin:/bin"},
            network=scope is not None,
            scope=scope,
        )
        view = View.of(confinement, None, None)
        answer, output = launcher.try_out(plan_of(view, argv, machine))
    finally:
        folder.remove()
    failed = _failure(answer)
    told = output.strip()
    return failed, int(told) if told.isdigit() else None


def _failure(answer: dict[str, Any]) -> str | None:  # `Any`: JSON
    if "failed" in answer:
        if not answer["errno"]:
            # Not the kernel's answer: what a machine can is not to be learnt from a supervisor that was killed.
            raise WorldError("SANDBOX_FAILED", f"the sandbox can't be tried out: {answer['failed']}")
        return f"{answer['failed']} ({answer['step']})"
    return None if answer["status"] == 0 else f"it ended with {answer['status']}"


def _none(missing: dict[Wall, str]) -> Holds:
    return Holds("unconfined", {}, missing)


def _holds(machine: Machine, backend: BackendName, *, pid_max: int | None) -> Holds:
    spaces = machine.namespaces or machine.wrapper is not None
    by = "bubblewrap" if machine.wrapper else "namespaces"
    landlock = f"Landlock {machine.landlock}" if machine.landlock else None
    inner_landlock = landlock if machine.wrapper is None else None
    scoped = machine.landlock >= _landlock.VERSION_SCOPES
    walls: dict[Wall, str] = {
        Wall.FILES: _both(f"mount namespace ({by})" if spaces else None, inner_landlock),
        Wall.NETWORK: _both(
            f"network namespace ({by})" if spaces else None,
            inner_landlock if machine.landlock >= _landlock.VERSION_NETWORK and not spaces else None,
            "seccomp on socket families",
        ),
        Wall.PROCESSES_OF_OTHERS: _both(
            f"PID namespace ({by})" if spaces else None,
            f"{landlock} scopes" if scoped else None,
            None if spaces or scoped else "seccomp refuses signals",
        ),
        Wall.PRIVILEGES: _both(
            "no_new_privs",
            "no capabilities" if spaces or machine.uid else "a user of its own, who may only read",
            "user namespace" if spaces else None,
        ),
        Wall.SYSTEM_CALLS: "seccomp",
        Wall.SURVIVAL: _both(
            f"PID namespace ({by})" if spaces else "subreaper, killed as a tree",
            None if spaces or machine.uid else "a user of its own, killed as one",
            "death signals",
        ),
        Wall.CPU: "RLIMIT_CPU for one process, watched for all",
        Wall.MEMORY: "RLIMIT_DATA for one process, watched for all",
        Wall.FILE_SIZE: "RLIMIT_FSIZE",
        Wall.PROCESS_COUNT: _both(
            "RLIMIT_NPROC in a user namespace" if machine.namespaces and machine.uid else None,
            "RLIMIT_NPROC" if not spaces else None,
            f"pid_max {pid_max}" if pid_max and pid_max < 1 << 15 else None,
            "watched",
        ),
        Wall.WALL_CLOCK: "the supervisor's timer",
        Wall.OUTPUT: "counted while it is read",
        Wall.ENVIRONMENT: "only what is named, no descriptors",
        Wall.LAYER: "overlay where the file system can, else a copy; its size is watched"
        if machine.namespaces
        else "a copy of the workspace; its size is watched",
    }
    return Holds(backend, walls)


def _both(*mechanisms: str | None) -> str:
    return " + ".join(one for one in mechanisms if one)
