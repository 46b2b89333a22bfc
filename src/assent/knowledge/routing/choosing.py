"""Which repositories are asked for a tenant, in which order, and why any other of the tenant's is not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from assent.knowledge.routing.table import Table, invalid
from assent.spec.words.legible import safe_line


class Repository(msgspec.Struct, frozen=True, kw_only=True):
    """A repository: whose it is, how long 95 of a hundred of its answers take at most, and who stands in for it.

    `p95_ms` is None where nothing was measured yet. `node` is its place in the routing table. Who is a `fallback` is asked in the
    stead of the other, and not beside it.
    """

    id: str
    tenant: str
    p95_ms: float | None = None
    node: str | None = None
    fallback: str | None = None


class Route(msgspec.Struct, frozen=True):
    """A repository that is asked, and why."""

    repository: str
    p95_ms: float | None
    why: str


class NotAsked(msgspec.Struct, frozen=True):
    """A repository that is not asked, and why."""

    repository: str
    because: str


class Routes(msgspec.Struct, frozen=True):
    """Who is asked, first to last, and who is not. All are asked at once: the budget is that of each."""

    asked: tuple[Route, ...]
    not_asked: tuple[NotAsked, ...]


def routes(
    repositories: Iterable[Repository],
    *,
    tenant: str,
    budget_ms: float,
    affinity: Sequence[str] = (),
    table: Table | None = None,
    start: str | None = None,
) -> Routes:
    """The routes of one tenant. Those of others leave no trace: nothing differs from where they were not there.

    Those of `affinity` come first, in its order; then the quicker before the slower, those not measured last, and by name. With a
    `table`, the p95 of the way from `start` to a repository's node counts as its own.

    `KNOWLEDGE_ROUTES_INVALID`: an id twice, a fallback that is not the tenant's or leads back, a node that is not in the table.
    """
    own: dict[str, Repository] = {}
    for one in sorted((one for one in repositories if one.tenant == tenant), key=lambda one: one.id):
        if one.id in own:
            raise invalid(_shown(one.id), "must not be there twice")
        own[one.id] = one
    heirs = {one.id: _heirs(one, own) for one in own.values()}
    standing_by = {one.fallback for one in own.values()}
    judged = {one.id: _judged(one, budget_ms, table, start) for one in own.values()}
    asked: dict[str, Route] = {}
    for one in own.values():
        if one.id in standing_by:
            continue
        for name in (one.id, *heirs[one.id]):
            found = judged[name]
            if isinstance(found, Route):
                stead = "" if name == one.id else f"; in the stead of `{_shown(one.id)}`"
                said = asked.get(name, found)
                asked[name] = msgspec.structs.replace(said, why=said.why + stead)
                break
    ranks = {name: rank for rank, name in reversed(list(enumerate(affinity)))}

    def order(route: Route) -> tuple[float, bool, float, str]:
        rank = ranks.get(route.repository, len(affinity))
        return rank, route.p95_ms is None, route.p95_ms or 0, route.repository

    ordered = tuple(
        msgspec.structs.replace(one, why=f"{one.why}; preferred") if one.repository in ranks else one
        for one in sorted(asked.values(), key=order)
    )
    left = (
        NotAsked(name, found.because if isinstance(found, NotAsked) else "it stands by for another one")
        for name, found in judged.items()
        if name not in asked
    )
    return Routes(ordered, tuple(left))


def _heirs(one: Repository, own: dict[str, Repository]) -> list[str]:
    """Who stands in for it, and for that one, and so on."""
    found: list[str] = []
    while one.fallback is not None:
        if one.fallback not in own:
            raise invalid(_shown(one.id), "must have a fallback that is a repository of its tenant")
        found.append(one.fallback)
        if len(found) > len(set(found)):
            raise invalid(_shown(one.id), "must have a fallback that does not lead back")
        one = own[one.fallback]
    return found


def _judged(one: Repository, budget_ms: float, table: Table | None, start: str | None) -> Route | NotAsked:
    way_ms, way = 0.0, ""
    if table is not None and start is not None and one.node is not None:
        found = table.way(start, one.node)
        if found is None:
            return NotAsked(one.id, f"no way leads from `{_shown(start)}` to `{_shown(one.node)}`")
        way_ms, way = found.p95_ms, f" by {' -> '.join(map(_shown, found.nodes))}"
    if one.p95_ms is None and way_ms <= budget_ms:
        return Route(one.id, None, f"it was not measured yet{way}")
    p95_ms = way_ms + (one.p95_ms or 0)
    if p95_ms > budget_ms:
        return NotAsked(one.id, f"its p95 of {p95_ms:g} ms{way} is past the budget of {budget_ms:g} ms")
    return Route(one.id, p95_ms, f"its p95 of {p95_ms:g} ms{way} is within the budget of {budget_ms:g} ms")


def _shown(name: str) -> str:
    return safe_line(name, 100)
