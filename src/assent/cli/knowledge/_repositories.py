"""`assent knowledge add`: what of the workspace can be searched."""

from __future__ import annotations

from pathlib import Path

import click

from assent.cli._command import command
from assent.cli._door import Door
from assent.runtime import service
from assent.spec.words.legible import safe_line


@command("add", watches=False, short_help="Write a folder into assent.toml, to be indexed.")
@click.argument("folder", metavar="PATH", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="What the repository is called; without it as the folder is.")
@click.option("--label", "labels", metavar="LABEL", multiple=True, help="A label of all its files.")
@click.option(
    "--role", "roles", metavar="ROLE", multiple=True, help="Who may see what has a label that is new."
)
def add(door: Door, folder: Path, name: str | None, labels: tuple[str, ...], roles: tuple[str, ...]) -> None:
    """Have the folder PATH of the workspace as a repository: it is written into assent.toml, and nothing of it is read."""
    place = str(door.cwd / folder)
    written = door.perform(
        service.requests.AddRepository(folder=place, name=name, labels=[*labels], roles=[*roles])
    )
    if door.out.is_json:
        door.out.object(written)
        return
    labelled = "".join(f", with the label `{one}`" for one in written.labels)
    door.out.answer(
        f"`{safe_line(written.folder)}` is the repository `{written.name}`{labelled}: {safe_line(written.path)}"
    )
    if written.replaces_whole:
        door.out.note("it is the first that is named: the whole workspace is no repository any more")
    door.out.note(f"to see what would be read: {door.command('knowledge', 'plan', '-r', written.name)}")
    door.out.note(f"to index it: {door.command('knowledge', 'index', written.name)}")
