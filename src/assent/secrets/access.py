"""Secrets: fetched from providers where they are used, given only to whom they are granted, and each access on the record.

A secret's value stands in no input, output, journal, log or message. It is fetched by its name, kept for a bounded time, and
handed to a call only if the capability's spec names it. The record of an access tells who asked for what and how it ended, never
the value.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from enum import StrEnum
from typing import Any, Final, NoReturn, Protocol, TypeVar, runtime_checkable

import msgspec

from assent.errors import InputError, Json, RefusedError, WorldError
from assent.secrets.grants import NO_GRANT, SecretGrant, require_grant
from assent.secrets.redaction import Redactor
from assent.spec.masking import MASK
from assent.spec.ports import Clock
from assent.spec.secret_text import variable_of

T = TypeVar("T")

NAMES_MAX: Final = 1024
"""Secrets that are kept at once; the one that was asked for longest ago makes room for a new one."""


class Secret:
    """A value that does not show itself: only `reveal` gives it.

    Text, formatting and representation say `***`. It can't be pickled, copied by value, or encoded as JSON. Two are equal when
    their values are, compared in a time that does not depend on where they differ.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself. Hand it to whoever needs it and keep it nowhere."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    # A hash would tell equal values apart from others wherever it is shown.
    __hash__ = None  # type: ignore[assignment]  # the language's own way to say so

    def __bool__(self) -> bool:
        return True

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret can't be stored or sent; keep its name instead")


class Fetched(msgspec.Struct, frozen=True):
    """What a provider has found. `ttl_ms`: how long it may be kept, within the bounds; None leaves that to them.

    `provider` is what the record calls the place it came from, where the provider's own name says less. `previous` is the value
    that it replaced, as long as nobody has said that the new one works.
    """

    secret: Secret
    ttl_ms: int | None = None
    provider: str | None = None
    previous: Secret | None = None


class SecretSourceError(InputError):
    """Why a provider can't tell, in words that hold nothing of the value: unlike any other exception it is shown."""


def secret_binding(key: bytes, access: tuple[str, str, str, str], secret: Secret) -> str:
    """HMAC-SHA256 (RFC 2104), 64 hex digits, over a value and the one access that gave it.

    `access` is run, step, attempt and the secret's name. The same value gives another binding in every access, so that only who
    has the key can tell where it was used again.
    """
    parts = ("assent-secret-v1", *access, secret.reveal())
    # Each part behind its length: no two different lists of parts become the same bytes.
    message = b"".join(len(part).to_bytes(8, "big") + part for part in (one.encode() for one in parts))
    return hmac.new(key, message, "sha256").hexdigest()


class SecretProvider(Protocol):
    """Where secrets come from."""

    @property
    def name(self) -> str:
        """What the record calls it: `environment`, `vault` …"""
        ...

    async def fetch(self, name: str) -> Fetched | None:
        """The secret of that name; None when there is none here.

        May be called for several names at once, never twice at once for one. Whatever it raises counts as a failure, and the
        next provider is asked; the error's text is not recorded, because it may hold the value. Only a `SecretSourceError`'s is
        told to whoever asked.
        """
        ...


@runtime_checkable
class Foreseeing(Protocol):
    """A provider that can tell some secrets apart from none without reading them."""

    def has(self, name: str) -> bool | None:
        """Whether something is there; None where finding out would take time, or show the value."""
        ...


@runtime_checkable
class Hinting(Protocol):
    """A provider that knows how a secret gets into it."""

    def hint(self, name: str) -> str:
        """What to do when nothing is there."""
        ...


