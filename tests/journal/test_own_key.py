"""The key of a ledger is made once; a ledger that was signed gets no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from assent import Runtime
from assent.errors import InputError
from assent.journal import Ed25519FileSigner, ledger_signer
from tests.support.bodies import Place


async def test_a_signed_ledger_whose_key_is_gone_gets_no_new_one(tmp_path: Path) -> None:
    """The refusal leaves the key's place empty, so that the ledger's own can be put back there; then it goes on."""
    place = Place(tmp_path)
    settings = place.settings()
    async with Runtime(settings):
        pass
    kept = settings.key_path.read_bytes()
    settings.key_path.unlink()
    with pytest.raises(InputError) as refused:
        await Runtime(settings).__aenter__()
    assert (refused.value.code, refused.value.path) == ("KEY_MISSING", str(settings.key_path))
    assert not settings.key_path.exists()
    settings.key_path.touch(mode=0o600)
    settings.key_path.write_bytes(kept)
    async with Runtime(settings) as rt:
        assert (await rt.call("sys.noop")).status == "succeeded"


def test_a_key_is_made_where_nothing_was_signed(tmp_path: Path) -> None:
    """No ledger, and a ledger that a crash left before its first signature."""
    made = ledger_signer(tmp_path / "none", tmp_path / "key")
    assert made.vkey == Ed25519FileSigner.open(tmp_path / "key").vkey
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "ledger.db").touch(mode=0o600)
    ledger_signer(state, tmp_path / "other")
    assert (tmp_path / "other").exists()


def test_a_ledger_of_an_older_format_was_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def older(state: Path) -> None:
        raise InputError("STATE_OLDER", "an older Assent wrote it")

    monkeypatch.setattr("assent.journal.store._own_key.SqliteReader.open", older)
    with pytest.raises(InputError, match="is not at"):
        ledger_signer(tmp_path, tmp_path / "key")
