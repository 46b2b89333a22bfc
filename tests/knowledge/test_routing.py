"""A routing table is taken whole or refused, its ways are the shortest, and a search goes to whom it can reach in time."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Collection
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import InputError
from assent.knowledge.routing import Route, Routing, Table, Way
from tests.docs.pages import ROOT, examples

SAID: dict[str, Any] = {
    "start": "a",
    "matrix": {
        "version": "1",
        "nodes": [{"id": "a"}, {"id": "b"}, {"id": "c"}, {"id": "d"}],
        "edges": [
            {"from": "a", "to": "b", "weight": 1},
            {"from": "a", "to": "c", "weight": 2},
            {"from": "b", "to": "c", "weight": 2},
            {"from": "c", "to": "d", "weight": 1},
        ],
        "adjacency": {"a": {"b": 1, "c": 2}, "b": {"c": 2}, "c": {"d": 1}, "d": {}},
        "fallbacks": {"b": "c"},
    },
    "latencies": {
        "version": "1",
        "links": [
            {"from": "a", "to": "b", "p50": 1, "p95": 2, "p99": 3},
            {"from": "a", "to": "c", "p50": 2, "p95": 20, "p99": 30},
            {"from": "b", "to": "c", "p50": 3, "p95": 3, "p99": 3},
            {"from": "c", "to": "d", "p50": 4, "p95": 5, "p99": 6},
        ],
        "summary": {"budget_ms": 22},
    },
}


def table(said: dict[str, Any] = SAID) -> Table:
    return Table(json.dumps(said).encode())


Edit = Callable[[dict[str, Any], dict[str, Any]], object]


@pytest.mark.parametrize(
    ("edit", "path", "says"),
    [
        (
            lambda m, _: m["edges"][3].update(to="x"),
            "matrix.edges[3]",
            "must name places of the table: `x` is none",
        ),
        (lambda m, _: m["edges"][3].update({"from": "\x1b"}), "matrix.edges[3]", "`\\x1b` is none"),
        (lambda m, _: m["edges"][0].update(to="a"), "matrix.edges[0]", "lead back to itself"),
        (lambda m, _: m["edges"].append(m["edges"][1]), "matrix.edges[4]", "must not say `a` -> `c` again"),
        (
            lambda m, _: m["edges"][0].update(weight=-1),
            "matrix.edges[0].weight",
            "is not of its form: Expected",
        ),
        (lambda m, _: m["edges"][0].update(weight=float("nan")), "document", "is not of its form"),
        (lambda m, _: m["nodes"].append({"id": "a"}), "matrix.nodes", "must not name a place twice"),
        (lambda m, _: m["nodes"].append({"id": ""}), "matrix.nodes[4].id", "is not of its form"),
        (lambda m, _: m.pop("nodes"), "matrix", "missing required field `nodes`"),
        (lambda m, _: m["adjacency"]["d"].update(a=1), "matrix.adjacency", "must say the same as `edges`"),
        (lambda m, _: m["adjacency"]["a"].pop("b"), "matrix.adjacency", "must say the same"),
        (lambda m, _: m["adjacency"]["a"].update(b=7), "matrix.adjacency", "must say the same"),
        (lambda m, _: m.update(fallbacks={"c": "x"}), "matrix.fallbacks.c", "`x` is none"),
        (lambda m, _: m.update(fallbacks={"x": "c"}), "matrix.fallbacks.x", "`x` is none"),
        (lambda m, _: m.update(fallbacks={"c": "c"}), "matrix.fallbacks.c", "must be another place"),
        (lambda m, _: m["fallbacks"].update(c="b"), "matrix.fallbacks.b", "which has no fallback itself"),
        (lambda m, _: m.update(fallbacks={"d": "b"}), "matrix.fallbacks.d", "`c` -> `b` is no edge"),
        (lambda _, t: t.update(version="2"), "version", "must be the same"),
        (lambda _, t: t["links"][3].update(to="a"), "latencies.links[3]", "`c` -> `a` is none"),
        (lambda _, t: t["links"].pop(), "latencies.links", "must tell how long the hop `c` -> `d` takes"),
        (lambda _, t: t["links"][0].update(p95=9), "latencies.links[0]", "a p50 of at most its p95"),
        (lambda _, t: t["summary"].update(budget_ms=0), "latencies.summary.budget_ms", "is not of its form"),
    ],
)
def test_what_does_not_fit_is_refused(edit: Edit, path: str, says: str) -> None:
    said = copy.deepcopy(SAID)
    edit(said["matrix"], said["latencies"])
    with pytest.raises(InputError) as refused:
        table(said)
    assert (refused.value.code, refused.value.path) == ("KNOWLEDGE_ROUTES_INVALID", path)
    assert says in refused.value.message


@pytest.mark.parametrize("text", [b"", b"[]", b'{"start": "\xff"}', b"[" * 9_999])
def test_what_is_no_table_is_refused(text: bytes) -> None:
    with pytest.raises(InputError, match="KNOWLEDGE_ROUTES_INVALID"):
        Table(text)


@given(st.dictionaries(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), st.integers(0, 3)))
def test_a_way_is_the_least_of_all_ways(found: dict[tuple[str, str], int]) -> None:
    weights = {hop: weight for hop, weight in found.items() if hop[0] != hop[1]}
    ways = [("a", *inner, "d") for length in range(3) for inner in permutations("bc", length)]
    there = [way for way in ways if set(pairwise(way)) <= weights.keys()]
    least = min(((sum(weights[hop] for hop in pairwise(way)), way) for way in there), default=(0, None))[1]
    edges = [{"from": a, "to": b, "weight": weight} for (a, b), weight in weights.items()]
    links = [{"from": a, "to": b, "p50": 1, "p95": 1, "p99": 1} for a, b in weights]
    way = table(
        {
            "start": "a",
            "matrix": {"nodes": [{"id": name} for name in "abcd"], "edges": edges},
            "latencies": {"links": links, "summary": {"budget_ms": 1}},
        }
    ).ways.get("d")
    assert (way and way.nodes) == least


def sample(samples: Path) -> dict[str, Any]:
    folder = samples / "embednexus/fixtures/routing"
    names = {"matrix": "multi-repo-matrix.json", "latencies": "latency-matrix.json"}
    said = {name: json.loads((folder / file).read_bytes()) for name, file in names.items()}
    return {"start": "ingest-api", **said}


def test_the_table_of_the_samples(samples: Path) -> None:
    """CHECKLIST B 90, and its traps: an edge or a fallback that does not fit is refused."""
    said = sample(samples)
    found = table(said)
    assert (len(found.nodes), len(found.weights), found.budget_ms) == (5, 5, 275)
    way = found.ways["audit-log"]
    assert way == Way(("ingest-api", "routing-control", "artifact-store", "audit-log"), 69)
    golden = (samples / "embednexus/golden/routing/multi-repo-latency.transcript").read_text()
    links = said["latencies"]["links"]
    lines = [
        f"{a} -> {b} p50={one['p50']}ms p95={found.p95_ms[a, b]:g}ms"
        for (a, b), one in zip(found.weights, links, strict=True)
    ]
    assert [line.partition(" p99=")[0] for line in golden.splitlines()[2:]] == lines
    fallbacks: list[dict[str, str]] = [{"artifact-store": "archive"}, {"audit-log": "code-search"}]
    for fallback in fallbacks:
        with pytest.raises(InputError, match="fallbacks"):
            table(said | {"matrix": {**said["matrix"], "fallbacks": fallback}})
    fitting = {"artifact-store": "code-search"}
    assert table(said | {"matrix": {**said["matrix"], "fallbacks": fitting}}).fallbacks == fitting
    for changed in ("to", "from"):
        trap = copy.deepcopy(said)
        trap["latencies"]["links"][2][changed] = "audit-log"
        with pytest.raises(InputError, match="must be an edge"):
            table(trap)


def routed(
    routing: Routing,
    names: Collection[str],
    wanted: Collection[str] = (),
    slow: Collection[str] = (),
    hidden: Collection[str] = (),
) -> list[Route]:
    return routing.routes(
        names, wanted, lambda name, left: None if name in hidden else left is None or name not in slow
    )


def searched(found: list[Route]) -> list[str]:
    return [one.repository for one in found if one.is_searched]


def test_without_a_table_each_goes_by_its_budget() -> None:
    assert routed(Routing({"b": 500}), ["a", "b", "c"], slow=["b", "c"]) == [
        Route("a", "it has no budget, and is waited for"),
        Route("b", "it was not read within its budget of 500ms", is_searched=False, is_late=True),
        Route("c", "it has no budget, and is waited for"),
    ]


def test_the_way_counts_against_the_budget() -> None:
    routing = Routing({"d": 26, "b": 1}, table())
    assert {name: routing.left_ms(name) for name in "abcdx"} == {"a": 22, "b": -1, "c": 2, "d": 1, "x": None}
    assert routed(routing, ["c", "d", "x"]) == [
        Route("c", "it was read within its budget of 22ms, of which the way a -> c takes 20 ms"),
        Route("d", "it was read within its budget of 26ms, of which the way a -> c -> d takes 25 ms"),
        Route("x", "it has no budget, and is waited for"),
    ]
    (past,) = routed(Routing({}, table()), ["d"])
    assert past == Route(
        "d",
        "the way to it, a -> c -> d, takes 25 ms, past its budget of 22ms",
        is_searched=False,
        is_late=True,
    )
    (none,) = routed(Routing({}, table({**SAID, "start": "d"})), ["a"])
    assert none == Route("a", "no way leads to it", is_searched=False, is_late=True)


def test_a_fallback_is_searched_in_the_stead_of_another_and_not_beside_it() -> None:
    routing = Routing({}, table())
    assert routed(routing, ["b", "c"])[1] == Route("c", "it stands by for `b`", is_searched=False)
    late = routed(routing, ["b", "c"], slow=["b"])
    assert searched(late) == ["c"]
    assert late[1].because.endswith("takes 20 ms; in the stead of `b`")
    # Whoever asks for one has the one in its stead, and whoever asks for both has both.
    assert searched(routed(routing, ["b", "c"], wanted=["b"], slow=["b"])) == ["c"]
    assert [one.repository for one in routed(routing, ["b", "c"], wanted=["b"])] == ["b"]
    assert searched(routed(routing, ["b", "c"], wanted=["b", "c"])) == ["b", "c"]
    # What may not be seen stands by for nobody and has nobody in its stead, and nothing is told of it.
    assert searched(routed(routing, ["b", "c"], hidden=["b"], slow=["b"])) == ["c"]
    assert [one.repository for one in routed(routing, ["b", "c"], hidden=["c"])] == ["b"]


def test_the_table_of_the_page() -> None:
    (said,) = (one.text for one in examples(ROOT / "docs" / "knowledge.md") if one.kind == "json")
    assert searched(routed(Routing({}, Table(said.encode())), ["code", "docs", "mirror"])) == ["mirror"]


FALLBACKS: dict[str, str] = SAID["matrix"]["fallbacks"]
NAMES = st.lists(st.sampled_from("abcdx"), unique=True)


@given(NAMES, NAMES, NAMES, NAMES)
def test_what_is_hidden_leaves_no_trace(
    names: list[str], wanted: list[str], slow: list[str], hidden: list[str]
) -> None:
    routing = Routing({"b": 30, "x": 5}, table())
    found = routed(routing, names, wanted, slow, hidden)
    assert found == routed(routing, [name for name in names if name not in hidden], wanted, slow)
    assert all(one.because for one in found)
    if not wanted:
        assert [one.repository for one in found] == sorted({*names} - {*hidden})


@given(NAMES, NAMES, NAMES)
def test_affinity_is_to_what_is_named(names: list[str], wanted: list[str], slow: list[str]) -> None:
    """Who names repositories has each searched that is read in time, and no other but in the stead of one that is not."""
    routing = Routing({"b": 30, "x": 5}, table())
    found = routed(routing, names, wanted, slow)
    assert found == routed(routing, names[::-1], wanted[::-1], slow)
    told = {one.repository: one for one in found}
    asked = {*names} & {*wanted} if wanted else {*names}
    assert asked <= told.keys()
    left_out = {name for name in asked if not told[name].is_searched}
    assert told.keys() - asked <= {FALLBACKS[name] for name in left_out & FALLBACKS.keys()}
    assert not wanted or all(told[name].is_late for name in left_out)
