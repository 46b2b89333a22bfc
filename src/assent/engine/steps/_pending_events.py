"""What a run has decided and not yet made durable: events with the payloads they bind, in order, for the next append."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import structs

from assent.engine.ports import Services
from assent.engine.record._record import RunRecord
from assent.engine.record.projection import changed_rows
from assent.errors import AssentError, InputError, Json
from assent.failpoints import FAILPOINTS
from assent.journal.ports import Batch, Payload
from assent.secrets.redaction import Redactor
from assent.spec.events import kinds as ev
from assent.spec.ids import Commitment, StepKey
from assent.spec.unkept_fields import opens
from assent.spec.values.canonical import commit

_encode: Final = msgspec.json.Encoder(order="sorted").encode

_QUESTIONS: Final = (ev.ApprovalRequested, ev.ApprovalGranted, ev.ApprovalRejected, ev.ApprovalVoided)

_LONG_CHARACTERS: Final = 1 << 16

_KEPT_CHARACTERS: Final = 300
"""What is kept of each text of an error that can't be kept whole."""


class PendingEvents:
    """Collects events and payloads of one run. `flush` makes them durable together; an effect starts only after it."""

    __slots__ = (
        "_durable_n", "_events", "_handed", "_long", "_opened_at_ms", "_payloads", "_record", "_redactor",
        "_salt", "_services", "_size_max",
    )  # fmt: skip

    def __init__(self, services: Services, record: RunRecord, durable_n: int) -> None:
        self._services = services
        self._redactor = services.pipeline.redactor
        self._salt = services.entropy.salt
        self._size_max = services.limits.payload_bytes
        self._record = record
        self._durable_n = durable_n
        self._events: list[ev.AnyEvent] = []
        self._payloads: dict[Commitment, Payload] = {}
        self._handed: dict[Commitment, tuple[StepKey | None, list[bytes]]] = {}
        self._long: tuple[Json, bytes] | None = None
        self._opened_at_ms: int | None = None

    @property
    def is_on_record(self) -> bool:
        """Anything of the run is durable."""
        return self._durable_n > 0

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
        return self._keep(self._encoded(value), blobs)

    def bind_again(self, value: Json, earlier: tuple[Commitment, Json], kept: Json = None) -> Commitment:
        """The same, but for what the run has bound already: the commitment of `earlier`, where that is the very same JSON.

        `kept` is what is bound in place of a value with texts that are not kept.
        """
        is_same = earlier[1] is value or opens(earlier[1], value)
        return earlier[0] if is_same else self.bind(value if kept is None else kept)

    def hand_over(self, value: Json, step: StepKey | None = None) -> Commitment:
        """Keep what somebody calls, or a step of a session, with: what it is completed to takes its place (`replace_handed`).

        Nothing is hashed that will not stay. Until `settle` the commitment is only a name, which no event that stays may hold.
        """
        name = Commitment(f"handed {len(self._handed)} {step}")
        self._handed[name] = (step, self._parts(value))
        return name

    def replace_handed(self, name: Commitment, value: Json) -> Commitment | None:
        """Bind this where what was handed over stood; its commitment, None when that is bound already."""
        handed = self._handed.pop(name, None)
        if handed is None:
            return None
        commitment = self._keep(b"".join(self._parts(value)), ())
        self._rename(name, commitment, handed[0])
        return commitment

    def settle(self) -> None:
        """Bind what was handed over as it is, but for steps that the run has not taken yet."""
        for name, (step, parts) in [*self._handed.items()]:
            if step is None or step in self._record.steps:
                del self._handed[name]
                self._rename(name, self._keep(b"".join(parts), ()), step)

    def _rename(self, name: Commitment, commitment: Commitment, step: StepKey | None) -> None:
        record = self._record
        if step is None:
            record.created = structs.replace(record.created, inputs=commitment)
        elif step in record.steps:
            record.steps[step].asked = commitment
        for index, event in enumerate(self._events):
            if getattr(event, "inputs", None) == name:
                self._events[index] = structs.replace(event, inputs=commitment)

    def bind_told(self, value: Json, attached: tuple[str, ...]) -> Commitment:
        """The same for what a call tells at its end: of the bytes that it attached, those are kept that are spoken of."""
        body = self._encoded(value)
        spoken_of = tuple(digest for digest in attached if digest.encode() in body) if attached else ()
        return self._keep(body, spoken_of)

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

    def _parts(self, value: Json) -> list[bytes]:
        """What `_encoded` gives, in parts. A long text is written once, also where it comes again beside other members."""
        if self._redactor.is_active:
            value = self._redactor.json(value)
        if not isinstance(value, dict) or not any(
            type(item) is str and len(item) > _LONG_CHARACTERS for item in value.values()
        ):
            return [self._encoded(value)]
        parts: list[bytes] = []
        for key in sorted(value):
            item = value[key]
            if self._long is not None and self._long[0] is item:
                written = self._long[1]
            else:
                written = self._encoded(item)
                if len(written) > _LONG_CHARACTERS:
                    self._long = (item, written)
            parts += (b",", self._encoded(key), b":", written)
        self._require_size(sum(map(len, parts)))
        return [b"{", *parts[1:], b"}"]

    def _encoded(self, value: Json) -> bytes:
        body = _encoded(value, self._redactor)
        self._require_size(len(body))
        return body

    def _require_size(self, size: int) -> None:
        if size > self._size_max:
            raise InputError(
                "PAYLOAD_TOO_LARGE",
                f"{size} bytes of inputs or outputs are more than the {self._size_max} that one may have",
                hint="hand on a path or a digest instead of the content, or raise `payload_bytes` under `[limits]`",
                details={"size": size, "limit": self._size_max},
            )

    def bind_bytes(self, body: bytes) -> Commitment:
        """The same for a payload that is JSON text already; `InputError` PAYLOAD_TOO_LARGE past the configured limit."""
        self._require_size(len(body))
        return self._keep(body, ())

    def _keep(self, body: bytes, blobs: tuple[str, ...]) -> Commitment:
        salt = self._salt()
        commitment = commit(salt, body)
        self._payloads[commitment] = Payload(commitment, salt, body, blobs)
        return commitment

    def drop(self, events: Iterable[ev.AnyEvent]) -> list[Commitment]:
        """Forget the payloads of events that were not decided after all; their commitments.

        INVARIANT: not those of events that were: what a call was handed is bound once, for the run and for its step.
        """
        kept = {commitment for event in self._events for commitment in event.commitments()}
        dropped = [
            commitment for event in events for commitment in event.commitments() if commitment not in kept
        ]
        for commitment in dropped:
            self._payloads.pop(commitment, None)
            self._handed.pop(commitment, None)
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
        if self._services.policies.is_behind:
            await self._services.policies.catch_up()
        self.settle()
        self._long = None
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
        if any(isinstance(event, _QUESTIONS) for event in events):
            await self._services.notices.take(self._record)
        return events


def payload_of(services: Services, value: Json) -> Payload:
    """A payload of its own, for an event of no run: without secrets that were handed out. JSON_INVALID."""
    body, salt = _encoded(value, services.pipeline.redactor), services.entropy.salt()
    return Payload(commit(salt, body), salt, body)


def _encoded(value: Json, redactor: Redactor) -> bytes:
    try:
        return _encode(redactor.json(value) if redactor.is_active else value)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        raise InputError(
            "JSON_INVALID",
            "what would be journaled has no JSON form",
            hint="texts need a UTF-8 form, keys must be texts, and only lists and objects hold others",
        ) from None


def _plain(text: object) -> str | None:
    return (
        str(text).encode("utf-8", "backslashreplace").decode()[:_KEPT_CHARACTERS]
        if text is not None
        else None
    )
