"""The key of one ledger: read from its file, and made only for a ledger that was never signed."""

from __future__ import annotations

from pathlib import Path

from assent.errors import InputError
from assent.journal.store._reader import SqliteReader
from assent.journal.tree._keys import Ed25519FileSigner


def ledger_signer(state_dir: Path, key_path: Path) -> Ed25519FileSigner:
    """The key that signs the ledger of a state directory; a new one where nothing was signed yet.

    Raises what `Ed25519FileSigner.open_or_create` raises, and `InputError` KEY_MISSING when the file of a key that did sign is
    gone: a new key could not go on with the ledger, and would only stand where the old one has to be put back.
    """
    if _is_gone(key_path) and _was_signed(state_dir):
        raise InputError(
            "KEY_MISSING",
            f"the key that signs this ledger is not at `{key_path}`",
            path=str(key_path),
            hint="put the ledger's own key back, or begin a new ledger with another `--state`",
        )
    return Ed25519FileSigner.open_or_create(key_path)


def _is_gone(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except OSError:
        pass  # Whoever opens it says why that can't be.
    return False


def _was_signed(state_dir: Path) -> bool:
    try:
        with SqliteReader.open(state_dir) as reader:
            return reader.newest_checkpoint() is not None
    except InputError as error:
        # A ledger of an older format was signed when it was made; what is no ledger of ours is refused when it is opened.
        return error.code == "STATE_OLDER"
