"""For whoever writes capabilities: the contract that every capability keeps, as a suite to run on one's own.

    from assent.testing import CapabilityContract, Case
    from my_capabilities import put

    class TestPut(CapabilityContract):
        capability = put
        cases = (Case({"key": "a", "text": "one"}),)

pytest finds the class; a program asks `check_capability`. `area_faults` tries what an area of built-in capabilities brings along.
Whoever keeps findings elsewhere subclasses `FindingsStoreContract`, and resources `ResourceRegistryContract`.
"""

from assent.testing._areas import area_faults
from assent.testing._case import Case
from assent.testing._contract import CapabilityContract, Outcome, check_capability, clauses_of, run_clause
from assent.testing._findings_store import FindingsStoreContract
from assent.testing._resource_registry import ResourceRegistryContract

__all__ = [
    "CapabilityContract",
    "Case",
    "FindingsStoreContract",
    "Outcome",
    "ResourceRegistryContract",
    "area_faults",
    "check_capability",
    "clauses_of",
    "run_clause",
]
