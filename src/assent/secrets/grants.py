"""Who may have a secret: the capabilities that the configuration names, and the hosts that its value may be sent to."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from assent.errors import RefusedError
from assent.spec.words.globs import glob_matches
from assent.spec.words.suggestions import did_you_mean


class SecretGrant(msgspec.Struct, frozen=True):
    """What the configuration says of one secret, beside what specs declare themselves.

    `capabilities`: patterns of capabilities that may have it. `hosts`: where its value may go, `*.example.org` for every host
    below; none leaves that to the rules of the network. A host's name is in lower case.
    """

    capabilities: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    def names(self, capability: str) -> bool:
        """Whether a capability may have the secret."""
        return any(glob_matches(pattern, capability) for pattern in self.capabilities)

    def reaches(self, host: str) -> bool:
        """Whether the value may be sent there."""
        host = host.lower().rstrip(".")
        return any(
            host.endswith(one[1:]) and len(host) >= len(one) if one.startswith("*.") else host == one
            for one in self.hosts
        )


NO_GRANT = SecretGrant()


def require_grant(
    name: str, capability: str, grant: SecretGrant, granted: Collection[str], host: str | None
) -> None:
    """Raise `RefusedError` SECRET_NOT_GRANTED unless a call may have the secret, to send its value to `host`."""
    if name not in granted and not grant.names(capability):
        table = f'list it under `capabilities` of `[secrets."{name}"]` in assent.toml'
        raise RefusedError(
            "SECRET_NOT_GRANTED",
            f"`{capability}` may not read the secret `{name}`",
            hint=did_you_mean(
                name, granted, otherwise=f"name it under `secrets` in the spec of `{capability}`, or {table}"
            ),
        )
    if grant.hosts and (host is None or not grant.reaches(host)):
        where = f"not to `{host}`" if host is not None else f"and `{capability}` does not say where it goes"
        raise RefusedError(
            "SECRET_NOT_GRANTED",
            f"the secret `{name}` may be sent to {', '.join(f'`{one}`' for one in grant.hosts)}, {where}",
            hint=f'`hosts` of `[secrets."{name}"]` in assent.toml lists them'
            + (
                f"; a request of `context.http` that holds `secret://{name}` says where it goes"
                if host is None
                else ""
            ),
        )
