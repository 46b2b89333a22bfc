"""The scans, described: one capability for each kind, because a capability has one risk.

An active scan sends what a server may choke on or keep, and nothing takes that back. A passive one asks as a browser does, and a
static one goes nowhere: all that is left of these is a dataset in the record, which an undo takes back.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Final, Generic, TypeVar

from assent.capabilities.describing import describe
from assent.capabilities.scan import _run
from assent.capabilities.scan._manifest import Kind
from assent.capabilities.scan._shapes import Scan, ScanFiles, Scanned
from assent.invocation import LocalContext, Prepared, Preview, Reconciliation

P = TypeVar("P", Scan, ScanFiles)

_TIMEOUT_S: Final = 24 * 3600
"""The limit of a call, however much the manifest allows."""


class _Scanning(Generic[P]):
    """What the three have in common: all but their kind."""

    kind: ClassVar[Kind]

    async def execute(self, context: LocalContext, parameters: P) -> Scanned:
        """Run the scanner, held to the scope or without a network, and keep what it found."""
        return await _run.execute(context, parameters, self.kind)

    async def prepare(self, context: LocalContext, parameters: P) -> Prepared:
        """Refuse what is out of the scope, or can't be run."""
        return await _run.prepare(context, parameters, self.kind)

    async def preview(self, context: LocalContext, parameters: P) -> Preview:
        """The command line, the program, and where it could go."""
        return await _run.preview(context, parameters, self.kind)

    def compensate(self) -> None:
        """Nothing: what was found is out of the findings once the record says that it was taken back."""

    def reconcile(self, context: LocalContext) -> Reconciliation:
        """Whether it may be begun again."""
        return _run.reconcile(context, self.kind)


class Active(_Scanning[Scan]):
    """`scan.active`."""

    kind = "active"


class Passive(_Scanning[Scan]):
    """`scan.passive`."""

    kind = "passive"


class Static(_Scanning[ScanFiles]):
    """`scan.static`."""

    kind = "static"


_scan: Final = partial(describe, operation="EXECUTE", timeout=_TIMEOUT_S)

CAPABILITIES: Final = (
    _scan(
        "scan.active",
        "Run a scanner that attacks or loads its target, within the written scope",
        Active(),
        risk="HIGH",
        justification="sends requests that are made to find faults, which a target may choke on or keep",
        scope="network",
        effect="sends requests to the target, and keeps what the scanner found",
        compensation="take_dataset_back",
        labels=("reads_untrusted", "sends_external"),
    ),
    _scan(
        "scan.passive",
        "Run a scanner that only asks, as a browser does, within the written scope",
        Passive(),
        risk="MEDIUM",
        justification="asks a target as a browser does, and keeps what it answers",
        reversible=True,
        scope="network",
        effect="asks the target, and keeps what the scanner found",
        labels=("reads_untrusted", "sends_external"),
    ),
    _scan(
        "scan.static",
        "Run a scanner over files of the workspace, without a network",
        Static(),
        risk="MEDIUM",
        justification="runs a program, confined and without a network, and keeps what it found",
        reversible=True,
        scope="system",
        effect="keeps what the scanner found; what it writes to the workspace is thrown away",
        labels=("reads_private",),
    ),
)
