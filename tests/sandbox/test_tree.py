"""What a program's processes use and hold is counted, limits are passed and not only reached, and all of them end together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from assent.sandbox import _supervisor, _tree


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_user_for_a_while_is_counted_and_ended_as_one() -> None:
    user = _tree.unused_user()
    assert _tree.processes_of(user) == 0
    with subprocess.Popen(["sleep", "60"], user=user) as one, subprocess.Popen(["sleep", "60"], user=user):
        assert _tree.processes_of(user) == 2
        assert _tree.unused_user() != user
        _tree.end_user(user)
        assert one.wait() == -signal.SIGKILL
    assert _tree.processes_of(user) == 0


ENDS = """
import os, subprocess, time
from assent.sandbox import _kernel, _tree
_kernel.become_subreaper()
spared = subprocess.Popen(["sleep", "60"])
shell = subprocess.Popen(["sh", "-c", "sh -c 'sleep 60 & exec sleep 60' & exec sleep 60"])
while len(_tree.descendants(os.getpid())) < 4:
    time.sleep(0.01)
_tree.end(os.getpid(), spare={spared.pid})
assert _tree.descendants(os.getpid()) == [spared.pid]
spared.kill()
"""


def test_a_tree_ends_whole_but_for_what_is_spared() -> None:
    """What only waits to be taken leave of would still be counted."""
    ended = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


WATCH = {
    "processes": 5, "helpers": 2, "cpu_ms": 1000, "memory_bytes": 10_000, "memory_files": [],
    "layers": [], "layer_bytes": 8192, "layer_entries": 4,
}  # fmt: skip


@pytest.mark.parametrize(
    ("use", "exact", "limit"),
    [
        (_tree.Use(7, 1000, 10_000), 99_999, None),
        (_tree.Use(8, 0, 0), None, "processes"),
        (_tree.Use(1, 1001, 0), None, "cpu_s"),
        (_tree.Use(1, 0, 10_001), None, "memory_bytes"),
        (_tree.Use(1, 0, 10_001), 10_000, None),
        (_tree.Use(1, 0, 10_001), 10_001, "memory_bytes"),
    ],
)
def test_a_limit_holds_until_it_is_passed(
    monkeypatch: pytest.MonkeyPatch, use: _tree.Use, exact: int | None, limit: str | None
) -> None:
    """A page that several processes share is counted for each of them, unless the kernel tells exactly."""
    monkeypatch.setattr(_tree, "use_of", lambda _top, most: use)
    monkeypatch.setattr(_tree, "own_memory", lambda _top: exact)
    supervisor = _supervisor._Supervisor(-1, (0, 1, 2))
    assert supervisor._passed({"watch": WATCH}, 0, 0) == limit


@pytest.mark.parametrize(
    ("lost", "look", "held", "unlinked", "is_seen"),
    [
        ((0, 0), 1, 5, 0, False),
        ((4096, 2), 9, 5, 0, False),
        ((4097, 0), 1, 5, 0, True),
        ((0, 3), 1, 5, 0, True),
        ((0, 0), 10, 5, 0, True),
        ((0, 0), 10, 4, 8193, False),
        ((-9999, -9999), 20, 5, 0, True),
        ((4097, 0), 1, 4, 8192, False),
        ((4097, 0), 1, 0, 8193, True),
    ],
)
def test_a_private_folder_is_walked_through_where_its_disk_shrinks_and_now_and_then(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    lost: tuple[int, int],
    look: int,
    held: int,
    unlinked: int,
    is_seen: bool,
) -> None:
    free = iter(((50_000, 5_000), (50_000 - lost[0], 5_000 - lost[1])))

    def disk(_folder: str) -> SimpleNamespace:
        size, names = next(free)
        return SimpleNamespace(f_bavail=size, f_frsize=1, f_ffree=names)

    monkeypatch.setattr(os, "statvfs", disk)
    monkeypatch.setattr(_tree, "use_of", lambda _top, most: _tree.Use(0, 0, 0))
    monkeypatch.setattr(_tree, "unlinked_bytes", lambda _top: unlinked)
    supervisor = _supervisor._Supervisor(-1, (0, 1, 2))
    plan = {"watch": WATCH | {"layers": [str(tmp_path)]}}
    assert supervisor._passed(plan, 0, 0) is None
    for number in range(held):
        (tmp_path / str(number)).touch()
    assert supervisor._passed(plan, 0, 8 * look + 1) is None
    assert supervisor._passed(plan, 0, 8 * look) == ("layer_bytes" if is_seen else None)


def test_what_is_held_is_counted_past_either_bound(tmp_path: Path) -> None:
    """Of a link its own name, and nothing that it leads to."""
    folder = tmp_path / "layer"
    for number in range(3):
        (folder / str(number) / "in").mkdir(parents=True)
        (folder / str(number) / "file").write_bytes(bytes(5000))
    (tmp_path / "outside").write_bytes(bytes(50_000))
    (folder / "0" / "in" / "link").symlink_to(tmp_path / "outside")
    (folder / "1" / "in" / "link").symlink_to(tmp_path)
    first = sum(path.stat().st_blocks * 512 for path in folder.iterdir())
    every = sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))
    assert _supervisor._held_in(str(folder), every, 11) == (every, 11)
    assert _supervisor._held_in(str(folder), every, 2) == (first, 3)
    assert _supervisor._held_in(str(folder), every, 3)[1] == 5
    assert _supervisor._held_in(str(folder), first, 9)[1] == 5
    if first:
        assert _supervisor._held_in(str(folder), first - 1, 9) == (first, 3)
