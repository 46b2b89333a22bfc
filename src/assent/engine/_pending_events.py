"""What a run has decided and not yet made durable: events with the payloads they bind, in order, for the next append."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import structs

from assent.engine._record import RunRecord
from assent.engine.ports import Services
from assent.engine.projection import changed_rows
from assent.errors import AssentError, InputError, Json
from assent.failpoints import FAILPOINTS
from assent.journal.ports import Batch, Payload
from assent.spec.canonical import commit
from assent.spec.events import kinds as ev
from assent.spec.ids import Commitment

_encode: Final = msgspec.json.Encoder(order="sorted").encode

_KEPT_CHARACTERS: Final = 300
"""What is kept of each text of an error that can't be kept whole."""


class PendingEvents:
    """Collects events and payloads of one run. `flush` makes them durable together; an effect starts only after it."""

    __slots__ = (
        "_durable_n",
        "_events",
        "_opened_at_ms",
        "_payloads",
        "_record",
        "_redactor",
        "_salt",
        "_services",
        "_size_max",
    )

    def __init__(self, services: Services, record: RunRecord, durable_n: int) -> None:
        self._services = services
        self._redactor = services.pipeline.redactor
        self._salt = services.entropy.salt
        self._size_max = services.limits.payload_bytes
        self._record = record
        self._durable_n = durable_n
        self._events: list[ev.AnyEvent] = []
        self._payloads: dict[Commitment, Payload] = {}
        self._opened_at_ms: int | None = None

    @property
    def is_empty(self) -> bool:
        """Everything decided is durable."""
        return not self._events

    def stamp(self) -> int:
        """When the next append's events happen, in ms since the epoch: one moment for the whole batch, taken when it opens."""
        if self._opened_at_ms is None:
            self._opened_at_ms = self._services.clock.now_ms()
        return self._opened_at_ms

    def bind(self, value: Json, blobs: tuple[str, ...] = ()) -> Commitment:
        """Keep a payload for the next append; the commitment that an event binds it with.

        `InputError`: JSON_INVALID for what has no JSON form, PAYLOAD_TOO_LARGE past the configured limit.
        """
        # INVARIANT: no payload holds a secret that was handed out. Inputs and what `prepare` captured were refused with one, so
        # that what is journaled of them is what runs; of all others the mask stands in the journal.
        return self.bind_bytes(self._encoded(value), blobs)

    def bind_again(self, value: Json, earlier: tuple[Commitment, Json]) -> Commitment:
        """The same, but for what the run has bound already: the commitment of `earlier`, where that is the very same JSON."""
        if earlier[1] == value:
            body = self._encoded(value)
            # Equal is not the same: 1 equals 1.0 and true.
            return earlier[0] if body == self._encoded(earlier[1]) else self.bind_bytes(body)
        return self.bind(value)

    def rebind(self, earlier: Commitment, value: Json) -> Commitment | None:
        """Let the events to come bind this in an earlier payload's place; its commitment, None when that is durable already."""
        if earlier not in self._payloads:
            return None
        commitment = self.bind(value)
        del self._payloads[earlier]
        for index, event in enumerate(self._events):
            names = [name for name in event.commitment_fields if getattr(event, name) == earlier]
            if names:
                self._events[index] = structs.replace(event, **dict.fromkeys(names, commitment))
        return commitment

    def bind_told(self, value: Json, attached: tuple[str, ...]) -> Commitment:
        """The same for what a call tells at its end: of the bytes that it attached, those are kept that are spoken of."""
        body = self._encoded(value)
        spoken_of = tuple(digest for digest in attached if digest.encode() in body) if attached else ()
        return self.bind_bytes(body, spoken_of)

    def bind_error(self, error: AssentError, attached: tuple[str, ...] = ()) -> Commitment:
        """The same for an error. One that can't be kept as it is loses its details and the end of its texts.

        INVARIANT: this does not fail. A run that could not record that something failed could neither go on nor end.
        """
        told = error.to_dict()
        try:
            return self.bind_told(dict(told), attached)
        except InputError:
            texts: dict[str, Json] = {
                name: _plain(told[name]) for name in ("code", "message", "path", "hint")
            }
            return self._keep(_encode(self._redactor.json({**texts, "details": {}})), ())

    def _encoded(self, value: Json) -> bytes:
        try:
            return _encode(self._redactor.json(value))
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
            raise InputError(
                "JSON_INVALID",
                "what would be journaled has no JSON form",
                hint="texts need a UTF-8 form, keys must be texts, and only lists and objects hold others",
            ) from None

    def bind_bytes(self, body: bytes, blobs: tuple[str, ...] = ()) -> Commitment:
        """The same for a payload that is JSON text already; `InputError` PAYLOAD_TOO_LARGE past the configured limit."""
        if len(body) > self._size_max:
            raise InputError(
                "PAYLOAD_TOO_LARGE",
                f"{len(body)} bytes of inputs or outputs are more than the {self._size_max} that one may have",
                hint="hand on a path or a digest instead of the content, or raise `payload_bytes` under `[limits]`",
                details={"size": len(body), "limit": self._size_max},
            )
        return self._keep(body, blobs)

    def _keep(self, body: bytes, blobs: tuple[str, ...]) -> Commitment:
        salt = self._salt()
        commitment = commit(salt, body)
        self._payloads[commitment] = Payload(commitment, salt, body, blobs)
        return commitment

    def drop(self, events: Iterable[ev.AnyEvent]) -> list[Commitment]:
        """Forget the payloads of events that were not decided after all; their commitments."""
        dropped = [commitment for event in events for commitment in event.commitments()]
        for commitment in dropped:
            self._payloads.pop(commitment, None)
        return dropped

    def add(self, events: list[ev.AnyEvent]) -> None:
        """Keep events for the next append, in order."""
        self._events += events

    async def flush(self) -> list[ev.AnyEvent]:
        """Make everything durable in one batch; the events that became so.

        A payload whose event was not decided yet stays for a later append: a step that ended binds its output at once, and its
        outcome may still be in the actor's inbox when an earlier one is made durable.
        """
        if not self._events:
            self._opened_at_ms = None
            return []
        at_ms = self.stamp()
        events, self._events, self._opened_at_ms = self._events, [], None
        waiting, payloads = self._payloads, []
        for event in events:
            for name in event.commitment_fields:
                payload = waiting.pop(getattr(event, name), None)
                if payload is not None:
                    payloads.append(payload)
        batch = Batch(
            run=self._record.run,
            expected_n=self._durable_n,
            at_ms=at_ms,
            events=tuple(events),
            payloads=tuple(payloads),
            rows=changed_rows(self._record),
        )
        FAILPOINTS.hit("commit.before")
        await self._services.journal.append(batch)
        FAILPOINTS.hit("commit.after")
        self._durable_n += len(events)
        return events


def _plain(text: object) -> str | None:
    return (
        str(text).encode("utf-8", "backslashreplace").decode()[:_KEPT_CHARACTERS]
        if text is not None
        else None
    )
