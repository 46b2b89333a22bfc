"""What is said of inputs and outputs that do not fit: our own words, a name in backticks, and no secret kept for ever."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from assent.capabilities import builtin_catalog
from assent.errors import InputError, Json
from assent.invocation import BoundCapability, Handler, LocalContext
from assent.spec.capability import SpecModel, create_read_capability
from assent.spec.documents.faults import Telling, pattern_words
from assent.spec.types import SecretReference, UnkeptText
from assent.spec.values.frozen import thaw
from tests.support.properties import holds


class Ticket(BaseModel):
    """Parameters with one field of each kind."""

    model_config = ConfigDict(extra="forbid")

    title: str
    count: Annotated[int, Field(ge=1, le=9)] = 1
    ratio: float = 0.5
    urgent: bool = False
    tags: list[str] = []
    level: Literal["low", "high"] = "low"
    code: Annotated[str, Field(min_length=1, max_length=3, pattern="[a-z]+")] = "a"

    @field_validator("title")
    @classmethod
    def _no_shouting(cls, value: str) -> str:
        if value.isupper():
            message = f"Shouts {value}"
            raise ValueError(message)
        return value


SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "count": {"type": ["integer", "null"]}},
    "required": ["title"],
    "additionalProperties": False,
}


def echo(_call: LocalContext, parameters: object) -> object:
    return parameters


SPECS = {
    "typed": BoundCapability(
        create_read_capability("desk.ticket", parameters=Ticket, returns=Ticket),
        Handler(echo, parameters=Ticket, returns=Ticket),
    ),
    "untyped": BoundCapability(
        create_read_capability("desk.ticket", parameters=SCHEMA, returns=SCHEMA), Handler(echo)
    ),
}


def refused(kind: str, inputs: dict[str, Json]) -> InputError:
    with pytest.raises(InputError) as caught:
        SPECS[kind].parse(inputs)
    return caught.value


CASES: list[tuple[str, dict[str, Json], str]] = [
    ("typed", {}, "`title` is missing"),
    ("typed", {"title": 5}, "`title` must be text, not `5`"),
    ("typed", {"title": None}, "`title` must be text, not null"),
    ("typed", {"title": "a", "count": "many"}, "`count` must be a whole number, not `many`"),
    ("typed", {"title": "a", "count": "5"}, "`count` must be a whole number, not the text `5`"),
    ("typed", {"title": "5", "urgent": "True"}, "`urgent` must be true or false, not the text `True`"),
    ("typed", {"title": "a", "count": 0}, "`count` must be at least 1, not `0`"),
    ("typed", {"title": "a", "count": 10}, "`count` must be at most 9, not `10`"),
    ("typed", {"title": "a", "ratio": "x" * 999}, f"`ratio` must be a number, not `{'x' * 60}`"),
    ("typed", {"title": "a", "urgent": "yes"}, "`urgent` must be true or false, not `yes`"),
    ("typed", {"title": "a", "tags": {"b": 1}}, "`tags` must be a list, not an object"),
    ("typed", {"title": "a", "tags": ["b", True]}, "`tags[1]` must be text, not `true`"),
    ("typed", {"title": "a", "level": "mid"}, "`level` must be 'low' or 'high', not `mid`"),
    ("typed", {"title": "a", "code": ""}, "`code` must not be empty"),
    ("typed", {"title": "a", "code": "abcd"}, "`code` must have at most 3 characters"),
    ("typed", {"title": "a", "code": "1"}, "`code` must match `[a-z]+`"),
    ("typed", {"title": "A"}, "`title`: shouts A"),
    ("typed", {"title": "a", "cuont": 1}, "`cuont` is not a parameter"),
    ("untyped", {}, "`title` is missing"),
    ("untyped", {"title": 5}, "`title` must be text, not `5`"),
    ("untyped", {"title": "a", "count": []}, "`count` must be a whole number or null, not a list"),
    ("untyped", {"title": "a", "cuont": 1}, "`cuont` is not a parameter"),
    ("untyped", {"title": "a", "count": "1"}, "`count` must be a whole number or null, not the text `1`"),
]


@pytest.mark.parametrize(("kind", "inputs", "sentence"), CASES, ids=[sentence for _, _, sentence in CASES])
def test_a_fault_is_told_in_our_words(kind: str, inputs: dict[str, Json], sentence: str) -> None:
    """Lower case, the name in backticks, what was wanted and what was given; no library's own phrase."""
    error = refused(kind, inputs)
    assert error.message == f"the inputs of `desk.ticket` are not valid: {sentence}"
    assert error.path is not None
    assert sentence.startswith(f"`{error.path}`")


