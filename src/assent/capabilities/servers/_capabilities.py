"""The capabilities that decide which MCP servers are trusted, described."""

from __future__ import annotations

from functools import partial
from typing import Final

from assent.capabilities.describing import describe
from assent.capabilities.servers._trust import Trust, Untrust

_decides: Final = partial(
    describe, operation="WRITE", risk="MEDIUM", reversible=True, scope="trust", idempotent=True
)

CAPABILITIES: Final = (
    _decides(
        "assent.mcp.trust",
        "Trust an MCP server's tools exactly as they were looked at",
        Trust(),
        justification="agents may be offered its tools from then on; each call of one is decided about when it comes",
        effect="pins the definitions of the server's tools in the lock",
    ),
    _decides(
        "assent.mcp.untrust",
        "Trust an MCP server no more: none of its tools can be called",
        Untrust(),
        justification="what was offered to agents is not there any more",
        effect="takes the server's definitions out of the lock",
    ),
)
