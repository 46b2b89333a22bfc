"""From one version's data to another's: links between neighbours, taken in order, each bounded in time.

A link is a pure function of plain JSON. It is given a copy, so that nothing it does shows anywhere but in what it returns; it
runs in a thread of its own, which is given up when its time is over; and what it returns is copied before anybody reads it. The
same chain brings the inputs and outputs of a call from version to version, and stored documents from format to format.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Final, TypeAlias

import msgspec

from assent.errors import AssentError, InputError, Json, WorldError
from assent.spec.values.canonical import canonical_json
from assent.spec.values.frozen import thaw

Function: TypeAlias = Callable[[Any], object]  # `Any`: a function names the shape that its own version has
"""Plain JSON of one version in, plain JSON of another out."""

HOPS_MAX: Final = 16
"""Links that one value may cross."""

LIMIT_S: Final = 0.5
"""Seconds that one link may take, unless it says otherwise."""


def unchanged(value: Json) -> Json:
    """The function of a link that changes nothing."""
    return value


class Link(msgspec.Struct, frozen=True):
    """One step from `source` to `target`. None as the function: nothing leads on from here."""

    source: str
    target: str
    function: Function | None
    limit_s: float = LIMIT_S


class Transformed(msgspec.Struct, frozen=True):
    """What became of a value. When a link failed, `value` is what was given, and `reached` the version before that link."""

    value: Json
    reached: str
    error: AssentError | None = None

    def unwrap(self) -> Json:
        """The value; raises what stopped it."""
        if self.error is not None:
            raise self.error
        return self.value


class Chain:
    """Carries values along links. A link whose thread did not end is not taken again before it ends."""

    def __init__(self, *, hops_max: int = HOPS_MAX) -> None:
        self._hops_max = hops_max
        self._stuck: dict[Function, int] = {}
        self._lock = threading.Lock()

    def carry(self, value: Json, links: Sequence[Link], *, start: str, what: str) -> Transformed:
        """The value after all links, in their order. Never raises: what stopped it is in the result.

        `what` names the value in messages (`the inputs of `io.fs.move``).
        """
        reached = start
        if len(links) > self._hops_max:
            message = f"{what} would cross {len(links)} versions, and at most {self._hops_max} may be"
            return _failed(value, reached, "TRANSFORM_LIMIT", message, links)
        current: Json = thaw(value)
        for link in links:
            if link.function is None:
                message = f"nothing brings {what} from version `{link.source}` to `{link.target}`"
                return _failed(value, reached, "TRANSFORM_MISSING", message, links)
            try:
                current = self._cross(link, link.function, current)
            except FutureTimeoutError:
                message = f"{what} took more than {link.limit_s:g} s from version `{link.source}` to `{link.target}`"
                return _failed(value, reached, "TRANSFORM_TIMEOUT", message, links)
            except BaseException as error:  # noqa: BLE001  # a function of somebody else's may raise anything
                why = error.message if isinstance(error, AssentError) else (str(error) or "it gave no reason")
                message = f"{what} did not get from version `{link.source}` to `{link.target}`: {why[:200]}"
                return _failed(value, reached, "TRANSFORM_FAILED", message, links)
            reached = link.target
        return Transformed(current, reached)

    def _cross(self, link: Link, function: Function, value: Json) -> Json:
        if function is unchanged:
            return value
        if self._stuck.get(function):
            raise FutureTimeoutError
        future: Future[object] = Future()
        # A daemon: what never ends must not keep the process from ending.
        thread = threading.Thread(
            target=self._run, args=(function, thaw(value), future), name="assent-transform", daemon=True
        )
        thread.start()
        try:
            result = future.result(link.limit_s)
        except FutureTimeoutError:
            if not future.done():
                self._give_up(function, future)
            raise
        # What is no JSON is refused here; the copy is nobody else's.
        canonical_json(result)
        return thaw(result)  # type: ignore[no-any-return]  # it was just found to be JSON

    def _run(self, function: Function, value: Json, future: Future[object]) -> None:
        try:
            future.set_result(function(value))
        except BaseException as error:  # noqa: BLE001  # handed to whoever waits
            future.set_exception(error)

    def _give_up(self, function: Function, future: Future[object]) -> None:
        with self._lock:
            self._stuck[function] = self._stuck.get(function, 0) + 1

        def ended(_: Future[object]) -> None:
            with self._lock:
                self._stuck[function] -= 1

        future.add_done_callback(ended)


def _failed(value: Json, reached: str, code: str, message: str, links: Sequence[Link]) -> Transformed:
    wanted = links[-1].target
    kind = InputError if code in ("TRANSFORM_MISSING", "TRANSFORM_LIMIT") else WorldError
    error = kind(
        code,
        f"{message}; reached `{reached}`",
        hint=f"register a transformer from `{reached}` on"
        if code == "TRANSFORM_MISSING"
        else "mend the transformer",
        details={"reached": reached, "wanted": wanted},
    )
    return Transformed(value, reached, error)


class Migrations:
    """Brings stored documents of one sort to the current format. `steps[i]` leads from format i + 1 to format i + 2.

    The key `key` of a document holds its format; without one it is of format 1.
    """

    def __init__(self, what: str, steps: Sequence[Function] = (), *, key: str = "version") -> None:
        self._what = what
        self._key = key
        self._links = [Link(str(at), str(at + 1), step) for at, step in enumerate(steps, start=1)]
        self._chain = Chain(hops_max=max(HOPS_MAX, len(self._links)))

    @property
    def current(self) -> int:
        """The format that is written now."""
        return len(self._links) + 1

    def migrate(self, document: dict[str, Json]) -> dict[str, Json]:
        """The document in the current format; the one given is not changed.

        Raises DOCUMENT_VERSION for a format that is not known, TRANSFORM_FAILED when a step fails.
        """
        found = document.get(self._key, 1)
        if not isinstance(found, int) or isinstance(found, bool) or not 1 <= found <= self.current:
            raise InputError(
                "DOCUMENT_VERSION",
                f"{self._what} is of format `{found}`, and this Assent knows up to `{self.current}`",
                hint="open it with the Assent that wrote it, or a newer one",
                details={"found": str(found), "current": self.current},
            )
        links = self._links[found - 1 :]
        if not links:
            return document
        migrated = self._chain.carry(document, links, start=str(found), what=self._what).unwrap()
        if not isinstance(migrated, dict):
            raise WorldError("TRANSFORM_FAILED", f"{self._what} is not an object after its migration")
        return {**migrated, self._key: self.current}
