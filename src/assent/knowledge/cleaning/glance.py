"""What a text has to be searched for: all that nearly every text has nothing of is looked for in one look, by one automaton."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

from assent.knowledge.cleaning.marks import MAYBE
from assent.knowledge.cleaning.rules import rules, search_set
from assent.spec.words.legible import UNSEEN

CONTROLS: Final = "controls"
"""Characters of ASCII that nobody sees."""
MARKS: Final = "marks"
"""What may have been written for models."""
_END: Final = "end"
"""What every text has, its end: where it is not found, nothing is known."""


def glance(data: bytes) -> frozenset[str]:
    """`CONTROLS`, `MARKS`, and the ids of rules that stand apart, as far as the text may have something of them."""
    automaton, names = _look()
    found = frozenset(names[place] for place in automaton.Match(data) or ())
    return found if _END in found else frozenset(names)


@cache
def _look() -> tuple[Any, tuple[str, ...]]:  # `Any`: RE2's patterns have no type
    controls = "".join(f"\\x{at:02x}" for at in range(0x80) if re.match(f"[{UNSEEN}]", chr(at)))
    patterns = {
        _END: r"\z",
        CONTROLS: f"[{controls}]",
        MARKS: MAYBE,
        **{rule.id: rule.pattern if rule.apart is True else rule.apart for rule in rules() if rule.apart},
    }
    return search_set(map(str.encode, patterns.values())), tuple(patterns)
