"""The real command against the real runtime: what is typed happens, and what is printed is what happened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import apsw
import pexpect
import pytest

from assent.errors import Json
from assent.system import SystemIds
from tests.support.nursery import Nursery

WORKFLOW = """\
name: release
inputs:
  who: string
  fails: { type: boolean, default: false }
steps:
  - name: write
    capability: io.fs.write_file
    inputs: { path: out/a.txt, content: "hello ${{ inputs.who }}\\n", create_dirs: true }
  - name: drop
    capability: io.fs.delete
    inputs: { path: old.txt }
  - name: fail
    capability: sys.fail
    inputs: { message: on purpose }
    when: inputs.fails
outputs:
  who: ${{ inputs.who }}
"""

CRITICAL = """\
name: critical
steps:
  - name: drop
    capability: io.fs.delete
    inputs: { path: old.txt }
    risk_level: CRITICAL
"""

CRITICAL_POLICY = "version: 1\nrules: [{ id: asks, when: { capability: '*' }, decision: REQUIRE_APPROVAL }]\n"


@dataclass(frozen=True)
class Shell:
    """A folder with a home beside it, in which commands are typed."""

    folder: Path
    env: dict[str, str]
    nursery: Nursery

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        ended = self.nursery.run(*words, cwd=self.folder, env=self.env)
        return subprocess.CompletedProcess(words, ended.code, ended.out, ended.err)

    def json(self, *words: str) -> tuple[int, dict[str, Json]]:
        answer = self(*words, "--json")
        value = json.loads(answer.stdout)
        assert isinstance(value, dict), answer.stderr
        return answer.returncode, value

    def list(self, *words: str) -> list[dict[str, Json]]:
        value = json.loads(self(*words, "--json").stdout)
        assert isinstance(value, list)
        return value

    def terminal(self, *words: str, is_forked: bool = True) -> pexpect.spawn[str]:
        """The command with a person at its terminal, whose Ctrl-C does not reach a forked one."""
        program, *more = [str(self.nursery.bin / "assent")] if is_forked else [sys.executable, "-m", "assent"]
        return pexpect.spawn(
            program,
            [*more, *words],
            cwd=str(self.folder),
            env=self.env | {"TERM": "dumb", "COLUMNS": "200"},
            encoding="utf-8",
            timeout=60,
            dimensions=(50, 200),
        )

    def tree(self) -> dict[str, bytes]:
        """Every file of the folder but the state, with its bytes."""
        files = (path for path in self.folder.rglob("*") if path.is_file() and ".assent" not in path.parts)
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in files}


@pytest.fixture
def shell(tmp_path: Path, nursery: Nursery) -> Shell:
    folder, home = tmp_path / "here", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    (folder / "w.yaml").write_text(WORKFLOW)
    (folder / "old.txt").write_text("old\n")
    dropped = ("ASSENT_", "XDG_", "NO_COLOR", "CLICOLOR")
    env = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return Shell(folder, env | {"HOME": str(home)}, nursery)


def finish(child: pexpect.spawn[str]) -> tuple[int | None, str]:
    """The exit code, and what was printed since the last expectation."""
    child.expect(pexpect.EOF)
    rest = child.before or ""
    child.close()
    return child.exitstatus, rest


def test_a_run_waits_is_approved_and_succeeds(shell: Shell) -> None:
    code, run = shell.json("run", "w.yaml", "who=bob")
    assert (code, run["status"]) == (4, "waiting")
    assert (shell.folder / "old.txt").exists()
    [approval] = shell.list("approvals")
    assert (approval["step"], approval["run_id"]) == ("drop", run["run_id"])
    code, run = shell.json("approve", str(run["run_id"]), "drop", "--digest", str(approval["digest"]))
    assert (code, run["status"], run["outputs"]) == (0, "succeeded", {"who": "bob"})
    assert not (shell.folder / "old.txt").exists()
    assert shell.list("approvals") == []


def test_a_rejection_takes_everything_back(shell: Shell) -> None:
    before = shell.tree()
    run = shell.json("run", "w.yaml", "who=bob")[1]
    answer = shell("reject", str(run["run_id"]), "--reason", "not today")
    assert answer.returncode == 0, answer.stderr
    assert shell.tree() == before
    code, shown = shell.json("show", str(run["run_id"]))
    error = shown["error"]
    assert isinstance(error, dict)
    assert (code, shown["status"], error["code"]) == (0, "rolled_back", "APPROVAL_REJECTED")


def test_a_failure_is_rolled_back_and_shown_first(shell: Shell) -> None:
    before = shell.tree()
    run = shell.json("run", "w.yaml", "who=bob", "fails=true")[1]
    answer = shell("approve", str(run["run_id"]), "--unseen")
    assert answer.returncode == 1
    assert shell.tree() == before
    shown = shell("show", str(run["run_id"])).stdout.splitlines()
    assert shown[0].startswith("rolled back  release")
    assert shown[2].startswith("error: step `fail`: on purpose")


def test_a_plan_changes_nothing_and_runs_once_as_it_was_shown(shell: Shell) -> None:
    before = shell.tree()
    answer = shell("plan", "w.yaml", "who=bob", "--exit-code")
    assert answer.returncode == 11, answer.stderr
    assert "+hello bob" in answer.stdout
    assert "-old" in answer.stdout
    assert shell.tree() == before
    assert shell.list("runs") == []
    plan_id = answer.stdout.split()[1]
    code, run = shell.json("run", plan_id)
    assert (code, run["status"]) == (4, "waiting")
    code, used = shell.json("run", plan_id)
    assert (code, set(used)) == (2, {"error"})


def test_an_undo_asks_restores_every_byte_and_the_ledger_proves_it(shell: Shell) -> None:
    before = shell.tree()
    run = shell.json("run", "w.yaml", "who=bob")[1]
    run_id = str(run["run_id"])
    assert shell("approve", run_id, "--unseen").returncode == 0
    assert shell.tree() != before
    code = shell("undo", run_id).returncode
    if code == 4:
        [asked] = shell.list("approvals")
        code = shell("approve", run_id, str(asked["step"]), "--digest", str(asked["digest"])).returncode
    assert code == 0
    assert shell.tree() == before
    assert shell.json("audit", "verify")[0] == 0
    written = shell("audit", "prove", "1", "--output", "p")
    assert written.returncode == 0
    check = written.stderr.partition("check it anywhere: assent ")[2].split()
    assert shell(*check).returncode == 0, "the command that is told works as it stands"
    assert shell("audit", "export", "x").returncode == 0
    assert shell("audit", "verify-proof", "p", "--key", "x/ledger.vkey").returncode == 0
    assert shell("audit", "verify", "--export", "x").returncode == 0
    whole = shell("audit", "export", "whole", "--payloads")
    assert "payloads as stored" in whole.stderr
    assert shell("audit", "verify", "--export", "whole").returncode == 0, (
        "also with payloads that keep pre-images"
    )
    proof = (shell.folder / "p").read_text()
    (shell.folder / "p").write_text(proof.replace("1", "2", 1))
    assert shell("audit", "verify-proof", "p", "--key", "x/ledger.vkey").returncode == 6


def test_a_row_that_nobody_recorded_is_a_finding_and_no_fault_of_ours(shell: Shell) -> None:
    """`audit verify` exits 6, whatever else reads the row on the way; so does what can't show it."""
    assert shell("call", "sys.noop").returncode == 0
    with closing(apsw.Connection(str(shell.folder / ".assent" / "ledger.db"))) as db:
        db.execute("UPDATE runs SET status = 'lost', started_at_ms = 1 << 62")
    code, report = shell.json("audit", "verify")
    assert (code, report["ok"]) == (6, False)
    assert shell("runs").returncode == 6


