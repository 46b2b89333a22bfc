"""The one thread that writes, with natural group commit.

Theory of operation. Whoever appends puts a request into the inbox and waits for its future. The thread takes everything that is
there, drafts it as one transaction, commits, and tells each waiter its outcome. While a commit waits for the disk, the next
group gathers: the busier the ledger, the larger its groups, and nobody ever waits for a timer. A loop that has waiters in a group
is woken once for all of them.

Whoever is told goes to work, and takes the interpreter's lock for it. So when another group waits already, its rows go in first,
and the group before it is told right before the commit, the one long stretch in which the thread needs no lock: the loop works
while the thread waits for the disk. Told earlier, it would work while the thread waits for the lock, and sleep while it commits.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple

from assent.errors import AssentError, InternalError, WorldError
from assent.journal._blobs import BlobStore
from assent.journal.ports import Batch, Head
from assent.journal.store._store import LedgerStore
from assent.journal.store._tail import SEAL_EVENTS_MAX, SEAL_MS_MAX, Draft, Tail
from assent.spec.ids import Commitment, RunId
from assent.spec.ports import Clock

GROUP_BATCHES_MAX: Final = 1_024
"""Batches in one transaction; the rest goes into the next one."""


class _Waiter(NamedTuple):
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[object]


class _Outcome(NamedTuple):
    waiter: _Waiter
    result: object
    error: Exception | None


class _Append(NamedTuple):
    batch: Batch
    waiter: _Waiter


class _Job(NamedTuple):
    """Something else to do on the thread, between two transactions."""

    work: Callable[[], object]
    waiter: _Waiter
    is_last: bool = False


class Writer:
    """Owns the tail and the store: after `start`, only its thread touches them."""

    def __init__(
        self,
        store: LedgerStore,
        tail: Tail,
        *,
        blobs: BlobStore,
        clock: Clock,
        told: Callable[[Collection[RunId]], None],
    ) -> None:
        """`told` is told, on the thread, which runs have new events that are durable; with those who wait for them."""
        self._told = told
        self._moved: set[RunId] = set()
        self._store = store
        self._tail = tail
        self._blobs = blobs
        self._clock = clock
        self._inbox: SimpleQueue[_Append | _Job] = SimpleQueue()
        self._untold: list[_Outcome] = []
        self._failure: WorldError | None = None
        self._unsigned_since_ms = clock.monotonic_ms()
        # A daemon: an application that ends without closing the journal must not hang, and a ledger survives worse than that.
        self._thread = threading.Thread(target=self._run, name="assent-ledger", daemon=True)

    @property
    def head(self) -> Head:
        """Where the ledger stands."""
        return self._tail.head

    def start(self) -> None:
        """Begin to take requests."""
        self._thread.start()

    async def append(self, batch: Batch) -> Head:
        """Make the batch durable. A cancelled caller does not know whether it was."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()
        self._inbox.put(_Append(batch, _Waiter(loop, future)))
        head = await future
        assert isinstance(head, Head)
        return head

    async def call(self, work: Callable[[], int]) -> int:
        """Do `work` on the thread, alone with the store."""
        count = await self._submit(work, is_last=False)
        assert isinstance(count, int)
        return count

    async def stop(self, work: Callable[[], None]) -> None:
        """Do `work` after everything that was asked before, and end the thread."""
        try:
            await self._submit(work, is_last=True)
        finally:
            self._thread.join()

    async def _submit(self, work: Callable[[], object], *, is_last: bool) -> object:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()
        self._inbox.put(_Job(work, _Waiter(loop, future), is_last))
        return await future

    def commit(self, draft: Draft, *, seal: bool = False, erased: Sequence[Commitment] = ()) -> Head:
        """Finish the draft, make it durable and let it be the tail; delete the payloads `erased` with it.

        Raises `WorldError`, from a commit of unknown outcome on for every draft.
        """
        self.refuse_if_failed()
        was_signed = self._tail.unsigned == 0
        draft.finish(seal=seal)
        if draft.is_empty:
            return self._tail.head
        try:
            self._store.write(draft, erased=erased, before_wait=self._tell)
        except WorldError as error:
            if not self._store.is_sound:
                self._failure = error
            raise
        self._tail.accept(draft)
        self._moved.update(draft.runs)
        self._blobs.settle(digest for _, payload in draft.payloads for digest in payload.blobs)
        if was_signed:
            self._unsigned_since_ms = self._clock.monotonic_ms()
        return self._tail.head

    def refuse_if_failed(self) -> None:
        """Raise `WorldError` once a commit failed with unknown outcome."""
        if self._failure is not None:
            raise WorldError(
                "STORAGE_FAILED",
                f"the ledger takes no more events, because an earlier one could not be written: {self._failure.message}",
                hint="check the disk and start again: what was acknowledged is kept",
            )

    @property
    def has_failed(self) -> bool:
        """Whether a commit failed with unknown outcome."""
        return self._failure is not None

    def _run(self) -> None:
        request: _Append | _Job | None = None
        while True:
            if request is None:
                if self._inbox.empty():
                    self._tell()
                request = self._next()
            if request is None:
                self._seal()
            elif isinstance(request, _Append):
                group, request = self._gather(request)
                self._settle_group(group)
                continue
            else:
                self._do(request)
                if request.is_last:
                    return
            request = None

    def _next(self) -> _Append | _Job | None:
        """The next request; None when none came before the unsigned tail grew too old."""
        if self._tail.unsigned == 0 or self.has_failed:
            return self._inbox.get()
        age_ms = self._clock.monotonic_ms() - self._unsigned_since_ms
        try:
            return self._inbox.get(timeout=max(0, SEAL_MS_MAX - age_ms) / 1_000)
        except Empty:
            return None

    def _gather(self, first: _Append) -> tuple[list[_Append], _Job | None]:
        """What else is in the inbox, up to one transaction's worth and not past a job, which is handed back."""
        group, events = [first], len(first.batch.events)
        room = SEAL_EVENTS_MAX - self._tail.unsigned
        while len(group) < GROUP_BATCHES_MAX and events < room:
            try:
                request = self._inbox.get_nowait()
            except Empty:
                break
            if isinstance(request, _Job):
                return group, request
            group.append(request)
            events += len(request.batch.events)
        return group, None

    def _settle_group(self, group: Sequence[_Append]) -> None:
        refused: list[_Outcome] = []
        joined: list[_Waiter] = []
        draft = Draft(self._tail)
        for batch, waiter in group:
            try:
                draft.add(batch)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one batch, its neighbours go on
                refused.append(_Outcome(waiter, None, error))
            else:
                joined.append(waiter)
        if joined:
            try:
                head = self.commit(draft, seal=self._is_tail_old())
            except Exception as error:  # noqa: BLE001 - a waiter that is never told would hang for ever
                self._untold += [_Outcome(waiter, None, _own_copy(error)) for waiter in joined]
            else:
                self._untold += [_Outcome(waiter, head, None) for waiter in joined]
        self._untold += refused

    def _do(self, job: _Job) -> None:
        # Nobody waits for a job who did not ask for it: some take long.
        self._tell()
        try:
            outcome = _Outcome(job.waiter, job.work(), None)
        except Exception as error:  # noqa: BLE001 - handed to whoever asked for the job
            outcome = _Outcome(job.waiter, None, error)
        self._untold.append(outcome)
        self._tell()

    def _tell(self) -> None:
        """Tell those who wait what came of what they asked for, each loop once for all its waiters."""
        by_loop: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
        for outcome in self._untold:
            by_loop.setdefault(outcome.waiter.loop, []).append(outcome)
        self._untold = []
        # Before the others: who begins to follow once an append has returned hears nothing of it.
        if self._moved:
            self._told(self._moved)
            self._moved.clear()
        for loop, told in by_loop.items():
            # A loop that was closed meanwhile has nobody left to tell.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_resolve, told)

    def _seal(self) -> None:
        try:
            self.commit(Draft(self._tail), seal=True)
        except AssentError:
            # No answer to anybody here. A full disk may be emptied before the next attempt; what is worse than that is told to
            # the next one who appends.
            self._unsigned_since_ms = self._clock.monotonic_ms()

    def _is_tail_old(self) -> bool:
        return self._tail.unsigned > 0 and self._clock.monotonic_ms() - self._unsigned_since_ms >= SEAL_MS_MAX


def _own_copy(error: Exception) -> Exception:
    """One failure of a group, for one of its waiters: an exception raised in several tasks would mix up their tracebacks."""
    if isinstance(error, AssentError):
        return type(error).from_dict(error.to_dict())
    return InternalError("INTERNAL_ERROR", "the ledger's writer failed", details={"cause": repr(error)})


def _resolve(outcomes: Sequence[_Outcome]) -> None:
    for (_, future), result, error in outcomes:
        if future.done():  # Its waiter was cancelled.
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
