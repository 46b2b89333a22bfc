"""The program capabilities, described."""

from __future__ import annotations

from typing import Final

from assent.capabilities.describing import changes_files, describe
from assent.capabilities.exec import _captured, _run

_TIMEOUT_S: Final = 3600
"""The limit of a call, however much the sandbox's own limits allow."""

CAPABILITIES: Final = (
    describe(
        "sys.exec.run",
        "Run an allowed program in the sandbox, for what it prints or does elsewhere",
        _run,
        operation="EXECUTE",
        risk="CRITICAL",
        justification="runs a program, which may act wherever its rule lets it",
        scope="system",
        effect="runs a program; what it writes to the workspace is thrown away",
        labels=("reads_private", "sends_external"),
        timeout=_TIMEOUT_S,
        without={"compensate": "nothing takes back what a program did outside the sandbox"},
    ),
    changes_files(
        "sys.exec.run_captured",
        "Run an allowed program in the sandbox, and let the workspace take over what it writes",
        _captured,
        operation="EXECUTE",
        risk="HIGH",
        justification="runs a program, confined and without a network; what it writes can be taken back",
        idempotent=True,
        labels=("reads_private",),
        timeout=_TIMEOUT_S,
    ),
)
