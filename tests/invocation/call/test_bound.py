"""Both ends of a call are validated, a handler fits its spec, and its fingerprint follows its behaviour."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from assent.errors import InputError
from assent.invocation import BoundCapability, CallTimeoutError, Handler
from assent.spec import CapabilitySpec, Compensation, create_read_capability
from assent.spec.capability import SpecModel
from assent.spec.states import Undo
from tests.support.bodies import put_spec

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 1}, "size": {"type": "integer", "minimum": 1}},
    "required": ["name", "size"],
    "additionalProperties": False,
}


class Parameters(SpecModel):
    """The same as a Python type."""

    name: str
    size: int = 3


class Returned(SpecModel):
    """A result."""

    size: int


def nothing(context: Any, parameters: Any) -> dict[str, Any]:
    return {}


def by_schema(**fields: Any) -> BoundCapability:
    spec = create_read_capability("t.t", parameters=SCHEMA, **fields)
    return BoundCapability(spec, Handler(nothing))


def by_type(**fields: Any) -> BoundCapability:
    spec = create_read_capability("t.t", parameters=Parameters, returns=Returned, **fields)
    return BoundCapability(spec, Handler(nothing, parameters=Parameters, returns=Returned))


def refusal(work: Callable[[], object]) -> InputError:
    with pytest.raises(InputError) as caught:
        work()
    return caught.value


@pytest.mark.parametrize("bound", [by_schema(), by_type()], ids=["schema", "type"])
def test_invalid_input_lists_every_fault_with_its_path(bound: BoundCapability) -> None:
    """One error for all, so that nobody mends them one at a time."""
    error = refusal(lambda: bound.parse({"name": 1, "size": "x", "more": True}))
    assert error.code == "INVALID_INPUT"
    faults = error.details["faults"]
    assert isinstance(faults, list)
    assert len(faults) == 3
    text = str(faults)
    assert all(name in text for name in ("name", "size", "more"))
    assert "(and 2 more)" in error.message


@pytest.mark.parametrize("value", ["1", 1.0, True, None], ids=repr)
def test_nothing_is_coerced_from_another_type(value: Any) -> None:
    """`"1"`, `1.0` and `true` are no integers where a Python type says `int`."""
    assert refusal(lambda: by_type().parse({"name": "n", "size": value})).code == "INVALID_INPUT"


def test_defaults_are_filled_in_so_that_what_is_journaled_is_complete() -> None:
    parameters, plain = by_type().parse({"name": "n"})
    assert parameters == Parameters(name="n", size=3)
    assert plain == {"name": "n", "size": 3}
    assert by_type().revive(plain) == parameters


@pytest.mark.parametrize("output", [{"size": "3"}, {"size": 1, "more": 2}, None, 3, {"size": float("nan")}])
def test_invalid_output_is_refused(output: Any) -> None:
    assert refusal(lambda: by_type().result(output)).code == "INVALID_OUTPUT"


def test_an_output_that_is_no_json_is_refused_where_no_type_is_declared() -> None:
    assert refusal(lambda: by_schema().result(object())).code == "INVALID_OUTPUT"
    assert refusal(lambda: by_schema().result({"x": float("inf")})).code == "INVALID_OUTPUT"
    assert by_schema().result({"x": [1, None]}) == {"x": [1, None]}


@pytest.mark.parametrize("bound", [by_schema(), by_type()], ids=["schema", "type"])
@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")], ids=str)
def test_numbers_that_json_does_not_have_never_become_null(bound: BoundCapability, number: float) -> None:
    """The encoder writes them as null, so they are looked for first."""
    inputs: dict[str, Any] = {"name": "n", "size": [{"x": number}]}
    error = refusal(lambda: bound.parse(inputs))
    assert (error.code, "finite" in error.message) == ("INVALID_INPUT", True)


def test_a_handler_may_be_a_function_an_object_or_a_handler() -> None:
    class Parts:
        revision = "r"

        def execute(self, context: Any, parameters: Any) -> None:
            return None

        def compensate(self, context: Any, parameters: Any) -> None:
            return None

    assert Handler.of(nothing).execute is nothing
    parts = Handler.of(Parts())
    assert (parts.compensate is not None, parts.revision, parts.prepare) == (True, "r", None)
    assert Handler.of(parts) is parts
    assert refusal(lambda: Handler.of(object())).code == "HANDLER_INVALID"


@pytest.mark.parametrize(
    ("spec", "handler"),
    [
        (put_spec(), Handler(nothing)),
        (create_read_capability("t.t"), Handler(nothing, compensate=nothing)),
    ],
    ids=["claimed-and-missing", "given-and-not-claimed"],
)
def test_a_compensation_stands_in_the_spec_and_in_the_handler_or_in_neither(
    spec: CapabilitySpec, handler: Handler
) -> None:
    assert refusal(lambda: BoundCapability(spec, handler)).code == "HANDLER_INVALID"


def test_a_handlers_type_is_the_one_its_spec_says() -> None:
    bound = BoundCapability(
        create_read_capability("t.t", parameters=SCHEMA), Handler(nothing, parameters=Parameters)
    )
    assert refusal(lambda: bound.parse({"name": "n"})).code == "HANDLER_INVALID"


def test_how_a_step_can_be_undone_follows_from_both() -> None:
    assert by_schema().undo is Undo.NOT_NEEDED
    assert BoundCapability(put_spec(), Handler(nothing, compensate=nothing)).undo is Undo.AUTOMATIC
    named = Compensation(supported=True, strategy="other", capability_id="t.other")
    assert BoundCapability(put_spec(compensation=named), Handler(nothing)).undo is Undo.COMPENSATION


def made(source: str, name: str = "execute") -> Any:
    """A function compiled from a text."""
    space: dict[str, Any] = {"functools": functools}
    exec(source, space)
    return space[name]


ONE = made("def execute(call, parameters):\n    return 1")


@pytest.mark.parametrize(
    "source",
    [
        "def execute(call, parameters):\n    return 2",
        "def execute(call, parameters):\n    return len(parameters)",
        "def execute(call, parameters):\n    def inner():\n        return 1\n    return inner()",
    ],
)
def test_another_body_is_another_fingerprint(source: str) -> None:
    assert Handler(made(source)).fingerprint() != Handler(ONE).fingerprint()


def test_a_function_that_only_moved_keeps_its_fingerprint() -> None:
    """Lines and comments are no behaviour."""
    moved = made("# moved\n\n\ndef execute(call, parameters):\n    # the same\n    return 1")
    assert Handler(moved).fingerprint() == Handler(ONE).fingerprint()


def test_a_revision_stands_for_the_code() -> None:
    """Whoever names one takes it upon themselves to change it."""
    other = made("def execute(call, parameters):\n    return 2")
    same = [Handler(part, revision="r/1").fingerprint() for part in (ONE, other)]
    assert same[0] == same[1] != Handler(ONE, revision="r/2").fingerprint()


def test_the_code_of_partials_and_callable_objects_counts() -> None:
    text = "class Part:\n    def __call__(self, call, parameters):\n        return {}\nexecute = Part()"
    assert Handler(made(text.format(1))).fingerprint() != Handler(made(text.format(2))).fingerprint()
    other = made("def execute(call, parameters):\n    return 2")
    partials = [Handler(functools.partial(part)).fingerprint() for part in (ONE, other)]
    assert partials[0] != partials[1]


def test_a_timeout_survives_a_round_trip() -> None:
    """Errors are journaled and sent: what matters of them is in their data."""
    error = CallTimeoutError.after(1.5, is_alive=True)
    again = pickle.loads(pickle.dumps(error))
    assert (again.to_dict(), again.is_alive) == (error.to_dict(), True)
    assert CallTimeoutError.from_dict(error.to_dict()).is_alive
