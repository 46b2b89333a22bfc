"""Nobody is asked blind about an undo: what it would do, and what stands in its way, is known and shown before."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assent import Runtime
from assent.errors import RefusedError
from assent.journal import rows_at_once
from assent.runtime import service
from assent.runtime._ledger import open_reader
from assent.spec.ids import RunId
from assent.spec.values.json_fields import mapping
from tests.hostile.test_erasing import REST
from tests.support.door import Terminal

ASKS = {
    "id": "asks",
    "when": {"capability": "assent.undo"},
    "decision": "REQUIRE_APPROVAL",
    "reason": "look first",
}
POLICY: dict[str, Any] = {
    "version": 1,
    "default": "DENY",
    "rules": [ASKS, REST, {**REST, "id": "r", "when": {"risk_level": "LOW"}}],
}
WORKFLOW: dict[str, Any] = {
    "name": "two",
    "version": "1.0.0",
    "steps": [
        {"name": "look", "capability": "io.fs.exists", "inputs": {"path": "conf"}},
        {"name": "one", "capability": "io.fs.write_file", "inputs": {"path": "conf", "content": "ours\n"}},
        {"name": "two", "capability": "io.fs.write_file", "inputs": {"path": "new", "content": "more\n"}},
    ],
}


def _as_link(root: Path) -> None:
    (root / "conf").unlink()
    (root / "conf").symlink_to("new")


def _as_folder(root: Path) -> None:
    (root / "conf").unlink()
    (root / "conf").mkdir()


CHANGES: dict[str, Callable[[Path], object]] = {
    "other text": lambda root: (root / "conf").write_text("theirs\n"),
    "another mode": lambda root: (root / "conf").chmod(0o755),
    "gone": lambda root: (root / "conf").unlink(),
    "a link": _as_link,
    "a folder": _as_folder,
}


async def _ran(rt: Runtime, root: Path) -> str:
    (root / "conf").write_text("before\n")
    result = await rt.run(WORKFLOW)
    assert result.status == "succeeded"
    return result.run_id


def _questions(rt: Runtime, run: str) -> list[Any]:
    with open_reader(rt.settings.state) as journal:
        return [
            leaf.event for leaf in journal.run_leaves(RunId(run)) if leaf.event.kind == "approval.requested"
        ]


@pytest.mark.parametrize("change", CHANGES)
async def test_conflict_is_told_before_anybody_is_asked(tmp_path: Path, change: str) -> None:
    """Both states are shown; nothing is asked, and nothing is touched. The plan says the same without an entry."""
    async with Runtime.open(tmp_path, policy=POLICY) as rt:
        run = await _ran(rt, tmp_path)
        CHANGES[change](tmp_path)
        plan: Any = (await rt.plan_undo(run)).to_json()
        assert plan["possible"] is False
        told = {step["name"]: step["error"] for step in plan["steps"]}
        assert (told["one"]["code"], told["two"], told["look"]) == ("COMPENSATION_CONFLICT", None, None)
        with pytest.raises(RefusedError) as caught:
            await rt.undo(run)
        assert caught.value.code == "COMPENSATION_CONFLICT"
        assert _questions(rt, run) == []
        assert (tmp_path / "new").read_text() == "more\n"
        assert (await rt.show(run)).status == "succeeded"


@pytest.mark.parametrize(("decision", "is_shown"), [("DENY", False), ("REQUIRE_APPROVAL", True)])
async def test_who_may_not_undo_is_not_shown_what_it_would_bring_back(
    tmp_path: Path, decision: str, is_shown: bool
) -> None:
    policy = {**POLICY, "rules": [{**ASKS, "decision": decision}, *POLICY["rules"][1:]]}
    async with Runtime.open(tmp_path, policy=policy) as rt:
        run = await _ran(rt, tmp_path)
        plan: Any = (await rt.plan_undo(run)).to_json()
    assert plan["decision"] == decision
    assert ("before" in plan["preview"]["diff"]) is is_shown


async def test_what_else_stands_in_the_folder_is_neither_read_nor_shown(tmp_path: Path) -> None:
    """An undo gives the folder its time back; that says nothing about what it holds, a pipe or a link to nowhere."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "away").symlink_to("/nowhere")
    async with Runtime.open(tmp_path, policy=POLICY) as rt:
        run = (await rt.call("io.fs.write_file", {"path": "a", "content": "x"})).run_id
        plan: Any = (await rt.plan_undo(run)).to_json()
        diff = plan["preview"]["diff"]
        assert plan["possible"]
        assert (diff.count("deleted file a, mode 0644, 1 byte\n"), diff.count("+++")) == (1, 1)
        assert (await rt.undo(run)).status == "waiting"
        assert (await rt.approve(run)).status == "undone"


