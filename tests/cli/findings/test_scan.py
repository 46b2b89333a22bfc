"""`assent scan`, as it is typed, in the workspace of the example."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from assent.sandbox import Sandbox
from tests.cli.findings.test_acts import ALLOWED, Shell
from tests.support.nursery import Nursery
from tests.support.own_places import own_places


@pytest.fixture
def scans(
    tmp_path: Path, repository: Path, measured_env: dict[str, str], nursery: Nursery
) -> Iterator[Shell]:
    folder = tmp_path / "scans"
    shutil.copytree(repository / "examples/scans", folder)
    with own_places(tmp_path, measured_env) as env:
        found = Shell(folder, env, nursery)
        found.policy(ALLOWED)
        yield found


def test_scanners_are_listed_and_one_is_shown(scans: Shell) -> None:
    listed = {one["tool"]: one for one in json.loads(scans("scan", "tools", "--json").out)}
    assert {"hello", "nmap"} <= {*listed}
    assert "hello" in scans("scan", "tools").out
    assert "nmap" in scans("scan", "tools", "nmap").out
    assert scans("scan", "tools", "nmaq").code != 0


def test_a_scan_by_command_brings_findings(scans: Shell) -> None:
    with Sandbox.detect() as sandbox:
        if not sandbox.holds.is_confined:
            pytest.skip("nothing on this machine confines programs")
    ended = scans("scan", "run", "hello", "src", "--project", "shop")
    assert ended.code == 0, ended
    assert scans.listed()
    assert scans("scan", "run", "hello", "none-such", "--project", "shop").code != 0


def test_a_scan_of_code_says_what_is_wrong_with_its_words(scans: Shell) -> None:
    ended = scans("scan", "code", "src", "-p", "shop", "--tool", "none-such")
    assert ended.code != 0
    assert "none-such" in ended.err
