"""`[agent]` of assent.toml: what the program of an agent may decide with its own user, where nobody answers in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from assent.spec.documents.settings import Setting, Table, flag

if TYPE_CHECKING:
    from assent.capabilities.agent import Barrier
    from assent.capabilities.area import Check, Ground, Words
    from assent.invocation import GlobalContext

SECTION: Final[Table] = {
    "host_asks": Setting(
        flag,
        "whether an agent's program may ask its own user, where nobody decides in time about an act of LOW or MEDIUM risk",
        default=False,
        is_always_shown=True,
    )
}

WORDS: Final[Words] = {
    frozenset({"permitted"}): lambda _: "permitted",
    frozenset({"noted"}): lambda _: "noted",
}
PROJECTION: Final = None


def offer(app: GlobalContext, ground: Ground) -> None:
    """The files that an agent's own tools may not touch."""

    def barrier() -> Barrier:
        from assent.capabilities.agent import Barrier
        from assent.capabilities.agent._barrier import governing_files

        asked = governing_files(ground.workspace, ground.environ)
        return Barrier(ground.workspace, ground.hidden, (*ground.read_only, *asked))

    app.offer("assent.capabilities.agent._barrier.Barrier", barrier)


def checks(ground: Ground) -> Iterator[Check]:
    """Who decides where nobody else does."""
    from assent.capabilities.area import Check

    asks = ground.said["host_asks"]
    yield Check(
        "agents' own tools",
        "ok",
        "where nobody decides, the agent's program may ask its user, up to MEDIUM"
        if asks
        else "where nobody decides, they are denied",
    )
