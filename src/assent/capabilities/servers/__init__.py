"""Hands on what is trusted of others' MCP servers: each decision is a governed call, on record with the digest it agreed to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.capabilities.servers._trust import ServerTrust as ServerTrust

__getattr__, __dir__ = resolved_when_asked(__name__, {"._trust": "ServerTrust"})
