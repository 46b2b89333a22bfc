"""The demo does what it says: real commands, each of which can be typed again, and an exit code that tells the truth."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pexpect
import pytest

from assent.cli.demo._stage import Fold
from tests.support.nursery import Nursery
from tests.support.patience import PATIENCE_S
from tests.support.plugins import write

ASSENT = str(Path(sys.executable).with_name("assent"))
_SMALL = """
import os, sys
import assent
os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
assent.__file__, sys.executable, *words = sys.argv[1:]
from assent.cli import main
sys.exit(main(words))
"""
"""The demo over fewer modules than Assent's own; its commands are forked, and not measured as it may be."""
QUESTION = "Your decision"
TREE = "sh ../digest.sh"

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody with a home of their own and no colour."""
    dropped = ("ASSENT_", "CLICOLOR", "COLUMNS", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**kept, "HOME": str(tmp_path / "home"), "NO_COLOR": "1", "ASSENT_STATE": str(tmp_path / "theirs")}


@pytest.fixture
def demo(tmp_path: Path, nursery: Nursery) -> list[str]:
    """What is typed for `assent demo`; here it is short, because the package that is released is small."""
    names = [f"module_{number}" for number in range(63)]  # more than are rewritten at once
    package = write(tmp_path / "package", {f"capabilities/{name}.py": "" for name in ("__init__", *names)})
    return [sys.executable, "-c", _SMALL, str(package / "__init__.py"), str(nursery.bin / "python"), "demo"]


def terminal(demo: list[str], folder: Path, home: dict[str, str]) -> pexpect.spawn[str]:
    """The demo in a terminal wide enough that no line is broken."""
    program, *words = demo
    return pexpect.spawn(
        program,
        [*words, "--keep", str(folder)],
        env=home,
        encoding="utf-8",
        timeout=PATIENCE_S,
        dimensions=(50, 400),
    )


def ending(child: pexpect.spawn[str]) -> tuple[int | None, str]:
    child.expect(pexpect.EOF)
    text = child.before or ""
    child.close()
    return child.exitstatus, text.replace("\r\n", "\n")


def shell(lines: list[str], home: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What a reader gets who types the lines into a new shell."""
    return subprocess.run(
        ["/bin/sh", "-c", "\n".join(lines)],
        env=home,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_reader_approves_with_a_key_and_can_type_every_line_again(
    tmp_path: Path, home: dict[str, str], demo: list[str]
) -> None:
    """In a terminal the demo waits for the reader's key; what it printed afterwards works in a shell of the reader's own."""
    child = terminal(demo, tmp_path / "demo", home)
    told = ""
    for _ in range(2):
        child.expect(QUESTION)
        told += child.before or ""
        child.send("x")  # Another key decides nothing.
        child.expect("nothing was decided")
        told += (child.before or "") + str(child.after)
        child.send("xa")
    code, rest = ending(child)
    told = (told + rest).replace("\r\n", "\n")
    assert (code, re.findall(r"exit code (\d+)", told)) == (0, ["3", "4", "137", "1", "4", "6"])
    assert "nothing was decided" in told

    digests = [
        line.split()[0]
        for before, line in zip(told.splitlines(), told.splitlines()[1:], strict=False)
        if before.startswith(f"$ {TREE}")
    ]
    assert len(digests) == 4
    assert len(set(digests)) == 1, "the tree is the same before, after the refusal, the rollback and the undo"

    lines = told.rstrip().splitlines()
    assert lines[-1].startswith("  assent show run_"), "the last line is the next command to try"
    entering = [line.strip() for line in lines[-5:-1]]
    assert [line.split()[0] for line in entering] == ["cd", "unset", "export", "export"]
    assert [f"$ {line}" for line in entering] == [
        line for line in told.splitlines() if line.startswith("$ ")
    ][:4]
    assert shell([*entering, lines[-1]], home).returncode == 0

    typed = [line.removeprefix("$ ") for line in told.splitlines() if line.startswith(("$ assent", "$ sh"))]
    again = [line for line in typed if line.startswith(("sh", "assent runs", "assent audit verify"))]
    assert len(again) == 9
    for line in again:
        ended = shell([*entering, line], home)
        assert ended.returncode == (6 if "tampered" in line else 0), line
        printed = told[told.rindex(f"$ {line}\n") :]
        told_again = {*ended.stdout.splitlines()} & {*printed.splitlines()}
        assert told_again, f"it is what was printed the first time: {line}\n{ended.stdout}\n{printed[:600]}"
    assert not (tmp_path / "home").exists(), "the reader's own configuration is not touched"
    assert not (tmp_path / "theirs").exists(), "nor a state that the reader's environment names"


def test_program_gets_one_object(tmp_path: Path, home: dict[str, str], demo: list[str]) -> None:
    """`--json` tells what happened, command by command; and a careless umask spoils nothing."""
    folder = tmp_path / "demo"
    words = f"umask 002; exec {shlex.join(demo)} --yes-demo --json --keep {folder}"
    ended = shell([words], home)
    assert (ended.returncode, ended.stderr, ended.stdout.count("\n")) == (0, "", 1)
    told = json.loads(ended.stdout)
    facts = told["facts"]
    assert (told["completed"], told["folder"]) == (True, str(folder))
    assert facts["tree_before"] == facts["tree_after_rollback"] == facts["tree_after_undo"]
    assert all(command["exit_code"] == command["expected"] for command in told["commands"])
    shown = shell(
        [
            f"XDG_CONFIG_HOME={folder}/config {ASSENT} runs --json --workspace {folder}/project --state {folder}/project/.assent"
        ],
        home,
    )
    status = {run["run_id"]: run["status"] for run in json.loads(shown.stdout)}
    assert (status[facts["first_run"]], status[facts["second_run"]]) == ("rolled_back", "undone")


@pytest.mark.parametrize(("key", "end"), [("r", (3, "failed")), ("l", (4, "waiting"))])
def test_reader_may_say_no(
    tmp_path: Path, home: dict[str, str], demo: list[str], key: str, end: tuple[int, str]
) -> None:
    """A rejection is carried out, and neither it nor leaving the question open counts as success."""
    child = terminal(demo, tmp_path / "demo", home)
    child.expect(QUESTION)
    child.send(key)
    code, status = end
    exit_code, told = ending(child)
    assert exit_code == code
    assert "by your decision" in told
    entering = [line.strip() for line in told.rstrip().splitlines()[-5:-1]]
    runs = json.loads(shell([*entering, "assent runs --json"], home).stdout)
    assert {run["status"] for run in runs if run["workflow"] == "release"} & {status, "rolled_back"}


def test_interrupt_is_clean_and_says_where_the_folder_is(
    tmp_path: Path, home: dict[str, str], demo: list[str]
) -> None:
    """Ctrl-C at the question ends with 130, and the reader is told where things stand."""
    folder = tmp_path / "demo"
    child = terminal(demo, folder, home)
    child.expect(QUESTION)
    child.sendintr()
    code, told = ending(child)
    assert code == 130
    assert f"left as it stands: {folder}" in told
    assert "Traceback" not in told


def test_without_a_terminal_the_demo_asks_for_its_flag(tmp_path: Path, home: dict[str, str]) -> None:
    """Nothing prompts without a terminal, and nothing is written before that is known."""
    ended = shell([f"{ASSENT} demo --keep {tmp_path}/demo"], home)
    assert ended.returncode == 2
    assert "assent demo --yes-demo" in ended.stderr
    assert not (tmp_path / "demo").exists()


def test_folder_of_somebody_is_left_alone(tmp_path: Path, home: dict[str, str]) -> None:
    """`--keep` takes a new or empty folder only."""
    (tmp_path / "precious").write_text("mine")
    ended = shell([f"{ASSENT} demo --yes-demo --json --keep {tmp_path}"], home)
    assert (ended.returncode, json.loads(ended.stdout)["error"]["code"]) == (2, "DEMO_FOLDER")
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_demo_that_goes_wrong_says_so(tmp_path: Path, home: dict[str, str], demo: list[str]) -> None:
    """Where a command ends otherwise than told, the demo stops with 1 and names it: here `sha256sum` lies."""
    liar = tmp_path / "bin"
    liar.mkdir()
    (liar / "sha256sum").write_text("#!/bin/sh\ncat >/dev/null\nexit 7\n")
    (liar / "sha256sum").chmod(0o755)
    words = f"{shlex.join(demo)} --yes-demo --keep {tmp_path}/demo"
    ended = shell([words], {**home, "PATH": f"{liar}:{home['PATH']}"})
    assert ended.returncode == 1
    assert "DEMO_FAILED" in ended.stderr
    assert f"left as it stands: {tmp_path}/demo" in ended.stderr


def test_unattended_it_prints_little_leaves_nothing_and_fits_a_terminal(clean_env: dict[str, str]) -> None:
    """The whole demo, as a reader starts it: at most 120 lines of 80 columns, a long command over two counted as two.

    The folder is gone afterwards.
    """
    # A short name, as the folder for temporary files has: sockets and commands hold it.
    with tempfile.TemporaryDirectory(prefix="t") as temporary:
        env = {
            **clean_env,
            "HOME": f"{temporary}/home",
            "TMPDIR": temporary,
            "COLUMNS": "80",
            "NO_COLOR": "1",
        }
        ended = shell([f"{ASSENT} demo --yes-demo"], env)
        left = [*Path(temporary).glob("assent-demo*")]
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = ended.stdout.splitlines()
    assert sum(max(1, -(-len(line) // 80)) for line in lines) <= 120
    assert all(len(line) <= 80 for line in lines if not line.startswith(("$", "  ")))
    assert lines[-1] == "  assent demo --keep DIR"
    assert left == []


def test_fold_shows_the_beginning_and_what_is_named() -> None:
    lines = [f"line {number}" for number in range(100)]
    shown = Fold(3, (("line 50", 4), ("line 98", 9), ("no such line", 5))).apply(lines)
    assert shown == [*lines[:3], *lines[50:54], *lines[98:]]
    assert Fold(10).apply(lines[:4]) == lines[:4]
