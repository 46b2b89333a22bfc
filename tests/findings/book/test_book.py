"""A book of findings: what each act leaves, and what is answered of it."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from itertools import count, pairwise
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec
import pytest

from assent.errors import InputError, WorldError
from assent.findings import _sqlite
from assent.findings.book import (
    PAGE_MAX,
    BookFile,
    Dataset,
    Difference,
    Kept,
    Looking,
    Mark,
    Removal,
    Removed,
    Wanted,
    Writing,
    _book,
)
from assent.findings.finding import Finding, Location, Provenance, Severity
from assent.findings.triage import AddTags, Change, Scope, SetOwner, SetStatus, Status, Suppress
from tests.support.books import dump, spoil

SHOP: Final = "0b9d7c52-5d5e-4f6e-8f0a-6f0f3f1f2a11"
BLOG: Final = "0b9d7c52-5d5e-4f6e-8f0a-6f0f3f1f2a12"
NOW_MS: Final = 1_000_000
AT: Final = "2026-11-23T09:30:00Z"


def ident(number: int) -> str:
    return f"{number:08x}-0000-8000-8000-000000000000"


def found(number: int, severity: str = "low", **fields: Any) -> Finding:
    """A finding: its number says which, and of which detector."""
    given: dict[str, Any] = {
        "finding_schema_version": "1.0.0",
        "id": ident(number),
        "project_id": SHOP,
        "detector_id": f"nuclei.rule-{number % 3}",
        "title": f"Matter {number}",
        "severity": Severity(severity),
        "resource": f"https://shop.example/{number}",
        "created_at": AT,
        "provenance": Provenance(tool="nuclei"),
    }
    return Finding(**given | fields)


class Book:
    """A book that is written act by act, as the fold does it, and looked at."""

    def __init__(self, path: Path | None = None) -> None:
        self.file = BookFile(path)
        self.writing = Writing(self.file)
        self.seq = 0

    def add(
        self,
        *findings: Finding,
        at: int = 0,
        run: str | None = None,
        project: str = SHOP,
        name: str | None = "shop",
        tool: str = "nuclei",
    ) -> int:
        """Add a dataset; the number of its entry."""
        self.seq += 1
        said = {"tool": tool}
        dataset = Dataset(
            seq=self.seq, run=run or f"run-{self.seq}", step="call", at_ms=at, project=project, name=name, said=said
        )  # fmt: skip
        with self.file.whole():
            self.writing.add(dataset, findings)
        return self.seq

    def decide(self, ids: Iterable[int], *changes: Change, project: str = SHOP) -> int:
        """Decide; the number of its entry."""
        self.seq += 1
        with self.file.whole():
            self.writing.decide(self.seq, project, map(ident, ids), changes, at=AT, by="user:ann")
        return self.seq

    def take_back(self, seq: int) -> None:
        with self.file.whole():
            self.writing.take_back(seq)

    def take_decision_back(self, seq: int) -> None:
        with self.file.whole():
            self.writing.take_decision_back(seq)

    def remove_old(
        self, *, datasets: int, findings: int, project: str = SHOP, keep: tuple[str, ...] = ()
    ) -> Removed:
        removal = Removal(
            project=project, datasets_before_ms=datasets, findings_before_ms=findings, keep=keep
        )
        foretold = removal.count(self.file.db)
        with self.file.whole():
            self.writing.remove_old(removal)
        assert removal.count(self.file.db) == Removed(datasets=0, findings=0)
        return foretold

    @property
    def looking(self) -> Looking:
        return Looking(self.file, NOW_MS)

    @property
    def shop(self) -> int:
        return self.looking.project(SHOP)[0]

    def listed(
        self, wanted: Wanted | None = None, *, limit: int = 100, after: str | None = None
    ) -> list[str]:
        """The titles of a page, without what all begin with."""
        page = self.looking.page(self.shop, wanted or Wanted(), limit=limit, after=after)
        return [title(one) for one in page.findings]

    def one(self, number: int) -> Kept:
        return self.looking.one(ident(number))


def title(one: Kept) -> str:
    return one.reported.finding.title.removeprefix("Matter ")


@pytest.fixture
def book() -> Iterator[Book]:
    found = Book()
    yield found
    assert dump(found.file)["stray"] == 0
    found.file.close()


def test_records_of_one_matter_in_one_dataset_are_one_finding_with_all_its_places(book: Book) -> None:
    here, there = Location(url="https://shop.example/a"), Location(url="https://shop.example/b")
    book.add(found(1, "low", locations=(here,)), found(2), found(1, "high", locations=(there, here)))
    (one,) = (one for one in book.looking.stream(book.shop, Wanted()) if title(one) == "1")
    assert one.reported.finding.locations == (here, there)
    assert one.reported.finding.severity is Severity.HIGH
    assert book.listed() == ["1", "2"]
    (dataset,) = book.looking.datasets()
    assert (dataset.new, dataset.known) == (2, 0)


def test_records_of_one_matter_are_read_and_written_once_however_many_there_are(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work, in bytes, grows with their number and not with its square."""
    worked: list[int] = []
    decode = _book._DECODE

    def counted(body: bytes) -> Finding:
        worked.append(len(body))
        return decode(body)

    def work(many: int) -> int:
        worked.clear()
        places = (Location(url=f"https://shop.example/{many}/{one}") for one in range(many))
        book.add(*(found(many, locations=(place,)) for place in places), found(1))
        return sum(worked)

    monkeypatch.setattr(_book, "_DECODE", counted)
    assert work(400) < 2.1 * work(200)
    assert len(book.one(400).reported.finding.locations) == 400
    assert book.file.db.execute("SELECT count(*) FROM seen").get == 4


