"""What people decided about a finding: its status, whose it is, tags, notes, and whether it is to be told of. Plain data.

A finding never changes; what is decided about it stands beside it. Who keeps it gives the time and the name: nothing here looks
at a clock. Whatever makes a `Triage`, what can't be is refused when it is made.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeAlias, get_args

import msgspec

from assent.errors import InputError
from assent.findings.finding import Finding, Moment
from assent.spec.values.typed import convert

TAGS_MAX: Final = 100
TAG_CHARACTERS_MAX: Final = 64
NOTES_MAX: Final = 1_000
NOTE_CHARACTERS_MAX: Final = 10_000
WHO_CHARACTERS_MAX: Final = 256


class Status(StrEnum):
    """How far a finding has come."""

    OPEN = "open"
    TRIAGED = "triaged"
    RESOLVED = "resolved"
    FALSE_POSITIVE = "false_positive"
    RISK_ACCEPTED = "risk_accepted"
    ARCHIVED = "archived"


ACTIVE: Final = frozenset({Status.OPEN, Status.TRIAGED})
"""Somebody still has something to do. Of these, those that are suppressed count as suppressed and not as active."""


class Scope(StrEnum):
    """How far a suppression reaches in its project: one finding, or all of its detector or resource, also what comes later."""

    FINDING = "finding"
    DETECTOR = "detector"
    RESOURCE = "resource"


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class Note(_Part, frozen=True, kw_only=True):
    """What somebody wrote."""

    at: Moment
    by: str
    text: str

    def __post_init__(self) -> None:
        moment(self.at)
        _check_who(self.by)
        if not self.text.strip():
            raise ValueError("a note must say something")
        if len(self.text) > NOTE_CHARACTERS_MAX:
            raise ValueError(f"a note has {NOTE_CHARACTERS_MAX} characters at most")


class Suppression(_Part, frozen=True, kw_only=True):
    """Not to be told of, for a reason: until a moment, or for good without one."""

    reason: str
    until: Moment | None = None
    scope: Scope = Scope.FINDING

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise ValueError("a suppression must have a reason")
        if len(self.reason) > NOTE_CHARACTERS_MAX:
            raise ValueError(f"a reason has {NOTE_CHARACTERS_MAX} characters at most")
        if self.until is not None:
            moment(self.until)


class Triage(_Part, frozen=True, kw_only=True):
    """What was decided about one finding. `status_at` is when its status was set; None where it never was."""

    status: Status = Status.OPEN
    status_at: Moment | None = None
    owner: str | None = None
    tags: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    suppression: Suppression | None = None

    def __post_init__(self) -> None:
        if self.status_at is not None:
            moment(self.status_at)
        if self.owner is not None:
            _check_who(self.owner)
        for tag in self.tags:
            if not tag or tag != tag.strip() or len(tag) > TAG_CHARACTERS_MAX or not tag.isprintable():
                raise ValueError(f"a tag has 1 to {TAG_CHARACTERS_MAX} characters that can be seen")
        if len(self.tags) != len({*self.tags}) or len(self.tags) > TAGS_MAX:
            raise ValueError(f"a finding has {TAGS_MAX} tags at most, each once")
        if len(self.notes) > NOTES_MAX:
            raise ValueError(f"a finding has {NOTES_MAX} notes at most")


class Reported(_Part, frozen=True, kw_only=True):
    """A finding with what was decided about it, and when it was seen first and last. What reports and metrics are made of."""

    finding: Finding
    triage: Triage = Triage()
    first_seen: Moment | None = None
    last_seen: Moment | None = None

    def __post_init__(self) -> None:
        for one in (self.first_seen, self.last_seen):
            if one is not None:
                moment(one)


class _Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="action"):
    pass


class SetStatus(_Change, frozen=True, kw_only=True, tag="set_status"):
    """It has come so far."""

    status: Status


class SetOwner(_Change, frozen=True, kw_only=True, tag="set_owner"):
    """Whose it is from now on; nobody's with None."""

    owner: str | None


