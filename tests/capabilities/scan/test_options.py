"""What a caller sets, what is scanned, and the words that come of both."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from assent.capabilities.scan._manifest import read_tool
from assent.capabilities.scan._options import options_of, ports_of, words_of
from assent.capabilities.scan._scanners import BUILT_IN
from assent.capabilities.scan._target import net_target, path_word
from assent.invocation import NoEffectError
from tests.capabilities.scan.conftest import PROBE

TOOL = read_tool(
    PROBE.format(kind="active", time="60s")
    .replace('"{words}"]]', '"{words}"], ["-n{count}", "--level={level}"]]')
    .replace("[limits]", '[options.count]\ntype = "number"\nabout = "a count"\nleast = 2\nmost = 9\n'
             '[options.level]\ntype = "choice"\nabout = "a level"\nchoices = ["low", "high"]\ndefault = "low"\n[limits]')
    .encode(),
    "probe.toml",
)  # fmt: skip


def test_a_group_is_there_when_all_that_it_names_is_set() -> None:
    values = {"target": "http://h/", **options_of(TOOL, {})}
    assert words_of(TOOL, values) == ("http://h/",)
    values |= options_of(TOOL, {"noisy": True, "count": 3, "more": "a b"})
    assert words_of(TOOL, values) == ("http://h/", "--more", "a b", "--noisy", "-n3", "--level=low")
    assert "--noisy" not in words_of(TOOL, values | options_of(TOOL, {"noisy": "false"}))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"mroe": "x"}, "has no option `mroe`"),
        ({"more": "--help"}, "does not begin with `-`"),
        ({"more": "a\nb"}, "does not begin with `-`"),
        ({"more": "a;b"}, "must be more places to go to"),
        ({"more": True}, "must be text"),
        ({"noisy": "perhaps"}, "must be true or false"),
        ({"count": 1}, "between 2 and 9"),
        ({"count": "10"}, "between 2 and 9"),
        ({"count": True}, "between 2 and 9"),
        ({"level": "middle"}, "must be one of `low`, `high`"),
        ({"ports": "80,"}, "must be ports and ranges"),
        ({"ports": "90-80"}, "must be ports and ranges"),
        ({"ports": "0"}, "must be ports and ranges"),
    ],
)
def test_an_option_out_of_its_bounds_is_refused(given: dict[str, str | int | bool], says: str) -> None:
    with pytest.raises(NoEffectError) as refused:
        options_of(TOOL, given)
    assert (refused.value.code, refused.value.path) == ("OPTION_INVALID", f"options.{next(iter(given))}")
    assert says in refused.value.message


@pytest.mark.parametrize(
    ("tool", "form"), [("semgrep", "--option rules=PATH"), ("ffuf", "--option wordlist=FILE")]
)
def test_an_option_that_is_needed_is_told_as_it_is_typed(tool: str, form: str) -> None:
    with pytest.raises(NoEffectError, match="needs the option") as refused:
        options_of(read_tool((BUILT_IN / f"{tool}.toml").read_bytes(), tool), {})
    assert form in str(refused.value.hint)


def test_ports_are_read_as_ranges() -> None:
    assert ports_of("ports", "80,443,8000-8100") == ((80, 80), (443, 443), (8000, 8100))
    with pytest.raises(NoEffectError):
        ports_of("ports", "80," * 400 + "80")


@pytest.mark.parametrize(
    ("kind", "text", "given", "where", "port"),
    [
        ("url", "HTTP://App.Example.org:8080/a?b#c", "http://app.example.org:8080/a?b", "app.example.org", 8080),
        ("url", "https://[::1]/", "https://[::1]/", ip_network("::1"), 443),
        ("host", "App.example.org.", "app.example.org", "app.example.org", None),
        ("host", "app.example.org:8443", "app.example.org:8443", "app.example.org", 8443),
        ("host", "[2001:db8::7]:443", "[2001:db8::7]:443", ip_network("2001:db8::7"), 443),
        ("host", "2001:DB8::7", "2001:db8::7", ip_network("2001:db8::7"), None),
        ("network", "192.0.2.0/28", "192.0.2.0/28", ip_network("192.0.2.0/28"), None),
        ("network", "192.0.2.7", "192.0.2.7", ip_network("192.0.2.7"), None),
    ],
)  # fmt: skip
def test_a_target_is_given_in_one_form(
    kind: str, text: str, given: str, where: object, port: int | None
) -> None:
    found = net_target(text, kind)  # type: ignore[arg-type]  # one of the three
    assert (found.text, found.where, found.port) == (given, where, port)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("url", "-u"), ("url", "ftp://h/"), ("url", "http://u:p@h/"), ("host", "-oN"), ("host", "a b"), ("host", "h:0"),
        ("host", "h:99999"), ("host", "0x7f.1"), ("host", "2130706433"), ("host", "127.1"), ("host", "a..b"), ("host", ""),
        ("host", "192.0.2.0/24"), ("network", "192.0.2.7/24"), ("network", "h/24"), ("url", "http://2130706433/"),
    ],
)  # fmt: skip
def test_what_is_no_target_is_refused(kind: str, text: str) -> None:
    with pytest.raises(NoEffectError) as refused:
        net_target(text, kind)  # type: ignore[arg-type]  # one of the three
    assert refused.value.code in {"TARGET_INVALID", "URL_INVALID"}


def test_a_path_is_never_an_option() -> None:
    assert (path_word("-rf"), path_word("src")) == ("./-rf", "src")