def test_a_denied_run_exits_three_and_explains_itself(shell: Shell) -> None:
    (shell.folder / "p.yaml").write_text(
        "version: 1\nrules:\n  - { id: no-deletes, when: { capability: io.fs.delete }, decision: DENY }\n"
        "  - { id: rest, when: { capability: '*' }, decision: ALLOW }\n"
    )
    before = shell.tree()
    code, run = shell.json("run", "w.yaml", "who=bob", "--policy", "p.yaml")
    error = run["error"]
    assert isinstance(error, dict)
    assert (code, error["code"], run["status"]) == (3, "POLICY_DENIED", "rolled_back")
    assert shell.tree() == before
    denials = [
        json.loads(line) for line in shell("audit", "log", "--decision", "DENY", "--json").stdout.splitlines()
    ]
    assert [line["event"]["rule"] for line in denials] == ["no-deletes"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("run", "bad.yaml"), "UNKNOWN_KEY"),
        (("plan", "bad.yaml"), "UNKNOWN_KEY"),
        (("run", "w.yaml"), "INPUT_MISSING"),
        (("run", "w.yaml", "who=x", "--policy", "none.yaml"), "POLICY_MISSING"),
        (("run", "w.yaml", "who=x", "--policy", "w.yaml"), "POLICY_INVALID"),
        (("show", "run_none"), "RUN_UNKNOWN"),
        (("approve", "run_none"), "RUN_UNKNOWN"),
        (("run", SystemIds().plan_id()), "PLAN_UNKNOWN"),
        (("run", "plan_00000000000000000000000000"), "PLAN_EXPIRED"),
    ],
)
def test_bad_input_is_refused_with_its_code_and_records_nothing(
    shell: Shell, words: tuple[str, ...], code: str
) -> None:
    (shell.folder / "bad.yaml").write_text("name: x\nstps: []\n")
    exit_code, answer = shell.json(*words)
    error = answer["error"]
    assert isinstance(error, dict)
    assert (exit_code, error["code"]) == (2, code)
    assert shell.list("runs") == []


