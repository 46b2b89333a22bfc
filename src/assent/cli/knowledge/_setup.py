"""`assent knowledge model` and `key`: what a store is set up with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import click

from assent.capabilities.knowledge.area import NO_MODEL, model_words
from assent.cli._arguments import read_bytes
from assent.cli._command import Group, command
from assent.cli._door import Door
from assent.cli._exit import OK
from assent.cli.knowledge._acts import asked
from assent.cli.runs._drive import call, read_wait
from assent.cli.runs._run import wait_option
from assent.errors import InputError

_PEM_BYTES_MAX: Final = 1 << 16

model: Final = Group(
    "model",
    no_args_is_help=True,
    help="The model that finds by meaning what words do not find: of a folder, or behind an endpoint. Nothing is fetched.",
)


@command("add", short_help="Have the model in a folder.")
@click.argument("folder", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--endpoint", metavar="NAME", help="In place of a folder: one of `[knowledge.endpoints]`.")
@wait_option
def add(door: Door, folder: Path | None, *, endpoint: str | None, wait: str | None) -> int:
    """Have the model in FOLDER, with the SHA-256 of each of its files on the record, in place of any other.

    With `--endpoint`, the one behind that: what is indexed and asked is sent there. `assent knowledge index` makes the vectors.
    """
    if (folder is None) == (endpoint is None):
        raise click.UsageError("name the folder of a model, or an endpoint with --endpoint")
    if folder is not None and os.access(folder, os.R_OK | os.X_OK):
        from assent.knowledge.embedding import require_model

        require_model(folder)  # nobody is asked about a folder without one
    parameters: dict[str, Any] = (
        {"endpoint": endpoint} if folder is None else {"folder": str(folder.resolve())}
    )
    code = call(door, "knowledge.use_model", parameters, wait_ms=read_wait(wait))
    if code == OK:
        door.out.note(f"its vectors are made by the next run of: {door.command('knowledge', 'index')}")
    return code


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
            door.out.note(NO_MODEL)
        else:
            door.out.answer(model_words(one))

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


@command("escrow", short_help="Say who can recover the master key.")
@click.argument(
    "recipients", nargs=-1, metavar="FILE...", type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option("--off", is_flag=True, help="Nobody can.")
@wait_option
def escrow(door: Door, recipients: tuple[Path, ...], *, off: bool, wait: str | None) -> int:
    """Seal the master key for the X25519 public key in each FILE (PEM) and for nobody else: recovery is off unless this says it.

    `openssl genpkey -algorithm X25519 -out FILE` makes a pair, and `openssl pkey -in FILE -pubout` its public key.
    """
    if off == bool(recipients):
        raise click.UsageError("name a file for each recipient, or say --off")
    parameters: dict[str, Any] = {"recipients": [_public_key(one) for one in recipients]}
    return call(door, "knowledge.escrow", parameters, wait_ms=read_wait(wait))


def _public_key(path: Path) -> str:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        found = load_pem_public_key(read_bytes(path, what="the public key", most=_PEM_BYTES_MAX))
    except (ValueError, UnsupportedAlgorithm):
        found = None
    if not isinstance(found, X25519PublicKey):
        raise InputError(
            "KNOWLEDGE_RECIPIENT_INVALID",
            "the file holds no X25519 public key in PEM form",
            path=str(path),
            hint="`openssl pkey -in PRIVATE -pubout -out PUBLIC` writes one",
        )
    return found.public_bytes_raw().hex()


@command("recover", short_help="Recover the master key.")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@wait_option
def recover(door: Door, file: Path, *, wait: str | None) -> int:
    """Have the master key again where it was lost, by the private key in FILE (PEM, mode 0600) of a recipient of `key escrow`."""
    file = file.resolve()
    if file.stat().st_uid == os.geteuid():
        from assent.runtime.wiring.knowledge_keys import private_key

        # Nobody is asked about a file without one; of another account's the daemon judges, which may read it.
        private_key(file)
    return call(door, "knowledge.recover", {"key_file": str(file)}, wait_ms=read_wait(wait))


for _command in (rotate, escrow, recover):
    key.add_command(_command)
