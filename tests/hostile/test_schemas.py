"""No schema of a stranger holds up who checks data against it: what it takes is counted before it begins, at every door."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assent.errors import InputError
from assent.invocation import Handler
from assent.spec import create_read_capability
from assent.spec.language.schema_work import may_be_costly, visits_of
from tests.support.bodies import Place, code, put, put_spec, workflow

LONG = "ab" * 100_000
DEAR: list[tuple[dict[str, Any], Any]] = [
    ({"type": "string", "pattern": r"(\w{1,100}){1,100}z"}, LONG),
    ({"type": "string", "pattern": "([ab]{1,50}){1,50}z"}, LONG),
    ({"type": "string", "pattern": "[ab]*a[ab]{200}z"}, LONG),
    ({"type": "string", "pattern": f"(a|b)*a{'(a|b)' * 150}z"}, LONG),
    ({"type": "string", "pattern": "^([ab]{1,99}b?){1,9}z"}, LONG),
    ({"type": "object", "patternProperties": {"[ab]*a[ab]{200}z": {}}}, {LONG: 1}),
    ({"type": "object", "propertyNames": {"pattern": "[ab]*a[ab]{200}z"}}, {LONG: 1}),
    ({"type": "array", "items": {"not": {"pattern": "[ab]*a[ab]{200}z"}}}, [LONG[:2000]] * 100),
    ({"type": "array", "items": {"anyOf": [{"pattern": "[ab]*a[ab]{99}z"}] * 9}}, [LONG[:2000]] * 100),
    ({"type": "array", "items": {"enum": [{"a": n} for n in range(1000)]}}, [{"a": 999}] * 20_000),
    ({"type": "array", "items": {"const": [*range(1000)]}}, [[1]] * 6_000),
    ({"type": "array", "items": {"multipleOf": 0.1}}, [0.5] * 100_000),
    ({"type": "array", "items": {"allOf": [{"minimum": n} for n in range(1000)]}}, [1000] * 20_000),
]
FAIR: list[tuple[dict[str, Any], Any]] = [
    ({"type": "string", "pattern": "^[a-b]{1,255}"}, LONG),
    ({"type": "array", "items": {"type": "string", "pattern": "^[0-9a-f]{64}$"}}, ["0" * 64] * 20_000),
    ({"type": "array", "items": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"}}, ["2026-01-01"] * 20_000),
    ({"type": "array", "items": {"type": "string", "pattern": "^[a-z][a-z0-9-]{0,61}[a-z0-9]$"}}, ["a-b"] * 20_000),
    ({"type": "string", "pattern": r"^\S+@\S+$"}, f"{LONG}@b"),
    ({"type": "array", "items": {"enum": [f"w{n}" for n in range(1000)]}}, ["w999"] * 20_000),
    ({"type": "array", "items": {"multipleOf": 0.5}}, [0.5] * 20_000),
]  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize(("schema", "value"), [*DEAR, *FAIR])
async def test_what_would_take_long_is_refused_at_every_door_and_the_rest_is_checked(
    place: Place, schema: dict[str, Any], value: Any
) -> None:
    """As the input of a workflow, as a parameter and an output by a plugin's own schema, and by a call to check data."""
    is_dear = (schema, value) in DEAR
    assert may_be_costly(schema)
    assert (visits_of(schema, value) is None) == is_dear
    parameters = {"type": "object", "properties": {"key": {"type": "string"}, "value": schema}}
    async with place.open() as rt:
        rt.register(put_spec("box.theirs", parameters=parameters), place.box.handler())

        async def tell(context: Any, parameters: dict[str, Any]) -> dict[str, Any]:
            return {"value": value}

        reads = create_read_capability("box.tells", parameters={"type": "object"}, returns=parameters)
        rt.register(reads, Handler(execute=tell))
        given = await rt.call("box.theirs", {"key": "a", "value": value})
        told = await rt.call("box.tells", {})
        asked = await rt.call("data.json.validate", {"value": value, "json_schema": schema})
        assert [code(one) for one in (given, told, asked)] == (
            ["INVALID_INPUT", "INVALID_OUTPUT", "SCHEMA_INVALID"] if is_dear else [None] * 3
        )
        assert place.box.count("execute", "a") == (not is_dear)
        document = {**workflow(put("b")), "inputs": {"v": schema}}
        try:
            ran = code(await rt.run(document, {"v": value}))
        except Exception as refused:  # noqa: BLE001  # which door refuses is looked at below
            ran = getattr(refused, "code", repr(refused))
        assert ran == ("INVALID_INPUT" if is_dear else None)


_DEEP = {
    "$ref": "#/$defs/n",
    "$defs": {"n": {"anyOf": [*[{"type": "array", "items": {"$ref": "#/$defs/n"}}] * 2, {"const": 1}]}},
}


def _nested(levels: int, value: Any) -> Any:
    return _nested(levels - 1, [value]) if levels else value


@pytest.mark.parametrize(
    ("value", "is_told"),
    [(_nested(18, 0), False), (_nested(8, "x" * 1_000_000), False), (_nested(3, 0), True)],
)
@pytest.mark.parametrize("kind", ["anyOf", "oneOf"])
async def test_what_breaks_nested_alternatives_is_told_in_short_where_it_is_long(
    place: Place, value: Any, is_told: bool, kind: str
) -> None:
    """Each level would copy all faults of those below it: minutes, for a value that is found wrong in milliseconds."""
    schema: dict[str, Any] = json.loads(json.dumps(_DEEP).replace("anyOf", kind))
    parameters = {"type": "object", "properties": {"key": {"type": "string"}, "value": schema["$defs"]["n"]}}
    async with place.open() as rt:
        rt.register(
            put_spec("box.theirs", parameters={**parameters, "$defs": schema["$defs"]}), place.box.handler()
        )
        given = await rt.call("box.theirs", {"key": "a", "value": value})
        asked = await rt.call("data.json.validate", {"value": value, "json_schema": schema})
    assert code(given) == "INVALID_INPUT"
    found: Any = asked.steps[0].output
    assert found["valid"] is False
    for said in (str(given.error), str(found)):
        assert ("takes too long to tell" in said) != is_told
        assert len(said) < 10_000


@pytest.mark.parametrize(("width", "is_told"), [(10, True), (20_000, False)])
async def test_so_is_what_breaks_the_alternatives_of_a_workflow_s_input(
    place: Place, width: int, is_told: bool
) -> None:
    """Which can't name each other, and still hold everything in a value."""
    schema: Any = {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"const": 1}]}
    async with place.open() as rt:
        with pytest.raises(InputError) as refused:
            await rt.run({**workflow(put("b")), "inputs": {"v": schema}}, {"v": [0] * width})
    assert refused.value.code == "INVALID_INPUT"
    assert ("takes too long to tell" in str(refused.value.to_dict())) != is_told
