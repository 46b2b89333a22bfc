"""Replaying with the real command: a failed run fails again, here and where it never ran, and nothing is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assent.cli import main

FAILING = """\
name: release
steps:
  - name: note
    capability: io.fs.write_file
    inputs: {path: note.txt, content: hello}
  - name: stop
    capability: sys.fail
    inputs: {message: not today}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ASSENT_LEDGER_KEY", str(tmp_path / "ledger.key"))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_a_failed_run_is_replayed_here_and_from_its_snapshot_elsewhere(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "release.yaml").write_text(FAILING)
    assert main(["run", "release.yaml", "--json"]) == 1
    run = str(said(capsys)["run_id"])
    assert main(["replay", run[:12], "--json"]) == 0
    assert said(capsys)["status"] == {"recorded": "rolled_back", "replayed": "rolled_back"}
    assert main(["replay", run, "--capability-version", "io.fs.write_file@1.0.0", "--json"]) == 0
    assert said(capsys)["against"] == {"io.fs.write_file": "1.0.0"}
    assert not (folder / "note.txt").exists()
    assert main(["show", run, "--snapshot", str(tmp_path / "run.json"), "--json"]) == 0
    capsys.readouterr()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert main(["replay", str(tmp_path / "run.json"), "--json"]) == 0
    assert said(capsys)["equal"] is True
    assert [path.name for path in elsewhere.iterdir()] == [], "not even a state directory"
    assert main(["replay", run, "--json"]) == 2
    assert "RUN_UNKNOWN" in capsys.readouterr().out
    (elsewhere / "broken.json").write_text("{}")
    assert main(["replay", "broken.json", "--json"]) == 2
    assert "SNAPSHOT_INVALID" in capsys.readouterr().out
