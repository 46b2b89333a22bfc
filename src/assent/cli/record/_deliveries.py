"""`assent deliveries`: what became of webhooks, and what people do about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from assent.cli._arguments import OneOf
from assent.cli._command import Group, command, pass_door
from assent.cli._door import Door
from assent.runtime import service
from assent.spec.words.legible import safe_line
from assent.spec.words.sizes import count_text

if TYPE_CHECKING:
    from assent.runtime.service import answers

_STYLES: Final = {"pending": "yellow", "delivered": "green", "failed": "red", "cancelled": "dim"}


@command("retry", short_help="Attempt a delivery now.")
@click.argument("delivery")
def retry(door: Door, delivery: str) -> None:
    """Attempt DELIVERY (an id) now, one that waits or one that failed for good, and say what came of it."""
    _answer(door, door.perform(service.requests.RetryDelivery(delivery=delivery)))


@command("cancel", short_help="Attempt a delivery no more.")
@click.argument("delivery")
def cancel(door: Door, delivery: str) -> None:
    """Attempt DELIVERY (an id) no more. What an earlier attempt has sent is not taken back: for that, undo its run."""
    _answer(door, door.perform(service.requests.CancelDelivery(delivery=delivery)))


def _answer(door: Door, found: answers.Delivery) -> None:
    door.out.tell(found, lambda: safe_line(f"{found.id}: {found.status}{_rest(found)}"))


def _rest(found: answers.Delivery) -> str:
    count = found.attempts
    parts = [count_text(count, "attempt"), _reason(found)]
    if found.next_at:
        parts.append(f"next at {found.next_at}")
    return ", ".join(["", *(part for part in parts if part)])


def _reason(found: answers.Delivery) -> str:
    return f"HTTP {found.http_status}" if found.http_status else (found.code or "")


@click.pass_context
@pass_door
def _list(door: Door, ctx: click.Context, status: str | None, limit: int | None) -> None:
    """The listing, where no command of the group is called."""
    if ctx.invoked_subcommand is not None:
        return
    door.out.listing(
        door.perform(service.requests.Deliveries(status=status, limit=limit)).deliveries,
        lambda one, paint: [
            one.id,
            paint(one.status, _STYLES.get(one.status)),
            safe_line(one.endpoint),
            safe_line(one.type),
            str(one.attempts),
            _reason(one),
            one.next_at or one.ended_at or "",
            one.run_id,
        ],
        head=["delivery", "status", "endpoint", "type", "attempts", "answer", "next, or ended", "run"],
        none="no deliveries",
    )


deliveries: Final = Group(
    "deliveries",
    help="List webhooks on their way and those that have ended, newest last; `retry` or `cancel` one.",
    short_help="List webhooks on their way; retry and cancel them.",
    invoke_without_command=True,
    callback=_list,
    params=[
        click.Option(
            ["--status"],
            type=OneOf(service.requests.DELIVERY_STATUSES),
            help="Only those with this status.",
        ),
        click.Option(["--limit"], type=click.IntRange(min=1), metavar="N", help="Only the newest N."),
    ],
)
for _command in (retry, cancel):
    deliveries.add_command(_command)
