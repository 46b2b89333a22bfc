"""The outbox of one runtime: what is queued is on the disk, and delivered while a runtime owns the state.

Theory of operation. A delivery is one file, and everything that is decided about it is in the file before it is acted on: that an
attempt begins, so that a kill in the middle of it is known to have been one; that the delivery has ended, before the ledger is
told. Changes are made one at a time; sending is not waited for by them. Each endpoint gets one delivery at a time, so that what
offsets another one comes behind it. One task looks for what is due, and there is none while nothing waits.

A kill loses nothing: what is in the outbox is found by the next owner. What was sent and not noted as taken is sent again, under
the same id.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec import structs

from assent.capabilities.notify._attempt import Outcome, Post, attempt, delay_ms, ended
from assent.capabilities.notify._delivery import Delivery, DeliveryFiles, Status
from assent.capabilities.notify._endpoint import Endpoint
from assent.errors import AssentError
from assent.failpoints import FAILPOINTS
from assent.invocation import NoEffectError
from assent.spec.events.kinds import DeliveryRetried
from assent.spec.ids import RunId, StepKey
from assent.spec.moments import Moments
from assent.spec.ports import Clock
from assent.spec.words.suggestions import did_you_mean

T = TypeVar("T")

PENDING_MAX: Final = 10_000
"""Deliveries that may wait at once."""

SENDING_MAX: Final = 16
"""Endpoints that are sent to at once."""

LOOK_S_MAX: Final = 60.0
"""The clock on the wall may be set: it is looked at as often as this."""

STUMBLED_MS: Final = 60_000
"""What is waited when the disk or the ledger took nothing."""

LOGGER: Final = logging.getLogger("assent.notify")
LOGGER.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for a change, as the record names them."""

    by: str
    asserted: bool = False
    os_uid: int | None = None
    identified_by: str | None = None
    request: str | None = None
    request_digest: str | None = None


