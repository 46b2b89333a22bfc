"""`assent secrets`: values go in by a prompt or a pipe and come out nowhere; the ledger tells who used which."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from assent import Runtime
from assent.cli import main
from assent.invocation import Handler, LocalContext
from assent.spec import create_read_capability
from assent.spec.secret_text import SecretText

VALUE = "correct horse battery staple"
OTHER = "another value altogether"


@pytest.fixture
def here(folder: Path) -> Path:
    (folder / "assent.toml").write_text(
        '[secrets."mail/token"]\nfrom = "file:../keys/mail"\ncapabilities = ["mail.*"]\nhosts = ["mail.example.org"]\n'
        '[secrets.other]\n[secrets.vaulted]\nfrom = "vault:secret/a#b"\n'
    )
    (folder / "flow.yaml").write_text(
        "name: w\nkey: Bearer secret://mail/token\nelse: secret://mail/tokens\n"
    )
    return folder


class Shell:
    """A shell that pipes text in and keeps every byte that comes out."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch
        self.everything = ""

    def __call__(self, *words: str, stdin: bytes = b"") -> tuple[int, str]:
        self._monkeypatch.setattr(
            sys, "stdin", SimpleNamespace(buffer=io.BytesIO(stdin), isatty=lambda: False)
        )
        code = main(["secrets", *words])
        told = self._capsys.readouterr()
        self.everything += told.out + told.err
        return code, told.out + told.err

    def json(self, *words: str, stdin: bytes = b"") -> Any:
        code, text = self(*words, "--json", stdin=stdin)
        assert code == 0, text
        return json.loads(text.splitlines()[0])


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(capsys, monkeypatch)


async def use(folder: Path) -> str:
    """A run that is given the secret."""

    async def send(context: LocalContext, parameters: Any) -> None:
        await context.reveal(SecretText("secret://mail/token"), host="mail.example.org")

    async with Runtime.open(folder) as rt:
        rt.register(create_read_capability("mail.send"), Handler(send))
        return str((await rt.call("mail.send", {})).run_id)


def test_a_value_is_stored_used_listed_and_replaced_and_never_shown(here: Path, shell: Shell) -> None:
    token = "mail/token"
    source = f"file:{here.parent / 'keys/mail'}"
    stored = shell.json("set", token, "--from-stdin", stdin=VALUE.encode() + b"\n")
    assert stored == {"name": token, "source": source, "owner_told": False}
    assert (here.parent / "keys/mail").read_text() == VALUE + "\n"
    run = asyncio.run(use(here))
    listed = {one["name"]: one for one in shell.json("list")}
    assert sorted(listed) == [token, "other", "vaulted"]
    found = listed[token]
    assert (found["status"], found["source"], found["capabilities"]) == ("available", source, ["mail.*"])
    assert (found["hosts"], found["rotating"], found["last_access"]["run_id"]) == (
        ["mail.example.org"],
        False,
        run,
    )
    assert (listed["other"]["status"], listed["other"]["source"]) == ("missing", "env:ASSENT_SECRET_OTHER")
    assert (listed["vaulted"]["status"], listed["vaulted"]["code"]) == ("unusable", "SECRET_UNAVAILABLE")
    used = shell.json("who-uses", token)
    assert used["files"] == [{"file": "flow.yaml", "line": 2}]
    assert [(one["run_id"], one["capability"], one["is_current"]) for one in used["accesses"]] == [
        (run, "mail.send", True)
    ]
    rotated = shell.json("rotate", token, "--from-stdin", stdin=OTHER.encode())
    assert (rotated["state"], rotated["unfinished"]) == ("rotated", [])
    assert shell.json("who-uses", token)["accesses"][0]["is_current"] is False
    assert {one["name"]: one["rotating"] for one in shell.json("list")}[token] is True
    assert shell.json("rotate", token, "--undo")["state"] == "undone"
    assert shell.json("who-uses", token)["accesses"][0]["is_current"] is True
    shell("rotate", token, "--from-stdin", stdin=OTHER.encode())
    assert shell.json("rotate", token, "--confirm")["state"] == "confirmed"
    assert shell.json("rotate", token, "--confirm")["state"] == "unchanged"
    for words, expected in (
        (("list",), "mail.*"),
        (("list",), "unusable (SECRET_UNAVAILABLE)"),
        (("who-uses", token), "flow.yaml:2"),
        (("set", token, "--from-stdin"), "stored"),
        (("rotate", token, "--from-stdin"), "when it works: assent secrets rotate mail/token --confirm"),
    ):
        code, text = shell(*words, stdin=VALUE.encode())
        assert (code, expected in text) == (0, True), text
    assert VALUE not in shell.everything
    assert OTHER not in shell.everything
    code, text = shell("set", "mail/tokn")
    assert (code, "did you mean `mail/token`? Else set `ASSENT_SECRET_MAIL_TOKN`" in text) == (2, True), text


