"""Everything that one run has at hand, for the parts that move it."""

from __future__ import annotations

from dataclasses import dataclass

from assent.engine._blueprint import Blueprint
from assent.engine._record import RunRecord
from assent.engine._values import Values
from assent.engine.ports import Catalogue, Services
from assent.spec.principal import Principal


@dataclass(frozen=True, slots=True)
class RunScope:
    """One run: what it was to do, what became of it so far, on whose behalf, with which capabilities and services."""

    services: Services
    blueprint: Blueprint
    catalogue: Catalogue
    values: Values
    record: RunRecord
    requester: Principal
