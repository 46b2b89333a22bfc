"""Who is calling: every door of the daemon asks the gatehouse, which knows all the ways to say who one is.

    visit = gatehouse.rates.visit("http", "203.0.113.7")
    visit.arrive()
    caller = await gatehouse.authenticate(Presented(door="http", peer="203.0.113.7", authorization=("Bearer …",)))
    visit.identify(caller.asker.principal)
    visit.ask(request)
    await service.perform(request, caller.asker)

A door hands over what was presented, untouched; it judges nothing itself. What a caller may ask is the service's affair
(`assent.runtime.service.scopes`), what it may do the gate's.
"""

from __future__ import annotations

from assent.server.who._caller import Caller, Presented
from assent.server.who._gatehouse import METADATA_PATH, Gatehouse
from assent.server.who._rates import Allowance, Rates, Visit

__all__ = ["METADATA_PATH", "Allowance", "Caller", "Gatehouse", "Presented", "Rates", "Visit"]
