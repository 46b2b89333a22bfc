"""From finding a plugin to trusting, using and distrusting it, on the command line."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from assent import Runtime
from assent.errors import AssentError, InputError
from assent.runtime.service import _informed
from assent.runtime.service._informed import Scene
from tests.support.door import Terminal
from tests.support.hostile import FILES, HONEST
from tests.support.nursery import Nursery
from tests.support.plugins import interpreter_kept, write
from tests.support.web import Reply, serving


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    with interpreter_kept():
        yield


@pytest.fixture
def plugged(terminal: Terminal, folder: Path) -> Path:
    """A workspace that names one honest plugin."""
    write(folder, {**FILES, "assent.toml": '[plugins]\npaths = ["plugged"]\n'})
    return folder / "plugged"


def digest(terminal: Terminal) -> str:
    """The fingerprint that `inspect` prints."""
    return str(terminal("plugin", "inspect", "plugged", "--json").object["fingerprint"])


def trust(terminal: Terminal) -> None:
    assert terminal("plugin", "trust", "plugged", "--digest", digest(terminal)).code == 0


def test_without_plugins_the_list_is_empty(terminal: Terminal) -> None:
    assert terminal("plugin", "list", "--json").json == []
    plain = terminal("plugin", "list")
    assert (plain.out, plain.code) == ("", 0)
    assert "[plugins] paths" in plain.err


def test_trust_without_a_terminal_asks_for_what_was_looked_at(terminal: Terminal, plugged: Path) -> None:
    """`--yes` confirms, and never answers this."""
    answer = terminal("plugin", "trust", "plugged", "--yes", "--json")
    assert answer.code == 3
    assert answer.error["code"] == "PLUGIN_UNTRUSTED"
    details = answer.error["details"]
    assert isinstance(details, dict)
    assert details["digest"] == digest(terminal)
    assert not (plugged.parent / "assent-plugins.lock").exists()


def test_a_digest_that_was_looked_at_is_trusted(terminal: Terminal, plugged: Path) -> None:
    looked_at = digest(terminal)
    answer = terminal("plugin", "trust", "plugged", "--digest", looked_at, "--json").object
    assert (answer["name"], answer["digest"], answer["trusted"]) == ("plugged", looked_at, True)
    listed = terminal("plugin", "list", "--json").json
    assert isinstance(listed, list)
    assert isinstance(listed[0], dict)
    assert (listed[0]["status"], listed[0]["capabilities"]) == ("trusted", ["plugged.count"])
    assert "trusted already" in terminal("plugin", "trust", str(plugged)).out
    other = terminal("plugin", "trust", "plugged", "--digest", "0" * 64, "--json")
    assert (other.code, other.error["code"]) == (3, "PLUGIN_CHANGED")  # not what was looked at
    assert "trusted" in terminal("plugin", "list").out


def test_what_only_the_ledger_refuses_is_not_listed_as_trusted(
    terminal: Terminal, plugged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is required or not. Nobody is asked before something was recorded, nor for one that would be imported here."""

    def listed() -> dict[str, Any]:
        found: Any = terminal("plugin", "list", "--json").json
        return dict(found[0])

    looked_at = digest(terminal)
    assert terminal("plugin", "trust", "plugged", "--digest", looked_at).code == 0
    fault = InputError("VERSION_CHANGED", "`plugged.count@1.0.0` is not what was recorded under this version")

    async def refused(_scene: Scene) -> dict[str, AssentError]:
        return {"plugged": fault}

    monkeypatch.setattr(_informed, "_left_out", refused)
    assert listed()["status"] == "trusted"
    (plugged.parent / ".assent").mkdir(mode=0o700)
    assert (listed()["status"], listed()["error"]["code"]) == ("refused", "VERSION_CHANGED")

    async def shut(_scene: Scene) -> dict[str, AssentError]:
        raise fault

    monkeypatch.setattr(_informed, "_left_out", shut)
    assert listed()["status"] == "refused"
    assert terminal("plugin", "trust", "plugged", "--digest", looked_at, "--in-process").code == 0
    assert listed()["status"] == "trusted"


def test_in_process_is_said_by_name_and_shown(terminal: Terminal, plugged: Path) -> None:
    looked_at = digest(terminal)
    for flags, inside in ((["--in-process"], True), ([], False)):
        assert terminal("plugin", "trust", "plugged", "--digest", looked_at, *flags).code == 0
        listed = terminal("plugin", "list", "--json").json
        assert isinstance(listed, list)
        assert isinstance(listed[0], dict)
        assert listed[0]["in_process"] is inside
        assert ("in process" in terminal("plugin", "list").out) is inside
        assert ("Assent's own process" in terminal("doctor").out) is inside


