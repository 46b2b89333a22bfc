"""A model behind an endpoint of `[knowledge.endpoints]`: asked as every request leaves, with texts that were cleaned before.

What is sent is on the record by its address and size alone: no text of what is indexed or asked stands there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from assent.errors import Json, WorldError
from assent.knowledge.cleaning import clean
from assent.knowledge.embedding import EndpointEmbedder, ModelRecord
from assent.spec.secret_text import SecretText
from assent.spec.values.typed import convert

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from assent.invocation import LocalContext

SEARCH_WAIT_MS: Final = 3_000
"""The longest that a search waits for its question's vector: then words have to do."""


class Endpoint(msgspec.Struct, frozen=True):
    """Where a model is asked, under which name, and the components of its vectors."""

    url: str
    model: str
    size: int
    secret: str | None
    timeout_ms: int

    @classmethod
    def of(cls, said: Mapping[str, Json]) -> Endpoint:
        """What a table of `[knowledge.endpoints]` says."""
        return convert({"secret": None, **said, "timeout_ms": said["timeout"]}, cls)

    @property
    def record(self) -> ModelRecord:
        """What is kept of it."""
        digest = EndpointEmbedder(self.url, self.model, self.size, bytes).model
        return ModelRecord(self.model, {self.url: digest}, "", self.size)

    def embedder(self, context: LocalContext | None) -> EndpointEmbedder:
        """The model, asked within a call; without one it answers nothing."""
        return _Cleaned(self, partial(self._post, context))

    def _post(self, context: LocalContext | None, body: bytes) -> bytes:
        if context is None:
            raise WorldError(
                "KNOWLEDGE_ENDPOINT_INVALID", "the embeddings endpoint can be asked only within a call"
            )
        headers = {"content-type": "application/json"}
        if self.secret is not None:
            headers["authorization"] = SecretText(f"Bearer {self.secret}")
        is_search = context.capability == "knowledge.search"
        answer = context.http.request_in_thread(
            "POST",
            self.url,
            headers=headers,
            body=body,
            is_body_told=False,
            timeout_ms=min(self.timeout_ms, SEARCH_WAIT_MS) if is_search else self.timeout_ms,
        )
        if not answer.is_success:
            raise WorldError(
                "KNOWLEDGE_ENDPOINT_INVALID",
                f"the embeddings endpoint answered with the status {answer.status}",
                hint="look whether its address, the model's name and the secret are right",
            )
        return answer.body


class _Cleaned(EndpointEmbedder):
    """Sends no text that was not cleaned: what is asked was never looked at before."""

    def __init__(self, endpoint: Endpoint, post: partial[bytes]) -> None:
        super().__init__(endpoint.url, endpoint.model, endpoint.size, post)
        self.model = endpoint.record.digest

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As of any model."""
        return super().embed(
            [clean("", one.encode("utf-8", "replace")).text.decode("utf-8", "replace") for one in texts]
        )
