"""The contract of a store of findings: what every one promises, as a suite to run on one's own."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from assent.errors import InputError, Json
from assent.findings import Severity, read_finding
from assent.findings.finding import Finding
from assent.findings.store import PAGE_FINDINGS_MAX, BatchStoragePort, Page, Saved, Where


def _id(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012x}"


def _number(one: Finding) -> int:
    return int(one.id[-12:], 16)


PROJECT: Final = _id(1)
OTHER: Final = _id(2)


class Opens(Protocol):
    """Opens the store that is tried: empty at first, and each time the same one."""

    def __call__(self) -> BatchStoragePort:
        """The store."""


def finding(number: int, **other: Any) -> dict[str, Any]:  # `Any`: JSON
    """A document with an id by number."""
    return {
        "finding_schema_version": "1.0.0",
        "id": _id(number),
        "project_id": PROJECT,
        "detector_id": "tool.rule",
        "title": "a title",
        "severity": "low",
        "resource": "host.example",
        "created_at": "2026-11-23T09:30:00Z",
        **other,
    }


class FindingsStoreContract:
    """A pytest suite: subclass it and give a fixture `opens`; a store that lasts opens the same again with it."""

    def test_what_was_kept_is_there(self, opens: Opens) -> None:
        """Findings and documents come back as they were given, and what was given is as it was."""
        given = [finding(2, severity="high"), finding(1), finding(3, project_id=OTHER)]
        before = copy.deepcopy(given)
        store = opens()
        for one in given:
            store.save_finding(one)
        document: dict[str, Json] = {"store_schema_version": "1.0.0", "name": "a", "parts": [1, {"b": None}]}
        store.atomic_write("projects/a", document)
        document["name"] = "changed afterwards"
        assert given == before
        again = opens()
        assert again.list_findings(PROJECT) == [read_finding(given[1]), read_finding(given[0])]
        assert again.list_findings(OTHER) == [read_finding(given[2])]
        assert (again.read_document("projects/a") or {})["name"] == "a"
        assert again.read_document("projects/b") is None

    def test_an_unknown_project_is_empty(self, opens: Opens) -> None:
        """Nobody has to make a project before it is asked for."""
        store = opens()
        assert store.list_findings(PROJECT) == []
        assert store.page(PROJECT, Where(), limit=1) == Page(findings=(), next=None)
        store.delete_project(PROJECT)

    def test_the_layout_is_valid_and_has_a_version(self, opens: Opens) -> None:
        """A store that nobody meddled with says so, and its version has three parts."""
        store = opens()
        store.save_finding(finding(1))
        assert store.validate_store_layout() is True
        assert all(one.isdigit() for one in store.get_schema_version().split("."))
        assert store.get_schema_version().count(".") == 2

    def test_the_same_again_is_known_and_another_refused(self, opens: Opens) -> None:
        """An id is one finding's, in all projects."""
        store = opens()
        assert store.save_findings([finding(1), finding(1), finding(2)]) == Saved(new=2, known=1)
        assert store.save_findings([read_finding(finding(2)), finding(3)]) == Saved(new=1, known=1)
        for other in ({"title": "another"}, {"project_id": OTHER}):
            _refused("FINDING_EXISTS", store, finding(9), finding(1, **other))
            _refused("FINDING_EXISTS", store, finding(9), finding(9, **other))
        assert len(store.list_findings(PROJECT)) == 3
        assert store.list_findings(OTHER) == []

    def test_what_is_no_finding_is_refused(self, opens: Opens) -> None:
        """Whoever made it, it is judged, and nothing of its batch is kept."""
        store = opens()
        unjudged = Finding(**{**finding(1), "severity": Severity.LOW, "detector_id": "a:b"})
        for one in (finding(1, severity="bad"), finding(1, id="1"), {}, unjudged):
            _refused("FINDING_INVALID", store, finding(9), one)
        _refused("FINDING_TOO_NEW", store, finding(9), finding(1, finding_schema_version="9.0.0"))
        assert store.list_findings(PROJECT) == []

    def test_a_document_says_its_version(self, opens: Opens) -> None:
        """A document without a version, with a bad one, of a later schema, or by a name that leads elsewhere is refused."""
        store = opens()
        versions = (None, 1, "1", "1.0", "01.0.0", "1.0.0\n")
        bad: list[tuple[str, str, Any]] = [
            *(("STORE_DOCUMENT_INVALID", "a", {"store_schema_version": one}) for one in versions),
            *(
                ("STORE_DOCUMENT_INVALID", one, {"store_schema_version": "1.0.0"})
                for one in ("", "/a", "../a", "a/../b", "A", "a\n", "a/", "a" * 200)
            ),
            ("STORE_DOCUMENT_INVALID", "a", {"store_schema_version": "1.0.0", "a": object()}),
            ("STORE_TOO_NEW", "a", {"store_schema_version": "1.0.1"}),
        ]
        for code, name, document in bad:
            assert (
                _code_of(lambda name=name, document=document: store.atomic_write(name, document)) == code
            ), name
        assert store.read_document("a") is None

    def test_pages_go_on_where_they_ended(self, opens: Opens) -> None:
        """Findings that come in between neither double nor drop any that were there."""
        store = opens()
        store.save_findings(finding(number) for number in range(10, 30, 2))
        first = store.page(PROJECT, Where(), limit=4)
        store.save_findings([finding(1), finding(29)])
        seen = list(first.findings)
        after = first.next
        while after is not None:
            page = store.page(PROJECT, Where(), after=after, limit=4)
            seen += page.findings
            after = page.next
        assert [_number(one) for one in seen] == [*range(10, 30, 2), 29]
        for limit in (0, PAGE_FINDINGS_MAX + 1):
            assert (
                _code_of(lambda limit=limit: store.page(PROJECT, Where(), limit=limit)) == "FINDING_INVALID"
            )

    def test_what_nobody_can_have_is_nowhere(self, opens: Opens) -> None:
        """A project or fingerprint that can't be one has no findings, wherever it might lead; an id that is none is refused."""
        store = opens()
        store.save_finding(finding(1))
        for project in ("", "x", "..", f"../{PROJECT}", "*"):
            assert store.list_findings(project) == []
            store.delete_project(project)
        assert list(store.stream(PROJECT, Where(fingerprint="x"))) == []
        for after in ("", "x", "../x"):
            assert (
                _code_of(lambda after=after: store.page(PROJECT, Where(), after=after, limit=1))
                == "FINDING_INVALID"
            )
        assert len(store.list_findings(PROJECT)) == 1

    def test_a_filter_is_kept_to(self, opens: Opens) -> None:
        """All that is said has to fit; a stream gives the same as pages do."""
        store = opens()
        prints = {"recipe": 1, "value": "a" * 64}
        store.save_findings(
            [
                finding(1, severity="high", run_id="one"),
                finding(2, severity="high", detector_id="tool.other", fingerprint=prints),
                finding(3, run_id="one"),
                finding(4, severity="high", project_id=OTHER, run_id="one"),
            ]
        )
        wanted = [
            (Where(), [1, 2, 3]),
            (Where(severities=frozenset({Severity.HIGH})), [1, 2]),
            (Where(severities=frozenset({Severity.HIGH, Severity.LOW}), run_id="one"), [1, 3]),
            (Where(detectors=frozenset({"tool.other"})), [2]),
            (Where(fingerprint="a" * 64), [2]),
            (Where(fingerprint="b" * 64), []),
        ]
        for where, numbers in wanted:
            assert [_number(one) for one in store.stream(PROJECT, where)] == numbers, where
            assert [_number(one) for one in store.page(PROJECT, where, limit=9).findings] == numbers
        assert store.page(PROJECT, wanted[1][0], limit=2).next is None

    def test_a_deleted_project_is_gone_alone(self, opens: Opens) -> None:
        """Others stay, and the ids are free again."""
        store = opens()
        store.save_findings([finding(1), finding(2, project_id=OTHER)])
        store.delete_project(PROJECT)
        assert opens().list_findings(PROJECT) == []
        assert len(opens().list_findings(OTHER)) == 1
        assert store.save_findings([finding(1, title="another")]) == Saved(new=1, known=0)


def _refused(code: str, store: BatchStoragePort, *given: Any) -> None:
    assert _code_of(lambda: store.save_findings(cast("list[dict[str, Any]]", given))) == code, given


def _code_of(call: Callable[..., object]) -> str | None:
    """The code of what a call is refused with; None where it is not."""
    try:
        call()
    except InputError as error:
        return error.code
    return None
