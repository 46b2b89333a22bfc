"""What is indexed is found by meaning too, with the model that was added and with no other."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from assent import Runtime
from assent.capabilities.knowledge import _models
from assent.capabilities.knowledge._models import MODELS, VECTORS, Models, rewriters, vectors_of
from assent.errors import InputError
from assent.knowledge.embedding import LocalEmbedder
from assent.knowledge.store import MemoryStore
from tests.support.bodies import code, user
from tests.support.encoder import SIZE, tiny_model
from tests.support.knowledge import indexed
from tests.support.knowledge_places import ADA, POLICY, called

HUGO = user("hugo", "hr")
CONFIG = """\
policy = "policy.yaml"
[ledger]
key = "{root}/keys/ledger.key"
[knowledge.labels.staff]
paths = ["people/*"]
roles = ["hr"]
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    (work / "assent.toml").write_text(CONFIG.format(root=tmp_path))
    (work / "policy.yaml").write_text(POLICY)
    (work / "policy.yaml").chmod(0o600)
    (work / "one.txt").write_text("w1 w2 w3\n")
    (work / "two.txt").write_text("w9 w8 w7\n")
    return work


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "tiny")


async def test_a_model_is_added_and_has_a_say_in_what_is_found(workspace: Path, model: Path) -> None:
    async with Runtime.open(workspace=workspace) as rt:
        plain = await called(rt, "index")
        assert (plain["model"], plain["vectors"]) == ("", 0)
        assert (await called(rt, "status"))["model"] is None
        (hit, *_) = (await called(rt, "search", query="w1"))["hits"]
        assert (hit["why"]["meaning_rank"], hit["why"]["cosine"]) == (None, None)
        used = (await called(rt, "use_model", folder=str(model)))["model"]
        assert (used["name"], used["size"]) == ("tiny", SIZE)
        assert {*used["files"]} > {"tokenizer.json", "config.json", "model.safetensors"}
        (hit, *_) = (await called(rt, "search", query="w1"))["hits"]
        assert hit["why"]["cosine"] is None
        done = await called(rt, "index")
        assert (done["model"], done["vectors"], done["changed"]) == (used["digest"], done["chunks"], 0)
        assert (done["root"], done["generation"]) == (plain["root"], plain["generation"])
        hits = (await called(rt, "search", query="w1"))["hits"]
        assert (hits[0]["path"], hits[0]["why"]["words_rank"]) == ("one.txt", 1)
        assert len(hits) == done["chunks"]
        assert all(one["why"]["meaning_rank"] for one in hits)
        told = await called(rt, "status")
        assert (told["model"], [one["repository"] for one in told["repositories"]]) == (used, ["workspace"])
        assert told["repositories"][0]["vectors"] == done["chunks"]
    async with Runtime.open(workspace=workspace) as rt:
        assert (await called(rt, "search", query="w1"))["hits"] == hits
        assert (await called(rt, "verify")) == told


async def test_an_approval_is_of_the_files_that_the_folder_had(workspace: Path, model: Path) -> None:
    """What is in it is run: where a file was replaced until the approval is given, it is asked for anew."""
    ask = "rules:\n  - {id: ask, decision: REQUIRE_APPROVAL, reason: r, when: {capability: knowledge.use_model}}\n"
    (workspace / "policy.yaml").write_text(POLICY.replace("rules:\n", ask))
    async with Runtime.open(workspace=workspace) as rt:
        asked = await rt.call("knowledge.use_model", {"folder": str(model)}, principal=ADA)
        weights = model / "model.safetensors"
        shutil.copy2(weights, model / "other")
        (model / "other").rename(weights)
        for status in ("waiting", "succeeded"):
            asked = await rt.approve(str(asked.run_id), principal=user("boss"))
            assert asked.status == status


