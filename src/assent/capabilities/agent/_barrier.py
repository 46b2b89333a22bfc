"""The files that no policy opens to an agent's own tools: what belongs to Assent, and what makes an agent ask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from assent.capabilities.fs import ControlFiles
from assent.capabilities.fs.world._paths import Zone, fold, protected

SETTINGS: Final = ("settings.json", "settings.local.json")
"""The files in which an agent's program is told to ask, in its folder `.claude`."""

_FOLDER: Final = ".claude"

STARTS: Final = (".mcp.json", ".claude.json")
"""The files that say which MCP servers the program starts, outside of the gate, and how it is told to start Assent itself."""


class Barrier:
    """What is out of reach, by path, device and inode. A module of the application."""

    def __init__(self, workspace: Path, hidden: Iterable[Path], read_only: Iterable[Path]) -> None:
        self._workspace = workspace
        self._control = ControlFiles(hidden=hidden, read_only=read_only)

    def require_open(self, path: str, *, changes: bool) -> None:
        """`PATH_PROTECTED` for a path that is hidden, or is to be changed and may only be read. Relative to the workspace."""
        full = str(self._workspace / path)
        zone = self._control.zone_at(full)
        folder, name = map(fold, ("", *full.split("/"))[-2:])
        if changes and (name in STARTS or (folder == _FOLDER and name in SETTINGS)):
            zone = max(zone, Zone.READ_ONLY)
        if zone is Zone.HIDDEN or (changes and zone is Zone.READ_ONLY):
            raise protected(path)


def settings_files(workspace: Path, environ: Mapping[str, str]) -> Iterable[Path]:
    """Where such files are for whoever works here, under whatever names links lead to them."""
    homes = [workspace / _FOLDER]
    around = [workspace]
    if home := environ.get("HOME"):
        homes.append(Path(home) / _FOLDER)
        around.append(Path(home))
    if own := environ.get("CLAUDE_CONFIG_DIR"):
        homes.append(workspace / own)
        around.append(workspace / own)
    return [
        *(folder / name for folder in homes for name in SETTINGS),
        *(folder / name for folder in around for name in STARTS),
    ]
