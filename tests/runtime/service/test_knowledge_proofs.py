"""A chunk is proved by the entry of the ledger that binds its root, to whoever has the ledger's key alone.

Nothing else on record stands for such an entry, and whoever has the proof joined to it learns nothing of other chunks.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import to_builtins

from assent.errors import AssentError, InputError
from assent.runtime.service import answers, process, requests
from assent.runtime.service._knowledge import proven
from tests.support.bodies import Bench, Place, erased, policy, put, rule, workflow
from tests.support.crashing import noted
from tests.support.knowledge_workers import shared_workers
from tests.support.proofs import REFUSED, changed_from, entry_of, key_of, respelled

TEXT: Final = "def parse_quartz(text):\n    return text.split()\n\n\ndef other():\n    return 1\n"


def place_at(folder: Path) -> Place:
    folder.mkdir(exist_ok=True)
    place = Place(folder, policy=policy(rule("all", without_approval=True)))
    place.settings()
    for name in ("a.txt", "b.txt", "c.txt"):
        (place.workspace / name).write_text(f"{name} tells of marble\n")
    (place.workspace / "parser.py").write_text(TEXT)
    return place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_at(tmp_path / "here")


async def indexed(runtime: Bench) -> str:
    with shared_workers():
        result = await runtime.call("knowledge.index", {})
    assert result.status == "succeeded", result
    return result.run_id


async def manifest_of(runtime: Bench, chunk: str = "parser.py::4") -> dict[str, Any]:
    result = await runtime.call("knowledge.prove", {"chunk": chunk})
    assert result.error is None, result.error
    found: Any = result.outputs
    return dict(found)


def joined(place: Place, manifest: dict[str, Any], repository: str = "workspace") -> dict[str, Any]:
    """What the record adds to a proof, as a file holds it."""
    asked = requests.ProveKnowledge(repository=repository, manifest=manifest)
    found: dict[str, Any] = json.loads(
        json.dumps(process.perform(asked, place.settings()), default=to_builtins)
    )
    return found


def shown_elsewhere(proof: object, key: str, folder: Path) -> answers.Proven:
    """What a proof shows to somebody who has nothing but the key."""
    asked = requests.VerifyProof(proof=json.dumps(proof), key=key)
    return process.perform(asked, Place(folder).settings())


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """A proof that holds, and the key that it is checked with."""
    place = place_at(tmp_path_factory.mktemp("shown"))

    async def make() -> dict[str, Any]:
        async with place.open(box=False) as runtime:
            await indexed(runtime)
            return await manifest_of(runtime)

    manifest = asyncio.run(make())
    return joined(place, manifest), key_of(place)


async def test_a_chunk_is_proved_without_the_store(place: Place, tmp_path: Path) -> None:
    async with place.open(box=False) as runtime:
        run = await indexed(runtime)
        manifest = await manifest_of(runtime)
    proof, key = joined(place, manifest), key_of(place)
    entry = entry_of(place, run, "call")
    assert (proof["entry"], proof["outcome"]) == (entry.done, entry.body)
    shutil.rmtree(place.root)
    found = shown_elsewhere(proof, key, tmp_path)
    assert found.index == entry.done
    assert found.chunk
    told = to_builtins(found.chunk)
    assert told == {
        "tenant": "workspace",
        "repository": "workspace",
        "generation": 1,
        "root": manifest["root"],
        "path": "parser.py",
        "file_digest": manifest["digest"],
        "language": "python",
        "label": manifest["label"],
        "number": 1,
        "chunks": 2,
        "digest": manifest["chunk"]["digest"],
        "line": 5,
        "end_line": 6,
        "symbol": "other",
        "file": 3,
        "files": 4,
    }


@pytest.mark.parametrize("field", ["kind", "manifest", "outcome", "salt", "entry", "proof", "began"])
def test_a_proof_that_was_changed_anywhere_proves_nothing_else(
    shown: tuple[dict[str, Any], str], tmp_path: Path, field: str
) -> None:
    proof, key = shown
    assert proof.keys() == {"kind", "manifest", "outcome", "salt", "entry", "proof", "began"}
    for other in changed_from(proof[field]):
        changed = {**proof, field: other}
        with noted(f"`{field}` is {other!r}"):
            if changed == proof:
                continue
            with pytest.raises(AssentError) as told:
                shown_elsewhere(changed, key, tmp_path)
            assert told.value.code in REFUSED


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        {"chunk": None},
        {"chunk": {"digest": "", "line": 2**70, "end_line": 1, "symbol": ""}},
        {"chunk": {"digest": [], "line": 1, "end_line": 1, "symbol": ""}},
        {"number": 2**70},
        {"root": "\u00e9"},
        {"in_file": "x"},
    ],
    ids=str,
)
def test_what_is_no_way_to_a_root_is_refused_and_no_fault_of_ours(
    shown: tuple[dict[str, Any], str], place: Place, manifest: dict[str, Any]
) -> None:
    proof, key = shown
    said = {**proof["manifest"], **manifest} if manifest else {}
    for refused in (
        lambda: joined(place, said),
        lambda: proven(json.dumps({**proof, "manifest": said}), key),
    ):
        with pytest.raises(InputError) as told:
            refused()
        assert told.value.code in {"PROOF_MALFORMED", "PROOF_INVALID"}


@pytest.mark.parametrize(
    "change",
    [
        lambda said: {"text": "evil"},
        lambda said: {"chunk": {**said["chunk"], "text": "evil"}},
        lambda said: {"chunks_root": " " + said["chunks_root"]},
        lambda said: {"chunks_root": said["chunks_root"].upper()},
    ],
)
def test_a_proof_has_nothing_that_it_does_not_prove_and_one_spelling(
    shown: tuple[dict[str, Any], str], change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    proof, key = shown
    said = proof["manifest"]
    with pytest.raises(InputError) as told:
        proven(json.dumps({**proof, "manifest": {**said, **change(said)}}), key)
    assert told.value.code in {"PROOF_MALFORMED", "PROOF_INVALID"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"kind": "tomorrow"}', "a proof of the kind `tomorrow` is not known"),
        ('{"kind": 1}', "the proof is not that of a finding or a chunk"),
        ('{"kind": ' + "[" * 10_000, "the proof is not that of a finding or a chunk"),
        ('{"kind": "knowledge"}', "the proof is not that of a chunk that was indexed"),
    ],
    ids=["a later one", "a number", "too deep", "empty"],
)
def test_what_is_no_proof_is_told(place: Place, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as told:
        process.perform(requests.VerifyProof(proof=text, key="k"), place.settings())
    assert told.value.code == "PROOF_MALFORMED"


async def test_only_an_act_that_makes_roots_vouches_for_one(place: Place) -> None:
    """A capability of somebody's own says the very outcome; with whatever step of the same run beside it, it proves nothing."""
    async with place.open() as runtime:
        await indexed(runtime)
        manifest = await manifest_of(runtime)
        proof = joined(place, manifest)
        place.box.outputs["loot"] = json.loads(proof["outcome"])
        indexing = {"name": "indexed", "capability": "knowledge.index", "inputs": {}}
        result = await runtime.run(workflow(indexing, put("loot")))
        assert result.status == "succeeded", result
    steps = [entry_of(place, result.run_id, step) for step in ("loot", "indexed")]
    said = steps[0]
    assert json.loads(said.body) == json.loads(proof["outcome"])

    def of(seq: int) -> str:
        return process.perform(requests.Prove(seq=seq), place.settings()).proof

    other = {"outcome": said.body, "salt": said.salt, "entry": said.done, "proof": of(said.done)}
    for began in (*(of(step.began) for step in steps), proof["began"], other["proof"]):
        with pytest.raises(InputError, match="not those of an act that made a root") as refused:
            proven(json.dumps({**proof, **other, "began": began}), key_of(place))
        assert refused.value.code == "PROOF_INVALID"
    assert joined(place, manifest)["entry"] == steps[1].done


