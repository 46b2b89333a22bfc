"""What a plan really reads: only ours, only what another step needs, only where the gate allows it; and on record."""

from __future__ import annotations

import json
from typing import Any

import pytest

from assent.capabilities import builtin_catalog
from assent.engine import Plan, PlannedStep
from assent.engine.steps import _plan_reads
from assent.errors import AssentError, RefusedError
from assent.invocation import Hook, HookKind
from assent.journal import leaves_at_once
from assent.runtime.service import answers, requests
from assent.runtime.service.service import Service
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId
from tests.support.bodies import Bench, Place, code, policy, put, put_spec, rule, states, workflow

FREE = policy(rule("rest", without_approval=True))
FOUND = "${{ steps.find.output.entries }}"
FIND = {"name": "find", "capability": "io.fs.find", "inputs": {"path": "docs", "globs": ["*.txt"]}}
READ = {"name": "read", "capability": "io.fs.read_file", "inputs": {"path": "a.txt"}}


def write(path: str, content: str, name: str = "write", **fields: Any) -> dict[str, Any]:
    """A step that writes a file."""
    inputs = {"path": path, "content": content}
    return {"name": name, "capability": "io.fs.write_file", "inputs": inputs, **fields}


COPIES = write("b.txt", "${{ steps.read.output.content }}!")


@pytest.fixture(autouse=True)
def files(place: Place) -> None:
    place.policy = FREE
    place.settings()
    (place.workspace / "docs").mkdir()
    for name in ("a.txt", "docs/one.txt", "docs/two.txt"):
        (place.workspace / name).write_text(f"content of {name}")
    (place.workspace / "conf.yaml").write_text("server:\n  port: 80\n")


def told(rt: Bench) -> list[ev.PlanRead]:
    """What stands on record of plans, oldest first."""
    leaves = leaves_at_once(rt._core.ready.journal)
    return [leaf.event for leaf in leaves if isinstance(leaf.event, ev.PlanRead)]


async def kept(rt: Bench, *steps: dict[str, Any], reads: bool = True) -> answers.Plan:
    """A plan of these steps that can be run by its id."""
    request = requests.Plan(text=json.dumps(workflow(*steps)), reads=reads)
    return await Service(rt._core.settings, rt._core).perform(request)


def step(plan: Plan, name: str) -> PlannedStep:
    """The planned step of that name."""
    return next(one for one in plan.steps if one.name == name)


MOVE = {"source": "${{ item.path }}", "destination": "${{ item.path }}.old"}
EDIT = [{"op": "replace", "path": "/server/port", "value": 8080}]
# What the steps are → what the plan shows of them, and which reads it has run.
SHOWN: dict[str, tuple[list[dict[str, Any]], dict[str, str], list[str]]] = {
    "find, foreach, move": (
        [FIND, {"name": "move", "capability": "io.fs.move", "foreach": FOUND, "inputs": MOVE}],
        {"move[0]": "rename to docs/one.txt.old", "move[1]": "rename to docs/two.txt.old"},
        ["find"],
    ),
    "read, patch, write": (
        [
            {"name": "edit", "capability": "data.yaml.patch", "inputs": {"path": "conf.yaml", "patch": EDIT}},
            {
                "name": "text",
                "capability": "data.yaml.render",
                "inputs": {"value": "${{ steps.edit.output.value }}"},
            },
            write("conf.yaml", "${{ steps.text.output.text }}"),
        ],
        {"write": "-  port: 80\n+  port: 8080"},
        ["edit", "text"],
    ),
    "a read of what an earlier step writes": (
        [write("a.txt", "new", "first"), READ, COPIES],
        {"write": "+new!"},
        ["read"],
    ),
    "reads of a list": (
        [
            FIND,
            {**READ, "foreach": FOUND, "inputs": {"path": "${{ item.path }}"}},
            write("b.txt", "${{ steps.read.output.map(one, one.content)[1] }}"),
        ],
        {"write": "+content of docs/two.txt"},
        ["find", "read[0]", "read[1]"],
    ),
    "no items": (
        [
            {**FIND, "inputs": {"path": "docs", "globs": ["*.pdf"]}},
            {**READ, "foreach": FOUND, "inputs": {"path": "${{ item.path }}"}},
            write("b.txt", "n=${{ steps.read.output.size() }}"),
        ],
        {"write": "+n=0"},
        ["find"],
    ),
    "a when": (
        [READ, write("b.txt", "x", when="steps.read.output.content == 'content of a.txt'")],
        {"write": "+x"},
        ["read"],
    ),
    "a when that does not hold": (
        [READ, {**FIND, "when": "false"}, write("b.txt", "x", when="steps.find.output == null")],
        {"write": "+x"},
        [],
    ),
}