@pytest.mark.parametrize("kind", SPECS)
def test_a_mistyped_name_gets_the_one_that_was_meant(kind: str) -> None:
    assert refused(kind, {"title": "a", "cuont": 1}).hint == "did you mean `count`?"
    hint = refused(kind, {"title": "a", "zzz": 1}).hint
    assert hint is not None
    assert hint.startswith("there are: `title`, `count`")


def test_every_fault_has_its_parts() -> None:
    error = refused("typed", {"title": 5, "count": "many"})
    assert error.message.endswith("not `5` (and 1 more)")
    assert error.details["faults"] == [
        {
            "path": ["title"],
            "message": "`title` must be text, not `5`",
            "expected": "text",
            "actual": "`5`",
        },
        {
            "path": ["count"],
            "message": "`count` must be a whole number, not `many`",
            "expected": "a whole number",
            "actual": "`many`",
        },
    ]


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("output", [{"title": "a", "count": "hunter2"}, {"title": ["hunter2"]}])
def test_a_refused_output_is_not_quoted(kind: str, output: dict[str, Json]) -> None:
    """The error stays in the ledger after the payload was erased."""
    with pytest.raises(InputError) as caught:
        SPECS[kind].result(output)
    assert caught.value.code == "INVALID_OUTPUT"
    assert "hunter2" not in str(caught.value.to_dict())


def test_a_refused_output_is_not_quoted_by_a_check_of_its_own_either() -> None:
    with pytest.raises(InputError) as caught:
        SPECS["typed"].result({"title": "HUNTER"})
    assert "HUNTER" not in str(caught.value.to_dict())


class Circle(SpecModel):
    """One branch."""

    kind: Literal["circle"] = "circle"
    radius: float


class Box(SpecModel):
    """Another one."""

    kind: Literal["box"] = "box"
    width: float
    height: float
    lid: Circle | None = None


class Drawing(SpecModel):
    """Unions of every sort."""

    shape: Circle | Box | str | None = None
    tagged: Annotated[Circle | Box, Field(discriminator="kind")] | None = None
    sizes: Annotated[list[int | list[int]], Field(default_factory=list)]
    by_name: Annotated[dict[str, Circle | int], Field(default_factory=dict)]
    pair: tuple[int, Circle | bool] | None = None


DRAWINGS = BoundCapability(
    create_read_capability("desk.draw", parameters=Drawing), Handler(echo, parameters=Drawing)
)
DRAWN = BoundCapability(
    create_read_capability("desk.draw", parameters=TypeAdapter(Drawing).json_schema()), Handler(echo)
)
UNIONS: list[tuple[dict[str, Json], list[str]]] = [
    ({"shape": 5}, ["`shape` must be an object or text, not `5`"]),
    (
        {"shape": {"kind": "box", "width": "w"}},
        ["`shape.width` must be a number, not `w`", "`shape.height` is missing"],
    ),
    ({"shape": {"kind": "circle", "radius": "x"}}, ["`shape.radius` must be a number, not `x`"]),
    (
        {"shape": {"kind": "box", "width": 1.0, "height": 2.0, "lid": {"radius": None}}},
        ["`shape.lid.radius` must be a number, not null"],
    ),
    ({"sizes": [1, [2, "x"], "y"]}, ["`sizes[1][1]` must be a whole number, not `x`", "or a list, not `y`"]),
    ({"by_name": {"a": {"radius": []}}}, ["`by_name.a.radius` must be a number, not a list"]),
    ({"pair": [1, {"radius": "x"}]}, ["`pair[1].radius` must be a number, not `x`"]),
]


