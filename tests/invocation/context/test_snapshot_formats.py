"""A snapshot of an earlier format is brought to the current one when it is read; one of a later format is refused."""

from __future__ import annotations

from typing import Any

import pytest

from assent.errors import InputError
from assent.invocation.context import snapshot as module
from assent.invocation.context.snapshot import FORMAT, Snapshot
from assent.versions.transform import Migrations


def rename(old: dict[str, Any]) -> dict[str, Any]:
    return {"kind": old["kind"], "renamed": old["name"]}


def broken(old: dict[str, Any]) -> dict[str, Any]:
    raise ValueError(old["nothing"])


def test_an_older_snapshot_is_migrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hash is checked as it was written, and the one that it has then is of what it became."""
    written = Snapshot.of_document({"snapshot": 1, "kind": "call", "name": "a"}).dump()
    assert Snapshot.load(written).document == {"snapshot": 1, "kind": "call", "name": "a"}
    monkeypatch.setattr(module, "MIGRATIONS", Migrations("the snapshot", (rename,), key="snapshot"))
    migrated = Snapshot.load(written)
    assert migrated.document == {"snapshot": 2, "kind": "call", "renamed": "a"}
    assert Snapshot.load(migrated.dump()) == migrated
    with pytest.raises(InputError, match="not what its hash says"):
        Snapshot.load(written.replace(b'"a"', b'"b"'))


def test_a_snapshot_that_can_not_be_migrated_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later format, and a step that fails."""
    later = Snapshot.of_document({"snapshot": FORMAT + 1, "kind": "call"}).dump()
    with pytest.raises(InputError, match="knows up to"):
        Snapshot.load(later)
    monkeypatch.setattr(module, "MIGRATIONS", Migrations("the snapshot", (broken,), key="snapshot"))
    with pytest.raises(InputError) as caught:
        Snapshot.load(Snapshot.of_document({"snapshot": 1, "kind": "call"}).dump())
    assert caught.value.code == "SNAPSHOT_INVALID"
