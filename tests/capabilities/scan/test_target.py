"""What a target means: one thing, in one form, and never an option."""

from __future__ import annotations

from typing import Literal

import pytest

from assent.capabilities.scan._target import net_target
from assent.invocation import NoEffectError


@pytest.mark.parametrize(
    ("text", "kind", "word", "port"),
    [
        ("shop.example:8443", "host", "shop.example:8443", 8443),
        ("SHOP.example", "host", "shop.example", None),
        ("[2001:db8::1]:80", "host", "[2001:db8::1]:80", 80),
        ("192.0.2.7:8443", "network", "192.0.2.7", 8443),
        ("[2001:db8::1]:80", "network", "2001:db8::1", 80),
        ("192.0.2.0/28", "network", "192.0.2.0/28", None),
        ("https://shop.example/a?b=1", "url", "https://shop.example/a?b=1", 443),
    ],
)
def test_a_network_is_named_without_its_port_which_is_an_option(
    text: str, kind: Literal["url", "host", "network"], word: str, port: int | None
) -> None:
    found = net_target(text, kind)
    assert (found.text, found.port) == (word, port)


@pytest.mark.parametrize(
    "text",
    [
        "-oX",
        "--host",
        "2130706433",
        "0x7f.1",
        "a b",
        "shop.example:0",
        "[::1",
        "",
        "fe80::1%-oN x",
        "fe80::%x/64",
    ],
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(NoEffectError, match="TARGET_INVALID"):
        net_target(text, "network")


@pytest.mark.parametrize("kind", ["host", "network"])
def test_a_url_where_a_host_is_scanned_is_told_as_such(kind: Literal["host", "network"]) -> None:
    with pytest.raises(NoEffectError, match=f"is a URL, and this scanner takes a {kind}") as refused:
        net_target("https://shop.example/", kind)
    assert "192.0.2.7:8443`" in str(refused.value.hint)
