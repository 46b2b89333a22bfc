"""No expression holds up who evaluates it: what it takes is counted before it begins, in rules, `when` and references alike."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assent.engine import RunResult
from assent.errors import InputError
from assent.spec.language import expression as expressions
from assent.spec.language import syntax, work
from assent.spec.language.expression import (
    LITTLE,
    TOO_COSTLY,
    Bindings,
    Expression,
    ExpressionError,
    projection,
)
from tests.support.bodies import Place, put, workflow
from tests.support.policy import context, engine

NUMBERS = list(range(3000))
DATA: dict[str, Any] = {
    "inputs": {
        "l": NUMBERS,
        "o": [{"t": [1] * 20, "s": "x" * 50, "m": {"k": n}} for n in range(3000)],
        "m": {f"k{n}": n for n in NUMBERS},
        "s": "01" * 500_000,
        "t": "01" * 100_000,
    }
}
LISTS = ["inputs.l", "inputs.o", "inputs.m", "[inputs.l][0]", "(inputs.l + inputs.l)", "inputs.l.map(i, i)"]
DEAR = [
    *(f"{one}.{macro}(x, {one}.exists(y, x == y))" for one in LISTS for macro in ("all", "exists_one", "map", "filter")),
    "inputs.l.all(x, inputs.l.all(y, inputs.l.all(z, x+y+z >= 0)))",
    "inputs.l.all(x, x in inputs.l)",
    "inputs.l.map(x, inputs.l)",
    "inputs.l.map(x, [x, x, x, x])",
    "inputs.o.filter(x, x.m.k > 5)",
    "inputs.o.all(x, inputs.o == inputs.o)",
    "inputs.o.all(x, x.t.all(y, x.t.all(z, y == z)))",
    "inputs.l.all(x, !inputs.s.contains(string(x)))",
    '["a"]' + ".map(x, x + x)" * 100 + '[0] == "a"',
    "[[1]]" + ".map(x, x + x)" * 100 + "[0] == [1]",
    "[1]" + ".map(x, [x, x])" * 100 + " == [1]",
    "[inputs.s]" + ".map(x, x + x)" * 16 + "[0] == ''",
    r'inputs.l.all(x, !"a".matches("\\w{500}"))',
    r'inputs.l.all(x, !"a".matches("(\\w{20}|\\d{20}){9}"))',
    r'inputs.l.all(x, !"a".matches("\x5c\x77{500}"))',
    r'inputs.l.all(x, !"a".matches("(?x) \\w {500}"))',
    r'inputs.l.all(x, !"a".matches("(?i)(abc){99}"))',
    'inputs.s.matches("([01]{1,50}){1,20}2")',
    'inputs.s.matches("[01]*1[01]{20}2")',
    'inputs.s.matches("(0|1)*1' + "(0|1)" * 20 + '2")',
    'inputs.l.all(x, inputs.s.matches("(0|1)*2"))',
]  # fmt: skip
FAIR = [
    "inputs.l.all(x, x >= 0)",
    "inputs.l.all(x, x >= 0 && x < 5000 && x != 77777 && string(x) != 'a')",
    "inputs.l.map(x, x + 1)",
    "inputs.o.all(x, x.t.all(y, y > 0))",
    "inputs.o.exists(x, x.s.startsWith('x') && x.m.k == 5)",
    "inputs.m.all(k, k.startsWith('k'))",
    "size(inputs.l) == 3000 && 2999 in inputs.l",
    'inputs.s.matches("^[01]+$") && !inputs.s.contains("2")',
    '!inputs.s.matches("^[01]{1,99}$") && !inputs.t.matches("AKIA[0-9A-Z]{16}")',
    r'inputs.l.all(x, string(x).matches("^[0-9]{1,4}$"))',
    "inputs.l",
]


@pytest.mark.parametrize("source", DEAR)
def test_what_would_take_long_is_refused_and_not_begun(source: str) -> None:
    expression = Expression(source)
    with pytest.raises(ExpressionError) as refused:
        expression.evaluate(DATA)
    assert refused.value.code == TOO_COSTLY
    assert engine({"if": f"dyn({source}) == 1"}).decide(context(inputs=DATA["inputs"])).code == "POLICY_ERROR"


@pytest.mark.parametrize("source", FAIR)
def test_what_looks_at_each_of_thousands_is_evaluated(source: str) -> None:
    assert Expression(source).evaluate(DATA)


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    joined = (
        st.tuples(inner, st.sampled_from(["==", "&&", "||", "+", "in", "<"]), inner)
        .map(" ".join)
        .map("({})".format)
    )
    macro = st.builds(
        "{}.{}({}, {})".format,
        inner,
        st.sampled_from(sorted(syntax.MACROS)),
        st.sampled_from("xy"),
        inner,
    )
    listed = st.lists(inner, max_size=4).map(", ".join).map("[{}]".format)
    formed = st.builds(
        str.format,
        st.sampled_from(
            ["size({})", "string({})", "dyn({})", "{}.t", "{}[0]", '{}.matches("a+b{{3}}")', "{{'k': {}}}"]
        ),
        inner,
    )
    return joined | macro | listed | formed | st.builds("({} ? {} : {})".format, inner, inner, inner)


LEAVES = [
    "inputs.a",
    "inputs.l",
    "inputs.o",
    "inputs.o[0].t",
    "inputs",
    "x",
    "y",
    '"abc"',
    "5",
    f'"{"k" * 600}"',
    "inputs.l[1]",
]


@settings(max_examples=400, deadline=None)
@given(st.recursive(st.sampled_from(LEAVES), _nested, max_leaves=12), st.integers(0, 12), st.integers(0, 700))
def test_no_value_is_larger_than_the_count_and_the_quick_bound_is_never_below_it(
    source: str, n: int, k: int
) -> None:
    items: list[Any] = [{"t": ["z" * k] * n, "u": i} for i in range(n)]
    data: dict[str, Any] = {
        "inputs": {"a": "q" * k, "l": [*range(n)], "o": items},
        "x": [1, [2]],
        "y": "v" * k,
    }
    try:
        expression = Expression(source)
    except InputError:
        return  # three macros inside one another are the most
    bindings = Bindings(data, projection(expression.names))
    steps = work.work_of(expression.tree, bindings.sizes)
    if steps > work.WORK_MAX:
        return
    if expression.bound is not None:
        assert bindings.most_steps(expression.bound) >= steps
    with suppress(ExpressionError):
        assert work.weight_of(expression.evaluate(data)) <= steps


@pytest.mark.parametrize("rules", [1, 40])
def test_rules_of_one_decision_share_what_they_may_take(rules: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that nothing is left for denies, asked together or one by one, and the reasons agree."""
    monkeypatch.setattr("assent.policy._joint_conditions.ALONE", 1)
    each = "inputs.l.exists(x, inputs.l.exists(y, x + y == -1))"
    asked = context(inputs={"l": [*range(200)]})
    alone = Expression(each)
    taken = alone.work(Bindings(asked.facts(), projection(alone.names)))
    assert LITTLE < taken < work.WORK_MAX
    policy = engine(*[{"if": each}] * rules, {"if": "true"})
    last = min(rules, work.WORK_MAX // taken)
    for _ in range(4):
        decision = policy.decide(asked)
        assert decision.rule == f"r{last}"
        assert decision.code == (None if last == rules else "POLICY_ERROR")
        assert [tried.matched for tried in decision.trace] == [False] * last + [last == rules]
    nearest = policy.explain(asked).rules[last]
    assert nearest.holds is (True if last == rules else None)


HOSTILE: dict[str, dict[str, Any]] = {
    "when": {"when": DEAR[-1], "value": 1},
    "when, nested": {"when": "inputs.l.all(x, inputs.l.all(y, inputs.l.all(z, x+y+z >= 0)))", "value": 1},
    "reference": {"value": "${{ inputs.l.map(x, inputs.l) }}"},
    "foreach": {"foreach": "${{ inputs.l.map(x, inputs.l) }}", "value": "${{ item }}"},
    "many references": {"value": ["${{ inputs['l'] }}"] * 1000},
    "many references in a text": {"value": "${{ inputs['l'] }} " * 1000},
}


@pytest.fixture
def a_tenth_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is all that may be done: a whole run comes to that limit in a tenth of the time."""
    for module in (expressions, work):
        monkeypatch.setattr(module, "WORK_MAX", 1_000_000)


@pytest.mark.parametrize("fields", HOSTILE.values(), ids=HOSTILE)
async def test_a_step_fails_that_would_take_long(
    fields: dict[str, Any], a_tenth_of_the_work: None, tmp_path: Path
) -> None:
    document: Any = workflow(put("a", **fields), inputs={"l": {"type": "array"}, "s": {"type": "string"}})
    inputs: Any = {"l": NUMBERS, "s": "01" * 50_000}
    async with Place(tmp_path).open() as rt:
        planned: Any = (await rt.plan(document, inputs)).to_json()["steps"]
        assert [(one["decision"], one["error"]["code"]) for one in planned] == [("UNKNOWN", TOO_COSTLY)]
        result: RunResult = await rt.run(document, inputs)
        assert (result.error or {}).get("code") == TOO_COSTLY


@pytest.mark.parametrize("levels", [22, 150])
async def test_outputs_that_are_handed_on_twice_are_not_doubled_without_end(
    levels: int, a_tenth_of_the_work: None, tmp_path: Path
) -> None:
    place = Place(tmp_path)
    inner = {
        "name": "inner",
        "inputs": {"v": {"type": "any"}},
        "steps": [{"name": "a", "capability": "sys.noop"}],
    }
    twice = json.dumps({**inner, "outputs": {"r": ["${{ inputs.v }}"] * 2}})
    steps: list[dict[str, Any]] = [
        {
            "name": f"s{n}",
            "workflow": "inner.json",
            "inputs": {"v": f"${{{{ steps.s{n - 1}.output.r }}}}" if n else 1},
        }
        for n in range(levels)
    ]
    outputs = {"all": f"${{{{ steps.s{levels - 1}.output.r }}}}"}
    async with place.open() as rt:
        (place.workspace / "inner.json").write_text(twice)
        (place.workspace / "outer.json").write_text(json.dumps(workflow(*steps, outputs=outputs)))
        result = await rt.run(place.workspace / "outer.json")
    assert (result.error or {}).get("code") == TOO_COSTLY
