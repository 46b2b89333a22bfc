"""What `assent secrets` does: store, list, replace, and find who uses a secret. No value leaves this module.

Nothing here owns the state directory: values are kept outside of it, and the ledger is only read. A living owner is told to
forget what it kept, so that its next call gets the new value.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from assent import system
from assent.errors import AssentError, InputError
from assent.invocation import Secret, Secrets, secret_binding
from assent.journal import Ed25519FileSigner, at_once, rows_at_once
from assent.runtime._find_run import UNFINISHED
from assent.runtime._ledger import reading
from assent.runtime.service import answers
from assent.runtime.service._asking import ask
from assent.runtime.service.requests import ForgetSecret
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring._secrets import SECRET_BINDING, configured_secrets
from assent.spec.events.kinds import DeliveryAttempted, SecretAccessed
from assent.spec.secret_text import SecretText, is_secret_name

if TYPE_CHECKING:
    from collections.abc import Callable

FILES_MAX: Final = 5000
"""Files of the workspace that are searched for references."""

FILE_BYTES_MAX: Final = 1 << 20
_SUFFIXES: Final = (".yaml", ".yml", ".json", ".toml")
_GIVEN: Final = ("fetched", "cached")

Tell: TypeAlias = "Callable[[str], bool]"
"""Has the living owner, if there is one, fetch a secret anew; whether there was one."""


def require_writable(settings: Settings, name: str) -> None:
    """Do nothing, or raise SECRET_NOT_WRITABLE: to be asked before anybody types a value."""
    configured_secrets(settings.secrets).require_writable(name)


def store(settings: Settings, name: str, value: str, tell: Tell) -> answers.SecretStored:
    """Put a value where the secret is kept. SECRET_NOT_WRITABLE where Assent only reads."""
    require_name(name)
    source = configured_secrets(settings.secrets).store(name, value)
    return answers.SecretStored(name=name, source=str(source), owner_told=tell(name))


async def rotate(settings: Settings, name: str, value: str, tell: Tell) -> answers.SecretRotated:
    """The same; the value before is kept until `confirm` or `undo`. Tells which unfinished runs were given that one."""
    require_name(name)
    provider = configured_secrets(settings.secrets)
    old = (await _resolved(settings, name))[0]
    source = provider.rotate(name, value)
    told = tell(name)
    return answers.SecretRotated(
        name=name,
        source=str(source),
        state="rotated",
        owner_told=told,
        unfinished=[*_unfinished(settings, name, old)],
    )


def confirm(settings: Settings, name: str, tell: Tell) -> answers.SecretRotated:
    """Forget the value that was replaced."""
    require_name(name)
    provider = configured_secrets(settings.secrets)
    had = provider.confirm(name)
    return answers.SecretRotated(
        name=name,
        source=str(provider.source_of(name)),
        state="confirmed" if had else "unchanged",
        owner_told=tell(name),
    )


async def undo(settings: Settings, name: str, tell: Tell) -> answers.SecretRotated:
    """Put the value that was replaced back. SECRET_MISSING when none is kept."""
    require_name(name)
    provider = configured_secrets(settings.secrets)
    new = (await _resolved(settings, name))[0]
    provider.undo(name)
    told = tell(name)
    return answers.SecretRotated(
        name=name,
        source=str(provider.source_of(name)),
        state="undone",
        owner_told=told,
        unfinished=[*_unfinished(settings, name, new)],
    )


async def listed(settings: Settings, specs: Mapping[str, tuple[str, ...]]) -> list[answers.Secret]:
    """Every secret that the configuration, a capability's spec or the ledger names, by name: where it is, and who may have it.

    `specs`: the secrets that each capability's spec names.
    """
    provider = configured_secrets(settings.secrets)
    accesses = _accesses(settings)
    last = {one.event.secret: one for one in accesses if one.event.outcome in _GIVEN}
    names = {*settings.secrets.secrets, *last, *(name for names in specs.values() for name in names)}
    found: list[answers.Secret] = []
    for name in sorted(names):
        configured = settings.secrets.secrets.get(name)
        problem = (await _resolved(settings, name))[1]
        found.append(
            answers.Secret(
                name=name,
                source=str(provider.source_of(name)),
                status="available"
                if problem is None
                else "missing"
                if problem == "SECRET_MISSING"
                else "unusable",
                code=problem,
                capabilities=[*configured.capabilities] if configured is not None else [],
                hosts=[*configured.hosts] if configured is not None else [],
                specs=[capability for capability, secrets in specs.items() if name in secrets],
                rotating=_is_rotating(settings, name),
                last_access=last[name].told() if name in last else None,
            )
        )
    return found


async def users(settings: Settings, name: str, specs: Mapping[str, tuple[str, ...]]) -> answers.SecretUsers:
    """Who uses a secret: specs, grants, files of the workspace that refer to it, and every access in the ledger.

    `is_current` of an access: whether the value that was given then is the one that is stored now; None without the ledger's key.
    """
    configured = settings.secrets.secrets.get(name)
    value = (await _resolved(settings, name))[0]
    key = _binding_key(settings)
    accesses = [
        one.told(is_current=one.gave(value, key)) for one in _accesses(settings) if one.event.secret == name
    ]
    return answers.SecretUsers(
        name=name,
        specs=[capability for capability, secrets in specs.items() if name in secrets],
        grants=[*configured.capabilities] if configured is not None else [],
        hosts=[*configured.hosts] if configured is not None else [],
        files=[*_references(settings.workspace, name)],
        accesses=accesses,
    )


def require_name(name: str) -> None:
    """Raise SECRET_NAME_INVALID. What was given is not repeated: it may be a value in the wrong place."""
    if not is_secret_name(name) or name == "vault":
        raise InputError(
            "SECRET_NAME_INVALID",
            "this is not a name that a secret can have",
            hint="letters, digits and `. _ - /`, at most 128, starting with a letter or digit; and not `vault`",
        )


@dataclass(frozen=True, slots=True)
class _Access:
    """One access as the ledger tells of it."""

    run: str
    at_ms: int
    event: SecretAccessed | DeliveryAttempted
    capability: str | None

    def told(self, **more: bool | None) -> answers.SecretAccess:
        """The same as an answer; `more`: what is told besides of which value it gave."""
        event = self.event
        return answers.SecretAccess(
            run_id=self.run,
            step=event.step,
            attempt=event.attempt,
            capability=self.capability,
            outcome=event.outcome,
            provider=event.provider,
            at_ms=self.at_ms,
            **more,
        )

    def gave(self, value: Secret | None, key: bytes | None) -> bool | None:
        """Whether it gave this value; None when that can't be known."""
        if value is None or key is None or self.event.binding is None:
            return None
        event = self.event
        # An attempt at a delivery is none at a step: it is bound by the delivery's id as well.
        attempt = f"{event.delivery}/" if isinstance(event, DeliveryAttempted) else ""
        access = (self.run, str(event.step), f"{attempt}{event.attempt}", event.secret)
        return secret_binding(key, access, value) == self.event.binding


