"""`assent findings`: what scanners say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from assent.cli._arguments import read_bytes
from assent.cli._command import command, group
from assent.cli._door import Door
from assent.spec.words.legible import safe_line

if TYPE_CHECKING:
    from assent.findings.parsing import Detected, Manifest


@command("detect", watches=False, short_help="Tell which scanner wrote a file.")
@click.argument("file", type=click.Path(path_type=Path))
def detect(door: Door, file: Path) -> None:
    """Tell which tool wrote FILE, of what version, and how it would be read. Only its first mebibyte is looked at."""
    from assent.findings.parsing import HEAD_BYTES, built_in_tools
    from assent.findings.parsing import detect as tool_of

    tools = built_in_tools()
    found = tool_of(read_bytes(door.cwd / file, what="the file", most=HEAD_BYTES), tools)
    manifest = tools[found.name].manifest
    door.out.tell(
        {
            "tool": manifest.tool,
            "version": found.version,
            "form": found.name,
            "title": manifest.title,
            "format": manifest.format,
            "record": manifest.record,
            "becomes": sorted({one.becomes for one in manifest.records}),
            "tried": list(manifest.tried),
        },
        lambda: _text(found, manifest, bold=lambda text: door.out.paint()(text, "bold")),
    )


def _text(found: Detected, manifest: Manifest, *, bold: Callable[[str], str]) -> str:
    becomes = " or ".join(sorted({one.becomes for one in manifest.records}))
    tried = (
        f"tried with {', '.join(manifest.tried)}"
        if manifest.tried
        else "untried: made from documentation alone"
    )
    return "\n".join(
        [
            bold(f"{manifest.tool} {safe_line(found.version or '')}".rstrip()),
            f"  {manifest.title}: {manifest.about}",
            f"  a record is {manifest.record}, and becomes a {becomes}",
            f"  {tried}",
        ]
    )


findings = group("findings", detect, help="Tell which scanner wrote a file.")
