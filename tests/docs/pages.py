"""Reading the documentation: its pages, their links and anchors, and the examples in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
STORIES: Final = tuple(
    sorted(page for page in (ROOT / "examples").glob("*/README.md") if page.parent.name != "notes")
)
"""The pages of the example folders; the plugin in `notes` has tests of its own."""

PAGES: Final = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")), *STORIES)

OWN: Final = tuple(
    page
    for page in PAGES[: -len(STORIES)]
    if page.name
    in (
        "README.md",
        "adapters.md",
        "agents.md",
        "calls.md",
        "pipe.md",
        "serve.md",
        "start.md",
        "operators.md",
        "auditors.md",
        "plugin-authors.md",
        "capability-spec.md",
        "data.md",
        "why.md",
        "concepts.md",
        "architecture.md",
        "ledger.md",
        "application.md",
        "writing.md",
        "plugins.md",
        "replay.md",
        "archives.md",
        "programs.md",
        "http.md",
        "notifications.md",
        "schedules.md",
        "git.md",
        "secrets.md",
        "versions.md",
        "workflows.md",
        "findings.md",
        "projects.md",
        "resources.md",
    )
)
"""Pages whose examples are executed here. The references of commands and policies are held by tests of their own."""

_FENCE: Final = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK: Final = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Example:
    """One fenced block: `kind` and `name` are the words after the fence."""

    kind: str
    name: str
    text: str


def examples(page: Path) -> list[Example]:
    """The page's fenced blocks, in order."""
    found = []
    for words, text in _FENCE.findall(page.read_text(encoding="utf-8")):
        kind, _, name = words.strip().partition(" ")
        found.append(Example(kind, name, text))
    return found


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Where the page links to."""
    return _LINK.findall(prose(page))


@cache
def anchors(page: Path) -> set[str]:
    """The names by which headings can be linked to, as Git hosts make them."""
    headings = _HEADING.findall(prose(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
