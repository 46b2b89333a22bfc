"""`[scan]` of assent.toml: where scanners are, which files they have to be, and what may be scanned. Without a scope nothing is
on the network.

[scan.scope]
hosts = ["app.example.org", "*.staging.example.org"]
networks = ["10.20.0.0/24"]
ports = [443, "8000-8100"]
times = ["mon-fri 20:00-06:00"]
zone = "Europe/Vienna"
until = "2026-12-31"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assent._lazy import compiled_when_asked
from assent.errors import Json
from assent.spec.documents import settings
from assent.spec.documents.settings import PRINCIPALS, Setting, Table, Texts, flag, listed
from assent.spec.values.json_fields import mapping

if TYPE_CHECKING:
    from assent.capabilities.area import Check, Ground, Words
    from assent.capabilities.scan import Scanners
    from assent.invocation import GlobalContext

USER_FOLDER: Final = "scanners"
"""Where the user's own manifests are, in the folder of their configuration."""

_DIGEST: Final = compiled_when_asked("[0-9a-f]{64}")


def _is_host(text: str) -> bool:
    from assent.capabilities.scan._written import (
        host_of,  # like the others here: most workspaces have no scope
    )

    return host_of(text.removeprefix("*.")) is not None


def _is_network(text: str) -> bool:
    from assent.capabilities.scan._written import network_of

    return network_of(text) is not None


def _normal(text: str) -> str:
    from assent.capabilities.scan._written import network_of

    network = network_of(text)
    return text.lower().removesuffix(".") if network is None else str(network)


def _ports(value: object) -> Json:
    from assent.capabilities.scan._written import ranges_of

    form = 'must be a list of ports and ranges: `[443, "8000-8100"]`'
    if not isinstance(value, list) or not value:
        raise ValueError(form)
    if not all(isinstance(one, int | str) and not isinstance(one, bool) for one in value):
        raise ValueError(form)
    found = [*dict.fromkeys(map(str, value))]
    ranges_of(found)
    return [*found]


def _is_window(text: str) -> bool:
    from assent.capabilities.scan import Window

    try:
        Window.parse(text)
    except ValueError:
        return False
    return True


def _zone(value: object) -> Json:
    from assent.capabilities.scan import zone_of

    zone_of(str(settings.text(value)))
    return str(value)


def _moment(value: object) -> Json:
    from datetime import UTC

    from assent.capabilities.scan import moment_of

    try:
        moment_of(str(settings.text(value)), UTC, is_end=False)
    except ValueError:
        raise ValueError('must be a day or a moment: `"2026-11-30"`, `"2026-11-30T18:00:00Z"`') from None
    return str(value)


def _pins(value: object) -> Json:
    if not isinstance(value, dict) or not all(
        isinstance(one, str) and _DIGEST.fullmatch(one) for one in value.values()
    ):
        raise ValueError('must be a table of SHA-256: `{ nmap = "…64 hex digits…" }`')
    return value


_SCOPE: Final[Table] = {
    "hosts": Setting(
        Texts(
            'must be a list of hosts: `["app.example.org", "*.example.net"]`',
            _is_host,
            "a host is a name, or `*.` and the name that it is below",
            normal=lambda one: one.lower().removesuffix("."),
        ),
        "names that may be scanned; `*.example.net` means those below `example.net`, and not itself",
    ),
    "networks": Setting(
        Texts(
            'must be a list of networks: `["10.20.0.0/24", "192.0.2.7"]`',
            _is_network,
            "a network is an address, or one with the length of its prefix",
            normal=_normal,
        ),
        "addresses that may be scanned; the machine itself and private ones only where they stand here",
    ),
    "except": Setting(
        Texts(
            'must be a list of hosts and networks: `["admin.example.net", "10.20.0.1"]`',
            lambda one: _is_network(one) or _is_host(one),
            "it is neither a host nor a network",
            normal=_normal,
        ),
        "hosts and networks that may not, although they are within those",
    ),
    "ports": Setting(_ports, "ports and ranges that may be scanned", unless="all"),
    "principals": Setting(PRINCIPALS, "patterns of principals who may scan", ["*"], "everybody"),
    "times": Setting(
        Texts(
            'must be a list of times: `["mon-fri 20:00-06:00"]`',
            _is_window,
            "a time is `20:00-06:00`, with days before it where it is not every day: `mon-fri`, `sat,sun`",
        ),
        "when scans may run; one that is still running at the end is ended",
        unless="always",
    ),
    "zone": Setting(_zone, "the time zone of `times`, `from` and `until`", "UTC", "`UTC`"),
    "from": Setting(_moment, "the day or moment at which it begins to hold"),
    "until": Setting(_moment, "the last day, or the moment at which it ends"),
}

