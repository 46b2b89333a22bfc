"""A state that the release before wrote is taken over whole: what waits, was killed or is in doubt goes on, and is undone."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from assent import Runtime
from assent.engine import RunProjector
from assent.invocation import Handler
from assent.journal import (
    LEDGER_FILE,
    Ed25519FileSigner,
    Ed25519Verifier,
    SqliteReader,
    SqliteRecord,
    rows_at_once,
    verify_ledger,
)
from assent.journal.store._schema import check_ledger, newest_format
from assent.runtime._ledger import projections
from assent.spec import create_read_capability, create_write_capability
from assent.spec.capability import SpecModel
from assent.spec.types import Url, WorkspacePath

BLIND = create_write_capability("mail.post", parameters={"type": "object"}, idempotent=False)
"""What the run in doubt has called, as it was registered then."""


async def post(context: object, parameters: object) -> object:
    """Not called again: nobody can tell whether it happened."""
    raise AssertionError


class Fetch(SpecModel):
    """Where from, and where to."""

    url: Url
    paths: Annotated[list[WorkspacePath], Field(min_length=1)]


def left(tmp_path: Path, name: str) -> Path:
    """A workspace as it was left, with modes as they have to be: the archive's maker may have had another umask."""
    with tarfile.open(Path(__file__).parent / "state" / f"{name}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    workspace = tmp_path / "workspace"
    (tmp_path / "ledger.key").chmod(0o600)
    (workspace / "policy.yaml").chmod(0o600)
    for path in (workspace / ".assent", *(workspace / ".assent").rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return left(tmp_path, "state")


@pytest.fixture
def places(tmp_path: Path) -> Path:
    return left(tmp_path, "places")


def verified(workspace: Path) -> int:
    """How many entries of the older format there are, once all of it was found good."""
    ledger = workspace / ".assent" / LEDGER_FILE
    with SqliteRecord.open(ledger) as record:
        leaves = [leaf for chunk in record.chunks() for leaf in chunk.leaves]
        origin = next(record.checkpoints())[1].partition("\n")[0]
    signer = Ed25519FileSigner.open(workspace.parent / "ledger.key").named(origin)
    report = verify_ledger(
        ledger,
        [Ed25519Verifier.from_vkey(signer.vkey)],
        projector=RunProjector(),
        signer=signer,
        areas=projections(),
    )
    assert report.is_good, report.first_bad
    return sum(leaf.endswith(b'"v":1}') for leaf in leaves)


def runs_of(workspace: Path) -> dict[str, str]:
    """The runs by the names of their workflows."""
    with SqliteReader.open(workspace / ".assent") as reader:
        return {str(row["workflow"]): str(row["run_id"]) for row in rows_at_once(reader, "runs")}


async def test_every_run_of_an_older_state_goes_on_and_is_undone(workspace: Path) -> None:
    before = verified(workspace)
    async with Runtime.open(workspace=workspace) as runtime:
        assert check_ledger(workspace / ".assent" / LEDGER_FILE) == newest_format()
        runtime.register(BLIND, Handler(post, compensate=post))
        runs = runs_of(workspace)
        # The one that was killed under way.
        (interrupted,) = await runtime.resume(runs["interrupted"])
        assert interrupted.status == "succeeded"
        assert (workspace / "after.txt").read_text(encoding="utf-8") == "after\n"
        # The one that waits for a person.
        approved = await runtime.approve(runs["waiting"], principal="user:boss")
        assert approved.status == "succeeded"
        assert not (workspace / "victim.txt").exists()
        # The one that nobody can tell about.
        in_doubt = await runtime.show(runs["in_doubt"])
        assert in_doubt.status == "needs_attention"
        resolved = await runtime.resolve(runs["in_doubt"], "post", "abandon")
        assert resolved.status == "failed"
        assert not (workspace / "first.txt").exists()
        for name in ("interrupted", "waiting", "succeeded"):
            undone = await runtime.undo(runs[name])
            if undone.status == "waiting":  # What deletes asks, also when that is taken back.
                undone = await runtime.approve(runs[name], principal="user:boss")
            assert undone.status == "undone", undone.error
    assert (workspace / "victim.txt").read_text(encoding="utf-8") == "precious\n"
    assert (workspace / "note.txt").read_text(encoding="utf-8") == "before\n"
    assert sorted(path.name for path in workspace.glob("*.txt")) == ["note.txt", "victim.txt"]
    assert verified(workspace) == before, "entries of the older format stay as they are"


async def test_calls_that_began_before_paths_were_marked_go_on(places: Path) -> None:
    """What a schema says of paths and URLs since is no other capability: nothing ends as CAPABILITY_CHANGED."""
    before, got = verified(places), list[object]()

    async def execute(context: object, parameters: Fetch) -> None:
        del context
        got.append((parameters.url, parameters.paths))

    async def compensate(context: object, parameters: Fetch) -> None:
        del context
        got.append(("back", *parameters.paths))

    changing = Handler(execute, compensate=compensate, parameters=Fetch, revision="1")
    async with Runtime.open(workspace=places) as runtime:
        runtime.register(create_write_capability("mine.fetch", parameters=Fetch, idempotent=True), changing)
        runtime.register(create_write_capability("mine.send", parameters=Fetch), changing)
        look = Handler(execute, parameters=Fetch, revision="1")
        runtime.register(create_read_capability("mine.look", parameters=Fetch), look)
        runs = runs_of(places)
        for name in ("repeated", "looking"):
            (resumed,) = await runtime.resume(runs[name])
            assert (resumed.status, resumed.error) == ("succeeded", None)
        # What was decided on is what is done, also where it would be written otherwise today.
        assert ("http://Example.org/./a", ["./a", "b"]) in got
        # Nobody had seen the spelling that this release would ask about, so it asks again.
        asked = await runtime.approve(runs["waiting"], principal="user:boss")
        assert asked.status == "waiting"
        approved = await runtime.approve(runs["waiting"], principal="user:boss")
        assert approved.status == "succeeded"
        assert not (places / "victim.txt").exists()
        assert (await runtime.show(runs["untold"])).status == "needs_attention"
        resolved = await runtime.resolve(runs["untold"], "only", "happened")
        assert resolved.status == "succeeded"
        for name in ("repeated", "untold", "waiting"):
            undone = await runtime.undo(runs[name])
            if undone.status == "waiting":
                undone = await runtime.approve(runs[name], principal="user:boss")
            assert undone.status == "undone", undone.error
        assert got.count(("back", "./a", "b")) == 2
    assert (places / "victim.txt").read_text(encoding="utf-8") == "precious\n"
    assert verified(places) == before


async def test_built_in_capabilities_are_those_of_then(tmp_path: Path) -> None:
    """One that changes gets another version: runs of then wait for it, or were killed in it."""
    then = json.loads((Path(__file__).parent / "fingerprints.json").read_text(encoding="utf-8"))
    async with Runtime.open(workspace=tmp_path) as runtime:
        now = {spec.reference: spec.fingerprint for spec in runtime.registry.list()}
    assert {name: now.get(name) for name in then} == then
