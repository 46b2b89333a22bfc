"""`[info]` of assent.toml: which environment variables may be told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from assent.errors import Json
from assent.spec.documents.settings import Setting, Table, Texts, listed
from assent.spec.masking import names_secret
from assent.spec.values.json_fields import text

if TYPE_CHECKING:
    from assent.capabilities.area import Check, Ground, Words
    from assent.capabilities.info import Machine
    from assent.invocation import GlobalContext

_NAMES: Final = Texts(
    'must be a list of names of environment variables, with `*` for any characters: `["BUILD_*"]`',
    re.compile(r"[A-Za-z_*][A-Za-z0-9_*]{0,254}").fullmatch,
    may_be_empty=True,
)


def _env(value: object) -> Json:
    found = _NAMES(value)
    secret = next((one for one in found if names_secret(str(one))), None)
    if secret is not None:
        raise ValueError(f"can't allow `{secret}`: its name says that it holds a secret")
    return found


SECTION: Final[Table] = {
    "env": Setting(
        _env,
        "patterns of environment variables that `sys.info.env` may tell; none whose name says that it holds a secret",
        ["CI", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_TIME", "TERM", "TZ"],
        is_always_shown=True,
    )
}


WORDS: Final[Words] = {
    frozenset({"unix_ms", "iso", "zone"}): lambda found: f"{text(found, 'iso')} {text(found, 'zone')}"
}
PROJECTION: Final = None


def offer(app: GlobalContext, ground: Ground) -> None:
    """The machine, as far as it may be told."""

    def machine() -> Machine:
        from assent.capabilities.info import Machine

        return Machine(ground.environ, listed(ground.said, "env"))

    app.offer("assent.capabilities.info._machine.Machine", machine)


def checks(ground: Ground) -> Iterator[Check]:
    """Which variables of Assent's own environment calls may be told."""
    from assent.capabilities.area import Check

    yield Check("variables that are told", "ok", ", ".join(listed(ground.said, "env")) or "none")
