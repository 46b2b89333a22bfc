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


class Rules:
    """The scope, as the plan says it (`_reach.py`), with the addresses that names in it were found to have."""

    def __init__(self, said: dict[str, Any]) -> None:  # `Any`: JSON
        self._networks: list[tuple[int, int, int, Ports]] = [tuple(one) for one in said["networks"]]
        self._refused: list[tuple[int, int, int, Ports]] = [tuple(one) for one in said["refused_networks"]]
        self._special: list[tuple[int, int, int, Ports]] = [tuple(one) for one in said["special"]]
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
        if _is_in(self._refused, place):
            return False
        known = self._found.get((place.version, place.number), [])
        return _is_in(self._networks, place) or any(_has_port(ports, place.port) for ports in known)

    def is_resolver(self, place: Place) -> bool:
        """Whether that is where the program asks for names."""
        return place.port == DNS_PORT and (place.version, place.number) in self._resolvers

    def ports_of(self, name: str) -> list[Ports]:
        """What a name is in the scope for; empty: it is not."""
        if any(is_named(name, pattern) for pattern in self._refused_names):
            return []
        return [ports for pattern, ports in self._names if is_named(name, pattern)]

    def find(self, version: int, number: int, ports: list[Ports]) -> bool:
        """Take an address that a name in the scope has; whether it is in the scope by that.

        A name alone does not lead to the machine itself or its neighbours: somebody else's zone may say any address.
        """
        place = Place(version, number, 0)
        if any(_is_within(one, place) for one in self._refused):
            return False
        if any(_is_within(one, place) for one in self._special):
            return any(_is_within(one, place) for one in self._networks)
        self._found[version, number] = ports
        return True


def is_named(name: str, pattern: str) -> bool:
    """Whether a name, in lower case and without a dot at its end, is meant: `*.` in front means all below, and not itself."""
    return name.endswith(pattern[1:]) if pattern.startswith("*.") else name == pattern


def _is_in(networks: Sequence[tuple[int, int, int, Ports]], place: Place) -> bool:
    return any(_is_within(one, place) and _has_port(one[3], place.port) for one in networks)


def _is_within(network: tuple[int, int, int, Ports], place: Place) -> bool:
    version, first, last, _ = network
    return version == place.version and first <= place.number <= last


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
        version, number = 6, int.from_bytes(address[8:24], "big")
        if number >> 32 == 0xFFFF:
            version, number = 4, number & 0xFFFF_FFFF
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
