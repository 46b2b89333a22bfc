"""A copy of validated parameters is what pydantic's serialiser writes, or there is no copy."""

from __future__ import annotations

import json
import math
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    RootModel,
    TypeAdapter,
    computed_field,
    create_model,
    field_serializer,
    model_serializer,
)

from assent.errors import Json
from assent.spec.schemas._plain_copies import copier, flat_reader


class Line(BaseModel):
    """A model of leaves."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sku: Annotated[str, Field(min_length=1, max_length=9, pattern="^[a-z]")]
    price: Annotated[float, Field(ge=0)] = 1.5
    kind: Literal["a", 1] | None = None


class Order(BaseModel):
    """Models in models, one of them twice."""

    id: str
    first: Line
    others: list[Line] = []
    notes: list[str] | None = None
    maybe: Line | None = None
    rows: list[list[int]] = []
    urgent: bool = False


ORDER: dict[str, Json] = {
    "urgent": True,
    "id": "o",
    "rows": [[1, 2], []],
    "first": {"kind": 1, "sku": "a"},
    "others": [{"sku": "b", "price": 2}, {"sku": "c", "kind": "a"}],
    "maybe": {"sku": "d"},
    "notes": ["n"],
}


def same(kind: Any, value: Json) -> None:
    """The copy equals what the serialiser writes, in the order of its keys and in the types of its values."""
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    copy = copier(adapter.core_schema)
    assert copy is not None
    parameters = adapter.validate_python(value)
    assert repr(copy(parameters)) == repr(adapter.dump_python(parameters, mode="json"))


@pytest.mark.parametrize("given_keys", [[*ORDER], ["id", "first"], ["first", "id", "maybe"]])
def test_copy_is_what_the_serialiser_writes(given_keys: list[str]) -> None:
    same(Order, {key: ORDER[key] for key in given_keys})


def test_copy_shares_nothing_that_changes() -> None:
    adapter = TypeAdapter(Order)
    copy = copier(adapter.core_schema)
    assert copy is not None
    parameters = adapter.validate_python(ORDER)
    copied = copy(parameters)
    parameters.others.clear()
    parameters.first.sku = "z"
    parameters.rows[0].append(3)
    assert parameters.notes is not None
    parameters.notes.append("more")
    assert copied == copy(adapter.validate_python(ORDER))


class Color(Enum):
    """A value that JSON writes otherwise."""

    RED = "red"


class Computed(BaseModel):
    """A model with a field that its input does not have."""

    a: int

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def b(self) -> int:
        return self.a


class FieldWritten(BaseModel):
    """A field that is written by a function."""

    a: int

    @field_serializer("a")
    def _a(self, value: int) -> str:
        return str(value)


class ModelWritten(BaseModel):
    """A model that is written by a function."""

    a: int

    @model_serializer
    def _whole(self) -> str:
        return "a"


class Tree(BaseModel):
    """A type that holds itself."""

    below: list[Tree] = []


class Prepared(BaseModel):
    """A model that changes itself when it is made."""

    a: int

    def model_post_init(self, _context: object, /) -> None:
        self.a += 1


class Open(BaseModel):
    """A model that keeps what it does not know."""

    model_config = ConfigDict(extra="allow")
    a: int


@pytest.mark.parametrize(
    "field",
    [
        int | str,
        dict[str, int],
        Any,
        Color,
        Literal[Color.RED],
        bytes,
        tuple[int, int],
        list[Any],
        list,
        Computed,
        FieldWritten,
        ModelWritten,
        Tree,
        Prepared,
        Open,
        RootModel[int],
        Annotated[int, PlainSerializer(str)],
        Annotated[int, AfterValidator(abs)],
        Annotated[int, Field(exclude=True)],
        Annotated[int, Field(serialization_alias="b")],
        Annotated[int, Field(default_factory=int)],
        Annotated[float, Field(default=math.nan)],
        Annotated[str, Field(default=Color.RED)],
        Annotated[list[str], Field(default=["a"])],
        Annotated[list[str], Field(default=None)],
        Annotated[Line, Field(default=None)],
    ],
)
def test_what_is_written_otherwise_is_left_to_the_serialiser(field: Any) -> None:
    assert copier(TypeAdapter(create_model("Whole", x=field)).core_schema) is None


def test_node_that_says_something_new_is_left_to_the_serialiser() -> None:
    """Also what a later pydantic may say."""
    assert copier(_model({"type": "int"})) is not None
    assert copier(_model({"type": "int", "novel": 1})) is None
    assert copier(_model({"type": "novel"})) is None
    assert copier(_model({"type": "int"}) | {"serialization": {"type": "to-string"}}) is None
    assert copier(_model({"type": "int"}) | {"config": {"ser_json_bytes": "hex"}}) is None
    assert copier(_model({"type": "definition-ref", "schema_ref": "nowhere"})) is None


def _model(field: dict[str, Any]) -> dict[str, Any]:
    fields = {"type": "model-fields", "fields": {"x": {"type": "model-field", "schema": field}}}
    return {"type": "model", "cls": Line, "schema": fields}


_leaves = st.sampled_from([str, int, float, bool, Literal["a", 2], str | None, Annotated[int, Field(ge=0)]])
_types = st.recursive(
    _leaves,
    lambda inner: (
        inner.map(lambda kind: list[kind])  # type: ignore[valid-type]  # made at run time
        | inner.map(lambda kind: kind | None)
        | st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3).map(
            lambda fields: create_model("Part", **{name: (kind, ...) for name, kind in fields.items()})  # type: ignore[call-overload]  # made at run time
        )
    ),
    max_leaves=6,
)


@given(_types, st.data())
def test_copy_of_any_such_type_is_what_the_serialiser_writes(kind: Any, data: st.DataObject) -> None:
    whole = create_model("Whole", x=(kind, ...), y=(int, 0))
    value = {"x": data.draw(_values(kind))}
    same(whole, value)


def _values(kind: Any) -> st.SearchStrategy[Any]:
    """Values that fit a type of the above."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return st.fixed_dictionaries(
            {name: _values(field.rebuild_annotation()) for name, field in kind.model_fields.items()}
        )
    arguments: tuple[Any, ...] = getattr(kind, "__args__", ())
    if getattr(kind, "__origin__", None) is list:
        return st.lists(_values(arguments[0]), max_size=3)
    if type(None) in arguments:
        return st.none() | _values(arguments[0])
    if kind in (str, bool):
        return st.from_type(kind)
    if kind is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    return st.sampled_from(["a", 2]) if "a" in arguments else st.integers(0, 2**70)


