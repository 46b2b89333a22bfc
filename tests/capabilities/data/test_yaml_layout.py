"""YAML that is changed keeps what is not: comments, order, quotes, and every line that the change does not touch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import ndiff
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assent.capabilities.data._formats import read_yaml
from assent.capabilities.data._yaml import UNPLACED
from assent.spec.values.json_patch import apply, pointer
from tests.support.hands import Hands
from tests.support.seeds import examples


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hands]:
    made = Hands.on(tmp_path_factory.mktemp("w"))
    yield made
    made.workspace.close()


def put(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


def add(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def drop(path: str) -> dict[str, Any]:
    return {"op": "remove", "path": path}


def patched(text: str, patch: list[dict[str, Any]]) -> tuple[Any, str]:
    """The data that the patch makes, by a way of its own, and the text that says it."""
    wanted = apply(read_yaml(text, "t").value, patch)
    loaded = read_yaml(text, "t")
    assert loaded.layout is not None
    write = loaded.layout()
    return wanted, write(apply(loaded.value, patch, in_place=True))


REGION = ["  # Where it runs.", "  - name: REGION   # one of two", "    value: eu"]
NAMED = "name: shop   # as the bill says it"
CONFIG = """\
# The shop.

name: shop   # as the bill says it
replicas: 2
image: "web:1.0"

env:
  # Where it runs.
  - name: REGION   # one of two
    value: eu

  # How it talks.
  - name: LEVEL
    value: info
ports: [80, 443]  # both
limits: {
  cpu: 1,  # cores
  memory: 2  # GiB
}
start: |
  one
  two
