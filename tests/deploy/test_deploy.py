"""What stands in `deploy/` starts the daemon that there is, and the tools that read it find nothing wrong."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from assent.cli._main import main
from assent.runtime.settings._serve import ServeSettings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = ("assent.service", "assent.socket")


def unit(name: str) -> dict[str, list[str]]:
    """The values of a unit by `Section.Key`, in their order."""
    found: dict[str, list[str]] = defaultdict(list)
    section = ""
    for line in (DEPLOY / name).read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, line
            found[f"{section}.{key}"].append(value)
    return found


def instructions() -> dict[str, list[str]]:
    """What a Containerfile says, by its instruction."""
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", " ")
    found: dict[str, list[str]] = defaultdict(list)
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, rest = line.partition(" ")
            found[name].append(rest)
    return found


def require_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """These words are a command with options that there are."""
    assert Path(words[0]).name == "assent"
    assert main([*words[1:], "--help"]) == 0
    assert "drive every run" in capsys.readouterr().out


def test_the_service_starts_the_daemon_with_what_it_may_write(capsys: pytest.CaptureFixture[str]) -> None:
    service = unit("assent.service")
    (command,) = service["Service.ExecStart"]
    words = shlex.split(command)
    require_command(words, capsys)
    said = dict(pairwise(words))
    assert said["--workspace"] in service["Service.ReadWritePaths"]
    assert said["--state"] == f"/var/lib/{service['Service.StateDirectory'][0]}"
    assert service["Service.StateDirectoryMode"] == ["0700"]
    assert service["Service.Type"] == ["notify-reload"]
    (stops,) = service["Service.TimeoutStopSec"]
    assert int(stops.removesuffix("s")) * 1000 > 2 * ServeSettings().drain_ms


def test_the_socket_is_handed_over_under_the_name_that_the_daemon_knows() -> None:
    service, socket = unit("assent.service"), unit("assent.socket")
    assert service["Unit.Requires"] == service["Install.Also"] == ["assent.socket"]
    assert socket["Socket.FileDescriptorName"] == ["socket"]
    assert socket["Socket.SocketUser"] == service["Service.User"]
    assert socket["Socket.SocketMode"] == ["0600"]
    assert socket["Socket.ListenStream"][0].startswith("/")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    told = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"\d+", told)
    assert version is not None
    program = shutil.which("true")
    for name in UNITS:
        text = (DEPLOY / name).read_text().replace("/opt/assent/bin/assent", str(program))
        if int(version[0]) < 253:
            text = text.replace("notify-reload", "notify")
        (tmp_path / name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in UNITS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    ours = [line for line in done.stderr.splitlines() if "assent." in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def test_the_container_starts_the_daemon_as_nobody_of_note(capsys: pytest.CaptureFixture[str]) -> None:
    said = instructions()
    words = [*json.loads(said["ENTRYPOINT"][0]), *json.loads(said["CMD"][0])]
    require_command(words, capsys)
    assert {words[words.index("--workspace") + 1], words[words.index("--state") + 1]} == {
        *json.loads(said["VOLUME"][0])
    }
    copied = [name for line in said["COPY"] for name in line.split()[:-1]]
    assert all((ROOT / name).exists() for name in copied)
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = [*built["packages"], *built["force-include"], "pyproject.toml", "README.md", "LICENSE"]
    assert [name for name in needed if not any(Path(name).is_relative_to(one) for one in copied)] == []
    assert said["USER"] == ["10001:10001"]
    assert said["STOPSIGNAL"] == ["SIGTERM"]


def works(tool: str) -> bool:
    """It is there, and can make containers here."""
    if shutil.which(tool) is None:
        return False
    return subprocess.run([tool, "info"], capture_output=True, check=False, timeout=60).returncode == 0


@pytest.mark.parametrize("tool", ["podman", "docker"])
def test_the_container_is_built_and_tells_its_version(tool: str, request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("load_full"):
        pytest.skip("takes minutes: `make load` tries it")
    if not works(tool):
        pytest.skip(f"needs {tool}")
    build = [tool, "build", "-q", "-f", str(DEPLOY / "Containerfile"), "-t", "assent-test", str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=900)
    told = subprocess.run([tool, "run", "--rm", "assent-test", "version"], capture_output=True, check=True)
    assert told.stdout
