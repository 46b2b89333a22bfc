"""The secrets of a runtime: from its own environment until somebody adds a provider, each access in the log and counted."""

from __future__ import annotations

import logging
from typing import Final

from assent import system
from assent.invocation import AccessOutcome, EnvironmentSecrets, Metrics, SecretAccess, Secrets

LOGGER: Final = logging.getLogger("assent.secrets")
# Whoever runs the program decides where its log goes. Without this it would be printed between a command's answers.
LOGGER.addHandler(logging.NullHandler())


def runtime_secrets(metrics: Metrics) -> Secrets:
    """What gives the calls of one runtime their secrets."""

    def record(access: SecretAccess) -> None:
        metrics.secret(access.outcome.value)
        level = logging.WARNING if access.outcome is AccessOutcome.REFUSED else logging.INFO
        LOGGER.log(
            level,
            "secret `%s` for `%s`: %s",
            access.name,
            access.capability,
            access.outcome.value,
            extra={"access": access.to_json()},
        )

    return Secrets([EnvironmentSecrets(system.environment())], clock=system.SystemClock(), record=record)
