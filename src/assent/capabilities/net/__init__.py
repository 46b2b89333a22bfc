"""Hands on the network: one guarded HTTP client, and the `net.http.*` capabilities over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.capabilities.net._client import Http as Http
    from assent.capabilities.net._limits import NetLimits as NetLimits
    from assent.capabilities.net._outgoing import Outgoing as Outgoing
    from assent.capabilities.net._resolver import Resolver as Resolver
    from assent.capabilities.net._rules import Egress as Egress
    from assent.capabilities.net._rules import EgressRule as EgressRule

_HOMES = {
    "._client": "Http",
    "._limits": "NetLimits",
    "._outgoing": "Outgoing",
    "._resolver": "Resolver",
    "._rules": "Egress EgressRule",
}

__getattr__, __dir__ = resolved_when_asked(__name__, _HOMES)