class AddTags(_Change, frozen=True, kw_only=True, tag="add_tags"):
    """These too; what is there stays."""

    tags: tuple[str, ...]


class RemoveTags(_Change, frozen=True, kw_only=True, tag="remove_tags"):
    """Without these; one that is not there does no harm."""

    tags: tuple[str, ...]


class AddNote(_Change, frozen=True, kw_only=True, tag="add_note"):
    """Something written behind the other notes."""

    text: str


class Suppress(_Change, frozen=True, kw_only=True, tag="suppress"):
    """Not to be told of any more, until a moment or for good."""

    reason: str
    until: str | None = None
    scope: Scope = Scope.FINDING


class Unsuppress(_Change, frozen=True, kw_only=True, tag="unsuppress"):
    """To be told of again."""


Change: TypeAlias = SetStatus | SetOwner | AddTags | RemoveTags | AddNote | Suppress | Unsuppress
ACTIONS: Final = tuple(str(one.__struct_config__.tag) for one in get_args(Change))


def read_change(document: Any) -> Change:  # `Any`: outside JSON, decoded
    """A change from a document like `{"action": "add_note", "text": "…"}`. `InputError` `TRIAGE_INVALID`."""
    try:
        found: Change = convert(document, Change)
        return found
    except msgspec.ValidationError as error:
        raise InputError(
            "TRIAGE_INVALID", f"the change is not valid: {error}", hint=f"actions are {', '.join(ACTIONS)}"
        ) from None


def changed(triage: Triage, *changes: Change, at: Moment, by: str) -> Triage:
    """What is decided after the changes, one after the other. All of them are done or, where one can't be, none.

    `InputError` `TRIAGE_INVALID`: an empty note, a suppression without a reason, a moment that there is not.
    """
    try:
        moment(at)
        _check_who(by)
        for change in changes:
            triage = _changed(triage, change, at, by)
    except ValueError as error:
        raise InputError("TRIAGE_INVALID", str(error)) from None
    return triage


def _changed(triage: Triage, change: Change, at: Moment, by: str) -> Triage:
    replace = msgspec.structs.replace
    match change:
        case SetStatus(status=status):
            return replace(triage, status=status, status_at=at) if status != triage.status else triage
        case SetOwner(owner=owner):
            return replace(triage, owner=owner)
        case AddTags(tags=tags):
            return replace(triage, tags=tuple(dict.fromkeys((*triage.tags, *tags))))
        case RemoveTags(tags=tags):
            return replace(triage, tags=tuple(one for one in triage.tags if one not in tags))
        case AddNote(text=text):
            return replace(triage, notes=(*triage.notes, Note(at=at, by=by, text=text)))
        case Suppress(reason=reason, until=until, scope=scope):
            return replace(triage, suppression=Suppression(reason=reason, until=until, scope=scope))
        case Unsuppress():
            return replace(triage, suppression=None)


def is_suppressed(triage: Triage, now: datetime) -> bool:
    """Whether it is not to be told of now: it is suppressed for good, or until a moment that is still to come."""
    if triage.suppression is None:
        return False
    until = triage.suppression.until
    return until is None or moment(until) > now


def moment(said: Moment) -> datetime:
    """A moment of a document. `ValueError`: it is not written as one, or there is no such day or hour."""
    try:
        return datetime.fromisoformat(convert(said, Moment))
    except msgspec.ValidationError:
        raise ValueError(f"`{said[:40]}` must be a time in UTC like `2027-01-31T00:00:00Z`") from None
    except ValueError:
        raise ValueError(f"`{said[:40]}` is not a time that exists") from None


def _check_who(name: str) -> None:
    if not name.strip() or len(name) > WHO_CHARACTERS_MAX or not name.isprintable():
        raise ValueError(f"a name has 1 to {WHO_CHARACTERS_MAX} characters that can be seen")
