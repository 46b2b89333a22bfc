"""Master keys come back from where they are kept, and from nowhere else."""

from __future__ import annotations

import stat
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from assent.errors import InputError, WorldError
from assent.knowledge.store import KeySource, SqlCipherStore, erase
from assent.runtime.wiring import knowledge_keys
from assent.runtime.wiring.knowledge_keys import FileKeys, KeychainKeys, PassphraseKeys
from assent.system import SystemEntropy
from tests.support.knowledge import indexed

KEY = bytes(range(32))


@pytest.fixture
def on_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:  # `Any`: it has no types
    """The system's keychain, in a file."""
    keyring: Any = import_module("keyring")
    kept = import_module("keyrings.alt.file").PlaintextKeyring()
    kept.file_path = str(tmp_path / "keychain")
    before = keyring.get_keyring()
    keyring.set_keyring(kept)
    yield kept
    keyring.set_keyring(before)


@pytest.fixture(params=["file", "passphrase", "keychain"])
def opens(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], KeySource]:
    monkeypatch.setattr(knowledge_keys, "_SCRYPT_COST", 2)
    folder = tmp_path / "keys"
    if request.param == "keychain":
        request.getfixturevalue("on_file")
        return KeychainKeys
    if request.param == "file":
        return lambda: FileKeys(folder)
    return lambda: PassphraseKeys(folder, "correct horse", SystemEntropy())


def test_a_key_is_kept_replaced_and_destroyed(opens: Callable[[], KeySource]) -> None:
    assert opens().load("one-1") is None
    opens().destroy("one-1")
    opens().keep("one-1", KEY)
    source = opens()
    assert source.load("one-1") == KEY
    assert source.load("one-2") is None
    source.keep("one-1", KEY[::-1])
    assert source.load("one-1") == opens().load("one-1") == KEY[::-1]
    source.destroy("one-1")
    assert opens().load("one-1") is None


def test_a_store_lives_by_its_keys(opens: Callable[[], KeySource], tmp_path: Path) -> None:
    def store() -> SqlCipherStore:
        return SqlCipherStore(tmp_path / "store", "tenant", keys=opens(), salt=SystemEntropy().salt)

    first = store()
    done = indexed(first, {"a.py": b"a = 1\n"})
    while first.rotate():
        pass
    first.close()
    again = store()
    assert again.head() == done
    again.close()
    erase(tmp_path / "store", "tenant", keys=opens())
    new = store()
    assert new.head().number == 0
    new.close()


def test_stores_of_one_tenant_have_keys_of_their_own_in_one_place(
    opens: Callable[[], KeySource], tmp_path: Path
) -> None:
    """As two workspaces have in the system's keychain, or beside a key that signs both their ledgers."""

    def store(name: str) -> SqlCipherStore:
        return SqlCipherStore(tmp_path / name, "tenant", keys=opens(), salt=SystemEntropy().salt)

    done = {}
    for name in ("one", "two"):
        made = store(name)
        done[name] = indexed(made, {f"{name}.py": b"a = 1\n"})
        made.close()
    for name in ("one", "two"):
        turned = store(name)
        while turned.rotate():
            pass
        turned.close()
        again = store("one")
        assert again.head() == done["one"]
        again.close()
    (keys,) = (tmp_path / "two").glob("*.keys")
    keys.unlink()
    erase(tmp_path / "two", "tenant", keys=opens())
    again = store("one")
    assert again.head() == done["one"]
    again.close()


def test_files_of_keys_are_their_owners_alone_and_say_nothing_under_a_passphrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knowledge_keys, "_SCRYPT_COST", 2)
    folder = tmp_path / "keys"
    PassphraseKeys(folder, "correct horse", SystemEntropy()).keep("one", KEY)
    (path,) = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(InputError, match="KNOWLEDGE_KEY_WRONG"):
        PassphraseKeys(folder, "wrong horse", SystemEntropy()).load("one")
    with pytest.raises(InputError, match="KNOWLEDGE_KEY_WRONG"):
        FileKeys(folder).load("one")
    path.rename(folder / "two.key")
    with pytest.raises(InputError, match="KNOWLEDGE_KEY_WRONG"):
        PassphraseKeys(folder, "correct horse", SystemEntropy()).load("two")
    (folder / "two.key").write_text("not a key\n")
    with pytest.raises(InputError, match="KNOWLEDGE_KEY_WRONG") as caught:
        FileKeys(folder).load("two")
    assert "not a key\n" not in str(caught.value)
    (folder / "two.key").chmod(0o644)
    with pytest.raises(InputError, match="SECRET_FILE_UNSAFE"):
        FileKeys(folder).load("two")


@pytest.mark.usefixtures("on_file")
def test_a_keychain_that_refuses_is_told_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*said: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr("keyring.set_password", refuse)
    with pytest.raises(WorldError, match="SECRET_UNAVAILABLE") as caught:
        KeychainKeys().keep("one", KEY)
    assert caught.value.__context__ is None
