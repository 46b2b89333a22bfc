"""Keys of a store are replaced, recovered and destroyed, and nobody else has them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from assent.errors import InputError
from assent.knowledge.store import (
    MemoryKeys,
    MemoryStore,
    erase,
    recover,
)
from assent.knowledge.store._database import DamagedError
from assent.knowledge.store._faults import storage_failed
from assent.knowledge.store.keys import KeyRing
from tests.knowledge.store.conftest import TREE, Stores, refused
from tests.support.knowledge import indexed


def test_keys_are_replaced_step_by_step_while_all_is_read_and_written(stores: Stores) -> None:
    store, reader = stores(), stores()
    indexed(store, {f"{number}.py": b"def f%d(): pass\n" % number for number in range(20)})
    keys = stores.keys
    assert keys is not None
    (before,) = keys._keys
    held = reader.files("repo")
    assert store.rotate(3)
    assert (store.is_rotating, reader.is_rotating) == (True, False)
    steps = 1
    while store.rotate(3):
        steps += 1
        assert reader.files("repo")[: len(held)] == held
        assert reader.text(held[0].row, 0) == b"def f0(): pass\n"
        if steps == 4:
            indexed(reader, {"new.py": b"new\n"}, "elsewhere")
    assert steps > 20
    assert reader.files("repo") == held
    assert indexed(reader, TREE).number == 3
    assert stores().files("repo") == store.files("repo")
    store.verify()
    sealed = [row[0] for row in store._ask("SELECT sealed FROM chunks UNION ALL SELECT sealed FROM blocks")]
    assert {store._sealer.key_of(one) for one in sealed} == {2}
    assert not store.is_rotating
    assert before not in keys._keys


def test_who_reads_while_the_pages_have_their_new_key_and_nobody_was_told_finds_it(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill there: the file of keys has both."""
    store, reader = stores(), stores()
    indexed(store, TREE)
    held = reader.files("repo")
    with monkeypatch.context() as patched:
        patched.setattr("assent.knowledge.store.keys.KeyRing.end_rotation", lambda _: None)
        while store.rotate():
            pass
    assert reader.files("repo") == stores().files("repo") == held
    while store.rotate():
        pass
    assert reader.files("repo") == held


