"""A folder's encoder made into one file with weights of 8 bits, and run. The only module that needs the extra `embed`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
import numpy as np

from assent.errors import InputError
from assent.knowledge.embedding.ports import Unfit
from assent.spec.values.typed import decode

try:
    import onnx
    import onnxruntime as runtime
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from tokenizers import Tokenizer

    from assent.knowledge.embedding._weights import Config, graph_of
except ImportError as error:
    raise InputError(
        "KNOWLEDGE_EXTRA_MISSING",
        "a local model needs packages that are not installed",
        hint="pip install 'assent[embed]'",
    ) from error

if TYPE_CHECKING:
    from numpy.typing import NDArray

_T = TypeVar("_T")

TOKENS_MAX: Final = 512
_QUANTISED: Final = frozenset({"DynamicQuantizeLinear", "MatMulInteger", "QLinearMatMul", "DequantizeLinear"})


class _Sentences(msgspec.Struct):
    max_seq_length: int = TOKENS_MAX


class _Pooling(msgspec.Struct):
    pooling_mode_cls_token: bool = False
    pooling_mode_mean_tokens: bool = True


def convert(folder: Path, into: Path) -> None:
    """Write the encoder of a folder with weights of 8 bits. The same folder gives the same bytes."""
    model = _model(folder)
    if any(node.op_type in _QUANTISED for node in model.graph.node):
        into.write_bytes(model.SerializeToString(deterministic=True))
        return
    # Said, so that the library does not warn on everybody's log that shapes could be inferred before.
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    # Weights of 7 bits: with 8, processors without VNNI would add with saturation, and have other vectors than those with it.
    quantize_dynamic(model, into, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)


def _model(folder: Path) -> onnx.ModelProto:
    for path in (folder / "model.onnx", folder / "onnx" / "model.onnx"):
        if path.exists():
            model = onnx.load_model(path, load_external_data=False)
            if any(one.external_data for one in model.graph.initializer):
                raise Unfit("has weights in another file than `model.onnx`")
            return model
    config = decode((folder / "config.json").read_bytes(), Config)
    return graph_of(config, folder / "model.safetensors")


class Encoder:
    """Texts, one at a time. Together they would share a scale, and a text's vector would depend on the others."""

    def __init__(self, folder: Path, converted: Path, threads: int) -> None:
        self._tokenizer = Tokenizer.from_str((folder / "tokenizer.json").read_text("utf-8"))
        self._tokenizer.no_padding()
        told = _told(folder / "sentence_bert_config.json", _Sentences)
        self._tokenizer.enable_truncation(max(8, min(told.max_seq_length, TOKENS_MAX)))
        pooling = _told(folder / "1_Pooling" / "config.json", _Pooling)
        if pooling.pooling_mode_cls_token == pooling.pooling_mode_mean_tokens:
            raise Unfit("must have its first token or the mean of all as a text's vector")
        self._is_first = pooling.pooling_mode_cls_token
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        self._session = runtime.InferenceSession(str(converted), options, providers=["CPUExecutionProvider"])
        self._inputs = [one.name for one in self._session.get_inputs()]
        if not {"input_ids"} <= {*self._inputs} <= {"input_ids", "attention_mask", "token_type_ids"}:
            raise Unfit(f"must take `input_ids`, and takes {', '.join(self._inputs)}")

    def encoded(self, texts: Iterator[str]) -> Iterator[NDArray[np.float32]]:
        for text in texts:
            # A lone surrogate is no character, and the tokenizer would not take it.
            ids = self._tokenizer.encode(text.encode("utf-8", "replace").decode()).ids
            values = {
                "input_ids": np.array([ids], np.int64),
                "attention_mask": np.ones((1, len(ids)), np.int64),
                "token_type_ids": np.zeros((1, len(ids)), np.int64),
            }
            last = np.asarray(self._session.run(None, {name: values[name] for name in self._inputs})[0])
            if last.ndim != 3:
                raise Unfit("must give a vector for each token")
            yield last[0, 0] if self._is_first else last[0].mean(axis=0, dtype=np.float64).astype(np.float32)


def _told(path: Path, kind: type[_T]) -> _T:
    return decode(path.read_bytes() if path.exists() else b"{}", kind)
