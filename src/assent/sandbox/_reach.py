"""Where a program with a network may go: networks, names and ports, as somebody has written them down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, summarize_address_range
from typing import Any, Final

from assent.sandbox._scope_rules import Place, Range, Rules, plain

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
Ports = tuple[tuple[int, int], ...]
"""Pairs of a first and a last port; none: all."""

SPECIAL: Final[tuple[Network, ...]] = (
    *map(
        IPv4Network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
            "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3",
        ),
    ),
    *map(
        IPv6Network,
        (
            "::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "fc00::/7", "fe80::/10",
            "fec0::/10", "ff00::/8",
        ),
    ),
)  # fmt: skip
"""The machine itself, its neighbours and ways through others: a name leads there only where a network of the scope does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkScope:
    """What is in, and what of that is out again. A name is in lower case; `*.example.org` means all below it."""

    networks: Mapping[Network, Ports] = field(default_factory=dict)
    names: Mapping[str, Ports] = field(default_factory=dict)
    refused_networks: tuple[Network, ...] = ()
    refused_names: tuple[str, ...] = ()
    pinned: Mapping[str, tuple[Address, ...]] = field(default_factory=dict)
    """Addresses that names have, whatever anybody answers: they were looked up before. Where they lead out, they stay out."""

    def permits(self, address: Address, port: int) -> bool:
        """Whether an address and port are in by a network. Names are looked up where the program asks for them."""
        return Rules(self.rules()).permits(Place(address.version, int(address), port))

    def names_ports(self, name: str) -> list[Sequence[Sequence[int]]]:
        """The ports that a name is in for; empty: it is not. A name that is out takes out what is below it, too."""
        return Rules(self.rules()).ports_of(name)

    def holds(self, network: Network) -> bool:
        """Whether all addresses of a network are in by a network, at some port."""
        return Rules(self.rules()).holds(_range(network))

    def leads_to(self, address: Address) -> bool:
        """Whether a name that is in may lead to an address."""
        return Rules(self.rules()).find(address.version, int(address), [])

    def rules(self, resolvers: tuple[str, ...] = ()) -> dict[str, Any]:  # `Any`: JSON
        """The same as a plan has it. `resolvers`: addresses at which the program looks for its resolver."""
        asked = [ip_address(one) for one in resolvers]
        return {
            "networks": [[*_range(one), [*map(list, ports)]] for one, ports in self.networks.items()],
            "names": [[name, [*map(list, ports)]] for name, ports in self.names.items()],
            "refused_networks": [[*_range(one)] for one in self.refused_networks],
            "refused_names": [*self.refused_names],
            "special": [[*_range(one)] for one in SPECIAL],
            "resolvers": [[one.version, int(one)] for one in asked],
            "pinned": {
                name: [[one.version, int(one)] for one in found] for name, found in self.pinned.items()
            },
        }


def plain_network(network: Network) -> Network:
    """A network in its one form: IPv4 where it is written as mapped into IPv6."""
    version, first, last = plain(_range(network))
    if version == network.version:
        return network
    return next(summarize_address_range(IPv4Address(first), IPv4Address(last)))


def _range(network: Network) -> Range:
    return network.version, int(network[0]), int(network[-1])