@pytest.mark.parametrize("case", SHOWN)
async def test_what_depends_on_a_read_is_shown(case: str, place: Place) -> None:
    """And a run of the plan does that."""
    steps, shown, read = SHOWN[case]
    async with place.open(box=False) as rt:
        plan = await rt.plan(workflow(*steps))
        assert [event.step for event in told(rt)] == read
        for name, part in shown.items():
            assert part in step(plan, name).preview.diff
        assert all(one.known and one.because is None for one in plan.steps)
        assert {one.name for one in plan.steps if one.read} == {*read}
        result = await rt.run(workflow(*steps))
        assert code(result) is None
        rt.require_sound_rows()


UNKNOWN_WORLD = "an earlier change is not known"
# Steps before a read, rules → why it is not run, in the plan's words.
UNREAD: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]], str]] = {
    "denied": ([], [rule("no", "DENY", when={"capability": "io.fs.*"})], "the policy denies it"),
    "asked": (
        [],
        [rule("ask", "REQUIRE_APPROVAL", when={"capability": "io.fs.read_file"}, approvers={"roles": ["a"]})],
        "the policy wants an approval first",
    ),
    "denied by its path": (
        [],
        [rule("no", "DENY", **{"if": '"path" in inputs && inputs.path == "a.txt"'})],
        "the policy denies it",
    ),
    "after a denial": (
        [put("x")],
        [rule("no", "DENY", when={"capability": "box.*"})],
        "the run would end at `x`",
    ),
    "after a failure": ([put("broken")], [], "the run would end at `broken`"),
    "after what can't be shown": ([put("x", "box.blind")], [], UNKNOWN_WORLD),
}


def with_box(place: Place, rt: Bench) -> None:
    """With a change that can't be shown, and one whose preview fails for the key `broken`."""

    async def preview(_context: object, parameters: dict[str, Any]) -> Any:
        if parameters["key"] == "broken":
            raise RefusedError("BROKEN", "it is")
        return await place.box.preview(_context, parameters)  # type: ignore[arg-type]  # it looks at none

    rt.register(put_spec("box.blind"), place.box.handler(preview=None))
    rt.register(put_spec(version="1.1.0"), place.box.handler(preview=preview))


@pytest.mark.parametrize("case", UNREAD)
async def test_a_read_that_would_not_be_run_now_is_not(case: str, place: Place) -> None:
    """Nothing of the file is in the plan, nothing is on record, and both lines say why."""
    before, rules, why = UNREAD[case]
    place.policy = policy(*rules, rule("rest", without_approval=True))
    async with place.open() as rt:
        with_box(place, rt)
        plan = await rt.plan(workflow(*before, READ, COPIES))
        assert told(rt) == []
    read, copies = step(plan, "read"), step(plan, "write")
    assert (read.known, read.read, read.because) == (False, None, f"not read: {why}")
    assert (copies.known, copies.because) == (False, f"depends on `steps.read` (not read: {why})")
    assert "content of" not in str(plan.to_json())


async def test_only_what_is_needed_is_read(place: Place) -> None:
    async with place.open(box=False) as rt:
        plan = await rt.plan(workflow(READ, FIND, write("b.txt", "x")))
        assert told(rt) == []
        assert [one.known for one in plan.steps] == [True, True, True]
        left_out = await rt.plan(workflow(READ, COPIES), reads=False)
        assert told(rt) == []
        assert step(left_out, "read").because == "not read: reads are left out"


def test_reads_of_files_data_and_texts_are_marked_and_no_others() -> None:
    """None of a plugin or a program can be: only what is written in the catalogue is."""
    marked = {spec.id for spec, handler in builtin_catalog() if handler.in_plans}
    areas = ("io.fs.", "data.", "text.")
    assert marked == {
        spec.id for spec, _ in builtin_catalog() if not spec.has_effect and spec.id.startswith(areas)
    }


@pytest.mark.parametrize("capability", ["box.look", "sys.info.time", "sys.info.env", "sys.git.status"])
async def test_other_reads_are_not_run(capability: str, place: Place) -> None:
    inputs: dict[str, Any] = {"key": "a"} if capability == "box.look" else {}
    reads = {"name": "look", "capability": capability, "inputs": inputs}
    async with place.open() as rt:
        plan = await rt.plan(workflow(reads, put("a", value="${{ steps.look.output }}")))
        assert told(rt) == []
    assert step(plan, "a").because == "depends on `steps.look`"
    assert place.box.log == []


async def test_a_read_that_fails_would_fail(place: Place) -> None:
    gone = {**READ, "inputs": {"path": "gone.txt"}}
    async with place.open(box=False) as rt:
        plan = await rt.plan(workflow(gone, COPIES))
        (event,) = told(rt)
    error = step(plan, "read").error
    assert error is not None
    assert (error["code"], event.code, event.output) == ("FILE_NOT_FOUND", "FILE_NOT_FOUND", None)
    assert plan.summary["stops_at"] == "read"


