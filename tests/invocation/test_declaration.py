"""`@capability`: a declaration says all, guesses nothing, and is refused whole when a part and a claim do not fit."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from assent import LocalContext, capability
from assent.errors import InputError
from assent.invocation import (
    BoundCapability,
    Capability,
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
from tests.support.properties import holds

CONTEXT: Any = types.SimpleNamespace(prepared={"old": 1})
Text = Annotated[str, Field(min_length=1)]


class Order(BaseModel):
    """Inputs as one model."""

    item: str
    count: int = 1


class Answer(BaseModel):
    """A result."""

    done: bool


def read(**fields: Any) -> Callable[[Callable[..., Any]], Capability[..., Any]]:
    return capability("t.read", operation="READ", risk="LOW", **fields)


def write(**fields: Any) -> Callable[[Callable[..., Any]], Capability[..., Any]]:
    return capability("t.write", operation="WRITE", **{"risk": "MEDIUM", "reversible": True, **fields})


def bound(one: Capability[..., Any]) -> BoundCapability:
    return BoundCapability(one.spec, one.handler)


def called(one: Capability[..., Any], part: str = "execute", **inputs: Any) -> Any:
    """What a part gives for these inputs, as a caller would send them."""
    ready = bound(one)
    parameters, _ = ready.parse(inputs)
    return getattr(ready.handler, part)(CONTEXT, parameters)


def faults(one: Capability[..., Any]) -> list[str]:
    with pytest.raises(InputError) as caught:
        _ = one.spec
    assert caught.value.code == "DECLARATION_INVALID"
    listed = caught.value.details["faults"]
    assert isinstance(listed, list)
    assert all(isinstance(fault, dict) and __file__ in str(fault["path"]) for fault in listed)
    return [str(fault["message"]) for fault in listed if isinstance(fault, dict)]


# -- signatures -------------------------------------------------------------------------------------------------------------


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


# -- parts ------------------------------------------------------------------------------------------------------------------


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


# -- derivation -------------------------------------------------------------------------------------------------------------


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


# -- refusals ---------------------------------------------------------------------------------------------------------------


def test_all_faults_are_told_together_each_with_its_line() -> None:
    @write()
    def put(context: LocalContext, key, *more: int) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        ...

    @put.prepare
    def first(key: str) -> None: ...

    @put.prepare
    def second(other: str) -> None: ...

    found = faults(put)
    assert "`key` has no annotation, so its type is unknown" in found
    assert any("can be named" in fault for fault in found)
    assert any("`prepare` is attached twice" in fault for fault in found)
    assert any("no `compensate` is attached" in fault for fault in found)


def test_a_reason_stands_only_for_a_part_that_is_missing() -> None:
    reasons = {
        "reconcile": "there is one",
        "prepare": " ",
        "undo": "is no part",
        "execute": "is always there",
    }
    one = write(without=reasons)(sample)
    one.compensate(keep)
    one.reconcile(ask)
    assert faults(one) == [
        "`reconcile` is attached, and `without` says why there is none",
        "`without` gives no reason for the missing `prepare`",
        "`without` names `undo`, which is no part that could be missing",
        "`without` names `execute`, which is no part that could be missing",
    ]
    other = write(without="nothing to ask")(sample)
    other.compensate(keep)
    assert faults(other) == ["`without` has to name parts, each with its reason"]
    assert other.without == {}


def test_a_reason_is_no_part_of_the_fingerprint() -> None:
    told, untold = write(without={"reconcile": "nobody to ask"})(sample), write()(sample)
    for one in (told, untold):
        one.compensate(keep)
    assert told.spec.fingerprint == untold.spec.fingerprint
    assert told.handler.fingerprint() == untold.handler.fingerprint()


Kind = Literal["READ", "WRITE", "DELETE", "EXECUTE", "NETWORK"]


@holds("capability_declaration")
@given(
    operation=st.sampled_from(["READ", "WRITE", "DELETE", "EXECUTE", "NETWORK"]),
    reversible=st.sampled_from([None, True, False]),
    compensation=st.sampled_from([None, "offset"]),
    another=st.booleans(),
    parts=st.sets(st.sampled_from(["prepare", "compensate", "reconcile", "preview"])),
)
def test_a_declaration_holds_exactly_when_parts_and_claims_fit(
    operation: Kind, reversible: bool | None, compensation: str | None, another: bool, parts: set[str]
) -> None:
    """`compensate` stands there when it is claimed and else not; a READ has nothing to prepare, undo or reconcile."""

    @capability(
        "t.any",
        operation=operation,
        risk="CRITICAL",
        reversible=reversible,
        compensation=compensation,
        compensated_by="t.other" if another else None,
    )
    def act(key: str) -> None: ...

    for part in sorted(parts):
        attach: Callable[[Any], Any] = getattr(act, part)
        attach({"preview": show, "reconcile": ask}.get(part, keep))
    if operation == "READ":
        fits = not parts & {"prepare", "compensate", "reconcile"} and not compensation and not another
    else:
        claimed = bool(reversible or compensation) and not another
        fits = claimed == ("compensate" in parts)
    try:
        spec, handler = act.spec, act.handler
    except InputError:
        assert not fits
        return
    assert fits
    assert BoundCapability(spec, handler).spec.compensation.supported == (
        operation != "READ" and bool(reversible or compensation or another)
    )


def keep(key: str) -> None: ...


def sample(key: str) -> None: ...


def show(key: str) -> Preview:
    return Preview()


def ask(key: str) -> Reconciliation:
    return Reconciliation(Verdict.NO)


INPUTS = ["alpha", "beta", "gamma"]
TYPES = ["int", "str", "bool", "list[int]"]


@holds("handler_signature")
@given(
    inputs=st.lists(
        st.tuples(st.sampled_from(INPUTS), st.sampled_from(TYPES)), unique_by=lambda one: one[0], max_size=3
    ),
    has_context=st.booleans(),
    asked=st.lists(st.sampled_from([*INPUTS, "delta", "prepared"]), unique=True, max_size=3),
    is_async=st.booleans(),
)
def test_a_part_receives_what_it_names_and_may_name_only_what_is_there(
    inputs: list[tuple[str, str]], has_context: bool, asked: list[str], is_async: bool
) -> None:
    """Whatever the order, with or without the context; a name that the function does not take is refused."""
    first = ["context: LocalContext"] if has_context else []
    own = ", ".join(first + [f"{name}: {kind}" for name, kind in inputs])
    wanted = ", ".join(first + asked)
    word = "async def" if is_async else "def"
    text = f"def act({own}) -> None: ...\n{word} part({wanted}):\n    return dict(locals())\n"
    space: dict[str, Any] = {"LocalContext": LocalContext}
    exec(text, space)
    act = write()(space["act"])
    act.compensate(space["part"])
    values: dict[str, Any] = {"int": 3, "str": "s", "bool": True, "list[int]": [1, 2]}
    given = {name: values[kind] for name, kind in inputs}
    if not set(asked) <= given.keys() | {"prepared"}:
        with pytest.raises(InputError, match="does not take"):
            _ = act.handler
        return
    part = bound(act).handler.compensate
    assert part is not None
    assert inspect.iscoroutinefunction(part) == is_async
    answer: Any = part(CONTEXT, bound(act).parse(given)[0])
    if is_async:
        try:
            answer.send(None)
        except StopIteration as ended:
            answer = ended.value
    known = given | {"prepared": {"old": 1}}
    assert answer == {name: known[name] for name in asked} | ({"context": CONTEXT} if has_context else {})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f(a: int, context: LocalContext) -> None: ...", "has to come first"),
        ("def f(a: int, /) -> None: ...", "can be named"),
        ("def f(**more: int) -> None: ...", "can be named"),
        ("def f(_a: int) -> None: ...", "starts with `_`"),
        ("def f(a: Missing) -> None: ...", "`Missing`"),
        ("def f(a: 'int[') -> None: ...", "can't be read"),
        ("def f(a: int): ...", "result has no annotation"),
        ("def f(a: type) -> None: ...", "`a` is of a type that has no schema"),
        ("def f(a: int) -> type: ...", "result is of a type that has no schema"),
    ],
)
def test_a_signature_that_says_too_little_is_refused(source: str, message: str) -> None:
    space: dict[str, Any] = {"LocalContext": LocalContext}
    exec(compile(f"from __future__ import annotations\n{source}", __file__, "exec"), space)
    assert any(message in fault for fault in faults(read()(space["f"])))


def test_a_part_may_not_change_a_type_or_give_something_else() -> None:
    @write()
    def put(key: str) -> None: ...

    @put.compensate
    def restore(key: int) -> None: ...

    @put.preview
    def shown(key: str) -> str:
        return key

    found = faults(put)
    assert any("another type" in fault for fault in found)
    assert any("has to give a `Preview`" in fault for fault in found)


def test_what_is_no_function_is_refused() -> None:
    put = write()(lambda: None)
    put.compensate(Order)
    assert any("is no function" in fault for fault in faults(put))


def test_a_schema_of_its_own_needs_one_parameter() -> None:
    @read(parameters={"type": "object"}, returns={})
    def look(a: int, b: int) -> int:
        return a + b

    assert any("in one parameter" in fault for fault in faults(look))


def test_what_the_law_refuses_keeps_its_own_code_and_gains_a_place() -> None:
    @capability("t.bad", operation="DELETE", risk="LOW")
    def burn(key: str) -> None: ...

    with pytest.raises(InputError) as caught:
        _ = burn.spec
    assert caught.value.code == "RISK_INCONSISTENT"
    assert __file__ in caught.value.message


def test_what_the_decorator_was_told_wrongly_is_told_together_in_its_own_words() -> None:
    one = capability(
        "t.bad",
        operation="READS",  # type: ignore[arg-type]
        risk="LOWW",  # type: ignore[arg-type]
        version="1.0",
        timeout="10s",  # type: ignore[arg-type]
        idempotent="yes",  # type: ignore[arg-type]
        labels="private",
        secrets="token",
    )
    with pytest.raises(InputError) as caught:
        _ = one(keep).spec
    assert caught.value.code == "SPEC_INVALID"
    told = caught.value.details["faults"]
    assert isinstance(told, list)
    assert [one["message"].partition(" must be ")[0] for one in told if isinstance(one, dict)] == [  # type: ignore[union-attr]
        "`version`",
        "`operation`",
        "`risk`",
        "`idempotent`",
        "`timeout`",
        "`labels`",
        "`secrets`",
    ]
    assert "`operation` must be 'READ'" in str(told[1])
    assert "(and 6 more)" in caught.value.message


def test_what_the_spec_refuses_is_told_with_the_faults_of_the_functions() -> None:
    @capability("t.bad", operation="READS", risk="LOW", version="1")  # type: ignore[arg-type]
    def look(a) -> int:  # type: ignore[no-untyped-def]  # noqa: ANN001
        return 1

    assert [fault.partition(" ")[0] for fault in faults(look)] == ["`a`", "`version`", "`operation`"]


def test_a_default_that_does_not_fit_is_refused_and_not_the_callers_fault() -> None:
    @read()
    def look(b: str, a: int = "x", c: int = 1, copy: int = "y") -> int:  # type: ignore[assignment]
        return 1

    assert faults(look) == [
        "the default of `a` must be a whole number, not `x`",
        "the default of `copy` must be a whole number, not `y`",
    ]


def test_describing_looks_at_nothing() -> None:
    """Not even a name that does not exist is missed before the declaration is used."""

    @read()
    def look(a: Nowhere) -> Nobody:  # type: ignore[name-defined]  # noqa: F821
        ...

    assert look.id == "t.read"
    assert f"{__file__}:" in repr(look)
    assert "Nowhere" in faults(look)[0]


# -- modules ----------------------------------------------------------------------------------------------------------------


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