def test_another_digest_is_refused(terminal: Terminal, plugged: Path) -> None:
    answer = terminal("plugin", "trust", "plugged", "--digest", "0" * 64, "--json")
    assert (answer.code, answer.error["code"]) == (3, "PLUGIN_CHANGED")


def test_a_path_that_the_workspace_does_not_name_is_told_how(terminal: Terminal, folder: Path) -> None:
    write(folder, {"assent.toml": "", "other.py": HONEST})
    answer = terminal("plugin", "trust", "other.py", "--json")
    assert (answer.code, answer.error["code"]) == (2, "PLUGIN_UNKNOWN")
    assert 'paths = ["other.py"]' in str(answer.error["hint"])
    assert terminal("plugin", "trust", "absent", "--json").error["code"] == "PLUGIN_UNKNOWN"


def test_a_change_is_shown_and_what_it_brought_is_missed(terminal: Terminal, plugged: Path) -> None:
    trust(terminal)
    write(plugged, {"more.py": ""})
    assert "+ file plugged/more.py" in terminal("plugin", "list").out
    answer = terminal("plugin", "trust", "plugged", "--digest", digest(terminal), "--json").object
    assert isinstance(answer["differences"], list)
    assert {
        key: value
        for one in answer["differences"]
        if isinstance(one, dict) and one["path"] == "file plugged/more.py"
        for key, value in one.items()
        if key != "after"
    } == {"path": "file plugged/more.py", "change": "added", "before": None}


def test_what_a_plugin_would_have_brought_is_told_when_it_is_missed(
    terminal: Terminal, plugged: Path
) -> None:
    trust(terminal)
    write(plugged, {"more.py": ""})
    answer = terminal("policy", "explain", "plugged.count")
    assert answer.code == 2
    assert "left out: plugin `plugged` is not what was trusted" in answer.err
    (plugged.parent / "assent-plugins.lock").write_text("{")
    assert "no plugin was loaded" in terminal("policy", "explain", "plugged.count").err


def test_an_untrusted_plugin_is_named_to_who_misses_its_capability(terminal: Terminal, plugged: Path) -> None:
    missed = terminal("call", "plugged.count", "text=x")
    assert missed.code == 2
    assert "left out: plugin `plugged` is not trusted" in missed.err
    assert "assent plugin trust plugged" in missed.err
    assert "left out" not in terminal("call", "another.one").err


def test_a_trusted_plugin_that_fails_to_load_tells_why_with_its_place(
    terminal: Terminal, plugged: Path
) -> None:
    write(plugged, {"_count.py": "1 / 0\n"})
    trust(terminal)
    missed = terminal("call", "plugged.count", "text=x")
    assert missed.code == 2
    assert "left out: plugin `plugged` failed while it was imported: division by zero" in missed.err
    assert "_count.py:1)" in missed.err
    told = terminal("call", "plugged.count", "text=x", "--json").error["details"]
    assert isinstance(told, dict)
    assert isinstance(told["left_out"], list)
    assert isinstance(told["left_out"][0], dict)
    assert told["left_out"][0]["code"] == "PLUGIN_FAILED"


def test_a_plugin_whose_spec_the_record_refuses_says_so(terminal: Terminal, plugged: Path) -> None:
    """It is taken out when the record is read, which is later than the import."""
    trust(terminal)

    async def record() -> None:
        async with Runtime.open(plugged.parent) as rt:
            assert (await rt.call("plugged.count", {"text": "x"})).status == "succeeded"

    asyncio.run(record())
    write(plugged, {"__init__.py": HONEST.replace("Count the words of a text", "Count")})
    trust(terminal)
    missed = terminal("call", "plugged.count", "text=x")
    assert missed.code == 2
    assert (
        "left out: plugin `plugged`: `plugged.count@1.0.0` is not what was recorded under this version"
        in missed.err
    )
    health = terminal("plugin", "health", "--json")
    assert (health.code, "not what was recorded" in health.out) == (1, True)


def test_untrust_takes_it_out(terminal: Terminal, plugged: Path) -> None:
    trust(terminal)
    assert terminal("plugin", "untrust", "plugged", "--json").object["was_trusted"] is True
    assert "was not trusted" in terminal("plugin", "untrust", "plugged").err
    trust(terminal)
    assert "not trusted any more" in terminal("plugin", "untrust", "plugged").out


