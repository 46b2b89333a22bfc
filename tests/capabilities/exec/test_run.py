"""`sys.exec.run`: for what a program prints or does elsewhere; what it writes here is thrown away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assent.capabilities.exec._output import STREAMS
from assent.capabilities.exec._programs import Ran
from assent.capabilities.exec._run import require_success
from assent.engine import RunResult
from assent.errors import AssentError, WorldError
from assent.invocation import NoEffectError
from assent.runtime.service._reading import Reader
from assent.sandbox import Holds, Sandbox
from tests.support.bodies import Place, code, policy, rule


async def run(place: Place, *argv: str, **given: Any) -> RunResult:
    async with place.open(box=False) as rt:
        return await rt.call("sys.exec.run", {"argv": [*argv], **given})


async def output(place: Place, *argv: str, **given: Any) -> Any:
    result = await run(place, *argv, **given)
    assert result.status == "succeeded", result.error
    return result.steps[0].output


async def test_a_program_sees_the_workspace_and_leaves_nothing_in_it(yard: Place) -> None:
    found = await output(yard, "sh", "-c", "cat a.txt; echo two > b.txt; cat b.txt; echo oops >&2", cwd="src")
    assert (found["exit_code"], found["stdout"]["text"], found["stderr"]["text"]) == (
        0,
        "one\ntwo\n",
        "oops\n",
    )
    assert sorted(path.name for path in (yard.workspace / "src").iterdir()) == ["a.txt"]
    assert [*(yard.root / "state" / "sandbox").iterdir()] == []


async def test_no_shell_reads_the_arguments(yard: Place) -> None:
    found = await output(yard, "python3", "-c", "import sys; print(sys.argv[1:])", "$HOME; ls", "*")
    assert found["stdout"]["text"] == "['$HOME; ls', '*']\n"


async def test_a_program_gets_the_environment_that_was_named_and_its_input(yard: Place) -> None:
    found = await output(yard, "sh", "-c", "env | sort; cat", environment={"GREETING": "hi"}, stdin="typed\n")
    lines = [
        line
        for line in found["stdout"]["text"].splitlines()
        if not line.startswith(("PWD", "SHLVL", "_=", "OLDPWD", "TMPDIR"))
    ]
    home = lines.pop(1)
    assert home.startswith("HOME=/tmp")  # its own `/tmp`, or its own folder there
    assert lines == ["GREETING=hi", "LANG=C.UTF-8", "PATH=/usr/local/bin:/usr/bin:/bin", "typed"]


async def test_what_is_too_long_is_cut_and_attached_whole(yard: Place) -> None:
    result = await run(yard, "python3", "-c", "for n in range(20000): print('line', n)")
    output: Any = result.steps[0].output
    stream = output["stdout"]
    assert stream["is_cut"] is True
    assert stream["text"].endswith("line 19999\n")
    assert stream["text"].startswith("line ")
    with Reader.open(yard.settings()) as reader:
        whole = b"".join(reader.attachment(result.run_id, stream["log"]["blob"]))
        assert whole.decode() == "".join(f"line {n}\n" for n in range(20000))
        assert reader.verify()["ok"] is True


async def test_a_program_that_fails_without_a_network_has_had_no_effect(yard: Place) -> None:
    result = await run(yard, "sh", "-c", "echo why >&2; exit 3")
    assert (result.status, code(result)) == ("failed", "PROGRAM_FAILED")
    assert result.error is not None
    assert result.error["message"] == "the program ended with exit code 3"
    details: Any = result.error["details"]
    assert (details["exit_code"], details["stderr"]) == (3, "why\n")
    assert (await output(yard, "sh", "-c", "exit 3", check=False))["exit_code"] == 3


async def test_a_program_that_takes_too_long_is_ended(yard: Place) -> None:
    """After the time that the call sets, to the millisecond, and not before."""
    result = await run(yard, "sh", "-c", "sleep 600", timeout="1400ms")
    assert (code(result), (result.error or {})["message"]) == (
        "PROGRAM_LIMIT",
        "the program was ended by its limit `wall`",
    )
    assert str((result.error or {})["hint"]).startswith("give it more time with `timeout`")
    details: Any = (result.error or {})["details"]
    assert details["used"]["wall_ms"] >= 1400


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"argv": ["bash"]}, "PROGRAM_NOT_ALLOWED"),
        ({"argv": ["sh"], "environment": {"LD_PRELOAD": "x"}}, "ENVIRONMENT_NOT_ALLOWED"),
        ({"argv": ["sh"], "cwd": "../.."}, "PATH_ESCAPES"),
        ({"argv": ["sh"], "cwd": "nowhere"}, "NOT_A_DIRECTORY"),
        ({"argv": []}, "INVALID_INPUT"),
        ({"argv": ["sh", "a\0b"]}, "INVALID_INPUT"),
        ({"argv": ["./tool"]}, "PROGRAM_MISSING"),
    ],
)
async def test_what_may_not_be_run_is_not(yard: Place, given: dict[str, Any], expected: str) -> None:
    async with yard.open(box=False) as rt:
        assert code(await rt.call("sys.exec.run", given)) == expected


async def test_nobody_is_asked_about_a_folder_that_a_program_could_not_start_in(yard: Place) -> None:
    yard.policy = policy(rule("asks", "REQUIRE_APPROVAL"))
    async with yard.open(box=False) as rt:
        for cwd, expected in (
            ("../..", "PATH_ESCAPES"),
            ("nowhere", "NOT_A_DIRECTORY"),
            ("src/a.txt", "NOT_A_DIRECTORY"),
        ):
            result = await rt.call("sys.exec.run", {"argv": ["sh"], "cwd": cwd})
            assert (result.status, code(result)) == ("failed", expected)


async def test_a_value_of_a_secret_in_what_is_printed_is_hidden(
    yard: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given by reference, as the operator granted, and stands in no output, attachment or error."""
    monkeypatch.setenv("ASSENT_SECRET_TOKEN", "hunter-of-secrets-7")
    toml = yard.workspace / "assent.toml"
    toml.write_text(toml.read_text() + '[secrets.token]\ncapabilities = ["sys.exec.run"]\n')
    found = await output(
        yard,
        "sh",
        "-c",
        'test "$GREETING" = "x hunter-of-secrets-7" && echo "$GREETING"',
        environment={"GREETING": "x secret://token"},
    )
    assert found["stdout"]["text"] == "x ***\n"


