"""The secrets of a runtime: from where the configuration keeps each, every access in the log and counted."""

from __future__ import annotations

import logging
from typing import Final

from assent import system
from assent.invocation import AccessOutcome, Metrics, SecretAccess, SecretGrant, Secrets
from assent.runtime.settings._secrets import SecretSettings
from assent.runtime.wiring._secret_sources import ConfiguredSecrets

SECRET_BINDING: Final = b"assent secret binding v1"
"""What the key that binds accesses to values is derived from the ledger's key with."""

LOGGER: Final = logging.getLogger("assent.secrets")
# Whoever runs the program decides where its log goes. Without this it would be printed between a command's answers.
LOGGER.addHandler(logging.NullHandler())


def runtime_secrets(metrics: Metrics, settings: SecretSettings) -> Secrets:
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
        if not access.is_hidden:
            LOGGER.warning(
                "the value of secret `%s` is too short to be hidden in outputs and logs; choose a longer one",
                access.name,
            )

    return Secrets(
        [configured_secrets(settings)],
        clock=system.SystemClock(),
        record=record,
        grants={
            secret.name: SecretGrant(secret.capabilities, secret.hosts)
            for secret in settings.secrets.values()
        },
    )


def configured_secrets(settings: SecretSettings) -> ConfiguredSecrets:
    """The provider of what the configuration says, in this process's environment."""
    return ConfiguredSecrets(settings, system.environment())
