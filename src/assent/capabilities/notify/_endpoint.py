"""Where webhooks go: by names that only the configuration knows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place that webhooks are sent to. `secret` names the secret that signs them; nothing is sent while `is_paused`."""

    name: str
    url: str
    secret: str
    timeout_ms: int = 15_000
    is_paused: bool = False

    @property
    def shown(self) -> str:
        """The address as people may see it: what stands behind a `?` may be a credential."""
        return self.url.partition("?")[0].partition("#")[0]