def _accesses(settings: Settings) -> list[_Access]:
    found: list[_Access] = []
    with reading(settings.state) as reader:
        if reader is None:
            return found

        @cache
        def called(run: str, step: str) -> str | None:
            rows = at_once(reader.rows("steps", {"run_id": run, "step": step}, limit=1))
            return str(rows[0]["capability"]) if rows and rows[0]["capability"] is not None else None

        for leaf in reader.leaves_with((b'"secret.accessed"', b'"delivery.attempted"')):
            event = leaf.event
            if isinstance(event, SecretAccessed | DeliveryAttempted):
                run = str(leaf.run if isinstance(event, SecretAccessed) else event.source)
                found.append(_Access(run, leaf.at_ms, event, called(run, event.step)))
    return found


def _unfinished(settings: Settings, name: str, value: Secret | None) -> Iterator[answers.SecretAccess]:
    """The accesses of runs that have not ended, and whether each gave this value."""
    with reading(settings.state) as reader:
        rows = rows_at_once(reader, "runs", {"status": UNFINISHED}) if reader is not None else ()
        going_on = {str(row["run_id"]) for row in rows}
    key = _binding_key(settings) if going_on else None
    for one in _accesses(settings) if going_on else []:
        if one.run in going_on and one.event.secret == name and one.event.outcome in _GIVEN:
            yield one.told(used_replaced=one.gave(value, key))


def _binding_key(settings: Settings) -> bytes | None:
    try:
        return Ed25519FileSigner.open(settings.key_path).derive(SECRET_BINDING)
    except AssentError:
        return None


async def _resolved(settings: Settings, name: str) -> tuple[Secret | None, str | None]:
    """The value as a call would get it, or the code of why it would not."""
    secrets = Secrets(
        [configured_secrets(settings.secrets)],
        clock=system.SystemClock(),
        record=_nobody,
    )
    try:
        return await secrets.resolve(name), None
    except AssentError as error:
        return None, error.code


def _nobody(access: object) -> None:
    """An access by whoever keeps the secret is on no record."""
    del access


def _is_rotating(settings: Settings, name: str) -> bool:
    try:
        return configured_secrets(settings.secrets).is_rotating(name)
    except AssentError:
        return False


def _references(folder: Path, name: str) -> Iterator[answers.SecretReference]:
    """The lines of workflow and configuration files that refer to a secret. Links and hidden folders are left out."""
    searched = 0
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for file in sorted(files):
            path = Path(root, file)
            if path.suffix not in _SUFFIXES or path.is_symlink() or searched >= FILES_MAX:
                continue
            searched += 1
            try:
                with path.open("rb") as opened:
                    text = opened.read(FILE_BYTES_MAX).decode()
            except (OSError, UnicodeDecodeError):
                continue
            for number, line in enumerate(text.splitlines(), 1):
                if name in SecretText(line).names:
                    yield answers.SecretReference(file=str(path.relative_to(folder)), line=number)


def tell_owner(settings: Settings, name: str) -> bool:
    """Have the living owner, if there is one, fetch the secret anew; whether there was one."""
    if not settings.state.is_dir():
        return False
    return ask(ForgetSecret(name=name), settings) is not None
