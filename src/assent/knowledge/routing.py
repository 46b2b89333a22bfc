"""Which repositories a search goes to, how long it waits for each, and which stands in for which.

A repository may have a budget. A routing table says more: over which way each is reached from where searches start, how much of
the budget that takes, and which is searched in the stead of another. Its times are the operator's: none is measured here.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import pairwise
from typing import Annotated, Final, NamedTuple, TypeAlias

import msgspec

from assent.errors import InputError
from assent.spec.values.typed import decode
from assent.spec.words.durations import write_duration
from assent.spec.words.legible import safe_line

NODES_MAX: Final = 1_000
EDGES_MAX: Final = 10_000

_Name: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_Amount: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]
_Hop: TypeAlias = tuple[str, str]


class _Node(msgspec.Struct):
    id: _Name


class _Edge(msgspec.Struct):
    source: _Name = msgspec.field(name="from")
    target: _Name = msgspec.field(name="to")
    weight: _Amount


class _Link(msgspec.Struct):
    source: _Name = msgspec.field(name="from")
    target: _Name = msgspec.field(name="to")
    p50: _Amount
    p95: _Amount
    p99: _Amount


class _Matrix(msgspec.Struct):
    nodes: Annotated[tuple[_Node, ...], msgspec.Meta(max_length=NODES_MAX)]
    edges: Annotated[tuple[_Edge, ...], msgspec.Meta(max_length=EDGES_MAX)]
    adjacency: dict[str, dict[str, float]] | None = None
    fallbacks: dict[str, str] = {}
    version: str = ""


class _Summary(msgspec.Struct):
    budget_ms: Annotated[int, msgspec.Meta(ge=1)]


class _Latencies(msgspec.Struct):
    links: Annotated[tuple[_Link, ...], msgspec.Meta(max_length=EDGES_MAX)]
    summary: _Summary
    version: str = ""


class _Document(msgspec.Struct):
    start: _Name
    matrix: _Matrix
    latencies: _Latencies


class Way(NamedTuple):
    """The shortest way by weight to a place: the places that it goes through, and the sum of its hops' p95."""

    nodes: tuple[str, ...]
    p95_ms: float

    def __str__(self) -> str:
        return " -> ".join(safe_line(one, 100) for one in self.nodes)


class Table:
    """A routing table: a text of JSON. `KNOWLEDGE_ROUTES_INVALID` where it is wrong in part."""

    def __init__(self, text: bytes) -> None:
        said = _decoded(text)
        matrix, times = said.matrix, said.latencies
        if matrix.version != times.version:
            raise _invalid("version", "must be the same in the matrix and in its latencies")
        self.nodes: Final = frozenset(one.id for one in matrix.nodes)
        if len(self.nodes) != len(matrix.nodes):
            raise _invalid("matrix.nodes", "must not name a place twice")
        hops = self._hops("matrix.edges", matrix.edges)
        self.weights: Final = dict(zip(hops, (one.weight for one in matrix.edges), strict=True))
        rows = (matrix.adjacency or {}).items()
        said_again = {(source, target): weight for source, row in rows for target, weight in row.items()}
        if matrix.adjacency is not None and said_again != self.weights:
            raise _invalid("matrix.adjacency", "must say the same as `edges`")
        links = self._hops("latencies.links", times.links)
        for number, (hop, link) in enumerate(zip(links, times.links, strict=True)):
            if hop not in self.weights:
                raise _invalid(
                    f"latencies.links[{number}]", f"must be an edge of the matrix: {_told(hop)} is none"
                )
            if not link.p50 <= link.p95 <= link.p99:
                what = "must have a p50 of at most its p95, and that of at most its p99"
                raise _invalid(f"latencies.links[{number}]", what)
        missing = next((hop for hop in hops if hop not in links), None)
        if missing is not None:
            raise _invalid("latencies.links", f"must tell how long the hop {_told(missing)} takes")
        self.p95_ms: Final = dict(zip(links, (one.p95 for one in times.links), strict=True))
        self.budget_ms: Final = times.summary.budget_ms
        self.fallbacks: Final = matrix.fallbacks
        for name, other in self.fallbacks.items():
            self._check_fallback(name, other)
        self._require("start", said.start)
        self.start: Final = said.start
        self.ways: Final = self._shortest()

    def _hops(self, where: str, said: Iterable[_Edge | _Link]) -> dict[_Hop, None]:
        found: dict[_Hop, None] = {}
        for number, one in enumerate(said):
            hop = (one.source, one.target)
            self._require(f"{where}[{number}]", *hop)
            if hop in found or one.source == one.target:
                raise _invalid(
                    f"{where}[{number}]", f"must not say {_told(hop)} again, nor lead back to itself"
                )
            found[hop] = None
        return found

    def _check_fallback(self, name: str, other: str) -> None:
        where = f"matrix.fallbacks.{safe_line(name)}"
        self._require(where, name, other)
        if name == other or other in self.fallbacks:
            raise _invalid(where, "must be another place, which has no fallback itself")
        for source, target in self.weights:
            if target == name and source != other and (source, other) not in self.weights:
                raise _invalid(
                    where, f"must be reached from where its place is: {_told((source, other))} is no edge"
                )

    def _require(self, where: str, *names: str) -> None:
        for name in names:
            if name not in self.nodes:
                raise _invalid(where, f"must name places of the table: `{safe_line(name, 100)}` is none")

    def _shortest(self) -> dict[str, Way]:
        """The way to each place that is reached; of ways of one weight the one whose names come first."""
        following: dict[str, list[str]] = {node: [] for node in self.nodes}
        for source, target in self.weights:
            following[source].append(target)
        ways: dict[str, Way] = {}
        waiting: list[tuple[float, tuple[str, ...]]] = [(0, (self.start,))]
        while waiting:
            weight, nodes = heapq.heappop(waiting)
            here = nodes[-1]
            if here not in ways:
                ways[here] = Way(nodes, sum(self.p95_ms[hop] for hop in pairwise(nodes)))
                for target in following[here]:
                    heapq.heappush(waiting, (weight + self.weights[here, target], (*nodes, target)))
        return ways


