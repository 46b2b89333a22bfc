"""`assent knowledge model` and `key`: what a store is set up with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from assent.cli._command import Group, command
from assent.cli._door import Door
from assent.cli.knowledge._acts import asked
from assent.cli.runs._drive import call, read_wait
from assent.cli.runs._run import wait_option
from assent.spec.words.legible import safe_line
from assent.spec.words.sizes import count_text

model: Final = Group(
    "model",
    no_args_is_help=True,
    help="The model that finds by meaning what words do not find: a folder of this machine. Nothing is fetched.",
)


@command("add", short_help="Have the model in a folder.")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@wait_option
def add(door: Door, folder: Path, *, wait: str | None) -> int:
    """Have the model in FOLDER, with the SHA-256 of each of its files on the record, in place of any other.

    `assent knowledge index` makes the vectors.
    """
    parameters: dict[str, Any] = {"folder": str(folder.resolve())}
    return call(door, "knowledge.use_model", parameters, wait_ms=read_wait(wait))


@command("remove", short_help="Find by words alone.")
@wait_option
def remove(door: Door, *, wait: str | None) -> int:
    """Have no model: what is asked is found by words alone."""
    return call(door, "knowledge.use_model", {}, wait_ms=read_wait(wait))


@command("list", short_help="Tell which model there is.")
def list_(door: Door) -> int:
    """Tell which model the store has: a store has one at most, so that vectors of two are never compared."""

    def tell(found: Any) -> None:  # `Any`: JSON
        one = found["model"]
        if door.out.is_json:
            door.out.object([] if one is None else [one])
        elif one is None:
            door.out.note("there is no model: what is asked is found by words alone")
        else:
            lines = [
                f"{safe_line(one['name'])}  {one['digest']}",
                f"  {count_text(one['size'], 'component')}",
            ]
            lines += [f"  {digest}  {safe_line(path)}" for path, digest in sorted(one["files"].items())]
            door.out.answer("\n".join(lines))

    return asked(door, "status", {}, tell)


for _command in (add, remove, list_):
    model.add_command(_command)


key: Final = Group(
    "key", no_args_is_help=True, help="The keys of what was indexed; `assent doctor` tells where they are."
)


@command("rotate", short_help="Replace all keys.")
@wait_option
def rotate(door: Door, *, wait: str | None) -> int:
    """Replace all keys, in steps: everything can be searched meanwhile. What was interrupted goes on when it is said again."""
    return call(door, "knowledge.rotate_key", {}, wait_ms=read_wait(wait))


key.add_command(rotate)
