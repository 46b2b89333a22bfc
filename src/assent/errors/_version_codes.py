"""Explanations of the codes about versions of capabilities: what a reference means, and what may be changed."""

from __future__ import annotations

from assent.errors._explanation import Explanation

VERSION_CODES: dict[str, Explanation] = {
    "INVALID_VERSION": Explanation(
        "What stands behind the `@` of a capability reference is no version, range, label, moment or fingerprint.",
        "Write `1.2.3`, `^1.2`, a label, a moment like `2026-10-01T00:00Z`, or `sha256:` with 8 hex digits.",
    ),
    "VERSION_NOT_FOUND": Explanation(
        "The capability exists, but no version of it is what the reference asks for, or that one is retired or not installed.",
        "Use the version that the hint names; `assent capability history CAPABILITY` shows all.",
    ),
    "VERSION_AMBIGUOUS": Explanation(
        "The beginning of a fingerprint fits several versions.", "Write more of its digits."
    ),
    "LABEL_INVALID": Explanation(
        "A label of a version has a form that could be read as something else.",
        "Use a word in lower case with digits, `_` and `-`; `latest` and `x` are taken.",
    ),
    "WEIGHTS_INVALID": Explanation(
        "Versions can't share calls by these weights.",
        "Give whole numbers from 0 on, one of them above 0, for example `1.0.0=80 2.0.0=20`.",
    ),
    "VERSION_NEWEST": Explanation(
        "The newest version of a capability can't be retired: nothing would be left to call.",
        "Register its successor first.",
    ),
    "VERSION_LABELLED": Explanation(
        "A version that a label names can't be retired: who asks for the label would find nothing.",
        "Move the label to another version, or take it away with `assent capability unlabel`.",
    ),
    "VERSION_ACTIVE": Explanation(
        "A version that gets a share of the calls can't be retired.",
        "Give its share to other versions first with `assent capability activate`.",
    ),
    "VERSION_IN_USE": Explanation(
        "An unfinished run has a step of this version, so it can't be retired yet.",
        "End the runs that the details name, or wait for them.",
    ),
    "VERSION_CHANGED": Explanation(
        "A capability is not what was recorded under the same id and version.",
        "Give it a new version, or say that the change is meant: `rt.register(…, replace=True)`.",
    ),
}