def test_a_person_is_asked_on_the_spot_and_nothing_is_the_default(shell: Shell) -> None:
    child = shell.terminal("run", "w.yaml", "who=bob")
    child.expect_exact("approval needed  step `drop`  io.fs.delete  HIGH")
    child.expect_exact("[l]ater: ")
    child.sendline("")
    child.expect_exact("nothing was decided")
    child.expect_exact("[l]ater: ")
    child.sendline("d")
    child.expect_exact("-old")
    child.expect_exact("[l]ater: ")
    child.sendline("w")
    child.expect_exact("rule builtin.high: high risk needs a person's approval")
    child.expect_exact("[l]ater: ")
    assert (shell.folder / "old.txt").exists()
    child.sendline("a")
    code, rest = finish(child)
    assert (code, "succeeded  release" in rest) == (0, True)
    assert not (shell.folder / "old.txt").exists()


def test_a_person_may_reject_with_a_reason(shell: Shell) -> None:
    before = shell.tree()
    child = shell.terminal("run", "w.yaml", "who=bob")
    child.expect_exact("[l]ater: ")
    child.sendline("r")
    child.expect_exact("reason: ")
    child.sendline("wrong day")
    code, rest = finish(child)
    assert (code, "wrong day" in rest) == (3, True)
    assert shell.tree() == before


@pytest.mark.parametrize("key", ["l\n", "\x04"], ids=["later", "end of input"])
def test_later_leaves_the_run_waiting_for_anybody(shell: Shell, key: str) -> None:
    child = shell.terminal("run", "w.yaml", "who=bob")
    child.expect_exact("[l]ater: ")
    child.send(key)
    code, rest = finish(child)
    assert code == 4
    assert "assent approve run_" in rest
    [run] = shell.list("runs")
    assert run["status"] == "waiting"


def test_a_critical_step_asks_for_the_name_of_its_target(shell: Shell) -> None:
    (shell.folder / "c.yaml").write_text(CRITICAL)
    (shell.folder / "p.yaml").write_text(CRITICAL_POLICY)
    run = str(shell.json("run", "c.yaml", "--policy", "p.yaml")[1]["run_id"])
    child = shell.terminal("approve", run, "--policy", "p.yaml", "--as", "user:bob")
    child.expect_exact("[l]ater: ")
    child.sendline("a")
    child.expect_exact("this is CRITICAL: type `old.txt` to approve: ")
    child.sendline("y")
    child.expect_exact("nothing was decided")
    child.expect_exact("[l]ater: ")
    child.sendline("l")
    assert finish(child)[0] == 4
    assert (shell.folder / "old.txt").exists()


