"""A run's timeline as plain text: a bar per step, then every event with its time since the start."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from assent.cli.runs._progress import event_detail, event_words
from assent.cli.runs._result_text import failure, headline, input_lines, steps_table
from assent.cli.terminal._style import Paint
from assent.cli.terminal._table import flow, table
from assent.cli.terminal._units import duration_text
from assent.errors import Json
from assent.spec.values.json_fields import Object, mapping, number, text
from assent.spec.words.legible import safe, safe_line

if TYPE_CHECKING:
    from assent.runtime.service import answers

BAR_COLUMNS: Final = 48
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# What a step does between one event and the next, by the event that begins it.
_BEGINS: Final = {
    "step.started": "=",
    "step.resumed": "=",
    "approval.requested": ".",
    "wait.started": ".",
    "approval.granted": "=",
    "step.attempt_failed": "~",
    "compensation.started": "<",
    "step.unsettled": "?",
    "step.in_doubt": "?",
}
_ENDS: Final = frozenset(
    """step.succeeded step.failed step.denied step.skipped step.resolved approval.rejected compensation.succeeded
    compensation.failed""".split()
)
LEGEND: Final = (
    "= running", ". waiting", "~ before a retry", "< taking back", "? in doubt", "| crash or restart",
)  # fmt: skip


def time_text(ms: int) -> str:
    """`2026-11-21 07:00:00Z`, in UTC, to the second."""
    return (_EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%d %H:%M:%SZ")


def show_text(run: answers.ShownRun, *, paint: Paint) -> str:
    """The whole page of one run: how it stands, what failed, its steps, bars, events, ledger."""
    events = run.events
    blocks = [_head(run, events, paint)]
    wrong = failure(run, paint=paint)
    if wrong:
        given = next(
            (one.inputs for one in run.steps if run.error is not None and one.name == run.error.path), None
        )
        blocks.append("\n".join([wrong, *_given(given)]))
    steps = steps_table(run, paint=paint)
    if steps:
        blocks.append(steps)
    bars = _bars(events, paint)
    if bars:
        blocks.append(bars)
    if events:
        blocks.append(_events(events, paint))
    blocks.append(paint(f"ledger  {run.ledger.size} entries, root {run.ledger.root}", "dim"))
    return "\n\n".join(blocks)


def _given(inputs: Json) -> list[str]:
    """What a step that failed was given, under its error."""
    lines = input_lines(inputs, is_cut=True)
    return ["its inputs:", *lines] if lines else []


def _head(run: answers.ShownRun, events: Sequence[Object], paint: Paint) -> str:
    words = [headline(run, paint=paint)]
    if run.principal:
        words.append(f"by {safe_line(run.principal)}")
    times = [at for event in events if not _is_later(event) and (at := number(event, "at_ms")) is not None]
    if times:
        words.append(f"started {time_text(times[0])}, took {duration_text(max(0, times[-1] - times[0]))}")
    if run.status == "interrupted" or (run.status == "running" and not run.owner_alive):
        words.append("interrupted: nobody drives it")
    if run.part_of:
        words.append(f"a step of {run.part_of.run_id}: {safe_line(run.part_of.step)}")
    words += _key_words(run)
    return flow(words, paint=paint, indent="  ")


def _key_words(run: answers.ShownRun) -> list[str]:
    """Whether it waits for its concurrency key or has it, who else is in line, and for whom it was cancelled."""
    known = run.concurrency
    if not known:
        return []
    named = f"the key {safe_line(known.key)!r}" if known.key else "its key"
    words = [f"cancelled for {known.replaced_by}, which wanted {named}"] if known.replaced_by else []
    if known.state == "over":
        return words
    if known.in_force < known.limit:
        words.append(f"{known.in_force} at once, and not {known.limit}: others say so")
    if known.state == "waiting":
        by = f", which {', '.join(known.held_by)} has" if known.held_by else ""
        return [*words, f"waits for {named}{by}"]
    waiting = f", for which {', '.join(known.waiting)} waits" if known.waiting else ""
    return [*words, f"has {named}{waiting}"]


def _is_later(event: Object) -> bool:
    """What is said of a run long after it has ended."""
    return text(mapping(event, "event"), "kind") == "run.erased"


def _bars(events: Sequence[Object], paint: Paint) -> str:
    times = [number(leaf, "at_ms") or 0 for leaf in events]
    if not times or times[-1] <= times[0]:
        return ""
    start, span = times[0], times[-1] - times[0]

    def column(at: int) -> int:
        return min(BAR_COLUMNS - 1, max(0, (at - start) * BAR_COLUMNS // span))

    bars: dict[str, list[str]] = {}
    open_: dict[str, tuple[int, str]] = {}
    for leaf, at in zip(events, times, strict=True):
        event = mapping(leaf, "event")
        kind, step = text(event, "kind"), text(event, "step")
        if kind == "run.recovered":
            for bar in bars.values():
                bar[column(at)] = "|"
        if not step:
            continue
        bar = bars.setdefault(step, [" "] * BAR_COLUMNS)
        if step in open_ and (kind in _BEGINS or kind in _ENDS):
            _fill(bar, column(open_[step][0]), column(at), open_.pop(step)[1])
        if kind in _BEGINS:
            open_[step] = (at, _BEGINS[kind])
    for step, (at, sign) in open_.items():
        _fill(bars[step], column(at), BAR_COLUMNS - 1, sign)
    rows = [
        [safe_line(step), f"|{''.join(bar)}|"]
        for step, bar in bars.items()
        if any(char != " " for char in bar)
    ]
    if not rows:
        return ""
    scale = f"{'0':<{BAR_COLUMNS // 2}}{duration_text(span):>{BAR_COLUMNS // 2 + 1}}"
    legend = flow([paint(word, "dim") for word in LEGEND], paint=paint, first="  ", indent="  ")
    return f"{table([*rows, ['', scale]], paint=paint, indent='  ')}\n{legend}"


def _fill(bar: list[str], first: int, last: int, sign: str) -> None:
    for at in range(first, max(first, last) + 1):
        if bar[at] != "|":
            bar[at] = sign


def _events(events: Sequence[Object], paint: Paint) -> str:
    start = number(events[0], "at_ms") or 0
    rows = []
    for leaf in events:
        event = mapping(leaf, "event")
        since = ((number(leaf, "at_ms") or start) - start) / 1000
        rows.append([f"{since:>10.3f} s", safe(text(event, "step")), event_words(event), event_detail(event)])
    return table(rows, paint=paint, indent="  ")
