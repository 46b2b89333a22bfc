"""`[secrets]` of assent.toml: where each secret is kept, which capabilities may have it, and where its value may go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from assent._lazy import compiled_when_asked
from assent.capabilities.area import check_authorities
from assent.errors import InputError, Json
from assent.spec import secret_text
from assent.spec.documents.settings import Matching, Named, Setting, Table, Texts, listed, path, text
from assent.spec.secret_text import is_secret_name

VAULT_TABLE: Final = "vault"
"""`[secrets.vault]` says how Vault is reached; no secret can be called so."""

PREFIX: Final = "ASSENT_SECRET_"
_KINDS: Final = {
    "env": "env:VARIABLE",
    "file": "file:PATH",
    "keyring": "keyring:SERVICE/USER",
    "vault": "vault:PATH#FIELD",
}
_VARIABLE: Final = compiled_when_asked(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_HOST: Final = compiled_when_asked(
    r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_ADDRESS: Final = compiled_when_asked(
    r"https://[^\s/?#@]+(?:/[^\s?#]*)?|http://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]+)?"
)
_MOUNT_AND_PATH: Final = compiled_when_asked(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9._ -]+)+")


class Source(msgspec.Struct, frozen=True):
    """Where one secret is kept: `kind` is `env`, `file`, `keyring` or `vault`, `where` the rest as that kind writes it."""

    kind: str
    where: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.where}"


class ConfiguredSecret(msgspec.Struct, frozen=True):
    """What the configuration says of one secret; `place` is where it does. Without a source it is an environment variable."""

    name: str
    source: Source | None
    capabilities: tuple[str, ...]
    hosts: tuple[str, ...]
    place: str

    @property
    def files(self) -> tuple[Path, ...]:
        """Where its value is in files, and the one that it replaced."""
        if self.source is None or self.source.kind != "file":
            return ()
        path = Path(self.source.where)
        return path, previous_file(path)


def previous_file(path: Path) -> Path:
    """Where the value that was replaced is kept until the new one is confirmed."""
    return path.with_name(f"{path.name}.previous")


class VaultSettings(msgspec.Struct, frozen=True):
    """How a Vault server is reached; what is None comes from the environment, as Vault's own client reads it."""

    address: str | None = None
    namespace: str | None = None
    token_file: Path | None = None
    ca_file: Path | None = None


class SecretSettings(msgspec.Struct, frozen=True):
    """Everything under `[secrets]`."""

    secrets: Mapping[str, ConfiguredSecret] = {}
    vault: VaultSettings = VaultSettings()


def variable_of(name: str) -> str:
    """The environment variable of a secret that is kept nowhere else."""
    return PREFIX + secret_text.variable_of(name)


def _source(value: object) -> Json:
    if isinstance(value, str):
        kind, _, where = value.partition(":")
        good: Mapping[str, Callable[[str], bool]] = {
            "env": lambda text: _VARIABLE.fullmatch(text) is not None,
            "file": lambda where: bool(where) and "\0" not in where,
            "keyring": lambda text: bool(text.rpartition("/")[0]) and not text.endswith("/"),
            "vault": lambda text: (
                bool(text.rpartition("#")[2])
                and _MOUNT_AND_PATH.fullmatch(text.rpartition("#")[0]) is not None
            ),
        }
        if kind in good and good[kind](where):
            return value
        if kind in good:
            raise ValueError(f"must be written `{_KINDS[kind]}`")
    # The text is not quoted: somebody may have put the value itself here.
    raise ValueError(f"must be one of {', '.join(f'`{form}`' for form in _KINDS.values())}")


def _hosts(value: object) -> Json:
    if not isinstance(value, list) or not all(
        isinstance(one, str) and _HOST.fullmatch(one.lower().rstrip(".")) for one in value
    ):
        raise ValueError('must be a list of host names: `["api.example.org", "*.example.net"]`')
    if not value:
        raise ValueError("must name a host, or be left out")
    return list(dict.fromkeys(str(one).lower().rstrip(".") for one in value))


VAULT: Final[Table] = {
    "address": Setting(
        Matching("must be an `https://` address; `http://` only to this machine", _ADDRESS.fullmatch),
        "the Vault server, `https://`",
        unless="`VAULT_ADDR`",
    ),
    "namespace": Setting(text, "its namespace", unless="`VAULT_NAMESPACE`"),
    "token_file": Setting(path, "the file of the token", unless="`VAULT_TOKEN`"),
    "ca_file": Setting(
        path, "a file of authorities, in PEM form", unless="`VAULT_CACERT`", check_file=check_authorities
    ),
}
"""What `[secrets.vault]` may hold."""

SECRETS: Final = Named(
    "name of a secret",
    {
        "from": Setting(
            _source,
            "where the value is: `env:`, `file:`, `keyring:` or `vault:` and a place",
            unless="a variable of that name",
        ),
        "capabilities": Setting(
            Texts('must be a list of capabilities: `["net.http.*"]`', may_be_empty=True),
            "patterns of ids that may have it",
            [],
            "those whose spec names it",
        ),
        "hosts": Setting(
            _hosts, "the only hosts that it may be sent to", unless="every host that the rules let through"
        ),
    },
    {VAULT_TABLE: VAULT},
    is_secret_name,
    ". _ - /",
)
"""What `[secrets]` may hold."""


def configured_secret(
    name: str, said: Mapping[str, Json], place: str, absolute: Callable[[str], Path]
) -> ConfiguredSecret:
    """One secret's table, with its paths made absolute."""
    source: Source | None = None
    written = said.get("from")
    if isinstance(written, str):
        kind, _, where = written.partition(":")
        source = Source(kind, str(absolute(where)) if kind == "file" else where)
    return ConfiguredSecret(name, source, listed(said, "capabilities"), listed(said, "hosts"), place)


def require_distinct(secrets: Mapping[str, ConfiguredSecret]) -> None:
    """Raise CONFIG_INVALID when two secrets would be read from one environment variable without anybody having said so."""
    seen: dict[str, ConfiguredSecret] = {}
    for secret in secrets.values():
        if secret.source is not None:
            continue
        other = seen.setdefault(variable_of(secret.name), secret)
        if other is not secret:
            raise InputError(
                "CONFIG_INVALID",
                f"the secrets `{other.name}` and `{secret.name}` would both be read from `{variable_of(secret.name)}`",
                path=secret.place,
                hint='say for one of them where it is kept: `from = "env:…"`',
            )