async def test_only_what_changed_gets_a_vector(
    workspace: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded: list[str] = []
    embed = LocalEmbedder.embed

    def noted(self: LocalEmbedder, texts: Sequence[str]) -> NDArray[np.float32]:
        embedded.extend(texts)
        return embed(self, texts)

    async with Runtime.open(workspace=workspace) as rt:
        await called(rt, "use_model", folder=str(model))
        before = await called(rt, "index")
        monkeypatch.setattr(LocalEmbedder, "embed", noted)
        (workspace / "one.txt").write_text("w1 w2 w4\n")
        changed = await rt.call("knowledge.index", principal=ADA)
        assert embedded == ["one.txt \nw1 w2 w4\n"]
        outputs: Any = changed.outputs
        assert outputs["vectors"] == outputs["chunks"]
        await rt.undo(changed.run_id)
        told = (await called(rt, "status"))["repositories"][0]
        assert (told["root"], told["vectors"], told["chunks"]) == (
            before["root"], before["vectors"], before["chunks"],
        )  # fmt: skip


async def test_another_model_is_taken_back(workspace: Path, model: Path, tmp_path: Path) -> None:
    async with Runtime.open(workspace=workspace) as rt:
        used = await rt.call("knowledge.use_model", {"folder": str(model)}, principal=ADA)
        await called(rt, "index")
        assert (await called(rt, "use_model"))["model"] is None
        (hit, *_) = (await called(rt, "search", query="w1"))["hits"]
        assert hit["why"]["cosine"] is None
        assert (await called(rt, "index"))["vectors"] == 0
        again = await rt.call("knowledge.use_model", {"folder": str(model)}, principal=ADA)
        await rt.undo(again.run_id)
        assert (await called(rt, "status"))["model"] is None
        result = await rt.call("knowledge.use_model", {"folder": str(tmp_path)}, principal=ADA)
        assert code(result) == "KNOWLEDGE_MODEL_INVALID"
        outputs: Any = [one.outputs for one in (used, again)]
        assert outputs[0]["model"] == outputs[1]["model"]


async def test_a_model_that_changed_is_refused_until_it_is_added_again(workspace: Path, model: Path) -> None:
    async with Runtime.open(workspace=workspace) as rt:
        await called(rt, "use_model", folder=str(model))
        await called(rt, "index")
    (model / "sentence_bert_config.json").write_text('{"max_seq_length": 6}')
    async with Runtime.open(workspace=workspace) as rt:
        for capability, parameters in (("index", {}), ("search", {"query": "w1"})):
            result = await rt.call(f"knowledge.{capability}", parameters, principal=ADA)
            assert code(result) == "KNOWLEDGE_MODEL_CHANGED"
        await called(rt, "use_model", folder=str(model))
        (hit, *_) = (await called(rt, "search", query="w1"))["hits"]
        assert hit["why"]["cosine"] is None
        done = await called(rt, "index")
        assert done["vectors"] == done["chunks"]


async def test_what_is_hidden_has_no_part_in_what_is_found_by_meaning(workspace: Path, model: Path) -> None:
    async with Runtime.open(workspace=workspace) as rt:
        await called(rt, "use_model", folder=str(model))
        await called(rt, "index")
        before = (await called(rt, "search", query="w5"))["hits"]
        (workspace / "people").mkdir()
        (workspace / "people" / "ada.md").write_text("w5 w6\n")
        await called(rt, "index")
        assert (await called(rt, "search", query="w5"))["hits"] == before
        assert (await called(rt, "search", HUGO, query="w5"))["hits"][0]["path"] == "people/ada.md"
        counts = [(await called(rt, "status", who))["repositories"][0]["vectors"] for who in (ADA, HUGO)]
        assert counts[1] == counts[0] + 1


# -- the vectors themselves -----------------------------------------------------------------------

TREE = {"a.txt": b"w1 w2\n", "b.txt": b"w3\n", "c.txt": b"w4 w5\n"}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    monkeypatch.setattr(_models, "_TEXTS_AT_ONCE", 1)
    store = MemoryStore("tenant")
    indexed(store, TREE)
    return store


def count_of(store: MemoryStore, models: Models) -> int:
    return sum(len(one.chunks) for each in vectors_of(models._store(), "repo").values() for one in each)


def test_what_is_made_until_it_is_ended_is_kept(store: MemoryStore, model: Path, tmp_path: Path) -> None:
    models = Models(lambda: store, tmp_path)
    assert models.meaning("w1", None, lambda _: None) is None
    assert (models.make("repo", lambda _: True), vectors_of(models._store(), "repo")) == (0, {})
    models.use(str(model))
    assert models.make("repo", lambda _: False) == 3
    assert store.pieces("repo", VECTORS) == []
    assert (models.make("repo", lambda made: made < 2), count_of(store, models)) == (1, 2)
    assert (models.make("repo", lambda made: made == 0), count_of(store, models)) == (0, 3)


@pytest.mark.parametrize("case", [("", [0, 1, 2]), ("a", [0, 0, 1]), ("abc", [0, 0, 0])])
def test_how_many_were_made_is_told_of_what_is_seen(
    store: MemoryStore,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[str, list[int]],
) -> None:
    monkeypatch.setattr(_models, "VECTORS_AT_ONCE", 2)
    models, heard = Models(lambda: store, tmp_path), list[int]()
    models.use(str(model))

    def told(made: int) -> bool:
        heard.append(made)
        return True

    models.make("repo", told, sees=lambda path: path[0] not in case[0])
    assert heard == case[1]


def test_what_was_made_before_is_kept_while_more_is_made(
    store: MemoryStore, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_models, "VECTORS_AT_ONCE", 2)
    models = Models(lambda: store, tmp_path)
    models.use(str(model))
    counts: list[int] = []

    def told(_made: int) -> bool:
        counts.append(count_of(store, models))
        return True

    assert models.make("repo", told) == 0
    assert counts == [0, 0, 2]


def test_pieces_are_searched_as_one_and_what_two_have_made_once(
    store: MemoryStore, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_models, "VECTORS_AT_ONCE", 2)
    models, others = Models(lambda: store, tmp_path), Models(lambda: store, tmp_path)
    models.use(str(model))
    assert models.make("repo", lambda _: others.make("repo", lambda _: True) == 0) == 0
    assert len(store.pieces("repo", VECTORS)) == 4
    ((one,),) = vectors_of(models._store(), "repo").values()
    assert one.chunks.tolist() == [0, 1, 2]


def test_vectors_are_forgotten_with_their_files(store: MemoryStore, model: Path, tmp_path: Path) -> None:
    models = Models(lambda: store, tmp_path)
    models.use(str(model))
    models.make("repo", lambda _: True)
    ((before,),) = vectors_of(models._store(), "repo").values()
    rows = before.rows(np.arange(3))
    store.forget("repo", ["b.txt"], rewriters())
    ((after,),) = vectors_of(models._store(), "repo").values()
    assert after.chunks.tolist() == [0, 1]
    assert (after.rows(np.arange(2)) == rows[[0, 2]]).all()
    store.forget("repo", ["a.txt", "c.txt"], rewriters())
    assert vectors_of(models._store(), "repo") == {}
    assert store.pieces("repo", VECTORS) == []


@pytest.mark.parametrize("forgotten", [["c.txt"], ["a.txt"]])
def test_what_is_forgotten_meanwhile_gets_no_vector(
    store: MemoryStore, model: Path, tmp_path: Path, forgotten: list[str]
) -> None:
    """Also where its text was read already, and chunks are counted otherwise now."""
    models = Models(lambda: store, tmp_path)
    models.use(str(model))

    def told(made: int) -> bool:
        if made == 1:
            store.forget("repo", forgotten, rewriters())
        return True

    assert models.make("repo", told) == 3
    assert vectors_of(models._store(), "repo") == {}
    assert (models.make("repo", lambda _: True), count_of(store, models)) == (0, 2)


def test_a_store_has_one_model(store: MemoryStore, model: Path, tmp_path: Path) -> None:
    models = Models(lambda: store, tmp_path)
    first = models.use(str(model))
    number = store.head().number
    assert (models.use(str(model)), store.head().number) == (first, number)
    assert store.last(MODELS).number == number
    (model / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="KNOWLEDGE_MODEL_INVALID"):
        models.use(str(model))
    assert models.kept() == first
