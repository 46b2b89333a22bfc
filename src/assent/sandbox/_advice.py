"""What an operator can do where nothing confines programs: read off the machine, in the words of its distribution."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_INSTALL: Final = {
    "debian": "apt install bubblewrap",
    "ubuntu": "apt install bubblewrap",
    "fedora": "dnf install bubblewrap",
    "rhel": "dnf install bubblewrap",
    "suse": "zypper install bubblewrap",
    "arch": "pacman -S bubblewrap",
    "alpine": "apk add bubblewrap",
}
_CONTAINER_OPTIONS: Final = " ".join(
    f"--security-opt {one}=unconfined" for one in ("seccomp", "apparmor", "systempaths")
)
_WRAPPERS: Final = ("usr/bin/bwrap", "usr/local/bin/bwrap", "bin/bwrap")

# A file of `/proc/sys`, what it holds where it refuses namespaces to ordinary users, and what is written instead.
_SWITCHES: Final = (
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),  # Ubuntu 24.04 and later
    ("kernel/unprivileged_userns_clone", "0", "1"),  # Debian's own, also on Arch's hardened kernel
    ("user/max_user_namespaces", "0", "15000"),  # RHEL, and whoever has hardened it
)


@dataclass(frozen=True, slots=True)
class Advice:
    """One way to walls: why they can't stand now, and what to do about it."""

    why: str
    what: str


def advice(root: Path = Path("/")) -> tuple[Advice, ...]:
    """The ways to walls on this machine, the simplest first; never empty. `root` is where the machine's files are."""
    return tuple(_advice(root))


def _advice(root: Path) -> Iterator[Advice]:
    if _is_container(root):
        yield Advice(
            "this is a container, whose own walls keep programs from building more",
            f"run it with {_CONTAINER_OPTIONS}; on a host with Linux 6.2 or later a seccomp profile that allows `landlock_*` and "
            "`seccomp` is enough",
        )
    for name, refusing, instead in _SWITCHES:
        if _read(root, f"proc/sys/{name}") == refusing:
            setting = name.replace("/", ".")
            yield Advice(
                f"`{setting}` is {refusing}: ordinary users get no user namespaces",
                f"sysctl -w {setting}={instead}, and the same line in /etc/sysctl.d/60-assent.conf to keep it",
            )
    if not any((root / one).exists() for one in _WRAPPERS):
        yield Advice("bubblewrap is not installed", _install(root))
    if "landlock" not in _read(root, "sys/kernel/security/lsm").split(","):
        yield Advice(
            "Landlock, which needs no namespaces, is not switched on",
            "boot Linux 6.2 or later with `landlock` in the list of `lsm=` on the kernel's command line",
        )
    else:
        yield Advice(
            "namespaces and Landlock are refused to this user",
            "look for a seccomp filter around this process",
        )


def _install(root: Path) -> str:
    told = dict(
        line.split("=", 1) for line in _read(root, "etc/os-release").splitlines() if line.count("=") >= 1
    )
    kinds = f"{told.get('ID', '')} {told.get('ID_LIKE', '')}".replace('"', "").split()
    known = next((_INSTALL[kind] for kind in kinds if kind in _INSTALL), None)
    return known or "install the package `bubblewrap`"


def _is_container(root: Path) -> bool:
    marks = (root / ".dockerenv", root / "run/.containerenv", root / "run/systemd/container")
    return any(mark.exists() for mark in marks) or "container=" in _read(root, "proc/1/environ")


def _read(root: Path, name: str) -> str:
    with suppress(OSError):
        return (root / name).read_text(encoding="utf-8", errors="replace").strip()
    return ""