def test_a_colleague_is_shown_what_waits_and_asked(shell: Shell) -> None:
    """All of it: what stands at the end of a long input, and what would change; CRITICAL wants its target typed."""
    (shell.folder / "c.yaml").write_text(CRITICAL)
    run = str(shell.json("run", "c.yaml")[1]["run_id"])
    refused = shell("approve", run[:-4], "--as", "user:bob")
    assert (refused.returncode, "--unseen" in refused.stderr) == (2, True), refused.stderr
    child = shell.terminal("approve", run[:-4], "--as", "user:bob")
    child.expect_exact("path: old.txt")
    child.expect_exact("[l]ater: ")
    child.sendline("l")
    assert finish(child)[0] == 4
    child = shell.terminal("approve", run, "drop", "--as", "user:bob")
    child.expect_exact("[l]ater: ")
    child.sendline("a")
    child.expect_exact("to approve: ")
    child.sendline("old.txt")
    assert finish(child)[0] == 0
    assert not (shell.folder / "old.txt").exists()
    assert "digest not confirmed" not in shell("show", run).stdout
    (shell.folder / "old.txt").write_text("old\n")
    other = str(shell.json("run", "w.yaml", "who=bob")[1]["run_id"])
    assert shell("approve", other, "--unseen", "--as", "agent:helper").returncode == 3
    assert shell("approve", other, "--unseen").returncode == 0
    assert "digest not confirmed" in shell("show", other).stdout
    log = shell("audit", "log").stdout
    assert f"APPROVER_REFUSED on {other}, count 1 (asserted)" in log
    assert log.count("digest not confirmed") == 1


def test_several_runs_are_shown_and_asked_about_one_after_the_other(shell: Shell) -> None:
    runs = []
    for name in ("one.txt", "two.txt"):
        (shell.folder / name).write_text("x")
        runs.append(str(shell.json("call", "io.fs.delete", f"path={name}")[1]["run_id"]))
    child = shell.terminal("approve", *runs)
    for name, answer in (("one.txt", "a"), ("two.txt", "l")):
        child.expect_exact(f"path: {name}")
        child.expect_exact("[l]ater: ")
        child.sendline(answer)
    assert finish(child)[0] == 4, "the second one still waits"
    assert not (shell.folder / "one.txt").exists()
    assert (shell.folder / "two.txt").exists()


def test_nobody_approves_their_own_critical_step_at_the_prompt_either(shell: Shell) -> None:
    (shell.folder / "c.yaml").write_text(CRITICAL)
    child = shell.terminal("run", "c.yaml")
    child.expect_exact("not the requester")
    child.expect_exact("may not decide on step `drop`: somebody other than the requester must decide")
    code, rest = finish(child)
    assert (code, "[l]ater: " in rest) == (4, False), "who may not decide is asked nothing"
    [waiting] = shell.list("approvals")
    assert "somebody other than the requester" in str(waiting["refused"])
    [waiting] = shell.list("approvals", "--as", "user:bob")
    assert waiting["refused"] is None
    [waiting] = shell.list("approvals", "--as", "agent:helper")
    assert "only a principal of the kind user" in str(waiting["refused"])
    assert (shell.folder / "old.txt").exists()


def test_ctrl_c_at_the_question_leaves_the_run_waiting(shell: Shell) -> None:
    child = shell.terminal("run", "w.yaml", "who=bob", is_forked=False)
    child.expect_exact("[l]ater: ")
    child.sendintr()
    code, rest = finish(child)
    assert code == 130
    assert "run_" in rest
    [run] = shell.list("runs")
    assert run["status"] == "waiting"


def test_ctrl_c_leaves_a_run_that_can_be_resumed(shell: Shell) -> None:
    (shell.folder / "s.yaml").write_text(
        "name: slow\nsteps:\n  - { name: a, capability: sys.sleep, inputs: { seconds: 3600 } }\n"
    )
    child = shell.terminal("run", "s.yaml", is_forked=False)
    child.expect_exact("started")
    child.sendintr()
    code, rest = finish(child)
    assert code == 130
    [run] = shell.list("runs")
    assert f"assent resume {run['run_id']}" in rest
    assert run["status"] == "interrupted"


