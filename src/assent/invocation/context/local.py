"""What a handler's part knows of the call it serves."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import msgspec

from assent._lazy import compiled_when_asked
from assent.errors import InputError, Json
from assent.invocation.context.files import Files
from assent.invocation.context.phases import CallPhase
from assent.invocation.context.state import CallState
from assent.invocation.context.tasks import SpawnedTask
from assent.secrets.redaction import Redactor
from assent.spec.ids import RunId, StepKey
from assent.spec.principal import Principal

if TYPE_CHECKING:
    from asyncio import Task
    from concurrent.futures import Future
    from logging import LoggerAdapter

    from assent.invocation.app.application import GlobalContext
    from assent.invocation.context._call_snapshot import Performing
    from assent.invocation.context._hook_records import HookRecord
    from assent.invocation.context._request_notes import AnswerNote, RequestNote
    from assent.invocation.context.companion import Companion
    from assent.invocation.context.http import HttpAccess, HttpAnswer, HttpRequest
    from assent.invocation.context.snapshot import Snapshot
    from assent.invocation.context.telling import Watched
    from assent.secrets.access import Secret, SecretAccess
    from assent.spec.reach import Reach

T = TypeVar("T")
Redactable = TypeVar("Redactable", bound="bytes | Json")

EXECUTE_CAPTURED: Final = "execute_captured"
"""The flag of a preview in which a confined program may be run to see what it would write; nothing of that is applied."""

SENT_MAX: Final = (1 << 53) - 1
"""Bytes that a call is said to have sent, at most: a number that every reader of the record has."""

_DIGEST: Final = compiled_when_asked("[0-9a-f]{64}")


class CancelToken:
    """Tells a running part that its result is no longer wanted. Safe to use from any thread."""

    __slots__ = ("_event", "_is_cancelled", "_watcher")

    def __init__(self) -> None:
        self._is_cancelled = False
        # Made by the first `wait`: most calls never wait, and an event costs more than the rest of a call's context.
        self._event: threading.Event | None = None
        self._watcher: Callable[[], object] | None = None

    def cancel(self) -> None:
        """Ask the part to stop at its next safe point."""
        self._is_cancelled = True
        if self._event is not None:
            self._event.set()
        if self._watcher is not None:
            self._watcher()

    @property
    def is_cancelled(self) -> bool:
        """Whether the part was asked to stop."""
        return self._is_cancelled

    def wait(self, timeout_s: float) -> bool:
        """Sleep for at most `timeout_s` seconds; true as soon as the part is asked to stop."""
        if self._event is None:
            self._event = threading.Event()
        # The flag is set before the event is looked at, and the event is made before the flag is: neither can miss the other.
        return self._is_cancelled or self._event.wait(timeout_s)

    def watch(self, watcher: Callable[[], object]) -> None:
        """Have `watcher` called when the part is asked to stop, by the thread that asks; at once when it was asked already.

        For an async part, which can't wait here: it lets itself be woken with `loop.call_soon_threadsafe`. It may be called
        twice; a later watcher takes the place of an earlier one.
        """
        self._watcher = watcher
        if self._is_cancelled:
            watcher()


class World(Protocol):
    """The part of the world that handlers act on. A simulated one takes changes without touching anything real."""

    @property
    def files(self) -> Files:
        """The workspace's files."""
        ...

    @property
    def is_simulated(self) -> bool:
        """Whether changes stay imaginary."""
        ...

    @property
    def is_changed(self) -> bool:
        """Whether a simulated world differs from the one that it looks like; never for the real one."""
        ...

    @property
    def pre_image_bytes_max(self) -> int:
        """What one call may keep for its undo, in bytes."""
        ...

    def simulate(self) -> World:
        """A world that looks like this one now; what is changed there is seen there only."""
        ...


class BlobStore(Protocol):
    """Where pre-images are kept: content-addressed, durable when `put` returns."""

    def put(self, chunks: Iterable[bytes]) -> str:
        """Store bytes; their SHA-256 in 64 hex digits."""
        ...

    def read(self, digest: str) -> Iterator[bytes]:
        """The bytes in chunks, checked against the digest (`RECORD_CORRUPT`)."""
        ...


class Attachment(msgspec.Struct, frozen=True):
    """Bytes beside an output: in JSON `{"blob": DIGEST, "bytes": N}`, where DIGEST is their SHA-256 in 64 hex digits."""

    blob: str
    bytes: int

    def to_json(self) -> dict[str, Json]:
        """The same as JSON data, as an output holds it."""
        return {"blob": self.blob, "bytes": self.bytes}


