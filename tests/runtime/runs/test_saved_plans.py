"""Saved plans: run once, exactly as shown, and erased with what they were run as."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from assent import Runtime
from assent.errors import AssentError
from assent.journal import rows_at_once
from assent.runtime.runs._saved_plans import PlanStore, _made_ms
from assent.runtime.service import requests
from assent.runtime.service.service import Service
from assent.system import SystemIds
from tests.support.bodies import FakeClock, Place, policy

WORKFLOW = """\
name: note
inputs: { text: string }
steps:
  - name: write
    capability: io.fs.write_file
    inputs: { path: note.txt, content: "${{ inputs.text }}" }
"""
SECRET = "the word that must not stay"


async def test_erased_run_takes_its_plan_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `erase` the inputs stand nowhere in the state directory, and the plan still counts as used."""
    monkeypatch.setenv("ASSENT_LEDGER_KEY", str(tmp_path / "key"))
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    settings = Runtime.open(workspace).settings
    plan_id = (await Service(settings).perform(_request(workspace))).plan_id
    async with Runtime.open(workspace) as rt:
        actor = rt._core.actor(None)
        result = await rt._core.run_plan(plan_id, actor)
        assert result.status == "succeeded"
        (workspace / "note.txt").unlink()
        assert _holding(settings.state, SECRET)
        erasing = await rt.erase([str(result.run_id)], principal=actor)
        assert (await rt.approve(erasing.run_id, principal="user:bob")).status == "succeeded"
        with pytest.raises(AssentError) as refused:
            await rt._core.run_plan(plan_id, actor)
    assert refused.value.code == "PLAN_USED"
    assert _holding(settings.state, SECRET) == []


async def test_plan_is_run_as_whom_it_was_made_for(tmp_path: Path) -> None:
    """The policy may answer somebody else otherwise: who it was for is told, and nothing of the world is blamed."""
    plan_id = (await Service(Runtime.open(tmp_path).settings).perform(_request(tmp_path))).plan_id
    async with Runtime.open(tmp_path) as rt:
        with pytest.raises(
            AssentError, match=r"shows what `user:.*` would do, and `service:ci` runs it"
        ) as refused:
            await rt._core.run_plan(plan_id, rt._core.actor("service:ci"))
        assert (refused.value.code, list(tmp_path.glob("note.txt"))) == ("PLAN_STALE", [])


@pytest.mark.parametrize("limited", ["io.fs.write_file", "io.fs.make_dir"])
async def test_a_plan_is_stale_when_a_limit_lets_no_more_pass(tmp_path: Path, limited: str) -> None:
    """Of its call, or of what that may lead to; what others use and leave room makes none stale."""
    limit = {"id": "few", "when": {"capability": limited}, "window": "1h", "calls": 2}
    place = Place(tmp_path, policy={**policy(), "limits": [limit]}, clock=FakeClock(), grace_s=5.0)
    assert place.clock is not None
    back = "    compensation: { capability: io.fs.make_dir, inputs: { path: made } }\n"

    async with place.open() as rt:
        core = rt._core
        plans: list[str] = []
        for name in ("a.txt", "b.txt"):
            text = WORKFLOW.replace("note.txt", name) + back
            asked = msgspec.structs.replace(_request(place.workspace), text=text)
            plans.append((await Service(core.settings, core).perform(asked)).plan_id)

        async def use(path: str) -> None:
            given = {"path": path, "content": ""} if limited == "io.fs.write_file" else {"path": path}
            assert (await rt.call(limited, given)).status == "succeeded"

        await use("first")
        assert (await core.run_plan(plans[0], core.actor(None))).status == "succeeded"
        if limited == "io.fs.make_dir":  # what the run might have led to was not needed
            await use("second")
        with pytest.raises(AssentError) as refused:
            await core.run_plan(plans[1], core.actor(None))
        assert (refused.value.code, refused.value.details) == ("PLAN_STALE", {"moved": ["write"]})
        place.clock.ms += 3_600_000
        assert (await core.run_plan(plans[1], core.actor(None))).status == "succeeded", (
            "only the limit kept it"
        )


