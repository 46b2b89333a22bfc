"""A model in a folder: read from ONNX or from weights, converted once, the same vector for the same text."""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from assent.errors import InputError
from assent.knowledge.embedding import Embedder, add_model, open_model, unit
from assent.knowledge.embedding._weights import Config, graph_of
from tests.support.encoder import (
    CONFIG,
    HEADS,
    LAYERS,
    SIZE,
    WEIGHTS,
    WORDS,
    Weights,
    tiny_model,
    with_tokenizer,
    write_weights,
)

CONFIG_READ = msgspec.convert(CONFIG, Config)


def encoded(ids: list[int]) -> NDArray[np.float64]:
    """BERT as its paper has it, written apart from the code."""
    erf = np.vectorize(math.erf)

    def linear(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        found: NDArray[np.float64] = x @ WEIGHTS[f"{name}.weight"].T + WEIGHTS[f"{name}.bias"]
        return found

    def normalised(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-12)
        found: NDArray[np.float64] = x * WEIGHTS[f"{name}.weight"] + WEIGHTS[f"{name}.bias"]
        return found

    tables = [WEIGHTS[f"embeddings.{one}_embeddings.weight"] for one in ("word", "position", "token_type")]
    x = normalised(
        (tables[0][ids] + tables[1][: len(ids)] + tables[2][0]).astype(np.float64), "embeddings.LayerNorm"
    )
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}."
        told = np.zeros_like(x)
        parts = [linear(x, f"{name}attention.self.{one}") for one in ("query", "key", "value")]
        for head in range(HEADS):
            at = slice(head * SIZE // HEADS, (head + 1) * SIZE // HEADS)
            query, key, value = (one[:, at] for one in parts)
            shares = np.exp(query @ key.T / math.sqrt(SIZE // HEADS))
            told[:, at] = shares / shares.sum(1, keepdims=True) @ value
        x = normalised(x + linear(told, f"{name}attention.output.dense"), f"{name}attention.output.LayerNorm")
        wide = linear(x, f"{name}intermediate.dense")
        wide = wide * 0.5 * (1 + erf(wide / math.sqrt(2)))
        x = normalised(x + linear(wide, f"{name}output.dense"), f"{name}output.LayerNorm")
    return x


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "tiny")


def opened(folder: Path) -> Embedder:
    cache = folder.parent / "cache"
    return open_model(folder, add_model(folder, cache), cache)


TEXTS = ["w1 w2 w3", "w7", "w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12", "", "unheard w1 \ud800", "w1 w2 w3"]


def test_weights_are_the_encoder_that_the_paper_describes(folder: Path) -> None:
    graph = graph_of(CONFIG_READ, folder / "model.safetensors")
    onnx.checker.check_model(graph, full_check=True)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    for ids in ([1, 2], [1, 5, 9, 30, 2], [1, *range(4, 24), 2]):
        told = session.run(None, {"input_ids": np.array([ids], np.int64)})[0][0]
        assert np.abs(told - encoded(ids)).max() < 1e-4


def test_a_text_is_the_mean_of_its_tokens(folder: Path) -> None:
    """With weights of 7 bits: near to what it would be with all of them."""
    model = opened(folder)
    found = model.embed(TEXTS)
    assert model.size == SIZE
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-6)
    for text, vector in zip(TEXTS[:3], found, strict=False):
        ids = [1, *(WORDS.index(word) for word in text.split()[:10]), 2]
        exact = encoded(ids).mean(axis=0)
        assert vector @ exact / np.linalg.norm(exact) > 0.99
    assert model.embed([]).shape == (0, SIZE)


def test_the_same_text_has_the_same_vector_in_whatever_company(folder: Path) -> None:
    model = opened(folder)
    whole = model.embed(TEXTS)
    assert (whole == np.concatenate([model.embed([text]) for text in TEXTS])).all()
    assert (whole[::-1] == model.embed(TEXTS[::-1])).all()
    assert (whole[0] == whole[5]).all()


def test_weights_and_onnx_agree(folder: Path, tmp_path: Path) -> None:
    other = with_tokenizer(tmp_path / "exported")
    graph = graph_of(CONFIG_READ, folder / "model.safetensors")
    for name in ("attention_mask", "token_type_ids"):
        graph.graph.input.append(helper.make_tensor_value_info(name, TensorProto.INT64, [1, "tokens"]))
    onnx.save(graph, other / "model.onnx")
    assert (opened(folder).embed(TEXTS) == opened(other).embed(TEXTS)).all()
    (other / "onnx").mkdir()
    (other / "model.onnx").rename(other / "onnx" / "model.onnx")
    assert (opened(folder).embed(TEXTS) == opened(other).embed(TEXTS)).all()


def test_what_is_converted_already_is_taken_as_it_is(folder: Path, tmp_path: Path) -> None:
    record = add_model(folder, tmp_path / "cache")
    other = with_tokenizer(tmp_path / "small")
    (converted,) = (tmp_path / "cache").iterdir()
    (other / "model.onnx").write_bytes(converted.read_bytes())
    assert record.size == add_model(other, tmp_path / "cache").size
    assert (opened(folder).embed(TEXTS) == opened(other).embed(TEXTS)).all()


def test_half_precision_and_the_first_token(folder: Path) -> None:
    whole = opened(folder).embed(TEXTS)
    write_weights(
        folder / "model.safetensors", {f"bert.{name}": one for name, one in WEIGHTS.items()}, kind="F16"
    )
    assert (opened(folder).embed(TEXTS) * whole).sum(axis=1) == pytest.approx(1, abs=0.01)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        '{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}'
    )
    exact = encoded([1, WORDS.index("w7"), 2])[0]
    assert opened(folder).embed(["w7"])[0] @ exact / np.linalg.norm(exact) > 0.99


