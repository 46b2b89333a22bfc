"""The store of findings of a state directory: folded up to what the ledger has whenever it is opened, by whoever looks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import CancelledError, wait
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final

from assent import system
from assent.errors import InputError, WorldError
from assent.findings.book import (
    BookFile,
    Looking,
    Removal,
    Removed,
    Writing,
    contents,
    forget,
    waiting_until,
    working_until,
)
from assent.journal import JournalReader, at_once, rows_at_once
from assent.runtime._find_run import UNFINISHED
from assent.runtime._ledger import LedgerReader, reading
from assent.spec.ids import RunId

if TYPE_CHECKING:
    from assent.capabilities.findings import Desk
    from assent.engine import Driver
    from assent.runtime.settings.effective import Settings

_LOOK_S: Final = 0.5
"""So often who waits for a loop looks whether there is one."""


class FindingsStore:
    """Looks beside whoever owns the state: the store is a fold of the ledger, and whoever comes first folds."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._settle: Callable[[RunId], object] = lambda _run: None
        self._ends = Event()

    def open(self, driver: Driver) -> None:
        """Calls look at what their own run has done so far, too: its last outcome is on record before they do."""
        loop = asyncio.get_running_loop()

        def settle(run: RunId) -> None:
            """In the thread of a part that looks, which is a sync one: it must not wait for a loop that has ended."""
            work = driver.settle(run)
            try:
                settled = asyncio.run_coroutine_threadsafe(work, loop)
                while not wait([settled], _LOOK_S).done and not loop.is_closed():
                    pass
                settled.result(0)
            except (RuntimeError, TimeoutError, CancelledError):
                work.close()
                raise InputError(
                    "RUNTIME_CLOSED", "the runtime is closed, and answers nothing more"
                ) from None

        self._settle = settle

    def close(self) -> None:
        """Whoever waits for others who fold waits no longer: `RUNTIME_CLOSED`."""
        self._ends.set()

    @contextmanager
    def opened(self) -> Iterator[tuple[BookFile, LedgerReader | None]]:
        """The store, as the ledger is now; an empty one where nothing was recorded yet."""
        from assent.capabilities.findings import BOOK

        state: Path = self._settings.state
        with reading(state) as journal, ExitStack() as held:
            with waiting_until(self._ends):
                if journal is None:
                    file = held.enter_context(closing(BookFile(None)))
                else:
                    try:
                        file = _folded(journal, state / BOOK, held)
                    except WorldError as error:
                        if error.code != "STORAGE_FAILED":
                            raise
                        # Damaged, and emptied by now; or somebody removed it, or made it anew, while it was being opened.
                        file = _folded(journal, state / BOOK, held)
            yield file, journal

    @contextmanager
    def looking(self, run: str | None = None) -> Iterator[Looking]:
        """The same, to be asked; by a call of a run, with what that has done so far."""
        if run is not None:
            self._settle(RunId(run))
        with self.opened() as (file, _):
            yield Looking(file, _now_ms())

    def count_old(self, run: str, removal: Removal) -> Removed:
        """What removing by age would remove."""
        self._settle(RunId(run))
        with self.opened() as (file, _):
            return removal.count(file.db)

    def stands(self, run: str, step: str, tried: Collection[tuple[str, str]] | None = None) -> bool:
        """Whether what a triage decided is what is decided now; so it is of one that never succeeded.

        `tried`: the undo is only tried, which its run waits for, and these steps are as if they had been taken back.
        """
        from assent.capabilities.findings import seq_of

        if tried is None:
            self._settle(RunId(run))
        with self.opened() as (file, journal):
            if journal is None or (seq := seq_of(journal, run, step)) is None:
                return True
            found = (seq_of(journal, *one) for one in tried or ())
            return Writing(file).stands(seq, without=[one for one in found if one is not None])

    def is_as_recorded(self) -> bool | None:
        """Whether the store says what the ledger comes to, which is folded once more; None where it went on meanwhile.

        Nothing is kept of that fold, so it ends where waiting would: `RUNTIME_CLOSED`.
        """
        from assent.capabilities.findings import follow

        with self.opened() as (file, journal):
            if journal is None:
                return True
            with closing(BookFile(None)) as other, working_until():
                follow(journal, journal.blob, other)
                if Writing(other).mark() != Writing(file).mark():
                    return None
                return contents(other) == contents(file)

    def needed(self) -> frozenset[str]:
        """The runs whose acts stand: without their payloads findings, or what was decided about them, would be gone."""
        from assent.capabilities.findings import standing

        with self.opened() as (file, journal):
            return frozenset() if journal is None else frozenset(standing(journal, Looking(file, 0)))

    def is_of(self, journal: JournalReader, run: str) -> bool:
        """Whether a run has acts that the store is folded from."""
        return bool(at_once(journal.rows("findings_acts", {"run": run}, limit=1)))

    def forget(self) -> None:
        """Empty the store, so that nothing stands in its file of what was erased; whoever looks next folds it anew. Blocks."""
        from assent.capabilities.findings import BOOK

        with waiting_until(self._ends):
            forget(self._settings.state / BOOK)

    def unfinished(self) -> list[str]:
        """The runs that have not ended."""
        with reading(self._settings.state) as journal:
            if journal is None:
                return []
            return [str(row["run_id"]) for row in rows_at_once(journal, "runs", {"status": UNFINISHED})]

    def offered(self) -> Desk:
        """What calls on findings share."""
        from assent import __version__
        from assent.capabilities.findings import Desk
        from assent.capabilities.handed import Handed

        settings = self._settings
        return Desk(
            looking=self.looking,
            count_old=self.count_old,
            stands=self.stands,
            unfinished=self.unfinished,
            now_ms=_now_ms,
            release=__version__,
            handed=Handed(settings.state),
            manifests=settings.parsers,
        )


def _folded(journal: LedgerReader, path: Path, held: ExitStack) -> BookFile:
    """The store as the ledger is now, and of one moment, for as long as it is held."""
    from assent.capabilities.findings import follow

    with ExitStack() as mine:
        file = mine.enter_context(closing(_opened(journal, path)))
        while True:
            folded = follow(journal, journal.blob, file)
            with ExitStack() as look:
                look.enter_context(file.looking())
                mark = Writing(file).mark()
                if folded < 0 or (mark is not None and mark.seq >= folded):
                    mine.push(look.pop_all())
                    held.push(mine.pop_all())
                    return file
            # Somebody found it damaged and emptied it meanwhile.


def _opened(journal: LedgerReader, path: Path) -> BookFile:
    """The file; where nothing can be written, as it is if it is where the ledger is, and else one in memory."""
    from assent.capabilities.findings import is_followed

    if os.access(path.parent, os.W_OK) and (os.access(path, os.W_OK) or not path.exists()):
        return BookFile(path)
    with suppress(WorldError), ExitStack() as held:
        file = held.enter_context(closing(BookFile(path, is_fixed=True)))
        if is_followed(journal, journal.blob, file):
            held.pop_all()
            return file
    return BookFile(None)


def _now_ms() -> int:
    return system.SystemClock().now_ms()
