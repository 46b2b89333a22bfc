"""The files that no policy opens to an agent's own tools: Assent's, what governs agents, and what git starts programs by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from assent.capabilities.fs import ControlFiles
from assent.capabilities.fs.world._git_guard import forbid_programs_of_git
from assent.capabilities.fs.world._paths import Zone, fold, protected, refusal

GOVERNS: Final = (
    # Claude Code: hooks, permissions, servers; and helpers, commands and skills, whose heads name hooks and tools of their own
    *(".claude/settings.json", ".claude/settings.local.json", ".claude/hooks", ".claude/plugins"),
    *(".claude/agents", ".claude/commands", ".claude/skills", ".mcp.json", ".claude.json"),
    *(".cursor/mcp.json", ".cursor/hooks.json", ".cursor/hooks", ".cursor/cli.json"),
    *(".cursor/cli-config.json", ".config/cursor/cli-config.json"),
    # VS Code: `settings.json` can have its agent ask nobody, a task can run when a folder is opened
    *(".vscode/mcp.json", ".vscode/settings.json", ".vscode/tasks.json", ".github/hooks"),
    *(".config/Code/User/mcp.json", ".config/Code/User/settings.json", ".github/agents"),
    *(".codex/config.toml", ".codex/hooks.json", ".codex/hooks", ".codex/rules", ".codex/agents"),
    *(".gemini/settings.json", ".gemini/commands", ".gemini/extensions", ".gemini/hooks"),
    *(".gemini/policies", ".gemini/trustedFolders.json", ".gemini/.env"),
    *(".windsurf/hooks.json", ".windsurf/mcp_config.json", ".codeium/windsurf/hooks.json"),
    *(".codeium/windsurf/mcp_config.json", ".roo/mcp.json", ".clinerules/hooks", "cline_mcp_settings.json"),
    *(".zed/settings.json", ".zed/tasks.json", ".config/zed/settings.json", ".config/zed/tasks.json"),
    *(".kiro/settings/mcp.json", ".kiro/hooks", ".kiro/agents", ".amazonq/mcp.json", ".amazonq/cli-agents"),
    *(".continue/config.yaml", ".continue/mcpServers", "opencode.json", "opencode.jsonc", ".opencode"),
)
"""What tells an agent's program when to ask, and what to start beside the gate: files, and folders with all that they hold.

Texts that only a model reads (`CLAUDE.md`, `AGENTS.md`) are none of them: whoever obeys those is asked all the same.
"""

_GOVERNS: Final = tuple(tuple(map(fold, one.split("/"))) for one in GOVERNS)


class Barrier:
    """What is out of reach, by path, device and inode. A module of the application."""

    def __init__(self, workspace: Path, hidden: Iterable[Path], read_only: Iterable[Path]) -> None:
        self._workspace = workspace
        self._control = ControlFiles(hidden=hidden, read_only=read_only)

    def require_open(self, path: str, *, changes: bool) -> None:
        """`PATH_PROTECTED` for a path that is hidden, or is to be changed and may only be read. Relative to the workspace."""
        full = str(self._workspace / path)
        zone = self._control.zone_at(full)
        if zone is Zone.HIDDEN or (changes and zone is Zone.READ_ONLY):
            raise protected(path)
        if not changes:
            return
        folded = tuple(map(fold, full.split("/")))
        for one in _GOVERNS:
            if any(folded[at : at + len(one)] == one for at in range(len(folded) - len(one) + 1)):
                raise refusal(
                    "PATH_PROTECTED",
                    path,
                    "governs what agents are asked about, or what their programs start",
                    "no policy can allow this; a person edits such files by hand (docs/hooks.md names them)",
                )
        places = [full.lstrip("/") or "."]
        forbid_programs_of_git(_Disk(), places, places)


class _Disk:
    """What there is of the machine, by full paths without the first slash."""

    def stat(self, path: str) -> object | None:
        """None where nothing is."""
        try:
            return Path("/", path).lstat()
        except OSError:
            return None


def governing_files(workspace: Path, environ: Mapping[str, str]) -> Iterable[Path]:
    """Where such files are for whoever works here, under whatever names links lead to them."""
    around = [workspace, *(Path(home) for home in (environ.get("HOME"),) if home)]
    found = [folder / one for folder in around for one in GOVERNS]
    if own := environ.get("CLAUDE_CONFIG_DIR"):
        found += [
            workspace / own / one.removeprefix(".claude/") for one in GOVERNS if one.startswith(".claude")
        ]
    return found
