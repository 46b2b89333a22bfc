"""Which internet addresses are public: everything that IANA's special-purpose registries and the clouds have not taken out.

Of IPv6, only global unicast (2000::/3) can be public, so that an address which hides an IPv4 address (mapped, compatible, NAT64)
is none by its place alone. Tunnels that stand inside of it (6to4, Teredo, ISATAP) are listed.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA: Final[frozenset[str]] = frozenset(
    (
        "169.254.169.254",  # AWS, Azure, Google, DigitalOcean, OpenStack …
        "169.254.169.253",  # AWS: the resolver
        "169.254.169.123",  # AWS: the clock
        "169.254.170.2",  # AWS: a container's credentials
        "169.254.170.23",  # AWS: a pod's credentials
        "168.63.129.16",  # Azure: the host, at a public address
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS: a pod's credentials
        "fd20:ce::254",  # Google
        "fe80::a9fe:a9fe",  # OpenStack
    )
)
"""Where clouds hand out credentials. A rule opens one of these only by naming the very address."""

_IPV4: Final[tuple[tuple[str, str], ...]] = (
    ("0.0.0.0/8", "unspecified"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared by a carrier"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved"),
    ("192.0.2.0/24", "for documentation"),
    ("192.88.99.0/24", "a 6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "for benchmarks"),
    ("198.51.100.0/24", "for documentation"),
    ("203.0.113.0/24", "for documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
)
_IPV6: Final[tuple[tuple[str, str], ...]] = (
    ("::1/128", "loopback"),
    ("::/128", "unspecified"),
    ("::ffff:0:0/96", "an IPv4 address in disguise (mapped)"),
    ("::ffff:0:0:0/96", "an IPv4 address in disguise (translated)"),
    ("::/96", "an IPv4 address in disguise (compatible)"),
    ("64:ff9b::/96", "an IPv4 address in disguise (NAT64)"),
    ("64:ff9b:1::/48", "an IPv4 address in disguise (local NAT64)"),
    ("2001::/32", "an IPv4 address in disguise (Teredo)"),
    ("2001::/23", "reserved"),
    ("2001:db8::/32", "for documentation"),
    ("2002::/16", "an IPv4 address in disguise (6to4)"),
    ("3fff::/20", "for documentation"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)
"""The upper half of an interface identifier that holds an IPv4 address (RFC 5214), below any prefix."""


@lru_cache(maxsize=1)
def _tables() -> tuple[list[tuple[Network, str]], list[tuple[Network, str]]]:
    ipv4: list[tuple[Network, str]] = [(ipaddress.IPv4Network(net), why) for net, why in _IPV4]
    ipv6: list[tuple[Network, str]] = [(ipaddress.IPv6Network(net), why) for net, why in _IPV6]
    return ipv4, ipv6


def why_not_public(address: Address) -> str | None:
    """What an address is in a few words, unless it is public: then None."""
    if _hands_out_credentials(address):
        return "a cloud's metadata service"
    ipv4, ipv6 = _tables()
    if isinstance(address, ipaddress.IPv4Address):
        return next((why for network, why in ipv4 if address in network), None)
    found = next((why for network, why in ipv6 if address in network), None)
    if found is not None:
        return found
    if address not in _GLOBAL_UNICAST:
        return "outside of what is routed"
    if (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP:
        return "an IPv4 address in disguise (ISATAP)"
    return None


def is_opened_by(address: Address, network: Network) -> bool:
    """Whether a rule that names a private network opens the address; a metadata service only when it names just that."""
    if address.version != network.version or address not in network:
        return False
    is_alone = network.num_addresses == 1
    return is_alone or not _hands_out_credentials(address)


def _hands_out_credentials(address: Address) -> bool:
    # The resolver may name the interface as well, behind a percent sign.
    return str(address).partition("%")[0] in METADATA
