"""Replacing and extracting by patterns of strangers: linear time, bounded answers, and a sentence for what does not exist."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assent.capabilities.text import _extract
from assent.capabilities.text._regex import Flags, compile_pattern
from assent.invocation import CancelToken, NoEffectError
from tests.support.hands import Hands
from tests.support.seeds import examples

HOSTILE = json.loads((Path(__file__).parent / "data" / "redos.json").read_text())["patterns"]


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Hands:
    return Hands.on(tmp_path_factory.mktemp("w"))


def refused(hands: Hands, capability: str, **parameters: Any) -> NoEffectError:
    with pytest.raises(NoEffectError) as caught:
        hands.read(capability, **parameters)
    return caught.value


@pytest.mark.parametrize(
    ("pattern", "replacement", "wanted"),
    [
        (r"(\w+) (\w+)", "$2 $1", "b a d c"),
        (r"(?P<one>\w)", "<${one}>", "<a> <b> <c> <d>"),
        (r"(?<one>\w)", "${1}0", "a0 b0 c0 d0"),
        (r"a|(z)", "[$1]", "[] b c d"),
        ("b", "$$$0$$", "a $b$ c d"),
        ("", "-", "-a- -b- -c- -d-"),
    ],
)
def test_groups_are_put_where_they_are_named(
    hands: Hands, pattern: str, replacement: str, wanted: str
) -> None:
    if not pattern:
        pattern = "x*"
    answer = hands.read("text.replace", text="a b c d", pattern=pattern, replacement=replacement)
    assert answer["text"] == wanted


def test_flags_and_counts_hold(hands: Hands) -> None:
    def replaced(**parameters: Any) -> tuple[str, int]:
        answer = hands.read("text.replace", text="A.a\na.A\n", replacement="$1x", **parameters)
        return answer["text"], answer["count"]

    assert replaced(pattern=".", literal=True) == ("A$1xa\na$1xA\n", 2)
    assert replaced(pattern="(a)", ignore_case=True, count=3) == ("Ax.ax\nax.A\n", 3)
    assert replaced(pattern="(?:^)(a)", multi_line=True) == ("A.a\nax.A\n", 1)
    assert replaced(pattern="(A).*", dot_all=True) == ("Ax", 1)
    assert replaced(pattern="(A).*") == ("Ax\na.Ax\n", 2)


def test_groups_that_do_not_exist_are_refused(hands: Hands) -> None:
    for replacement in ("$2", "${name}", "$", "a $b", "${}", "$999"):
        error = refused(hands, "text.replace", text="x", pattern="(x)", replacement=replacement)
        assert (error.code, error.path) == ("PATTERN_INVALID", "replacement")
        assert error.hint


def test_matches_are_told_with_places_and_groups(hands: Hands) -> None:
    answer = hands.read("text.extract", text="ä=1\n\nb=2 c=", pattern=r"(?P<key>\pL)=(\d)?", limit=3)
    assert (
        answer
        == {
            "matches": [
                {"text": "ä=1", "line": 1, "column": 1, "groups": ["ä", "1"], "named": {"key": "ä"}},
                {"text": "b=2", "line": 3, "column": 1, "groups": ["b", "2"], "named": {"key": "b"}},
                {"text": "c=", "line": 3, "column": 5, "groups": ["c", None], "named": {"key": "c"}},
            ],
            "truncated": False,
        }
        or answer["matches"][0]["text"] == "=1"
    )  # `\w` is ASCII in RE2
    assert hands.read("text.extract", text="aaa", pattern="a", limit=2)["truncated"]


def test_an_answer_has_an_end(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_extract, "OUTPUT_CHARACTERS_MAX", 100)
    for replacement in ("x" * 30, "$0" * 30):
        error = refused(hands, "text.replace", text="abcdef", pattern=".", replacement=replacement)
        assert error.code == "OUTPUT_TOO_LARGE"
    assert (
        refused(hands, "text.replace", text="a" * 101, pattern="b", replacement="").code == "OUTPUT_TOO_LARGE"
    )
    assert refused(hands, "text.extract", text="a" * 90, pattern="(.*)").code == "OUTPUT_TOO_LARGE"


@pytest.mark.parametrize("one", HOSTILE, ids=[one["fact"] + "/" + str(n) for n, one in enumerate(HOSTILE)])
def test_hostile_patterns_end_or_are_refused(hands: Hands, one: dict[str, str]) -> None:
    """Every one of them has hung an engine that backtracks. Here each is answered, or refused with what to write instead."""
    text = one["pump"] * 5_000 + one["suffix"]
    with suppress(NoEffectError):
        hands.read("text.extract", text=text, pattern=one["pattern"], limit=3)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(?=a)", "look-around"), ("(?!a)", "look-around"), ("(?<=a)", "look-around"), ("(?<!a)", "look-around"),
        (r"(a)\1", "back-reference"), (r"a\Z", r"`\z`"), ("(a", "missing )"), ("[a", "missing ]"), ("*", "no argument"),
        ("a{1001}", "invalid repetition size"), ("(a{999}){999}", "repetition"), ("a++", "bad repetition"),
        ("(?#c)", "invalid perl operator"), (r"\h", "invalid escape"), (r"\p{Klingon}", "invalid character class range"),
        ("(?P<a>x)(?P=a)", "invalid"), ("x" * 4001, "characters"),
        ("(?i)" + r"\pL" * 300, "instructions"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_pattern_is_said(pattern: str, words: str) -> None:
    with pytest.raises(NoEffectError) as caught:
        compile_pattern(pattern, Flags())
    assert words in caught.value.message
    assert "b'" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "more"),
    [("text.extract", {}), ("text.replace", {"replacement": ""})],
    ids=["extract", "replace"],
)
def test_a_call_that_nobody_waits_for_ends_within_one_match(
    hands: Hands, name: str, more: dict[str, Any]
) -> None:
    """Matches that take quadratic time together are where even a linear engine could be held."""
    step = hands.step(name, text="a" * 100_000, pattern="a[^b]*b|a", **more)
    step.context.cancel.cancel()
    with pytest.raises(NoEffectError) as caught:
        step.execute()
    assert caught.value.code == "CALL_CANCELLED"


@given(
    text=st.text(alphabet="ab \nü", max_size=40),
    pattern=st.sampled_from(["a", "a+", "(a)(b)?", "b| ", "[^a]", "ü", "(?:ab)+", "(?m)^a", "(?m)b$", "a.b"]),
)
@settings(max_examples=examples(100), deadline=None)
def test_matches_are_those_of_the_standard_library(text: str, pattern: str) -> None:
    """On patterns that both know, and that match no empty text, the engines agree about every group."""
    found = list(compile_pattern(pattern, Flags()).matches(text, CancelToken()))
    wanted = [
        tuple(None if one.span(n) == (-1, -1) else one.span(n) for n in range(one.re.groups + 1))
        for one in re.finditer(pattern, text)
    ]
    assert found == wanted
