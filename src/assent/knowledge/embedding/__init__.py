"""Texts as vectors: the port, an encoder in a local folder, and an endpoint that is asked."""

from assent.knowledge.embedding.endpoint import EndpointEmbedder, request_of, vectors_in
from assent.knowledge.embedding.local import (
    LocalEmbedder,
    ModelRecord,
    add_model,
    open_model,
    require_model,
    stamp_of,
)
from assent.knowledge.embedding.ports import Embedder, unit

__all__ = [
    "Embedder",
    "EndpointEmbedder",
    "LocalEmbedder",
    "ModelRecord",
    "add_model",
    "open_model",
    "request_of",
    "require_model",
    "stamp_of",
    "unit",
    "vectors_in",
]
