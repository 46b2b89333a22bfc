"""An encoder in a local folder, as `sentence-transformers` and ONNX exporters leave it. Nothing is fetched.

    tokenizer.json                        how texts are taken apart
    model.onnx, or onnx/model.onnx        the encoder; or
    config.json, model.safetensors        its weights, of BERT's family, such as all-MiniLM-L6-v2
    sentence_bert_config.json             (optional) how many tokens of a text are read
    1_Pooling/config.json                 (optional) whether the first token's vector or the mean of all is the text's

It is converted once to weights of 8 bits, and known by the digests of all these files and of what they were converted to.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from assent.errors import InputError
from assent.knowledge.embedding.ports import Unfit, unit
from assent.spec.words.sizes import size_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assent.knowledge.embedding._onnx import Encoder

_NEEDED: Final = "tokenizer.json"
_FORMS: Final = (("model.onnx",), ("onnx/model.onnx",), ("config.json", "model.safetensors"))
_OPTIONAL: Final = ("sentence_bert_config.json", "1_Pooling/config.json")
TEXT_BYTES_MAX: Final = 64 << 20
"""Of a file of JSON: it is read at once. Tokenizers of many languages have some 20 MiB."""
WEIGHTS_BYTES_MAX: Final = 2 << 30
"""As much as one file of ONNX can have."""


class ModelRecord(msgspec.Struct, frozen=True):
    """A model as it was added."""

    name: str
    files: dict[str, str]
    """SHA-256 of each file that it is made of, by its path in the folder."""
    converted: str
    """SHA-256 of the file that it was converted to."""
    size: int
    """Components of its vectors."""

    @property
    def digest(self) -> str:
        """What it is known by: another one when its vectors may be other ones."""
        told = [sorted(self.files.items()), self.converted, self.size]
        return sha256(msgspec.json.encode(told)).hexdigest()


class LocalEmbedder:
    """A model in a folder, in memory."""

    def __init__(self, record: ModelRecord, encoder: Encoder) -> None:
        self.model = record.digest
        self.size = record.size
        self._encoder = encoder

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """A vector for each text: the same for the same text, to the last bit on one machine, whatever else is embedded."""
        rows = [
            np.zeros((0, self.size), np.float32),
            *(one[None] for one in self._encoder.encoded(iter(texts))),
        ]
        return unit(np.concatenate(rows), count=len(texts), size=self.size)


def add_model(folder: Path, cache: Path) -> ModelRecord:
    """Convert the model of a folder, and say what it is. `InputError` `KNOWLEDGE_MODEL_INVALID` where there is none."""
    files = _digests(folder)
    converted = _convert(folder, files, cache)
    try:
        size = _probed(folder, converted)
    except InputError:
        converted.unlink(missing_ok=True)
        raise
    return ModelRecord(folder.resolve().name, files, _sha256(converted), size)


def open_model(folder: Path, record: ModelRecord, cache: Path, *, threads: int = 1) -> LocalEmbedder:
    """The model that was added, to be used with so many threads. What is not in the cache any more is converted again.

    `InputError` `KNOWLEDGE_MODEL_CHANGED` where a file is another than it was, or is converted to something else.
    """
    for path in record.files:
        if not (folder / path).is_file():
            raise _changed(folder, f"`{path}` is not there any more")
    files = _digests(folder)
    for path in sorted(files.keys() | record.files.keys()):
        if files.get(path) != record.files.get(path):
            raise _changed(folder, f"`{path}` is not the file that was added")
    converted = _cached(files, cache)
    if not converted.exists() or _sha256(converted) != record.converted:
        converted = _convert(folder, files, cache)
        if _sha256(converted) != record.converted:
            raise _changed(folder, "it is converted to something else by what is installed now")
    return LocalEmbedder(record, _loaded(folder, converted, threads))


def stamp_of(folder: Path) -> str:
    """What shows that one of a model's files was changed or replaced. None is read, and nothing shows of a folder without one."""
    found = []
    for path in sorted({_NEEDED, *_OPTIONAL, *(path for form in _FORMS for path in form)}):
        with suppress(OSError):
            status = (folder / path).stat()
            found.append((path, status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns))
    return sha256(msgspec.json.encode(found)).hexdigest()


def require_model(folder: Path) -> list[str]:
    """The files of the model in a folder, none of them read. `InputError` `KNOWLEDGE_MODEL_INVALID` where there is none."""
    form = next((one for one in _FORMS if all((folder / path).is_file() for path in one)), None)
    if form is None or not (folder / _NEEDED).is_file():
        raise _invalid(
            folder, f"has no encoder: `{_NEEDED}` and `model.onnx`, or `config.json` and `model.safetensors`"
        )
    paths = [_NEEDED, *form, *(one for one in _OPTIONAL if (folder / one).is_file())]
    for path in paths:
        most = TEXT_BYTES_MAX if path.endswith(".json") else WEIGHTS_BYTES_MAX
        if (folder / path).stat().st_size > most:
            raise _invalid(folder, f"has `{path}` of more than {size_text(most)}")
    return paths


def _digests(folder: Path) -> dict[str, str]:
    return {path: _sha256(folder / path) for path in require_model(folder)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _cached(files: dict[str, str], cache: Path) -> Path:
    return cache / f"{sha256(msgspec.json.encode(sorted(files.items()))).hexdigest()}.onnx"


def _convert(folder: Path, files: dict[str, str], cache: Path) -> Path:
    from assent.knowledge.embedding import _onnx

    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    into = _cached(files, cache)
    half = into.with_suffix(".part")
    try:
        _onnx.convert(folder, half)
    # The libraries that read a model raise whatever they like, for a file that is anything.
    except Exception as error:
        half.unlink(missing_ok=True)
        raise _invalid(folder, _sentence(error)) from error
    half.replace(into)
    return into


def _loaded(folder: Path, converted: Path, threads: int) -> Encoder:
    from assent.knowledge.embedding import _onnx

    try:
        return _onnx.Encoder(folder, converted, threads)
    except Exception as error:
        raise _invalid(folder, _sentence(error)) from error


def _probed(folder: Path, converted: Path) -> int:
    encoder = _loaded(folder, converted, 1)
    try:
        return len(next(encoder.encoded(iter(["a"]))))
    except Exception as error:
        raise _invalid(folder, _sentence(error)) from error


def _sentence(error: Exception) -> str:
    told = " ".join(str(error).split())[:300]
    return told if isinstance(error, Unfit) else f"can't be read: {told}"


def _invalid(folder: Path, what: str) -> InputError:
    return InputError(
        "KNOWLEDGE_MODEL_INVALID",
        f"the model {what}",
        path=str(folder),
        hint="name a folder with a whole model of a kind that can be used: docs/knowledge.md#models",
    )


def _changed(folder: Path, what: str) -> InputError:
    return InputError(
        "KNOWLEDGE_MODEL_CHANGED",
        f"the model is not what it was: {what}",
        path=str(folder),
        hint="have it back, or add it again and index; without a model: assent knowledge model remove",
    )
