"""A tenant's question goes to the tenant's own repositories, to those that answer in time, and it can be shown why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import InputError
from assent.knowledge.routing import NotAsked, Repository, Routes, Table, routes
from tests.knowledge.routing.test_table import MATRIX, TIMES

TENANT = "t"


def one(ident: str, p95_ms: float | None = 10, fallback: str | None = None, **more: str) -> Repository:
    return Repository(**{"id": ident, "tenant": TENANT, "p95_ms": p95_ms, "fallback": fallback, **more})  # type: ignore[arg-type]  # of several types


def chosen(*repositories: Repository, budget_ms: float = 50, affinity: tuple[str, ...] = ()) -> Routes:
    return routes(repositories, tenant=TENANT, budget_ms=budget_ms, affinity=affinity)


def asked(found: Routes) -> list[str]:
    return [route.repository for route in found.asked]


def test_the_quicker_come_first_and_what_is_preferred_before_them() -> None:
    all_of = (one("slow", 40), one("quick", 5), one("b", 9), one("a", 9), one("new", None))
    assert asked(chosen(*all_of)) == ["quick", "a", "b", "slow", "new"]
    found = chosen(*all_of, affinity=("new", "slow", "other"))
    assert asked(found) == ["new", "slow", "quick", "a", "b"]
    assert [route.why for route in found.asked][:3] == [
        "it was not measured yet; preferred",
        "its p95 of 40 ms is within the budget of 50 ms; preferred",
        "its p95 of 5 ms is within the budget of 50 ms",
    ]


def test_one_past_the_budget_is_left_out_by_name() -> None:
    found = chosen(one("late", 50.5), one("just", 50))
    assert asked(found) == ["just"]
    assert found.not_asked == (NotAsked("late", "its p95 of 50.5 ms is past the budget of 50 ms"),)


def test_a_fallback_is_asked_in_the_stead_of_another_and_not_beside_it() -> None:
    mirror = one("mirror", 20)
    found = chosen(one("main", 10, "mirror"), mirror)
    assert asked(found) == ["main"]
    assert found.not_asked == (NotAsked("mirror", "it stands by for another one"),)
    found = chosen(one("main", 60, "far"), one("other", 70, "mirror"), one("far", 80, "mirror"), mirror)
    assert asked(found) == ["mirror"]
    assert found.asked[0].why == (
        "its p95 of 20 ms is within the budget of 50 ms; in the stead of `main`; in the stead of `other`"
    )
    assert [left.repository for left in found.not_asked] == ["far", "main", "other"]
    assert asked(chosen(one("main", 60, "far"), one("far", 80))) == []


@pytest.mark.parametrize(
    ("repositories", "says"),
    [
        ([one("a"), one("a")], "`a` must not be there twice"),
        ([one("a", 1, "x")], "`a` must have a fallback that is a repository of its tenant"),
        ([one("a", 1, "a")], "`a` must have a fallback that does not lead back"),
        ([one("a", 1, "b"), one("b", 1, "a")], "must have a fallback that does not lead back"),
        (
            [one("a", 1, "b"), one("b", 1, "c"), one("c", 1, "b")],
            "must have a fallback that does not lead back",
        ),
    ],
)
def test_what_cannot_be_is_refused(repositories: list[Repository], says: str) -> None:
    with pytest.raises(InputError) as refused:
        chosen(*repositories)
    assert refused.value.code == "KNOWLEDGE_ROUTES_INVALID"
    assert says in refused.value.message


def test_the_way_to_a_repository_counts() -> None:
    table = Table(MATRIX, TIMES)
    far, here = one("far", 10, node="d"), one("here", 30)

    def over(start: str | None, budget_ms: float) -> Routes:
        new = one("new", None, node="d")
        return routes([far, here, new], tenant=TENANT, budget_ms=budget_ms, table=table, start=start)

    found = over("a", 40)
    assert [(route.repository, route.p95_ms) for route in found.asked] == [
        ("here", 30),
        ("far", 35),
        ("new", None),
    ]
    assert found.asked[1].why == "its p95 of 35 ms by a -> c -> d is within the budget of 40 ms"
    assert [left.because for left in over("a", 20).not_asked] == [
        "its p95 of 35 ms by a -> c -> d is past the budget of 20 ms",
        "its p95 of 30 ms is past the budget of 20 ms",
        "its p95 of 25 ms by a -> c -> d is past the budget of 20 ms",
    ]
    with pytest.raises(InputError, match="must name places of the table"):
        over("x", 40)
    assert asked(over(None, 40)) == ["far", "here", "new"]
    none = routes([one("far", 1, node="a")], tenant=TENANT, budget_ms=40, table=table, start="d")
    assert none.not_asked == (NotAsked("far", "no way leads from `d` to `a`"),)


IDS = "abcdef"
REPOSITORIES = st.lists(
    st.builds(
        Repository,
        id=st.sampled_from(IDS),
        tenant=st.sampled_from("tuv"),
        p95_ms=st.none() | st.integers(0, 100),
        fallback=st.none() | st.sampled_from(IDS),
    ),
    unique_by=lambda found: (found.tenant, found.id),
)


def outcome(repositories: list[Repository], affinity: list[str]) -> Routes | str:
    try:
        return routes(repositories, tenant=TENANT, budget_ms=50, affinity=affinity)
    except InputError as error:
        return str(error)


@given(REPOSITORIES, st.lists(st.sampled_from(IDS)), st.data())
def test_other_tenants_leave_no_trace(
    repositories: list[Repository], affinity: list[str], data: st.DataObject
) -> None:
    own = [found for found in repositories if found.tenant == TENANT]
    found = outcome(repositories, affinity)
    assert found == outcome(own, affinity)
    if isinstance(found, str):
        return
    p95_of = {found.id: found.p95_ms for found in own}
    names = asked(found)
    assert sorted([*names, *(left.repository for left in found.not_asked)]) == sorted(p95_of)
    assert all(route.why for route in found.asked)
    assert all((p95_of[name] or 0) <= 50 for name in names)
    preferred = [name for name in dict.fromkeys(affinity) if name in names]
    assert names[: len(preferred)] == preferred
    assert outcome(data.draw(st.permutations(repositories)), affinity) == found