SECTION: Final[Table] = {
    "tools": Setting(settings.path, "a folder with [manifests](scanning.md#adding-a-scanner) of scanners"),
    "paths": Setting(
        Texts('must be a list of folders: `["/opt/scanners/bin"]`', may_be_empty=True),
        "folders in which scanners are looked for before the system's",
    ),
    "read_only": Setting(
        Texts('must be a list of folders and files: `["/opt/nuclei-templates"]`', may_be_empty=True),
        "more folders and files that scanners can read",
    ),
    "pins": Setting(_pins, 'the SHA-256 that a scanner\'s file must have: `{ nmap = "…" }`'),
    "require_pins": Setting(flag, "whether a scanner that is not pinned is refused", default=False),
    "unenforced_scope": Setting(
        flag, "whether scans run where the kernel can't hold a scanner to the scope", default=False
    ),
    "scope": _SCOPE,
}

WORDS: Final[Words] = {}
PROJECTION: Final = None


def offer(app: GlobalContext, ground: Ground) -> None:
    """The scanners that calls may run."""
    app.offer("assent.capabilities.scan._scanners.Scanners", lambda: scanners_of(ground))


def scanners_of(ground: Ground) -> Scanners:
    """The scanners of this workspace; nothing is read or started."""
    from assent.capabilities.scan import Scanners, Scope

    said = ground.said
    tools = said.get("tools")
    folders = [] if tools is None else [Path(str(tools))]
    pins = mapping(said, "pins")
    return Scanners(
        folders=[*folders, *(home / USER_FOLDER for home in ground.homes)],
        paths=_absolute(ground.workspace, said, "paths"),
        read_only=_absolute(ground.workspace, said, "read_only"),
        pins={name: str(digest) for name, digest in pins.items()},
        requires_pins=said.get("require_pins") is True,
        scope=lambda: Scope.of(mapping(said, "scope")),
        may_be_unenforced=said.get("unenforced_scope") is True,
        now_ms=ground.clock.now_ms,
    )


def _absolute(workspace: Path, said: Mapping[str, Json], key: str) -> tuple[Path, ...]:
    return tuple(workspace / Path(one).expanduser() for one in listed(said, key))


def checks(ground: Ground) -> Iterator[Check]:
    """The scope, and manifests that can't be read. No scanner is started: `assent scan tools` does that."""
    from assent.capabilities.area import Check
    from assent.errors import InputError

    scanners = scanners_of(ground)
    yield _scope_check(ground, scanners)
    for name, file, found in scanners.tools():
        if isinstance(found, InputError):
            yield Check(f"scanner: {name}", "fault", found.message, f"mend {file}")
    missing = [str(one) for one in scanners.read_only if not one.exists()]
    missing += [str(one) for one in scanners.folders[:1] if ground.said.get("tools") and not one.is_dir()]
    if missing:
        yield Check("scanners", "warning", f"not there: {', '.join(missing)}", "mend `[scan]` of assent.toml")


def _scope_check(ground: Ground, scanners: Scanners) -> Check:
    from assent.capabilities.area import Check

    scope, said = scanners.scope(), mapping(ground.said, "scope")
    if scope is None:
        return Check("scan scope", "ok", "none under `[scan.scope]`: nothing on the network is scanned")
    seen = ", ".join((*listed(said, "hosts"), *listed(said, "networks")))
    if scanners.may_be_unenforced:
        hint = (
            "where the kernel holds scanners to the scope (see the sandbox's walls), the word changes nothing"
        )
        return Check("scan scope", "warning", f"{seen}; `unenforced_scope` is set", hint)
    return Check("scan scope", "ok", seen)