async def test_another_root_is_not_proved_by_an_entry(place: Place) -> None:
    async with place.open(box=False) as runtime:
        await indexed(runtime)
        first = joined(place, await manifest_of(runtime))
        (place.workspace / "a.txt").write_text("another text\n")
        await indexed(runtime)
        second = joined(place, await manifest_of(runtime))
    assert first["manifest"]["root"] != second["manifest"]["root"]
    for proof, other in ((first, second), (second, first)):
        with pytest.raises(InputError, match="the outcome names another root") as refused:
            proven(json.dumps({**proof, "manifest": other["manifest"]}), key_of(place))
        assert refused.value.code == "PROOF_INVALID"


async def test_a_root_that_an_undo_gave_back_is_proved_by_what_first_made_it(place: Place) -> None:
    async with place.open(box=False) as runtime:
        first = await indexed(runtime)
        before = await manifest_of(runtime)
        (place.workspace / "a.txt").write_text("another text\n")
        second = await indexed(runtime)
        changed = await manifest_of(runtime)
        await runtime.undo(second)
        assert await manifest_of(runtime) == before
    proof = joined(place, before)
    assert proof["entry"] == entry_of(place, first, "call").done
    assert joined(place, changed)["entry"] == entry_of(place, second, "call").done
    proven(json.dumps(proof), key_of(place))