def test_a_later_dataset_says_anew_what_a_finding_is_and_counts_it_as_known(book: Book) -> None:
    book.add(found(1, "critical"), at=10)
    seq = book.add(found(1, "low", title="Matter one"), found(2), at=20)
    one = book.one(1)
    assert (one.reported.finding.title, one.reported.finding.severity) == ("Matter one", Severity.LOW)
    assert (one.dataset, one.reported.finding.provenance) == (
        seq,
        Provenance(tool="nuclei", ledger_entry=str(seq)),
    )
    assert (one.reported.first_seen, one.reported.last_seen) == (
        "1970-01-01T00:00:00.010Z",
        "1970-01-01T00:00:00.020Z",
    )
    assert [(one.new, one.known) for one in book.looking.datasets()] == [(1, 0), (1, 1)]  # fmt: skip


def test_what_others_said_stays_when_a_dataset_is_taken_back(book: Book) -> None:
    first = book.add(found(1, "critical"), found(2), at=10)
    before = dump(book.file)
    last = book.add(found(1, "low"), found(3), at=20)
    book.take_back(last)
    assert dump(book.file) == before
    middle = book.add(found(1, "low"), found(2), at=30)
    book.take_back(first)
    one = book.one(1)
    assert (one.dataset, one.reported.first_seen) == (middle, "1970-01-01T00:00:00.030Z")
    book.take_back(middle)
    assert dump(book.file)["findings"] == []
    assert book.looking.projects() == []


def test_taking_back_what_is_not_there_does_nothing(book: Book) -> None:
    book.add(found(1))
    before = dump(book.file)
    book.take_back(99)
    book.take_decision_back(99)
    assert dump(book.file) == before


def test_a_dataset_that_age_has_removed_can_still_be_taken_back(book: Book) -> None:
    """Its findings may be there yet, and nobody else says them."""
    old = book.add(found(1), found(2), at=10)
    book.add(found(2, "high"), at=20)
    assert book.remove_old(datasets=15, findings=0) == Removed(datasets=1, findings=0)
    assert book.listed() == ["2", "1"]
    book.take_back(old)
    assert book.listed() == ["2"]


def test_when_a_finding_was_seen_outlives_the_datasets_that_saw_it(book: Book) -> None:
    book.add(found(1), at=10)
    book.add(found(1), at=20)
    assert book.remove_old(datasets=15, findings=0).datasets == 1
    book.take_back(book.add(found(1), at=30))
    one = book.one(1).reported
    assert (one.first_seen, one.last_seen) == ("1970-01-01T00:00:00.010Z", "1970-01-01T00:00:00.020Z")
    assert book.remove_old(datasets=25, findings=0).datasets == 1
    book.take_back(book.add(found(1), at=30))
    one = book.one(1).reported
    assert (one.first_seen, one.last_seen) == ("1970-01-01T00:00:00.010Z", "1970-01-01T00:00:00.020Z")


