"""`assent scan`: its commands, each loaded when it is called."""

from __future__ import annotations

from typing import Final

from assent.cli._command import Group, Lazy

_COMMANDS: Final = {
    name: Lazy(f"assent.cli.scans.{module}", name, summary)
    for name, module, summary in (
        ("tools", "_scanners", "List scanners, and which are here."),
        ("run", "_scanners", "Run one scanner."),
        ("code", "_recipes", "Scan code with what is installed here, and write a report."),
        ("web", "_recipes", "Scan a web server with what is installed here, and write a report."),
    )
}

scan: Final = Group(
    "scan",
    lazy=_COMMANDS,
    no_args_is_help=True,
    help="List scanners, and run them within the written scope.",
)
