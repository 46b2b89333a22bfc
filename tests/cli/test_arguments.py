"""What a command line says to a parameter is read by the type that the parameter declares."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assent.cli._arguments import read_arguments, read_text
from assent.cli._door import Door
from assent.cli.runs._workflow import Inputs
from assent.errors import AssentError, Json
from tests.support.door import ScriptedRuntime, Terminal, run_object

SCHEMAS: dict[str, dict[str, Json]] = {
    "text": {"type": "string"},
    "count": {"type": "integer"},
    "flag": {"type": "boolean"},
    "items": {"type": "array"},
}


def read(*words: str, cwd: Path = Path()) -> dict[str, Json]:
    return read_arguments(words, SCHEMAS.get, Door({"HOME": str(cwd)}, cwd.absolute()))


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("text=5", "5"),
        ("text=", ""),
        ("text=a=b", "a=b"),
        ("text=line\nline", "line\nline"),
        ("count=5", 5),
        ("flag=true", True),
        ("items=[1]", [1]),
        ("text:=5", 5),
        ('items:={"a": null}', {"a": None}),
        ("unknown=5", "5"),
    ],
)
def test_a_value_is_read_by_its_declared_type(word: str, value: Json) -> None:
    assert list(read(word).values()) == [value]


def test_a_value_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("seven\n")
    (tmp_path / "n").write_text("7\n")
    assert read("text=@f", "count=@n", cwd=tmp_path) == {"text": "seven\n", "count": 7}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("novalue",), "ARGUMENT_INVALID"),
        (("=x",), "ARGUMENT_INVALID"),
        (("a b=x",), "ARGUMENT_INVALID"),
        (("text=1", "text=2"), "ARGUMENT_INVALID"),
        (("text:={",), "ARGUMENT_INVALID"),
        (("text:=NaN",), "ARGUMENT_INVALID"),
        (("count=x",), "INVALID_INPUT"),
        (("flag=yes",), "INVALID_INPUT"),
        (("text=@none",), "FILE_MISSING"),
        (("text=@/",), "FILE_UNREADABLE"),
    ],
)
def test_what_cannot_be_read_is_refused(words: tuple[str, ...], code: str, tmp_path: Path) -> None:
    with pytest.raises(AssentError) as raised:
        read(*words, cwd=tmp_path)
    assert raised.value.code == code


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"a\xff")
    with pytest.raises(AssentError) as raised:
        read("text=@f", cwd=tmp_path)
    assert (raised.value.code, "byte 1" in raised.value.message) == ("FILE_UNREADABLE", True)
    assert "base64" in str(raised.value.hint)
    with pytest.raises(AssentError) as raised:
        read_text(tmp_path / "f", what="the workflow")
    assert raised.value.hint == "save the file as UTF-8", "a workflow is not a parameter that takes base64"


def test_the_inputs_of_a_workflow_declare_their_types() -> None:
    inputs = Inputs({"inputs": {"n": "integer", "m": {"type": "array"}, "broken": {"type": 3}}})
    assert inputs("n") == {"type": "integer"}
    assert inputs("m") == {"type": "array"}
    assert inputs("none") is None
    assert inputs("broken") is None, "the runtime refuses it, with its place"


WORKFLOW = "name: w\ninputs: { n: integer, s: string }\nsteps: [{ name: a, capability: sys.noop }]\n"


def test_run_sends_text_source_folder_and_typed_inputs(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    terminal.write("sub/w.yaml", WORKFLOW)
    runtime.answers["run"] = run_object()
    assert terminal("run", "sub/w.yaml", "n=3", "s=3", "--as", "agent:bot").code == 0
    request = runtime.requests[0]
    assert request["text"] == WORKFLOW
    assert (request["source"], request["base"]) == ("sub/w.yaml", str(terminal.folder / "sub"))
    assert request["inputs"] == {"n": 3, "s": "3"}
    assert request["plan"] is None


def test_run_takes_a_plan_by_its_id_and_no_other_inputs(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    runtime.answers["run"] = run_object()
    assert terminal("run", "plan_01abc").code == 0
    assert (runtime.requests[0]["plan"], runtime.requests[0]["text"]) == ("plan_01abc", "")
    assert terminal("run", "plan_01abc", "n=1", "--json").error["code"] == "ARGUMENT_INVALID"
    assert terminal("run", "none.yaml", "--json").error["code"] == "FILE_MISSING"


def test_call_hands_on_texts_whose_type_only_the_capability_knows(
    terminal: Terminal, runtime: ScriptedRuntime
) -> None:
    """No runtime is made to learn it: the one that carries the call out reads them."""
    runtime.answers["call"] = run_object(workflow=None)
    assert terminal("call", "io.fs.write_file", "path=7", "content=x", "create_dirs:=true").code == 0
    assert [request["op"] for request in runtime.requests] == ["call"]
    assert runtime.looks == []
    assert (runtime.requests[0]["parameters"], runtime.requests[0]["words"]) == (
        {"create_dirs": True},
        {"path": "7", "content": "x"},
    )


def test_requests_carry_what_was_said(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    for operation in ("approve", "reject", "cancel", "undo", "resolve", "erase"):
        runtime.answers[operation] = run_object()
    terminal("approve", "R", "s", "--digest", "D")
    terminal("reject", "R", "--reason", "why", "--digest", "D")
    terminal("cancel", "R")
    terminal("undo", "R", "--partial")
    terminal("resolve", "R", "s", "--happened", "--output", '{"a": 1}')
    terminal("audit", "erase", "R", "S", "--yes")
    assert runtime.requests == [
        {"op": "approve", "run": "R", "step": "s", "digest": "D"},
        {"op": "reject", "run": "R", "step": None, "digest": "D", "reason": "why"},
        {"op": "cancel", "run": "R", "last": False},
        {"op": "undo", "run": "R", "partial": True},
        {"op": "resolve", "run": "R", "step": "s", "resolution": "happened", "output": {"a": 1}},
        {"op": "erase", "runs": ("R", "S"), "compact": False},
    ]


def test_accepting_without_proof_is_confirmed_by_typing(
    terminal: Terminal, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody accepts by a mere Enter, and a script that does not say `--yes` is refused."""
    runtime.answers["accept_tail"] = {"start": 17, "entries": 2, "runs": ["run_1"]}
    assert terminal("audit", "accept", "--from", "17", "--json").error["code"] == "USAGE_INVALID"
    assert runtime.requests == []
    assert terminal("audit", "accept", "--from", "17", "--yes").code == 0
    monkeypatch.setattr(Door, "can_ask", True)
    for said, count in (("", 1), ("y", 1), ("18", 1), (None, 1), (" 17 ", 2)):
        monkeypatch.setattr("assent.cli.record._audit.read_line", lambda _, said=said: said)
        assert terminal("audit", "accept", "--from", "17").code == 0
        assert runtime.requests == [{"op": "accept_tail", "start": 17}] * count


