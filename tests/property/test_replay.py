"""A recorded run, played again against its own outputs, comes to what was recorded, whatever became of it."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any, TypeAlias

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from assent.errors import AssentError, RefusedError
from assent.invocation import Reconciliation
from assent.spec.states import RunState, Verdict
from tests.support.bodies import Bench, Hook, Place, boom, no_effect, policy, put, rule, workflow
from tests.support.properties import holds
from tests.support.seeds import examples

KEYS = ["a", "b", "c", "d"]
CAPABILITIES = ["box.put", "box.put_low", "box.put_high", "box.set", "box.burn", "box.look"]
Scene: TypeAlias = dict[str, Any]
"""The steps of a run, what goes wrong with them, and what people do about it."""

TROUBLE: dict[str, Hook] = {"boom": boom, "no_effect": no_effect}


def conflict(call: object) -> None:
    raise RefusedError("COMPENSATION_CONFLICT", "somebody else was here", details={"found": 1})


@st.composite
def steps(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Steps in sequence, side by side, over lists, under conditions, tried again."""
    found: list[dict[str, Any]] = []
    for key in KEYS[: draw(st.integers(1, 4))]:
        step = put(key, draw(st.sampled_from(CAPABILITIES)))
        if step["capability"] == "box.look":
            step["inputs"] = {"key": key}
        step["depends_on"] = draw(st.lists(st.sampled_from(found), max_size=2).map(_names)) if found else []
        if draw(st.booleans()):
            step["retry"] = {"max_attempts": 2, "backoff": {"initial": "1ms", "max": "1ms"}}
        if draw(st.integers(0, 4)) == 0:
            step["when"] = draw(st.sampled_from(["inputs.yes", "!inputs.yes"]))
        elif draw(st.integers(0, 3)) == 0:
            step["foreach"] = ["x", "y"]
            step["inputs"] = {**step["inputs"], "key": f"{key}${{{{ item }}}}"}
        found.append(step)
    return found


def _names(chosen: list[dict[str, Any]]) -> list[str]:
    return sorted({str(step["name"]) for step in chosen})


SCENES = st.fixed_dictionaries(
    {
        "steps": steps(),
        "high": st.sampled_from(["ALLOW", "DENY", "REQUIRE_APPROVAL"]),
        "critical": st.sampled_from(["ALLOW", "DENY", "REQUIRE_APPROVAL"]),
        "answer": st.sampled_from(["approve", "reject", "cancel", "nothing"]),
        "before": st.dictionaries(st.sampled_from(KEYS), st.sampled_from(sorted(TROUBLE)), max_size=2),
        "after": st.dictionaries(st.sampled_from(KEYS), st.sampled_from(sorted(TROUBLE)), max_size=1),
        "reconciled": st.dictionaries(st.sampled_from(KEYS), st.sampled_from(Verdict), max_size=2),
        "stuck": st.sets(st.sampled_from(KEYS), max_size=1),
        "then": st.sampled_from(["nothing", "undo", "resume", "abandon"]),
    }
)


def _alone(key: str, **fields: Any) -> dict[str, Any]:
    return {**put(key), "depends_on": [], **fields}


ITERATIONS_BESIDE_A_FAILURE: Scene = {
    "steps": [
        _alone("a", foreach=["x", "y"], inputs={"key": "a${{ item }}", "value": "a"}),
        _alone("b"),
        _alone("c"),
        _alone("d", foreach=["x", "y"], inputs={"key": "d${{ item }}", "value": "d"}),
    ],
    "high": "ALLOW",
    "critical": "ALLOW",
    "answer": "nothing",
    "before": {},
    "after": {"b": "no_effect"},
    "reconciled": {},
    "stuck": set(),
    "then": "nothing",
}
"""Outcomes of iterations arrive after the failure that stops the run, all at once."""

ITERATIONS_BEFORE_A_FAILURE: Scene = ITERATIONS_BESIDE_A_FAILURE | {
    "steps": [*reversed(ITERATIONS_BESIDE_A_FAILURE["steps"])]
}
"""The same, and those of one step arrive before it."""


@holds("replay")
@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SCENES)
@example(ITERATIONS_BESIDE_A_FAILURE)
@example(ITERATIONS_BEFORE_A_FAILURE)
def test_a_run_replayed_against_its_record_comes_to_the_same_and_touches_nothing(
    scene: Scene,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_play(Place(Path(folder)), scene))


async def _play(place: Place, scene: Scene) -> None:
    place.policy = policy(
        rule("high", scene["high"], when={"risk_level": "HIGH"}),
        rule("critical", scene["critical"], when={"risk_level": "CRITICAL"}),
        rule("rest"),
    )
    box = place.box
    box.before |= {key: TROUBLE[name] for key, name in scene["before"].items()}
    box.after |= {key: TROUBLE[name] for key, name in scene["after"].items()}
    box.on_reconcile |= {key: Reconciliation(verdict, {}) for key, verdict in scene["reconciled"].items()}
    box.on_compensate |= dict.fromkeys(scene["stuck"], conflict)
    async with place.open() as rt:
        result = await rt.run(workflow(*scene["steps"], inputs={"yes": {"type": "boolean"}}), {"yes": True})
        run = result.run_id
        for _ in range(8):
            if result.status is not RunState.WAITING or scene["answer"] == "nothing":
                break
            result = await _answer(rt, run, scene["answer"])
        await _then(rt, run, scene["then"])
        before = (dict(box.values), list(box.log), rt.kinds(run))
        report = await rt.replay(run)
        assert report.is_equal, report.to_json()
        assert (report.stopped, report.assumed, report.capabilities) == ((), (), ())
        assert (dict(box.values), list(box.log), rt.kinds(run)) == before


async def _answer(rt: Bench, run: str, answer: str) -> Any:
    if answer == "cancel":
        return await rt.cancel(run)
    asked = next(step.name for step in (await rt.show(run)).steps if step.status.value == "awaiting_approval")
    if answer == "reject":
        return await rt.reject(run, asked, reason="not today", principal="user:bob")
    return await rt.approve(run, asked, principal="user:bob")


async def _then(rt: Bench, run: str, then: str) -> None:
    result = await rt.show(run)
    try:
        if then == "undo" and result.status is RunState.SUCCEEDED:
            await rt.undo(run, principal="user:carol")
        elif result.status is RunState.NEEDS_ATTENTION and then == "resume":
            await rt.resume(run)
        elif result.status is RunState.NEEDS_ATTENTION and then == "abandon":
            for step in result.steps:
                if step.status.value in ("in_doubt", "compensation_failed"):
                    await rt.resolve(run, step.name, "abandon")
    except AssentError:
        pass  # What was refused is on the record as well.
