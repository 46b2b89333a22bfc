"""`assent deliveries`: one array, or a table that says what is left to do; what changes one goes through the owner."""

from __future__ import annotations

import pytest

from assent.cli.runs._progress import event_detail
from assent.errors import Json
from assent.runtime.service.requests import DELIVERY_STATUSES
from tests.support.door import RUN, ScriptedRuntime, Terminal

ID = "msg_" + "0" * 31 + "1"


def delivery(status: str = "pending", **fields: Json) -> dict[str, Json]:
    found: dict[str, Json] = {
        "id": ID,
        "endpoint": "ops",
        "type": "invoice.paid",
        "status": status,
        "attempts": 2,
        "http_status": 503,
        "code": "HTTP_STATUS",
        "run_id": RUN,
        "step": "call",
        "undoes": None,
        "approval_id": None,
        "queued_at": "2026-11-21T16:00:00.000Z",
        "queued_at_ms": 1_795_276_800_000,
        "tried_at": None,
        "tried_at_ms": None,
        "next_at": "2026-11-21T17:00:00.000Z" if status == "pending" else None,
        "next_at_ms": None,
        "ended_at": None if status == "pending" else "2026-11-21T17:00:00.000Z",
        "ended_at_ms": None,
        "by": None,
    }
    return found | fields


def test_the_list_is_one_array_also_when_it_is_empty(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    assert terminal("deliveries", "--json").json == []
    assert "no deliveries" in terminal("deliveries").err
    runtime.sent = [delivery(), delivery("delivered"), delivery("failed")]
    answer = terminal("deliveries", "--json")
    assert (answer.code, answer.json) == (0, [*runtime.sent])
    assert terminal("deliveries", "--json", "--status", "failed").json == [delivery("failed")]
    assert terminal("deliveries", "--json", "--limit", "1").json == [delivery("failed")]
    assert terminal("deliveries", "--limit", "0").code == 2


def test_people_see_what_is_left_to_do(terminal: Terminal, runtime: ScriptedRuntime) -> None:
    runtime.sent = [delivery(), delivery("failed", http_status=None, code="HTTP_CONNECT_FAILED")]
    head, first, second = terminal("deliveries").out.splitlines()
    assert head.split()[:4] == ["delivery", "status", "endpoint", "type"]
    assert ID in first
    assert "HTTP 503" in first
    assert "HTTP_CONNECT_FAILED" in second
    assert RUN in second


@pytest.mark.parametrize("word", ["retry", "cancel"])
def test_a_change_is_asked_of_the_owner(terminal: Terminal, runtime: ScriptedRuntime, word: str) -> None:
    runtime.answers[f"{word}_delivery"] = delivery()
    answer = terminal("deliveries", word, ID, "--json")
    assert (answer.code, answer.json) == (0, delivery())
    assert runtime.requests[-1]["delivery"] == ID
    plain = terminal("deliveries", word, ID).out.strip()
    assert plain == f"{ID}: pending, 2 attempts, HTTP 503, next at 2026-11-21T17:00:00.000Z"
    runtime.answers[f"{word}_delivery"] = delivery("cancelled", attempts=1, http_status=None, code=None)
    assert terminal("deliveries", word, ID).out.strip() == f"{ID}: cancelled, 1 attempt"


def test_the_help_names_every_status(terminal: Terminal) -> None:
    answer = terminal("deliveries", "--help")
    assert all(status in answer.out for status in DELIVERY_STATUSES)
    assert "retry" in answer.out
    assert "cancel" in answer.out


def test_a_line_of_the_log_says_which_delivery_and_how_it_ended() -> None:
    event: dict[str, Json] = {"kind": "delivery.ended", "delivery": ID, "outcome": "failed", "code": "X"}
    assert event_detail(event).split() == [ID, "failed", "X"]
    tried: dict[str, Json] = {"kind": "delivery.attempted", "secret": "hooks/ops", "outcome": "fetched"}
    assert event_detail(tried).split() == ["hooks/ops", "fetched"]
