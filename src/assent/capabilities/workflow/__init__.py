"""Hands on runs: a session runs a workflow as one of its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.capabilities.workflow._run import RunWorkflow as RunWorkflow
    from assent.capabilities.workflow._run import WorkflowRuns as WorkflowRuns

__getattr__, __dir__ = resolved_when_asked(__name__, {"._run": "RunWorkflow WorkflowRuns"})
