"""What a handler's part knows of the call it serves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from assent.errors import Json
from assent.invocation.files import Files
from assent.spec.ids import RunId, StepKey
from assent.spec.principal import Principal


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


@dataclass(frozen=True, slots=True)
class LocalContext:
    """One call of one part.

    `key` is the idempotency key: the same for every attempt of a step, unlike any other step's; temporary names derive from
    it, so that recovery finds them. `prepared` is what `prepare` returned (None in `prepare` and `preview`), `output` what
    `execute` returned (None before, and when a crash left it unknown).
    """

    run: RunId
    step: StepKey
    attempt: int
    principal: Principal
    key: str
    world: World
    blobs: BlobStore
    cancel: CancelToken
    prepared: Mapping[str, Json] | None = None
    output: Json = None
    keep_pre_image: bool = True
