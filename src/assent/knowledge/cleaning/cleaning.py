"""One text without what must not be kept: secrets and characters that nobody sees. Its lines stay what and where they were.

Theory of operation. Characters that nobody sees go first, since they would part a secret. Then automata go over the whole
text: for what is rarely there at all (`glance`), for what only secrets are spelled like, and for values whose name says so. Only
where one of them stops is more asked, by rules; nearly every text passes all without a stop. What is removed is told by its
rule, how often, and a keyed digest; never as text.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Iterable
from functools import cache
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec

from assent.knowledge.cleaning.marks import MAYBE, Mark, marks_of
from assent.knowledge.cleaning.rules import automaton, hits, rules, search_set
from assent.spec.words.legible import UNSEEN

CLEANER_VERSION: Final = 4
"""It grows when the same bytes are cleaned otherwise: what was indexed before is indexed anew then."""
SCRIPT: Final = "script-reviewed"
"""The label of a script: a text that begins with `#!`, and so is run by whoever calls it."""
HIDDEN: Final = "hidden-character"
BIDIRECTIONAL: Final = "bidirectional-control"
CONTROL: Final = "control-character"
CONTROLS: Final = "controls"
"""Characters of ASCII that nobody sees."""
MARKS: Final = "marks"
"""What may have been written for models."""
_END: Final = "end"
"""What every text has, its end: where it is not found, nothing is known."""
HIDDEN_RUN_MIN: Final = 8
"""Hidden characters side by side that may be a text of their own."""

_COLOUR: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
"""What tells a terminal how to show what follows. All of it is unseen: what is left of one would part a secret, too."""
_BIDIRECTIONAL: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Removed(msgspec.Struct, frozen=True):
    """What was removed under one rule, without the text of it."""

    rule: str
    count: int
    digest: str
    """HMAC-SHA-256 over all of it, in its order: it tells whether the same was there before, and to who has no key nothing."""


class Cleaned(msgspec.Struct, frozen=True):
    """A text as it may be kept."""

    text: bytes
    removed: tuple[Removed, ...]
    """One entry per rule that found something, by the rule's id."""
    label: Literal["", "script-reviewed"]
    marks: tuple[Mark, ...]
    """Where it was written for models."""


def clean(path: str, data: bytes, *, key: bytes = b"") -> Cleaned:
    """The text of a whole file without secrets and without hidden characters, in as many lines.

    `key` is what digests are made with; without one, whoever reads a digest can try out guesses at a short secret.
    """
    gone: dict[str, list[bytes]] = {}
    looked = glance(data)
    text, hidden_in = _seen(data, gone, looked)
    if text is not data:
        looked = glance(text)
    pieces, at = [], 0
    for hit in hits(path, text, looked):
        secret = text[hit.begin : hit.end]
        gone.setdefault(hit.rule, []).append(secret)
        first, *others = secret.splitlines(keepends=True)
        ends = b"".join(line[len(line.rstrip(b"\r\n")) :] for line in (first, *others))
        pieces += [text[at : hit.begin], b"[removed: %b]" % hit.rule.encode(), ends]
        at = hit.end
    cleaned = b"".join([*pieces, text[at:]]) if pieces else text
    # Of its path, too: whoever may have another file indexed could else try out guesses there.
    place = path.encode(errors="surrogateescape")
    removed = tuple(
        Removed(rule, len(gone[rule]), _digest([place, *gone[rule]], key)) for rule in sorted(gone)
    )
    # Where a secret was, what stood on both sides of it may now read as one.
    marks = marks_of(cleaned, hidden_in) if pieces or hidden_in or MARKS in looked else ()
    return Cleaned(cleaned, removed, SCRIPT if text.startswith(b"#!") else "", marks)


def glance(data: bytes) -> frozenset[str]:
    """`CONTROLS`, `MARKS`, and the ids of rules that stand apart, as far as the text may have something of them."""
    automaton, names = _look()
    found = frozenset(names[place] for place in automaton.Match(data) or ())
    return found if _END in found else frozenset(names)


@cache
def _look() -> tuple[Any, tuple[str, ...]]:  # `Any`: RE2's patterns have no type
    controls = "".join(f"\\x{at:02x}" for at in range(0x80) if re.match(f"[{UNSEEN}]", chr(at)))
    patterns = {
        _END: r"\z",
        CONTROLS: f"[{controls}]",
        MARKS: MAYBE,
        **{rule.id: rule.pattern if rule.apart is True else rule.apart for rule in rules() if rule.apart},
    }
    return search_set(map(str.encode, patterns.values())), tuple(patterns)


def _seen(data: bytes, gone: dict[str, list[bytes]], looked: Collection[str]) -> tuple[bytes, list[int]]:
    """The text without what nobody sees in it, and in which lines much of it stood together."""
    if b"\0" in data:
        return data, []  # It is binary, and must stay so: nobody indexes it.
    if CONTROLS not in looked and data.isascii():
        return data, []  # as nearly every text is
    try:
        if automaton(_class(), utf_8=True).search(data) is None:
            return data, []
        text = data.decode()
    except UnicodeDecodeError:
        return data, []  # It is no text either.
    pieces: list[str] = []
    lines: list[int] = []
    at, line = 0, 1
    for found in _hidden().finditer(text):
        pieces.append(text[at : found.start()])
        line += pieces[-1].count("\n")
        at = found.end()
        hidden = _COLOUR.sub("\x1b", found[0])
        if len(hidden) >= HIDDEN_RUN_MIN:
            lines.append(line)
        for one in hidden:
            kind = BIDIRECTIONAL if one in _BIDIRECTIONAL else CONTROL if ord(one) < 0xA0 else HIDDEN
            gone.setdefault(kind, []).append(one.encode())
    pieces.append(text[at:])
    return "".join(pieces).encode(), lines


@cache
def _hidden() -> re.Pattern[str]:
    return re.compile(f"(?:{_COLOUR.pattern}|[{UNSEEN}])+")


@cache
def _class() -> str:
    # Half of a pair is no UTF-8, and so it is in no pattern over it.
    return f"[{UNSEEN}]".replace("\ud800-\udfff", "")


def _digest(texts: Iterable[bytes], key: bytes) -> str:
    digest = hmac.new(key, digestmod=sha256)
    for text in texts:
        digest.update(b"%d:" % len(text))
        digest.update(text)
    return digest.hexdigest()