def test_health_asks_what_is_trusted(terminal: Terminal, plugged: Path) -> None:
    assert terminal("plugin", "health", "--json").json == []
    assert "no plugin is trusted" in terminal("plugin", "health").err
    write(plugged, {"__init__.py": f"{HONEST}\n\ndef health():\n    return 'tired'\n"})
    trust(terminal)
    assert terminal("plugin", "health", "--json").json == [
        {"name": "plugged", "status": "degraded", "detail": "tired"}
    ]
    assert "tired" in terminal("plugin", "health", "plugged").out
    write(plugged, {"more.py": ""})
    assert terminal("plugin", "health").code == 1
    assert terminal("plugin", "health", "plugged", "--json").error["code"] == "PLUGIN_CHANGED"
    assert terminal("plugin", "health", "absent", "--json").error["code"] == "PLUGIN_UNKNOWN"


def test_doctor_tells_of_plugins(terminal: Terminal, plugged: Path) -> None:
    def check() -> tuple[object, object]:
        checks = terminal("doctor", "--json").object["checks"]
        assert isinstance(checks, list)
        found = next(one for one in checks if isinstance(one, dict) and one["name"] == "plugins")
        return found["status"], found["seen"]

    assert check() == ("ok", "1 untrusted")
    trust(terminal)
    assert check() == ("ok", "1 trusted")
    write(plugged, {"more.py": ""})
    assert check() == ("warning", "1 changed")
    (plugged.parent / "assent.toml").write_text('[plugins]\npaths = ["plugged"]\nrequired = ["plugged"]\n')
    assert check() == ("fault", "1 changed; a required one is not loaded")
    (plugged.parent / "assent.toml").write_text("")
    (plugged.parent / "assent-plugins.lock").unlink()
    assert check() == ("ok", "none is named or trusted")


def test_doctor_tells_which_services_of_a_plugin_are_shut(terminal: Terminal, plugged: Path) -> None:
    """Trusting tells it too: a declared host is no opened one."""

    def checks() -> list[dict[str, Any]]:
        found: Any = terminal("doctor", "--json").object["checks"]
        return [one for one in found if one["name"] == "plugin: plugged"]

    rule = '[net.rules.acme]\nhosts = ["api.acme.example"]\n'
    write(plugged.parent, {"assent.toml": f'[plugins]\npaths = ["plugged"]\n{rule}'})
    write(
        plugged,
        {"assent-plugin.toml": 'name = "plugged"\n[permissions]\nnetwork = ["GET,POST api.acme.example"]\n'},
    )
    assert checks() == []
    told = terminal("plugin", "trust", "plugged", "--digest", digest(terminal)).err
    assert "`POST https://api.acme.example` would be refused: no rule of `[net]` names it" in told
    (check,) = checks()
    assert (check["status"], check["seen"]) == (
        "warning",
        "`POST https://api.acme.example` would be refused: no rule of `[net]` names it",
    )
    assert 'methods = ["GET", "HEAD", "POST"] in `[net.rules.acme]`' in check["hint"]
    with (plugged.parent / "assent.toml").open("a") as file:
        file.write('methods = ["GET", "POST"]\n')
    (check,) = checks()
    assert (check["status"], check["hint"]) == ("ok", None)
    lock = plugged.parent / "assent-plugins.lock"
    lock.write_text(lock.read_text().replace('"declaration"', '"other"'))
    assert checks() == [], "a lock from elsewhere is told where plugins are loaded"
    lock.write_text("{")
    assert checks() == []


VALUES = '''\
"""Uses secrets."""

from assent import capability


@capability("plugged.first", operation="READ", risk="LOW", secrets=["own"])
async def first() -> int:
    """Use one."""
    return 1


@capability("plugged.second", operation="READ", risk="LOW", secrets=["own", "bound"])
async def second() -> int:
    """Use two."""
    return 2
'''