async def test_what_is_left_after_forgetting_is_proved_by_that(place: Place) -> None:
    async with place.open(box=False) as runtime:
        await indexed(runtime)
        forgotten = await runtime.call("knowledge.forget", {"paths": ["a.txt"]})
        assert forgotten.status == "succeeded", forgotten
        proof = joined(place, await manifest_of(runtime, "parser.py::3"))
    assert proof["entry"] == entry_of(place, forgotten.run_id, "call").done
    proven(json.dumps(proof), key_of(place))


async def test_no_entry_is_joined_to_what_the_ledger_says_nowhere(place: Place, tmp_path: Path) -> None:
    """Nothing on record, another repository, a failed or an erased run: they are told alike."""

    def unrecorded(at: Place, repository: str = "workspace") -> None:
        with pytest.raises(InputError) as refused:
            joined(at, manifest, repository)
        assert refused.value.code == "KNOWLEDGE_ROOT_UNRECORDED"

    async with place.open(box=False) as runtime:
        assert (await runtime.call("knowledge.index", {"repository": "none"})).status == "failed"
        run = await indexed(runtime)
        manifest = await manifest_of(runtime)
    unrecorded(place, "none")
    unrecorded(place_at(tmp_path / "other"))
    joined(place, manifest)
    async with place.open(box=False) as runtime:
        await erased(runtime, run)
    unrecorded(place)


async def test_whoever_holds_no_way_to_a_root_is_told_of_no_entry(place: Place) -> None:
    """A root alone is not enough, nor a guess of a chunk beside the own one."""
    async with place.open(box=False) as runtime:
        await indexed(runtime)
        manifest = await manifest_of(runtime)
    guesses: tuple[dict[str, Any], ...] = (
        {"chunk": {**manifest["chunk"], "digest": "0" * 64}},
        {"path": "a.txt"},
        {"in_file": []},
    )
    for guess in guesses:
        with pytest.raises(InputError, match="not in the manifest with this root") as refused:
            joined(place, {**manifest, **guess})
        assert refused.value.code == "PROOF_INVALID"


def test_a_proof_has_one_spelling_and_nothing_that_nobody_looks_at(shown: tuple[dict[str, Any], str]) -> None:
    """Of a name that stands twice one value would be checked, and another one read by somebody else."""
    proof, key = shown
    proven(json.dumps(proof), key)
    for text in respelled(proof):
        with noted(text[:200]), pytest.raises(InputError) as told:
            proven(text, key)
        assert told.value.code == "PROOF_MALFORMED"
        assert len(told.value.message) < 1_000
