"""`assent key`: keys with which programs come in through the daemon's doors. A key is made here, and shown once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from assent.cli._command import command, group
from assent.cli._door import Door
from assent.cli._exit import exit_code
from assent.cli.runs._drive import answer, conclude, tell_next
from assent.errors import InputError, Json
from assent.runtime import service
from assent.spec.scopes import SCOPES, UNSAID
from assent.spec.words.durations import DAY_MS, parse_duration_ms
from assent.spec.words.legible import safe_line

if TYPE_CHECKING:
    from assent.runtime.service import answers

_EXPIRES_MS_MAX: Final = 3650 * DAY_MS


@command("create", short_help="Make a key with which a program may come in.")
@click.argument("name")
@click.option(
    "--for", "owner", metavar="PRINCIPAL", help="As whom it acts: `service:ci`; by default as yourself."
)
@click.option(
    "--scope",
    "scopes",
    metavar="SCOPE[,SCOPE]...",
    default=",".join(UNSAID),
    show_default=True,
    help=f"What may be asked with it: {', '.join(SCOPES)}.",
)
@click.option(
    "--expires", metavar="DURATION", help="How long it opens: `90d`; by default until it is revoked."
)
def create(door: Door, name: str, owner: str | None, scopes: str, expires: str | None) -> int:
    """Make a key called NAME and show it, once: `Authorization: Bearer KEY` makes a program the PRINCIPAL at the daemon's doors.

    It is a call of `assent.key.create`. What is recorded and kept of the key is its id and a digest; who loses it makes another.
    """
    from assent.runtime.wiring.key_store import new_key
    from assent.system import SystemEntropy

    key = new_key(SystemEntropy())
    request = service.requests.CreateKey(
        id=key.id,
        digest=key.digest,
        name=name,
        principal=owner,
        scopes=_scopes(scopes),
        expires_in_ms=_expires_ms(expires),
    )
    run = door.perform(request)
    code = exit_code(run, "call")
    if run.status not in ("succeeded", "waiting"):
        answer(door, run)
        return code
    output = run.steps[0].output
    warnings = output.get("warnings") if isinstance(output, dict) else None
    for warning in warnings if isinstance(warnings, list) else ():
        door.out.note(f"warning: {warning}")
    if door.out.is_json:
        shown: dict[str, Json] = {"key": key.text, "id": key.id}
        door.out.object(shown if code == 0 else {**shown, "run_id": run.run_id, "status": run.status})
    else:
        door.out.answer(key.text)
        door.out.note(f"this is shown once; to revoke it: {door.command('key', 'revoke', key.id)}")
    if run.status == "waiting":
        door.out.note("it opens nothing before this is approved:")
        tell_next(door, run)
    return code


def _scopes(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(one.strip() for one in text.split(",")))
    unknown = next((one for one in found if one not in SCOPES), None)
    if unknown is not None:
        raise InputError(
            "USAGE_INVALID",
            f"`{unknown}` is not a scope",
            path="--scope",
            hint=f"one or more of {', '.join(SCOPES)}",
        )
    return found


def _expires_ms(text: str | None) -> int | None:
    try:
        return None if text is None else max(1000, parse_duration_ms(text, most_ms=_EXPIRES_MS_MAX))
    except ValueError as error:
        raise InputError("USAGE_INVALID", f"`--expires` {error}", hint="for example `90d`") from None


@command("list", watches=False, short_help="List the keys, and what each opens.")
def list_(door: Door) -> None:
    """List every key that was made here, without what opens."""
    door.out.listing(
        door.perform(service.requests.Keys()).keys,
        lambda one, _: [safe_line(cell) for cell in _row(one)],
        head=["key", "name", "acts as", "may", "status", "until"],
        none="no keys",
    )


def _row(one: answers.Key) -> list[str]:
    return [one.id, one.name, one.principal, ", ".join(one.scopes), one.status, one.expires_at or "-"]


@command("revoke", short_help="Let a key open nothing any more.")
@click.argument("key")
def revoke(door: Door, key: str) -> int:
    """Let KEY, named by its id, open nothing any more. `assent undo` of this run lets it open again.

    Schedules that were added with it begin no runs from then on: they are named.
    """
    code = conclude(door, door.perform(service.requests.RevokeKey(id=key)), wait_ms=None)
    held = [
        one.name
        for one in door.perform(service.requests.Schedules()).schedules
        if code == 0 and one.identified_by == f"api_key:{key}"
    ]
    for name in held:
        door.out.note(
            f"the schedule `{name}`, which was added with it, begins no more runs; to remove it: "
            f"{door.command('schedule', 'remove', name)}"
        )
    return code


key = group("key", create, list_, revoke, help="Keys with which programs come in.")
