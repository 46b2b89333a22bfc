"""Codes of what changes data from one version's shape into another's, and of versions that break their callers."""

from __future__ import annotations

from assent.errors._explanation import Explanation

TRANSFORM_CODES: dict[str, Explanation] = {
    "VERSION_BREAKING": Explanation(
        "A new version of a capability would refuse what callers of an older one send, or give them what they can't read.",
        "Mend the changes that `details.changes` names, or register the version with `transformers=[…]`. Under another major "
        "number it is accepted without them once no older version is in use: retire those.",
    ),
    "TRANSFORMER_INVALID": Explanation(
        "A transformer does not fit the versions it stands between: one is not registered, they are no neighbours, or a value "
        "that was tried came out wrong.",
        "The details show the value that was given and what became of it; mend the function.",
    ),
    "TRANSFORMER_DUPLICATE": Explanation(
        "There is a transformer between these two versions already, and none is ever replaced: recorded calls went through it.",
        "Register a new version with a transformer of its own.",
    ),
    "TRANSFORM_MISSING": Explanation(
        "Nothing leads from the version that a caller asks for to the one that would serve it.",
        "Register a transformer that starts at the version named as reached, or ask for another version.",
    ),
    "TRANSFORM_FAILED": Explanation(
        "A transformer raised an error, or gave something that is not what the next version takes.",
        "Mend the transformer after the version named as reached. What the call did, if anything, was taken back.",
    ),
    "TRANSFORM_TIMEOUT": Explanation(
        "A transformer took longer than its limit. It is not asked again before the next start.",
        "Mend the transformer: it should only move values about.",
    ),
    "TRANSFORM_LIMIT": Explanation(
        "More versions lie between the one that is asked for and the one that serves than may be crossed.",
        "Ask for a newer version, or register a transformer that spans several.",
    ),
    "ERROR_RATE": Explanation(
        "A version of a capability failed too often while it shared the calls, so its share went to the others.",
        "Look at its failed steps, mend it under a new version, and share the calls again: `assent capability activate`.",
    ),
    "SAMPLES_MISSING": Explanation(
        "No values that fit a schema could be made, so a transformer could not be tried.",
        "Give the part that the message names `examples` in its schema.",
    ),
    "DOCUMENT_VERSION": Explanation(
        "A stored document is of a format that this Assent does not know.",
        "Open it with the Assent that wrote it, or a newer one.",
    ),
}
