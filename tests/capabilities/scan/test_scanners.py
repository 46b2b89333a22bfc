"""Which program a scanner is on this machine: told apart from others of its name, and held to its pin."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from assent.capabilities.scan.area import SECTION
from assent.runtime.service import answers, requests
from assent.runtime.service.service import Service
from assent.spec.documents.settings import Setting
from tests.capabilities.scan.conftest import PROBE, PROBING, Yard
from tests.support.bodies import code

SCOPE = 'networks = ["127.0.0.1"]'
TARGET = "http://127.0.0.1:9/"


async def told(yard: Yard, name: str) -> answers.Scanner:
    settings = yard.place.settings()
    asker = requests.asker_of(settings)
    found = (await Service(settings).perform(requests.Scanners(), asker)).scanners
    return next(one for one in found if one.tool == name)


async def test_another_program_of_the_name_is_told_apart(yard: Yard) -> None:
    """The client of Python's `httpx` is no scanner; the right one behind it is found."""
    yard.program("httpx", "#!/bin/sh\necho 'Usage: httpx [OPTIONS] URL'\nexit 2\n")
    yard.configure(scope=SCOPE)
    one = await told(yard, "httpx")
    assert (one.status, one.error is not None and one.error.code) == ("refused", "SCANNER_WRONG")
    assert one.error is not None
    assert "`Usage: httpx [OPTIONS] URL`" in one.error.message
    assert code(await yard.run("passive", "httpx", TARGET)) == "SCANNER_WRONG"
    yard.program("httpx-toolkit", "#!/bin/sh\necho '[INF] Current Version: v1.6.10' >&2\n")
    one = await told(yard, "httpx")
    assert (one.status, one.version, one.path) == ("ready", "1.6.10", str(yard.bin / "httpx-toolkit"))


async def test_a_scanner_that_is_pinned_has_to_be_that_file(yard: Yard) -> None:
    yard.probe(SCOPE)
    right, wrong = hashlib.sha256(PROBING.encode()).hexdigest(), "0" * 64
    one = await told(yard, "probe")
    assert (one.status, one.sha256, one.pinned, one.source) == (
        "ready",
        right,
        False,
        str(yard.work / "scanners/probe.toml"),
    )
    yard.configure(f'pins = {{ probe = "{right}" }}\nrequire_pins = true', scope=SCOPE)
    assert (await told(yard, "probe")).pinned
    yard.configure(f'pins = {{ probe = "{wrong}" }}', scope=SCOPE)
    assert code(await yard.run("active", "probe", TARGET)) == "SCANNER_PIN_MISMATCH"
    yard.configure("require_pins = true", scope=SCOPE)
    assert code(await yard.run("active", "probe", TARGET)) == "SCANNER_NOT_PINNED"


async def test_a_manifest_with_a_fault_is_told_with_its_file_and_hurts_no_other(yard: Yard) -> None:
    yard.probe(SCOPE)
    wrong = yard.work / "scanners/other.toml"
    wrong.write_text(PROBE.format(kind="active", time="60s"))
    settings = yard.place.settings()
    found = (
        await Service(settings).perform(requests.Scanners(is_asked=False), requests.asker_of(settings))
    ).scanners
    states = {one.tool: one.status for one in found}
    assert (states["other"], states["probe"]) == ("invalid", "unknown")
    (one,) = (one for one in found if one.tool == "other")
    assert one.error is not None
    assert str(wrong) in one.error.message
    assert code(await yard.run("active", "other", TARGET)) == "SCANNER_INVALID"
    doctor = await Service(settings).perform(requests.Doctor(), requests.asker_of(settings))
    assert [check.status for check in doctor.checks if check.name == "scanner: other"] == ["fault"]


async def test_the_users_own_manifests_are_found(yard: Yard) -> None:
    own = yard.place.root / ".config/assent/scanners"
    own.mkdir(parents=True)
    (own / "mine.toml").write_text(
        PROBE.format(kind="active", time="60s").replace('tool = "probe"', 'tool = "mine"')
    )
    assert (await told(yard, "mine")).status == "missing"


async def test_a_scanner_is_asked_of_its_own_kind_alone(yard: Yard) -> None:
    yard.probe(SCOPE)
    assert code(await yard.run("passive", "probe", TARGET)) == "SCANNER_OTHER_KIND"
    assert code(await yard.run("active", "porbe", TARGET)) == "SCANNER_UNKNOWN"
    assert code(await yard.run("active", "../probe", TARGET)) == "INVALID_INPUT"


