"""What a plugin declares and `[net]` would refuse is told beforehand, with the line that would open it."""

from __future__ import annotations

from pathlib import Path

import pytest

from assent.runtime.settings.effective import Settings
from assent.runtime.wiring._plugin_reach import Shut, shut_services


def shut(folder: Path, configuration: str, *declared: str) -> list[Shut]:
    (folder / "assent.toml").write_text(configuration)
    settings = Settings.resolve(workspace=folder, environ={"HOME": str(folder)}, cwd=folder)
    return shut_services("acme", declared, settings)


ACME = '[net.rules.a]\nhosts = ["api.acme.example"]\n'


@pytest.mark.parametrize(
    ("configuration", "declared"),
    [
        ("", "GET,POST api.acme.example"),
        ("", "*.acme.example"),
        ("", "*"),
        ("", "http://api.acme.example"),
        ("", "8.8.8.8"),
        ("", "[2606:4700::1111]"),
        (ACME, "api.acme.example"),
        (ACME, "*.acme.example"),
        (ACME, "*"),
        (f'{ACME}principals = ["agent:*"]\n', "api.acme.example"),
        (f'{ACME}methods = ["GET", "POST"]\n', "POST api.acme.example"),
        ('[net.rules.a]\nhosts = ["*.example"]\n', "*.acme.example"),
        ('[net.rules.a]\nhosts = ["api-*.acme.example"]\n', "*.acme.example"),
        (
            '[net.rules.a]\nhosts = ["*"]\nschemes = ["http"]\nports = [8080]\nprivate = ["127.0.0.0/8"]\n',
            "http://localhost:8080",
        ),
    ],
)
def test_what_is_let_out_is_not_told(tmp_path: Path, configuration: str, declared: str) -> None:
    assert shut(tmp_path, configuration, declared) == []


@pytest.mark.parametrize(
    ("configuration", "declared", "what", "why", "hint"),
    [
        (
            "",
            "api.acme.example:8443",
            "GET,HEAD https://api.acme.example:8443",
            "port 8443 is none of the web's own",
            '`[net.rules.acme]` in assent.toml with hosts = ["api.acme.example"], methods = ["GET", "HEAD"], ports = [8443];',
        ),
        (
            "",
            "http://127.0.0.1",
            "GET,HEAD http://127.0.0.1",
            "its address `127.0.0.1` is not a public one: loopback",
            'schemes = ["http"], private = ["127.0.0.1/32"];',
        ),
        (
            "",
            "http://localhost",
            "GET,HEAD http://localhost",
            "its address `127.0.0.1` is not a public one: loopback",
            'hosts = ["localhost"], methods = ["GET", "HEAD"], schemes = ["http"], private = ["127.0.0.1/32"];',
        ),
        (
            "",
            "http://169.254.169.254",
            "GET,HEAD http://169.254.169.254",
            "its address `169.254.169.254` is not a public one: a cloud's metadata service",
            'private = ["169.254.169.254/32"];',
        ),
        (
            ACME,
            "POST,GET api.acme.example",
            "POST https://api.acme.example",
            "no rule of `[net]` names it",
            'methods = ["GET", "HEAD", "POST"] in `[net.rules.a]` (',
        ),
        (
            ACME,
            "http://api.acme.example:8080",
            "GET,HEAD http://api.acme.example:8080",
            "no rule of `[net]` names it",
            'schemes = ["http", "https"], ports = [443, 8080] in `[net.rules.a]` (',
        ),
        (
            ACME,
            "*.other.example",
            "GET,HEAD https://*.other.example",
            "no rule of `[net]` names it",
            '`[net.rules.acme]` in assent.toml with hosts = ["*.other.example"], methods = ["GET", "HEAD"]',
        ),
        (
            ACME,
            "PUT *",
            "PUT https://*",
            "no rule of `[net]` names it",
            'methods = ["GET", "HEAD", "PUT"] in `[net.rules.a]` (',
        ),
        (
            '[net.rules.a]\nhosts = ["10.0.0.7"]\nprivate = ["10.1.0.0/16"]\n',
            "10.0.0.7",
            "GET,HEAD https://10.0.0.7",
            "its address `10.0.0.7` is not a public one: private",
            'private = ["10.1.0.0/16", "10.0.0.7/32"] in `[net.rules.a]` (',
        ),
        (
            '[net.rules.a]\nhosts = ["10.0.0.7"]\nprivate = ["10.0.0.0/16"]\n',
            "PUT 10.0.0.7",
            "PUT https://10.0.0.7",
            "no rule of `[net]` names it",
            'if it should: methods = ["GET", "HEAD", "PUT"] in `[net.rules.a]` (',
        ),
    ],
)
def test_what_would_be_refused_is_told_with_the_line_that_would_open_it(  # noqa: PLR0917  # a table
    tmp_path: Path, configuration: str, declared: str, what: str, why: str, hint: str
) -> None:
    (one,) = shut(tmp_path, configuration, declared, *(["api.acme.example"] if configuration == ACME else []))
    assert (one.what, one.why) == (what, why)
    assert hint in one.hint


def test_the_place_of_the_rule_is_named(tmp_path: Path) -> None:
    (one,) = shut(tmp_path, f"\n\n{ACME}", "PUT api.acme.example")
    assert one.hint.endswith("assent.toml:3)")


def test_a_plugin_that_declares_nothing_is_not_looked_at(tmp_path: Path) -> None:
    assert shut(tmp_path, ACME) == []
