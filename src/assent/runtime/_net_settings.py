"""`[net]` of assent.toml: what a request may cost, and the rules for where it may go. Checked here, kept as plain values.

    [net]
    timeout = "30s"

    [net.rules.github]
    hosts = ["api.github.com", "*.githubusercontent.com"]
    methods = ["GET", "HEAD", "POST"]

The capabilities' own types are made of these when a runtime is built; a command that only resolves its settings imports none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assent.errors import Json

if TYPE_CHECKING:
    from assent.capabilities.net import EgressRule, Http

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
SCHEMES: Final = ("https", "http")
PORTS: Final = {"https": 443, "http": 80}

_PART: Final = r"(?=[^.]{1,63}(?:\.|\Z))[a-z0-9_*](?:[a-z0-9_*-]*[a-z0-9_*])?"
_HOST: Final = re.compile(rf"{_PART}(?:\.{_PART})*")

LIMITS: Final[Mapping[str, str]] = {
    "timeout": "timeout_ms",
    "connect_timeout": "connect_ms",
    "idle_timeout": "idle_ms",
    "redirects": "redirects",
    "header_bytes": "header_bytes",
    "request_bytes": "request_bytes",
    "answer_bytes": "answer_bytes",
    "inline_bytes": "inline_bytes",
    "download_bytes": "download_bytes",
    "ratio": "ratio",
    "connections": "connections",
}
"""What a limit is called in the file, and where it goes."""


@dataclass(frozen=True, slots=True)
class NetSettings:
    """Everything under `[net]`; `rules` by name, `limits` by the names of `NetLimits`."""

    limits: Mapping[str, int] = field(default_factory=dict)
    ca_bundle: Path | None = None
    rules: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)


# -- what a file may say ------------------------------------------------------------------------------------------------


def read_hosts(value: object) -> Json:
    """Check `hosts`; ValueError with the rest of the sentence."""
    written = _texts(value, 'must be a list of hosts: `["api.example.org", "*.example.net"]`')
    hosts = [_address(one) or one.lower().removesuffix(".") for one in written]
    wrong = next((one for one in hosts if _address(one) is None and not _HOST.fullmatch(one)), None)
    if wrong is not None:
        raise ValueError(
            f"can't hold `{wrong[:80]}`: a host is a name, an address without a port, or either with `*` in it"
        )
    return [*dict.fromkeys(hosts)]


def read_methods(value: object) -> Json:
    """Check `methods`."""
    return _some_of(value, METHODS, "methods")


def read_schemes(value: object) -> Json:
    """Check `schemes`."""
    return _some_of(value, SCHEMES, "schemes")


def read_ports(value: object) -> Json:
    """Check `ports`."""
    if not isinstance(value, list) or not value or not all(map(_is_port, value)):
        raise ValueError("must be a list of ports between 1 and 65535: `[443]`")
    return sorted(set(value))


def read_private(value: object) -> Json:
    """Check `private`."""
    import ipaddress

    what = 'must be a list of networks: `["10.1.0.0/16", "127.0.0.1/32"]`'
    written = _texts(value, what)
    try:
        return [str(ipaddress.ip_network(one)) for one in written]
    except ValueError as error:
        raise ValueError(f"{what}; {error}") from None


def read_principals(value: object) -> Json:
    """Check `principals`."""
    return [*dict.fromkeys(_texts(value, 'must be a list of principals: `["agent:*", "user:ada"]`'))]


def check_authorities(path: Path) -> None:
    """Check the file that `ca_bundle` names, as it will be read for the first request; ValueError."""
    import ssl

    if path.exists() and not path.is_file():
        raise ValueError(f"names `{path}`, which is no file")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ValueError(f"names `{path}`, which holds no certificates in PEM form") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ValueError(f"names `{path}`, which can't be read: {reason}") from None


def _texts(value: object, what: str) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise ValueError(what)
    return value


def _some_of(value: object, known: tuple[str, ...], what: str) -> Json:
    if not isinstance(value, list) or not value or any(one not in known for one in value):
        raise ValueError(f"must be a list of {what}: {', '.join(f'`{one}`' for one in known)}")
    return sorted(set(value))


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535


def _address(text: str) -> str | None:
    import ipaddress

    try:
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        return None


# -- what it means ------------------------------------------------------------------------------------------------------


def http_of(settings: NetSettings) -> Http:
    """The one client of a runtime with these settings; nothing is opened."""
    from assent.capabilities.net import Egress, Http, NetLimits

    limits = NetLimits(**settings.limits, ca_bundle=settings.ca_bundle)
    return Http(Egress([_rule(name, said) for name, said in settings.rules.items()]), limits)


def _rule(name: str, said: Mapping[str, Json]) -> EgressRule:
    import ipaddress

    from assent.capabilities.net import EgressRule

    def listed(key: str) -> list[str]:
        value = said.get(key)
        return [str(one) for one in value] if isinstance(value, list) else []

    schemes = listed("schemes")
    return EgressRule(
        name=name,
        hosts=tuple(listed("hosts")),
        methods=frozenset(listed("methods")),
        schemes=frozenset(schemes),
        ports=frozenset(map(int, listed("ports"))) or frozenset(PORTS[scheme] for scheme in schemes),
        private=tuple(map(ipaddress.ip_network, listed("private"))),
        principals=tuple(listed("principals")),
    )
