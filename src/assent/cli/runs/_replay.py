"""`assent replay`: a recorded run once more, without touching anything, and what differs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from assent.cli._command import command
from assent.cli._completion import complete_run
from assent.cli._door import Door
from assent.cli._exit import FAILED, OK
from assent.cli.terminal._style import Paint
from assent.errors import InputError, Json
from assent.runtime import service
from assent.spec.values.json_fields import Object, compact, text
from assent.spec.words.legible import safe_line
from assent.spec.words.sizes import count_text

if TYPE_CHECKING:
    from assent.runtime.service import answers

SNAPSHOT_FILE_BYTES_MAX = 256 << 20
"""Bytes of a file that is looked at as a snapshot."""


@command("replay", short_help="Run a recorded run again, touching nothing; tell what differs.")
@click.argument("run", metavar="RUN|FILE", shell_complete=complete_run)
@click.option(
    "--capability-version",
    metavar="[ID@]VERSION",
    help="Really run this version, on a simulated world; the rest is answered from the record.",
)
def replay(door: Door, run: str, capability_version: str | None) -> int:
    """Run RUN, or the run of a snapshot FILE, again against what was recorded, and tell what differs.

    Nothing is executed: effects, people and the clock answer as they did. The policy is today's, so a decision that would be
    another one now shows. Exits with 0 when nothing differs, with 1 when something does.
    """
    path = door.cwd / run
    snapshot: bytes | None = None
    if path.is_file():
        try:
            with path.open("rb") as file:
                snapshot = file.read(SNAPSHOT_FILE_BYTES_MAX)
        except OSError as error:
            reason = (error.strerror or "failed").lower()
            raise InputError("FILE_UNREADABLE", f"`{run}` can't be read: {reason}", path=run) from None
    try:
        report = door.perform(
            service.requests.Replay(run=run, snapshot=snapshot, capability_version=capability_version)
        )
    except InputError as error:
        if error.code == "RUN_UNKNOWN" and not run.startswith("run_"):
            error.message = f"`{run}` is neither a run nor a file"
        raise
    door.out.tell(report, lambda: "\n".join(_lines(report, door.out.paint())))
    return OK if report.equal else FAILED


def _lines(report: answers.Replayed, paint: Paint) -> Iterator[str]:
    """What differs, the verdict last."""
    differences = report.differences
    for difference in differences:
        yield from _difference(difference, paint)
    status = report.status
    for line in _notes(report):
        yield paint(line, "dim")
    run = report.run_id
    recorded, replayed = status.recorded, status.replayed
    if not differences:
        yield f"{run}: nothing differs ({recorded.replace('_', ' ')})"
        return
    count = count_text(len(differences), "difference")
    outcome = f"{recorded} again" if recorded == replayed else f"{recorded} then, {replayed} now"
    yield f"{run}: {count} ({outcome.replace('_', ' ')})"


def _difference(difference: answers.ReplayDifference, paint: Paint) -> Iterator[str]:
    step = (difference.step or "") or "run"
    was, now = _object(difference.recorded), _object(difference.replayed)
    match difference.where:
        case "decision":
            yield f"decision  {step}  {_decided(was)} -> {_decided(now)}"
        case "event":
            yield f"event     {step}  {text(was, 'kind') or '-'} -> {text(now, 'kind') or '-'}"
        case _:
            yield f"output    {step}"
            for operation in difference.patch or ():
                value = f"  {compact(operation['value'])}" if "value" in operation else ""
                change = f"{text(operation, 'op')} {text(operation, 'path') or '(whole)'}{value}"
                yield paint(f"          {safe_line(change)}", "dim")


def _decided(answer: Object) -> str:
    return f"{text(answer, 'decision')} ({text(answer, 'rule')})"


def _notes(report: answers.Replayed) -> Iterator[str]:
    """What the verdict rests on."""
    if report.policy.changed:
        yield "the policy is another than the run was decided by"
    for ident, version in report.against.items():
        yield f"{ident} really ran as {version}, on a simulated world"
    for changed in report.capabilities:
        what = text(changed, "changed")
        yield f"{text(changed, 'capability')} " + (
            "is not installed here" if what == "missing" else f"has another {what} than recorded"
        )
    for places, words in (
        (report.stopped, "the record ends here: it does not tell what would have come of it"),
        (report.assumed, "taken to have been taken back: the record does not tell"),
        (report.masked, "hidden in the snapshot: neither validated nor compared"),
    ):
        for place in places:
            yield f"{place}: {words}"


def _object(value: Json) -> Object:
    return value if isinstance(value, dict) else {}
