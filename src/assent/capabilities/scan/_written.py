"""How ports, hosts and networks are written, in the scope, in options and as targets: two readings would be a hole in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TypeAlias

from assent._lazy import compiled_when_asked

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

Network: TypeAlias = "IPv4Network | IPv6Network"
Ports: TypeAlias = tuple[tuple[int, int], ...]

PORT_MAX: Final = 65_535
HOST_CHARACTERS_MAX: Final = 253
_RANGE: Final = compiled_when_asked(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST: Final = compiled_when_asked(rf"(?:{_LABEL}\.)*(?!(?:0x[0-9a-f]*|[0-9]+)\Z){_LABEL}")
"""A name whose last label is a number is an address to many programs: `2130706433`, `0x7f.1`."""


def ranges_of(texts: Iterable[str]) -> Ports:
    """The first and the last port of each `443`, `8000-8100`. ValueError."""
    found = []
    for text in texts:
        pair = _RANGE.fullmatch(text)
        first, last = (int(pair[1]), int(pair[2] or pair[1])) if pair else (0, 0)
        if not 1 <= first <= last <= PORT_MAX:
            raise ValueError(f"can't hold `{text[:80]}`: ports are between 1 and {PORT_MAX}")
        found.append((first, last))
    return tuple(found)


def host_of(text: str) -> str | None:
    """The name of a host in its one form; None for what is none, such as an address."""
    name = text.lower().removesuffix(".")
    return name if len(name) <= HOST_CHARACTERS_MAX and _HOST.fullmatch(name) else None


def network_of(text: str) -> Network | None:
    """The addresses that a text names; None where it names none. One with a zone (`%eth0`) is of one machine alone."""
    import ipaddress

    try:
        return None if "%" in text else ipaddress.ip_network(text)
    except ValueError:
        return None
