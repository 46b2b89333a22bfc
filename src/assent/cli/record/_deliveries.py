"""`assent deliveries`: what became of webhooks, and what people do about them."""

from __future__ import annotations

from typing import Final

import click

from assent.cli._command import Group, command, pass_door
from assent.cli._door import Door
from assent.cli.terminal._json import Object, number, plain, text
from assent.cli.terminal._style import safe_line
from assent.runtime import service
from assent.spec.sizes import count_text

STATUSES: Final = ("pending", "delivered", "failed", "cancelled")
_STYLES: Final = {"pending": "yellow", "delivered": "green", "failed": "red", "cancelled": "dim"}


@command("retry", short_help="Attempt a delivery now.")
@click.argument("delivery")
def retry(door: Door, delivery: str) -> None:
    """Attempt DELIVERY (an id) now, one that waits or one that failed for good, and say what came of it."""
    _answer(door, plain(door.perform(service.requests.RetryDelivery(delivery=delivery))))


@command("cancel", short_help="Attempt a delivery no more.")
@click.argument("delivery")
def cancel(door: Door, delivery: str) -> None:
    """Attempt DELIVERY (an id) no more. What an earlier attempt has sent is not taken back: for that, undo its run."""
    _answer(door, plain(door.perform(service.requests.CancelDelivery(delivery=delivery))))


def _answer(door: Door, found: Object) -> None:
    if door.out.is_json:
        door.out.object(dict(found))
    else:
        door.out.answer(safe_line(f"{text(found, 'id')}: {text(found, 'status')}{_rest(found)}"))


def _rest(found: Object) -> str:
    count = number(found, "attempts") or 0
    parts = [count_text(count, "attempt"), _reason(found)]
    if text(found, "next_at"):
        parts.append(f"next at {text(found, 'next_at')}")
    return ", ".join(["", *(part for part in parts if part)])


def _reason(found: Object) -> str:
    status = text(found, "http_status")
    return f"HTTP {status}" if status else text(found, "code")


@click.pass_context
@pass_door
def _list(door: Door, ctx: click.Context, status: str | None, limit: int | None) -> None:
    """The listing, where no command of the group is called."""
    if ctx.invoked_subcommand is not None:
        return
    asked = service.requests.Deliveries(status=status, limit=limit)
    found = [plain(one) for one in door.perform(asked).deliveries]
    if door.out.is_json:
        door.out.object([*found])
        return
    if not found:
        door.out.note("no deliveries")
        return
    from assent.cli.terminal._table import table

    paint = door.out.paint()
    rows = [
        [
            text(one, "id"),
            paint(text(one, "status"), _STYLES.get(text(one, "status"))),
            safe_line(text(one, "endpoint")),
            safe_line(text(one, "type")),
            text(one, "attempts"),
            _reason(one),
            text(one, "next_at") or text(one, "ended_at"),
            text(one, "run_id"),
        ]
        for one in found
    ]
    head = ["delivery", "status", "endpoint", "type", "attempts", "answer", "next, or ended", "run"]
    door.out.answer(table(rows, head=head, paint=paint))


deliveries: Final = Group(
    "deliveries",
    help="List webhooks on their way and those that have ended, newest last; `retry` or `cancel` one.",
    short_help="List webhooks on their way; retry and cancel them.",
    invoke_without_command=True,
    callback=_list,
    params=[
        click.Option(["--status"], type=click.Choice(STATUSES), help="Only those with this status."),
        click.Option(["--limit"], type=click.IntRange(min=1), metavar="N", help="Only the newest N."),
    ],
)
for _command in (retry, cancel):
    deliveries.add_command(_command)
