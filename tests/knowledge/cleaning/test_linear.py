"""Four times the text is four times the work, whatever looks like a secret in it: calls, and bytes they may look at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from assent.knowledge.cleaning import rules as looked
from assent.knowledge.cleaning.rules import hits, rules

SIZE = 2 << 10
KEY = b"AKIAQ2W3E4R5T6Y7U2I3"
NOT_BASE64 = b"LS0tLS1CRUdJTiBD"
"""What begins as a private key in Base64 does, and is none: all that follows is looked at to tell."""


class Work:
    def __init__(self) -> None:
        self.calls = self.bytes = 0

    def add(self, begin: int, end: int) -> None:
        self.calls += 1
        self.bytes += max(end - begin, 0)


class CountedText(bytes):
    """A text that counts what is looked at backwards."""

    work: Work

    def rfind(self, sub: Any, start: Any = 0, end: Any = None) -> int:
        found = super().rfind(sub, start, end)
        self.work.add(max(found, start), len(self) if end is None else end)
        return found


class Counted:
    """A pattern that counts what each call may look at: up to where it found something, or all that it was given."""

    def __init__(self, pattern: Any, work: Work) -> None:
        self._pattern, self._work = pattern, work

    def search(self, data: bytes, at: int = 0, until: int | None = None) -> Any:
        return self._told(self._pattern.search(data, at, until), data, at, until)

    def match(self, data: bytes, at: int = 0, until: int | None = None) -> Any:
        return self._told(self._pattern.match(data, at, until), data, at, until)

    def finditer(self, data: bytes) -> Any:
        self._work.add(0, len(data))
        return self._pattern.finditer(data)

    def _told(self, found: Any, data: bytes, at: int, until: int | None) -> Any:
        # A pattern that was given an end may have looked as far, also where it found something before.
        seen = until if until is not None else found.end() if found is not None else len(data)
        self._work.add(at, min(seen, len(data)))
        return found


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    counted, plain, end = Work(), looked.automaton, looked._end
    made: dict[Any, Counted] = {}

    def automaton(pattern: str, **options: bool) -> Counted:
        key = (pattern, *options.items())
        if key not in made:
            made[key] = Counted(plain(pattern, **options), counted)
        return made[key]

    def ended(pattern: Any, data: bytes, at: int, *until: int) -> int:
        found = end(pattern, data, at, *until)
        counted.add(at, found)
        return found

    rules()  # they are made by patterns that nobody counts, and once: it may be that nobody asked for them yet
    caches = (looked._together, looked._alone, looked._named)
    monkeypatch.setattr(looked, "automaton", automaton)
    monkeypatch.setattr(looked, "_end", ended)
    # All is smaller, so that a text of some KiB shows what one of megabytes would.
    for name, small in (
        ("CANDIDATES_MAX", 400),
        ("CANDIDATE_BYTES", 64),
        ("VALUE_BYTES_MAX", 64),
        ("AHEAD_BYTES", 512),
        ("END_BYTES", 128),
    ):
        monkeypatch.setattr(looked, name, small)
    for one in caches:
        one.cache_clear()
    yield counted
    for one in caches:
        one.cache_clear()


def texts() -> dict[str, bytes]:
    found = {f"keyword {word}": word.encode() for rule in rules() for word in rule.keywords}
    found |= {f"keyword {word.upper()}": word.upper().encode() for rule in rules() for word in rule.keywords}
    return found | {
        "password": b"password = ",
        "one long name": b"password=",
        "opened": b"password=\"token='secret=`",
        "not a key": NOT_BASE64,
        "waits for an end": b"eyJ" + KEY,
    }


def test_four_times_the_text_is_four_times_the_work(work: Work) -> None:
    slow = {}
    for name, text in texts().items():
        took = []
        for size in (SIZE, 4 * SIZE):
            data = CountedText((text * (size // len(text) + 1))[:size])
            data.work = work
            work.calls = work.bytes = 0
            hits("a.env", data)
            took.append((work.calls, work.bytes))
        (calls, seen), (calls_more, seen_more) = took
        # Four times, and what the first of each kind takes.
        if calls_more > 5 * calls + 100 or seen_more > 5 * seen + (128 << 10):
            slow[name] = took
    assert not slow
