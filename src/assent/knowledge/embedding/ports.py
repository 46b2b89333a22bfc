"""What makes vectors of texts, seen from who needs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from assent.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Embedder(Protocol):
    """A model. Same text, same vector, in whatever company it is embedded."""

    @property
    def model(self) -> str:
        """Its digest, which is another one when its vectors may be other ones."""

    @property
    def size(self) -> int:
        """Components of a vector."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """A vector of length 1 for each text, in their order."""


class Unfit(ValueError):
    """What is wrong with a model, as a sentence about it."""


def unit(vectors: NDArray[np.float32], *, count: int, size: int) -> NDArray[np.float32]:
    """Vectors of length 1. Refused: another number of them, or of components, and what has no direction."""
    if vectors.shape != (count, size):
        raise InputError(
            "KNOWLEDGE_VECTOR_INVALID",
            f"the model must give {count} vectors of {size} components, and gave an array of {list(vectors.shape)}",
        )
    lengths = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1))
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise InputError(
            "KNOWLEDGE_VECTOR_INVALID",
            "the model gave a vector without a direction: all its components are 0, or one is not a number",
        )
    found: NDArray[np.float32] = (vectors / lengths[:, None]).astype(np.float32)
    return found
