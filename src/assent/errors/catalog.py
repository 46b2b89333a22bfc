"""Every error code, with what it means and what to do: the source of `assent explain CODE` and of `docs/errors.md`.

A code is added here in the same change that first raises it; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one code means, in a sentence or two, and what its reader can do."""

    meaning: str
    remedy: str


CATALOG: dict[str, Explanation] = {
    # -- law: capability specs, principals, ids -----------------------------------------------------------------------
    "SPEC_INVALID": Explanation(
        "A capability, workflow or principal does not have the shape the law asks for.",
        "Mend the field that the path names.",
    ),
    "RISK_INCONSISTENT": Explanation(
        "A capability claims a risk that its side effects forbid; all violations are listed.",
        "Raise the risk, make the effect reversible, or give it a compensation.",
    ),
    "COMPENSATION_INVALID": Explanation(
        "A capability claims a compensation without a strategy, or names one that does not exist or is irreversible.",
        "Name a strategy and a registered, reversible capability, or claim no compensation.",
    ),
    # -- law: documents -----------------------------------------------------------------------------------------------
    "DOCUMENT_SYNTAX": Explanation(
        "A YAML file cannot be read: its syntax is wrong, it is not UTF-8, or it holds several documents.",
        "Mend the place that the path names.",
    ),
    "DOCUMENT_TOO_LARGE": Explanation(
        "A file is larger than a document may be; it was not parsed.",
        "Split it, or hand large data in as a run input.",
    ),
    "DOCUMENT_TOO_COMPLEX": Explanation(
        "A document is nested too deeply or, once its aliases are expanded, has too many keys and values.",
        "Flatten it, or use fewer aliases.",
    ),
    "DOCUMENT_VALUE": Explanation(
        "A document holds what JSON cannot: a key that is not a string, a tag, an infinite or too large number.",
        "Put the value in quotes to keep it as text.",
    ),
    "DUPLICATE_KEY": Explanation(
        "One mapping says the same key twice, and readers disagree about which of the two counts.",
        "Keep one; both places are named.",
    ),
    # -- registry -----------------------------------------------------------------------------------------------------
    "CAPABILITY_UNKNOWN": Explanation(
        "No capability, or no such version of it, is registered under this reference.",
        "List what exists with `assent capability list`.",
    ),
    "CAPABILITY_DUPLICATE": Explanation(
        "Two registrations claim the same capability id and version.",
        "Give one of them another id or version; the message names both origins.",
    ),
    "REGISTRY_SEALED": Explanation(
        "A capability was registered after the registry was sealed for a run.",
        "Register everything before the first run.",
    ),
}
