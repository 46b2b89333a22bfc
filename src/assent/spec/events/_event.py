"""What every event has in common.

No module of events postpones its annotations (`from __future__ import annotations`): msgspec would compile four hundred texts at
each start, half of what reading an event takes there.
"""

from typing import ClassVar, Final, TypedDict

import msgspec

from assent._lazy import compiled_when_asked
from assent.spec.ids import Commitment, StepKey

_NAMES: Final = compiled_when_asked(r"\w+")


class Event(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag_field="kind", gc=False):
    """What every event has in common: its kind (the tag) and the payloads it binds.

    `gc=False`, here and on `Leaf`: frozen values of strings and integers can't form cycles, and a fold over a long ledger would
    otherwise spend half its time in the collector.
    """

    commitment_fields: ClassVar[tuple[str, ...]] = ()

    @property
    def kind(self) -> str:
        """`subject.past_verb`."""
        return str(self.__struct_config__.tag)

    def commitments(self) -> list[Commitment]:
        """The payloads that this event binds, in field order."""
        return [value for name in self.commitment_fields if (value := getattr(self, name)) is not None]


class OfStep(Event, frozen=True, kw_only=True):
    """What is said of one step of a run."""

    step: StepKey


class OfAttempt(OfStep, frozen=True, kw_only=True):
    """What is said of one attempt at a step, counted from 1."""

    attempt: int


class Who(TypedDict):
    """The fields of an event that say who asked for it."""

    by: str
    asserted: bool
    os_uid: int | None
    identified_by: str | None
    request: str | None
    request_digest: str | None


class Act(Event, frozen=True, kw_only=True):
    """What every event has in common that somebody caused by asking for it: how it was known who that is.

    `asserted`: the name is the caller's own word (`--as`). `os_uid`: the operating system's user that it came from.
    `identified_by`: what says who it is (`assent.spec.principal` lists the words); None on entries older than format 4.
    `request`: the id of the request that it was asked in: the same request, delivered twice, is carried out once.
    `request_digest`: what was asked under an id that the caller chose, as a MAC under a key of the ledger's owner.
    """

    asserted: bool = False
    os_uid: int | None = None
    identified_by: str | None = None
    request: str | None = None
    request_digest: str | None = None


def fields_naming(event_type: type[Event], kind: str) -> tuple[str, ...]:
    """The fields whose annotation names the type `kind`, in their order.

    They are read as text: that finds a type inside of others, however these are written.
    """
    written: dict[str, str] = {}
    for base in reversed(event_type.__mro__):
        written |= vars(base).get("__annotations__", {})
    return tuple(name for name in event_type.__struct_fields__ if kind in _NAMES.findall(str(written[name])))
