"""`audit log` for people: each line names what its entry is about."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from assent.cli.record._audit_log import _log_line
from assent.cli.terminal._style import PLAIN
from assent.errors import Json
from assent.runtime.service import answers
from assent.spec.events import kinds as ev

NAMING = frozenset(
    {"key", "principal", "scopes", "name", "door", "peer", "delivery", "version", "label", "release", "code"}
)
"""Fields that say what an event is about where it is about no step."""

KINDS = sorted(
    kind
    for kind in ev.EVENT_TYPES
    if kind.partition(".")[0] in ("key", "schedule", "identity", "delivery", "capability", "release")
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_names_what_its_entry_is_about(kind: str) -> None:
    event = ev.EVENT_TYPES[kind]
    hints = get_type_hints(event, vars(ev))
    said: dict[str, Json] = {"kind": kind}
    for field in event.__struct_fields__:
        is_list = "tuple" in str(hints[field])
        said[field] = 5 if hints[field] is int else [f"<{field}>"] if is_list else f"<{field}>"
    line = answers.LogLine(
        seq=1, at_ms=0, run_id=None, stream="ledger", n=1, kind=kind, principal="user:ann", capability=None, policy=None,
        event=said, inputs_line=None,
    )  # fmt: skip
    text = _log_line(line, PLAIN)
    assert {name for name in NAMING & said.keys() if f"<{name}>" not in text} == set()
