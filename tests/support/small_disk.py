"""A disk of two megabytes, in memory, that exists for one test's processes only; it can be filled up and emptied again."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

import pytest

from tests.support.nursery import Ended

SIZE_KIB: Final = 2048

# A name space of mounts in a name space of users needs no rights on most systems. It lives as long as this process.
_MOUNT: Final = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
_HOLD: Final = 'mount -t tmpfs -o size="$2"k tmpfs "$1" && echo mounted && cat'


class SmallDisk:
    """A folder that is a disk of its own for the commands that `run` starts; everything else they see as it is."""

    def __init__(self, folder: Path, keeper: int) -> None:
        self.folder = folder
        self._enter = ("nsenter", f"--target={keeper}", "--user", "--mount", "--preserve-credentials", "--")

    @classmethod
    @contextmanager
    def mounted(cls, folder: Path) -> Iterator[Self]:
        """The disk at a folder. The test is skipped, with the reason, where a process may not mount one."""
        if shutil.which("unshare") is None or shutil.which("nsenter") is None:
            pytest.skip("no disk can be made small here: no `unshare` and `nsenter` (util-linux)")
        folder.mkdir()
        with subprocess.Popen(
            [*_MOUNT, _HOLD, "sh", str(folder), str(SIZE_KIB)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as keeper:
            assert keeper.stdin is not None
            assert keeper.stdout is not None
            try:
                if keeper.stdout.readline() != "mounted\n":
                    pytest.skip("no disk can be made small here: this user may not mount one in a name space")
                yield cls(folder, keeper.pid)
            finally:
                keeper.stdin.close()

    def run(self, *command: str, cwd: Path, env: Mapping[str, str]) -> Ended:
        """Run a command that sees the disk."""
        done = subprocess.run(
            [*self._enter, "sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", str(cwd), *command],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def leave(self, kib: int) -> None:
        """Fill it up until so much is left."""
        self._shell(
            'left=$(df -k --output=avail . | tail -1); head -c "$(( (left - $1) * 1024 ))" /dev/zero > ballast',
            str(kib),
        )

    def empty(self) -> None:
        """Take away what `leave` put there."""
        self._shell("rm -f ballast")

    def _shell(self, script: str, *words: str) -> None:
        ended = self.run("sh", "-c", script, "sh", *words, cwd=self.folder, env={"PATH": "/usr/bin:/bin"})
        assert ended.code == 0, ended
