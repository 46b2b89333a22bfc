"""What the calls of one runtime go through: the pipeline, with what programs may attach to it before the runtime opens."""

from __future__ import annotations

from assent import system
from assent.engine import Limits
from assent.invocation import (
    Gate,
    GlobalContext,
    HookLevel,
    Hooks,
    Invoker,
    Lifecycle,
    Metrics,
    Pipeline,
)
from assent.runtime import settings
from assent.spec.ports import FineClock


class Calling:
    """The hooks, listeners and counts of one runtime; they outlive a pipeline, which is made when the runtime opens."""

    def __init__(self, gate: Gate, app: GlobalContext, metrics: Metrics) -> None:
        self.hooks = Hooks(HookLevel.GLOBAL)
        self.lifecycle = Lifecycle()
        self._gate = gate
        self._app = app
        self._metrics = metrics

    def pipeline(self, invoker: Invoker, clock: FineClock | None = None) -> Pipeline:
        """The one way of every call that this runtime makes."""
        return Pipeline(
            invoker,
            self._gate,
            clock=clock or system.SystemClock(),
            ids=system.SystemIds(),
            hooks=self.hooks,
            lifecycle=self.lifecycle,
            metrics=self._metrics,
            app=self._app,
        )


def bounds(limits: settings.Limits) -> Limits:
    """The bounds of the body, as the settings give them."""
    return Limits(
        concurrent_steps=limits.concurrency,
        step_timeout_s=limits.step_timeout_ms / 1000 if limits.step_timeout_ms is not None else None,
        foreach_items=limits.foreach_items,
        payload_bytes=limits.payload_bytes,
    )
