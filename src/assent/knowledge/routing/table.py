"""Which places lead to which, how far that is, and how long it takes: read from two documents that must fit each other."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec

from assent.errors import InputError, Json
from assent.spec.values.typed import convert
from assent.spec.words.legible import safe_line

NODES_MAX: Final = 10_000
EDGES_MAX: Final = 100_000

_Name: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Amount: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]
_Form = TypeVar("_Form")
Hop: TypeAlias = tuple[str, str]


class Node(msgspec.Struct, frozen=True):
    """A place."""

    id: _Name
    tier: str = ""
    replicas: Annotated[int, msgspec.Meta(ge=0)] = 1


class Link(msgspec.Struct, frozen=True):
    """How long a hop takes, in milliseconds: for half, for 95 and for 99 of a hundred."""

    source: _Name = msgspec.field(name="from")
    target: _Name = msgspec.field(name="to")
    p50: _Amount
    p95: _Amount
    p99: _Amount


class Way(msgspec.Struct, frozen=True):
    """The shortest way by weight: its places, and the sum of its hops' weights and of their p95."""

    nodes: tuple[str, ...]
    weight: float
    p95_ms: float


class _Edge(msgspec.Struct, frozen=True):
    source: _Name = msgspec.field(name="from")
    target: _Name = msgspec.field(name="to")
    weight: _Amount


class _Matrix(msgspec.Struct, frozen=True):
    nodes: Annotated[tuple[Node, ...], msgspec.Meta(max_length=NODES_MAX)]
    edges: Annotated[tuple[_Edge, ...], msgspec.Meta(max_length=EDGES_MAX)]
    adjacency: dict[str, dict[str, float]] | None = None
    fallbacks: dict[str, str] = {}
    version: str = ""


class _Summary(msgspec.Struct, frozen=True):
    budget_ms: _Amount
    max_hop_p95_ms: float | None = None
    mean_p50_ms: float | None = None


class _Latencies(msgspec.Struct, frozen=True):
    links: Annotated[tuple[Link, ...], msgspec.Meta(max_length=EDGES_MAX)]
    summary: _Summary
    version: str = ""


