"""A proof that is a document: written to a file, and how anybody checks it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from assent.cli.terminal._files import written_whole
from assent.errors import AssentError
from assent.runtime.service import requests

if TYPE_CHECKING:
    from assent.cli._door import Door
    from assent.runtime.service import answers


def give_proof(door: Door, proof: answers.Bound, text: str, output: Path | None) -> None:
    """Write a proof where that was asked for, and tell what it shows."""
    if output is not None:
        import msgspec  # `--help` does without it

        written_whole(door.cwd / output, [msgspec.json.format(msgspec.json.encode(proof), indent=1), b"\n"])
    if door.out.is_json:
        door.out.object(proof)
        return
    door.out.answer(text)
    try:
        key = door.perform(requests.PublicKey()).key
    except AssentError:
        key = "KEY"  # It may lie where only the runtime may read it.
    check = f"assent audit verify-proof {shlex.quote(str(output or 'FILE'))} --key {shlex.quote(key)}"
    door.out.note(f"check it anywhere: {check}" if output is not None else f"for a file (`-o FILE`): {check}")
