"""The written scope: who and what is in it, and when it holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.capabilities.scan._scope import Scope, Window
from assent.capabilities.scan._target import Address, net_target
from assent.errors import InputError
from assent.invocation import NoEffectError
from tests.support.bodies import Place


def scope(**said: Any) -> Scope:
    found = Scope.of({"principals": ["*"], **said})
    assert found is not None
    return found


def refusal(one: Scope, text: str, kind: Any = "host", who: str = "user:ann") -> str | None:
    try:
        one.require(net_target(text, kind), who)
    except NoEffectError as error:
        return error.message
    return None


def test_who_and_what_is_in() -> None:
    one = scope(
        hosts=["app.example.org", "*.example.net"],
        networks=["10.20.0.0/24", "2001:db8::/32"],
        ports=["443", "8000-8100"],
        principals=["user:*"],
        **{"except": ["admin.example.net", "10.20.0.128/25"]},
    )
    for text in (
        "app.example.org",
        "a.b.example.net",
        "10.20.0.7",
        "[2001:db8::1]:8050",
        "app.example.org:443",
    ):
        assert refusal(one, text) is None, text
    assert refusal(one, "10.20.0.0/25", "network") is None
    for text in (
        "example.net",
        "admin.example.net",
        "x.app.example.org",
        "10.20.0.200",
        "10.21.0.1",
        "2001:db9::1",
    ):
        assert "is not in the scope" in str(refusal(one, text)), text
    for text in ("10.20.0.0/24", "10.20.0.0/16"):
        assert "is not in the scope" in str(refusal(one, text, "network")), text
    assert refusal(one, "app.example.org:80") == "port 80 is not in the scope"
    assert refusal(one, "app.example.org", who="agent:a") == "`agent:a` may not scan"


@pytest.mark.parametrize(
    ("out", "name", "is_in"),
    [
        ("admin.example.net", "admin.example.net", False),
        ("admin.example.net", "db.admin.example.net", False),
        ("admin.example.net", "a.b.admin.example.net", False),
        ("admin.example.net", "noadmin.example.net", True),
        ("*.admin.example.net", "db.admin.example.net", False),
        ("*.admin.example.net", "admin.example.net", True),
        ("net", "x.example.net", False),
    ],
)
def test_a_name_that_is_out_takes_out_what_is_below_it(out: str, name: str, *, is_in: bool) -> None:
    one = scope(hosts=["*.example.net"], **{"except": [out]})
    assert (refusal(one, name) is None) is is_in


MAPPED, TRANSLATED, NAT64, LOCAL_NAT64, COMPATIBLE = (
    0xFFFF << 32, 0xFFFF << 48, 0x64_FF9B << 96, 0x64_FF9B_0001 << 80, 0,
)  # fmt: skip
FORMS = st.sampled_from([MAPPED, TRANSLATED, NAT64, LOCAL_NAT64, COMPATIBLE])


def forms(number: int) -> list[Address]:
    """An IPv4 address, and all ways to write it as one of IPv6 that somebody may take for it."""
    alike = [IPv6Address(prefix | number) for prefix in (MAPPED, TRANSLATED, NAT64, LOCAL_NAT64, COMPATIBLE)]
    return [IPv4Address(number), *alike, IPv6Address((0x2002 << 112) | (number << 80) | 1)]


@given(st.integers(2, (1 << 32) - 1), st.integers(8, 32), st.booleans())
def test_no_form_of_an_ipv4_address_gets_past_what_is_out(number: int, length: int, as_mapped: bool) -> None:
    """Whichever networks are in, as a target, as what a name has, and where the scanner goes."""
    out = IPv4Network((number, length), strict=False)
    said = str(IPv6Network((MAPPED | int(out[0]), 96 + length))) if as_mapped else str(out)
    one = scope(hosts=["app.example.org"], networks=["0.0.0.0/0", "::/0"], **{"except": [said]})
    for address in forms(number):
        assert refusal(one, str(address)) is not None, address
        assert refusal(one, f"[{address}]:443" if address.version == 6 else f"{address}:443") is not None
        assert (
            refusal(one, f"http://{f'[{address}]' if address.version == 6 else address}/", "url") is not None
        )
        assert not one.network({}).permits(address, 443), address
        with pytest.raises(NoEffectError):
            one.require_addresses("app.example.org", [address])
    inside = scope(networks=["0.0.0.0/0", "::/0"])
    for address in forms(number):
        assert refusal(inside, str(address)) is None, address
        assert inside.network({}).permits(address, 443), address


@given(st.sampled_from(["10.1.2.3", "127.0.0.1", "169.254.169.254", "192.168.0.1", "224.0.0.1"]))
def test_no_form_of_a_special_address_is_in_unless_it_is_named(special: str) -> None:
    """By no name, and by no network of IPv6: it is the IPv4 address that has to be named."""
    number = int(IPv4Address(special))
    one = scope(hosts=["app.example.org"], networks=["::/0"])
    named = scope(hosts=["app.example.org"], networks=["::/0", special])
    for address in forms(number):
        assert refusal(one, str(address)) is not None, address
        assert not one.network({}).permits(address, 80), address
        with pytest.raises(NoEffectError):
            one.require_addresses("app.example.org", [address])
        assert refusal(named, str(address)) is None, address
        named.require_addresses("app.example.org", [address])
        assert named.network({}).permits(address, 80), address


@given(st.integers(0, (1 << 32) - 1), st.integers(0, 32), FORMS, st.integers(0, 32))
def test_a_network_holds_an_address_that_is_out_in_every_form(
    number: int, length: int, form: int, out_length: int
) -> None:
    """A target that is a network of IPv6 and carries any address that is out is out."""
    wanted = IPv6Network((form | number, 96 + length), strict=False)
    out = IPv4Network((number, out_length), strict=False)
    one = scope(networks=["0.0.0.0/0", "::/0"], **{"except": [str(out)]})
    if int(wanted[-1]) > 1:  # `::` and `::1` carry nothing
        assert refusal(one, str(wanted), "network") is not None, (wanted, out)


def test_a_network_without_what_is_out_is_in() -> None:
    one = scope(networks=["0.0.0.0/0", "::/0"], **{"except": ["10.0.0.0/8"]})
    for text in (
        "64:ff9b::b00:0/104",
        "2002:b00::/24",
        "2001:db8::/32",
        "::ffff:11.0.0.0/104",
        "::1/128",
        "64:ff9b:1::/128",
    ):
        assert refusal(one, text, "network") is None, text
    for text in ("64:ff9b:1::/64", "2002::/16", "::/0", "2000::/3", "64:ff9b:1::ff00:0:0/90"):
        assert refusal(one, text, "network") is not None, text


def test_a_mapped_address_is_the_ipv4_one() -> None:
    one = scope(networks=["::ffff:192.0.2.0/120"])
    target = net_target("::ffff:192.0.2.7", "host")
    assert (target.text, target.host) == ("192.0.2.7", "192.0.2.7")
    assert net_target("[::ffff:192.0.2.7]:80", "host").text == "192.0.2.7:80"
    assert net_target("::ffff:192.0.2.0/121", "network").text == "192.0.2.0/25"
    for text in ("192.0.2.7", "::ffff:192.0.2.7", "[::ffff:c000:207]:80"):
        assert refusal(one, text) is None
    assert refusal(one, "::ffff:192.0.2.0/119", "network") is not None


def test_nothing_named_is_no_scope() -> None:
    assert Scope.of({"ports": ["443"], "principals": ["*"]}) is None


@pytest.mark.parametrize(
    ("address", "is_in"),
    [
        ("203.0.113.9", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("10.20.0.1", True),
        ("198.51.100.1", False),
    ],
)
def test_a_name_alone_leads_neither_to_the_machine_nor_to_its_neighbours(
    address: str, *, is_in: bool
) -> None:
    one = scope(hosts=["app.example.org"], networks=["10.20.0.0/24"], **{"except": ["198.51.100.0/24"]})
    if is_in:
        one.require_addresses("app.example.org", [ip_address(address)])
        return
    with pytest.raises(NoEffectError, match=f"resolves to `{address}`"):
        one.require_addresses("app.example.org", [ip_address("203.0.113.9"), ip_address(address)])


@pytest.mark.parametrize(
    ("times", "now", "left"),
    [
        ("mon-fri 20:00-06:00", "2026-11-24T21:00", timedelta(hours=9)),
        ("mon-fri 20:00-06:00", "2026-11-28T05:30", timedelta(minutes=30)),
        ("mon-fri 20:00-06:00", "2026-11-28T21:00", None),
        ("mon-fri 20:00-06:00", "2026-11-24T12:00", None),
        ("fri-mon 08:00-09:00", "2026-11-22T08:30", timedelta(minutes=30)),
        ("sat,sun 00:00-24:00", "2026-11-22T00:00", timedelta(hours=24)),
        ("22:00-05:00", "2026-11-24T05:00", None),
        ("00:00-24:00", "2026-03-29T00:00", timedelta(hours=23)),
    ],
)
def test_a_window_is_a_time_of_its_zone(times: str, now: str, left: timedelta | None) -> None:
    """Also in the night in which clocks are put forward."""
    one = scope(networks=["10.0.0.0/8"], times=[times], zone="Europe/Vienna")
    moment = datetime.fromisoformat(now).replace(tzinfo=one.zone)
    if left is not None:
        assert one.time_left(moment.astimezone(UTC)) == left
        return
    with pytest.raises(NoEffectError, match="no scan may run at this time"):
        one.time_left(moment.astimezone(UTC))


def test_a_scope_holds_from_its_first_to_its_last_day() -> None:
    one = scope(networks=["10.0.0.0/8"], zone="Europe/Vienna", until="2026-11-30", **{"from": "2026-11-01"})
    assert one.time_left(datetime(2026, 11, 30, 22, tzinfo=UTC)) == timedelta(hours=1)
    for wrong in (datetime(2026, 10, 31, 22, tzinfo=UTC), datetime(2026, 11, 30, 23, tzinfo=UTC)):
        with pytest.raises(NoEffectError, match=r"the scope (begins|ended) at 2026-1[12]-01T00:00"):
            one.time_left(wrong)
    assert scope(networks=["10.0.0.0/8"]).time_left(datetime.now(UTC)) is None


@pytest.mark.parametrize(
    "text", ["", "mon", "mon-fri", "20:00", "xyz 20:00-21:00", "25:00-26:00", "mon 20:00"]
)
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Window.parse(text)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('hosts = ["10.0.0.1"]', "can't hold `10.0.0.1`: a host is a name"),
        ('hosts = ["a*.example.org"]', "a host is a name, or `*.`"),
        ('networks = ["10.0.0.1/8"]', "a network is an address"),
        ('ports = ["8100-8000"]', "ports are between 1 and 65535"),
        ('ports = ["٤٤٣"]', "ports are between 1 and 65535"),
        ("ports = [true]", "must be a list of ports and ranges"),
        ("ports = []", "must be a list of ports and ranges"),
        ('hosts = ["2130706433"]', "a host is a name"),
        ('except = ["0x7f.1"]', "neither a host nor a network"),
        ('networks = ["fe80::1%eth0"]', "a network is an address"),
        ('times = ["night"]', "a time is `20:00-06:00`"),
        ('zone = "Middle/Earth"', "names `Middle/Earth`, which is no time zone"),
        ('until = "soon"', "must be a day or a moment"),
        ("host = []", "has no key `host`"),
    ],
)
def test_a_scope_that_nobody_could_mean_is_refused_with_its_line(
    tmp_path: Path, line: str, says: str
) -> None:
    place = Place(tmp_path)
    place.workspace.mkdir()
    (place.workspace / "assent.toml").write_text(f"[scan.scope]\n{line}\n")
    with pytest.raises(InputError) as refused:
        place.settings()
    assert (refused.value.code, "assent.toml:2" in str(refused.value.to_dict())) == ("CONFIG_INVALID", True)
    assert says in refused.value.message