def test_what_is_decided_sticks_to_the_finding_over_later_datasets(book: Book) -> None:
    first = book.add(found(1), found(2))
    book.decide([1], SetStatus(status=Status.FALSE_POSITIVE), SetOwner(owner="ann"))
    book.add(found(1, "critical"))
    book.take_back(first)
    assert book.one(1).reported.triage.status is Status.FALSE_POSITIVE
    assert book.listed(Wanted(statuses=frozenset({Status.FALSE_POSITIVE}), owner="ann")) == ["1"]
    book.take_back(2 + 1)
    assert dump(book.file)["findings"] == []
    book.add(found(1))
    assert book.one(1).reported.triage.owner == "ann"
    assert book.listed(Wanted(statuses=frozenset({Status.FALSE_POSITIVE}))) == ["1"]


def test_a_decision_outlives_the_erasure_of_the_import_that_it_was_about(book: Book) -> None:
    """The fold then meets it before any dataset of its project."""
    book.decide([1], SetStatus(status=Status.RISK_ACCEPTED))
    book.add(found(1))
    assert book.one(1).reported.triage.status is Status.RISK_ACCEPTED
    assert book.looking.project("shop")[1] == SHOP


def test_a_decision_that_a_finding_has_no_room_for_leaves_it_and_decides_about_the_others(book: Book) -> None:
    """What is recorded is folded whatever it says: a fold that stopped would stop for good."""
    book.add(found(1), found(2))
    book.decide([1], AddTags(tags=tuple(f"a{one}" for one in range(90))))
    book.decide([1, 2], AddTags(tags=tuple(f"b{one}" for one in range(90))))
    tags = [book.one(one).reported.triage.tags for one in (1, 2)]
    assert [(len(some), some[0]) for some in tags] == [(90, "a0"), (90, "b0")]


def test_a_decision_that_is_taken_back_gives_way_to_the_one_before(book: Book) -> None:
    book.add(found(1), found(2))
    before = dump(book.file)
    first = book.decide([1, 2], SetStatus(status=Status.TRIAGED))
    once = dump(book.file)
    second = book.decide([1], Suppress(reason="known"))
    assert book.writing.stands(second)
    assert not book.writing.stands(first)
    book.take_decision_back(second)
    assert {**dump(book.file), "changes": None} == {**once, "changes": None}
    assert book.writing.stands(first)
    book.take_decision_back(first)
    assert dump(book.file) == before


def test_what_somebody_decided_since_is_not_taken_back_with_an_older_decision(book: Book) -> None:
    book.add(found(1), found(2))
    first = book.decide([1, 2], SetStatus(status=Status.RESOLVED))
    book.decide([1], AddTags(tags=("later",)))
    book.take_decision_back(first)
    assert book.one(1).reported.triage.status is Status.RESOLVED
    assert book.one(2).reported.triage.status is Status.OPEN


def test_age_removes_what_is_old_and_nothing_that_anybody_needs(book: Book) -> None:
    book.add(*map(found, (1, 2, 3, 4)), at=10)
    book.add(found(5), at=10, run="unfinished")
    book.add(found(4), found(6), at=30)
    book.decide([2], SetStatus(status=Status.TRIAGED))
    book.decide([3], SetStatus(status=Status.RESOLVED))
    assert book.remove_old(datasets=20, findings=20, keep=("unfinished",)) == Removed(datasets=1, findings=2)
    assert sorted(book.listed()) == ["2", "4", "5", "6"]
    assert [one.seq for one in book.looking.datasets()] == [2, 3]
    assert book.one(2).reported.finding.title == "Matter 2"
    assert book.looking.brought(book.one(2).dataset) is None
    book.add(found(3), at=40)
    assert book.one(3).reported.triage.status is Status.RESOLVED
    assert book.remove_old(datasets=20, findings=20, keep=("unfinished",)) == Removed(datasets=0, findings=0)