def test_doctor_names_the_secrets_that_a_trusted_plugin_may_have_by_value(
    terminal: Terminal, plugged: Path
) -> None:
    """What is bound to hosts is put into requests, and nobody's code has it."""

    def secrets() -> dict[str, tuple[str, str]]:
        found: Any = terminal("doctor", "--json").object["checks"]
        return {one["name"]: (one["seen"], one["hint"]) for one in found if one["status"] == "warning"}

    bound = '[secrets.bound]\nhosts = ["api.acme.example"]\n'
    granted = '[secrets.granted]\ncapabilities = ["plugged.first"]\n'
    write(plugged.parent, {"assent.toml": f'[plugins]\npaths = ["plugged"]\n{bound}{granted}'})
    declared = 'name = "plugged"\n[permissions]\nsecrets = ["own", "bound"]\n'
    write(plugged, {"__init__.py": VALUES, "assent-plugin.toml": declared})
    names = ("secret: own", "secret: granted", "secret: bound")
    assert not [name for name in names if name in secrets()], "nobody has agreed to it"
    trust(terminal)
    told = secrets()
    assert told["secret: own"] == (
        "its value may be handed to the code of 1 plugin: `plugged` (plugged.first, plugged.second)",
        'where it is only sent: `hosts = ["…"]` under `[secrets."own"]`, and Assent puts it into requests to them',
    )
    assert "`plugged` (plugged.first)" in told["secret: granted"][0]
    assert "secret: bound" not in told


@pytest.mark.usefixtures("unmeasured")
def test_a_new_plugin_keeps_the_contract(terminal: Terminal, folder: Path) -> None:
    made = terminal("plugin", "new", "my-words", "--json").object
    assert made["folder"] == str(folder / "my-words")
    again = terminal("plugin", "new", "my-words", "--json")
    assert (again.code, again.error["code"]) == (2, "PLUGIN_EXISTS")
    assert terminal("plugin", "new", "Mine!", "--json").error["code"] == "PLUGIN_INVALID"
    answer = terminal("plugin", "test", "my-words", "--untrusted", "--json")
    assert (answer.code, answer.object["ok"]) == (0, True)
    assert not [name for name in sys.modules if name.startswith("my_words")]
    assert "created" in terminal("plugin", "new", "other").out


@pytest.mark.usefixtures("unmeasured")
def test_a_broken_promise_is_told(terminal: Terminal, plugged: Path) -> None:
    """What reads, and writes all the same."""
    body = HONEST.replace(
        "async def count_words(text: str) -> int:", "def count_words(context: LocalContext) -> int:"
    )
    body = body.replace("import capability", "import LocalContext, capability").replace(
        "return count(text)", "context.world.files.write('x', [b'x'], key=context.key)\n    return 1"
    )
    write(plugged, {"__init__.py": body})
    answer = terminal("plugin", "test", "plugged", "--untrusted")
    assert answer.code == 1
    assert "a READ changes nothing" in answer.out
    assert "may not change the world here" in answer.out
    told = terminal("plugin", "test", "plugged", "--untrusted", "--json").object
    outcomes: Any = told["outcomes"]
    hints = {one["hint"] for one in outcomes if one["fault"] and "may not change" in one["fault"]}
    assert len(hints) == 1
    assert f"  help: {hints.pop()}\n" in answer.out
    answer = terminal("plugin", "test", "plugged", "--untrusted", "--in-process")
    assert "a READ changed the world" in answer.out


@pytest.mark.usefixtures("unmeasured")
def test_only_what_is_trusted_is_tried(terminal: Terminal, plugged: Path) -> None:
    error = terminal("plugin", "test", "plugged", "--json").error
    assert error["code"] == "PLUGIN_UNTRUSTED"
    assert "assent plugin test plugged --untrusted" in str(error["hint"])
    trust(terminal)
    assert "promises kept, by 1 capability\n" in terminal("plugin", "test", "plugged").out
    write(plugged, {"__init__.py": f"{HONEST}\nimport os\n\nos._exit(3)\n"})
    answer = terminal("plugin", "test", "plugged", "--untrusted", "--json")
    assert answer.error["code"] in ("PLUGIN_FAILED", "PLUGIN_OVERREACHES")


SENDING = '''\
"""Asks a service."""

from assent import LocalContext, capability


@capability("plugged.ask", operation="READ", risk="MEDIUM", labels=["sends_external"])
async def ask(context: LocalContext) -> int:
    """Ask."""
    return (await context.http.request("GET", "http://127.0.0.1:PORT/")).status


@capability("plugged.guess", operation="READ", risk="MEDIUM", labels=["sends_external"])
async def guess(context: LocalContext) -> int:
    """Ask, without an example."""
    return (await context.http.request("GET", "http://127.0.0.1:PORT/")).status
'''


