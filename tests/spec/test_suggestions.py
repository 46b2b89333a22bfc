"""A word that nobody knows is taken for the one that was meant: spelled alike, or another word for the same."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.capabilities import builtin_catalog
from assent.cli._root import build
from assent.spec.words.suggestions import _SAME, suggest

IDS = [spec.id for spec, _ in builtin_catalog()]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("io.fs.rename", "io.fs.move"),
        ("io.fs.rename_file", "io.fs.move"),
        ("io.fs.remove", "io.fs.delete"),
        ("io.fs.mkdir", "io.fs.make_dir"),
        ("io.fs.writefile", "io.fs.write_file"),
        ("net.http.fetch", "net.http.get"),
        ("sys.archive.zip", "sys.archive.pack"),
        ("data.json.dumps", "data.json.render"),
        ("zzz.qqq", None),
    ],
)
def test_a_capability_is_found_by_what_it_is_called_elsewhere(word: str, meant: str | None) -> None:
    assert suggest(word, IDS) == meant


def test_every_word_of_ours_is_a_command_or_a_capability() -> None:
    root = build()
    commands = {*root.list_commands(click.Context(root))}
    assert {*_SAME} - {one.rpartition(".")[2] for one in IDS} - commands == set()


@given(st.text(max_size=40), st.lists(st.text(max_size=12), max_size=5))
def test_a_suggestion_is_one_of_the_candidates_whatever_the_word(word: str, candidates: list[str]) -> None:
    assert suggest(word, candidates) in {None, *candidates}
