"""`assent knowledge key`: the keys of what was indexed."""

from __future__ import annotations

from typing import Final

from assent.cli._command import Group, command
from assent.cli._door import Door
from assent.cli.runs._drive import call, read_wait
from assent.cli.runs._run import wait_option

key: Final = Group(
    "key", no_args_is_help=True, help="The keys of what was indexed; `assent doctor` tells where they are."
)


@command("rotate", short_help="Replace all keys.")
@wait_option
def rotate(door: Door, *, wait: str | None) -> int:
    """Replace all keys, in steps: everything can be searched meanwhile. What was interrupted goes on when it is said again."""
    return call(door, "knowledge.rotate_key", {}, wait_ms=read_wait(wait))


key.add_command(rotate)
