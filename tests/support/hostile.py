"""A plugin that is honest, for tests to make hostile."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from assent.plugins import InProcessHost, LoadedPlugin, PluginLoader
from tests.support.plugins import write

HONEST: Final = '''\
"""Counts words."""

from assent import capability
from plugged._count import count


@capability("plugged.count", operation="READ", risk="LOW")
async def count_words(text: str) -> int:
    """Count the words of a text."""
    return count(text)
'''
FILES: Final = {
    "plugged/__init__.py": HONEST,
    "plugged/_count.py": "def count(text: str) -> int:\n    return len(text.split())\n",
    "plugged/words.txt": "data\n",
}
EFFECT: Final = "from pathlib import Path\nPath(__file__).with_name('effect').write_text('')\n"
"""What must never have happened before trust."""


class Workshop:
    """A folder with one plugin in it, its lock, and a process to load it in."""

    def __init__(self, folder: Path) -> None:
        self.folder = write(folder, FILES)
        self.package = folder / "plugged"
        self.loader = PluginLoader(folder, folder / "assent-plugins.lock", paths=["plugged"], assent="0.1.0")
        self.host = InProcessHost()

    def write(self, name: str, text: str | bytes) -> None:
        """Put a file into the package."""
        write(self.package, {name: text})

    def trust(self, *, native: bool = False, in_process: bool = False) -> None:
        """Trust the plugin as it stands."""
        self.loader.trust(
            self.loader.read("plugged"), native=native, trusted_by="user:alice", in_process=in_process
        )

    def load(self) -> LoadedPlugin:
        """Load it, when it is what was trusted."""
        return self.loader.load("plugged", self.host)
