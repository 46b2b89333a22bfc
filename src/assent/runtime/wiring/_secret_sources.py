"""The places that secrets are kept in: environment, files, the system's keychain, Vault. One provider asks the right one.

What a library needs is imported when the first secret of its kind is asked for; where it is not installed, one sentence says so.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from assent.errors import InputError, WorldError
from assent.invocation import EnvironmentSecrets, Fetched, Secret, SecretSourceError
from assent.runtime.settings._secrets import (
    SecretSettings,
    Source,
    VaultSettings,
    previous_file,
    variable_of,
)
from assent.runtime.wiring._secret_files import read_secret_file, write_secret_file
from assent.spec.words.suggestions import did_you_mean

VAULT_TIMEOUT_S: Final = 8
"""Less than a provider may take altogether, so that the server is named and not only the limit."""

_PREVIOUS: Final = ".previous"


class ConfiguredSecrets:
    """The provider of everything that the configuration says, and of `ASSENT_SECRET_…` for every other name."""

    def __init__(self, settings: SecretSettings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = environ
        self._default = EnvironmentSecrets(environ)

    @property
    def name(self) -> str:
        return "environment"

    def source_of(self, name: str) -> Source:
        """Where a secret is kept."""
        secret = self._settings.secrets.get(name)
        if secret is not None and secret.source is not None:
            return secret.source
        return Source("env", variable_of(name))

    def hint(self, name: str) -> str:
        """What to do when nothing is there."""
        source = self.source_of(name)
        if source.kind == "env":
            return f"set `{source.where}` in the environment"
        if source.kind == "vault":
            return f"write the field into Vault: `vault kv put {source.where.replace('#', ' ')}=…`"
        return f"`assent secrets set {name}` stores it"

    def has(self, name: str) -> bool | None:
        source = self.source_of(name)
        if source.kind == "env":
            return bool(self._environ.get(source.where))
        if source.kind == "file":
            with suppress(OSError):
                return os.path.lexists(source.where)
        return None

    async def fetch(self, name: str) -> Fetched | None:
        source = self.source_of(name)
        if source.kind == "env":
            if name not in self._settings.secrets or self._settings.secrets[name].source is None:
                found = await self._default.fetch(name)
                value = found.secret.reveal() if found is not None else None
            else:
                value = self._environ.get(source.where)
        elif source.kind == "file":
            value = _read_file(name, Path(source.where))
        else:
            # Both libraries block; the loop must not wait for a keychain's dialogue or a server.
            value = await asyncio.to_thread(self.read_slowly, name, source)
        if not value:
            return None
        previous = None
        # Who needs the value must not wait for the one before it.
        with suppress(SecretSourceError):
            if source.kind == "file":
                previous = _read_file(name, Path(_previous(source).where))
            elif source.kind == "keyring":
                previous = await asyncio.to_thread(self.read_slowly, name, _previous(source))
        return Fetched(
            Secret(value), provider=source.kind, previous=Secret(previous) if previous is not None else None
        )

    def read_slowly(self, name: str, source: Source) -> str | None:
        """A value from a place that may block."""
        if source.kind == "keyring":
            service, _, user = source.where.rpartition("/")
            found: str | None = keychain(name).get_password(service, user)
            return found
        return _read_vault(name, source.where, self._settings.vault, self._environ)

    def store(self, name: str, value: str) -> Source:
        """Put a value where the secret is kept, over the one that was there. SECRET_NOT_WRITABLE, SECRET_FILE_UNSAFE."""
        source = self._writable(name)
        _write(name, source, value)
        return source

    def rotate(self, name: str, value: str) -> Source:
        """The same; the value that was there is kept beside it until `confirm`. SECRET_ROTATING when one is kept already."""
        source = self._writable(name)
        old = _read(name, source)
        if _read(name, _previous(source)) is not None:
            raise InputError(
                "SECRET_ROTATING",
                f"the value of `{name}` was replaced before, and nobody has said yet that the new one works",
                hint=f"`assent secrets rotate {name} --confirm`, or `--undo` to get the old one back",
            )
        if old is not None:
            _write(name, _previous(source), old)
        _write(name, source, value)
        return source

    def confirm(self, name: str) -> bool:
        """Forget the value that was replaced; whether there was one."""
        previous = _previous(self._writable(name))
        had = _read(name, previous) is not None
        if had:
            _erase(name, previous)
        return had

    def undo(self, name: str) -> None:
        """Put the value that was replaced back. SECRET_MISSING when none is kept."""
        source = self._writable(name)
        old = _read(name, _previous(source))
        if old is None:
            hint = f"one is kept from `assent secrets rotate {name}` on, until `--confirm` forgets it"
            raise InputError("SECRET_MISSING", f"no earlier value of `{name}` is kept", hint=hint)
        _write(name, source, old)
        _erase(name, _previous(source))

    def is_rotating(self, name: str) -> bool:
        """Whether a value that was replaced is still kept."""
        source = self.source_of(name)
        return source.kind in ("file", "keyring") and _read(name, _previous(source)) is not None

    def require_writable(self, name: str) -> None:
        """Do nothing, or raise SECRET_NOT_WRITABLE."""
        self._writable(name)

    def _writable(self, name: str) -> Source:
        source = self.source_of(name)
        if source.kind not in ("file", "keyring"):
            close = did_you_mean(name, self._settings.secrets) if name not in self._settings.secrets else None
            raise InputError(
                "SECRET_NOT_WRITABLE",
                f"the secret `{name}` is kept in `{source}`, which Assent only reads",
                hint=(f"{close} Else " if close else "")
                + self.hint(name)
                + f'; or keep it in the keychain: `from = "keyring:assent/{name.replace("/", "-")}"` '
                + f'under `[secrets."{name}"]`',
            )
        return source


def _read_file(name: str, path: Path) -> str | None:
    try:
        return read_secret_file(path)
    except InputError as error:
        raise SecretSourceError(
            error.code, f"the secret `{name}` is not read: {error.message}", hint=error.hint
        ) from None


def keychain(name: str) -> Any:  # `Any`: the library is optional, and so are its types
    """The system's keychain; SECRET_EXTRA_MISSING when the library that reaches it is not installed."""
    try:
        import keyring
    except ImportError:
        raise _extra_missing(name, "keyring", "the system's keychain") from None
    return keyring


