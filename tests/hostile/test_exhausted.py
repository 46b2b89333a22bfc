"""Whatever the machine refuses at whatever moment is told as that: neither as a fault of the disk nor as one of the caller."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support.own_places import own_places

FILES_MAX = 18
"""With so many more files than it begins with, a call succeeds."""

_EACH_LIMIT = f"""
import os, resource, sys
from assent.cli import main
# What is imported needs no file any more, and is not imported again by each call.
import assent.capabilities.fs._capabilities, assent.engine.drive._engine, assent.runtime._core, assent.runtime.service.process

hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
for more in range({FILES_MAX} + 1):
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1 + more, hard))
        main(["--json", "call", "io.fs.write_file", f"path={{more}}.txt", "content=x"])
    os.waitpid(child, 0)
"""


def test_a_call_without_files_says_so(tmp_path: Path, clean_env: dict[str, str]) -> None:
    """With each number of files that may be open, from none: the call succeeds, or files are what is lacking."""
    with own_places(tmp_path, clean_env) as env:
        done = subprocess.run(
            [sys.executable, "-c", _EACH_LIMIT], cwd=tmp_path, env=env, capture_output=True, check=True
        )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    errors = [answer["error"] for answer in answers]
    assert errors[-1] is None, errors[-1]
    found = {error["code"] for error in errors if error is not None}
    assert {"MACHINE_EXHAUSTED"} <= found <= {"MACHINE_EXHAUSTED", "FILE_FAILED"}, errors
