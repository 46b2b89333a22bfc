"""Under another recipe every finding has its new identity, and what merged and what split is told. Recipe 2 is invented."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec
import pytest

from assent.findings import Finding, Fingerprint, read_finding, rekey
from assent.findings.identity import finding_id
from assent.findings.rekey import Group, Rekeyed, Rekeying
from tests.findings.test_finding import LEAST

PROJECT = LEAST["project_id"]
OTHER = "0b9d7c52-5d5e-4f6e-8f0a-6f0f3f1f2a12"


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def finding(print_of: str | None, resource: str, **other: Any) -> Finding:
    """A finding whose id follows from its fingerprint."""
    document = {**LEAST, "resource": resource, **other}
    if print_of is not None:
        document["fingerprint"] = {"recipe": 1, "value": digest(print_of)}
        document["id"] = other.get("id") or finding_id(document["project_id"], digest(print_of))
    return read_finding(document)


def recipe_2(one: Finding) -> Fingerprint:
    """Two findings are one where their resources are, in whatever letters."""
    return Fingerprint(recipe=2, value=digest(one.resource.lower()))


def rekeyed(*findings: Finding) -> tuple[list[Rekeyed], Rekeying]:
    report = Rekeying()
    return list(rekey.rekey(iter(findings), recipe_2, report)), report


def test_each_finding_comes_with_the_identity_it_had() -> None:
    one = finding("a", "A.example")
    ((made, old, old_id, is_merged),), report = rekeyed(one)
    new = recipe_2(one)
    assert (old, old_id, is_merged) == (one.fingerprint, one.id, False)
    assert made == msgspec.structs.replace(one, id=finding_id(PROJECT, new.value), fingerprint=new)
    assert made == read_finding(made.to_json())
    assert (report.findings, report.kept, report.new, report.merged.count, report.split.count) == (
        1,
        0,
        0,
        0,
        0,
    )


def test_what_merged_is_told_and_the_first_one_leads() -> None:
    found, report = rekeyed(finding("a", "a.example"), finding("b", "A.example"), finding("c", "c.example"))
    assert [one.is_merged for one in found] == [False, True, False]
    assert found[0].finding.id == found[1].finding.id
    assert report.merged.listed == [Group(PROJECT, digest("a.example"), (digest("a"), digest("b")))]
    assert (report.merged.count, report.split.count, report.split.listed) == (1, 0, [])


def test_what_split_is_told() -> None:
    one, other = finding("a", "a.example"), finding("a", "b.example", id=LEAST["id"])
    found, report = rekeyed(one, other, one)
    assert [one.is_merged for one in found] == [False, False, True]
    assert report.split.listed == [Group(PROJECT, digest("a"), (digest("a.example"), digest("b.example")))]
    assert (report.split.count, report.merged.count) == (1, 0)


def test_projects_have_nothing_to_do_with_one_another() -> None:
    found, report = rekeyed(finding("a", "a.example"), finding("b", "a.example", project_id=OTHER))
    assert [one.is_merged for one in found] == [False, False]
    assert (report.merged.count, report.split.count) == (0, 0)


def test_an_id_that_somebody_gave_stays() -> None:
    (found,), _ = rekeyed(finding("a", "a.example", id=LEAST["id"]))
    assert (found.finding.id, found.old_id) == (LEAST["id"], LEAST["id"])


def test_a_finding_without_a_fingerprint_gets_one() -> None:
    (found,), report = rekeyed(finding(None, "a.example"))
    assert (found.old, found.finding.fingerprint, report.new) == (None, recipe_2(found.finding), 1)


def test_a_second_time_changes_nothing() -> None:
    first, _ = rekeyed(finding("a", "a.example"), finding("b", "b.example"))
    again, report = rekeyed(*(one.finding for one in first))
    assert [one.finding for one in again] == [one.finding for one in first]
    assert (report.kept, report.merged.count, report.split.count) == (2, 0, 0)


def test_what_comes_to_one_that_was_there_already_merged() -> None:
    ((there, *_),), _ = rekeyed(finding("a", "a.example"))
    found, report = rekeyed(there, finding("b", "a.example"))
    assert found[1].is_merged
    assert report.merged.listed == [Group(PROJECT, digest("a.example"), (digest("a.example"), digest("b")))]


def test_lists_are_bounded_and_counts_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rekey, "GROUPS_MAX", 2)
    monkeypatch.setattr(rekey, "MEMBERS_MAX", 3)
    _, report = rekeyed(*(finding(f"{number}", f"{number % 5}.example") for number in range(50)))
    assert report.merged.count == 5
    assert [len(one.others) for one in report.merged.listed] == [3, 3]
