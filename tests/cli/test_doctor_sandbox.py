"""`assent doctor` tells which walls stand around programs, and is loud where none does and programs run all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from assent.cli._doctor import _sandbox
from assent.runtime.settings import Settings
from assent.sandbox import Holds, Sandbox, Wall
from assent.sandbox import _sandbox as module
from assent.sandbox._plan import Machine


def checks(root: Path, text: str = "") -> list[tuple[str, str, str]]:
    (root / "assent.toml").write_text(text)
    settings = Settings.resolve(environ={"HOME": str(root)}, cwd=root)
    return [(one.name, one.status, one.seen) for one in _sandbox(settings)]


@pytest.fixture
def nothing_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(architecture="x86_64", landlock=0, namespaces=False, uid=1, gid=1)
    holds = Holds("unconfined", {}, {Wall.FILES: "get a newer kernel"})
    monkeypatch.setattr(module, "_FOUND", dict.fromkeys(("auto", "native", "bubblewrap"), (machine, holds)))


def test_each_wall_is_shown_with_what_it_is_made_of(tmp_path: Path) -> None:
    with Sandbox.detect() as sandbox:
        if not sandbox.holds.is_confined:
            pytest.skip("nothing can be confined on this machine")
    found = checks(tmp_path)
    assert found[0][:2] == ("sandbox", "ok")
    assert {name for name, _, _ in found[1:]} == {f"sandbox: {wall}" for wall in Wall}
    assert all(seen for _, _, seen in found)
    assert checks(tmp_path, "[sandbox]\nunconfined = true\n")[0][1] == "warning"


def test_refusal_is_a_warning(tmp_path: Path, nothing_holds: None) -> None:
    assert checks(tmp_path) == [("sandbox", "warning", "nothing holds, so no program is run")]


def test_running_without_walls_is_a_fault(tmp_path: Path, nothing_holds: None) -> None:
    ((name, status, seen),) = checks(tmp_path, "[sandbox]\nunconfined = true\n")
    assert (name, status) == ("sandbox", "fault")
    assert "UNCONFINED" in seen
