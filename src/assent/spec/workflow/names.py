"""Names of steps and inputs: they appear in expressions, so they look like variables and are no words of CEL."""

from __future__ import annotations

import re

from assent.errors import InputError
from assent.spec.ids import NAME, NAME_LENGTH_MAX
from assent.spec.language.syntax import MACROS, RESERVED

_WORDS = RESERVED | MACROS | {"has"}


def name_fault(name: str, what: str) -> InputError | None:
    """Why `name` can't be the name of a step or input, with one that can be as the hint; None when it can."""
    if NAME.match(name) and len(name) <= NAME_LENGTH_MAX and name not in _WORDS:
        return None
    if name in _WORDS:
        reason = "is a word of the expression language"
    elif len(name) > NAME_LENGTH_MAX:
        reason = f"is longer than {NAME_LENGTH_MAX} characters"
    else:
        reason = "must be lower-case letters, digits and `_`, starting with a letter"
    return InputError(
        "NAME_INVALID",
        f"{what} name `{name[:80]}` {reason}",
        hint=f"call it `{proposed_name(name, what)}`",
    )


def proposed_name(name: str, what: str) -> str:
    """A valid name as close to `name` as can be."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[: 2 * NAME_LENGTH_MAX])
    plain = (
        re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")[: NAME_LENGTH_MAX - len(what) - 1].rstrip("_")
    )
    if not plain:
        return what
    if plain in _WORDS:
        return f"{plain}_{what}"
    return plain if plain[0].isalpha() else f"{what}_{plain}"
