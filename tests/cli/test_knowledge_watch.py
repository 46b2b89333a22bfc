"""`assent knowledge watch`: what changes is indexed, each time by a run, whatever becomes of the process or of a run."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from assent.cli import main
from assent.cli._exit import FAILED, INTERRUPTED, OK, REFUSED, USAGE, WAITING
from assent.errors import InputError, WorldError
from assent.knowledge.sources.watching import QUEUE_MAX
from assent.runtime.service import process
from assent.runtime.service._interrupts import Interrupted
from tests.support.patience import PATIENCE_S
from tests.support.seeds import IS_EXPLORING

Say: TypeAlias = Callable[..., tuple[int, str, str]]


class Watching:
    """A terminal of its own that watches."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._out, self._err = folder.parent / "out", folder.parent / "err"
        with self._out.open("w") as out, self._err.open("w") as err:
            line = [sys.executable, "-m", "assent", "knowledge", "watch", *words]
            self.process = subprocess.Popen(line, cwd=folder, stdout=out, stderr=err)

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def until(self, text: str) -> None:
        """Wait until it has said this."""
        end = time.monotonic() + PATIENCE_S
        while text not in self.out + self.err:
            assert time.monotonic() < end, f"never came: {text}\n{self.out}\n{self.err}"
            time.sleep(0.02)

    def end(self, how: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(how)
        return self.process.wait(PATIENCE_S)


@contextmanager
def watching(folder: Path, *words: str) -> Iterator[Watching]:
    one = Watching(folder, *words)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait()


@pytest.fixture
def say(folder: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    def say(*words: str) -> tuple[int, str, str]:
        code = main(["knowledge", *words])
        told = capsys.readouterr()
        return code, told.out, told.err

    (folder / "src").mkdir()
    (folder / "docs").mkdir()
    (folder / "src" / "parser.py").write_text("def parse_quartz(text):\n    return text.split()\n")
    assert say("add", "src", "--name", "code")[0] == OK
    return say


def standing(say: Say, *words: str) -> Any:  # `Any`: JSON
    code, out, err = say(*words, "--json")
    assert code == OK, err
    return {one["repository"]: (one["files"], one["root"]) for one in json.loads(out)["repositories"]}


def root_of_fresh(say: Say, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:  # `Any`: as above
    """What an index of the same files in a workspace of their own gives."""
    fresh = folder.parent / "fresh"
    shutil.copytree(folder, fresh, ignore=shutil.ignore_patterns(".assent"))
    with monkeypatch.context() as there:
        there.chdir(fresh)
        there.setenv("HOME", str(fresh.parent / "other"))
        assert say("index")[0] == OK
        return standing(say, "verify")


def test_what_changes_is_indexed_until_somebody_ends_it(
    say: Say, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert say("add", "docs")[0] == OK
    with watching(folder) as watch:
        watch.until("code: 1 file indexed, 0 removed, 1 in all, generation 1  run_")
        watch.until("docs: 0 files indexed")
        (folder / "src" / "later.py").write_text("def later_granite(): ...\n")
        watch.until("code: 1 file indexed, 0 removed, 2 in all")
        # Another terminal asks meanwhile, and is told that it need not watch as well.
        assert "later_granite" in say("search", "granite")[1]
        code, _, err = say("watch", "-r", "docs")
        assert (code, "another process watches this workspace" in err) == (FAILED, True)
        (folder / "src" / "parser.py").unlink()
        watch.until("1 removed, 1 in all")
        (folder / "docs" / "new" / "deep").mkdir(parents=True)
        (folder / "docs" / "new" / "deep" / "a.md").write_text("# marble\n")
        watch.until("docs: 1 file indexed, 0 removed, 1 in all")
        (folder / "elsewhere").mkdir()
        (folder / "elsewhere" / "not.md").write_text("# marble\n")
        assert watch.end() == OK
        assert watch.err.splitlines()[0] == "watches code, docs (Ctrl-C ends it)"
        assert watch.err.splitlines()[-1] == "watched no more"
    assert standing(say, "verify") == root_of_fresh(say, folder, monkeypatch)


def test_every_so_often_all_is_looked_at_and_a_program_is_told_of_each_run(say: Say, folder: Path) -> None:
    with watching(folder, "-r", "code", "--sweep", "1", "--json") as watch:
        end = time.monotonic() + PATIENCE_S
        while watch.out.count("\n") < 3:
            assert time.monotonic() < end, watch.err
            time.sleep(0.02)
        # A service manager ends it like this. It may be in the midst of a sweep.
        assert watch.end(signal.SIGTERM) in (OK, INTERRUPTED)
        runs = [json.loads(line) for line in watch.out.splitlines()]
    assert {one["status"] for one in runs} == {"succeeded"}
    assert [one["outputs"]["changed"] for one in runs][:3] == [1, 0, 0]
    assert len({one["run_id"] for one in runs}) == len(runs)


@pytest.mark.slow
def test_a_burst_of_changes_loses_none(say: Say, folder: Path) -> None:
    """Of more than one window holds, in folders that are new themselves."""
    burst = 10_000 if IS_EXPLORING else QUEUE_MAX + 100
    with watching(folder) as watch:
        watch.until("1 in all")
        for number in range(burst):
            place = folder / "src" / f"part-{number % 20}" / "deep" / f"{number}.txt"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(f"marble {number}\n")
        watch.until(f" {burst + 1} in all")
        assert watch.end() in (OK, INTERRUPTED)


@pytest.mark.slow
def test_whoever_is_killed_at_any_instant_leaves_a_store_that_is_whole(
    say: Say, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for turn in range(8 if IS_EXPLORING else 3):
        with watching(folder) as watch:
            watch.until("watches code")
            for number in range(150):
                (folder / "src" / f"{number % 60}.txt").write_text(f"marble {turn} {number}\n")
                with suppress(FileNotFoundError):
                    (folder / "src" / f"{(number + 30 + turn) % 60}.txt").unlink()
            time.sleep(0.3 * turn)  # not before something: at another instant each time
            assert watch.end(signal.SIGKILL) == -signal.SIGKILL
        assert say("verify")[0] == OK
    assert say("index")[0] == OK
    assert standing(say, "verify") == root_of_fresh(say, folder, monkeypatch)


# -- what goes wrong ------------------------------------------------------------------------------


def test_a_run_that_fails_is_told_and_tried_again(say: Say, folder: Path) -> None:
    assert say("index")[0] == OK
    (lock,) = (folder / ".assent" / "knowledge").glob("*[!h].lock")
    lock.unlink()
    lock.mkdir()  # so that the store can't be written
    with watching(folder) as watch:
        watch.until("it is tried again in 1 s: code")
        assert "STORAGE_FAILED" in watch.out + watch.err
        lock.rmdir()
        watch.until("code: 0 files indexed, 0 removed, 1 in all")
        assert watch.end() == OK


class Troubled:
    """The service, which has this happen before it does anything."""

    def __init__(self, *trouble: BaseException) -> None:
        self._trouble = [*trouble]

    def perform(self, *asked: Any, **more: Any) -> Any:  # `Any`: as the service
        if self._trouble:
            raise self._trouble.pop(0)
        return process.perform(*asked, **more)

    stream = staticmethod(process.stream)


def test_an_owner_that_can_not_be_reached_is_asked_again(
    say: Say, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assent.cli.knowledge._repositories._RETRY_MS", 10)
    lost = [WorldError("STATE_OWNED", "another has it"), WorldError("OWNER_LOST", "it ended")]
    assert main(["knowledge", "watch"], service=Troubled(*lost, Interrupted("run_x"))) == INTERRUPTED
    told = capsys.readouterr().err
    assert [code in told for code in ("STATE_OWNED", "OWNER_LOST", "assent resume run_x")] == [True] * 3


def test_what_is_wrong_here_ends_it(say: Say, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = Troubled(InputError("POLICY_INVALID", "no policy"))
    assert main(["knowledge", "watch"], service=wrong) == USAGE
    assert "POLICY_INVALID" in capsys.readouterr().err


@pytest.mark.parametrize(("decision", "code"), [("DENY", REFUSED), ("REQUIRE_APPROVAL", WAITING)])
def test_what_policy_does_not_let_it_do_by_itself_ends_it(
    say: Say, folder: Path, decision: str, code: int
) -> None:
    (folder / "assent.toml").unlink()
    assert main(["init"]) == OK
    rule = f"  - {{id: mine, decision: {decision}, reason: test, when: {{capability: knowledge.index}}}}"
    policy = folder / "policy.yaml"
    policy.write_text(policy.read_text().replace("rules:", f"rules:\n{rule}", 1))
    assert say("watch")[0] == code


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-r", "none"], "there is no repository `none`"),
        (["--sweep", "often"], "`--sweep` is not a duration: `often`"),
    ],
)
def test_what_can_not_be_watched_is_told_in_one_error(say: Say, words: list[str], told: str) -> None:
    code, out, err = say("watch", *words)
    assert (code, out, err.count("error:"), told in err) == (USAGE, "", 1, True)
