"""What the capabilities that make and revoke keys may do: by whom, for whom, and what the record then says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from assent.engine import Services
from assent.errors import InputError
from assent.invocation import NoEffectError
from assent.journal import Batch, each_leaf
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring.key_store import BY_KEY, KEYS_MAX, Key, KeyStore
from assent.spec.events.kinds import KeyCreated, KeyRevoked, RunCreated
from assent.spec.ids import RunId
from assent.spec.principal import BY_ASSERTION, BY_PEER, BY_PROCESS, Principal, PrincipalKind
from assent.spec.scopes import ADMIN, APPROVE

if TYPE_CHECKING:
    from collections.abc import Callable

    from assent.capabilities.keys import CreateKey, KeyRing


class KeyActs:
    """What `assent.key.create` and `assent.key.revoke` do, as the owner of the state."""

    def __init__(self, settings: Settings, schedules_by: Callable[[str], list[str]]) -> None:
        """`schedules_by` names the schedules that were added by whoever came in by something."""
        self._settings = settings
        self._schedules_by = schedules_by
        self._store = KeyStore(settings.state)
        self._services: Services | None = None

    def open(self, services: Services) -> None:
        """Keys can be made from now on."""
        self._services = services

    def offered(self) -> KeyRing:
        """The same for the capabilities."""
        from assent.capabilities.keys import KeyRing  # for who makes a key

        return KeyRing(
            self.require_new,
            self.find,
            self.create,
            self.require_authority,
            self.revoke,
            self.restore,
            self.is_revoked,
            lambda ident: self._schedules_by(f"{BY_KEY}{ident}"),
        )

    def require_new(self, ident: str) -> None:
        """Raise KEY_EXISTS for an id that is taken."""
        if self._store.find(ident) is not None:
            raise _no_effect("KEY_EXISTS", f"there is a key `{ident}` already", "make another one")

    def find(self, ident: str) -> tuple[str, bool]:
        """As whom a key acts, and whether nobody has revoked it."""
        key = self._found(ident)
        return key.principal, key.revoked_ms is None

    def is_revoked(self, ident: str) -> bool:
        """Nobody can use it: it was revoked, or was never made."""
        key = self._store.find(ident)
        return key is None or key.revoked_ms is not None

    async def create(self, run: str, asked: CreateKey) -> tuple[int | None, list[str]]:
        """Keep a key's digest, and put it on record; when it ends, and what is to be warned of. KEY_REFUSED."""
        created, services, key = await self._created(run), self._ready, self._store.find(asked.id)
        warnings = self._judge(created, asked)
        if key is None:
            now_ms, length = services.clock.now_ms(), asked.expires_in_ms
            key = Key(
                id=asked.id,
                digest=asked.digest,
                name=asked.name,
                principal=asked.principal,
                scopes=frozenset(asked.scopes),
                created_ms=now_ms,
                created_by=created.principal,
                expires_ms=None if length is None else now_ms + length,
                configured=asked.principal in self._settings.roles,
            )
            self._store.write(key)
        await self._tell_created(run, created, key)
        return key.expires_ms, warnings

    async def require_authority(self, run: str, ident: str) -> None:
        """Raise KEY_REFUSED unless the run may revoke this key."""
        self._require_authority(await self._created(run), self._found(ident).principal, frozenset())

    async def revoke(self, run: str, ident: str) -> None:
        """Let it open nothing, and put that on record."""
        key, services = self._found(ident), self._ready
        if key.revoked_ms is None:
            self._store.write(msgspec.structs.replace(key, revoked_ms=services.clock.now_ms()))
        await self._tell(run, KeyRevoked(key=ident, act=RunId(run), **(await self._created(run)).who()))

    async def restore(self, run: str, ident: str) -> None:
        """Let it open again, and put that on record."""
        key = msgspec.structs.replace(self._found(ident), revoked_ms=None)
        self._store.write(key)
        await self._tell_created(run, await self._created(run), key)

    def _judge(self, created: RunCreated, asked: CreateKey) -> list[str]:
        principal = _principal(asked.principal)
        if self._store.count() >= KEYS_MAX:
            raise _no_effect(
                "KEY_REFUSED", f"there are {KEYS_MAX} keys already", "remove files of ended ones"
            )
        self._require_authority(created, asked.principal, frozenset(asked.scopes))
        is_own = asked.principal == created.principal and not created.asserted
        if is_own or asked.principal in self._settings.roles:
            return []
        if self._settings.identities.strict:
            raise _no_effect(
                "KEY_REFUSED",
                f"`{principal}` is not in the configuration, and not who asks",
                f"write it under `[identity.{principal.type.value}s]` of assent.toml",
            )
        return [f"`{principal}` is not in the configuration: whoever has the key is believed to be it"]

    def _require_authority(self, created: RunCreated, principal: str, scopes: frozenset[str]) -> None:
        """Raise KEY_REFUSED for what would let somebody through a key be more than they are.

        On the machine itself a user makes keys for anybody, agents and services for themselves, without a say in approvals.
        Through a door a key of scope `admin` makes and revokes those that open no more than itself.
        """
        by = created.identified_by or BY_PROCESS
        if by not in (BY_PROCESS, BY_PEER, BY_ASSERTION):
            own = self._store.find(by.removeprefix(BY_KEY)) if by.startswith(BY_KEY) else None
            if own is None or ADMIN not in own.scopes or not scopes <= own.scopes:
                raise _no_effect(
                    "KEY_REFUSED",
                    "a key is made and revoked on the machine itself, or with a key of scope `admin` that opens as much",
                    "run `assent key` there",
                )
        if Principal.parse(created.principal).type is PrincipalKind.USER:
            return
        if principal != created.principal or scopes & {ADMIN, APPROVE}:
            raise _no_effect(
                "KEY_REFUSED",
                f"`{created.principal}` may have keys of its own, without `{APPROVE}` and `{ADMIN}`",
                "a user makes any other",
            )

    async def _created(self, run: str) -> RunCreated:
        """How the run began, and so who acts in it."""
        (first,) = await self._ready.journal.events(RunId(run), limit=1)
        assert isinstance(
            first.event, RunCreated
        )  # INVARIANT: a run begins so, durably before any of its effects
        return first.event

    async def _tell_created(self, run: str, created: RunCreated, key: Key) -> None:

        event = KeyCreated(
            key=key.id,
            principal=key.principal,
            scopes=tuple(sorted(key.scopes)),
            expires_at_ms=key.expires_ms,
            act=RunId(run),
            **created.who(),
        )
        await self._tell(run, event)

    async def _tell(self, run: str, event: KeyCreated | KeyRevoked) -> None:
        """Put it on record, once: a crash may have come between that and what the run notes of it."""
        journal = self._ready.journal
        (first,) = await journal.events(RunId(run), limit=1)
        async for leaf in each_leaf(journal, start=first.seq):
            if leaf.event == event:
                return
        await journal.append(Batch(run=None, expected_n=0, at_ms=self._ready.clock.now_ms(), events=(event,)))

    def _found(self, ident: str) -> Key:
        key = self._store.find(ident)
        if key is None:
            raise _no_effect("KEY_UNKNOWN", f"there is no key `{ident}`", "`assent key list` shows them")
        return key

    @property
    def _ready(self) -> Services:
        assert (
            self._services is not None
        )  # INVARIANT: a call is prepared and executed only where the runtime is open
        return self._services


def _principal(text: str) -> Principal:
    try:
        return Principal.parse(text)
    except InputError as error:
        raise _no_effect("INVALID_INPUT", error.message, str(error.hint)) from None


def _no_effect(code: str, message: str, hint: str) -> NoEffectError:
    return NoEffectError(code, message, hint=hint)
