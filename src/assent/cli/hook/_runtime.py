"""Asking where nobody owns the state, and waiting for a person: with the whole of the runtime, in this process."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from assent.cli.hook._deciding import Answer, told_of
from assent.errors import AssentError, RefusedError
from assent.runtime.service import process, requests
from assent.runtime.settings.effective import Settings
from assent.spec.principal import PrincipalKind
from assent.spec.risk import RiskLevel
from assent.spec.values.typed import convert
from assent.spec.words.durations import write_duration
from assent.system import SystemClock, environment

if TYPE_CHECKING:
    from assent.cli.hook._place import Place

_WAITS: Final = "awaiting_approval"
_SETTLES_MS: Final = 5_000
"""So long a step may take from a person's word to its outcome."""


class WholeRuntime:
    """What the hook asks of the runtime, as the agent."""

    def __init__(self, place: Place) -> None:
        """`CONFIG_INVALID` and what else keeps settings from holding; `IDENTITY_REFUSED` for a person's name."""
        self._settings = Settings.resolve(
            workspace=place.path("workspace"),
            state=place.path("state"),
            policy=place.path("policy"),
            principal=place.principal,
            environ=environment(),
            cwd=Path.cwd(),
        )
        if self._settings.principal.type is PrincipalKind.USER:
            raise RefusedError(
                "IDENTITY_REFUSED",
                f"an agent acts as itself, and not as `{self._settings.principal}`",
                hint="leave `--as` out, or name an agent: `--as agent:NAME`",
            )

    def ask(self, said: dict[str, Any], ident: str | None) -> dict[str, Any]:
        """The answer to a request, by the owner or as the owner."""
        request = convert(said, requests.AnyRequest)
        told: dict[str, Any] = msgspec.to_builtins(process.perform(request, self._settings, ident=ident))
        return told

    def decided(self, run: dict[str, Any], patience_ms: int) -> Answer:
        """What became of a step that waits for a person, or of the question once it is taken back."""
        clock = SystemClock()
        until_ms = clock.monotonic_ms() + patience_ms
        run_id, step = run["run_id"], run["steps"][0]["name"]
        run = self._followed(run_id, step, until_ms - clock.monotonic_ms())
        if run["steps"][0]["status"] != _WAITS:
            return told_of(run)
        may_ask = self._may_ask(run["steps"][0]["risk_level"])
        waited = f"nobody decided within {write_duration(patience_ms)}"
        left_to = "left to the user of its own program, whose answer is not on record"
        said = f"{waited}; {left_to if may_ask else 'taken back by who asked'}"
        with suppress(AssentError):  # Somebody has decided at this moment.
            self.ask({"op": "reject", "run": run_id, "step": step, "reason": said}, None)
            found = told_of(self._shown(run_id, step))
            if may_ask:
                return found._replace(
                    decision="ask", reason=f"{waited} about this call, by rule {found.rule}"
                )
            return found._replace(
                code="APPROVAL_REQUIRED",
                reason=f"a person has to agree to this call, and {waited}; the question was taken back [APPROVAL_REQUIRED]\n"
                f"rule: {found.rule}\n"
                "help: go on with something else, or ask your user to have `assent approvals` at hand; then try once more\n"
                f"on record: assent show {run_id} (step {step})",
            )
        return told_of(self._followed(run_id, step, _SETTLES_MS))

    def _may_ask(self, risk: str | None) -> bool:
        is_low = risk is not None and RiskLevel(risk).rank <= RiskLevel.MEDIUM.rank
        return is_low and bool(self._settings.areas["agent"]["host_asks"])

    def _followed(self, run: str, step: str, within_ms: int) -> dict[str, Any]:
        """The step once it has an outcome, or when the time is up. The record is only read meanwhile, whoever owns it."""
        clock = SystemClock()
        until_ms = clock.monotonic_ms() + within_ms
        shown = self._shown(run, step)
        while shown["steps"][0]["status"] in (_WAITS, "pending", "running"):
            left_ms = until_ms - clock.monotonic_ms()
            if left_ms <= 0:
                break
            news = requests.Events(run=run, since=shown["seen"], within_ms=left_ms)
            for _ in process.stream(news, self._settings):
                break
            shown = self._shown(run, step)
        return shown

    def _shown(self, run: str, step: str) -> dict[str, Any]:
        shown = process.perform(requests.Show(run=run), self._settings)
        told: dict[str, Any] = msgspec.to_builtins(shown)
        return {
            **told,
            "steps": [one for one in told["steps"] if one["name"] == step],
            "seen": len(shown.events),
        }
