"""`[sandbox]` of assent.toml is read strictly, and every value shows where it comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from assent.errors import InputError
from assent.runtime.settings.effective import Settings


def resolve(root: Path, text: str) -> Settings:
    (root / "assent.toml").write_text(text)
    return Settings.resolve(environ={"HOME": str(root)}, cwd=root)


def test_limits_and_backend_are_what_the_file_says(tmp_path: Path) -> None:
    settings = resolve(
        tmp_path, '[sandbox]\nbackend = "native"\nwall = "2m"\ncpu = "1500ms"\nprocesses = 8\n'
    )
    limits = settings.sandbox.default_limits()
    assert (limits.wall_s, limits.cpu_s, limits.processes) == (120, 2, 8)
    assert settings.sandbox.backend == "native"
    assert settings.sandbox.unconfined is False
    shown = {one.name: one.source for one in settings.effective}
    assert shown["sandbox.processes"] == f"{tmp_path / 'assent.toml'}:5"


def test_walls_are_off_only_by_name(tmp_path: Path) -> None:
    assert resolve(tmp_path, "[sandbox]\nunconfined = true\n").sandbox.unconfined is True
    assert resolve(tmp_path, "").sandbox.unconfined is False


@pytest.mark.parametrize(
    "line", ['backend = "docker"', 'unconfined = "yes"', "processes = 0", 'wall = "soon"', "walls = 1"]
)
def test_other_values_are_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve(tmp_path, f"[sandbox]\n{line}\n")
    assert caught.value.code == "CONFIG_INVALID"
    assert str(caught.value.path).startswith(f"{tmp_path / 'assent.toml'}:2:")
