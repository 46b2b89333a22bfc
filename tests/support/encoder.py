"""A tiny encoder of BERT's shape, drawn by dice that always fall the same: a model that tests make."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, processors

SIZE, HEADS, LAYERS, WIDE, PLACES = 32, 4, 2, 48, 24
WORDS = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", *(f"w{one}" for one in range(40))]
CONFIG = {
    "model_type": "bert",
    "hidden_size": SIZE,
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "max_position_embeddings": PLACES,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "vocab_size": len(WORDS),
}
Weights: TypeAlias = dict[str, NDArray[np.float32]]


def drawn_weights() -> Weights:
    dice = np.random.default_rng(7)

    def normal(*shape: int) -> NDArray[np.float32]:
        return (dice.standard_normal(shape) * 0.3).astype(np.float32)

    found = {
        "embeddings.word_embeddings.weight": normal(len(WORDS), SIZE),
        "embeddings.position_embeddings.weight": normal(PLACES, SIZE),
        "embeddings.token_type_embeddings.weight": normal(2, SIZE),
    }
    linear: dict[str, tuple[int, int] | None] = {"embeddings.LayerNorm": None}
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}."
        for one in ("query", "key", "value"):
            linear[f"{name}attention.self.{one}"] = (SIZE, SIZE)
        linear[f"{name}attention.output.dense"] = (SIZE, SIZE)
        linear[f"{name}attention.output.LayerNorm"] = None
        linear[f"{name}intermediate.dense"] = (WIDE, SIZE)
        linear[f"{name}output.dense"] = (SIZE, WIDE)
        linear[f"{name}output.LayerNorm"] = None
    for name, shape in linear.items():
        found[f"{name}.weight"] = 1 + normal(SIZE) if shape is None else normal(*shape)
        found[f"{name}.bias"] = normal(SIZE if shape is None else shape[0])
    return found


WEIGHTS = drawn_weights()


def write_weights(path: Path, weights: Weights, *, kind: str = "F32") -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, array in weights.items():
        data = array.astype("<f4" if kind == "F32" else "<f2").tobytes()
        header[name] = {
            "dtype": kind,
            "shape": array.shape,
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    told = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(told)) + told + body)


def with_tokenizer(folder: Path) -> Path:
    folder.mkdir()
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    tokenizer.enable_padding(length=20, pad_id=3, pad_token="[PAD]")
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 12, "do_lower_case": false}')
    return folder


def tiny_model(folder: Path) -> Path:
    """The folder of such a model."""
    made = with_tokenizer(folder)
    (made / "config.json").write_text(json.dumps(CONFIG))
    write_weights(made / "model.safetensors", WEIGHTS)
    return made