@pytest.mark.parametrize(("inputs", "sentences"), UNIONS)
@pytest.mark.parametrize("bound", [DRAWINGS, DRAWN], ids=["typed", "untyped"])
def test_a_union_explains_its_nearest_branch(
    bound: BoundCapability, inputs: dict[str, Json], sentences: list[str]
) -> None:
    """Nobody wants to hear why a box is no circle, no text and not null."""
    with pytest.raises(InputError) as caught:
        bound.parse(inputs)
    faults: Any = caught.value.details["faults"]
    told = sorted(fault["message"] for fault in faults)
    assert len(told) == len(sentences)
    assert all(any(one.endswith(sentence) for one in told) for sentence in sentences), told


@pytest.mark.parametrize("kind", SPECS)
def test_a_number_that_is_none_hides_no_other_fault(kind: str) -> None:
    """JSON has neither NaN nor infinity; whoever mends them should not find the next fault only then."""
    given: dict[str, Json] = {"title": 5, "count": math.nan, "cuont": [1, math.inf]}
    faults = refused(kind, given).details["faults"]
    assert isinstance(faults, list)
    told = [(one["path"], one["expected"]) for one in faults if isinstance(one, dict)]
    assert told == [
        (["count"], "a finite number"),
        (["cuont", 1], "a finite number"),
        (["title"], "text"),
        (["cuont"], "nothing"),
    ]


@pytest.mark.parametrize("kind", SPECS)
def test_an_output_tells_such_a_number_beside_the_others_too(kind: str) -> None:
    with pytest.raises(InputError) as caught:
        SPECS[kind].result({"title": 5, "count": math.inf})
    faults = caught.value.details["faults"]
    assert isinstance(faults, list)
    assert [one["path"] for one in faults if isinstance(one, dict)] == [["count"], ["title"]]


def test_a_discriminator_chooses_the_branch() -> None:
    with pytest.raises(InputError, match=r"`tagged\.width` is missing"):
        DRAWINGS.parse({"tagged": {"kind": "box", "height": 1.0}})
    with pytest.raises(InputError, match="must be one of 'circle', 'box'"):
        DRAWINGS.parse({"tagged": {"kind": "cone"}})
    with pytest.raises(InputError, match=r"`tagged\.kind` is missing"):
        DRAWINGS.parse({"tagged": {"width": 1.0}})


class Tree(SpecModel):
    """A type that holds itself."""

    name: str
    below: Annotated[list[Tree | int], Field(default_factory=list)]


def test_a_recursive_type_tells_the_place_at_any_depth() -> None:
    bound = BoundCapability(
        create_read_capability("desk.tree", parameters=Tree), Handler(echo, parameters=Tree)
    )
    with pytest.raises(InputError) as caught:
        bound.parse({"name": "a", "below": [1, {"name": "b", "below": [{"name": 5}]}]})
    faults: Any = caught.value.details["faults"]
    assert [fault["path"] for fault in faults] == [["below", 1, "below", 0, "name"]]
    assert caught.value.path == "below[1].below[0].name"


class Login(SpecModel):
    """Secrets by type and by name."""

    token: SecretReference | None = None
    password: Annotated[str, Field(max_length=3)] = ""
    note: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.note == "quote":
            message = f"found {self.password}"
            raise ValueError(message)
        return self


@pytest.mark.parametrize(
    "inputs",
    [
        {"token": "hunter2"},
        {"password": "hunter2"},
        {"password": ["hunter2"]},
        {"apiKey": "hunter2"},
        {"token": "secret://a", "password": "hunter2"},
    ],
)
def test_a_secret_is_never_quoted(inputs: dict[str, Json]) -> None:
    """Not where it was pasted into a reference, and not where a name says what it is."""
    for source in (Login, TypeAdapter(Login).json_schema()):
        handler = Handler(echo, parameters=Login if source is Login else None)
        bound = BoundCapability(create_read_capability("desk.login", parameters=source), handler)
        with pytest.raises(InputError) as caught:
            bound.parse(inputs)
        assert "hunter2" not in str(caught.value.to_dict())
        assert "***" in str(caught.value.to_dict())


