"""Links carry plain JSON from version to version: in order, within limits, and without touching what they were given."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import AssentError
from assent.versions.transform import Chain, Link, Migrations, unchanged
from tests.support.properties import holds

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=3),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text("ab", max_size=2), below, max_size=3),
    max_leaves=8,
)


def links(*functions: Any) -> list[Link]:
    """Links from version 0 on."""
    return [Link(str(at), str(at + 1), function) for at, function in enumerate(functions)]


def error_of(chain: Chain, value: Any, way: list[Link]) -> tuple[AssentError, Any, str]:
    done = chain.carry(value, way, start="0", what="it")
    assert done.error is not None
    with pytest.raises(AssentError):
        done.unwrap()
    return done.error, done.value, done.reached


@holds("transformer_execution")
@given(value=_json, marks=st.lists(st.integers(0, 99), max_size=6))
def test_links_are_taken_in_their_order(value: Any, marks: list[int]) -> None:
    """Each link gets what the one before it gave."""

    def wrapping(mark: int) -> Any:
        return lambda inner: {"mark": mark, "inner": inner}

    expected = value
    for mark in marks:
        expected = {"mark": mark, "inner": expected}
    done = Chain().carry(value, links(*map(wrapping, marks)), start="0", what="it")
    assert (done.unwrap(), done.reached) == (expected, str(len(marks)))


@holds("transformer_execution")
@given(value=st.dictionaries(st.text("ab", max_size=2), st.lists(st.integers(), max_size=3), max_size=3))
def test_a_link_changes_nothing_that_it_is_given_and_nothing_that_it_gave(value: dict[str, Any]) -> None:
    """What goes in and what comes out are copies."""
    kept: list[Any] = []

    def spoil(given: dict[str, Any]) -> Any:
        for items in given.values():
            items.append("spoilt")
        given["more"] = []
        kept.append(given)
        return given

    before = {key: [*items] for key, items in value.items()}
    done = Chain().carry(value, links(spoil), start="0", what="it")
    assert value == before
    kept[0]["later"] = True
    assert "later" not in (done.value if isinstance(done.value, dict) else {})


@holds("transformer_execution")
@given(value=_json, at=st.integers(0, 3), fault=st.sampled_from(["missing", "failing", "no JSON"]))
def test_a_link_that_fails_gives_back_the_input_and_names_the_version_reached(
    value: Any, at: int, fault: str
) -> None:
    """Nothing half-way comes out."""

    def failing(_: Any) -> Any:
        raise ValueError("no way")

    functions: list[Any] = [lambda inner: [inner]] * 4
    functions[at] = {"missing": None, "failing": failing, "no JSON": lambda _: object()}[fault]
    error, back, reached = error_of(Chain(), value, links(*functions))
    assert (back, reached) == (value, str(at))
    assert error.code == ("TRANSFORM_MISSING" if fault == "missing" else "TRANSFORM_FAILED")
    assert error.details["reached"] == str(at)
    assert f"`{at}`" in error.message


def test_a_slow_link_is_given_up_and_not_taken_again_while_it_runs() -> None:
    """One function that hangs costs its limit once."""
    release, started = threading.Event(), threading.Semaphore(0)

    def hang(value: Any) -> Any:
        started.release()
        release.wait()
        return value

    chain = Chain()
    way = [Link("0", "1", hang, limit_s=0.01)]
    assert error_of(chain, 1, way)[0].code == "TRANSFORM_TIMEOUT"
    assert started.acquire(timeout=60)
    assert error_of(chain, 1, way)[0].code == "TRANSFORM_TIMEOUT"
    assert not started.acquire(blocking=False), "it was not started again"
    release.set()
    for thread in threading.enumerate():
        if thread.name == "assent-transform":
            thread.join(60)
    quick = [Link("0", "1", hang, limit_s=60)]
    assert chain.carry(1, quick, start="0", what="it").unwrap() == 1


def test_more_links_than_may_be_crossed_are_refused() -> None:
    """The limit is asked before the first link is taken."""
    taken: list[Any] = []
    error, back, reached = error_of(Chain(hops_max=2), 5, links(taken.append, taken.append, taken.append))
    assert (error.code, back, reached, taken) == ("TRANSFORM_LIMIT", 5, "0", [])


def test_a_link_that_raises_what_nobody_should_raise_fails_like_any_other() -> None:
    """Not even an exit gets out of a link; a reason is told where there is one."""

    def leave(_: Any) -> Any:
        raise SystemExit

    error, _, _ = error_of(Chain(), 1, links(leave))
    assert error.code == "TRANSFORM_FAILED"
    assert "it gave no reason" in error.message


def test_what_needs_no_change_is_carried_as_it_is() -> None:
    """`unchanged` crosses a version without a thread."""
    assert Chain().carry({"a": [1]}, links(unchanged), start="0", what="it").unwrap() == {"a": [1]}


def test_stored_documents_are_brought_to_the_current_format() -> None:
    """Each step once, in order, from the format that the document says it is of."""
    migrations = Migrations("the plan", (lambda old: {**old, "b": 1}, lambda old: {**old, "c": old["b"] + 1}))
    assert migrations.current == 3
    first: dict[str, Any] = {"a": 0}
    assert migrations.migrate(first) == {"a": 0, "b": 1, "c": 2, "version": 3}
    assert first == {"a": 0}
    assert migrations.migrate({"b": 5, "version": 2}) == {"b": 5, "c": 6, "version": 3}
    assert migrations.migrate({"version": 3}) == {"version": 3}


@pytest.mark.parametrize("found", [0, 4, "2", True, None])
def test_a_document_of_an_unknown_format_is_refused(found: Any) -> None:
    """Nothing is guessed about it."""
    migrations = Migrations("the plan", (unchanged, unchanged))
    with pytest.raises(AssentError) as caught:
        migrations.migrate({"version": found})
    assert caught.value.code == "DOCUMENT_VERSION"


def test_a_migration_that_makes_no_document_fails() -> None:
    """A document stays an object."""
    with pytest.raises(AssentError) as caught:
        Migrations("the plan", (lambda _: [],)).migrate({})
    assert caught.value.code == "TRANSFORM_FAILED"
