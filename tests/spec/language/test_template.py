"""Values with references in them: split, named, rendered, and equal to CEL where they take the short way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assent.errors import InputError, Json
from assent.spec.language.expression import Budget, Expression, ExpressionError
from assent.spec.language.template import Condition, Reference, Template, compile_template, split
from tests.support.properties import holds


def compiled(data: Json) -> Template:
    def fault(error: InputError, path: Any, text: str) -> None:
        raise error

    from assent.spec.language.template import TOP

    return compile_template(data, (), TOP, found=lambda reference, path: None, fault=fault)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("plain", [("plain", False)]),
        ("", []),
        ("${{ a }}", [(" a ", True)]),
        ("x${{ a }}y${{b}}", [("x", False), (" a ", True), ("y", False), ("b", True)]),
        ("$${{ a }}", [("${{ a }}", False)]),
        ("$$${{ a }}", [("$${{ a }}", False)]),
        ("x $${{ ${{ a }}", [("x ${{ ", False), (" a ", True)]),
        ("${{ '}}' }}", [(" '}}' ", True)]),
        ('${{ "\\"}}" }}!', [(' "\\"}}" ', True), ("!", False)]),
        ("${{ {'a': {'b': 1}} }}", [(" {'a': {'b': 1}} ", True)]),
        ("${{ {'a': 1}}}", [(" {'a': 1}", True)]),
        ("${{ r'\\' }}", [(" r'\\' ", True)]),
        ("a }} b", [("a }} b", False)]),
    ],
)
def test_text_is_split_at_its_references(text: str, pieces: list[tuple[str, bool]]) -> None:
    """Quotes and braces of the expression do not close it; `$${{` is the text `${{`."""
    assert list(split(text)) == pieces


@holds("references")
@given(st.text(st.sampled_from("${} ab"), max_size=12), st.text(max_size=8))
def test_escaped_text_comes_out_as_it_was(before: str, value: str) -> None:
    """Any text, with `${{` written as `$${{`, is literal; a value put in is not looked at."""
    escaped = before.replace("${{", "$${{")
    if "$$${{" not in escaped:
        assert compiled({"k": escaped}).render({}) == {"k": before}
    template = compiled(["<${{ inputs.v }}>", "${{ inputs.v }}"])
    assert template.render({"inputs": {"v": value}}) == [f"<{value}>", value]


def test_pieces_are_joined_as_text() -> None:
    """Strings as they are, everything else as canonical JSON."""
    values = {"s": "t", "i": 1, "f": 0.5, "b": True, "n": None, "l": [1, "x"], "m": {"b": 1, "a": 2}}
    text = " ".join(f"${{{{ inputs.{name} }}}}" for name in values)
    assert compiled(text).render({"inputs": values}) == 't 1 0.5 true null [1,"x"] {"a":2,"b":1}'


def test_what_is_rendered_is_a_copy() -> None:
    """A handler that changes its inputs changes neither another step's output nor the template."""
    output = {"list": [1]}
    template = compiled({"a": "${{ steps.s.output }}", "b": [{}]})
    first: Any = template.render({"steps": {"s": {"output": output}}})
    first["a"]["list"].append(2)
    first["b"][0]["x"] = 1
    assert output == {"list": [1]}
    assert template.render({"steps": {"s": {"output": output}}}) == {"a": {"list": [1]}, "b": [{}]}


def test_a_reference_in_a_key_is_refused() -> None:
    """Only values are filled in; a key can hold the escaped text."""
    with pytest.raises(InputError) as caught:
        compiled({"${{ inputs.x }}": 1})
    assert caught.value.code == "EXPRESSION_INVALID"
    assert compiled({"$${{ x }}": 1}).render({}) == {"${{ x }}": 1}


def test_a_condition_must_be_true_or_false() -> None:
    """Anything else fails the step instead of being taken for one of them."""
    condition = Condition((Reference("inputs.a"), Reference("inputs.b > 1")))
    assert condition.holds({"inputs": {"a": True, "b": 2}})
    assert not condition.holds({"inputs": {"a": True, "b": 1}})
    assert not condition.holds({"inputs": {"a": False}})
    for value in ("true", 1, None, [True]):
        with pytest.raises(ExpressionError):
            condition.holds({"inputs": {"a": value, "b": 2}})


NAMES = st.sampled_from(["a", "b", "size", "A_1", "_x"])
PARTS = st.lists(
    NAMES.map(lambda name: f".{name}") | st.integers(0, 3).map(lambda index: f"[{index}]"), max_size=4
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=3) | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


@holds("references")
@given(root=NAMES, parts=PARTS, context=st.dictionaries(NAMES, VALUES, max_size=3))
@example(root="a", parts=["[0]"], context={"a": {"0": 1}})
@example(root="a", parts=["[0]"], context={"a": "text"})
@example(root="a", parts=[".a"], context={"a": None})
def test_the_short_way_means_what_cel_means(root: str, parts: list[str], context: dict[str, Any]) -> None:
    """A plain path gives the same value, the same names, and fails exactly where the expression library does."""
    source = root + "".join(parts)
    short, full = Reference(source), Expression(source)
    assert short.local_names == full.names
    try:
        expected = full.evaluate(context, Budget())
    except ExpressionError:
        with pytest.raises(ExpressionError) as caught:
            short.evaluate(context, Budget())
        assert caught.value.code == "REFERENCE_MISSING"
    else:
        got = short.evaluate(context, Budget())
        assert got == expected
        assert type(got) is type(expected)


@pytest.mark.parametrize("word", ["in", "for", "true.a", "null", "a.in"])
def test_words_of_the_language_are_no_paths(word: str) -> None:
    """What CEL refuses or reads as a literal, the short way does not take."""
    try:
        names = Expression(word).names
    except InputError as error:
        with pytest.raises(InputError) as caught:
            Reference(word)
        assert caught.value.code == error.code == "EXPRESSION_INVALID"  # noqa: PT017  # the other way is asserted below
    else:
        assert Reference(word).local_names == names
