"""The tool that changes the rules: which changes it makes, that it notices what tests notice, and that survivors are told."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from assent.engine.machine import _machine
from tests.docs.pages import ROOT
from tools import mutate
from tools.mutate import AREAS, Area, Floor, Mutant, drawn, judged, mutants, ordered


def changed(source: str) -> list[str]:
    """What stands in place of what, of a function with this body."""
    whole = f"def f(a, b):\n    {source}\n"
    found = [*mutants("m.py", whole)]
    for mutant in found:
        ast.parse(mutant.applied(whole))
    return [f"{mutant.before} -> {mutant.after}" for mutant in found]


@pytest.fixture(autouse=True)
def _few_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests of a small project start with what the tool asks for alone: all that is installed takes most of their time."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p xdist -p pytest_cov")


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        ("return a and b", ["a and b -> (a or b)"]),
        ("return a <= b", ["a <= b -> (a < b)"]),
        ("return a is not None", ["a is not None -> (a is None)"]),
        ("return not a", ["not a -> (a)"]),
        ("return [True, 7, 'x']", ["True -> (False)", "7 -> (8)"]),
        ("return 1 if a else b", ["a -> (False)", "a -> (True)", "1 -> (2)"]),
        ("while a: b()", ["a -> (False)"]),
        ("return a < b < 3", ["3 -> (4)"]),
        ("assert a < b", []),
        ("return zip(a, b, strict=True)", []),
        ("x: Literal[1] = a", []),
        ('return f"{a and b}"', []),
    ],
)
def test_one_operator_constant_or_condition_is_changed_at_a_time(source: str, changes: list[str]) -> None:
    assert changed(source) == changes


def test_what_is_declared_is_left_alone() -> None:
    """Constants of a module, defaults and decorators are data; a nested function is changed once."""
    source = "A = 1\n@d(2)\ndef f(a=3, *, b: bool = True):\n    def g():\n        return 4\n    return g\n"
    assert [mutant.before for mutant in mutants("m.py", source)] == ["4"]


def test_a_change_meets_its_very_place() -> None:
    """Also behind letters that take several bytes, and over lines."""
    source = 'def f(a, b):\n    return ("é", a and\n        b)\n'
    (mutant,) = mutants("m.py", source)
    assert mutant.applied(source) == 'def f(a, b):\n    return ("é", (a or b))\n'


def test_every_area_has_rules_and_tests_and_the_same_are_drawn_again() -> None:
    for area in AREAS.values():
        assert all((ROOT / path).exists() for path in area.tests)
    chosen = drawn(ROOT, [*AREAS], count=25, seed="1", only="")
    assert chosen == drawn(ROOT, [*AREAS], count=25, seed="1", only="")
    assert {area.tests for area, _ in chosen} == {area.tests for area in AREAS.values()}
    assert chosen != drawn(ROOT, [*AREAS], count=25, seed="2", only="")
    assert (
        drawn(ROOT, ["engine"], count=3, seed="1", only="_machine.py")[0][1].path
        == "assent/engine/machine/_machine.py"
    )
    assert _machine.__name__.endswith("engine.machine._machine"), "the file that the line above names"


def test_tests_that_are_named_like_the_changed_module_come_first(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    for name in ("test_a.py", "test_wishes.py", "test_z.py"):
        (tmp_path / "tests" / name).touch()
    mutant = Mutant("assent/_wishes.py", "f", 1, 0, 0, "a", "b")
    assert ordered(["tests"], mutant, tmp_path)[0] == "tests/test_wishes.py"


RULE = "def may(age, asked):\n    if asked:\n        return age >= 18 and age < 150\n    return False\n"
TEST = (
    "from rules import may\n\n"
    "def test_of_age():\n    assert may(18, True)\n    assert not may(17, True)\n    assert not may(30, False)\n"
)


@pytest.mark.slow
def test_what_no_test_notices_is_told_and_what_is_answered_is_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a small project: the upper boundary has no test."""
    (tmp_path / "src").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "src" / "rules.py").write_text(RULE, encoding="utf-8")
    (tmp_path / "tests" / "test_rules.py").write_text(TEST, encoding="utf-8")
    area = Area(("rules.py",), ("tests/test_rules.py",))
    wanted = {
        "age >= 18 -> (age > 18)": "noticed",
        "asked -> (True)": "noticed",
        "age < 150 -> (age <= 150)": "survived",
    }
    every = {f"{one.before} -> {one.after}": one for one in mutants("rules.py", RULE)}
    monkeypatch.setattr(mutate, "answers", lambda: {"rules.py may: 150 -> (151)": "nobody is so old"})
    names = [*wanted, "150 -> (151)"]
    floor = Floor(tmp_path, tmp_path / "copy")
    floor.known = floor.measured(area.tests, jobs=0)
    assert not floor.known.failing
    found = judged(tmp_path, [(area, every[name]) for name in names], [floor])
    assert [verdict for _, verdict in found] == [*wanted.values(), "answered"]
    assert "survived  rules.py:3  age < 150  ->  (age <= 150)" in capsys.readouterr().out
    assert (tmp_path / "copy" / "src" / "rules.py").read_text(encoding="utf-8") == RULE


@pytest.mark.slow
def test_a_change_is_tried_first_by_the_tests_that_meet_it_and_without_those_that_fail_anyhow(
    tmp_path: Path,
) -> None:
    (tmp_path / "src" / "assent").mkdir(parents=True)
    (tmp_path / "tests").mkdir()
    (tmp_path / "src" / "assent" / "__init__.py").touch()
    (tmp_path / "src" / "assent" / "rules.py").write_text(RULE, encoding="utf-8")
    test = (
        TEST.replace("rules", "assent.rules")
        + "\n\ndef test_other():\n    pass\n\n\ndef test_bad():\n    assert may(1, 2)\n"
    )
    (tmp_path / "tests" / "test_rules.py").write_text(test, encoding="utf-8")
    floor = Floor(tmp_path, tmp_path / "copy")
    floor.known = floor.measured(["tests/test_rules.py"], jobs=1)
    assert floor.known.failing == ("tests/test_rules.py::test_bad",)
    assert floor.known.meeting["assent/rules.py", 3] == ["tests/test_rules.py::test_of_age"]
    assert not floor.known.meeting.get(("assent/rules.py", 1)), "what is met by importing is met by no test"
    (age,) = [one for one in mutants("assent/rules.py", RULE) if one.before == "age >= 18"]
    assert floor.notices(age, ["tests/test_rules.py::test_other"])


def test_every_answer_is_about_a_change_that_there_is() -> None:
    """An answer whose line was changed is taken out, or given anew."""
    every = {
        mutant.name
        for area in AREAS.values()
        for rule in area.rules
        for path in (ROOT / "src" / "assent").glob(rule)
        for mutant in mutants(str(path.relative_to(ROOT / "src")), path.read_text(encoding="utf-8"))
    }
    assert sorted(mutate.answers().keys() - every) == []
