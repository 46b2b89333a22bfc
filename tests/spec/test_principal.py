"""Who acts: how a principal is written, read and refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import InputError
from assent.spec import Principal, PrincipalKind
from tests.support.properties import holds

IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@+\-/]{0,20}", fullmatch=True)


@holds("principals")
@given(st.sampled_from(PrincipalKind), IDS)
def test_a_principal_prints_as_type_and_id_and_reads_back(kind: PrincipalKind, ident: str) -> None:
    """`type:id` is the one written form, and reading it back gives the same principal."""
    principal = Principal(kind, ident)
    assert str(principal) == f"{kind.value}:{ident}"
    assert Principal.parse(str(principal)) == principal


def test_roles_are_a_set() -> None:
    """The order in which roles are given means nothing."""
    roles = frozenset({"ops", "admin"})
    assert Principal.parse("user:a", roles=roles) == Principal(
        PrincipalKind.USER, "a", frozenset({"admin", "ops"})
    )


@pytest.mark.parametrize(
    "text", ["alice", "robot:a", "user:", "user:a b", "user:\x1b[2J", ":a", "", "user:" + "a" * 129]
)
def test_what_is_no_principal_is_refused_with_a_hint(text: str) -> None:
    """A missing or unknown kind and an id outside the alphabet are input errors that say what is right."""
    with pytest.raises(InputError) as caught:
        Principal.parse(text)
    assert caught.value.code == "SPEC_INVALID"
    assert caught.value.hint
