"""`workflow.run`: a workflow within a session, so that order, recovery and undo of both are the engine's own.

The step begins a run of its own and has its outcome when that has ended, however long people take to decide in it. Which run
that is follows from the step (the request in which it begins), so that whatever was killed meanwhile joins it again: there is
nothing to ask the world about. Taking the step back takes back what the run left, and stops it first where it goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Self

import msgspec
from pydantic import Field, JsonValue, model_validator

from assent.errors import Json
from assent.invocation import CancelToken, LocalContext, Preview
from assent.spec.capability import SpecModel
from assent.spec.ids import RunId, StepKey
from assent.spec.values.canonical import fingerprint


class RunWorkflow(SpecModel):
    """A workflow with its inputs, or a plan, which is run exactly as it was shown."""

    workflow: dict[str, JsonValue] | None = Field(default=None, description="the document of the workflow")
    inputs: dict[str, JsonValue] = Field(default_factory=dict)
    plan: Annotated[str | None, Field(max_length=80, description="instead of a workflow: a saved plan")] = (
        None
    )

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.workflow is None) == (self.plan is None):
            raise ValueError("exactly one of `workflow` and `plan` must be given")
        if self.plan is not None and self.inputs:
            raise ValueError("a plan is run as it was shown: no `inputs` are given with it")
        return self


class Ran(SpecModel):
    """The run that the step began, as it ended."""

    run_id: str
    workflow: str | None
    status: str
    steps: list[dict[str, JsonValue]]
    outputs: JsonValue


class WorkflowRuns(msgspec.Struct, frozen=True):
    """What the roof offers: runs that are steps of sessions."""

    run: Callable[[RunId, StepKey, RunWorkflow, CancelToken], Awaitable[Json]]
    """Begin the run of a step, or join it, and tell how it ended. `NoEffectError` where it left nothing."""
    take_back: Callable[[RunId, StepKey], Awaitable[None]]
    """Stop it, and take back what it left. `UNDO_IMPOSSIBLE`, `COMPENSATION_CONFLICT` …"""


class RunEffect:
    """Running it."""

    async def preview(self, context: LocalContext, parameters: RunWorkflow) -> Preview:
        """What it is; what its steps would do is shown where they are asked about."""
        del context
        document = parameters.workflow or {}
        name = parameters.plan or document.get("name")
        return Preview(
            "text", f"runs {name}, each step of which is decided about for itself", fingerprint({})
        )

    async def execute(self, context: LocalContext, parameters: RunWorkflow) -> Ran:
        """Run it to its end."""
        run = context.app.get(WorkflowRuns).run
        return Ran.model_validate(await run(context.run, context.step, parameters, context.cancel))

    async def compensate(self, context: LocalContext, parameters: RunWorkflow) -> Json:
        """Take back what it left."""
        del parameters
        await context.app.get(WorkflowRuns).take_back(context.run, context.step)
        return {}
