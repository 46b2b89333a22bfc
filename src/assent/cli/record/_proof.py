"""A proof that is a document: written to a file, and how anybody checks it with a key."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from assent.cli._arguments import read_text
from assent.cli.terminal._files import written_whole
from assent.errors import AssentError, InputError
from assent.runtime.service import requests
from assent.spec.words.legible import safe_line

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


def key_text(door: Door, key: str | None) -> str | None:
    """The text of a key that is given as such or as a file: keys have a `+`, and no folder separator before it."""
    if key is None:
        return None
    path = door.cwd / key
    if path.is_file():
        return read_text(path, what="the key").strip()
    if "+" not in key:
        # It is not quoted: it may be a part of a private one.
        raise InputError(
            "KEY_INVALID",
            "`--key` names no file that is there, and is no public key of the form `name+id+base64`",
            path="--key",
            hint="give `ledger.vkey`, which `assent audit export` writes, or the line in it",
        )
    return key


def required_key(door: Door, key: str | None) -> str:
    """The same where one has to be given."""
    found = key_text(door, key)
    if found is None:
        raise InputError(
            "USAGE_INVALID",
            "`--key` must be given: the public key of the ledger that the proof is of",
            hint="`assent doctor` shows it where that ledger is; take it from whom you trust, not from the proof's sender",
        )
    return found


def proved_text(door: Door, proved: answers.Proven) -> str:
    """Which entry a proof leads to."""
    where = f"entry {proved.index} of {proved.size} in {safe_line(proved.origin)}"
    if proved.stream and proved.n is not None:
        where += f", number {proved.n} of {safe_line(proved.stream)}"
    return f"{door.out.paint()('proved', 'green')}  {where}, root {proved.root}"
