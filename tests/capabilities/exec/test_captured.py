"""`sys.exec.run_captured`: what a program writes is one change, that can be shown, approved, applied and undone."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from assent.capabilities.exec import Programs, _output, _stamp
from assent.engine import RunResult
from assent.errors import RefusedError
from assent.sandbox import Sandbox
from tests.support.bodies import Place, code, policy, user
from tests.support.hands import tree_of, without_times

ASK = policy({"id": "ask", "when": {"capability": "sys.exec.*"}, "decision": "REQUIRE_APPROVAL"})
BUILD = "mkdir -p out/deep; cat src/a.txt > out/deep/all; rm src/a.txt; ln -s deep out/link; echo done"


def tree(place: Place) -> Any:
    return without_times(tree_of(place.workspace))


def sandbox_of(place: Place) -> Path:
    return place.root / "state" / "sandbox"


async def until_begun(place: Place, count: int = 1) -> None:
    """Wait until so many programs have written `begun`."""
    async with asyncio.timeout(60):
        while True:
            with suppress(OSError):  # What is looked at may go meanwhile.
                if len([*sandbox_of(place).rglob("begun*")]) == count:
                    return
            await asyncio.sleep(0.01)


def workflow(*lines: str, **inputs: Any) -> dict[str, Any]:
    steps = [
        {
            "name": f"s{number}",
            "capability": "sys.exec.run_captured",
            "inputs": {"argv": ["sh", "-c", line], **inputs},
        }
        for number, line in enumerate(lines)
    ]
    return {"name": "w", "steps": steps}


def readable(yard: Place, folder: Path) -> Path:
    """A folder that programs see as it is now, outside of the workspace."""
    found = folder / "gate"
    found.mkdir()
    rules = yard.workspace / "assent.toml"
    rules.write_text(rules.read_text() + f'read_only = ["{found}"]\n')
    return found


def at_once(gate: Path, *written: str) -> dict[str, Any]:
    """Programs that write a file each and wait, each until its gate opens."""
    document = workflow(
        *(
            f"echo {number} > {path}; echo > begun{number}; "
            f"while [ ! -e {gate}/{number} ]; do sleep 0.02; done; rm begun{number}"
            for number, path in enumerate(written)
        )
    )
    for step in document["steps"]:
        step["depends_on"] = []
    return document


async def run(place: Place, line: str, **given: Any) -> RunResult:
    async with place.open(box=False) as rt:
        return await rt.call("sys.exec.run_captured", {"argv": ["sh", "-c", line], **given})


async def test_what_a_program_wrote_is_applied_and_undone(yard: Place) -> None:
    """Files, folders and links come, change and go; the undo restores every byte and mode."""
    before = tree(yard)
    async with yard.open(box=False) as rt:
        result = await rt.call("sys.exec.run_captured", {"argv": ["sh", "-c", BUILD]})
        assert result.status == "succeeded", result.error
        output: Any = result.steps[0].output
        assert [(one["path"], one["change"], one["kind"]) for one in output["changes"]] == [
            ("out", "added", "directory"),
            ("src/a.txt", "removed", "file"),
        ]
        assert output["stdout"]["text"] == "done\n"
        assert (yard.workspace / "out/link/all").read_text() == "one\n"
        assert (await rt.undo(result.run_id)).status == "undone"
    assert tree(yard) == before


KINDS = {
    "file-to-folder": "rm src/a.txt; mkdir src/a.txt; echo x > src/a.txt/b",
    "file-to-link": "rm src/a.txt; ln -s ../assent.toml src/a.txt",
    "folder-to-file": "rm -r src; echo file > src",
    "folder-replaced": "rm -r src; mkdir src; echo new > src/b",
    "mode": "chmod 755 src/a.txt",
    "nothing": "true",
    "same-bytes": "cp src/a.txt t; mv t src/a.txt",
    "empty": "mkdir e; : > e/f; : > g",
}


@pytest.mark.parametrize("line", KINDS.values(), ids=KINDS)
async def test_a_path_may_become_something_else(yard: Place, line: str) -> None:
    """Whatever it becomes, the workspace is then as the program saw it, and the undo restores it."""
    before = tree(yard)
    async with yard.open(box=False) as rt:
        result = await rt.call(
            "sys.exec.run_captured", {"argv": ["sh", "-c", f"{line}; find . -type f | sort"]}
        )
        assert result.status == "succeeded", result.error
        seen = result.steps[0].output["stdout"]["text"]  # type: ignore[index,call-overload]  # an object
        here = sorted(
            f"./{path.relative_to(yard.workspace)}"
            for path in yard.workspace.rglob("*")
            if path.is_file() and not path.is_symlink()
        )
        assert here == str(seen).split()
        assert (await rt.undo(result.run_id)).status == "undone"
    assert tree(yard) == before


async def test_what_is_shown_is_what_is_approved_and_applied(yard: Place) -> None:
    """A program that never writes the same twice runs once: for whoever is asked. Its result is applied as it was shown."""
    yard.policy = ASK
    line = "head -c 8 /dev/urandom | od -An -tx1 > out.txt"
    async with yard.open(box=False) as rt:
        waiting = await rt.run(workflow(line))
        assert waiting.status == "waiting"
        assert not (yard.workspace / "out.txt").exists()
        asked = await rt.show(waiting.run_id)
        del asked
        result = await rt.approve(waiting.run_id, principal=user("boss"))
        assert result.status == "succeeded", result.error
    assert [*(yard.root / "state" / "sandbox").iterdir()] == []


@pytest.mark.parametrize("end", ["reject", "cancel"])
async def test_what_was_shown_goes_with_the_run_that_nobody_wanted(yard: Place, end: str) -> None:
    """And what a killed command left goes when the state is opened again."""
    left = sandbox_of(yard) / "run-left"
    (yard.root / "state").mkdir(mode=0o700)
    (left / "layer").mkdir(parents=True)
    yard.policy = ASK
    async with yard.open(box=False) as rt:
        assert not left.exists()
        waiting = await rt.run(workflow("echo one > a.txt"))
        assert waiting.status == "waiting"
        assert len([*sandbox_of(yard).iterdir()]) == 1
        await rt.plan(workflow("echo two > b.txt"), execute_captured=True)
        ask = rt.reject if end == "reject" else rt.cancel
        await ask(waiting.run_id, principal=user("boss"))
        # A plan that nobody has run yet may still be run.
        assert len([*sandbox_of(yard).iterdir()]) == 1


async def test_a_run_whose_program_still_runs_is_there_and_ends_when_it_is_cancelled(yard: Place) -> None:
    """Its program runs before the step begins; the run and what came before are on record all the same, and nothing stays."""
    async with yard.open(box=False) as rt:
        running = asyncio.ensure_future(
            rt.run(workflow("echo one > b.txt", "echo > begun; sleep 100; echo x > c.txt"))
        )
        await until_begun(yard)
        async with asyncio.timeout(60):
            while rt.kinds((await rt.unfinished())[0])[-1] != "step.succeeded":  # noqa: ASYNC110  # another task records it
                await asyncio.sleep(0.01)
        result = await rt.cancel((await rt.unfinished())[0])
        assert result.status == "cancelled"
        assert (await running).status == "cancelled"
        assert rt.kinds(result.run_id)[-4:] == [
            "run.rollback_started",
            "compensation.started",
            "compensation.succeeded",
            "run.cancelled",
        ]
    assert [*sandbox_of(yard).iterdir()] == []
    assert sorted(path.name for path in yard.workspace.iterdir()) == ["assent.toml", "src"]


async def test_programs_of_one_run_run_at_once(yard: Place, tmp_path: Path) -> None:
    """Neither ends before both have begun."""
    gate = readable(yard, tmp_path)
    async with yard.open(box=False) as rt:
        running = asyncio.ensure_future(rt.run(at_once(gate, "a.txt", "b.txt")))
        await until_begun(yard, 2)
        for number in ("0", "1"):
            (gate / number).touch()
        result = await running
        assert result.status == "succeeded", result.error
        assert [(yard.workspace / name).read_text() for name in ("a.txt", "b.txt")] == ["0\n", "1\n"]
        await rt.undo(result.run_id)
    assert sorted(path.name for path in yard.workspace.iterdir()) == ["assent.toml", "src"]


async def test_programs_that_ran_at_once_and_wrote_the_same_conflict(yard: Place, tmp_path: Path) -> None:
    """Neither saw what the other wrote: the one that ends last is refused, and the run is taken back."""
    gate = readable(yard, tmp_path)
    async with yard.open(box=False) as rt:
        running = asyncio.ensure_future(rt.run(at_once(gate, "src/a.txt", "src/a.txt")))
        await until_begun(yard, 2)
        (gate / "0").touch()
        async with asyncio.timeout(60):
            while (yard.workspace / "src/a.txt").read_text() != "0\n":  # noqa: ASYNC110  # another task writes it
                await asyncio.sleep(0.01)
        (gate / "1").touch()
        result = await running
        assert (result.status, code(result)) == ("rolled_back", "FILE_CHANGED"), result.error
    assert (yard.workspace / "src/a.txt").read_text() == "one\n"
    assert [*sandbox_of(yard).iterdir()] == []


@pytest.mark.parametrize("line", ["echo x >> assent.toml", "mkfifo pipe", "exit 3"])
async def test_what_is_refused_leaves_no_capture_behind(yard: Place, line: str) -> None:
    yard.policy = ASK
    async with yard.open(box=False) as rt:
        await rt.run(workflow(line))
    assert [*sandbox_of(yard).iterdir()] == []


async def test_an_approval_is_void_when_the_workspace_changed(yard: Place) -> None:
    """Somebody changes what the program reads: it runs again, and another result is asked for again."""
    yard.policy = ASK
    async with yard.open(box=False) as rt:
        waiting = await rt.run(workflow("cp src/a.txt out.txt"))
        (yard.workspace / "src/a.txt").write_text("two\n")
        again = await rt.approve(waiting.run_id, principal=user("boss"))
        assert (again.status, (yard.workspace / "out.txt").exists()) == ("waiting", False)
        result = await rt.approve(waiting.run_id, principal=user("boss"))
        assert result.status == "succeeded", result.error
    assert (yard.workspace / "out.txt").read_text() == "two\n"


async def test_a_plan_runs_programs_only_when_it_is_told_to(yard: Place) -> None:
    """Without being told it says that it can't know; what follows a change that is not there yet can't be known either."""
    lines = ("echo new > b.txt", "cat b.txt")
    async with yard.open(box=False) as rt:
        blind = (await rt.plan(workflow(*lines))).steps
        assert [step.known for step in blind] == [False, False]
        assert "assent plan --execute-captured" in blind[0].preview.diff
        seen = (await rt.plan(workflow(*lines), execute_captured=True)).steps
        assert [step.known for step in seen] == [True, False]
        assert "+new" in seen[0].preview.diff
        assert "an earlier step changes files" in seen[1].preview.diff
    assert not (yard.workspace / "b.txt").exists()


async def test_what_is_ignored_is_not_taken_over(yard: Place) -> None:
    line = "mkdir -p cache/x out; echo 1 > cache/x/y; echo 2 > out/keep; echo 3 > out/a.o"
    result = await run(yard, line, ignore=["cache/", "*.o"])
    assert result.status == "succeeded", result.error
    assert sorted(path.name for path in yard.workspace.rglob("*")) == [
        "a.txt",
        "assent.toml",
        "keep",
        "out",
        "src",
    ]
    assert result.steps[0].output["ignored"] == 4  # type: ignore[index,call-overload]  # an object
    assert code(await run(yard, "true", ignore=["#"])) == "PATTERN_INVALID"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mkfifo pipe; echo x > y", "CAPTURE_REFUSED"),
        ("ln -s /etc/passwd way_out", "CAPTURE_REFUSED"),
        ("ln -s ../../outside way_out", "CAPTURE_REFUSED"),
        ("echo x >> assent.toml", "PATH_PROTECTED"),
        ("echo x > y; exit 1", "PROGRAM_FAILED"),
        ("echo x > y; kill -9 $$", "PROGRAM_FAILED"),
    ],
)
async def test_what_can_not_be_taken_over_leaves_the_workspace_alone(
    yard: Place, line: str, expected: str
) -> None:
    before = tree(yard)
    result = await run(yard, line)
    assert (result.status, code(result)) == ("failed", expected)
    assert tree(yard) == before


async def test_somebody_elses_change_to_what_was_written_stops_the_undo(yard: Place) -> None:
    async with yard.open(box=False) as rt:
        result = await rt.call("sys.exec.run_captured", {"argv": ["sh", "-c", "echo x > y; echo z > w"]})
        (yard.workspace / "y").write_text("mine\n")
        with pytest.raises(RefusedError) as refused:
            await rt.undo(result.run_id)
        assert refused.value.code == "COMPENSATION_CONFLICT"
    assert (yard.workspace / "w").read_text() == "z\n"


UNUSABLE = {
    "no-utf-8": "touch $(printf '\\377')",
    "beside-no-utf-8": "mkdir -p $(printf 'd\\377'); touch $(printf 'd\\377/f')",
    "temporary": "touch .assent-0123456789abcdef0123456789abcdef.tmp",
    "inner-temporary": "mkdir -p n; touch n/.assent-0123456789abcdef0123456789abcdef.tmp",
}


@pytest.mark.parametrize("line", UNUSABLE.values(), ids=UNUSABLE)
async def test_a_name_that_nobody_could_undo_is_refused(yard: Place, line: str) -> None:
    """No UTF-8, which no record can hold, or one that Assent removes by itself: nothing of the program is taken over."""
    before = tree(yard)
    result = await run(yard, f"echo fine > fine; {line}")
    error: Any = result.steps[0].error
    assert error["code"] == "CAPTURE_REFUSED"
    assert tree(yard) == before


async def test_what_is_ignored_may_have_any_name(yard: Place) -> None:
    line = f"echo fine > fine; mkdir n; {UNUSABLE['temporary']}; {UNUSABLE['inner-temporary']}"
    result = await run(yard, line, ignore=["*.tmp"])
    assert result.status == "succeeded", result.error
    assert (yard.workspace / "fine").read_text() == "fine\n"


GIT = {
    "hook": "mkdir -p .git/hooks; echo 'touch ~/owned' > .git/hooks/pre-commit",
    "config": "printf '[core]\\n\\tfsmonitor = touch ~/owned\\n' >> .git/config",
    "case": "mkdir -p .GIT; echo x > .GIT/Config",
    "submodule": "mkdir -p .git/modules/m; echo x > .git/modules/m/config",
    "whole": "rm -rf .git; mkdir .git; echo x > .git/config",
    "elsewhere": "rm -rf .git; echo 'gitdir: ./evil' > .git",
    "nested": "mkdir -p deep/clone/.git; echo x > deep/clone/.git/config",
    "bare": "mkdir -p b/objects b/refs; echo x > b/HEAD; echo x > b/config",
    "linked": "mkdir clone; echo 'gitdir: ../evil' > clone/.git",
}


@pytest.mark.parametrize("line", GIT.values(), ids=GIT)
async def test_a_program_leaves_nothing_that_git_would_start(yard: Place, line: str) -> None:
    """Whoever types `git status` afterwards would run it outside of every wall."""
    (yard.workspace / ".git/objects").mkdir(parents=True)
    (yard.workspace / ".git/config").write_text("[core]\n")
    before = tree(yard)
    result = await run(yard, line)
    error: Any = result.steps[0].error
    assert error["code"] == "PATH_PROTECTED"
    assert tree(yard) == before
    fine = await run(yard, "echo x > .git/objects/x; mkdir away; echo x > away/git")
    assert fine.status == "succeeded", fine.error


async def test_what_somebody_wrote_while_the_program_ran_is_not_overwritten(
    yard: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program may have read the file before: what it makes of it is not put in place of what it never saw."""
    file, take = yard.workspace / "src/a.txt", _output.Output.take

    def taken(output: _output.Output, name: str, piece: bytes) -> None:
        file.write_text("precious\n")
        (yard.workspace / "src/beside.txt").write_text("nobody's business\n")
        take(output, name, piece)

    monkeypatch.setattr(_output.Output, "take", taken)
    result = await run(yard, "cp src/a.txt ~/a; echo ready; echo more >> ~/a; cp ~/a src/a.txt")
    error: Any = result.steps[0].error
    assert (error["code"], file.read_text()) == ("FILE_CHANGED", "precious\n")
    fine = await run(yard, "echo ready; echo new > src/new.txt")
    assert fine.status == "succeeded", fine.error
    monkeypatch.setattr(_stamp, "STAMPED_ENTRIES_MAX", 1)
    unknown = await run(yard, "echo ready; echo more > src/a.txt")
    assert unknown.status == "succeeded", unknown.error