def test_age_removes_of_one_project_only(book: Book) -> None:
    book.add(found(1), at=10)
    book.add(found(2, project_id=BLOG), at=10, project=BLOG, name="blog")
    assert book.remove_old(datasets=20, findings=20, project=BLOG) == Removed(datasets=1, findings=1)
    assert book.listed() == ["1"]
    nobodys = "0b9d7c52-5d5e-4f6e-8f0a-6f0f3f1f2aff"
    assert book.remove_old(datasets=20, findings=20, project=nobodys) == Removed(datasets=0, findings=0)
    assert book.remove_old(datasets=20, findings=20) == Removed(datasets=1, findings=1)


def test_a_project_goes_with_its_findings_datasets_and_decisions_and_no_other_does(book: Book) -> None:
    book.add(found(9, project_id=BLOG), project=BLOG, name="blog")
    book.decide([9], SetOwner(owner="ben"), project=BLOG)
    before = dump(book.file)
    book.add(found(1), found(2))
    book.decide([1, 7], SetOwner(owner="ann"))
    with book.file.whole():
        book.writing.remove_project(SHOP)
        book.writing.remove_project(SHOP)
    assert dump(book.file) == before
    book.add(found(1))
    assert book.one(1).reported.triage.owner is None


def test_numbers_are_never_given_twice(book: Book) -> None:
    """Two runs that are compared are sets of numbers."""
    book.add(found(1), run="first")
    last = book.add(found(2), run="second")
    book.take_back(last)
    book.add(found(3), run="third")
    compared = book.looking.compare(book.shop, "first", "third")
    assert compared.counts == {"new": 1, "fixed": 1, "still": 0, "reappeared": 0}
    assert [(kind, title(one)) for kind, one in compared.findings] == [
        (Difference.NEW, "3"),
        (Difference.FIXED, "1"),
    ]


def test_pages_have_the_worst_first_and_of_these_the_newest(book: Book) -> None:
    book.add(found(1, "low"), found(2, "critical"), found(3, "unknown"), found(4, "info"), found(5, "medium"))
    book.add(found(6, "low"), found(7, "high"))
    assert book.listed() == ["2", "7", "5", "3", "6", "1", "4"]


def test_pages_double_and_drop_nothing_while_findings_come_in(book: Book) -> None:
    severities = ("low", "high", "medium")
    book.add(*(found(number, severities[number % 3]) for number in range(1, 41)))
    wanted, seen, after, more = book.listed(), list[str](), None, 100
    while True:
        page = book.looking.page(book.shop, Wanted(), limit=7, after=after)
        seen += [title(one) for one in page.findings]
        after = page.next
        if after is None:
            break
        book.add(found(more, "critical"), found(more + 1, "low"))
        more += 2
    assert [one for one in seen if int(one) < 100] == wanted
    assert len({*seen}) == len(seen)
    ranks = [book.one(int(one)).reported.finding.severity for one in seen if int(one) < 100]
    assert all(
        "high medium low".index(one) <= "high medium low".index(other) for one, other in pairwise(ranks)
    )


def test_a_page_ends_where_there_is_no_more(book: Book) -> None:
    book.add(found(1), found(2))
    assert book.looking.page(book.shop, Wanted(), limit=2).next is None
    assert book.looking.page(book.shop, Wanted(), limit=1).next is not None