async def test_conflict_tells_the_two_states_apart(tmp_path: Path) -> None:
    """A moved file is known by its size and time: another of the same size is told as another."""
    (tmp_path / "a").write_text("one\n")
    policy = {**POLICY, "rules": [{**REST, "when": {"capability": ["io.fs.move", "assent.undo"]}}]}
    async with Runtime.open(tmp_path, policy=policy) as rt:
        run = (await rt.call("io.fs.move", {"source": "a", "destination": "b"})).run_id
        (tmp_path / "b").write_text("two\n")
        os.utime(tmp_path / "b", (0, 0))
        with pytest.raises(RefusedError, match="found another file, 4 bytes, mode 0644, changed since"):
            await rt.undo(run)


async def test_question_shows_the_change_and_holds_for_it_alone(tmp_path: Path) -> None:
    """What somebody takes back in between makes another undo of it, about which people are asked again."""
    async with Runtime.open(tmp_path, policy=POLICY) as rt:
        run = await _ran(rt, tmp_path)
        assert (await rt.undo(run)).status == "waiting"
        shown = await _shown(rt, run)
        for line in ("  two  io.fs.write_file  restored", "deleted file new", "-ours", "+before"):
            assert line in shown
        assert "look" not in shown
        (tmp_path / "new").unlink()
        again = await rt.approve(run)
        assert again.status == "waiting"
        first, second = _questions(rt, run)
        assert first.digest != second.digest
        assert "deleted file new" not in await _shown(rt, run)
        with open_reader(rt.settings.state) as journal:
            told = {
                row["digest"]: row["status"] for row in rows_at_once(journal, "approvals", {"run_id": run})
            }
        assert told == {first.digest: "voided", second.digest: "pending"}
        assert (await rt.approve(run, digest=second.digest)).status == "undone"
        assert (tmp_path / "conf").read_text() == "before\n"
    assert service.process.perform(service.requests.VerifyLedger(), rt.settings).ok


async def _shown(rt: Runtime, run: str) -> str:
    from assent.runtime.service.service import Service

    found = await Service(rt.settings).perform(service.requests.Approvals(run=run))
    return str(mapping({"shown": found.approvals[0].preview}, "shown")["diff"])


def test_plan_of_an_undo_needs_no_owner_and_records_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    terminal = Terminal(tmp_path, capsys, None)
    (tmp_path / "w.json").write_text(json.dumps(WORKFLOW))
    (tmp_path / "conf").write_text("before\n")
    run = str(terminal("run", "w.json", "--json").object["run_id"])
    before = terminal("audit", "log", "--json").out
    text = terminal("undo", run, "--plan")
    assert text.code == 0
    for line in ("+before", "nothing to undo", "restored", "ALLOW"):
        assert line in text.out
    plan = terminal("undo", run, "--plan", "--json").object
    assert (plan["possible"], plan["decision"]) == (True, "ALLOW")
    assert terminal("audit", "log", "--json").out == before
    assert (tmp_path / "conf").read_text() == "ours\n"
    refused = terminal("undo", "run_none", "--plan", "--json")
    assert (refused.code, refused.error["code"]) == (2, "RUN_UNKNOWN")


@pytest.mark.parametrize(
    ("capability", "words"),
    [
        ("data.yaml.parse", "nothing to undo: reads only"),
        ("sys.sleep", "nothing to undo: touches nothing"),
        ("io.fs.write_file", "restores the earlier state exactly"),
    ],
)
def test_what_has_no_effect_claims_no_undo(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    capability: str,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert words in Terminal(tmp_path, capsys, None)("capability", "show", capability).out
