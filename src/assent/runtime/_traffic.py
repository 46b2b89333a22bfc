"""How the versions do that share the calls of a capability, judged by what the ledger says of their calls.

Whoever was killed has forgotten nothing: the outcomes are those of the recorded steps, read when a runtime opens and noted
as runs come to rest. A version that fails too often loses its share with the next change of shares, which is an entry of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from assent.engine import RunRecord
from assent.journal import JournalReader
from assent.registry import Activation, HealthLimits, Rate, Switch, Tally, VersionHealth, sharing, switch
from assent.runtime._catalogue import Capabilities
from assent.spec.ids import RunId, StepKey
from assent.spec.states import StepState

ERROR_RATE: Final = "ERROR_RATE"
"""Why shares changed that nobody asked to change."""

OUTCOMES_MAX: Final = 10_000
"""Steps of one capability whose outcomes are kept; beyond, the oldest are forgotten."""

_UNSETTLED: Final = (
    StepState.PENDING,
    StepState.RUNNING,
    StepState.AWAITING_APPROVAL,
    StepState.SKIPPED,
    StepState.DENIED,
)
_NOBODYS_FAULT: Final = frozenset({"RUN_CANCELLED", "STEP_INTERRUPTED", "STEP_ABANDONED", "STEP_TAKEN_BACK"})
"""Codes of steps that a person or a crash ended."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    version: str
    at_ms: int
    is_error: bool


class Traffic:
    """Watches the capabilities whose calls are shared, and no others."""

    def __init__(self, capabilities: Capabilities, limits: HealthLimits) -> None:
        self.limits = limits
        self._capabilities = capabilities
        self._outcomes: dict[str, dict[tuple[RunId, StepKey], _Outcome]] = {}

    def load(self, journal: JournalReader) -> None:
        """Take in the outcomes that a journal holds; costs nothing where no calls are shared."""
        self._outcomes.clear()
        shared = [ident for ident, _ in self._shared()]
        if not shared:
            return
        started = {str(row["run_id"]): int(str(row["started_at_ms"])) for row in journal.rows("runs")}
        for ident in shared:
            for row in journal.rows("steps", {"capability": ident}):
                run = str(row["run_id"])
                if row["version"] is not None and run in started:
                    self._add(
                        ident,
                        (RunId(run), StepKey(str(row["step"]))),
                        str(row["version"]),
                        at_ms=started[run],
                        attempts=int(str(row["attempts"] or 0)),
                        state=StepState(str(row["status"])),
                        code=str(row["code"]) if row["code"] is not None else None,
                    )

    def note(self, record: RunRecord) -> None:
        """Take in a run that came to rest."""
        shared = {ident for ident, _ in self._shared()}
        if not shared:
            return
        for step in record.steps.values():
            if step.capability in shared and step.version is not None:
                self._add(
                    step.capability,
                    (record.run, step.key),
                    step.version,
                    at_ms=record.started_at_ms,
                    attempts=step.attempt,
                    state=step.state,
                    code=step.code,
                )

    def due(self, now_ms: int) -> list[tuple[str, Switch]]:
        """The capabilities whose shares have to change now, and to what."""
        found: list[tuple[str, Switch]] = []
        for ident, activation in self._shared():
            change = switch(activation.weights, self.rates(ident, now_ms), self.limits)
            if change is not None:
                found.append((ident, change))
        return found

    def rates(self, capability: str, now_ms: int) -> dict[str, Rate]:
        """The calls of each version, and how many failed, in the window and since the shares were set."""
        activation = self._activation(capability)
        since_ms = max(now_ms - self.limits.window_ms, activation.at_ms if activation is not None else 0)
        tallies: dict[str, Tally] = {}
        for outcome in self._outcomes.get(capability, {}).values():
            tallies.setdefault(outcome.version, Tally()).add(outcome.at_ms, is_error=outcome.is_error)
        return {version: tally.rate(since_ms) for version, tally in tallies.items()}

    def health(self, capability: str, now_ms: int) -> dict[str, VersionHealth]:
        """How each version does that has a share."""
        activation = self._activation(capability)
        rates = self.rates(capability, now_ms)
        versions = sharing(activation.weights) if activation is not None else []
        return {version: rates.get(version, Rate(0, 0)).health(self.limits) for version in versions}

    # -- inside -----------------------------------------------------------------------------------------------------------

    def _shared(self) -> Iterator[tuple[str, Activation]]:
        for ident in self._capabilities.registry.activated():
            activation = self._activation(ident)
            if activation is not None and len(sharing(activation.weights)) > 1:
                yield ident, activation

    def _activation(self, capability: str) -> Activation | None:
        changes = self._capabilities.registry.activation_history(capability)
        return changes[0] if changes else None

    def _add(
        self,
        capability: str,
        key: tuple[RunId, StepKey],
        version: str,
        *,
        at_ms: int,
        attempts: int,
        state: StepState,
        code: str | None,
    ) -> None:
        if attempts == 0 or state in _UNSETTLED or code in _NOBODYS_FAULT:
            return
        kept = self._outcomes.setdefault(capability, {})
        kept[key] = _Outcome(version, at_ms, code is not None)
        if len(kept) > OUTCOMES_MAX:
            del kept[next(iter(kept))]
