"""What `assent doctor` says of secrets: whether each could be had, and whether a grant gives more than it needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from assent.capabilities.area import Check
from assent.errors import AssentError
from assent.runtime.doctor._plugins import value_checks
from assent.runtime.settings.effective import Settings


def secret_checks(settings: Settings) -> Iterator[Check]:
    """A check for each secret that something is to be said of, and one for all. Nobody but files is asked for a value."""
    secrets = settings.secrets.secrets
    found: list[Check] = []
    for name in secrets:
        found += _of_file(settings, name)
        found += _of_grant(settings, name)
    found += value_checks(settings)
    token_file = settings.secrets.vault.token_file
    if token_file is not None:
        found += _readable(
            "secrets.vault",
            "the token for Vault",
            token_file,
            settings,
            "log in to Vault, and keep its token there",
        )
    yield from found
    if not found:
        yield Check("secrets", "ok", f"{len(secrets)} configured: assent secrets list")


def is_within(path: Path, folder: Path) -> bool:
    """Whether a path lies in a folder, links followed."""
    # Not `resolve`, which fails for a link to itself.
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _of_file(settings: Settings, name: str) -> Iterator[Check]:
    from assent.runtime.settings._secrets import previous_file

    source = settings.secrets.secrets[name].source
    if source is None or source.kind != "file":
        return
    path = Path(source.where)
    yield from _readable(
        f"secret: {name}", f"the file of `{name}`", path, settings, f"assent secrets set {name}"
    )
    previous = previous_file(path)
    if previous.exists():
        yield from _readable(f"secret: {name}", f"the earlier value of `{name}`", previous, settings, "")
        yield Check(
            f"secret: {name}",
            "warning",
            "was replaced, and the value before is still kept",
            f"assent secrets rotate {name} --confirm, or --undo",
        )


def _readable(check: str, what: str, path: Path, settings: Settings, missing: str) -> Iterator[Check]:
    """Whether a call would get what is in a file, which is read as for one, and let go. `missing`: what to do without one."""
    from assent.runtime.wiring._secret_files import read_secret_file

    try:
        is_there = read_secret_file(path) is not None
    except AssentError as error:
        yield Check(check, "fault", f"{error.message} [{error.code}]", error.hint)
        return
    if not is_there:
        yield Check(check, "warning", f"{what} is not there: `{path}`", missing)
    elif is_within(path, settings.workspace):
        seen = f"{what} lies in the workspace, where capabilities may read it"
        yield Check(check, "warning", seen, "keep it elsewhere, and name it in assent.toml")


def _of_grant(settings: Settings, name: str) -> Iterator[Check]:
    from assent.invocation import SecretGrant

    said = settings.secrets.secrets[name]
    grant = SecretGrant(said.capabilities, said.hosts)
    if not said.hosts and any(grant.names(one) for one in _reaching_out()):
        yield Check(
            f"secret: {name}",
            "warning",
            "is granted to `net.http.*` and may be sent to every host that the egress rules open",
            f'say where it may go: `hosts = ["…"]` under `[secrets."{name}"]`',
        )


def _reaching_out() -> list[str]:
    """The capabilities that send what they are given wherever their caller says."""
    from assent.capabilities import builtin_catalog

    return [spec.id for spec, _ in builtin_catalog() if spec.id.startswith("net.")]
