"""Callers of one version are served by another through the transformers between them, which are tried before they are used."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import AssentError
from assent.spec.capability import CapabilitySpec, create_read_capability
from assent.versions.transform import HOPS_MAX, unchanged
from assent.versions.transformers import Transformer, VersionChain
from tests.support.properties import holds

ID = "shop.order.place"


def spec(version: str, parameters: Any = None, returns: Any = None) -> CapabilitySpec:
    return create_read_capability(ID, version=version, parameters=parameters or {}, returns=returns or {})


def fields(**types: str) -> dict[str, Any]:
    """A closed object of required fields."""
    properties = {name: {"type": kind} for name, kind in types.items()}
    return {"type": "object", "properties": properties, "required": [*types], "additionalProperties": False}


ONE = spec("1.0.0", fields(name="string"), fields(id="integer"))
TWO = spec("2.0.0", fields(title="string"), fields(key="string"))


def rename() -> Transformer:
    return Transformer(
        older="1.0.0",
        newer="2.0.0",
        inputs_forward=lambda old: {"title": old["name"]},
        outputs_backward=lambda new: {"id": len(new["key"])},
    )


def chain_of(*steps: tuple[CapabilitySpec, list[Transformer]]) -> VersionChain:
    chain = VersionChain(ID)
    for version, transformers in steps:
        chain.add(version, transformers)
    return chain


def refusal(*steps: tuple[CapabilitySpec, list[Transformer]]) -> AssentError:
    """What the last step is refused with."""
    chain = chain_of(*steps[:-1])
    with pytest.raises(AssentError) as caught:
        chain.add(*steps[-1])
    return caught.value


def test_a_caller_of_the_older_version_is_served_by_the_newer() -> None:
    """Inputs go up, the output comes down."""
    route = chain_of((ONE, []), (TWO, [rename()])).route("1.0.0", "2.0.0")
    assert route.to_served({"name": "a"}) == {"title": "a"}
    assert route.to_asked({"key": "abc"}) == {"id": 3}
    assert (route.asked, route.served) == (ONE, TWO)


def test_a_caller_of_the_newer_version_is_served_by_the_older_when_the_way_back_is_given() -> None:
    """Without the way back there is none, and the error names where it ends."""
    chain = chain_of((ONE, []), (TWO, [rename()]))
    with pytest.raises(AssentError, match=r"nothing brings inputs from `2\.0\.0` to `1\.0\.0`") as caught:
        chain.route("2.0.0", "1.0.0")
    assert caught.value.details == {"reached": "2.0.0", "wanted": "1.0.0"}
    both = Transformer(
        older="1.0.0",
        newer="2.0.0",
        inputs_forward=lambda old: {"title": old["name"]},
        inputs_backward=lambda new: {"name": new["title"]},
        outputs_backward=lambda new: {"id": len(new["key"])},
        outputs_forward=lambda old: {"key": str(old["id"])},
    )
    route = chain_of((ONE, []), (TWO, [both])).route("2.0.0", "1.0.0")
    assert route.to_served({"title": "a"}) == {"name": "a"}
    assert route.to_asked({"id": 4}) == {"key": "4"}


def test_versions_that_break_nobody_need_no_transformer() -> None:
    """Values pass as they are through compatible neighbours, also on the way to one that needs a transformer."""
    minor = spec("1.1.0", {"type": "object", "properties": {"name": {"type": "string"}}}, ONE.returns)
    closed = {**fields(name="string"), "properties": {"name": {"type": "string"}, "note": {"type": "string"}}}
    minor = spec("1.1.0", closed, ONE.returns)
    up = Transformer(
        older="1.1.0",
        newer="2.0.0",
        inputs_forward=lambda old: {"title": old["name"]},
        outputs_backward=lambda new: {"id": len(new["key"])},
    )
    chain = chain_of((ONE, []), (minor, []), (TWO, [up]))
    route = chain.route("1.0.0", "2.0.0")
    assert [link.target for link in route.inputs] == ["1.1.0", "2.0.0"]
    assert [link.target for link in route.outputs] == ["1.1.0", "1.0.0"]
    assert route.to_served({"name": "a"}) == {"title": "a"}
    assert chain.route("1.0.0", "1.0.0").to_served({"name": "a"}) == {"name": "a"}
    assert chain.transformer("1.1.0", "2.0.0") is up


def test_a_version_that_comes_later_does_not_cut_a_way() -> None:
    """The transformer that spans both still stands."""
    middle = spec("1.5.0", fields(label="string"), ONE.returns)
    into = Transformer(older="1.0.0", newer="1.5.0", inputs_forward=lambda old: {"label": old["name"]})
    chain = chain_of((ONE, []), (TWO, [rename()]), (middle, [into]))
    assert [link.target for link in chain.route("1.0.0", "2.0.0").inputs] == ["2.0.0"]
    assert chain.route("1.0.0", "1.5.0").to_served({"name": "a"}) == {"label": "a"}
    with pytest.raises(AssentError) as caught:
        chain.route("1.5.0", "2.0.0")
    assert caught.value.code == "TRANSFORM_MISSING"


def test_a_transformer_is_never_replaced() -> None:
    """Neither later nor in the same breath; and nothing is added with a refused one."""
    later = spec("3.0.0", TWO.parameters, TWO.returns)
    chain = chain_of((ONE, []), (TWO, [rename()]))
    with pytest.raises(AssentError) as caught:
        chain.add(TWO, [rename()])
    assert caught.value.code == "TRANSFORMER_DUPLICATE"
    assert refusal((ONE, []), (TWO, [rename(), rename()])).code == "TRANSFORMER_DUPLICATE"
    with pytest.raises(AssentError):
        chain.add(later, [Transformer(older="1.0.0", newer="3.0.0")])
    with pytest.raises(AssentError, match=r"`shop\.order\.place@3\.0\.0` is not registered"):
        chain.route("1.0.0", "3.0.0")


@pytest.mark.parametrize(
    ("transformer", "message"),
    [
        (Transformer(older="0.9.0", newer="2.0.0"), "`0.9.0`, which is not registered"),
        (Transformer(older="2.0.0", newer="1.0.0"), "does not lead from an older version"),
        (Transformer(older="0.1.0", newer="2.0.0"), "passes over version `1.0.0`"),
        (Transformer(older="0.1.0", newer="1.0.0"), "which it does not touch"),
    ],
)
def test_a_transformer_stands_between_neighbours(transformer: Transformer, message: str) -> None:
    """The version it comes with is one of them."""
    error = refusal((spec("0.1.0"), []), (ONE, []), (TWO, [transformer]))
    assert error.code == "TRANSFORMER_INVALID"
    assert message in error.message


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        (lambda old: {"title": len(old["name"])}, "is not of type"),
        (lambda old: old["title"], "did not get"),
        (lambda old: {"title": object()}, "did not get"),
        (unchanged, "Additional properties"),
    ],
)
def test_a_transformer_that_goes_wrong_is_refused_with_what_it_was_given(function: Any, fault: str) -> None:
    """The counterexample stands in the error."""
    wrong = Transformer(
        older="1.0.0", newer="2.0.0", inputs_forward=function, outputs_backward=lambda new: {"id": 1}
    )
    error = refusal((ONE, []), (TWO, [wrong]))
    assert error.code == "TRANSFORMER_INVALID"
    assert fault in error.message
    assert error.details["given"] == {"name": ""}
    assert error.details["function"] == "inputs_forward"


def test_a_transformer_that_answers_differently_is_refused() -> None:
    """Recovery would differ from the record."""
    numbers = iter(range(1000))
    moody = Transformer(
        older="1.0.0",
        newer="2.0.0",
        inputs_forward=lambda old: {"title": str(next(numbers))},
        outputs_backward=lambda new: {"id": 1},
    )
    assert "two different answers" in refusal((ONE, []), (TWO, [moody])).message


def test_a_transformer_that_hangs_is_refused() -> None:
    """Its limit holds while it is tried, too."""
    release = threading.Event()
    slow = Transformer(
        older="1.0.0", newer="2.0.0", inputs_forward=lambda old: release.wait() or {"title": ""}, limit_s=0.01
    )
    assert "took more than 0.01 s" in refusal((ONE, []), (TWO, [slow])).message
    release.set()


def test_every_way_that_a_transformer_offers_is_tried() -> None:
    """Also those that nobody needs yet."""
    for name in ("inputs_backward", "outputs_forward", "outputs_backward"):
        wrong: dict[str, Any] = {name: lambda _: {"wrong": 1}}
        error = refusal((ONE, []), (TWO, [Transformer(older="1.0.0", newer="2.0.0", **wrong)]))
        assert error.details["function"] == name


def test_what_a_function_does_to_a_value_that_nobody_tried_is_found_at_the_call() -> None:
    """A call gets an error with the version that was reached, never a value of a wrong shape."""
    chain = chain_of(
        (spec("1.0.0"), []),
        (spec("2.0.0"), [Transformer(older="1.0.0", newer="2.0.0", inputs_forward=lambda _: [])]),
    )
    with pytest.raises(AssentError) as caught:
        chain.route("1.0.0", "2.0.0").to_served({"a": 1})
    assert (caught.value.code, caught.value.details["reached"]) == ("TRANSFORM_FAILED", "2.0.0")
    route = chain_of((ONE, []), (TWO, [rename()])).route("1.0.0", "2.0.0")
    odd = type(route)(route.asked, route.served, route.inputs, (), route.chain)
    with pytest.raises(AssentError, match=r"is not what version `1\.0\.0` gives"):
        odd.to_asked({"id": "text"})


def test_more_versions_than_may_be_crossed_are_refused() -> None:
    """Before any value is touched."""
    chain = chain_of(*((spec(f"1.{minor}.0"), []) for minor in range(HOPS_MAX + 2)))
    with pytest.raises(AssentError) as caught:
        chain.route("1.0.0", f"1.{HOPS_MAX + 1}.0")
    assert caught.value.code == "TRANSFORM_LIMIT"
    assert chain.route("1.1.0", f"1.{HOPS_MAX + 1}.0").to_served({"a": 1}) == {"a": 1}


@cache
def chain_that_renames(names: str) -> VersionChain:
    """One version for each letter, its only field; each passed on adds its letter to the value. Kept, for adding one tries it."""

    def renaming(old: str, new: str) -> Any:
        return lambda value: {new: [*value[old], new]}

    chain = VersionChain(ID)
    for at, name in enumerate(names):
        shape = fields(**{name: "array"})
        transformers = [
            Transformer(
                older=f"{at}.0.0",
                newer=f"{at + 1}.0.0",
                inputs_forward=renaming(names[at - 1], name),
                inputs_backward=renaming(name, names[at - 1]),
                outputs_forward=renaming(names[at - 1], name),
                outputs_backward=renaming(name, names[at - 1]),
            )
        ][: min(at, 1)]
        chain.add(spec(f"{at + 1}.0.0", shape, shape), transformers)
    return chain


@holds("transformer_execution")
@given(
    names=st.sampled_from(["abcd", "cadb"]),
    start=st.integers(0, 3),
    end=st.integers(0, 3),
    text=st.text(max_size=5),
)
def test_a_value_passes_every_version_between_in_order(names: str, start: int, end: int, text: str) -> None:
    """Up and down: each version renames the field, and the way takes part in all of them."""
    chain = chain_that_renames(names)
    route = chain.route(f"{start + 1}.0.0", f"{end + 1}.0.0")
    step = 1 if start <= end else -1
    crossed = [names[at] for at in range(start + step, end + step, step)] if start != end else []
    assert route.to_served({names[start]: [text]}) == {names[end]: [text, *crossed]}
    back = [names[at] for at in range(end - step, start - step, -step)] if start != end else []
    assert route.to_asked({names[end]: [text]}) == {names[start]: [text, *back]}


def test_a_breaking_change_under_the_same_major_number_is_refused_without_transformers() -> None:
    """Each change has its place and its reason; with a transformer the version is accepted."""
    minor = spec("1.1.0", TWO.parameters, TWO.returns)
    error = refusal((ONE, []), (minor, []))
    assert error.code == "VERSION_BREAKING"
    assert error.path == "parameters.name"
    changes: Any = error.details["changes"]
    assert {change["path"] for change in changes} == {
        "parameters.name",
        "parameters.title",
        "returns.id",
    }
    assert all(change["breaking"] and change["reason"] for change in changes)
    up = Transformer(
        older="1.0.0",
        newer="1.1.0",
        inputs_forward=lambda old: {"title": old["name"]},
        outputs_backward=lambda new: {"id": 1},
    )
    assert chain_of((ONE, []), (minor, [up])).route("1.0.0", "1.1.0").to_served({"name": "a"}) == {
        "title": "a"
    }


def test_a_version_put_before_another_must_not_be_broken_by_it() -> None:
    """The order of registration makes no difference."""
    assert (
        refusal((spec("1.1.0", TWO.parameters), []), (spec("1.0.0", ONE.parameters), [])).code
        == "VERSION_BREAKING"
    )


@pytest.mark.parametrize(
    ("older", "newer", "is_refused"),
    [
        ("1.0.0", "1.0.1", True),
        ("1.0.0", "2.0.0", False),
        ("0.1.0", "0.1.1", True),
        ("0.1.0", "0.2.0", False),
        ("1.0.0", "1.1.0-rc.1", False),
        ("1.0.0-rc.1", "1.0.0", False),
    ],
)
def test_what_may_break_is_what_the_numbers_say(older: str, newer: str, *, is_refused: bool) -> None:
    """Another major number may, before 1.0.0 another minor one, and a pre-release."""
    chain = chain_of((spec(older, ONE.parameters), []))
    if is_refused:
        with pytest.raises(AssentError):
            chain.add(spec(newer, TWO.parameters))
    else:
        chain.add(spec(newer, TWO.parameters))


def test_callers_in_use_may_be_asked_for_under_another_major_number_too() -> None:
    """Then the way out is to retire them."""
    chain = chain_of((ONE, []), (TWO, []))
    with pytest.raises(AssentError, match="breaks callers") as caught:
        chain.require_served("1.0.0", "2.0.0")
    assert "retire `1.0.0` first" in str(caught.value.hint)
    chain_of((ONE, []), (TWO, [rename()])).require_served("1.0.0", "2.0.0")
    same = spec("2.0.0", ONE.parameters, ONE.returns)
    chain_of((ONE, []), (same, [])).require_served("1.0.0", "2.0.0")


def test_a_version_that_was_unloaded_takes_its_transformers_with_it() -> None:
    """It may come again, with others."""
    chain = chain_of((ONE, []), (TWO, [rename()]))
    left = chain.without("2.0.0")
    assert (left.has("1.0.0"), left.has("2.0.0"), chain.has("2.0.0")) == (True, False, True)
    again = left.joined(TWO, [rename()])
    assert again.transformer("1.0.0", "2.0.0") is not chain.transformer("1.0.0", "2.0.0")
    assert not left.has("2.0.0")


def test_an_output_with_more_fields_comes_to_an_older_reader_without_them() -> None:
    """At every depth; no transformer is needed, because nobody is broken."""
    line = closed_line = fields(sku="string")
    more = {**fields(id="integer"), "properties": {"id": {"type": "integer"}, "note": {"type": "string"}}}
    old = {
        **fields(),
        "properties": {"lines": {"type": "array", "items": closed_line}, "pair": {"prefixItems": [line]}},
    }
    richer = {**line, "properties": {**line["properties"], "count": {"type": "integer"}}}
    new = {
        **fields(),
        "properties": {"lines": {"type": "array", "items": richer}, "pair": {"prefixItems": [richer]}},
    }
    chain = chain_of((spec("1.0.0", returns=fields(id="integer")), []), (spec("1.1.0", returns=more), []))
    assert chain.route("1.0.0", "1.1.0").to_asked({"id": 1, "note": "a"}) == {"id": 1}
    deep = chain_of((spec("1.0.0", returns=old), []), (spec("1.1.0", returns=new), []))
    value: Any = {"lines": [{"sku": "a", "count": 1}], "pair": [{"sku": "b", "count": 2}, {"any": 1}]}
    assert deep.route("1.0.0", "1.1.0").to_asked(value) == {
        "lines": [{"sku": "a"}],
        "pair": [{"sku": "b"}, {"any": 1}],
    }
