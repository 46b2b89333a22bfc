from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assent.knowledge.cleaning import clean
from assent.knowledge.cleaning import rules as looked
from assent.knowledge.cleaning._checks import CHECKS, Found, Kind
from assent.knowledge.cleaning.cleaning import glance
from assent.knowledge.cleaning.rules import Hit, Rule, automaton, hits, kind_of, rules, vector
from tests.support.seeds import IS_EXPLORING


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.id)
def test_a_rule_finds_what_it_says_and_nothing_of_what_it_says_not(rule: Rule) -> None:
    assert rule.yes
    assert rule.no
    for text in rule.yes:
        found = clean("x.data", vector(text))
        assert rule.id in {one.rule for one in found.removed}, text
        assert f"[removed: {rule.id}]".encode() in found.text
    for text in rule.no:
        assert rule.id not in {one.rule for one in clean("x.data", vector(text)).removed}, text


def test_ids_are_of_one_rule_and_checks_are_known() -> None:
    assert len({rule.id for rule in rules()}) == len(rules()) > 100
    assert {rule.check for rule in rules()} - {None} == {*CHECKS}
    assert all(rule.keywords == tuple(map(str.lower, rule.keywords)) for rule in rules())


NOT_ALONE = {"aws-keys-in-table", "kubernetes-secret", "url-password-escaped"}
"""Rules that are looked for where something else stands in the file; and what finds URLs that another rule finds, too."""


@pytest.mark.parametrize("rule", [one for one in rules() if not one.assigned], ids=lambda one: one.id)
def test_whatever_a_pattern_finds_has_one_of_its_keywords_and_opens_its_rule(rule: Rule) -> None:
    """A rule whose keyword is not there, or nothing of `apart`, is not asked, so what it alone finds would be missed."""

    @settings(max_examples=30 if IS_EXPLORING else 3, deadline=None, suppress_health_check=[*HealthCheck])
    @given(st.from_regex(re.compile(rule.pattern), alphabet=st.characters(max_codepoint=255)))
    def has_one(text: str) -> None:
        data = text.encode("latin-1")
        found = automaton(rule.pattern).search(data)
        assert found is None or any(one.encode() in found[0].lower() for one in rule.keywords)
        assert found is None or not rule.apart or rule.id in NOT_ALONE | glance(data)

    has_one()


def test_one_look_spares_no_secret_between_others() -> None:
    """What opens one rule must not hide what opens another."""
    found = [vector(text) for rule in rules() for text in rule.yes]
    for size in (1, 9):
        for at in range(0, len(found), size):
            text = b"\n".join(found[at : at + size])
            assert hits("x.data", text, glance(text)) == hits("x.data", text), text


def test_the_page_has_a_row_for_each_rule() -> None:
    page = (Path(__file__).parents[3] / "docs" / "knowledge.md").read_text()
    rows = [row for rule in rules() for row in [f"`{rule.id}`"] if row not in page]
    assert not rows


@pytest.mark.parametrize(
    ("path", "kind"),
    [("a/b.py", Kind.CODE), ("README.md", Kind.PROSE), (".env", Kind.DATA), ("a.d/Makefile", Kind.DATA)],
)
def test_a_file_is_of_a_kind_by_its_ending(path: str, kind: Kind) -> None:
    assert kind_of(path) is kind


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", 'token_type = "a8f5f167f44f4964e6c9"'),  # about a secret
        ("a.py", "password = get_password9()"),  # an expression
        ("a.sh", "login(password, user9name)"),
        ("a.yaml", "password: {{ vault.password9 }}"),
        ("a.yaml", "password: string"),
        ("a.txt", "The password hunter29 is wrong."),
        ("a.yaml", "api_key: short9"),
        ("a.yaml", "secret: one of many words 9"),
        ("a.yaml", "secret: aaaaaaaaaaaaaaaaaaaa9"),
        ("a.py", 'password = "Enter at least 8 letters"'),
        ("a.py", 'password = "reset_password"'),
        ("a.py", 'password = "aaaa"'),
        ("a.yaml", "token: vault.get9(name)"),
        ("a.yaml", "token: ''"),
    ],
)
def test_what_is_no_value_stays(path: str, text: str) -> None:
    assert clean(path, text.encode()).text == text.encode()


