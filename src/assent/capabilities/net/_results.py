"""What the HTTP capabilities answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from assent.spec.capability import SpecModel

BodyType = Literal["none", "json", "text", "base64", "blob"]
Count = Annotated[int, Field(ge=0)]


class Head(SpecModel):
    """An answer without its body. `redirects` are the addresses on the way to `url`; `headers` are in lower case."""

    url: str
    status: int
    headers: dict[str, str]
    redirects: list[str]


class Answer(Head):
    """An answer. `body` is JSON, text or base64, as `body_type` says; `size` and `sha256` are of its bytes.

    A body of type `blob` is too large to stand here: `{"blob": SHA-256, "bytes": N}` names what was kept of it beside the output.

    `body_missing` is the code of what kept the body of an answer from being read that told of success all the same.
    """

    body: Any  # `Any`: JSON of any form
    body_type: BodyType
    size: Count
    sha256: str
    body_missing: str | None = None


class Downloaded(SpecModel):
    """A fetched file; `changed` is false when the same stood there already.

    `url` is where it came from in the end, `media_type` what the service called it; null when a crash left only the file.
    """

    path: str
    url: str | None
    media_type: str | None
    size: Count
    sha256: str
    created: bool
    changed: bool
    created_dirs: list[str]