class Outbox:
    """Deliveries of one state directory. Making one costs nothing: nothing is read before a runtime asks for it.

    To be used from one event loop, once it is open.
    """

    def __init__(
        self,
        home: Path,
        endpoints: Mapping[str, Endpoint],
        *,
        clock: Clock,
        jitter: Callable[[], float],
        grace_ms: int,
    ) -> None:
        """`grace_ms` is what `close` waits at most for what is due."""
        self.endpoints: Final = endpoints
        self.clock: Final = clock
        self.files: Final = DeliveryFiles(home)
        self._jitter = jitter
        self._grace_s = grace_ms / 1000
        self._post: Post | None = None
        self._pending: dict[str, Delivery] = {}
        self._moments = Moments[str](clock)
        self._attempts: dict[str, asyncio.Task[None]] = {}
        self._sending: dict[str, asyncio.Task[Outcome]] = {}
        self._unwanted: set[str] = set()
        self._is_closing = False
        self._pump: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()

    def equip(self, post: Post) -> None:
        """Deliver, from now on, what is queued. What an earlier owner left has to be taken up as well."""
        self._post = post

    async def take_up(self, is_wanted: Callable[[Delivery], bool] = lambda _: True) -> None:
        """Go on with what an earlier owner left; what is not wanted any more is withdrawn before anything is sent."""
        for found in await _in_thread(self.files.taken_up):
            if not found.is_pending:
                try:
                    await self._tell(found)
                except AssentError as error:
                    LOGGER.warning("the end of delivery `%s` could not be noted: %s", found.id, error)
            else:
                # An attempt whose end nobody noted, because its process died, is made again at once.
                next_ms = 0 if found.is_under_way else found.next_ms
                self._pending[found.id] = kept = structs.replace(found, body=None, next_ms=next_ms)
                self._due_ms(kept)  # from now on
                if not is_wanted(found):
                    await self.withdraw(found.id)
        self._kick()

    async def close(self) -> None:
        """Give what is due a short grace, and stop; harmless when nothing was opened. The rest waits for the next owner."""
        if self._post is None:
            return
        try:
            async with asyncio.timeout(self._grace_s):
                while self._start_due():
                    await asyncio.wait(self._attempts.values(), return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            pass
        finally:
            self._is_closing = True
            if self._pump is not None:
                self._pump.cancel()
            for sending in self._sending.values():
                sending.cancel()
            if self._attempts:
                await asyncio.wait(self._attempts.values())
            self._post = None

    @property
    def is_open(self) -> bool:
        """Deliveries are made."""
        return self._post is not None

    @property
    def depth(self) -> int:
        """How many wait, or are under way."""
        return len(self._pending)

    def endpoint(self, name: str) -> Endpoint:
        """The endpoint of that name. `NoEffectError` ENDPOINT_UNKNOWN."""
        found = self.endpoints.get(name)
        if found is None:
            known = ", ".join(f"`{one}`" for one in self.endpoints)
            raise NoEffectError(
                "ENDPOINT_UNKNOWN",
                f"there is no endpoint `{name}`",
                path="endpoint",
                hint=did_you_mean(
                    name,
                    self.endpoints,
                    otherwise=f"there are: {known}"
                    if known
                    else f"an operator can add it in `assent.toml`: `[notify.endpoints.{name}]`",
                ),
            )
        return found

    async def find(self, delivery: str) -> Delivery | None:
        """The delivery of this id; None when there is none, or none any more."""
        return await _in_thread(partial(self.files.find, delivery))

    def waiting(self, run: str) -> list[Delivery]:
        """What of a run may be attempted still, without bodies."""
        return [one for one in self._pending.values() if one.run == run]

    async def put(self, delivery: Delivery) -> Delivery:
        """Queue a delivery, durably; what stands under its id already stays as it is. It, or what stands there.

        `NoEffectError` OUTBOX_FULL; DISK_FULL and STORAGE_FAILED leave open whether it stands.
        """
        async with self._turn:
            found = await self.find(delivery.id)
            if found is not None:
                return found
            if len(self._pending) >= PENDING_MAX:
                raise NoEffectError(
                    "OUTBOX_FULL",
                    f"{len(self._pending)} deliveries wait already",
                    hint="look at them with `assent deliveries --status pending`, and mend or cancel them",
                )
            await self._whole(self._write(delivery))
        self._kick()
        return delivery

    async def withdraw(
        self, delivery: str, *, asker: Asker | None = None, code: str | None = None
    ) -> Delivery | None:
        """Attempt a delivery no more; it as it stands then. One that has ended stays as it is; None when there is none.

        An attempt under way is broken off: what it sent may have arrived.
        """
        self._unwanted.add(delivery)
        try:
            while (task := self._attempts.get(delivery)) is not None:
                if (sending := self._sending.get(delivery)) is not None:
                    sending.cancel()
                await asyncio.wait({task})
            async with self._turn:
                found = await self.find(delivery)
                if found is None or not found.is_pending:
                    return found
                return await self._whole(self._conclude(found, "cancelled", asker=asker, code=code))
        finally:
            self._unwanted.discard(delivery)

    async def retry(self, delivery: Delivery, asker: Asker) -> Delivery:
        """Attempt a delivery now, also one that failed for good, and wait for that attempt; it as it stands then."""
        assert self._post is not None  # INVARIANT: as above
        async with self._turn:
            event = DeliveryRetried(
                delivery=delivery.id,
                source=RunId(delivery.run),
                step=StepKey(delivery.step),
                by=asker.by,
                asserted=asker.asserted,
                os_uid=asker.os_uid,
                identified_by=asker.identified_by,
                request=asker.request,
                request_digest=asker.request_digest,
            )
            await self._whole(self._requeue(delivery, event))
        self._kick()
        self._start_due()
        task = self._attempts.get(delivery.id)
        if task is not None:
            await asyncio.wait({task})
        return await self.find(delivery.id) or delivery

    async def forget(self, run: str) -> None:
        """Erase the bodies of a run's deliveries; those that wait are cancelled."""
        if not self.files.home.is_dir():
            return
        for found in await _in_thread(self.files.all):
            if found.run != run:
                continue
            latest = await self.withdraw(found.id, code="PAYLOAD_ERASED") if found.is_pending else found
            if latest is not None and latest.body is not None:
                async with self._turn:
                    await self._whole(_in_thread(partial(self.files.drop_body, latest)))

    def _kick(self) -> None:
        if self._post is None or not self._pending:
            return
        self._wake.set()
        if self._pump is None:
            self._pump = self._post.spawn(self._run(), name="outbox")

    def wake(self) -> None:
        """Look at the clock now."""
        self._wake.set()

    async def _run(self) -> None:
        try:
            while self._pending:
                self._wake.clear()
                self._start_due()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._wait_s()):
                        await self._wake.wait()
        finally:
            self._pump = None

    def _wait_s(self) -> float:
        ahead = self._next_of_each()
        if not ahead or len(self._attempts) >= SENDING_MAX:
            return LOOK_S_MAX
        return min(LOOK_S_MAX, max(0.0, (self._due_ms(ahead[0]) - self.clock.monotonic_ms()) / 1000))

    def _due_ms(self, one: Delivery) -> int:
        """When it is to be tried, by the monotonic clock."""
        set_ms = one.tried_ms if one.tried_ms is not None else one.queued_ms
        return self._moments.at_ms(one.id, set_ms=set_ms, due_ms=one.next_ms)

    def _next_of_each(self) -> list[Delivery]:
        """What nothing but the time keeps from being attempted: one for each endpoint that is free, in the order of their times.

        One whose endpoint is gone is tried, and told of.
        """
        busy = {self._pending[name].endpoint for name in self._attempts if name in self._pending}
        busy |= {name for name, endpoint in self.endpoints.items() if endpoint.is_paused}
        first: dict[str, Delivery] = {}
        for one in self._pending.values():
            if one.endpoint in busy or one.id in self._unwanted:
                continue
            if one.endpoint not in first or self._due_ms(one) < self._due_ms(first[one.endpoint]):
                first[one.endpoint] = one
        return sorted(first.values(), key=self._due_ms)

    def _start_due(self) -> bool:
        """Begin what is due; whether anything is under way."""
        assert self._post is not None  # INVARIANT: only called while it is open
        now_ms = self.clock.monotonic_ms()
        for one in self._next_of_each():
            if self._due_ms(one) > now_ms or len(self._attempts) >= SENDING_MAX:
                break
            task = self._post.spawn(self._attempt(one.id, self._post), name=f"deliver {one.id}")
            self._attempts[one.id] = task
            task.add_done_callback(partial(self._attempted, one.id))
        return bool(self._attempts)

    def _attempted(self, delivery: str, task: asyncio.Task[None]) -> None:
        del self._attempts[delivery]
        if not task.cancelled() and task.exception() is not None:
            self._stumble(delivery, task.exception())
        self._wake.set()

    def _stumble(self, delivery: str, error: BaseException | None) -> None:
        """The disk or the ledger took nothing: nobody may be sent to about it, and it is tried again later."""
        LOGGER.warning("delivery `%s` could not be noted: %s", delivery, error)
        found = self._pending.get(delivery)
        if found is not None:
            self._pending[delivery] = structs.replace(found, next_ms=self.clock.now_ms() + STUMBLED_MS)

    async def _attempt(self, name: str, post: Post) -> None:
        async with self._turn:
            before = await self.find(name)
            if before is None or not before.is_pending:
                self._drop(name)
                return
            now_ms = self.clock.now_ms()
            if before.until_ms is not None and before.until_ms <= now_ms:
                await self._whole(self._conclude(before, "cancelled"))
                return
            begun = structs.replace(
                before,
                attempts=before.attempts + 1,
                is_under_way=True,
                tried_ms=now_ms,
                next_ms=now_ms,
            )
        outcome = await self._outcome(begun, post)
        FAILPOINTS.hit("delivery.after")
        async with self._turn:
            await self._note(begun, outcome)

    async def _outcome(self, begun: Delivery, post: Post) -> Outcome:
        """What came of sending it, also where somebody broke it off."""
        endpoint = self.endpoints.get(begun.endpoint)
        if endpoint is None:
            return Outcome(code="ENDPOINT_UNKNOWN", may_have_arrived=False)
        has_begun = False

        async def reach() -> None:
            """From here on it may arrive, which is on the disk first."""
            nonlocal has_begun
            async with self._turn:
                await self._whole(self._write(structs.replace(begun, may_have_arrived=True)))
            has_begun = True
            FAILPOINTS.hit("delivery.before")

        sending = post.spawn(attempt(begun, endpoint, post, self.clock, reach), name=f"send {begun.id}")
        self._sending[begun.id] = sending
        try:
            if begun.id in self._unwanted or self._is_closing:
                sending.cancel()
            await asyncio.wait({sending})
        finally:
            del self._sending[begun.id]
            sending.cancel()
        if sending.cancelled():
            return Outcome(code="DELIVERY_BROKEN_OFF", may_have_arrived=has_begun)
        outcome: Outcome = sending.result()
        return outcome

    async def _note(self, begun: Delivery, outcome: Outcome) -> None:
        """Let the file say what came of an attempt; for `_turn`'s holder."""
        now_ms = self.clock.now_ms()
        known = structs.replace(
            begun,
            is_under_way=False,
            may_have_arrived=begun.may_have_arrived or outcome.may_have_arrived,
            http_status=outcome.status,
            code=outcome.code,
        )
        if outcome.is_taken:
            await self._conclude(known, "delivered")
            return
        wait_ms = delay_ms(known.attempts, asked_ms=outcome.asked_ms, jitter=self._jitter())
        if wait_ms is None or outcome.is_unwanted:
            await self._conclude(known, "failed", code=known.code)
        else:
            await self._write(structs.replace(known, next_ms=now_ms + wait_ms))

    def _drop(self, delivery: str) -> None:
        self._pending.pop(delivery, None)
        self._moments.forget(delivery)

    async def _write(self, delivery: Delivery) -> None:
        self._due_ms(delivery)  # from now on, and not once the disk is done
        await _in_thread(partial(self.files.write, delivery))
        self._pending[delivery.id] = structs.replace(delivery, body=None)

    async def _requeue(self, delivery: Delivery, event: DeliveryRetried) -> None:
        assert self._post is not None  # INVARIANT: as above
        await self._post.ledger.append(event)
        found = await self.find(delivery.id)
        if found is None or found.id in self._attempts:
            return
        fresh = structs.replace(
            found,
            status="pending",
            next_ms=self.clock.now_ms(),
            ended_ms=None,
            ledger_size=None,
            # A delivery that had failed for good begins its schedule anew; what it counts goes on.
            attempts=found.attempts if found.is_pending else 0,
        )
        await self._write(fresh)
        await _in_thread(partial(self.files.drop, fresh.id))

    async def _conclude(
        self, delivery: Delivery, status: Status, *, asker: Asker | None = None, code: str | None = None
    ) -> Delivery:
        """Let a delivery end: in its file, then on the record, then out of the way; for `_turn`'s holder."""
        assert self._post is not None  # INVARIANT: as above
        final = structs.replace(
            delivery,
            status=status,
            code=code,
            is_under_way=False,
            ended_ms=self.clock.now_ms(),
            ledger_size=await self._post.ledger.size(),
            body=delivery.body if status == "failed" else None,
            by=asker.by if asker is not None else None,
            asserted=asker is not None and asker.asserted,
            os_uid=asker.os_uid if asker is not None else None,
            identified_by=asker.identified_by if asker is not None else None,
        )
        await _in_thread(partial(self.files.write, final))
        self._drop(final.id)
        FAILPOINTS.hit("delivery.ended")
        await self._tell(final)
        return final

    async def _tell(self, final: Delivery) -> None:
        """Put the end of a delivery on the record, once, and its file aside."""
        assert self._post is not None  # INVARIANT: as above
        ledger = self._post.ledger
        if not await ledger.has_ended(final.id, final.ledger_size or 0):
            await ledger.append(ended(final))
        await _in_thread(partial(self.files.put_aside, final.id))
        # A run that has not ended may still ask what became of its effects.
        for old in await _in_thread(partial(self.files.old, self.clock.now_ms())):
            if await ledger.is_finished(old.run):
                await _in_thread(partial(self.files.drop, old.id))

    async def _whole(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives. When its caller is told to stop it goes on, and is waited for: half of it is no state."""
        assert self._post is not None  # INVARIANT: as above
        task: asyncio.Task[T] = self._post.spawn(work, name="outbox change")
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # Nobody else will ask what became of it.
            raise


async def _in_thread(function: Callable[[], T]) -> T:
    answer: Awaitable[T] = asyncio.get_running_loop().run_in_executor(None, function)
    return await answer
