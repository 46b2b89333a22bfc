"""`rt.deliveries`: what became of webhooks, and what people do about them. Each change is on the record."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from assent.engine import Actor, Services
from assent.errors import InputError, Json
from assent.journal import Batch, each_leaf, is_there, state_unusable
from assent.runtime._find_run import get_run, state_of
from assent.spec.events.kinds import AnyEvent, DeliveryEnded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from assent.capabilities.notify import Asker, Delivery, Outbox
    from assent.invocation import GlobalContext, Secrets
    from assent.runtime.settings.effective import Settings
    from assent.spec.principal import Principal


HOME: Final = "outbox"
"""The folder of the state directory that deliveries stand in."""


class Deliveries:
    """The deliveries of a runtime. Reading them takes no lock; changing one is for a runtime that is open.

    The outbox is made when a call first needs it, or when an earlier owner left something in it.
    """

    def __init__(
        self,
        app: GlobalContext,
        secrets: Secrets,
        settings: Settings,
        actor_of: Callable[[Principal | str | None], Actor],
    ) -> None:
        """`actor_of` says who acts under a name."""
        self._app = app
        self._secrets = secrets
        self._said = settings.areas["notify"]
        self._home = settings.state / HOME
        self._principal_of = actor_of
        self._services: Services | None = None
        app.offer("assent.capabilities.notify._outbox.Outbox", self._make, close=_close)

    def _make(self) -> Outbox:
        from assent import system
        from assent.capabilities.net import Http
        from assent.capabilities.notify import Post
        from assent.capabilities.notify.area import outbox_in

        outbox = outbox_in(self._home, self._said, clock=system.SystemClock(), entropy=system.SystemEntropy())
        # INVARIANT: what it sends with is made before it, and so closed after it.
        http = self._app.get(Http)
        if self._services is not None:
            services = self._services
            outbox.equip(Post(http, self._secrets, _Ledger(services), services.spawn))
        return outbox

    @property
    def is_used(self) -> bool:
        """Whether something may wait."""
        return _has_any(self._home)

    @property
    def outbox(self) -> Outbox:
        """What they stand in."""
        from assent.capabilities.notify import Outbox

        return self._app.get(Outbox)

    @property
    def waiting(self) -> int:
        """How many wait to be delivered."""
        return self.outbox.depth if self.is_used else 0

    async def open(self, services: Services, is_wanted: Callable[[Delivery], bool]) -> None:
        """Deliver from now on, until the application is shut down; also what an earlier owner left, where it is wanted still."""
        self._services = services
        if _has_any(self._home):
            await self.outbox.take_up(is_wanted)

    def list(self, *, status: str | None = None, limit: int | None = None) -> list[dict[str, Json]]:
        """The deliveries that are kept, the newest last, as `assent deliveries --json` prints them."""
        return _listed(self._home, status, limit)

    async def retry(self, delivery: str, *, by: Actor | Principal | str | None = None) -> dict[str, Json]:
        """Attempt a delivery now that waits or has failed for good; it as it stands after that.

        `DELIVERY_UNKNOWN`, and `DELIVERY_ENDED` for one that was delivered, cancelled or erased.
        """
        outbox, found = await self._found(delivery)
        if not found.is_pending and (found.status != "failed" or found.body is None):
            raise _has_ended(found, "and can't be sent again")
        return (await outbox.retry(found, self._asker(by))).to_json()

    async def cancel(self, delivery: str, *, by: Actor | Principal | str | None = None) -> dict[str, Json]:
        """Attempt a delivery no more; it as it stands then. `DELIVERY_UNKNOWN`, `DELIVERY_ENDED`."""
        outbox, found = await self._found(delivery)
        if found.is_pending:
            found = await outbox.withdraw(found.id, asker=self._asker(by)) or found
        if found.status != "cancelled":
            raise _has_ended(found, "so nothing is left to cancel")
        return found.to_json()

    async def forget(self, run: str) -> None:
        """Erase the bodies of a run's deliveries; those that wait are cancelled."""
        if self._home.is_dir():
            await self.outbox.forget(run)

    async def _found(self, delivery: str) -> tuple[Outbox, Delivery]:
        outbox = self.outbox
        if not outbox.is_open:
            raise InputError(
                "RUNTIME_CLOSED", "the runtime is not open", hint="use it inside `async with Runtime.open(…)`"
            )
        found = await outbox.find(delivery)
        if found is None:
            raise unknown_delivery(delivery)
        return outbox, found

    def _asker(self, by: Actor | Principal | str | None) -> Asker:
        from assent.capabilities.notify import Asker

        actor = by if isinstance(by, Actor) else self._principal_of(by)
        return Asker(**actor.who())


async def _close(outbox: Outbox) -> None:
    await outbox.close()


def _has_any(home: Path) -> bool:
    """Whether anything waits, or was left half-written; no more than a look at a folder."""
    try:
        with os.scandir(home) as entries:
            return any(entry.name.lstrip(".").startswith("msg_") for entry in entries)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise state_unusable(home.parent, error) from error


def deliveries_in(state: Path, *, status: str | None, limit: int | None) -> list[dict[str, Json]]:
    """The deliveries of a state directory, read beside whoever owns it; the newest last."""
    return _listed(state / HOME, status, limit)


def _listed(home: Path, status: str | None, limit: int | None) -> list[dict[str, Json]]:
    if not is_there(home):
        return []
    from assent.capabilities.notify import DeliveryFiles

    chosen = [one for one in DeliveryFiles(home).all() if status in (None, one.status)]
    return [one.to_json() for one in (chosen if limit is None else chosen[-limit:])]


def unknown_delivery(delivery: str) -> InputError:
    """The refusal of an id that no delivery has."""
    return InputError(
        "DELIVERY_UNKNOWN",
        f"there is no delivery `{delivery[:80]}`",
        hint="list them with `assent deliveries`; one that has ended is kept for 30 days",
    )


def _has_ended(delivery: Delivery, rest: str) -> InputError:
    return InputError(
        "DELIVERY_ENDED",
        f"delivery `{delivery.id}` has ended, {delivery.status}, {rest}",
        hint="queue another one with `notify.webhook`" if "again" in rest else None,
    )


class _Ledger:
    """The part of the journal that deliveries write and look at."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def append(self, *events: AnyEvent) -> None:
        if events:
            at_ms = self._services.clock.now_ms()
            await self._services.journal.append(Batch(run=None, expected_n=0, at_ms=at_ms, events=events))

    async def size(self) -> int:
        return (await self._services.journal.head()).size

    async def has_ended(self, delivery: str, since: int) -> bool:
        async for leaf in each_leaf(self._services.journal, start=since):
            if isinstance(leaf.event, DeliveryEnded) and leaf.event.delivery == delivery:
                return True
        return False

    async def is_finished(self, run: str) -> bool:
        row = await get_run(self._services.journal, run)
        if row is not None and not state_of(row).is_finished:
            return False
        # Whether a run that succeeded is undone may be asked still, and whoever is told of that is told once.
        return not await self._services.journal.rows(
            "approvals", {"run_id": run, "status": "pending"}, limit=1
        )
