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
}