async def test_a_plan_shows_the_command_and_runs_nothing(yard: Place) -> None:
    step: dict[str, Any] = {
        "name": "a",
        "capability": "sys.exec.run",
        "inputs": {"argv": ["sh", "-c", "touch x"], "environment": {"GREETING": "a"}},
    }
    async with yard.open(box=False) as rt:
        planned = (await rt.plan({"name": "w", "steps": [step]})).steps[0]
    assert (
        planned.preview.diff
        == "$ GREETING=… sh -c 'touch x'\n(without a network; what it writes is thrown away)\n"
    )
    assert not (yard.root / "state" / "sandbox").exists()


@pytest.fixture
def no_walls(yard: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The same place on a machine where nothing holds, whose operator runs programs all the same."""
    detect = Sandbox.detect

    def without(**given: Any) -> Sandbox:
        sandbox = detect(**given)
        sandbox.holds = Holds("unconfined", {})
        return sandbox

    monkeypatch.setattr(Sandbox, "detect", without)
    toml = yard.workspace / "assent.toml"
    toml.write_text(f"{toml.read_text()}[sandbox]\nunconfined = true\n")
    return yard


async def test_without_walls_a_program_that_fails_may_have_had_an_effect(no_walls: Place) -> None:
    """Nobody can say what it did, so nothing is repeated and somebody is asked."""
    result = await run(no_walls, "sh", "-c", "exit 3")
    assert (result.status, result.steps[0].status) == ("needs_attention", "in_doubt")
    assert (await output(no_walls, "sh", "-c", "echo done"))["stdout"]["text"] == "done\n"


async def test_without_walls_nothing_is_captured(no_walls: Place) -> None:
    """A preview must not act, and without walls it would: neither a plan nor an approval runs the program."""
    step: dict[str, Any] = {
        "name": "a",
        "capability": "sys.exec.run_captured",
        "inputs": {"argv": ["sh", "-c", "echo x > escaped"]},
    }
    async with no_walls.open(box=False) as rt:
        assert code(await rt.call("sys.exec.run_captured", step["inputs"])) == "SANDBOX_UNAVAILABLE"
        planned = (await rt.plan({"name": "w", "steps": [step]}, execute_captured=True)).steps[0]
    assert planned.error is not None
    assert planned.error["code"] == "SANDBOX_UNAVAILABLE"
    assert not (no_walls.workspace / "escaped").exists()


@pytest.mark.parametrize(("may_act", "kind"), [(True, WorldError), (False, NoEffectError)])
def test_a_program_that_somebody_else_ended_was_not_cancelled(
    tmp_path: Path, may_act: bool, kind: type[AssentError]
) -> None:
    for name in STREAMS:
        (tmp_path / name).write_bytes(b"")
    ran = Ran(
        folder=tmp_path,
        exit_code=None,
        signal=9,
        limit="lost",
        cpu_ms=0,
        memory_bytes=0,
        wall_ms=0,
        may_act=may_act,
    )
    with pytest.raises(kind, match="somebody ended what held the program") as ended:
        require_success(ran, check=False)
    assert ended.value.code == "SANDBOX_FAILED"
