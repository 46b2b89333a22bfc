"""`[telemetry]` of assent.toml: where traces go. Kept as plain values.

[telemetry]
endpoint = "http://127.0.0.1:4318/v1/traces"
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from assent.errors import InputError, Json
from assent.spec.documents.settings import Matching, Setting, Table, Whole, fields, flag, label

TELEMETRY: Final[Table] = {
    "endpoint": Setting(
        Matching(
            "must be an address: `http://…` or `https://…`",
            lambda text: text.startswith(("http://", "https://")),
        ),
        "where [traces](observability.md#traces) go by OTLP over HTTP, whole: `http://127.0.0.1:4318/v1/traces`",
        unless="no traces",
    ),
    "service": Setting(label, "the `service.name` that they bear", "assent", "`assent`"),
    "sample_percent": Setting(Whole(0, 100), "of the runs that nobody's trace began, how many are told", 100),
    "propagate": Setting(
        flag,
        "send [`traceparent`](observability.md#traces) with the HTTP requests of calls; needs an `endpoint`",
        default=False,
    ),
}
"""What `[telemetry]` may hold."""


class TelemetrySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything under `[telemetry]`; without an endpoint there are no traces."""

    endpoint: str | None = None
    service: str = "assent"
    sample_percent: int = 100
    propagate: bool = False


def telemetry_settings(said: Mapping[str, Json]) -> TelemetrySettings:
    """The settings from checked values. `CONFIG_INVALID` where no trace is there to be told."""
    settings = TelemetrySettings(**fields(said, TELEMETRY))
    if settings.propagate and settings.endpoint is None:
        raise InputError(
            "CONFIG_INVALID",
            "`propagate` needs an `endpoint`: without one there are no traces",
            path="telemetry.propagate",
        )
    return settings
