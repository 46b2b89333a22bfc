"""The rules by which secrets are found (`rules.toml`), and one automaton for all of them."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

import msgspec

from assent.knowledge.cleaning._checks import CHECKS, Found, Kind
from assent.spec.values.typed import convert

CANDIDATES_MAX: Final = 20_000
"""Texts of one file that look like a secret and are none, a long one as many. What looks so after that many is removed unseen:
looking takes time."""
CANDIDATE_BYTES: Final = 1024
"""Of a longer text that looks like a secret, so many count as one."""
AHEAD_BYTES: Final = 8 << 10
"""How far is looked for the next secret behind one, first. A rule that waits for its end looks at all that follows, else."""
END_BYTES: Final = 2 << 10
"""What is seen behind a secret before its end is believed: no rule reads on further in what ends a secret."""
VALUE_BYTES_MAX: Final = 1024
"""Bytes of an assigned value that are looked at."""
_LINE_BYTES: Final = 200
"""Of a name's line, so many bytes before it are looked at."""
_MEMORY_BYTES: Final = 64 << 20
_DROPPED: Final = "¦"
_BOUNDARY: Final = r"\b"
_ESCAPE: Final = r"\e"
# Its last letter or digit is no part of the word behind it.
_ESCAPES: Final = r"(?:\\(?:[nrtbfv0]|u00[0-9A-Fa-f]{2}|x[0-9A-Fa-f]{2})|%[0-9A-Fa-f]{2}|=3D)"

