"""The record as an auditor reads it: lines of inputs, what became of approvals, the newest of it, and what comes next."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assent.cli.record._audit_log import (
    APPROVAL_COLUMNS,
    LOG_COLUMNS,
    _approval_line,
    _cells,
    _log_cells,
    _log_line,
    _row,
)
from assent.cli.terminal._style import Paint
from assent.errors import AssentError, InputError
from assent.journal import leaves_at_once
from assent.journal.ports import JournalReader
from assent.runtime.service import _audit_log, answers, process, requests
from assent.runtime.service.service import Service
from assent.spec.events.kinds import Leaf
from assent.spec.targets import inputs_line
from tests.support.bodies import Place, policy, put, rule, user, workflow
from tests.support.patience import PATIENCE_S

PLAIN = Paint(enabled=False)
ASKS = policy(
    rule("ask", "REQUIRE_APPROVAL", when={"capability": "box.put"}, approvers={"kinds": ["user"]}),
    rule("no", "DENY", when={"capability": "box.set"}),
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, policy=ASKS)


def log(place: Place, **wanted: object) -> list[answers.LogLine]:
    return [*process.stream(requests.AuditLog(**wanted), place.settings())]  # type: ignore[arg-type]  # its own fields


def decided(place: Place, **wanted: object) -> list[answers.ApprovalLine]:
    return [*process.stream(requests.AuditApprovals(**wanted), place.settings())]  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(
    ("inputs", "line"),
    [
        ({"path": "a.txt", "count": 2}, 'path="a.txt" count=2'),
        ({"path": 'a" risk="LOW'}, r'path="a\" risk=\"LOW"'),
        ({"path": "a\nb\x1b[2J\u202e"}, r'path="a\nb\u001b[2J\u202e"'),
        ({"a b=": 1}, '"a b="=1'),
        ({"name": "é"}, 'name="é"'),
        ({}, ""),
        ([1, "x"], '[1,"x"]'),
        ({"text": "x" * 100}, f'text="{"x" * 16} … 68 more characters … {"x" * 16}"'),
    ],
)
def test_inputs_on_a_line_can_forge_nothing_and_say_how_much_is_cut(inputs: object, line: str) -> None:
    assert inputs_line(inputs) == line
    assert len(inputs_line({f"name_{number}": "x" * 999 for number in range(999)})) <= 240


async def test_a_decision_is_told_with_its_inputs_and_its_policy(place: Place) -> None:
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a", value="x\ny")))).run_id
        await rt.approve(run, principal=user("bob"))
        denied = (await rt.call("box.set", {"key": "k"}, principal=user("eve"))).run_id
    lines = log(place, run=run)
    told = {line.kind: line.inputs_line for line in lines if line.event.get("step") == "a"}
    said = r'key="a" value="x\ny"'
    asked = ("approval.requested", "approval.granted", "step.started")
    assert told == {**dict.fromkeys(asked, said), "step.succeeded": None}
    (policy_digest,) = {line.policy for line in lines if line.policy is not None}
    assert {line.kind for line in lines if line.policy} == {"run.created", *asked}
    (denial,) = log(place, run=denied, kinds=frozenset({"step.denied"}))
    assert (denial.inputs_line, denial.policy) == ('key="k"', policy_digest)
    text = _log_line(denial, PLAIN)
    assert text.endswith(f'rule no policy {policy_digest[:12]} key="k"')


async def test_what_became_of_every_question_is_told(tmp_path: Path) -> None:
    asks = rule("ask", "REQUIRE_APPROVAL", when={"capability": "box.put"}, approvers={"expires": "1s"})
    place = Place(tmp_path, policy=policy(asks))
    async with place.open() as rt:
        runs = [(await rt.run(workflow(put(key)))).run_id for key in ("a", "b", "c")]
        (first, *_) = process.perform(requests.Approvals(run=runs[0]), rt.settings).approvals
        with pytest.raises(AssentError):
            await rt.approve(runs[0], "a", principal="agent:bot")
        await rt.approve(runs[0], principal=user("bob"), digest=first.digest)
        await rt.reject(runs[1], principal=user("eve"), reason="no")
        await rt.wait(runs[2])
    lines = decided(place)
    found = [(line.run_id, line.decision, line.principal, line.confirmed, line.reason) for line in lines]
    assert found == [
        (runs[0], "refused", "agent:bot", None, None),
        (runs[0], "granted", "user:bob", True, None),
        (runs[1], "rejected", "user:eve", None, "no"),
        (runs[2], "expired", None, None, None),
    ]
    assert [line.inputs_line for line in lines[1:]] == [f'key="{key}" value="{key}"' for key in "abc"]
    assert {line.capability for line in lines} == {"box.put"}
    assert {line.requester for line in lines[1:]} == {place.settings().principal.__str__()}
    assert "digest seen" in _approval_line(lines[1], PLAIN)
    assert "count 1" in _approval_line(lines[0], PLAIN)
    by = {"decision": "rejected"}, {"principal": "user:eve"}, {"run": runs[1]}
    assert all(decided(place, **wanted) == lines[2:3] for wanted in by)
    assert decided(place, limit=1, decision="granted") == lines[1:2]
    assert decided(place, since_ms=lines[3].at_ms) == lines[3:]
    assert lines[3] not in decided(place, until_ms=lines[3].at_ms)
    with pytest.raises(InputError, match="status of an approval"):
        requests.AuditApprovals(decision="DENY")


async def test_the_newest_entries_are_told_as_among_all_of_them(place: Place) -> None:
    """Also what they leave unsaid: who acted, on what, which inputs an answer was about."""
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a")))).run_id
        await rt.run(workflow(put("b"), {"name": "c", "capability": "sys.noop"}))
        await rt.approve(run, principal=user("bob"))
    everything = log(place)
    for limit in range(1, len(everything) + 3):
        assert log(place, limit=limit) == everything[-limit:]
    by_run = [line for line in everything if line.run_id == run]
    assert log(place, run=run, limit=2) == by_run[-2:]


@pytest.mark.parametrize(
    ("wanted", "stands_at_the_end"),
    [
        ({"principal": "user:bob"}, True),
        ({"capability": "box.*"}, True),
        ({"capability": "sys.noop"}, False),
        ({"decision": "ALLOW"}, False),
        ({"kinds": frozenset({"step.succeeded", "approval.granted"})}, True),
        ({"kinds": frozenset({"run.succeeded"})}, True),
        ({"since_ms": 1}, True),
    ],
    ids=lambda said: "-".join(said) if isinstance(said, dict) else str(said),
)
async def test_the_newest_entries_of_a_kind_are_found_without_reading_all(
    place: Place, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, object], *, stands_at_the_end: bool
) -> None:
    """Where enough of them stand at the end; what they say is what they say among all of them."""
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a")))).run_id
        for name in "bcde":
            await rt.call("sys.noop", {})
            await rt.run(workflow(put(name)))
        await rt.approve(run, principal=user("bob"))
    everything = log(place, **wanted)
    monkeypatch.setattr(_audit_log, "NEAR", 4)
    monkeypatch.setattr(_audit_log, "NEAR_EACH", 1)
    read: list[int] = []

    def reading(journal: JournalReader, *, start: int = 0) -> Iterator[Leaf]:
        read.append(start)
        return leaves_at_once(journal, start=start)

    monkeypatch.setattr(_audit_log, "leaves_at_once", reading)
    assert log(place, **wanted, limit=1) == everything[-1:]
    assert (0 not in read) is stands_at_the_end
    for limit in range(1, len(everything) + 2):
        assert log(place, **wanted, limit=limit) == everything[-limit:]


async def test_what_comes_is_told_once_it_is_durable(place: Place) -> None:
    """The rest of what is on record first, then each new entry, none twice; only those that were asked for."""
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a")))).run_id
        seen: list[answers.LogLine] = []
        begun, done = asyncio.Event(), asyncio.Event()

        async def follow() -> None:
            kinds = frozenset({"run.created", "approval.granted", "run.succeeded"})
            async for line in Service(place.settings()).stream(requests.AuditLog(follow=True, kinds=kinds)):
                seen.append(line)
                begun.set()
                if line.kind == "run.succeeded":
                    done.set()

        task = asyncio.create_task(follow())
        await asyncio.wait_for(begun.wait(), PATIENCE_S)
        await rt.approve(run, principal=user("bob"))
        await asyncio.wait_for(done.wait(), PATIENCE_S)
        task.cancel()
    assert [line.kind for line in seen] == ["run.created", "approval.granted", "run.succeeded"]
    assert seen[1].inputs_line == 'key="a" value="a"'


def test_nothing_on_record_is_an_empty_log_and_nothing_to_follow(place: Place) -> None:
    assert (log(place), decided(place)) == ([], [])
    waiting: tuple[requests.Auditing[Any], ...] = (
        requests.AuditLog(follow=True),
        requests.AuditApprovals(follow=True),
    )
    for request in waiting:
        with pytest.raises(InputError) as caught:
            [*process.stream(request, place.settings())]
        assert caught.value.code == "STATE_MISSING"


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_no_cell_begins_as_a_formula(first: str) -> None:
    """Read back by any CSV reader, each is the text itself behind a quote; line breaks and tabs are written out."""
    texts = [f'{first}cmd|"/C calc"!A0', f"a{first}", "1\n2\t3\r", "", None, True, 7]
    row = _row(texts) + "\n"
    assert row.endswith("\r\n")
    assert "\n" not in row[:-2]
    (cells,) = csv.reader(io.StringIO(row))
    assert cells == [f"'{texts[0]}", f"a{first}", r"1\n2\t3\x0d", "", "", "true", "7"]


async def test_a_sheet_has_the_columns_that_are_promised(place: Place) -> None:
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a")))).run_id
        await rt.approve(run, principal=user("bob"))
    (granted,) = decided(place)
    assert {*APPROVAL_COLUMNS} <= _cells(granted).keys()
    started = _log_cells(next(line for line in log(place) if line.kind == "step.started"))
    assert {*LOG_COLUMNS} - {"asserted", "os_uid", "code"} <= started.keys()
    assert str(started["at"]).endswith("Z")


async def test_what_came_of_an_undo_or_a_cancel_is_of_whoever_asked_for_it(place: Place) -> None:
    """And not of who once began the run; what came of an undo that was refused is the run's again."""
    place.policy = policy(rule("ask", "REQUIRE_APPROVAL", when={"capability": "assent.undo"}), rule("all"))
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a")), principal="service:nightly")).run_id
        await rt.undo(run, principal="user:ann")
        await rt.approve(run, principal="user:bob")
    by_ann = [line.kind for line in log(place, principal="user:ann")]
    assert by_ann == [
        "run.undo_requested", "approval.requested", "run.undo_started", "compensation.started",
        "compensation.succeeded", "run.undone",
    ]  # fmt: skip
    assert [line.kind for line in log(place, principal="service:nightly")][-1] == "run.succeeded"
    (granted,) = log(place, principal="user:bob")
    assert granted.event["same_uid"] is True