async def test_no_capability_changes_a_manifest_or_a_scanner(yard: Yard) -> None:
    """Whoever could would choose what is run."""
    yard.probe(SCOPE)
    (yard.work / "tools").mkdir()
    text = (yard.work / "assent.toml").read_text()
    (yard.work / "assent.toml").write_text(text.replace("paths = [", 'paths = ["tools", '))
    async with yard.place.open(box=False) as rt:
        for path in ("scanners/probe.toml", "scanners/new.toml", "tools/nmap"):
            result = await rt.call("io.fs.write_file", {"path": path, "content": "x"})
            assert code(result) == "PATH_PROTECTED", path
    assert (yard.work / "scanners/probe.toml").read_text() != "x"


@pytest.mark.parametrize("ends", [0, 7, 3])
async def test_the_exit_codes_that_mean_success_are_the_manifests(yard: Yard, ends: int) -> None:
    yard.probe(SCOPE)
    manifest: Path = yard.work / "scanners/probe.toml"
    manifest.write_text(manifest.read_text() + f'[environment]\nENDS = "{ends}"\n')
    result = await yard.run("active", "probe", TARGET)
    assert code(result) == (None if ends in {0, 7} else "PROGRAM_FAILED")


async def test_a_secret_of_a_manifest_is_in_the_scanners_environment_alone(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Granted by whoever configures the secret, given to the scan alone, and hidden in all that the scanner says."""
    monkeypatch.setenv("ASSENT_SECRET_TOKEN", "hunter-of-secrets-7")
    (yard.work / "scanners").mkdir()
    manifest = PROBE.format(kind="static", time="60s").replace('target = "url"', 'target = "path"')
    (yard.work / "scanners/probe.toml").write_text(
        manifest + '[environment]\nAPI_TOKEN = "secret://token"\nPLAIN = "1"\n'
    )
    yard.program(
        "probe",
        '#!/bin/sh\nif [ "$1" = --version ]; then echo "probe 1.0$API_TOKEN"; exit; fi\n'
        'test "$PLAIN" = 1 || exit 9\necho "{\\"template-id\\": \\"t\\", \\"info\\": {\\"name\\": \\"$API_TOKEN\\"},'
        ' \\"matched-at\\": \\"http://a/\\"}"\necho "$API_TOKEN" >&2\n',
    )
    yard.configure()
    assert code(await yard.run("static", "probe", ".")) == "SECRET_NOT_GRANTED"
    toml = yard.work / "assent.toml"
    toml.write_text(toml.read_text() + '[secrets.token]\ncapabilities = ["scan.static"]\n')
    found = await yard.scanned("static", "probe", ".")
    assert (found["findings"], found["scan"]["program"]["version"]) == (1, "1.0")
    assert found["scan"]["ended"]["stderr"] == "***\n"
    assert "hunter" not in repr(found)


async def test_the_folders_that_a_script_needs_are_named_at_once(yard: Yard) -> None:
    """Its interpreter's by its path and by where that leads: a virtual environment has both."""
    yard.probe(SCOPE)
    away = yard.place.root / "away"
    for folder in ("venv/bin", "real/bin"):
        (away / folder).mkdir(parents=True)
    (away / "real/bin/python3").write_bytes(Path("/bin/sh").read_bytes())
    (away / "real/bin/python3").chmod(0o755)
    (away / "venv/bin/python").symlink_to(away / "real/bin/python3")
    yard.program("probe", f"#!{away}/venv/bin/python\necho 'probe 1.0'\n")
    one = await told(yard, "probe")
    assert (one.status, one.error is not None and one.error.code) == ("refused", "SANDBOX_PROGRAM")
    assert one.error is not None
    named = re.search(r"read_only = (\[.*\])", str(one.error.hint))
    assert named is not None
    needed = json.loads(named[1])
    assert needed[-2:] == [str(away / "venv"), str(away / "real")]
    toml = yard.work / "assent.toml"
    toml.write_text(re.sub(r"read_only = .*", f"read_only = {needed}", toml.read_text()))
    assert (await told(yard, "probe")).status == "ready"
    yard.program("probe", "#!/usr/bin/none-such\n")
    one = await told(yard, "probe")
    assert one.error is not None
    assert one.error.hint == "name the folders that it needs under `[scan] read_only`"
    yard.program("probe", "\x7fELF")
    one = await told(yard, "probe")
    assert one.error is not None


def test_scanners_may_have_no_folders_of_their_own() -> None:
    for key in ("paths", "read_only"):
        setting = SECTION[key]
        assert isinstance(setting, Setting)
        assert setting.read([]) == []