async def test_a_hook_that_refuses_a_call_refuses_a_plan_s(place: Place) -> None:
    def refuse(_call: object) -> None:
        raise RefusedError("NOT_NOW", "no")

    async with place.open(box=False) as rt:
        rt.hooks.add(Hook(HookKind.BEFORE, refuse, id="no"))
        error = step(await rt.plan(workflow(READ, COPIES)), "read").error
        assert error is not None
        assert told(rt) == []


@pytest.mark.parametrize(
    ("bound", "most", "why"),
    [
        ("READ_BYTES_MAX", 40, "the plan has read 8 MiB, which is the most"),
        ("READ_MS_MAX", 0, "the plan has read for 10 s, which is the most"),
    ],
)
async def test_reads_are_bounded(
    bound: str, most: int, why: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is past the bound is not known, and what was read nevertheless is on record without its content."""
    monkeypatch.setattr(_plan_reads, bound, most)
    async with place.open(box=False) as rt:
        plan = await rt.plan(workflow(READ, FIND, COPIES, write("c.txt", f"found: {FOUND}", "other")))
        assert [(event.code, event.output) for event in told(rt)] == (
            [("PAYLOAD_TOO_LARGE", None)] if most else []
        )
    assert [step(plan, name).because for name in ("read", "find")] == [f"not read: {why}"] * 2


async def test_a_plan_whose_reads_give_something_else_is_stale(place: Place) -> None:
    """Also where nothing else of the plan would be another: the step is named."""
    asks = write("b.txt", "x", when="steps.read.output.size > 3")
    async with place.open(box=False) as rt:
        core = rt._core

        async def planned() -> str:
            return (await kept(rt, READ, asks)).plan_id

        first, second = await planned(), await planned()
        assert code(await core.run_plan(first, core.actor(None))) is None
        (place.workspace / "b.txt").unlink()
        (place.workspace / "a.txt").write_text("something else")
        with pytest.raises(AssentError) as stale:
            await core.run_plan(second, core.actor(None))
        assert (stale.value.code, stale.value.details["moved"]) == ("PLAN_STALE", ["read"])
        # Made, looked at again, and so far for each: the plan's own stream, which verifies and is erased with its run.
        assert [leaf.event.kind for leaf in await core.ready.journal.events(RunId(first))] == [
            "plan.read"
        ] * 2
        rt.require_sound_rows()


async def test_what_a_plan_reads_is_erased_with_its_run(place: Place) -> None:
    async with place.open(box=False) as rt:
        core = rt._core
        made = await kept(rt, READ, COPIES)
        result = await core.run_plan(made.plan_id, core.actor(None))
        bound = [one for event in told(rt) for one in event.commitments()]
        assert all([await core.ready.journal.payload(one) is not None for one in bound])
        await rt.erase([result.run_id])
        assert not any([await core.ready.journal.payload(one) is not None for one in bound])


SENDS = {"name": "send", "capability": "box.send", "inputs": {"key": "k"}, "depends_on": []}
STAYS = policy(
    rule("stays", "DENY", when={"labels": ["sends_external"]}, **{"if": '"reads_private" in run.labels'}),
    rule("rest", without_approval=True),
)


async def test_what_a_plan_has_read_its_run_has_read(place: Place) -> None:
    """From its first step on; and the plan says so. Without the plan's reads, what comes first may still be sent."""
    place.policy = STAYS
    async with place.open() as rt:
        rt.register(put_spec("box.send", labels=frozenset({"sends_external"})), place.box.handler())
        core = rt._core
        for reads, decision, state in ((True, "DENY", "denied"), (False, "ALLOW", "succeeded")):
            made = await kept(rt, SENDS, {**READ, "depends_on": ["send"]}, COPIES, reads=reads)
            assert made.steps[0].decision == decision
            assert bool(made.steps[0].preview.diff) is not reads  # of what is denied nothing is shown
            result = await core.run_plan(made.plan_id, core.actor(None))
            assert states(result)["send"] == state
            created = rt.recorded(result.run_id)[0]
            assert isinstance(created, ev.RunCreated)
            assert created.labels == (("reads_private",) if reads else ())


async def test_a_plan_s_reads_count_for_the_limits(place: Place) -> None:
    """A thousand plans read no more than as many calls would, in one process and in the next."""
    (place.workspace / "assent.toml").write_text("[limits.rate.all]\ncalls = 3\nwindow = '1h'\n")
    document = workflow(READ, COPIES)
    for known in (3, 0):
        async with place.open(box=False) as rt:
            plans = [await rt.plan(document) for _ in range(500)]
            assert sum(step(plan, "read").read is not None for plan in plans) == known
            assert len(told(rt)) == 3
            because = step(plans[-1], "read").because
            assert because is not None
            assert "limit `all` lets 3 calls pass" in because
            assert code(await rt.call("io.fs.read_file", {"path": "a.txt"})) == "RATE_LIMITED"
