"""`[resource]` of assent.toml: in which project and group references without a scope are looked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from assent.spec.documents.settings import Setting, Table
from assent.spec.values.json_fields import number, text
from assent.spec.words.sizes import count_text, size_text

if TYPE_CHECKING:
    from assent.capabilities.area import Check, Ground, Words
    from assent.errors import Json
    from assent.invocation import GlobalContext
    from assent.spec.values.json_fields import Object


def _name(value: object) -> Json:
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", value):
        return value
    raise ValueError('must be a name of letters, digits, `.`, `_` and `-`: `"shop"`')


SECTION: Final[Table] = {
    name: Setting(
        _name, f"the {name} whose resources are in force where a call names no other", unless="none"
    )
    for name in ("project", "group")
}


def _changed(found: Object) -> str:
    if found.get("retired_at"):
        return f"{text(found, 'reference')} is retired"
    origin = f", from {text(found, 'promoted_from')}" if found.get("promoted_from") else ""
    return f"{text(found, 'reference')}, {size_text(number(found, 'bytes') or 0)}{origin}"


WORDS: Final[Words] = {
    frozenset({"reference", "sha256", "bytes", "published_at", "promoted_from"}): _changed,
    frozenset({"reference", "sha256", "bytes", "uses", "content"}): lambda found: (
        f"{text(found, 'reference')}, {size_text(number(found, 'bytes') or 0)}"
    ),
}
PROJECTION: Final = None


def offer(app: GlobalContext, ground: Ground) -> None:
    """The registry of the state directory."""

    def make() -> object:
        from assent.capabilities.resource._shelf import Shelf

        return Shelf.of(ground.state, ground.said, ground.clock)

    app.offer("assent.capabilities.resource._shelf.Shelf", make)


def checks(ground: Ground) -> Iterator[Check]:
    """How much the registry holds, and whether it can be read."""
    from assent.capabilities.area import Check
    from assent.errors import AssentError

    if not (ground.state / "resources.db").exists():
        return
    from assent.capabilities.resource._shelf import Shelf

    try:
        with Shelf.of(ground.state, ground.said, ground.clock).looking() as provider:
            count = sum(1 for _ in provider.versions())
    except AssentError as error:
        yield Check("resources", "fault", error.message, error.hint)
        return
    yield Check("resources", "ok", count_text(count, "version"))