@pytest.mark.parametrize("kind", ["as here", "copy"])
async def test_what_comes_while_a_program_runs_is_no_change_of_its(
    yard: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Somebody's new file holds nothing up where the program works on a copy, which lacks it; one in a folder that goes does."""
    if kind == "copy":
        monkeypatch.setattr(Sandbox, "_takes_overlay", lambda _self, _layer: False)
    gate = readable(yard, tmp_path)
    (yard.workspace / "old").mkdir()
    (yard.workspace / "old/a.txt").write_text("old\n")
    ready = f"echo > begun; while [ ! -e {gate}/0 ]; do sleep 0.02; done; rm begun"
    for line, wanted in ((f"{ready}; echo x > mine.txt", None), (f"{ready}; rm -r old", "FILE_CHANGED")):
        async with yard.open(box=False) as rt:
            running = asyncio.ensure_future(rt.run(workflow(line)))
            await until_begun(yard)
            for name in (f"theirs{wanted}", f"old/theirs{wanted}"):
                (yard.workspace / name).write_text("theirs\n")
            (gate / "0").touch()
            result = await running
        error: Any = result.steps[0].error
        assert (error and error["code"]) == wanted, result.error
        (gate / "0").unlink()
    assert (yard.workspace / "mine.txt").read_text() == "x\n"
    assert sorted(one.name for one in (yard.workspace / "old").iterdir()) == [
        "a.txt",
        "theirsFILE_CHANGED",
        "theirsNone",
    ]


async def test_the_same_program_takes_turns_with_itself(yard: Place) -> None:
    """Each call has a capture of its own, of the workspace as it is when its turn comes; nothing of a turn stays behind."""
    line = "ls > seen.$(ls | wc -l); mkdir -p many; for n in 1 2 3 4 5 6 7 8; do echo $n > many/$n; done"
    async with yard.open(box=False) as rt:
        calls = [rt.call("sys.exec.run_captured", {"argv": ["sh", "-c", line]}) for _ in range(5)]
        results = await asyncio.gather(*calls)
        assert {result.status for result in results} <= {"succeeded", "failed"}
        failed: list[Any] = [result.steps[0].error for result in results if result.status == "failed"]
        assert {error["code"] for error in failed} <= {"FILE_CHANGED", "FILE_EXISTS"}
        assert len(failed) < len(results)
        assert rt.app.get(Programs)._turns == {}
    assert [int((yard.workspace / f"many/{n}").read_text()) for n in range(1, 9)] == [*range(1, 9)]
    assert [*(yard.root / "state" / "sandbox").iterdir()] == []
