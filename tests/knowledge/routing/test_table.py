"""A routing table is taken whole or refused, and its ways are the shortest."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import InputError
from assent.knowledge.routing import Table, Way

MATRIX: dict[str, Any] = {
    "version": "1",
    "nodes": [{"id": "a", "tier": "edge", "replicas": 3}, {"id": "b"}, {"id": "c"}, {"id": "d"}],
    "edges": [
        {"from": "a", "to": "b", "weight": 1},
        {"from": "a", "to": "c", "weight": 2},
        {"from": "b", "to": "c", "weight": 2},
        {"from": "c", "to": "d", "weight": 1},
    ],
    "adjacency": {"a": {"b": 1, "c": 2}, "b": {"c": 2}, "c": {"d": 1}, "d": {}},
    "fallbacks": {"b": "c"},
}
TIMES: dict[str, Any] = {
    "version": "1",
    "links": [
        {"from": "a", "to": "b", "p50": 1, "p95": 2, "p99": 3},
        {"from": "a", "to": "c", "p50": 2, "p95": 20, "p99": 30},
        {"from": "b", "to": "c", "p50": 3, "p95": 3, "p99": 3},
        {"from": "c", "to": "d", "p50": 4, "p95": 5, "p99": 6},
    ],
    "summary": {"budget_ms": 100, "max_hop_p95_ms": 20, "mean_p50_ms": 2.5},
}


def test_ways_are_the_shortest_by_weight() -> None:
    table = Table(MATRIX, TIMES)
    assert table.way("a", "d") == Way(("a", "c", "d"), 3, 25)
    assert table.way("a", "a") == Way(("a",), 0, 0)
    assert table.way("d", "a") is None
    assert (table.budget_ms, table.fallbacks, table.nodes["a"].replicas) == (100, {"b": "c"}, 3)
    with pytest.raises(InputError, match="`way` must name places of the table: `x` is none"):
        table.way("a", "x")


def test_a_table_may_be_empty_and_say_no_more_than_it_must() -> None:
    table = Table({"nodes": [], "edges": []}, {"links": [], "summary": {"budget_ms": 1}})
    assert table.nodes == {}
    Table({"nodes": [], "edges": []}, {"links": [], "summary": {"budget_ms": 1, "max_hop_p95_ms": 0}})


Edit = Callable[[dict[str, Any], dict[str, Any]], object]


@pytest.mark.parametrize(
    ("edit", "path", "says"),
    [
        (lambda m, _: m["edges"][3].update(to="x"), "edges[3]", "must name places of the table: `x` is none"),
        (lambda m, _: m["edges"][3].update({"from": "\x1b"}), "edges[3]", "`\\x1b` is none"),
        (lambda m, _: m["edges"][0].update(to="a"), "edges[0]", "must not lead from `a` to itself"),
        (lambda m, _: m["edges"].append(m["edges"][1]), "edges[4]", "must not say the hop `a` -> `c` again"),
        (lambda m, _: m["edges"][0].update(weight=-1), "edges[0].weight", "is not of its form: expected"),
        (lambda m, _: m["edges"][0].update(weight=float("inf")), "edges", "weights that are numbers"),
        (lambda m, _: m["nodes"].append({"id": "a"}), "nodes", "must not name a place twice"),
        (lambda m, _: m["nodes"].append({"id": ""}), "nodes[4].id", "is not of its form"),
        (
            lambda m, _: m.pop("nodes"),
            "document",
            "is not of its form: object missing required field `nodes`",
        ),
        (lambda m, _: m["adjacency"].update(x={}), "adjacency", "`x` is none"),
        (
            lambda m, _: m["adjacency"]["d"].update(a=1),
            "adjacency",
            "must say the same as `edges` of the hop `d` -> `a`",
        ),
        (lambda m, _: m["adjacency"]["a"].pop("b"), "adjacency", "of the hop `a` -> `b`"),
        (lambda m, _: m["adjacency"]["a"].update(b=7), "adjacency", "of the hop `a` -> `b`"),
        (lambda m, _: m["fallbacks"].update(c="x"), "fallbacks.c", "`x` is none"),
        (lambda m, _: m["fallbacks"].update(x="c"), "fallbacks.x", "`x` is none"),
        (lambda m, _: m["fallbacks"].update(c="c"), "fallbacks.c", "must be another place"),
        (
            lambda m, _: m["fallbacks"].update(d="b"),
            "fallbacks.d",
            "from where `d` is: `c` -> `b` is no edge",
        ),
        (lambda _, t: t.update(version="2"), "version", "must be the same"),
        (
            lambda _, t: t["links"][3].update(to="a"),
            "links[3]",
            "must be an edge of the matrix: `c` -> `a` is none",
        ),
        (lambda _, t: t["links"].pop(), "links", "must tell how long the hop `c` -> `d` takes"),
        (lambda _, t: t["links"].append(t["links"][0]), "links[4]", "must not say the hop `a` -> `b` again"),
        (lambda _, t: t["links"][0].update(p95=9), "links[0]", "must have a p50 of at most its p95"),
        (lambda _, t: t["links"][0].update(p95=float("nan")), "links[0].p95", "is not of its form"),
        (lambda _, t: t["links"][0].update(p99=float("inf")), "links[0]", "must have a p50"),
        (lambda _, t: t["summary"].update(budget_ms=float("inf")), "summary.budget_ms", "must be a number"),
        (
            lambda _, t: t["summary"].update(max_hop_p95_ms=21),
            "summary.max_hop_p95_ms",
            "must be the longest",
        ),
        (lambda _, t: t["summary"].update(mean_p50_ms=2.6), "summary.mean_p50_ms", "must be the mean"),
    ],
)
def test_what_does_not_fit_is_refused(edit: Edit, path: str, says: str) -> None:
    matrix, times = copy.deepcopy(MATRIX), copy.deepcopy(TIMES)
    edit(matrix, times)
    with pytest.raises(InputError) as refused:
        Table(matrix, times)
    assert (refused.value.code, refused.value.path) == ("KNOWLEDGE_ROUTES_INVALID", path)
    assert says in refused.value.message


@given(st.dictionaries(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), st.integers(0, 3)))
def test_a_way_is_the_least_of_all_ways(found: dict[tuple[str, str], int]) -> None:
    weights = {hop: weight for hop, weight in found.items() if hop[0] != hop[1]}
    table = Table(
        {
            "nodes": [{"id": name} for name in "abcd"],
            "edges": [{"from": a, "to": b, "weight": weight} for (a, b), weight in weights.items()],
        },
        {
            "links": [{"from": a, "to": b, "p50": 1, "p95": 1, "p99": 1} for a, b in weights],
            "summary": {"budget_ms": 1},
        },
    )
    between = [inner for length in range(3) for inner in permutations("bc", length)]
    ways = [("a", *inner, "d") for inner in between]
    least = min(
        (
            (sum(weights[hop] for hop in pairwise(way)), way)
            for way in ways
            if set(pairwise(way)) <= weights.keys()
        ),
        default=None,
    )
    way = table.way("a", "d")
    assert (way and (way.weight, way.nodes)) == least


def test_the_table_of_the_samples(samples: Path) -> None:
    folder = samples / "embednexus"
    matrix, times = (
        json.loads((folder / "fixtures" / "routing" / name).read_text())
        for name in ("multi-repo-matrix.json", "latency-matrix.json")
    )
    table = Table(matrix, times)
    assert (len(table.nodes), len(table.weights), table.budget_ms) == (5, 5, 275)
    way = table.way("ingest-api", "audit-log")
    assert way == Way(("ingest-api", "routing-control", "artifact-store", "audit-log"), 8, 69)
    golden = (folder / "golden" / "routing" / "multi-repo-latency.transcript").read_text()
    lines = [
        f"{a} -> {b} p50={one.p50:g}ms p95={one.p95:g}ms p99={one.p99:g}ms"
        for (a, b), one in table.links.items()
    ]
    head = f"# Multi-repo latency transcript\ngenerated_at: {times['generated_at']}\n"
    assert golden.rstrip("\n") == head + "\n".join(lines)
    fallbacks: list[dict[str, Any]] = [{"artifact-store": "archive"}, {"audit-log": "code-search"}]
    for fallback in fallbacks:
        with pytest.raises(InputError, match="fallbacks"):
            Table({**matrix, "fallbacks": fallback}, times)
    fitting: dict[str, Any] = {"artifact-store": "code-search"}
    assert Table({**matrix, "fallbacks": fitting}, times).fallbacks == fitting
    for changed in ("to", "from"):
        trap = copy.deepcopy(times)
        trap["links"][2][changed] = "audit-log"
        with pytest.raises(InputError, match="must be an edge"):
            Table(matrix, trap)