@pytest.mark.parametrize(
    "words",
    [
        ("resolve", "R", "s"),
        ("resolve", "R", "s", "--abandon", "--output", "1"),
        ("resolve", "R", "s", "--happened", "--not-happened"),
        ("show", "R", "--output", "s", "--attachment", "ab"),
        ("show", "R", "--output", "s", "--snapshot", "f"),
        ("runs", "--status", "rolled back"),
        ("run", "plan_1", "--wait=soon"),
        ("audit", "log", "--since", "yesterday"),
        ("explain", "NO_SUCH_CODE"),
        ("help", "nothing"),
        ("plan", "w.yaml", "--detail", "none"),
        ("policy", "check"),
    ],
)
def test_what_a_command_does_not_understand_is_a_usage_error(
    terminal: Terminal, runtime: ScriptedRuntime, words: tuple[str, ...]
) -> None:
    terminal.write("w.yaml", WORKFLOW)
    runtime.planned = {"plan_id": "plan_1", "workflow": "w", "steps": [], "summary": {}}
    answer = terminal(*words, "--json")
    assert (answer.code, answer.error["code"]) == (2, "USAGE_INVALID")
    assert answer.error["hint"]


@pytest.mark.parametrize("words", [("show",), ("cancel",), ("audit", "log", "--run")])
def test_a_word_that_is_no_text_is_refused_where_it_is_looked_up(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """Bytes of another encoding are no fault of Assent's own."""
    real = Terminal(folder, capsys, None)
    assert real("init").code == 0
    assert real("call", "sys.noop").code == 0
    answer = real(*words, "\udcff", "--json")
    assert (answer.code, answer.error["code"]) == (2, "USAGE_INVALID")


def test_a_rejection_of_what_is_not_asked_by_now_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever rejects with a digest rejects what was shown, as whoever approves with one."""
    real = Terminal(folder, capsys, None)
    assert real("init").code == 0
    real.write("x", "x")
    assert real("call", "io.fs.delete", "path=x").code == 4
    [asked] = json.loads(real("approvals", "--json").out)
    stale = real("reject", asked["run_id"], "--digest", "0" * 64, "--json")
    assert (stale.code, stale.error["code"]) == (3, "APPROVAL_STALE")
    assert real("reject", asked["run_id"], "--digest", asked["digest"]).code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("runs", "--limit", "0"), "`--limit` must be a whole number, 1 or more"),
        (("deliveries", "--limit", "many"), "`--limit` must be a whole number, 1 or more"),
        (("findings", "list", "--limit", "5000"), "`--limit` must be a whole number, 1 to 1000"),
        (("audit", "prove", "x"), "`SEQ` must be a whole number, 0 or more"),
        (("runs", "--color", "blue"), "`--colour` must be one of: auto, always, never"),
        (("completion", "csh"), "`SHELL` must be one of: bash, zsh, fish"),
    ],
)
def test_a_value_out_of_range_is_told_what_it_must_be(
    terminal: Terminal, words: tuple[str, ...], said: str
) -> None:
    answer = terminal(*words)
    assert (answer.code, answer.err.splitlines()[0]) == (2, f"error: {said}   [USAGE_INVALID]")


def test_what_is_hidden_from_runs_can_be_no_value(tmp_path: Path) -> None:
    """The signing key, the state, a secret's file: by its path, by a link, by a hard link, by a descriptor."""
    (tmp_path / "assent.toml").write_text('[ledger]\nkey = "key"\n[secrets.mail]\nfrom = "file:mail"\n')
    (tmp_path / ".assent" / "plans").mkdir(parents=True)
    hidden = [tmp_path / "key", tmp_path / "mail", tmp_path / ".assent" / "plans" / "one.json"]
    for path in hidden:
        path.write_text("not for anybody")
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(path)
        (tmp_path / "hard").unlink(missing_ok=True)
        (tmp_path / "hard").hardlink_to(path)
        with path.open() as file:
            for way in (path, tmp_path / "link", tmp_path / "hard", Path(f"/proc/self/fd/{file.fileno()}")):
                with pytest.raises(AssentError) as refused:
                    read(f"text=@{way}", cwd=tmp_path)
                assert refused.value.code == "PATH_PROTECTED", way
    (tmp_path / "open.txt").write_text("for everybody")
    assert read("text=@open.txt", cwd=tmp_path) == {"text": "for everybody"}
