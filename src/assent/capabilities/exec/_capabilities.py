"""The program capabilities, described."""

from __future__ import annotations

from typing import Final

from assent.capabilities.exec import _captured, _run
from assent.capabilities.exec._parameters import Run, RunCaptured
from assent.capabilities.exec._results import Ran, RanCaptured
from assent.errors import Json
from assent.invocation import LocalContext, Prepared, Preview, Reconciliation, capability

_TIMEOUT_S: Final = 3600
"""The limit of a call, however much the sandbox's own limits allow."""


@capability(
    "sys.exec.run",
    operation="EXECUTE",
    risk="CRITICAL",
    justification="runs a program, which may act wherever its rule lets it",
    scope="system",
    effect="runs a program; what it writes to the workspace is thrown away",
    labels=("reads_private", "sends_external"),
    timeout=_TIMEOUT_S,
    revision="sys.exec.run/1",
    without={"compensate": "nothing takes back what a program did outside the sandbox"},
)
async def run(context: LocalContext, parameters: Run) -> Ran:
    """Run an allowed program in the sandbox, for what it prints or does elsewhere"""
    return await _run.run(context, parameters)


@run.prepare
async def run_prepare(context: LocalContext, parameters: Run) -> Prepared:
    """Note whether the program can have an effect."""
    return await _run.prepare(context, parameters)


@run.reconcile
def run_reconcile(context: LocalContext) -> Reconciliation:
    """Confined and without a network it can have done nothing; else nobody knows."""
    return _run.reconcile(context)


@run.preview
def run_preview(context: LocalContext, parameters: Run) -> Preview:
    """The command line, and what the program is granted."""
    return _run.preview(context, parameters)


@capability(
    "sys.exec.run_captured",
    operation="EXECUTE",
    risk="HIGH",
    justification="runs a program, confined and without a network; what it writes can be taken back",
    reversible=True,
    scope="filesystem",
    effect="changes files of the workspace",
    idempotent=True,
    labels=("reads_private",),
    timeout=_TIMEOUT_S,
    revision="sys.exec.run_captured/1",
    rehearsable=True,
)
def run_captured(context: LocalContext, parameters: RunCaptured) -> RanCaptured:
    """Run an allowed program in the sandbox, and let the workspace take over what it writes"""
    return _captured.execute(context, parameters)


@run_captured.prepare
async def run_captured_prepare(context: LocalContext, parameters: RunCaptured) -> Prepared:
    """Run the program; nothing of what it writes is in place yet."""
    return await _captured.prepare(context, parameters)


@run_captured.compensate
def run_captured_undo(context: LocalContext, parameters: RunCaptured) -> Json:
    """Put back what stood before."""
    return _captured.compensate(context, parameters)


@run_captured.reconcile
def run_captured_reconcile(context: LocalContext, parameters: RunCaptured) -> Reconciliation:
    """Compare the workspace with what was to be put in place."""
    return _captured.reconcile(context, parameters)


@run_captured.preview
async def run_captured_preview(context: LocalContext, parameters: RunCaptured) -> Preview:
    """What the program writes, where it may be run to find out."""
    return await _captured.preview(context, parameters)
