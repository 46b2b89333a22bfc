"""What is wrong with a YAML file is told in words of the file, whatever is wrong with it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import InputError
from assent.policy import DEFAULT_POLICY_YAML
from assent.spec.documents.document import load_yaml
from tests.support.workflows import RELEASE

PARSERS_WORDS = re.compile(
    r"while (parsing|scanning)|indicator|did not find|could not find|token|mapping values|directive"
)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("- a\nb: c\n", "this line belongs neither to the list above it", "begin it with `- `"),
        ("a: 1\n  b: 2\n", "a `:` stands where no key can be", "in quotes"),
        ("a: 1\nb\nc: 2\n", "a key has no `:`", "`key: value`"),
        ("a: [1, 2\nb: 3\n", "a list in `[ ]`", "`[one, two]`"),
        ("a: {b: 1\nc: 2\n", "a mapping in `{ }`", "`{ one: 1, two: 2 }`"),
        ('a: "b\n', "the text in quotes has no end", "close"),
        ("a: @b\n", "this character can't begin a value", "in quotes"),
        ('a: "\\q"\n', "this escape is not known", "single quotes"),
        ("a: - b\n", "a `-` stands where no list can begin", "lines of its own"),
        ("a: *\n", "a `*` or `&` begins a name", "in quotes"),
        ("a: b\n\tc: d\n", "a tab stands where YAML wants spaces", "spaces"),
        ("a: \x01\n", "a control character stands here", "double quotes"),
    ],
)
def test_a_fault_is_told_in_words_of_the_file(text: str, message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        load_yaml(text, source="w.yaml")
    assert caught.value.code == "DOCUMENT_SYNTAX"
    assert message in caught.value.message
    assert hint in str(caught.value.hint)


@given(st.data(), st.sampled_from([RELEASE, DEFAULT_POLICY_YAML, 'a: "x"\nb: [1, {c: 2}]\nd: |\n  t\n']))
def test_no_damage_of_a_file_is_told_in_words_of_the_parser(data: st.DataObject, text: str) -> None:
    marks = data.draw(
        st.lists(
            st.tuples(st.integers(0, len(text)), st.sampled_from("\"'[]{}:,-|>&*!%@`?#\t \n\\")),
            min_size=1,
            max_size=3,
        )
    )
    for place, mark in marks:
        text = text[:place] + mark + text[place:]
    said = ""
    try:
        load_yaml(text, source="w.yaml")
    except InputError as error:
        said = error.message
    assert not PARSERS_WORDS.search(said)