def attached_in(value: Json) -> Iterator[str]:
    """The digests of the attachments that an output or an error speaks of, wherever in it."""
    if isinstance(value, Mapping):
        digest, size = value.get("blob"), value.get("bytes")
        if isinstance(digest, str) and isinstance(size, int) and _DIGEST.fullmatch(digest):
            yield digest
        for item in value.values():
            yield from attached_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from attached_in(item)


class Surroundings:
    """What all calls of one runtime have around them: the application, and somebody to tell of progress.

    Of a call that a test makes by hand: nothing, and nobody.
    """

    app: GlobalContext | None = None

    def progress(self, context: LocalContext, done: float, total: float | None, message: str) -> None:
        """A part says how far it is. May be called from any thread; must not block."""

    async def secret(self, context: LocalContext, life: CallLife, name: str, *, fresh: bool) -> Secret:
        """A secret for a call."""
        del context, life, fresh
        raise InputError("SECRET_MISSING", f"a call made by hand has no secret `{name}`")

    def secret_in_thread(self, context: LocalContext, life: CallLife, name: str, *, fresh: bool) -> Secret:
        """The same for a thread that may wait."""
        del context, life, fresh
        raise InputError("SECRET_MISSING", f"a call made by hand has no secret `{name}`")

    # `Any`: whatever holds references, and the same with values in their places.
    async def reveal(self, context: LocalContext, life: CallLife, value: Any, host: str | None) -> Any:
        """The value with its references resolved."""
        return self.reveal_in_thread(context, life, value, host)

    def reveal_in_thread(self, context: LocalContext, life: CallLife, value: Any, host: str | None) -> Any:
        """The same for a thread that may wait."""
        from assent.secrets.revealing import filled, names_in

        del context, life, host
        for name in names_in(value):
            raise InputError("SECRET_MISSING", f"a call made by hand has no secret `{name}`")
        return filled(value, {})

    def foresee(
        self, context: LocalContext, life: CallLife, names: Iterable[str], host: str | None, *, at_once: bool
    ) -> None:
        """Raise what having these secrets is known to raise."""

    def spawn(self, context: LocalContext, work: Coroutine[Any, Any, Any], name: str) -> Task[Any]:
        """A task on the running loop."""
        work.close()
        raise InputError(
            "TASKS_UNAVAILABLE", f"a call of `{context.capability}` made by hand begins no task `{name}`"
        )

    async def request(self, context: LocalContext, life: CallLife, request: HttpRequest) -> HttpAnswer:
        """The answer to a request of a call."""
        del life, request
        raise InputError(
            "HTTP_UNAVAILABLE", f"a call of `{context.capability}` made by hand sends no requests"
        )

    def begin_request(
        self, context: LocalContext, life: CallLife, request: HttpRequest
    ) -> Future[HttpAnswer]:
        """The same for any thread: the answer to come."""
        del life, request
        raise InputError(
            "HTTP_UNAVAILABLE", f"a call of `{context.capability}` made by hand sends no requests"
        )

    @property
    def redactor(self) -> Redactor:
        """What hides the secrets that were handed out."""
        return _NOTHING_TO_HIDE

    def unexposed(self, chunks: Iterable[bytes], what: str, path: str | None) -> Iterable[bytes]:
        """The bytes, refused where a secret that was handed out stands in them."""
        del what, path
        return chunks

    def unexposed_blobs(self, blobs: BlobStore) -> BlobStore:
        """A store that refuses such bytes."""
        return blobs


_NOTHING_TO_HIDE: Final = Redactor()
_NOTHING_AROUND: Final = Surroundings()


class Callbacks:
    """What a call was asked to run at its turning points, in order of registration. Made by the first of them."""

    __slots__ = ("cleanup", "error", "phase", "timeout")

    def __init__(self) -> None:
        # `Any`: what a callback returns is thrown away, awaited first if need be.
        self.cleanup: list[Callable[[], Any]] = []
        self.timeout: list[Callable[[], Any]] = []
        self.error: list[Callable[[Exception], Any]] = []
        self.phase: list[Callable[[CallPhase, CallPhase], object]] = []


