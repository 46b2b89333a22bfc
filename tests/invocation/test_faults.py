"""What is said of inputs and outputs that do not fit: our own words, a name in backticks, and no secret kept for ever."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from assent.errors import InputError, Json
from assent.invocation import BoundCapability, Handler, LocalContext
from assent.spec.capability import create_read_capability


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
    ("typed", {"title": "a", "count": 0}, "`count` must be at least 1, not `0`"),
    ("typed", {"title": "a", "count": 10}, "`count` must be at most 9, not `10`"),
    ("typed", {"title": "a", "ratio": "x" * 999}, f"`ratio` must be a number, not `{'x' * 60}`"),
    ("typed", {"title": "a", "urgent": "yes"}, "`urgent` must be true or false, not `yes`"),
    ("typed", {"title": "a", "tags": {"b": 1}}, "`tags` must be a list, not an object"),
    ("typed", {"title": "a", "tags": ["b", True]}, "`tags.1` must be text, not `true`"),
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
            "path": "title",
            "message": "`title` must be text, not `5`",
            "expected": "text",
            "actual": "`5`",
        },
        {
            "path": "count",
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