@pytest.mark.parametrize(
    ("wanted", "titles"),
    [
        (Wanted(severities=frozenset({Severity.HIGH, Severity.INFO})), ["2", "4"]),
        (Wanted(statuses=frozenset({Status.OPEN})), ["2", "1", "4"]),
        (Wanted(statuses=frozenset({Status.OPEN, Status.RESOLVED})), ["2", "3", "1", "4"]),
        (Wanted(statuses=frozenset({Status.RESOLVED, Status.ARCHIVED})), ["3"]),
        (Wanted(suppressed=True), ["4"]),
        (Wanted(suppressed=False), ["2", "3", "1"]),
        (Wanted(detectors=frozenset({"nuclei.rule-1"})), ["1", "4"]),
        (Wanted(detectors=frozenset({"nuclei.rule-1", "nuclei.rule-2"})), ["2", "1", "4"]),
        (Wanted(detectors=frozenset({"nuclei.rule"})), []),
        (Wanted(tools=frozenset({"zap"})), ["2"]),
        (Wanted(run="other"), ["2"]),
        (Wanted(run="nobodys"), []),
        (Wanted(owner="ann"), ["3"]),
        (Wanted(tag="web"), ["4"]),
        (Wanted(text="STRASSE"), ["2"]),
        (Wanted(text="straße"), ["2"]),
        (Wanted(text='"quoted"'), ["2"]),
        (Wanted(text="matter 1"), ["1"]),
        (Wanted(text="RULE-0"), ["3"]),
        (Wanted(text="example/4", suppressed=True, severities=frozenset({Severity.INFO})), ["4"]),
        (Wanted(text="example/4", suppressed=False), []),
    ],
    ids=count(),
)
def test_each_filter_leaves_what_fits(book: Book, wanted: Wanted, titles: list[str]) -> None:
    book.add(found(1), found(3, "medium"), found(4, "info"))
    book.add(found(2, "high", resource='Straße "quoted"', provenance=Provenance(tool="zap")), run="other")
    book.decide([3], SetStatus(status=Status.RESOLVED), SetOwner(owner="ann"))
    book.decide([4], Suppress(reason="known"), AddTags(tags=("web",)))
    assert book.listed(wanted) == titles
    first = book.looking.page(book.shop, wanted, limit=1)
    rest = book.listed(wanted, after=first.next) if first.next else []
    assert [title(one) for one in first.findings] + rest == titles


def test_a_suppression_that_is_over_suppresses_no_more(book: Book) -> None:
    book.add(found(1), found(2), found(3))
    book.decide([1], Suppress(reason="known", until="1970-01-01T00:16:39Z"))
    book.decide([2], Suppress(reason="known", until="1970-01-01T00:16:41Z"))
    assert book.listed(Wanted(suppressed=True)) == ["2"]


@pytest.mark.parametrize("limit", [0, -1, PAGE_MAX + 1])
def test_a_page_of_another_size_is_refused(book: Book, limit: int) -> None:
    book.add(found(1))
    with pytest.raises(InputError, match="INVALID_INPUT"):
        book.looking.page(book.shop, Wanted(), limit=limit)


@pytest.mark.parametrize("after", ["", ".", "x", "1", "1.", "-1.5", "1.5.6", "9" * 40 + ".1", "²." + "1"])
def test_a_place_that_is_none_is_refused(book: Book, after: str) -> None:
    book.add(found(1))
    with pytest.raises(InputError, match="INVALID_INPUT"):
        book.looking.page(book.shop, Wanted(), limit=1, after=after)


def test_two_runs_differ_by_what_is_new_fixed_still_there_and_back_again(book: Book) -> None:
    book.add(found(4), found(7), run="oldest")
    book.add(found(1), found(2), found(3), run="before")
    book.add(found(9), run="before", tool="zap")
    book.add(found(2), found(4), found(5), run="after")
    compared = book.looking.compare(book.shop, "before", "after")
    assert compared.counts == {"new": 1, "fixed": 2, "still": 1, "reappeared": 1}
    assert compared.not_looked_for == 1
    assert [(kind.value, title(one)) for kind, one in compared.findings] == [
        ("new", "5"),
        ("fixed", "1"),
        ("fixed", "3"),
        ("still", "2"),
        ("reappeared", "4"),
    ]
    paged: list[str] = []
    behind = None
    while True:
        page = book.looking.compare(book.shop, "before", "after", behind=behind, limit=2)
        paged += [title(one) for _, one in page.findings]
        behind = page.next
        if behind is None:
            break
    assert paged == ["5", "1", "3", "2", "4"]
    only = book.looking.compare(book.shop, "before", "after", kinds=[Difference.STILL])
    assert [title(one) for _, one in only.findings] == ["2"]
    same = book.looking.compare(book.shop, "after", "after")
    assert same.counts == {"new": 0, "fixed": 0, "still": 3, "reappeared": 0}


