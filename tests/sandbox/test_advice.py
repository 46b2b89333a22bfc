"""Where no walls stand, the operator is told what to install or switch, in the words of the machine's own distribution."""

from __future__ import annotations

from pathlib import Path

import pytest

from assent.sandbox import advice


def machine(root: Path, files: dict[str, str]) -> list[tuple[str, str]]:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return [(one.why, one.what) for one in advice(root)]


@pytest.mark.parametrize(
    ("release", "command"),
    [
        ("ID=debian\n", "apt install bubblewrap"),
        ('NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\n', "apt install bubblewrap"),
        ("ID=fedora\n", "dnf install bubblewrap"),
        ('ID="almalinux"\nID_LIKE="rhel centos fedora"\n', "dnf install bubblewrap"),
        ("ID=own\n", "install the package `bubblewrap`"),
        ("", "install the package `bubblewrap`"),
    ],
)
def test_a_package_is_installed_as_the_distribution_does_it(
    tmp_path: Path, release: str, command: str
) -> None:
    found = machine(tmp_path, {"etc/os-release": release})
    assert ("bubblewrap is not installed", command) in found


@pytest.mark.parametrize(
    ("name", "refusing", "line"),
    [
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=15000"),
    ],
)
def test_a_switch_of_the_kernel_is_named_with_the_value_that_helps(
    tmp_path: Path, name: str, refusing: str, line: str
) -> None:
    """And only where it refuses."""
    ((_, what), *_) = machine(tmp_path, {f"proc/sys/{name}": f"{refusing}\n", "usr/bin/bwrap": ""})
    assert f"sysctl -w {line}" in what
    fine = machine(tmp_path, {f"proc/sys/{name}": "7\n"})
    assert not any("sysctl" in what for _, what in fine)


def test_a_container_is_told_how_to_be_started_and_a_kernel_how_to_be_booted(tmp_path: Path) -> None:
    found = machine(
        tmp_path, {".dockerenv": "", "usr/bin/bwrap": "", "sys/kernel/security/lsm": "capability,yama"}
    )
    assert "--security-opt seccomp=unconfined" in found[0][1]
    assert "`lsm=`" in found[1][1]
    found = machine(tmp_path, {"sys/kernel/security/lsm": "capability,landlock,yama"})
    assert "seccomp filter" in found[1][1]
    assert machine(tmp_path / "empty", {})
