"""Addresses are read in one way or not at all; the cases are those that other readers were caught with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assent.capabilities.net._url import URL_CHARACTERS_MAX, join_url, parse_url, with_query
from assent.invocation import NoEffectError

DATA: Any = json.loads((Path(__file__).parent / "data/urls.json").read_text())


def test_what_two_readers_would_understand_differently_is_refused() -> None:
    """Each of the published tricks ends before anything is resolved or connected to."""
    for url, fact in DATA["refused"]:
        with pytest.raises(NoEffectError) as refusal:
            parse_url(url)
        assert refusal.value.code == "URL_INVALID", fact
        assert refusal.value.message.isprintable(), fact


def test_a_plain_address_is_read_into_its_parts() -> None:
    """Scheme and host in lower case, the host in ASCII, the port a number, the path encoded, no fragment."""
    for url, scheme, host, port, path in DATA["read"]:
        target = parse_url(url)
        assert (target.scheme, target.host, target.port, target.path) == (scheme, host, port, path), url
        assert parse_url(str(target)) == target, url


def test_a_password_in_an_address_is_not_repeated() -> None:
    """The refusal may be read by many."""
    with pytest.raises(NoEffectError) as refusal:
        parse_url("https://ada:correct-horse@example.org/")
    assert "correct-horse" not in str(refusal.value.to_dict())


def test_an_address_is_not_longer_than_it_may_be() -> None:
    """Neither a caller's nor one that a service leads on to."""
    long = f"https://example.org/{'a' * URL_CHARACTERS_MAX}"
    with pytest.raises(NoEffectError):
        parse_url(long)
    with pytest.raises(NoEffectError):
        join_url(parse_url("https://example.org/"), long)


@pytest.mark.parametrize(
    ("location", "found"),
    [
        ("/b", "https://example.org/b"),
        ("b", "https://example.org/a/b"),
        ("../b", "https://example.org/b"),
        ("?q=1", "https://example.org/a/?q=1"),
        ("//other.example/b", "https://other.example/b"),
        ("http://other.example", "http://other.example/"),
        ("", "https://example.org/a/"),
    ],
)
def test_a_location_is_joined_with_where_it_was_sent(location: str, found: str) -> None:
    """As RFC 3986 §5 has it."""
    assert str(join_url(parse_url("https://example.org/a/"), location)) == found


@pytest.mark.parametrize(
    "location",
    [
        "\\\\evil.example/",
        "/\\evil.example/",
        "http://evil.example\t/",
        "\nhttp://evil.example/",
        "http://user@evil.example/",
        "file:///etc/passwd",
        "http://0x7f.1/",
        "http://[::1/",
        "//2130706433/",
        "javascript:alert(1)",
    ],
)
def test_a_location_is_read_as_strictly_as_an_address(location: str) -> None:
    """Joining must not mend what would have been refused."""
    with pytest.raises(NoEffectError) as refusal:
        join_url(parse_url("https://example.org/a/"), location)
    assert refusal.value.code == "URL_INVALID"


def test_a_value_of_the_query_stays_a_value() -> None:
    """Whatever is in it, it becomes neither another parameter nor a fragment."""
    target = with_query(parse_url("https://example.org/?a=1"), [("b&c", "d=e#f\r\n"), ("g", "é+ ")])
    assert target.path == "/?a=1&b%26c=d%3De%23f%0D%0A&g=%C3%A9%2B%20"
    assert with_query(parse_url("https://example.org/"), [("a", "b")]).path == "/?a=b"
