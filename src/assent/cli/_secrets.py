"""`assent secrets`: store, list and replace secrets, and find who uses one. A value is typed or piped in, and never shown."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from assent.cli._command import command, group
from assent.cli._door import Door
from assent.cli.terminal._table import table
from assent.errors import InputError
from assent.runtime import service
from assent.spec.words.legible import safe_line

if TYPE_CHECKING:
    from assent.runtime.service import answers

BYTES_MAX: Final = 64 * 1024
SHORT: Final = 8

name_argument = click.argument("name")
stdin_option = click.option("--from-stdin", is_flag=True, help="Read the value from standard input.")
# What stands behind the name is most likely the value itself: it is refused by us, because click would repeat it.
rest_argument = click.argument("rest", nargs=-1, type=click.UNPROCESSED, metavar="")


@command("set", watches=False, short_help="Store a secret's value.")
@name_argument
@stdin_option
@rest_argument
def set_(door: Door, name: str, *, from_stdin: bool, rest: tuple[str, ...]) -> None:
    """Store the value of the secret NAME where assent.toml keeps it: in a file or in the keychain.

    The value is asked for without showing it, or read from standard input. It never stands on a command line, where other
    processes and the shell's history would see it.
    """
    door.perform(service.requests.RequireSecret(name=name, is_written=False))
    _require_nothing(rest)
    door.perform(service.requests.RequireSecret(name=name))
    value = _value(door, "set", name, from_stdin=from_stdin)
    data = door.perform(service.requests.SetSecret(name=name, value=value))
    door.out.tell(data, lambda: safe_line(f"stored `{name}` in {data.source}"))


@command("list", watches=False, short_help="List secrets, where they are kept and who may have them.")
def list_(door: Door) -> None:
    """List every secret that assent.toml, a capability or the ledger names; no values."""
    door.out.listing(
        door.perform(service.requests.Secrets()).secrets,
        lambda one, _: [
            safe_line(one.name),
            _status(one),
            safe_line(one.source),
            safe_line(", ".join([*one.capabilities, *one.specs]) or "nobody"),
            one.last_access.run_id if one.last_access is not None else "-",
        ],
        head=["secret", "status", "kept in", "for", "last run"],
        none="no secrets",
    )


def _status(one: answers.Secret) -> str:
    """How a secret stands; where a call would not get it, the code of why, which `assent explain` knows."""
    parts = [f"{one.status} ({one.code})" if one.status == "unusable" and one.code else one.status]
    return ", ".join([*parts, "rotating"] if one.rotating else parts)


@command("rotate", watches=False, short_help="Replace a secret's value, keeping the old one until confirmed.")
@name_argument
@stdin_option
@click.option("--confirm", is_flag=True, help="The new value works: forget the old one.")
@click.option("--undo", is_flag=True, help="Put the old value back.")
@rest_argument
def rotate(
    door: Door, name: str, *, from_stdin: bool, confirm: bool, undo: bool, rest: tuple[str, ...]
) -> None:
    """Replace the value of the secret NAME; the old one is kept beside it until `--confirm` or `--undo`.

    Tells which unfinished runs were given the value that is replaced. A living owner forgets what it kept.
    """
    door.perform(service.requests.RequireSecret(name=name, is_written=False))
    _require_nothing(rest)
    if confirm + undo + from_stdin > 1:
        raise click.UsageError("say one of `--from-stdin`, `--confirm` and `--undo`")
    if confirm:
        rotated = door.perform(service.requests.ConfirmSecret(name=name))
    elif undo:
        rotated = door.perform(service.requests.UndoSecret(name=name))
    else:
        door.perform(service.requests.RequireSecret(name=name))
        value = _value(door, "rotate", name, from_stdin=from_stdin)
        rotated = door.perform(service.requests.RotateSecret(name=name, value=value))
    if door.out.is_json:
        door.out.object(rotated)
        return
    lines = [f"{rotated.state} `{name}` in {rotated.source}"]
    lines += [
        f"  unfinished {one.run_id} step {one.step}: {_USED.get(one.used_replaced, _USED[None])}"
        for one in rotated.unfinished or ()
    ]
    if rotated.state == "rotated":
        lines.append(f"when it works: {door.command('secrets', 'rotate', name, '--confirm')}")
    door.out.answer("\n".join(map(safe_line, lines)))


_USED: Final[dict[object, str]] = {
    True: "was given the value that is replaced",
    False: "was given another value",
    None: "was given a value; which one can't be told",
}


@command("who-uses", watches=False, short_help="Show who uses a secret, and who did.")
@name_argument
def who_uses(door: Door, name: str) -> None:
    """Show which capabilities, files and runs use the secret NAME, and whether each run had the value that is stored now."""
    data = door.perform(service.requests.SecretUsers(name=name))
    if door.out.is_json:
        door.out.object(data)
        return
    lines = [f"{name}"]
    for label, named in (
        ("named by the spec of", data.specs),
        ("granted to", data.grants),
        ("may be sent to", data.hosts),
    ):
        lines.append(f"  {label}: {', '.join(named) or '-'}")
    lines += [f"  {one.file}:{one.line}" for one in data.files]
    door.out.answer("\n".join(map(safe_line, lines)))
    rows = [[safe_line(cell) for cell in _access(one)] for one in data.accesses]
    if rows:
        door.out.answer("")
        door.out.answer(
            table(rows, head=["run", "step", "capability", "outcome", "value"], paint=door.out.paint())
        )


def _access(one: answers.SecretAccess) -> list[str]:
    current = one.is_current
    value = "the current one" if current is True else "another one" if current is False else "-"
    return [one.run_id, (one.step or ""), (one.capability or ""), one.outcome, value]


def _require_nothing(rest: tuple[str, ...]) -> None:
    if rest:
        raise InputError(
            "SECRET_IN_ARGUMENTS",
            "a secret's value is not taken from the command line",
            hint="leave it out to be asked, or use `--from-stdin`; and choose another one: others could see this one",
        )


def _value(door: Door, verb: str, name: str, *, from_stdin: bool) -> str:
    if from_stdin:
        value = _read_stdin()
    elif door.can_ask:
        value = str(click.prompt(f"value of {name}", hide_input=True, confirmation_prompt=True, err=True))
    else:
        raise InputError(
            "SECRET_VALUE_MISSING",
            f"no value was given for `{name}`, and there is nobody to ask",
            hint=f"pipe it in: `… | {door.command('secrets', verb, name, '--from-stdin')}`",
        )
    if not value or "\0" in value or len(value.encode(errors="replace")) > BYTES_MAX:
        raise InputError(
            "SECRET_VALUE_INVALID",
            f"the value of `{name}` is empty, too long or no text",
            hint="at most 64 KiB of UTF-8",
        )
    if len(value) < SHORT:
        door.out.note(
            "this value is so short that it may be guessed, and may not be hidden where it is shown"
        )
    return value


def _read_stdin() -> str:
    data = sys.stdin.buffer.read(BYTES_MAX + 2)
    try:
        return data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        return ""


secrets = group(
    "secrets",
    set_,
    list_,
    rotate,
    who_uses,
    help="Store, list and replace secrets, and find who uses one.",
)