def test_a_file_that_stays_unreadable_while_its_keys_are_replaced_is_damaged(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stores()
    store.rotate()
    asked = []

    def ask(_: MemoryStore, sql: str, __: object = ()) -> None:
        asked.append(sql)
        raise DamagedError("KNOWLEDGE_STORE_DAMAGED", "it can't be read")

    monkeypatch.setattr(MemoryStore, "_ask", ask)
    refused("KNOWLEDGE_STORE_DAMAGED", store.head)
    assert len(asked) == 3


def test_a_master_that_is_replaced_while_the_keys_are_read_is_looked_for_again(stores: Stores) -> None:
    store = stores()
    done = indexed(store, TREE)
    kept = stores.keys

    class Slow(MemoryKeys):
        def load(self, name: str) -> bytes | None:
            if not store.is_rotating:
                store.rotate()
            assert kept is not None
            return kept.load(name)

    stores.keys = Slow()
    assert stores().head() == done


def test_a_key_is_recovered_by_whom_it_was_wrapped_for_and_by_nobody_else(stores: Stores) -> None:
    """Recovery is off until it is asked for; it outlives a rotation; both are told."""
    recipient, stranger = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    public = recipient.public_key().public_bytes_raw().hex()
    store = stores()
    indexed(store, TREE)
    assert b'"escrow":{}' in stores.file("tenant", "keys").read_bytes()

    def recovered(private: X25519PrivateKey) -> object:
        stores.keys = MemoryKeys()
        return recover(stores.folder, "tenant", keys=stores.keys, private=private.private_bytes_raw())

    kept = stores.keys
    refused("KNOWLEDGE_KEY_WRONG", lambda: recovered(recipient))
    stores.keys = kept
    store.escrow([public, public])
    assert store.recipients == [public]
    refused("KNOWLEDGE_RECIPIENT_INVALID", lambda: store.escrow(["00" * 32]))
    assert store.recipients == [public]
    while store.rotate():
        pass
    store.close()
    refused("KNOWLEDGE_KEY_WRONG", lambda: recovered(stranger))
    refused("KNOWLEDGE_KEY_MISSING", stores)
    assert recovered(recipient) == public
    store = stores()
    assert (len(store.files("repo")), store.recipients) == (2, [public])
    store.escrow([])
    store.close()
    refused("KNOWLEDGE_KEY_WRONG", lambda: recovered(recipient))
    stores.file("tenant", "keys").unlink()
    refused("KNOWLEDGE_KEY_MISSING", lambda: recovered(recipient))


@pytest.mark.parametrize(("owner", "at"), [(KeyRing, "save"), (Path, "replace")])
def test_who_can_recover_a_key_is_as_before_where_the_change_failed_half_way(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, owner: type, at: str
) -> None:
    """The file of keys before it is written, and before it is there."""
    store, before = stores(), _public()
    store.escrow([before])

    def fail(*_: object, **__: object) -> None:
        monkeypatch.undo()
        raise InputError("KNOWLEDGE_STORE_DAMAGED", "a page can't be read")

    monkeypatch.setattr(owner, at, fail)
    refused("KNOWLEDGE_STORE_DAMAGED", lambda: store.escrow([_public()]))
    for seen in (store, stores()):
        assert seen.recipients == [before]


def test_nobody_becomes_a_recipient_by_writing_the_file_of_keys(stores: Stores) -> None:
    """It is no secret, and lies beside the store: who can write there would have the master of the next rotation."""
    store, own, other = stores(), _public(), _public()
    indexed(store, TREE)
    file = stores.file("tenant", "keys")
    for recipients in ([], [own]):
        store.escrow(recipients)
        written = file.read_bytes()
        kept = msgspec.json.decode(written)
        for changed in ({**kept["escrow"], other: ""}, {other: ""}, {} if recipients else {own: ""}):
            file.write_bytes(msgspec.json.encode({**kept, "escrow": changed}))
            refused("KNOWLEDGE_KEY_WRONG", store.rotate)
            refused("KNOWLEDGE_KEY_WRONG", stores)
            assert other not in store.recipients
        file.write_bytes(written)
        assert stores().recipients == recipients


def test_a_pipe_in_the_place_of_the_store_holds_nobody_up(stores: Stores) -> None:
    store = stores()
    indexed(store, TREE)
    store.close()
    file = stores.file("tenant", "db")
    file.unlink()
    os.mkfifo(file)
    refused("KNOWLEDGE_STORE_DAMAGED", stores)


def test_a_pipe_in_the_place_of_the_keys_holds_nobody_up(stores: Stores) -> None:
    stores().close()
    file = stores.file("tenant", "keys")
    file.unlink()
    os.mkfifo(file)
    refused("KNOWLEDGE_STORE_DAMAGED", stores)


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_keys_of_before_that_are_put_back_in_a_rotation_are_refused_and_nothing_is_lost(
    stores: Stores, steps: int
) -> None:
    """It would begin anew, and another key would have the number of the one that is in no file any more."""
    store, file = stores(), stores.file("tenant", "keys")
    indexed(store, TREE)
    before = file.read_bytes()
    for _ in range(steps):
        store.rotate(1)
    now = file.read_bytes()
    file.write_bytes(before)
    for _ in range(2):
        refused("KNOWLEDGE_KEY_WRONG", store.rotate)
        refused("KNOWLEDGE_KEY_WRONG", lambda: indexed(store, TREE, "elsewhere"))
    refused("KNOWLEDGE_KEY_WRONG", stores)
    file.write_bytes(now)
    for one in (store, stores()):
        while one.rotate(1):
            pass
        one.verify()


def test_a_master_that_somebody_else_sealed_is_not_kept(stores: Stores) -> None:
    """To seal something for a recipient needs their public key alone."""
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw().hex()
    store = stores()
    store.escrow([public])
    store.close()
    file = stores.file("tenant", "keys")
    kept = msgspec.json.decode(file.read_bytes())
    ring = KeyRing(file, bytes.fromhex(kept["tenant"]), MemoryKeys(), bytes)
    forged = {**kept, "escrow": {public: ring._sealed_for(bytes(32), public)}}
    file.write_bytes(msgspec.json.encode(forged))
    empty = MemoryKeys()
    refused(
        "KNOWLEDGE_KEY_WRONG",
        lambda: recover(stores.folder, "tenant", keys=empty, private=private.private_bytes_raw()),
    )
    assert empty.load(ring._name(kept["master"])) is None


def _public() -> str:
    return X25519PrivateKey.generate().public_key().public_bytes_raw().hex()


def test_a_tenant_that_was_erased_can_be_read_by_nobody(stores: Stores, tmp_path: Path) -> None:
    """The files may have been copied before: without the key they are nothing."""
    store = stores()
    indexed(store, TREE)
    indexed(stores("other"), TREE)
    store.close()
    shutil.copytree(stores.folder, tmp_path / "copy")
    for _ in range(2):
        erase(stores.folder, "tenant", keys=stores.keys)
    assert not [one for one in stores.folder.glob(f"{stores.file('tenant').stem}*") if one.suffix != ".lock"]
    assert len(stores("other").files("repo")) == 2
    assert stores().files("repo") == []
    stores.close()
    for ending in ("db", "keys"):
        name = stores.file("tenant", ending).name
        shutil.copy(tmp_path / "copy" / name, stores.folder / name)
    refused("KNOWLEDGE_KEY", stores)


@pytest.mark.parametrize("document", [None, b"{", b'"master":900'])
def test_whoever_erases_destroys_every_master_though_the_file_of_keys_tells_of_none(
    stores: Stores, document: bytes | None
) -> None:
    """A copy of the file, from before it was damaged or forged, would be opened by a master that stayed."""
    store = stores()
    indexed(store, TREE)
    for _ in range(3):
        while store.rotate():
            pass
    store.close()
    place = stores.file("tenant", "keys")
    kept = place.read_bytes()
    place.unlink()
    if document is not None:
        place.write_bytes(kept.replace(b'"master":4', document) if b"master" in document else document)
    erase(stores.folder, "tenant", keys=stores.keys)
    assert stores.keys is not None
    assert stores.keys._keys == {}


def test_a_plain_tenant_is_erased_with_its_file(plain: Stores) -> None:
    indexed(plain(), TREE)
    plain.close()
    erase(plain.folder, "tenant", keys=None)
    assert [one.suffix for one in plain.folder.iterdir()] == [".lock"]


def test_a_disk_that_is_no_more_is_told_as_one_that_fails(tmp_path: Path) -> None:
    assert (
        storage_failed(tmp_path / "gone" / "store.db", Exception("disk I/O error")).code == "STORAGE_FAILED"
    )