@pytest.mark.usefixtures("unmeasured")
def test_what_sends_is_tried_when_somebody_says_so(terminal: Terminal, plugged: Path) -> None:
    """Nothing leaves before; which command lets it, and which example is missing, is told."""
    with serving(lambda asked: Reply()) as site:
        port = str(site.port)
        rule = f'[net.rules.a]\nhosts = ["127.0.0.1"]\nschemes = ["http"]\nports = [{port}]\nprivate = ["127.0.0.1/32"]\n'
        write(plugged.parent, {"assent.toml": f'[plugins]\npaths = ["plugged"]\n{rule}'})
        declared = f'name = "plugged"\n[permissions]\nnetwork = ["http://127.0.0.1:{port}"]\n'
        cases = "from assent.testing import Case\n\nCASES = {'plugged.ask': [Case(limit_s=120)]}\n"
        write(
            plugged,
            {
                "__init__.py": SENDING.replace("PORT", port),
                "assent-plugin.toml": declared,
                "contract.py": cases,
            },
        )
        told = terminal("plugin", "test", "plugged", "--untrusted", "--in-process")
        assert (told.code, site.asked) == (1, [])
        assert "untried  plugged.ask@1.0.0 sends requests, and nobody said that it may" in told.out
        assert "assent plugin test plugged --untrusted --in-process --send" in told.out
        assert "untried  plugged.guess@1.0.0 sends requests, and has no example" in told.out
        assert " untried, by 2 capabilities" in told.out
        write(plugged, {"contract.py": cases.replace("}", ", 'plugged.guess': [Case(limit_s=120)]}")})
        kept = terminal("plugin", "test", "plugged", "--untrusted", "--in-process", "--send")
        assert (kept.code, bool(site.asked)) == (0, True), kept.out
        assert f": GET http://127.0.0.1:{port}" in kept.out


def typing_trust(plugged: Path, nursery: Nursery) -> pexpect.spawn[str]:
    return pexpect.spawn(
        str(nursery.bin / "assent"),
        ["plugin", "trust", "plugged"],
        env={**os.environ, "TERM": "dumb"},
        cwd=str(plugged.parent),
        timeout=60,
        encoding="utf-8",
    )


@pytest.mark.parametrize(("typed", "code"), [("plugged", 0), ("yes", 3), ("", 3)])
def test_a_person_is_shown_everything_and_types_the_name(
    terminal: Terminal, plugged: Path, nursery: Nursery, typed: str, code: int
) -> None:
    child = typing_trust(plugged, nursery)
    child.expect("what it can do")
    child.expect("plugged.count")
    child.expect("type `plugged`")
    child.sendline(typed)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == code
    assert (plugged.parent / "assent-plugins.lock").exists() is (code == 0)


def test_a_person_is_shown_what_changed(terminal: Terminal, plugged: Path, nursery: Nursery) -> None:
    trust(terminal)
    write(plugged, {"_count.py": "import pydantic\n\n\ndef count(text: str) -> int:\n    return 0\n"})
    child = typing_trust(plugged, nursery)
    child.expect("imports from")
    child.expect("pydantic")
    child.expect("changed since it was trusted")
    child.expect("file plugged/_count.py")
    child.expect("type `plugged`")
    child.sendline("plugged")
    child.expect("is trusted now")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_the_example_keeps_its_own_tests(repository: Path, tmp_path: Path, clean_env: dict[str, str]) -> None:
    """In a process of its own, as whoever copies it would run them; without a network, and without a key of the user's."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:randomly",
            "--no-cov",
            ".",
        ],
        cwd=repository / "examples" / "notes",
        env={**clean_env, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_new_makes_the_example_under_another_name(terminal: Terminal, folder: Path, repository: Path) -> None:
    """One set of files, so that what is shown is what is given."""
    shown = repository / "examples" / "notes"
    terminal("plugin", "new", "notes")
    made = {path.relative_to(folder / "notes") for path in (folder / "notes").rglob("*") if path.is_file()}
    assert made == {
        path.relative_to(shown) for path in shown.rglob("*") if path.suffix in {".py", ".toml", ".md"}
    }
    for name in made:
        assert (folder / "notes" / name).read_text() == (shown / name).read_text()
    terminal("plugin", "new", "my-words")
    texts = {path: path.read_text() for path in (folder / "my-words").rglob("*") if path.is_file()}
    assert len(texts) == len(made)
    assert [
        path for path, text in texts.items() if "notes" in f"{path.relative_to(folder)}{text}".lower()
    ] == []
    project = texts[folder / "my-words" / "pyproject.toml"]
    assert '"my-words" = "my_words_plugin"' in project
    assert 'description = "My words: texts' in project
