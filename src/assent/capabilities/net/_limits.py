"""How much one request may cost: bytes, seconds and hops, each with a name and a unit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

RATIO_FREE_BYTES: Final = 1 << 20
"""What an answer may unpack to before the ratio is looked at: small texts may repeat themselves."""

HEADER_BYTES_MAX: Final = 96 << 10
"""As much as `header_bytes` may say: the library reads a little more before it gives up by itself."""
HEAD_BYTES_MAX: Final = 100 << 10
"""What is read of an answer before its head has to be complete, whatever `header_bytes` says: the library's own bound."""


@dataclass(frozen=True, slots=True)
class NetLimits:
    """Bounds of each request; times in milliseconds.

    `timeout_ms` is for all of it, redirects included; `connect_timeout_ms` for one connection with its TLS; `idle_timeout_ms` for
    one wait for the other side. `answer_bytes` bounds what an answer is after unpacking, `download_bytes` the same for a file;
    `ratio` how many times more that may be than what came over the wire. From `inline_bytes` on, an answer's body is kept beside
    the output.
    """

    timeout_ms: int = 60_000
    connect_timeout_ms: int = 10_000
    idle_timeout_ms: int = 30_000
    redirects: int = 5
    header_bytes: int = 64 << 10
    request_bytes: int = 16 << 20
    answer_bytes: int = 16 << 20
    inline_bytes: int = 256 << 10
    download_bytes: int = 256 << 20
    ratio: int = 100
    connections: int = 64
    ca_bundle: Path | None = None
