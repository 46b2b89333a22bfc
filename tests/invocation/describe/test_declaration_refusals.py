"""What is described wrongly is refused, with all faults at once and each with its line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent import LocalContext, capability
from assent.errors import InputError
from assent.invocation import (
    BoundCapability,
    Preview,
    Reconciliation,
)
from assent.spec.states import Verdict
from tests.support.declarations import CONTEXT, Order, bound, faults, keep, read, write
from tests.support.properties import holds


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
        "undo": "is not part",
        "execute": "is always there",
    }
    one = write(without=reasons)(sample)
    one.compensate(keep)
    one.reconcile(ask)
    assert faults(one) == [
        "`reconcile` is attached, and `without` says why there is none",
        "`without` gives no reason for the missing `prepare`",
        "`without` names `undo`, which is not part that could be missing",
        "`without` names `execute`, which is not part that could be missing",
    ]
    other = write(without="nothing to ask")(sample)
    other.compensate(keep)
    assert faults(other) == ["`without` has to name parts, each with its reason"]
    assert other.without == {}


@pytest.mark.parametrize("reasons", [["reconcile"], "reconcile"])
def test_reasons_have_to_be_given_by_part(reasons: Any) -> None:
    one = write(without=reasons)(sample)
    one.compensate(keep)
    assert faults(one) == ["`without` has to name parts, each with its reason"]


def test_a_reason_has_to_be_text() -> None:
    reasons: Any = {"reconcile": 3}
    one = write(without=reasons)(sample)
    one.compensate(keep)
    assert faults(one) == ["`without` gives no reason for the missing `reconcile`"]


class Callbacks:
    """What is no JSON."""


def test_what_prepare_gave_can_only_be_read_as_a_type_that_json_has() -> None:
    @write()
    def put(context: LocalContext, key: str) -> None: ...

    @put.compensate
    def back(prepared: Callbacks) -> None: ...

    assert faults(put) == ["`prepared` of `compensate` is of a type that is not read from JSON"]


def test_an_annotation_that_raises_is_told_with_the_other_faults() -> None:
    @write()
    def put(context: LocalContext, key: "int | 1 / 0") -> None: ...  # type: ignore[valid-type]  # noqa: UP037

    assert "an annotation of `execute` can't be read: division by zero" in faults(put)


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
    assert any("is not a function" in fault for fault in faults(put))


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
