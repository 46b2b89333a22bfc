"""Who is calling: every door of the daemon asks the gatehouse, which knows all the ways to say who one is.

    caller = await gatehouse.authenticate(Presented(door="http", peer="203.0.113.7", authorization=("Bearer …",)))
    await service.perform(request, caller.asker)

A door hands over what was presented, untouched; it judges nothing itself. What a caller may ask is the service's affair
(`assent.runtime.service.scopes`), what it may do the gate's.
"""

from __future__ import annotations

from assent.server.who._caller import Caller, Presented
from assent.server.who._gatehouse import METADATA_PATH, Gatehouse

__all__ = ["METADATA_PATH", "Caller", "Gatehouse", "Presented"]
