"""An `if` is checked before it runs: names that exist, comparisons that can hold."""

from __future__ import annotations

import pytest

from assent.errors import InputError
from assent.policy._conditions import VARIABLES, compile_condition
from tests.support.policy import context


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        # names
        ("input.amount > 1", "`input` is nothing", "did you mean `inputs`?"),
        ("user.id == 'a'", "`user` is nothing", "`principal`"),
        ("principal.name == 'a'", "there is no `principal.name`", "there are"),
        ("capability.idd == 'a'", "there is no `capability.idd`", "did you mean `id`?"),
        ("run.requestor == 'a'", "there is no `run.requestor`", "did you mean `requester`?"),
        ("risk_level.name == 'HIGH'", "`risk_level` is text and has no field `name`", None),
        ("inputs.l.exists(x, y == 1)", "`y` is nothing", "there are"),
        ('principal["nme"] == "a"', "there is no `principal.nme`", "there are"),
        # ordering by letters
        ("risk_level > 'LOW'", "compares letters", "risk_rank"),
        ("risk_level >= 'LOW' || true", "compares letters", "risk_rank"),
        ("'LOW' < (risk_level)", "compares letters", "risk_rank"),
        ("risk_level > inputs.level", "compares letters", "risk_rank"),
        ("inputs.l.exists(x, risk_level <= x)", "compares letters", "risk_rank"),
        # types
        ("risk_rank > 'HIGH'", "compares a number with text", None),
        ("principal.id == 5", "compares text with a number", None),
        ("5 != principal.id", "compares a number with text", None),
        ("risk_rank == null", "compares a number with null", None),
        ("principal.roles == 'admin'", "compares a list with text", None),
        ("capability == 'io.fs.delete'", "compares an object with text", "`capability.id`"),
        ("now > '2026-01-01'", "compares a timestamp with text", None),
        ("now > 5", "compares a timestamp with a number", None),
        ("size(inputs.x) == '3'", "compares a number with text", None),
        ("(risk_rank > 1) == 'a'", "compares a yes-or-no with text", None),
        ("principal.roles > ['a']", "`>` cannot take a list", None),
        ("inputs.l < principal.roles", "`<` cannot take a list", None),
        ("inputs.x >= null", "`>=` cannot take null", None),
        ("inputs.x <= {'a': 1}", "`<=` cannot take an object", None),
        ("principal.id - inputs.x == 1", "`-` cannot take text", None),
        ("-principal.id == inputs.x", "`-` cannot take text", None),
        ("inputs.x * principal.roles == 1", "`*` cannot take a list", None),
        ("inputs.x + null == 1", "`+` cannot take null", None),
        ("5 in principal.roles", "holds text, never a number", None),
        ("risk_rank in ['HIGH']", "compares a number with text", None),
        ("'a' in risk_level", "looks into text", None),
        # closed choices
        ("risk_level == 'high'", "never `high`", "did you mean `HIGH`?"),
        ("risk_level in ['HIGH', 'CRIT']", "never `CRIT`", "CRITICAL"),
        ("principal.type == 'human'", "never `human`", "agent, service, user"),
        ("capability.operation_type != 'read'", "never `read`", "did you mean `READ`?"),
        ("run.mode == 'Session'", "never `Session`", "did you mean `session`?"),
        # yes or no
        ("risk_rank", "must say yes or no", None),
        ("'yes'", "must say yes or no", None),
        ("size(inputs.x)", "must say yes or no", None),
        ("inputs.l.map(x, x)", "must say yes or no", None),
        ("risk_rank && true", "`&&` needs yes or no", None),
        ("!risk_level", "`!` needs yes or no", None),
        ("risk_level ? true : false", "`?:` needs yes or no", None),
        ("{'a': 1}", "must say yes or no; this one gives an object", None),
    ],
)
def test_slip_is_refused_at_load(source: str, message: str, hint: str | None) -> None:
    with pytest.raises(InputError) as caught:
        compile_condition(source)
    assert caught.value.code == "EXPRESSION_INVALID"
    assert message in caught.value.message
    told = caught.value.hint
    assert (hint in told) if hint is not None and told is not None else told is hint


@pytest.mark.parametrize(
    "source",
    [
        "inputs.anything.at.all == 1",
        "inputs",
        "inputs.flag",
        "inputs.l.exists(x, x == 5 && x.risk_level > 'a')",
        "inputs.l.all(risk_level, risk_level > 'a')",
        "risk_level == 'HIGH' || risk_level in ['LOW', 'MEDIUM']",
        "risk_rank >= 2 && risk_rank != 2.5",
        "principal.id < 'm'",
        "'ops' in principal.roles && principal.roles.exists(r, r.startsWith('ops'))",
        "inputs.x in principal.roles",
        "inputs.x == null",
        "risk_rank > inputs.limit",
        "now - timestamp('2026-01-01T00:00:00Z') > duration('1h')",
        "has(inputs.x) ? inputs.x : false",
        "(has(inputs.x) ? 'a' : 'b') == inputs.y",
        "capability.id in inputs.allowed",
        "'k' in inputs && 'k' in {'k': 1}",
        "dyn(risk_rank) == 'a'",
    ],
)
def test_what_can_be_meant_is_accepted(source: str) -> None:
    assert compile_condition(source).source == source


def test_declared_variables_are_the_facts_of_a_context() -> None:
    """The list that conditions are checked against and the facts that they get are one: a name in one is in the other."""

    def shape(value: object) -> object:
        return {key: shape(item) for key, item in value.items()} if isinstance(value, dict) else None

    facts = context().facts()
    assert shape({**facts, "inputs": None}) == shape(VARIABLES)
