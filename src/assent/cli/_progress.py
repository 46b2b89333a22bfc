"""Live progress: one line per change of state, to stderr, the same with and without a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from assent.cli._json import Object, mapping, number, text
from assent.cli._output import Output
from assent.cli._style import safe_line
from assent.errors import Json

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

_QUIET: Final = frozenset({"run.created", "compensation.started", "step.expanded", "ledger.created"})
"""Told by the line that follows them, or by the command itself."""


class Progress:
    """Prints what happens to a run. Called from the thread that drives it, so it only writes."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._paint = out.paint(stderr=True)

    def __call__(self, leaf: Mapping[str, Json]) -> None:
        """Told of one event once it is durable."""
        if self._out.is_json:
            return
        others = number(leaf, "serving")
        if others is not None:
            what = "command" if others == 1 else "commands"
            self._out.note(
                f"  done; {others} {what} of other terminals still at work here (Ctrl-C interrupts)"
            )
            return
        grace_ms = number(leaf, "stopping_ms")
        if grace_ms is not None:
            self._out.note(
                f"  stopping; a call under way has {grace_ms / 1000:g} s to end (again: leave now)"
            )
            return
        event = mapping(leaf, "event")
        kind = text(event, "kind")
        if kind in _QUIET:
            return
        step = safe_line(text(event, "step"))
        words = self._paint(f"{event_words(event):<18}", _STYLES.get(kind))
        self._out.note(f"  {words} {step:<20} {event_detail(event)}".rstrip())


_WORDS: Final[Mapping[str, str]] = {
    "run.created": "created",
    "run.recovered": "taken over",
    "run.cancel_requested": "cancel requested",
    "run.rollback_started": "rolling back",
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
    "step.started": "started",
    "step.resumed": "resumed",
    "step.denied": "denied",
    "step.skipped": "skipped",
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
    "ledger.created": "ledger created",
    "ledger.recovered": "ledger sealed",
    "payload.erased": "payloads erased",
}


def event_words(event: Object) -> str:
    """What happened, in one to three words."""
    kind = text(event, "kind")
    return _WORDS.get(kind, safe_line(kind))


def event_detail(event: Object) -> str:
    """What one line has room for: the capability, who, which rule, which code."""
    kind = text(event, "kind")
    parts: list[str] = []
    if kind in ("step.started", "step.denied", "approval.requested"):
        parts += [text(event, "capability"), text(event, "risk"), f"rule {text(event, 'rule')}"]
    attempt = number(event, "attempt")
    if attempt is not None and attempt > 1:
        parts.append(f"attempt {attempt}")
    if kind == "run.created":
        parts.append(f"by {text(event, 'principal')}{_asserted(event)}")
    if text(event, "by"):
        parts.append(f"by {text(event, 'by')}{_asserted(event)}")
    if kind == "approval.granted" and event.get("confirmed") is not True:
        parts.append("digest not confirmed")
    if text(event, "verdict"):
        parts.append(f"happened: {text(event, 'verdict')}")
    if text(event, "resolution"):
        parts.append(text(event, "resolution").replace("_", " "))
    parts.append(text(event, "code"))
    return safe_line("  ".join(part for part in parts if part))


def _asserted(event: Object) -> str:
    return " (asserted)" if event.get("asserted") is True else ""