def test_an_authors_check_of_the_whole_does_not_quote_a_secret_within() -> None:
    bound = BoundCapability(
        create_read_capability("desk.login", parameters=Login), Handler(echo, parameters=Login)
    )
    with pytest.raises(InputError) as caught:
        bound.parse({"password": "pw1", "note": "quote"})
    assert "pw1" not in str(caught.value.to_dict())


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 12)
    | st.sampled_from(
        [0.5, -1.25, math.nan, math.inf]
    )  # a whole float is an integer to a schema, not to Python
    | st.sampled_from(["a", "low", "box", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["title", "count", "kind", "radius", "width", "shape", "x"]), inner, max_size=4
        )
    ),
    max_leaves=10,
)
NAMES = [*Ticket.model_fields, *Drawing.model_fields, "other"]


def is_finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(is_finite, value.values()))
    if isinstance(value, list):
        return all(map(is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


@holds("error_shape")
@given(
    st.dictionaries(st.sampled_from(NAMES), ANY, max_size=4), st.sampled_from(["typed", "drawn", "schema"])
)
def test_every_fault_says_where_what_was_expected_and_what_was_there(inputs: Any, kind: str) -> None:
    """And the path leads to that place, or to where a missing value would stand."""
    bound = {"typed": SPECS["typed"], "drawn": DRAWINGS, "schema": DRAWN}[kind]
    try:
        bound.parse(inputs)
    except InputError as refusal:
        error = refusal
    else:
        return
    faults: Any = error.details["faults"]
    assert faults
    assert faults[0]["message"] in error.message
    for fault in faults:
        assert {"path", "expected", "actual", "message"} <= fault.keys() <= FAULT_KEYS
        assert all(fault[key] for key in ("expected", "actual", "message"))
        place: Any = inputs
        for index, step in enumerate(fault["path"]):
            if not (step in place if isinstance(place, dict) else step < len(place)):
                assert index == len(fault["path"]) - 1
                assert fault["actual"] == "nothing"
                break
            place = place[step]


FAULT_KEYS = {"path", "expected", "actual", "message", "hint"}


@holds("input_validation")
@given(st.dictionaries(st.sampled_from(NAMES), ANY, max_size=4))
def test_what_the_schema_refuses_the_type_refuses_and_the_other_way_round(inputs: Any) -> None:
    """One end of a call means the same whether it is described in Python or in JSON Schema, NaN included."""
    plain = is_finite(inputs)
    fits = plain and jsonschema_rs.validator_for(TypeAdapter(Drawing).json_schema()).is_valid(inputs)
    for bound in (DRAWINGS, DRAWN):
        try:
            bound.parse(inputs)
        except InputError:
            assert not fits
        else:
            assert fits


KEYWORDS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "least": {"minimum": 3},
        "most": {"maximum": 3},
        "over": {"exclusiveMinimum": 3},
        "under": {"exclusiveMaximum": 3},
        "even": {"multipleOf": 2},
        "chosen": {"enum": ["a", 2, None]},
        "fixed": {"const": "x"},
        "short": {"type": "string", "maxLength": 2},
        "long": {"type": "string", "minLength": 2},
        "filled": {"type": "string", "minLength": 1},
        "matching": {"type": "string", "pattern": "^a"},
        "few": {"type": "array", "maxItems": 1},
        "many": {"type": "array", "minItems": 2},
        "different": {"type": "array", "uniqueItems": True},
        "holding": {"type": "array", "contains": {"type": "string"}},
        "small": {"type": "object", "maxProperties": 1},
        "named": {"type": "object", "propertyNames": {"maxLength": 1}},
        "never": False,
        "other": {"not": {"type": "string"}},
        "single": {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        "branch": {"oneOf": [{"type": "integer"}, {"type": "array"}]},
    },
    "unevaluatedProperties": False,
}


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"least": 1}, "`least` must be at least 3, not `1`"),
        ({"most": 4}, "`most` must be at most 3, not `4`"),
        ({"over": 3}, "`over` must be more than 3, not `3`"),
        ({"under": 3}, "`under` must be less than 3, not `3`"),
        ({"even": 3}, "`even` must be a multiple of 2, not `3`"),
        ({"chosen": "b"}, "`chosen` must be 'a', `2` or null, not `b`"),
        ({"fixed": 1}, "`fixed` must be 'x', not `1`"),
        ({"short": "abc"}, "`short` must have at most 2 characters"),
        ({"long": "a"}, "`long` must have at least 2 characters"),
        ({"filled": ""}, "`filled` must not be empty"),
        ({"matching": "b"}, "`matching` must match `^a`"),
        ({"few": [1, 2]}, "`few` must have at most 1 entries"),
        ({"many": [1]}, "`many` must have at least 2 entries"),
        ({"different": [1, 1]}, "`different` must be a list without repetition, not a list"),
        (
            {"holding": [1]},
            "`holding` must be a list with an entry of the kind that the schema asks for, not a list",
        ),
        ({"small": {"a": 1, "b": 2}}, "`small` must have at most 1 entries"),
        ({"named": {"aa": 1}}, "`named` must be an object with other names, not an object"),
        ({"never": 1}, "`never` must be nothing, not `1`"),
        ({"other": "a"}, "`other` must be something that the schema does not exclude, not `a`"),
        ({"single": 1}, "`single` must be a value that fits one branch only, not `1`"),
        ({"branch": "a"}, "`branch` must be a whole number or a list, not `a`"),
        ({"unknown": 1}, "`unknown` is not a parameter"),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_every_keyword_of_a_schema_is_told_in_our_words(inputs: dict[str, Json], sentence: str) -> None:
    bound = BoundCapability(create_read_capability("desk.any", parameters=KEYWORDS), Handler(echo))
    with pytest.raises(InputError) as caught:
        bound.parse(inputs)
    faults: Any = caught.value.details["faults"]
    assert sentence in [fault["message"] for fault in faults]


def patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        schema = [*schema.values()]
    for part in schema if isinstance(schema, list) else ():
        yield from patterns(part)


OURS = sorted(
    {
        found
        for spec, _ in builtin_catalog()
        for side in (spec.parameters, spec.returns)
        for found in patterns(thaw(side))
    }
)


@pytest.mark.parametrize("pattern", OURS)
def test_no_pattern_of_ours_is_shown_to_anybody(pattern: str) -> None:
    """Whatever of what is built in has one: what is wanted is said in words."""
    parameters = {"type": "object", "properties": {"some": {"type": "string", "pattern": pattern}}}
    told = create_model("Told", some=(Annotated[str, Field(pattern=pattern)], ...))
    for bound in (
        BoundCapability(create_read_capability("desk.any", parameters=parameters), Handler(echo)),
        BoundCapability(create_read_capability("desk.any", parameters=told), Handler(echo, parameters=told)),
    ):
        with pytest.raises(InputError) as caught:
            bound.parse({"some": "\0\0"})
        assert pattern not in str(caught.value.to_dict())
        assert f"`some` must be {pattern_words(pattern)}, not" in caught.value.message


class Sorts(SpecModel):
    """Types whose faults pydantic places in its own ways."""

    tagged: Annotated[int, Tag("number")] | Annotated[list[Circle], Tag("list")] = 0
    keyed: Annotated[dict[Annotated[str, Field(max_length=1)], int | Circle], Field(default_factory=dict)]
    sets: Annotated[set[int | bool], Field(default_factory=set)]
    pairs: Annotated[list[tuple[int, str]], Field(default_factory=list)]
    rest: Annotated[tuple[int, ...], Field(default_factory=tuple)]
    asserted: int = 1

    @field_validator("asserted")
    @classmethod
    def _positive(cls, value: int) -> int:
        assert value > 0, "Not positive"
        return value


