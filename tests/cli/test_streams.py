"""What can't be written is told once, and what a person did not type decides nothing: real processes and a disk that is full."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

FULL = Path("/dev/full")


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A line of the shell in which `assent` is this one."""
    return subprocess.run(
        ["sh", "-c", f'assent() {{ {sys.executable} -m assent "$@"; }}; {line}'],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.skipif(not FULL.exists(), reason="this machine has no /dev/full")
@pytest.mark.parametrize("flags", ["", "--json"])
def test_an_answer_that_cannot_be_written_is_told_on_stderr(folder: Path, flags: str) -> None:
    done = shell(f"assent version {flags} > /dev/full", folder)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: the answer can't be written: no space left on device   [ANSWER_LOST]\n"
    )
    assert len(done.stderr.splitlines()) == 2, "the error and what to do: nothing of Python's own"


@pytest.mark.skipif(not FULL.exists(), reason="this machine has no /dev/full")
def test_an_error_that_cannot_be_written_keeps_its_exit_code(folder: Path) -> None:
    done = shell("assent explain NOTHING --json > /dev/full", folder)
    assert (done.returncode, "[ANSWER_LOST]" in done.stderr) == (2, True)
    assert shell("assent explain NOTHING > /dev/full 2> /dev/full", folder).returncode == 2


def test_a_process_without_streams_does_its_work_and_writes_them_nowhere(folder: Path) -> None:
    """The next file that is opened must not get the number of a stream: it is the ledger's."""
    done = shell("assent call io.fs.write_file path=a.txt content=a <&- >&- 2>&-", folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (folder / "a.txt").read_text() == "a"
    assert "verified" in shell("assent audit verify", folder).stdout


def test_the_end_of_the_input_decides_nothing(folder: Path) -> None:
    """Also after `r`: a reason that nobody gave rejects nothing."""
    (folder / "a.txt").write_text("a")
    child = pexpect.spawn(
        sys.executable,
        ["-m", "assent", "--color", "never", "call", "io.fs.delete", "path=a.txt"],
        cwd=str(folder),
        env=dict(os.environ),
        encoding="utf-8",
        timeout=60,
    )
    child.expect_exact("[l]ater: ")
    child.send("r\n")
    child.expect_exact("reason: ")
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 4
    assert "\r\nwaiting" in str(child.before)
    assert (folder / "a.txt").exists()


def test_what_is_not_there_is_told_as_such(folder: Path) -> None:
    done = shell("assent audit verify --export nowhere --json", folder)
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (2, "EXPORT_INVALID")
    assert "assent audit export DIR" in error["hint"]
    done = shell("assent audit log --run run_none --json", folder)
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (2, "RUN_UNKNOWN"), "a run that there is not is no empty log"


def test_an_undo_that_a_person_allowed_and_that_cannot_begin_says_so(folder: Path) -> None:
    """It ends like `assent undo` where nobody is asked: with the reason, and the exit code of what a person must look at."""
    (folder / "policy.yaml").write_text(
        "version: 1\nrules:\n"
        "  - {id: undo, when: {capability: assent.undo}, decision: REQUIRE_APPROVAL}\n"
        "  - {id: all, decision: ALLOW, without_approval: true, reason: a test}\n"
    )
    (folder / "assent.toml").write_text('policy = "policy.yaml"\n')
    (folder / "policy.yaml").chmod(0o600)
    (folder / "w.yaml").write_text(
        "name: w\nsteps:\n  - {name: kept, capability: io.fs.write_file, inputs: {path: a, content: a}}\n"
    )
    run = json.loads(shell("assent run w.yaml --json", folder).stdout)["run_id"]
    assert shell(f"assent undo {run}", folder).returncode == 4
    (folder / "a").write_text("somebody else's")
    done = shell(f"assent approve {run} --unseen --as user:bob --json", folder)
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (5, "COMPENSATION_CONFLICT")
    assert (folder / "a").read_text() == "somebody else's"
