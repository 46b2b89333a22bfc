"""Which version is meant, compared with a plain reading of the rules that was written apart from the code."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import InputError
from assent.findings.assets import Context, MemoryProvider
from tests.support.properties import holds

WHEN = "2026-11-23T09:30:00Z"
SCOPES = ("run/a", "run/b", "node/a", "project/a", "group/a", "global")
WORDS = ("1", "2")


def test_what_is_not_there_is_told_with_what_was_probably_meant() -> None:
    """Another version, or another name."""
    provider = MemoryProvider()
    provider.publish("res://project/shop/wordlist/common:1", b"a", at=WHEN)
    for name, hint in (
        ("wordlist/common:2", "there are the versions `1`"),
        ("wordlist/comon:1", "did you mean `wordlist/common`?"),
        ("headers/agents:1", "publish it"),
    ):
        with pytest.raises(InputError) as refused:
            provider.resolve(f"res://project/shop/{name}")
        assert str(refused.value.hint).startswith(hint)


class Entry(NamedTuple):
    """What was published, in order."""

    scope: str
    word: str
    content: bytes


operations = st.lists(
    st.tuples(
        st.sampled_from(("publish", "publish", "retire")),
        st.sampled_from(SCOPES),
        st.sampled_from(WORDS),
        st.sampled_from((b"x", b"y")),
    ),
    max_size=14,
)
contexts = st.fixed_dictionaries(
    {"run": st.sampled_from((None, "a", "b"))}
    | {level: st.sampled_from((None, "a")) for level in ("node", "project", "group")}
)


def meant(published: list[Entry], retired: set[tuple[str, str]], context: dict[str, Any], word: str) -> str:
    """The scope and word of what an unscoped reference means, or the code of its refusal."""
    in_force = [
        f"{level}/{context[level]}" for level in ("run", "node", "project", "group") if context[level]
    ]
    saw_retired = False
    for scope in [*in_force, "global"]:
        here = [one for one in published if one.scope == scope and word in (one.word, "latest")]
        live = [one for one in here if (one.scope, one.word) not in retired]
        if live:
            return f"{scope} {live[-1].word}"
        if here and word != "latest":
            return "RESOURCE_RETIRED"
        saw_retired = saw_retired or bool(here)
    return "RESOURCE_RETIRED" if saw_retired else "RESOURCE_NOT_FOUND"


@holds("nearest_resource")
@given(operations, contexts, st.sampled_from((*WORDS, "latest")))
def test_the_nearest_version_in_force_is_meant(
    said: list[tuple[str, str, str, bytes]], context: dict[str, Any], word: str
) -> None:
    provider = MemoryProvider()
    published: list[Entry] = []
    retired: set[tuple[str, str]] = set()
    for what, scope, name, content in said:
        there = next((one for one in published if (one.scope, one.word) == (scope, name)), None)
        reference = f"res://{scope}/wordlist/words:{name}"
        try:
            if what == "publish":
                provider.publish(reference, content, at=WHEN)
                if there is None:
                    published.append(Entry(scope, name, content))
            else:
                provider.retire(reference, at=WHEN)
                retired.add((scope, name))
            refused = None
        except InputError as error:
            refused = error.code
        if what == "publish":
            assert refused == ("RESOURCE_EXISTS" if there and there.content != content else None)
        else:
            assert refused == (None if there else "RESOURCE_NOT_FOUND")
    try:
        found = provider.resolve(f"res://wordlist/words:{word}", Context(**context))
        told = f"{found.scope} {found.version}"
    except InputError as error:
        told = error.code
    assert told == meant(published, retired, context, word)
