"""YAML as text: written anew, or changed where it stands, so that comments, order, quotes and all other lines stay as they are.

A change is found by comparing the data with what was read, and becomes edits of the text at the places of its nodes. What comes
out is read again: when that is not exactly the data, the whole is written anew, with its comments at the head.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count, pairwise
from operator import itemgetter
from typing import Any, Final

from assent.errors import InputError, Json
from assent.spec.documents.document import Document, Node, load_yaml, plain_scalar

UNPLACED: Final = "# Written anew, because its layout could not be kept. These comments stood in it:"
"""Heads the comments of a text that could not be changed in its place."""
_BREAK: Final = re.compile(r"\r?\n")
_REST: Final = re.compile(r"[ \t]*(?:#[^\r\n]*)?(?=\r?\n|\Z)")
_DASH: Final = re.compile(r"^ *-(?=\s|\Z)", re.MULTILINE)
_COMMENT: Final = re.compile(r"(?:^|(?<=\s))#[^\r\n]*", re.MULTILINE)
# Atomic: a long gap without a comma is looked at once.
_COMMA: Final = re.compile(r"(?>\s+|#[^\r\n]*)*+,")
_ANCHOR: Final = re.compile(r"&([\w-]+)")
_ROUNDS_MAX: Final = 4


def write_yaml(value: Json, *, sort_keys: bool = False) -> str:
    """Block style; every text that could be read as something else is quoted."""
    return _written(value, sort_keys=sort_keys)


def _written(
    value: Json,
    *,
    sort_keys: bool = False,
    flow: bool = False,
    lists_indented: bool = False,
    quote: str | None = None,
    many_lines: str | None = None,
) -> str:
    """`quote` and `many_lines` are the styles of texts that could do without, and of those of several lines."""
    import yaml

    return str(
        yaml.dump(
            value,
            Dumper=_dumper(quote, many_lines, lists_indented=lists_indented),
            sort_keys=sort_keys,
            allow_unicode=True,
            default_flow_style=flow,
            width=float("inf") if flow or many_lines else 10_000,
        )
    )


@lru_cache
def _dumper(
    quote: str | None, many_lines: str | None, *, lists_indented: bool
) -> Any:  # `Any`: a class of PyYAML
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes what our reader, which follows YAML 1.2, reads back as it was."""

        def ignore_aliases(self, data: Any) -> bool:  # `Any`: as the base class has it
            del data
            return True

        # As the base class has it.
        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002
            super().increase_indent(flow, indentless and not lists_indented)

    def text(dumper: Any, data: str) -> Any:  # `Any`: PyYAML's nodes
        style = quote
        if any(char in data for char in "\x85\u2028\u2029"):
            style = '"'
        elif "\n" in data and many_lines is not None:
            style = many_lines
        elif style is None:
            try:
                style = None if isinstance(plain_scalar(data), str) else "'"
            except ValueError:
                style = "'"
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    Dumper.add_representer(str, text)
    return Dumper


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value stands: the column of the keys or dashes of what holds it, and the end of its own (None at the root)."""

    indent: int
    lead: int | None
    in_flow: bool


class Layout:
    """How a document is written, taken before its data is changed.

    Lists and objects of its data that are still there afterwards, as the same objects, are known again wherever they stand in
    their list; everything else is known by what it is equal to, and then by its place.
    """

    def __init__(self, text: str, document: Document) -> None:
        self._mark = "\ufeff" if text.startswith("\ufeff") else ""
        self._text = document.text
        self._root = document.root
        # Looked up, because one line may hold a hundred thousand entries.
        self._breaks = [found.span() for found in _BREAK.finditer(self._text)]
        self._break = "\r\n" if "\r\n" in self._text else "\n"
        # The originals are kept, so that nothing new gets the identity of one that is gone.
        self._known: dict[int, tuple[Json, Json]] = {}
        self._before = self._snapshot(document.data)
        self._lists_indented = self._root is not None and _indents_lists(self._root)
        self._expanded: set[str] = set()
        self._touched: set[str] = set()
        self._edits: list[tuple[int, int, str]] = []

    def rewritten(self, after: Json) -> str:
        """The text that holds `after`."""
        if _is_same(self._before, after):
            return self._mark + self._text
        for left in reversed(range(_ROUNDS_MAX)):
            self._edits, self._touched = [], set()
            self._change_root(after)
            # What stands for a part that changes, and does not change with it, is written out.
            if self._touched <= self._expanded:
                text = self._edited()
                if text is not None and self._holds(text, after):
                    return self._mark + text
                break
            self._expanded |= self._touched if left > 1 else set(_ANCHOR.findall(self._text))
        comments = list(self._comments())
        head = [UNPLACED, *comments] if comments else []
        return "".join(f"{line}{self._break}" for line in head) + write_yaml(after)

    def _snapshot(self, value: Json) -> Json:
        if not isinstance(value, dict | list):
            return value
        kept: Json
        if isinstance(value, dict):
            kept = {key: self._snapshot(item) for key, item in value.items()}
        else:
            kept = [self._snapshot(item) for item in value]
        self._known[id(value)] = (value, kept)
        return kept

    def _holds(self, text: str, after: Json) -> bool:
        try:
            return _is_same(load_yaml(text, source="text").data, after)
        except InputError:
            return False

    def _edited(self) -> str | None:
        """The text with every edit, in the order of their places; None when two touch the same."""
        parts: list[str] = []
        at = 0
        for start, end, new in sorted(self._edits, key=lambda edit: edit[:2]):
            if start < at:
                return None
            parts += [self._text[at:start], new]
            at = end
        return "".join([*parts, self._text[at:]])

    def _comments(self) -> Iterator[str]:
        """Every comment: what begins with `#` between the texts of keys and values."""
        at = 0
        for start, end, style in [*sorted(_leaves(self._root)), (len(self._text), 0, "")]:
            gap_end = self._line_end(start) if style in ("|", ">") else start
            yield from (found[0] for found in _COMMENT.finditer(self._text, at, max(at, gap_end)))
            at = max(at, end)

    # What changes

    def _change_root(self, after: Json) -> None:
        if self._root is None:
            end = len(self._text)
            gap = "" if not self._text or self._text.endswith("\n") else self._break
            self._edit(end, end, gap + self._lines(after, 0) + self._break)
        else:
            self._change(self._root, self._before, after, _Place(-2, None, in_flow=False))

    def _change(self, node: Node, old: Json, new: Json, place: _Place) -> None:
        if not self._expanded and _is_same(old, new):
            return
        if node.is_alias:
            if node.name in self._expanded or not _is_same(old, new):
                self._replace(node, new, place)
            return
        edits = len(self._edits)
        in_flow = place.in_flow or node.style == "["
        if isinstance(old, dict) and isinstance(new, dict) and old.keys() & new.keys():
            self._change_mapping(node, old, new, in_flow=in_flow)
        elif isinstance(old, list) and isinstance(new, list) and old and new:
            self._change_list(node, old, new, in_flow=in_flow)
        elif not _is_same(old, new):
            self._replace(node, new, place)
        if node.name is not None and len(self._edits) > edits:
            self._touched.add(node.name)

    def _change_mapping(
        self, node: Node, old: dict[str, Json], new: dict[str, Json], *, in_flow: bool
    ) -> None:
        place = _Place(next(iter(node.keys.values())).column, None, in_flow=in_flow)
        for key, item in old.items():
            if key in new:
                # The colon of a key whose value follows; what is written otherwise is found out by reading it again.
                lead = self._text.find(":", node.keys[key].end) + 1
                self._change(node.children[key], item, new[key], replace(place, lead=lead))
        spans = [
            (node.keys[key].start, max(node.keys[key].end, self._end(node.children[key]))) for key in old
        ]
        kept = [key in new for key in old]
        self._remove(spans, kept, in_flow=in_flow)
        last = max(index for index, is_kept in enumerate(kept) if is_kept)
        added: Json = {key: item for key, item in new.items() if key not in old}
        self._insert(spans, (last, last + 1), added, place)

    def _change_list(self, node: Node, old: list[Json], new: list[Json], *, in_flow: bool) -> None:
        children = [node.children[index] for index in range(len(old))]
        ends = [self._end(child) for child in children]
        starts = [child.start for child in children] if in_flow else self._dashes(node, ends)
        spans = [*zip(starts, ends, strict=True)]
        place = _Place(starts[0] - self._line_start(starts[0]), None, in_flow=in_flow)
        pairs = self._pairs(old, new)
        for before, after in pairs:
            lead = starts[before] + 1
            self._change(children[before], old[before], new[after], replace(place, lead=lead))
        stays = {before for before, _ in pairs}
        self._remove(spans, [index in stays for index in range(len(old))], in_flow=in_flow)
        for (last, low), (first, high) in pairwise([(-1, -1), *pairs, (len(old), len(new))]):
            self._insert(spans, (last, first), new[low + 1 : high], place)

    def _pairs(self, old: list[Json], new: list[Json]) -> list[tuple[int, int]]:
        """Which entry became which, by index, in order: the same object, else the equal one, else what stands between those."""
        origins = [self._known.get(id(item), (None, item))[1] for item in new]
        lasting = {id(one) for one in origins if isinstance(one, dict | list)} & {id(one) for one in old}

        def named(items: list[Json]) -> list[tuple[str, int]]:
            """Each with how often the same came before."""
            seen: Counter[str] = Counter()
            names: list[tuple[str, int]] = []
            for item, origin in zip(items, items if items is old else origins, strict=True):
                name = f"={id(origin)}" if id(origin) in lasting else json.dumps(item, sort_keys=True)
                names.append((name, seen[name]))
                seen[name] += 1
            return names

        places = {name: index for index, name in enumerate(named(old))}
        matched = _rising([(places[name], index) for index, name in enumerate(named(new)) if name in places])
        pairs: list[tuple[int, int]] = []
        for one, other in pairwise([(-1, -1), *matched, (len(old), len(new))]):
            pairs += zip(range(one[0] + 1, other[0]), range(one[1] + 1, other[1]), strict=False)
            pairs.append(other)
        return pairs[:-1]

    # How the text changes

    def _edit(self, start: int, end: int, new: str) -> None:
        self._edits.append((start, end, new))
        self._touched |= set(_ANCHOR.findall(self._text, start, end))

    def _replace(self, node: Node, new: Json, place: _Place) -> None:
        text, start, end, lead = self._text, node.start, self._end(node), place.lead
        is_block = bool(node.children) and node.style != "[" and not node.is_alias
        if place.in_flow or not (isinstance(new, dict | list) and new):
            shown = self._inline(
                new,
                max(place.indent, 0),
                quote=node.style if node.style in ("'", '"') else None,
                many_lines=node.style if node.style in ("|", ">") and not place.in_flow else '"',
            )
            if is_block and lead is not None:
                self._edit(lead, self._line_end(end), f" {shown}{self._comment_of(node, lead)}")
            else:
                is_apart = not start or text[start - 1].isspace() or place.in_flow
                self._edit(start, end, shown if is_apart else f" {shown}")
            return
        line_end = self._line_end(end)
        if lead is None:
            comment = "" if is_block else text[end:line_end].strip()
            lines = self._lines(new, node.column).lstrip(" ")
            self._edit(start, line_end, f"{comment}{self._break}{lines}" if comment else lines)
            return
        comment = (
            self._comment_of(node, lead)
            if is_block
            else text[lead:start].rstrip() + text[end:line_end].rstrip()
        )
        in_list = text[lead - 1] == "-"
        step = 0 if isinstance(new, list) and not in_list and not self._lists_indented else 2
        lines = self._lines(new, place.indent + step)
        body = f" {lines.lstrip(' ')}" if in_list and not comment else f"{self._break}{lines}"
        self._edit(lead, line_end, comment + body)

    def _comment_of(self, node: Node, lead: int) -> str:
        """The comment behind the key or dash of a collection in block style, with the blanks before it."""
        line_end = self._line_end(lead)
        found = _COMMENT.search(self._text, lead, line_end) if node.start > line_end or node.name else None
        return f"  {found[0]}" if found else ""

    def _remove(self, spans: list[tuple[int, int]], kept: list[bool], *, in_flow: bool) -> None:
        for first, after in _runs(kept):
            start, end = spans[first][0], spans[after - 1][1]
            following = spans[after][0] if after < len(spans) else None
            if in_flow:
                self._remove_in_flow(start, end, spans[first - 1][1] if first else None, following)
                continue
            line, line_end = self._line_start(start), self._line_end(end)
            if not self._text[line:start].strip():
                self._edit(self._above(start), self._next_line(line_end), "")
            elif following is not None and "#" not in self._text[line_end:following]:
                self._edit(start, following, "")
            else:
                while self._text[start - 1] == " ":
                    start -= 1
                self._edit(start, line_end, "")

    def _remove_in_flow(self, start: int, end: int, before: int | None, after: int | None) -> None:
        text = self._text
        comma = _COMMA.match(text, end)
        if comma is not None:
            end = comma.end()
            line_end = self._line_end(end)
            if after is not None and line_end > after:
                end = after
            elif not text[self._line_start(start) : start].strip():
                start, end = self._line_start(start), self._next_line(line_end)
        elif before is not None:
            comma = _COMMA.match(text, before)
            assert comma is not None, "between two entries in brackets stands a comma"
            if "#" in text[comma.end() : start]:
                self._edit(comma.end() - 1, comma.end(), "")
            else:
                start = comma.end() - 1
        self._edit(start, end, "")

    def _insert(
        self, spans: list[tuple[int, int]], between: tuple[int, int], added: Json, place: _Place
    ) -> None:
        """Put what is `added` to a collection between two of its entries; -1 and their number are its ends."""
        if not added:
            return
        text, (last, first) = self._text, between
        if place.in_flow:
            self._insert_in_flow(spans, last, self._inline(added, 0, many_lines='"')[1:-1])
            return
        lines = self._lines(added, place.indent)
        if last >= 0:
            at = self._next_line(self._line_end(spans[last][1]))
            is_open = at == len(text) and not text.endswith("\n")
            self._edit(at, at, f"{self._break}{lines}" if is_open else f"{lines}{self._break}")
            return
        start = spans[first][0]
        if text[self._line_start(start) : start].strip():
            self._edit(start, start, f"{lines.lstrip(' ')}{self._break}{' ' * place.indent}")
        else:
            at = self._above(start)
            self._edit(at, at, f"{lines}{self._break}")

    def _insert_in_flow(self, spans: list[tuple[int, int]], last: int, shown: str) -> None:
        start, end = spans[max(last, 0)]
        if last < 0:
            self._edit(start, start, f"{shown}, ")
            return
        own = self._text[self._line_start(start) : start]
        comma = _COMMA.match(self._text, end)
        rest = _REST.match(self._text, comma.end() if comma else end)
        if last + 1 == len(spans) and not own.strip() and rest:
            # Entries with a line each: the new one gets its own, behind the comment of the one before.
            if comma is None:
                self._edit(end, end, ",")
            self._edit(rest.end(), rest.end(), f"{self._break}{own}{shown}{',' if comma else ''}")
        else:
            self._edit(end, end, f", {shown}")

    # What is written

    def _lines(self, value: Json, indent: int) -> str:
        """Lines in block style, without the last break."""
        shown = _written(value, lists_indented=self._lists_indented, many_lines="|")
        return self._broken(shown.removesuffix("\n").removesuffix("\n..."), indent, first=" " * indent)

    def _inline(self, value: Json, indent: int, *, quote: str | None = None, many_lines: str) -> str:
        """What stands behind a key: on its line, but for a text in block style."""
        if isinstance(value, dict | list):
            return _written(value, flow=True, many_lines='"').removesuffix("\n")
        if not isinstance(value, str):
            return json.dumps(value)
        shown = _written({"k": value}, quote=quote, many_lines=many_lines)
        return self._broken(shown[shown.index(":") + 1 :].strip("\n").removeprefix(" "), indent)

    def _broken(self, shown: str, indent: int, *, first: str = "") -> str:
        head, *rest = shown.split("\n")
        return self._break.join([first + head, *(f"{' ' * indent}{line}" if line else "" for line in rest)])

    # Where things stand

    def _end(self, node: Node) -> int:
        """Where a value's own text ends, before breaks and comments that follow."""
        while node.children and node.style != "[" and not node.is_alias:
            node = next(reversed(node.children.values()))
        if node.style not in ("|", ">"):
            return node.end
        written = self._text[node.start : node.end]
        if "+" in written.split("\n", 1)[0].split("#", 1)[0]:
            return node.start + len(re.sub(r"\r?\n\Z", "", written))
        return node.start + len(written.rstrip(" \r\n"))

    def _dashes(self, node: Node, ends: list[int]) -> list[int]:
        """Where the dash of each entry stands, given where each entry ends."""
        dashes: list[int] = []
        for before in [None, *ends[:-1]]:
            at = node.start if before is None else self._line_end(before)
            if before is not None or node.name is not None or self._text[at] != "-":
                found = _DASH.search(self._text, at)
                assert found is not None, "each entry of a list in block style has a dash"
                at = found.end() - 1
            dashes.append(at)
        return dashes

    def _line_start(self, at: int) -> int:
        index = bisect_right(self._breaks, at, key=itemgetter(1))
        return self._breaks[index - 1][1] if index else 0

    def _line_end(self, at: int) -> int:
        """Before the break."""
        index = bisect_left(self._breaks, at, key=itemgetter(0))
        return self._breaks[index][0] if index < len(self._breaks) else len(self._text)

    def _next_line(self, line_end: int) -> int:
        found = _BREAK.match(self._text, line_end)
        return found.end() if found else line_end

    def _above(self, start: int) -> int:
        """The start of the first line of the comment right above, at the same column; the head of the document is none."""
        line = self._line_start(start)
        column, first = start - line, line
        while first:
            above = self._line_start(first - 1)
            if (
                self._text[above : above + column].strip()
                or self._text[above + column : above + column + 1] != "#"
            ):
                return first
            first = above
        return line