class Flat(BaseModel):
    """A model of every leaf, with something of its own besides."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    text: Annotated[str, Field(max_length=3)] = "a"
    whole: Annotated[int, Field(le=9)] | None = None
    part: float = 1.0
    flag: bool = False
    kind: Literal["a", 1, True] | None = None
    _kept: list[int] = PrivateAttr(default_factory=list)


LEAF = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-12, 12),
    st.sampled_from([2**53, -(2**70), 1.0, 1.5, -0.0, math.nan, math.inf, 1e300]),
    st.text(max_size=4),
    st.sampled_from(["a", "\ud800", b"a", (1,), [1], {}]),
)


@given(st.dictionaries(st.sampled_from(["text", "whole", "part", "flag", "kind", "other"]), LEAF))
def test_what_is_read_as_it_stands_is_what_is_read_from_json(value: dict[str, Any]) -> None:
    """The same model with the same fields, or it is left to JSON; nothing is taken that JSON refuses."""
    adapter = TypeAdapter(Flat)
    read = flat_reader(adapter.core_schema)
    assert read is not None
    found = read(value, "forbid")
    if found is not None:
        other = adapter.validator.validate_json(json.dumps(value), strict=True, extra="forbid")
        assert repr(found) == repr(other)
        assert (found.__dict__, found.model_fields_set, found._kept) == (
            other.__dict__,
            other.model_fields_set,
            [],
        )
        assert {type(one) for one in found.__dict__.values()} == {
            type(one) for one in other.__dict__.values()
        }


def test_only_models_of_leaves_are_read_as_they_stand() -> None:
    """What they hold is read; what holds more, or makes more of it, is left to JSON."""
    flat = flat_reader(TypeAdapter(Flat).core_schema)
    assert flat is not None
    assert flat({"text": "abc", "whole": 3}, "forbid") == Flat(text="abc", whole=3)
    assert flat({"text": "abcd"}, "forbid") is None
    for other in (Order, Prepared, Computed, Tree, list[int], int):
        assert flat_reader(TypeAdapter(other).core_schema) is None