@pytest.mark.parametrize(
    ("inputs", "path", "message"),
    [
        ({"tagged": "x"}, ["tagged"], "must be a whole number or a list, not `x`"),
        ({"tagged": [{"radius": "x"}]}, ["tagged", 0, "radius"], "must be a number, not `x`"),
        ({"keyed": {"long": 1}}, ["keyed", "long"], "must have at most 1 characters"),
        ({"keyed": {"a": {}}}, ["keyed", "a", "radius"], "is missing"),
        ({"sets": [1, "x"]}, ["sets", 1], "must be a whole number or true or false, not `x`"),
        ({"pairs": [[1, "a"], [2, 3]]}, ["pairs", 1, 1], "must be text, not `3`"),
        ({"rest": [1, 2, "x"]}, ["rest", 2], "must be a whole number, not `x`"),
        ({"asserted": 0}, ["asserted"], ": not positive"),
    ],
)
def test_a_place_is_one_in_the_value_whatever_the_type_is_made_of(
    inputs: dict[str, Json], path: list[str | int], message: str
) -> None:
    bound = BoundCapability(
        create_read_capability("desk.sorts", parameters=Sorts), Handler(echo, parameters=Sorts)
    )
    with pytest.raises(InputError) as caught:
        bound.parse(inputs)
    faults: Any = caught.value.details["faults"]
    assert [fault["path"] for fault in faults] == [path]
    assert faults[0]["message"].endswith(message)


@pytest.mark.parametrize("inputs", [{"title": object()}, {"title": {1, 2}, "tags": b"x"}, {5: "x"}])
def test_what_is_no_json_is_refused_as_input(inputs: Any) -> None:
    for bound in SPECS.values():
        with pytest.raises(InputError) as caught:
            bound.parse(inputs)
        assert caught.value.code == "INVALID_INPUT"


def test_more_faults_than_anybody_reads_are_cut_off() -> None:
    with pytest.raises(InputError) as caught:
        SPECS["typed"].parse({"title": "a", "tags": [5] * 1000})
    faults: Any = caught.value.details["faults"]
    assert len(faults) == 100


def test_places_that_callers_name_are_remembered_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are the caller's: neither many of them nor long ones stay in memory, and each is told like the first."""

    class Prices(BaseModel):
        by_name: dict[str, float]

    monkeypatch.setattr("assent.spec.documents.faults.PLACES_REMEMBERED_MAX", 2)
    telling = Telling({"type": "object"}, shows_values=True)

    def told(name: str) -> Json:
        try:
            Prices.model_validate({"by_name": {name: "much"}})
        except ValidationError as error:
            return telling.of_model(error)[0]["message"]
        return None

    for name in ("x" * 200, "a", "b", "c", "a", "password", "password"):
        shown = "***" if name == "password" else "`much`"
        assert told(name) == f"`by_name.{name}` must be a number, not {shown}"
    assert len(telling._known) == 2  # the memory is what this is about


@pytest.mark.parametrize("text", ["2", "+1.5", "-7", ".5", "True", "false", "NULL"])
def test_text_that_reads_like_what_was_expected_is_called_text(text: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"must be a whole number, not the text `{text}`")):
        SPECS["typed"].parse({"title": "t", "count": text})
    with pytest.raises(InputError, match="must be a whole number, not `nuts`"):
        SPECS["typed"].parse({"title": "t", "count": "nuts"})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"count": 99}, "`count` must be at most 9"),
        ({"count": 1.5}, "`count` must be a whole number, not a number"),
        ({"count": "9"}, "`count` must be a whole number, not text"),
        ({"level": "middle"}, "`level` must be 'low' or 'high'"),
        ({"tags": "a"}, "`tags` must be a list, not text"),
    ],
)
def test_where_no_value_is_quoted_nothing_is_told_of_a_kind_that_was_right(
    given: dict[str, Json], told: str
) -> None:
    """`must be at most 9, not a number` explains nothing."""

    class Asked(Ticket):
        query: UnkeptText = ""

    returned = create_read_capability("desk.ask", parameters=Asked, returns=Asked)
    bound = BoundCapability(returned, Handler(echo, parameters=Asked, returns=Asked))
    with pytest.raises(InputError) as caught:
        bound.parse({"title": "a", **given})
    assert caught.value.message.endswith(f"not valid: {told}")