# The end.
"""


@pytest.mark.parametrize(
    ("patch", "gone", "new"),
    [
        ([put("/replicas", 3)], ["replicas: 2"], ["replicas: 3"]),
        ([put("/name", "inn")], [NAMED], ["name: inn   # as the bill says it"]),
        ([put("/name", "1")], [NAMED], ["name: '1'   # as the bill says it"]),
        ([put("/image", "2")], ['image: "web:1.0"'], ['image: "2"']),
        ([put("/name", {"a": [1]})], [NAMED], ["name:   # as the bill says it", "  a:", "    - 1"]),
        ([put("/env/1/value", "debug")], ["    value: info"], ["    value: debug"]),
        ([drop("/env/0")], REGION, []),
        ([drop("/env/0/name")], REGION[1:], ["  - value: eu"]),
        ([add("/env/0", {"name": "A", "value": ""})], [], ["  - name: A", "    value: ''"]),
        ([drop("/env/0"), put("/env/0/value", "x"), add("/env/-", "y")],
         [*REGION, "    value: info"], ["    value: x", "  - y"]),
        ([put("/ports/0", 81), add("/ports/-", 8080)], ["ports: [80, 443]  # both"], ["ports: [81, 443, 8080]  # both"]),
        ([drop("/ports/1")], ["ports: [80, 443]  # both"], ["ports: [80]  # both"]),
        ([add("/limits/disk", 9)], ["  memory: 2  # GiB"], ["  memory: 2,  # GiB", "  disk: 9"]),
        ([drop("/limits/cpu")], ["  cpu: 1,  # cores"], []),
        ([put("/start", "one\nthree\n")], ["  two"], ["  three"]),
        ([add("/stop", "a\nb")], [], ["stop: |-", "  a", "  b"]),
        ([put("/env", [])], CONFIG.splitlines()[6:14], ["env: []"]),
        ([drop("/name"), drop("/replicas")], CONFIG.splitlines()[2:4], []),
    ],
)  # fmt: skip
def test_a_change_touches_its_lines_and_no_other(
    hands: Hands, patch: list[Any], gone: list[str], new: list[str]
) -> None:
    answer = hands.read("data.yaml.patch", text=CONFIG, patch=patch)
    lines = [*ndiff(CONFIG.splitlines(), answer["text"].splitlines())]
    assert [line[2:] for line in lines if line.startswith("- ")] == gone
    assert [line[2:] for line in lines if line.startswith("+ ")] == new
    assert read_yaml(answer["text"], "t").value == answer["value"]


@pytest.mark.parametrize(
    ("text", "patch", "wanted"),
    [
        ("a: 1\r\nb: 2  # c\r\n", [put("/b", 3), add("/c", [1])], "a: 1\r\nb: 3  # c\r\nc:\r\n- 1\r\n"),
        ("\ufeffa: 1  # c", [add("/b", 2)], "\ufeffa: 1  # c\nb: 2"),
        ("# only\n", [put("", {"a": 1})], "# only\na: 1\n"),
        ("a: # c\nb: 1\n", [put("/a", 5)], "a: 5 # c\nb: 1\n"),
        ("- - a # x\n  # y\n  - b\n", [drop("/0/0")], "-\n  # y\n  - b\n"),
        ("a: &x {p: 1}  # c\nb: *x\nc: *x\n", [put("/b/p", 2)], "a: &x {p: 1}  # c\nb:\n  p: 2\nc: *x\n"),
        ("a: &x {p: 1}  # c\nb: *x\n", [put("/a/p", 2)], "a: &x {p: 2}  # c\nb:\n  p: 1\n"),
        ("a: &x {p: 1}\n# c\nb: *x\n", [drop("/a")], "# c\nb:\n  p: 1\n"),
        ("? a\n: b # c\n? d\n: e\n", [drop("/d")], f"{UNPLACED}\n# c\na: b\n"),
    ],
)
def test_what_is_written_in_other_ways_is_kept_too(
    hands: Hands, text: str, patch: list[Any], wanted: str
) -> None:
    assert hands.read("data.yaml.patch", text=text, patch=patch)["text"] == wanted


def test_data_that_is_laid_over_keeps_comments(hands: Hands) -> None:
    answer = hands.read("data.yaml.merge", text=CONFIG, overlays=[{"value": {"replicas": 3, "start": None}}])
    assert answer["text"] == CONFIG.replace("replicas: 2", "replicas: 3").replace(
        "start: |\n  one\n  two\n", ""
    )


@dataclass
class Made:
    """A document with names that stand in it once: keys and scalars. Each comment has that beside or above which it stands."""

    draw: Any
    lines: list[str] = field(default_factory=list)
    comments: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def name(self) -> str:
        self.count += 1
        return f"n{self.count}x"

    def comment(self, name: str) -> str:
        self.count += 1
        self.comments[f"# c{self.count}x"] = name
        return f"# c{self.count}x"

    def scalar(self, name: str) -> str:
        return str(self.draw(st.sampled_from([name, f"'{name}'", f'"{name}"', f"'{name} # no: comment'"])))

    def flow(self, depth: int) -> str:
        if depth > 2 or self.draw(st.booleans()):
            return self.scalar(self.name())
        size = range(self.draw(st.integers(0, 3)))
        if self.draw(st.booleans()):
            return f"[{', '.join(self.flow(depth + 1) for _ in size)}]"
        return f"{{{', '.join(f'{self.name()}: {self.flow(depth + 1)}' for _ in size)}}}"

    def block(self, indent: int, first: str, depth: int) -> None:
        """Entries at a column; `first` stands before the first one on its line."""
        is_list = self.draw(st.booleans())
        for _ in range(self.draw(st.integers(1, 3))):
            name, pad = self.name(), first or " " * indent
            if not first:
                self.lines += [""] * self.draw(st.integers(0, 1))
                # An entry of a list has no name of its own by which it would be known to have stayed.
                if not is_list and self.draw(st.booleans()):
                    self.lines.append(pad + self.comment(name))
            first = ""
            lead = "-" if is_list else f"{name}:"
            shape = self.draw(st.sampled_from(["scalar", "flow", "lines", "literal", "block"]))
            if shape == "block" and depth < 3:
                inner = indent + 2
                if is_list and self.draw(st.booleans()):
                    self.block(inner, f"{pad}- ", depth + 1)
                else:
                    self.lines.append(f"{pad}{lead}" + ("" if is_list else f" {self.comment(name)}"))
                    self.block(inner, "", depth + 1)
            elif shape == "literal":
                self.lines += [
                    f"{pad}{lead} |",
                    f"{' ' * (indent + 2)}{self.name()}",
                    f"{' ' * (indent + 2)}# text",
                ]
            elif shape == "lines":
                gap = " " * (indent + 2)
                self.lines.append(f"{pad}{lead} [")
                items = [self.name() for _ in range(self.draw(st.integers(1, 3)))]
                self.lines += [f"{gap}{item}, {self.comment(item)}" for item in items[:-1]]
                comma = self.draw(st.sampled_from(["", ","]))
                self.lines += [f"{gap}{items[-1]}{comma} {self.comment(items[-1])}", f"{gap}]"]
            elif shape == "flow":
                self.lines.append(
                    f"{pad}{lead} {self.flow(0)}" + ("" if is_list else f" {self.comment(name)}")
                )
            else:
                shown = name if is_list else self.scalar(self.name())
                self.lines.append(f"{pad}{lead} {shown} {self.comment(name)}")


@st.composite
def documents(draw: Any) -> Made:
    made = Made(draw)
    made.lines += draw(st.sampled_from([[], ["---"], ["# head", ""]]))
    made.block(0, "", 0)
    return made


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    yield path, value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*path, key))


NEW = st.sampled_from(
    [1, None, "text", "two\nlines", "- no: list", [], {}, ["in", {"k": "v"}], {"k": [1], "l": "#"}]
)


def names(value: Any) -> set[str]:
    return set(re.findall(r"n\d+x", repr(value)))


@pytest.mark.slow
@given(documents(), st.data())
@settings(max_examples=examples(1500), deadline=None)
def test_what_a_patch_leaves_stays_where_and_as_it_was(made: Made, data: st.DataObject) -> None:
    # A text in several lines would have another end in the middle of the document.
    text = "\n".join(made.lines) + data.draw(
        st.sampled_from(["\n", "\n" if made.lines[-1].endswith("# text") else ""])
    )
    value = read_yaml(text, "t").value
    patch: list[dict[str, Any]] = []
    touched: set[str] = set()
    around: set[str] = set()
    for number in range(data.draw(st.integers(1, 4))):
        found = dict(places(value))
        path: tuple[str | int, ...] = data.draw(st.sampled_from([*found]))
        old, holder = found[path], found[path[:-1]]
        about: set[Any]
        new = data.draw(NEW)
        if isinstance(old, dict) and data.draw(st.booleans()):
            step, about = add(pointer((*path, f"new{number}")), new), {path[-1]} if path else set()
        elif isinstance(old, list) and data.draw(st.booleans()):
            index = data.draw(st.integers(0, len(old)))
            step, about = add(pointer((*path, index)), new), names(old)
        elif path != () and data.draw(st.booleans()):
            step, about = drop(pointer(path)), names(old)
        else:
            step, about = put(pointer(path), new), names(old)
        # Brackets hold all of a list in one line.
        touched |= {*map(str, about), *map(str, path)} | (
            names(holder) if isinstance(holder, list) else set()
        )
        # Of brackets within brackets the outermost may be what a line holds.
        outermost = 0 if text.lstrip().startswith(("[", "{")) else 1
        around |= {name for end in range(outermost, len(path)) for name in names(found[path[:end]])}
        patch.append(step)
        value = apply(value, [step])
    wanted, out = patched(text, patch)
    assert wanted == value
    assert read_yaml(out, "t").value == wanted
    assert not out.startswith(UNPLACED)
    left = names(wanted)
    for comment, name in made.comments.items():
        assert name not in left or comment in out, f"{comment} of {name} is lost"
    kept = {line.strip(" -\r") for line in out.splitlines()}
    for line in text.splitlines():
        changed = touched | around if "[" in line or "{" in line else touched
        if line.strip(" -") and not names(line) & changed and names(line):
            assert line.strip(" -\r") in kept


@given(st.integers(0, 3), st.lists(st.integers(0, 5), min_size=6, max_size=6), st.data())
@settings(max_examples=examples(400), deadline=None)
def test_parts_that_stand_for_others_hold_what_the_patch_says(
    depth: int, kinds: list[int], data: st.DataObject
) -> None:
    """Anchors within anchors, aliases of each, and a patch anywhere."""
    lines: list[str] = []
    for index, kind in enumerate(kinds):
        before = [f"*a{number}" for number in range(index)]
        inner = data.draw(st.sampled_from([*before, "1", "[x, y]"]))
        lines += [
            [f"k{index}: &a{index} {inner if inner[0] != '*' else 7}  # c{index}"],
            [f"k{index}: &a{index}", f"  p: {inner}  # c{index}", "  q: 1"],
            [f"k{index}: &a{index}", f"  - {inner}  # c{index}"],
            [f"k{index}: &a{index} [{inner}, 2]  # c{index}"],
            [f"k{index}: &a{index} {{p: {inner} }}  # c{index}"],
            [f"k{index}: &a{index} |  # c{index}", "  text"],
        ][kind]  # fmt: skip
    text = "\n".join([*lines, *(f"z{index}: *a{index}" for index in range(depth))]) + "\n"
    path, _ = data.draw(st.sampled_from([*places(read_yaml(text, "t").value)][1:]))
    step = drop(pointer(path)) if data.draw(st.booleans()) else put(pointer(path), data.draw(NEW))
    wanted, out = patched(text, [step])
    assert read_yaml(out, "t").value == wanted
    for index in range(len(kinds)):
        assert path[0] == f"k{index}" or f"# c{index}" in out


def test_a_line_of_many_entries_is_changed_entry_by_entry() -> None:
    """Half of them go, and come back."""
    many: list[Any] = [f"a{number}" for number in range(5_000)]
    few = many[::2]
    for before, after in ((many, few), (few, many)):
        loaded = read_yaml(f"[{', '.join(before)}]  # c\n", "t")
        assert loaded.layout is not None
        assert loaded.layout()(after) == f"[{', '.join(after)}]  # c\n"
