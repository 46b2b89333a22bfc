"""Templates: Jinja's language without anything to call, a bounded amount of work, and errors that name the line."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment, StrictUndefined

from assent.capabilities.text import _filters
from assent.capabilities.text._template import _ALLOWED, _SIGNS, _SUMS, _TESTS, _Renderer
from assent.invocation import NoEffectError
from tests.support.hands import Hands
from tests.support.seeds import examples

PAYLOADS = json.loads((Path(__file__).parent / "data" / "ssti.json").read_text())["payloads"]
VALUES: dict[str, Any] = {
    "name": "Ada",
    "n": 3,
    "f": 1.5,
    "yes": True,
    "none": None,
    "items": [{"id": 2, "tag": "b"}, {"id": 1, "tag": "a"}],
    "tree": {"a": {"b": ["x", "y"]}},
    "html": "<b>&'\"",
    "x": {"y": [1, 2, 3]},
}


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Hands:
    return Hands.on(tmp_path_factory.mktemp("w"))


def filled(hands: Hands, template: str, **parameters: Any) -> str:
    text = hands.read("text.template", template=template, **{"values": VALUES, **parameters})["text"]
    assert isinstance(text, str)
    return text


def refused(hands: Hands, template: str, **parameters: Any) -> NoEffectError:
    with pytest.raises(NoEffectError) as caught:
        filled(hands, template, **parameters)
    assert str(caught.value.path).startswith("template:")
    return caught.value


SAME = [
    "Hello {{ name }}!",
    "{{ n + 1 }}",
    "{{ n - 1 }}{{ n * 2 }}{{ n // 2 }}{{ n % 2 }}{{ -n }}{{ +n }}{{ n / 2 }}",
    "{{ name ~ n }}",
    "{{ tree.a.b[0] }}{{ tree['a'].b[-1] }}",
    "{{ name[1:] }}{{ name[::2] }}{{ name[0] }}",
    "{% for i in items %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{% endfor %}",
    "{% for i in items %}{{ loop.revindex0 }}:{{ i.id }}{{ ',' if not loop.last }}{% endfor %}",
    "{% for i in [] %}a{% else %}none{% endfor %}",
    "{% for k in tree %}{{ k }}{% endfor %}",
    "{% for c in name %}{{ c }}.{% endfor %}",
    "{% for a, b in [[1, 2], [3, 4]] %}{{ a + b }};{% endfor %}",
    "{% for i in range(3) %}{{ i }}{% endfor %}{{ range(1, 9, 3)|join('-') }}",
    "{% for i in range(6) if i is odd %}{{ i }}{{ loop.length }}{% endfor %}",
    "{% if n > 3 %}a{% elif n == 3 %}b{% else %}c{% endif %}{% if n != 3 %}x{% endif %}",
    "{% if n >= 3 and n <= 3 and not n < 3 %}y{% endif %}",
    "{% if 'd' in name and 'z' not in name %}in{% endif %}",
    "{% set a = n + 1 %}{{ a }}",
    "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}",
    "{% set a, b = [1, 2] %}{{ b }}{{ a }}",
    "{% set a = 1 %}{% for i in [1, 2] %}{% set a = i %}{% endfor %}{{ a }}",
    "{{ 'a' if n else 'b' }}{{ 'c' if not n }}",
    "{{ none or 'd' }}{{ n and 'e' }}",
    "{{ missing | default('m') }}{{ name | d('x') }}{{ '' | default('e', true) }}",
    "{{ missing is defined and 1 or 2 }}{{ name is defined and 1 }}{{ missing is undefined and 3 }}",
    "{{ name|upper }}{{ name|lower }}{{ 'a b'|title }}{{ 'aB'|capitalize }}{{ ' a '|trim }}",
    "{{ items|length }}{{ name|count }}{{ tree|length }}",
    "{{ [3, 1, 2]|sort|join(',') }}{{ [3, 1]|min }}{{ [3, 1]|max }}{{ [1, 2]|sum }}{{ [1, 2]|last }}{{ [1, 2]|first }}",
    "{{ items|map(attribute='tag')|join('/') }}",
    "{{ items|sort(attribute='id')|map(attribute='id')|join }}{{ items|sum(attribute='id') }}",
    "{{ [1, 1, 2]|unique|join }}{{ 'abc'|reverse }}{{ [1, 2]|reverse|join }}{{ 'ab'|list|join('.') }}",
    "{{ 'a-b'|replace('-', '+') }}{{ 2.567|round(1) }}{{ '12'|int + 1 }}",
    "{{ (n|float) + 0.5 }}{{ -3|abs }}{{ 3.7|int }}",
    "{% for k, v in tree.a|items %}{{ k }}{{ v|join }}{% endfor %}",
    "{% for k, v in {'b': 1, 'a': 2}|dictsort %}{{ k }}{{ v }}{% endfor %}",
    "{{ 'a\nb'|indent(2) }}",
    "{{ {'k': 1}.k }}{{ {'k': [1, 2]}['k'][1] }}{{ (1, 2)[0] }}",
    "{{ n is number and 1 }}{{ name is string and 2 }}{{ none is none and 3 }}",
    "{{ 4 is divisibleby(2) and 1 }}{{ 4 is even and 2 }}{{ n is eq(3) and 3 }}{{ n is ne(4) and 4 }}",
    "{{ n is in([3]) and 5 }}{{ items is sequence and 6 }}{{ tree is mapping and 7 }}",
    "{% raw %}{{ x }}{% endraw %}{# nothing #}",
    "a {%- if yes -%} b {%- endif %} c",
    "{{ yes is true and 1 }}{{ yes is boolean and 2 }}{{ n is integer and 3 }}{{ f is float and 4 }}{{ yes is false or 5 }}",
    "{{ name|string }}{{ 1 < 2 < 3 and 'ok' }}",
]


@pytest.mark.parametrize("template", SAME)
def test_the_subset_means_what_jinja_means(hands: Hands, template: str) -> None:
    """Jinja itself is the judge of what both can do."""
    judge = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    assert filled(hands, template) == judge.from_string(template).render(VALUES)


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("{{ yes }}{{ none }}{{ not yes }}", "truenullfalse"),
        ("{{ items }}", '[{"id": 2, "tag": "b"}, {"id": 1, "tag": "a"}]'),
        ("{{ tree|tojson(indent=1) }}", json.dumps(VALUES["tree"], indent=1)),
        ("{{ 'abcdef'|truncate(4) }}{{ 'ab'|truncate(length=4) }}", "abc…ab"),
        ("{{ [none, yes, 1, 1.0, 'x', [1], [1]]|unique|length }}", "5"),
        (
            "{{ 1 == yes }}{{ 1 == 1.0 }}{{ [1, {'a': 2}] == [1, {'a': 2}] }}{{ {'a': 1} == {'b': 1} }}",
            "falsetruetruefalse",
        ),
        ("{{ 2 in [1, 2] }}{{ 'k' in {'k': 1} }}{{ 'a' + 'b' }}{{ ([1] + [2])|length }}", "truetrueab2"),
        ("{{ 'b' > 'a' }}{{ 'b' >= 'c' }}{{ items|length is even }}", "truefalsetrue"),
        ("{{ html|e }}", "&lt;b&gt;&amp;&#x27;&quot;"),
    ],
)
def test_values_are_written_as_json_has_them(hands: Hands, template: str, wanted: str) -> None:
    assert filled(hands, template) == wanted


def test_values_are_escaped_when_asked_and_text_of_the_template_is_not(hands: Hands) -> None:
    template = "<p>{{ html }}{{ html|safe }}{{ html|e }}{{ html|e|e }}{{ html ~ '' }}{{ '<'|safe ~ '>' }}</p>"
    escaped = "&lt;b&gt;&amp;&#x27;&quot;"
    assert filled(hands, template, escape=True) == (
        f"<p>{escaped}{VALUES['html']}{escaped}{escaped}{escaped}&lt;&gt;</p>"
    )
    assert filled(hands, "{{ html }}") == VALUES["html"]


def test_blocks_may_take_their_lines_with_them(hands: Hands) -> None:
    template = "a\n  {% if yes %}\nb\n  {% endif %}\nc\n"
    assert filled(hands, template, trim=True) == "a\nb\nc\n"
    assert filled(hands, template) == "a\n  \nb\n  \nc\n"


def test_no_published_payload_is_filled_in(hands: Hands) -> None:
    """Nothing of Python is reached and nothing runs away: the payload is refused, or an undefined name ends it."""
    for payload in PAYLOADS:
        error = refused(hands, payload)
        assert error.code in ("TEMPLATE_INVALID", "TEMPLATE_UNDEFINED", "TEMPLATE_FAILED"), payload
        assert "<class" not in error.message, payload


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("\n{{ missing }}", 2),
        ("{{ tree.a.c }}", 1),
        ("\n\n{{ items[9] }}", 3),
        ("{{ name.first }}", 1),
        ("{{ tree['z'] }}", 1),
        ("{{ missing|upper }}", 1),
        ("{{ missing is string }}", 1),
    ],
)
def test_what_is_not_defined_is_an_error_with_its_line(hands: Hands, template: str, line: int) -> None:
    error = refused(hands, template)
    assert (error.code, error.path) == ("TEMPLATE_UNDEFINED", f"template:{line}")
    assert "default" in str(error.hint)


FAILS = [
    "{{ name + 1 }}",
    "{{ 1 / 0 }}",
    "{{ 1 % 0 }}",
    "{{ 1 // 0.0 }}",
    "{{ name < 1 }}",
    "{{ items < items }}",
    "{{ 9007199254740991 + 1 }}",
    "{{ 9007199254740991 * 9007199254740991 }}",
    "{{ 1e308 * 10 }}",
    "{{ 1e999 }}",
    "{{ 99999999999999999999 }}",
    "{{ 1 in 'a' }}",
    "{{ 1 in 1 }}",
    "{{ items[yes] }}",
    "{{ n[0] }}",
    "{{ name[:'a'] }}",
    "{{ name[::0] }}",
    "{{ n[1:] }}",
    "{{ {1: 2} }}",
    "{% for i in n %}{% endfor %}",
    "{% set a, b = [1] %}",
    "{% for a, b in [1] %}{% endfor %}",
    "{{ n|upper }}",
    "{{ n|length }}",
    "{{ []|first }}",
    "{{ n|first }}",
    "{{ n|join }}",
    "{{ name|replace('a') }}",
    "{{ name|round }}",
    "{{ n|round(99) }}",
    "{{ 'x'|int }}",
    "{{ 'x'|float }}",
    "{{ items|float }}",
    "{{ name|abs }}",
    "{{ [1, 'a']|sort }}",
    "{{ [yes]|sort }}",
    "{{ items|sort }}",
    "{{ n|unique }}",
    "{{ n|reverse }}",
    "{{ n|list }}",
    "{{ ['a']|sum }}",
    "{{ n|items }}",
    "{{ items|map(attribute='zz') }}",
    "{{ items|map }}",
    "{{ name|indent(-1) }}",
    "{{ name|indent(101) }}",
    "{{ name|truncate('a') }}",
    "{{ 1|tojson(99) }}",
    "{{ name|upper(1) }}",
    "{{ name|tojson(width=1) }}",
    "{{ n is divisibleby(0) }}",
    "{{ n is divisibleby }}",
    "{{ name is odd }}",
    "{{ range('a') }}",
    "{{ range(1, 2, 0) }}",
    "{{ range(a=1) }}",
    "{{ range() }}",
    "{{ range(10001) }}",
    "{{ n is eq }}",
    "{{ n is none(1) }}",
    "{{ 1e300|int }}",
    "{{ [1e308, 1e308]|sum }}",
    "{{ 'nan'|float }}",
    "{% set x.y = 1 %}",
    "{{ '\\ud800' }}",
    "{{ items|join(attribute='tag', width=2) }}",
]


@pytest.mark.parametrize("template", FAILS)
def test_what_a_value_cannot_do_is_an_error_with_its_line(hands: Hands, template: str) -> None:
    assert refused(hands, template).code in ("TEMPLATE_FAILED", "TEMPLATE_INVALID")


EXHAUSTING = {
    "loops in loops": (
        "{% for a in range(10000) %}{% for b in range(10000) %}{% for c in "
        "range(10000) %}{% endfor %}{% endfor %}{% endfor %}"
    ),
    "doubling": "{% set a = 'aaaaaaaaaa' %}" + "{% set a = a ~ a %}" * 60,
    "doubling lists": "{% set a = [1] %}" + "{% set a = a + a %}" * 60,
    "shared lists": "{% set a = [1] %}" + "{% set a = [a, a] %}" * 60 + "{{ a }}",
    "shared lists compared": "{% set a = [1] %}{% set b = [1] %}"
    + "{% set a = [a, a] %}{% set b = [b, b] %}" * 60
    + "{{ a == b }}",
    "shared lists found": "{% set a = [1] %}{% set b = [1] %}"
    + "{% set a = [a, a] %}{% set b = [b, b] %}" * 60
    + "{{ a in [b] }}",
    "shared mappings": "{% set a = {} %}" + "{% set a = {'x': a, 'y': a} %}" * 60 + "{{ a|tojson(8) }}",
    "deep values": "{% set a = [] %}" + "{% set a = [a] %}" * 4000 + "{{ a }}",
    "replaced by more": "{% set a = 'aaaaaaaaaa' %}" + "{% set a = a|replace('a', 'aaaaaaaaaa') %}" * 60,
    "joined": "{% set a = 'aaaaaaaaaa' %}" + "{% set a = [a, a, a, a]|join(a) %}" * 30,
    "escaped": "{% set a = '&' %}"
    + "{% set a = a|e|string ~ '&' %}{% set a = (a ~ '')|e %}" * 60
    + "{{ a ~ a }}" * 4000,
    "indented": "{% set a = '\\n' %}" + "{% set a = (a ~ a ~ 'a')|indent(100) %}" * 60,
    "sorted for ever": "{% for a in range(10000) %}{% set b = range(10000)|sort %}{% endfor %}",
    "searched for ever": "{% for a in range(10000) %}{{ 'z' in big }}{% endfor %}",
    "written for ever": "{% for a in range(10000) %}{{ big }}{% endfor %}",
    "unlike one another": "{% for a in range(10000) %}{{ lists|unique|length }}{% endfor %}",
    "many names": "{% for a in range(10000) %}{% for b in range(10000) %}{{ b }}{% endfor %}{% endfor %}",
}


@pytest.mark.parametrize("name", EXHAUSTING)
def test_a_template_that_would_not_end_is_ended(
    hands: Hands, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The limits themselves stop them too, in seconds; these do it sooner.
    monkeypatch.setattr(_filters, "STEPS_MAX", 20_000)
    monkeypatch.setattr(_filters, "MADE_MAX", 1 << 20)
    values = {"big": "a" * 1_000_000, "lists": [[n] for n in range(200)]}
    assert refused(hands, EXHAUSTING[name], values=values).code in ("TEMPLATE_FAILED", "TEMPLATE_INVALID")


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(50) %}" + "{% with %}{% endwith %}" * 300 + "{% endfor %}",
        "{% for a in range(10000) if false %}{% endfor %}",
        "{% set l = [''] %}"
        + "{% set l = l + l %}" * 12
        + "{% for a in range(2000) %}{{ l|join }}{% endfor %}",
        "{% set l = [one] %}"
        + "{% set l = l + l %}" * 12
        + "{% for a in range(100) %}{{ l|map(attribute=key)|length }}{% endfor %}",
        "{% for a in range(5000) %}{% if some == others %}{% endif %}{% endfor %}",
    ],
    ids=["blocks", "filtered loop", "joined", "long attribute", "compared keys"],
)
def test_what_a_template_looks_at_is_paid_for_though_nothing_is_made_of_it(
    hands: Hands, template: str
) -> None:
    """Each would have taken seconds for a few steps; a longer one, hours."""
    key = "k" * 10_000
    names: dict[str, Any] = {f"n{n}": n for n in range(5_000)}
    values: dict[str, Any] = {
        "one": {key: 1},
        "key": key,
        "some": {**names, "y": 1},
        "others": {**names, "z": 1},
    }
    if "{{" not in template and "==" not in template:
        values |= names
    assert refused(hands, template, values=values).code == "TEMPLATE_FAILED"


@pytest.mark.parametrize(
    "template",
    [
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{{ 1" + "+1" * 30_000 + " }}",
        "{{ " + "not " * 5000 + "1 }}",
        "{{ " + "[" * 5000,
        "{{ " + "-" * 5000 + "1 }}",
        "{% if 1 %}" * 2000 + "{% endif %}" * 2000,
        "{% for a in b %}" * 90 + "{% endfor %}" * 90,
        "{{ a" + ".a" * 5000 + " }}",
        "{{ a" + "|e" * 5000 + " }}",
        "{{ " + "9" * 5000 + " }}",
        "{{ 0x" + "f" * 6000 + " }}",
        "{{ " + "a if b else " * 3000 + "c }}",
        "{{x}}" * 25_000,
    ],
    ids=range(13),
)
def test_a_template_that_is_too_large_is_refused_before_anything_is_done(hands: Hands, template: str) -> None:
    assert refused(hands, template).code in ("TEMPLATE_INVALID", "TEMPLATE_FAILED")


@pytest.mark.parametrize(
    "template",
    [
        "{% raw %}" + "{%  " * 20_000,
        "{#" * 40_000,
        "{{ '" + "\\'" * 40_000,
        "{{ " + "1_" * 40_000 + " }}",
        "{{" * 40_000,
        "{%-" + " " * 80_000 + "x",
        "{{ " + "a" * 90_000 + " }}",
        "\r\n" * 40_000 + "{{ x",
        "{{ 1" + "e1" * 30_000,
    ],
    ids=range(9),
)
def test_reading_a_hostile_text_ends(hands: Hands, template: str) -> None:
    refused(hands, template)


def test_a_call_that_nobody_waits_for_ends(hands: Hands) -> None:
    step = hands.step("text.template", template="{% for a in range(9) %}{{ a }}{% endfor %}")
    step.context.cancel.cancel()
    with pytest.raises(NoEffectError) as caught:
        step.execute()
    assert caught.value.code == "CALL_CANCELLED"


def test_every_kind_of_node_that_is_allowed_is_carried_out() -> None:
    """What `_check` lets through has a method."""
    inner = {"Template", "TemplateData", "Slice", "Pair", "Operand", "Keyword"}
    done = {name.partition("_do_")[2] or name.partition("_of_")[2] for name in dir(_Renderer)}
    done |= {kind.lower() for kind in (*_SUMS, *_SIGNS)}
    assert {kind.lower() for kind in _ALLOWED - inner} == done - {""}
    assert "defined" in _TESTS


WORDS = st.sampled_from(
    "{{ }} {% %} if for in endif endfor else elif set with endwith is not and or defined default(1) "
    "| upper join length ( ) [ ] { } , : . ~ + - * / // % ** = == < > 'a' 1 2.5 "
    "x items name loop range(3) tree.a n none true sort map tojson first x.y[0] i".split()
)


@given(st.lists(WORDS, max_size=25))
@settings(max_examples=examples(100), deadline=None)
def test_no_template_makes_it_fail_otherwise(hands: Hands, words: list[str]) -> None:
    with suppress(NoEffectError):
        filled(hands, "{{ " + " ".join(words) + " }}")
