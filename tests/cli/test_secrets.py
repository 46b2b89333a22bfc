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

    shell("set", "mail/token", "--from-stdin", stdin=VALUE.encode())
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
        shell("set", "mail/token", "--from-stdin", stdin=OTHER.encode())
        rt.secrets.forget("mail/token")  # what the owner does when it is told; this one does not listen
        await rt.approve(waiting.run_id)
    assert seen == [VALUE, OTHER]


@pytest.mark.usefixtures("here")
def test_doctor_warns_of_a_secret_that_capabilities_can_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def check() -> Any:
        main(["doctor", "--json"])
        return next(one for one in json.loads(capsys.readouterr().out)["checks"] if one["name"] == "secrets")

    assert (check()["status"], check()["seen"]) == ("ok", "3 configured: assent secrets list")
    (folder / "assent.toml").write_text('[secrets.a]\nfrom = "file:keys/a"\n')
    assert (check()["status"], "`a` lies in the workspace" in check()["seen"]) == ("warning", True)
