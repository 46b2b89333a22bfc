"""Whether an address or a name is within a scope: the one place that decides it, for whoever writes a scope and for the guard.

Only the standard library is imported: the launcher runs this.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

DNS_PORT: Final = 53


class Place(NamedTuple):
    """An address and port."""

    version: int
    number: int
    """The address as a number."""
    port: int

    def __str__(self) -> str:
        packed = self.number.to_bytes(4 if self.version == 4 else 16, "big")
        text = socket.inet_ntop(socket.AF_INET if self.version == 4 else socket.AF_INET6, packed)
        return f"{text}:{self.port}" if self.version == 4 else f"[{text}]:{self.port}"


Ports = Sequence[Sequence[int]]
"""Pairs of a first and a last port; none: all."""

Range = tuple[int, int, int]
"""Addresses: their version, the first and the last of them as numbers."""

_IPV4_LAST: Final = 0xFFFF_FFFF
_MAPPED: Final = 0xFFFF << 32
"""::ffff:0:0/96: for the kernel such an address is the IPv4 one."""
_CARRIERS: Final = (
    (2, _IPV4_LAST, 0),  # ::a.b.c.d, compatible; `::` and `::1` are what they are
    (0xFFFF << 48, (0xFFFF << 48) | _IPV4_LAST, 0),  # ::ffff:0:a.b.c.d, translated
    (0x64_FF9B << 96, (0x64_FF9B << 96) | _IPV4_LAST, 0),  # 64:ff9b::/96, NAT64
    (
        0x64_FF9B_0001 << 80,
        ((0x64_FF9B_0001 + 1) << 80) - 1,
        0,
    ),  # 64:ff9b:1::/48, a local NAT64's, with a prefix of 96
    (0x2002 << 112, (0x2003 << 112) - 1, 80),  # 2002:AABB:CCDD::/48, 6to4
)
"""IPv6 addresses that somebody may take for the IPv4 one inside of them: the first, the last, and how far left that is."""


def plain(addresses: Range) -> Range:
    """The same addresses in their one form: those of IPv4 that are written as mapped ones of IPv6 as IPv4."""
    version, first, last = addresses
    if version == 6 and first >= _MAPPED and last <= _MAPPED | _IPV4_LAST:
        return 4, first - _MAPPED, last - _MAPPED
    return addresses


def carried(addresses: Range) -> list[Range]:
    """The IPv4 addresses that stand inside of some of IPv6, which a gateway may send to instead."""
    version, first, last = addresses
    found: list[Range] = []
    if version == 6:
        for low, high, shift in ((_MAPPED, _MAPPED | _IPV4_LAST, 0), *_CARRIERS):
            begin, end = max(first, low) >> shift, min(last, high) >> shift
            if begin <= end:
                whole = end - begin >= _IPV4_LAST or begin & _IPV4_LAST > end & _IPV4_LAST
                found.append((4, 0, _IPV4_LAST) if whole else (4, begin & _IPV4_LAST, end & _IPV4_LAST))
    return found


class Rules:
    """The scope, as the plan says it (`_reach.py`), with the addresses that names in it were found to have."""

    def __init__(self, said: dict[str, Any]) -> None:  # `Any`: JSON
        self._networks = [
            (plain((version, first, last)), ports) for version, first, last, ports in said["networks"]
        ]
        self._refused = [plain((version, first, last)) for version, first, last in said["refused_networks"]]
        self._special = [plain((version, first, last)) for version, first, last in said["special"]]
        self._names: list[tuple[str, Ports]] = [tuple(one) for one in said["names"]]
        self._refused_names: list[str] = said["refused_names"]
        self._resolvers: set[tuple[int, int]] = {(version, number) for version, number in said["resolvers"]}
        self._found: dict[tuple[int, int], list[Ports]] = {}
        self.pinned: dict[str, list[tuple[int, int]]] = {
            name: [(version, number) for version, number in found] for name, found in said["pinned"].items()
        }
        # A program that has a name's address from elsewhere never asks for it.
        for name, found in self.pinned.items():
            for version, number in found:
                if ports := self.ports_of(name):
                    self.find(version, number, ports)

    def permits(self, place: Place) -> bool:
        """Whether the program may send there."""
        one = plain((place.version, place.number, place.number))
        if self._is_out(one):
            return False
        known = [ports for network, ports in self._networks if _holds(network, one)]
        return any(_has_port(ports, place.port) for ports in (*known, *self._found.get(one[:2], ())))

    def holds(self, addresses: Range) -> bool:
        """Whether all of these are in the scope by a network, at some port."""
        one = plain(addresses)
        return self._is_named(one) and not self._is_out(one)

    def _is_out(self, one: Range) -> bool:
        """Whether any of these is taken out again, or carries an IPv4 address that is, or is special and no network's."""
        inside = carried(one)
        if any(_meets(refused, face) for refused in self._refused for face in (one, *inside)):
            return True
        return any(self._is_special(face) and not self._is_named(face) for face in inside)

    def _is_special(self, one: Range) -> bool:
        return any(_meets(special, one) for special in self._special)

    def _is_named(self, one: Range) -> bool:
        return any(_holds(network, one) for network, _ in self._networks)

    def is_resolver(self, place: Place) -> bool:
        """Whether that is where the program asks for names."""
        return place.port == DNS_PORT and (place.version, place.number) in self._resolvers

    def ports_of(self, name: str) -> list[Ports]:
        """What a name is in the scope for; empty: it is not. One that is taken out again takes out what is below it, too."""
        for pattern in self._refused_names:
            if _is_called(name, pattern) or _is_called(name, f"*.{pattern}"):
                return []
        return [ports for pattern, ports in self._names if _is_called(name, pattern)]

    def find(self, version: int, number: int, ports: list[Ports]) -> bool:
        """Take an address that a name in the scope has; whether it is in the scope by that.

        A name alone does not lead to the machine itself or its neighbours: somebody else's zone may say any address.
        """
        one = plain((version, number, number))
        if self._is_out(one):
            return False
        if self._is_special(one):
            return self._is_named(one)
        self._found[one[:2]] = ports
        return True