def test_a_model_is_converted_once_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    record = add_model(folder, tmp_path / "one")
    folder = folder.rename(tmp_path / "other")
    again = add_model(folder, tmp_path / "two")
    assert (again.name, record.digest) == ("other", again.digest)
    assert sorted(record.files) == [
        "config.json",
        "model.safetensors",
        "sentence_bert_config.json",
        "tokenizer.json",
    ]
    (kept,) = (tmp_path / "one").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(b"something else")
    assert open_model(folder, record, tmp_path / "one", threads=2).model == record.digest
    assert kept.read_bytes() == whole
    kept.unlink()
    assert open_model(folder, record, tmp_path / "one").embed(["w1"]).shape == (1, SIZE)


@pytest.mark.parametrize(
    "path", ["tokenizer.json", "config.json", "model.safetensors", "1_Pooling/config.json"]
)
def test_a_file_that_changed_is_refused(folder: Path, tmp_path: Path, path: str) -> None:
    record = add_model(folder, tmp_path / "cache")
    (folder / path).parent.mkdir(exist_ok=True)
    with (folder / path).open("ab") as file:
        file.write(b"{} ")
    with pytest.raises(InputError) as refused:
        open_model(folder, record, tmp_path / "cache")
    assert refused.value.code == "KNOWLEDGE_MODEL_CHANGED"
    assert path in refused.value.message


def test_a_model_of_which_something_is_gone_is_not_what_it_was(folder: Path, tmp_path: Path) -> None:
    record = add_model(folder, tmp_path / "cache")
    (folder / "config.json").unlink()
    for _ in range(2):
        with pytest.raises(InputError, match="is not there any more") as refused:
            open_model(folder, record, tmp_path / "cache")
        assert (refused.value.code, "model remove" in str(refused.value.hint)) == (
            "KNOWLEDGE_MODEL_CHANGED",
            True,
        )
        shutil.rmtree(folder, ignore_errors=True)


def test_what_is_converted_to_something_else_is_refused(folder: Path, tmp_path: Path) -> None:
    record = add_model(folder, tmp_path / "cache")
    with pytest.raises(InputError) as refused:
        open_model(folder, type(record)(record.name, record.files, "0" * 64, SIZE), tmp_path / "cache")
    assert refused.value.code == "KNOWLEDGE_MODEL_CHANGED"


def configured(**changed: object) -> Callable[[Path], None]:
    return lambda folder: void((folder / "config.json").write_text(json.dumps(CONFIG | changed)))


def weighted(change: Callable[[Weights], object]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        weights = dict(WEIGHTS)
        change(weights)
        write_weights(folder / "model.safetensors", weights)

    return write


def headed(**tensor: object) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        told = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | tensor}).encode()
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(told)) + told + bytes(8))

    return write


