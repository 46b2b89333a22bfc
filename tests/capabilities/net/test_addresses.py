"""Which addresses are public: held to the registries, each entry at its edges."""

from __future__ import annotations

import ipaddress
import random
from pathlib import Path

import pytest

from assent.capabilities.net._addresses import METADATA, is_opened_by, why_not_public

LINES = [
    line
    for line in (Path(__file__).parent / "data/addresses.txt").read_text().splitlines()
    if not line.startswith("#")
]


def test_every_address_of_the_list_is_what_the_list_says() -> None:
    """Hundreds of them: each special range, its edges, and what stands beside it."""
    for line in LINES:
        written, _, fact = line.partition(" ")
        address = ipaddress.ip_address(written.removeprefix("-"))
        assert (why_not_public(address) is None) == written.startswith("-"), fact


def test_nothing_is_public_that_the_standard_library_calls_otherwise() -> None:
    """Python has read the same registries: our list may only be the stricter one."""
    dice = random.Random(7)
    for _ in range(20_000):
        four = ipaddress.IPv4Address(dice.getrandbits(32))
        six = ipaddress.IPv6Address(dice.getrandbits(128))
        for address in (four, six):
            if why_not_public(address) is None:
                assert address.is_global, address
                assert not address.is_multicast, address
                assert not address.is_reserved, address


def test_no_ipv4_address_gets_out_in_disguise() -> None:
    """However IPv6 carries it: mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP."""
    dice = random.Random(11)
    for _ in range(500):
        inner = dice.getrandbits(32)
        forms = (
            inner,
            0xFFFF << 32 | inner,
            0xFFFF << 48 | inner,
            0x64FF9B << 96 | inner,
            0x64FF9B0001 << 80 | inner,
            0x2002 << 112 | inner << 80 | 1,
            0x20010000 << 96 | inner << 64 | inner,
            0x2600_1F18 << 96 | 0x5EFE << 32 | inner,
            0x2600_1F18 << 96 | 0x0200_5EFE << 32 | inner,
        )
        for form in forms:
            assert why_not_public(ipaddress.IPv6Address(form)) is not None, ipaddress.IPv6Address(form)


@pytest.mark.parametrize("address", sorted(METADATA))
def test_a_metadata_service_is_opened_by_its_own_address_alone(address: str) -> None:
    """Whoever opens a network that it stands in did not think of it."""
    found = ipaddress.ip_address(address)
    assert not is_opened_by(found, ipaddress.ip_network(f"{address}/16", strict=False))
    assert is_opened_by(found, ipaddress.ip_network(address))


def test_a_network_opens_its_own_kind_only() -> None:
    """An IPv4 network says nothing of IPv6, however alike they look."""
    assert is_opened_by(ipaddress.ip_address("10.1.2.3"), ipaddress.ip_network("10.0.0.0/8"))
    assert not is_opened_by(ipaddress.ip_address("::a01:203"), ipaddress.ip_network("10.0.0.0/8"))
    assert not is_opened_by(ipaddress.ip_address("11.1.2.3"), ipaddress.ip_network("10.0.0.0/8"))


def test_a_network_does_not_open_the_metadata_service_in_it_whatever_interface_is_named() -> None:
    network = ipaddress.ip_network("fe80::/10")
    for written in ("fe80::a9fe:a9fe", "fe80::a9fe:a9fe%eth0"):
        assert not is_opened_by(ipaddress.ip_address(written), network)
    assert is_opened_by(ipaddress.ip_address("fe80::1%eth0"), network)
