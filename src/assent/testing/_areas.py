"""What the roof, `assent doctor` and the terminal rely on in an area of capabilities, tried on one that the roof names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from assent import system
from assent.errors import Json
from assent.invocation import GlobalContext

_ANYTHING: Final[tuple[Json, ...]] = (None, True, -1, 1.5, "", "two\nlines", [], [1, None], {}, {"text": []})
_STATUSES: Final = frozenset({"ok", "warning", "fault"})


def area_faults(name: str, folder: Path) -> Iterator[str]:
    """What is wrong with an area, sentence by sentence; `folder` is an empty one, in which nothing may be made."""
    # A plugin's tests import this package too, and need none of the roof.
    from assent.runtime._areas import AREAS
    from assent.runtime.settings.effective import Settings
    from assent.runtime.wiring._application import ground_of

    area = AREAS[name]
    settings = Settings.resolve(workspace=folder, environ={}, cwd=folder)
    ground = ground_of(settings, name)
    for needed, words in area.WORDS.items():
        if not needed:
            yield "its words would be told of every output"
        for value in _ANYTHING:
            try:
                f"{words(dict.fromkeys(needed, value)):s}"
            except Exception as error:  # noqa: BLE001  # whatever it is, a run could not be shown
                yield f"its words for {sorted(needed)} fail on {value!r}: {error}"
    if area.PROJECTION is not None and area.PROJECTION.area != name:
        yield f"its projection is of another area: {area.PROJECTION.area}"
    area.offer(GlobalContext(clock=system.SystemClock(), spawn=system.spawn), ground)
    for check in area.checks(ground):
        if check.status not in _STATUSES:
            yield f"`{check.name}` has the status `{check.status}`, which `doctor` does not know"
    if any(folder.iterdir()):
        yield "offering or checking makes something, before any call asks for it"
