"""What is exported makes the root of the manifest, whatever of it is hidden, and nothing that was changed in it does."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from assent.errors import InputError
from assent.knowledge.chunks import LeftOut
from assent.knowledge.manifest import (
    Cut,
    Listed,
    bundled,
    bundled_leaf,
    checked_bundle,
    file_leaf,
    workspace_root,
)
from assent.spec.values.merkle import node_hash, tree_root
from tests.support.proofs import changed_from

TEXTS = ("one\n", "two\n")
CUTS = tuple(Cut(sha256(text.encode()).hexdigest(), line, line, "") for line, text in enumerate(TEXTS, 1))
SHOWN = Listed("a.txt", "d1", "text", "", CUTS)
EMPTY = Listed("c.txt", "d2", "text", "", ())
HIDDEN = Listed("b.txt", "d3", "text", "", CUTS[:1])
LEFT_OUT = LeftOut("d.bin", "it is binary")
FILES = (SHOWN, HIDDEN, EMPTY, LEFT_OUT)
LINES = (
    *bundled(SHOWN, TEXTS),
    bundled_leaf(file_leaf(HIDDEN)),
    *bundled(EMPTY),
    *bundled(LEFT_OUT),
)
ROOT = workspace_root((one.path, file_leaf(one)) for one in FILES).hex()


def test_lines_make_the_root_of_the_manifest() -> None:
    assert checked_bundle(LINES) == (ROOT, 2, 1, 2)
    assert HIDDEN.path.encode() not in b"".join(LINES)
    assert checked_bundle([]).root == workspace_root([]).hex()


@pytest.mark.parametrize("number", range(len(LINES)))
def test_lines_that_were_changed_make_no_root_or_another(number: int) -> None:
    def root_of(lines: list[bytes]) -> str:
        try:
            return checked_bundle(lines).root
        except InputError as error:
            return error.code

    line: dict[str, Any] = json.loads(LINES[number])
    before, after = [*LINES[:number]], [*LINES[number + 1 :]]
    for other in changed_from(line):
        if other != line:
            assert root_of([*before, msgspec.json.encode(other) + b"\n", *after]) != ROOT, other
    assert root_of(before + after) != ROOT
    assert root_of([*before, LINES[number], *LINES[number:]]) != ROOT


@pytest.mark.parametrize("border", [0, 31, 33, 64])
def test_the_border_of_two_hidden_files_cannot_be_moved(border: int) -> None:
    both = file_leaf(SHOWN) + file_leaf(HIDDEN)
    assert checked_bundle([bundled_leaf(both[:32]), bundled_leaf(both[32:])]).hidden == 2
    with pytest.raises(InputError, match=r"in line [12]: "):
        checked_bundle([bundled_leaf(both[:border]), bundled_leaf(both[border:])])


def test_two_hidden_neighbours_cannot_be_given_as_one() -> None:
    leaves = [bytes([number]) * 32 for number in range(4)]
    root = workspace_root((str(number), leaf) for number, leaf in enumerate(leaves)).hex()
    assert checked_bundle(map(bundled_leaf, leaves)).root == root
    merged = [node_hash(*leaves[:2]), node_hash(*leaves[2:])]
    assert tree_root(merged) == tree_root(leaves)
    assert checked_bundle(map(bundled_leaf, merged)).root != root


@pytest.mark.parametrize(
    ("lines", "number"),
    [
        ([b"{}"], 1),
        ([b"\xff"], 1),
        ([LINES[0], b'{"a":' + b"[" * 100_000], 2),
        ([LINES[1]], 1),
        ([*LINES[:2]], 2),
        ([*LINES[:2], LINES[3]], 3),
        ([LINES[0].replace(b":2}", b":-1}")], 1),
        ([LINES[0], LINES[1].replace(b'"line":1', b'"line":99999999999999999999')], 2),
        ([LINES[3].replace(b'"leaf":"', b'"leaf":"x')], 1),
        ([LINES[3].replace(b'"leaf":"', b'"leaf":" ')], 1),
        ([LINES[3].replace(b'"}', b'\\n"}')], 1),
        ([LINES[0], LINES[1].replace(b'"text":', b'"text":"forged","text":'), LINES[2]], 2),
        ([LINES[0].replace(b'"path":', b'"path":"b.txt","path":'), *LINES[1:3]], 1),
        ([LINES[0].replace(b'"path"', b'"pa\\u0074h"'), *LINES[1:3]], 1),
        ([b" " + LINES[3]], 1),
        ([LINES[3].replace(b'"hidden"', b'"hidden 2"')], 1),  # of a later version (CHECKLIST B 92)
    ],
)
def test_where_it_is_wrong_is_told(lines: list[bytes], number: int) -> None:
    with pytest.raises(InputError, match=f"in line {number}: ") as told:
        checked_bundle(lines)
    assert told.value.code == "KNOWLEDGE_MANIFEST_INVALID"
