"""What is scanned: a URL, a host, a network or a path, read from what a caller wrote. None can be taken for an option."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal, TypeAlias

from assent.capabilities.scan._written import PORT_MAX, Network, host_of
from assent.invocation import NoEffectError

Address: TypeAlias = IPv4Address | IPv6Address

_WITH_PORT: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetTarget:
    """Something on the network: a name, an address or a whole network, and the port where one is meant."""

    text: str
    """As the scanner is given it."""
    where: str | Network
    """A name in lower case, or the addresses; one alone is a network of one."""
    port: int | None = None
    scheme: str = ""

    def values(self) -> dict[str, str | bool]:
        """What the argument template may say of it."""
        found: dict[str, str | bool] = {"target": self.text, "base": self.text.rstrip("/"), "host": self.host}
        found |= {"scheme": self.scheme} if self.scheme else {}
        return found | ({"port": str(self.port)} if self.port is not None else {})

    @property
    def host(self) -> str:
        """The name, address or network as text."""
        if isinstance(self.where, str):
            return self.where
        return str(self.where[0] if self.where.num_addresses == 1 else self.where)


def net_target(text: str, kind: Literal["url", "host", "network"]) -> NetTarget:
    """What a text means. `NoEffectError` TARGET_INVALID, URL_INVALID."""
    if kind == "url":
        from assent.capabilities.net._url import parse_url

        url = parse_url(text)
        return NetTarget(text=str(url), where=_where(url.host, text), port=url.port, scheme=url.scheme)
    if "://" in text:
        raise _invalid(text, f"is a URL, and this scanner takes a {kind}")
    if kind == "network" and "/" in text:
        if "%" in text:
            raise _invalid(text, _ZONE)
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            raise _invalid(text, f"is not a network: {str(error).removeprefix(repr(text)).strip()}") from None
        network = _plain(network)
        return NetTarget(text=str(network), where=network)
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        parts = _WITH_PORT.fullmatch(text)
    else:
        if "%" in text:
            raise _invalid(text, _ZONE)
        alone = _plain(ipaddress.ip_network(address))
        return NetTarget(text=str(alone[0]), where=alone)
    if parts is None:
        raise _invalid(text, "is not a host, nor a host and a port")
    port = None if parts["port"] is None else int(parts["port"])
    if port is not None and not 1 <= port <= PORT_MAX:
        raise _invalid(text, "has no port between 1 and 65535")
    where = _where(parts["host"].strip("[]"), text)
    plain = NetTarget(text="", where=where).host
    # Who scans networks takes ports apart from them: as an option, which has this one where nobody says another.
    if port is None or kind == "network":
        return NetTarget(text=plain, where=where, port=port)
    shown = f"[{plain}]" if ":" in plain else plain
    return NetTarget(text=f"{shown}:{port}", where=where, port=port)


def path_word(path: str) -> str:
    """A path as an argument that no program takes for an option."""
    return f"./{path}" if path.startswith("-") else path


# What stands behind `%` may be any text, and a scanner may read it as further words.
_ZONE: Final = "has a zone (`%…`): an address must be said without one"


def _where(host: str, text: str) -> str | Network:
    if "%" in host:
        raise _invalid(text, _ZONE)
    try:
        return _plain(ipaddress.ip_network(ipaddress.ip_address(host)))
    except ValueError:
        name = host_of(host)
    if name is None:
        raise _invalid(text, "has no host: a name, or an address in its usual form")
    return name


def _plain(network: Network) -> Network:
    from assent.sandbox import plain_network

    return plain_network(network)


def _invalid(text: str, why: str) -> NoEffectError:
    return NoEffectError(
        "TARGET_INVALID",
        f"`{text[:200]}` {why}",
        path="target",
        hint="a URL is like `https://app.example.org/`, a host like `app.example.org` or `192.0.2.7:8443`, a network is one"
        " of these or like `192.0.2.0/28`",
    )