class CallLife:
    """The changing side of a call, which belongs to the pipeline; a context only shows it.

    What stands here as a class attribute is what nearly every call leaves alone: making one costs next to nothing.
    """

    phase: CallPhase = CallPhase.RECEIVED
    started_ms: int | None = None
    deadline_ms: int | None = None
    prepared: Mapping[str, Json] | None = None
    output: Json = None
    state: CallState | None = None
    meta: dict[str, Json] | None = None
    flags: set[str] | None = None
    logger: LoggerAdapter[Any] | None = None
    callbacks: Callbacks | None = None
    hooks_run: tuple[HookRecord, ...] = ()
    is_over: bool = False
    is_retry: bool = False
    settles: bool = False
    """It takes back, or asks about, what an earlier call began; nothing that goes forward keeps it waiting."""
    granted: tuple[str, ...] = ()
    attached: tuple[str, ...] = ()
    blobs: tuple[str, ...] = ()
    """What `prepare` kept, by digest, as it was journaled."""
    bound: Performing | None = None
    given: Mapping[str, Secret] = MappingProxyType({})
    journal: Callable[[tuple[SecretAccess | RequestNote | AnswerNote, ...]], Awaitable[None]] | None = None
    """Makes accesses to secrets, and requests, durable: nobody has a value, and nothing is sent, before it has returned."""
    reach: Reach | None = None
    """Where a plugin's call may send requests, by its manifest; None for a call that is no plugin's."""
    requests: int = 0
    sending: int = 0
    sent: int = 0
    """Bytes that left beside the inputs."""
    watched: Watched | None = None
    """Takes what the call says of its work to whoever watches; None while nobody does."""
    companion: Companion | None = None
    """Who waits for the call and can be asked meanwhile."""
    tasks: list[SpawnedTask[Any]] | None = None
    remote: object = None  # the same call, for the host that has it performed in another process