@pytest.mark.parametrize("verb", ["set", "rotate"])
@pytest.mark.usefixtures("here")
def test_what_to_type_where_nobody_can_be_asked_is_the_command_itself(shell: Shell, verb: str) -> None:
    ended, text = shell(verb, "mail/token", stdin=b"")
    assert ended != 0
    assert f"… | assent secrets {verb} mail/token --from-stdin" in text


@pytest.mark.parametrize(
    ("words", "stdin", "code"),
    [
        (("set", "mail/token", VALUE), b"", "SECRET_IN_ARGUMENTS"),
        (("rotate", "mail/token", VALUE), b"", "SECRET_IN_ARGUMENTS"),
        (("set", VALUE), b"", "SECRET_NAME_INVALID"),
        (("set", "vault"), b"", "SECRET_NAME_INVALID"),
        (("who-uses", VALUE), b"", "SECRET_NAME_INVALID"),
        (("set", "mail/token"), VALUE.encode(), "SECRET_VALUE_MISSING"),
        (("set", "mail/token", "--from-stdin"), b"", "SECRET_VALUE_INVALID"),
        (("set", "mail/token", "--from-stdin"), b"\xff\xfe" + VALUE.encode(), "SECRET_VALUE_INVALID"),
        (("set", "mail/token", "--from-stdin"), b"x" * (1 << 17), "SECRET_VALUE_INVALID"),
        (("set", "other", "--from-stdin"), VALUE.encode(), "SECRET_NOT_WRITABLE"),
        (("rotate", "vaulted", "--from-stdin"), VALUE.encode(), "SECRET_NOT_WRITABLE"),
        (("rotate", "mail/token", "--undo"), b"", "SECRET_MISSING"),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_can_not_be_stored_is_refused_without_repeating_it(
    shell: Shell, words: tuple[str, ...], stdin: bytes, code: str
) -> None:
    ended, text = shell(*words, stdin=stdin)
    assert ended != 0
    assert f"[{code}]" in text or code in text
    assert VALUE not in text


@pytest.mark.usefixtures("here")
def test_a_short_value_is_stored_with_a_warning_and_two_wishes_at_once_are_none(shell: Shell) -> None:
    code, text = shell("set", "mail/token", "--from-stdin", stdin=b"1234")
    assert (code, "may not be hidden" in text) == (0, True)
    assert shell("rotate", "mail/token", "--undo", "--confirm")[0] == 2


@pytest.mark.usefixtures("here")
def test_a_person_is_asked_twice_without_an_echo(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def prompt(text: str, **how: Any) -> str:
        asked.append(how)
        return VALUE

    monkeypatch.setattr("assent.cli._door.is_a_terminal", lambda stream: True)
    monkeypatch.setattr("click.prompt", prompt)
    assert shell("set", "mail/token")[0] == 0
    assert asked == [{"hide_input": True, "confirmation_prompt": True, "err": True}]


async def test_a_living_owner_gets_the_new_value_and_unfinished_runs_are_told(
    here: Path, shell: Shell
) -> None:
    """A run that waits used the old value; the owner forgets what it kept."""
    seen: list[str] = []

    async def send(context: LocalContext, parameters: Any) -> None:
        seen.append(await context.reveal(SecretText("secret://mail/token"), host="mail.example.org"))

    await asyncio.to_thread(shell, "set", "mail/token", "--from-stdin", stdin=VALUE.encode())
    flow: Any = {
        "name": "w",
        "version": "1.0.0",
        "steps": [
            {"name": "a", "capability": "mail.send"},
            {"name": "b", "approval": {"reason": "go on?"}},
            {"name": "c", "capability": "mail.send"},
        ],
    }
    async with Runtime.open(here) as rt:
        rt.register(create_read_capability("mail.send"), Handler(send))
        waiting = await rt.run(flow)
        assert waiting.status == "waiting"
        rotated = await asyncio.to_thread(
            shell.json, "rotate", "mail/token", "--from-stdin", stdin=OTHER.encode()
        )
        assert [(one["run_id"], one["step"], one["used_replaced"]) for one in rotated["unfinished"]] == [
            (waiting.run_id, "a", True)
        ]
        code, text = await asyncio.to_thread(shell, "rotate", "mail/token", "--undo")
        assert (code, "was given another value" in text) == (0, True), text
        await asyncio.to_thread(shell, "set", "mail/token", "--from-stdin", stdin=OTHER.encode())
        rt.secrets.forget("mail/token")  # what the owner does when it is told; this one does not listen
        await rt.approve(waiting.run_id)
    assert seen == [VALUE, OTHER]


@pytest.mark.usefixtures("here")
def test_doctor_says_of_each_secret_what_a_call_would_meet(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that the provider would refuse is a fault; what gives more than it needs is a warning."""
    path = folder.parent / "keys/a"
    path.parent.mkdir(mode=0o700)
    path.write_text(VALUE)

    def checks(configuration: str) -> list[tuple[str, str, str]]:
        (folder / "assent.toml").write_text(configuration)
        main(["doctor", "--json"])
        told = capsys.readouterr().out
        assert VALUE not in told
        found = [(one["name"], one["status"], one["seen"]) for one in json.loads(told)["checks"]]
        return [one for one in found if one[0].startswith("secret")]

    table = '[secrets.a]\nfrom = "file:../keys/a"\n'
    path.chmod(0o600)
    assert checks(table) == [("secrets", "ok", "1 configured: assent secrets list")]
    path.chmod(0o644)
    ((name, status, seen),) = checks(table)
    assert (name, status) == ("secret: a", "fault")
    assert "has mode 0644 [SECRET_FILE_UNSAFE]" in seen
    assert main(["doctor"]) != 0
    capsys.readouterr()
    path.chmod(0o600)
    previous = path.with_name("a.previous")
    previous.write_text(VALUE)
    previous.chmod(0o640)
    assert [one[1] for one in checks(table)] == ["fault", "warning"]
    previous.chmod(0o600)
    assert [one[1:] for one in checks(table)] == [
        ("warning", "was replaced, and the value before is still kept")
    ]
    previous.unlink()
    ((_, status, seen),) = checks('[secrets.a]\nfrom = "file:../keys/none"\n')
    assert (status, "is not there" in seen) == ("warning", True)
    (folder / "inside").write_text(VALUE)
    (folder / "inside").chmod(0o600)
    ((_, status, seen),) = checks('[secrets.a]\nfrom = "file:inside"\n')
    assert (status, "`a` lies in the workspace" in seen) == ("warning", True)
    for granted, hosts, count in (
        ("net.http.get", "", 1),
        ("net.*", "", 1),
        ("*", "", 1),
        ("mail.*", "", 0),
        ("notify.webhook", "", 0),
        ("net.http.*", 'hosts = ["api.example.org"]\n', 0),
    ):
        found = checks(f'{table}capabilities = ["{granted}"]\n{hosts}')
        warned = [one for one in found if one[1] == "warning"]
        assert len(warned) == count, granted
        assert all("every host that the egress rules open" in one[2] for one in warned)
    path.chmod(0o640)
    ((name, status, _),) = checks(
        '[secrets.vault]\naddress = "https://v.example"\ntoken_file = "../keys/a"\n'
    )
    assert (name, status) == ("secrets.vault", "fault")
