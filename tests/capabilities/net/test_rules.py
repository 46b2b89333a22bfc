"""Egress rules: what each field lets through, and what a refusal tells the operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assent.capabilities.net import Egress, EgressRule
from assent.capabilities.net._limits import HEAD_BYTES_MAX, HEADER_BYTES_MAX
from assent.capabilities.net._url import parse_url
from assent.capabilities.net.area import http_of
from assent.errors import InputError
from assent.invocation import NoEffectError
from assent.runtime.settings.effective import Settings
from tests.support.web import authority


@pytest.mark.parametrize(
    ("pattern", "host", "fits"),
    [
        ("example.org", "example.org", True),
        ("example.org", "a.example.org", False),
        ("example.org", "notexample.org", False),
        ("example.org", "example.org.evil.example", False),
        ("*.example.org", "a.example.org", True),
        ("*.example.org", "a.b.example.org", True),
        ("*.example.org", "example.org", False),
        ("*.example.org", "evilexample.org", False),
        ("api-*.example.org", "api-eu.example.org", True),
        ("api-*.example.org", "api-eu.evil.example.org", False),
        ("*", "anything.example", True),
        ("exam.le", "example", False),
        ("2606:4700::1", "2606:4700::1", True),
    ],
)
def test_a_host_pattern_fits_whole_labels(pattern: str, host: str, fits: bool) -> None:
    """A star stays in its label; in front it stands for sub-domains, never for the domain itself."""
    url = f"https://[{host}]/" if ":" in host else f"https://{host}/"
    assert EgressRule("one", (pattern,)).fits(parse_url(url), "GET", "user:ada") is fits


def test_every_field_of_a_rule_has_to_fit() -> None:
    """And the refusal says which rule would have to exist."""
    egress = Egress([EgressRule("one", ("api.example.org",), principals=("agent:*",))])
    assert egress.admit(parse_url("https://api.example.org/"), "GET", "agent:bot") == ()
    for url, method, who in (
        ("https://api.example.org/", "POST", "agent:bot"),
        ("https://api.example.org/", "GET", "user:ada"),
        ("https://api.example.org:444/", "GET", "agent:bot"),
        ("http://api.example.org/", "GET", "agent:bot"),
        ("https://example.org/", "GET", "agent:bot"),
    ):
        with pytest.raises(NoEffectError) as refusal:
            egress.admit(parse_url(url), method, who)
        assert refusal.value.code == "EGRESS_DENIED"
        rule: Any = refusal.value.details["rule"]
        defaults: dict[str, Any] = {
            "ports": [80 if rule.get("schemes") == ["http"] else 443],
            "schemes": ["https"],
        }
        made: dict[str, Any] = {
            name: frozenset(value) for name, value in (defaults | rule).items() if name != "hosts"
        }
        assert (
            Egress([EgressRule("made", tuple(rule["hosts"]), **made)]).admit(parse_url(url), method, who)
            == ()
        )


def settings(folder: Path, text: str) -> Settings:
    """What a workspace with this `[net]` works with."""
    (folder / "assent.toml").write_text(text)
    return Settings.resolve(workspace=folder, environ={"HOME": str(folder)}, cwd=folder)


def test_rules_and_limits_are_read_from_the_configuration(tmp_path: Path) -> None:
    """Names become rules, ports follow from schemes where none are said, paths are relative to the file."""
    ca_file = authority(tmp_path / "certs", "localhost").ca_file
    found = settings(
        tmp_path,
        '[net]\ntimeout = "5s"\nredirects = 2\nca_bundle = "certs/ca.pem"\n'
        '[net.rules.api]\nhosts = ["API.Example.org.", "[::1]"]\nmethods = ["POST", "GET"]\n'
        '[net.rules.inside]\nhosts = ["*"]\nschemes = ["http", "https"]\nprivate = ["10.0.0.0/8"]\nprincipals = ["user:ada"]\n',
    )
    http = http_of(found.areas["net"])
    assert (http.limits.timeout_ms, http.limits.redirects) == (5000, 2)
    assert http.limits.ca_bundle == ca_file
    api, inside = http.egress.rules
    assert (api.hosts, api.methods, api.ports) == (
        ("api.example.org", "::1"),
        frozenset({"GET", "POST"}),
        frozenset({443}),
    )
    assert (inside.ports, str(inside.private[0]), inside.principals) == (
        frozenset({80, 443}),
        "10.0.0.0/8",
        ("user:ada",),
    )
    shown = {one.name: one for one in found.effective}
    assert shown["net.rules.api"].source == f"{tmp_path / 'assent.toml'}:5"
    assert shown["net.timeout"].value == 5000


def test_headers_may_be_as_long_as_the_library_reads_and_no_longer(tmp_path: Path) -> None:
    """What would have no effect is refused."""
    most = f"[net]\nheader_bytes = {HEADER_BYTES_MAX}\n"
    assert (
        http_of(settings(tmp_path, most).areas["net"]).limits.header_bytes
        == HEADER_BYTES_MAX
        < HEAD_BYTES_MAX
    )
    with pytest.raises(InputError) as refusal:
        settings(tmp_path, most.replace(str(HEADER_BYTES_MAX), str(HEADER_BYTES_MAX + 1)))
    assert refusal.value.code == "CONFIG_INVALID"


def test_without_rules_the_default_is_shown(tmp_path: Path) -> None:
    """`assent doctor` tells what holds, also when nobody said anything."""
    shown = {one.name: one.value for one in settings(tmp_path, "").effective}
    assert "80" in str(shown["net.rules"])


@pytest.mark.parametrize(
    "line",
    [
        'hosts = "a.example"',
        "hosts = []",
        'hosts = ["https://a.example"]',
        'hosts = ["a.example:443"]',
        'hosts = ["a b"]',
        'hosts = ["**.-"]',
        'methods = ["TRACE"]',
        'methods = ["get"]',
        'schemes = ["ftp"]',
        "ports = [0]",
        "ports = [true]",
        'ports = ["443"]',
        'private = ["10.0.0.1/8"]',
        'private = ["everything"]',
        "principals = [1]",
        "host = 1",
    ],
)
def test_a_rule_that_says_something_else_is_refused_with_its_place(tmp_path: Path, line: str) -> None:
    """File, line and column; nothing runs under rules that are half understood."""
    name = line.partition(" ")[0]
    more = "" if name == "hosts" else 'hosts = ["a.example"]\n'
    with pytest.raises(InputError) as refusal:
        settings(tmp_path, f"[net.rules.one]\n{line}\n{more}")
    assert refusal.value.code == "CONFIG_INVALID"
    assert refusal.value.path == f"{tmp_path / 'assent.toml'}:2:1"


def test_a_rule_needs_hosts(tmp_path: Path) -> None:
    """One without any would let everything out, or nothing."""
    with pytest.raises(InputError, match="needs `hosts`"):
        settings(tmp_path, "[net.rules.one]\nports = [443]\n")


def test_the_rule_that_a_refusal_tells_is_enough() -> None:
    """A private address is opened by the same rule, and whoever writes the first one is told what it closes."""
    target = parse_url("http://127.0.0.1:8765/a")
    with pytest.raises(NoEffectError) as refused:
        Egress().admit(target, "GET", "user:ada")
    assert str(refused.value.hint).endswith(
        '`[net.rules.NAME]` with hosts = ["127.0.0.1"], methods = ["GET"], schemes = ["http"], ports = [8765], '
        'private = ["127.0.0.1/32"]; once there is a rule, only what rules name may leave'
    )
    with pytest.raises(NoEffectError) as unnamed:
        Egress([EgressRule("one", ("x.example",))]).admit(
            parse_url("https://93.184.216.34/"), "GET", "user:ada"
        )
    assert str(unnamed.value.hint).endswith('hosts = ["93.184.216.34"], methods = ["GET"]')