class Table:
    """A routing table. `KNOWLEDGE_ROUTES_INVALID` where its documents are not of their form, or do not fit each other."""

    def __init__(self, matrix: Mapping[str, Json], latencies: Mapping[str, Json]) -> None:
        shape, times = _converted(matrix, _Matrix), _converted(latencies, _Latencies)
        if shape.version != times.version:
            raise invalid("version", "must be the same in the matrix and in its latencies")
        self.nodes: Final = {node.id: node for node in shape.nodes}
        if len(self.nodes) != len(shape.nodes):
            raise invalid("nodes", "must not name a place twice")
        hops = _unique("edges", ((one.source, one.target) for one in shape.edges))
        for number, (source, target) in enumerate(hops):
            for end in (source, target):
                self._require_node(f"edges[{number}]", end)
            if source == target:
                raise invalid(f"edges[{number}]", f"must not lead from {_said(source)} to itself")
        if not all(math.isfinite(one.weight) for one in shape.edges):
            raise invalid("edges", "must have weights that are numbers")
        self.weights: Final = {(one.source, one.target): one.weight for one in shape.edges}
        self._next: dict[str, list[str]] = {node: [] for node in self.nodes}
        for source, target in sorted(hops):
            self._next[source].append(target)
        if shape.adjacency is not None:
            self._check_adjacency(shape.adjacency)
        self.links: Final = dict(
            zip(_unique("links", ((one.source, one.target) for one in times.links)), times.links, strict=True)
        )
        self._check_links(times.summary)
        self.budget_ms: Final = times.summary.budget_ms
        self.fallbacks: Final = shape.fallbacks
        for name, other in shape.fallbacks.items():
            self._check_fallback(name, other)

    def way(self, start: str, end: str) -> Way | None:
        """The shortest way; of ways of one weight the one whose names come first. None where none leads there."""
        for name in (start, end):
            self._require_node("way", name)
        waiting: list[tuple[float, tuple[str, ...]]] = [(0, (start,))]
        settled: set[str] = set()
        while waiting:
            weight, nodes = heapq.heappop(waiting)
            here = nodes[-1]
            if here == end:
                p95_ms = sum(self.links[hop].p95 for hop in pairwise(nodes))
                return Way(nodes, weight, p95_ms)
            if here in settled:
                continue
            settled.add(here)
            for target in self._next[here]:
                if target not in settled:
                    heapq.heappush(waiting, (weight + self.weights[here, target], (*nodes, target)))
        return None

    def _check_adjacency(self, adjacency: Mapping[str, Mapping[str, float]]) -> None:
        said = {
            (source, target): weight for source, row in adjacency.items() for target, weight in row.items()
        }
        for name in adjacency:
            self._require_node("adjacency", name)
        differing = next(
            (hop for hop in sorted(said.keys() | self.weights) if said.get(hop) != self.weights.get(hop)),
            None,
        )
        if differing is not None:
            raise invalid("adjacency", f"must say the same as `edges` of the hop {_hop(differing)}")

    def _check_links(self, summary: _Summary) -> None:
        for number, (hop, link) in enumerate(self.links.items()):
            if hop not in self.weights:
                raise invalid(f"links[{number}]", f"must be an edge of the matrix: {_hop(hop)} is none")
            if not link.p50 <= link.p95 <= link.p99 < math.inf:
                raise invalid(
                    f"links[{number}]", "must have a p50 of at most its p95, and that of at most its p99"
                )
        missing = next((hop for hop in self.weights if hop not in self.links), None)
        if missing is not None:
            raise invalid("links", f"must tell how long the hop {_hop(missing)} takes")
        if not math.isfinite(summary.budget_ms):
            raise invalid("summary.budget_ms", "must be a number")
        links = self.links.values()
        if summary.max_hop_p95_ms not in (None, max((one.p95 for one in links), default=0)):
            raise invalid("summary.max_hop_p95_ms", "must be the longest p95 of the links")
        mean = sum(one.p50 for one in links) / max(1, len(links))
        if summary.mean_p50_ms is not None and not math.isclose(summary.mean_p50_ms, mean, rel_tol=1e-6):
            raise invalid("summary.mean_p50_ms", "must be the mean p50 of the links")

    def _check_fallback(self, name: str, other: str) -> None:
        where = f"fallbacks.{safe_line(name)}"
        for one in (name, other):
            self._require_node(where, one)
        if name == other:
            raise invalid(where, "must be another place")
        for source, target in self.weights:
            if target == name and source != other and (source, other) not in self.weights:
                raise invalid(
                    where, f"must be reached from where {_said(name)} is: {_hop((source, other))} is no edge"
                )

    def _require_node(self, where: str, name: str) -> None:
        if name not in self.nodes:
            raise invalid(where, f"must name places of the table: {_said(name)} is none")


def invalid(path: str, what: str) -> InputError:
    """The refusal of a routing table, or of what is to be routed."""
    return InputError(
        "KNOWLEDGE_ROUTES_INVALID",
        f"`{path}` {what}",
        path=path,
        hint="`docs/knowledge.md` says what a routing table is",
    )


def _converted(document: Mapping[str, Json], form: type[_Form]) -> _Form:
    try:
        return convert(document, form)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        path = where.rstrip("`").lstrip(".") or "document"
        raise invalid(path, f"is not of its form: {what[:1].lower()}{what[1:]}") from None


def _unique(where: str, hops: Iterable[Hop]) -> list[Hop]:
    found: dict[Hop, None] = {}
    for number, hop in enumerate(hops):
        if hop in found:
            raise invalid(f"{where}[{number}]", f"must not say the hop {_hop(hop)} again")
        found[hop] = None
    return list(found)


def _said(name: str) -> str:
    return f"`{safe_line(name, 100)}`"


def _hop(hop: Hop) -> str:
    return f"{_said(hop[0])} -> {_said(hop[1])}"