@pytest.mark.parametrize("word", ["close", "cancel"])
def test_resume_says_how_to_end_a_session_that_its_program_left_open(shell: Shell, word: str) -> None:
    """Nothing of it is left to be driven on, so that is no fault; closing keeps what it did, cancelling takes it back."""
    program = """
from assent.sync import Runtime
with Runtime.open(".") as rt:
    rt.session().call("io.fs.write_file", {"path": "left.txt", "content": "left"})
"""
    assert shell.nursery.run("-c", program, cwd=shell.folder, env=shell.env, kind="python").code == 0
    [run] = shell.list("runs")
    for words in (["resume"], ["resume", str(run["run_id"])]):
        resumed = shell(*words)
        assert resumed.returncode == 0
        assert f"running  session  {run['run_id']}" in resumed.stdout
        for told in ("assent close RUN", "assent cancel RUN", 'rt.session("RUN")'):
            assert told.replace("RUN", str(run["run_id"])) in resumed.stderr
    assert (shell.folder / "left.txt").exists()
    assert shell(word, str(run["run_id"])).returncode == 0
    assert (shell.folder / "left.txt").exists() is (word == "close")
    again = shell(word, str(run["run_id"]))
    assert (again.returncode, "RUN_FINISHED" in again.stderr) == (
        (0, False) if word == "close" else (2, True)
    )


def test_only_a_session_is_closed(shell: Shell) -> None:
    _, made = shell.json("call", "io.fs.write_file", "path=a.txt", "content=a")
    refused = shell("close", str(made["run_id"]))
    assert (refused.returncode, "NOT_A_SESSION" in refused.stderr) == (2, True)


def test_while_a_person_is_asked_somebody_else_may_decide(shell: Shell) -> None:
    """Waiting for a person owns nothing: another terminal decides meanwhile, and the second answer learns of it."""
    child = shell.terminal("run", "w.yaml", "who=bob")
    child.expect_exact("[l]ater: ")
    [run] = shell.list("runs")
    assert shell("approve", str(run["run_id"]), "--unseen").returncode == 0
    child.sendline("a")
    code, rest = finish(child)
    assert (code, "does not wait for an approval" in rest) == (0, True)
    assert "succeeded  release" in rest
    assert [one["status"] for one in shell.list("runs")] == ["succeeded"]


def test_wait_follows_until_another_terminal_decides(shell: Shell) -> None:
    words = ("run", "w.yaml", "who=bob", "--wait=60s", "--json")
    waiting = shell.nursery.start(*words, cwd=shell.folder, env=shell.env)
    assert waiting.stderr is not None
    assert waiting.stdout is not None
    with waiting.stdout, waiting.stderr:
        for line in waiting.stderr:
            if line.startswith("waiting"):
                break
        [run] = shell.list("runs")
        assert shell("approve", str(run["run_id"]), "--unseen").returncode == 0
        out = waiting.stdout.read()
    assert (waiting.wait(60), json.loads(out)["status"]) == (0, "succeeded")


def completed(shell: Shell, *words: str) -> list[str]:
    env = shell.env | {
        "_ASSENT_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("assent", *words)),
        "COMP_CWORD": str(len(words)),
    }
    answer = shell.nursery.run(cwd=shell.folder, env=env)
    return [line.partition(",")[2] for line in answer.out.splitlines()]


def test_the_shell_completes_commands_capabilities_and_runs(shell: Shell) -> None:
    run = shell.json("run", "w.yaml", "who=bob")[1]
    assert completed(shell, "appr") == ["approvals", "approve"]
    assert completed(shell, "audit", "ver") == ["verify", "verify-proof"]
    assert completed(shell, "call", "io.fs.write") == ["io.fs.write_bytes", "io.fs.write_file"]
    assert completed(shell, "show", "run_") == [run["run_id"]]
    assert completed(shell, "explain", "POLICY_DEN") == ["POLICY_DENIED"]
    assert completed(shell, "call", "io.fs.hash_file@") == ["io.fs.hash_file@1.0.0"]
    assert completed(shell, "call", "io.fs.write_file", "c") == ["content=", "create_dirs="]
    assert completed(shell, "call", "no.such", "c") == [""]
    assert completed(shell, "capability", "diff", "io.fs.write_file", "1") == ["1.0.0"]
    assert completed(shell, "plugin", "trust", "") == [""]
    (shell.folder / "assent.toml").write_text('[plugins]\npaths = ["words.py"]\n')
    (shell.folder / "words.py").write_text("")
    assert completed(shell, "plugin", "trust", "") == ["words"]
