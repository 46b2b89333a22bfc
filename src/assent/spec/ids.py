"""Identifiers as distinct types, and the patterns they must match: one may not be passed for another.

Every pattern is printable ASCII, because ids stand in ledger leaves, whose profile allows nothing else.
"""

from __future__ import annotations

import re
from typing import Final, NewType

RunId = NewType("RunId", str)
PlanId = NewType("PlanId", str)
CapabilityId = NewType("CapabilityId", str)
StepKey = NewType("StepKey", str)
"""A step's name, or `name[3]` for the fourth iteration of a `foreach`."""

Commitment = NewType("Commitment", str)
"""64 hex digits that bind a payload without revealing it: SHA-256 over a salt and the payload's bytes."""

Fingerprint = NewType("Fingerprint", str)
"""64 hex digits: SHA-256 of a document's canonical JSON."""

CAPABILITY_ID: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+\Z")
SEMVER: Final = re.compile(
    r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-[0-9A-Za-z][0-9A-Za-z.-]{0,63})?(\+[0-9A-Za-z.-]{1,64})?\Z"
)
NAME: Final = re.compile(r"[a-z][a-z0-9_]*\Z")
"""Step and input names: they appear in expressions, so they look like variables."""

LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/:@+-]{0,127}\Z")
"""Names of workflows, rules, roles and environments."""

PRINCIPAL_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+\-/]{0,127}\Z")

NAME_LENGTH_MAX: Final = 64