def test_a_run_that_lost_findings_to_age_can_still_be_compared(book: Book) -> None:
    book.add(found(1), found(2), run="before", at=10)
    book.add(found(2), found(3), run="after", at=30)
    book.remove_old(datasets=0, findings=20)
    compared = book.looking.compare(book.shop, "before", "after")
    assert compared.counts == {"new": 1, "fixed": 0, "still": 1, "reappeared": 0}


def test_one_finding_is_found_by_the_beginning_of_its_id(book: Book) -> None:
    book.add(found(0xABCD0001), found(0xABCD0002), found(0x12345678))
    assert title(book.looking.one("1234")) == str(0x12345678)
    assert title(book.looking.one("ABCD-0002")) == str(0xABCD0002)
    assert title(book.looking.one(ident(0xABCD0001))) == str(0xABCD0001)
    with pytest.raises(InputError, match="FINDING_AMBIGUOUS"):
        book.looking.one("abcd")


@pytest.mark.parametrize(
    "said", ["", "123", "9999", "wxyz", "12 34", "-", "%", "1" * 33, "\uff11\uff12\uff13\uff14"]
)
def test_what_no_id_begins_with_is_unknown(book: Book, said: str) -> None:
    book.add(found(0x12345678))
    with pytest.raises(InputError, match="FINDING_UNKNOWN"):
        book.looking.one(said)


def test_a_project_is_meant_by_its_name_its_id_or_by_being_the_only_one(book: Book) -> None:
    with pytest.raises(InputError, match="no project yet"):
        book.looking.project(None)
    book.add(found(1), name=None)
    assert book.looking.project(None)[1:] == (SHOP, None)
    book.add(found(1))
    assert book.looking.project("shop")[1:] == (SHOP, "shop")
    assert book.looking.project(SHOP.upper())[1] == SHOP
    book.add(found(2, project_id=BLOG), project=BLOG, name="blog")
    with pytest.raises(InputError, match="there are several projects"):
        book.looking.project(None)
    with pytest.raises(InputError, match="no project `Shop`"):
        book.looking.project("Shop")
    assert [(one.name, one.findings, one.datasets) for one in book.looking.projects()] == [
        ("shop", 1, 2),
        ("blog", 1, 1),
    ]


def test_an_act_that_is_cut_short_leaves_nothing(tmp_path: Path) -> None:
    book = Book(tmp_path / "findings.db")
    book.add(found(1))
    before = dump(book.file)

    def cut() -> Iterator[Finding]:
        yield found(2)
        raise RuntimeError

    with pytest.raises(RuntimeError), book.file.whole():
        book.writing.add(Dataset(seq=9, run="r", step="s", at_ms=0, project=SHOP, name=None, said={}), cut())
    assert dump(book.file) == before
    book.file.close()


def test_a_mark_is_what_was_marked_last(book: Book) -> None:
    assert book.writing.mark() is None
    with book.file.whole():
        book.writing.set_mark(Mark(1, "ab"))
        book.writing.set_mark(Mark(7, "cd"))
    assert book.writing.mark() == Mark(7, "cd")
    with book.file.whole():
        book.writing.clear()
    assert book.writing.mark() is None


def _kept(path: Path) -> Book:
    book = Book(path)
    book.add(found(1))
    return book


@pytest.mark.parametrize(
    "content", [b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4096, b""]
)
def test_a_file_that_is_none_of_ours_is_made_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "findings.db"
    path.write_bytes(content)
    book = _kept(path)
    assert book.listed() == ["1"]
    assert path.stat().st_mode & 0o077 == 0 or not content
    book.file.close()