def written(path: str, data: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(data)

    return write


def void(_: object) -> None:
    return None


def graphed(inputs: str, output: list[int | str]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        kind = TensorProto.INT64
        graph = helper.make_graph(
            [helper.make_node("Identity", [inputs], ["out"])],
            "g",
            [helper.make_tensor_value_info(inputs, kind, output)],
            [helper.make_tensor_value_info("out", kind, output)],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        onnx.save(model, folder / "model.onnx")

    return write


def outside(folder: Path) -> None:
    graph = graph_of(CONFIG_READ, folder / "model.safetensors")
    onnx.save(graph, folder / "model.onnx", save_as_external_data=True, location="weights", size_threshold=0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no encoder"),
        (lambda folder: (folder / "config.json").unlink(), "has no encoder"),
        (written("tokenizer.json", b"{}"), "can't be read"),
        (written("config.json", b"[]"), "can't be read"),
        (written("sentence_bert_config.json", b"[]"), "can't be read"),
        (written("1_Pooling/config.json", b'{"pooling_mode_mean_tokens": false}'), "first token"),
        (written("1_Pooling/config.json", b'{"pooling_mode_cls_token": true}'), "first token"),
        (written("model.onnx", b"\x00\x01\x02"), "can't be read"),
        (written("model.onnx", b""), "can't be read"),
        (written("model.safetensors", b"abc"), "not a safetensors file"),
        (written("model.safetensors", b"\xff" * 64), "not a safetensors file"),
        (written("model.safetensors", struct.pack("<Q", 9) + b"{}"), "not a safetensors file"),
        (headed(dtype="F8"), "kind `F8`"),
        (headed(data_offsets=[0, 400]), "not in it"),
        (headed(data_offsets=[-8, -4]), "not in it"),
        (headed(shape=[-1]), "not in it"),
        (headed(shape=[2]), "another length"),
        (headed(shape=[1 << 40, 1 << 40]), "another length"),
        (headed(), "has no weights `embeddings.word_embeddings.weight`"),
        (configured(model_type="roberta"), "must be of BERT's own shape"),
        (configured(hidden_act="relu"), "must be of BERT's own shape"),
        (configured(num_attention_heads=0), "its heads divide"),
        (configured(num_attention_heads=5), "its heads divide"),
        (configured(hidden_size=16), "of a shape that its configuration does not have"),
        (configured(num_hidden_layers=3), "has no weights `encoder.layer.2"),
        (
            weighted(
                lambda weights: weights.update({"embeddings.LayerNorm.bias": np.zeros((SIZE, 1), np.float32)})
            ),
            "of a shape that its configuration does not have",
        ),
        (graphed("pixels", [1, "tokens", 4]), "must take `input_ids`"),
        (graphed("input_ids", [1, "tokens"]), "a vector for each token"),
        (outside, "in another file"),
    ],
)
def test_what_is_no_model_is_refused(
    folder: Path, tmp_path: Path, change: Callable[[Path], None], says: str
) -> None:
    change(folder)
    with pytest.raises(InputError) as refused:
        add_model(folder, tmp_path / "cache")
    assert refused.value.code == "KNOWLEDGE_MODEL_INVALID"
    assert says in refused.value.message
    assert not [*(tmp_path / "cache").glob("*.part")]


def test_without_the_packages_it_is_said_how_to_get_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "assent.knowledge.embedding._onnx", raising=False)
    monkeypatch.delattr("assent.knowledge.embedding._onnx", raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError) as refused:
        add_model(folder, tmp_path / "cache")
    assert refused.value.code == "KNOWLEDGE_EXTRA_MISSING"
    assert refused.value.hint == "pip install 'assent[embed]'"


def test_a_model_gives_vectors_that_are_some() -> None:
    for vectors in (
        np.zeros((1, 2), np.float32),
        np.ones((2, 2), np.float32),
        np.array([[1, np.nan]], np.float32),
    ):
        with pytest.raises(InputError) as refused:
            unit(vectors, count=1, size=2)
        assert refused.value.code == "KNOWLEDGE_VECTOR_INVALID"


@pytest.mark.skipif(
    "ASSENT_TEST_MODEL" not in os.environ, reason="ASSENT_TEST_MODEL names no folder with a model"
)
def test_a_real_model_knows_what_is_alike(tmp_path: Path) -> None:
    folder = Path(os.environ["ASSENT_TEST_MODEL"])
    model = open_model(folder, add_model(folder, tmp_path), tmp_path)
    one, alike, other = model.embed(
        ["a man is eating food", "someone eats a meal", "stock markets fell sharply"]
    )
    assert one @ alike > 0.6
    assert abs(one @ other) < 0.3


@pytest.mark.parametrize(
    "path",
    [
        "tokenizer.json",
        "config.json",
        "model.safetensors",
        "sentence_bert_config.json",
        "1_Pooling/config.json",
    ],
)
def test_a_file_that_is_too_large_is_refused_unread(folder: Path, tmp_path: Path, path: str) -> None:
    """Of a hole of 100 GiB a hash alone would take minutes, and a text of JSON is read at once."""
    (folder / path).parent.mkdir(exist_ok=True)
    with (folder / path).open("wb") as file:
        file.truncate(100 << 30)
    with pytest.raises(InputError, match=rf"`{path}` of more than (64 MiB|2 GiB)") as told:
        add_model(folder, tmp_path / "cache")
    assert told.value.code == "KNOWLEDGE_MODEL_INVALID"


def test_a_model_that_is_refused_leaves_nothing_behind(folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="can't be read"):
        add_model(folder, tmp_path / "cache")
    assert [*(tmp_path / "cache").iterdir()] == []
