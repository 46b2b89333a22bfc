"""A model behind an endpoint that speaks as OpenAI's for embeddings (Ollama, vLLM and others do).

What is sent and what is read stand here; the call itself is handed in, because who may be asked is its caller's to decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from assent.errors import WorldError
from assent.knowledge.embedding.ports import unit
from assent.spec.values.typed import decode

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEXTS_MAX: Final = 64
TEXTS_BYTES_MAX: Final = 256 << 10
"""The most of a request: texts, and their bytes unless it has one alone."""


class _Embedding(msgspec.Struct):
    index: int
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Embedding]


class EndpointEmbedder:
    """A model by its name at an endpoint. `post` sends a request's body there and gives the answer's.

    Its digest is that of its address, name and size: what an endpoint does under a name, nobody can see from outside.
    """

    def __init__(self, url: str, name: str, size: int, post: Callable[[bytes], bytes]) -> None:
        self._name = name
        self.size = size
        self.model = sha256(msgspec.json.encode([url, name, size])).hexdigest()
        self._post = post

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """A vector for each text. `WorldError` `KNOWLEDGE_ENDPOINT_INVALID` where the answer is none."""
        found = [
            vectors_in(self._post(request_of(self._name, batch)), count=len(batch), size=self.size)
            for batch in _batches(texts)
        ]
        return np.concatenate([np.zeros((0, self.size), np.float32), *found])


def request_of(name: str, texts: Sequence[str]) -> bytes:
    """The body of a request."""
    # A lone surrogate is no character, and has no place in JSON.
    plain = [text.encode("utf-8", "replace").decode() for text in texts]
    return msgspec.json.encode({"model": name, "input": plain, "encoding_format": "float"})


def vectors_in(answer: bytes, *, count: int, size: int) -> NDArray[np.float32]:
    """The vectors of an answer, in the order of the texts that were sent, each of length 1."""
    try:
        data = decode(answer, _Answer).data
    except msgspec.DecodeError as error:
        raise _invalid(f"is not one with embeddings: {error}") from None
    if sorted(one.index for one in data) != [*range(count)]:
        raise _invalid(f"must have one embedding for each of {count} texts, and has {len(data)}")
    for one in data:
        if len(one.embedding) != size:
            raise _invalid(f"must have embeddings of {size} components, and has one of {len(one.embedding)}")
    data.sort(key=lambda one: one.index)
    with np.errstate(over="ignore"):
        vectors = np.array([one.embedding for one in data], np.float32).reshape(count, size)
    return unit(vectors, count=count, size=size)


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    held = 0
    for text in texts:
        size = len(text.encode("utf-8", "replace"))
        if batch and (len(batch) == TEXTS_MAX or held + size > TEXTS_BYTES_MAX):
            yield batch
            batch, held = [], 0
        batch.append(text)
        held += size
    if batch:
        yield batch


def _invalid(what: str) -> WorldError:
    return WorldError(
        "KNOWLEDGE_ENDPOINT_INVALID",
        f"the answer of the embeddings endpoint {what}",
        hint="look whether the endpoint and the model's name and size are right",
    )