class Route(NamedTuple):
    """A repository, and why it is searched or left out. `is_late`: it is past its budget."""

    repository: str
    because: str
    is_searched: bool = True
    is_late: bool = False


class Routing:
    """By what searches go: `budgets` of repositories in milliseconds, and a table whose places are repositories."""

    def __init__(self, budgets: Mapping[str, int], table: Table | None = None) -> None:
        self._budgets, self._table = budgets, table
        self._fallbacks = {} if table is None else table.fallbacks

    def left_ms(self, repository: str) -> float | None:
        """How long it may take to be read; None: it is waited for. Less than none: it is past its budget before."""
        budget_ms, way = self._of(repository)
        return None if budget_ms is None else budget_ms - (0 if way is None else way.p95_ms)

    def routes(
        self,
        names: Collection[str],
        wanted: Collection[str],
        read: Callable[[str, float | None], bool | None],
    ) -> list[Route]:
        """How each of the `wanted` (none: all) of these repositories fares, and those that are searched in their stead.

        `read` waits so many milliseconds for one, counted from when the search began, and tells whether it is read; None: who
        asks may see nothing of it, and it is as if it were not there.
        """
        told: dict[str, Route] = {}
        asked = {*names} & {*wanted} if wanted else {*names}
        for name in sorted(asked, key=lambda one: (one not in self._fallbacks, one)):
            main = told.get(name) or self._judged(name, read)
            if main is None:
                continue
            told[name] = main
            other = self._fallbacks.get(name)
            if other is None or other not in names:
                continue
            if not main.is_searched:
                known = told.get(other)
                stead = known if known and known.is_searched else self._judged(other, read)
                if stead is not None:
                    told[other] = stead._replace(because=f"{stead.because}; in the stead of `{name}`")
            elif not wanted and read(other, 0) is not None:
                told.setdefault(other, Route(other, f"it stands by for `{name}`", is_searched=False))
        return sorted(told.values())

    def _of(self, repository: str) -> tuple[int | None, Way | None]:
        """Its budget, and the way to it. One that no way leads to has a budget, and the way takes longer."""
        own, table = self._budgets.get(repository), self._table
        if table is None or repository not in table.nodes:
            return own, None
        return own or table.budget_ms, table.ways.get(repository, Way((), float("inf")))

    def _judged(self, name: str, read: Callable[[str, float | None], bool | None]) -> Route | None:
        budget_ms, way = self._of(name)
        left_ms = self.left_ms(name)
        is_read = read(name, None if left_ms is None else max(0, left_ms))
        if is_read is None:
            return None
        if budget_ms is None:
            return Route(name, "it has no budget, and is waited for")
        within = f"its budget of {write_duration(budget_ms)}"
        if way is not None and way.p95_ms > budget_ms:
            said = f"the way to it, {way}, takes {way.p95_ms:g} ms, past {within}"
            said = said if way.nodes else "no way leads to it"
            return Route(name, said, is_searched=False, is_late=True)
        spent = "" if way is None else f", of which the way {way} takes {way.p95_ms:g} ms"
        said = f"it was {'' if is_read else 'not '}read within {within}{spent}"
        return Route(name, said, is_searched=is_read, is_late=not is_read)


def _decoded(text: bytes) -> _Document:
    try:
        return decode(text, _Document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        what, _, where = str(error).partition(" - at `$")
        raise _invalid(where.rstrip("`").lstrip(".") or "document", f"is not of its form: {what}") from None


def _invalid(path: str, what: str) -> InputError:
    return InputError(
        "KNOWLEDGE_ROUTES_INVALID",
        f"`{path}` {what}",
        path=path,
        hint="`docs/knowledge.md` says what a routing table is",
    )


def _told(hop: _Hop) -> str:
    return " -> ".join(f"`{safe_line(one, 100)}`" for one in hop)
