"""Findings under another recipe of identity: each gets its new fingerprint, and what merged and what split is told.

A new recipe is a new version, and whoever keeps anything by fingerprint has to follow. So each finding comes with the fingerprint
that it had, one after another, and a report is filled meanwhile. In memory are two digests for each finding, and no finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

import msgspec

from assent.findings.finding import Finding, Fingerprint
from assent.findings.identity import finding_id

GROUPS_MAX: Final = 1_000
"""So many merged and as many split groups are told with their fingerprints; the rest is counted."""
MEMBERS_MAX: Final = 100
"""So many fingerprints of one group are told."""

Recipe: TypeAlias = Callable[[Finding], Fingerprint]


class Rekeyed(NamedTuple):
    """One finding as it is now, and what it was."""

    finding: Finding
    old: Fingerprint | None
    """None: it had no fingerprint."""
    old_id: str
    is_merged: bool
    """Whether an earlier finding has the same identity now: what is kept by id has room for one of them."""


class Group(NamedTuple):
    """Fingerprints of a project, and the one that they became or came from, in the order of their first findings."""

    project_id: str
    one: str
    others: tuple[str, ...]


@dataclass(slots=True)
class Groups:
    """Fingerprints that have more than one on the other side: how many, and the first of them."""

    count: int = 0
    _first: dict[tuple[str, bytes], bytes] = field(default_factory=dict)
    _all: dict[tuple[str, bytes], dict[bytes, None]] = field(default_factory=dict)

    def note(self, project_id: str, one: bytes, other: bytes) -> None:
        """`other` belongs to `one`."""
        key = (project_id, one)
        first = self._first.setdefault(key, other)
        if first != other:
            self._all.setdefault(key, {first: None})[other] = None
            self.count = len(self._all)

    @property
    def listed(self) -> list[Group]:
        """At most `GROUPS_MAX` of them, each with at most `MEMBERS_MAX`."""
        return [
            Group(project_id, one.hex(), tuple(other.hex() for other in islice(others, MEMBERS_MAX)))
            for (project_id, one), others in islice(self._all.items(), GROUPS_MAX)
        ]


@dataclass(slots=True)
class Rekeying:
    """How it went. It is filled while findings are read, and whole when they end."""

    findings: int = 0
    kept: int = 0
    """Those whose fingerprint was of the recipe's version already, or of a later one."""
    new: int = 0
    """Those that had no fingerprint."""
    merged: Groups = field(default_factory=Groups)
    """New fingerprints that several old ones became; one that a finding had already counts as its own old one."""
    split: Groups = field(default_factory=Groups)
    """Old fingerprints that became several new ones."""


def rekey(findings: Iterable[Finding], recipe: Recipe, report: Rekeying | None = None) -> Iterator[Rekeyed]:
    """Each finding with the fingerprint that a recipe gives it, in their order.

    An id that followed from the old fingerprint follows from the new one; one that somebody gave stays.
    """
    report = report if report is not None else Rekeying()
    ids: set[bytes] = set()
    for one in findings:
        old, new = one.fingerprint or None, recipe(one)
        report.findings += 1
        name = one.id
        if old is None:
            report.new += 1
        elif old.recipe >= new.recipe:
            report.kept += 1
            new = old
            report.merged.note(one.project_id, bytes.fromhex(old.value), bytes.fromhex(old.value))
        else:
            was, now = bytes.fromhex(old.value), bytes.fromhex(new.value)
            report.merged.note(one.project_id, now, was)
            report.split.note(one.project_id, was, now)
            if name == finding_id(one.project_id, old.value):
                name = finding_id(one.project_id, new.value)
        key = bytes.fromhex(name.replace("-", ""))
        yield Rekeyed(msgspec.structs.replace(one, id=name, fingerprint=new), old, one.id, key in ids)
        ids.add(key)
