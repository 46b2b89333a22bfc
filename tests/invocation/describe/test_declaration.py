"""`@capability`: a declaration says all, guesses nothing, and is refused whole when a part and a claim do not fit."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import pytest
from pydantic import BaseModel

from assent import LocalContext, capability
from assent.errors import InputError
from assent.invocation import (
    Prepared,
    Preview,
    Reconciliation,
    capabilities_in,
    described,
)
from assent.spec import OperationType, Risk, RiskLevel, create_read_capability
from assent.spec.capability import SpecModel
from assent.spec.states import Undo, Verdict
from assent.spec.types import Size
from tests.support.declarations import CONTEXT, Answer, Order, Text, bound, called, faults, keep, read, write

T = TypeVar("T")


def test_named_parameters_are_the_inputs() -> None:
    @read()
    def look(context: LocalContext, name: Text, limit: Size = 10, *, deep: bool = False) -> list[str]:
        assert context is CONTEXT
        return [name, str(limit), str(deep)]

    assert called(look, name="n") == ["n", "10", "False"]
    assert called(look, name="n", limit="1kB", deep=True) == ["n", "1000", "True"]
    parameters = look.spec.to_json()["parameters"]
    assert isinstance(parameters, dict)
    assert parameters["required"] == ["name"]
    assert parameters["additionalProperties"] is False
    with pytest.raises(InputError):
        bound(look).parse({"name": "", "more": 1})


def test_one_model_is_the_whole_of_the_inputs() -> None:
    @read()
    def order(order: Order) -> Answer:
        return Answer(done=order.item == "pen" and order.count == 1)

    assert called(order, item="pen") == Answer(done=True)
    assert order.handler.parameters is Order


def test_a_keyword_only_model_is_one_input_among_others() -> None:
    @read()
    def take(*, order: Order) -> int:
        return order.count

    assert called(take, order={"item": "pen", "count": 4}) == 4


def test_a_function_may_take_nothing() -> None:
    @read()
    def ping() -> None:
        return None

    assert called(ping) is None
    assert bound(ping).result(None) is None
    with pytest.raises(InputError):
        bound(ping).result(1)


def test_a_function_that_has_the_engines_own_shape_is_not_wrapped() -> None:
    @read()
    def look(context: LocalContext, parameters: Order) -> int:
        return parameters.count

    assert look.handler.execute is look.function


@pytest.mark.parametrize("name", ["copy", "json", "schema", "model_config", "model_fields", "dict"])
def test_an_input_may_be_called_like_an_attribute_of_every_model(name: str) -> None:
    space: dict[str, Any] = {}
    exec(f"def take({name}: str, other: int = 2) -> str:\n    return {name} * other", space)
    take = read()(space["take"])
    assert called(take, **{name: "a"}) == "aa"
    _, plain = bound(take).parse({name: "b"})
    assert plain == {name: "b", "other": 2}
    assert bound(take).revive(plain) is not None


def test_inputs_whose_names_differ_by_an_underscore_stay_apart() -> None:
    @read()
    def take(copy: str, copy_: int, copy__: bool) -> list[Any]:
        return [copy, copy_, copy__]

    assert called(take, copy="a", copy_=1, copy__=True) == ["a", 1, True]
    _, plain = bound(take).parse({"copy": "a", "copy_": 1, "copy__": True})
    assert plain == {"copy": "a", "copy_": 1, "copy__": True}


def test_a_schema_may_stand_in_the_place_of_annotations() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "additionalProperties": False,
    }

    @read(parameters=schema, returns={"type": "integer"})
    def take(inputs: dict[str, Any]) -> Any:
        return inputs["a"]

    assert called(take, a=3) == 3
    with pytest.raises(InputError):
        bound(take).parse({"a": "x"})
    with pytest.raises(InputError):
        bound(take).result("x")


async def test_async_functions_stay_async() -> None:
    @read()
    async def look(name: str) -> str:
        return name * 2

    assert inspect.iscoroutinefunction(look.handler.execute)
    assert await called(look, name="a") == "aa"
    assert await look.function("b") == "bb"


def test_parts_name_only_what_they_need() -> None:
    @write()
    def put(context: LocalContext, key: str, text: str = "") -> None: ...

    @put.prepare
    def before(key: str) -> Mapping[str, str]:
        return {"old": key}

    @put.compensate
    def restore(context: LocalContext, prepared: dict[str, Any]) -> str:
        return f"restored {prepared['old']}"

    @put.reconcile
    def happened() -> Reconciliation:
        return Reconciliation(Verdict.NO)

    @put.preview
    def show(text: str, key: str) -> Preview:
        return Preview("text", f"{key}={text}")

    assert called(put, "prepare", key="k") == Prepared({"old": "k"})
    assert called(put, "compensate", key="k") == "restored 1"
    assert called(put, "reconcile", key="k").verdict is Verdict.NO
    assert called(put, "preview", key="k", text="t").diff == "k=t"
    assert bound(put).undo is Undo.AUTOMATIC
    assert before("k") == {"old": "k"}, "a part stays the function it was"


def test_parts_of_a_model_take_the_model() -> None:
    @write()
    def put(context: LocalContext, order: Order) -> None: ...

    @put.compensate
    def restore(order: Order) -> str:
        return order.item

    @put.prepare
    def before(context: LocalContext, order: Order) -> Prepared:
        return Prepared({"item": order.item})

    assert called(put, "compensate", item="pen") == "pen"
    assert put.handler.prepare is before


class Before(BaseModel):
    """What undo needs."""

    old: int = 0


async def test_what_prepare_gave_comes_back_as_the_type_that_is_asked_for() -> None:
    @write()
    async def put(key: str, prepared: Before) -> None: ...

    @put.prepare
    async def before(key: str) -> Before:
        return Before(old=7)

    @put.compensate
    async def restore(prepared: Before) -> int:
        return prepared.old

    assert await called(put, "prepare", key="k") == Prepared({"old": 7})
    assert await called(put, "compensate", key="k") == 1
    assert list(put.spec.to_json()["parameters"]["properties"]) == ["key"]  # type: ignore[call-overload,index,arg-type]


def test_a_prepare_that_keeps_nothing_may_give_nothing() -> None:
    @write()
    def put(key: str) -> None: ...

    put.prepare(lambda: None)
    put.compensate(lambda: None)
    assert called(put, "prepare", key="k") == Prepared()


def test_a_read_is_reversible_and_idempotent() -> None:
    @read()
    def look(name: str) -> str:
        """The first paragraph
        says what it is.

        The second does not.
        """
        return name

    spec = look.spec
    assert (spec.side_effects.reversible, spec.side_effects.scope, spec.idempotent) == (True, "none", True)
    assert spec.description == "The first paragraph says what it is."
    made = create_read_capability(
        "t.read", spec.description, parameters=spec.parameters, returns=spec.returns
    )
    assert (
        spec.fingerprint == made.model_copy(update={"risk": spec.risk}).fingerprint or spec.risk != made.risk
    )


def test_every_field_of_a_spec_can_be_said() -> None:
    @capability(
        "t.all",
        operation=OperationType.EXECUTE,
        risk=Risk(level=RiskLevel.CRITICAL, justification="sends"),
        version="2.1.0",
        name="All",
        description="Everything",
        reversible=False,
        scope="mail",
        effect="sends a mail",
        compensation="apologise",
        compensated_by="t.apologise",
        idempotent=True,
        timeout=2.5,
        labels=["sends_external"],
        secrets=["mail/token"],
        sandbox={"network": True},
        revision="t.all/3",
        rehearsable=True,
        without={"reconcile": "a mail server can't be asked"},
    )
    def send(to: str) -> None: ...

    data = send.spec.to_json()
    assert (data["version"], data["name"], data["description"]) == ("2.1.0", "All", "Everything")
    assert data["side_effects"] == {"reversible": False, "scope": "mail", "description": "sends a mail"}
    assert data["compensation"] == {
        "supported": True,
        "strategy": "apologise",
        "capability_id": "t.apologise",
    }
    assert data["risk"] == {"level": "CRITICAL", "justification": "sends", "requires_approval": False}
    assert (data["idempotent"], data["timeout"], data["labels"]) == (True, 2.5, ["sends_external"])
    assert (data["secrets"], data["sandbox"]) == (["mail/token"], {"network": True})
    assert (send.handler.revision, send.handler.rehearsable) == ("t.all/3", True)
    assert send.without == {"reconcile": "a mail server can't be asked"}


def test_risk_may_be_said_flat() -> None:
    one = write(risk="HIGH", requires_approval=True, justification="why")(lambda: None)
    assert faults(one) == [
        "the function's result has no annotation, so its type is unknown",
        "the compensation `restore_pre_image` is claimed, but no `compensate` is attached",
    ][::-1]  # fmt: skip


class Kept(Generic[T]):
    """Parts whose types a subclass, or an object, says."""

    def execute(self, context: LocalContext, inputs: T) -> T:
        """Give back what was given."""
        return inputs


class KeptOrder(Kept[Order]):
    """A subclass says them."""


@pytest.mark.parametrize("keeps", [KeptOrder(), Kept[Order]()], ids=["by-a-subclass", "by-an-object"])
def test_what_a_generic_class_left_open_is_what_its_object_says(keeps: Kept[Order]) -> None:
    one = read()(keeps.execute)
    assert (one.handler.parameters, one.handler.returns) == (Order, Order)
    assert one.spec.parameters["title"] == one.spec.returns["title"] == "Order"


def test_a_module_is_its_own_capabilities_in_their_order() -> None:
    module = types.ModuleType("some_plugin")
    foreign = read()(keep)
    source = (
        "from assent import capability\n"
        "@capability('p.b', operation='READ', risk='LOW')\n"
        "def b() -> int:\n    return 1\n"
        "@capability('p.a', operation='READ', risk='LOW')\n"
        "def a() -> int:\n    return 2\n"
        "again = a\n"
    )
    exec(source, module.__dict__)
    module.__dict__["foreign"] = foreign
    assert [one.id for one in capabilities_in(module)] == ["p.b", "p.a"]
    assert [one.id for one in described(module)] == ["p.b", "p.a"]
    assert described(foreign) == [foreign]


@pytest.mark.parametrize("thing", [types.ModuleType("empty"), 5, keep])
def test_what_describes_nothing_is_refused(thing: object) -> None:
    with pytest.raises(InputError) as caught:
        described(thing)
    assert caught.value.code == "DECLARATION_INVALID"


def test_annotations_may_name_what_stands_around_a_function_in_a_function() -> None:
    class Inner(SpecModel):
        a: int

    @read()
    def look(inner: Inner) -> Inner:
        return inner

    assert called(look, a=1) == Inner(a=1)
