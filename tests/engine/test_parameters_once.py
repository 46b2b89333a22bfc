"""What a call is handed stands in the ledger once, however the call came about."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from assent import Runtime
from assent.engine.record._blueprint import Blueprint
from assent.engine.record._values import load_json
from assent.errors import Json
from assent.journal import SqliteReader
from assent.spec.events import kinds as ev
from assent.spec.ids import CALL_STEP, RunId
from tests.support.bodies import Place, put, workflow

CONTENT = "c" * 200_000


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "assent.toml").write_text(
        f'policy = "policy.yaml"\n[ledger]\nkey = "{tmp_path / "ledger.key"}"\n', encoding="utf-8"
    )
    (workspace / "policy.yaml").write_text(
        """version: 1
rules:
  - {id: asked, when: {capability: io.fs.write_file}, if: 'inputs.path == "asked.txt"', decision: REQUIRE_APPROVAL}
default: ALLOW
""",
        encoding="utf-8",
    )
    (workspace / "policy.yaml").chmod(0o600)
    return workspace


def holding(workspace: Path, content: str) -> list[int]:
    """The entries whose payloads hold the content."""
    with closing(sqlite3.connect(workspace / ".assent" / "ledger.db")) as db:
        rows = db.execute("SELECT seq FROM payloads WHERE instr(CAST(body AS TEXT), ?)", (content,))
        return [seq for (seq,) in rows]


async def test_a_call_journals_its_parameters_once(workspace: Path) -> None:
    """Also where defaults are filled in: the run's inputs are what the step is called with."""
    async with Runtime.open(workspace=workspace) as runtime:
        result = await runtime.call("io.fs.write_file", {"path": "a.txt", "content": CONTENT})
        assert result.status == "succeeded"
    assert len(holding(workspace, CONTENT)) == 1
    assert (workspace / "a.txt").read_text(encoding="utf-8") == CONTENT
    assert (workspace / ".assent" / "ledger.db").stat().st_size < 1.04 * len(CONTENT) + 200_000


async def test_a_call_that_is_not_valid_is_recorded_as_it_was_made(workspace: Path) -> None:
    async with Runtime.open(workspace=workspace) as runtime:
        result = await runtime.call("io.fs.write_file", {"path": "a.txt", "content": CONTENT, "mode": []})
        assert (result.status, result.error and result.error["code"]) == ("failed", "INVALID_INPUT")
    assert len(holding(workspace, CONTENT)) == 1


async def test_a_step_of_a_session_journals_its_parameters_once(workspace: Path) -> None:
    async with Runtime.open(workspace=workspace) as runtime:
        session = await runtime.session()
        await session.call("io.fs.write_file", {"path": "a.txt", "content": CONTENT})
        await session.close()
    assert len(holding(workspace, CONTENT)) == 1


@pytest.mark.parametrize("again", [False, True], ids=["in one process", "in another one"])
async def test_a_call_that_waited_for_a_person_journals_its_parameters_once(
    workspace: Path, *, again: bool
) -> None:
    """What was approved is what is called, and so is what was handed in."""
    async with Runtime.open(workspace=workspace) as runtime:
        asked = await runtime.call("io.fs.write_file", {"path": "asked.txt", "content": CONTENT})
        assert asked.status == "waiting"
        if not again:
            assert (await runtime.approve(asked.run_id)).status == "succeeded"
    if again:
        async with Runtime.open(workspace=workspace) as runtime:
            assert (await runtime.approve(asked.run_id)).status == "succeeded"
    with SqliteReader.open(workspace / ".assent") as reader:
        events = [leaf.event for leaf in reader.run_leaves(RunId(asked.run_id))]
    bound = {
        event.inputs
        for event in events
        if isinstance(event, ev.RunCreated | ev.ApprovalRequested | ev.StepStarted)
    }
    assert len(bound) == 1
    # The question shows the content as well, as the change that it is.
    assert len(holding(workspace, CONTENT)) == 2


@pytest.mark.parametrize(
    ("handed", "called"),
    [(1, True), (1.0, 1), ("1", 1), ([1], [1, 2]), ({"a": 1}, {"a": 2}), ({"a": 1}, {"a": 1, "b": 1})],
)
async def test_what_is_only_like_what_was_handed_over_is_journaled_as_it_is(
    place: Place, handed: Json, called: Json
) -> None:
    """A step may be called with the very inputs of its run, which are bound already; equal is not the same."""
    given: dict[str, Json] = {"key": "a", "value": handed}
    document = workflow(put("a", value=called), inputs={"key": "string", "value": {}})
    async with place.open() as rt:
        run = (await rt.run(document, given)).run_id
        [intent] = [event for event in rt.recorded(run) if isinstance(event, ev.StepStarted)]
        bound = await load_json(rt._core.ready.journal, intent.inputs)
    assert json.dumps(bound["value"]) == json.dumps(called)


def test_a_call_of_the_older_format_has_its_parameters_in_its_document() -> None:
    """Runs that began before format 4 go on from what was journaled then."""
    older = Blueprint.of_document({"call": {"capability": "a.b", "parameters": {"path": "x"}}}, {})
    newer = Blueprint.of_document({"call": {"capability": "a.b"}}, {"path": "x"})
    for blueprint in (older, newer):
        assert blueprint.steps[CALL_STEP].inputs.literals() == {"path": "x"}