def _is_called(name: str, pattern: str) -> bool:
    """Whether a name, in lower case and without a dot at its end, is meant: `*.` in front means all below, and not itself."""
    return name.endswith(pattern[1:]) if pattern.startswith("*.") else name == pattern


def _holds(network: Range, one: Range) -> bool:
    return network[0] == one[0] and network[1] <= one[1] and one[2] <= network[2]


def _meets(network: Range, one: Range) -> bool:
    return network[0] == one[0] and network[1] <= one[2] and one[1] <= network[2]


def _has_port(ports: Ports, port: int) -> bool:
    return not ports or any(first <= port <= last for first, last in ports)


def place_of(address: bytes) -> Place | None:
    """Where a `struct sockaddr` leads; None for one of another family. EINVAL for one that is cut short.

    An IPv4 address may be written as one of IPv6, and none at all means the machine itself.
    """
    if len(address) < 2:
        raise error_of(errno.EINVAL)
    (family,) = struct.unpack_from("=H", address)
    if family == socket.AF_INET and len(address) >= 8:
        version, number = 4, int.from_bytes(address[4:8], "big")
    elif family == socket.AF_INET6 and len(address) >= 24:
        number = int.from_bytes(address[8:24], "big")
        version, number, _ = plain((6, number, number))
    elif family in (socket.AF_INET, socket.AF_INET6):
        raise error_of(errno.EINVAL)
    else:
        return None
    if number == 0:
        number = 0x7F00_0001 if version == 4 else 1
    return Place(version, number, int.from_bytes(address[2:4], "big"))


def error_of(number: int) -> OSError:
    """What the kernel would say by this number."""
    return OSError(number, os.strerror(number))
