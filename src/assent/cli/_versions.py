"""`assent capability history|label|unlabel|retire`: the versions of a capability over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from assent.cli._command import command
from assent.cli._completion import complete_capability, complete_version
from assent.cli._door import Door
from assent.cli.terminal._style import Paint
from assent.cli.terminal._table import table
from assent.errors import InputError
from assent.runtime import service
from assent.spec.values.json_fields import text
from assent.spec.words.legible import safe_line
from assent.spec.words.sizes import count_text

if TYPE_CHECKING:
    from assent.runtime.service import answers

capability_argument = click.argument("capability", shell_complete=complete_capability)


@command("history", watches=False, short_help="Show a capability's versions over time.")
@capability_argument
def history(door: Door, capability: str) -> None:
    """Show every version of CAPABILITY (an `id`), the newest first, and every change of its labels."""
    data = door.perform(service.requests.CapabilityHistory(capability=capability))
    if door.out.is_json:
        door.out.object(data)
        return
    paint = door.out.paint()
    versions = [
        [
            (entry.version or ""),
            entry.state,
            safe_line(standing_words(entry)),
            (entry.created_at or ""),
            entry.fingerprint[:16],
        ]
        for entry in data.versions
    ]
    blocks = [table(versions, head=["version", "state", "named", "recorded", "fingerprint"], paint=paint)]
    changes = [
        [entry.at, entry.label, (entry.version or "") or "(removed)", (entry.by or "")]
        for entry in data.labels
    ]
    if changes:
        blocks.append(
            "labels\n" + table([[*map(safe_line, row)] for row in changes], paint=paint, indent="  ")
        )
    door.out.answer("\n\n".join(blocks))


@command("diff", watches=False, short_help="Show what changes between two versions.")
@capability_argument
@click.argument("old", shell_complete=complete_version)
@click.argument("new", shell_complete=complete_version)
def diff(door: Door, capability: str, old: str, new: str) -> None:
    """Show what changes from version OLD of CAPABILITY to version NEW, and which changes break callers of OLD.

    OLD and NEW are what may stand behind the `@` of a reference: `1.2.0`, `^1`, `stable` …
    """
    data = door.perform(service.requests.CapabilityDiff(capability=capability, old=old, new=new))
    door.out.tell(data, lambda: diff_words(data, door.out.paint()))


def diff_words(data: answers.CapabilityDiff, paint: Paint) -> str:
    """The difference of two versions: a line for each change, breaking ones marked and first."""
    named = f"{data.capability}  {data.old} → {data.new}"
    changes = sorted(data.changes, key=lambda change: change.get("breaking") is not True)
    if not changes:
        return safe_line(f"{named}: no changes")
    breaking = data.counts["breaking"]
    count = count_text(len(changes), "change")
    lines = [safe_line(f"{named}: {count}, {breaking or 'none'} breaking")]
    rows = [
        [
            "!" if change.get("breaking") is True else " ",
            safe_line(text(change, "path")),
            safe_line(text(change, "reason")),
        ]
        for change in changes
    ]
    lines.append(table(rows, paint=paint, indent="  "))
    if breaking:
        older = data.old
        served = f"callers of {older} are served through transformers"
        missing = f"callers of {older} can't be served: {data.missing}"
        lines.append(safe_line(served if data.served else missing))
    return "\n".join(lines)


@command("label", short_help="Put a label on a version.")
@click.argument("reference", shell_complete=complete_capability)
@click.argument("label")
def label(door: Door, reference: str, label: str) -> None:
    """Put LABEL on the version that REFERENCE means (`id@1.2.0`, `id@^1` …), or move it there from another version."""
    answer = door.perform(service.requests.Label(reference=reference, label=label))
    before, version = (answer.before or ""), answer.version
    moved = f", no longer {before}" if before and before != version else ""
    door.out.tell(answer, lambda: safe_line(f"`{label}` names {answer.capability}@{version}{moved}"))


@command("unlabel", short_help="Take a label away.")
@capability_argument
@click.argument("label")
def unlabel(door: Door, capability: str, label: str) -> None:
    """Take LABEL away from CAPABILITY, whichever version it names."""
    answer = door.perform(service.requests.Unlabel(capability=capability, label=label))
    gone = f"`{label}` is not a label of {capability} any more"
    door.out.tell(
        answer, lambda: safe_line(gone if answer.removed else f"{capability} had no label `{label}`")
    )


@command("activate", hidden=True, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def activate(door: Door, arguments: tuple[str, ...]) -> None:
    """Name what replaces sharing calls between versions by weight."""
    del door, arguments
    raise InputError(
        "COMMAND_REMOVED",
        "versions don't share calls by weight any more: the bare id means the latest version",
        hint="let callers try a version by a label (`assent capability label ID@2.0.0 canary`, then `ID@canary`), "
        "and say in the policy who may",
    )


@command("retire", short_help="Let no new run use a version.")
@click.argument("reference", shell_complete=complete_capability)
@click.option("--dry-run", is_flag=True, help="Only say whether it could be retired.")
def retire(door: Door, reference: str, *, dry_run: bool) -> None:
    """Retire the version that REFERENCE means: no new run can use it. Refused while anything still needs it."""
    answer = door.perform(service.requests.Retire(reference=reference, dry_run=dry_run))
    how = "could be retired" if dry_run else "is retired"
    door.out.tell(answer, lambda: safe_line(f"{answer.capability}@{answer.version} {how}"))


def standing_words(standing: answers.Standing | answers.VersionLine) -> str:
    """By what else than its number a version is named: `latest` and its labels."""
    return " ".join(["latest", *standing.labels] if standing.latest else standing.labels)