def _read_vault(name: str, where: str, vault: VaultSettings, environ: Mapping[str, str]) -> str | None:
    """One field of a secret of a key-value engine, version 2: `MOUNT/PATH#FIELD`."""
    try:
        import hvac
        from hvac.exceptions import InvalidPath
    except ImportError:
        raise _extra_missing(name, "vault", "Vault") from None
    address = vault.address or environ.get("VAULT_ADDR")
    if not address:
        raise SecretSourceError(
            "SECRET_UNAVAILABLE",
            f"the secret `{name}` is kept in Vault, and nothing says where that is",
            hint="set `address` under `[secrets.vault]`, or `VAULT_ADDR`",
        )
    token = _read_file(name, vault.token_file) if vault.token_file is not None else environ.get("VAULT_TOKEN")
    path, _, field = where.rpartition("#")
    mount, _, below = path.partition("/")
    verify = str(vault.ca_file) if vault.ca_file is not None else environ.get("VAULT_CACERT") or True
    client = hvac.Client(
        url=address,
        token=token or "",
        verify=verify,
        timeout=VAULT_TIMEOUT_S,
        # A redirect would take the token elsewhere.
        allow_redirects=False,
        namespace=vault.namespace or environ.get("VAULT_NAMESPACE"),
    )
    role, proof = environ.get("VAULT_ROLE_ID"), environ.get("VAULT_SECRET_ID")
    if not token and role and proof:
        client.auth.approle.login(role_id=role, secret_id=proof)
    try:
        found = client.secrets.kv.v2.read_secret_version(
            path=below, mount_point=mount, raise_on_deleted_version=True
        )
    except InvalidPath:
        return None
    value = found["data"]["data"].get(field)
    return value if isinstance(value, str) else None


def _extra_missing(name: str, extra: str, what: str) -> SecretSourceError:
    return SecretSourceError(
        "SECRET_EXTRA_MISSING",
        f"the secret `{name}` is kept in {what}, and what reaches it is not installed",
        hint=f"pip install 'assent[{extra}]'",
    )


def _previous(source: Source) -> Source:
    if source.kind == "file":
        return Source("file", str(previous_file(Path(source.where))))
    return Source(source.kind, source.where + _PREVIOUS)


def _read(name: str, source: Source) -> str | None:
    if source.kind == "file":
        return read_secret_file(Path(source.where))
    service, _, user = source.where.rpartition("/")
    found: str | None = asked(name, lambda: keychain(name).get_password(service, user))
    return found


def _write(name: str, source: Source, value: str) -> None:
    if source.kind == "file":
        write_secret_file(Path(source.where), value)
        return
    service, _, user = source.where.rpartition("/")
    asked(name, lambda: keychain(name).set_password(service, user, value))


def _erase(name: str, source: Source) -> None:
    if source.kind == "file":
        Path(source.where).unlink(missing_ok=True)
        return
    service, _, user = source.where.rpartition("/")
    asked(name, lambda: keychain(name).delete_password(service, user))


def asked(name: str, ask: Any) -> Any:  # `Any`: as above
    """What the keychain answers; its own errors may quote what they were given, so none of their text is told."""
    try:
        return ask()
    except InputError:
        raise
    except Exception:  # noqa: BLE001  # a keychain is a program of somebody else's, and raises what it likes
        failed = WorldError(
            "SECRET_UNAVAILABLE",
            f"the keychain refused what was asked about the secret `{name}`",
            hint="unlock it, or look at its own log",
        )
    raise failed
