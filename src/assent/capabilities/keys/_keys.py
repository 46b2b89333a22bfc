"""`assent.key.create` and `assent.key.revoke`: which keys open the daemon's doors is decided as everything else is.

Whoever wants a key makes it themselves and hands over its id and digest: the key stands in no input, output, record, log or
answer. Creating it is undone by revoking it, and revoking it by letting it open again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from pydantic import Field

from assent.errors import Json
from assent.invocation import LocalContext, Prepared, Preview, Reconciliation
from assent.spec.capability import SpecModel
from assent.spec.scopes import Scope
from assent.spec.states import Verdict
from assent.spec.values.canonical import fingerprint
from assent.spec.words.durations import DAY_MS, instant, write_duration

KeyId = Annotated[str, Field(pattern="^ak_[a-z2-7]{16}$", description="The key's id, with which it begins.")]


class CreateKey(SpecModel):
    """A key that somebody has made."""

    id: KeyId
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the whole key.")]
    name: Annotated[str, Field(min_length=1, max_length=128, pattern="^[A-Za-z0-9][A-Za-z0-9 ._/:@+-]*$")]
    principal: Annotated[str, Field(max_length=160, description="As whom it acts: `user:ann`, `service:ci`.")]
    scopes: Annotated[list[Scope], Field(min_length=1, description="What may be asked with it.")]
    expires_in_ms: Annotated[int | None, Field(ge=1000, le=3650 * DAY_MS)] = None


class RevokeKey(SpecModel):
    """Which key."""

    id: KeyId


class Created(SpecModel):
    """The key, without what opens."""

    id: str
    name: str
    principal: str
    scopes: list[str]
    expires_at: str | None
    warnings: list[str]


class Revoked(SpecModel):
    """The key that opens nothing any more."""

    id: str
    principal: str


class KeyRing(msgspec.Struct, frozen=True):
    """What the roof offers: the keys of a state directory. `run` is the run that acts, which says who does.

    All raise `NoEffectError`: KEY_UNKNOWN, KEY_EXISTS, and KEY_REFUSED for what who acts may not do with keys.
    """

    require_new: Callable[[str], None]
    """There is no key of this id."""
    find: Callable[[str], tuple[str, bool]]
    """As whom a key acts, and whether nobody has revoked it."""
    create: Callable[[str, CreateKey], Awaitable[tuple[int | None, list[str]]]]
    """Let a key open; when it ends, and what is to be warned of. Again is harmless."""
    require_authority: Callable[[str, str], Awaitable[None]]
    """The run may revoke this key."""
    revoke: Callable[[str, str], Awaitable[None]]
    """Let a key open nothing. Again is harmless."""
    restore: Callable[[str, str], Awaitable[None]]
    """Let it open again. Again is harmless."""
    is_revoked: Callable[[str], bool]
    """Nobody can use it: it was revoked, or was never made."""
    schedules: Callable[[str], list[str]]
    """The names of the schedules that were added with it, and so begin no runs without it."""


def _ring(context: LocalContext) -> KeyRing:
    return context.app.get(KeyRing)


class Creation:
    """Making a key."""

    async def preview(self, context: LocalContext, parameters: CreateKey) -> Preview:
        """As whom it will act, with what, and how long."""
        del context
        length = parameters.expires_in_ms
        ends = "it does not end by itself" if length is None else f"for {write_duration(length)}"
        text = (
            f"whoever has the key `{parameters.name}` ({parameters.id}) acts as {parameters.principal}: "
            f"{', '.join(sorted(set(parameters.scopes)))}; {ends}"
        )
        return Preview("text", text, fingerprint({"key": parameters.id}))

    async def prepare(self, context: LocalContext, parameters: CreateKey) -> Prepared:
        """Nothing has to be kept: its undo is the key's end."""
        _ring(context).require_new(parameters.id)
        return Prepared()

    async def execute(self, context: LocalContext, parameters: CreateKey) -> Created:
        """Keep its digest, if who asks may make such a key."""
        ends_ms, warnings = await _ring(context).create(context.run, parameters)
        return Created(
            id=parameters.id,
            name=parameters.name,
            principal=parameters.principal,
            scopes=sorted(set(parameters.scopes)),
            expires_at=None if ends_ms is None else instant(ends_ms),
            warnings=warnings,
        )

    async def reconcile(self, context: LocalContext, parameters: CreateKey) -> Reconciliation:
        """A key that opens was made by this very call, whose id nobody else has; then it is put on record, if it is not."""
        if _ring(context).is_revoked(parameters.id):
            return Reconciliation(Verdict.NO)
        return Reconciliation(Verdict.YES, (await self.execute(context, parameters)).model_dump(mode="json"))

    async def compensate(self, context: LocalContext, parameters: CreateKey) -> Json:
        """Revoke it."""
        await _ring(context).revoke(context.run, parameters.id)
        return {}


class Revocation:
    """Revoking a key."""

    async def preview(self, context: LocalContext, parameters: RevokeKey) -> Preview:
        """Which key, and which schedules it takes with it."""
        text = f"the key {parameters.id} opens nothing any more"
        if names := _ring(context).schedules(parameters.id):
            text += f"; schedules that were added with it begin no more runs: {', '.join(names)}"
        return Preview("text", text, fingerprint({"key": parameters.id}))

    async def prepare(self, context: LocalContext, parameters: RevokeKey) -> Prepared:
        """Whether it is there, and opens anything now."""
        principal, is_open = _ring(context).find(parameters.id)
        return Prepared({"principal": principal, "was_open": is_open})

    async def execute(self, context: LocalContext, parameters: RevokeKey) -> Revoked:
        """Let it open nothing."""
        ring = _ring(context)
        await ring.require_authority(context.run, parameters.id)
        await ring.revoke(context.run, parameters.id)
        return Revoked(id=parameters.id, principal=str((context.prepared or {})["principal"]))

    async def reconcile(self, context: LocalContext, parameters: RevokeKey) -> Reconciliation:
        """One that opened before opens nothing: that is put on record, if it is not. To revoke one again changes nothing."""
        ring = _ring(context)
        if (context.prepared or {}).get("was_open") is not True or not ring.is_revoked(parameters.id):
            return Reconciliation(Verdict.NO)
        return Reconciliation(Verdict.YES, (await self.execute(context, parameters)).model_dump(mode="json"))

    async def compensate(self, context: LocalContext, parameters: RevokeKey) -> Json:
        """Let it open again what it opened."""
        if (context.prepared or {}).get("was_open") is True:
            await _ring(context).restore(context.run, parameters.id)
        return {}
