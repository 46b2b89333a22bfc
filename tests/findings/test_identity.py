"""One matter has one fingerprint, and two hosts never share one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.findings import Kind, Location, fingerprint_of
from assent.findings.identity import RECIPE, normal_file, normal_host, place_of
from tests.support.properties import holds

ALIKE = [
    (
        "HTTP://Shop.Example/",
        "http://shop.example",
        "http://shop.example.:80/",
        "http://me:pw@shop.example:080",
    ),
    ("https://h/a/b", "https://h:443/./x/../a/b", "https://h/%61/b", "https://h/a/b#there"),
    ("https://h/%C3%A9", "https://h/é", "https://h/%c3%a9"),
    ("https://h/p?a=1&b=2", "https://h/p?b=&a", "https://h/p?a=9&a=8&b=1", "https://h/p?%61&&b"),
    ("http://bücher.example/", "http://xn--bcher-kva.example/", "http://BÜCHER.example/"),
    ("http://[2001:db8::7]/", "http://[2001:DB8:0:0:0:0:0:7]:80/"),
    ("2001:db8::7", "[2001:db8::7]", "2001:0db8::0007"),
    ("shop.example:8443", "SHOP.example:08443"),
    ("http://h", "http://h/", "http://h/..", "http://h/a/../.."),
]
APART = [
    "http://a/",
    "https://a/",
    "http://b/",
    "http://a:8080/",
    "http://a/b",
    "http://a/B",
    "http://a/b/",
    "http://a/b%2Fc",
    "http://a/b/c",
    "http://a/?b",
    "http://a/?b&c",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://127.0.0.1/",
    "http://127.1/",
    "a",
    "a:80",
    "a:bc",
    "abc",
    "a\\b",
    "http://a\\@b/",
    "http://b\\@a/",
    "mailto:a@b",
    "",
]


@pytest.mark.parametrize("spellings", ALIKE, ids=lambda one: one[0])
def test_spellings_of_one_place_are_one(spellings: tuple[str, ...]) -> None:
    assert len({place_of(one) for one in spellings}) == 1


def test_places_that_differ_stay_apart() -> None:
    found = [place_of(one) for one in APART]
    assert len({*found}) == len({*map(str, found)}) == len(APART)


@pytest.mark.parametrize("text", [one for group in ALIKE for one in group] + APART)
def test_a_normal_form_stays_as_it_is(text: str) -> None:
    once = str(place_of(text))
    assert str(place_of(once)) == once


LABELS = st.text("abcxyz019-éü中", min_size=1, max_size=8)
HOSTS = st.one_of(
    st.lists(LABELS, min_size=1, max_size=3).map(".".join),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda one: f"[{one}]"),
)
PATHS = st.lists(st.text("aB.~%/é ;=", max_size=5), max_size=4).map(
    lambda names: "".join(f"/{one}" for one in names)
)
KINDS = st.sampled_from(Kind)


@holds("one_identity")
@given(kind=st.sampled_from([Kind.WEB, Kind.SITE, Kind.NETWORK]), one=HOSTS, other=HOSTS, path=PATHS)
def test_two_hosts_are_never_one(kind: Kind, one: str, other: str, path: str) -> None:
    def found(host: str) -> str:
        at = Location(host=host) if kind is Kind.NETWORK else Location(url=f"https://{host}{path}")
        return fingerprint_of(kind, "a.b", at).value

    assert (found(one) == found(other)) == (normal_host(one) == normal_host(other))


@holds("one_identity")
@given(
    host=HOSTS,
    path=PATHS,
    port=st.sampled_from(["", ":443", ":0443"]),
    values=st.lists(st.text("a1=", max_size=3)),
)
def test_what_changes_while_the_matter_stays_the_same_is_no_part(
    host: str, path: str, port: str, values: list[str]
) -> None:
    one = Location(url=f"https://{host}{path}?q", parameter="q")
    query = "&".join(f"q={value}" for value in ["", *values])
    other = Location(
        url=f"HTTPS://me@{host.upper() if host.isascii() else host}{port}{path}?{query}#top",
        parameter="q",
        method="POST",
        line=len(values),
        snippet=query,
        version="2",
    )
    assert fingerprint_of(Kind.WEB, "a.b", one) == fingerprint_of(Kind.WEB, "a.b", other)


@holds("one_identity")
@given(kind=KINDS, text=st.text(max_size=20), other=st.text(max_size=20))
def test_any_text_has_a_place_and_parts_never_run_into_each_other(kind: Kind, text: str, other: str) -> None:
    place_of(text)
    at = Location(name=text + "x", path=other)
    swapped = Location(name=text, path="x" + other)
    if kind in (Kind.CODE, Kind.SETTING):
        assert fingerprint_of(kind, "a", at) != fingerprint_of(kind, "a", swapped)


FINGERPRINTS: list[tuple[Kind, Location, str]] = [
    (
        Kind.WEB,
        Location(url="https://shop.example/a?b=1", parameter="b"),
        "41e9b013d9d84df0e1319481205039d936d9756793dea76b430519bccebf0537",
    ),
    (
        Kind.SITE,
        Location(url="https://shop.example/a?b=1"),
        "daa0b5123583e0be03491b04d936e0cd49981fdf679b1c8c247aadce0c77d93e",
    ),
    (
        Kind.NETWORK,
        Location(host="2001:db8::7", port=443),
        "f9c6c671ad81b5629011124e69916253a4f6ff7bd8beb3f09a577cddf2bedca6",
    ),
    (
        Kind.CODE,
        Location(path="src\\a.py", snippet="eval( x )", line=3),
        "f0d4c39aa0a83740eb0c672b4db00efa260541088ecdff9e092530ac793063eb",
    ),
    (
        Kind.DEPENDENCY,
        Location(package="pkg:pypi/x", version="1.0"),
        "555b96ffcf75a3587a0c6e95cfa7def986cc64f9c6ea56320c6b987f01ce7517",
    ),
    (
        Kind.SETTING,
        Location(path="./Dockerfile", name="USER"),
        "2ac840a74843842a4edf59eaeb70884368352b799205b6bdb66bed35694fadac",
    ),
]


@pytest.mark.parametrize(("kind", "at", "value"), FINGERPRINTS, ids=[one.value for one in Kind])
def test_a_recipe_never_changes(kind: Kind, at: Location, value: str) -> None:
    """Whoever changes what comes out here has made a new recipe, and what is stored needs a migration."""
    found = fingerprint_of(kind, "tool.rule", at)
    assert (found.recipe, found.value) == (RECIPE, value)


def test_what_is_missing_at_one_address_is_told_apart_by_its_name() -> None:
    names = ("X-Frame-Options", "Strict-Transport-Security", "")
    found = [
        fingerprint_of(Kind.WEB, "a.headers", Location(url="https://h/", name=name)).value for name in names
    ]
    assert len({*found}) == 3
    assert fingerprint_of(Kind.WEB, "a.headers", Location(url="https://h/")).value == found[-1]


def test_a_service_is_the_same_by_its_url_and_by_its_port() -> None:
    ways: list[dict[str, Any]] = [
        {"url": "https://H.example/x"},
        {"host": "h.example", "port": 443},
        {"url": "h.example:443"},
    ]
    assert len({fingerprint_of(Kind.NETWORK, "a", Location(**one)) for one in ways}) == 1
    assert fingerprint_of(
        Kind.NETWORK, "a", Location(host="h.example", port=443, protocol="UDP")
    ) != fingerprint_of(Kind.NETWORK, "a", Location(host="h.example", port=443))
    one, other = (Location(host="::1", port=80), Location(url="[::1]:80"))
    assert fingerprint_of(Kind.WEB, "a", one) == fingerprint_of(Kind.WEB, "a", other)


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("./src//a.py", "src/a.py"),
        ("C:\\src\\a.py", "c:/src/a.py"),
        ("file:///src/a.py", "/src/a.py"),
        ("/src/../a.py", "/src/../a.py"),
        ("A.py", "A.py"),
        ("", ""),
    ],
)
def test_files(path: str, normal: str) -> None:
    assert normal_file(path) == normal
    assert normal_file(normal) == normal


@pytest.mark.parametrize("host", ["-_.中", "[::1", "a..b", "[zz::1]", "EXAMPLE"])
def test_a_host_that_is_none_has_a_normal_form_all_the_same(host: str) -> None:
    assert normal_host(normal_host(host)) == normal_host(host)
