"""`assent audit log` and `audit approvals`: the record line by line, for people, for programs and for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from assent.cli._arguments import OneOf, time_ms
from assent.cli._command import command
from assent.cli._completion import complete_run
from assent.cli._door import Door
from assent.cli.terminal._style import STATUS_STYLE, Paint
from assent.cli.terminal._table import flow, visible
from assent.errors import InputError
from assent.runtime import service
from assent.spec.ids import SHORT_DIGEST
from assent.spec.principal import identified_words
from assent.spec.values.json_fields import number, objects, text, texts
from assent.spec.words.durations import instant
from assent.spec.words.legible import safe_line

if TYPE_CHECKING:
    from assent.runtime.service import answers
    from assent.spec.values.json_fields import Object

_FORMULA: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of a formula, in full width too."""

LOG_COLUMNS: Final = (
    "seq", "at", "run_id", "n", "kind", "step", "principal", "asserted", "os_uid", "capability", "decision", "risk", "rule",
    "policy", "code", "inputs_line",
)  # fmt: skip
"""The columns of `audit log --csv`."""

APPROVAL_COLUMNS: Final = (
    "seq", "at", "run_id", "step", "decision", "principal", "confirmed", "asserted", "os_uid", "identified_by", "same_uid",
    "code", "reason", "count", "digest", "capability", "version", "risk_level", "rule", "policy", "requester", "inputs_line",
)  # fmt: skip
"""The columns of `audit approvals --csv`."""

Function = Callable[..., Any]  # `Any`: whatever the command takes and gives


def _filters(decisions: Sequence[str]) -> Callable[[Function], Function]:
    """The options that both commands share; `decisions`: the words of `--decision`."""
    options = (
        click.option("--run", "run_id", metavar="RUN", shell_complete=complete_run, help="Only of this run."),
        click.option("--principal", metavar="PRINCIPAL", help="Only by this principal."),
        click.option("--capability", metavar="PATTERN", help="Only about this capability; `io.fs.*` works."),
        click.option(
            "--decision",
            type=OneOf(decisions, case_sensitive=False),
            metavar="DECISION",
            help=f"Only with this decision: {', '.join(decisions)}.",
        ),
        click.option(
            "--since", metavar="TIME", help="Only since then: `2h`, `3d`, or `2026-11-21[T07:00]` in UTC."
        ),
        click.option("--until", metavar="TIME", help="Only before then."),
        click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the newest N."),
        click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C."),
        click.option("--csv", "as_csv", is_flag=True, help="Print CSV (RFC 4180), safe for spreadsheets."),
    )

    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@command("log", short_help="Print the events of the ledger.")
@_filters(("ALLOW", "DENY", "REQUIRE_APPROVAL"))
@click.option(
    "--kind", "kinds", multiple=True, metavar="KIND", help="Only this kind of event; may be given again."
)
def log(door: Door, /, *, kinds: tuple[str, ...], as_csv: bool, **wanted: Any) -> None:
    """Print the events of the ledger, oldest first, one line each."""
    from assent.spec.events.kinds import EVENT_TYPES
    from assent.spec.words.suggestions import did_you_mean

    for kind in kinds:
        if kind not in EVENT_TYPES:
            hint = did_you_mean(
                kind, EVENT_TYPES, otherwise="docs/ledger.md lists them, such as `step.denied`"
            )
            raise InputError("USAGE_INVALID", f"`{kind}` is not a kind of event", hint=hint)
    request = service.requests.AuditLog(kinds=frozenset(kinds), **_asked(wanted))
    _print(door, request, _log_line, (LOG_COLUMNS, _log_cells) if as_csv else None)


@command("approvals", short_help="Print what became of approvals: who decided what, and when.")
@_filters(service.requests.APPROVAL_DECISIONS)
def approvals(door: Door, /, *, as_csv: bool, **wanted: Any) -> None:
    """Print what became of each question to people, oldest first: granted, rejected, expired, voided, or refused to who asked.

    With who that was and how it is known, whether they had named the digest that was shown, the call and its inputs.
    """
    request = service.requests.AuditApprovals(**_asked(wanted))
    _print(door, request, _approval_line, (APPROVAL_COLUMNS, _cells) if as_csv else None)


