"""Expressions: one language, one kind of error, nothing that depends on the time or the machine."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from datetime import UTC, datetime
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import InputError
from assent.spec.language import syntax
from assent.spec.language.expression import (
    SOURCE_LENGTH_MAX,
    Bindings,
    Expression,
    ExpressionError,
    projection,
)
from tests.support.properties import holds

CONTEXT = {
    "inputs": {
        "amount": 5,
        "text": "héllo",
        "items": [{"n": 1}, {"n": 2}],
        "empty": {},
        "nothing": None,
        "big": 2**70,
    },
    "risk_rank": 2,
    "now": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("inputs.amount + 1", 6),
        ("inputs['amount'] >= 5 && risk_rank == 2", True),
        ("inputs.items.map(i, i.n)", [1, 2]),
        ("inputs.items.exists(i, i.n == 2)", True),
        ("size(inputs.text)", 6),
        ("has(inputs.missing)", False),
        ("has(inputs.missing) && inputs.missing > 1", False),
        ("inputs.nothing == null", True),
        ('inputs.text.matches("^h.*o$")', True),
        ("now.getHours()", 3),
        ('now - timestamp("2026-01-02T03:00:00Z") < duration("5m")', True),
        ('{"a": [1, 2.5, null, true]}', {"a": [1, 2.5, None, True]}),
        ("inputs.empty", {}),
        ('type(1) == type(2) ? "same" : "other"', "same"),
        ("-inputs.amount // a comment", -5),
        ("(1 + 2) * 3 - -1", 10),
        ("""'''a'b''' + r"\\d" + "\\n" """, "a'b\\d\n"),
    ],
)
def test_value_is_plain_json(source: str, value: object) -> None:
    assert Expression(source).evaluate(CONTEXT) == value


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("inputs.amount > 3", {("inputs", "amount")}),
        ('inputs.a["b c"].d', {("inputs", "a", "b c", "d")}),
        ("inputs.list[inputs.at].x", {("inputs", "list"), ("inputs", "at")}),
        ("inputs.all(inputs, inputs.x) || x", {("inputs",), ("x",)}),
        ("a.exists(x, b.all(y, x.p == y.q && z.r))", {("a",), ("b",), ("z", "r")}),
        ("has(steps.one.output.path)", {("steps", "one", "output", "path")}),
        ("a.size() + size(b)", {("a",), ("b",)}),
        ("[a, {b: c}]", {("a",), ("b",), ("c",)}),
        ("x.map(x, x.y)", {("x",)}),
        ("true", set()),
    ],
)
def test_names_are_the_paths_read_from_outside(source: str, names: set[tuple[str, ...]]) -> None:
    assert Expression(source).names == names


def test_only_referenced_values_are_converted() -> None:
    """A value that no expression reads may be anything: it never meets the binding."""
    context = {"inputs": {"read": 1, "huge": object()}, "other": object()}
    assert Expression("inputs.read").evaluate(context) == 1


def test_a_longer_path_under_a_whole_value_keeps_the_whole() -> None:
    for names in ([("a",), ("a", "b")], [("a", "b"), ("a",)]):
        assert projection(names) == {"a": None}
    assert Expression("size(a) == 2 && a.b == 1").evaluate({"a": {"b": 1, "c": 2}}) is True


def test_one_conversion_serves_several_expressions() -> None:
    bindings = Bindings(CONTEXT, projection([("inputs", "amount"), ("risk_rank",)]))
    assert Expression("inputs.amount == 5").run(bindings) is True
    assert Expression("risk_rank").run(bindings) == 2


def test_frozen_data_is_read_like_plain_data() -> None:
    frozen = MappingProxyType({"inputs": MappingProxyType({"l": (1, 2), "roles": frozenset({"b", "a"})})})
    assert Expression("inputs.l").evaluate(frozen) == [1, 2]
    assert Expression("inputs.roles").evaluate(frozen) == ["a", "b"]


@pytest.mark.parametrize(
    ("source", "offset"),
    [
        ("", 0),
        ("inputs.", 7),
        ("inputs..a", 7),
        ("(1", 2),
        ("1 2", 2),
        ("a @ b", 2),
        ("in", 0),
        ("a.b(", 4),
        ("{1 2}", 3),
        ("has(inputs)", 4),
        ("a.?b", 2),
        ("1\n+ + ", 4),
    ],
)
def test_invalid_source_is_refused_with_its_offset(source: str, offset: int) -> None:
    with pytest.raises(InputError) as caught:
        Expression(source)
    assert caught.value.code == "EXPRESSION_INVALID"
    assert caught.value.details["offset"] == offset


@pytest.mark.parametrize(
    "source",
    [
        "now()",
        "uuid()",
        "rand()",
        'env("HOME")',
        "optional.of(1)",
        "optional.none()",
        "inputs.a.format([1])",
        "cel.bind(x, 1, x)",
        "sise(inputs)",
    ],
)
def test_functions_outside_the_list_cannot_be_called(source: str) -> None:
    """The list holds pure functions only, so nothing that knows the time, chance or the machine is reachable."""
    with pytest.raises(InputError) as caught:
        Expression(source)
    assert caught.value.code == "EXPRESSION_INVALID"


def test_misspelt_function_gets_a_suggestion() -> None:
    with pytest.raises(InputError) as caught:
        Expression('inputs.text.startswith("a")')
    assert caught.value.hint == "did you mean `startsWith`?"


@pytest.mark.parametrize(
    "source", ["inputs.text.matches(inputs.text)", 'inputs.text.matches("(a")', 'matches("a", "b")']
)
def test_patterns_are_literals_and_checked_at_once(source: str) -> None:
    with pytest.raises(InputError) as caught:
        Expression(source)
    assert caught.value.code == "EXPRESSION_INVALID"


def test_nested_quantifiers_match_in_linear_time() -> None:
    """`(a*)*b` takes a backtracking engine 2^n steps; an answer at all is the proof."""
    assert Expression('inputs.text.matches("^(a*)*b$")').evaluate({"inputs": {"text": "a" * 20_000}}) is False


@pytest.mark.parametrize(
    "source",
    [
        "1" + "+1" * SOURCE_LENGTH_MAX,
        "(" * 100 + "1" + ")" * 100,
        "[" * 400 + "]" * 400,
        "a.all(w, a.all(x, a.all(y, a.all(z, true))))",
    ],
)
def test_size_and_nesting_are_limited(source: str) -> None:
    with pytest.raises(InputError) as caught:
        Expression(source)
    assert caught.value.code == "EXPRESSION_INVALID"


@pytest.mark.parametrize(
    "source", ["1" + "+1" * 2000, "!" * 4000 + "true", "a" + ".b" * 2000, "true" + "&&true" * 600]
)
def test_long_flat_expressions_do_not_exhaust_the_stack(source: str) -> None:
    expression = Expression(source)
    with_b: dict[str, object] = {"b": 1}
    for _ in range(5):
        with_b = {"b": with_b}
    with contextlib.suppress(ExpressionError):
        expression.evaluate({"a": with_b})


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("inputs.missing", "REFERENCE_MISSING"),
        ("inputs.missing.deeper > 1", "REFERENCE_MISSING"),
        ("absent", "REFERENCE_MISSING"),
        ("inputs.items[9]", "REFERENCE_MISSING"),
        ("has(inputs.missing.deeper)", "REFERENCE_MISSING"),
        ('inputs.amount > "HIGH"', "EXPRESSION_FAILED"),
        ("inputs.amount + inputs.text", "EXPRESSION_FAILED"),
        ("inputs.amount / 0", "EXPRESSION_FAILED"),
        ("9223372036854775807 + inputs.amount", "EXPRESSION_FAILED"),
        ("inputs.amount ? 1 : 2", "EXPRESSION_FAILED"),
        ("inputs.amount.startsWith('a')", "EXPRESSION_FAILED"),
        ("inputs.big == 1", "EXPRESSION_FAILED"),
        ("now", "EXPRESSION_FAILED"),
        ('duration("1h")', "EXPRESSION_FAILED"),
        ('b"abc"', "EXPRESSION_FAILED"),
        ("1.0 / 0.0", "EXPRESSION_FAILED"),
        ("{1: 2}", "EXPRESSION_FAILED"),
        ("[now]", "EXPRESSION_FAILED"),
    ],
)
def test_failures_are_expression_errors(source: str, code: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression(source).evaluate(CONTEXT)
    assert caught.value.code == code


def test_missing_reference_names_the_path_and_the_way_out() -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression("inputs.limits.daily > 5").evaluate({"inputs": {}})
    assert "`inputs.limits`" in caught.value.message
    assert caught.value.hint is not None
    assert "has(inputs.limits)" in caught.value.hint


@pytest.mark.parametrize(
    "value", [object(), "\ud800", {1: 2}, {"a": frozenset({b"x"})}, [2**64], -(2**63) - 1, float("nan")]
)
def test_foreign_values_fail_as_expression_errors(value: object) -> None:
    with pytest.raises(ExpressionError):
        Expression("inputs").evaluate({"inputs": value})


def test_large_integers_are_refused_and_not_rounded() -> None:
    """The binding reads 2^64 + 1 as a float; two different amounts would then be equal."""
    with pytest.raises(ExpressionError):
        Expression("a == b").evaluate({"a": 2**64, "b": 2**64 + 1})


def test_loading_the_binding_does_not_load_its_shell() -> None:
    """`import cel` drags in an interactive shell and costs 400 ms; a later `import cel` must find the same extension."""
    code = (
        "import sys; from assent.spec.language.expression import Expression; assert 'cel.cel' not in sys.modules;"
        "Expression('1'); assert not {'typer', 'prompt_toolkit', 'cel.cli'} & set(sys.modules);"
        "from assent.spec.language._cel import binding; import cel; assert cel.compile is binding().compile"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


_leaves = st.sampled_from(
    [
        "1",
        "2.5",
        "1u",
        '"a"',
        "'b'",
        'r"\\d"',
        'b"x"',
        "true",
        "null",
        "inputs",
        "inputs.a",
        'inputs["b"]',
        "x",
        "-1",
        "[]",
        "{}",
    ]
)


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in", "&&", "||"])
    return st.one_of(
        st.builds("{} {} {}".format, inner, operators, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("!({})".format, inner),
        st.builds("-({})".format, inner),
        st.builds("({}).f".format, inner),
        st.builds("({})[{}]".format, inner, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds('{{"k": {}, {}: 1}}'.format, inner, inner),
        st.builds("size({})".format, inner),
        st.builds("({}).exists(x, {})".format, inner, inner),
        st.builds("has(({}).f)".format, inner),
        st.builds("{} // c\n".format, inner),
    )


_sources = st.recursive(_leaves, _grow, max_leaves=12)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3) | st.sampled_from("ab"), inner, max_size=4)
    ),
    max_leaves=12,
)


def test_a_map_has_the_same_order_at_every_evaluation() -> None:
    """Two evaluations of one expression can't be told apart, not even by the order of a map's keys."""
    expression = Expression('{"b": 1, "a": 2, "d": 3, "c": 4, "e": 5, "f": 6}')
    orders = {tuple(value) for _ in range(50) if isinstance(value := expression.evaluate({}), dict)}
    assert orders == {("a", "b", "c", "d", "e", "f")}


@holds("expressions")
@given(_sources, _json, _json)
def test_evaluation_gives_json_or_an_expression_error(source: str, inputs: object, x: object) -> None:
    try:
        expression = Expression(source)
    except InputError as error:
        assert error.code == "EXPRESSION_INVALID"  # noqa: PT017  # both outcomes are legal, each with its own claim
        return
    context = {"inputs": inputs, "x": x}
    outcomes: list[object] = []
    for _ in range(2):
        try:
            outcomes.append(expression.evaluate(context))
        except ExpressionError as error:
            outcomes.append((error.code, error.message))
    assert repr(outcomes[0]) == repr(outcomes[1])


@given(_sources)
def test_both_readers_agree_on_what_is_an_expression(source: str) -> None:
    """Our reading finds names and comparisons, the binding's evaluates: neither may accept what the other refuses."""
    from assent.spec.language._cel import binding  # here, so that collecting the tests loads no extension

    try:
        binding().compile(source)
    except ValueError:
        ours = None
    else:
        ours = syntax.parse(source)
        used = {path[0] for path in syntax.paths(ours)}
        assert used <= set(binding().compile(source).references()["variables"])


@holds("expressions")
@given(st.text() | st.text(alphabet="a.()[]{}+-!<>=&|?:,'\"0 1xeurb\\\n/%in"))
def test_any_text_is_an_expression_or_refused_as_one(source: str) -> None:
    try:
        Expression(source)
    except InputError as error:
        assert error.code == "EXPRESSION_INVALID"  # noqa: PT017  # both outcomes are legal