class EnvironmentSecrets:
    """Secrets from environment variables: `mail/token` is `ASSENT_SECRET_MAIL_TOKEN`."""

    def __init__(self, environ: Mapping[str, str], *, prefix: str = "ASSENT_SECRET_") -> None:
        self._environ = environ
        self._prefix = prefix
        self._names: dict[str, str] = {}

    @property
    def name(self) -> str:
        return "environment"

    def variable(self, name: str) -> str:
        """The variable that holds a secret: upper case, everything but letters and digits as `_`."""
        return self._prefix + variable_of(name)

    def hint(self, name: str) -> str:
        return f"set `{self.variable(name)}` in the environment"

    def has(self, name: str) -> bool | None:
        return bool(self._environ.get(self.variable(name)))

    async def fetch(self, name: str) -> Fetched | None:
        variable = self.variable(name)
        value = self._environ.get(variable)
        other = self._names.setdefault(variable, name) if value else name
        if other != name:
            raise SecretSourceError(
                "SECRET_AMBIGUOUS",
                f"the secrets `{other}` and `{name}` would both be read from `{variable}`",
                hint=f'say where one of them is kept: `from = "env:…"` under `[secrets."{name}"]` in assent.toml',
            )
        return Fetched(Secret(value)) if value else None


class AccessOutcome(StrEnum):
    """How an access to a secret ended."""

    FETCHED = "fetched"
    CACHED = "cached"
    REFUSED = "refused"
    MISSING = "missing"
    FAILED = "failed"


class SecretAccess(msgspec.Struct, frozen=True):
    """One access, for the record. `provider` is who had the secret; `ids` are those of the call.

    `is_hidden` false: the value is too short to be found and hidden where it might be shown. `binding` is for the ledger alone.
    """

    name: str
    capability: str
    outcome: AccessOutcome
    at_ms: int
    provider: str | None = None
    ids: Mapping[str, Json] = msgspec.field(default_factory=dict)
    is_hidden: bool = True
    binding: str | None = None

    def to_json(self) -> dict[str, Json]:
        """The same as JSON data."""
        return {
            **self.ids,
            "secret": self.name,
            "capability": self.capability,
            "outcome": self.outcome.value,
            "at_ms": self.at_ms,
            "provider": self.provider,
        }


class SecretLimits(msgspec.Struct, frozen=True):
    """How long secrets are kept, and how long one provider may take, in milliseconds."""

    ttl_ms: int = 5 * 60_000
    ttl_min_ms: int = 1000
    ttl_max_ms: int = 60 * 60_000
    fetch_ms: int = 10_000

    def bounded_ttl_ms(self, wished_ms: int | None) -> int:
        """A time to live within the bounds."""
        return max(self.ttl_min_ms, min(self.ttl_max_ms, self.ttl_ms if wished_ms is None else wished_ms))


class _Slot(msgspec.Struct):
    """What is known of one secret.

    Fetches are counted when they begin and when they end; `answered` is the number, as it began, of the last one that ended. A
    fetch that was cancelled began and never ends.
    """

    lock: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)
    secret: Secret | None = None
    previous: Secret | None = None
    provider: str | None = None
    expires_ms: int = 0
    begun: int = 0
    ended: int = 0
    answered: int = 0
    failure: InputError | WorldError | None = None
    users: int = 0


