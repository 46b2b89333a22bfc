"""The codes of a capability's declaration and of schemas that come from outside."""

from __future__ import annotations

from typing import Final

from assent.errors._explanation import Explanation

DECLARATION_CODES: Final[dict[str, Explanation]] = {
    "DECLARATION_INVALID": Explanation(
        "A capability described with `@capability` can't be registered: a part is claimed and missing or there without a claim, "
        "a parameter has no type, or a part asks for what the function does not take. Every fault is listed with its line.",
        "Mend the functions that the details name, then register again.",
    ),
    "SCHEMA_INVALID": Explanation(
        "A JSON Schema that came from outside can't be used: it is none, refers to another document, or has a pattern that can "
        "take more than linear time (look-around, back-references).",
        "Mend the place that the path names; the hint says what is allowed.",
    ),
}
