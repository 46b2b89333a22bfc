"""`assent.mcp.trust` and `assent.mcp.untrust`: whose tools agents are offered is decided as everything else is.

What is kept for the undo is the entry of the lock as it was; the output tells which definitions were agreed to, by their digest,
and what of them differed from those before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import msgspec
from pydantic import Field

from assent.errors import RefusedError
from assent.invocation import LocalContext, Prepared, Preview, Reconciliation
from assent.spec.capability import SpecModel
from assent.spec.states import Verdict
from assent.spec.values.canonical import fingerprint

Name = Annotated[
    str, Field(pattern="^[a-z][a-z0-9_]{0,62}$", description="What assent.toml calls the server.")
]


class TrustServer(SpecModel):
    """A server as somebody looked at it."""

    name: Name
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="The fingerprint that was looked at.")]


class UntrustServer(SpecModel):
    """Which server."""

    name: Name


class Decided(SpecModel):
    """What is trusted of the server by then, and what was before: fingerprints, and what differs between the two."""

    name: str
    digest: str | None
    before: str | None
    differences: list[str]


Entry = Mapping[str, Any]
"""What the lock says of one server, as JSON. `Any`: JSON."""


class ServerTrust(msgspec.Struct, frozen=True):
    """What the roof offers: the lock of MCP servers. All raise `NoEffectError`; `put` has the change in force when it returns."""

    entry: Callable[[str], Entry | None]
    """What it says of a server; None where that is not trusted."""
    look: Callable[[str, str, str], Awaitable[Entry]]
    """The entry that a server's tools come to as they are now, if it has this digest, trusted by a principal."""
    put: Callable[[str, Entry | None], Awaitable[None]]
    """Have the lock say this of a server. Again is harmless."""
    differences: Callable[[Entry, Entry], list[str]]
    """What changed from one entry to another, a line for each."""


class Trust:
    """Pinning what a server lists now."""

    async def preview(self, context: LocalContext, parameters: TrustServer) -> Preview:
        """Which fingerprint takes the place of which; the server is not asked."""
        before = _digest(_lock(context).entry(parameters.name))
        text = f"the tools of MCP server `{parameters.name}` are trusted as {parameters.digest}"
        told = text if before is None else f"{text}; so far: {before}"
        return Preview("text", told, fingerprint({"before": before}), changes=before != parameters.digest)

    async def prepare(self, context: LocalContext, parameters: TrustServer) -> Prepared:
        """What the lock says so far."""
        return _kept(context, parameters.name)

    async def execute(self, context: LocalContext, parameters: TrustServer) -> Decided:
        """Look at it once more, and pin it if it is what was looked at."""
        lock = _lock(context)
        found = await lock.look(parameters.name, parameters.digest, str(context.principal))
        await lock.put(parameters.name, found)
        return _decided(context, parameters.name, found)

    async def reconcile(self, context: LocalContext, parameters: TrustServer) -> Reconciliation:
        """Whether the lock says so, and did not before."""
        return _reconciled(context, parameters.name, parameters.digest)

    async def compensate(self, context: LocalContext, parameters: TrustServer) -> None:
        """Have the lock say what it said before."""
        await _put_back(context, parameters.name, parameters.digest)


class Untrust:
    """Taking a server out of the lock."""

    async def preview(self, context: LocalContext, parameters: UntrustServer) -> Preview:
        """What is trusted so far."""
        before = _digest(_lock(context).entry(parameters.name))
        text = f"no tool of MCP server `{parameters.name}` can be called"
        return Preview("text", text, fingerprint({"before": before}), changes=before is not None)

    async def prepare(self, context: LocalContext, parameters: UntrustServer) -> Prepared:
        """What the lock says so far."""
        return _kept(context, parameters.name)

    async def execute(self, context: LocalContext, parameters: UntrustServer) -> Decided:
        """Take it out, if it is there."""
        await _lock(context).put(parameters.name, None)
        return _decided(context, parameters.name, None)

    async def reconcile(self, context: LocalContext, parameters: UntrustServer) -> Reconciliation:
        """Whether it is out, and was in before."""
        return _reconciled(context, parameters.name, None)

    async def compensate(self, context: LocalContext, parameters: UntrustServer) -> None:
        """Have the lock say what it said before."""
        await _put_back(context, parameters.name, None)


def _kept(context: LocalContext, name: str) -> Prepared:
    entry = _lock(context).entry(name)
    return Prepared({"before": None if entry is None else dict(entry)})


def _reconciled(context: LocalContext, name: str, wanted: str | None) -> Reconciliation:
    found, before = _lock(context).entry(name), _before(context)
    if _is_same(found, before):
        return Reconciliation(Verdict.NO)
    if _digest(found) != wanted:
        return Reconciliation(Verdict.UNKNOWN)
    return Reconciliation(Verdict.YES, _decided(context, name, found).model_dump(mode="json"))


async def _put_back(context: LocalContext, name: str, wanted: str | None) -> None:
    """Nothing where it is so already. `COMPENSATION_CONFLICT` where somebody else decided since."""
    lock, before = _lock(context), _before(context)
    found = lock.entry(name)
    if _is_same(found, before):
        return
    if _digest(found) != wanted:
        raise RefusedError(
            "COMPENSATION_CONFLICT",
            f"somebody else decided about MCP server `{name}` since",
            hint=f"look at it, and decide anew: assent mcp trust {name}",
            details={"expected": wanted, "found": _digest(found)},
        )
    await lock.put(name, before)


def _lock(context: LocalContext) -> ServerTrust:
    return context.app.get(ServerTrust)


def _before(context: LocalContext) -> Entry | None:
    found: Any = (context.prepared or {}).get("before")  # `Any`: JSON
    return None if found is None else dict(found)


def _digest(entry: Entry | None) -> str | None:
    return None if entry is None else str(entry["digest"])


def _is_same(one: Entry | None, other: Entry | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one["digest"], one["trusted_by"]) == (other["digest"], other["trusted_by"])


def _decided(context: LocalContext, name: str, now: Entry | None) -> Decided:
    before = _before(context)
    differences = [] if before is None or now is None else _lock(context).differences(before, now)
    return Decided(name=name, digest=_digest(now), before=_digest(before), differences=differences)
