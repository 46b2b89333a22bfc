"""Parsers of a workspace: a bounded number of files, and what is wrong with each."""

from __future__ import annotations

from pathlib import Path

from assent.capabilities.findings import _desk
from assent.capabilities.findings._desk import own_tools


def test_no_more_files_are_read_than_may_be(tmp_path: Path) -> None:
    for number in range(_desk.MANIFESTS_MAX + 2):
        (tmp_path / f"t{number:03}.toml").write_text("no\n")
    found = own_tools(tmp_path)
    told = [error.message for error in found.faults.values()]
    assert len(told) == _desk.MANIFESTS_MAX + 2
    assert [f"first {_desk.MANIFESTS_MAX}" in one for one in told[-3:]] == [False, True, True]


def test_a_workspace_without_parsers_has_none() -> None:
    assert own_tools(None) == own_tools(Path("/none/such"))