def _is_same(one: Json, other: Json) -> bool:
    """Equal, and of the same types: a text that says 1 does not say 1.0."""
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(_is_same(item, other[key]) for key, item in one.items())
        )
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(_is_same, one, other))
    return type(one) is type(other) and one == other


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of pairs, whose second halves rise, in which the first halves rise too."""
    tails: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for index, (first, _) in enumerate(pairs):
        at = bisect_left(tails, first)
        before.append(ends[at - 1] if at else -1)
        tails[at : at + 1] = [first]
        ends[at : at + 1] = [index]
    longest: list[tuple[int, int]] = []
    index = ends[-1] if ends else -1
    while index >= 0:
        longest.append(pairs[index])
        index = before[index]
    return longest[::-1]


def _runs(kept: list[bool]) -> Iterator[tuple[int, int]]:
    """The first entry of each run of those that go, and the one behind its last."""
    at = 0
    while at < len(kept):
        after = next((index for index in count(at) if index == len(kept) or kept[index]), at)
        if after > at:
            yield at, after
        at = after + 1


def _leaves(node: Node | None) -> Iterator[tuple[int, int, str]]:
    """Start, end and style of every key and every value that is no collection."""
    if node is None:
        return
    if node.is_alias or not node.children:
        yield node.start, node.end, node.style
        return
    for key in node.keys.values():
        yield key.start, key.end, key.style
    for child in node.children.values():
        yield from _leaves(child)


def _indents_lists(node: Node) -> bool:
    """Whether a list below a key begins further in than the key."""
    for name, child in node.children.items():
        if child.is_alias:
            continue
        is_list = child.children and not child.keys and child.style != "["
        if is_list and isinstance(name, str) and child.line > node.keys[name].line:
            return child.column > node.keys[name].column
        if _indents_lists(child):
            return True
    return False
