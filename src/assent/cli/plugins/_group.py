"""`assent plugin`: third-party capabilities, from looking at one to having it trusted, and making one."""

from __future__ import annotations

from assent.cli._command import group
from assent.cli.plugins._inspect import inspect
from assent.cli.plugins._make import new, test
from assent.cli.plugins._trust import health, list_, trust, untrust

plugin = group(
    "plugin",
    list_,
    inspect,
    trust,
    untrust,
    health,
    new,
    test,
    help="Inspect, trust, make and test plugins.",
)
