"""A terminal in an empty folder, with an environment of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.door import ScriptedRuntime, Terminal


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: empty, with a home beside it."""
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    for name in list(os.environ):
        if name.startswith(("ASSENT_", "XDG_")) or name in ("NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def runtime() -> ScriptedRuntime:
    return ScriptedRuntime()


@pytest.fixture
def terminal(folder: Path, capsys: pytest.CaptureFixture[str], runtime: ScriptedRuntime) -> Terminal:
    return Terminal(folder, capsys, runtime)
