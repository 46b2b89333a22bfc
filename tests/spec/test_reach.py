"""A manifest's entry means the narrowest that it can, and lets nothing else through."""

from __future__ import annotations

import pytest

from assent.spec.reach import METHODS, Reach, Service


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("api.example.com", "GET,HEAD https://api.example.com"),
        ("API.Example.com:8443", "GET,HEAD https://api.example.com:8443"),
        ("http://127.0.0.1", "GET,HEAD http://127.0.0.1"),
        ("http://127.0.0.1:443", "GET,HEAD http://127.0.0.1:443"),
        ("POST,GET *.example.com", "GET,POST https://*.example.com"),
        ("DELETE [2001:DB8:0::1]:444", "DELETE https://[2001:db8::1]:444"),
        ("*", "GET,HEAD https://*"),
    ],
)
def test_what_is_left_out_is_the_narrowest(written: str, means: str) -> None:
    service = Service.parse(written)
    assert str(service) == means
    assert Service.parse(means) == service


@pytest.mark.parametrize(
    "written",
    [
        "",
        " ",
        "get a.example",
        "GET, POST a.example",
        "GET  a.example",
        "LINK a.example",
        "a.example/path",
        "user@a.example",
        "ftp://a.example",
        "a.*.example",
        "a*.example",
        "*example",
        "**",
        "a.example:0",
        "a.example:65536",
        "a.example:",
        "[::1::2]",
        "a.example b.example",
        "a.example\n",
        "ünïcode.example",
        "\N{KELVIN SIGN}.example",
    ],
)
def test_what_is_no_entry_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"^must have|^must be"):
        Service.parse(written)
    assert Reach.of("p", (written,)).services == ()


@pytest.mark.parametrize(
    ("declared", "allowed", "refused"),
    [
        ("a.example", [("GET", "https", "a.example", 443), ("HEAD", "https", "a.example", 443)], []),
        (
            "a.example",
            [],
            [
                ("POST", "https", "a.example", 443),
                ("GET", "http", "a.example", 80),
                ("GET", "http", "a.example", 443),
                ("GET", "https", "a.example", 8443),
                ("GET", "https", "b.a.example", 443),
                ("GET", "https", "xa.example", 443),
                ("GET", "https", "a.example.evil", 443),
            ],
        ),
        (
            "*.a.example",
            [("GET", "https", "b.a.example", 443), ("GET", "https", "c.b.a.example", 443)],
            [
                ("GET", "https", "a.example", 443),
                ("GET", "https", ".a.example", 443),
                ("GET", "https", "xa.example", 443),
            ],
        ),
        (
            "*",
            [("GET", "https", "anything", 443)],
            [("POST", "https", "anything", 443), ("GET", "http", "anything", 80)],
        ),
    ],
)
def test_an_entry_lets_through_what_it_names(
    declared: str, allowed: list[tuple[str, str, str, int]], refused: list[tuple[str, str, str, int]]
) -> None:
    reach = Reach.of("p", (declared,))
    assert all(reach.allows(*one) for one in allowed)
    assert not any(reach.allows(*one) for one in refused)


def test_nothing_declared_is_nothing() -> None:
    assert not any(Reach.of("p", ()).allows(method, "https", "a.example", 443) for method in METHODS)
