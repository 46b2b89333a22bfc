"""One delivery and its file in the outbox.

A file stands in the outbox as long as its delivery may be attempted, and then in `ended`. It is replaced in one rename, and moved
in one, so that a kill leaves the one state or the other and never none.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from assent.errors import Json, WorldError, disk_full, is_full
from assent.invocation import NoEffectError
from assent.journal import place_of, read_plain, write_plain
from assent.spec.values.typed import decoder
from assent.spec.words.durations import instant

Status: TypeAlias = Literal["pending", "delivered", "failed", "cancelled"]

ENDED_MAX: Final = 1_000
ENDED_AGE_MS_MAX: Final = 30 * 24 * 3600 * 1000
"""How many deliveries that have ended are kept, and for how long."""

BODY_BYTES_MAX: Final = 256 << 10
"""The specification advises to stay below 20 kB; this is what nobody should have to take."""

FORMAT: Final = 1
_NAME: Final = re.compile(r"(msg_[0-9a-f]{32})\.json")


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A webhook on its way, as its file holds it; times in ms since 1970.

    `attempts` counts those that were begun. `may_have_arrived`: one of them may have reached the receiver. `is_under_way`: one
    was begun, and its end is not known. `ledger_size` is where the ledger stood when the delivery ended. `undoes` is the delivery
    that this one offsets, `approval` the question to people that it tells of, and from `until_ms` on it is attempted no more.
    The body goes when the delivery ends, unless it failed and may be tried again.
    """

    format: int
    id: str
    run: str
    step: str
    principal: str
    endpoint: str
    type: str
    queued_ms: int
    next_ms: int
    body: str | None = None
    status: Status = "pending"
    attempts: int = 0
    is_under_way: bool = False
    may_have_arrived: bool = False
    tried_ms: int | None = None
    http_status: int | None = None
    code: str | None = None
    ended_ms: int | None = None
    ledger_size: int | None = None
    undoes: str | None = None
    approval: str | None = None
    until_ms: int | None = None
    by: str | None = None
    asserted: bool = False
    os_uid: int | None = None
    identified_by: str | None = None

    @property
    def is_pending(self) -> bool:
        """It may be attempted still."""
        return self.status == "pending"

    def to_json(self) -> dict[str, Json]:
        """The delivery as `assent deliveries --json` prints it: without its body, which may be anybody's data."""
        return {
            "id": self.id,
            "endpoint": self.endpoint,
            "type": self.type,
            "status": self.status,
            "attempts": self.attempts,
            "http_status": self.http_status,
            "code": self.code,
            "run_id": self.run,
            "step": self.step,
            "undoes": self.undoes,
            "approval_id": self.approval,
            "queued_at": instant(self.queued_ms),
            "queued_at_ms": self.queued_ms,
            "tried_at": instant(self.tried_ms) if self.tried_ms is not None else None,
            "tried_at_ms": self.tried_ms,
            "next_at": instant(self.next_ms) if self.is_pending else None,
            "next_at_ms": self.next_ms if self.is_pending else None,
            "ended_at": instant(self.ended_ms) if self.ended_ms is not None else None,
            "ended_at_ms": self.ended_ms,
            "by": self.by,
        }


def body_of(kind: str, at_ms: int, data: Mapping[str, Json]) -> str:
    """A body, which is what is signed. `NoEffectError` NOTIFICATION_TOO_LARGE."""
    payload = {"type": kind, "timestamp": instant(at_ms), "data": data}
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    size = len(body.encode())
    if size > BODY_BYTES_MAX:
        raise NoEffectError(
            "NOTIFICATION_TOO_LARGE",
            f"the body would have {size} bytes, and {BODY_BYTES_MAX} are the most",
            path="data",
            hint="tell where the receiver finds the data, rather than all of it",
        )
    return body


_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_DECODER: Final = decoder(Delivery)


