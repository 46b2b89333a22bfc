"""What tests choose by chance: alike every time, unless somebody asks for a search.

A gate has to give one answer for one tree, or a change is refused for what was found beside it. So `make test` throws the same
dice each time, Hypothesis included, and `make explore` throws others and says how to throw them again.
"""

from __future__ import annotations

import os
from random import Random
from typing import Final

IS_EXPLORING: Final = "ASSENT_TEST_SEED" in os.environ
SEED: Final = os.environ.get("ASSENT_TEST_SEED", "0")


EXAMPLES: Final = 25
"""What Hypothesis makes up for one property on every change."""


def examples(searched: int) -> int:
    """How many examples of a property are tried: as many as `searched` by `make explore`, and a bounded number by the gate."""
    return searched if IS_EXPLORING else min(searched, EXAMPLES)


def dice(purpose: str) -> Random:
    """A source of choices for one purpose; two tests with purposes of their own do not choose alike."""
    return Random(f"{SEED} {purpose}")
