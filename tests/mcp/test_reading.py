"""What comes from a client has one reading, or is answered with the protocol's own error: nothing is repaired."""

from __future__ import annotations

import json

import pytest

from assent.mcp._reading import fault_in, fault_in_message

CALL = '{{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {{"name": "t", "arguments": {}}}{}}}'


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        ('{"path": "a", "path": "b"}', ""),
        ('{"path": "a", "pat\\u0068": "b"}', ""),
        ('{"in": [{"x": 1, "x": 1}]}', ""),
        ("{}", ', "method": "ping"'),
        ("{}", ', "params": {}'),
        ('{"n": NaN}', ""),
        ('{"n": -Infinity}', ""),
    ],
)
def test_what_two_programs_read_differently_is_refused_by_the_name_it_has(arguments: str, more: str) -> None:
    for fault in (fault_in, fault_in_message):
        told = json.loads(fault(CALL.format(arguments, more).encode()) or "{}")
        assert (told["id"], told["error"]["code"]) == (7, -32700)


@pytest.mark.parametrize(
    ("line", "ident", "code"),
    [
        (b"\xff", None, -32700),
        (b'{"jsonrpc": "2.0", "id": 7, "method": "ping", "params": {"x": "\xff"}}', None, -32700),
        (b"[" * 100_000, None, -32700),
        (CALL.format('{"x": "\\ud800"}', "").encode(), 7, -32600),
        (CALL.format('{"x": ' + "[" * 400 + "]" * 400 + "}", "").encode(), 7, -32600),
        (b'{"id": "a", "method": "ping"}', "a", -32600),
        (b'{"id": true, "method": "ping"}', None, -32600),
        (b"[]", None, -32600),
    ],
)
def test_a_line_that_is_no_message_is_answered(line: bytes, ident: object, code: int) -> None:
    told = json.loads(fault_in_message(line) or "{}")
    assert (told["id"], told["error"]["code"]) == (ident, code)


def test_an_honest_message_passes() -> None:
    """Also with what is refused later, where it can be told as the result of the call."""
    for arguments in (
        '{"path": "a", "Path": "b"}',
        '{"n": 1e400, "m": 12345678901234567890}',
        '{"x": "\\u00e9\\u202e"}',
    ):
        assert fault_in_message(CALL.format(arguments, "").encode()) is None