class DeliveryFiles:
    """The files of one outbox. Everything blocks; what changes something is durable when it returns (DISK_FULL, STORAGE_FAILED).

    Only the owner of the state directory changes them, one change at a time. Anybody may read beside that.
    """

    def __init__(self, home: Path) -> None:
        self.home: Final = home
        self._ended = home / "ended"

    def find(self, delivery: str) -> Delivery | None:
        """The delivery of this id; None when there is none, or none any more."""
        # INVARIANT: it is looked for first where it comes from, so that one that moves meanwhile is found in its new place.
        name = f"{delivery}.json"
        return _read(self.home / name) or _read(self._ended / name)

    def taken_up(self) -> list[Delivery]:
        """What stands in the outbox itself, the oldest first: pending, or ended and not put aside yet. For a new owner.

        What a kill left half-written is removed, and the end of one that was queued again after it.
        """
        try:
            for rest in self.home.glob(".msg_*.tmp"):
                rest.unlink(missing_ok=True)
        except OSError as error:
            raise _failed(error) from error
        found = sorted(_all(self.home), key=lambda one: (one.queued_ms, one.id))
        for one in found:
            if one.is_pending:
                self.drop(one.id)
        return found

    def names(self) -> set[str]:
        """The ids of every delivery that is kept."""
        return {one.partition(".")[0] for folder in (self.home, self._ended) for one in _names(folder)}

    def all(self) -> list[Delivery]:
        """Every delivery that is kept, the oldest first."""
        found = {one.id: one for one in (*_all(self.home), *_all(self._ended))}
        return sorted(found.values(), key=lambda one: (one.queued_ms, one.id))

    def write(self, delivery: Delivery) -> None:
        """Let the outbox hold this; whatever it held under the same id is replaced."""
        from assent.capabilities.fs.world._syscalls import flush

        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = self.home / f".{delivery.id}.tmp"
            with os.fdopen(write_plain(temporary), "wb") as file:
                file.write(_ENCODER.encode(delivery))
                file.flush()
                flush(file.fileno())
            temporary.rename(self.home / f"{delivery.id}.json")
            _flush_folder(self.home)
            _flush_folder(self.home.parent)
        except OSError as error:
            raise _failed(error) from error

    def put_aside(self, delivery: str) -> None:
        """Move one that has ended out of the way; harmless when it was done."""
        name = f"{delivery}.json"
        try:
            self._ended.mkdir(mode=0o700, exist_ok=True)
            with suppress(FileNotFoundError):
                (self.home / name).rename(self._ended / name)
            _flush_folder(self._ended)
            _flush_folder(self.home)
        except OSError as error:
            raise _failed(error) from error

    def drop(self, delivery: str) -> None:
        """Remove one that has ended; harmless when there is none."""
        with suppress(OSError):
            (self._ended / f"{delivery}.json").unlink(missing_ok=True)

    def drop_body(self, delivery: Delivery) -> None:
        """Let one that has ended be kept without its body."""
        self.write(msgspec.structs.replace(delivery, body=None))
        self.put_aside(delivery.id)

    def old(self, now_ms: int) -> list[Delivery]:
        """What ended too long ago, or is too much, the oldest first."""
        found: list[Delivery] = []
        with suppress(OSError):
            aged = sorted(
                (entry.stat().st_mtime_ns // 1_000_000, entry.name) for entry in os.scandir(self._ended)
            )
            surplus = len(aged) - ENDED_MAX
            for number, (ended_ms, name) in enumerate(aged):
                if number >= surplus and now_ms - ended_ms < ENDED_AGE_MS_MAX:
                    break
                one = _read(self._ended / name)
                found += [one] if one is not None else []
        return found


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _failed(error) from error


def _all(folder: Path) -> Iterator[Delivery]:
    for name in _names(folder):
        found = _read(folder / name)
        if found is not None:
            yield found


def _read(path: Path) -> Delivery | None:
    """The delivery in a file; None for one that can't be read, which stays where it is and is never sent."""
    named = _NAME.fullmatch(path.name)
    if named is None:
        return None
    try:
        found = _DECODER.decode(read_plain(path))
    except (OSError, ValueError, RecursionError):
        return None
    return found if found.format == FORMAT and found.id == named[1] else None


def _flush_folder(path: Path) -> None:
    from assent.capabilities.fs.world._syscalls import flush

    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flush(descriptor)
    finally:
        os.close(descriptor)


def _failed(error: OSError) -> WorldError:
    if is_full(error):
        return disk_full("the outbox")
    reason = (error.strerror or "failed").lower()
    return WorldError(
        "STORAGE_FAILED", f"the outbox can't be used: {reason}", path=place_of(error), hint="check the disk"
    )
