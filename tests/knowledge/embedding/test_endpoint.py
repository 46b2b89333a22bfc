"""An endpoint gives a vector for each text, or is refused (CHECKLIST B 84)."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from assent.errors import AssentError
from assent.knowledge.embedding import Embedder, EndpointEmbedder, request_of, vectors_in


class Endpoint:
    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, body: bytes) -> bytes:
        texts = json.loads(body)["input"]
        self.asked.append(texts)
        data = [{"index": number, "embedding": [len(text), 0.0, 4.0]} for number, text in enumerate(texts)]
        return json.dumps({"object": "list", "data": data[::-1], "usage": {}}).encode()


def embedder(endpoint: Endpoint, url: str = "u") -> Embedder:
    return EndpointEmbedder(url, "nomic", 3, endpoint)


def test_texts_are_sent_in_batches_and_vectors_come_in_their_order() -> None:
    endpoint = Endpoint()
    model = embedder(endpoint)
    found = model.embed(["x" * (one % 7) for one in range(150)])
    assert [len(one) for one in endpoint.asked] == [64, 64, 22]
    assert found.dtype == np.float32
    assert found.shape == (150, 3)
    assert found[3].tolist() == pytest.approx([0.6, 0, 0.8])
    assert found[149].tolist() == pytest.approx(found[2].tolist())
    assert model.embed([]).shape == (0, 3)


def test_a_request_has_so_many_bytes_of_texts() -> None:
    endpoint = Endpoint()
    embedder(endpoint).embed(["é" * 70_000, "y" * 100_000, "x" * 300_000, "z", "\ud800"])
    assert [[len(text) for text in one] for one in endpoint.asked] == [[70_000, 100_000], [300_000], [1, 1]]


def test_a_request_says_what_is_asked_of_which_model() -> None:
    assert json.loads(request_of("m", ["a", "b"])) == {
        "model": "m",
        "input": ["a", "b"],
        "encoding_format": "float",
    }


def test_a_model_is_known_by_where_it_is_asked() -> None:
    assert embedder(Endpoint()).model == embedder(Endpoint()).model
    assert embedder(Endpoint()).model != embedder(Endpoint(), "v").model


def answer(*embeddings: Sequence[object], indices: Sequence[int] = (0, 1)) -> bytes:
    return json.dumps(
        {"data": [{"index": at, "embedding": one} for at, one in zip(indices, embeddings, strict=False)]}
    ).encode()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<html>", "KNOWLEDGE_ENDPOINT_INVALID"),
        (b'{"error": "no"}', "KNOWLEDGE_ENDPOINT_INVALID"),
        (b"\xff", "KNOWLEDGE_ENDPOINT_INVALID"),
        (b'{"a":' + b"[" * 100_000, "KNOWLEDGE_ENDPOINT_INVALID"),
        (answer([1, 2]), "KNOWLEDGE_ENDPOINT_INVALID"),
        (answer([1, 2], [1, 2], [1, 2], indices=(0, 1, 2)), "KNOWLEDGE_ENDPOINT_INVALID"),
        (answer([1, 2], [1, 2], indices=(0, 0)), "KNOWLEDGE_ENDPOINT_INVALID"),
        (answer([1, 2], [1, 2, 3]), "KNOWLEDGE_ENDPOINT_INVALID"),
        (answer([1, 2], [1, None]), "KNOWLEDGE_ENDPOINT_INVALID"),
        (answer([1, 2], [1, float("nan")]), "KNOWLEDGE_ENDPOINT_INVALID"),
        (answer([1, 2], [0, 0]), "KNOWLEDGE_VECTOR_INVALID"),
        (answer([1, 2], [1e300, 1]), "KNOWLEDGE_VECTOR_INVALID"),
    ],
)
def test_an_answer_that_is_none_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(AssentError) as refused:
        vectors_in(body, count=2, size=2)
    assert refused.value.code == code


def test_vectors_without_components_are_refused() -> None:
    """As many as there are texts, of as many components as are expected, and still none that could be compared."""
    with pytest.raises(AssentError, match="KNOWLEDGE_VECTOR_INVALID"):
        vectors_in(answer([], []), count=2, size=0)