class Secrets:
    """The secrets of one runtime. To be used from one event loop.

    `record` is told of every access before a value is handed out; when it fails, nothing is. `grants` is what the configuration
    says of each secret. `redactor` knows every value that was handed out.
    """

    def __init__(
        self,
        providers: Sequence[SecretProvider],
        *,
        clock: Clock,
        record: Callable[[SecretAccess], object],
        limits: SecretLimits | None = None,
        grants: Mapping[str, SecretGrant] | None = None,
    ) -> None:
        self.redactor: Final = Redactor()
        self._grants = grants or {}
        self._providers = tuple(providers)
        self._clock = clock
        self._record = record
        self._limits = limits or SecretLimits()
        self._slots: dict[str, _Slot] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._key: Callable[[], bytes] | None = None

    async def read(
        self,
        name: str,
        *,
        capability: str,
        granted: Collection[str],
        ids: Mapping[str, Json] | None = None,
        fresh: bool = False,
        host: str | None = None,
        told: Callable[[SecretAccess], object] | None = None,
    ) -> Secret:
        """A secret for a call of a capability whose spec grants it `granted`; `host`: where its value is going to be sent.

        `told` hears of the access, as the record does.

        It is kept for its time to live; `fresh` gives one that was fetched after this call began. Calls that ask at the same time
        share one fetch, and its failure. Raises `RefusedError` SECRET_NOT_GRANTED, `InputError` SECRET_MISSING (no provider has
        it), and `WorldError` SECRET_UNAVAILABLE (one failed, and no other has it).
        """
        tell = _Told(self._record, told, self._clock, name, capability, ids or {})
        try:
            self.require_granted(name, capability=capability, granted=granted, host=host)
        except RefusedError:
            tell(AccessOutcome.REFUSED)
            raise
        slot = self._slot(name)
        slot.users += 1
        try:
            begun, ended = slot.begun, slot.ended
            async with slot.lock:
                outcome = AccessOutcome.CACHED
                if self._must_fetch(slot, begun=begun, ended=ended, fresh=fresh):
                    await self._fetch(name, slot)
                    outcome = AccessOutcome.FETCHED
                # A failure is told to those who waited for it. Whoever comes later and finds a kept value does not care.
                if slot.failure is not None and slot.ended > ended:
                    is_missing = slot.failure.code == "SECRET_MISSING"
                    tell(AccessOutcome.MISSING if is_missing else AccessOutcome.FAILED)
                    # A copy for each: an error that is raised collects the traceback of who raises it.
                    raise type(slot.failure).from_dict(slot.failure.to_dict())
                assert slot.secret is not None  # INVARIANT: a fetch leaves a secret or a failure
                # INVARIANT: a value is known to the redactor before anybody has it.
                is_hidden = self.redactor.add(name, slot.secret.reveal())
                if slot.previous is not None:
                    self.redactor.add(name, slot.previous.reveal())
                binding = self._binding(name, slot.secret, ids or {})
                tell(outcome, slot.provider, is_hidden=is_hidden, binding=binding)
                return slot.secret
        finally:
            slot.users -= 1

    def previous(self, name: str) -> Secret | None:
        """The value that one replaced which was just read, while it is being rotated; for what both have to be good for."""
        slot = self._slots.get(name)
        return slot.previous if slot is not None and slot.secret is not None else None

    def require_granted(
        self, name: str, *, capability: str, granted: Collection[str] = (), host: str | None = None
    ) -> None:
        """Do nothing, or raise `RefusedError` SECRET_NOT_GRANTED: `read` would. Nothing is fetched, and nobody is told."""
        require_grant(name, capability, self._grants.get(name, NO_GRANT), granted, host)

    def foresee(
        self, name: str, *, capability: str, granted: Collection[str] = (), host: str | None = None
    ) -> None:
        """Do nothing, or raise SECRET_NOT_GRANTED or SECRET_MISSING where `read` is known to: no value is looked at."""
        self.require_granted(name, capability=capability, granted=granted, host=host)
        # A value that is kept may be handed out although its place is empty by now.
        slot = self._slots.get(name)
        if slot is None or slot.secret is None:
            found = [one.has(name) if isinstance(one, Foreseeing) else None for one in self._providers]
            if not any(one is None or one for one in found):
                raise self._missing(name)

    async def resolve(self, name: str) -> Secret:
        """A secret for whoever keeps it: no call, no grant and no record. Raises as `read`, and nothing is remembered."""
        slot = _Slot()
        await self._fetch(name, slot)
        if slot.failure is not None:
            raise slot.failure
        assert slot.secret is not None  # INVARIANT: as in `read`
        return slot.secret

    def in_thread(self, reading: Coroutine[Any, Any, T]) -> T:
        """What a coroutine gives, for a thread of its own; it runs where secrets are fetched.

        `InputError` RUNTIME_CLOSED when no loop was attached.
        """
        return self.begun(reading).result()

    def begun(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """What a coroutine is going to give, which can be waited for in any thread, and given up. RUNTIME_CLOSED as above."""
        if self._loop is None:
            work.close()
            raise InputError("RUNTIME_CLOSED", "the runtime is not open", hint="use it inside `async with`")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let threads read too: `loop` is where secrets are fetched."""
        self._loop = loop

    def bind_with(self, key: Callable[[], bytes]) -> None:
        """Have accesses bound to the value they gave, under this key; see `secret_binding`."""
        self._key = key

    def _binding(self, name: str, secret: Secret, ids: Mapping[str, Json]) -> str | None:
        if self._key is None or "run" not in ids:
            return None
        access = (str(ids["run"]), str(ids["step"]), str(ids["attempt"]), name)
        return secret_binding(self._key(), access, secret)

    def add(self, provider: SecretProvider) -> None:
        """Ask another provider, before all others. What was kept from them is forgotten."""
        self._providers = (provider, *self._providers)
        self.forget()

    def forget(self, name: str | None = None) -> None:
        """Keep one secret, or none of them, any longer."""
        for slot in [self._slots.get(name)] if name is not None else [*self._slots.values()]:
            if slot is not None:
                slot.secret = None

    def _must_fetch(self, slot: _Slot, *, begun: int, ended: int, fresh: bool) -> bool:
        """Whether what the slot holds does not answer a request that saw these counts when it came."""
        if fresh:
            # Only a fetch that began after the request can have seen what the request wants to see.
            return slot.answered <= begun
        if slot.ended > ended and slot.failure is not None:
            return False  # what it waited for has failed meanwhile, and asking again at once would be a storm
        return slot.secret is None or self._clock.monotonic_ms() >= slot.expires_ms

    async def _fetch(self, name: str, slot: _Slot) -> None:
        slot.begun += 1
        number = slot.begun
        failure: InputError | WorldError | None = None
        failed: list[Json] = []
        explained: SecretSourceError | None = None
        for provider in self._providers:
            try:
                async with asyncio.timeout(self._limits.fetch_ms / 1000):
                    found = await provider.fetch(name)
                    if found is not None:
                        found.secret.reveal().encode()  # what is no text could neither be sent nor be found and hidden
            except SecretSourceError as error:
                explained = error
                failed.append(provider.name)
                continue
            except Exception:  # noqa: BLE001  # the next one is asked; its text may hold the value and is told nobody
                failed.append(provider.name)
                continue
            if found is not None:
                slot.secret, slot.provider = found.secret, found.provider or provider.name
                slot.previous = found.previous
                slot.expires_ms = self._clock.monotonic_ms() + self._limits.bounded_ttl_ms(found.ttl_ms)
                break
        else:
            failure = explained or (_unavailable(name, failed) if failed else self._missing(name))
        slot.failure, slot.answered = failure, number
        slot.ended += 1

    def _missing(self, name: str) -> InputError:
        hints = (provider.hint(name) for provider in self._providers if isinstance(provider, Hinting))
        hint = next(hints, "add it to a provider")
        asked: list[Json] = [provider.name for provider in self._providers]
        return InputError(
            "SECRET_MISSING", f"no provider has the secret `{name}`", hint=hint, details={"asked": asked}
        )

    def _slot(self, name: str) -> _Slot:
        slot = self._slots.pop(name, None) or _Slot()
        if len(self._slots) >= NAMES_MAX:
            idle = next((old for old, kept in self._slots.items() if not kept.users), None)
            if idle is not None:
                del self._slots[idle]
        self._slots[name] = slot  # last in order: it is the one that was asked for last
        return slot


class _Told(msgspec.Struct, frozen=True):
    """Tells the record of one access."""

    record: Callable[[SecretAccess], object]
    listener: Callable[[SecretAccess], object] | None
    clock: Clock
    name: str
    capability: str
    ids: Mapping[str, Json]

    def __call__(
        self,
        outcome: AccessOutcome,
        provider: str | None = None,
        *,
        is_hidden: bool = True,
        binding: str | None = None,
    ) -> None:
        now_ms = self.clock.now_ms()
        access = SecretAccess(
            self.name, self.capability, outcome, now_ms, provider, self.ids, is_hidden, binding
        )
        self.record(access)
        if self.listener is not None:
            self.listener(access)


def _unavailable(name: str, failed: list[Json]) -> WorldError:
    return WorldError(
        "SECRET_UNAVAILABLE",
        f"the secret `{name}` can't be fetched: {', '.join(f'`{one}`' for one in failed)} failed",
        hint="look at the provider, and try again",
        details={"failed": failed},
    )