class LocalContext:
    """One call, from its receipt to its end: one attempt at a step. Every part and hook of the call has this same context.

    `key` is the idempotency key: the same for every attempt of a step, unlike any other step's; temporary names derive from
    it, so that recovery finds them. `request_id` is this call's alone, `trace_id` is common to all calls of the run.
    """

    __slots__ = (
        "_around", "_blobs", "_life", "attempt", "cancel", "capability", "keep_pre_image", "key",
        "principal", "request_id", "run", "step", "trace_id", "version", "world",
    )  # fmt: skip

    def __init__(
        self,
        *,
        run: RunId,
        step: StepKey,
        attempt: int,
        principal: Principal,
        key: str,
        world: World,
        blobs: BlobStore,
        cancel: CancelToken | None = None,
        keep_pre_image: bool = True,
        request_id: str = "",
        capability: str = "",
        version: str = "",
        life: CallLife | None = None,
        around: Surroundings = _NOTHING_AROUND,
    ) -> None:
        self.run: Final = run
        self.step: Final = step
        self.attempt: Final = attempt
        self.principal: Final = principal
        self.key: Final = key
        self.world: Final = world
        self._blobs = blobs
        self.cancel: Final = cancel if cancel is not None else CancelToken()
        self.keep_pre_image: Final = keep_pre_image
        self.request_id: Final = request_id
        self.trace_id: Final[str] = run
        self.capability: Final = capability
        self.version: Final = version
        self._life = life if life is not None else CallLife()
        self._around = around

    @property
    def blobs(self) -> BlobStore:
        """Where pre-images are kept. `NoEffectError` SECRET_EXPOSED for bytes with a secret that was handed out."""
        return self._around.unexposed_blobs(self._blobs)

    @property
    def phase(self) -> CallPhase:
        """Where the call stands."""
        return self._life.phase

    @property
    def is_retry(self) -> bool:
        """Whether an earlier attempt at the same was begun, which a crash may have cut short."""
        return self._life.is_retry

    @property
    def started_ms(self) -> int | None:
        """When `execute` began, in ms since 1970 by the wall clock; None before. Waiting for a turn is before."""
        return self._life.started_ms

    @property
    def deadline_ms(self) -> int | None:
        """When `execute` will be stopped, in ms since 1970 by the wall clock; None before it began, or without a limit."""
        return self._life.deadline_ms

    @property
    def prepared(self) -> Mapping[str, Json] | None:
        """What `prepare` returned; None in `prepare` and `preview`."""
        return self._life.prepared

    @property
    def output(self) -> Json:
        """In `compensate`: what `execute` returned; None when a crash left it unknown."""
        return self._life.output

    @property
    def hooks_run(self) -> tuple[HookRecord, ...]:
        """What came of the hooks so far, in the order they ended."""
        return self._life.hooks_run

    @property
    def app(self) -> GlobalContext:
        """The application that the call is a part of."""
        app = self._around.app
        if app is None:
            raise InputError("APP_MISSING", "a call made by hand is part of no application")
        return app

    async def secret(self, name: str, *, fresh: bool = False) -> Secret:
        """A secret that the capability's spec or the configuration grants; `fresh`: fetched from now on, not kept from before.

        For async parts that execute, reconcile or compensate (`RefusedError` SECRET_TOO_EARLY in all others).
        Raises `RefusedError` SECRET_NOT_GRANTED, `InputError` SECRET_MISSING, `WorldError` SECRET_UNAVAILABLE.
        """
        return await self._around.secret(self, self._life, name, fresh=fresh)

    def secret_in_thread(self, name: str, *, fresh: bool = False) -> Secret:
        """The same for sync parts, which run in a thread of their own and wait in it."""
        return self._around.secret_in_thread(self, self._life, name, fresh=fresh)

    async def reveal(self, value: Any, *, host: str | None = None) -> Any:  # `Any`: as the part has it
        """The value with every reference in it resolved: a `SecretText` or `SecretReference`, or any structure that holds some.

        A model comes back as a dictionary of its fields; a plain text is literal, whatever it says. `host`: where the values are
        going to be sent; a secret that is bound to hosts is given for no other. Use what you get and keep it nowhere: hand no
        part of it to `progress`, `meta` or an error. Raises what `secret` raises.
        """
        return await self._around.reveal(self, self._life, value, host)

    def reveal_in_thread(self, value: Any, *, host: str | None = None) -> Any:  # `Any`: as above
        """The same for sync parts, which run in a thread of their own and wait in it."""
        return self._around.reveal_in_thread(self, self._life, value, host)

    def foresee_secrets(self, names: Iterable[str], *, host: str | None = None, at_once: bool = True) -> None:
        """Do nothing, or raise what `reveal` is known to raise for these secrets: SECRET_NOT_GRANTED, SECRET_MISSING.

        For any part, a preview above all: no value is looked at, and there is no access to record. Where the call does not need
        them `at_once`, one that is not there yet may come.
        """
        self._around.foresee(self, self._life, names, host, at_once=at_once)

    @property
    def http(self) -> HttpAccess:
        """Requests to web services, where the plugin's manifest and `[net]` of the configuration both let them go."""
        from assent.invocation.context.http import HttpAccess

        around, life = self._around, self._life
        return HttpAccess(
            lambda request: around.request(self, life, request),
            lambda request: around.begin_request(self, life, request),
            lambda: self.cancel.is_cancelled,
        )

    def attach(self, chunks: Iterable[bytes]) -> Attachment:
        """Keep bytes that are too many for an output or an error; what is returned goes into it, anywhere.

        They are kept as long as the output that names them, and erased with it. Secrets that were handed out are hidden in them,
        as in the output. Blocks; raises `WorldError` DISK_FULL or STORAGE_FAILED.
        """
        size = 0
        hidden = self._around.redactor.stream().through(chunks)

        def counted() -> Iterator[bytes]:
            nonlocal size
            for chunk in hidden:
                size += len(chunk)
                yield chunk

        digest = self._blobs.put(counted())
        self._life.attached = (*self._life.attached, digest)
        return Attachment(digest, size)

    @property
    def attached(self) -> tuple[str, ...]:
        """What `attach` kept so far, by digest."""
        return self._life.attached

    def count_sent(self, size: int) -> None:
        """Tell that so many bytes leave beside the inputs, such as a file's: limits on `bytes_out` count them afterwards.

        `ValueError` for what is no number of bytes.
        """
        if type(size) is not int or not 0 <= size <= SENT_MAX:
            raise ValueError(f"`{size!r:.80}` is no number of bytes")
        self._life.sent = min(self._life.sent + size, SENT_MAX)

    def redact(self, value: Redactable) -> Redactable:
        """Text, bytes or JSON with `***` in place of every secret that was handed out so far, also base64-, URL- or JSON-encoded.

        What is returned, raised, attached, logged and told of progress is redacted without it. It is for what leaves by other
        ways: a file of the part's own. The same object when there is nothing to hide.
        """
        redactor = self._around.redactor
        if isinstance(value, bytes):
            return redactor.data(value)  # type: ignore[return-value]  # bytes stay bytes
        return redactor.json(value)  # type: ignore[return-value]  # text stays text, an object an object

    @property
    def redactor(self) -> Redactor:
        """The same for a stream of bytes: `redactor.stream()`."""
        return self._around.redactor

    def unexposed(self, chunks: Iterable[bytes], what: str, *, path: str | None = None) -> Iterable[bytes]:
        """The same bytes; `NoEffectError` SECRET_EXPOSED as soon as a secret that was handed out stands in them.

        `world.files` and `blobs` refuse such bytes by themselves. It is for what is compressed before it comes there.
        """
        return self._around.unexposed(chunks, what, path)

    @property
    def state(self) -> CallState:
        """Private values of this call."""
        life = self._life
        if life.state is None:
            life.state = CallState()
        return life.state

    @property
    def meta(self) -> dict[str, Json]:
        """Notes about the call, for whoever looks at it."""
        life = self._life
        if life.meta is None:
            life.meta = {}
        return life.meta

    @property
    def flags(self) -> set[str]:
        """Marks on the call."""
        life = self._life
        if life.flags is None:
            life.flags = set()
        return life.flags

    def snapshot(self) -> Snapshot:
        """The call as it stands: nothing that happens later shows in it. `SNAPSHOT_TOO_LARGE`."""
        from assent.invocation.context._call_snapshot import snapshot_call

        return snapshot_call(self, self._life)

    @property
    def logger(self) -> LoggerAdapter[Any]:
        """A logger of the standard library, named `assent.call`, whose records carry the call's ids."""
        life = self._life
        if life.logger is None:
            from assent.invocation.context._logger import CallLogger

            life.logger = CallLogger(self.ids, self._around.redactor)
        return life.logger

    @property
    def ids(self) -> dict[str, Json]:
        """The call's names, complete from its first moment."""
        return {
            "run": self.run,
            "step": self.step,
            "attempt": self.attempt,
            "request_id": self.request_id,
            "trace_id": self.trace_id,
            "principal": str(self.principal),
            "capability": self.capability,
            "version": self.version,
        }

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far the work is. Cheap, from any thread.

        It is told to whoever listens to the lifecycle, and the lines of a message also to whoever watches the run, beside the
        step's name: so many in a second, each cut, with secrets hidden. It is kept nowhere.
        """
        self._around.progress(self, done, total, message)

    def spawn(self, work: Coroutine[Any, Any, T], *, name: str) -> SpawnedTask[T]:
        """Have something done beside the part, which is an async one; await what this returns for what it gives.

        None outlives its part: the part has ended when they have, within its time, and they are cancelled where it fails or is
        stopped. A failure of one that nobody awaited is the part's. Snapshots name each, with its state and the digest of what it
        gave. `InputError` CALL_ENDED, TASKS_UNAVAILABLE for a call made by hand or from a thread.
        """
        life = self._life
        if life.is_over:
            work.close()
            raise self._ended()
        try:
            spawned = SpawnedTask(name, self._around.spawn(self, work, name))
        except RuntimeError:  # no loop runs in a thread
            work.close()
            raise InputError(
                "TASKS_UNAVAILABLE",
                f"a sync part of `{self.capability}` has a thread and no tasks",
                hint="make the part async",
            ) from None
        if life.tasks is None:
            life.tasks = []
        life.tasks.append(spawned)
        return spawned

    def on_cleanup(self, callback: Callable[[], Any]) -> None:
        """Have `callback` run when the call ends, however it ends: the last one first, each once, all of them."""
        self._callbacks().cleanup.append(callback)

    def on_timeout(self, callback: Callable[[], Any]) -> None:
        """Have `callback` run when a part of the call was stopped because its time was up."""
        self._callbacks().timeout.append(callback)

    def on_error(self, callback: Callable[[Exception], Any]) -> None:
        """Have `callback` run with the error that the call fails with."""
        self._callbacks().error.append(callback)

    def on_phase_change(self, callback: Callable[[CallPhase, CallPhase], object]) -> None:
        """Have `callback` told of each phase left and entered from now on. It is a plain function and must not block."""
        self._callbacks().phase.append(callback)

    def _callbacks(self) -> Callbacks:
        life = self._life
        if life.is_over:
            raise self._ended()
        if life.callbacks is None:
            life.callbacks = Callbacks()
        return life.callbacks

    def _ended(self) -> InputError:
        return InputError(
            "CALL_ENDED",
            f"the call of `{self.capability}` has ended and calls nobody back",
            hint="a thread that outlives its call cleans up after itself",
        )


def life_of(context: LocalContext) -> CallLife:
    """The changing side of a call, for who has its parts performed elsewhere and brings back what they remember."""
    return context._life  # noqa: SLF001  # the one door to it, for hosts; parts and hooks have none
