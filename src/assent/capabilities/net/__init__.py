"""Hands on the network: one guarded HTTP client, and the `net.http.*` capabilities over it."""

from assent.capabilities.net._client import Http
from assent.capabilities.net._limits import NetLimits
from assent.capabilities.net._outgoing import Outgoing
from assent.capabilities.net._resolver import Resolver
from assent.capabilities.net._rules import Egress, EgressRule

__all__ = ["Egress", "EgressRule", "Http", "NetLimits", "Outgoing", "Resolver"]