def _asked(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The options as the fields of a request."""
    named = {name: wanted[name] for name in ("principal", "capability", "decision", "limit", "follow")}
    times = {f"{name}_ms": time_ms(wanted[name]) for name in ("since", "until") if wanted[name] is not None}
    return {"run": wanted["run_id"], **named, **times}


def _print(
    door: Door,
    request: service.requests.Auditing[Any],
    line_of: Callable[[Any, Paint], str],
    sheet: tuple[Sequence[str], Callable[[Any], Mapping[str, object]]] | None,
) -> None:
    if sheet is not None and door.out.is_json:
        raise InputError("USAGE_INVALID", "`--csv` and `--json` exclude each other")
    paint = door.out.paint()
    if sheet is not None:
        door.out.answer(_row(sheet[0]))
    found = False
    for entry in door.stream(request):
        found = True
        if sheet is not None:
            cells = sheet[1](entry)
            door.out.answer(_row([cells.get(column) for column in sheet[0]]))
        elif door.out.is_json:
            door.out.object(entry)
        else:
            door.out.answer(line_of(entry, paint))
        if door.out.is_closed:
            return
    if not found:
        door.out.note("no entries")


def _row(cells: Sequence[object]) -> str:
    """One line of CSV: every cell quoted, and none that a spreadsheet would take for a formula."""
    file = io.StringIO()  # `answer` ends the line: RFC 4180 wants CR LF
    csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\r").writerow([*map(_cell, cells)])
    return file.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    said = ("true" if value else "false") if isinstance(value, bool) else safe_line(str(value))
    return f"'{said}" if said.startswith(_FORMULA) else said


def _cells(entry: answers.ApprovalLine) -> Mapping[str, object]:
    return {name: getattr(entry, name) for name in entry.__struct_fields__}


def _log_cells(entry: answers.LogLine) -> Mapping[str, object]:
    own = {name: getattr(entry, name) for name in entry.__struct_fields__}
    return {**entry.event, **own, "at": instant(entry.at_ms)}


def _log_line(line: answers.LogLine, paint: Paint) -> str:
    from assent.cli.runs._timeline import time_text

    event = line.event
    rule = text(event, "rule")
    said = [text(event, name) for name in ("decision", "risk", "code", "verdict", "resolution")]
    said += _subject(line.kind, event)
    if event.get("asserted") is True:
        said.append("(asserted)")
    if event.get("same_uid") is True:
        said.append("(same OS user)")
    ends = [
        f"rule {rule}" if rule else "",
        f"policy {line.policy[:SHORT_DIGEST]}" if line.policy else "",
        line.inputs_line or "",
    ]
    columns = [
        f"{line.seq:>6}",
        paint(time_text(line.at_ms), "dim"),
        f"{line.run_id or '-':<30}",
        f"{safe_line(line.kind):<22}",
        f"{safe_line(text(event, 'step')):<12}",
        f"{safe_line(line.principal or ''):<12}",
        f"{safe_line(line.capability or ''):<16}",
    ]
    return _line(columns, [*said, *ends], paint)


def _subject(kind: str, event: Object) -> list[str]:
    """What an event is about that is of no step."""
    match kind.partition(".")[0]:
        case "capability":
            return [text(event, "version"), text(event, "label")]
        case "delivery":
            return [text(event, "delivery"), text(event, "outcome"), text(event, "status")]
        case "key":
            acts = [f"as {text(event, 'principal')}:", ", ".join(texts(event, "scopes"))]
            return [text(event, "key"), *(acts if kind == "key.created" else ())]
        case "schedule":
            tick_ms = number(event, "tick_ms")
            return [text(event, "name"), "" if tick_ms is None else f"of {instant(tick_ms)}"]
        case "identity":
            return [f"at {text(event, 'door')} from {text(event, 'peer')}, count {number(event, 'count')}"]
        case "release":
            return [f"{text(event, 'release')} with {len(texts(event, 'versions'))} versions"]
        case "run":
            return [
                f"{'others of its key' if one.get('cancels_others') else 'its key'}:"
                f" {text(one, 'decision')} by {text(one, 'rule')}"
                for one in objects(event, "key_answers")
            ]
        case _ if kind == "approval.refused":
            return [f"on {text(event, 'source')}, count {number(event, 'count')}"]
        case _:
            is_unseen = kind == "approval.granted" and event.get("confirmed") is not True
            return ["digest not confirmed"] if is_unseen else []


def _approval_line(line: answers.ApprovalLine, paint: Paint) -> str:
    from assent.cli.runs._timeline import time_text

    proof = [
        "asserted" if line.asserted else safe_line(identified_words(line.identified_by or "")),
        f"uid {line.os_uid}" if line.os_uid is not None else "",
        "the same user as the requester" if line.same_uid else "",
        "" if line.confirmed is None else "digest seen" if line.confirmed else "digest not seen",
    ]
    known = ", ".join(word for word in proof if word)
    said = [
        f"({known})" if known else "",
        line.code or "",
        f"count {line.count}" if line.decision == "refused" else "",
        f"because: {line.reason}" if line.reason else "",
        line.inputs_line or "",
    ]
    columns = [
        f"{line.seq:>6}",
        paint(time_text(line.at_ms), "dim"),
        f"{line.run_id or '-':<30}",
        f"{safe_line(line.step or ''):<12}",
        paint(f"{line.decision:<8}", STATUS_STYLE.get(line.decision)),
        f"{safe_line(line.principal or '-'):<12}",
        f"{safe_line(line.capability or ''):<16}",
    ]
    return _line(columns, said, paint)


def _line(columns: Sequence[str], said: Sequence[str], paint: Paint) -> str:
    """An entry on one line, in columns; where that is wider than the terminal, on several that are indented."""
    words = [safe_line(word) for word in said if word]
    line = "  ".join([*columns, " ".join(words)]).rstrip()
    if paint.columns is None or visible(line) <= paint.columns:
        return line
    cells = [cell for column in columns[1:] if (cell := column.rstrip())]
    return flow([*cells, *words], paint=paint, first=f"{columns[0]}  ", indent=" " * 8)
