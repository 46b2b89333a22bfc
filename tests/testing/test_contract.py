"""The contract suite finds what is broken: each clause is shown a capability that breaks it, and it alone says so."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from assent import AssentError, LocalContext, capability
from assent.invocation import BoundCapability, Capability, NoEffectError, Prepared, Preview, Reconciliation
from assent.spec.states import Verdict
from assent.testing import Case, Outcome, check_capability, clauses_of, run_clause
from assent.testing._clauses import BrokenError

BOX: dict[str, str] = {}
NUMBERS: Iterator[int] = itertools.count()


def make(**parts: Callable[..., Any]) -> Capability[..., Any]:
    """A capability that keeps the contract, with other parts in the place of its own."""

    def execute(context: LocalContext, key: str, text: str) -> dict[str, str]:
        BOX[key] = text
        return {"key": key}

    def prepare(key: str) -> Prepared:
        return Prepared({"old": BOX.get(key)})

    def compensate(context: LocalContext, key: str) -> None:
        assert context.prepared is not None
        if context.prepared["old"] is None:
            BOX.pop(key, None)
        else:
            BOX[key] = str(context.prepared["old"])

    def reconcile(key: str, text: str) -> Reconciliation:
        return Reconciliation(Verdict.YES if BOX.get(key) == text else Verdict.NO, {"key": key})

    def preview(key: str, text: str) -> Preview:
        return Preview("text", f"{key}: {BOX.get(key)} -> {text}")

    own: dict[str, Callable[..., Any]] = {
        "execute": execute,
        "prepare": prepare,
        "compensate": compensate,
        "reconcile": reconcile,
        "preview": preview,
        **parts,
    }
    made: Capability[..., Any] = capability(
        "box.put", operation="WRITE", risk="MEDIUM", reversible=True, idempotent=True
    )(own["execute"])
    made.prepare(own["prepare"])
    made.compensate(own["compensate"])
    made.reconcile(own["reconcile"])
    made.preview(own["preview"])
    return made


def empty(folder: Path) -> None:
    BOX.clear()
    BOX["there"] = "before"


CASE = Case({"key": "there", "text": "after"}, arrange=empty, observe=lambda: dict(BOX))


def broken(outcomes: list[Outcome]) -> set[str]:
    return {one.clause for one in outcomes if not one.holds}


def test_a_capability_that_keeps_the_contract_passes_every_clause() -> None:
    outcomes = check_capability(make(), [CASE])
    assert broken(outcomes) == set(), [one.fault for one in outcomes if one.fault]
    assert len(outcomes) == len(clauses_of(make()))
    assert all(one.promise for one in outcomes)


def touching(key: str) -> Prepared:
    BOX[key] = "touched"
    return Prepared({"old": "before"})


def forgotten_blob(key: str) -> Prepared:
    return Prepared({"old": "before"}, ("0" * 64,))


def showing(key: str) -> Preview:
    BOX[key] = "shown"
    return Preview()


def moody(key: str) -> Preview:
    return Preview("text", f"{next(NUMBERS)}")


def always_yes(key: str) -> Reconciliation:
    return Reconciliation(Verdict.YES, {"key": key})


def always_no(key: str) -> Reconciliation:
    return Reconciliation(Verdict.NO)


def mute_yes(key: str, text: str) -> Reconciliation:
    return Reconciliation(Verdict.YES if BOX.get(key) == text else Verdict.NO)


def raising(key: str) -> Reconciliation:
    raise ValueError(key)


def restoring_nothing(key: str) -> None:
    return


def restoring_more_each_time(key: str) -> None:
    BOX[key] = "before" if BOX[key] == "after" else BOX[key] + "!"


def growing(context: LocalContext, key: str, text: str) -> dict[str, str]:
    BOX[key] = BOX.get(key, "") + text
    return {"key": key}


def lying(context: LocalContext, key: str, text: str) -> dict[str, str]:
    BOX[key] = text
    return {"key": 5}  # type: ignore[dict-item]


def failing(context: LocalContext, key: str, text: str) -> dict[str, str]:
    raise NoEffectError("STEP_FAILED_ON_PURPOSE", "no")


RELEASE = threading.Event()


def stubborn(context: LocalContext, key: str, text: str) -> dict[str, str]:
    BOX[key] = text
    if context.cancel.wait(0.5):
        RELEASE.wait(3)
    return {"key": key}


@pytest.mark.parametrize(
    ("parts", "clauses"),
    [
        ({"prepare": touching}, {"prepare"}),
        ({"prepare": forgotten_blob}, {"prepare"}),
        ({"preview": showing}, {"preview"}),
        ({"preview": moody}, {"preview"}),
        ({"reconcile": always_yes}, {"reconcile"}),
        ({"reconcile": always_no}, {"reconcile"}),
        ({"reconcile": mute_yes}, {"reconcile"}),
        ({"reconcile": raising}, {"reconcile"}),
        ({"compensate": restoring_nothing}, {"restore"}),
        ({"compensate": restoring_more_each_time}, {"restore_twice", "restore_nothing"}),
        ({"execute": growing}, {"twice", "reconcile"}),
    ],
    ids=lambda one: next(iter(one.values())).__name__ if isinstance(one, dict) else "",
)
def test_a_broken_promise_is_found_by_its_clause(
    parts: dict[str, Callable[..., Any]], clauses: set[str]
) -> None:
    outcomes = check_capability(make(**parts), [CASE])
    assert broken(outcomes) == clauses, [(one.clause, one.fault) for one in outcomes if one.fault]


@pytest.mark.parametrize("execute", [lying, failing])
def test_an_execute_that_does_not_do_what_it_says_is_found(execute: Callable[..., Any]) -> None:
    assert {"output", "restore", "twice", "reconcile"} <= broken(
        check_capability(make(execute=execute), [CASE])
    )


def hinting(key: str, text: str) -> Any:
    raise AssentError("BOX_LOCKED", "the box is locked", path=key, hint="unlock it: `box unlock`")


@pytest.mark.parametrize(
    ("part", "clause"), [("execute", "output"), ("prepare", "prepare"), ("reconcile", "reconcile")]
)
def test_a_broken_promise_keeps_the_hint_of_what_broke_it(part: str, clause: str, tmp_path: Path) -> None:
    """For programs and people as a field of its own, for pytest as a note."""
    made = make(**{part: hinting})
    found = next(one for one in check_capability(made, [CASE]) if one.clause == clause)
    assert found.fault == f"`{part}` failed: the box is locked at there [BOX_LOCKED]"
    assert found.hint == "unlock it: `box unlock`"
    with pytest.raises(BrokenError) as raised:
        run_clause(made, next(one for one in clauses_of(made) if one.name == clause), CASE, tmp_path)
    assert raised.value.__notes__ == ["help: unlock it: `box unlock`"]


def test_what_nobody_knows_a_mend_for_has_no_hint() -> None:
    outcomes = check_capability(make(reconcile=raising), [CASE])
    assert {one.hint for one in outcomes} == {None}


@pytest.mark.slow
def test_a_thread_that_does_not_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assent.testing._bench.GRACE_S", 0.05)
    outcomes = check_capability(make(execute=stubborn), [CASE])
    assert broken(outcomes) == {"cancel", "timeout"}


def test_a_case_may_fail_on_purpose_and_must_then() -> None:
    wanted = Case(CASE.inputs, arrange=empty, observe=lambda: dict(BOX), fails="STEP_FAILED_ON_PURPOSE")
    assert broken(check_capability(make(execute=failing), [wanted])) == set()
    found = check_capability(make(), [wanted])
    assert "succeeded" in str(next(one.fault for one in found if one.clause == "output"))


def test_a_read_that_writes_is_found() -> None:
    @capability("box.look", operation="READ", risk="LOW")
    def look(key: str) -> str:
        BOX[key] = "seen"
        return BOX[key]

    case = Case({"key": "there"}, arrange=empty, observe=lambda: dict(BOX))
    assert broken(check_capability(look, [case])) == {"read"}


def test_inputs_that_are_taken_and_should_not_be_are_found() -> None:
    case = Case(CASE.inputs, arrange=empty, observe=lambda: dict(BOX), refused=[{"key": "a", "text": ""}])
    assert broken(check_capability(make(), [case])) == {"refusal"}


def test_an_offsetting_compensation_need_not_restore() -> None:
    @capability("box.sell", operation="EXECUTE", risk="HIGH", compensation="refund")
    def sell(key: str) -> None:
        BOX[key] = "sold"

    @sell.compensate
    def refund(key: str) -> None:
        BOX[key] = "refunded"

    case = Case({"key": "there"}, arrange=empty, observe=lambda: dict(BOX))
    assert broken(check_capability(sell, [case])) == set()


def test_without_cases_some_are_made_from_the_schema() -> None:
    @capability("box.count", operation="READ", risk="LOW")
    def count(word: str, times: int = 1) -> int:
        return len(word) * times

    outcomes = check_capability((count.spec, count.handler))
    assert outcomes
    assert broken(outcomes) == set()
    assert Case.made_for(BoundCapability(count.spec, count.handler))
