"""What people decide about findings: every change is whole or not done, and a suppression ends when it says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import InputError
from assent.findings.triage import (
    ACTIONS,
    AddNote,
    AddTags,
    Note,
    RemoveTags,
    SetOwner,
    SetStatus,
    Status,
    Suppress,
    Suppression,
    Triage,
    Unsuppress,
    changed,
    is_suppressed,
    read_change,
)
from tests.support.reported import TRIAGES

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
AT = "2026-11-24T12:00:00Z"


def after(triage: Triage, *documents: dict[str, Any]) -> Triage:
    return changed(triage, *map(read_change, documents), at=AT, by="ann")


def test_every_change_does_what_it_says() -> None:
    found = after(
        Triage(tags=("old",)),
        {"action": "set_status", "status": "triaged"},
        {"action": "set_owner", "owner": "bob"},
        {"action": "add_tags", "tags": ["web", "old"]},
        {"action": "remove_tags", "tags": ["gone"]},
        {"action": "add_note", "text": "looked at"},
        {"action": "suppress", "reason": "a test", "until": "2026-12-01T00:00:00Z", "scope": "detector"},
    )
    assert (found.status, found.status_at, found.owner, found.tags) == (
        Status.TRIAGED,
        AT,
        "bob",
        ("old", "web"),
    )
    assert found.notes == (Note(at=AT, by="ann", text="looked at"),)
    assert found.suppression is not None
    assert (found.suppression.reason, found.suppression.until) == ("a test", "2026-12-01T00:00:00Z")
    last = changed(
        found, Unsuppress(), RemoveTags(tags=("old", "web")), SetOwner(owner=None), at=AT, by="ann"
    )
    assert (last.suppression, last.tags, last.owner) == (None, (), None)
    assert last.notes == found.notes


@pytest.mark.parametrize(
    "document",
    [
        {"action": "add_note", "text": " \n"},
        {"action": "suppress", "reason": ""},
        {"action": "suppress", "reason": "r", "until": "tomorrow"},
        {"action": "suppress", "reason": "r", "until": "2026-02-30T00:00:00Z"},
        {"action": "suppress", "reason": "r", "until": "2026-12-01T00:00:00+01:00"},
        {"action": "suppress", "reason": "r", "until": "20261201T000000Z"},
        {"action": "suppress", "reason": "r", "until": "2026-12-01T00Z"},
        {"action": "add_tags", "tags": [""]},
        {"action": "add_tags", "tags": ["a\nb"]},
        {"action": "add_tags", "tags": [f"t{number}" for number in range(101)]},
        {"action": "set_owner", "owner": ""},
        {"action": "set_status", "status": "done"},
        {"action": "replace_tags", "tags": []},
        {"status": "open"},
        {"action": "add_note", "text": "x", "at": AT},
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_changed(document: dict[str, Any]) -> None:
    before = Triage(tags=("a",))
    with pytest.raises(InputError) as refused:
        after(before, {"action": "set_owner", "owner": "bob"}, document)
    assert refused.value.code == "TRIAGE_INVALID"
    assert before == Triage(tags=("a",))


def test_an_unknown_action_is_told_with_those_that_there_are() -> None:
    with pytest.raises(InputError) as refused:
        read_change({"action": "merge"})
    assert all(one in str(refused.value.hint) for one in ACTIONS)
    assert len(ACTIONS) == 7


def test_a_change_needs_who_and_when() -> None:
    for at, by in ((AT, " "), ("now", "ann")):
        with pytest.raises(InputError) as refused:
            changed(Triage(), AddNote(text="x"), at=at, by=by)
        assert refused.value.code == "TRIAGE_INVALID"


def test_the_moment_of_a_status_moves_with_the_status_alone() -> None:
    earlier = Triage(status=Status.RESOLVED, status_at="2026-11-01T00:00:00Z")
    assert changed(earlier, SetStatus(status=Status.RESOLVED), at=AT, by="ann") == earlier
    assert changed(earlier, SetStatus(status=Status.OPEN), at=AT, by="ann").status_at == AT


@given(triage=TRIAGES, tags=st.lists(st.sampled_from(["a", "b", "plain"]), unique=True).map(tuple))
def test_tags_come_without_loss_and_go_without_rest(triage: Triage, tags: tuple[str, ...]) -> None:
    more = changed(triage, AddTags(tags=tags), at=AT, by="ann")
    assert {*more.tags} == {*triage.tags, *tags}
    assert more.tags[: len(triage.tags)] == triage.tags
    less = changed(more, RemoveTags(tags=tags), at=AT, by="ann")
    assert {*less.tags} == {*triage.tags} - {*tags}


@given(triage=TRIAGES)
def test_what_was_decided_comes_back_as_it_was(triage: Triage) -> None:
    assert msgspec.json.decode(msgspec.json.encode(triage), type=Triage) == triage


@pytest.mark.parametrize(
    ("until", "is_so"),
    [
        (None, True),
        ("2026-11-24T12:00:00.001Z", True),
        ("2026-11-24T12:00:00Z", False),
        ("2026-11-24T11:59:59Z", False),
        ("2027-01-01T00:00:00Z", True),
    ],
)
def test_a_suppression_holds_until_its_moment_and_for_good_without_one(
    until: str | None, *, is_so: bool
) -> None:
    assert is_suppressed(Triage(suppression=Suppression(reason="r", until=until)), NOW) is is_so
    assert not is_suppressed(Triage(), NOW)
    assert changed(Triage(), Suppress(reason="r", until=until), at=AT, by="ann").suppression is not None


@pytest.mark.parametrize(
    "document",
    [
        {"suppression": {"reason": "r", "until": "soon"}},
        {"suppression": {"reason": " "}},
        {"suppression": {}},
        {"tags": ["a", "a"]},
        {"notes": [{"at": AT, "by": "", "text": "x"}]},
        {"status": "fixed"},
        {"mood": "good"},
    ],
)
def test_a_decision_that_cannot_be_is_no_decision(document: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(document, Triage)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Note(at=AT, by="ann", text="x" * 10_001),
        lambda: Suppression(reason="x" * 10_001),
        lambda: Triage(notes=(Note(at=AT, by="ann", text="x"),) * 1_001),
        lambda: Triage(owner="x" * 257),
        lambda: Triage(tags=("x" * 65,)),
    ],
)
def test_everything_that_people_write_has_a_limit(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"at most|1 to"):
        make()


def test_no_malformed_suppression_is_made_by_a_program_either() -> None:
    with pytest.raises(ValueError, match="must be a time"):
        Suppression(reason="r", until="neverZ")