def test_a_file_of_another_release_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "findings.db"
    _kept(path).file.close()
    other = apsw.Connection(str(path))
    other.pragma("user_version", 99)
    other.close()
    assert dump(BookFile(path))["findings"] == []


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE triage",
        "DROP INDEX seen_finding",
        "ALTER TABLE seen RENAME TO other; CREATE VIEW seen AS SELECT * FROM other",
        "ALTER TABLE finding ADD COLUMN more TEXT",
        "DROP TABLE words",
        "CREATE TRIGGER it AFTER INSERT ON seen BEGIN DELETE FROM finding; END",
        "CREATE TABLE theirs (a)",
    ],
)
def test_a_file_with_other_tables_is_made_anew(tmp_path: Path, change: str) -> None:
    path = tmp_path / "findings.db"
    _kept(path).file.close()
    other = apsw.Connection(str(path))
    other.execute(change)
    other.close()
    book = Book(path)
    assert dump(book.file)["findings"] == []
    book.add(found(1))
    assert book.listed() == ["1"]
    book.file.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE seen SET body = x'ff'",
        "UPDATE seen SET body = x'22ff22'",
        "UPDATE seen SET body = CAST('{}' AS BLOB)",
        "UPDATE triage SET body = CAST('[]' AS BLOB)",
        "DELETE FROM words_config",
    ],
)
def test_a_file_in_which_something_else_stands_is_told_once_and_made_anew(
    tmp_path: Path, change: str
) -> None:
    path = tmp_path / "findings.db"
    book = _kept(path)
    book.decide([1], SetStatus(status=Status.TRIAGED))
    book.file.close()
    other = apsw.Connection(str(path))
    other.execute(change)
    other.close()
    file = BookFile(path)
    with pytest.raises(WorldError, match="was damaged") as told, file.looking():
        Looking(file, NOW_MS).page(1, Wanted(text="matter"), limit=100)
    assert told.value.code == "STORAGE_FAILED"
    assert told.value.details["cause"]
    file.close()
    book = _kept(path)
    assert book.listed() == ["1"]
    book.file.close()


def test_what_cannot_be_read_in_memory_is_no_damage_of_a_file() -> None:
    book = Book(None)
    book.add(found(1))
    book.file.db.execute("UPDATE seen SET body = x'ff'")
    with pytest.raises(msgspec.DecodeError):
        book.listed()


def test_a_file_that_turns_out_to_be_damaged_is_told_once_and_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "findings.db"
    book = Book(path)
    book.add(*(found(number, title="long" * 100) for number in range(1, 200)))
    spoil(book.file)
    file = BookFile(path)
    with pytest.raises(WorldError, match="was damaged"), file.looking():
        Looking(file, NOW_MS).page(1, Wanted(), limit=100)
    file.close()
    book = _kept(path)
    assert book.listed() == ["1"]
    book.file.close()


@pytest.mark.parametrize(("number", "code"), [(errno.EROFS, "STORAGE_FAILED"), (errno.ENOSPC, "DISK_FULL")])
def test_a_file_that_cannot_be_made_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    book = _kept(tmp_path / "findings.db")

    def failing(*_: object) -> int:
        raise OSError(number, "no")

    with monkeypatch.context() as patched:
        patched.setattr("assent.findings._sqlite.os.open", failing)
        with pytest.raises(WorldError, match=code):
            BookFile(tmp_path / "other.db")
        with pytest.raises(WorldError, match=code), book.file.folding():
            pass
    book.file.close()


def test_who_looks_takes_little_memory_and_who_folds_more(tmp_path: Path) -> None:
    file = BookFile(tmp_path / "findings.db")
    assert file.db.pragma("cache_size") == -2048
    with file.folding():
        assert file.db.pragma("cache_size") == -65_536
    assert file.db.pragma("cache_size") == -2048
    file.close()


def test_a_file_that_turns_out_to_be_damaged_while_it_is_folded_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "findings.db"
    book = Book(path)
    book.add(*(found(number, title="long" * 100) for number in range(1, 200)))
    spoil(book.file)
    file = BookFile(path)
    with pytest.raises(WorldError, match="was damaged"), file.folding(), file.looking():
        Looking(file, NOW_MS).page(1, Wanted(), limit=100)
    file.close()
    assert dump(BookFile(path))["findings"] == []


def test_what_was_seen_at_an_earlier_moment_later_on_was_first_seen_then(tmp_path: Path) -> None:
    """A clock was put back in between; without the one, the other's moment holds."""
    book = Book()
    book.add(found(1), at=100)
    early = book.add(found(1), at=50)
    assert [(one["first_ms"], one["last_ms"]) for one in dump(book.file)["findings"]] == [(50, 100)]
    with book.file.whole():
        book.writing.take_back(early)
    assert [(one["first_ms"], one["last_ms"]) for one in dump(book.file)["findings"]] == [(100, 100)]