@pytest.mark.parametrize(
    ("path", "text", "left"),
    [
        ("a.py", 'password = "correct-horse-battery-staple"', b'password = "[removed: assigned-password]"'),
        ("a.yaml", "password: postgres", b"password: [removed: assigned-password]"),
        ("a.yaml", "{password: hunter29, user: me}", b"{password: [removed: assigned-password], user: me}"),
        ("a.ini", 'password = "two words 99"', b'password = "[removed: assigned-password]"'),
        (
            "a.json",
            '"a": "{\\"password\\": \\"hun\\nter2\\"}"',
            b'"a": "{\\"password\\": \\"[removed: assigned-password]\\"}"',
        ),
        ("a.toml", "password = '''hunter29'''", b"password = '''[removed: assigned-password]'''"),
        ("a.py", 'password = """hunter29"""', b'password = """[removed: assigned-password]"""'),
        ("a.yaml", "passwort: hunter29", b"passwort: [removed: assigned-password]"),
        ("a.yaml", "token: QWERTYUIOPasdfghjklZXCVBNM", b"token: [removed: assigned-secret]"),
        ("a.env", "API_KEY=" + "a1B2c3D4" * 400, b"API_KEY=[removed: assigned-secret]"),
        # Two rules see one value, one of them more of it.
        ("a.env", "TOKEN=ghp_" + "a1B2c3D4e" * 4 + ".more9", b"TOKEN=[removed: github-token]"),
    ],
)
def test_what_is_a_value_goes_whole(path: str, text: str, left: bytes) -> None:
    assert clean(path, text.encode()).text == left


def test_a_rule_that_only_seems_to_end_where_another_does_is_looked_at_whole() -> None:
    key = b"AKIA" + b"Q2W3E4R5T6Y7U2I3"
    assert (
        clean("a.txt", b"cioa1B2c3D4e5F" + key + b"zz").text
        == b"cioa1B2c3D4e5F[removed: aws-access-key-id]zz"
    )


@pytest.mark.parametrize("before", [r"\n", r"\t", "%3D", r"\u003d", r"\x20", "=3D", "\x1b[1;32m", "("])
def test_what_stands_right_behind_an_escape_is_found(before: str) -> None:
    for kind, text in (
        ("hugging-face-token", "hf¦_abcdefghijklmnopqrstuvwxyzABCDEFGH"),
        ("telegram-token", "123456789:AA¦HdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0"),
        ("iban", "DE8937040044¦0532013000"),
        ("card-number", "4111111111¦111111"),
    ):
        found = clean("a.log", b"a " + before.encode() + vector(text) + b";\n").text.decode()
        assert found == f"a {'' if before.startswith(chr(27)) else before}[removed: {kind}];\n"


def test_what_a_rule_needs_is_looked_for_once_in_a_file() -> None:
    text = b'{"kty": "RSA", "d": "%b", "d": "%b"}' % (b"aB3-" * 10, b"cD4_" * 10)
    assert (
        clean("a.jwk", text).text
        == b'{"kty": "RSA", "d": "[removed: json-web-key]", "d": "[removed: json-web-key]"}'
    )


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Basic\tdXNlcjpodW50ZXIy",
        "Bearer\ta8f5f167f44f4964e6c998dee827110c",
        '{"kty":"oct","k":"AbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCdEf-_12"}',
        '{"auths":{"x":{"identitytoken":"abcdefgh12345678"}}}',
        "/a;token=a8f5f167f44f4964e6c9;b",
        "sshpass -w hunter29",
    ],
)
def test_how_a_secret_is_spelled_ends_no_look(text: str) -> None:
    """Of a file's name, too, where an end would be that of the whole index run."""
    assert hits("a.txt", text.encode())


def test_past_so_many_candidates_every_further_one_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looked, "CANDIDATES_MAX", 2)
    text = b"4111 1111 1111 1112\n" * 3
    assert hits("a.txt", text) == [Hit(40, 59, "card-number")]


def test_a_check_takes_no_bytes_for_what_they_are_not() -> None:
    assert not CHECKS["base64-text"](Found(b"abc=efgh", Kind.DATA, 0))
    assert not CHECKS["base64-text"](Found(b"database", Kind.DATA, 0))
    assert CHECKS["base64-text"](Found(b"abcdefgh" * 5, Kind.DATA, 0))
    assert not CHECKS["base64-private-key"](Found(b"LS0tLS1CRUdJTi" + b"A" * 21, Kind.DATA, 0))
