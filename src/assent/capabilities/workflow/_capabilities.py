"""The capability by which a session runs a workflow, described."""

from __future__ import annotations

from typing import Final

from assent.capabilities.describing import describe
from assent.capabilities.workflow._run import RunEffect
from assent.spec.ids import RUN_CAPABILITY

CAPABILITIES: Final = (
    describe(
        RUN_CAPABILITY,
        "Run a workflow, or a saved plan, as a step of a session",
        RunEffect(),
        operation="EXECUTE",
        risk="LOW",
        justification="it does nothing itself: each step of the workflow is decided about when it comes",
        reversible=True,
        scope="runs",
        effect="begins a run, whose steps have the effects",
        idempotent=True,
        without={"reconcile": "the step joins the run that it began"},
    ),
)