def test_a_full_disk_is_told_and_loses_nothing_that_was_there(tmp_path: Path) -> None:
    book = _kept(tmp_path / "findings.db")
    before = dump(book.file)
    book.file.db.pragma("max_page_count", book.file.db.pragma("page_count"))
    with pytest.raises(WorldError, match="DISK_FULL"):
        book.add(*(found(number, title="long" * 500) for number in range(2, 200)))
    assert dump(book.file) == before
    book.file.close()


def test_a_file_that_another_process_holds_is_told(tmp_path: Path) -> None:
    book = _kept(tmp_path / "findings.db")
    book.file.db.set_busy_handler(None)
    other = BookFile(tmp_path / "findings.db")
    with other.whole(), pytest.raises(WorldError, match="STORAGE_BUSY"):
        book.add(found(2))
    book.add(found(2))
    assert [title(one) for one in Looking(other, NOW_MS).stream(1, Wanted())] == ["2", "1"]
    other.close()
    book.file.close()


def test_who_looks_or_folds_waits_for_who_is_folding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute at least: so long does a dataset of a million take."""
    book, other = _kept(tmp_path / "findings.db"), BookFile(tmp_path / "findings.db")
    other.db.execute("BEGIN IMMEDIATE")
    slept: list[float] = []

    def pause(seconds: float) -> None:
        slept.append(seconds)
        if sum(slept) > 60 and other.db.in_transaction:
            other.db.execute("COMMIT")

    monkeypatch.setattr(_sqlite, "_pause", pause)
    book.add(found(2))
    assert book.listed() == ["2", "1"]
    assert 60 < sum(slept) < 61
    monkeypatch.setattr(_sqlite, "_pause", slept.append)
    slept.clear()
    with other.whole(), pytest.raises(WorldError, match="for 600 seconds"):
        book.add(found(3))
    assert 599 < sum(slept) < 601
    with other.whole():
        assert book.listed() == ["2", "1"]  # Who has nothing to fold waits for nobody.
    other.close()
    book.file.close()


def test_two_who_make_a_store_at_once_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a new file gets its log SQLite waits for nobody, whatever it was told."""
    path = tmp_path / "findings.db"
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(_sqlite, "_pause", lambda _: other.in_transaction and other.execute("ROLLBACK"))
    book = _kept(path)
    assert book.listed() == ["1"]
    book.file.close()
    other.close()
    path.unlink()
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(_sqlite, "_pause", lambda _: None)
    with pytest.raises(WorldError, match="STORAGE_BUSY"):
        BookFile(path)
    other.close()


def test_a_suppression_of_a_detector_reaches_all_that_it_finds_now_and_later(book: Book) -> None:
    book.add(found(1), found(4), found(2))
    act = book.decide([1], Suppress(reason="a decoy", scope=Scope.DETECTOR))
    assert suppressed(book) == {ident(1), ident(4)}
    book.add(found(7), found(2))
    assert suppressed(book) == {ident(1), ident(4), ident(7)}
    reaching = book.one(7).reported.triage.suppression
    assert reaching is not None
    assert reaching.reason == "a decoy"
    assert [book.one(one).muted_by for one in (1, 2, 7)] == [None, None, ident(1)]
    book.take_decision_back(act)
    assert suppressed(book) == set()


def test_a_suppression_of_a_resource_reaches_all_that_is_found_there(book: Book) -> None:
    book.add(found(1), found(2, resource="https://shop.example/1"), found(3))
    book.decide([1], Suppress(reason="ours", scope=Scope.RESOURCE))
    assert suppressed(book) == {ident(1), ident(2)}
    later = book.add(found(2), found(3, resource="https://shop.example/1"))
    assert suppressed(book) == {ident(1), ident(3)}
    book.take_back(later)
    assert suppressed(book) == {ident(1), ident(2)}


def suppressed(book: Book) -> set[str]:
    """The ids of what is suppressed."""
    page = book.looking.page(book.shop, Wanted(suppressed=True), limit=100)
    return {one.reported.finding.id for one in page.findings}