def _holding(folder: Path, text: str) -> list[str]:
    """The files below a folder that hold the text."""
    return [path.name for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def _request(workspace: Path) -> requests.Plan:
    return requests.Plan(text=WORKFLOW, source="note.yaml", base=str(workspace), inputs={"text": SECRET})


async def test_a_plan_expires_with_the_inputs_in_it(tmp_path: Path) -> None:
    """After its time it is refused by what its id tells, and the next owner removes its file; a younger one stays."""
    place = Place(tmp_path, clock=FakeClock(), policy=policy())
    settings = place.settings()
    plan_id = (await Service(settings).perform(_request(place.workspace))).plan_id
    folder = settings.state / "plans"
    (folder / f".{plan_id}").write_text("what a killed process left")
    (folder / "notes.txt").write_text("not ours")
    assert place.clock is not None
    place.clock.ms = 7 * 24 * 3600 * 1000 - 60_000
    async with place.open() as rt:
        assert (folder / f"{plan_id}.json").exists()
        place.clock.ms += 120_000
        with pytest.raises(AssentError) as refused:
            await rt._core.run_plan(plan_id, rt._core.actor(None))
        assert refused.value.code == "PLAN_EXPIRED"
        assert refused.value.message == f"plan `{plan_id}` is 7 days old, and plans are kept for 7 days"
    async with place.open() as rt:
        assert [path.name for path in folder.iterdir()] == ["notes.txt"]
        with pytest.raises(AssentError) as gone:
            await rt._core.run_plan(plan_id, rt._core.actor(None))
        assert gone.value.code == "PLAN_EXPIRED", "its id still tells why it is not there"
    assert _holding(settings.state, SECRET) == []


async def test_a_plan_of_a_clock_far_in_the_future_has_expired_and_is_not_kept_until_then(
    tmp_path: Path,
) -> None:
    """Set back by less than plans are kept for, the clock makes no plan unusable."""
    place = Place(tmp_path, clock=FakeClock())
    settings = place.settings()
    used, plan_id = [(await Service(settings).perform(_request(place.workspace))).plan_id for _ in range(2)]
    assert place.clock is not None
    place.clock.ms = -2 * 3600 * 1000
    async with place.open() as rt:
        assert (await rt._core.run_plan(used, rt._core.actor(None))).status == "succeeded"
    place.clock.ms = -400 * 86_400_000
    async with place.open() as rt:
        assert [*(settings.state / "plans").iterdir()] == []
        with pytest.raises(AssentError, match="was made 400 days ahead of the clock") as refused:
            await rt._core.run_plan(plan_id, rt._core.actor(None))
        assert refused.value.code == "PLAN_EXPIRED"


async def test_making_a_plan_removes_those_that_expired(tmp_path: Path) -> None:
    place = Place(tmp_path)
    settings = place.settings()
    folder = settings.state / "plans"
    folder.mkdir(parents=True, mode=0o700)
    settings.state.chmod(0o700)
    (folder / f"plan_{'0' * 26}.json").write_text("made in 1970")
    made = (await Service(settings).perform(_request(place.workspace))).plan_id
    assert [path.name for path in folder.iterdir()] == [f"{made}.json"]


async def test_a_plan_that_two_people_run_at_once_runs_once(tmp_path: Path) -> None:
    """The second is refused while the first is still looking whether the plan would do what it showed."""
    place = Place(tmp_path)
    plan_id = (await Service(place.settings()).perform(_request(place.workspace))).plan_id
    async with place.open() as rt:
        actor = rt._core.actor(None)
        both = await asyncio.gather(
            rt._core.run_plan(plan_id, actor), rt._core.run_plan(plan_id, actor), return_exceptions=True
        )
        [refused] = [answer for answer in both if isinstance(answer, BaseException)]
        assert isinstance(refused, AssentError)
        assert refused.code == "PLAN_USED"
        assert len(list(rows_at_once(rt._core.ready.journal, "runs"))) == 1
        with pytest.raises(AssentError, match="was run already, as"):
            await rt._core.run_plan(plan_id, actor)


@pytest.mark.parametrize("plan_id", ["plan_x", "plan_" + "u" * 26, "plan_" + "z" * 26, "../plan", ""])
def test_what_is_no_id_of_a_plan_is_unknown(tmp_path: Path, plan_id: str) -> None:
    with pytest.raises(AssentError) as refused:
        PlanStore(tmp_path, expiry_ms=1).load(plan_id, 10**15)
    assert refused.value.code == "PLAN_UNKNOWN"


@pytest.mark.parametrize(
    ("age_ms", "said"),
    [(1500, "1.5 seconds"), (60_000, "1 minute"), (5_400_000, "1.5 hours"), (90_000_000, "1.04 days")],
)
def test_an_age_is_told_in_a_unit_that_fits(tmp_path: Path, age_ms: int, said: str) -> None:
    plan_id = SystemIds().plan_id()
    store = PlanStore(tmp_path, expiry_ms=1000)
    made = _made_ms(plan_id)
    assert made is not None
    with pytest.raises(AssentError, match=f"is {said} old, and plans are kept for 1 second"):
        store.load(plan_id, made + age_ms)
