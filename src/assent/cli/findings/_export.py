"""`assent findings export` and `prove`: what leaves, for other programs and for those who check."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from assent.cli._arguments import OneOf
from assent.cli._command import command
from assent.cli._door import Door
from assent.cli.findings._options import filters, meant
from assent.cli.record._proof import give_proof
from assent.cli.terminal._files import written_whole
from assent.errors import InputError
from assent.runtime.service import requests
from assent.spec.words.legible import safe, safe_line
from assent.spec.words.sizes import size_text

_BY_ENDING: Final = {
    ".sarif": "sarif", ".csv": "csv", ".json": "json", ".html": "html", ".htm": "html", ".md": "markdown", ".pdf": "pdf",
}  # fmt: skip


@command("export", watches=False, short_help="Write a report: SARIF, CSV, JSON, HTML, Markdown or PDF.")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@filters()
@click.option(
    "--format", "form", type=OneOf([*dict.fromkeys(_BY_ENDING.values())]),
    help="Left out: what FILE ends with, and JSON without a FILE.",
)  # fmt: skip
def export(door: Door, /, *, file: Path | None, form: str | None, **said: Any) -> None:  # `Any`: options
    """Write a report of findings to FILE, or to standard output: of those that `list` shows, so `--status any` is for all."""
    ending = ".json" if file is None else file.suffix.lower()
    if form is None and ending not in _BY_ENDING:
        raise InputError(
            "USAGE_INVALID",
            f"`{safe_line(str(file))}` must end with one of: {', '.join(_BY_ENDING)}",
            hint="or say `--format FORMAT`",
        )
    request = requests.FindingsExport(**meant(said), format=form or _BY_ENDING[ending])
    chunks = (part.data for part in door.stream(request))
    if file is None:
        door.out.data(chunks)
        return
    size = written_whole(door.cwd / file, chunks)
    door.out.tell(
        {"path": str(file), "format": request.format, "bytes": size},
        lambda: f"wrote {safe_line(str(file))}, {size_text(size)}",
    )


@command(
    "prove", watches=False, short_help="Show that a finding is in the ledger, and which bytes it was made of."
)
@click.argument("finding")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write the proof there."
)
def prove(door: Door, finding: str, output: Path | None) -> None:
    """Show which entry of the ledger binds FINDING, and which bytes of which tool's output it was made of.

    With `--output`, the proof is a file that `assent audit verify-proof FILE --key KEY` checks anywhere, without this state.
    """
    found = door.perform(requests.ProveFinding(finding=finding))
    lines = [
        f"{door.out.paint()('proved', 'green')}  {found.finding}  by entry {found.entry}",
        f"  line {found.index} of {found.size} in the dataset {found.dataset}",
    ]
    if found.record is not None:
        lines.append(
            f"  made of the bytes {found.record.begin} to {found.record.end} of {found.record.raw_sha256}:"
        )
        lines += [f"    {line}" for line in safe(found.record.text or "").splitlines()[:20]]
    give_proof(door, found, "\n".join(lines), output)
