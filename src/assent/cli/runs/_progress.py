"""Live progress: one line per change of state, and what steps say meanwhile, to stderr, the same with and without a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from assent.cli.runs._fold import iterated
from assent.cli.terminal._output import Output
from assent.errors import Json
from assent.spec.ids import CALL_STEP
from assent.spec.values.json_fields import Object, mapping, number, text
from assent.spec.words.durations import instant
from assent.spec.words.legible import safe_line
from assent.spec.words.sizes import count_text

_STYLES: Final[Mapping[str, str]] = {
    "step.succeeded": "green",
    "run.succeeded": "green",
    "run.undone": "green",
    "step.denied": "red",
    "step.failed": "red",
    "step.in_doubt": "red",
    "run.failed": "red",
    "run.needs_attention": "red",
    "compensation.failed": "red",
    "step.attempt_failed": "yellow",
    "approval.requested": "yellow",
    "approval.rejected": "red",
    "run.rollback_started": "yellow",
    "run.rolled_back": "yellow",
    "run.cancelled": "yellow",
}

_QUIET: Final = frozenset({"run.created", "compensation.started", "ledger.created"})
"""Told by the line that follows them, or by the command itself."""

_OF_A_CALL: Final = frozenset(
    """step.started step.succeeded step.failed step.denied run.succeeded run.failed
    run.rollback_started run.rolled_back""".split()
)
"""Of a single call told by its answer."""

_FOLDED: Final = frozenset({"step.preparing", "step.started", "step.resumed", "step.succeeded"})
"""Of an iteration told by the lines of its `foreach`; what goes wrong has its own."""


_SAID_CHARACTERS_MAX: Final = 240
"""Characters of a line that a step says, with what is not safe to show written out."""


class Progress:
    """Prints what happens to a run. Called from the thread that drives it, so it only writes."""

    def __init__(self, out: Output, *, of_a_call: bool = False) -> None:
        self._out = out
        self._of_a_call = of_a_call
        self._paint = out.paint(stderr=True)
        self._iterations: dict[str, int] = {}
        self._taken_back = ("", 0)

    def __call__(self, leaf: Mapping[str, Json]) -> None:
        """Told of one event once it is durable."""
        if self._out.is_json:
            return
        others = number(leaf, "serving")
        if others is not None:
            commands = count_text(others, "command")
            self._out.note(f"  done; {commands} of other terminals still at work here (Ctrl-C interrupts)")
            return
        grace_ms = number(leaf, "stopping_ms")
        if grace_ms is not None:
            self._out.note(
                f"  stopping; a call under way has {grace_ms / 1000:g} s to end (again: leave now)"
            )
            return
        busy_ms = number(leaf, "busy_ms")
        if busy_ms is not None:
            self._out.note(
                f"  the program that owns the state has been busy for {busy_ms // 1000} s (Ctrl-C: wait no longer)"
            )
            return
        event = mapping(leaf, "event")
        kind = text(event, "kind")
        step = text(event, "step")
        if kind == "step.said":
            # INVARIANT: no line of a program looks like one of ours, whatever it prints.
            line = event.get("line")
            shown = f"| {safe_line(line, _SAID_CHARACTERS_MAX)}" if isinstance(line, str) else "…"
            self._out.aside(f"  {'':<18} {safe_line(step):<20} {shown}".rstrip())
            return
        if kind in _QUIET or self._is_told_with_its_foreach(kind, step):
            return
        if self._of_a_call and kind in _OF_A_CALL and step in ("", CALL_STEP):
            return
        detail = event_detail(event)
        if kind == "step.expanded":
            self._iterations[step] = number(event, "count") or 0
        if kind in ("step.expanded", "step.succeeded") and step in self._iterations:
            detail = _iterations(self._iterations[step])
        words = _WORDS["step.started"] if kind == "step.expanded" else event_words(event)
        self._line(kind, words, step, detail)

    def _is_told_with_its_foreach(self, kind: str, step: str) -> bool:
        base = iterated(step)
        name, count = self._taken_back
        if base and kind == "compensation.succeeded" and name in ("", base):
            self._taken_back = (base, count + 1)
            return True
        if count:
            self._taken_back = ("", 0)
            self._line("compensation.succeeded", _WORDS["compensation.succeeded"], name, _iterations(count))
            return self._is_told_with_its_foreach(kind, step)
        return bool(base) and kind in _FOLDED

    def _line(self, kind: str, words: str, step: str, detail: str) -> None:
        painted = self._paint(f"{words:<18}", _STYLES.get(kind))
        self._out.note(f"  {painted} {safe_line(step):<20} {detail}".rstrip())


def _iterations(count: int) -> str:
    return count_text(count, "iteration")


_WORDS: Final[Mapping[str, str]] = {
    "run.created": "created",
    "run.recovered": "taken over",
    "run.cancel_requested": "cancel requested",
    "run.timed_out": "out of time",
    "run.rollback_started": "rolling back",
    "run.finally_started": "finally",
    "run.succeeded": "run succeeded",
    "run.failed": "run failed",
    "run.rolled_back": "run rolled back",
    "run.cancelled": "run cancelled",
    "run.needs_attention": "needs attention",
    "run.undo_requested": "undo requested",
    "run.undo_started": "undoing",
    "run.undo_refused": "undo refused",
    "run.undone": "run undone",
    "run.session_closed": "session closed",
    "step.added": "added",
    "step.expanded": "expanded",
    "step.preparing": "preparing",
    "step.started": "started",
    "step.resumed": "resumed",
    "step.denied": "denied",
    "step.skipped": "skipped",
    "wait.started": "waiting",
    "signal.received": "signal",
    "step.succeeded": "succeeded",
    "step.attempt_failed": "failed, will retry",
    "step.failed": "failed",
    "step.unsettled": "outcome unknown",
    "step.reconciled": "reconciled",
    "step.in_doubt": "in doubt",
    "step.resolved": "resolved",
    "approval.requested": "needs approval",
    "approval.granted": "approved",
    "approval.rejected": "rejected",
    "approval.voided": "approval void",
    "compensation.started": "taking back",
    "compensation.succeeded": "taken back",
    "compensation.failed": "NOT taken back",
    "capability.registered": "version new",
    "release.registered": "versions new",
    "capability.labelled": "labelled",
    "capability.unlabelled": "label removed",
    "capability.activated": "weights set",
    "capability.retired": "version retired",
    "capability.switched": "share lost",
    "secret.accessed": "secret",
    "http.requested": "request",
    "http.answered": "answered",
    "delivery.attempted": "delivery tried",
    "delivery.ended": "delivery ended",
    "delivery.retried": "delivery retried",
    "ledger.created": "ledger created",
    "ledger.recovered": "ledger sealed",
    "ledger.tail_accepted": "tail accepted",
    "payload.erased": "payloads erased",
    "policy.recorded": "policy in force",
    "plan.read": "read by a plan",
    "consequence.decided": "consequence asked",
    "consequence.checked": "asked once more",
    "run.doubted": "taken on trust",
    "run.erased": "run erased",
    "approval.refused": "approvals refused",
    "identity.refused": "not let in",
    "key.created": "key made",
    "key.revoked": "key revoked",
    "schedule.added": "schedule added",
    "schedule.removed": "schedule removed",
    "schedule.restored": "schedule restored",
    "schedule.paused": "schedule paused",
    "schedule.resumed": "schedule resumed",
    "schedule.tick_refused": "tick refused",
}


def event_words(event: Object) -> str:
    """What happened, in one to three words."""
    kind = text(event, "kind")
    return _WORDS.get(kind, safe_line(kind))


def event_detail(event: Object) -> str:
    """What one line has room for: the capability, who, which rule, which code."""
    kind = text(event, "kind")
    parts: list[str] = []
    if kind == "step.preparing":
        parts.append(text(event, "capability"))
    if kind in ("step.started", "step.denied", "approval.requested"):
        parts += [text(event, "capability"), text(event, "risk"), f"rule {text(event, 'rule')}"]
    attempt = number(event, "attempt")
    if attempt is not None and attempt > 1:
        parts.append(f"attempt {attempt}")
    if kind == "run.created":
        parts.append(f"by {text(event, 'principal')}{_asserted(event)}")
    if text(event, "by"):
        parts.append(f"by {text(event, 'by')}{_asserted(event)}")
    if text(event, "replaced_by"):
        parts.append(f"for {text(event, 'replaced_by')}")
    if kind == "approval.granted" and event.get("confirmed") is not True:
        parts.append("digest not confirmed")
    if text(event, "verdict"):
        parts.append(f"happened: {text(event, 'verdict')}")
    if kind == "wait.started" and (due_ms := number(event, "due_ms")) is not None:
        parts.append(f"until {instant(due_ms)}")
    if kind in ("wait.started", "signal.received"):
        parts += [text(event, "signal"), text(event, "decision")]
    if kind in ("secret.accessed", "delivery.attempted"):
        parts += [text(event, "secret"), text(event, "outcome")]
    if kind == "http.requested":
        parts.append(text(event, "method"))
    if kind == "http.answered" and (status := number(event, "status")) is not None:
        parts.append(f"status {status}")
    if kind == "delivery.ended":
        parts += [text(event, "delivery"), text(event, "outcome")]
    if text(event, "resolution"):
        parts.append(text(event, "resolution").replace("_", " "))
    parts.append(text(event, "code"))
    return safe_line("  ".join(part for part in parts if part))


def _asserted(event: Object) -> str:
    said = (" (asserted)", "asserted"), (" (same OS user)", "same_uid")
    return "".join(words for words, name in said if event.get(name) is True)