# What stands between a name and its value: an annotation, an operator, a bracket, a tag's end, an attribute, a space.
_BETWEEN: Final = (
    r"[A-Za-z0-9_.-]{0,40}[\\\"'`\[\]]{0,6}"
    r"(?:\s{0,8}:\s{0,4}[A-Za-z&*][A-Za-z0-9_&'\[\]<>., |?*]{0,40}=\s{0,8}"
    r"|\s{0,20}(?::=|=>|={1,3}|!==?|\?=|\+=|<-|:|,)\s{0,20}|\s{0,4}\(\s{0,8}|>\s{0,8}"
    r"|\s{1,8}(?:value|content|default(?:Value)?)\s?=\s?|[ \t]{1,4})"
)
_QUOTE: Final = r"(?:[bBfFrRuUL@$]{0,2}\\{0,3}(?:\"\"\"|'''|[\"'`]))"
_BARE: Final = r"[^\s\"'`<>\\(){}\[\],;:=]"
_NAME: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
_NAME_AFTER: Final = re.compile(rb"[A-Za-z0-9_.-]{1,64}")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
# What a name must follow on its line where only a space stands between it and its value.
_COMMAND: Final = re.compile(
    rb"(?:^|\s)(?:ENV|ARG|setenv|set|\#\s*define|-D|--?|requirepass|IDENTIFIED)\s*[A-Za-z0-9_.-]*\Z"
)
_ENDS: Final = {quote: re.compile(rb"(?:[^%b\\\r\n]|\\[^\r\n])*" % bytes([quote])) for quote in b"\"'`"}
_ENDS_ESCAPED: Final = re.compile(rb"(?:[^\"'`\\\r\n]|\\[^\"'`\\\r\n])*")
_ENDS_BARE: Final = re.compile(rb"[^\s<>]*")
_CLOSING: Final = b"\"'`,;)]}"


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One kind of secret (`rules.toml` says what each field means)."""

    id: str
    pattern: str
    keywords: tuple[str, ...]
    needs: tuple[str, ...] = ()
    apart: str | bool = False
    check: str | None = None
    entropy: float = 0
    assigned: bool = False
    yes: tuple[str, ...]
    no: tuple[str, ...]


class _Sorts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    code: frozenset[str]
    prose: frozenset[str]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    about: tuple[str, ...]
    sort: _Sorts
    rule: tuple[Rule, ...]


class Hit(msgspec.Struct, frozen=True, order=True):
    """A secret: bytes `begin` up to `end`."""

    begin: int
    end: int
    rule: str


@cache
def _file() -> _File:
    text = files("assent.knowledge.cleaning").joinpath("rules.toml").read_text("utf-8")
    said = tomllib.loads(text)
    for one in said["rule"]:
        one["pattern"] = _behind_escapes(one["pattern"])
    return convert(said, _File)


def _behind_escapes(pattern: str) -> str:
    """The pattern, which finds what it does behind an escape as well, and removes no more than that."""
    rest = pattern.removeprefix(_BOUNDARY)
    if rest != pattern:
        pattern = f"(?:\\b|{_ESCAPE})" + (rest if automaton(rest, groups=True).groups else f"({rest})")
    return pattern.replace(_ESCAPE, _ESCAPES)


def rules() -> tuple[Rule, ...]:
    """Every rule, in its order."""
    return _file().rule


def vector(text: str) -> bytes:
    """A test vector as it is meant."""
    return text.replace(_DROPPED, "").encode()


def kind_of(path: str) -> Kind:
    """What sort of file it is, by its ending; a name without one says nothing, and so it is data."""
    name = path.rpartition("/")[2].lower()
    ending = name.rpartition(".")[2] if "." in name else ""
    return (
        Kind.CODE
        if ending in _file().sort.code
        else Kind.PROSE
        if ending in _file().sort.prose
        else Kind.DATA
    )


@cache
def automaton(
    pattern: str, *, groups: bool = False, utf_8: bool = False
) -> Any:  # `Any`: RE2's patterns have no type
    """A pattern over bytes, in linear time."""
    import re2

    return re2.compile(pattern.encode(), _options(groups=groups, utf_8=utf_8))


def _options(*, groups: bool = False, utf_8: bool = False) -> Any:  # `Any`: as above
    import re2

    options = re2.Options()
    if not utf_8:
        options.encoding = re2.Options.Encoding.LATIN1  # bytes are bytes
    options.max_mem = _MEMORY_BYTES
    options.log_errors = False
    options.never_capture = not groups
    return options


class _Lane(NamedTuple):
    """Rules that are looked for at once."""

    rules: tuple[Rule, ...]
    automaton: Any  # `Any`: as above
    keywords: Any  # `Any`: as above
    """Which rules, by their place, have a keyword in a text in small letters."""


def search_set(patterns: Iterable[bytes]) -> Any:  # `Any`: as above
    """Which of some patterns, by their place, a text has something of. Its `Match` gives None for none."""
    import re2

    found = re2.Set.SearchSet(_options())
    for pattern in patterns:
        found.Add(pattern)
    found.Compile()
    return found


def _lane(rules: Sequence[Rule]) -> _Lane:
    import re2

    # Anchored, so that it need not look backwards for where a match began: all rules at once, read backwards, are slow.
    every = automaton(f"(?s:.*?)(?:{'|'.join(f'(?:{rule.pattern})' for rule in rules)})")
    keywords = search_set(b"|".join(re2.escape(word.encode()) for word in rule.keywords) for rule in rules)
    return _Lane(tuple(rules), every, keywords)


@cache
def _together() -> _Lane:
    return _lane([rule for rule in rules() if not rule.assigned and not rule.apart])


@cache
def _apart() -> tuple[str, ...]:
    return tuple(rule.id for rule in rules() if rule.apart)


@cache
def _alone(rule: str) -> _Lane:
    return _lane([one for one in rules() if one.id == rule])


@cache
def _assigned() -> tuple[Rule, ...]:
    return tuple(rule for rule in rules() if rule.assigned)


@cache
def _named(*, is_code: bool) -> Any:  # `Any`: as above
    names = "|".join(rule.pattern for rule in _assigned())
    begins = _QUOTE if is_code else f"(?:{_QUOTE}|{_BARE})"
    return automaton(f"(?:{names}){_BETWEEN}{begins}")


# Names come again and again, as a file's keys do.
@lru_cache(maxsize=4_096)
def _is_about(name: bytes) -> bool:
    """A name says something of a secret, as its length, and is not that of one."""
    return _HUMP.sub("_", name.decode()).lower().endswith(_file().about)


@lru_cache(maxsize=4_096)
def _rule_of(before: bytes, name: bytes) -> Rule:
    """Which assigned rule a name is of; `before` is what stands in front of it."""
    begin = len(before)
    return next(one for one in _assigned() if automaton(one.pattern).match(before + name, begin) is not None)


def hits(path: str, data: bytes, seen: Collection[str] | None = None) -> list[Hit]:
    """Every secret in a text, in order; none overlaps another. `seen` is what `glance` says of it, which spares looks."""
    kind = kind_of(path)
    look = _Looking(data, kind)
    found = [*look.spelled(seen), *look.assigned()]
    # The first rule names what several find; what a later one sees more of the same goes too.
    merged: list[Hit] = []
    for hit in sorted(found, key=lambda one: (one.begin, -one.end)):
        if merged and hit.begin < merged[-1].end:
            last = merged[-1]
            rank = min((last, hit), key=lambda one: _order()[one.rule])
            merged[-1] = Hit(last.begin, max(last.end, hit.end), rank.rule)
        else:
            merged.append(hit)
    return merged


@cache
def _order() -> dict[str, int]:
    return {rule.id: at for at, rule in enumerate(rules())}


class _Looking:
    """One look through a text."""

    def __init__(self, data: bytes, kind: Kind) -> None:
        self._data = data
        self._kind = kind
        self._candidates = 0
        self._lower: bytes | None = None

    def spelled(self, seen: Collection[str] | None) -> Iterator[Hit]:
        """What is spelled as only secrets are."""
        yield from self._in_lane(_together())
        for rule in _apart():
            if seen is None or rule in seen:
                yield from self._in_lane(_alone(rule))

    def _in_lane(self, lane: _Lane) -> Iterator[Hit]:
        at, size = 0, len(self._data)
        ahead = size
        while True:
            until = min(at + ahead, size)
            seen = lane.automaton.match(self._data, at, until)
            if until < size and (seen is None or seen.end() + END_BYTES > until):
                ahead *= 8
                continue
            if seen is None:
                return
            # Which rule it was, and where it began: the automaton tells the end alone.
            end, ahead = seen.end(), AHEAD_BYTES
            # RE2 gives None for none of them. Then all rules are asked: a text must not be left unread for a rule's mistake.
            asked = lane.keywords.Match(self._data[at:end].lower()) or range(len(lane.rules))
            begins = [
                (found.start(), rule)
                for place in sorted(asked)
                for rule in [lane.rules[place]]
                if (found := automaton(rule.pattern).search(self._data, at, end + 1)) is not None
            ]
            at = min((begin for begin, _ in begins), default=end - 1) + 1
            for begin, rule in begins:
                hit = self._hit(rule, begin) if begin < at and self._has_needs(rule) else None
                if hit is not None:
                    yield hit
                    at = hit.end
                    break

    def _hit(self, rule: Rule, begin: int) -> Hit | None:
        found = automaton(rule.pattern, groups=True).match(self._data, begin)
        assert found is not None  # INVARIANT: it was found there, and RE2 saw what stands behind the end
        group = next((one for one in range(1, len(found.groups()) + 1) if found.span(one)[0] >= 0), 0)
        begin, end = found.span(group)
        if self._is_one(rule, self._data[begin:end]):
            return Hit(begin, end, rule.id)
        self._candidates += len(found[0]) // CANDIDATE_BYTES
        return None

    def _has_needs(self, rule: Rule) -> bool:
        if not rule.needs:
            return True
        if self._lower is None:
            self._lower = self._data.lower()
        return any(need.encode() in self._lower for need in rule.needs)

    def _is_one(self, rule: Rule, value: bytes) -> bool:
        if rule.check is None or self._candidates >= CANDIDATES_MAX:
            return True
        if CHECKS[rule.check](Found(value, self._kind, rule.entropy)):
            return True
        self._candidates += 1
        return False

    def assigned(self) -> Iterator[Hit]:
        """What a name says of its value."""
        at, every = 0, _named(is_code=self._kind is Kind.CODE)
        while (seen := every.search(self._data, at)) is not None:
            begin, at = seen.span()
            value_begin, value_end = self._value(at)
            hit = self._assigned_hit(begin, value_begin, value_end)
            if hit is not None:
                yield hit
                at = hit.end

    def _value(self, at: int) -> tuple[int, int]:
        """Where the value is that begins with a quote before `at`, or is not quoted."""
        data, last = self._data, self._data[at - 1]
        if last not in _ENDS:
            end = _end(_ENDS_BARE, data, at - 1, at - 1 + VALUE_BYTES_MAX)
            while end > at and data[end - 1] in _CLOSING:
                end -= 1
            return at - 1, end
        return at, _end(_ENDS_ESCAPED if data[at - 2] == 0x5C else _ENDS[last], data, at)

    def _assigned_hit(self, name_begin: int, begin: int, end: int) -> Hit | None:
        data = self._data
        first = max(name_begin - _LINE_BYTES, 0)
        line = data.rfind(b"\n", first, name_begin) + 1 or first
        before = data[max(line, name_begin - 64) : name_begin]
        after = _NAME_AFTER.match(data, name_begin)
        assert after is not None  # INVARIANT: every name of an assigned rule is made of these
        if _is_about(before[len(before.rstrip(_NAME)) :] + after[0]):
            return None
        between = data[after.end() : begin].rstrip(b"\"'`\\bBfFrRuUL@$")
        if not between.strip() and not _COMMAND.search(data[line:name_begin]):
            return None
        if data[begin - 1] not in _ENDS and between.rstrip().endswith((b"(", b",")):
            return None  # an expression
        rule = _rule_of(data[max(name_begin - 1, 0) : name_begin], after[0])
        value = data[begin : min(end, begin + VALUE_BYTES_MAX)]
        if not value or not self._is_one(rule, value):
            return None
        if end - begin == VALUE_BYTES_MAX:
            end = _end(_ENDS_BARE, data, end)  # only so much of what is not quoted was looked at
        return Hit(begin, end, rule.id)


def _end(pattern: re.Pattern[bytes], data: bytes, at: int, until: int = sys.maxsize) -> int:
    found = pattern.match(data, at, until)
    assert found is not None  # INVARIANT: each of them takes nothing too
    return found.end()
