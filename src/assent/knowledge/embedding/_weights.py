"""Weights of an encoder of BERT's family, as a graph for ONNX Runtime.

One text is encoded at a time, so nothing is padded, and the graph needs neither a mask nor types of tokens.
Sources: safetensors' format (README, "Format"), BERT (Devlin and others, 2019) as `transformers` names its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import onnx
from onnx import helper, numpy_helper

from assent.knowledge.embedding.ports import Unfit
from assent.spec.values.typed import convert, decode

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OPSET: Final = 20  # the first with GELU
_IR: Final = 9
_HEADER_BYTES_MAX: Final = 16 << 20
_KINDS: Final[Mapping[str, np.dtype[Any]]] = {  # numbers of any kind
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
}


class Config(msgspec.Struct):
    """What `config.json` says of an encoder."""

    model_type: str
    hidden_size: int
    num_attention_heads: int
    num_hidden_layers: int
    max_position_embeddings: int
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    position_embedding_type: str = "absolute"


class _Tensor(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def graph_of(config: Config, weights: Path) -> onnx.ModelProto:
    """The graph of an encoder. `Unfit` says what it is not, or what is missing."""
    if (config.model_type, config.hidden_act, config.position_embedding_type) != ("bert", "gelu", "absolute"):
        raise Unfit("must be of BERT's own shape (`bert`, `gelu`, `absolute`): give another one as ONNX")
    if (
        min(config.hidden_size, config.num_attention_heads) < 1
        or config.hidden_size % config.num_attention_heads
    ):
        raise Unfit("must have a `hidden_size` that its heads divide")
    return _Graph(config, _tensors(weights)).model()


def _tensors(path: Path) -> dict[str, NDArray[np.float32]]:
    data = np.memmap(path, np.uint8, "r")
    length = int(data[:8].view("<u8")[0]) if len(data) >= 8 else _HEADER_BYTES_MAX
    if length >= _HEADER_BYTES_MAX or 8 + length > len(data):
        raise Unfit("is not a safetensors file")
    header: dict[str, object] = decode(bytes(data[8 : 8 + length]), dict[str, object])
    header.pop("__metadata__", None)
    found = {}
    for name, told in header.items():
        one = convert(told, _Tensor)
        begin, end = (8 + length + at for at in one.data_offsets)
        kind = _KINDS.get(one.dtype)
        if kind is None:
            raise Unfit(f"has weights of the kind `{one.dtype}`: F32 and F16 are read")
        if min(one.shape, default=0) < 0 or not 8 + length <= begin <= end <= len(data):
            raise Unfit(f"has weights `{name}` that are not in it")
        bytes_ = kind.itemsize * int(np.prod(one.shape, dtype=object))
        if end - begin != bytes_:
            raise Unfit(f"has weights `{name}` of another length than their shape")
        found[name.removeprefix("bert.")] = (
            np.frombuffer(bytes(data[begin:end]), kind).reshape(one.shape).astype(np.float32)
        )
    return found


class _Graph:
    def __init__(self, config: Config, tensors: Mapping[str, NDArray[np.float32]]) -> None:
        self._config = config
        self._tensors = tensors
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, NDArray[np.generic]] = {}

    def model(self) -> onnx.ModelProto:
        size = self._config.hidden_size
        last = self._embedded()
        for layer in range(self._config.num_hidden_layers):
            last = self._layer(last, f"encoder.layer.{layer}.")
        self._nodes.append(helper.make_node("Identity", [last], ["last_hidden_state"]))
        graph = helper.make_graph(
            self._nodes,
            "encoder",
            [helper.make_tensor_value_info("input_ids", onnx.TensorProto.INT64, [1, "tokens"])],
            [helper.make_tensor_value_info("last_hidden_state", onnx.TensorProto.FLOAT, [1, "tokens", size])],
            [numpy_helper.from_array(array, name) for name, array in self._constants.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)

    def _embedded(self) -> str:
        config, size = self._config, self._config.hidden_size
        words = self._weight("embeddings.word_embeddings.weight", (None, size))
        # All tokens are of the first type: it is added to every position once.
        of_type = self._tensor("embeddings.token_type_embeddings.weight", (None, size))[0]
        places = self._tensor("embeddings.position_embeddings.weight", (config.max_position_embeddings, size))
        placed = self._constant("places", places + of_type)
        length = self._node("Shape", "input_ids", start=1, end=2)
        zero = self._constant("zero", np.array([0], np.int64))
        here = self._node("Slice", placed, zero, length, zero)
        both = self._node("Add", self._node("Gather", words, "input_ids"), here)
        return self._normalised(both, "embeddings.LayerNorm")

    def _layer(self, last: str, name: str) -> str:
        config = self._config
        size, heads = config.hidden_size, config.num_attention_heads
        split = self._constant("split", np.array([0, 0, heads, size // heads], np.int64))
        joined = self._constant("joined", np.array([0, 0, size], np.int64))
        scale = self._constant("scale", np.array((size // heads) ** -0.5, np.float32))

        def part(which: str, order: tuple[int, ...]) -> str:
            made = self._linear(last, f"{name}attention.self.{which}", (size, size))
            return self._node("Transpose", self._node("Reshape", made, split), perm=order)

        likeness = self._node("MatMul", part("query", (0, 2, 1, 3)), part("key", (0, 2, 3, 1)))
        shares = self._node("Softmax", self._node("Mul", likeness, scale), axis=-1)
        seen = self._node("MatMul", shares, part("value", (0, 2, 1, 3)))
        told = self._node("Reshape", self._node("Transpose", seen, perm=(0, 2, 1, 3)), joined)
        told = self._linear(told, f"{name}attention.output.dense", (size, size))
        last = self._normalised(self._node("Add", told, last), f"{name}attention.output.LayerNorm")
        wide = self._node("Gelu", self._linear(last, f"{name}intermediate.dense", (None, size)))
        inner = self._tensors[f"{name}intermediate.dense.weight"].shape[0]
        told = self._linear(wide, f"{name}output.dense", (size, inner))
        return self._normalised(self._node("Add", told, last), f"{name}output.LayerNorm")

    def _linear(self, last: str, name: str, shape: tuple[int | None, int]) -> str:
        weight = self._tensor(f"{name}.weight", shape)
        turned = self._constant(f"{name}.weight", np.ascontiguousarray(weight.T))
        return self._node(
            "Add", self._node("MatMul", last, turned), self._weight(f"{name}.bias", (weight.shape[0],))
        )

    def _normalised(self, last: str, name: str) -> str:
        size = (self._config.hidden_size,)
        by = self._weight(f"{name}.weight", size), self._weight(f"{name}.bias", size)
        return self._node("LayerNormalization", last, *by, epsilon=self._config.layer_norm_eps)

    def _tensor(self, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
        found = self._tensors.get(name)
        if found is None:
            raise Unfit(f"has no weights `{name}`")
        if len(found.shape) != len(shape) or any(
            one not in (None, own) for one, own in zip(shape, found.shape, strict=True)
        ):
            raise Unfit(f"has weights `{name}` of a shape that its configuration does not have")
        return found

    def _weight(self, name: str, shape: tuple[int | None, ...]) -> str:
        return self._constant(name, self._tensor(name, shape))

    def _constant(self, name: str, array: NDArray[np.generic]) -> str:
        self._constants[name] = array
        return name

    def _node(self, kind: str, *inputs: str, **settings: Any) -> str:  # what a node's kind has
        out = f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, [*inputs], [out], name=out, **settings))
        return out
