"""References are read as they are written, and each malformed one is refused with what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import InputError
from assent.findings.assets import (
    GLOBAL,
    AssetType,
    Context,
    Level,
    Reference,
    Scope,
    read_reference,
    read_scope,
)
from tests.support.properties import holds

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True)
scopes = st.one_of(
    st.none(),
    st.just(GLOBAL),
    st.builds(Scope, st.sampled_from([one for one in Level if one != Level.GLOBAL]), names),
)
which = st.one_of(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", fullmatch=True).map(lambda one: {"version": one}),
    st.from_regex(r"[0-9a-f]{64}", fullmatch=True).map(lambda one: {"sha256": one}),
)
references = st.builds(
    lambda kind, name, scope, one: Reference(type=kind, name=name, scope=scope, **one),
    st.sampled_from(AssetType),
    names,
    scopes,
    which,
)


@holds("resource_references")
@given(references)
def test_a_reference_is_read_as_it_is_written(reference: Reference) -> None:
    assert read_reference(str(reference)) == read_reference(reference) == reference
    assert str(read_reference(str(reference))) == str(reference)
    if reference.scope is not None:
        assert read_scope(str(reference.scope)) == reference.scope


@holds("resource_references")
@given(st.text() | st.text("res:/wordlist@sha256:01.latest", max_size=40).map(lambda one: f"res://{one}"))
def test_a_text_is_a_reference_or_refused(text: str) -> None:
    try:
        read = read_reference(text)
    except InputError:
        return
    assert str(read) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "does not begin with `res://`"),
        ("RES://wordlist/a:1", "does not begin with `res://`"),
        ("wordlist/a:1", "does not begin with `res://`"),
        ("res://wordlist/a", "says no version"),
        ("res://wordlist/a:", "has no version that can be one"),
        ("res://wordlist/a:1 ", "has no version that can be one"),
        ("res://wordlist/a:1\n", "has no version that can be one"),
        ("res://wordlist/a:" + "1" * 65, "has no version that can be one"),
        ("res://wordlist/a:1:2", "must name a resource"),
        ("res://wordlist/a@1", "has no digest behind `@`"),
        ("res://wordlist/a@sha256:" + "A" * 64, "has no digest behind `@`"),
        ("res://wordlist/a:1@sha256:" + "a" * 64, "must name a resource"),
        ("res://a:1", "must have a type before its name"),
        ("res://words/a:1", "must have a type before its name"),
        ("res://Wordlist/a:1", "must have a type before its name"),
        ("res://wordlist/:1", "must name a resource"),
        ("res://wordlist/..:1", "must name a resource"),
        ("res://wordlist/é:1", "must name a resource"),
        ("res://wordlist/" + "a" * 129 + ":1", "must name a resource"),
        ("res:///wordlist/a:1", "has no scope that can be one"),
        ("res://shop/wordlist/a:1", "has no scope that can be one"),
        ("res://team/shop/wordlist/a:1", "has no scope that can be one"),
        ("res://project/wordlist/a:1", "has no scope that can be one"),
        ("res://global/x/wordlist/a:1", "has no scope that can be one"),
        ("res://project/a/b/wordlist/a:1", "has no scope that can be one"),
        ("res://project//wordlist/a:1", "must name its project"),
        ("res://run/a b/wordlist/a:1", "must name its run"),
        ("res://wordlist/" + "a/" * 300 + "a:1", "has more than 512 characters"),
    ],
)
def test_a_malformed_reference_is_told_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(InputError) as refused:
        read_reference(text)
    assert refused.value.code == "RESOURCE_REFERENCE_INVALID"
    assert f"` {why}" in refused.value.message


@pytest.mark.parametrize(
    "made",
    [
        Reference(type=AssetType.WORDLIST, name="a:1", version="2"),
        Reference(type=AssetType.WORDLIST, name="wordlist/a", version="1"),
        Reference(type=AssetType.WORDLIST, name="a", version="1", scope=Scope(Level.RUN)),
        Reference(type=AssetType.WORDLIST, name="a", version="1", scope=Scope(Level.GLOBAL, "a")),
        Reference(type=AssetType.WORDLIST, name="a", version="1", sha256="a" * 64),
        Reference(type=AssetType.WORDLIST, name="a"),
    ],
)
def test_what_a_program_puts_together_is_judged_too(made: Reference) -> None:
    with pytest.raises(InputError) as refused:
        read_reference(made)
    assert refused.value.code == "RESOURCE_REFERENCE_INVALID"


def test_a_scope_that_a_program_puts_together_is_judged_too() -> None:
    for made in (Scope(Level.RUN), Scope(Level.GLOBAL, "a"), Scope(Level.RUN, "a/b"), "run", "", "run/a/b"):
        with pytest.raises(InputError):
            read_scope(made)


def test_scopes_are_in_force_from_the_nearest_to_the_widest() -> None:
    assert [str(one) for one in Context(group="g", run="r", node="n", project="p").scopes] == [
        "run/r",
        "node/n",
        "project/p",
        "group/g",
        "global",
    ]
    assert Context().scopes == (GLOBAL,)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("res://wordlists/a:1", "did you mean `wordlist`?"),
        ("res://template/a:1", "did you mean `templates`?"),
        ("res://Words/a:1", "did you mean `wordlist`?"),
        ("res://projects/shop/wordlist/a:1", "did you mean `project`?"),
        ("res://zzz/a:1", "write `res://"),
    ],
)
def test_what_was_probably_meant_is_told(text: str, hint: str) -> None:
    with pytest.raises(InputError) as refused:
        read_reference(text)
    assert str(refused.value.hint).startswith(hint)
