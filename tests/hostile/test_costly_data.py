"""No query, text or answer of a stranger holds up who works on it: what it takes is counted."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from assent.capabilities.data import _query
from assent.capabilities.net._failure import HttpFailure
from assent.errors import InputError
from assent.invocation import NoEffectError
from tests.capabilities.net.conftest import client, wire
from tests.support.hands import Hands
from tests.support.web import talking


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hands]:
    made = Hands.on(tmp_path_factory.mktemp("w"))
    yield made
    made.workspace.close()


NUMBERS = [number * 7919 % 1_000_003 / 7 for number in range(100_000)]
WORDS = [f"{'w' * 30}{number}" for number in NUMBERS]
OBJECT = dict.fromkeys(WORDS, 1)
SQUARE = [[*range(300)] for _ in range(300)]


def _many(asked: str, times: int = 200) -> str:
    return f"[{', '.join([asked] * times)}]"


QUERIES: list[tuple[Any, str]] = [
    *(
        (NUMBERS, _many(f"{name}(@)"))
        for name in ("sort", "avg", "sum", "max", "min", "to_string", "reverse")
    ),
    *((WORDS, _many(f"{name}(@)")) for name in ("sort", "max", "min", "to_array")),
    *((OBJECT, _many(f"{name}(@)")) for name in ("keys", "values", "to_string", "merge", "length")),
    (NUMBERS, _many("sort_by(@, &@)[0]")),
    (NUMBERS, _many("max_by(@, &@)")),
    (NUMBERS, _many("contains(@, `-1`)")),
    (WORDS, _many("join('', @)")),
    (OBJECT, _many("length(merge(@, @, @))", 150)),
    ("01" * 2_000_000, _many("contains(@, '00')")),
    ("x" * 1_000_000, _many("reverse(@)")),
    ({"a": NUMBERS, "b": [*NUMBERS]}, _many("a == b", 400)),
    (NUMBERS, _many("[::-1] | [0]")),
    (NUMBERS, _many("[?@ > `5`] | [0]")),
    (OBJECT, _many("*.[@] | [0]")),
    (SQUARE, "map(&map(&map(&[@, @], [@, @, @]), @), @)"),
    (SQUARE, " | ".join(["[*].[@, @][]"] * 20)),
    ({"s": "x" * 1_000_000, "l": ["a"] * 100_000}, "join(s, l)"),
    (1, " | ".join(["[@, @]"] * 50)),
]


@pytest.mark.parametrize(("value", "query"), QUERIES, ids=[query[:40] for _, query in QUERIES])
def test_a_query_ends_within_its_steps(
    hands: Hands, value: Any, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_query, "STEPS_MAX", _query.STEPS_MAX // 100)  # for the time that the test takes
    with pytest.raises(NoEffectError) as refused:
        hands.read("data.json.query", value=value, query=query)
    assert refused.value.code == "QUERY_FAILED"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("length([?a > `30` && b == 'x'])", 9_969),
        ("sort_by(@, &c)[0].c", "0"),
        ("[?contains(t, `1`)] | length(@)", 10_000),
        ("max([*].a)", 9_999),
    ],
)
def test_a_query_over_a_hundred_thousand_rows_is_answered(
    hands: Hands, query: str, found: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shown by a tenth of them, with a tenth of the steps."""
    monkeypatch.setattr(_query, "STEPS_MAX", _query.STEPS_MAX // 10)
    rows = [{"a": number, "b": "x", "c": str(number), "t": [1, 2]} for number in range(10_000)]
    assert hands.read("data.json.query", value=rows, query=query)["result"] == found


MIB = 1 << 18


def _filled(start: str, part: str, end: str = "") -> str:
    """About a mebibyte of parts, `%d` being their number."""
    parts = [start]
    size = 0
    for number in range(MIB):
        one = part.replace("%d", str(number))
        size += len(one)
        if size > MIB - 200:
            break
        parts.append(one)
    return "".join(parts).rstrip(",") + end


TEXTS = {
    "json, keys": ("json", _filled("{", '"k%d":1,', "}")),
    "json, lists": ("json", _filled("[", "[],", "]")),
    "json, numbers": ("json", _filled("[", "1e5,", "]")),
    "json, deep": ("json", "[" * 500_000),
    "json, one text": ("json", json.dumps("\u00e4" * (MIB // 6))),
    "json, one number": ("json", "9" * MIB),
    "yaml, keys": ("yaml", _filled("", "k%d: 1\n")),
    "yaml, flow": ("yaml", _filled("[", "[],", "]")),
    "yaml, deep": ("yaml", "[" * 500_000),
    "yaml, aliases": ("yaml", "a: &a [1]\nb: [" + "*a," * 300_000 + "]"),
    "yaml, same key": ("yaml", "{" + "a: 1, " * 150_000 + "}"),
    "toml, keys": ("toml", _filled("", "k%d = 1\n")),
    "toml, tables": ("toml", _filled("", "[t%d]\n")),
    "toml, lists of tables": ("toml", _filled("", "[[t]]\n")),
    "toml, dotted": ("toml", ".".join(["a"] * 400_000) + " = 1"),
    "toml, one list": ("toml", _filled("a = [", "1,", "]")),
    "csv, records": ("csv", _filled("a\n", "%d\n")),
    "csv, fields": ("csv", _filled("", "k%d,")),
    "csv, quotes": ("csv", '"' * MIB),
}


@pytest.mark.parametrize(("form", "text"), TEXTS.values(), ids=TEXTS)
def test_a_mebibyte_of_text_is_read_or_refused_soon(hands: Hands, form: str, text: str) -> None:
    with suppress(NoEffectError, InputError):
        hands.read(f"data.{form}.parse", text=text)


@contextmanager
def _saying(said: bytes) -> Iterator[str]:
    def talk(connection: socket.socket, head: bytes) -> None:
        connection.sendall(said)

    with talking(talk) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.mark.parametrize(
    "status", ["100 Continue", "102 Processing", "103 Early Hints\r\nlink: </a>", "199 X"]
)
async def test_answers_before_the_answer_are_counted(status: str) -> None:
    """A few are passed over; a service that sends nothing else is left."""
    one, last = f"HTTP/1.1 {status}\r\n\r\n".encode(), b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    async with client() as http:
        with _saying(one * 50 + last) as url:
            assert (await http.send(wire(url), principal="user:ada", bytes_max=MIB)).body == b"ok"
        with _saying(one * 200_000 + last) as url, pytest.raises(HttpFailure) as failure:
            await http.send(wire(url), principal="user:ada", bytes_max=MIB)
        assert failure.value.code == "HTTP_HEADERS_TOO_LARGE"
