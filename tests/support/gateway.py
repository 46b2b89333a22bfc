"""A workspace with MCP servers of others, and what a test asks of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from assent.runtime.service import answers, process, requests
from assent.runtime.settings.effective import Settings

UPSTREAM: Final = Path(__file__).with_name("mcp_upstream.py")
ALLOW: Final = """\
version: 1
rules:
  - id: all
    when: { risk_level: [LOW, MEDIUM, HIGH, CRITICAL] }
    decision: ALLOW
    without_approval: true
    reason: a test
"""
COMPENSATED: Final = """
[mcp.servers.notes.tools.add_note]
compensate = { tool = "remove_note", arguments = { id = "${{ output.id }}" } }
"""
RECONCILED: Final = (
    COMPENSATED
    + """reconcile = { tool = "find_note", arguments = { title = "${{ inputs.title }}" }, \
happened = "size(result.structured.ids) > 0", output = { id = "${{ result.structured.ids[0] }}" } }
"""
)


class Gateway:
    """A folder with assent.toml, a policy that allows everything, and servers as they are added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "policy.yaml").write_text(ALLOW)
        (folder / "assent.toml").write_text('policy = "policy.yaml"\n')

    @property
    def settings(self) -> Settings:
        """What is configured, with a state of its own: the workspace's ledger has what a test does, and not who trusted whom."""
        home = self.folder.parent / f"{self.folder.name}-trusting"
        environ = {"HOME": str(home), "ASSENT_SECRET_TOKEN": "a-long-token"}
        return Settings.resolve(workspace=self.folder, state=home / "state", environ=environ, cwd=self.folder)

    def say(self, text: str) -> None:
        """Add to assent.toml."""
        with (self.folder / "assent.toml").open("a") as file:
            file.write(text)

    def program(self, mode: str = "plain", *, name: str = "notes", more: str = "") -> None:
        """Name a program as a server."""
        command = json.dumps([sys.executable, "-ISE", str(UPSTREAM), mode])
        self.say(f'\n[mcp.servers.{name}]\ncommand = {command}\nread_only = ["{UPSTREAM}"]\n{more}')

    def perform(
        self, request: requests.Request[Any], settings: Settings | None = None
    ) -> Any:  # `Any`: each has its own answer
        """What a command would be answered; from tests with a loop of their own, too."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(process.perform, request, settings or self.settings).result()

    def look(self, name: str = "notes") -> answers.ServerFound:
        """The server as it stands."""
        found: answers.ServerFound = self.perform(requests.LookAtServer(name=name))
        return found

    def trust(self, name: str = "notes") -> answers.ServerFound:
        """Trust it as it stands."""
        found: answers.ServerFound = self.perform(
            requests.TrustServer(name=name, digest=self.look(name).digest)
        )
        return found

    @property
    def lock(self) -> Mapping[str, Any]:
        """What is trusted."""
        found: dict[str, Any] = json.loads((self.folder / "assent-mcp.lock").read_text())["servers"]
        return found
